/**
 * @file The axes of attention, on the tape: maps as rows of tokens, and heads as items of their own.
 */
import { ShapeError } from '../../base/errors.js';
import { requireElements, shapeText } from '../shape.js';
import { contribute, record } from '../tape.js';
import type { Tensor } from '../tensor.js';

/** x [N, T, heads * C] -> [N * heads, T, C]: every head an item. @throws ShapeError */
export function splitHeads(x: Tensor, heads: number): Tensor {
  requireElements('splitHeads', [x]);
  const [items, tokens, channels] = x.shape as [number, number, number];
  if (x.shape.length !== 3 || !Number.isInteger(heads) || heads < 1 || channels % heads !== 0)
    throw new ShapeError(`splitHeads: ${shapeText(x.shape)} is not [N, T, C] with C in ${heads} heads`);
  const layout = { items, tokens, heads, channels: channels / heads };
  return record(
    'splitHeads',
    [x],
    [items * heads, tokens, channels / heads],
    (y) => headsFirst(layout, x.data, y),
    (dy) => contribute(x, (dx) => headsLast(layout, dy, dx)),
    { tensors: [], output: false },
  );
}

/** x [N * heads, T, C] -> [N, T, heads * C], which undoes {@link splitHeads}. @throws ShapeError */
export function joinHeads(x: Tensor, heads: number): Tensor {
  requireElements('joinHeads', [x]);
  const [all, tokens, channels] = x.shape as [number, number, number];
  if (x.shape.length !== 3 || !Number.isInteger(heads) || heads < 1 || all % heads !== 0)
    throw new ShapeError(`joinHeads: ${shapeText(x.shape)} is not [N heads, T, C] with ${heads} heads`);
  const layout = { items: all / heads, tokens, heads, channels };
  return record(
    'joinHeads',
    [x],
    [all / heads, tokens, heads * channels],
    (y) => headsLast(layout, x.data, y),
    (dy) => contribute(x, (dx) => headsFirst(layout, dy, dx)),
    { tensors: [], output: false },
  );
}

interface HeadLayout {
  readonly items: number;
  readonly tokens: number;
  readonly heads: number;
  /** Of one head. */
  readonly channels: number;
}

/** [items, tokens, heads, channels] -> [items, heads, tokens, channels]. */
function headsFirst({ items, tokens, heads, channels }: HeadLayout, from: Float32Array, to: Float32Array) {
  let at = 0;
  for (let item = 0; item < items; item++)
    for (let head = 0; head < heads; head++)
      for (let token = 0; token < tokens; token++) {
        const row = ((item * tokens + token) * heads + head) * channels;
        for (let c = 0; c < channels; c++) to[at++] = from[row + c] as number;
      }
}

/** [items, heads, tokens, channels] -> [items, tokens, heads, channels]. */
function headsLast({ items, tokens, heads, channels }: HeadLayout, from: Float32Array, to: Float32Array) {
  let at = 0;
  for (let item = 0; item < items; item++)
    for (let head = 0; head < heads; head++)
      for (let token = 0; token < tokens; token++) {
        const row = ((item * tokens + token) * heads + head) * channels;
        for (let c = 0; c < channels; c++) to[row + c] = from[at++] as number;
      }
}
