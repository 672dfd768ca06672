/**
 * @file What tests of families with several planes share. Tests only.
 */
import { contribute, record, Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { OperatorFamily } from './contract.js';

/** Stored values of weights, given those of each weight: planes behind each other. */
export function planesOf(weights: readonly (readonly number[])[]): Float32Array {
  const planes = weights[0]!.length;
  return Float32Array.from({ length: planes * weights.length }, (_, at) => {
    const plane = Math.floor(at / weights.length);
    return weights[at % weights.length]![plane]!;
  });
}

/** The value computed with, of one weight. */
export const effectiveOne = (family: OperatorFamily, ...stored: readonly number[]): number =>
  family.effectiveWeights(Float32Array.from(stored))[0]!;

/** All rows of `length` values out of `values`. */
export function tuples(values: readonly number[], length: number): readonly (readonly number[])[] {
  if (length === 0) return [[]];
  return tuples(values, length - 1).flatMap((row) => values.map((value) => [...row, value]));
}

/** d y / d stored of a 1x1 layer of one weight at input 1, where y is the weight. */
export function slopesOfOne(family: OperatorFamily, ...stored: readonly number[]): readonly number[] {
  const geometry = { inChannels: 1, outChannels: 1, kernel: 1, stride: 1, padding: 0, groups: 1 };
  const weights = Tensor.persistent([stored.length, 1, 1, 1, 1], stored, true);
  const { value, tape } = Tape.record(() => {
    const y = family.forward(Tensor.view([1, 1, 1, 1], Float32Array.of(1)), weights, geometry);
    return record(
      'only',
      [y],
      [1],
      (out) => out.set(y.data),
      (dy) => contribute(y, (gradient) => gradient.set(dy)),
    );
  });
  tape.backward(value);
  const slopes = [...weights.gradient!];
  weights.dispose();
  return slopes;
}

/** Central differences of f at a point, in float64. */
export const differences = (
  f: (...at: readonly number[]) => number,
  ...at: readonly number[]
): readonly number[] => {
  const h = 1e-6;
  const moved = (axis: number, by: number): readonly number[] => at.map((v, i) => (i === axis ? v + by : v));
  return at.map((_, axis) => (f(...moved(axis, h)) - f(...moved(axis, -h))) / (2 * h));
};

/** Values and how often each comes, in order. */
export function histogram(values: Iterable<number>): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return new Map([...counts].sort(([a], [b]) => a - b));
}
