import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { normals, relativeError } from '../tensor/float64.cases.js';
import { mul } from '../tensor/ops/binary.js';
import { sum } from '../tensor/ops/reduction.js';
import { checkpoint, Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { KWinners, markWinners } from './k-winners.js';
import { Mode } from './module.js';
import { encodeOnnx } from './onnx/encode.js';
import { OnnxGraph } from './onnx/graph.js';
import { layersOfGraph } from './onnx/priced-layers.js';
import { decodeOnnx } from './onnx/read.js';
import { runOnnx } from './onnx/run-onnx.cases.js';

const settings = { share: 0.25, boost: 0, factor: 0.85 };
const map = { height: 2, width: 2, channels: 4 };

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
      const layer = new KWinners('k', map, { ...settings, local });
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
    const layer = new KWinners('k', map, settings);
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

  it.each([0, 3])(
    'boosts by exp(beta (target - duty)) for the ranking alone, in training alone: epoch %d',
    (epoch) => {
      const duty = [0.9, 0, 0.3, 0.25];
      const winners = (mode: Mode): readonly number[] => {
        const layer = new KWinners('k', map, { ...settings, boost: 2 });
        layer.buffers[0]!.data.set(duty);
        const x = input();
        const y = layer.forward(x, mode, epoch);
        const kept = [...y.data];
        x.dispose();
        y.dispose();
        return kept;
      };
      const plainly = (strength: number): readonly number[] => {
        const scores = values.map((v, i) => v * Math.exp(strength * (0.25 - Math.fround(duty[i % 4]!))));
        return [...values].map((value, i) => {
          const row = scores.subarray(i - (i % 16), i - (i % 16) + 16);
          return scores[i]! >= [...row].toSorted((a, b) => b - a)[3]! ? value : 0;
        });
      };
      expect(winners(Mode.Training)).toEqual(plainly(2 * 0.85 ** epoch));
      expect(winners(Mode.Evaluation)).toEqual(plainly(0));
      expect(plainly(2 * 0.85 ** epoch)).not.toEqual(plainly(0));
    },
  );

  it('ranks as before in a pass that is computed again, although it has followed the duty cycles since', () => {
    const layer = new KWinners('k', map, { ...settings, boost: 20 });
    const gradient = (recompute: boolean): number[] => {
      const x = input(true);
      layer.buffers[0]!.data.set([0.5, 0.1, 0.3, 0.2]);
      layer.buffers[1]!.data.set([0]);
      const pass = (): Tensor => mul(layer.forward(x, Mode.Training), x);
      const { value, tape } = Tape.record(() => sum(recompute ? checkpoint([x], pass) : pass()));
      tape.backward(value);
      const found = [...x.gradient!];
      x.dispose();
      return found;
    };
    expect(gradient(true)).toEqual(gradient(false));
  });

  it.each([
    ['all units', false, map],
    ['the channels of each position', true, map],
    ['a vector', false, { height: 1, width: 1, channels: 16 }],
  ] as const)(
    'is in ONNX Runtime what it is here, ties and all: %s',
    async (_, local, { height, width, channels }) => {
      // Three values alone, so that borders are tied.
      const tied = values.map((v) => Math.sign(Math.round(v)));
      const layer = new KWinners(
        'k',
        { height, width, channels },
        { ...settings, local, boost: 3, inferenceFactor: 1.5 },
      );
      layer.buffers[0]!.data.fill(0.5, 0, 1);
      const x = Tensor.persistent([3, height, width, channels], tied);
      const y = layer.forward(x, Mode.Evaluation);
      expect(y.data.filter((v) => v !== 0).length).toBeLessThan(tied.filter((v) => v !== 0).length);
      const graph = new OnnxGraph('winners');
      const made = layer.lower(graph, graph.input('x', ['n', channels, height, width]));
      graph.output(graph.node('Identity', [made], {}, { name: 'y' }), ['n', channels, height, width]);
      const first = (data: Float32Array): Float32Array =>
        data.map((_v, i) => {
          const [p, above] = [i % (height * width), Math.floor(i / (height * width))];
          const [c, n] = [above % channels, Math.floor(above / channels)];
          return data[(n * height * width + p) * channels + c]!;
        });
      const bytes = encodeOnnx(graph);
      const run = await runOnnx(bytes, { x: { dims: [3, channels, height, width], data: first(tied) } });
      expect([...run.get('y')!.data]).toEqual([...first(y.data)]);
      expect(layersOfGraph(decodeOnnx(bytes, 'winners')).unpriced).toEqual([]);
      x.dispose();
      y.dispose();
    },
  );

  it('follows the share of wins over a thousand samples, in training alone', () => {
    const layer = new KWinners('k', map, { ...settings, local: true });
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
      const layer = new KWinners('k', { height: 1, width: 1, channels: 4 }, { ...settings, boost });
      for (let step = 0; step < 100; step++) layer.forward(x, Mode.Training).dispose();
      return [...layer.buffers[0]!.data].map((duty) => duty > 0.05);
    };
    expect(everWon(0)).toEqual([false, false, true, false]);
    expect(everWon(1.5)).toEqual([true, true, true, true]);
    x.dispose();
  });

  it('lets more win outside training, and has at least one winner', () => {
    const vector = (channels: number) => ({ height: 1, width: 1, channels });
    const layer = new KWinners('k', vector(10), { ...settings, share: 0.2, inferenceFactor: 1.5 });
    expect([layer.winners(Mode.Training), layer.winners(Mode.Evaluation)]).toEqual([2, 3]);
    expect(new KWinners('k', vector(3), { ...settings, share: 0.01 }).winners(Mode.Training)).toBe(1);
    for (const share of [0, 1.1, NaN])
      expect(() => new KWinners('k', vector(3), { ...settings, share })).toThrow(OptionError);
  });
});
