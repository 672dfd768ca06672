/**
 * @file What stands before and behind the blocks: stem and classifier.
 *
 * Both stay multiplicative unless the architecture says otherwise, as in the published networks (ShiftAddNAS, arXiv
 * 2205.08119).
 */
import { conv } from '../../operators/conv/family.js';
import { Features, type ClassifierDescription, type StemDescription } from '../architecture.js';
import { NodeKind, type NodeList } from '../nodes.js';

/** Family of the stem and of the classifier of a network that names none. */
export const fixedFamily = conv.name;
export const stemName = 'stem';
export const classifierName = 'classifier';
const secondHeadName = 'classifierOfTeacher';
const stemPool = { kernel: 3, stride: 2, padding: 1 };

/** `stem` (layer - norm - ReLU), and `stem.pool` where it pools. */
export function expandStem(
  { channels, stride, family = fixedFamily, kernel = 3, pool = false }: StemDescription,
  nodes: NodeList,
  input: string,
): string {
  const layer = nodes.layer(stemName, input, { family, kernel, stride, outChannels: channels });
  const active = nodes.batchNorm(layer, true);
  return pool ? nodes.pool(NodeKind.MaxPool, `${stemName}.pool`, active, stemPool) : active;
}

/** Features, and `classifier`: linear with biases, or with a batch norm instead of them; or the mean of two such. */
export function expandClassifier(
  {
    family = fixedFamily,
    features = Features.Mean,
    norm = false,
    layerNorm = false,
    heads = 1,
  }: ClassifierDescription,
  classes: number,
  nodes: NodeList,
  input: string,
): string {
  const last = layerNorm ? nodes.layerNorm(`${classifierName}.layerNorm`, input) : input;
  const vector = features === Features.Mean ? nodes.globalPool('pool', last) : nodes.flatten('flatten', last);
  const head = (name: string): string => {
    const layer = nodes.layer(name, vector, {
      ...{ family, outChannels: classes, bias: !norm, fullyConnected: true },
    });
    return norm ? nodes.batchNorm(layer) : layer;
  };
  const first = head(classifierName);
  return heads === 1 ? first : nodes.mean(`${classifierName}.mean`, first, head(secondHeadName));
}
