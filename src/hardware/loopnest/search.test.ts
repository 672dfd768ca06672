/**
 * @file The mapper: against every mapping of tiny layers, always the same, refusals with reasons, and dataflows kept.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Primitive } from '../layer.js';
import { Stationary, withDataflow } from './dataflow.js';
import { evaluateMapping } from './evaluate.js';
import { bestOfAll } from './exhaustive.cases.js';
import { NoMappingError } from './limits.js';
import { builtInMachineNames, loadMachine } from './machine.js';
import { parseMapping } from './mapping.js';
import { prepare } from './prices.js';
import { Objective, refusedLimits, searchMapping } from './search.js';
import { usefulFactors } from './space.js';
import { toyLayer, toyMachine } from './toy.cases.js';

const scores = {
  [Objective.Energy]: (energyPj: number) => energyPj,
  [Objective.Latency]: (_: number, cycles: number) => cycles,
  [Objective.EnergyDelay]: (energyPj: number, cycles: number) => energyPj * cycles,
};

describe('searchMapping', () => {
  const layers = {
    'product 4x4x4': toyLayer({ outHeight: 1, inHeight: 1 }),
    'row kernel': toyLayer({ inChannels: 2, outChannels: 3, kernel: 3, outHeight: 1, outWidth: 4 }),
    'depth-wise': toyLayer({ groups: 4, kernel: 2, outHeight: 1, outWidth: 2 }),
    strided: toyLayer({ inChannels: 1, outChannels: 2, kernel: 3, outHeight: 1, outWidth: 4, stride: 2 }),
  };
  for (const [name, layer] of Object.entries(layers))
    for (const objective of Object.values(Objective))
      it(`finds no worse a mapping than the best of all: ${name}, ${objective}`, () => {
        const machine = toyMachine({ y: 1 });
        const every = bestOfAll(prepare(layer, machine), scores[objective]);
        expect(every.count).toBeGreaterThan(300);
        const { cost } = searchMapping(layer, machine, { objective });
        expect(scores[objective](cost.energyPj, cost.cycles.total)).toBeLessThanOrEqual(
          every.best * (1 + 1e-9),
        );
      });

  it('finds the same mapping every time and keeps to its tries', () => {
    const layer = toyLayer({ inChannels: 48, outChannels: 20, kernel: 3, outHeight: 13, outWidth: 13 });
    const machine = loadMachine('edge-row-stationary');
    const first = searchMapping(layer, machine, { tries: 1500 });
    expect(searchMapping(layer, machine, { tries: 1500 })).toEqual(first);
    expect(first.examined).toBeLessThanOrEqual(1500);
    expect(first.refused).toBeLessThan(first.examined);
    // More tries never end worse: the first ones are the same.
    const longer = searchMapping(layer, machine, { tries: 3000 }).cost;
    expect(longer.energyPj * longer.cycles.total).toBeLessThanOrEqual(
      first.cost.energyPj * first.cost.cycles.total * (1 + 1e-12),
    );
  });

  it('prints loops that evaluate to the same cost', () => {
    const layer = toyLayer({ inChannels: 24, outChannels: 10, kernel: 3, outHeight: 7, outWidth: 7 });
    for (const name of builtInMachineNames) {
      const machine = loadMachine(name);
      const { cost } = searchMapping(layer, machine, { tries: 500 });
      expect(evaluateMapping(layer, machine, parseMapping(cost.mappingText, machine))).toEqual({
        ...cost,
        mapping: parseMapping(cost.mappingText, machine),
      });
    }
  });

  it('says which buffer and which fan-out refuse the smallest tile, and by how much', () => {
    const tooTall = toyLayer({ name: 'tall', kernel: 13, outHeight: 20, outWidth: 20 });
    const chip = loadMachine('eyeriss-chip');
    expect(() => searchMapping(tooTall, chip)).toThrow(NoMappingError);
    expect(() => searchMapping(tooTall, chip)).toThrow(
      "layer 'tall' does not fit machine 'eyeriss-chip': fan-out y of 'array': needs 13, has 12, 1 too many (spatial loops R13); " +
        "buffer 'ifmap_spad': needs 13, has 12, 1 too many (words of 16 bit: inputs 13)",
    );
    expect(refusedLimits(tooTall, chip).map(({ resource }) => resource)).toEqual([
      "fan-out y of 'array'",
      "buffer 'ifmap_spad'",
    ]);
    expect(refusedLimits(toyLayer(), chip)).toEqual([]);
  });

  it('refuses exactly when the smallest tile has no room, whatever the layer', () => {
    const size = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(
        fc.record({
          channels: size,
          out: size,
          kernel: fc.integer({ min: 1, max: 16 }),
          stride: fc.integer({ min: 1, max: 3 }),
        }),
        ({ channels, out, kernel, stride }) => {
          const layer = toyLayer({
            inChannels: channels,
            outChannels: channels,
            outHeight: out,
            outWidth: out,
            kernel,
            stride,
          });
          const machine = loadMachine('edge-row-stationary');
          const refused = refusedLimits(layer, machine);
          if (refused.length > 0)
            expect(() => searchMapping(layer, machine, { tries: 100 })).toThrow(NoMappingError);
          else expect(searchMapping(layer, machine, { tries: 100 }).cost.utilisation).toBeLessThanOrEqual(1);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('keeps what a stationary dataflow keeps', () => {
    const layer = toyLayer({ inChannels: 32, outChannels: 32, kernel: 3, outHeight: 14, outWidth: 14 });
    const accesses = (
      stationary: Stationary,
    ): Record<string, { reads: number; fills: number; updates: number }> => {
      const machine = withDataflow(
        toyMachine({ x: 8, y: 8, bufferWords: 4096, registerWords: 64 }),
        stationary,
      );
      const { cost } = searchMapping(layer, machine, { tries: 3000 });
      expect(cost.machine).toBe(`toy (${stationary} stationary)`);
      return Object.fromEntries(cost.levels[2]!.tensors.map((tensor) => [tensor.tensor, tensor]));
    };
    // Each weight is brought to an element once for all 196 outputs.
    const weight = accesses(Stationary.Weight);
    expect(weight['weights']!.reads / weight['weights']!.fills).toBeGreaterThanOrEqual(49);
    // No partial sum ever leaves an element and comes back.
    expect(accesses(Stationary.Output)['outputs']!.fills).toBe(0);
    // A kernel row stays while the input slides past it.
    const row = accesses(Stationary.Row);
    expect(row['weights']!.reads / row['weights']!.fills).toBeGreaterThanOrEqual(14);
  });

  it('says so when the machine has no unit for the layer', () => {
    const machine = loadMachine('eyeriss-chip');
    expect(() => searchMapping(toyLayer({ primitive: Primitive.Shift }), machine)).toThrow(
      "layer 'toy': machine 'eyeriss-chip' has no units that shift; it has multiply (arithmetic.operations)",
    );
  });
});

describe('useful factors', () => {
  it('are the smallest factors for every number of repetitions', () => {
    for (const bound of [1, 2, 7, 12, 55, 224]) {
      const repetitions = new Map<number, number>();
      for (let factor = bound; factor >= 1; factor--) repetitions.set(Math.ceil(bound / factor), factor);
      expect(usefulFactors(bound)).toEqual([...repetitions.values()].sort((a, b) => a - b));
    }
  });
});
