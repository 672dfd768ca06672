import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Mode, stateOf, type NamedTensors } from '../../nn/module.js';
import type { Genome } from '../../spaces/contract.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { loadNativeKernels, nativeInfo, setThreads } from '../../tensor/native/device.js';
import { poolUsage, take } from '../../tensor/pool.js';
import { Interrupted } from '../../training/interrupted.js';
import { Sgd } from '../../training/optimiser.js';
import {
  copyOf,
  snapshot,
  toyAdamWSchedule,
  toyOptions,
  toySchedule,
  toyShape,
  toySpace,
} from '../../training/toy.cases.js';
import { train, type TrainingCheckpoint } from '../../training/train.js';
import { Projection } from '../projection.js';
import { fairGenome } from '../sampler.js';
import { createPlan } from './plan.js';
import { isSinglePath, PathsKind } from './registry.js';
import {
  freshSupernet,
  gradientsOf,
  plainRules,
  stepGradients,
  toySteps,
  trainByRules,
  trainedState,
} from './trainee.cases.js';
import { Combination, type SupernetRules } from './trainee.js';

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

/** One width and nothing to leave out: of one family, one network. */
const spaceOf = (...families: readonly string[]) =>
  createMiniSpace({
    ...{ input: toyShape, classes: 4, families, stemChannels: 8, stageChannels: [16, 32] },
    ...{ blocksPerStage: [1, 1], widthRatios: [0.5] },
  });

const norm = (values: Float32Array): number => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));

/** Element by element, by the name that both have. */
function combined(
  maps: readonly ReadonlyMap<string, Float32Array>[],
  of: (values: readonly number[]) => number,
): ReadonlyMap<string, Float32Array> {
  const names = new Set(maps.flatMap((map) => [...map.keys()]));
  return new Map(
    [...names].map((name) => {
      const held = maps.flatMap((map) => map.get(name) ?? []);
      return [name, held[0]!.map((_, i) => of(held.map((values) => values[i]!)))];
    }),
  );
}

