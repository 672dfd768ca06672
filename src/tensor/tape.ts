/**
 * @file Reverse-mode differentiation by a tape.
 *
 * While a tape records, every op over a tensor that requires a gradient appends an entry with its backward rule, and
 * the entry holds what that rule needs, so that everything else goes back to the pool when its scope ends.
 * `backward` walks the entries from last to first; when it leaves an entry, nothing later needs the entry's output or
 * what it held, so those buffers go back there and then. Leaves (parameters) keep their accumulated gradient.
 * Operator families define deliberate gradient rules by calling {@link record} with their own `backward`.
 */
import { kernels } from './device.js';
import { isShared, release, share, take } from './pool.js';
import { currentScope, inScope, type Scope, type Temporary } from './scope.js';
import { requireElements } from './shape.js';
import { Tensor } from './tensor.js';

/** What an op's backward rule reads beside the output's gradient; the rest may be gone by then. */
export interface Needs {
  readonly tensors: readonly Tensor[];
  /** Whether it reads the output's data. */
  readonly output: boolean;
}

/** `needed` if the gradient of `tensor` will be asked for, for a list of {@link Needs}. */
export function ifTrained(tensor: Tensor, needed: Tensor): readonly Tensor[] {
  return tensor.requiresGradient ? [needed] : [];
}

interface Entry {
  readonly output: Tensor;
  readonly held: readonly Tensor[];
  readonly backward: (outputGradient: Float32Array) => void;
}

/** The tape that records now. */
let recording: Tape | undefined;
/** Whether outputs of ops over trainable leaves require gradients: on a tape, and in a checkpoint's first pass. */
let tracking = false;
let recomputing = false;
let places: string[] = [];
let watch: ((op: string, place: string, output: Tensor) => void) | undefined;

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
 * `compute` fills the output's data; `backward` receives dL/doutput and calls {@link contribute}, {@link passOn} or
 * {@link give} for its inputs. `needs` defaults to all inputs and the output; an op that made temporaries of its own
 * for the backward pass must name them. @throws ShapeError when an input is empty
 */
export function record(
  op: string,
  inputs: readonly Tensor[],
  shape: readonly number[],
  compute: (output: Float32Array) => void,
  backward: (outputGradient: Float32Array) => void,
  needs: Needs = { tensors: inputs, output: true },
): Tensor {
  requireElements(op, inputs);
  const tracked = tracking && inputs.some(requiresGradient);
  const output = Tensor.temporary(shape, tracked);
  compute(output.data);
  watch?.(op, places.at(-1) ?? '', output);
  if (tracked) recording?.append(output, needs, backward);
  return output;
}

function requiresGradient(tensor: Tensor): boolean {
  return tensor.requiresGradient;
}

/**
 * Adds to the gradient of `tensor` what `write` fills into the buffer it is given. Skipped where no gradient is
 * required, so frozen parameters cost nothing.
 */
export function contribute(tensor: Tensor, write: (gradient: Float32Array) => void): void {
  if (!tensor.requiresGradient) return;
  const buffer = take(tensor.size);
  fill(buffer, write);
  give(tensor, buffer);
}

/** Has a buffer of the pool written; it goes back when that fails. */
function fill(buffer: Float32Array, write: (buffer: Float32Array) => void): void {
  try {
    write(buffer);
  } catch (error) {
    release(buffer);
    throw error;
  }
}

/**
 * As {@link contribute}, for a tensor of the output's size and a `write` that may overwrite `outputGradient`, which it
 * is given where nobody else holds that. To be called last in a backward rule.
 */
export function contributeInPlace(
  tensor: Tensor,
  outputGradient: Float32Array,
  write: (gradient: Float32Array) => void,
): void {
  if (!tensor.requiresGradient) return;
  const buffer = ownedOrNew(outputGradient);
  fill(buffer, write);
  give(tensor, buffer);
}

/** A buffer of the same length for the caller to write and release: the same one where nobody else holds it. */
export function ownedOrNew(gradient: Float32Array): Float32Array {
  return isShared(gradient) ? take(gradient.length) : share(gradient);
}

/** Adds an output's gradient to that of `tensor` unchanged, without copying where that can be. */
export function passOn(tensor: Tensor, outputGradient: Float32Array): void {
  if (!tensor.requiresGradient) return;
  // Leaf gradients outlive the backward pass, and others write to them: no two leaves may share one.
  if (tensor.isLeaf && isShared(outputGradient))
    contribute(tensor, (gradient) => gradient.set(outputGradient));
  else give(tensor, share(outputGradient));
}

/** Adds `buffer`, which came from the pool, to the gradient of `tensor`; the tensor takes it over. */
export function give(tensor: Tensor, buffer: Float32Array): void {
  const held = tensor.gradient;
  if (!tensor.requiresGradient) release(buffer);
  else if (held === undefined) tensor.gradient = buffer;
  else if (!isShared(held)) {
    kernels().axpy(1, buffer, held);
    release(buffer);
  } else {
    const sum = take(held.length);
    kernels().add(false, held, buffer, sum);
    release(held);
    release(buffer);
    tensor.gradient = sum;
  }
}

/** One recorded forward pass. */
export class Tape implements Scope {
  readonly #entries: Entry[] = [];
  readonly #owned: Temporary[] = [];
  #disposed = false;

