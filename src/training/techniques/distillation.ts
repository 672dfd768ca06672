/**
 * @file Logit distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531): the network also learns what a trained
 * one, the teacher, says of the very images it is given, mixed and augmented as they are.
 *
 * Soft: (1 - weight) L + weight T^2 CE(softmax(teacher / T), student / T), T being the temperature and T^2 keeping the
 * gradients as long as those of L. Hard: the teacher's first choice is the label. The cross-entropy against the teacher
 * differs from the Kullback-Leibler divergence by the teacher's entropy, which is a constant: the gradients are the same.
 * With weight 1 and T = 1 no label is looked at: the distributional loss of ReActNet (Liu et al., ECCV'20, arXiv 2003.03488).
 */

import { add, mul } from '../../tensor/ops/binary.js';
import { softmaxCrossEntropy, softTargetCrossEntropy } from '../../tensor/ops/loss.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Technique } from '../technique.js';

/** Something that classifies images; whatever it is, it answers at once and says the same of the same images. */
export interface Teacher {
  readonly classes: number;
  /** Logits [count x classes] of NHWC images, normalised as those of the training; valid until the next call. */
  logits(images: Float32Array, count: number): Float32Array;
  dispose(): void;
}

export enum DistillationTarget {
  /** The teacher's probabilities. */
  Soft = 'soft',
  /** The teacher's first choice. */
  Hard = 'hard',
}

export interface DistillationSettings {
  readonly target: DistillationTarget;
  /** Of soft targets; above 0. */
  readonly temperature: number;
  /** Of the teacher's part of the loss, 0 to 1. */
  readonly weight: number;
}

/** Rows of softmax(logits / temperature), in float64 until the last. */
export function softened(logits: Float32Array, classes: number, temperature: number): Float32Array {
  const targets = new Float32Array(logits.length);
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    const highest = row.reduce((most, v) => Math.max(most, v), -Infinity);
    const powers = Float64Array.from(row, (v) => Math.exp((v - highest) / temperature));
    const total = powers.reduce((sum, v) => sum + v, 0);
    powers.forEach((v, c) => (targets[start + c] = v / total));
  }
  return targets;
}

/** The first maximum of each row. */
export function firstChoices(logits: Float32Array, classes: number): Int32Array {
  return Int32Array.from({ length: logits.length / classes }, (_, n) => {
    let best = n * classes;
    for (let i = best + 1; i < (n + 1) * classes; i++)
      if ((logits[i] as number) > (logits[best] as number)) best = i;
    return best - n * classes;
  });
}

/** Learns from `teacher` too; disposes of it in the end. At weight 0 the teacher is not asked. */
export function distillation(teacher: Teacher, settings: DistillationSettings): Technique {
  const { target, temperature, weight } = settings;
  const { classes } = teacher;
  const times = (x: Tensor, factor: number): Tensor =>
    factor === 1 ? x : mul(x, Tensor.view([1], Float32Array.of(factor)));
  const taught = (logits: Tensor, input: Tensor): Tensor => {
    const said = teacher.logits(input.data, input.shape[0] as number);
    if (target === DistillationTarget.Hard) return softmaxCrossEntropy(logits, firstChoices(said, classes));
    const targets = Tensor.view(logits.shape, softened(said, classes, temperature));
    return times(softTargetCrossEntropy(times(logits, 1 / temperature), targets), temperature ** 2);
  };
  return {
    name: 'distill',
    loss: (inner) => {
      if (weight === 0) return inner;
      return (logits, batch, step) => {
        const fromTeacher = times(taught(logits, batch.input), weight);
        return weight === 1 ? fromTeacher : add(times(inner(logits, batch, step), 1 - weight), fromTeacher);
      };
    },
    dispose: () => teacher.dispose(),
  };
}
