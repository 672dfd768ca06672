/**
 * @file Analytic entropy: log of the variance that a network without norms would carry from its input to its logits
 * (MAE-DET, ICML'22, arXiv 2111.13336; DeepMAD, CVPR'23, arXiv 2303.02165), with the transfer of each operator family
 * (operators-and-techniques 13). Of a normal output the entropy is half of it, up to constants. No weights, no images.
 *
 * Layers see inputs of variance one, as behind a norm, and what they spread by adds up in the logarithm; that is what the
 * published scores do when they rescale maps and add the scales up again. Maps that meet at a join add variances. Values
 * are normal where nothing rectifies them; a ReLU leaves mean 1 / sqrt(2 pi) and mean square 1 / 2 of a standard one.
 */
import type { Moments } from '../operators/variance.js';
import { familyNamed } from '../operators/registry.js';
import type { Architecture } from '../spaces/architecture.js';
import { nodesOf } from '../spaces/expand.js';
import { inputName, NodeKind, type Node } from '../spaces/nodes.js';
import type { ProxyScorer } from './contract.js';

/** A map: moments in units of its scale, and log of the scale's square. */
interface Spread extends Moments {
  readonly logScale: number;
}

const standard: Moments = { mean: 0, variance: 1 };
const rectifiedMean = 1 / Math.sqrt(2 * Math.PI);
const rectified: Moments = { mean: rectifiedMean, variance: 0.5 - rectifiedMean ** 2 };

/** log of the variance of the logits, for an input of variance one. */
export function logVariance(architecture: Architecture): number {
  const spreads = new Map<string, Spread>([[inputName, { ...standard, logScale: 0 }]]);
  let last = 0;
  for (const node of nodesOf(architecture)) {
    const spread = spreadOf(
      node,
      node.inputs.map((name) => spreads.get(name)!),
    );
    spreads.set(node.name, spread);
    last = spread.logScale;
  }
  return last;
}

function spreadOf(node: Node, inputs: readonly Spread[]): Spread {
  const from = inputs.at(-1)!;
  switch (node.kind) {
    case NodeKind.Layer: {
      const gain = familyNamed(node.family).variance(from, node);
      return { ...standard, logScale: from.logScale + Math.log(gain) };
    }
    case NodeKind.BatchNorm:
      return { ...(node.relu ? rectified : standard), logScale: from.logScale };
    case NodeKind.LayerNorm:
      return { ...standard, logScale: from.logScale };
    case NodeKind.Activation:
      return { ...rectified, logScale: from.logScale };
    case NodeKind.Join:
      return {
        ...(node.relu ? rectified : standard),
        logScale: logSum(inputs.map(({ logScale }) => logScale)),
      };
    default:
      return from;
  }
}

/** log of the sum of what these are logarithms of. */
function logSum(logs: readonly number[]): number {
  const most = Math.max(...logs);
  return most + Math.log(logs.reduce((sum, each) => sum + Math.exp(each - most), 0));
}

export const entropy: ProxyScorer = {
  name: 'entropy',
  title: 'Entropy (analytic variance transfer)',
  batches: 0,
  score: ({ architecture }) => logVariance(architecture),
};
