/**
 * @file Integer convolutions (Jacob et al., CVPR'18): weights symmetric with a scale per output channel, activations with
 * one scale per layer. Products of codes sum up in 32 bits; s_x s_w brings a sum back, and belongs to the affine of the
 * batch norm behind, which stays a float affine here.
 */
import type { LayerGeometry } from '../operators/contract.js';
import { powerOfTwoAbove, signedGrid, storableScale, unsignedGrid, type Grid } from './grid.js';
import type { ColumnQuantiser } from './optq.js';

/** Shares of the largest magnitude that are tried as the end of a filter's range. */
const rangeShares = Array.from({ length: 24 }, (_, i) => 1 - i / 40);

/**
 * For each filter the scale that leaves the least squared error: a range a little shorter than the largest weight is
 * often better at few bits, where that weight is clipped. @param weights [columns, filters]
 */
export function filterScales(
  weights: ArrayLike<number>,
  filters: number,
  bits: number,
  powerOfTwo: boolean,
): Float64Array {
  const most = 2 ** (bits - 1) - 1;
  return Float64Array.from({ length: filters }, (_, filter) => {
    let largest = 0;
    for (let i = filter; i < weights.length; i += filters) largest = Math.max(largest, Math.abs(weights[i]!));
    if (largest === 0) return 1;
    const whole = powerOfTwoAbove(largest / most);
    const candidates = powerOfTwo
      ? [whole, whole / 2, whole / 4]
      : rangeShares.map((share) => storableScale((share * largest) / most, false));
    let [best, least] = [candidates[0]!, Infinity];
    for (const scale of candidates) {
      let error = 0;
      for (let i = filter; i < weights.length; i += filters)
        error += (weights[i]! - scale * weightCode(weights[i]!, scale, most)) ** 2;
      if (error < least) [best, least] = [scale, error];
    }
    return best;
  });
}

function weightCode(weight: number, scale: number, most: number): number {
  return Math.max(-most, Math.min(most, Math.round(weight / scale)));
}

/** Weights to symmetric integers under these scales; `codes` [columns, filters] is filled column by column. */
export function integerQuantiser(scales: Float64Array, bits: number, codes: Int8Array): ColumnQuantiser {
  const most = 2 ** (bits - 1) - 1;
  const filters = scales.length;
  return {
    quantise(column, values, result) {
      for (let f = 0; f < filters; f++) {
        const code = weightCode(values[f]!, scales[f]!, most);
        codes[column * filters + f] = code;
        result[f] = scales[f]! * code;
      }
    },
  };
}

/** The grid of a layer's inputs: codes of 0 to 2^bits - 1 where none is negative, else two's complement. */
export function activationGrid(
  range: { readonly least: number; readonly largest: number },
  bits: number,
  powerOfTwo: boolean,
): Grid {
  const signed = range.least < 0;
  const steps = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const scale = storableScale(range.largest / steps, powerOfTwo);
  return signed ? signedGrid(scale, bits) : unsignedGrid(scale, bits);
}

/** Input of an integer layer: codes [batch, height, width, in]. */
export interface IntegerInput {
  readonly codes: Int32Array;
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/** Height and width of a layer's output. */
export function outputSize(
  { height, width }: Pick<IntegerInput, 'height' | 'width'>,
  { kernel, stride, padding }: LayerGeometry,
): { readonly outHeight: number; readonly outWidth: number } {
  const out = (size: number): number => Math.floor((size + 2 * padding - kernel) / stride) + 1;
  return { outHeight: out(height), outWidth: out(width) };
}

/**
 * One integer layer: `term(x, w)` of every code of the window and the weight, summed in 32 bits.
 * @param weights codes [kernel, kernel, in / groups, out]
 * @param pad the code of a padded position
 * @returns sums [batch, outHeight, outWidth, out]
 * @throws RangeError when a sum leaves `accumulatorBits` bits
 */
export function integerLayer(
  input: IntegerInput,
  weights: Int8Array,
  geometry: LayerGeometry,
  form: {
    readonly term: (x: number, w: number) => number;
    readonly pad: number;
    readonly accumulatorBits: number;
  },
): Int32Array {
  const { codes, batch, height, width } = input;
  const { inChannels, outChannels, kernel, stride, padding, groups } = geometry;
  const { outHeight, outWidth } = outputSize(input, geometry);
  const [groupIn, groupOut] = [inChannels / groups, outChannels / groups];
  const limit = 2 ** (form.accumulatorBits - 1);
  const sums = new Int32Array(batch * outHeight * outWidth * outChannels);
  let at = 0;
  for (let n = 0; n < batch; n++)
    for (let y = 0; y < outHeight; y++)
      for (let x = 0; x < outWidth; x++)
        for (let out = 0; out < outChannels; out++) {
          const firstChannel = Math.floor(out / groupOut) * groupIn;
          let sum = 0;
          for (let u = 0; u < kernel; u++)
            for (let v = 0; v < kernel; v++) {
              const [row, column] = [y * stride - padding + u, x * stride - padding + v];
              const inside = row >= 0 && row < height && column >= 0 && column < width;
              const from = ((n * height + row) * width + column) * inChannels + firstChannel;
              const weightAt = (u * kernel + v) * groupIn * outChannels + out;
              for (let c = 0; c < groupIn; c++)
                sum += form.term(inside ? codes[from + c]! : form.pad, weights[weightAt + c * outChannels]!);
            }
          if (sum < -limit || sum >= limit)
            throw new RangeError(
              `a sum of ${sum} does not fit an accumulator of ${form.accumulatorBits} bits`,
            );
          sums[at++] = sum;
        }
  return sums;
}

/** Bits that hold every sum of `terms` products of codes. */
export function productAccumulatorBits(weightBits: number, activation: Grid, terms: number): number {
  const largest = Math.max(-activation.least, activation.most) * (2 ** (weightBits - 1) - 1) * terms;
  return 1 + Math.ceil(Math.log2(largest + 1));
}

/** Sums of products of codes: an integer convolution. */
export function integerConvolution(
  input: IntegerInput,
  weights: Int8Array,
  geometry: LayerGeometry,
  bits: { readonly weight: number; readonly activation: Grid },
): Int32Array {
  const terms = (geometry.kernel ** 2 * geometry.inChannels) / geometry.groups;
  return integerLayer(input, weights, geometry, {
    term: (x, w) => x * w,
    pad: bits.activation.zero,
    accumulatorBits: productAccumulatorBits(bits.weight, bits.activation, terms),
  });
}
