/**
 * @file Rows of the kernels that walk through memory: batch norm, layer norm, elementwise, loss, rounding, optimiser.
 */
import { parameterLengths } from './networks.js';
import { kernels } from '../../src/tensor/device.js';
import type { BenchCase, Subject, Work } from './case.js';
import { input } from './inputs.js';
import { traffic } from './traffic.js';

/** Activations of the first stage of ResNet-20 at batch 128: 8 MiB. */
const activations = 128 * 32 * 32 * 16;
const activationsText = '128 x 32x32x16';

export function rowCases(): readonly BenchCase[] {
  return [
    batchNorm(false),
    batchNorm(true),
    layerNorm(),
    elementwise('relu', traffic(activations, 2), () => {
      const [x, y] = [input(activations, 1), kernels().allocate(activations)];
      return { run: () => kernels().relu(x, y), outputs: () => [y] };
    }),
    elementwise('relu-gradient', traffic(activations, 3), () => {
      const [y, dy, dx] = [input(activations, 1), input(activations, 2), kernels().allocate(activations)];
      return { run: () => kernels().reluGradient(y, dy, dx), outputs: () => [dx] };
    }),
    elementwise('add', traffic(activations, 3), () => addition(false)),
    elementwise('add-relu', traffic(activations, 3), () => addition(true)),
    elementwise('axpy', traffic(activations, 2, 3), () => {
      const [x, y] = [input(activations, 1), input(activations, 3)];
      return { run: () => kernels().axpy(1e-9, x, y) };
    }),
    elementwise('scale', traffic(activations, 1, 2), () => {
      const x = input(activations, 3);
      return { run: () => kernels().scale(1, x) };
    }),
    elementwise('sum-of-squares', traffic(activations, 1), () => {
      const [x, sum] = [input(activations, 1), new Float32Array(1)];
      return { run: () => void (sum[0] = kernels().sumOfSquares(x)), outputs: () => [sum] };
    }),
    {
      name: 'call-overhead',
      group: 'elementwise',
      shape: 'relu of 64 values',
      work: [],
      peer: { kind: 'elementwise', op: 'relu', length: 64 },
      build() {
        const [x, y] = [input(64, 1), kernels().allocate(64)];
        return { run: () => kernels().relu(x, y), outputs: () => [y] };
      },
    },
    oddTable(false),
    oddTable(true),
    ...[
      [128, 10],
      [128, 1000],
    ].map(([batch, classes]) => crossEntropy(batch as number, classes as number)),
    powerOfTwo('power-of-two', activations, activationsText),
    powerOfTwo('power-of-two-3x3', 9 * 64 * 64, 'weights 3x3x64x64'),
    ...optimiserSteps(),
  ];
}

function elementwise(name: string, work: readonly Work[], build: () => Subject): BenchCase {
  const op = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
  return {
    name,
    group: 'elementwise',
    shape: activationsText,
    work,
    peer: { kind: 'elementwise', op, length: activations },
    build,
  };
}

/** An odd function by a table, which PyTorch has no counterpart of. */
function oddTable(gradient: boolean): BenchCase {
  return {
    name: gradient ? 'odd-table-gradient' : 'odd-table',
    group: 'elementwise',
    shape: activationsText,
    work: traffic(activations, gradient ? 3 : 2),
    build() {
      const [x, dy, y] = [input(activations, 1), input(activations, 2), kernels().allocate(activations)];
      const table = { pointsPerUnit: 512, values: input(4097, 3), slopes: input(4097, 4) };
      if (gradient) return { run: () => void kernels().oddTableGradient(table, 1, 1, x, dy, y) };
      return { run: () => kernels().oddTable(table, 1, 1, x, y) };
    },
  };
}

function addition(relu: boolean): Subject {
  const [a, b, y] = [input(activations, 1), input(activations, 2), kernels().allocate(activations)];
  return { run: () => kernels().add(relu, a, b, y), outputs: () => [y] };
}

