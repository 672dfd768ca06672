/**
 * The package as its users get it: packed, installed from the tarball into an empty folder, and run there; with a compiler,
 * without one, and where npm runs no install scripts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { packageRoot } from '../src/base/modules.js';
import type { TrainResult } from '../src/pipeline/jobs/train-job.js';
import { temporaryFolder, toyConfig, writeConfig, writeToyIdx } from './support.js';

const home = temporaryFolder();
let tarball = '';
let config = '';

beforeAll(() => {
  run('npm', ['pack', '--ignore-scripts', '--pack-destination', home.path], packageRoot);
  tarball = join(
    home.path,
    readdirSync(home.path).find((name) => name.endsWith('.tgz'))!,
  );
  const data = writeToyIdx(join(home.path, 'data'));
  config = writeConfig(join(home.path, 'config.json'), toyConfig(data, 'unused'));
}, 300_000);
afterAll(home.remove);

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[], cwd: string, path = process.env['PATH'] ?? ''): Ended {
  return spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    // What the `npm test` around this told its children is no concern of a user's npm.
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))),
      PATH: path,
      SHIFTADDNAS_CACHE: 'off',
    },
  });
}

/** A PATH on which there is all that npm needs, and no compiler. */
function pathWithoutCompiler(): string {
  const folder = join(home.path, 'bin');
  mkdirSync(folder);
  for (const program of ['node', 'npm', 'sh', 'env', 'python3']) {
    const places = (process.env['PATH'] ?? '').split(delimiter).map((place) => join(place, program));
    const place = program === 'node' ? process.execPath : places.find(existsSync);
    if (place !== undefined) symlinkSync(place, join(folder, program));
  }
  return folder;
}

/** Installs the tarball in a folder of its own; skips the test where the dependencies cannot be fetched. */
function install(context: TestContext, name: string, path?: string, ...flags: readonly string[]): string {
  const folder = join(home.path, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, version: '1.0.0', type: 'module' }));
  const args = ['install', '--prefer-offline', '--no-audit', '--no-fund', ...flags, tarball];
  const { status, stderr } = run('npm', args, folder, path);
  const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENOTCACHED|ENETUNREACH/.exec(stderr);
  if (unreachable !== null) context.skip(`the dependencies cannot be fetched (${unreachable[0]})`);
  expect({ status, errors: /npm (error|ERR!).*/.exec(stderr)?.[0] }).toEqual({
    status: 0,
    errors: undefined,
  });
  return folder;
}

const command = join('node_modules', '.bin', 'shiftaddnas');
const trainCommand = (): readonly string[] => [
  command,
  'train',
  ...['--family', 'add', '--config', config, '--epochs', '1', '--out', 'run', '--json'],
];

/** Trains a little network by the installed command; returns what it said on stderr and what its result says. */
function train(folder: string, path?: string): { readonly said: string; readonly device: string } {
  const { status, stdout, stderr } = run('env', trainCommand(), folder, path);
  expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
  return { said: stderr, device: (JSON.parse(stdout) as TrainResult).machine.device };
}

const notice = [
  'notice: computing on the WebAssembly device, about four times slower than the native one:',
  'the native engine is not built; for the fast one install g++, make and python3, then run:',
  'node node_modules/shiftaddnas/scripts/build-addon.mjs\n',
].join(' ');

// Installing takes seconds, compiling tens of them, on a busy machine minutes.
const limit = { timeout: 300_000 };

describe('the package', limit, () => {
  it('builds its addon where there is a compiler', (context) => {
    if (run('g++', ['--version'], home.path).status !== 0) context.skip('g++ is not installed');
    const folder = install(context, 'with-compiler');
    const { said, device } = train(folder);
    expect(said).toBe('');
    expect(device).toMatch(/^native /);
    expect(run(command, ['--version'], folder).stdout).toMatch(/^\d/);
  });

  it('installs without a compiler, computes in WebAssembly and says so in one line', (context) => {
    const path = pathWithoutCompiler();
    expect(run('g++', ['--version'], home.path, path).status).toBe(null);
    const folder = install(context, 'without-compiler', path);
    expect(existsSync(join(folder, 'node_modules', 'shiftaddnas', 'build', 'addon.log'))).toBe(true);
    expect(train(folder, path)).toEqual({ said: notice, device: 'wasm simd128' });
  });

  it('works the same where no install script has run', (context) => {
    const folder = install(context, 'without-scripts', undefined, '--ignore-scripts');
    expect(existsSync(join(folder, 'node_modules', 'shiftaddnas', 'build'))).toBe(false);
    expect(train(folder)).toEqual({ said: notice, device: 'wasm simd128' });
    const gates = run(command, ['hw', 'area', '--widths', '8', '--json'], folder);
    expect((JSON.parse(gates.stdout) as { elements: unknown[] }).elements).toHaveLength(5);
    for (const name of ['multiply', 'shift', 'add'])
      expect(existsSync(join(folder, 'node_modules', 'shiftaddnas', 'hardware', 'rtl', `pe_${name}.v`))).toBe(
        true,
      );

    const asked = run('env', ['SHIFTADDNAS_DEVICE=native', ...trainCommand()], folder);
    expect(asked).toMatchObject({ status: 2, stdout: '' });
    expect(asked.stderr).toBe(
      'error: SHIFTADDNAS_DEVICE=native: the native engine is not built; for the fast one install g++, make and python3, ' +
        'then run: node node_modules/shiftaddnas/scripts/build-addon.mjs\n',
    );

    const entries = ['shiftaddnas', 'shiftaddnas/browser', 'shiftaddnas/hardware'];
    const script = `
      import { readFileSync } from 'node:fs';
      import { fileURLToPath } from 'node:url';
      for (const entry of ${JSON.stringify(entries)}) console.log(Object.keys(await import(entry)).length > 3);
      const wasm = readFileSync(fileURLToPath(import.meta.resolve('shiftaddnas/shiftaddnas.wasm')));
      console.log(WebAssembly.validate(wasm));`;
    const { stdout } = run('node', ['--input-type=module', '-e', script], folder);
    expect(stdout).toBe('true\n'.repeat(4));
  });
});
