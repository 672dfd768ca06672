import { describe, expect, it } from 'vitest';
import { array64, matmul64, normals, relativeError, type Array64 } from '../../tensor/float64.cases.js';
import { mul } from '../../tensor/ops/binary.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import {
  aboveMean,
  headsOf,
  linearBinaryAttention,
  linearKernel,
  normalisedAttention,
  overPositions,
  softmaxAttention,
  swappedAttention,
  unitRows,
  type AttentionRule,
} from './core.js';
import { attended64, type Rule64 } from './oracle.cases.js';

const shape = [2, 10, 8];
const drawn = (label: string): Float32Array => normals(160, 'attention core', label);
const rules: readonly (readonly [Rule64, AttentionRule])[] = [
  ['softmax', softmaxAttention],
  ['normalised', normalisedAttention],
  ['swapped', swappedAttention],
  ['linearBinary', linearBinaryAttention],
];

describe.each(rules)('%s', (name, rule) => {
  it.each([1, 2, 4])('forward and gradients of %i heads are those of the definition', (heads) => {
    const [q, k, v] = ['q', 'k', 'v'].map((label) => Tensor.persistent(shape, drawn(label), true)) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const dy = drawn('dy');
    const { value, tape } = Tape.record(() => {
      const y = rule(q, k, v, heads);
      return { y: y.data.slice(), loss: sum(mul(y, Tensor.view(shape, dy))) };
    });
    tape.backward(value.loss);
    const of = (values: Float32Array): Array64 => array64(shape, values);
    const expected = attended64(name, of(q.data), of(k.data), of(v.data), of(dy), heads);
    expect(relativeError(value.y, expected.y.data)).toBeLessThan(2e-6);
    expect(relativeError(q.gradient!, expected.dq.data), 'dq').toBeLessThan(4e-6);
    expect(relativeError(k.gradient!, expected.dk.data), 'dk').toBeLessThan(4e-6);
    expect(relativeError(v.gradient!, expected.dv.data), 'dv').toBeLessThan(4e-6);
    for (const tensor of [q, k, v]) tensor.dispose();
  });

  it('takes the positions of a map in rows', () => {
    const map = (label: string): Tensor => Tensor.view([2, 2, 5, 8], drawn(label));
    const rows = (label: string): Tensor => Tensor.view(shape, drawn(label));
    const ofMaps = tidy(() => overPositions(rule, map('q'), map('k'), map('v'), 2));
    const ofRows = tidy(() => rule(rows('q'), rows('k'), rows('v'), 2));
    expect(ofMaps.shape).toEqual([2, 2, 5, 8]);
    expect(ofMaps.data).toEqual(ofRows.data);
    ofMaps.dispose();
    ofRows.dispose();
  });
});

describe('softmax and swapped attention', () => {
  it('differ in what sums to one: of an output, its weights; of a value, its parts of all outputs', () => {
    const [q, k] = [Tensor.view(shape, drawn('q')), Tensor.view(shape, drawn('k'))];
    const ones = Tensor.view(shape, new Float32Array(160).fill(1));
    const straight = tidy(() => softmaxAttention(q, k, ones, 2));
    expect(relativeError(straight.data, new Float32Array(160).fill(1))).toBeLessThan(1e-6);
    const swapped = tidy(() => swappedAttention(q, k, ones, 2));
    expect(relativeError(swapped.data, new Float32Array(160).fill(1))).toBeGreaterThan(0.1);
    // Every query hands out one whole: over the positions of an item, the outputs sum to their number.
    for (let item = 0; item < 2; item++)
      for (let c = 0; c < 8; c++) {
        let all = 0;
        for (let token = 0; token < 10; token++) all += swapped.data[(item * 10 + token) * 8 + c]!;
        expect(all).toBeCloseTo(10, 4);
      }
    straight.dispose();
    swapped.dispose();
  });
});

