/**
 * @file What conversions learn from calibration images: the range of a layer's inputs, and X'X of its windows.
 *
 * A layer is observed by a form that looks at its input and computes as before, so the network itself says what arrives
 * where, with whatever forms the layers before it have by then.
 */
import type { LayerForm } from '../nn/module.js';
import { WindowSum, type LayerGeometry } from '../operators/contract.js';
import { kernels } from '../tensor/device.js';
import { release, take } from '../tensor/pool.js';
import type { Tensor } from '../tensor/tensor.js';
import { outputSize } from './integers.js';
import type { NetworkLayer } from './layers.js';

/** Runs the calibration images through the network in evaluation mode, batch by batch. */
export type CalibrationPass = () => void;

/** Runs `pass` while `see` is shown every input of each of the layers. */
function observe(
  layers: readonly NetworkLayer[],
  pass: CalibrationPass,
  see: (layer: NetworkLayer, x: Tensor) => void,
): void {
  const before = layers.map(({ form }) => form);
  layers.forEach((layer, i) => {
    const inner = before[i];
    const form: LayerForm = {
      forward(x, plain) {
        see(layer, x);
        return inner === undefined ? plain(x) : inner.forward(x, plain);
      },
      lower: () => {
        throw new Error('a layer under observation is not exported');
      },
    };
    layer.form = form;
  });
  try {
    pass();
  } finally {
    layers.forEach((layer, i) => (layer.form = before[i]));
  }
}

/** Inputs of one layer over all calibration images. */
export interface InputRange {
  /** The smallest value, 0 where none is negative. */
  readonly least: number;
  /** The largest magnitude. */
  readonly largest: number;
  /** The magnitude that `percent` of the values do not exceed; `largest` for 100. */
  readonly percentile: (percent: number) => number;
}

/** Values of one layer that a percentile is taken from, at most about twice as many. */
const sampled = 2 ** 17;

/** The ranges of the layers' inputs, by name. */
export function inputRanges(
  layers: readonly NetworkLayer[],
  pass: CalibrationPass,
): ReadonlyMap<string, InputRange> {
  const seen = new Map(
    layers.map(({ name }) => [name, { least: 0, largest: 0, step: 1, skip: 0, sample: [] as number[] }]),
  );
  observe(layers, pass, ({ name }, { data }) => {
    const range = seen.get(name)!;
    for (const value of data) {
      const magnitude = Math.abs(value);
      if (value < range.least) range.least = value;
      if (magnitude > range.largest) range.largest = magnitude;
      if (range.skip-- > 0) continue;
      range.skip = range.step - 1;
      range.sample.push(magnitude);
      // Every second one from now on, and of those there are.
      if (range.sample.length < 2 * sampled) continue;
      range.step *= 2;
      range.sample = range.sample.filter((_, i) => i % 2 === 0);
    }
  });
  return new Map(
    [...seen].map(([name, { least, largest, sample }]) => {
      let sorted: Float64Array | undefined;
      const percentile = (percent: number): number => {
        if (percent >= 100) return largest;
        sorted ??= Float64Array.from(sample).sort();
        return sorted[Math.min(sorted.length - 1, Math.ceil((percent / 100) * sorted.length) - 1)] ?? largest;
      };
      return [name, { least, largest, percentile }];
    }),
  );
}

/** Floats of one chunk of windows. */
const chunkFloats = 2 ** 22;

/**
 * X'X over every window of the layer's inputs, one matrix [columns, columns] for each group of channels; columns are in
 * the order of the weights: tap by tap, channel by channel.
 */
export function windowProducts(layer: NetworkLayer, pass: CalibrationPass): readonly Float64Array[] {
  const { geometry } = layer;
  const columns = (geometry.kernel ** 2 * geometry.inChannels) / geometry.groups;
  const totals = Array.from({ length: geometry.groups }, () => new Float64Array(columns * columns));
  const sum = take(columns * columns);
  const perChunk = Math.max(1, Math.floor(chunkFloats / columns));
  const windows = take(perChunk * columns);
  try {
    observe([layer], pass, (_, x) => {
      const [batch, height, width] = x.shape as [number, number, number, number];
      const map = x.shape.length === 4 ? { height, width } : { height: 1, width: 1 };
      const { outHeight, outWidth } = outputSize(map, geometry);
      const positions = batch * outHeight * outWidth;
      totals.forEach((total, group) => {
        for (let first = 0; first < positions; first += perChunk) {
          const rows = Math.min(perChunk, positions - first);
          windowsInto(windows, x.data, map, geometry, group, first, rows);
          const form = { rows: columns, columns, depth: rows, transposeA: true, transposeB: false };
          const part = windows.subarray(0, rows * columns);
          kernels().matmul({ ...form, batch: 1, sharedB: true, accumulate: false }, part, part, sum);
          for (let i = 0; i < total.length; i++) total[i]! += sum[i]!;
        }
      });
    });
  } finally {
    release(windows);
    release(sum);
  }
  return totals;
}

/** Windows of output positions first to first + rows of one group of channels, [rows, columns]; padding reads zero. */
export function windowsInto(
  windows: Float32Array,
  x: Float32Array,
  { height, width }: { readonly height: number; readonly width: number },
  geometry: LayerGeometry,
  group: number,
  first: number,
  rows: number,
): void {
  const { inChannels, kernel, stride, padding, groups } = geometry;
  const channels = inChannels / groups;
  const { outHeight, outWidth } = outputSize({ height, width }, geometry);
  let at = 0;
  for (let position = first; position < first + rows; position++) {
    const n = Math.floor(position / (outHeight * outWidth));
    const inMap = position - n * outHeight * outWidth;
    const top = Math.floor(inMap / outWidth) * stride - padding;
    const left = (inMap % outWidth) * stride - padding;
    for (let u = 0; u < kernel; u++)
      for (let v = 0; v < kernel; v++) {
        const [row, column] = [top + u, left + v];
        const inside = row >= 0 && row < height && column >= 0 && column < width;
        const from = ((n * height + row) * width + column) * inChannels + group * channels;
        for (let c = 0; c < channels; c++) windows[at++] = inside ? x[from + c]! : 0;
      }
  }
}

/** Whether a layer's correction by X'X makes sense: the error of a product is linear in that of its weight. */
export function isLinearInWeights({ windowSum }: NetworkLayer): boolean {
  return windowSum === WindowSum.Products;
}
