import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Parameter } from '../nn/module.js';
import { normals, relativeError } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { l1Conv2d } from '../tensor/ops/convolution.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { AdamW, clipGradients, createOptimiser, isOptimiserState, Sgd } from './optimiser.js';
import { adaptiveScale } from './optimiser-state.js';
import { learningRate, RateRule, type Schedule } from './schedule.js';
import { toySchedule } from './toy.cases.js';

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

function parameter(values: Float32Array, rest: Partial<Parameter> = {}): Parameter {
  return { name: 'p', tensor: Tensor.persistent([values.length], values, true), decay: false, ...rest };
}

function setGradient(at: Parameter, values: Float32Array): void {
  const holder = Tensor.persistent([values.length], values);
  at.tensor.gradient = holder.data;
}

describe('adaptiveScale', () => {
  it('makes the norm eta sqrt(k), whatever the scale of the loss', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.double({ min: 0.01, max: 2, noNaN: true }),
        fc.integer({ min: -6, max: 6 }),
        (count, eta, exponent) => {
          const gradient = normals(count, 'adaptive', count).map((v) => v * 10 ** exponent);
          const scale = adaptiveScale(eta, gradient);
          expect((norm(gradient) * scale) / (eta * Math.sqrt(count))).toBeCloseTo(1, 5);
        },
      ),
    );
  });

  it('leaves a zero gradient zero', () => {
    const at = parameter(Float32Array.of(1, 2, 3), { adaptiveRate: 0.2 });
    setGradient(at, new Float32Array(3));
    const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0 });
    sgd.step(0.1);
    expect([...at.tensor.data]).toEqual([1, 2, 3]);
    expect([...sgd.state.get('momentum:p')!.data]).toEqual([0, 0, 0]);
    at.tensor.dispose();
    sgd.dispose();
  });

  it('acts after accumulation: the sum of two batches is scaled, not each of them, and the loss scale is nothing', () => {
    const images = Tensor.view([6, 1, 1, 4], normals(24, 'images'));
    const labels = Int32Array.of(0, 1, 2, 0, 1, 2);
    const start = normals(12, 'start');
    const stepped = (weights: readonly number[]): Float32Array => {
      const at = parameter(start, {
        adaptiveRate: 0.2,
        tensor: Tensor.persistent([1, 1, 4, 3], start, true),
      });
      const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0 });
      for (const weight of weights) {
        const { value, tape } = Tape.record(() => softmaxCrossEntropy(l1Conv2d(images, at.tensor), labels));
        tape.backward(value, weight);
      }
      sgd.step(1);
      const moved = at.tensor.data.map((w, i) => w - start[i]!);
      at.tensor.dispose();
      sgd.dispose();
      return moved;
    };
    const once = stepped([1]);
    expect(norm(once)).toBeCloseTo(0.2 * Math.sqrt(12), 5);
    expect(relativeError(stepped([1e4]), once)).toBeLessThan(1e-5);
    expect(relativeError(stepped([0.5, 0.5]), once)).toBeLessThan(1e-5);
    expect(relativeError(stepped([1, 3]), once)).toBeLessThan(1e-5);
  });
});

it('an optimiser of another name, and shares that are none, are refused', () => {
  const sgd = { momentum: 0.9, weightDecay: 0 };
  const adamw = { optimiser: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } as const;
  expect(() => createOptimiser([], { ...sgd, optimiser: 'adam' as 'sgd' })).toThrow(
    "optimiser 'adam' is not known; use sgd, adamw or radam",
  );
  for (const momentum of [Number.NaN, 1, -0.1])
    expect(() => createOptimiser([], { ...sgd, momentum })).toThrow(`momentum ${momentum} is not`);
  expect(() => createOptimiser([], { ...adamw, beta2: 1 })).toThrow('beta2 1 is not');
});

