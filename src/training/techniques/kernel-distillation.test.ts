import { describe, expect, it } from 'vitest';
import { centralDifferences, normals, relativeError } from '../../tensor/float64.cases.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { Random } from '../../base/random.js';
import { Network } from '../../spaces/network.js';
import { crossEntropy } from '../technique.js';
import {
  genomeOf,
  stateNow,
  toyNetwork,
  toyOptions,
  toySpace,
  toySchedule,
  traineeOf,
} from '../toy.cases.js';
import { train } from '../train.js';
import { kernelDistillation, kernelMap, layerDistance, momentsOf } from './kernel-distillation.js';

const [rows, channels] = [6, 3];
const shape = [1, 3, 2, channels];

/** MSE between the mapped outputs in float64, with given constants. */
function distance64(
  ys: Float64Array,
  yt: ArrayLike<number>,
  rhoS: Float64Array,
  rhoT: ArrayLike<number>,
  s: { readonly centre: number; readonly width: number },
  t: { readonly centre: number; readonly width: number },
): number {
  let total = 0;
  for (let n = 0; n < rows; n++)
    for (let o = 0; o < channels; o++) {
      let difference = 0;
      for (let c = 0; c < channels; c++) {
        const at = n * channels + c;
        difference += rhoS[c * channels + o]! * Math.exp((ys[at]! - s.centre) / (2 * s.width));
        difference -= rhoT[c * channels + o]! * Math.exp((yt[at]! - t.centre) / (2 * t.width));
      }
      total += difference ** 2;
    }
  return total / (rows * channels);
}

describe('the comparison of layers', () => {
  // As additions and convolutions make them.
  const student = normals(rows * channels, 'student').map((v) => -160 + 10 * v);
  const teacher = normals(rows * channels, 'teacher');
  const [rhoS, rhoT] = [normals(9, 'rho s'), normals(9, 'rho t')];

  it('has the value and, moments held, the gradients of its definition in float64', () => {
    const leaves = [student, rhoS, rhoT].map((values, i) =>
      Tensor.persistent(i === 0 ? shape : [1, 1, 3, 3], values, true),
    ) as [Tensor, Tensor, Tensor];
    const { value, tape } = Tape.record(() =>
      layerDistance(leaves[0], Tensor.view(shape, teacher), leaves[1], leaves[2]),
    );
    const measured = value.data[0]!;
    tape.backward(value);
    const [s, t] = [momentsOf(student), momentsOf(teacher)];
    const at = [student, rhoS, rhoT].map((values) => Float64Array.from(values)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    const plain = (): number => distance64(at[0], teacher, at[1], at[2], s, t);
    expect(measured).toBeCloseTo(plain(), 4);
    leaves.forEach((leaf, i) => {
      expect(relativeError(leaf.gradient!, centralDifferences(plain, at[i]!, 1e-4))).toBeLessThan(1e-4);
      leaf.dispose();
    });
  });

  it('is nothing between equals, and the kernel grows with the output', () => {
    const identity = Tensor.view([1, 1, 3, 3], Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1));
    const y = Tensor.view(shape, student);
    expect(layerDistance(y, y, identity, identity).data[0]).toBe(0);
    const mapped = kernelMap(y, identity, -160, 10).data;
    const order = [...student.keys()].sort((a, b) => student[a]! - student[b]!);
    order.slice(1).forEach((i, n) => expect(mapped[i]!).toBeGreaterThan(mapped[order[n]!]!));
    expect(mapped.every((v) => v > 0 && Number.isFinite(v))).toBe(true);
  });
});

describe('kernel distillation', () => {
  const conv = (seed: number): Network =>
    new Network(toySpace.architecture(genomeOf('conv x1')), Random.stream('teacher', seed));
  const settings = { beta: 0.5, kd: 1, temperature: 2 };

  it('trains the teacher as it would be trained alone', () => {
    const student = toyNetwork(1, genomeOf('add x1'));
    const [teacher, alone] = [conv(3), conv(3)];
    const technique = kernelDistillation(
      student,
      teacher,
      settings,
      crossEntropy(toySchedule.labelSmoothing),
      1,
    );
    train(traineeOf(student), toyOptions({ techniques: [technique] }));
    train(traineeOf(alone), toyOptions());
    expect(stateNow(teacher)).toEqual(stateNow(alone));
    technique.dispose!();
    student.dispose();
    alone.dispose();
  });

  it('compares the layers whose families differ, and maps them in both', () => {
    const student = toyNetwork(1, genomeOf('add x1', 'conv x1', 'pot.q x1', 'conv x1'));
    const technique = kernelDistillation(student, conv(1), settings, crossEntropy(0), 1);
    const maps = technique.parameters!.map(({ name }) => name).filter((name) => !name.includes('teacher.'));
    const different = student.operatorLayers
      .filter(({ family }) => family.name !== 'conv')
      .map(({ name }) => name);
    expect(different.length).toBeGreaterThan(2);
    expect(maps).toEqual(different.flatMap((name) => [`pkkd:${name}.student`, `pkkd:${name}.teacher`]));
    technique.dispose!();
    expect(student.operatorLayers.every(({ tap }) => tap === undefined)).toBe(true);
    student.dispose();
  });
});
