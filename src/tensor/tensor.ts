/**
 * @file Dense float32 tensors. Activations are NHWC, weights [kernelHeight, kernelWidth, in / groups, out].
 *
 * A tensor owns its buffer until it is disposed of: by its scope (`tidy`), by the tape that recorded it, or by hand.
 */
import { ShapeError } from '../base/errors.js';
import { release, take } from './pool.js';
import { currentScope } from './scope.js';
import { sizeOf } from './shape.js';

export class Tensor {
  readonly shape: readonly number[];
  /** Accumulated gradient, same length as `data`; set by backward passes on tensors that require it. */
  gradient: Float32Array | undefined;
  #data: Float32Array | undefined;
  readonly #pooled: boolean;

  private constructor(
    shape: readonly number[],
    data: Float32Array,
    pooled: boolean,
    /** Whether backward passes compute a gradient for it: a trainable leaf, or the output of an op over one. */
    readonly requiresGradient: boolean,
  ) {
    this.shape = shape;
    this.#data = data;
    this.#pooled = pooled;
  }

  /** A long-lived tensor outside every scope, over a copy of `values`. Trainable when `trainable`. */
  static persistent(shape: readonly number[], values: ArrayLike<number>, trainable = false): Tensor {
    checkLength(shape, values.length);
    const data = take(values.length);
    data.set(values);
    return new Tensor(shape, data, true, trainable);
  }

  /** An input over memory owned by someone else (a batch of the loader); disposing of it leaves the memory alone. */
  static view(shape: readonly number[], data: Float32Array): Tensor {
    checkLength(shape, data.length);
    return new Tensor(shape, data, false, false);
  }

  /** A temporary of the current scope with arbitrary content; ops fill it. */
  static temporary(shape: readonly number[], requiresGradient = false): Tensor {
    const tensor = new Tensor(shape, take(sizeOf(shape)), true, requiresGradient);
    currentScope()?.add(tensor);
    return tensor;
  }

  get data(): Float32Array {
    if (this.#data === undefined) throw new Error('use of a tensor after it was disposed of');
    return this.#data;
  }

  get size(): number {
    return this.data.length;
  }

  get disposed(): boolean {
    return this.#data === undefined;
  }

  /** Gives data and gradient back to the pool. Idempotent. */
  dispose(): void {
    if (this.#data !== undefined && this.#pooled) release(this.#data);
    this.#data = undefined;
    this.dropGradient();
  }

  dropGradient(): void {
    if (this.gradient !== undefined) release(this.gradient);
    this.gradient = undefined;
  }
}

function checkLength(shape: readonly number[], length: number): void {
  if (sizeOf(shape) !== length)
    throw new ShapeError(`shape [${shape.join(', ')}] does not hold ${length} values`);
}
