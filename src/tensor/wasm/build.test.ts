/**
 * The committed module is the one that the sources in native/ make.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageRoot } from '../../base/modules.js';
import { webAssembly } from './webassembly.js';

const committed = new URL('./shiftaddnas.wasm', import.meta.url);
const script = join(packageRoot, 'scripts', 'build-wasm.mjs');

function run(...args: readonly string[]): { readonly status: number | null; readonly stderr: string } {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' });
}

/** The version of clang that the committed module was made with, from the section that the script writes. */
function recordedClang(): string {
  const module = new webAssembly!.Module(readFileSync(committed));
  const [note] = webAssembly!.Module.customSections(module, 'shiftaddnas.build');
  return (JSON.parse(Buffer.from(note!).toString()) as { clang: string }).clang;
}

describe('the committed WebAssembly module', () => {
  it('is made from the present sources', () => {
    const { status, stderr } = run('--check');
    expect(stderr).toBe('');
    expect(status).toBe(0);
  });

  it('is what its compiler makes of them, byte by byte', (context) => {
    const clang = spawnSync('clang', ['--version'], { encoding: 'utf8' });
    const linker = spawnSync('wasm-ld', ['--version']);
    if (clang.error !== undefined || linker.error !== undefined)
      return context.skip('clang or wasm-ld is not installed');
    const present = /version (\S+)/.exec(clang.stdout)?.[1];
    if (present !== recordedClang())
      return context.skip(`the module was made by clang ${recordedClang()}, here is ${present}`);
    const folder = mkdtempSync(join(tmpdir(), 'wasm-'));
    try {
      const out = join(folder, 'again.wasm');
      expect(run('--out', out)).toMatchObject({ status: 0 });
      expect(readFileSync(out).equals(readFileSync(committed))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
