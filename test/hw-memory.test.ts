/**
 * @file `shiftaddnas hw memory` through the real program.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { resnetArchitecture } from '../src/spaces/resnet.js';
import { shiftaddnas, temporaryFolder } from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);

const folder = join(home, 'model');
mkdirSync(folder);
const file = join(folder, 'architecture.json');
const input = { height: 32, width: 32, channels: 3 };
writeFileSync(file, JSON.stringify(resnetArchitecture({ depth: 20, family: 'conv', input, classes: 10 })));

const run = (...args: readonly string[]): ReturnType<typeof shiftaddnas> =>
  shiftaddnas(['hw', 'memory', ...args]);

async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr.slice('error: '.length).trimEnd();
}

describe('hw memory', () => {
  it('prints the plan, the peak with its layer and its distance from the bound, and the flash', async () => {
    const { code, stdout, stderr } = await run(folder, '--profile', 'fair-int8');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /stage0\.block0\.conv2 = stage0\.block0\.join +│ 16384 │ +32768 │ +stage0\.block0\.conv2 │ +stage0\.block1\.join/,
    );
    expect(stdout).toContain('SRAM  48 KiB (49152 bytes), peak at stage0.block0.conv2; no plan needs less');
    expect(stdout).toMatch(/flash \S+ KiB \(277248 bytes\)/);
  });

  it('takes architectures only', async () => {
    expect(await mistake('model.onnx')).toBe(
      'model.onnx: hw memory takes architectures only, an architecture.json or a folder with one',
    );
  });

  it('says how far a plan by time is above the bound', async () => {
    const { stdout } = await run(folder, '--order', 'time', '--alignment', '1');
    expect(stdout).toMatch(
      /SRAM .* peak at stage0\.block0\.conv2; \d+\.\d % above the bound of 196608 bytes/,
    );
  });

  it('gives JSON, CSV and a page', async () => {
    const [csv, page] = [join(home, 'plan.csv'), join(home, 'arena.html')];
    const { code, stdout } = await run(
      file,
      '--profile',
      'fair,fair-int8',
      '--json',
      '--csv',
      csv,
      '--report',
      page,
    );
    expect(code).toBe(0);
    const found = JSON.parse(stdout) as {
      profile: string;
      sramBytes: number;
      buffers: unknown[];
      peakAt: string;
    }[];
    expect(found.map(({ profile, sramBytes }) => [profile, sramBytes])).toEqual([
      ['fair', 196608],
      ['fair-int8', 49152],
    ]);
    expect(found[0]!.peakAt).toBe('stage0.block0.conv2');
    const lines = readFileSync(csv, 'utf8').trimEnd().split('\n');
    expect(lines).toHaveLength(1 + 2 * found[0]!.buffers.length);
    expect(lines[2]).toBe('fair,stem,65536,0,stem,stage0.block0.join');
    expect(readFileSync(page, 'utf8')).toContain('<svg');
  });

  it('names the layer and the bytes of what does not fit, and exits with 2', async () => {
    const fits = await run(folder, '--budget', 'sram=192KiB,flash=2MiB');
    expect({ code: fits.code, stderr: fits.stderr }).toEqual({ code: 0, stderr: '' });
    const { code, stdout, stderr } = await run(folder, '--budget', 'sram=100KiB,flash=1MiB');
    expect(code).toBe(2);
    expect(stdout).toContain('SRAM  192 KiB');
    expect(stderr.trimEnd().split('\n')).toEqual([
      `error: ${file}: 94208 bytes of SRAM too many under fair: 192 KiB of 100 KiB; layer 'stage0.block0.conv2' is the peak, with 192 KiB alive`,
      expect.stringMatching(
        /: 38184 bytes of flash too many under fair: 1\.036 MiB of 1 MiB; layer 'stage2\.block0\.conv2' is the largest, with 144\.\d KiB$/,
      ),
    ]);
  });

  it('refuses what it cannot use in one line', async () => {
    expect(await mistake()).toMatch(/needs one architecture/);
    expect(await mistake(file, '--architecture', file)).toMatch(/needs one architecture/);
    expect(await mistake(join(home, 'no.json'))).toMatch(/no such file/);
    expect(await mistake(home)).toMatch(/architecture\.json: no such file/);
    expect(await mistake(file, '--budget', 'sram=50%')).toMatch(/give bytes/);
    expect(await mistake(file, '--budget', 'energy=1mJ')).toMatch(/sram and flash alone/);
    expect(await mistake(file, '--budget', 'sram=1KB')).toMatch(/unknown unit 'KB'/);
    expect(await mistake(file, '--order', 'luck')).toMatch(/Allowed choices are size, time, best/);
    expect(await mistake(file, '--alignment', '0')).toMatch(/at least 1/);
    expect(await mistake(file, '--profile', 'nowhere')).toMatch(/nowhere/);
    expect(await mistake(file, '--csv', file)).toMatch(/would overwrite its input/);
    writeFileSync(join(home, 'other.json'), '{}');
    expect(await mistake(join(home, 'other.json'))).toMatch(/not an architecture file/);
    expect(existsSync(join(home, 'plan2.csv'))).toBe(false);
  });
});
