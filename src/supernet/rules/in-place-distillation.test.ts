import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { poolUsage } from '../../tensor/pool.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { crossEntropy, type LossBatch } from '../../training/technique.js';
import { Role } from './contract.js';
import { InPlaceDistillation } from './in-place-distillation.js';

const [images, classes] = [3, 4];
const size = images * classes;
const random = Random.stream('in place');
const teacherLogits = Float32Array.from({ length: size }, () => 2 * random.normal());
const pupilLogits = Float32Array.from({ length: size }, () => 2 * random.normal());
const labels = Int32Array.of(1, 3, 0);
const batchOf = (own: Int32Array): LossBatch => ({
  input: Tensor.view([images, 1, 1, 1], new Float32Array(images)),
  labels: own,
});
const inner = crossEntropy(0.1);

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

/** The loss in float64, of teacher and pupil logits: (1 - w) CE(smoothed labels) + w CE(softmax(teacher)). */
function loss64(teacher: ArrayLike<number>, pupil: ArrayLike<number>, weight: number): number {
  let sum = 0;
  for (let n = 0; n < images; n++) {
    const row = (logits: ArrayLike<number>): number[] =>
      Array.from({ length: classes }, (_, c) => logits[n * classes + c]!);
    const softmax = (values: readonly number[]): number[] => {
      const total = values.reduce((held, v) => held + Math.exp(v), 0);
      return values.map((v) => Math.exp(v) / total);
    };
    const said = softmax(row(teacher));
    softmax(row(pupil)).forEach((p, c) => {
      const target = 0.9 * (labels[n] === c ? 1 : 0) + 0.1 / classes;
      sum -= ((1 - weight) * target + weight * said[c]!) * Math.log(p);
    });
  }
  return sum / images;
}

/** Loss and gradients of a teacher's and a pupil's pass, as a step runs them. */
function passes(weight: number) {
  const distillation = new InPlaceDistillation(weight);
  const [teacher, pupil] = [teacherLogits, pupilLogits].map((values) =>
    Tensor.persistent([images, 1, 1, classes], values, true),
  ) as [Tensor, Tensor];
  const run = (role: Role, logits: Tensor): number => {
    const { value, tape } = Tape.record(() => distillation.loss(role, inner)(logits, batchOf(labels), 0));
    const loss = value.data[0]!;
    tape.backward(value);
    return loss;
  };
  const losses = [run(Role.Teacher, teacher), run(Role.Pupil, pupil)];
  const gradients = [teacher, pupil].map(({ gradient }) => gradient!.slice());
  for (const tensor of [teacher, pupil]) tensor.dispose();
  return { losses, gradients };
}

describe('distillation in place', () => {
  it.each([0.3, 1])('is the float64 loss, and its gradient by finite differences: weight %d', (weight) => {
    const { losses, gradients } = passes(weight);
    expect(losses[1]).toBeCloseTo(loss64(teacherLogits, pupilLogits, weight), 5);
    const h = 1e-5;
    for (let i = 0; i < size; i++) {
      const at = (shift: number): number =>
        loss64(
          teacherLogits,
          Float64Array.from(pupilLogits, (v, j) => (j === i ? v + shift : v)),
          weight,
        );
      expect(gradients[1]![i]).toBeCloseTo((at(h) - at(-h)) / (2 * h), 6);
    }
  });

  it('sends nothing back to the teacher, whose loss is that of the labels', () => {
    const { losses, gradients } = passes(1);
    expect(losses[0]).toBeCloseTo(loss64(teacherLogits, teacherLogits, 0), 5);
    const alone = Tensor.persistent([images, 1, 1, classes], teacherLogits, true);
    const { value, tape } = Tape.record(() => inner(alone, batchOf(labels), 0));
    tape.backward(value);
    expect(gradients[0]).toEqual(alone.gradient);
    alone.dispose();
  });

  it('keeps the parts of a batch apart, in any number', () => {
    const distillation = new InPlaceDistillation(1);
    const parts = [Int32Array.of(0, 0, 0), Int32Array.of(0, 0, 0)];
    const flat = new Float32Array(size);
    const said = [teacherLogits, flat];
    const pupil = Tensor.view([images, 1, 1, classes], pupilLogits);
    parts.forEach((part, at) => {
      const logits = Tensor.view([images, 1, 1, classes], said[at]!);
      Tape.record(() => distillation.loss(Role.Teacher, inner)(logits, batchOf(part), 0)).tape.dispose();
    });
    const losses = parts.map((part) => {
      const { value, tape } = Tape.record(() =>
        distillation.loss(Role.Pupil, inner)(pupil, batchOf(part), 0),
      );
      const loss = value.data[0]!;
      tape.dispose();
      return loss;
    });
    losses.forEach((loss, at) => expect(loss).toBeCloseTo(loss64(said[at]!, pupilLogits, 1), 5));
  });

  it('leaves the losses of passes that neither teach nor learn, and all at weight 0', () => {
    expect(new InPlaceDistillation(1).loss(Role.Alone, inner)).toBe(inner);
    for (const role of Object.values(Role)) expect(new InPlaceDistillation(0).loss(role, inner)).toBe(inner);
  });
});
