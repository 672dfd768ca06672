/**
 * @file What a mapping costs: energy adds up, time follows the slowest port, more machine is never worse, limits are named.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Primitive } from '../layer.js';
import { evaluateMapping, type MappingCost } from './evaluate.js';
import { loadMachine, type Machine } from './machine.js';
import { parseMapping } from './mapping.js';
import { Tensor } from './problem.js';
import { searchMapping } from './search.js';
import { toyLayer, toyMachine } from './toy.cases.js';

/** Mappings of all sorts: what searches with few tries stop at. */
const mapped = fc
  .record({
    channels: fc.integer({ min: 1, max: 9 }),
    outs: fc.integer({ min: 1, max: 9 }),
    size: fc.integer({ min: 1, max: 9 }),
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 2 }),
    tries: fc.integer({ min: 1, max: 60 }),
  })
  .map(({ channels, outs, size, kernel, stride, tries }) => {
    const layer = toyLayer({
      inChannels: channels,
      outChannels: outs,
      outHeight: size,
      outWidth: size,
      kernel,
      stride,
    });
    return { layer, cost: searchMapping(layer, toyMachine(), { tries }).cost };
  });

function withLevel(machine: Machine, index: number, change: (storage: object) => object): Machine {
  return {
    ...machine,
    levels: machine.levels.map((level, at) =>
      at === index
        ? { ...level, storage: change(level.storage!) as NonNullable<typeof level.storage> }
        : level,
    ),
  };
}

const again = (layer: ReturnType<typeof toyLayer>, machine: Machine, { mapping }: MappingCost): MappingCost =>
  evaluateMapping(layer, machine, mapping);