/** Training: normalisation by the batch forward, all three gradients backward. */
function batchNorm(relu: boolean): BenchCase {
  const [batch, channels] = [64, 64];
  const form = { rows: batch * 32 * 32, channels, relu, epsilon: 1e-5 };
  const length = form.rows * channels;
  return {
    name: relu ? 'batchnorm-relu' : 'batchnorm',
    group: 'normalisation',
    shape: '64 x 32x32x64, forward + backward',
    // Forward reads x twice and writes y; backward reads x and dy twice and writes dx.
    work: traffic(length, 4, 8),
    headline: !relu,
    peer: { kind: 'batchNorm', batch, rows: form.rows, channels, relu },
    build() {
      const device = kernels();
      const [x, dy, gamma, beta] = [
        input(length, 1),
        input(length, 2),
        input(channels, 3),
        input(channels, 4),
      ];
      const [y, dx] = [device.allocate(length), device.allocate(length)];
      const small = (): Float32Array => device.allocate(channels);
      const [mean, variance, dgamma, dbeta] = [small(), small(), small(), small()];
      return {
        run() {
          device.batchNorm(form, x, gamma, beta, mean, variance, y);
          device.batchNormGradient(form, x, dy, mean, variance, gamma, beta, dx, dgamma, dbeta);
        },
        outputs: () => [y, dx, dgamma, dbeta],
      };
    },
  };
}

/** A transformer's rows: forward, and all three gradients backward. */
function layerNorm(): BenchCase {
  const form = { rows: 8192, channels: 256, relu: false, epsilon: 1e-5 };
  const { rows, channels } = form;
  const length = rows * channels;
  return {
    name: 'layernorm',
    group: 'normalisation',
    shape: `${rows} x ${channels}, forward + backward`,
    work: traffic(length, 4, 5),
    peer: { kind: 'layerNorm', rows, channels },
    build() {
      const device = kernels();
      const [x, dy, gamma, beta] = [
        input(length, 1),
        input(length, 2),
        input(channels, 3),
        input(channels, 4),
      ];
      const [y, dx] = [device.allocate(length), device.allocate(length)];
      const [mean, inverseStd] = [device.allocate(rows), device.allocate(rows)];
      const [dgamma, dbeta] = [device.allocate(channels), device.allocate(channels)];
      return {
        run() {
          device.layerNorm(form, x, gamma, beta, mean, inverseStd, y);
          device.layerNormGradient(form, x, dy, mean, inverseStd, gamma, beta, dx, dgamma, dbeta);
        },
        outputs: () => [y, dx, dgamma, dbeta],
      };
    },
  };
}

function crossEntropy(batch: number, classes: number): BenchCase {
  const smoothing = 0.1;
  return {
    name: `cross-entropy-${classes}`,
    group: 'loss',
    shape: `${batch} x ${classes} classes, loss + gradient`,
    work: traffic(batch * classes, 2),
    peer: { kind: 'crossEntropy', batch, classes, smoothing },
    build() {
      const logits = input(batch * classes, 1);
      const labels = Int32Array.from({ length: batch }, (_, n) => n % classes);
      const [losses, dlogits] = [kernels().allocate(batch), kernels().allocate(batch * classes)];
      return {
        run: () => kernels().softmaxCrossEntropy(batch, classes, smoothing, logits, labels, losses, dlogits),
        outputs: () => [dlogits],
      };
    },
  };
}

function powerOfTwo(name: string, length: number, shape: string): BenchCase {
  const [minExponent, maxExponent] = [-15, 0];
  return {
    name,
    group: 'weights',
    shape,
    work: traffic(length, 2),
    peer: { kind: 'powerOfTwo', length, minExponent, maxExponent },
    build() {
      const [w, q] = [input(length, 1), kernels().allocate(length)];
      return { run: () => kernels().powerOfTwo(minExponent, maxExponent, w, q), outputs: () => [q] };
    },
  };
}

/** One optimiser step over every parameter of ResNet-20. */
function optimiserSteps(): readonly BenchCase[] {
  const lengths = parameterLengths();
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const weightDecay = 1e-4;
  const common = {
    group: 'optimiser',
    shape: `ResNet-20, ${lengths.length} tensors, ${total} values`,
  };
  const state = (length: number, i: number) => ({
    weight: input(length, 1 + i),
    gradient: input(length, 1001 + i),
    weightDecay,
    gradientScale: 1,
  });
  return [
    {
      ...common,
      name: 'sgd-step',
      work: traffic(total, 3, 5),
      peer: { kind: 'optimiser', op: 'sgd', lengths },
      build() {
        const items = lengths.map((length, i) => ({
          ...state(length, i),
          velocity: kernels().allocate(length),
        }));
        return { run: () => kernels().sgdSteps(1e-5, 0.9, false, items) };
      },
    },
    {
      ...common,
      name: 'adamw-step',
      work: traffic(total, 4, 7),
      peer: { kind: 'optimiser', op: 'adamw', lengths },
      build() {
        const items = lengths.map((length, i) => ({
          ...state(length, i),
          mean: kernels().allocate(length),
          square: kernels().allocate(length),
          step: 10,
        }));
        const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
        return { run: () => kernels().adamWSteps(1e-5, options, items) };
      },
    },
  ];
}
