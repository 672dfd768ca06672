/**
 * @file Reference convolution: y[n,oh,ow,o] = sum x[n, oh*s-p+u, ow*s-p+v, c] * w[u,v,c,o], and its two gradients.
 *
 * Padded taps are left out rather than multiplied by zero, so an infinite weight over padding adds nothing.
 */
import type { ConvGeometry } from '../kernels.js';
import { forEachTap, groupWidths, inputLength, outputLength, PADDED, weightLength } from './taps.js';

/** x [n,ih,iw,c], w [u,v,c/groups,o] -> y [n,oh,ow,o]. */
export function conv2dForward(g: ConvGeometry, x: Float32Array, w: Float32Array, y: Float32Array): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(outputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    if (xAt === PADDED) return;
    for (let c = 0; c < inputs; c++) {
      const input = x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++) sums[yAt + o]! += input * w[wRow + o]!;
    }
  });
  y.set(sums);
}

/** dx[n,ih,iw,c] = sum of dy * w over the taps that read x[n,ih,iw,c]; zero where none does. */
export function conv2dInputGradient(
  g: ConvGeometry,
  dy: Float32Array,
  w: Float32Array,
  dx: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(inputLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    if (xAt === PADDED) return;
    for (let c = 0; c < inputs; c++) {
      const wRow = wAt + c * g.outChannels;
      let sum = 0;
      for (let o = 0; o < outputs; o++) sum += dy[yAt + o]! * w[wRow + o]!;
      sums[xAt + c]! += sum;
    }
  });
  dx.set(sums);
}

/** dw[u,v,c,o] = sum of x * dy over images and output positions. */
export function conv2dWeightGradient(
  g: ConvGeometry,
  x: Float32Array,
  dy: Float32Array,
  dw: Float32Array,
): void {
  const { inputs, outputs } = groupWidths(g);
  const sums = new Float64Array(weightLength(g));
  forEachTap(g, (yAt, xAt, wAt) => {
    if (xAt === PADDED) return;
    for (let c = 0; c < inputs; c++) {
      const input = x[xAt + c]!;
      const wRow = wAt + c * g.outChannels;
      for (let o = 0; o < outputs; o++) sums[wRow + o]! += input * dy[yAt + o]!;
    }
  });
  dw.set(sums);
}
