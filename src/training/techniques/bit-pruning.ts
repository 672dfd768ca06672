/**
 * @file Bit-Pruning (Sekikawa and Yashima, "Bit-Pruning: A Sparse Multiplication-Less Dot-Product", ICLR 2023): weights of
 * multiplications become integers times a scale of their output channel, and are drawn towards integers of few non-zero
 * digits, which are what a multiplication by shifts and additions costs.
 *
 * Weights are trained as in LSQ (Esser et al., ICLR 2020): the layer computes with s round(clamp(w / s)), the gradient of
 * rounding is that of the identity, and s is learned. The penalty of a layer is the Square-Hoyer measure (sum |d|)^2 /
 * sum d^2 of d = softshrink(v* - w / s, 1/2) / 2^b, with v* the proximal integer of round(w / s) by a table; it counts times the
 * positions of the layer's output over the operations of all, for `layersPerStep` layers of each step, drawn in proportion to their
 * operations. Its gradient goes to the weights alone, as a term of the accumulated gradient. In the end the weights are
 * the products of integer and scale, so that model files and exports are those of any convolution.
 *
 * Ours: activations stay real (the paper quantises them to 8 bits too), and the scale is a constant to the penalty.
 */
import { Random } from '../../base/random.js';
import { Primitive } from '../../hardware/layer.js';
import { Digits, digitCount, proximalTable } from '../../nn/digits.js';
import type { Parameter } from '../../nn/module.js';
import type { OperatorLayer } from '../../operators/layer.js';
import { contribute, record } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Technique } from '../technique.js';

export interface BitPruningSettings {
  /** Of the integers, sign included. */
  readonly bits: number;
  /** Of the penalty in the loss. */
  readonly weight: number;
  /** Price of a digit against the distance of p-th powers in the table. */
  readonly lambda: number;
  readonly power: number;
  readonly digits: Digits;
  readonly layersPerStep: number;
}

