import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { BlockKind } from '../../spaces/architecture.js';
import type { Genome } from '../../spaces/contract.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { createHytraCifar } from '../../spaces/hytra/space.js';
import { blockPositions, offeredFamilies } from '../../spaces/offers.js';
import { fairGenome, structureSteps } from '../sampler.js';
import { Role } from './contract.js';
import { pathsOf } from './paths.js';
import { createPlan, type PathPlan, type PlanSettings } from './plan.js';
import { PathsKind } from './registry.js';

const input = { height: 16, width: 16, channels: 1 };
const space = createMiniSpace({ input, classes: 4, widthRatios: [0.25, 0.5, 1] });
const families = space.options.families;

const planOf = (settings: Partial<PlanSettings>, steps = 60): PathPlan =>
  createPlan(space, { paths: PathsKind.Fair, randomPaths: 2, warmUp: [], ...settings }, steps);

/** What a genome does at a position: a family's name, or `skip`. */
function choiceAt(genome: Genome, at: number): string {
  const option = space.positions[at]!.options[genome[at]!]!;
  return option.kind === BlockKind.Skip ? 'skip' : option.family;
}

const kinds = Object.values(PathsKind);

describe('the teacher', () => {
  it.each([
    [['conv.int4', 'pot.q', 'conv', 'conv.int8'], 'conv'],
    [['conv.int4', 'add', 'conv.int8'], 'conv.int8'],
    [['add', 'conv.int4'], 'conv.int4'],
    [['pot.q.int4', 'add'], 'pot.q.int4'],
  ])(
    'among %j is the widest network of the multiplying family with the widest operands',
    (names, teacher) => {
      const offering = createMiniSpace({ input, classes: 4, families: names });
      expect(pathsOf(offering, names).widest()).toEqual(uniformGenome(offering, teacher));
    },
  );
});

describe('every rule', () => {
  it.each(kinds)('%s is a pure function of seed and step, with as many paths as it counts', (paths) => {
    const warmUp = [
      { families: ['conv'], part: 0.2 },
      { families: ['conv', 'add'], part: 0.15 },
    ];
    const plan = planOf({ paths, warmUp });
    const steps = Array.from({ length: 60 }, (_, step) => step);
    const forwards = steps.map((step) => plan.paths(7, step));
    const again = planOf({ paths, warmUp });
    expect(
      steps
        .toReversed()
        .map((step) => again.paths(7, step))
        .toReversed(),
    ).toEqual(forwards);
    expect(steps.map((step) => plan.paths(8, step))).not.toEqual(forwards);
    let passes = 0;
    forwards.forEach((each, step) => {
      expect(plan.passesUntil(step)).toBe(passes);
      passes += each.length;
      for (const { genome } of each) expect(() => space.architecture(genome)).not.toThrow();
    });
    expect(plan.passesUntil(60)).toBe(passes);
  });

  it.each(kinds)('%s keeps to the families of the phase', (paths) => {
    const plan = planOf({
      paths,
      warmUp: [
        { families: ['conv'], part: 0.25 },
        { families: ['add'], part: 0.25 },
        { families: ['add', 'conv'], part: 0.25 },
      ],
    });
    const allowed = [['conv'], ['add'], ['add', 'conv'], [...families]];
    for (let step = 0; step < 60; step++)
      for (const { genome } of plan.paths(3, step))
        genome.forEach((_, at) =>
          expect([...allowed[Math.floor(step / 15)]!, 'skip']).toContain(choiceAt(genome, at)),
        );
    for (const [phase, names] of allowed.entries()) {
      const used = new Set<string>();
      for (let step = 15 * phase; step < 15 * (phase + 1); step++)
        for (const { genome } of plan.paths(3, step))
          genome.forEach((_, at) => used.add(choiceAt(genome, at)));
      expect([...used].filter((name) => name !== 'skip').sort()).toEqual([...names].sort());
    }
  });
});

describe('fair', () => {
  it('is the sampler’s sequence without a warm-up', () => {
    const plan = planOf({});
    for (let step = 0; step < 30; step++)
      expect(plan.paths(5, step)).toEqual([{ genome: fairGenome(space, 5, step), role: Role.Alone }]);
  });

  it('begins whole cycles behind a warm-up, whatever its length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), fc.nat(1000), (first, seed) => {
        const plan = planOf({ warmUp: [{ families: ['conv'], part: first / 60 }] });
        for (let cycle = 0; cycle < 5; cycle++)
          space.positions.forEach((_, at) => {
            const steps = [0, 1, 2].map((turn) => first + 3 * cycle + turn);
            const used = steps.map((step) => choiceAt(plan.paths(seed, step)[0]!.genome, at));
            if (!used.includes('skip')) expect([...used].sort()).toEqual([...families].sort());
            else expect(new Set(used).size).toBe(1);
          });
      }),
      { numRuns: 30 },
    );
  });
});

