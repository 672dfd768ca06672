/**
 * @file Shape rules: what fits what, and errors that name the op and both shapes.
 */
import { ShapeError } from '../base/errors.js';
import type { AttentionGeometry, ConvGeometry, MatmulGeometry } from './kernels.js';
import type { Tensor } from './tensor.js';

export interface ConvOptions {
  readonly stride?: number;
  /** Zero padding on every side. */
  readonly padding?: number;
  readonly groups?: number;
}

export interface MatmulOptions {
  /** The matrices of the first factor are held transposed. */
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

export interface AttentionOptions {
  readonly heads: number;
  /** A query sees the keys up to its own place only, the last query being level with the last key. */
  readonly causal?: boolean;
  /** Of the scores; 1 / sqrt(channels of a head) unless given. */
  readonly scale?: number;
  /** How many keys of each item count, where the rest is padding. */
  readonly keyCounts?: Int32Array;
}

/** Whether a size fits the 32 bits that the kernels count in. */
function isCount(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value < 2 ** 31;
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}

/** @throws TypeError for anything but an Int32Array, which is what the kernels read. */
export function requireIntegers(op: string, what: string, values: Int32Array): void {
  if (!(values instanceof Int32Array)) throw new TypeError(`${op}: the ${what} must be an Int32Array`);
}

/** Geometry of a convolution-like op over x [N, H, W, C] and w [kh, kw, C / groups, O]. @throws ShapeError */
export function convGeometry(op: string, x: Tensor, w: Tensor, options: ConvOptions): ConvGeometry {
  const { stride = 1, padding = 0, groups = 1 } = options;
  const refuse = (why: string): never => {
    throw new ShapeError(`${op}: x ${shapeText(x.shape)} and w ${shapeText(w.shape)}: ${why}`);
  };
  if (x.shape.length !== 4 || w.shape.length !== 4) refuse('both must have 4 dimensions (NHWC and HWIO)');
  if (!isCount(stride)) refuse(`stride ${stride} is not a positive integer`);
  if (!Number.isInteger(padding) || padding < 0) refuse(`padding ${padding} is not a whole number`);
  const [batch, inHeight, inWidth, inChannels] = x.shape as [number, number, number, number];
  const [kernelHeight, kernelWidth, groupChannels, outChannels] = w.shape as [number, number, number, number];
  if (batch === 0) refuse('the batch is empty');
  if (!Number.isInteger(groups) || groups < 1 || inChannels % groups !== 0 || outChannels % groups !== 0)
    refuse(`${groups} groups do not divide ${inChannels} input and ${outChannels} output channels`);
  if (groupChannels * groups !== inChannels)
    refuse(`w takes ${groupChannels * groups} input channels in ${groups} group(s), x has ${inChannels}`);
  const outHeight = Math.floor((inHeight + 2 * padding - kernelHeight) / stride) + 1;
  const outWidth = Math.floor((inWidth + 2 * padding - kernelWidth) / stride) + 1;
  if (outHeight < 1 || outWidth < 1) refuse(`the kernel is larger than the input padded by ${padding}`);
  return {
    batch,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    outChannels,
    kernelHeight,
    kernelWidth,
    stride,
    padTop: padding,
    padLeft: padding,
    groups,
  };
}

/** Shape [N, H', W', O] of the output of `g`. */
export function convOutputShape(g: ConvGeometry): readonly number[] {
  return [g.batch, g.outHeight, g.outWidth, g.outChannels];
}

/** Geometry of a product of a [m, k] or [N, m, k] and b [k, n] or [N, k, n], before transposition. @throws ShapeError */
export function matmulGeometry(op: string, a: Tensor, b: Tensor, options: MatmulOptions): MatmulGeometry {
  const { transposeA = false, transposeB = false } = options;
  const refuse = (why: string): never => {
    const text = (t: Tensor, transposed: boolean): string =>
      shapeText(t.shape) + (transposed ? ' transposed' : '');
    throw new ShapeError(`${op}: a ${text(a, transposeA)} and b ${text(b, transposeB)}: ${why}`);
  };
  const [dimensions, others] = [a.shape.length, b.shape.length];
  if (dimensions < 2 || dimensions > 3 || others < 2 || others > dimensions)
    refuse('a must have 2 or 3 dimensions, and b as many or 2');
  const lastTwo = (t: Tensor, transposed: boolean): [number, number] => {
    const [rows, columns] = t.shape.slice(-2) as [number, number];
    return transposed ? [columns, rows] : [rows, columns];
  };
  const [rows, depth] = lastTwo(a, transposeA);
  const [bRows, columns] = lastTwo(b, transposeB);
  if (depth !== bRows) refuse(`a has ${depth} columns, b has ${bRows} rows`);
  const batch = dimensions === 3 ? (a.shape[0] as number) : 1;
  if (others === 3 && b.shape[0] !== batch) refuse(`a has ${batch} items, b has ${b.shape[0]}`);
  return { batch, rows, columns, depth, transposeA, transposeB, sharedB: others === 2, accumulate: false };
}

/** Geometry of x [..., I] times w [I, O] or [1, 1, I, O]. @throws ShapeError */
export function linearGeometry(op: string, x: Tensor, w: Tensor): MatmulGeometry {
  const refuse = (why: string): never => {
    throw new ShapeError(`${op}: x ${shapeText(x.shape)} and w ${shapeText(w.shape)}: ${why}`);
  };
  if (x.shape.length === 0) refuse('x has no channels');
  if (w.shape.length < 2 || w.shape.slice(0, -2).some((extent) => extent !== 1))
    refuse('w must be [in, out], with ones before them at most');
  const depth = x.shape.at(-1) as number;
  const [inputs, columns] = w.shape.slice(-2) as [number, number];
  if (depth !== inputs) refuse(`w takes ${inputs} channels, x has ${depth}`);
  const rows = sizeOf(x.shape.slice(0, -1));
  const plain = { transposeA: false, transposeB: false, sharedB: true, accumulate: false };
  return { batch: 1, rows, columns, depth, ...plain };
}

/** Geometry of attention of q [N, T, C] over k [N, S, C] and v [N, S, D]. @throws ShapeError, RangeError for a wrong option */
export function attentionGeometry(
  op: string,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: AttentionOptions,
): AttentionGeometry {
  const { heads, causal = false } = options;
  const keyCounts = options.keyCounts?.slice(); // the caller may use its array again before the backward pass
  const refuse = (why: string): never => {
    throw new ShapeError(
      `${op}: q ${shapeText(q.shape)}, k ${shapeText(k.shape)} and v ${shapeText(v.shape)}: ${why}`,
    );
  };
  if (q.shape.length !== 3 || k.shape.length !== 3 || v.shape.length !== 3)
    refuse('each must have 3 dimensions (items, tokens, channels)');
  const [batch, queries, channels] = q.shape as [number, number, number];
  const [items, keys, keyChannels] = k.shape as [number, number, number];
  const [valueItems, values, valueChannels] = v.shape as [number, number, number];
  if (items !== batch || valueItems !== batch) refuse('they differ in items');
  if (values !== keys) refuse(`there are ${keys} keys and ${values} values`);
  if (keyChannels !== channels) refuse(`queries have ${channels} channels, keys ${keyChannels}`);
  if (!Number.isInteger(heads) || heads < 1 || channels % heads !== 0 || valueChannels % heads !== 0)
    refuse(`${heads} heads do not divide ${channels} channels of keys and ${valueChannels} of values`);
  if (causal && queries > keys) refuse(`causal attention of ${queries} queries needs as many keys`);
  if (keyCounts !== undefined && keyCounts.length !== batch)
    refuse(`there are ${keyCounts.length} counts of keys for ${batch} items`);
  const foreign = keyCounts?.find((count) => count < 1 || count > keys);
  if (foreign !== undefined)
    throw new RangeError(`${op}: ${foreign} of ${keys} keys cannot count (1 to ${keys})`);
  const scale = options.scale ?? 1 / Math.sqrt(channels / heads);
  if (!Number.isFinite(scale)) throw new RangeError(`${op}: scale ${scale} is not a finite number`);
  const [headChannels, ofValues] = [channels / heads, valueChannels / heads];
  return { batch, heads, queries, keys, headChannels, valueChannels: ofValues, causal, scale, keyCounts };
}

/** @throws ShapeError unless the two shapes are equal. */
export function requireSameShape(op: string, a: Tensor, b: Tensor): void {
  if (a.shape.length !== b.shape.length || a.shape.some((extent, i) => extent !== b.shape[i]))
    throw new ShapeError(`${op}: shapes ${shapeText(a.shape)} and ${shapeText(b.shape)} differ`);
}

/** @throws ShapeError unless `t` has exactly the shape that goes with `x`. */
export function requireShape(
  op: string,
  what: string,
  t: Pick<Tensor, 'shape'>,
  shape: readonly number[],
  x: Tensor,
): void {
  if (t.shape.length === shape.length && t.shape.every((extent, i) => extent === shape[i])) return;
  throw new ShapeError(
    `${op}: ${what} has shape ${shapeText(t.shape)}, expected ${shapeText(shape)} for ${shapeText(x.shape)}`,
  );
}

/** @throws ShapeError when an input has no elements (an empty batch, a layer without channels). */
export function requireElements(op: string, inputs: readonly Tensor[]): void {
  if (inputs.some(isEmpty))
    throw new ShapeError(
      `${op}: nothing to compute on ${inputs.map(({ shape }) => shapeText(shape)).join(' and ')}`,
    );
}

function isEmpty({ size }: Tensor): boolean {
  return size === 0;
}