/** Halves to even. */
function nearest(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** The integer of w at scale s, within +-limit. */
export function integerOf(w: number, s: number, limit: number): number {
  return nearest(Math.min(limit, Math.max(-limit, w / s)));
}

/** s round(w / s) for weights [..., O] and scales [O], on the tape, by the gradients of LSQ. */
export function quantised(weights: Tensor, scales: Tensor, limit: number): Tensor {
  const channels = scales.size;
  return record(
    'quantised',
    [weights, scales],
    weights.shape,
    (y) =>
      weights.data.forEach((w, i) => {
        const s = scales.data[i % channels] as number;
        y[i] = s * integerOf(w, s, limit);
      }),
    (dy) => {
      const inside = (i: number): boolean =>
        Math.abs((weights.data[i] as number) / (scales.data[i % channels] as number)) <= limit + 0.5;
      contribute(weights, (dw) => {
        for (let i = 0; i < dw.length; i++) dw[i] = inside(i) ? (dy[i] as number) : 0;
      });
      contribute(scales, (ds) => {
        const sums = new Float64Array(channels);
        for (let i = 0; i < dy.length; i++) {
          const [w, s] = [weights.data[i] as number, scales.data[i % channels] as number];
          sums[i % channels]! += (dy[i] as number) * (integerOf(w, s, limit) - (inside(i) ? w / s : 0));
        }
        // Keeps the steps of scales and weights alike (LSQ, section 2.2).
        const shrink = 1 / Math.sqrt((dy.length / channels) * limit);
        sums.forEach((sum, c) => (ds[c] = shrink * sum));
      });
    },
  );
}

/** The Square-Hoyer measure of what weights are away from their proximal integers, and its gradient by the weights. */
export function distancePenalty(
  weights: Float32Array,
  scales: Float32Array,
  table: Int32Array,
): { readonly value: number; readonly gradient: Float64Array } {
  const limit = table.length - 1;
  const range = 2 * limit;
  const distances = Float64Array.from(weights, (w, i) => {
    const s = scales[i % scales.length] as number;
    const integer = integerOf(w, s, limit);
    const target = Math.sign(integer) * (table[Math.abs(integer)] as number);
    const away = target - w / s;
    return (Math.sign(away) * Math.max(0, Math.abs(away) - 0.5)) / range;
  });
  let [sum, squares] = [0, 0];
  for (const d of distances) {
    sum += Math.abs(d);
    squares += d * d;
  }
  if (squares === 0) return { value: 0, gradient: new Float64Array(weights.length) };
  const gradient = distances.map((d, i) => {
    if (d === 0) return 0;
    const byDistance = (2 * sum * Math.sign(d)) / squares - (2 * sum * sum * d) / (squares * squares);
    return -byDistance / (range * (scales[i % scales.length] as number));
  });
  return { value: (sum * sum) / squares, gradient };
}

/** The layers whose weights are multiplied by and nothing else. */
export function multiplyingLayers(layers: readonly OperatorLayer[]): readonly OperatorLayer[] {
  return layers.filter(
    ({ family: { primitive, operandBits, planes, own } }) =>
      primitive === Primitive.Multiply && operandBits.weight > 8 && planes === undefined && own === undefined,
  );
}

/** Trains the multiplying layers among `layers` towards integers of few digits. */
export function bitPruning(
  layers: readonly OperatorLayer[],
  settings: BitPruningSettings,
  seed: number,
): Technique {
  const limit = 2 ** (settings.bits - 1);
  const table = proximalTable(limit, settings.lambda, settings.power, settings.digits);
  const pruned = multiplyingLayers(layers).map((layer) => {
    const channels = layer.geometry.outChannels;
    const largest = new Float32Array(channels);
    layer.weight.data.forEach((w, i) => {
      largest[i % channels] = Math.max(largest[i % channels] as number, Math.abs(w));
    });
    const scale = Tensor.persistent(
      [channels],
      largest.map((most) => Math.max(most, 1e-8) / limit),
      true,
    );
    const parameter: Parameter = { name: `bits:${layer.name}.scale`, tensor: scale, decay: false };
    const each = { layer, scale, parameter, positions: 0 };
    layer.variant = {
      forward(x, weights, geometry, own) {
        const y = layer.family.forward(x, quantised(weights, scale, limit), geometry, own);
        each.positions = (y.shape[1] as number) * (y.shape[2] as number);
        return y;
      },
    };
    return each;
  });
  const operations = ({ layer, positions }: (typeof pruned)[number]): number => positions * layer.weight.size;
  const drawn = (step: number): readonly (typeof pruned)[number][] => {
    const random = Random.stream(seed, 'bits', step);
    const left = [...pruned];
    return Array.from({ length: Math.min(settings.layersPerStep, pruned.length) }, () => {
      const total = left.reduce((sum, each) => sum + operations(each), 0);
      let at = random.uniform() * total;
      const index = left.findIndex((each) => (at -= operations(each)) < 0);
      return left.splice(index < 0 ? left.length - 1 : index, 1)[0] as (typeof pruned)[number];
    });
  };
  const leave = (): void => {
    for (const { layer } of pruned) layer.variant = undefined;
  };
  return {
    name: 'bits',
    parameters: pruned.map(({ parameter }) => parameter),
    afterGradients({ step }) {
      if (settings.weight === 0) return;
      const all = pruned.reduce((sum, each) => sum + operations(each), 0);
      for (const { layer, scale, positions } of drawn(step)) {
        const { gradient } = layer.weight;
        if (gradient === undefined) continue;
        const penalty = distancePenalty(layer.weight.data, scale.data, table);
        const factor = (settings.weight * positions) / all;
        penalty.gradient.forEach((slope, i) => (gradient[i] = (gradient[i] as number) + factor * slope));
      }
    },
    afterStep() {
      for (const { scale } of pruned)
        scale.data.forEach((s, c) => (scale.data[c] = Math.max(Math.abs(s), 1e-8)));
    },
    finish() {
      leave();
      for (const { layer, scale } of pruned)
        layer.weight.data.forEach((w, i, all) => {
          const s = scale.data[i % scale.size] as number;
          all[i] = s * integerOf(w, s, limit);
        });
    },
    facts() {
      const counts = Array.from({ length: limit + 1 }, (_, n) => digitCount(n, settings.digits));
      let [digits, weights] = [0, 0];
      for (const { layer, scale } of pruned)
        layer.weight.data.forEach((w, i) => {
          digits += counts[Math.abs(integerOf(w, scale.data[i % scale.size] as number, limit))] as number;
          weights++;
        });
      return { digitsPerWeight: digits / Math.max(1, weights) };
    },
    dispose() {
      leave();
      for (const { scale } of pruned) scale.dispose();
    },
  };
}
