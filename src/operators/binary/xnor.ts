/**
 * @file Inference of a binary layer without a multiplication but for one scale per output: signs packed 32 to a word,
 * XNOR, and a count of the ones.
 *
 * Of n pairs of signs, those that agree add 1 and the others -1, so the sum is 2 ones(xnor) - n. Bits behind the last
 * channel are zero in both words and masked out of the XNOR; taps in the padding are left out of the count and of n.
 * The results equal those of the trained layer to the bit: its float path adds the same whole numbers.
 */
import { ShapeError } from '../../base/errors.js';
import type { LayerGeometry } from '../contract.js';
import { weightCount } from '../initialisation.js';
import { scalesInto } from './ops.js';

const wordBits = 32;

/** A binary layer ready to run. */
export interface PackedBinaryLayer {
  readonly geometry: LayerGeometry;
  /** Per input channel. */
  readonly thresholds: Float32Array;
  /** Per output channel. */
  readonly scales: Float32Array;
  /** Words of one tap of one output channel: the channels of a group. */
  readonly wordsPerTap: number;
  /** Signs [out, kernel, kernel, wordsPerTap], a one for +1. */
  readonly signs: Uint32Array;
}

/** Packs weights [kernel, kernel, in / groups, out]. @throws ShapeError when the weights do not fit the geometry */
export function packBinaryLayer(
  weights: Float32Array,
  thresholds: Float32Array,
  geometry: LayerGeometry,
): PackedBinaryLayer {
  const { inChannels, outChannels, kernel, groups } = geometry;
  if (weights.length !== weightCount(geometry) || thresholds.length !== inChannels)
    throw new ShapeError(
      `binary layer: ${weights.length} weights and ${thresholds.length} thresholds do not fit ` +
        `${inChannels} -> ${outChannels} channels in ${groups} groups, kernel ${kernel}`,
    );
  const groupChannels = inChannels / groups;
  const wordsPerTap = Math.ceil(groupChannels / wordBits);
  const taps = kernel * kernel;
  const signs = new Uint32Array(outChannels * taps * wordsPerTap);
  for (let tap = 0; tap < taps; tap++)
    for (let c = 0; c < groupChannels; c++)
      for (let o = 0; o < outChannels; o++)
        if ((weights[(tap * groupChannels + c) * outChannels + o] as number) > 0)
          setBit(signs, (o * taps + tap) * wordsPerTap, c);
  const scales = new Float32Array(outChannels);
  scalesInto(weights, scales);
  return { geometry, thresholds, scales, wordsPerTap, signs };
}

/** x [batch, height, width, in] -> [batch, height', width', out]. @throws ShapeError */
export function runBinaryLayer(
  layer: PackedBinaryLayer,
  x: Float32Array,
  [batch, height, width]: readonly [number, number, number],
): Float32Array {
  const { geometry, scales, wordsPerTap, signs } = layer;
  const { inChannels, outChannels, kernel, stride, padding, groups } = geometry;
  if (x.length !== batch * height * width * inChannels)
    throw new ShapeError(
      `binary layer: ${x.length} values do not fill [${batch}, ${height}, ${width}, ${inChannels}]`,
    );
  const outSide = (side: number): number => Math.floor((side + 2 * padding - kernel) / stride) + 1;
  const [outHeight, outWidth] = [outSide(height), outSide(width)];
  const groupChannels = inChannels / groups;
  const packed = packActivations(layer, x);
  const mask = masks(groupChannels, wordsPerTap);
  const y = new Float32Array(batch * outHeight * outWidth * outChannels);
  let to = 0;
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < outHeight; i++)
      for (let j = 0; j < outWidth; j++)
        for (let o = 0; o < outChannels; o++) {
          const group = Math.floor((o * groups) / outChannels);
          let [ones, pairs] = [0, 0];
          for (let ki = 0; ki < kernel; ki++)
            for (let kj = 0; kj < kernel; kj++) {
              const [row, column] = [i * stride + ki - padding, j * stride + kj - padding];
              if (row < 0 || row >= height || column < 0 || column >= width) continue;
              const at = (((n * height + row) * width + column) * groups + group) * wordsPerTap;
              const tap = (o * kernel * kernel + ki * kernel + kj) * wordsPerTap;
              pairs += groupChannels;
              for (let word = 0; word < wordsPerTap; word++)
                ones += onesOf(~(packed[at + word]! ^ signs[tap + word]!) & mask[word]!);
            }
          y[to++] = (2 * ones - pairs) * (scales[o] as number);
        }
  return y;
}

/** Signs of x - threshold [positions, groups, wordsPerTap]. */
function packActivations(
  { geometry, thresholds, wordsPerTap }: PackedBinaryLayer,
  x: Float32Array,
): Uint32Array {
  const { inChannels, groups } = geometry;
  const groupChannels = inChannels / groups;
  const positions = x.length / inChannels;
  const packed = new Uint32Array(positions * groups * wordsPerTap);
  for (let position = 0; position < positions; position++)
    for (let c = 0; c < inChannels; c++)
      if (x[position * inChannels + c]! > thresholds[c]!)
        setBit(packed, (position * groups + Math.floor(c / groupChannels)) * wordsPerTap, c % groupChannels);
  return packed;
}

function setBit(words: Uint32Array, from: number, bit: number): void {
  const at = from + Math.floor(bit / wordBits);
  words[at] = (words[at] as number) | (1 << (bit % wordBits));
}

/** Ones for the channels that there are. */
function masks(channels: number, words: number): Uint32Array {
  return Uint32Array.from({ length: words }, (_, word) => {
    const held = Math.min(wordBits, channels - word * wordBits);
    return held === wordBits ? 0xffffffff : 2 ** held - 1;
  });
}

/** Ones in a word, by sums of neighbouring bits, pairs, fours and bytes. */
export function onesOf(word: number): number {
  const pairs = word - ((word >>> 1) & 0x55555555);
  const fours = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
