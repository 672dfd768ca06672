import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Mode, stateOf } from '../../nn/module.js';
import { loadState } from '../../nn/state.js';
import { Network } from '../../spaces/network.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { forEachBatch } from '../evaluate.js';
import { crossEntropy, type Loss } from '../technique.js';
import { toyBatch, toyShape, twoHeadedToy } from '../toy.cases.js';
import {
  distillation,
  DistillationTarget,
  firstChoices,
  softened,
  type DistillationSettings,
  type Teacher,
} from './distillation.js';

const [count, classes] = [5, 4];
const logitsOf = (label: string): Float32Array => normals(count * classes, label).map((v) => 3 * v);
const said = logitsOf('teacher');
const student = logitsOf('student');
const labels = Int32Array.of(0, 1, 2, 3, 1);
const input = Tensor.view([count, 1, 1, 1], new Float32Array(count));

function teacher(asked: Float32Array[] = []): Teacher {
  return {
    classes,
    logits: (images) => {
      asked.push(images);
      return said;
    },
    dispose: () => undefined,
  };
}

/** Loss and gradient by the student's logits. */
function measure(loss: Loss): { readonly value: number; readonly gradient: Float32Array } {
  const logits = Tensor.persistent([count, 1, 1, classes], student, true);
  const { value, tape } = Tape.record(() => loss(logits, { input, labels }, 0));
  const held = value.data[0]!;
  tape.backward(value);
  const gradient = logits.gradient!.slice();
  logits.dispose();
  return { value: held, gradient };
}

const taught = (settings: Partial<DistillationSettings>, inner: Loss = crossEntropy(0.1)): Loss =>
  distillation(teacher(), {
    target: DistillationTarget.Soft,
    temperature: 1,
    weight: 1,
    ...settings,
  }).loss!(inner);

/** softmax(logits / temperature) row by row, in float64. */
function probabilities(logits: Float32Array, temperature: number): number[] {
  return Array.from({ length: count }, (_, n) => {
    const row = Array.from(logits.subarray(n * classes, (n + 1) * classes), (v) => Math.exp(v / temperature));
    const total = row.reduce((sum, v) => sum + v, 0);
    return row.map((v) => v / total);
  }).flat();
}

describe('soft targets', () => {
  it('are the softmax of the teacher at the temperature, without overflow', () => {
    for (const temperature of [0.5, 1, 4])
      expect(
        relativeError(
          softened(said, classes, temperature),
          Float64Array.from(probabilities(said, temperature)),
        ),
      ).toBeLessThan(1e-6);
    expect([...softened(Float32Array.of(1e4, 0), 2, 1)]).toEqual([1, 0]);
  });

  it.each([1, 4])(
    'differ from the divergence by the entropy of the teacher and in no gradient, temperature %d',
    (temperature) => {
      const { value, gradient } = measure(taught({ temperature }));
      const [q, p] = [probabilities(said, temperature), probabilities(student, temperature)];
      const sum = (of: (i: number) => number): number => q.reduce((total, _, i) => total + of(i), 0) / count;
      const entropy = sum((i) => -q[i]! * Math.log(q[i]!));
      const divergence = sum((i) => q[i]! * Math.log(q[i]! / p[i]!));
      expect(value / temperature ** 2).toBeCloseTo(divergence + entropy, 5);
      // d/dz of T^2 KL(q || softmax(z / T)) = T (p - q), by finite differences of the divergence itself.
      const klOf = (logits: Float64Array): number => {
        let total = 0;
        for (let n = 0; n < count; n++) {
          const row = Array.from(logits.subarray(n * classes, (n + 1) * classes), (v) =>
            Math.exp(v / temperature),
          );
          const all = row.reduce((s, v) => s + v, 0);
          row.forEach((v, c) => (total += q[n * classes + c]! * Math.log(q[n * classes + c]! / (v / all))));
        }
        return (temperature ** 2 * total) / count;
      };
      const step = 1e-5;
      const numeric = Float64Array.from(student, (_, i) => {
        const [up, down] = [Float64Array.from(student), Float64Array.from(student)];
        up[i]! += step;
        down[i]! -= step;
        return (klOf(up) - klOf(down)) / (2 * step);
      });
      expect(relativeError(gradient, numeric)).toBeLessThan(1e-5);
    },
  );

  it('mix with the loss of the labels in the given proportion', () => {
    const [alone, plain] = [measure(taught({ temperature: 3 })), measure(crossEntropy(0.1))];
    const both = measure(taught({ temperature: 3, weight: 0.3 }));
    expect(both.value).toBeCloseTo(0.3 * alone.value + 0.7 * plain.value, 5);
    const expected = Float64Array.from(plain.gradient, (g, i) => 0.7 * g + 0.3 * alone.gradient[i]!);
    expect(relativeError(both.gradient, expected)).toBeLessThan(1e-5);
  });

  it('at weight 1 look at no label, at weight 0 at no teacher', () => {
    const unlabelled: Loss = () => {
      throw new Error('asked for the labels');
    };
    expect(() => measure(taught({ weight: 1 }, unlabelled))).not.toThrow();
    const inner = crossEntropy(0);
    const asked: Float32Array[] = [];
    const off = distillation(teacher(asked), { target: DistillationTarget.Soft, temperature: 4, weight: 0 });
    expect(off.loss!(inner)).toBe(inner);
    expect(asked).toEqual([]);
  });
});

