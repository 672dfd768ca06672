/**
 * @file Cases for NaN and infinity: each must reach exactly the results that depend on it.
 *
 * Divergence of a training run is noticed by a loss or a gradient norm that is not finite; an op that swallowed a
 * NaN (a maximum, a clamp) would hide it, one that spread it to its neighbours (a vector tail) would invent it.
 */
import { describe, expect, it } from 'vitest';
import {
  type GuardedBuffers,
  type Device,
  layer,
  normals,
  type Numbers,
  withBuffers,
} from './support.cases.js';
import { attend, attentionOperands, attentionSums } from './attention.cases.js';
import { softmaxRowGradients, softmaxRows } from './softmax.cases.js';
import { multiply, operands, plainProduct, productSums } from './matmul.cases.js';
import { allCalls, layerData } from './convolution.cases.js';
import { forwardSums, inputGradientSums, weightGradientSums } from './definitions.cases.js';

/** The same list with one element replaced. */
function withOne(values: Float32Array, at: number, value: number): Float32Array {
  const changed = values.slice();
  changed[at] = value;
  return changed;
}

/** Throws unless NaN stands where NaN is expected and numbers where numbers are; infinities may have met. */
function expectSameKinds(what: string, actual: Numbers, expected: Numbers): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const alike = Number.isFinite(actual[i]) === Number.isFinite(expected[i]);
    if (!alike) throw new Error(`${what}[${i}] is ${actual[i]} where the definition gives ${expected[i]}`);
  }
}

