/**
 * @file Steps of several forward and backward passes, as supernets are trained by: each pass runs a network of its own over
 * the batch, one after the other, so that the tape of one pass at a time is held; gradients add up, and there is one update.
 */
import type { Tensor } from '../tensor/tensor.js';
import type { Loss, StepPlace } from './technique.js';

/** One forward and backward pass of a step. */
export interface Pass {
  /** Images [N, H, W, C] -> logits [N, 1, 1, classes], in training mode. */
  forward(images: Tensor): Tensor;
  /** What its gradients are multiplied by before they are added to those of the other passes. */
  readonly weight: number;
  /**
   * The loss of this pass instead of `inner`. Where the batch is worked through in parts it is called for each of them, and
   * all passes of a step are given the same parts in the same order, told apart by their `labels`.
   */
  loss?(inner: Loss): Loss;
}

/** What is trained by several passes in a step. */
export interface PassingTrainee {
  /** The passes of a step, in order; at least one. */
  passes(place: StepPlace): readonly Pass[];
  /** Behind each pass of a step, `weight` being that of the pass. */
  afterPass?(weight: number): void;
  /** Behind the last pass, before gradients are clipped. */
  afterPasses?(place: StepPlace): void;
}
