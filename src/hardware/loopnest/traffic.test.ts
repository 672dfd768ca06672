/**
 * @file The reuse rule: closed form against the literal walk, conservation, monotonicity.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { axisOverlap, axisWords, distinctOffsets } from './footprint.js';
import {
  dim,
  dimensionCount,
  dimensions,
  inputsIndex,
  outputsIndex,
  tensorCount,
  weightsIndex,
} from './problem.js';
import { simulate, type SimulatedLevel } from './simulate.cases.js';
import { HaloReuse, countTraffic, emptyTraffic, measureTiles, type Layout, type Nest } from './traffic.js';

/** Loops of random dimensions whose product stays small enough to walk. */
const loops = (most: number, dims: readonly number[]): fc.Arbitrary<SimulatedLevel['temporal']> =>
  fc.array(fc.record({ dimension: fc.constantFrom(...dims), count: fc.integer({ min: 1, max: 3 }) }), {
    maxLength: most,
  });

const everyDimension = dimensions.map((_, index) => index);
const slidingDimensions = [dim.P, dim.Q, dim.R, dim.S, dim.C, dim.M];

const mapping = fc
  .record({
    levelCount: fc.integer({ min: 1, max: 3 }),
    halo: fc.constantFrom(...Object.values(HaloReuse)),
    stride: fc.integer({ min: 1, max: 3 }),
    kept: fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }),
    isSliding: fc.boolean(),
  })
  .chain(({ levelCount, halo, stride, kept, isSliding }) => {
    const dims = isSliding ? slidingDimensions : everyDimension;
    return fc
      .array(fc.record({ temporal: loops(3, dims), spatial: loops(2, dims) }), {
        minLength: levelCount,
        maxLength: levelCount,
      })
      .filter((levels) => iterations(levels) <= 400)
      .map((levels) => {
        // The outermost level keeps everything.
        const keepers = Array.from({ length: tensorCount }, (_, tensor) =>
          levels
            .map((_, level) => level)
            .filter((level) => level === 0 || kept[level * tensorCount + tensor]),
        );
        return { levels, stride, layout: { levelCount, keepers, haloReuse: halo } satisfies Layout };
      });
  });

function iterations(levels: readonly SimulatedLevel[]): number {
  return levels
    .flatMap(({ temporal, spatial }) => [...temporal, ...spatial])
    .reduce((product, { count }) => product * count, 1);
}

function nestOf(levels: readonly SimulatedLevel[], stride: number): Nest {
  const flat = levels.flatMap(({ temporal }) => temporal);
  const levelStart = [0];
  for (const { temporal } of levels) levelStart.push(levelStart.at(-1)! + temporal.length);
  const spatial = new Array<number>(levels.length * dimensionCount).fill(1);
  levels.forEach((level, at) => {
    for (const { dimension, count } of level.spatial) spatial[at * dimensionCount + dimension]! *= count;
  });
  return {
    loopDimension: Int8Array.from(flat, ({ dimension }) => dimension),
    loopCount: Float64Array.from(flat, (loop) => loop.count),
    levelStart: Int32Array.from(levelStart),
    spatial: Float64Array.from(spatial),
    stride,
  };
}

function count(
  layout: Layout,
  levels: readonly SimulatedLevel[],
  stride: number,
): ReturnType<typeof emptyTraffic> {
  const traffic = emptyTraffic(layout.levelCount);
  const nest = nestOf(levels, stride);
  measureTiles(layout, nest, traffic);
  countTraffic(layout, nest, traffic);
  return traffic;
}

