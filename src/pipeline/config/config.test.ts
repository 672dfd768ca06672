import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileError, OptionError } from '../../base/errors.js';
import { packageRoot } from '../../base/modules.js';
import { hytraFields } from '../../spaces/hytra/options.js';
import { createHytraCifar } from '../../spaces/hytra/space.js';
import {
  checkConfig,
  jobIdentity,
  mergeConfig,
  presetNamed,
  presets,
  readConfigFile,
  runConfigSchema,
} from './config.js';
import { loadSpace } from './space-files.js';
import { defaultSupernetTraining } from './supernet-settings.js';

const minimal = {
  data: 'mnist',
  budget: 'energy=50%',
  supernet: { epochs: 1, batchSize: 8 },
  retrain: { epochs: 1, batchSize: 8 },
};

function problem(changes: object, base: object = minimal): string {
  try {
    checkConfig(runConfigSchema, mergeConfig(base, changes), 'run.yaml');
  } catch (error) {
    expect(error).toBeInstanceOf(OptionError);
    expect((error as Error).message).not.toContain('\n');
    return (error as Error).message;
  }
  throw new Error('was accepted');
}

describe('checkConfig', () => {
  it('fills in every default', () => {
    const config = checkConfig(runConfigSchema, minimal, 'run.yaml');
    expect(config.space).toMatchObject({ families: ['conv', 'pot.q', 'add'] });
    expect(config).toMatchObject({ seed: 1, out: 'runs', profile: 'fair', search: { population: 50 } });
    expect(config.search).toMatchObject({ strategy: 'evolution', surrogate: 'none', retrainFront: 0 });
    expect(config.search.objectives).toEqual(['error', 'energy']);
    expect(config.supernet).toMatchObject({ momentum: 0.9, nesterov: false, peakLearningRate: 0.1 });
    expect(config.name).toBeUndefined();
  });

  it('gives each optimiser its own defaults', () => {
    const values = mergeConfig(minimal, { retrain: { optimiser: 'adamw', clipNorm: 1 } });
    const { retrain } = checkConfig(runConfigSchema, values, 'run.yaml');
    expect(retrain).toEqual({
      optimiser: 'adamw',
      epochs: 1,
      accumulate: 1,
      batchSize: 8,
      peakLearningRate: 0.001,
      warmupFraction: 0.1,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      labelSmoothing: 0,
      clipNorm: 1,
    });
  });

  it.each([
    ['an unknown key', { colour: 1 }, "unknown key 'colour'"],
    ['an unknown key in a section', { search: { populaton: 5 } }, "unknown key 'search.populaton'"],
    [
      'an unknown key two sections down',
      { split: { searchValidaton: 5 } },
      "unknown key 'split.searchValidaton'",
    ],
    ['a wrong type', { seed: 'one' }, "'seed': "],
    ['a wrong type in a section', { search: { generations: 'many' } }, "'search.generations': "],
    ['a list for a number', { supernet: { epochs: [3] } }, "'supernet.epochs': "],
    ['a section that is no section', { search: 5 }, "'search': "],
    ['an empty section', { search: null }, "'search': "],
    ['a fraction above 1', { search: { mutationRate: 1.5 } }, "'search.mutationRate': "],
    ['a fraction of an image', { supernet: { epochs: 1.5 } }, "'supernet.epochs': "],
    ['a batch of one', { retrain: { batchSize: 1 } }, "'retrain.batchSize': "],
    ['a wrong element', { space: { stageChannels: [16, 'x'] } }, "'space.stageChannels.1': "],
    ['an impossible choice', { space: { stemStride: 3 } }, "'space.stemStride': "],
    ['a name that is a path', { name: '../x' }, "'name': may hold letters"],
    ['a learning rate of zero', { retrain: { peakLearningRate: 0 } }, "'retrain.peakLearningRate': "],
    ['not a number', { seed: NaN }, "'seed': "],
    [
      'an unknown optimiser',
      { retrain: { optimiser: 'adam' } },
      "'retrain.optimiser': must be sgd, adamw or radam",
    ],
    ['a clipping of nothing', { retrain: { clipNorm: 0 } }, "'retrain.clipNorm': "],
    [
      'an unknown key beside an optimiser',
      { retrain: { optimiser: 'adamw', rate: 1 } },
      "unknown key 'retrain.rate'",
    ],
    [
      'a key of the other optimiser',
      { retrain: { optimiser: 'adamw', momentum: 0.9 } },
      "'retrain.momentum' goes with 'optimiser: sgd' alone",
    ],
    [
      'a key of an optimiser that was not asked for',
      { supernet: { beta1: 0.8 } },
      "'supernet.beta1' goes with 'optimiser: adamw' or 'radam' alone",
    ],
    ['a running mean that never moves', { retrain: { optimiser: 'adamw', beta2: 1 } }, "'retrain.beta2': "],
    [
      'a key of a schedule that was not asked for',
      { retrain: { milestones: [0.5] } },
      "'retrain.milestones': goes with 'schedule: step' alone",
    ],
    [
      'a key of the cycle beside a step schedule',
      { supernet: { schedule: 'step', endDivisor: 10 } },
      "'supernet.endDivisor': goes with 'schedule: onecycle' alone",
    ],
    ['an unknown schedule', { retrain: { schedule: 'poly' } }, "'retrain.schedule': "],
    [
      'a factor that raises the rate',
      { retrain: { schedule: 'step', stepFactor: 2 } },
      "'retrain.stepFactor': ",
    ],
    ['parts of one image', { retrain: { accumulate: 5 } }, "'retrain.accumulate': must leave every part"],
    ['an unknown strategy', { search: { strategy: 'annealing' } }, "'search.strategy': "],
    ['an unknown surrogate', { search: { surrogate: 'forest' } }, "'search.surrogate': "],
    ['a surrogate without a choice', { search: { oversampling: 1 } }, "'search.oversampling': "],
    [
      'an unknown objective',
      { search: { objectives: ['error', 'speed'] } },
      "'search.objectives.1': 'speed' is no objective; choose among error, energy",
    ],
    [
      'objectives without the error',
      { search: { objectives: ['energy', 'params'] } },
      "'search.objectives': must hold 'error' and at least one cost",
    ],
    [
      'an objective twice',
      { search: { objectives: ['error', 'energy', 'energy'] } },
      "'search.objectives': must not name an objective twice",
    ],
    ['half a network', { search: { retrainFront: 0.5 } }, "'search.retrainFront': "],
    ['a switch that is none', { recomputeBlocks: 'yes' }, "'recomputeBlocks': "],
    ['an unknown rule', { supernetTraining: { paths: 'greedy' } }, "'supernetTraining.paths': "],
    [
      'an unknown key of the rules',
      { supernetTraining: { distil: 1 } },
      "unknown key 'supernetTraining.distil'; examples/cifar10.yaml",
    ],
    [
      'a teacher’s part that is none',
      { supernetTraining: { distill: 'much' } },
      "'supernetTraining.distill': must be true, false or a number from 0 to 1",
    ],
    ['a teacher’s part above 1', { supernetTraining: { distill: 2 } }, "'supernetTraining.distill': "],
    [
      'a projection of single paths',
      { supernetTraining: { projectGradients: 'pairwise' } },
      "'supernetTraining.projectGradients': needs steps in which several families use a tensor, and with 'paths: fair' one does; choose 'strict-fair' or 'sandwich', or leave it out",
    ],
    [
      'a warm-up longer than the training',
      {
        supernetTraining: {
          warmUp: [
            { families: ['conv'], part: 0.6 },
            { families: ['add'], part: 0.6 },
          ],
        },
      },
      "'supernetTraining.warmUp': has phases whose parts are more than 1 together",
    ],
    [
      'a phase without a family',
      { supernetTraining: { warmUp: [{ families: [], part: 0.1 }] } },
      "'supernetTraining.warmUp.0.families': ",
    ],
  ])('names the key: %s', (_, changes, expected) => {
    const message = problem(changes);
    expect(message).toContain(`run.yaml: ${expected}`);
    expect(message).not.toContain('missing');
  });

  it.each(['data', 'budget', 'supernet', 'retrain'])('says that %s is missing', (key) => {
    const rest = Object.fromEntries(Object.entries(minimal).filter(([name]) => name !== key));
    expect(problem({}, rest)).toContain(`run.yaml: '${key}' is missing`);
  });

  it('says that a key inside a section is missing', () => {
    expect(problem({}, { ...minimal, retrain: { epochs: 2 } })).toContain("'retrain.batchSize' is missing");
  });
});

