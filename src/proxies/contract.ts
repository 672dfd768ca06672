/**
 * @file The contract of a zero-cost scorer: a number for an untrained network, more is better.
 *
 * A scorer sees a fresh network and a few labelled batches and may leave neither weights nor gradients changed; running
 * statistics of batch norms are the caller's to throw away with the network. Scores compare networks for the same data at
 * the same batches, nothing else.
 */
import type { Architecture } from '../spaces/architecture.js';
import type { Network } from '../spaces/network.js';

/** Images [N, H, W, C] as the network takes them, with their classes. */
export interface ProxyBatch {
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** What is scored. */
export interface ProxySubject {
  readonly architecture: Architecture;
  /** With fresh weights. */
  readonly network: Network;
  /** At least {@link ProxyScorer.batches}, of equal size. */
  readonly batches: readonly ProxyBatch[];
}

export interface ProxyScorer {
  /** One word, for options and files. */
  readonly name: string;
  /** For people, with its source. */
  readonly title: string;
  /** Batches that it reads: 0 for a score of the architecture alone. */
  readonly batches: number;
  /** Never NaN; -Infinity for a network that it thinks worthless. */
  score(subject: ProxySubject): number;
}
