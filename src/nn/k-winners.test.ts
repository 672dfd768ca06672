import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { normals, relativeError } from '../tensor/float64.cases.js';
import { mul } from '../tensor/ops/binary.js';
import { sum } from '../tensor/ops/reduction.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { KWinners, markWinners } from './k-winners.js';
import { Mode } from './module.js';

const settings = { percentOn: 0.25, boost: 0, boostFactor: 0.85 };

describe('markWinners', () => {
  it('marks exactly k of each row, none smaller than a loser, whatever the ties', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 40 }),
        fc.nat(),
        (row, pick) => {
          const k = 1 + (pick % row.length);
          const scores = Float32Array.from([...row, ...row.toReversed()]);
          const marks = new Float32Array(scores.length);
          markWinners(scores, row.length, k, marks);
          for (const start of [0, row.length]) {
            const indices = row.map((_, i) => start + i);
            const won = indices.filter((i) => marks[i] === 1);
            const lost = indices.filter((i) => marks[i] === 0);
            expect([won.length, lost.length]).toEqual([k, row.length - k]);
            for (const w of won)
              for (const l of lost)
                expect(scores[w]! > scores[l]! || (scores[w] === scores[l] && w < l)).toBe(true);
          }
        },
      ),
    );
  });
});

describe('KWinners', () => {
  const values = normals(3 * 2 * 2 * 4, 'values');
  const input = (trainable = false): Tensor => Tensor.persistent([3, 2, 2, 4], values, trainable);

  it.each([
    [false, 16, 4],
    [true, 4, 1],
  ])(
    'without a boost keeps the plain largest values as they are (over each position alone: %s)',
    (local, units, k) => {
      const layer = new KWinners('k', 4, settings, local);
      const x = input();
      const y = layer.forward(x, Mode.Training);
      for (let start = 0; start < values.length; start += units) {
        const row = [...values.subarray(start, start + units)];
        const border = row.toSorted((a, b) => b - a)[k - 1]!;
        row.forEach((value, i) => expect(y.data[start + i]).toBe(value >= border ? value : 0));
      }
      x.dispose();
      y.dispose();
    },
  );

  it('passes the gradient of winners and none of losers', () => {
    const layer = new KWinners('k', 4, settings);
    const x = input(true);
    const dy = normals(values.length, 'dy');
    let kept = new Float32Array(0);
    const { value, tape } = Tape.record(() => {
      const y = layer.forward(x, Mode.Training);
      kept = y.data.slice();
      return sum(mul(y, Tensor.view(y.shape, dy)));
    });
    tape.backward(value);
    x.gradient!.forEach((g, i) => expect(g).toBe(kept[i] === 0 ? 0 : dy[i]));
    x.dispose();
  });

  it('boosts by exp(beta (target - duty)) for the ranking alone', () => {
    const layer = new KWinners('k', 4, { ...settings, boost: 2 });
    layer.buffers[0]!.data.set([0.9, 0, 0.3, 0.25]);
    const x = input();
    const y = layer.forward(x, Mode.Evaluation);
    const duty = [0.9, 0, 0.3, 0.25];
    const scores = values.map((v, i) => v * Math.exp(2 * (0.25 - duty[i % 4]!)));
    for (let n = 0; n < 3; n++) {
      const row = scores.subarray(16 * n, 16 * n + 16);
      const border = [...row].toSorted((a, b) => b - a)[3]!;
      row.forEach((score, i) => expect(y.data[16 * n + i]).toBe(score >= border ? values[16 * n + i] : 0));
    }
    x.dispose();
    y.dispose();
  });

  it('follows the share of wins over a thousand samples, in training alone', () => {
    const layer = new KWinners('k', 4, settings, true);
    const duty = layer.buffers[0]!;
    let expected = new Float64Array(4);
    let seen = 0;
    for (let step = 0; step < 500; step++) {
      const data = normals(3 * 16, 'step', step);
      const x = Tensor.persistent([3, 2, 2, 4], data);
      layer.forward(x, Mode.Evaluation).dispose();
      const y = layer.forward(x, Mode.Training);
      seen += 3;
      const period = Math.min(1000, seen);
      expected = expected.map((held, c) => {
        let wins = 0;
        for (let p = 0; p < 12; p++) {
          const row = [...data.subarray(4 * p, 4 * p + 4)];
          if (row[c] === Math.max(...row)) wins++;
        }
        return (held * (period - 3) + wins / 4) / period;
      });
      x.dispose();
      y.dispose();
    }
    expect(relativeError(duty.data, expected)).toBeLessThan(1e-4);
    expect(duty.data.reduce((total, v) => total + v, 0)).toBeCloseTo(1, 4);
  });

  it('gives units that never win a turn', () => {
    const data = Float32Array.from({ length: 4 * 50 }, (_, i) => (i % 4 === 3 ? 1 : 1.2 + 0.01 * (i % 4)));
    const x = Tensor.persistent([50, 1, 1, 4], data);
    const everWon = (boost: number): boolean[] => {
      const layer = new KWinners('k', 4, { ...settings, boost });
      for (let step = 0; step < 100; step++) layer.forward(x, Mode.Training).dispose();
      return [...layer.buffers[0]!.data].map((duty) => duty > 0.05);
    };
    expect(everWon(0)).toEqual([false, false, true, false]);
    expect(everWon(1.5)).toEqual([true, true, true, true]);
    x.dispose();
  });

  it('weakens the boost after each epoch, lets more win outside training, and has at least one winner', () => {
    const layer = new KWinners('k', 10, {
      percentOn: 0.2,
      boost: 1.5,
      boostFactor: 0.85,
      inferenceFactor: 1.5,
    });
    layer.endEpoch();
    layer.endEpoch();
    expect(layer.buffers[2]!.data[0]).toBeCloseTo(1.5 * 0.85 ** 2, 6);
    expect([layer.winners(10, Mode.Training), layer.winners(10, Mode.Evaluation)]).toEqual([2, 3]);
    expect(new KWinners('k', 3, { ...settings, percentOn: 0.01 }).winners(3, Mode.Training)).toBe(1);
    for (const percentOn of [0, 1.1, NaN])
      expect(() => new KWinners('k', 3, { ...settings, percentOn })).toThrow(OptionError);
  });
});
