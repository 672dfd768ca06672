/**
 * @file `shiftaddnas space` through the real program.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../src/base/modules.js';
import { parseArchitecture } from '../src/spaces/parse.js';
import { shiftaddnas, temporaryFolder } from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);
const example = join(packageRoot, 'examples', 'space.yaml');

async function printed(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await shiftaddnas(['space', ...args], { cwd: home });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

const json = async (...args: readonly string[]) => JSON.parse(await printed(...args, '--json'));

async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await shiftaddnas(['space', ...args], { cwd: home });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr;
}

describe('space', () => {
  it('tells the size, the positions and the extremes of a space', async () => {
    const text = await printed('info', 'hytra-imagenet');
    expect(text).toMatch(/^hytra-imagenet: 198,955,008 networks, images of 224x224x3, 1000 classes\n/);
    expect(text).toContain('1-1-5-9');
    expect(text).toContain('supernet: 91 candidates that networks can reach');
    const info = await json('info', 'hytra-cifar', '--classes', '100');
    expect(info).toMatchObject({ name: 'hytra-cifar', classes: 100, input: { height: 32 } });
    for (const { least, most } of Object.values<{ least: { cost: number }; most: { cost: number } }>(
      info.extremes,
    ))
      expect(least.cost).toBeLessThan(most.cost);
    expect((await json('info', example)).name).toBe('my-space');
    expect(info.options).toMatchObject({ layers: 8, stageChannels: [32, 64, 128, 256] });
    expect(text).toContain(
      'made with: stem (channels 64, kernel 7, stride 2, pool true), layers 16, longestStage 9, splits published, ' +
        'stageChannels 128 256 512 1024, stageFamilies conv|pot.q|add conv|pot.q|add ' +
        'attention|conv|pot.q|add attention|conv, network searched, lastStride 2, keepSplits false',
    );
  });

  it('samples by a seed, and writes what other commands read', async () => {
    const first = await json('sample', 'hytra-cifar', '--count', '2', '--seed', '4', '--out', 'networks');
    const again = await json('sample', 'hytra-cifar', '--count', '2', '--seed', '4');
    expect(again).toEqual(first);
    for (const [at, { architecture }] of first.networks.entries()) {
      const file = join(home, 'networks', String(at + 1), 'architecture.json');
      expect(parseArchitecture(JSON.parse(readFileSync(file, 'utf8')), file)).toEqual(architecture);
    }
    const priced = await shiftaddnas(['hw', 'estimate', join(home, 'networks', '2'), '--json']);
    expect(JSON.parse(priced.stdout).energyMj).toBeCloseTo(first.networks[1].energyMj, 12);
    const text = await printed('sample', 'hytra-cifar', '--seed', '4');
    expect(text.split('\n')[0]).toBe(first.networks[0].genome.join(','));
    expect(await mistake('sample', 'hytra-cifar', '--count', '2', '--out', 'networks')).toContain('is there');
  });

  it('describes and draws a genome', async () => {
    const described = await json('describe', 'mini', '--genome', '1,0,3,2,5,6');
    expect(described.labels).toEqual(['conv x0.5', 'skip', 'pot.q x1', 'conv x1', 'add x1', 'add x1']);
    const sum = described.layers.reduce(
      (total: number, layer: { energyMj: number }) => total + layer.energyMj,
      0,
    );
    expect(sum).toBeCloseTo(described.total.energyMj, 9);
    expect(await printed('describe', 'mini', '--genome', '1,0,3,2,5,6')).toContain('stage1.block0.shortcut');
    expect(await printed('draw', 'mini', '--genome', '1,0,3,2,5,6')).toMatch(/stage 1 .*\[shift 32 \/2\]/);
    await printed('draw', example, '--seed', '2', '--svg', 'new/deep/network.svg');
    expect(readFileSync(join(home, 'new', 'deep', 'network.svg'), 'utf8')).toMatch(
      /^<svg [\s\S]*stage2\.block0[\s\S]*<\/svg>\n$/,
    );
  });

  it('takes a named space with other options out of a file', async () => {
    writeFileSync(join(home, 'all.yaml'), 'base: hytra-imagenet\noptions: { splits: all, classes: 10 }\n');
    expect((await json('info', 'all.yaml', '--input', '64x64x3')).size).toBe('335499264');
  });

  it('shows how wide the operands of a block are', async () => {
    const { networks } = await json('sample', example, '--count', '12', '--seed', '3');
    const narrow = networks.findIndex((network: { labels: string[] }) => /\.int4 /.test(network.labels[1]!));
    const { genome, labels, energyMj } = networks[narrow];
    const family = labels[1].split(' ')[0];
    const described = await json('describe', example, '--genome', genome.join());
    const first = described.layers.find((layer: { name: string }) => layer.name === 'stage0.block0.conv1');
    expect(first.family).toBe(family);
    expect(described.total.energyMj).toBe(energyMj);
    const { architecture, svg } = await json('draw', example, '--genome', genome.join());
    expect(architecture.blocks[0].family).toBe(family);
    expect(svg).toContain(', int4');
    expect(await printed('draw', example, '--genome', genome.join())).toMatch(/stage 0 .* \[[a-z]+-int4 /);
    expect(await printed('info', example)).toMatch(/conv\.int8 \(Convolution, int8\), conv\.int4/);
  });

  it('knows the networks that were published, and writes one as a file', async () => {
    const { networks, supernets } = await json('published');
    expect(networks).toHaveLength(8);
    expect(supernets.map(({ parameters }: { parameters: number }) => parameters)).toEqual([
      ...[615_390_116, 489_823_652, 238_675_876, 238_503_844, 364_242_340],
    ]);
    expect(await printed('published')).toMatch(/v5, CIFAR-100 .*add, shift .*238,503,844 .*38\.76 %/);
    const args = ['published', 'mix-v4', '--last-stride', '1', '--shift', 'pot.ps', '--out', 'mix-v4'];
    const { networks: one, supernets: none } = await json(...args);
    expect(none).toBeUndefined();
    const file = join(home, 'mix-v4', 'architecture.json');
    expect(parseArchitecture(JSON.parse(readFileSync(file, 'utf8')), file)).toEqual(one[0].architecture);
    expect(await printed('published', 'mix-v3')).toMatch(/1 \(T1\) .*29\.9 M .*6\.40 G/);
    expect(await mistake('published', 'mix-v9')).toContain('published are mix-v2, mix-v3, mix-v4, bossnet-t');
    expect(await mistake('published', 'mix-v3', '--last-stride', '3')).toContain('give 1 or 2');
    expect(await mistake('published', '--out', 'x')).toContain('--out takes one network');
    expect(await mistake(...args)).toContain('is there already');
  });

  it('says in one line what is wrong', async () => {
    expect(await mistake('info', 'maxi')).toContain(
      "unknown space 'maxi'; known: hytra-imagenet, hytra-cifar, mini",
    );
    expect(await mistake('info', 'none.yaml')).toContain('none.yaml: no such configuration file');
    expect(await mistake('describe', 'mini', '--genome', '1,2')).toContain('has 6 genes, not 2');
    expect(await mistake('draw', 'mini', '--genome', '9,0,0,0,0,0')).toContain('from 0 to 6, not 9');
    expect(await mistake('sample', 'mini', '--genome', '1')).toContain("unknown option '--genome'");
    writeFileSync(join(home, 'bad.yaml'), 'base: mini\noptions: { depth: 3 }\n');
    expect(await mistake('info', 'bad.yaml')).toContain('bad.yaml: mini space:');
    const narrow = (families: string, bits: string): string => {
      const stage = `{ channels: 8, depth: 1, families: ${families}, bits: ${bits}, widths: 1 }`;
      const images = 'input: { height: 8, width: 8, channels: 1 }\nclasses: 2\nstem: { channels: 4 }';
      writeFileSync(join(home, 'narrow.yaml'), `name: narrow\n${images}\nstages: [${stage}]\n`);
      return 'narrow.yaml';
    };
    expect(await mistake('info', narrow('conv', '[8, 1]'))).toContain(
      "narrow.yaml: 'stages.0.bits.1': must be a whole number from 2 to 16, or float",
    );
    expect(await mistake('info', narrow('attention', '8'))).toContain(
      "'stages.0.bits': attention layers have",
    );
    writeFileSync(join(home, 'worse.json'), '{"name": "x", "classes": 1}');
    expect(await mistake('info', 'worse.json')).toContain('worse.json:');
  });
});
