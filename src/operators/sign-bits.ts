/**
 * @file Weights that are a function of the signs of their trained values: a sign and a few bits.
 *
 * The first plane gives sgn, 1 or -1 with zeros positive, each other one a bit, 1 above zero and 0 at and below. A
 * weight with p planes then knows 2^p cases, for which value and slopes are tabulated once. The signs are read out of
 * the words of the floats: they are as good as random, and a processor that guesses every second branch wrong takes
 * longer over the weights of a small network than over its convolutions.
 */
import type { Reparameterisation } from './reparameterised.js';

export interface SignBits {
  readonly op: string;
  /** Bits beside the sign. */
  readonly bits: number;
  /** The weight. */
  value(sign: number, bits: readonly number[]): number;
  /** dw/dsign, then dw/dbit for each bit, as the backward pass is to take them. */
  slopes(sign: number, bits: readonly number[]): readonly number[];
}

/** The word of positive infinity; those of NaN are above it, but for the sign. */
const infinity = 0x7f800000;

/** The words of the floats, as signed integers. */
export function wordsOf(values: Float32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

/** 1 for the word of a number below zero, else 0; also for the negative zero, whose word is its own negative. */
export function isNegative(word: number): number {
  return (word & ~-word) >>> 31;
}

/** 1 for the word of a number above zero, else 0. */
function isPositive(word: number): number {
  return (~word & -word) >>> 31;
}

/** The case of a weight has the negative sign as its lowest bit, then the bits in their order. */
export function fromSignBits({ op, bits, value, slopes }: SignBits): Reparameterisation {
  const planes = 1 + bits;
  const cases = Array.from({ length: 2 ** planes }, (_, index) => ({
    sign: index % 2 === 0 ? 1 : -1,
    bits: Array.from({ length: bits }, (__, k) => (index >> (k + 1)) & 1),
  }));
  const values = Float32Array.from(cases, (each) => value(each.sign, each.bits));
  const allSlopes = Float32Array.from(cases.flatMap((each) => slopes(each.sign, each.bits)));
  return {
    op,
    planes,
    make(stored, weights) {
      const words = wordsOf(stored);
      const { length } = weights;
      for (let i = 0; i < length; i++) {
        let word = words[i] as number;
        let index = isNegative(word);
        let finite = infinity - (word & 0x7fffffff);
        for (let k = 1; k < planes; k++) {
          word = words[k * length + i] as number;
          index |= isPositive(word) << k;
          finite |= infinity - (word & 0x7fffffff);
        }
        weights[i] = finite < 0 ? NaN : (values[index] as number);
      }
    },
    chain(stored, dWeights, dStored) {
      const words = wordsOf(stored);
      const { length } = dWeights;
      for (let i = 0; i < length; i++) {
        let index = isNegative(words[i] as number);
        for (let k = 1; k < planes; k++) index |= isPositive(words[k * length + i] as number) << k;
        const dw = dWeights[i] as number;
        for (let k = 0; k < planes; k++)
          dStored[k * length + i] = dw * (allSlopes[index * planes + k] as number);
      }
    },
  };
}
