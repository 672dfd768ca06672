/**
 * @file Plain float64 definitions of the layers we export, NCHW, and the comparison with what a runtime computed.
 * Tests only.
 */
import { expect } from 'vitest';
import { sizeOf } from '../../tensor/shape.js';
import type { FilterGeometry } from './layers.js';

export interface Value {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number>;
}

/** Sum of `tap(x, w)` over the patch and the channels of the group; weights [kernel, kernel, in / groups, out]. */
export function filterDefinition(
  x: Value,
  weights: ArrayLike<number>,
  geometry: FilterGeometry,
  tap: (x: number, w: number) => number,
): Value {
  const { inChannels, outChannels, kernel, stride, padding, groups } = geometry;
  const [batch, , height, width] = x.dims as [number, number, number, number];
  const outHeight = Math.floor((height + 2 * padding - kernel) / stride) + 1;
  const outWidth = Math.floor((width + 2 * padding - kernel) / stride) + 1;
  const perGroup = inChannels / groups;
  const data: number[] = [];
  for (let n = 0; n < batch; n++)
    for (let out = 0; out < outChannels; out++)
      for (let row = 0; row < outHeight; row++)
        for (let column = 0; column < outWidth; column++) {
          const firstChannel = Math.floor(out / (outChannels / groups)) * perGroup;
          let sum = 0;
          for (let u = 0; u < kernel; u++)
            for (let v = 0; v < kernel; v++)
              for (let c = 0; c < perGroup; c++) {
                const i = row * stride - padding + u;
                const j = column * stride - padding + v;
                const inside = i >= 0 && i < height && j >= 0 && j < width;
                const at = ((n * inChannels + firstChannel + c) * height + i) * width + j;
                sum += tap(
                  inside ? x.data[at]! : 0,
                  weights[((u * kernel + v) * perGroup + c) * outChannels + out]!,
                );
              }
          data.push(sum);
        }
  return { dims: [batch, outChannels, outHeight, outWidth], data };
}

/** `f(value, channel)` of every element of [N, C, ...]. */
export function perChannelDefinition(x: Value, f: (value: number, channel: number) => number): Value {
  const [, channels, ...rest] = x.dims as [number, number, ...number[]];
  const positions = sizeOf(rest);
  return {
    dims: x.dims,
    data: Array.from(x.data, (value, at) => f(value, Math.floor(at / positions) % channels)),
  };
}

/** [N, C, H, W] -> [N, C, 1, 1], the mean over the positions. */
export function averageDefinition(x: Value): Value {
  const [batch, channels, height, width] = x.dims as [number, number, number, number];
  const positions = height * width;
  const mean = (plane: number) =>
    Array.from(x.data)
      .slice(plane * positions, (plane + 1) * positions)
      .reduce((sum, value) => sum + value, 0) / positions;
  return {
    dims: [batch, channels, 1, 1],
    data: Array.from({ length: batch * channels }, (_, plane) => mean(plane)),
  };
}

/** [N, in] times [in, out] plus bias. */
export function linearDefinition(x: Value, weights: ArrayLike<number>, bias: ArrayLike<number>): Value {
  const outputs = bias.length;
  const inputs = weights.length / outputs;
  const batch = x.data.length / inputs;
  const data = Array.from({ length: batch * outputs }, (_, at) => {
    const row = Math.floor(at / outputs) * inputs;
    let sum = bias[at % outputs]!;
    for (let i = 0; i < inputs; i++) sum += x.data[row + i]! * weights[i * outputs + (at % outputs)]!;
    return sum;
  });
  return { dims: [batch, outputs], data };
}

/** Asserts equal shapes, and values within `tolerance` of the largest expected one. */
export function expectClose(actual: Value | undefined, expected: Value, tolerance = 1e-5): void {
  expect(actual?.dims).toEqual(expected.dims);
  const scale = Math.max(...Array.from(expected.data, Math.abs));
  const errors = Array.from(expected.data, (value, at) => Math.abs(actual!.data[at]! - value));
  // `every`, not a maximum: a NaN must fail.
  expect(
    errors.every((error) => error <= tolerance * scale),
    `largest error ${Math.max(...errors)} of ${scale}`,
  ).toBe(true);
}
