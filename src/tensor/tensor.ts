/**
 * @file Dense float32 tensors. Activations are NHWC, weights [kernelHeight, kernelWidth, in / groups, out].
 *
 * A tensor keeps its buffer while somebody holds it. Its maker holds it first: a scope (`tidy`, the tape) or, for a
 * persistent tensor, whoever made it. A tape entry holds what its backward pass needs. The last to let go gives the
 * buffer back; `dispose` does so at once, whoever still holds it.
 */
import { ShapeError } from '../base/errors.js';
import { release, take } from './pool.js';
import { currentScope } from './scope.js';
import { sizeOf } from './shape.js';

export class Tensor {
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly size: number;
  /** Accumulated gradient, same length as `data`; set by backward passes on tensors that require it. */
  gradient: Float32Array | undefined;
  #data: Float32Array | undefined;
  #holders = 1;
  #requiresGradient: boolean;
  readonly #pooled: boolean;

  private constructor(
    shape: readonly number[],
    data: Float32Array,
    pooled: boolean,
    requiresGradient: boolean,
    /** Not the output of an op: a parameter or an input. */
    readonly isLeaf: boolean,
  ) {
    this.shape = shape;
    this.size = data.length;
    this.#data = data;
    this.#pooled = pooled;
    this.#requiresGradient = requiresGradient;
  }

  /** A long-lived tensor outside every scope, over a copy of `values`. Trainable when `trainable`. */
  static persistent(shape: readonly number[], values: ArrayLike<number>, trainable = false): Tensor {
    checkLength(shape, values.length);
    const data = take(values.length);
    data.set(values);
    return new Tensor(shape, data, true, trainable, true);
  }

  /** An input over memory owned by someone else (a batch of the loader); disposing of it leaves the memory alone. */
  static view(shape: readonly number[], data: Float32Array): Tensor {
    checkLength(shape, data.length);
    return new Tensor(shape, data, false, false, true);
  }

  /** A temporary of the current scope with arbitrary content; ops fill it. */
  static temporary(shape: readonly number[], requiresGradient = false): Tensor {
    const tensor = new Tensor(shape, take(sizeOf(shape)), true, requiresGradient, false);
    currentScope()?.add(tensor);
    return tensor;
  }

  get data(): Float32Array {
    if (this.#data === undefined) throw new Error('use of a tensor after it was disposed of');
    return this.#data;
  }

  get disposed(): boolean {
    return this.#data === undefined;
  }

  /** Whether backward passes compute a gradient for it: a trainable leaf, or the output of an op over one. */
  get requiresGradient(): boolean {
    return this.#requiresGradient;
  }

  /** Freezes or thaws a leaf, from the next recorded pass on; a frozen one gives up the gradient it has. */
  setTrainable(trainable: boolean): void {
    if (!this.isLeaf) throw new Error('only leaves can be frozen; the output of an op follows its inputs');
    this.#requiresGradient = trainable;
    if (!trainable) this.dropGradient();
  }

  /** One holder more. */
  hold(): void {
    this.#holders++;
  }

  /** One holder less; the last gives the data back. The gradient stays until its own time. */
  letGo(): void {
    if (--this.#holders === 0) this.#releaseData();
  }

  /** Gives data and gradient back to the pool, whoever holds them. Idempotent. */
  dispose(): void {
    this.#releaseData();
    this.dropGradient();
  }

  dropGradient(): void {
    if (this.gradient !== undefined) release(this.gradient);
    this.gradient = undefined;
  }

  #releaseData(): void {
    if (this.#data !== undefined && this.#pooled) release(this.#data);
    this.#data = undefined;
  }
}

function checkLength(shape: readonly number[], length: number): void {
  if (!shape.every((extent) => Number.isInteger(extent) && extent >= 0))
    throw new ShapeError(`shape [${shape.join(', ')}] must be whole numbers`);
  if (sizeOf(shape) !== length)
    throw new ShapeError(`shape [${shape.join(', ')}] does not hold ${length} values`);
}