describe('Sgd', () => {
  it('follows velocity = m velocity + (g + decay w), w -= rate velocity; decay only where it is due', () => {
    const start = normals(10, 'w');
    for (const decay of [true, false]) {
      const at = parameter(start, { decay });
      const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0.01 });
      const [w, v] = [Float64Array.from(start), new Float64Array(10)];
      for (let step = 0; step < 5; step++) {
        const gradient = normals(10, 'g', step);
        setGradient(at, gradient);
        sgd.step(0.1, () => 0.5);
        for (let i = 0; i < 10; i++) {
          v[i] = 0.9 * v[i]! + 0.5 * gradient[i]! + (decay ? 0.01 : 0) * w[i]!;
          w[i]! -= 0.1 * v[i]!;
        }
        expect(at.tensor.gradient).toBeUndefined();
      }
      expect(relativeError(at.tensor.data, w)).toBeLessThan(1e-6);
      expect(relativeError(sgd.state.get('momentum:p')!.data, v)).toBeLessThan(1e-6);
      at.tensor.dispose();
      sgd.dispose();
    }
  });

  it('leaves parameters without gradient alone: no decay, no coasting on momentum', () => {
    const at = parameter(normals(4, 'unused'), { decay: true });
    const sgd = new Sgd([at], { momentum: 0.9, weightDecay: 0.1 });
    setGradient(at, normals(4, 'g'));
    sgd.step(0.1);
    const [weights, velocity] = [at.tensor.data.slice(), sgd.state.get('momentum:p')!.data.slice()];
    for (let step = 0; step < 3; step++) sgd.step(0.1);
    expect(at.tensor.data).toEqual(weights);
    expect(sgd.state.get('momentum:p')!.data).toEqual(velocity);
    at.tensor.dispose();
    sgd.dispose();
  });
});

describe('a penalty of a parameter', () => {
  it.each([
    ['sgd', (at: Parameter) => new Sgd([at], { momentum: 0.9, weightDecay: 0.01 })],
    [
      'adamw',
      (at: Parameter) => new AdamW([at], { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.01 }),
    ],
  ])(
    'joins the accumulated gradient once per step, by the decay of %s, and spares frozen weights',
    (_, make) => {
      const stepped = (rest: Partial<Parameter>, gradients: readonly Float32Array[]): Float32Array => {
        const at = parameter(normals(10, 'penalised'), rest);
        const optimiser = make(at);
        for (const gradient of gradients) {
          setGradient(at, gradient);
          optimiser.step(0.1);
        }
        // No gradient, no penalty.
        const before = at.tensor.data.slice();
        optimiser.step(0.1);
        expect(at.tensor.data).toEqual(before);
        at.tensor.dispose();
        optimiser.dispose();
        return before;
      };
      const gradients = [normals(10, 'g', 1), normals(10, 'g', 2)];
      const penalty = (weightDecay: number, gradient: Float32Array): void =>
        gradient.forEach((g, i) => (gradient[i] = g + 100 * weightDecay * i));
      const added = gradients.map((gradient) => gradient.map((g, i) => g + i));
      expect(relativeError(stepped({ penalty }, gradients), stepped({}, added))).toBeLessThan(1e-6);
    },
  );
});

describe('Sgd with Nesterov momentum', () => {
  it('steps by the gradient plus momentum times the new velocity', () => {
    const start = normals(10, 'w');
    const at = parameter(start, { decay: true });
    const sgd = new Sgd([at], { momentum: 0.9, nesterov: true, weightDecay: 0.01 });
    const [w, v] = [Float64Array.from(start), new Float64Array(10)];
    for (let step = 0; step < 5; step++) {
      const gradient = normals(10, 'g', step);
      setGradient(at, gradient);
      sgd.step(0.1);
      for (let i = 0; i < 10; i++) {
        const g = gradient[i]! + 0.01 * w[i]!;
        v[i] = 0.9 * v[i]! + g;
        w[i]! -= 0.1 * (g + 0.9 * v[i]!);
      }
    }
    expect(relativeError(at.tensor.data, w)).toBeLessThan(1e-6);
    at.tensor.dispose();
    sgd.dispose();
  });
});

