/**
 * @file What stands before and behind the blocks: stem and classifier.
 *
 * Both stay multiplicative unless the architecture says otherwise, as in the published networks (ShiftAddNAS, arXiv
 * 2205.08119).
 */
import { conv } from '../../operators/conv/family.js';
import { Features, type ClassifierDescription, type StemDescription } from '../architecture.js';
import type { NodeList } from '../nodes.js';

/** Family of the stem and of the classifier of a network that names none. */
export const fixedFamily = conv.name;
export const stemName = 'stem';
export const classifierName = 'classifier';

/** `stem` (3x3 - norm - ReLU). */
export function expandStem(
  { channels, stride, family = fixedFamily }: StemDescription,
  nodes: NodeList,
  input: string,
): string {
  const layer = nodes.layer(stemName, input, { family, kernel: 3, stride, outChannels: channels });
  return nodes.batchNorm(layer, true);
}

/** Features, and `classifier`: linear with biases, or with a batch norm instead of them. */
export function expandClassifier(
  { family = fixedFamily, features = Features.Mean, norm = false, layerNorm = false }: ClassifierDescription,
  classes: number,
  nodes: NodeList,
  input: string,
): string {
  const last = layerNorm ? nodes.layerNorm(`${classifierName}.layerNorm`, input) : input;
  const vector = features === Features.Mean ? nodes.globalPool('pool', last) : nodes.flatten('flatten', last);
  const layer = nodes.layer(classifierName, vector, {
    ...{ family, outChannels: classes, bias: !norm, fullyConnected: true },
  });
  return norm ? nodes.batchNorm(layer) : layer;
}
