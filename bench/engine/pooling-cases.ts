/**
 * @file Rows of the pooling kernels: over the whole map, and over windows.
 */
import { kernels } from '../../src/tensor/device.js';
import type { PoolGeometry } from '../../src/tensor/kernels.js';
import { Bound, type BenchCase } from './case.js';
import { input } from './inputs.js';
import { traffic } from './traffic.js';

export function poolingCases(): readonly BenchCase[] {
  return [...globalAveragePool(), ...overWindows('max'), ...overWindows('average')];
}

function globalAveragePool(): readonly BenchCase[] {
  const [batch, side, channels] = [128, 8, 64];
  const length = batch * side * side * channels;
  const common = {
    group: 'pooling',
    shape: `${batch} x ${side}x${side}x${channels}`,
    work: traffic(length, 1),
  };
  return [
    {
      ...common,
      name: 'global-average-pool',
      peer: { kind: 'globalAveragePool', pass: 'forward', batch, side, channels },
      build() {
        const [x, y] = [input(length, 1), kernels().allocate(batch * channels)];
        return {
          run: () => kernels().globalAveragePool(batch, side * side, channels, x, y),
          outputs: () => [y],
        };
      },
    },
    {
      ...common,
      name: 'global-average-pool-gradient',
      peer: { kind: 'globalAveragePool', pass: 'inputGradient', batch, side, channels },
      build() {
        const [dy, dx] = [input(batch * channels, 2), kernels().allocate(length)];
        return {
          run: () => kernels().globalAveragePoolGradient(batch, side * side, channels, dy, dx),
          outputs: () => [dx],
        };
      },
    },
  ];
}

/** Windows of 3x3 with stride 2 and padding 1, as after the first layer of an ImageNet network. */
function overWindows(kind: 'max' | 'average'): readonly BenchCase[] {
  const [batch, side, channels] = [64, 56, 64];
  const out = side / 2;
  const g: PoolGeometry = {
    batch,
    inHeight: side,
    inWidth: side,
    channels,
    outHeight: out,
    outWidth: out,
    kernelHeight: 3,
    kernelWidth: 3,
    strideHeight: 2,
    strideWidth: 2,
    padTop: 1,
    padLeft: 1,
  };
  const [inputs, outputs] = [batch * side * side * channels, batch * out * out * channels];
  const common = { group: 'pooling', shape: `${batch} x ${side}x${side}x${channels} 3x3 s2` };
  const peer = { kind: 'pool', op: kind, batch, side, channels };
  // The gradient of the maximum reads x and y to find where it was.
  const gradientValues = kind === 'max' ? 2 * inputs + 2 * outputs : inputs + outputs;
  return [
    {
      ...common,
      name: `${kind}-pool`,
      work: bytes(inputs + outputs),
      peer: { ...peer, pass: 'forward' },
      build() {
        const [device, x, y] = [kernels(), input(inputs, 1), kernels().allocate(outputs)];
        const run = (): void =>
          kind === 'max' ? device.maxPool(g, x, y) : device.averagePool(g, true, x, y);
        return { run, outputs: () => [y] };
      },
    },
    {
      ...common,
      name: `${kind}-pool-gradient`,
      work: bytes(gradientValues),
      peer: { ...peer, pass: 'inputGradient' },
      build() {
        const [device, dy, dx] = [kernels(), input(outputs, 2), kernels().allocate(inputs)];
        if (kind === 'average')
          return { run: () => device.averagePoolGradient(g, true, dy, dx), outputs: () => [dx] };
        const [x, y] = [input(inputs, 1), device.allocate(outputs)];
        device.maxPool(g, x, y);
        return { run: () => device.maxPoolGradient(g, x, y, dy, dx), outputs: () => [dx] };
      },
    },
  ];
}

function bytes(values: number): BenchCase['work'] {
  return [{ bound: Bound.Memory, amount: 4 * values, footprint: 4 * values }];
}