describe('AdamW', () => {
  const settings = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0.1 };

  it('follows its definition over steps; decay only where it is due', () => {
    const start = normals(10, 'w');
    for (const decay of [true, false]) {
      const at = parameter(start, { decay });
      const adamw = new AdamW([at], settings);
      const [w, m, v] = [Float64Array.from(start), new Float64Array(10), new Float64Array(10)];
      for (let step = 1; step <= 6; step++) {
        const gradient = normals(10, 'g', step);
        setGradient(at, gradient);
        adamw.step(0.1, () => 0.5);
        for (let i = 0; i < 10; i++) {
          const g = 0.5 * gradient[i]!;
          m[i] = 0.9 * m[i]! + 0.1 * g;
          v[i] = 0.99 * v[i]! + 0.01 * g * g;
          const size = Math.sqrt(v[i]! / (1 - 0.99 ** step)) + 1e-8;
          w[i] = w[i]! * (1 - (decay ? 0.01 : 0)) - (0.1 * m[i]!) / (1 - 0.9 ** step) / size;
        }
        expect(at.tensor.gradient).toBeUndefined();
      }
      expect(relativeError(at.tensor.data, w)).toBeLessThan(2e-6);
      expect(relativeError(adamw.state.get('adamw.mean:p')!.data, m)).toBeLessThan(1e-6);
      expect(relativeError(adamw.state.get('adamw.square:p')!.data, v)).toBeLessThan(1e-6);
      expect([...adamw.state.get('adamw.steps:p')!.data]).toEqual([6]);
      at.tensor.dispose();
      adamw.dispose();
    }
  });

  it('the first step has the length of the rate, whatever the gradient', () => {
    fc.assert(
      fc.property(fc.integer({ min: -6, max: 6 }), fc.integer({ min: 1, max: 50 }), (exponent, length) => {
        const at = parameter(new Float32Array(length));
        const adamw = new AdamW([at], { ...settings, epsilon: 1e-15, weightDecay: 0 });
        setGradient(
          at,
          Float32Array.from({ length }, (_, i) => (i % 2 ? -1 : 1) * 10 ** exponent),
        );
        adamw.step(0.25);
        at.tensor.data.forEach((w, i) => expect(w).toBeCloseTo(i % 2 ? 0.25 : -0.25, 5));
        at.tensor.dispose();
        adamw.dispose();
      }),
    );
  });

  it('counts the steps of each parameter by itself and leaves one without gradient alone', () => {
    const [used, rare] = [parameter(normals(3, 'u')), parameter(normals(3, 'r'), { name: 'q', decay: true })];
    const adamw = new AdamW([used, rare], settings);
    const before = rare.tensor.data.slice();
    for (let step = 0; step < 4; step++) {
      setGradient(used, normals(3, 'g', step));
      adamw.step(0.1);
    }
    expect(rare.tensor.data).toEqual(before);
    const alone = parameter(before, { name: 'q', decay: true });
    const other = new AdamW([alone], settings);
    for (const [at, by] of [
      [rare, adamw],
      [alone, other],
    ] as const) {
      setGradient(at, normals(3, 'late'));
      by.step(0.1);
    }
    expect(rare.tensor.data).toEqual(alone.tensor.data);
    for (const each of [used, rare, alone]) each.tensor.dispose();
    adamw.dispose();
    other.dispose();
  });
});