function expectClose(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
): void {
  expect([...actual.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected) {
    const off = values.map((value, i) => value - actual.get(name)![i]!);
    expect(norm(off), name).toBeLessThanOrEqual(1e-5 * norm(values) + 1e-9);
  }
}

describe('the rule fair', () => {
  const schedules = {
    sgd: {},
    'sgd with Nesterov momentum, clipping and parts': {
      schedule: { ...toySchedule, nesterov: true, clipNorm: 0.5, accumulate: 2 },
    },
    adamw: { schedule: toyAdamWSchedule },
  };
  it.each(Object.entries(schedules))(
    'is one pass of the sampler’s genome a step, to the bit: %s',
    (_, options) => {
      const supernet = freshSupernet();
      train(
        {
          name: 'supernet',
          parameters: supernet.parameters,
          buffers: supernet.buffers,
          forward: (images, step) => supernet.forward(images, fairGenome(toySpace, 5, step), Mode.Training),
          gradientScale: (parameter) => {
            const layer = supernet.sharedLayers.find((each) => each.owns(parameter));
            const { gradient } = parameter.tensor;
            if (layer?.family === undefined || gradient === undefined) return 1;
            return layer.gradientScales([{ family: layer.family, gradient, weight: 1 }])[0]!;
          },
        },
        toyOptions(options),
      );
      expect(trainedState({}, options)).toEqual(snapshot(stateOf(supernet)));
      supernet.dispose();
    },
  );
});

describe('the sandwich', () => {
  it('of a space with one network, without others, is twice the gradient of a single path', () => {
    const space = spaceOf('conv');
    const supernet = freshSupernet(space);
    const once = gradientsOf(supernet, uniformGenome(space, 'conv'));
    const rules = { paths: PathsKind.Sandwich, randomPaths: 0, distill: 0 };
    expect(stepGradients(supernet, rules, { space })).toEqual(combined([once], ([value]) => 2 * value!));
    const mean = stepGradients(supernet, { ...rules, combine: Combination.Mean }, { space });
    expect(mean).toEqual(once);
    supernet.dispose();
  });

  it('of additions alone has the length of its passes too, however its gradients are rescaled', () => {
    const space = spaceOf('add');
    const supernet = freshSupernet(space);
    const rules = { paths: PathsKind.Sandwich, randomPaths: 0, distill: 0 };
    const twice = stepGradients(supernet, rules, { space });
    const once = stepGradients(supernet, {}, { space });
    expectClose(
      twice,
      combined([once], ([value]) => 2 * value!),
    );
    supernet.dispose();
  });
});

describe('strict fairness', () => {
  const pathsOf = (space: typeof toySpace): readonly Genome[] =>
    createPlan(space, { ...plainRules, paths: PathsKind.StrictFair }, toySteps)
      .paths(5, 0)
      .map(({ genome }) => genome);

  it('sums the gradients of separate backward passes, to the bit where nothing is rescaled', () => {
    const space = spaceOf('conv', 'pot.q');
    const supernet = freshSupernet(space);
    const separate = pathsOf(space).map((genome) => gradientsOf(supernet, genome));
    expect(separate).toHaveLength(2);
    const sum = combined(separate, (values) => Math.fround(values[0]! + (values[1] ?? 0)));
    expect(stepGradients(supernet, { paths: PathsKind.StrictFair }, { space })).toEqual(sum);
    supernet.dispose();
  });

  it.each([Combination.Sum, Combination.Mean])(
    'brings the part of add to the size of the others before it is added: %s',
    (combine) => {
      const space = spaceOf('conv', 'pot.q', 'add');
      const supernet = freshSupernet(space);
      const paths = pathsOf(space);
      const factor = combine === Combination.Mean ? 1 / 3 : 1;
      const separate = paths.map((genome) => gradientsOf(supernet, genome, factor));
      const expected = new Map(
        [...combined(separate, (values) => values.reduce((sum, v) => sum + v, 0))].map(([name, plain]) => {
          const position = space.positions.findIndex((each) => name.startsWith(`${each.name}.`));
          if (!name.endsWith('.shared')) return [name, plain];
          const part = (family: string): Float32Array => {
            const at = paths.findIndex((genome) =>
              space.optionLabel(position, genome[position]!).startsWith(family),
            );
            return separate[at]!.get(name)!;
          };
          const [conv, shift, add] = [part('conv'), part('pot.q'), part('add')];
          const scale = (norm(conv) + norm(shift)) / 2 / norm(add);
          return [name, conv.map((value, i) => value + shift[i]! + scale * add[i]!)];
        }),
      );
      expectClose(stepGradients(supernet, { paths: PathsKind.StrictFair, combine }, { space }), expected);
      for (const { name, data } of supernet.buffers.filter(({ name }) => name.endsWith('gradientNorm')))
        expect(data[0], name).toBeGreaterThan(0);
      supernet.dispose();
    },
  );

  it('makes one update in the training loop', () => {
    const space = spaceOf('conv', 'pot.q');
    const whole = freshSupernet(space);
    const schedule = { ...toySchedule, epochs: 1, labelSmoothing: 0 };
    let saved: TrainingCheckpoint | undefined;
    let polls = 0;
    expect(() =>
      trainByRules(
        whole,
        { paths: PathsKind.StrictFair },
        {
          schedule,
          stepsPerEpoch: toySteps,
          interrupted: () => polls++ >= 1,
          onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)),
        },
        space,
      ),
    ).toThrow(Interrupted);
    const oracle = freshSupernet(space);
    const separate = pathsOf(space).map((genome) => gradientsOf(oracle, genome));
    const sum = combined(separate, (values) => Math.fround(values[0]! + (values[1] ?? 0)));
    const sgd = new Sgd(oracle.parameters, { momentum: 0.9, weightDecay: schedule.weightDecay });
    for (const { name, tensor } of oracle.parameters) {
      const gradient = sum.get(name);
      if (gradient === undefined) continue;
      tensor.gradient = take(gradient.length);
      tensor.gradient.set(gradient);
    }
    // Warm-up: 0.2 of 12 steps, 2, at the first of which the rate is half.
    sgd.step(0.025);
    for (const { name, tensor } of oracle.parameters)
      expect(saved!.tensors.get(name)!.data, name).toEqual(tensor.data);
    sgd.dispose();
    for (const supernet of [whole, oracle]) supernet.dispose();
  });
});