describe('strict-fair', () => {
  it('uses every family of every block exactly once in each step, or skips the block in all paths', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(59), (seed, step) => {
        const paths = planOf({ paths: PathsKind.StrictFair }).paths(seed, step);
        expect(paths).toHaveLength(3);
        space.positions.forEach((_, at) => {
          const used = paths.map(({ genome }) => choiceAt(genome, at)).sort();
          expect([[...families].sort(), ['skip', 'skip', 'skip']]).toContainEqual(used);
        });
      }),
      { numRuns: 60 },
    );
  });

  it('has as many paths as the phase has families', () => {
    const plan = planOf({ paths: PathsKind.StrictFair, warmUp: [{ families: ['conv', 'add'], part: 0.5 }] });
    expect([0, 29, 30].map((step) => plan.paths(1, step).length)).toEqual([2, 2, 3]);
    expect(plan.passesUntil(60)).toBe(30 * 2 + 30 * 3);
  });
});

describe('single', () => {
  it('draws every option of every block equally often', () => {
    const plan = planOf({ paths: PathsKind.Single }, 4000);
    const drawn = space.optionCounts.map((count) => new Array<number>(count).fill(0));
    for (let step = 0; step < 4000; step++)
      plan.paths(2, step)[0]!.genome.forEach((gene, at) => drawn[at]![gene]!++);
    for (const counts of drawn) {
      const expected = 4000 / counts.length;
      for (const count of counts) expect(Math.abs(count - expected)).toBeLessThan(5 * Math.sqrt(expected));
    }
  });
});

describe('sandwich', () => {
  it('is the widest convolution network as the teacher, the smallest of each family in turn, and fair ones', () => {
    const plan = planOf({ paths: PathsKind.Sandwich, randomPaths: 3 });
    const source = pathsOf(space, families);
    for (let step = 0; step < 12; step++) {
      const [teacher, smallest, ...others] = plan.paths(4, step);
      expect(teacher).toEqual({ genome: uniformGenome(space, 'conv'), role: Role.Teacher });
      smallest!.genome.forEach((gene, at) => {
        const { options } = space.positions[at]!;
        const option = options[gene]!;
        if (options[0]!.kind === BlockKind.Skip) expect(option).toBe(options[0]);
        else expect(option).toMatchObject({ family: families[step % 3], ratio: 0.25 });
      });
      expect(others.map(({ genome }) => genome)).toEqual(
        [0, 1, 2].map((at) => source.fair(4, 3 * step + at)),
      );
      for (const { role } of [smallest!, ...others]) expect(role).toBe(Role.Pupil);
    }
  });

  it('has a teacher of the first family where none multiplies', () => {
    expect(pathsOf(space, ['add', 'pot.q']).widest()).toEqual(uniformGenome(space, 'pot.q'));
    expect(pathsOf(space, ['add']).widest()).toEqual(uniformGenome(space, 'add'));
  });
});

describe('a confined source', () => {
  it('refuses a family that the space does not have, with one line', () => {
    expect(() => pathsOf(space, ['conv', 'binary'])).toThrow(
      "'supernetTraining.warmUp' names the family 'binary', which the space does not have; it has conv, pot.q, add",
    );
  });

  it('draws uniformly from its own networks', () => {
    const source = pathsOf(space, ['add']);
    const seen = new Set<number>();
    const random = Random.stream('check');
    for (let index = 0; index < 300; index++) seen.add(source.uniform(random.integer(100), index)[2]!);
    expect([...seen].map((gene) => space.optionLabel(2, gene)).sort()).toEqual([
      'add x0.25',
      'add x0.5',
      'add x1',
    ]);
  });
});

describe('a space with structure', () => {
  const hytra = createHytraCifar();
  const usedAt = (genome: Genome, position: number): string =>
    hytra.choice(position, genome[position]!)?.family ?? 'skip';

  it('is fair to what each block offers, by the time its structure changes', () => {
    const plan = createPlan(hytra, { paths: PathsKind.StrictFair, randomPaths: 2, warmUp: [] }, 60);
    const most = plan.paths(1, 0).length;
    const stretch = structureSteps(hytra) / most;
    expect(most).toBe(4);
    for (let from = 0; from + stretch <= 60; from += stretch) {
      const genomes = Array.from({ length: stretch }, (_, at) => plan.paths(1, from + at))
        .flat()
        .map(({ genome }) => genome);
      for (const position of blockPositions(hytra)) {
        const offered = offeredFamilies(hytra, genomes[0]!, position);
        const counts = new Map(offered.map((family) => [family, 0]));
        for (const genome of genomes) {
          const family = usedAt(genome, position);
          if (counts.has(family)) counts.set(family, counts.get(family)! + 1);
        }
        expect(new Set(counts.values()).size, `${from} ${position}`).toBe(1);
      }
    }
  });

  it('confined to families uses no other, but for what stands in where a block offers none of them', () => {
    for (const names of [['conv'], ['add'], ['conv', 'add']]) {
      const source = pathsOf(hytra, names);
      const genomes = [0, 1, 2, 3, 4, 5].flatMap((index) => [
        source.fair(2, index),
        source.uniform(2, index),
      ]);
      for (const genome of [...genomes, source.widest(), source.smallest(0)]) {
        expect(hytra.canonical(genome)).toEqual(genome);
        expect(() => hytra.architecture(genome)).not.toThrow();
        for (const position of blockPositions(hytra)) {
          const offered = offeredFamilies(hytra, genome, position);
          const allowed = offered.some((family) => names.includes(family)) ? names : ['conv'];
          expect([...allowed, 'skip']).toContain(usedAt(genome, position));
        }
      }
    }
  });
});
