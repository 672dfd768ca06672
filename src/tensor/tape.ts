/**
 * @file Reverse-mode differentiation by a tape.
 *
 * While a tape records, every op over a tensor that requires a gradient appends an entry with its backward rule.
 * `backward` walks the entries from last to first; when it leaves an entry, nothing later needs the entry's output any
 * more, so its buffers go back to the pool there and then. Leaves (parameters) keep their accumulated gradient.
 * Operator families define deliberate gradient rules by calling {@link record} with their own `backward`.
 */
import { kernels } from './device.js';
import { release, take } from './pool.js';
import { currentScope, inScope, type Scope } from './scope.js';
import { Tensor } from './tensor.js';

interface Entry {
  readonly op: string;
  readonly place: string;
  readonly output: Tensor;
  readonly backward: (outputGradient: Float32Array) => void;
}

let recording: Tape | undefined;
const places: string[] = [];

/** Runs `work` with ops labelled by `place`, a full path, so that a failure can name the layer where it began; the innermost wins. */
export function at<T>(place: string, work: () => T): T {
  places.push(place);
  try {
    return work();
  } finally {
    places.pop();
  }
}

/**
 * The output of an op and, while recording and when some input requires a gradient, its entry on the tape.
 * `compute` fills the output's data; `backward` receives dL/doutput and calls {@link contribute} for its inputs.
 */
export function record(
  op: string,
  inputs: readonly Tensor[],
  shape: readonly number[],
  compute: (output: Float32Array) => void,
  backward: (outputGradient: Float32Array) => void,
): Tensor {
  const tracked = recording !== undefined && inputs.some((input) => input.requiresGradient);
  const output = Tensor.temporary(shape, tracked);
  compute(output.data);
  if (tracked) recording?.append({ op, place: places.at(-1) ?? '', output, backward });
  return output;
}

/**
 * Adds to the gradient of `tensor` what `write` fills into the buffer it is given. Skipped where no gradient is
 * required, so frozen parameters cost nothing.
 */
export function contribute(tensor: Tensor, write: (gradient: Float32Array) => void): void {
  if (!tensor.requiresGradient) return;
  const buffer = take(tensor.size);
  write(buffer);
  give(tensor, buffer);
}

/** Adds `buffer`, which came from the pool, to the gradient of `tensor`; the tensor takes it over. */
export function give(tensor: Tensor, buffer: Float32Array): void {
  if (tensor.requiresGradient && tensor.gradient === undefined) {
    tensor.gradient = buffer;
    return;
  }
  if (tensor.gradient !== undefined) kernels().axpy(1, buffer, tensor.gradient);
  release(buffer);
}

/** One recorded forward pass. */
export class Tape implements Scope {
  readonly #entries: Entry[] = [];
  readonly #owned = new Set<{ dispose(): void }>();

  /** Runs `forward`, recording. The tape owns every temporary made meanwhile, until `backward` or `dispose`. */
  static record<T>(forward: () => T): { readonly value: T; readonly tape: Tape } {
    if (recording !== undefined) throw new Error('tapes do not nest');
    const tape = new Tape();
    recording = tape;
    try {
      return { value: inScope(tape, forward), tape };
    } catch (error) {
      tape.dispose();
      throw error;
    } finally {
      recording = undefined;
    }
  }

  add(temporary: { dispose(): void }): void {
    this.#owned.add(temporary);
  }

  append(entry: Entry): void {
    this.#entries.push(entry);
  }

  /** Accumulates d(loss)/d(leaf) times `weight` into the gradients of all leaves, then gives every temporary back. */
  backward(loss: Tensor, weight = 1): void {
    contribute(loss, (gradient) => gradient.fill(weight));
    for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
      if (entry.output.gradient !== undefined) entry.backward(entry.output.gradient);
      entry.output.dispose();
      this.#owned.delete(entry.output);
    }
    this.dispose();
  }

  /** The place and op of the first recorded output that holds a NaN or an infinity; undefined when all are finite. */
  firstNonFinite(): { readonly place: string; readonly op: string } | undefined {
    return this.#entries.find((entry) => !Number.isFinite(kernels().sumOfSquares(entry.output.data)));
  }

  dispose(): void {
    this.#entries.length = 0;
    for (const temporary of this.#owned) temporary.dispose();
    this.#owned.clear();
  }
}

/**
 * Runs `work` and gives back every temporary it made but the tensor it returns, which moves to the enclosing scope.
 * When `work` throws, it gives all of them back. While a tape records it only runs `work`: the tape needs the temporaries.
 */
export function tidy(work: () => Tensor): Tensor {
  if (recording !== undefined) return work();
  const owned = new Set<{ dispose(): void }>();
  let result: Tensor | undefined;
  try {
    result = inScope({ add: (temporary) => owned.add(temporary) }, work);
    if (owned.has(result)) currentScope()?.add(result);
    return result;
  } finally {
    for (const temporary of owned) if (temporary !== result) temporary.dispose();
  }
}