describe('warm-up', () => {
  it('gives gradients to the families of the phase alone', () => {
    const warmUp = [
      { families: ['conv'], part: 0.25 },
      { families: ['conv', 'add'], part: 0.25 },
    ];
    const others = (paths: PathsKind, step: number): readonly string[] => {
      const supernet = freshSupernet();
      const names = [...stepGradients(supernet, { paths, warmUp }, { step }).keys()];
      supernet.dispose();
      return ['conv', 'pot.q', 'add'].filter((family) => names.some((name) => name.includes(`.${family}.w`)));
    };
    for (const paths of [PathsKind.StrictFair, PathsKind.Sandwich]) {
      for (const step of [0, 2]) expect(others(paths, step), `${paths} ${step}`).toEqual(['conv']);
      for (const step of [3, 5]) expect(others(paths, step), `${paths} ${step}`).toEqual(['conv', 'add']);
    }
    for (const step of [6, 11]) expect(others(PathsKind.StrictFair, step)).toEqual(['conv', 'pot.q', 'add']);
  });
});

describe('a separate memory of the optimiser', () => {
  const alone = ['conv', 'add'].flatMap((family) =>
    [toySchedule, { ...toySchedule, nesterov: true, clipNorm: 0.5 }, toyAdamWSchedule].map(
      (schedule) => [family, schedule] as const,
    ),
  );
  it.each(alone)('for one family is the plain memory, to the bit: %s, %j', (family, schedule) => {
    const space = spaceOf(family);
    for (const paths of [PathsKind.Fair, PathsKind.Sandwich]) {
      const [plain, separate] = [false, true].map((separateOptimiserState) =>
        trainedState({ paths, separateOptimiserState }, { schedule }, space),
      );
      expect(separate).toEqual(plain);
    }
  });

  it('stands in checkpoints for each family, and matters where there are several', () => {
    const supernet = freshSupernet();
    let polls = 0;
    let saved: TrainingCheckpoint | undefined;
    expect(() =>
      trainByRules(
        supernet,
        { separateOptimiserState: true },
        { interrupted: () => polls++ >= 3, onCheckpoint: (checkpoint) => (saved = copyOf(checkpoint)) },
      ),
    ).toThrow(Interrupted);
    const name = 'momentum:stage1.block0.conv1.shared';
    expect(saved!.tensors.has(name)).toBe(false);
    const velocities = ['conv', 'pot.q', 'add'].map(
      (family) => saved!.tensors.get(`${name}@${family}`)!.data,
    );
    for (const velocity of velocities) expect(norm(velocity)).toBeGreaterThan(0);
    expect(velocities[0]).not.toEqual(velocities[1]);
    supernet.dispose();
    expect(trainedState({ separateOptimiserState: true })).not.toEqual(trainedState({}));
  });
});

const everyCombination: readonly (readonly [string, Partial<SupernetRules>])[] = Object.values(
  PathsKind,
).flatMap((paths) =>
  [false, true].flatMap((separateOptimiserState) =>
    (isSinglePath(paths) ? [Projection.None] : Object.values(Projection)).flatMap((projectGradients) =>
      [[], [{ families: ['conv'], part: 0.1 }]].flatMap((warmUp) =>
        (paths === PathsKind.Sandwich ? [0, 0.5, 1] : [1]).map((distill) => {
          const rules = { paths, separateOptimiserState, projectGradients, warmUp, distill };
          return [JSON.stringify(rules), rules] as const;
        }),
      ),
    ),
  ),
);

