/**
 * @file Pooling, on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { kernels } from '../device.js';
import type { PoolGeometry } from '../kernels.js';
import { shapeText } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** Mean over the map: x [N, H, W, C] -> [N, 1, 1, C]. @throws ShapeError */
export function globalAveragePool(x: Tensor): Tensor {
  if (x.shape.length !== 4) throw new ShapeError(`globalAveragePool: x ${shapeText(x.shape)} is not NHWC`);
  const [batch, height, width, channels] = x.shape as [number, number, number, number];
  const positions = height * width;
  return record(
    'globalAveragePool',
    [x],
    [batch, 1, 1, channels],
    (y) => kernels().globalAveragePool(batch, positions, channels, x.data, y),
    (dy) => contribute(x, (dx) => kernels().globalAveragePoolGradient(batch, positions, channels, dy, dx)),
    { tensors: [], output: false },
  );
}

export interface PoolOptions {
  /** Height and width of the window, or one number for both. */
  readonly kernel: number | readonly [number, number];
  /** Default: the kernel, so that windows do not overlap. */
  readonly stride?: number | readonly [number, number];
  /** On every side; less than the kernel. Default 0. */
  readonly padding?: number | readonly [number, number];
  /** The last windows may hang over the map (H' rounded up), so that nothing of it is left out. Default false. */
  readonly overhang?: boolean;
}

/**
 * Largest value of each window: x [N, H, W, C] -> [N, H', W', C], H' = floor((H + 2 padding - kernel) / stride) + 1.
 * Padding never takes part. The gradient of a window goes to the first of its largest values in row-major order, or to
 * its first NaN. @throws ShapeError
 */
export function maxPool(x: Tensor, options: PoolOptions): Tensor {
  const g = poolGeometry('maxPool', x, options);
  const y: Tensor = record(
    'maxPool',
    [x],
    [g.batch, g.outHeight, g.outWidth, g.channels],
    (out) => kernels().maxPool(g, x.data, out),
    (dy) => contribute(x, (dx) => kernels().maxPoolGradient(g, x.data, y.data, dy, dx)),
  );
  return y;
}

/**
 * Mean of each window: x [N, H, W, C] -> [N, H', W', C]. Padding counts as zeros, as in PyTorch, and what windows hang
 * over too; with `countPadding: false` neither counts. @throws ShapeError
 */
export function averagePool(
  x: Tensor,
  options: PoolOptions & {
    /** Default true. */
    readonly countPadding?: boolean;
  },
): Tensor {
  const g = poolGeometry('averagePool', x, options);
  const { countPadding = true } = options;
  return record(
    'averagePool',
    [x],
    [g.batch, g.outHeight, g.outWidth, g.channels],
    (out) => kernels().averagePool(g, countPadding, x.data, out),
    (dy) => contribute(x, (dx) => kernels().averagePoolGradient(g, countPadding, dy, dx)),
    { tensors: [], output: false },
  );
}

function poolGeometry(op: string, x: Tensor, options: PoolOptions): PoolGeometry {
  if (options?.kernel === undefined)
    throw new TypeError(`${op}: give the size of the windows, { kernel: 2 }`);
  const pair = (value: number | readonly [number, number]): readonly [number, number] =>
    typeof value === 'number' ? [value, value] : value;
  const kernel = pair(options.kernel);
  const stride = pair(options.stride ?? kernel);
  const padding = pair(options.padding ?? 0);
  const refuse = (why: string): never => {
    throw new ShapeError(`${op}: x ${shapeText(x.shape)} and kernel ${shapeText(kernel)}: ${why}`);
  };
  const isWhole = (least: number) => (value: number) => Number.isInteger(value) && value >= least;
  if (x.shape.length !== 4) refuse('x is not NHWC');
  if (!kernel.every(isWhole(1))) refuse('the kernel is not a positive integer');
  if (!stride.every(isWhole(1))) refuse(`stride ${shapeText(stride)} is not a positive integer`);
  if (!padding.every(isWhole(0))) refuse(`padding ${shapeText(padding)} is not a whole number`);
  // Then every window holds some of the map.
  if (padding[0] >= kernel[0] || padding[1] >= kernel[1])
    refuse(`padding ${shapeText(padding)} must be less than the kernel`);
  const [batch, inHeight, inWidth, channels] = x.shape as [number, number, number, number];
  const windows = (extent: number, axis: 0 | 1): number => {
    const behind = options.overhang === true ? stride[axis] - 1 : 0;
    const whole = extent + 2 * padding[axis] - kernel[axis];
    const count = Math.floor((whole + behind) / stride[axis]) + 1;
    // A window must begin on the map, or in the padding before it.
    return behind > 0 && (count - 1) * stride[axis] - padding[axis] >= extent ? count - 1 : count;
  };
  const [outHeight, outWidth] = [windows(inHeight, 0), windows(inWidth, 1)];
  if (outHeight < 1 || outWidth < 1)
    refuse(`the kernel is larger than the map padded by ${shapeText(padding)}`);
  return {
    batch,
    inHeight,
    inWidth,
    channels,
    outHeight,
    outWidth,
    kernelHeight: kernel[0],
    kernelWidth: kernel[1],
    strideHeight: stride[0],
    strideWidth: stride[1],
    padTop: padding[0],
    padLeft: padding[1],
  };
}