  /** Runs `forward`, recording. The tape owns every temporary made meanwhile, until `backward` or `dispose`. */
  static record<T>(forward: () => T): { readonly value: T; readonly tape: Tape } {
    if (recording !== undefined) throw new Error('tapes do not nest');
    const tape = new Tape();
    try {
      return { value: inMode(tape, true, () => inScope(tape, forward)), tape };
    } catch (error) {
      tape.dispose();
      throw error;
    }
  }

  add(temporary: Temporary): void {
    this.#owned.push(temporary);
  }

  append(output: Tensor, needs: Needs, backward: (outputGradient: Float32Array) => void): void {
    const held = needs.output ? [...needs.tensors, output] : needs.tensors;
    for (const tensor of held) tensor.hold();
    this.#entries.push({ output, held, backward });
  }

  /**
   * Accumulates d(loss)/d(leaf) times `weight` into the gradients of all leaves, then gives every temporary back. A
   * loss of several values counts as their sum; one that nothing trainable led to (all is frozen) has no gradients to give.
   * @throws Error when another tape, or none, recorded how the loss was made
   */
  backward(loss: Tensor, weight = 1): void {
    if (this.#disposed) throw new Error('use of a tape after it was disposed of');
    if (loss.requiresGradient && !this.#entries.some(({ output }) => output === loss)) {
      this.dispose();
      throw new Error('backward: this loss was not made by an op that this tape recorded');
    }
    contribute(loss, (gradient) => gradient.fill(weight));
    this.#walk();
  }

  /** As {@link backward}, from the gradient of an op's output that someone else holds too. */
  propagate(output: Tensor, outputGradient: Float32Array): void {
    passOn(output, outputGradient);
    this.#walk();
  }

  #walk(): void {
    try {
      for (let entry = this.#entries.pop(); entry !== undefined; entry = this.#entries.pop()) {
        try {
          const { gradient } = entry.output;
          if (gradient !== undefined) entry.backward(gradient);
        } finally {
          leave(entry);
        }
      }
    } finally {
      this.dispose();
    }
  }

  dispose(): void {
    this.#disposed = true;
    for (const entry of this.#entries) leave(entry);
    this.#entries.length = 0;
    for (const temporary of this.#owned) temporary.dispose();
    this.#owned.length = 0;
  }
}

function leave({ output, held }: Entry): void {
  output.dispose();
  for (const tensor of held) tensor.letGo();
}

function inMode<T>(tape: Tape | undefined, tracks: boolean, work: () => T): T {
  const before = { recording, tracking };
  recording = tape;
  tracking = tracks;
  try {
    return work();
  } finally {
    ({ recording, tracking } = before);
  }
}

/**
 * Runs `work` and lets go of every temporary it made but the tensor it returns, which moves to the enclosing scope.
 * They are given back, but for what a tape needs; when `work` throws, all of them are.
 */
export function tidy(work: () => Tensor): Tensor {
  const owned: Temporary[] = [];
  let result: Tensor | undefined;
  try {
    result = inScope({ add: (temporary) => owned.push(temporary) }, work);
    return result;
  } finally {
    for (const temporary of owned)
      if (temporary !== result) temporary.letGo();
      else currentScope()?.add(temporary);
  }
}

/** `x` through `layers` one after the other, each result let go of as soon as the next one is there. */
export function chain(x: Tensor, layers: readonly ((x: Tensor) => Tensor)[], count = layers.length): Tensor {
  const last = layers[count - 1];
  return last === undefined ? x : tidy(() => last(chain(x, layers, count - 1)));
}

/**
 * Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): `work` without anything kept for its backward pass but
 * `inputs`, the tensors it reads that may be let go of meanwhile; the backward pass runs it again, recording. `work`
 * must do the same both times: chance from labelled streams, and no lasting effects where {@link isRecomputing}.
 * Gradients are the same to the bit.
 */
export function checkpoint(inputs: readonly Tensor[], work: () => Tensor): Tensor {
  const tape = recording;
  if (tape === undefined) return tidy(work);
  const madeHere: Temporary[] = [];
  const heldPlaces = [...places];
  const output = inMode(undefined, true, () =>
    inScope({ add: (temporary) => madeHere.push(temporary) }, () => tidy(work)),
  );
  for (const temporary of madeHere) currentScope()?.add(temporary);
  if (madeHere.length === 0 || !output.requiresGradient) return output;
  tape.append(output, { tensors: inputs, output: false }, (outputGradient) => {
    const again = recompute(heldPlaces, () => Tape.record(() => tidy(work)));
    again.tape.propagate(again.value, outputGradient);
  });
  return output;
}

function recompute<T>(from: string[], work: () => T): T {
  const before = { places, recomputing };
  places = from;
  recomputing = true;
  try {
    return work();
  } finally {
    ({ places, recomputing } = before);
  }
}

/** Whether ops run a second time, for a checkpoint's backward pass: whoever keeps statistics has seen this pass. */
export function isRecomputing(): boolean {
  return recomputing;
}

/**
 * Runs `forward` and names the place and op of the first output that holds a NaN or an infinity; undefined when all
 * are finite. To be asked after a pass has failed: it looks at every output once.
 */
export function firstNonFinite(
  forward: () => unknown,
): { readonly place: string; readonly op: string } | undefined {
  let found: { readonly place: string; readonly op: string } | undefined;
  const owned: Temporary[] = [];
  const before = watch;
  watch = (op, place, { data }) => {
    if (found === undefined && !Number.isFinite(kernels().sumOfSquares(data))) found = { place, op };
  };
  try {
    inScope({ add: (temporary) => owned.push(temporary) }, forward);
  } finally {
    watch = before;
    for (const temporary of owned) temporary.dispose();
  }
  return found;
}
