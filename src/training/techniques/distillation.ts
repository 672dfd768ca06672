/**
 * @file Logit distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531): the network also learns what a trained
 * one, the teacher, says of the very images it is given, mixed and augmented as they are.
 *
 * Soft: (1 - weight) L + weight T^2 CE(softmax(teacher / T), student / T), T being the temperature and T^2 keeping the
 * gradients as long as those of L. Hard: the teacher's first choice is the label. The cross-entropy against the teacher
 * differs from the Kullback-Leibler divergence by the teacher's entropy, which is a constant: the gradients are the same.
 * With weight 1 and T = 1 no label is looked at: the distributional loss of ReActNet (Liu et al., ECCV'20, arXiv 2003.03488).
 *
 * A network of two heads learns by each on its own, as in the published retrainings (DeiT, Touvron et al., ICML 2021, arXiv
 * 2012.12877; LeViT; ShiftAddNAS): L is a loss of the first head, that of the teacher one of the second, and only what is
 * before them learns from both. Judged and handed over is the mean of their logits. Without labels, or without the
 * teacher, one head would learn nothing: then the loss is one of the mean.
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

/** A network that shows the logits of its heads. */
export interface TwoHeaded {
  /** Is given those of the labels' head and those of the teacher's in every pass of training; only lent. */
  headTap: ((ofLabels: Tensor, ofTeacher: Tensor) => void) | undefined;
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

/**
 * Learns from `teacher` too; disposes of it in the end. At weight 0 the teacher is not asked. `student`: the network that
 * learns, where it has two heads.
 */
export function distillation(
  teacher: Teacher,
  settings: DistillationSettings,
  student?: TwoHeaded,
): Technique {
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
  const heads = student !== undefined && weight > 0 && weight < 1 ? new Heads(student) : undefined;
  return {
    name: 'distill',
    loss: (inner) => {
      if (weight === 0) return inner;
      return (logits, batch, step) => {
        const { ofLabels, ofTeacher } = heads?.take() ?? { ofLabels: logits, ofTeacher: logits };
        const fromTeacher = times(taught(ofTeacher, batch.input), weight);
        const loss =
          weight === 1 ? fromTeacher : add(times(inner(ofLabels, batch, step), 1 - weight), fromTeacher);
        heads?.letGo();
        return loss;
      };
    },
    dispose() {
      heads?.close();
      teacher.dispose();
    },
  };
}

/** The logits of both heads in the pass that went before; held until let go of. */
class Heads {
  #held: { readonly ofLabels: Tensor; readonly ofTeacher: Tensor } | undefined;
  readonly #network: TwoHeaded;

  constructor(network: TwoHeaded) {
    this.#network = network;
    network.headTap = (ofLabels, ofTeacher) => {
      this.letGo();
      ofLabels.hold();
      ofTeacher.hold();
      this.#held = { ofLabels, ofTeacher };
    };
  }

  take(): { readonly ofLabels: Tensor; readonly ofTeacher: Tensor } {
    if (this.#held === undefined) throw new Error('the network has shown no heads in this pass');
    return this.#held;
  }

  letGo(): void {
    this.#held?.ofLabels.letGo();
    this.#held?.ofTeacher.letGo();
    this.#held = undefined;
  }

  close(): void {
    this.letGo();
    this.#network.headTap = undefined;
  }
}