describe('the rules of the supernet', () => {
  const rulesOf = (supernetTraining: object): unknown =>
    checkConfig(runConfigSchema, { ...minimal, supernetTraining }, 'run.yaml').supernetTraining;

  it('are absent when left out, and have defaults where keys are', () => {
    expect(checkConfig(runConfigSchema, minimal, 'run.yaml')).not.toHaveProperty('supernetTraining');
    expect(rulesOf({})).toEqual({
      paths: 'fair',
      randomPaths: 2,
      distill: 1,
      combine: 'sum',
      separateOptimiserState: false,
      projectGradients: 'none',
      warmUp: [],
    });
    expect(rulesOf({})).toEqual(defaultSupernetTraining);
  });

  it('take a yes, a no or a part for the distillation, and are what they were when read again', () => {
    for (const [given, part] of [
      [true, 1],
      [false, 0],
      [0.25, 0.25],
    ] as const) {
      const rules = rulesOf({ paths: 'sandwich', distill: given, projectGradients: 'multiplying' }) as object;
      expect(rules).toHaveProperty('distill', part);
      expect(rulesOf(JSON.parse(JSON.stringify(rules)) as object)).toEqual(rules);
    }
  });
});

describe('the section sharing', () => {
  const checked = (sharing?: object) =>
    checkConfig(runConfigSchema, mergeConfig(minimal, sharing === undefined ? {} : { sharing }), 'run.yaml');

  it('may be left out, and then says transport with moments, and other maps without a term', () => {
    expect(checked().sharing).toEqual({ map: 'transport', distribution: 'moment' });
    for (const map of ['piecewise', 'piecewise-published', 'none'])
      expect(checked({ map }).sharing).toEqual({ map, distribution: 'none' });
    expect(checked({ map: 'piecewise', segments: 20, distribution: 'moment', weight: 2 }).sharing).toEqual({
      ...{ map: 'piecewise', segments: 20, distribution: 'moment', weight: 2 },
    });
  });

  it.each([
    [{ map: 'all' }, /'sharing.map': /],
    [{ segments: 0 }, /'sharing.segments': /],
    [{ weight: 0 }, /'sharing.weight': /],
    [{ maps: 'none' }, /unknown key 'sharing.maps'/],
    [{ map: 'none', distribution: 'sorted' }, /'sharing.distribution': is about shared tensors.*another map/],
  ])('refuses %j in one line', (sharing, message) => {
    expect(() => checked(sharing)).toThrow(OptionError);
    expect(() => checked(sharing)).toThrow(message);
  });

  it('changes the identity of a run, but for the default, which is that of runs of before', () => {
    const identity = (sharing?: object): string => jobIdentity(checked(sharing));
    const { sharing: said, ...before } = checked();
    expect(said).toBeDefined();
    expect(identity()).toBe(jobIdentity(before));
    expect(identity({ map: 'transport', distribution: 'moment' })).toBe(identity());
    const others = [
      { map: 'none' },
      { map: 'piecewise' },
      { map: 'piecewise', segments: 10 },
      { map: 'piecewise-published' },
      { distribution: 'sorted' },
      { distribution: 'sorted', weight: 1 },
    ].map(identity);
    expect(new Set([identity(), ...others]).size).toBe(others.length + 1);
  });
});

