/**
 * @file Values rounded to the codes of a learned step, on the tape: LSQ (Esser et al., ICLR 2020, arXiv 1902.08153).
 *
 *     y = step round(min(max(x / step, least), most))
 *
 * Gradients (equations 2 to 5 there): dx = dy inside of the range, its ends included, and 0 beyond, and
 *
 *     dstep = g sum dy (round(x / step) - x / step  inside;  least or most  beyond),   g = 1 / sqrt(count most)
 *
 * with the number of weights, or of the values of one image, as `count`: so that the step moves about as fast, for its
 * size, as the weights do.
 */
import { kernels } from '../../tensor/device.js';
import { BinaryKind, UnaryKind } from '../../tensor/kinds.js';
import { release, take } from '../../tensor/pool.js';
import { contribute, give, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { CodeRange } from './codes.js';

/** Adding it, 1.5 * 2^23, to a float32 below 2^22 leaves no place for a fraction. */
const roundingConstant = Float32Array.of(1.5 * 2 ** 23);

/** Values that pass through all kernels of a rule before the next ones do, so that they stay in the cache of a core. */
const blockSize = 2 ** 15;

/** Calls `use` for the places from `from` to before `until`, of block after block. */
function eachBlock(size: number, use: (from: number, until: number) => void): void {
  for (let from = 0; from < size; from += blockSize) use(from, Math.min(size, from + blockSize));
}

/** x on the codes of `step` [1]. @param count for the gradient of the step, see above */
export function rounded(x: Tensor, step: Tensor, codes: CodeRange, count: number): Tensor {
  const y: Tensor = record(
    'roundToStep',
    [x, step],
    x.shape,
    (values) => roundInto(x.data, step.data[0]!, codes, values),
    (dy) => {
      const dx = take(x.size);
      const sum = gradientInto(x.data, y.data, step.data[0]!, codes, dy, dx);
      if (x.requiresGradient) give(x, dx);
      else release(dx);
      contribute(step, (gradient) => (gradient[0] = sum / Math.sqrt(count * codes.most)));
    },
    { tensors: [x, step], output: true },
  );
  return y;
}

/** Writes the values of x on the codes of `step`; a NaN stays one. */
export function roundInto(x: Float32Array, step: number, { least, most }: CodeRange, y: Float32Array): void {
  const divisor = Float32Array.of(step);
  eachBlock(y.length, (from, until) => {
    const part = y.subarray(from, until);
    const axes = [{ extent: until - from, a: true, b: false }];
    kernels().binary(BinaryKind.Divide, axes, x.subarray(from, until), divisor, part);
    kernels().unary(UnaryKind.Clamp, least, most, part, part);
    kernels().binary(BinaryKind.Add, axes, part, roundingConstant, part);
    kernels().binary(BinaryKind.Subtract, axes, part, roundingConstant, part);
    kernels().scale(step, part);
  });
}

/**
 * Writes dx and returns the sum of dstep before its factor. Inside of the range round(x / step) - x / step is (y - x) / step,
 * beyond it the code is y / step, so with dx the sum is (dy y - dx x) / step.
 */
function gradientInto(
  x: Float32Array,
  y: Float32Array,
  step: number,
  { least, most }: CodeRange,
  dy: Float32Array,
  dx: Float32Array,
): number {
  const [low, high] = [least * step, most * step];
  const [spare, more, partial] = [take(blockSize), take(blockSize), take(1)];
  let sum = 0;
  eachBlock(dx.length, (from, until) => {
    const length = until - from;
    const part = (whole: Float32Array): Float32Array => whole.subarray(from, until);
    const [values, slopes] = [spare.subarray(0, length), more.subarray(0, length)];
    const axes = [{ extent: length, a: true, b: true }];
    kernels().unaryGradient(UnaryKind.Clamp, low, high, part(x), part(dy), part(dx));
    kernels().binary(BinaryKind.Multiply, axes, part(dy), part(y), values);
    kernels().binary(BinaryKind.Multiply, axes, part(dx), part(x), slopes);
    kernels().binary(BinaryKind.Subtract, axes, values, slopes, values);
    kernels().reduceSum({ outer: 1, reduced: length, inner: 1 }, 1, values, partial);
    sum += partial[0]!;
  });
  for (const buffer of [spare, more, partial]) release(buffer);
  return sum / step;
}
