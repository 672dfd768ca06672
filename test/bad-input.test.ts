/**
 * @file Mistakes a person makes, through the real command: one line on stderr that says what to do, exit code 2.
 */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../src/base/random.js';
import { createMiniSpace, uniformGenome } from '../src/spaces/mini/space.js';
import {
  shiftaddnas,
  temporaryFolder,
  toyClasses,
  toyConfig,
  toyImage,
  toySide,
  writeConfig,
  writeToyIdx,
} from './support.js';

const { path: home, remove } = temporaryFolder();
const runs = join(home, 'runs');
let data: string;
let config: string;

beforeAll(() => {
  data = writeToyIdx(join(home, 'data'));
  config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, runs));
});
afterAll(remove);

/** The one line on stderr of a command that must fail as the user's mistake. */
async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await shiftaddnas(args, { cwd: home });
  expect(stderr).toMatch(/^error: [^\n]*\n$/);
  expect(code).toBe(2);
  return stderr;
}

/** As {@link mistake}, where the data give rise to notices before it. */
async function mistakeAmongNotices(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await shiftaddnas(args, { cwd: home });
  const lines = stderr.trimEnd().split('\n');
  const errors = lines.filter((line) => !line.startsWith('notice: '));
  expect(errors).toEqual([expect.stringMatching(/^error: /)]);
  expect(code).toBe(2);
  return errors[0] as string;
}

/** As {@link mistake}, for a search; no run folder may be left. */
async function searchMistake(...flags: readonly string[]): Promise<string> {
  const line = await mistake('search', '--config', config, '--name', 'never', ...flags);
  expect(existsSync(join(runs, 'never'))).toBe(false);
  return line;
}

async function configMistake(change: (values: ReturnType<typeof toyConfig>) => object): Promise<string> {
  const path = writeConfig(join(home, 'changed.yaml'), change(toyConfig(data, runs)));
  return searchMistake('--config', path);
}

async function writePng(path: string, label: number, random: Random, side = toySide): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  const image = sharp(toyImage(label, random), { raw: { width: toySide, height: toySide, channels: 1 } });
  await image.resize(side, side).toColourspace('b-w').png().toFile(path);
}

/** An image folder of `perClass` images in each class; returns its path. */
async function writeTree(name: string, perClass: number, classes = toyClasses): Promise<string> {
  const random = Random.stream('tree', name);
  for (let label = 0; label < classes; label++)
    for (let i = 0; i < perClass; i++)
      await writePng(join(home, name, `class${label}`, `${i}.png`), label, random);
  return join(home, name);
}

