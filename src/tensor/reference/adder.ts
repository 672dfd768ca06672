/**
 * @file Reference adder layer (AdderNet, Chen et al., CVPR 2020, arXiv 1912.13200): L1 distance in place of the product.
 *
 * Both gradients are the published rules and deliberately not the derivative: the weight gradient keeps the whole
 * difference instead of its sign, the input gradient clamps it to [-1, 1]. Padded positions are inputs of value
 * zero: they add -|w| to the output and -w * dy to the weight gradient. With another norm (arXiv 2105.14202) the gradients
 * are the derivative.
 */
import type { ConvGeometry } from '../kernels.js';
import { forEachTap, groupWidths, inputLength, outputLength, PADDED, weightLength } from './taps.js';

/** y = -sum |x - w| over the window. Never positive. */
export function l1Forward(g: ConvGeometry, x: Float32Array, w: Float32Array, y: Float32Array): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(outputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    for (let c = 0; c < inputs; c++) {
      const input = xAt === PADDED ? 0 : x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++) sums[yAt + o]! -= Math.abs(input - w[wRow + o]!);
    }
  });
  y.set(sums);
}

/** dx = sum of dy * clamp(w - x, -1, 1) over the taps that read x; zero where none does. */
export function l1InputGradient(
  g: ConvGeometry,
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(inputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    if (xAt === PADDED) return;
    for (let c = 0; c < inputs; c++) {
      const input = x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      let sum = 0;
      for (let o = 0; o < outputs; o++) sum += dy[yAt + o]! * clampToOne(w[wRow + o]! - input);
      sums[xAt + c]! += sum;
    }
  });
  dx.set(sums);
}

/** dw = sum of dy * (x - w) over images and output positions. */
export function l1WeightGradient(
  g: ConvGeometry,
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  dw: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(weightLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    for (let c = 0; c < inputs; c++) {
      const input = xAt === PADDED ? 0 : x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++) sums[wRow + o]! += dy[yAt + o]! * (input - w[wRow + o]!);
    }
  });
  dw.set(sums);
}

/** y = -sum |x - w|^exponent over the window. */
export function lpForward(
  g: ConvGeometry,
  exponent: number,
  x: Float32Array,
  w: Float32Array,
  y: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(outputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    for (let c = 0; c < inputs; c++) {
      const input = xAt === PADDED ? 0 : x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++) sums[yAt + o]! -= Math.abs(input - w[wRow + o]!) ** exponent;
    }
  });
  y.set(sums);
}

/** dx = sum of dy times the slope of |w - x|^exponent over the taps that read x. */
export function lpInputGradient(
  g: ConvGeometry,
  exponent: number,
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(inputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    if (xAt === PADDED) return;
    for (let c = 0; c < inputs; c++) {
      const input = x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      let sum = 0;
      for (let o = 0; o < outputs; o++) sum += dy[yAt + o]! * slopeOfPower(w[wRow + o]! - input, exponent);
      sums[xAt + c]! += sum;
    }
  });
  dx.set(sums);
}

/** dw = sum of dy times the slope of |x - w|^exponent over images and output positions. */
export function lpWeightGradient(
  g: ConvGeometry,
  exponent: number,
  x: Float32Array,
  w: Float32Array,
  dy: Float32Array,
  dw: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(weightLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    for (let c = 0; c < inputs; c++) {
      const input = xAt === PADDED ? 0 : x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++)
        sums[wRow + o]! += dy[yAt + o]! * slopeOfPower(input - w[wRow + o]!, exponent);
    }
  });
  dw.set(sums);
}

/** d |d|^p / d d, smoothed at zero: p d (|d| + 1e-8)^(p - 2); what is not finite stays. */
function slopeOfPower(d: number, exponent: number): number {
  return Number.isFinite(d) ? exponent * d * (Math.abs(d) + 1e-8) ** (exponent - 2) : d;
}

/** `value` limited to [-1, 1]; NaN stays NaN. */
function clampToOne(value: number): number {
  return Math.max(-1, Math.min(1, value));
}
