/**
 * @file The contract of a technique: an option of training that composes with the others (mixed batches, distillation,
 * averaged weights, pruning). It hooks into the loop at named moments; a training without it computes the same bits as
 * if there were no techniques at all.
 *
 * Whatever a technique remembers between steps stands in its parameters and buffers, which checkpoints hold, or follows
 * from the seed and the step; so a training that was killed and resumed ends with the same bits. The hooks of several
 * techniques run in the order of their list; of their losses each is given the one before it.
 */
import type { Parameter, StateBuffer } from '../nn/module.js';
import { softmaxCrossEntropy, softTargetCrossEntropy } from '../tensor/ops/loss.js';
import { Tensor } from '../tensor/tensor.js';

/** A step of a training, counted from 0. */
export interface StepPlace {
  readonly step: number;
  /** Of the whole training. */
  readonly steps: number;
  readonly stepsPerEpoch: number;
}

/** The images of a step with what they are to be taken for. */
export interface LabelledImages {
  /** NHWC, normalised and augmented. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
  /** Probabilities [images x classes] to learn instead of the labels, which then only count what was right. */
  readonly targets?: Float32Array | undefined;
}

/** What a loss is given beside the logits: all of a batch, or one of the parts it is worked through in. */
export interface LossBatch {
  /** [N, H, W, C], what the network was given. */
  readonly input: Tensor;
  readonly labels: Int32Array;
  readonly targets?: Float32Array | undefined;
}

/** The mean loss [1] of logits [N, 1, 1, classes], on the tape. */
export type Loss = (logits: Tensor, batch: LossBatch, step: number) => Tensor;

export interface Technique {
  /** One word; begins the names of its parameters and buffers: `ema:stem.weight`. */
  readonly name: string;
  /** What it trains beside the network. */
  readonly parameters?: readonly Parameter[];
  /** What it remembers. */
  readonly buffers?: readonly StateBuffer[];
  /** Before anything of the step. */
  beforeStep?(place: StepPlace): void;
  /** What to train on instead of these images, which are only lent and stay as they are. */
  batch?(batch: LabelledImages, place: StepPlace): LabelledImages;
  /** The loss instead of `inner`. It may run twice in a step (to find where a NaN began), and must say the same then. */
  loss?(inner: Loss): Loss;
  /** When the gradients of the step are complete, before they are clipped. */
  afterGradients?(place: StepPlace): void;
  /** When the optimiser has stepped and weights are back in their domain. */
  afterStep?(place: StepPlace): void;
  /** Once, behind the last step, in the reverse of the list's order: leaves the network as it is to be judged and handed over. */
  finish?(): void;
  /** What it has to say of the finished network, by name. */
  facts?(): Readonly<Record<string, number>>;
  dispose?(): void;
}

/** Cross-entropy against the labels or, where a batch has them, its targets; with label smoothing. */
export function crossEntropy(smoothing: number): Loss {
  return (logits, { labels, targets }) => {
    if (targets === undefined) return softmaxCrossEntropy(logits, labels, smoothing);
    const classes = targets.length / labels.length;
    const smooth = smoothing === 0 ? targets : targets.map((q) => (1 - smoothing) * q + smoothing / classes);
    return softTargetCrossEntropy(logits, Tensor.view(logits.shape, smooth));
  };
}
