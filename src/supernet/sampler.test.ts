import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockKind } from '../spaces/architecture.js';
import { createDeclaredSpace } from '../spaces/declared/space.js';
import { createHytraCifar } from '../spaces/hytra/space.js';
import { createMiniSpace } from '../spaces/mini/space.js';
import { offeredFamilies } from '../spaces/offers.js';
import { fairGenome, structureSteps } from './sampler.js';

const input = { height: 16, width: 16, channels: 1 };
const space = createMiniSpace({ input, classes: 4, widthRatios: [0.25, 0.5, 1] });
const { positions } = space;

/** What a genome does at a position: a family's name, or `skip`. */
function choiceAt(position: number, gene: number): string {
  const option = positions[position]!.options[gene]!;
  return option.kind === BlockKind.Skip ? 'skip' : option.family;
}

describe('fairGenome', () => {
  it('is a pure function of seed and step, whatever was asked before', () => {
    const steps = Array.from({ length: 40 }, (_, step) => step);
    const forwards = steps.map((step) => fairGenome(space, 7, step));
    const backwards = [...steps].reverse().map((step) => fairGenome(space, 7, step));
    expect(backwards.reverse()).toEqual(forwards);
    expect(steps.map((step) => fairGenome(space, 8, step))).not.toEqual(forwards);
  });

  it('gives legal genomes, and every block all families equally often after every cycle', () => {
    const count = space.options.families.length;
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const used = positions.map(() => new Map<string, number>());
        for (let cycle = 0; cycle < 12; cycle++) {
          for (let step = cycle * count; step < (cycle + 1) * count; step++) {
            const genome = fairGenome(space, seed, step);
            expect(() => space.architecture(genome)).not.toThrow();
            genome.forEach((gene, at) => {
              const choice = choiceAt(at, gene);
              used[at]!.set(choice, (used[at]!.get(choice) ?? 0) + 1);
            });
          }
          for (const counts of used) {
            const skips = counts.get('skip') ?? 0;
            expect(skips % count).toBe(0);
            for (const family of space.options.families)
              expect(counts.get(family) ?? 0).toBe(cycle + 1 - skips / count);
          }
        }
      }),
      { numRuns: 20 },
    );
  });

  it('leaves skippable blocks out for a quarter of the cycles and uses all widths equally', () => {
    const steps = 3000;
    const widths = new Map<number, number>();
    let skips = 0;
    const at = positions.findIndex(({ options }) => options[0]!.kind === BlockKind.Skip);
    for (let step = 0; step < steps; step++) {
      const gene = fairGenome(space, 1, step)[at]!;
      if (choiceAt(at, gene) === 'skip') skips++;
      else widths.set(gene, (widths.get(gene) ?? 0) + 1);
    }
    // One draw per cycle of three steps.
    expect(Math.abs(skips / steps - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / (steps / 3)));
    expect(widths.size).toBe(9);
    const expected = (steps - skips) / 9;
    for (const count of widths.values())
      expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
  });

  it('orders the families of different blocks independently', () => {
    const cycles = 2000;
    let equal = 0;
    for (let cycle = 0; cycle < cycles; cycle++) {
      const genome = fairGenome(space, 3, 3 * cycle);
      // Blocks that cannot be skipped: the first of the second and of the third stage.
      const [a, b] = [2, 4].map((at) => choiceAt(at, genome[at]!));
      if (a === b) equal++;
    }
    expect(Math.abs(equal / cycles - 1 / 3)).toBeLessThan(5 * Math.sqrt(2 / 9 / cycles));
    expect(
      offeredFamilies(
        space,
        space.optionCounts.map(() => 0),
        2,
      ),
    ).toEqual(['conv', 'pot.q', 'add']);
  });
});

describe('fairGenome in a space with structure', () => {
  const hytra = createHytraCifar();
  const declared = createDeclaredSpace({
    ...{ name: 'deep', input, classes: 4, stem: { channels: 8 } },
    stages: [
      { channels: 8, depth: [1, 3], families: ['conv', 'add'], widths: [0.5, 1] },
      { channels: 16, depth: [2, 1], families: ['conv', 'pot.q', 'add'], widths: 1 },
    ],
  });

  it.each([
    ['hytra-cifar', hytra, 12],
    ['a declared one', declared, 6],
  ] as const)(
    'keeps a structure for whole cycles of every block, in which all its families come equally often: %s',
    (_, structured, steps) => {
      expect(structureSteps(structured)).toBe(steps);
      const { structure = [], optionCounts } = structured;
      const seen = structure.map(() => new Set<number>());
      for (let cycle = 0; cycle < 60; cycle++) {
        const genomes = Array.from({ length: steps }, (__, at) =>
          fairGenome(structured, 3, steps * cycle + at),
        );
        const first = genomes[0]!;
        for (const genome of genomes) {
          expect(structured.canonical(genome)).toEqual(genome);
          expect(structure.map((at) => genome[at])).toEqual(structure.map((at) => first[at]));
        }
        structure.forEach((at, i) => seen[i]!.add(first[at]!));
        for (const position of optionCounts.keys()) {
          if (structure.includes(position)) continue;
          const families = offeredFamilies(structured, first, position);
          const used = genomes.map((genome) => structured.choice(position, genome[position]!)!.family!);
          for (const family of families)
            expect(used.filter((each) => each === family)).toHaveLength(steps / families.length);
        }
      }
      expect(seen.map(({ size }) => size)).toEqual(structure.map((at) => optionCounts[at]));
    },
  );
});