describe('data', () => {
  it('of an unknown scheme', async () => {
    expect(await searchMistake('--data', 'imagenet:/x')).toMatch(
      /unknown data set "imagenet:\/x"; give one of mnist/,
    );
    expect(await mistake('data', 'info', 'mnst')).toContain('give one of mnist');
  });

  it('that is not there', async () => {
    for (const scheme of ['idx', 'folder', 'cifar10', 'cifar100'])
      expect(await searchMistake('--data', `${scheme}:${home}/nowhere`)).toContain(
        `${home}/nowhere: no such`,
      );
    expect(await searchMistake('--data', 'idx')).toContain('needs a path: idx:FOLDER');
  });

  it('in a truncated idx file', async () => {
    const folder = join(home, 'cut');
    const spec = writeToyIdx(folder);
    truncateSync(join(folder, 't10k-images-idx3-ubyte'), 5000);
    expect(await searchMistake('--data', spec)).toMatch(/t10k-images-idx3-ubyte: truncated/);
  });

  it('in a truncated CIFAR file', async () => {
    const folder = join(home, 'cifar');
    mkdirSync(folder);
    const record = 3073;
    for (const name of [1, 2, 3, 4, 5].map((i) => `data_batch_${i}.bin`).concat('test_batch.bin'))
      writeFileSync(
        join(folder, name),
        new Uint8Array(20 * record).map((_, i) => (i % record === 0 ? (i / record) % 10 : 9)),
      );
    truncateSync(join(folder, 'data_batch_3.bin'), 20 * record - 7);
    expect(await searchMistake('--data', `cifar10:${folder}`)).toMatch(
      /data_batch_3\.bin is truncated: expected/,
    );
  });

  it('with a corrupt image: named, skipped and counted up to 1 %, an error beyond', async () => {
    const folder = await writeTree('corrupt', 40);
    const jpeg = await sharp(toyImage(0, Random.stream('jpeg')), {
      raw: { width: toySide, height: toySide, channels: 1 },
    })
      .jpeg()
      .toBuffer();
    writeFileSync(join(folder, 'class0', 'broken.jpg'), jpeg.subarray(0, jpeg.length >> 1));
    const info = await shiftaddnas(['data', 'info', `folder:${folder}`, '--json']);
    expect(info.code).toBe(0);
    expect(info.stderr).toMatch(/1 corrupt images? (was|were) skipped: class0\/broken\.jpg/);
    expect(JSON.parse(info.stdout)).toMatchObject({ trainCount: 128, testCount: 32 });
    for (const i of [1, 2]) writeFileSync(join(folder, 'class1', `broken${i}.jpg`), jpeg.subarray(0, 60));
    const line = await mistakeAmongNotices('search', '--config', config, '--data', `folder:${folder}`);
    expect(line).toMatch(/more than 1 % of the 163 images are corrupt, among them .*broken/);
  });

  it('of one class only', async () => {
    const folder = await writeTree('single', 10, 1);
    expect(await searchMistake('--data', `folder:${folder}`)).toContain('only one class ("class0")');
  });

  it('of mixed sizes is resized with a notice', async () => {
    const folder = await writeTree('mixed', 12);
    await writePng(join(folder, 'class0', 'large.png'), 0, Random.stream('large'), 40);
    const info = await shiftaddnas(['data', 'info', `folder:${folder}`]);
    expect(info.code).toBe(0);
    expect(info.stderr).toMatch(/notice: .*1 of 49 images had another size and were scaled to 16x16/);
    expect(info.stdout).toContain('16x16x1');
  });
});

describe('budgets', () => {
  it.each([
    ['energy=', "'' is not a number"],
    ['energy=0.4', 'energy needs a unit'],
    ['energy=0.4kWh', "unknown unit 'kWh'"],
    ['power=3W', "'power' cannot be limited"],
    ['energy=50%,energy=40%', 'limited twice'],
    ['', 'the budget is empty'],
    ['latency=-2ms', 'must be above zero'],
  ])('malformed: %s', async (budget, text) => {
    expect(await searchMistake('--budget', budget)).toContain(text);
  });

  it('that no network meets: at once, with the nearest reachable point', async () => {
    const line = await searchMistake('--budget', 'energy=1pJ');
    expect(line).toMatch(
      /no network of the mini space meets energy <= 1 pJ; the nearest has energy [\d.]+ [nu]J/,
    );
    const suggested = /raise the budget to (\S+)/.exec(line)?.[1];
    const { code } = await shiftaddnas([
      ...['search', '--config', config, '--name', 'nearest', '--quiet'],
      ...['--budget', suggested as string],
    ]);
    expect(code).toBe(0);
  });
});

describe('configuration', () => {
  it('with an unknown key, also in a section', async () => {
    expect(await configMistake((values) => ({ ...values, epoch: 3 }))).toContain("unknown key 'epoch'");
    expect(
      await configMistake((values) => ({ ...values, search: { ...values.search, generation: 3 } })),
    ).toContain("unknown key 'search.generation'");
  });

  it('with a value of the wrong type or range', async () => {
    expect(await configMistake((values) => ({ ...values, seed: 'one' }))).toContain("'seed'");
    expect(
      await configMistake((values) => ({ ...values, retrain: { ...values.retrain, epochs: 1.5 } })),
    ).toContain("'retrain.epochs'");
    expect(
      await configMistake((values) => ({
        ...values,
        space: { ...(values.space as object), stageChannels: [4] },
      })),
    ).toContain('blocksPerStage');
  });

  it('with a missing value', async () => {
    expect(await configMistake((values) => ({ ...values, budget: undefined }))).toContain(
      "'budget' is missing",
    );
  });

  it('with a batch larger than the training part', async () => {
    expect(
      await configMistake((values) => ({ ...values, retrain: { ...values.retrain, batchSize: 5000 } })),
    ).toContain("'retrain.batchSize': 5000 is more than the 280 training images");
  });

  it('that is not there, or no YAML', async () => {
    expect(await mistake('search', '--config', join(home, 'nowhere.yaml'))).toContain(
      'no such configuration file',
    );
    const path = join(home, 'broken.yaml');
    writeFileSync(path, 'data: [1, 2');
    expect(await mistake('search', '--config', path)).toContain('not YAML');
    writeFileSync(path, '- 1\n- 2\n');
    expect(await mistake('search', '--config', path)).toContain('must hold keys and values');
  });
});

