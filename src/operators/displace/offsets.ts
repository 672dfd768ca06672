/**
 * @file Choosing one offset of a window for each channel, and taking channels, on the tape.
 */
import { contribute, record } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';

/**
 * Logits [k, k, 1, channels], one after the other -> 1 at the largest logit of each channel (the first of equal ones), 0 at
 * the others; NaN all over a channel with a NaN among its logits.
 */
export function oneHot(logits: Float32Array, channels: number): Float32Array {
  const chosen = new Float32Array(logits.length);
  for (let channel = 0; channel < channels; channel++) {
    let best = channel;
    let isNumber = true;
    for (let at = channel; at < logits.length; at += channels) {
      const logit = logits[at] as number;
      if (Number.isNaN(logit)) isNumber = false;
      if (logit > (logits[best] as number)) best = at;
    }
    if (isNumber) chosen[best] = 1;
    else for (let at = channel; at < logits.length; at += channels) chosen[at] = NaN;
  }
  return chosen;
}

/**
 * {@link oneHot} of logits [k, k, 1, channels], with the gradient of the softmax over the offsets of each channel in the place
 * of its own (straight-through): dl_i = p_i (dy_i - sum_j p_j dy_j).
 */
export function chosenOffsets(logits: Tensor): Tensor {
  const channels = logits.shape.at(-1) as number;
  return record(
    'chosenOffsets',
    [logits],
    logits.shape,
    (y) => y.set(oneHot(logits.data, channels)),
    (dy) => contribute(logits, (gradient) => softmaxGradient(logits.data, channels, dy, gradient)),
    { tensors: [logits], output: false },
  );
}

function softmaxGradient(
  logits: Float32Array,
  channels: number,
  dy: Float32Array,
  gradient: Float32Array,
): void {
  for (let channel = 0; channel < channels; channel++) {
    let largest = -Infinity;
    for (let at = channel; at < logits.length; at += channels)
      largest = Math.max(largest, logits[at] as number);
    let [total, along] = [0, 0];
    for (let at = channel; at < logits.length; at += channels) {
      const share = Math.exp((logits[at] as number) - largest);
      total += share;
      along += share * (dy[at] as number);
    }
    for (let at = channel; at < logits.length; at += channels)
      gradient[at] =
        (Math.exp((logits[at] as number) - largest) / total) * ((dy[at] as number) - along / total);
  }
}

/** Output channel i is channel `sources[i]` of x [N, H, W, C]; x itself where these are its channels in order. */
export function takeChannels(x: Tensor, sources: readonly number[]): Tensor {
  const channels = x.shape.at(-1) as number;
  if (inOrder(sources, channels)) return x;
  const rows = x.size / channels;
  const from = Int32Array.from(sources);
  return record(
    'takeChannels',
    [x],
    [...x.shape.slice(0, -1), from.length],
    (y) => {
      const { data } = x;
      for (let row = 0, at = 0; row < rows; row++)
        for (const source of from) y[at++] = data[row * channels + source] as number;
    },
    (dy) =>
      contribute(x, (dx) => {
        dx.fill(0);
        for (let row = 0, at = 0; row < rows; row++)
          for (const source of from) {
            const to = row * channels + source;
            dx[to] = (dx[to] as number) + (dy[at++] as number);
          }
      }),
    { tensors: [], output: false },
  );
}

/** Whether `sources` are all of `channels` in their order. */
export function inOrder(sources: readonly number[], channels: number): boolean {
  return sources.length === channels && sources.every((source, i) => source === i);
}
