/**
 * @file Values rounded to the codes of a learned step, on the tape: LSQ (Esser et al., ICLR 2020, arXiv 1902.08153).
 *
 *     y = step round(min(max(x / step, least), most))
 *
 * Gradients (equations 2 to 5 there): dx = dy strictly inside of the range and 0 elsewhere, and
 *
 *     dstep = g sum dy (round(x / step) - x / step  inside;  least or most  beyond),   g = 1 / sqrt(count most)
 *
 * with the number of weights, or of the values of one image, as `count`: so that the step moves about as fast, for its
 * size, as the weights do.
 */
import { contribute, give, record } from '../../tensor/tape.js';
import { release, take } from '../../tensor/pool.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { CodeRange } from './codes.js';

/** 1.5 * 2^23: adding it to a float32 below 2^22 leaves no place for a fraction. */
const roundingConstant = 12582912;

/** x on the codes of `step` [1]. @param count for the gradient of the step, see above */
export function rounded(x: Tensor, step: Tensor, codes: CodeRange, count: number): Tensor {
  return record(
    'roundToStep',
    [x, step],
    x.shape,
    (y) => roundInto(x.data, step.data[0]!, codes, y),
    (dy) => {
      const dx = take(x.size);
      const sum = gradientInto(x.data, step.data[0]!, codes, dy, dx);
      if (x.requiresGradient) give(x, dx);
      else release(dx);
      contribute(step, (gradient) => (gradient[0] = sum / Math.sqrt(count * codes.most)));
    },
    { tensors: [x, step], output: false },
  );
}

/** Writes the values of x on the codes of `step`; a NaN stays one. */
export function roundInto(x: Float32Array, step: number, { least, most }: CodeRange, y: Float32Array): void {
  for (let i = 0; i < y.length; i++) {
    const scaled = Math.fround(x[i]! / step);
    const inside = scaled < least ? least : scaled > most ? most : scaled;
    y[i] = (Math.fround(inside + roundingConstant) - roundingConstant) * step;
  }
}

/** Writes dx and returns the sum of dstep before its factor. */
function gradientInto(
  x: Float32Array,
  step: number,
  { least, most }: CodeRange,
  dy: Float32Array,
  dx: Float32Array,
): number {
  let sum = 0;
  for (let i = 0; i < dx.length; i++) {
    const scaled = Math.fround(x[i]! / step);
    const slope = dy[i]!;
    if (scaled <= least) {
      dx[i] = 0;
      sum += slope * least;
    } else if (scaled >= most) {
      dx[i] = 0;
      sum += slope * most;
    } else {
      dx[i] = slope;
      sum += slope * (Math.fround(scaled + roundingConstant) - roundingConstant - scaled);
    }
  }
  return sum;
}