describe('jobIdentity', () => {
  const identity = (changes: object): string =>
    jobIdentity(checkConfig(runConfigSchema, mergeConfig(minimal, changes), 'run.yaml'));

  it('changes with what results depend on, and not with places, saving and memory', () => {
    for (const changes of [{ name: 'a' }, { out: 'b' }, { checkpointSeconds: 1 }, { recomputeBlocks: true }])
      expect(identity(changes)).toBe(identity({}));
    for (const changes of [
      { seed: 2 },
      { retrain: { accumulate: 2 } },
      { supernet: { momentum: 0 } },
      { supernetTraining: { paths: 'sandwich' } },
    ])
      expect(identity(changes)).not.toBe(identity({}));
    const sandwich = { supernetTraining: { paths: 'sandwich' } };
    expect(identity(mergeConfig(sandwich, { supernetTraining: { randomPaths: 1 } }))).not.toBe(
      identity(sandwich),
    );
  });
});

describe('mergeConfig', () => {
  it('lets later layers win, key by key in sections, whole lists, and passes over undefined', () => {
    expect(
      mergeConfig(
        { a: 1, section: { x: 1, y: 1, deep: { p: 1, q: 1 } }, list: [1, 2, 3] },
        { a: 2, section: { y: 2, deep: { q: 2 } }, list: [9] },
        { a: undefined, section: { x: undefined, z: 3 }, b: false },
      ),
    ).toEqual({ a: 2, b: false, section: { x: 1, y: 2, z: 3, deep: { p: 1, q: 2 } }, list: [9] });
  });

  it('changes none of the layers', () => {
    const first = { section: { x: 1 } };
    const second = { section: { y: 2 } };
    const merged = mergeConfig(first, second);
    (merged['section'] as { x: number }).x = 5;
    expect([first, second]).toEqual([{ section: { x: 1 } }, { section: { y: 2 } }]);
  });

  it('flags win over a file, a file over a preset', () => {
    const merged = mergeConfig(presetNamed('mnist-quick'), { retrain: { epochs: 9 }, seed: 4 }, { seed: 5 });
    const config = checkConfig(runConfigSchema, merged, 'options');
    expect(config.retrain).toMatchObject({ epochs: 9, batchSize: 128 });
    expect(config.seed).toBe(5);
  });
});

