/**
 * @file The one loop nest behind every convolution-like op of the reference device.
 *
 * Forward, input gradient and weight gradient of convolution and of the adder layer all sum over the same set of
 * (output position, kernel tap) pairs; they differ only in what they add for each. Keeping the index arithmetic in
 * one place means one place to get stride, padding and groups right.
 */
import type { ConvGeometry } from '../kernels.js';

/** The offset given for a tap that lies in the padding. */
export const PADDED = -1;

/** Channels of one group: `inputs` of x, `outputs` of y. */
export function groupWidths(g: ConvGeometry): { readonly inputs: number; readonly outputs: number } {
  return { inputs: g.inChannels / g.groups, outputs: g.outChannels / g.groups };
}

/** Number of elements of x [batch, inHeight, inWidth, inChannels]. */
export function inputLength(g: ConvGeometry): number {
  return g.batch * g.inHeight * g.inWidth * g.inChannels;
}

/** Number of elements of w [kernelHeight, kernelWidth, inChannels / groups, outChannels]. */
export function weightLength(g: ConvGeometry): number {
  return g.kernelHeight * g.kernelWidth * (g.inChannels / g.groups) * g.outChannels;
}

/** Number of elements of y [batch, outHeight, outWidth, outChannels]. */
export function outputLength(g: ConvGeometry): number {
  return g.batch * g.outHeight * g.outWidth * g.outChannels;
}

/**
 * Visits every (image, output position, kernel tap, group) once, with the offset of the group's first channel in
 * y, in x (or {@link PADDED}) and in w. Channels c and o of the group are then at x[xAt + c], y[yAt + o] and
 * w[wAt + c * outChannels + o].
 */
export function forEachTap(g: ConvGeometry, visit: (yAt: number, xAt: number, wAt: number) => void): void {
  const { inputs, outputs } = groupWidths(g);
  for (let n = 0; n < g.batch; n++) {
    for (let oh = 0; oh < g.outHeight; oh++) {
      for (let ow = 0; ow < g.outWidth; ow++) {
        const yRow = ((n * g.outHeight + oh) * g.outWidth + ow) * g.outChannels;
        for (let u = 0; u < g.kernelHeight; u++) {
          const ih = oh * g.stride - g.padTop + u;
          for (let v = 0; v < g.kernelWidth; v++) {
            const iw = ow * g.stride - g.padLeft + v;
            const inside = ih >= 0 && ih < g.inHeight && iw >= 0 && iw < g.inWidth;
            const xRow = ((n * g.inHeight + ih) * g.inWidth + iw) * g.inChannels;
            const wRow = (u * g.kernelWidth + v) * inputs * g.outChannels;
            for (let group = 0; group < g.groups; group++) {
              visit(yRow + group * outputs, inside ? xRow + group * inputs : PADDED, wRow + group * outputs);
            }
          }
        }
      }
    }
  }
}