export function describeNonFinite(device: Device): void {
  const { kernels } = device;
  const use = (length: number, run: (buffers: GuardedBuffers, out: Float32Array) => void): Float32Array =>
    withBuffers(device, (buffers) => {
      const out = buffers.output(length);
      run(buffers, out);
      return out;
    });
  const update = (
    values: Numbers,
    run: (buffers: GuardedBuffers, updated: Float32Array) => void,
  ): Float32Array =>
    withBuffers(device, (buffers) => {
      const updated = buffers.updated(values);
      run(buffers, updated);
      return updated;
    });

  describe('NaN and infinity', () => {
    // No padding: whether zero times an infinite weight counts there is left to the device.
    const g = layer({
      batch: 2,
      size: 5,
      inChannels: 6,
      outChannels: 19,
      kernel: 3,
      stride: 2,
      padding: 0,
      groups: 1,
    });
    const depthwise = { ...g, inChannels: 21, outChannels: 21, groups: 21 };

    for (const bad of [NaN, Infinity, -Infinity]) {
      for (const calls of allCalls) {
        it(`${bad} in any operand of the ${calls.name} reaches what depends on it, and nothing else`, () => {
          for (const geometry of [g, depthwise]) {
            const clean = layerData(geometry, 5);
            for (const operand of ['x', 'w', 'dy'] as const) {
              const place = Math.floor(clean[operand].length / 3);
              const spoilt = withOne(clean[operand], place, bad);
              const x = operand === 'x' ? spoilt : clean.x;
              const w = operand === 'w' ? spoilt : clean.w;
              const dy = operand === 'dy' ? spoilt : clean.dy;
              const { operator } = calls;
              expectSameKinds(
                `y with ${operand} ${bad}`,
                calls.forward(device, geometry, x, w),
                forwardSums(geometry, operator.forward, x, w).values,
              );
              expectSameKinds(
                `dx with ${operand} ${bad}`,
                calls.byInput(device, geometry, x, w, dy),
                inputGradientSums(geometry, operator.byInput, x, w, dy).values,
              );
              expectSameKinds(
                `dw with ${operand} ${bad}`,
                calls.byWeight(device, geometry, x, w, dy),
                weightGradientSums(geometry, operator.byWeight, x, w, dy).values,
              );
            }
          }
        });
      }

      it(`${bad} in a factor of a matrix product reaches its row or column, and nothing else`, () => {
        for (const shape of [
          { batch: 3, rows: 17, columns: 35, depth: 19 },
          { batch: 2, rows: 3, columns: 21, depth: 5 },
          { rows: 150, columns: 131, depth: 70 },
        ])
          for (const transpose of [false, true]) {
            const product = { ...plainProduct, ...shape, transposeA: transpose, transposeB: transpose };
            const clean = operands(product, 5);
            for (const factor of ['a', 'b'] as const) {
              const at = Math.floor(clean[factor].length / 2);
              const spoilt = { ...clean, [factor]: withOne(clean[factor], at, bad) };
              const expected = productSums(product, spoilt).values;
              expectSameKinds(`c with ${factor} ${bad}`, multiply(device, product, spoilt), expected);
            }
          }
      });

      it(`${bad} in attention reaches its head as the definition says, and no other`, () => {
        const attention = {
          batch: 2,
          heads: 2,
          queries: 35,
          keys: 140,
          headChannels: 5,
          valueChannels: 7,
          causal: false,
          scale: 0.4,
          keyCounts: undefined,
        };
        const clean = attentionOperands(attention, 5);
        for (const operand of ['q', 'k', 'v', 'dy'] as const) {
          const at = Math.floor(clean[operand].length / 3);
          const spoilt = { ...clean, [operand]: withOne(clean[operand], at, bad) };
          const actual = attend(device, attention, spoilt);
          const expected = attentionSums(attention, spoilt);
          for (const result of ['y', 'dq', 'dk', 'dv'] as const)
            expectSameKinds(`${result} with ${operand} ${bad}`, actual[result], expected[result].values);
        }
      });

      it(`${bad} in batch normalisation stays in its channel`, () => {
        const [rows, channels, at] = [9, 21, 4 * 21 + 18];
        const x = withOne(normals(rows * channels, 'x'), at, bad);
        const ones = new Float32Array(channels).fill(1);
        const zeros = new Float32Array(channels);
        const inChannel = Array.from(ones, (_, c) => (c === at % channels ? NaN : 0));
        for (const relu of [false, true]) {
          const form = { rows, channels, relu, epsilon: 0 };
          const [mean, variance, y] = withBuffers(device, (buffers) => {
            const outputs = [channels, channels, x.length].map((length) => buffers.output(length)) as [
              Float32Array,
              Float32Array,
              Float32Array,
            ];
            const [values, one, zero] = [buffers.input(x), buffers.input(ones), buffers.input(zeros)];
            kernels.batchNorm(form, values, one, zero, ...outputs);
            return outputs;
          });
          expectSameKinds('mean', mean, inChannel);
          expectSameKinds('variance', variance, inChannel);
          expectSameKinds(
            'y',
            y,
            Array.from(x, (_, i) => inChannel[i % channels]!),
          );
        }

        // With gamma 1 and variance 1, a shift of 100 either way opens or closes every unit.
        const gradients = (relu: boolean, beta: number): Float32Array[] =>
          withBuffers(device, (buffers) => {
            const [dx, dgamma, dbeta] = [x.length, channels, channels].map((length) =>
              buffers.output(length),
            );
            kernels.batchNormGradient(
              { rows, channels, relu, epsilon: 0 },
              buffers.input(normals(x.length, 'finite x')),
              buffers.input(x),
              buffers.input(zeros),
              buffers.input(ones),
              buffers.input(ones),
              buffers.input(ones.map(() => beta)),
              dx!,
              dgamma!,
              dbeta!,
            );
            return [dx!, dgamma!, dbeta!];
          });
        const everywhere = Array.from(x, (_, i) => inChannel[i % channels]!);
        for (const relu of [false, true]) {
          const [dx, dgamma, dbeta] = gradients(relu, 100);
          expectSameKinds('dx', dx!, everywhere);
          expectSameKinds('dgamma', dgamma!, inChannel);
          expectSameKinds('dbeta', dbeta!, inChannel);
        }
        // A unit that is off passes no slope, whatever the slope.
        for (const result of gradients(true, -100)) expect(result.every((value) => value === 0)).toBe(true);
      });

      it(`${bad} in elementwise ops stays where it is`, () => {
        const length = 37;
        const zeros = new Float32Array(length);
        for (const at of [0, 16, 36]) {
          const x = withOne(new Float32Array(length).fill(0.5), at, bad);
          const cut = (value: number): number => (value < 0 ? 0 : value);
          const isBad = Float64Array.from(x);
          const isBadCut = isBad.map(cut);
          const one = Float32Array.of(1);
          const zero = Float32Array.of(0);

          expectSameValue(
            'relu',
            use(length, (buffers, y) => kernels.relu(buffers.input(x), y)),
            isBadCut,
          );
          for (const relu of [false, true]) {
            const wanted = relu ? isBadCut : isBad;
            const sum = use(length, (buffers, y) =>
              kernels.add(relu, buffers.input(zeros), buffers.input(x), y),
            );
            const other = use(length, (buffers, y) =>
              kernels.add(relu, buffers.input(x), buffers.input(zeros), y),
            );
            const map = use(length, (buffers, y) =>
              kernels.channelAffine(
                length,
                1,
                relu,
                buffers.input(x),
                buffers.input(one),
                buffers.input(zero),
                y,
              ),
            );
            const wide = use(length, (buffers, y) =>
              kernels.channelAffine(
                1,
                length,
                relu,
                buffers.input(x),
                buffers.input(zeros.map(() => 1)),
                buffers.input(zeros),
                y,
              ),
            );
            for (const y of [sum, other, map, wide]) expectSameValue('sum', y, wanted);
          }
          const on = new Float32Array(length).fill(2);
          expectSameValue(
            'open relu',
            use(length, (buffers, dx) => kernels.reluGradient(buffers.input(on), buffers.input(x), dx)),
            isBad,
          );
          const off = withOne(on, at, 0);
          const masked = isBad.map((value, i) => (i === at ? 0 : value));
          expectSameValue(
            'closed relu',
            use(length, (buffers, dx) => kernels.reluGradient(buffers.input(off), buffers.input(x), dx)),
            masked,
          );
          expectSameValue(
            'axpy',
            update(zeros, (buffers, y) => kernels.axpy(1, buffers.input(x), y)),
            isBad,
          );
          expectSameValue(
            'axpy',
            update(x, (buffers, y) => kernels.axpy(1, buffers.input(zeros), y)),
            isBad,
          );
          expectSameValue(
            'scale',
            update(x, (_, y) => kernels.scale(1, y)),
            isBad,
          );
          const squares = withBuffers(device, (buffers) => kernels.sumOfSquares(buffers.input(x)));
          expect(squares).toBe(Number.isNaN(bad) ? NaN : Infinity);
        }
      });

      it(`${bad} in pooling stays in its image and channel`, () => {
        const [batch, positions, channels] = [3, 10, 18];
        const x = withOne(
          normals(batch * positions * channels, 'x'),
          positions * channels + 3 * channels + 17,
          bad,
        );
        const y = use(batch * channels, (buffers, out) =>
          kernels.globalAveragePool(batch, positions, channels, buffers.input(x), out),
        );
        expectSameKinds(
          'y',
          y,
          Array.from(y, (_, at) => (at === channels + 17 ? bad : 0)),
        );
        const dx = use(x.length, (buffers, out) =>
          kernels.globalAveragePoolGradient(batch, positions, channels, buffers.input(y), out),
        );
        expectSameKinds(
          'dx',
          dx,
          Array.from(dx, (_, at) =>
            Math.floor(at / (positions * channels)) === 1 && at % channels === 17 ? bad : 0,
          ),
        );
      });

      it(`${bad} in the optimiser step stays in its weight`, () => {
        const length = 37;
        const step = (weight: Numbers, gradient: Numbers, velocity: Numbers): [Float32Array, Float32Array] =>
          withBuffers(device, (buffers) => {
            const [w, v] = [buffers.updated(weight), buffers.updated(velocity)];
            const g = buffers.input(gradient);
            kernels.sgdSteps(0.1, 0.9, false, [
              { weight: w, gradient: g, velocity: v, weightDecay: 1e-4, gradientScale: 1 },
            ]);
            return [w, v];
          });
        const plain = normals(length, 'plain');
        for (const at of [0, 17, 36]) {
          const spoilt = withOne(plain, at, bad);
          const expected = Array.from(plain, (_, i) => (i === at ? bad : 0));
          for (const [w, v] of [
            step(spoilt, plain, plain),
            step(plain, spoilt, plain),
            step(plain, plain, spoilt),
          ]) {
            expectSameKinds('weight', w, expected);
            expectSameKinds('velocity', v, expected);
          }
        }
      });

      it(`${bad} in a step of AdamW stays in its weight`, () => {
        const length = 37;
        const plain = normals(length, 'plain').map(Math.abs);
        const names = ['weight', 'gradient', 'mean', 'square'] as const;
        for (const at of [0, 17, 36]) {
          for (const name of names) {
            const item = withBuffers(device, (buffers) => {
              const [weight, gradient, mean, square] = names.map((each) =>
                buffers.updated(each === name ? withOne(plain, at, bad) : plain),
              ) as [Float32Array, Float32Array, Float32Array, Float32Array];
              const made = { weight, gradient, mean, square, weightDecay: 0.1, gradientScale: 1, step: 3 };
              kernels.adamWSteps(0.1, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, [made]);
              return made;
            });
            // A step divides by the root of the square: an infinite one makes no step, two make one that is NaN.
            const reaches = name !== 'square' || !(bad > 0);
            const expected = Array.from(plain, (_, i) => (i === at && reaches ? bad : 0));
            expectSameKinds(`weight with ${name}`, item.weight, expected);
          }
        }
      });
    }

    it.each([NaN, Infinity])('%s in a row of a softmax spoils that row', (bad) => {
      const [rows, columns] = [4, 37];
      for (const logarithm of [false, true])
        for (const column of [0, 17, 36]) {
          const inRow = Array.from({ length: rows * columns }, (_, at) =>
            Math.floor(at / columns) === 2 ? bad : 0,
          );
          const x = withOne(normals(rows * columns, 'x'), 2 * columns + column, bad);
          expectSameKinds('y', softmaxRows(device, columns, logarithm, x), inRow);
          const y = softmaxRows(device, columns, logarithm, normals(x.length, 'y'));
          expectSameKinds('dx', softmaxRowGradients(device, columns, logarithm, y, x), inRow);
        }
    });

    it('minus infinity takes no part in a softmax', () => {
      const x = [1, -Infinity, 1, -Infinity];
      expectSameValue('y', softmaxRows(device, 4, false, x), [0.5, 0, 0.5, 0]);
      expectSameValue('y', softmaxRows(device, 2, false, [-Infinity, -Infinity]), [NaN, NaN]);
    });

    it.each([NaN, Infinity])('%s among the logits spoils its image and no other', (bad) => {
      const [batch, classes] = [4, 21];
      for (const column of [0, 7, 20]) {
        const logits = withOne(normals(batch * classes, 'logits'), 2 * classes + column, bad);
        const losses = use(batch, (buffers, out) => {
          const dlogits = buffers.output(logits.length);
          const labels = Int32Array.of(3, 20, 7, 0);
          kernels.softmaxCrossEntropy(batch, classes, 0.1, buffers.input(logits), labels, out, dlogits);
          expectSameKinds(
            'dlogits outside the image',
            dlogits.filter((_, at) => Math.floor(at / classes) !== 2),
            new Float32Array(3 * classes),
          );
          expect(dlogits.subarray(2 * classes, 3 * classes).some((slope) => !Number.isFinite(slope))).toBe(
            true,
          );
        });
        expectSameKinds('losses', losses, [0, 0, bad, 0]);
      }
    });

    it.each([NaN, Infinity, -Infinity])('%s among logits or soft targets spoils its image alone', (bad) => {
      const [batch, classes] = [4, 21];
      const plain = normals(batch * classes, 'soft').map(Math.abs);
      for (const column of [0, 7, 20]) {
        const spoilt = withOne(plain, 2 * classes + column, bad);
        for (const [logits, targets] of [
          [spoilt, plain],
          [plain, spoilt],
        ] as const) {
          const losses = use(batch, (buffers, out) => {
            const dlogits = buffers.output(plain.length);
            const [z, q] = [buffers.input(logits), buffers.input(targets)];
            kernels.softTargetCrossEntropy(batch, classes, z, q, out, dlogits);
            const others = dlogits.filter((_, at) => Math.floor(at / classes) !== 2);
            expectSameKinds('dlogits outside the image', others, new Float32Array(3 * classes));
          });
          expectSameKinds('losses', losses, [0, 0, bad, 0]);
        }
      }
    });
  });
}

/** Throws unless equal as numbers, NaN equal to itself. */
function expectSameValue(what: string, actual: Float32Array, expected: Numbers): void {
  expect([what, ...Array.from(actual, (value) => value + 0)]).toEqual([what, ...Array.from(expected)]);
}
