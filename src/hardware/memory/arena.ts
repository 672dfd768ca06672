/**
 * @file Places buffers with known lifetimes into one block of memory, the arena, such that no two that live at the same
 * time overlap, and the arena is small.
 *
 * The problem is NP-hard (dynamic storage allocation), and runtimes place the buffers one by one, each at the lowest
 * offset where it fits between those that share a moment of its life ("first fit"). The order decides: TensorFlow Lite
 * Micro and others take the largest first (Pisarchyk and Lee, arXiv 2001.03288, call it greedy by size). No plan can be
 * smaller than the most bytes alive during one step, so a plan that reaches this bound is the best there is. Some order
 * always leads to the smallest arena: sorted by the offsets of any best plan, first fit places nothing higher.
 */
import { Random } from '../../base/random.js';
import type { Buffer } from './graph.js';

/** In which order buffers are placed. */
export enum PlanOrder {
  /** The largest first, as TensorFlow Lite Micro does. */
  Size = 'size',
  /** In the order in which they come to life. */
  Time = 'time',
  /** The better of both; where that misses the lower bound, further orders are tried for a better one. */
  Best = 'best',
}

export const planOrders: readonly PlanOrder[] = Object.values(PlanOrder);

/** A buffer and where it stands in the arena. */
export interface PlacedBuffer extends Buffer {
  /** In bytes from the start of the arena, a multiple of the alignment. */
  readonly offset: number;
  /** `bytes` rounded up to the alignment. */
  readonly alignedBytes: number;
}

export interface ArenaPlan {
  /** In the order in which they come to life. */
  readonly buffers: readonly PlacedBuffer[];
  /** Size of the arena. */
  readonly bytes: number;
  /** Most bytes (aligned) alive during one step: no arena can be smaller. */
  readonly boundBytes: number;
  /** The step that sets the bound; the first if several do. -1 and the number of steps stand for before and after. */
  readonly boundStep: number;
}

/** Microcontroller runtimes align tensors to 16 bytes, for vector loads. */
export const defaultAlignment = 16;

/** So many buffers are placed in every order there is, if need be: the plan is then the best. */
const mostPermuted = 6;
/** Of more buffers, orders tried beyond the two of the runtimes before a plan above the bound is accepted. */
const furtherTries = 400;

/** How {@link planArena} goes about it. */
export interface PlanOptions {
  /** In bytes; {@link defaultAlignment} when absent. */
  readonly alignment?: number;
  /** {@link PlanOrder.Best} when absent. */
  readonly order?: PlanOrder;
}

/**
 * Places `buffers`. Deterministic. @throws RangeError unless the alignment is a whole number above 0
 */
export function planArena(buffers: readonly Buffer[], options: PlanOptions = {}): ArenaPlan {
  const { alignment = defaultAlignment, order = PlanOrder.Best } = options;
  if (!Number.isSafeInteger(alignment) || alignment < 1)
    throw new RangeError(`an alignment must be a whole number of bytes above 0, not ${alignment}`);
  const sizes = buffers.map(({ bytes }) => Math.ceil(bytes / alignment) * alignment);
  const bound = mostAlive(buffers, sizes);
  const rivals = buffers.map((one) =>
    buffers.flatMap((other, at) => (other !== one && overlap(one, other) ? [at] : [])),
  );
  const place = (sequence: readonly number[]): Placement => firstFit(sequence, sizes, rivals);
  const bySize = [...buffers.keys()].sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const byTime = [...buffers.keys()];
  const best =
    order === PlanOrder.Size
      ? place(bySize)
      : order === PlanOrder.Time
        ? place(byTime)
        : bestOfOrders([bySize, byTime], place, bound.bytes);
  return {
    buffers: buffers.map((buffer, at) => ({
      ...buffer,
      offset: best.offsets[at]!,
      alignedBytes: sizes[at]!,
    })),
    bytes: best.bytes,
    boundBytes: bound.bytes,
    boundStep: bound.step,
  };
}

interface Placement {
  readonly offsets: readonly number[];
  readonly bytes: number;
}

/** Whether two buffers share a step of their lives. */
export function overlap(a: Buffer, b: Buffer): boolean {
  return a.firstStep <= b.lastStep && b.firstStep <= a.lastStep;
}

function mostAlive(buffers: readonly Buffer[], sizes: readonly number[]): { bytes: number; step: number } {
  let most = { bytes: 0, step: -1 };
  // The number of live bytes rises only where a buffer comes to life.
  for (const step of [...new Set(buffers.map(({ firstStep }) => firstStep))].sort((a, b) => a - b)) {
    const bytes = buffers.reduce(
      (sum, { firstStep, lastStep }, at) => (firstStep <= step && step <= lastStep ? sum + sizes[at]! : sum),
      0,
    );
    if (bytes > most.bytes) most = { bytes, step };
  }
  return most;
}

/** Each buffer of `sequence` at the lowest offset that is free of the rivals placed before it. */
function firstFit(
  sequence: readonly number[],
  sizes: readonly number[],
  rivals: readonly (readonly number[])[],
): Placement {
  const offsets = sizes.map(() => -1);
  let bytes = 0;
  for (const at of sequence) {
    const taken = rivals[at]!.filter((rival) => offsets[rival]! >= 0).sort(
      (a, b) => offsets[a]! - offsets[b]!,
    );
    let offset = 0;
    for (const rival of taken) {
      if (offsets[rival]! >= offset + sizes[at]!) break;
      offset = Math.max(offset, offsets[rival]! + sizes[rival]!);
    }
    offsets[at] = offset;
    bytes = Math.max(bytes, offset + sizes[at]!);
  }
  return { offsets, bytes };
}

/**
 * The best of `orders`; where that misses the bound, the best of all orders of few buffers, or of random exchanges of two
 * places in the best order so far, until the bound is reached.
 */
function bestOfOrders(
  orders: readonly (readonly number[])[],
  place: (sequence: readonly number[]) => Placement,
  bound: number,
): Placement {
  let order = orders[0]!;
  let best = place(order);
  const consider = (sequence: readonly number[]): void => {
    const placement = place(sequence);
    // An order that is no worse is a step sideways, off a plateau.
    if (placement.bytes <= best.bytes) order = sequence;
    if (placement.bytes < best.bytes) best = placement;
  };
  for (const other of further(orders, () => order)) {
    if (best.bytes <= bound) break;
    consider(other);
  }
  return best;
}

function* further(
  orders: readonly (readonly number[])[],
  best: () => readonly number[],
): Generator<readonly number[]> {
  yield* orders.slice(1);
  const count = orders[0]!.length;
  if (count <= mostPermuted) return yield* permutations(orders[0]!);
  const random = Random.stream('arena', count);
  for (let tries = 0; tries < furtherTries; tries++) {
    const order = best();
    const [a, b] = [random.integer(count), random.integer(count)];
    yield order.with(a, order[b]!).with(b, order[a]!);
  }
}

function* permutations(items: readonly number[]): Generator<readonly number[]> {
  if (items.length <= 1) yield items;
  for (const [at, first] of items.entries())
    if (items.length > 1) for (const rest of permutations(items.toSpliced(at, 1))) yield [first, ...rest];
}