describe('every combination', () => {
  const options = { stepsPerEpoch: 3, schedule: { ...toySchedule, epochs: 1 } };
  it.each(everyCombination)('trains, and stays finite: %s', (_, rules) => {
    const supernet = freshSupernet();
    const before = snapshot(stateOf(supernet));
    trainByRules(supernet, rules, options);
    for (const [name, { data }] of stateOf(supernet)) expect(data.every(Number.isFinite), name).toBe(true);
    const changed = [...stateOf(supernet)].filter(([name, { data }]) =>
      data.some((value, i) => value !== before.get(name)!.data[i]),
    );
    expect(changed.filter(([name]) => name.endsWith('.shared')).length).toBeGreaterThan(0);
    supernet.dispose();
  });

  it('is another training than the others where it says something else', () => {
    const states = [
      {},
      { paths: PathsKind.Single },
      { paths: PathsKind.StrictFair },
      { paths: PathsKind.StrictFair, combine: Combination.Mean },
      { paths: PathsKind.StrictFair, projectGradients: Projection.Pairwise },
      { paths: PathsKind.StrictFair, projectGradients: Projection.Multiplying },
      { paths: PathsKind.StrictFair, separateOptimiserState: true },
      { paths: PathsKind.Sandwich },
      { paths: PathsKind.Sandwich, distill: 0 },
      { paths: PathsKind.Sandwich, distill: 0.5 },
      { paths: PathsKind.Sandwich, randomPaths: 0 },
      { warmUp: [{ families: ['conv'], part: 0.3 }] },
    ].map((rules) => trainedState(rules, options).get('stage1.block0.conv2.shared')!.data.join());
    expect(new Set(states).size).toBe(states.length);
  });
});

const resumed: readonly (readonly [string, Partial<SupernetRules>])[] = (
  [
    { paths: PathsKind.Single, separateOptimiserState: true },
    { paths: PathsKind.Fair },
    { paths: PathsKind.StrictFair, projectGradients: Projection.Pairwise },
    { paths: PathsKind.Sandwich, separateOptimiserState: true, projectGradients: Projection.Multiplying },
  ] as const
).map((rules) => {
  const warmUp = [
    { families: ['conv'], part: 0.25 },
    { families: ['conv', 'add'], part: 0.25 },
  ];
  return [JSON.stringify(rules), { ...rules, warmUp }] as const;
});

describe('a training that was stopped', () => {
  it.each(resumed)('at every border of a phase, and between, ends with the same bits: %s', (_, rules) => {
    for (const schedule of [toySchedule, toyAdamWSchedule]) {
      const whole = trainedState(rules, { schedule });
      for (const stop of [2, 3, 6, 7]) {
        let polls = 0;
        let saved: TrainingCheckpoint | undefined;
        const first = freshSupernet();
        const interrupted = (): boolean => polls++ >= stop;
        const onCheckpoint = (checkpoint: TrainingCheckpoint): void => void (saved = copyOf(checkpoint));
        expect(() => trainByRules(first, rules, { schedule, interrupted, onCheckpoint })).toThrow(
          Interrupted,
        );
        expect(saved!.step).toBe(stop);
        const rest = freshSupernet(toySpace, 2);
        trainByRules(rest, rules, { schedule, resumeFrom: saved! });
        expect(stateOf(rest), `stopped at ${stop}`).toEqual(whole);
        for (const supernet of [first, rest]) supernet.dispose();
      }
    }
  });
});

describe('threads', () => {
  it.runIf(loadNativeKernels() !== undefined)('do not change a bit', () => {
    const { threads } = nativeInfo();
    const by = (count: number): NamedTensors => {
      setThreads(count);
      return trainedState({
        paths: PathsKind.Sandwich,
        separateOptimiserState: true,
        projectGradients: Projection.Pairwise,
      });
    };
    try {
      const one = by(1);
      expect(by(2)).toEqual(one);
      expect(by(3)).toEqual(one);
    } finally {
      setThreads(threads);
    }
  });
});

describe('a training that diverges', () => {
  it('gives back what its passes have left', () => {
    const supernet = freshSupernet();
    const classifier = supernet.parameters.find(({ name }) => name === 'classifier.weight')!;
    let step = 0;
    expect(() =>
      trainByRules(
        supernet,
        { paths: PathsKind.StrictFair },
        {
          interrupted: () => {
            if (step++ === 1) classifier.tensor.data.fill(NaN);
            return false;
          },
        },
      ),
    ).toThrow(/not finite/);
    supernet.dispose();
  });
});
