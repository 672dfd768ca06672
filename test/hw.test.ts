/**
 * @file `shiftaddnas hw` through the real program: paths that are folders or the input itself, and profiles of one's own.
 */
import { linkSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { builtInProfileNames, loadProfile } from '../src/hardware/index.js';
import { shiftaddnas, temporaryFolder } from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);

const text = 'type,N,H,W,C,R,M,E,F,stride\nConv,1,8,8,4,3,4,8,8,1\n';
const layers = join(home, 'layers.csv');
writeFileSync(layers, text);

const mistake = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await shiftaddnas(['hw', 'estimate', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr;
};

describe('hw estimate', () => {
  it('takes a folder with an architecture.json for the file in it', async () => {
    const folder = join(home, 'model');
    mkdirSync(folder);
    const map = { inHeight: 8, inWidth: 8, inChannels: 4, midChannels: 4, outChannels: 4, stride: 1 };
    const architecture = {
      format: 'shiftaddnas-architecture',
      version: 1,
      space: 'mini',
      genome: null,
      input: { height: 8, width: 8, channels: 1 },
      classes: 3,
      stem: { channels: 4, stride: 1 },
      blocks: [{ name: 'stage0.block0', stage: 0, kind: 'residual', family: 'add', ...map }],
    };
    const path = join(folder, 'architecture.json');
    writeFileSync(path, JSON.stringify(architecture));
    const [ofFile, ofFolder] = await Promise.all(
      [path, folder].map((given) => shiftaddnas(['hw', 'estimate', '--architecture', given, '--json'])),
    );
    expect(ofFile).toMatchObject({ code: 0, stderr: '' });
    expect((JSON.parse(ofFile!.stdout) as { layers: unknown[] }).layers).toHaveLength(4);
    expect(ofFolder).toEqual(ofFile);
    expect(await mistake('--architecture', home)).toContain(
      `${join(home, 'architecture.json')}: no such file`,
    );
  });

  it('says so when a path leads nowhere', async () => {
    expect(await mistake('--architecture', `${layers}/x`)).toContain(`${layers}/x: `);
    expect(await mistake('--layers', layers, '--csv', `${layers}/x.csv`)).toContain('cannot write here');
  });

  it('says so when the layers are a folder', async () => {
    expect(await mistake('--layers', home)).toContain(`${home}: a folder; give the CSV file`);
  });

  it('never writes over the table it reads, whatever the path', async () => {
    const linked = join(home, 'linked.csv');
    linkSync(layers, linked);
    const symbolic = join(home, 'symbolic.csv');
    symlinkSync(layers, symbolic);
    for (const out of [layers, join(home, '.', 'layers.csv'), linked, symbolic])
      expect(await mistake('--layers', layers, '--csv', out)).toContain('would overwrite its input');
    expect(readFileSync(layers, 'utf8')).toBe(text);
  });

  it('refuses profiles too large for the memory, and those under a built-in name', async () => {
    const profile = (name: string, change: object): string => {
      const path = join(home, name);
      writeFileSync(path, JSON.stringify({ ...loadProfile('fair'), name: 'mine', ...change }));
      return path;
    };
    const huge = profile('huge.json', { processingElements: { value: 1e9, unit: 'PE', source: 'a dream' } });
    expect(await mistake('--layers', layers, '--profile', huge)).toContain(
      'cost profile key processingElements.value: ',
    );
    const posing = profile('posing.json', { name: 'fair' });
    expect(await mistake('--layers', layers, '--profile', posing)).toContain("'fair' is a built-in profile");
    const largest = profile('largest.json', { processingElements: { value: 1e6, unit: 'PE', source: 'a dream' } });
    const priced = await shiftaddnas(['hw', 'estimate', '--layers', layers, '--profile', largest]);
    expect(priced).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('help', () => {
  it.each(['hw', 'data'])('%s --help has examples', async (group) => {
    const { code, stdout } = await shiftaddnas([group, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`Examples:\n  $ shiftaddnas ${group} `);
  });

  it('hw profiles says what no profile prices', async () => {
    const { stdout } = await shiftaddnas(['hw', 'profiles']);
    const said = stdout.match(/not priced: batch norm, residual additions and pooling are free/g);
    expect(said).toHaveLength(builtInProfileNames.length);
  });
});