describe('presets', () => {
  it.each(Object.keys(presets))('%s is a whole configuration', (name) => {
    expect(() => checkConfig(runConfigSchema, presetNamed(name), name)).not.toThrow();
  });

  it('are listed when there is none of that name, also for names every object has', () => {
    for (const name of ['mnist-slow', 'toString', '__proto__'])
      expect(() => presetNamed(name)).toThrow(`unknown preset '${name}'; known: mnist-quick`);
  });
});

describe('readConfigFile', () => {
  let folder: string;
  beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-config-'))));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const read = (text: string): Record<string, unknown> => {
    const path = join(folder, 'run.yaml');
    writeFileSync(path, text);
    return readConfigFile(path);
  };

  it('reads keys and values', () => {
    expect(read('data: mnist\nsearch:\n  population: 5\nlist: [1, 2]\n')).toEqual({
      data: 'mnist',
      search: { population: 5 },
      list: [1, 2],
    });
  });

  it.each([
    ['not YAML', 'data: [mnist', /run\.yaml: not YAML: /],
    ['a list', '- data', /run\.yaml: must hold keys and values/],
    ['nothing', '', /run\.yaml: must hold keys and values/],
    ['a key twice', 'data: a\ndata: b', /run\.yaml: not YAML: .*unique/],
  ])('refuses %s in one line', (_, text, message) => {
    expect(() => read(text)).toThrow(FileError);
    expect(() => read(text)).toThrow(message);
  });

  it('says when there is no file', () => {
    expect(() => readConfigFile(join(folder, 'none.yaml'))).toThrow(/none\.yaml: no such configuration file/);
    expect(() => readConfigFile(folder)).toThrow(FileError);
  });
});

describe('a section that is written as one word', () => {
  it.each(['sharing', 'search', 'supernetTraining'])('%s is refused, whatever flags say', (key) => {
    const values = mergeConfig(minimal, { [key]: 'none' }, { [key]: { map: undefined } });
    expect(() => checkConfig(runConfigSchema, values, 'run.yaml')).toThrow(new RegExp(`'${key}'`));
  });
});

describe('the examples', () => {
  it.each(['rank-cifar10.yaml', 'fronts-cifar10.yaml'])('%s is a configuration', (name) => {
    const path = join(packageRoot, 'examples', name);
    expect(checkConfig(runConfigSchema, readConfigFile(path), path)).toMatchObject({
      space: { stemStride: 2 },
    });
  });
});

describe('examples/hytra.yaml', () => {
  it('is hytra-cifar itself, with every option in it', () => {
    const path = join(packageRoot, 'examples', 'hytra.yaml');
    expect(loadSpace(path).identity).toBe(createHytraCifar().identity);
    const { options } = readConfigFile(path) as { options: Record<string, unknown> };
    expect(Object.keys(options).sort()).toEqual(Object.keys(hytraFields.shape).sort());
  });
});