describe('sliding axes', () => {
  const words = (outputs: number, taps: number, stride: number, shift: number): Set<number> => {
    const found = new Set<number>();
    for (let p = 0; p < outputs; p++) for (let r = 0; r < taps; r++) found.add(stride * p + r + shift);
    return found;
  };
  const size = fc.integer({ min: 1, max: 9 });

  it('counts the words of a tile and its overlap with itself moved', () => {
    fc.assert(
      fc.property(size, size, size, fc.integer({ min: -60, max: 60 }), (outputs, taps, stride, shift) => {
        const here = words(outputs, taps, stride, 0);
        const there = words(outputs, taps, stride, shift);
        expect(axisWords(outputs, taps, stride)).toBe(here.size);
        expect(axisOverlap(outputs, taps, stride, shift)).toBe(
          [...there].filter((word) => here.has(word)).length,
        );
      }),
      { numRuns: 2000 },
    );
  });

  it('counts the different offsets of two spatial loops', () => {
    fc.assert(
      fc.property(size, size, size, size, (a, m, b, n) => {
        const found = new Set<number>();
        for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) found.add(a * i + b * j);
        expect(distinctOffsets(a, m, b, n)).toBe(found.size);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('closed-form traffic', () => {
  it('is what the literal walk counts', () => {
    fc.assert(
      fc.property(mapping, ({ levels, stride, layout }) => {
        const walked = simulate(layout, levels, stride);
        const closed = count(layout, levels, stride);
        expect(closed.steps).toBe(walked.steps);
        expect([...closed.instances]).toEqual(walked.instances);
        const totals = (perInstance: Float64Array): number[] =>
          [...perInstance].map((words, at) => words * closed.instances[Math.floor(at / tensorCount)]!);
        expect(totals(closed.reads)).toEqual(walked.reads);
        expect(totals(closed.fills)).toEqual(walked.fills);
        expect(totals(closed.updates)).toEqual(walked.updates);
        expect(totals(closed.drains)).toEqual(walked.drains);
        expect([...closed.network]).toEqual(walked.network);
      }),
      { numRuns: 500 },
    );
  });

  it('conserves: every operation reads its operands, every output is final once', () => {
    fc.assert(
      fc.property(mapping, ({ levels, stride, layout }) => {
        const closed = count(layout, levels, stride);
        const operations = iterations(levels);
        expect(closed.steps * closed.instances[layout.levelCount]!).toBe(operations);
        for (const tensor of [weightsIndex, inputsIndex]) {
          // Reads of the innermost keeper times the instances that share each read make up the operations.
          const innermost = layout.keepers[tensor]!.at(-1)!;
          const reads = closed.reads[innermost * tensorCount + tensor]! * closed.instances[innermost]!;
          if (tensor === weightsIndex) expect(operations % reads).toBe(0);
          expect(reads).toBeLessThanOrEqual(operations);
          // What a level is filled with, its parent has read at most once per instance and at least once.
          layout.keepers[tensor]!.slice(1).forEach((child, k) => {
            const parent = layout.keepers[tensor]![k]!;
            const filled = closed.fills[child * tensorCount + tensor]! * closed.instances[child]!;
            const served = closed.reads[parent * tensorCount + tensor]! * closed.instances[parent]!;
            expect(filled).toBeGreaterThanOrEqual(served);
            expect(filled % closed.words[child * tensorCount + tensor]! === 0 || tensor === inputsIndex).toBe(
              true,
            );
          });
        }
        const outputs = closed.words[outputsIndex]!;
        expect(closed.finals[outputsIndex]).toBe(outputs);
        expect(closed.updates[outputsIndex]! - closed.reads[outputsIndex]!).toBe(outputs);
      }),
      { numRuns: 1500 },
    );
  });

  it('never fetches less from the top than each word once, and more reuse never fetches more', () => {
    fc.assert(
      fc.property(mapping, ({ levels, stride, layout }) => {
        const [consecutive, innermost, none] = Object.values(HaloReuse).map((haloReuse) =>
          count({ ...layout, haloReuse }, levels, stride),
        ) as [ReturnType<typeof count>, ReturnType<typeof count>, ReturnType<typeof count>];
        for (let at = 0; at < consecutive.fills.length; at++) {
          expect(consecutive.fills[at]).toBeLessThanOrEqual(innermost.fills[at]!);
          expect(innermost.fills[at]).toBeLessThanOrEqual(none.fills[at]!);
        }
        for (const tensor of [weightsIndex, inputsIndex])
          expect(consecutive.reads[tensor]! * 1).toBeGreaterThanOrEqual(consecutive.words[tensor]!);
      }),
      { numRuns: 1000 },
    );
  });
});
