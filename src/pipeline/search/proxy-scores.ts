/**
 * @file Zero-cost scores of networks on the training images of a run.
 */
import { Random } from '../../base/random.js';
import type { ProxyBatch, ProxyScorer } from '../../proxies/contract.js';
import type { Architecture } from '../../spaces/architecture.js';
import { Network } from '../../spaces/network.js';
import { drawSubset, evaluationBatches, heldBatches, type LearningData } from '../training/prepared-data.js';

/** Batches that zero-cost scorers see, and images in each where there are enough. */
const proxyBatches = 4;
const proxyBatchSize = 64;

/** Equal batches of training images, without augmentation. */
export function batchesForProxies(learning: LearningData, seed: number): readonly ProxyBatch[] {
  const images = learning.train.indices.length;
  const size = Math.max(1, Math.min(proxyBatchSize, Math.floor(images / proxyBatches)));
  const subset = drawSubset(learning.train, proxyBatches * size, seed, 'proxies');
  // They are in the order of the data set, which may be that of the classes.
  const indices = Random.stream(seed, 'proxies', 'order').shuffle(subset.indices.slice());
  return heldBatches(evaluationBatches(learning, { ...subset, indices }, size));
}

/** Scores of one network with fresh weights, by scorer; null for -Infinity, which JSON does not have. */
export function proxyScores(
  scorers: readonly ProxyScorer[],
  architecture: Architecture,
  batches: readonly ProxyBatch[],
  seed: number,
): Readonly<Record<string, number | null>> {
  const network = new Network(architecture, Random.stream(seed, 'weights'));
  try {
    return Object.fromEntries(
      scorers.map((proxy) => {
        const score = proxy.score({ architecture, network, batches });
        return [proxy.name, Number.isFinite(score) ? score : null];
      }),
    );
  } finally {
    network.dispose();
  }
}
