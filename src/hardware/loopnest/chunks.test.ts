/**
 * @file Elements of three kinds under one area: the budget is kept, the slowest chunk gets faster, too little is refused.
 */
import { describe, expect, it } from 'vitest';
import { Primitive, type LayerDescription } from '../layer.js';
import { divideChunks } from './chunks.js';
import { loadMachine } from './machine.js';
import { toyLayer, toyMachine } from './toy.cases.js';

const machine = loadMachine('edge-output-stationary');
const tries = 150;

const layer = (name: string, primitive: Primitive, channels: number, size: number): LayerDescription =>
  toyLayer({
    name,
    primitive,
    inChannels: channels,
    outChannels: channels,
    kernel: 3,
    outHeight: size,
    outWidth: size,
    operandBits: { weight: primitive === Primitive.Shift ? 5 : 8, activation: 8, partialSum: 32 },
  });

const network = [
  layer('stem', Primitive.Multiply, 8, 16),
  layer('shift1', Primitive.Shift, 16, 16),
  layer('shift2', Primitive.Shift, 16, 16),
  layer('add1', Primitive.Add, 16, 8),
];

describe('divideChunks', () => {
  it('keeps to the area and gives every kind of layer an array', () => {
    for (const areaMm2 of [0.1, 0.5]) {
      const division = divideChunks(network, machine, { areaMm2, tries });
      expect(division.chunks.map(({ primitive }) => primitive)).toEqual([
        Primitive.Multiply,
        Primitive.Shift,
        Primitive.Add,
      ]);
      expect(division.areaMm2).toBeLessThanOrEqual(areaMm2);
      for (const chunk of division.chunks) {
        expect(chunk.elements).toBe(chunk.columns * chunk.rows);
        expect(chunk.busyMs).toBeLessThanOrEqual(division.intervalMs);
        expect(chunk.busyMs).toBeCloseTo(
          chunk.layers.reduce((sum, cost) => sum + cost.latencyMs, 0),
          12,
        );
        expect(chunk.layers.map((cost) => cost.layer)).toEqual(
          network.filter(({ primitive }) => primitive === chunk.primitive).map(({ name }) => name),
        );
      }
      expect(division.latencyMs).toBeGreaterThanOrEqual(division.intervalMs);
      expect(division.intervalMs).toBeGreaterThanOrEqual(division.idealIntervalMs);
      expect(division.intervalMs).toBeLessThanOrEqual(division.coarseIntervalMs);
    }
  });

  it('begins with elements in proportion to operations', () => {
    // One kind gets everything.
    const alone = divideChunks([network[1]!], machine, { areaMm2: 0.2, tries });
    expect(alone.chunks).toHaveLength(1);
    expect(alone.chunks[0]!.areaMm2).toBeGreaterThan(0.15);
    expect(alone.intervalMs).toBe(alone.latencyMs);
  });

  it('leaves no room for another row of the slowest array, and is no slower for more area', () => {
    const intervals = [0.1, 0.12, 0.15, 0.2, 0.3, 0.5].map((areaMm2) => {
      const { chunks, intervalMs, divisions } = divideChunks(network, machine, { areaMm2, tries });
      const slowest = chunks.find(({ busyMs }) => busyMs === intervalMs)!;
      const unused = areaMm2 - chunks.reduce((sum, chunk) => sum + chunk.areaMm2, 0);
      expect(unused * 1e6).toBeLessThan(
        slowest.elementAreaUm2 * (Math.max(slowest.rows, slowest.columns) + 1) + 3000,
      );
      expect(divisions).toBeGreaterThan(3);
      return intervalMs;
    });
    intervals.slice(1).forEach((interval, i) => expect(interval).toBeLessThanOrEqual(intervals[i]!));
  });

  it('is the same every time', () => {
    const options = { areaMm2: 0.2, tries };
    expect(divideChunks(network, machine, options)).toEqual(divideChunks(network, machine, options));
  });

  it('refuses an area without room for one element of each kind, and a machine without areas', () => {
    expect(() => divideChunks(network, machine, { areaMm2: 0.001, tries })).toThrow(
      /^an area of 0\.001 mm2 is too small: one element of each kind \(multiply, shift, add\) takes 0\.\d+ mm2$/,
    );
    expect(() => divideChunks([], machine, { areaMm2: 1 })).toThrow(
      'there are no layers to divide elements among',
    );
    expect(() => divideChunks([network[0]!], toyMachine(), { areaMm2: 1 })).toThrow(
      "machine 'toy' states no area for multiply; add areaUm2 to its entry in arithmetic.operations",
    );
    expect(() => divideChunks(network, loadMachine('eyeriss-chip'), { areaMm2: 1 })).toThrow(
      "machine 'eyeriss-chip' states no area for multiply",
    );
  });
});
