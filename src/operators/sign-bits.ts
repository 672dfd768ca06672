/**
 * @file Weights that are a function of the signs of their trained values: a sign and a few bits.
 *
 * The first plane gives sgn, 1 or -1 with zeros positive, each other one a bit, 1 above zero and 0 at and below. A
 * weight with p planes then knows 2^p cases, for which value and slopes are tabulated once. Kernels find the
 * case: the signs are as good as random, and branches on them, every second one guessed wrong by the processor, took half
 * as long as the convolutions of a small network.
 */
import { kernels } from '../tensor/device.js';
import { UnaryKind } from '../tensor/kinds.js';
import { release, take } from '../tensor/pool.js';
import { planeOf, type Reparameterisation } from './reparameterised.js';

export interface SignBits {
  readonly op: string;
  /** Bits beside the sign. */
  readonly bits: number;
  /** The weight. */
  value(sign: number, bits: readonly number[]): number;
  /** dw/dsign, then dw/dbit for each bit, as the backward pass is to take them. */
  slopes(sign: number, bits: readonly number[]): readonly number[];
}

/** The case of a weight has the negative sign as its lowest bit, then the bits in their order. */
export function fromSignBits({ op, bits, value, slopes }: SignBits): Reparameterisation {
  const planes = 1 + bits;
  const cases = Array.from({ length: 2 ** planes }, (_, index) => ({
    sign: index % 2 === 0 ? 1 : -1,
    bits: Array.from({ length: bits }, (__, k) => (index >> (k + 1)) & 1),
  }));
  const values = Float32Array.from(cases, (each) => value(each.sign, each.bits));
  const slopesOfPlane = Array.from({ length: planes }, (_, k) =>
    Float32Array.from(cases, (each) => slopes(each.sign, each.bits)[k] as number),
  );
  return {
    op,
    planes,
    make(stored, weights) {
      writeCases(stored, weights);
      // The case of a NaN is NaN, which no table has.
      for (let i = 0; i < weights.length; i++) weights[i] = values[weights[i] as number] as number;
    },
    chain(stored, dWeights, dStored) {
      const { length } = dWeights;
      const index = take(length);
      writeCases(stored, index);
      slopesOfPlane.forEach((table, k) => {
        const slopesHere = planeOf(dStored, k, length);
        for (let i = 0; i < length; i++)
          slopesHere[i] = (dWeights[i] as number) * (table[index[i] as number] as number);
      });
      release(index);
    },
  };
}

/** Writes the case of each weight: 1 for a negative sign plus 2^k for the bit of plane k. */
function writeCases(stored: Float32Array, index: Float32Array): void {
  const device = kernels();
  const { length } = index;
  device.unary(UnaryKind.Sign, 0, 0, planeOf(stored, 0, length), index);
  device.scale(-1, index);
  device.relu(index, index);
  const bit = take(length);
  for (let k = 1; k * length < stored.length; k++) {
    device.unary(UnaryKind.Sign, 0, 0, planeOf(stored, k, length), bit);
    device.relu(bit, bit);
    device.axpy(2 ** k, bit, index);
  }
  release(bit);
}
