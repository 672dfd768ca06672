import { describe, expect, it } from 'vitest';
import { createDeclaredSpace } from './declared/space.js';
import { createHytraCifar, createHytraImagenet } from './hytra/space.js';
import { landmarkGenomes, smallestGenome, uniformGenome } from './landmarks.js';
import { operationTotal } from './layers.js';
import { createMiniSpace } from './mini/space.js';
import { allNetworks, coveringGenomes, offeredFamilies, offeredOptions, structures } from './offers.js';
import { allGenomes } from './product.js';

const images = { input: { height: 16, width: 16, channels: 3 }, classes: 4 };
const declared = createDeclaredSpace({
  ...{ name: 'small', ...images, stem: { channels: 8 } },
  stages: [
    { channels: 8, depth: [1, 2], families: ['conv', 'add'], widths: [0.5, 1], kernels: [3, 5] },
    { channels: 16, depth: [2, 1], families: ['add'], widths: 1 },
    { channels: 16, depth: 2, families: ['conv', 'add'], widths: 1, skip: true },
  ],
});
// Splits 1-1-1-3 and 1-1-2-2.
const hytra = createHytraCifar({ layers: 6 });
const mini = createMiniSpace({ ...images, stageChannels: [8, 16], blocksPerStage: [1, 2] });
const spaces = { declared, hytra, mini };

describe.each(Object.entries(spaces))('of the space %s', (_, space) => {
  const all = [...allNetworks(space)];

  it('every network is listed once, by its canonical genome', () => {
    expect(BigInt(all.length)).toBe(space.size);
    const canonical = [...allGenomes(space.optionCounts)].map((genome) => space.canonical(genome).join());
    expect(new Set(all.map((genome) => genome.join()))).toEqual(new Set(canonical));
  });

  it('a few genomes show every block that there is', () => {
    const blocksOf = (genomes: Iterable<readonly number[]>): Set<string> =>
      new Set(
        [...genomes].flatMap((genome) => space.architecture(genome).blocks.map((b) => JSON.stringify(b))),
      );
    expect(blocksOf(coveringGenomes(space))).toEqual(blocksOf(all));
  });

  it('the smallest network does the fewest operations of all', () => {
    const operationsOf = (genome: readonly number[]): number => operationTotal(space.architecture(genome));
    const least = Math.min(...all.map(operationsOf));
    expect(operationsOf(smallestGenome(space))).toBe(least);
    expect(space.canonical(smallestGenome(space))).toEqual(smallestGenome(space));
  });

  it('the landmarks are of one family each where it is offered, the smallest and the largest of it among them', () => {
    const operationsOf = (genome: readonly number[]): number => operationTotal(space.architecture(genome));
    const landmarks = landmarkGenomes(space);
    expect(new Set(landmarks.map(String)).size).toBe(landmarks.length);
    for (const family of space.families) {
      const pure = all.filter((genome) =>
        genome.every((option, position) => {
          const used = space.choice(position, option)?.family;
          const offered = offeredFamilies(space, genome, position);
          const expected = [family, 'conv'].find((name) => offered.includes(name)) ?? offered[0];
          return used === undefined || used === expected;
        }),
      );
      const found = landmarks.filter((genome) => pure.some((each) => String(each) === String(genome)));
      expect(found.map(String)).toContain(String(uniformGenome(space, family)));
      expect(Math.min(...found.map(operationsOf))).toBe(Math.min(...pure.map(operationsOf)));
    }
  });

  it('the network of one family has as many blocks as any, all of it where it is offered', () => {
    const deepest = Math.max(...all.map((genome) => space.architecture(genome).blocks.length));
    for (const family of space.families) {
      const genome = uniformGenome(space, family);
      expect(space.canonical(genome)).toEqual(genome);
      const { blocks } = space.architecture(genome);
      expect(blocks).toHaveLength(deepest);
      genome.forEach((option, position) => {
        const choice = space.choice(position, option);
        if (choice === undefined) return;
        const offered = offeredFamilies(space, genome, position);
        const standIn = offered.includes('conv') ? 'conv' : offered[0];
        expect(choice.family).toBe(offered.includes(family) ? family : standIn);
        for (const other of offeredOptions(space, genome, position))
          if (space.choice(position, other)!.family === choice.family)
            expect(choice.size).toBeGreaterThanOrEqual(space.choice(position, other)!.size);
      });
    }
    expect(() => uniformGenome(space, 'xor')).toThrow(/has no family 'xor'; it holds /);
  });
});

describe('the spaces of ShiftAddNAS', () => {
  it('offer what their stages offer, under every split', () => {
    const space = createHytraImagenet();
    const bases = [...structures(space)];
    expect(bases).toHaveLength(19);
    for (const base of bases) {
      const stages = space.familiesOf(base);
      const ofLayers = stages.flatMap((ofStage, stage) =>
        ofStage.map(() => space.options.stageFamilies[stage]!),
      );
      ofLayers.forEach((families, layer) =>
        expect(new Set(offeredFamilies(space, base, layer + 1))).toEqual(new Set(families)),
      );
    }
  });

  it('have convolutions where the last stage has no shift', () => {
    const families = hytra.familiesOf(uniformGenome(hytra, 'pot.q'));
    expect(new Set(families.slice(0, -1).flat())).toEqual(new Set(['pot.q']));
    expect(new Set(families.at(-1))).toEqual(new Set(['conv']));
  });
});
