/**
 * @file The leading channels of a weight tensor: elastic widths share one tensor (US-Nets, ICCV'19).
 */
import { ShapeError } from '../../base/errors.js';
import { shapeText, sizeOf } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/**
 * w [kh, kw, I, O], or [planes, kh, kw, I, O] -> its first `inChannels` and `outChannels`:
 * [kh, kw, inChannels, outChannels]; `w` itself when nothing is cut. @throws ShapeError
 */
export function sliceWeights(w: Tensor, inChannels: number, outChannels: number): Tensor {
  const [allIn, allOut] = w.shape.slice(-2) as [number, number];
  const outside = (wanted: number, all: number): boolean =>
    !Number.isInteger(wanted) || wanted < 1 || wanted > all;
  if (w.shape.length < 4 || outside(inChannels, allIn) || outside(outChannels, allOut))
    throw new ShapeError(
      `sliceWeights: ${shapeText(w.shape)} has no ${inChannels} x ${outChannels} channels`,
    );
  if (inChannels === allIn && outChannels === allOut) return w;
  const leading = w.shape.slice(0, -2);
  const taps = sizeOf(leading);
  /** Calls `use` with where each kept row begins in the whole and in the part. */
  const eachRow = (use: (whole: number, part: number) => void): void => {
    for (let tap = 0; tap < taps; tap++)
      for (let i = 0; i < inChannels; i++)
        use((tap * allIn + i) * allOut, (tap * inChannels + i) * outChannels);
  };
  // Rows are short: a loop is several times faster than a view and its copy.
  const copyRow = (from: Float32Array, at: number, to: Float32Array, toAt: number): void => {
    for (let o = 0; o < outChannels; o++) to[toAt + o] = from[at + o] as number;
  };
  return record(
    'sliceWeights',
    [w],
    [...leading, inChannels, outChannels],
    (part) => {
      const { data } = w;
      eachRow((from, to) => copyRow(data, from, part, to));
    },
    (dPart) =>
      contribute(w, (dw) => {
        dw.fill(0);
        eachRow((to, from) => copyRow(dPart, from, dw, to));
      }),
    { tensors: [], output: false },
  );
}
