import { describe, expect, it } from 'vitest';
import { Bound, type BenchCase } from './case.js';
import type { Measurement } from './measure.js';
import { rowOf, type Row } from './result.js';
import { publishedLines, shiftLines, tableHead, tableRow, targetLines } from './table.js';
import { judge } from './targets.js';

const benchCase: BenchCase = {
  name: 'conv3x3-forward',
  group: 'convolution',
  shape: '64 x 32x32x64->64 3x3',
  work: [
    { bound: Bound.MultiplyAccumulate, amount: 1 },
    { bound: Bound.MultiplyAccumulate, amount: 1 },
    { bound: Bound.ClampedGradient, amount: 1 },
  ],
  build: () => ({ run: () => undefined }),
};

const calm = (...ms: number[]) => ({ ms, disturbed: ms.map(() => false) });

function measured(threads: number, ours: readonly number[], torch?: readonly number[]): Measurement {
  return {
    threads,
    ours: calm(...ours),
    calls: 1,
    torch: torch && {
      form: 'channels last',
      forms: { 'channels last': 20, NCHW: 30 },
      published: { form: 'NCHW', ms: 30 },
      digests: null,
      facts: {},
      samples: calm(...torch),
    },
  };
}

const row = (name: string, threads: number, values: Partial<Row>): Row => ({
  ...rowOf({ ...benchCase, name }, measured(threads, [10, 10, 10]), undefined, undefined),
  ...values,
});

describe('rowOf', () => {
  it('holds medians against each other, the peak and one thread', () => {
    const single = measured(1, [21, 20, 19]);
    const made = rowOf(benchCase, measured(2, [11, 9, 10], [12, 30, 15]), 8, single);
    expect(made).toMatchObject({
      name: 'conv3x3-forward',
      threads: 2,
      clock: 'wall',
      oursMs: 10,
      torchMs: 15,
      ratioToTorch: 1.5,
      fractionOfPeak: 0.8,
      boundBy: ['fma', 'clamp'],
      speedup: 2,
      repetitions: 3,
      torchRepetitions: 3,
      torchForm: 'channels last',
    });
    expect(made.oursQuartilesMs).toEqual([9.5, 10.5]);
  });

  it('leaves open what was not measured', () => {
    expect(rowOf(benchCase, measured(1, [4]), undefined, measured(1, [4]))).toMatchObject({
      clock: 'processor',
      oursMs: 4,
      torchMs: null,
      ratioToTorch: null,
      torchQuartilesMs: null,
      torchForm: null,
      fractionOfPeak: null,
      speedup: null,
    });
  });
});

describe('judge', () => {
  it('meets a target at it and misses it below, per number of threads', () => {
    const rows = [
      row('conv3x3-forward', 1, { ratioToTorch: 1 }),
      row('conv3x3-forward', 2, { ratioToTorch: 0.999 }),
      row('batchnorm', 1, { ratioToTorch: 3.5 }),
      row('relu', 1, { ratioToTorch: 0.1 }),
      row('attention', 1, { ratioToTorch: null }),
    ];
    expect(judge(rows).map(({ what, threads, wanted, met }) => [what, threads, wanted, met])).toEqual([
      ['conv3x3-forward / PyTorch', 1, 1, true],
      ['conv3x3-forward / PyTorch', 2, 1, false],
      ['batchnorm / PyTorch', 1, 3, true],
    ]);
  });

  it('asks long kernels to gain from a second thread', () => {
    const rows = [
      row('long', 2, { oursMs: 6, speedup: 1.7 }),
      row('flat', 2, { oursMs: 9, speedup: 1.2 }),
      row('short', 2, { oursMs: 5, speedup: 1.2 }),
      row('four', 4, { oursMs: 50, speedup: 1.2 }),
    ];
    expect(judge(rows).map(({ what, met }) => [what, met])).toEqual([
      ['long / 1 thread', true],
      ['flat / 1 thread', false],
    ]);
  });
});

describe('table', () => {
  it('keeps columns under their titles', () => {
    const titles = tableHead().split('\n').at(-1) ?? '';
    const text = tableRow(
      row('add3x3-forward', 2, {
        oursMs: 18.2,
        torchMs: 904,
        torchQuartilesMs: [858, 950],
        ratioToTorch: 49.67,
        fractionOfPeak: 0.84,
        speedup: 1.95,
        torchForm: 'unfold, cdist',
      }),
    );
    const endOf = (line: string, part: string): number => line.indexOf(part) + part.length;
    expect(endOf(text, '18.2')).toBe(endOf(titles, 'ours ms'));
    expect(endOf(text, ' 904')).toBe(endOf(titles, 'torch ms'));
    expect(endOf(text, '49.7x')).toBe(endOf(titles, 'ratio'));
    expect(endOf(text, '84 %')).toBe(endOf(titles, 'of peak'));
    expect(endOf(text, '1.95x')).toBe(endOf(titles, 'gain'));
    expect(text).toContain('±5 %');
    expect(text).toMatch(/ unfold, cdist$/);
  });

  it('names published forms only where the table shows another', () => {
    const shown = row('add3x3-forward', 1, {
      oursMs: 40,
      torchForm: 'blocks',
      torchPublished: { form: 'unfold, cdist', ms: 1600 },
    });
    expect(publishedLines([shown])).toMatch(/add3x3-forward +1 thread +1600 ms +40\.0x ours +unfold, cdist/);
    expect(publishedLines([{ ...shown, torchForm: 'unfold, cdist' }])).toBe('');
  });

  it('says what share of a shift layer the rounding is', () => {
    const rows = [row('conv3x3-forward', 1, { oursMs: 20 }), row('power-of-two-3x3', 1, { oursMs: 0.02 })];
    expect(shiftLines(rows)).toContain('rounding takes 0.100 % of the convolution');
    expect(shiftLines(rows.slice(1))).toBe('');
  });

  it('counts the targets that were met', () => {
    const targets = judge([
      row('conv3x3-forward', 1, { ratioToTorch: 1.2 }),
      row('batchnorm', 1, { ratioToTorch: 2 }),
    ]);
    const text = targetLines(targets);
    expect(text).toContain('targets: 1 of 2 met');
    expect(text).toMatch(/ {2}MISSED batchnorm/);
  });
});