describe('hard targets', () => {
  it('are the first of the largest', () => {
    expect([...firstChoices(Float32Array.of(1, 3, 3, 0, -1, -2), 3)]).toEqual([1, 0]);
  });

  it('are learned as labels are', () => {
    const choices = firstChoices(said, classes);
    const { value, gradient } = measure(taught({ target: DistillationTarget.Hard }));
    const expected = measure((logits, batch) => crossEntropy(0)(logits, { ...batch, labels: choices }, 0));
    expect(value).toBe(expected.value);
    expect(gradient).toEqual(expected.gradient);
  });
});

describe('two heads', () => {
  const { images, labels: own } = toyBatch(0, 0);
  const size = own.length;
  const others = own.map((label) => (label + 1) % classes);
  const answers = (label: string): Float32Array => normals(size * classes, label).map((v) => 2 * v);
  const [weight, temperature] = [0.3, 2];

  /** Gradients of a network's parameters by name, in one step with a teacher that says `said`. */
  function gradientsOf(
    network: Network,
    taught: Loss,
    labels: Int32Array = own,
  ): ReadonlyMap<string, Float32Array> {
    const input = Tensor.view([size, 16, 16, 1], images);
    const { value, tape } = Tape.record(() =>
      taught(network.forward(input, Mode.Training), { input, labels }, 0),
    );
    tape.backward(value);
    const gradients = new Map(network.parameters.map(({ name, tensor }) => [name, tensor.gradient!.slice()]));
    for (const { tensor } of network.parameters) tensor.dropGradient();
    return gradients;
  }

  function learning(network: Network, target: DistillationTarget, said: Float32Array, part = weight): Loss {
    const teacher = { classes, logits: () => said, dispose: () => undefined };
    return distillation(teacher, { target, temperature, weight: part }, network).loss!(crossEntropy(0.1));
  }

  /** The network as it is, but with the one head alone whose parameters begin with `kept`. */
  function oneHeaded(network: Network, kept: string): Network {
    const alone = new Network({ ...network.architecture, classifier: { heads: 1 } }, Random.stream('alone'));
    const state = [...stateOf(network)].filter(([name]) => !name.startsWith('classifier'));
    const head = ['weight', 'bias'].map(
      (part) => [`classifier.${part}`, stateOf(network).get(`${kept}.${part}`)!] as const,
    );
    loadState(alone, new Map([...state, ...head]), 'one head');
    return alone;
  }

  it.each(Object.values(DistillationTarget))('learn from one loss each, %s targets', (target) => {
    const network = twoHeadedToy();
    const said = answers('first');
    const both = gradientsOf(network, learning(network, target, said));
    const alone = (kept: string, loss: Loss): ReadonlyMap<string, Float32Array> => {
      const single = oneHeaded(network, kept);
      const gradients = gradientsOf(single, loss);
      single.dispose();
      return gradients;
    };
    const ofLabels = alone('classifier', crossEntropy(0.1));
    const teacher = { classes, logits: () => said, dispose: () => undefined };
    const ofTeacher = alone(
      'classifierOfTeacher',
      distillation(teacher, { target, temperature, weight: 1 }).loss!(crossEntropy(0)),
    );
    for (const [name, gradient] of both) {
      const [first, second] = [
        name.startsWith('classifierOfTeacher') ? undefined : ofLabels.get(name)!,
        name.startsWith('classifier.') ? undefined : ofTeacher.get(name.replace('OfTeacher', ''))!,
      ];
      const expected = Float64Array.from(
        gradient,
        (_, i) => (1 - weight) * (first?.[i] ?? 0) + weight * (second?.[i] ?? 0),
      );
      // Biases in front of a batch norm have a gradient of rounding errors alone.
      if (Math.hypot(...expected) > 1e-6) expect(relativeError(gradient, expected), name).toBeLessThan(1e-4);
    }
    network.dispose();
  });

  it('leave each the other alone, to the bit', () => {
    const network = twoHeadedToy();
    const hard = DistillationTarget.Hard;
    const before = gradientsOf(network, learning(network, hard, answers('first')));
    const otherTeacher = gradientsOf(network, learning(network, hard, answers('second')));
    const otherLabels = gradientsOf(network, learning(network, hard, answers('first')), others);
    const [first, second, stem] = ['classifier.weight', 'classifierOfTeacher.weight', 'stem.weight'];
    expect(otherTeacher.get(first!)).toEqual(before.get(first!));
    expect(otherTeacher.get(second!)).not.toEqual(before.get(second!));
    expect(otherLabels.get(second!)).toEqual(before.get(second!));
    expect(otherLabels.get(first!)).not.toEqual(before.get(first!));
    expect(otherTeacher.get(stem!)).not.toEqual(before.get(stem!));
    expect(otherLabels.get(stem!)).not.toEqual(before.get(stem!));
    network.dispose();
  });

  it('are judged by the mean of their logits, with or without a teacher', () => {
    const network = twoHeadedToy();
    const judged = (of: Network): Float32Array => {
      let logits = new Float32Array(0);
      const keep = ({ data }: Tensor): void => void (logits = data.slice());
      forEachBatch([{ images, labels: own }], toyShape, (x) => of.forward(x, Mode.Evaluation), keep);
      return logits;
    };
    const [plain, first, second] = [
      judged(network),
      ...['classifier', 'classifierOfTeacher'].map((kept) => {
        const alone = oneHeaded(network, kept);
        const logits = judged(alone);
        alone.dispose();
        return logits;
      }),
    ];
    learning(network, DistillationTarget.Soft, answers('first'));
    expect(judged(network)).toEqual(plain);
    expect(
      relativeError(
        plain,
        Float64Array.from(plain, (_, i) => (first![i]! + second![i]!) / 2),
      ),
    ).toBeLessThan(1e-6);
    network.dispose();
  });

  it('learn together where there are no labels to learn from: neither may stay as it began', () => {
    const network = twoHeadedToy();
    const gradients = gradientsOf(network, learning(network, DistillationTarget.Hard, answers('first'), 1));
    expect(gradients.get('classifier.weight')).toEqual(gradients.get('classifierOfTeacher.weight'));
    network.dispose();
  });
});