describe('settings that no data could mend', () => {
  /** Data that are not there: who reads them before the settings complains of them. */
  const nowhere = { data: 'idx:/nowhere' };
  const hytra = (options: object): object => ({ ...nowhere, space: { name: 'hytra-cifar', ...options } });
  const warmUp = (name: string): object => ({
    ...nowhere,
    supernetTraining: { warmUp: [{ families: [name], part: 0.001 }] },
  });
  const distill = { techniques: { distill: { teacher: 'nobody' } } };

  it.each([
    [hytra({ stageChannels: [8, 16] }), /hytra-cifar space: stageFamilies: must have one entry per entry/],
    [hytra({ layers: 3 }), /hytra-cifar space: layers: cannot be dealt to the stages/],
    [hytra({ stageFamilies: [['conv'], ['conv'], ['cnov'], ['conv']] }), /unknown operator family 'cnov'/],
    [
      { ...nowhere, space: { stageChannels: [8, 16], blocksPerStage: [1] } },
      /mini space: blocksPerStage: must have one entry/,
    ],
    [warmUp('binary'), /warmUp' names the family 'binary', which the space does not have/],
    [
      { ...nowhere, sharing: { map: 'none' }, supernetTraining: { separateOptimiserState: true } },
      /'supernetTraining\.separateOptimiserState' is about shared tensors/,
    ],
    [{ ...nowhere, ...distill }, /nobody: no such teacher/],
    [
      { ...nowhere, techniques: { prune: { ratio: 0.5 }, sparse: { density: 0.5 } } },
      /'techniques\.sparse' and 'techniques\.prune' both decide/,
    ],
  ])('are found before the data are read: %j', async (change, message) => {
    const file = writeConfig(join(home, 'early.yaml'), { ...toyConfig(data, runs), ...change });
    expect(await mistake('search', '--config', file)).toMatch(message);
  });

  it('of a search alone', async () => {
    const file = (change: object): string =>
      writeConfig(join(home, 'early.yaml'), { ...toyConfig(data, runs), ...nowhere, ...change });
    expect(await mistake('search', '--config', file({ space: { families: ['add'] } }))).toMatch(
      /a budget in percent refers to the all-conv network/,
    );
    const search = { population: 40, prefilter: 'naswot', prefilterPool: 10 };
    expect(await mistake('search', '--config', file({ search }))).toMatch(/'search\.prefilterPool': 10/);
  });

  it('of a measurement of ranks', async () => {
    const rank = (change: object, networks: string): Promise<string> => {
      const file = writeConfig(join(home, 'early.yaml'), { ...toyConfig(data, runs), ...nowhere, ...change });
      return mistake('rank', '--config', file, '--networks', networks);
    };
    expect(await rank({}, '100000')).toMatch(/--networks 100000: the space has \d+ networks only/);
    expect(await rank(warmUp('binary'), '4')).toMatch(/names the family 'binary'/);
    expect(await rank(distill, '4')).toMatch(/nobody: no such teacher/);
  });

  it('of a training', async () => {
    const train = (...flags: readonly string[]): Promise<string> =>
      mistake('train', '--data', nowhere.data, ...flags);
    expect(await train('--family', 'add', '--distill', 'nobody')).toMatch(/nobody: no such teacher/);
    const hytraFile = writeConfig(join(home, 'early.yaml'), { space: 'hytra-cifar' });
    expect(await train('--family', 'binary', '--config', hytraFile)).toMatch(/has no family 'binary'/);
    const space = createMiniSpace({ input: { height: 16, width: 16, channels: 1 }, classes: 4 });
    const file = writeConfig(join(home, 'all-conv.json'), space.architecture(uniformGenome(space, 'conv')));
    const lp = writeConfig(join(home, 'early.yaml'), { techniques: { lpAnneal: {} } });
    expect(await train('--architecture', file, '--config', lp)).toMatch(/'techniques\.lpAnneal' acts on/);
  });
});

describe('output', () => {
  it('that cannot be written', async () => {
    // A regular file as parent: refused to every user, root too.
    const file = join(home, 'a-file');
    writeFileSync(file, 'not a folder');
    for (const out of [join(file, 'runs'), '/dev/null/runs'])
      expect(await mistake('search', '--config', config, '--name', 'x', '--out', out)).toContain(
        'cannot write here',
      );
    const family = ['train', '--family', 'conv', '--data', data, '--epochs', '1'];
    expect(await mistake(...family, '--out', join(file, 'model'))).toContain('cannot write here');
    expect(readFileSync(file, 'utf8')).toBe('not a folder');
  });

  it.skipIf(process.getuid?.() === 0)('without permission', async () => {
    const folder = join(home, 'locked');
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    expect(await mistake('search', '--config', config, '--name', 'x', '--out', folder)).toContain(
      'cannot write here',
    );
  });

  it('into a folder that holds something', async () => {
    const folder = join(home, 'full');
    mkdirSync(folder);
    writeFileSync(join(folder, 'thesis.tex'), '');
    const family = ['train', '--family', 'conv', '--data', data, '--epochs', '1'];
    expect(await mistake(...family, '--out', folder)).toContain('already holds files');
    expect(readdirSync(folder)).toEqual(['thesis.tex']);
  });
});

describe('names and options', () => {
  it.each([
    [['search', '--preset', 'imagenet-huge'], "unknown preset 'imagenet-huge'; known: mnist-quick"],
    [['search'], 'give --preset mnist-quick'],
    [['serch'], "unknown command 'serch' (Did you mean search?); see 'shiftaddnas --help'"],
    [
      ['search', '--bugdet', '1'],
      "unknown option '--bugdet' (Did you mean --budget?); see 'shiftaddnas search --help'",
    ],
    [['search', '--seed', '-1'], '--seed'],
    [['search', '--seed', 'abc'], 'Give a whole number'],
    [['search', 'mnist'], 'too many arguments'],
    [['evaluate', '--data', 'mnist'], 'missing required argument'],
    [['evaluate', 'x'], "required option '--data <spec>' not specified"],
    [['evaluate', 'x', '--data', 'mnist', '--split', 'all'], 'Allowed choices are test, train'],
    [['hw', 'guess'], "unknown command 'guess'"],
    [['hw', 'estimate'], 'a file, or either --layers FILE.csv, --architecture PATH or --onnx FILE'],
    [['hw', 'estimate', '--layers', '/nowhere.csv'], '/nowhere.csv: no such file'],
    [['hw', 'estimate', '--layers', 'x.csv', '--profile', 'tpu'], "unknown cost profile 'tpu'"],
    [['train', '--data', 'mnist'], 'one of --architecture PATH'],
    [['train', '--family', 'conv'], 'give --data SPEC'],
    [['train', '--family', 'xnor', '--data', 'mnist'], "unknown operator family 'xnor'"],
    [['train', '--resume', '/nowhere'], 'not the folder of a training'],
    [['report', '/nowhere'], 'name the folder of a run'],
  ])('%j', async (args, text) => {
    expect(await mistake(...args)).toContain(text);
  });

  it('unknown profile and family of a search', async () => {
    expect(await searchMistake('--profile', 'tpu')).toContain("unknown cost profile 'tpu'");
    expect(await searchMistake('--families', 'conv,xnor')).toContain("unknown operator family 'xnor'");
    expect(await searchMistake('--families', 'conv,,add')).toContain('Give names with commas');
  });

  it('an unknown device or number of threads', async () => {
    for (const env of [{ SHIFTADDNAS_DEVICE: 'gpu' }, { SHIFTADDNAS_THREADS: 'many' }]) {
      const { code, stderr } = await shiftaddnas(['search', '--config', config, '--name', 'never'], { env });
      expect(stderr).toMatch(/^error: [^\n]*SHIFTADDNAS_[^\n]*\n$/);
      expect(code).toBe(2);
      expect(existsSync(join(runs, 'never'))).toBe(false);
    }
  });
});

describe('models', () => {
  it('that do not fit the data, are damaged, or are none', async () => {
    const model = join(home, 'model');
    const trained = await shiftaddnas([
      ...['train', '--family', 'conv', '--config', config, '--epochs', '1', '--out', model, '--quiet'],
    ]);
    expect(trained).toMatchObject({ code: 0 });
    const two = `folder:${await writeTree('two', 12, 2)}`;
    expect(await mistakeAmongNotices('evaluate', model, '--data', two)).toContain(
      `${model} tells 4 classes apart, ${two} has 2`,
    );
    expect(await mistakeAmongNotices('evaluate', model, '--data', data, '--image-size', '24')).toContain(
      `${model} takes images of 16x16 pixels`,
    );
    expect(await mistakeAmongNotices('evaluate', model, '--data', 'mnist')).toContain(
      'those of mnist are 28x28; scale them by --image-size 16',
    );
    expect(await mistake('evaluate', home, '--data', data)).toContain('architecture.json: no such file');
    const path = join(model, 'architecture.json');
    const architecture = JSON.parse(readFileSync(path, 'utf8')) as { classes: number };
    writeFileSync(path, JSON.stringify({ ...architecture, classes: 7 }));
    expect(await mistake('evaluate', model, '--data', data)).toContain('model.safetensors');
    writeFileSync(path, '{}');
    expect(await mistake('evaluate', model, '--data', data)).toContain('not an architecture file');
    expect(await mistake('hw', 'estimate', '--architecture', path)).toContain('not an architecture file');
  });
});

describe('layer tables', () => {
  const header = 'type,N,H,W,C,R,M,E,F,stride';
  const table = (name: string, ...lines: readonly string[]): string => {
    const path = join(home, name);
    writeFileSync(path, `${lines.join('\n')}\n`);
    return path;
  };

  it('with a header that lacks a column', async () => {
    const path = table('header.csv', 'type,N,H,W,C,R,M,E,F', 'Conv,1,8,8,4,3,4,8,8');
    for (const command of ['estimate', 'map', 'fit'])
      expect(await mistake('hw', command, '--layers', path)).toContain(
        `${path}:1: the CSV lacks column stride`,
      );
  });

  it('with broken rows: named by line, the others priced all the same', async () => {
    const path = table(
      'rows.csv',
      header,
      'Conv,1,8,8,4,3,4,8,8,1',
      'Conv,1,8,8,four,3,4,8,8,1',
      'Conv,1,8',
      'Add,1,8,8,4,3,4,8,8,1',
    );
    const out = join(home, 'priced.csv');
    const { code, stdout, stderr } = await shiftaddnas([
      'hw',
      'estimate',
      '--layers',
      path,
      '--csv',
      out,
      '--json',
    ]);
    expect(code).toBe(2);
    expect(stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^error: .*rows\.csv:3: C must be a positive integer, got 'four'$/),
      expect.stringMatching(/^error: .*rows\.csv:4: 3 cells where the header has 10$/),
    ]);
    const printed = JSON.parse(stdout) as { rows: { line: number }[]; badRows: { line: number }[] };
    expect(printed.rows.map(({ line }) => line)).toEqual([2, 5]);
    expect(printed.badRows.map(({ line }) => line)).toEqual([3, 4]);
    expect(readFileSync(out, 'utf8').trimEnd().split('\n')).toHaveLength(3);
  });

  it('written where nothing can be written', async () => {
    const path = table('fine.csv', header, 'Conv,1,8,8,4,3,4,8,8,1');
    expect(await mistake('hw', 'estimate', '--layers', path, '--csv', '/dev/null/x.csv')).toContain(
      'cannot write here',
    );
  });
});