describe('normalised attention', () => {
  const run = (factors: readonly [number, number]): Float32Array => {
    const at = (label: string, factor: number): Tensor =>
      Tensor.view(
        shape,
        drawn(label).map((value) => factor * value),
      );
    const y = tidy(() => normalisedAttention(at('q', factors[0]), at('k', factors[1]), at('v', 1), 2));
    const values = y.data.slice();
    y.dispose();
    return values;
  };

  it('does not see the scale of queries and keys, however large', () => {
    const y = run([1, 1]);
    for (const factors of [
      [1e-3, 1],
      [50, 3],
      [1e6, 1e6],
    ] as const)
      expect(relativeError(run(factors), y)).toBeLessThan(2e-6);
  });

  it('of queries and keys of that length is softmax attention', () => {
    const unit = (label: string): Tensor => {
      const values = drawn(label);
      for (let from = 0; from < values.length; from += 4) {
        const row = values.subarray(from, from + 4);
        const length = Math.hypot(...row);
        row.forEach((value, i) => (row[i] = (2 * value) / length));
      }
      return Tensor.view(shape, values);
    };
    const v = Tensor.view(shape, drawn('v'));
    const [plain, normalised] = [softmaxAttention, normalisedAttention].map((rule) =>
      tidy(() => rule(unit('q'), unit('k'), v, 2)),
    ) as [Tensor, Tensor];
    expect(relativeError(normalised.data, plain.data)).toBeLessThan(2e-6);
    plain.dispose();
    normalised.dispose();
  });
});

describe('linear attention', () => {
  const view = (label: string): Tensor => Tensor.view(shape, drawn(label));

  it("(Q K') V = Q (K' V)", () => {
    const [q, k, v] = ['q', 'k', 'v'].map((label) => array64(shape, drawn(label))) as [
      Array64,
      Array64,
      Array64,
    ];
    const square = matmul64(matmul64(q, k, { transposeB: true }), v);
    const actual = tidy(() => linearKernel(view('q'), view('k'), view('v')));
    const expected = square.data.map((value, i) => value / Math.PI + v.data[i]! / 2);
    expect(relativeError(actual.data, expected)).toBeLessThan(2e-6);
    actual.dispose();
  });

  it('with queries and keys of ones adds the sums of the columns', () => {
    const ones = Tensor.view(shape, new Float32Array(160).fill(1));
    const v = drawn('v');
    const actual = tidy(() => linearKernel(ones, ones, view('v')));
    const expected = Float64Array.from(v, (value, i) => {
      const item = Math.floor(i / 80);
      let column = 0;
      for (let token = 0; token < 10; token++) column += v[item * 80 + token * 8 + (i % 8)]!;
      return value / 2 + (8 * column) / Math.PI;
    });
    expect(relativeError(actual.data, expected)).toBeLessThan(2e-6);
    actual.dispose();
  });

  it('binarises to zeros and ones, each item by its own mean over all heads', () => {
    const x = drawn('q').map((value, i) => value + (i < 80 ? 5 : -5));
    // Two heads: items 0 and 1 are of the first image.
    const bits = tidy(() => aboveMean(Tensor.view([4, 10, 4], x), 2));
    const means = [0, 80].map(
      (from) => x.subarray(from, from + 80).reduce((sum, value) => sum + value, 0) / 80,
    );
    expect([...bits.data]).toEqual([...x].map((value, i) => (value > means[i < 80 ? 0 : 1]! ? 1 : 0)));
    bits.dispose();
    const alone = tidy(() => aboveMean(Tensor.view([2, 10, 4], x.subarray(0, 80)), 2));
    expect(new Set(alone.data)).toEqual(new Set([0, 1]));
    alone.dispose();
  });

  it('gives rows of length one, and zeros for a row of zeros', () => {
    const x = drawn('q');
    x.fill(0, 8, 16);
    const tensor = Tensor.persistent(shape, x, true);
    const { value, tape } = Tape.record(() => unitRows(tensor));
    for (let row = 0; row < 20; row++) {
      const length = Math.hypot(...value.data.subarray(8 * row, 8 * row + 8));
      expect(length).toBeCloseTo(row === 1 ? 0 : 1, 6);
    }
    tape.backward(value);
    expect(tensor.gradient!.every(Number.isFinite)).toBe(true);
    tensor.dispose();
  });
});

describe('heads', () => {
  it('have 64 channels where they can, else as many below as divide, not under 16', () => {
    const widths = [64, 128, 512, 96, 48, 40, 16, 12, 67, 130].map(
      (channels) => channels / headsOf(channels),
    );
    expect(widths).toEqual([64, 64, 64, 48, 48, 40, 16, 12, 67, 26]);
  });
});
