import { expect, test } from 'vitest';
import { listFamilies } from '../operators/registry.js';
import type { CandidateEvent, RunResult, TrainingEvent } from '../pipeline/run/result.js';
import { curvesOf } from './curves.js';
import { madeUpResult } from './fixture.cases.js';
import { histogramSection, momentsOf } from './histograms.js';
import { frameOf } from './chart.js';
import { labelWidth, placeLabels } from './scatter.js';
import { generationsOf, improvementsOf } from './trajectory.js';
import { viewOf } from './view.js';

function candidate(generation: number, accuracy: number, energyMj = 1): CandidateEvent {
  return {
    type: 'candidate',
    time: '',
    generation,
    genome: [generation, accuracy],
    origin: 'random',
    accuracy,
    energyMj,
    latencyMs: 1,
    macs: 1,
    params: 1,
  };
}

function report(epoch: number, step: number, loss: number): TrainingEvent {
  return {
    type: 'training',
    time: '',
    phase: 'supernet',
    epoch,
    step,
    loss,
    accuracy: 0.5,
    learningRate: 0.1,
  };
}

test('the trajectory counts only candidates within the budget as best, all of them for the median', () => {
  const candidates = [
    candidate(0, 0.5),
    candidate(0, 0.9, 3),
    candidate(0, 0.6),
    candidate(1, 0.55),
    candidate(1, 0.7),
  ];
  const budget = [{ quantity: 'energyMj', limit: 2 }];
  expect(improvementsOf({ candidates, budget })).toEqual([
    { evaluation: 1, accuracy: 0.5 },
    { evaluation: 3, accuracy: 0.6 },
    { evaluation: 5, accuracy: 0.7 },
  ]);
  const generations = generationsOf({ candidates });
  expect(generations.map(({ generation, from, to }) => [generation, from, to])).toEqual([
    [0, 0, 3],
    [1, 3, 5],
  ]);
  expect(generations[0]!.middle).toBe(0.6);
  expect(generations[1]!.middle).toBeCloseTo(0.625, 12);
});

test('a training report repeated by a resumed run counts once, the last one', () => {
  const [curve] = curvesOf([report(0, 10, 3), report(0, 20, 2), report(0, 20, 1.5), report(1, 30, 1)]);
  expect(curve!.steps).toEqual([10, 20, 30]);
  expect(curve!.losses).toEqual([3, 1.5, 1]);
});

test('steps that begin anew in every epoch are numbered', () => {
  const [curve] = curvesOf([report(0, 10, 3), report(0, 20, 2), report(1, 10, 1)]);
  expect(curve!.steps).toEqual([1, 2, 3]);
});

test('weights of the supernet are drawn with their distances and both laws; runs of before have none', () => {
  const view = (result: RunResult) => viewOf(result, [], listFamilies(), { name: 'run' });
  const drawn = histogramSection(view(madeUpResult())).text;
  for (const family of ['Convolution', 'Add (AdderNet)']) expect(drawn).toContain(`supernet, ${family}`);
  expect(drawn).toContain('distance to the Gaussian 0.06');
  expect(drawn.match(/class="law"/g)).toHaveLength(6);
  expect(drawn).not.toContain('NaN');
  const { supernet, ...before } = madeUpResult();
  expect(supernet).toBeDefined();
  expect(histogramSection(view(before)).text).not.toContain('supernet, ');
});

test('excess kurtosis of a histogram: 0 for a Gaussian, 3 for Laplace, -1.2 for a uniform distribution', () => {
  const edges = Array.from({ length: 2001 }, (_, at) => -20 + at * 0.02);
  const histogram = (density: (x: number) => number) => ({
    family: '',
    edges,
    counts: edges.slice(1).map((edge) => 1e6 * density(edge - 0.01)),
  });
  expect(momentsOf(histogram((x) => Math.exp((-x * x) / 2))).excessKurtosis).toBeCloseTo(0, 3);
  expect(momentsOf(histogram((x) => Math.exp(-Math.abs(x)))).excessKurtosis).toBeCloseTo(3, 2);
  expect(momentsOf(histogram((x) => (Math.abs(x) < 1 ? 1 : 0))).excessKurtosis).toBeCloseTo(-1.2, 2);
  expect(momentsOf(histogram((x) => Math.exp((-x * x) / 2))).deviation).toBeCloseTo(1, 3);
});

test('labels of crowded marks do not overlap and stay inside the frame', () => {
  const frame = frameOf(900, 460);
  const marks = ['hybrid', 'all-conv', 'all-shift', 'all-add', 'conv-scaled'].map((text, at) => ({
    x: 860 + at,
    y: 200 + 3 * at,
    text,
  }));
  const labels = placeLabels(marks, frame);
  const boxes = labels.map(({ x, y, anchor }, at) => {
    const width = labelWidth(marks[at]!.text);
    const left = anchor === 'start' ? x : x - width;
    return { left, right: left + width, y };
  });
  boxes.forEach((box, at) => {
    expect(box.left).toBeGreaterThanOrEqual(frame.left);
    expect(box.right).toBeLessThanOrEqual(frame.right);
    for (const other of boxes.slice(at + 1))
      expect(other.left > box.right || other.right < box.left || Math.abs(box.y - other.y) >= 14).toBe(true);
  });
});