describe('createOptimiser', () => {
  it('makes the one that is named, whose state checkpoints can tell from weights', () => {
    const at = parameter(normals(2, 'w'));
    const sgd = createOptimiser([at], { momentum: 0.9, weightDecay: 0 });
    const adamw = createOptimiser([at], {
      optimiser: 'adamw',
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
    });
    expect(sgd).toBeInstanceOf(Sgd);
    expect(adamw).toBeInstanceOf(AdamW);
    const names = [...sgd.state.keys(), ...adamw.state.keys()];
    expect(names).toEqual(['momentum:p', 'adamw.mean:p', 'adamw.square:p', 'adamw.steps:p']);
    expect(names.every(isOptimiserState)).toBe(true);
    expect(['stem.weight', 'momentum', 'stage0.block1.norm1.mean'].some(isOptimiserState)).toBe(false);
    at.tensor.dispose();
    sgd.dispose();
    adamw.dispose();
  });
});

describe('clipGradients', () => {
  const three = (): Parameter[] => [
    parameter(normals(5, 'a')),
    parameter(normals(70_000, 'b')),
    parameter(normals(7, 'c'), { adaptiveRate: 0.2 }),
    parameter(normals(3, 'no gradient')),
  ];
  const give = (parameters: readonly Parameter[], factor = 1): void => {
    for (const at of parameters.slice(0, 3))
      setGradient(
        at,
        normals(at.tensor.size, 'gradient', at.tensor.size).map((v) => factor * v),
      );
  };
  const gradients = (parameters: readonly Parameter[]): Float32Array[] =>
    parameters.slice(0, 3).map(({ tensor }) => tensor.gradient!.slice());
  const dispose = (parameters: readonly Parameter[]): void => {
    for (const { tensor } of parameters) tensor.dispose();
  };

  it('brings the joint norm down to the limit and keeps the direction; adaptive parameters are left out', () => {
    const parameters = three();
    give(parameters);
    const [a, b, c] = gradients(parameters) as [Float32Array, Float32Array, Float32Array];
    const joint = Math.hypot(norm(a), norm(b));
    expect(clipGradients(parameters, 2) / joint).toBeCloseTo(1, 6);
    const [a2, b2, c2] = gradients(parameters) as [Float32Array, Float32Array, Float32Array];
    expect(Math.hypot(norm(a2), norm(b2))).toBeCloseTo(2, 5);
    expect(
      relativeError(
        a2,
        a.map((v) => (v * 2) / joint),
      ),
    ).toBeLessThan(1e-6);
    expect(
      relativeError(
        b2,
        b.map((v) => (v * 2) / joint),
      ),
    ).toBeLessThan(1e-6);
    expect(c2).toEqual(c);
    dispose(parameters);
  });

  it('leaves shorter gradients as they are, and those that are not finite', () => {
    const parameters = three();
    give(parameters, 1e-3);
    const before = gradients(parameters);
    expect(clipGradients(parameters, 2)).toBeLessThan(2);
    expect(gradients(parameters)).toEqual(before);
    parameters[0]!.tensor.gradient![3] = Infinity;
    const spoilt = gradients(parameters);
    expect(clipGradients(parameters, 1e-9)).toBe(Infinity);
    expect(gradients(parameters)).toEqual(spoilt);
    expect(clipGradients([parameters[3]!], 1)).toBe(0);
    dispose(parameters);
  });
});

describe('learningRate', () => {
  it('warms up linearly, falls as half a cosine and ends near zero', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (steps, fraction) => {
          const schedule: Schedule = { ...toySchedule, warmupFraction: fraction, peakLearningRate: 0.2 };
          const rates = Array.from({ length: steps }, (_, step) => learningRate(schedule, step, steps));
          const warmup = Math.max(1, Math.round(fraction * steps));
          rates.forEach((rate, step) => {
            const expected =
              step < warmup
                ? (0.2 * (step + 1)) / warmup
                : 0.2 * Math.cos((Math.PI / 2) * ((step - warmup) / (steps - warmup))) ** 2;
            expect(rate).toBeCloseTo(expected, 12);
            expect(rate).toBeGreaterThan(0);
          });
          expect(Math.max(...rates)).toBeCloseTo(0.2, 12);
        },
      ),
    );
    expect(learningRate({ ...toySchedule, peakLearningRate: 0.2 }, 999, 1000)).toBeLessThan(1e-5);
  });
});

