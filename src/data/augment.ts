/**
 * @file From uint8 images to float32 batches: random crop with padding, horizontal flip, normalisation.
 *
 * A pixel has 256 values, so normalisation is a table look-up per channel. Crop and flip are the usual small-image
 * augmentation (C.-Y. Lee et al., "Deeply-Supervised Nets", AISTATS 2015, section 4: pad 4, crop, flip). Padding is
 * black before normalisation, so a padded position reads as (0 - mean) / std.
 */
import type { Random } from '../base/random.js';
import { imageLength, type ImageShape } from './dataset.js';

const LEVELS = 256;
/** One grey level: a channel that never changes must not be blown up to infinity. */
const STD_FLOOR = 1 / 255;

export interface Augmentation {
  /** Pixels of padding on each side; the crop's offset is uniform in [-cropPadding, cropPadding] on both axes. */
  readonly cropPadding: number;
  /** Mirror left to right with probability 1/2. */
  readonly flip: boolean;
}

export interface ChannelStatistics {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * Mean and standard deviation (of the population) of each channel over the given images, in units where white is 1.
 * Exact up to the last rounding, since it sums a histogram; `std` is at least one grey level (1/255).
 * @param images [count, height, width, channels]; @param indices which of them.
 */
export function channelStatistics(
  images: Uint8Array,
  indices: ArrayLike<number>,
  shape: ImageShape,
): ChannelStatistics {
  const { channels } = shape;
  const length = imageLength(shape);
  const histogram = new Float64Array(channels * LEVELS);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i]! * length;
    for (let p = from; p < from + length; p += channels)
      for (let c = 0; c < channels; c++) histogram[c * LEVELS + images[p + c]!]!++;
  }
  const count = Math.max(1, indices.length * shape.height * shape.width);
  const mean: number[] = [];
  const std: number[] = [];
  for (let c = 0; c < channels; c++) {
    let sum = 0;
    for (let v = 0; v < LEVELS; v++) sum += v * histogram[c * LEVELS + v]!;
    const centre = sum / count;
    let squares = 0;
    for (let v = 0; v < LEVELS; v++) squares += (v - centre) ** 2 * histogram[c * LEVELS + v]!;
    mean.push(centre / 255);
    std.push(Math.max(STD_FLOOR, Math.sqrt(squares / count) / 255));
  }
  return { mean, std };
}

/** [channels, 256] floats: (value / 255 - mean) / std. */
export function normalisationTable(statistics: ChannelStatistics): Float32Array {
  const { mean, std } = statistics;
  const table = new Float32Array(mean.length * LEVELS);
  for (let c = 0; c < mean.length; c++)
    for (let v = 0; v < LEVELS; v++) table[c * LEVELS + v] = (v / 255 - mean[c]!) / std[c]!;
  return table;
}

/**
 * Writes the images `indices[from .. to)` to `out` as float32 [to - from, height, width, channels].
 * With `random`, each image draws its row offset, column offset and flip in this order (three draws whatever the
 * options, so that turning the flip off leaves the crops as they were); without it, images are only normalised.
 */
export function fillBatch(
  images: Uint8Array,
  indices: ArrayLike<number>,
  from: number,
  to: number,
  shape: ImageShape,
  table: Float32Array,
  out: Float32Array,
  augmentation?: Augmentation,
  random?: Random,
): void {
  const length = imageLength(shape);
  const padding = augmentation?.cropPadding ?? 0;
  for (let i = from; i < to; i++) {
    const source = indices[i]! * length;
    const target = (i - from) * length;
    let dy = 0;
    let dx = 0;
    let flip = false;
    if (random) {
      dy = random.integer(2 * padding + 1) - padding;
      dx = random.integer(2 * padding + 1) - padding;
      flip = random.uint32() >= 0x80000000 && augmentation?.flip === true;
    }
    writeImage(images, source, shape, table, dy, dx, flip, out, target);
  }
}

/** out[y, x] = image[y + dy, x' + dx], black outside, with x' = x, or width - 1 - x when `flip`. */
function writeImage(
  images: Uint8Array,
  source: number,
  shape: ImageShape,
  table: Float32Array,
  dy: number,
  dx: number,
  flip: boolean,
  out: Float32Array,
  target: number,
): void {
  const { height, width, channels } = shape;
  const first = Math.max(0, -dx);
  const last = Math.min(width, width - dx);
  const rowLength = width * channels;
  for (let y = 0; y < height; y++) {
    const sourceRow = y + dy;
    const targetRow = target + y * rowLength;
    if (sourceRow < 0 || sourceRow >= height || first >= last) {
      writeBlack(table, channels, out, targetRow, width);
      continue;
    }
    const before = first;
    const after = width - last;
    writeBlack(table, channels, out, targetRow, flip ? after : before);
    writeBlack(
      table,
      channels,
      out,
      targetRow + (width - (flip ? before : after)) * channels,
      flip ? before : after,
    );
    const from = source + sourceRow * rowLength + (first + dx) * channels;
    const to = targetRow + (flip ? width - 1 - first : first) * channels;
    writePixels(images, from, last - first, channels, table, out, to, flip ? -channels : channels);
  }
}

function writeBlack(
  table: Float32Array,
  channels: number,
  out: Float32Array,
  at: number,
  count: number,
): void {
  for (let x = 0; x < count; x++) for (let c = 0; c < channels; c++) out[at++] = table[c * LEVELS]!;
}

function writePixels(
  images: Uint8Array,
  from: number,
  count: number,
  channels: number,
  table: Float32Array,
  out: Float32Array,
  to: number,
  step: number,
): void {
  if (channels === 1) {
    for (let x = 0; x < count; x++, to += step) out[to] = table[images[from + x]!]!;
    return;
  }
  if (channels === 3) {
    for (let x = 0; x < count; x++, from += 3, to += step) {
      out[to] = table[images[from]!]!;
      out[to + 1] = table[LEVELS + images[from + 1]!]!;
      out[to + 2] = table[2 * LEVELS + images[from + 2]!]!;
    }
    return;
  }
  for (let x = 0; x < count; x++, from += channels, to += step)
    for (let c = 0; c < channels; c++) out[to + c] = table[c * LEVELS + images[from + c]!]!;
}
