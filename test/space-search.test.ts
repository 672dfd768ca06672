/**
 * @file Search and rank over other spaces than mini, through the real program: one with a name, and a declared file.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RankResult } from '../src/pipeline/rank/result.js';
import { BlockKind, type Architecture } from '../src/spaces/architecture.js';
import {
  comparable,
  killWhen,
  readEvents,
  readResult,
  shiftaddnas,
  toyHome,
  writeConfig,
} from './support.js';

const { home, runs, settings } = toyHome(200, 60);
const named = join(runs, 'named');
const small = {
  ...settings,
  // Small layers cost mostly what every family costs.
  budget: 'energy=95%',
  split: { searchValidation: 60 },
  supernet: { ...settings.supernet, epochs: 2 },
  retrain: { ...settings.retrain, epochs: 1 },
};
const hytra = {
  ...{ name: 'hytra-cifar', layers: 5, stageChannels: [8, 8, 16, 16] },
  stem: { channels: 4, kernel: 3, stride: 1, pool: false },
};
const declared = `
name: own
input: { height: 32, width: 32, channels: 3 }
classes: 10
stem: { channels: 4 }
stages:
  - { channels: 4, depth: [1, 2], families: [conv, add], widths: 1, kernels: [3, 5] }
  - { channels: 8, depth: 1, block: inverted, families: [conv, pot.q], widths: [1, 2] }
  - { channels: 8, depth: 1, block: bottleneck, families: [attention, add], widths: 0.5 }
`;
let config: string;

beforeAll(async () => {
  config = writeConfig(join(home, 'hytra.yaml'), { ...small, space: hytra });
  const { code, stdout } = await shiftaddnas(['search', '--config', config, '--name', 'named', '--quiet']);
  expect(code).toBe(0);
  // The last stage offers neither; splits 1-1-1-2 alone.
  for (const name of ['shift', 'add'])
    expect(stdout).toContain(
      `all-${name}: 2 of 5 blocks are conv, because the space offers no ${name} there`,
    );
});

describe('hytra-cifar', () => {
  it('is searched, and found, rival and report are of it', () => {
    const result = readResult(named);
    expect(result.space).toEqual({
      name: 'hytra-cifar',
      // Splits 1-1-1-2 alone.
      size: String(3 * 3 * 4 * 2 * 2),
      families: ['conv', 'pot.q', 'add', 'attention'],
    });
    expect(result.networks.map(({ name }) => name)).toEqual([
      ...['hybrid', 'all-conv', 'all-shift', 'all-add', 'all-attention', 'conv-scaled'],
    ]);
    for (const { architecture } of result.networks) {
      expect(architecture.input).toEqual({ height: 16, width: 16, channels: 1 });
      expect(architecture.blocks[0]!.kind).toBe(BlockKind.Adapter);
      expect(architecture.blocks).toHaveLength(1 + 5);
    }
    const candidates = readEvents(named).flatMap((event) =>
      event.type === 'candidate' ? [event.genome] : [],
    );
    expect(new Set(candidates.map(String)).size).toBe(candidates.length);
    const page = readFileSync(join(named, 'report.html'), 'utf8');
    expect(page).toContain('hytra-cifar');
    expect(page).toContain('layer0.scale0');
    expect(page).toContain('all-shift: 2 of 5 blocks are conv');
  });

  it('resumes after kill -9 in the supernet and in the search to the same result', async () => {
    const folder = join(runs, 'killed');
    const counted = (type: string): number =>
      readEvents(folder).filter((event) => event.type === type).length;
    let args = ['search', '--config', config, '--name', 'killed', '--quiet'];
    for (const type of ['training', 'candidate']) {
      await killWhen(args, () => counted(type) >= 1);
      args = ['search', '--resume', folder, '--quiet'];
    }
    expect(await shiftaddnas(args)).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(comparable(named));
  });

  it('is ranked, by its own supernet too', async () => {
    const out = join(home, 'rank');
    const { code, stderr } = await shiftaddnas([
      'rank',
      '--run',
      named,
      '--networks',
      '3',
      '--out',
      out,
      '--quiet',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { space, measured } = JSON.parse(readFileSync(join(out, 'rank.json'), 'utf8')) as RankResult;
    expect(space.name).toBe('hytra-cifar');
    expect(new Set(measured.map(({ genome }) => genome.join())).size).toBe(3);
  });
});

describe('hytra-imagenet', () => {
  it('is trained at a size beyond 64 pixels that halves to odd maps', async () => {
    const file = writeConfig(join(home, 'imagenet.yaml'), { space: 'hytra-imagenet' });
    const out = join(home, 'imagenet');
    const { code, stderr } = await shiftaddnas([
      ...['train', '--config', file, '--data', settings.data, '--image-size', '72', '--family', 'pot.q'],
      ...['--limit-train', '8', '--batch-size', '4', '--epochs', '1', '--out', out, '--quiet'],
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/^notice: [^\n]*\n$/) });
    const { architecture } = JSON.parse(readFileSync(join(out, 'train.json'), 'utf8')) as {
      architecture: Architecture;
    };
    // The stem leaves 18 of 72 pixels.
    expect(architecture.blocks.at(-1)).toMatchObject({ inHeight: 3, outChannels: 1024 });
  });
});

describe('a declared file', () => {
  it('is searched by --space in the place of the configured space, on the images of the data', async () => {
    const file = join(home, 'own.yaml');
    writeFileSync(file, declared);
    const { code } = await shiftaddnas([
      ...['search', '--config', config, '--space', file, '--name', 'own', '--quiet'],
    ]);
    expect(code).toBe(0);
    const { space, networks } = readResult(join(runs, 'own'));
    expect(space).toEqual({
      name: 'own',
      size: String((4 + 16) * 4 * 2),
      families: ['conv', 'add', 'pot.q', 'attention'],
    });
    expect(networks[0]!.architecture).toMatchObject({ input: { height: 16, channels: 1 }, classes: 4 });
    // The run knows its space without the file.
    writeFileSync(file, '');
    expect(await shiftaddnas(['report', join(runs, 'own')])).toMatchObject({ code: 0, stderr: '' });
    const read = JSON.parse(readFileSync(join(runs, 'own', 'config.json'), 'utf8')) as { space: object };
    expect(read.space).toMatchObject({ declared: { name: 'own' } });
  });

  it('is searched over operands of few bits, to the same end when it was killed', async () => {
    const file = join(home, 'bits.yaml');
    const stage = (channels: number, bits: string): string =>
      `  - { channels: ${channels}, depth: 1, families: [conv, add], bits: ${bits}, widths: 1 }`;
    const head =
      'name: bits\ninput: { height: 32, width: 32, channels: 3 }\nclasses: 10\nstem: { channels: 4 }';
    writeFileSync(file, `${head}\nstages:\n${stage(4, '[float, 8, 4]')}\n${stage(8, '[float, 2]')}\n`);
    const search = ['search', '--config', config, '--space', file, '--quiet', '--name'];
    expect(await shiftaddnas([...search, 'bits'])).toMatchObject({ code: 0 });
    const { space, networks } = readResult(join(runs, 'bits'));
    const families = [
      'conv',
      'conv.int8',
      'conv.int4',
      'add',
      'add.int8',
      'add.int4',
      'conv.int2',
      'add.int2',
    ];
    expect(space).toEqual({ name: 'bits', size: '24', families });
    // Of each family the widest.
    expect(networks.map(({ name }) => name)).toEqual(['hybrid', 'all-conv', 'all-add', 'conv-scaled']);
    const judged = readEvents(join(runs, 'bits')).flatMap((event) =>
      event.type === 'candidate' ? [event] : [],
    );
    // Genes 0 to 2 of the first block are float, 8 and 4 bits of the same convolution, which cost less and less.
    const pairs = judged.flatMap((one) =>
      judged
        .filter(
          ({ genome: [first, second] }) => first! <= 2 && one.genome[0]! < first! && one.genome[1] === second,
        )
        .map((other) => [one.energyMj, other.energyMj] as const),
    );
    expect(pairs.length).toBeGreaterThan(0);
    for (const [more, fewer] of pairs) expect(fewer).toBeLessThan(more);

    const folder = join(runs, 'bits-killed');
    await killWhen([...search, 'bits-killed'], () =>
      readEvents(folder).some(({ type }) => type === 'candidate'),
    );
    expect(await shiftaddnas(['search', '--resume', folder, '--quiet'])).toMatchObject({ code: 0 });
    expect(comparable(folder)).toEqual(comparable(join(runs, 'bits')));
  });

  it('can name single families of few bits in the mini space', async () => {
    const mini = writeConfig(join(home, 'mini.yaml'), small);
    const search = async (families: string, name: string) =>
      shiftaddnas(['search', '--config', mini, '--families', families, '--name', name, '--quiet']);
    expect(await search('conv,conv.int4,pot.q.int8', 'few')).toMatchObject({ code: 0 });
    const { space, networks } = readResult(join(runs, 'few'));
    expect(space.families).toEqual(['conv', 'conv.int4', 'pot.q.int8']);
    expect(networks.map(({ name }) => name)).toContain('all-shift-int8');
    for (const [families, message] of [
      ['conv,conv.int1', /^error: .*'conv\.int1': operands have 2 to 16 bits\n$/],
      ['conv,binary.int8', /^error: .*binary layers have no operands of few bits[^\n]*\n$/],
      ['conv,xor.int8', /^error: .*unknown operator family 'xor\.int8'; known: [^\n]*conv\.int8[^\n]*\n$/],
    ] as const) {
      const { code, stderr } = await search(families, 'none');
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    }
  });

  it.each([
    [['--space', 'hytra'], /unknown space 'hytra'; known: /],
    [['--space', 'nowhere.yaml'], /nowhere\.yaml: no such configuration file/],
    [
      ['--space', 'hytra-cifar', '--families', 'conv'],
      /'space\.families': those of hytra-cifar are given for each stage/,
    ],
  ])('a mistake ends in one line: %j', async (flags, message) => {
    const { code, stderr } = await shiftaddnas(['search', '--config', config, '--quiet', ...flags]);
    expect(stderr).toMatch(/^error: [^\n]*\n$/);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });
});
