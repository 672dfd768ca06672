/**
 * @file The leading channels of a weight tensor: elastic widths share one tensor (US-Nets, ICCV'19).
 */
import { ShapeError } from '../../base/errors.js';
import { shapeText } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/**
 * w [kh, kw, I, O] -> its first `inChannels` and `outChannels`: [kh, kw, inChannels, outChannels]; `w` itself when
 * nothing is cut. @throws ShapeError
 */
export function sliceWeights(w: Tensor, inChannels: number, outChannels: number): Tensor {
  const [kernelHeight, kernelWidth, allIn, allOut] = w.shape as [number, number, number, number];
  const outside = (wanted: number, all: number): boolean =>
    !Number.isInteger(wanted) || wanted < 1 || wanted > all;
  if (w.shape.length !== 4 || outside(inChannels, allIn) || outside(outChannels, allOut))
    throw new ShapeError(
      `sliceWeights: ${shapeText(w.shape)} has no ${inChannels} x ${outChannels} channels`,
    );
  if (inChannels === allIn && outChannels === allOut) return w;
  const taps = kernelHeight * kernelWidth;
  const eachRow = (use: (whole: number, part: number) => void): void => {
    for (let tap = 0; tap < taps; tap++)
      for (let i = 0; i < inChannels; i++)
        use((tap * allIn + i) * allOut, (tap * inChannels + i) * outChannels);
  };
  return record(
    'sliceWeights',
    [w],
    [kernelHeight, kernelWidth, inChannels, outChannels],
    (part) => eachRow((from, to) => part.set(w.data.subarray(from, from + outChannels), to)),
    (dPart) =>
      contribute(w, (dw) => {
        dw.fill(0);
        eachRow((to, from) => dw.set(dPart.subarray(from, from + outChannels), to));
      }),
    { tensors: [], output: false },
  );
}
