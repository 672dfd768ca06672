/**
 * @file Rows of the general elementwise kernels: functions of one variable, of two with broadcasting, and reductions.
 */
import { kernels } from '../../src/tensor/device.js';
import type { ReductionForm } from '../../src/tensor/kernels.js';
import { BinaryKind, slopeNeedsValue, UnaryKind } from '../../src/tensor/kinds.js';
import { Bound, type BenchCase } from './case.js';
import { input } from './inputs.js';
import { traffic } from './traffic.js';

const [rows, channels] = [128 * 32 * 32, 16];
const length = rows * channels;
const shape = '128 x 32x32x16';

export function functionCases(): readonly BenchCase[] {
  return [
    ...[UnaryKind.Gelu, UnaryKind.Silu, UnaryKind.Sigmoid, UnaryKind.Tanh].flatMap((kind) => [
      unary(kind),
      unaryGradient(kind),
    ]),
    byChannel(BinaryKind.Add),
    byChannel(BinaryKind.Multiply),
    byImageAndChannel(),
    reduction('sum-of-images', 'sum', { outer: 1, reduced: rows, inner: channels }),
    reduction('sum-of-maps', 'sum', { outer: 128, reduced: 1024, inner: channels }),
    reduction('sum-of-rows', 'sum', { outer: length / 1024, reduced: 1024, inner: 1 }),
    reduction('maximum-of-rows', 'max', { outer: length / 1024, reduced: 1024, inner: 1 }),
  ];
}

function unary(kind: UnaryKind): BenchCase {
  return {
    name: kind,
    group: 'functions',
    shape,
    work: traffic(length, 2),
    peer: { kind: 'unary', op: kind, pass: 'forward', length },
    build() {
      const [x, y] = [input(length, 1), kernels().allocate(length)];
      return { run: () => kernels().unary(kind, 0, 0, x, y), outputs: () => [y] };
    },
  };
}

function unaryGradient(kind: UnaryKind): BenchCase {
  return {
    name: `${kind}-gradient`,
    group: 'functions',
    shape,
    work: traffic(length, 3),
    peer: { kind: 'unary', op: kind, pass: 'gradient', length },
    build() {
      const [x, dy, dx] = [input(length, 1), input(length, 2), kernels().allocate(length)];
      if (slopeNeedsValue(kind)) kernels().unary(kind, 0, 0, x, x);
      return { run: () => kernels().unaryGradient(kind, 0, 0, x, dy, dx), outputs: () => [dx] };
    },
  };
}

/** x [rows, channels] with b [channels]. */
function byChannel(kind: BinaryKind): BenchCase {
  const axes = [
    { extent: rows, a: true, b: false },
    { extent: channels, a: true, b: true },
  ];
  return {
    name: `broadcast-${kind}-channel`,
    group: 'broadcasting',
    shape: `${shape}, [16]`,
    work: traffic(length, 2),
    peer: { kind: 'broadcast', op: kind, shape: [rows, channels], other: [1, channels] },
    build() {
      const [a, b, y] = [input(length, 1), input(channels, 2), kernels().allocate(length)];
      return { run: () => kernels().binary(kind, axes, a, b, y), outputs: () => [y] };
    },
  };
}

/** Squeeze and excitation: x [images, positions, channels] times b [images, 1, channels]. */
function byImageAndChannel(): BenchCase {
  const axes = [
    { extent: 128, a: true, b: true },
    { extent: 1024, a: true, b: false },
    { extent: channels, a: true, b: true },
  ];
  return {
    name: 'broadcast-mul-excitation',
    group: 'broadcasting',
    shape: `${shape}, [128, 1, 16]`,
    work: traffic(length, 2),
    peer: { kind: 'broadcast', op: 'mul', shape: [128, 1024, channels], other: [128, 1, channels] },
    build() {
      const [a, b, y] = [input(length, 1), input(128 * channels, 2), kernels().allocate(length)];
      return { run: () => kernels().binary(BinaryKind.Multiply, axes, a, b, y), outputs: () => [y] };
    },
  };
}

function reduction(name: string, op: 'sum' | 'max', form: ReductionForm): BenchCase {
  const { outer, reduced, inner } = form;
  return {
    name,
    group: 'reductions',
    shape: `[${outer}, ${reduced}, ${inner}] over the middle`,
    work: [{ bound: Bound.Memory, amount: 4 * length, footprint: 4 * length }],
    peer: { kind: 'reduction', op, outer, reduced, inner },
    build() {
      const [x, y] = [input(length, 1), kernels().allocate(outer * inner)];
      const run = (): void =>
        op === 'sum' ? kernels().reduceSum(form, 1, x, y) : kernels().reduceMaximum(form, x, y);
      return { run, outputs: () => [y] };
    },
  };
}
