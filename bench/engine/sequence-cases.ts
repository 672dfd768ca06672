/**
 * @file Rows of the kernels that transformers are made of: attention, softmax and embedding.
 */
import { kernels } from '../../src/tensor/device.js';
import type { AttentionGeometry } from '../../src/tensor/kernels.js';
import { Bound, type BenchCase } from './case.js';
import { hashed, input } from './inputs.js';
import { traffic } from './traffic.js';

export function sequenceCases(): readonly BenchCase[] {
  return [
    attention(false),
    attention(true),
    softmax(false),
    softmax(true),
    embedding(false),
    embedding(true),
  ];
}

/** Multi-head self-attention over 64 sequences of 128 tokens, 4 heads of 32 channels. */
function attention(backward: boolean): BenchCase {
  const [batch, heads, tokens, headChannels] = [64, 4, 128, 32];
  const g: AttentionGeometry = {
    batch,
    heads,
    queries: tokens,
    keys: tokens,
    headChannels,
    valueChannels: headChannels,
    causal: false,
    scale: headChannels ** -0.5,
    keyCounts: undefined,
  };
  const product = batch * heads * tokens * tokens * headChannels;
  return {
    name: backward ? 'attention' : 'attention-forward',
    group: 'sequences',
    shape: `${batch} x ${heads} heads x ${tokens} x ${headChannels}${backward ? ', fwd + bwd' : ''}`,
    // Scores and values forward; backward dv, the gradient of the weights, dq and dk.
    work: [{ bound: Bound.MultiplyAccumulate, amount: (backward ? 6 : 2) * product }],
    headline: backward,
    peer: { kind: 'attention', pass: backward ? 'both' : 'forward', batch, heads, tokens, headChannels },
    build() {
      const device = kernels();
      const length = batch * tokens * heads * headChannels;
      const [q, k, v, dy] = [1, 2, 3, 4].map((seed) => input(length, seed)) as [
        Float32Array,
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      const empty = (): Float32Array => device.allocate(length);
      const [y, dq, dk, dv] = [empty(), empty(), empty(), empty()];
      const logSums = device.allocate(batch * heads * tokens);
      return {
        run() {
          device.attentionForward(g, q, k, v, y, logSums);
          if (backward) device.attentionGradient(g, q, k, v, y, logSums, dy, dq, dk, dv);
        },
        outputs: () => (backward ? [y, dq, dk, dv] : [y]),
      };
    },
  };
}

function softmax(gradient: boolean): BenchCase {
  const [rows, columns] = [32_768, 128];
  const length = rows * columns;
  return {
    name: gradient ? 'softmax-gradient' : 'softmax',
    group: 'sequences',
    shape: `${rows} x ${columns}`,
    work: traffic(length, gradient ? 3 : 2),
    peer: { kind: 'softmax', pass: gradient ? 'gradient' : 'forward', rows, columns },
    build() {
      const device = kernels();
      const [x, dy] = [input(length, 1), input(length, 2)];
      const [y, dx] = [device.allocate(length), device.allocate(length)];
      device.softmax(rows, columns, false, x, y);
      if (!gradient) return { run: () => device.softmax(rows, columns, false, x, y), outputs: () => [y] };
      return { run: () => device.softmaxGradient(rows, columns, false, y, dy, dx), outputs: () => [dx] };
    },
  };
}

/** Words of a batch of sentences, from a vocabulary of subwords. */
function embedding(gradient: boolean): BenchCase {
  const form = { count: 8192, rows: 10_000, width: 256 };
  const { count, rows, width } = form;
  return {
    name: gradient ? 'embedding-gradient' : 'embedding',
    group: 'sequences',
    shape: `${count} of ${rows} x ${width}`,
    // The gradient clears the table, then reads dy and adds to the rows in use.
    work: gradient ? traffic((rows + 3 * count) * width, 1) : traffic(count * width, 2),
    peer: {
      kind: 'embedding',
      pass: gradient ? 'gradient' : 'forward',
      count,
      entries: rows,
      channels: width,
    },
    build() {
      const device = kernels();
      const indices = Int32Array.from({ length: count }, (_, i) =>
        Math.min(rows - 1, Math.floor(((Math.fround(hashed(i, 1)) + 1) / 2) * rows)),
      );
      if (!gradient) {
        const [table, y] = [input(rows * width, 2), device.allocate(count * width)];
        return { run: () => device.embedding(form, table, indices, y), outputs: () => [y] };
      }
      const [dy, dtable] = [input(count * width, 3), device.allocate(rows * width)];
      return { run: () => device.embeddingGradient(form, indices, dy, dtable), outputs: () => [dtable] };
    },
  };
}