describe('the rules behind the warm-up', () => {
  const rates = (changes: Partial<Schedule>, steps = 100): number[] => {
    const schedule = { ...toySchedule, epochs: 10, peakLearningRate: 2, warmupFraction: 0.2, ...changes };
    return Array.from({ length: steps }, (_, step) => learningRate(schedule as Schedule, step, steps));
  };

  it.each([RateRule.Linear, RateRule.Constant, RateRule.Step])(
    '%s warms up on a straight line',
    (schedule) => {
      expect(rates({ schedule }).slice(0, 20)).toEqual(
        Array.from({ length: 20 }, (_, i) => (2 * (i + 1)) / 20),
      );
    },
  );

  it('linear falls to zero one step behind the last, constant stays', () => {
    rates({ schedule: RateRule.Linear })
      .slice(20)
      .forEach((rate, i) => expect(rate).toBeCloseTo(2 * (1 - i / 80), 12));
    expect(new Set(rates({ schedule: RateRule.Constant }).slice(19))).toEqual(new Set([2]));
  });

  it('step counts milestones in parts of the training and in epochs alike, in any order', () => {
    const byParts = rates({ schedule: RateRule.Step, milestones: [0.8, 0.5], stepFactor: 0.2 });
    expect(byParts).toEqual(rates({ schedule: RateRule.Step, milestones: [5, 8], stepFactor: 0.2 }));
    expect(byParts.slice(49, 51)).toEqual([2, 2 * 0.2]);
    expect(byParts.slice(79, 81)).toEqual([2 * 0.2, 2 * 0.2 ** 2]);
    expect(rates({ schedule: RateRule.Step })[75]).toBeCloseTo(0.02, 12);
  });

  it('one-cycle rises from peak / start to the peak and falls to that / end at the last step', () => {
    const cycle = rates({ schedule: RateRule.OneCycle, startDivisor: 10, endDivisor: 100 });
    const [first, last] = [0.2, 0.002];
    cycle.forEach((rate, step) => {
      const expected =
        step < 20
          ? first + (2 - first) * Math.sin(((Math.PI / 2) * step) / 20) ** 2
          : last + (2 - last) * Math.cos(((Math.PI / 2) * (step - 20)) / 79) ** 2;
      expect(rate).toBeCloseTo(expected, 12);
    });
    expect([cycle[0], cycle[20], cycle[99]].map((rate) => rate!.toFixed(9))).toEqual(
      [first, 2, last].map((rate) => rate.toFixed(9)),
    );
    expect(rates({ schedule: RateRule.OneCycle })[0]).toBeCloseTo(2 / 25, 12);
  });
});

describe('label smoothing', () => {
  it('adds the mean surprise over all classes, and its gradient sums to zero per image', () => {
    const logits = Tensor.persistent([3, 4], normals(12, 'logits'), true);
    const labels = Int32Array.of(0, 3, 1);
    const loss = (smoothing: number): number => {
      const { value, tape } = Tape.record(() => softmaxCrossEntropy(logits, labels, smoothing));
      const held = value.data[0]!;
      logits.dropGradient();
      tape.backward(value);
      return held;
    };
    const each = Array.from({ length: 4 }, (_, label) => {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(logits, Int32Array.of(label, label, label)),
      );
      const held = value.data[0]!;
      tape.dispose();
      return held;
    });
    const uniform = each.reduce((sum, v) => sum + v, 0) / 4;
    expect(loss(0.3)).toBeCloseTo(0.7 * loss(0) + 0.3 * uniform, 5);
    loss(0.3);
    for (let n = 0; n < 3; n++)
      expect(logits.gradient!.slice(4 * n, 4 * n + 4).reduce((sum, v) => sum + v, 0)).toBeCloseTo(0, 6);
    logits.dispose();
  });
});