describe('evaluateMapping', () => {
  it('adds energy up, and time from its parts', () => {
    fc.assert(
      fc.property(mapped, ({ cost }) => {
        const parts = cost.levels.reduce(
          (sum, { energyPj }) => sum + energyPj,
          cost.arithmeticPj + cost.staticPj,
        );
        expect(cost.energyPj).toBeCloseTo(parts, 6);
        expect(cost.cycles.total).toBe(cost.cycles.fill + cost.cycles.steady + cost.cycles.drain);
        expect(cost.cycles.steady).toBeGreaterThanOrEqual(cost.cycles.compute);
        expect(cost.cycles.compute * cost.unitsUsed).toBeGreaterThanOrEqual(cost.operations);
        expect(cost.utilisation).toBeLessThanOrEqual(1);
        expect(cost.boundBy === 'array').toBe(cost.cycles.steady === cost.cycles.compute);
      }),
      { numRuns: 200 },
    );
  });

  it('is never slower with more bandwidth, never dearer with cheaper accesses, and fits a larger buffer', () => {
    fc.assert(
      fc.property(mapped, ({ layer, cost }) => {
        const wider = again(layer, toyMachine({ dramWordsPerCycle: 4, bufferWordsPerCycle: 8 }), cost);
        expect(wider.cycles.total).toBeLessThanOrEqual(cost.cycles.total);
        expect(wider.energyPj).toBe(cost.energyPj);
        const larger = again(layer, toyMachine({ bufferWords: 48, registerWords: 12 }), cost);
        expect(larger.energyPj).toBe(cost.energyPj);
        const cheaper = again(
          layer,
          withLevel(toyMachine(), 1, (storage) => ({
            ...storage,
            access: { readPj: 3, fillPj: 3, updatePj: 3, drainPj: 3, leakPjPerCycle: 0, source: 'test' },
          })),
          cost,
        );
        expect(cheaper.energyPj).toBeLessThanOrEqual(cost.energyPj);
      }),
      { numRuns: 200 },
    );
  });

  it('waits for the port that is slower than the array', () => {
    const layer = toyLayer({ inChannels: 1, outChannels: 1, outHeight: 1, outWidth: 1 });
    // One weight and one input down, one output up, over a port of half a word a cycle: 2 + 2 before, 2 after, 6 in all.
    const machine = toyMachine({ x: 1, y: 1, dramWordsPerCycle: 0.5, bufferWordsPerCycle: 1000 });
    const { cycles, boundBy } = evaluateMapping(layer, machine, parseMapping('dram: no loops', machine));
    expect(cycles.compute).toBe(1);
    expect(cycles.steady).toBe(6);
    expect(cycles.fill).toBeCloseTo(4, 1);
    expect(cycles.drain).toBeCloseTo(2, 1);
    expect(boundBy).toBe('dram port (weights, inputs, outputs)');
  });

  it('stands still for tiles that are exchanged in one piece, and takes room twice for those that are not', () => {
    const layer = toyLayer({ inHeight: 1, outHeight: 1 });
    const text = 'dram: M4 | buffer: Q4 | registers: C4';
    const rolling = toyMachine({ x: 1, y: 1, registerWords: 9, bufferWordsPerCycle: 2 });
    const buffered = (buffering: string): Machine =>
      withLevel(rolling, 2, (storage) => ({ ...storage, buffering: { weights: buffering } }));
    const cost = (machine: Machine): MappingCost =>
      evaluateMapping(layer, machine, parseMapping(text, machine));
    expect(cost(rolling).cycles.exchange).toBe(0);
    // 16 weights over a port of 2 words a cycle.
    expect(cost(buffered('single')).cycles.exchange).toBe(8);
    expect(() => cost(buffered('double'))).toThrow(
      "the mapping of layer 'toy' does not fit machine 'toy': buffer 'registers': needs 13, has 9, 4 too many " +
        '(words of 8 bit: weights 8, inputs 4, outputs 1)',
    );
  });

  it('names every limit that a mapping breaks', () => {
    const layer = toyLayer({ inChannels: 64, outChannels: 64 });
    const machine = toyMachine();
    expect(() =>
      evaluateMapping(layer, machine, parseMapping('dram: C64 M8 | buffer: P4 Q3 M4X', machine)),
    ).toThrow(
      "the mapping of layer 'toy' does not fit machine 'toy': fan-out x of 'buffer': needs 4, has 2, 2 too many (spatial loops M4); " +
        "dimension M: needs 32, has 64, 32 too few (its loops make 32 of the layer's 64); " +
        "dimension Q: needs 3, has 4, 1 too few (its loops make 3 of the layer's 4); " +
        "buffer 'buffer': needs 64, has 24, 40 too many (words of 8 bit: weights 4, inputs 12, outputs 48)",
    );
  });

  it('charges narrow operands their part of a word', () => {
    const machine = loadMachine('edge-row-stationary');
    const layer = (weight: number): ReturnType<typeof toyLayer> =>
      toyLayer({ primitive: Primitive.Shift, operandBits: { weight, activation: 32, partialSum: 32 } });
    const mapping = parseMapping('dram: C4 | global_buffer: Q4 | array: P4X | sum_registers: M4', machine);
    const energy = (weight: number, tensor: Tensor): number =>
      evaluateMapping(layer(weight), machine, mapping).levels[0]!.tensors.find(
        (known) => known.tensor === tensor,
      )!.energyPj;
    expect(energy(8, Tensor.Weights) / energy(32, Tensor.Weights)).toBe(1 / 4);
    expect(energy(8, Tensor.Inputs)).toBe(energy(32, Tensor.Inputs));
  });

  it('skips what zero inputs switch off', () => {
    const chip = loadMachine('eyeriss-chip');
    const layer = toyLayer({ kernel: 3, operandBits: { weight: 16, activation: 16, partialSum: 16 } });
    const { mapping } = searchMapping(layer, chip, { tries: 100 }).cost;
    const dense = evaluateMapping(layer, chip, mapping);
    const half = evaluateMapping(layer, chip, mapping, { inputZeros: 0.5 });
    expect(half.arithmeticPj).toBeCloseTo(dense.arithmeticPj / 2, 6);
    const energy = (cost: MappingCost, level: string): number =>
      cost.levels.find(({ name }) => name === level)!.energyPj;
    expect(energy(half, 'weights_spad')).toBeLessThan(energy(dense, 'weights_spad'));
    expect(energy(half, 'ifmap_spad')).toBe(energy(dense, 'ifmap_spad'));
    expect(half.cycles).toEqual(dense.cycles);
    expect(() => evaluateMapping(layer, chip, mapping, { inputZeros: 1.5 })).toThrow(
      'the share of zero inputs must be from 0 to 1, got 1.5',
    );
  });

  it('counts copies of a layer as groups', () => {
    const machine = toyMachine();
    const mapping = parseMapping('dram: G3 C2 | buffer: Q4 | registers: M2', machine);
    const cost = (sizes: object): MappingCost =>
      evaluateMapping(toyLayer({ outHeight: 1, ...sizes }), machine, mapping);
    expect(cost({ copies: 3, inChannels: 2, outChannels: 2 })).toEqual(
      cost({ groups: 3, inChannels: 6, outChannels: 6 }),
    );
  });

  it('refuses impossible layers by key', () => {
    const machine = toyMachine();
    const evaluate = (sizes: object): unknown =>
      evaluateMapping(toyLayer(sizes), machine, parseMapping('dram: C4', machine));
    expect(() => evaluate({ outHeight: 0, inHeight: 4 })).toThrow(
      "layer 'toy': outHeight must be an integer from 1 to 2147483647, got 0",
    );
    expect(() => evaluate({ groups: 3 })).toThrow(
      "layer 'toy': inChannels must be a multiple of groups (3), got 4",
    );
    expect(() => evaluate({ inChannels: 2 ** 30, outChannels: 2 ** 30 })).toThrow(
      'makes the layer too large',
    );
  });
});
