/**
 * @file `npm run build:wasm`: compiles the C kernels to src/tensor/wasm/shiftaddnas.wasm, which is kept in the repository so
 * that neither a build of the package nor its user needs clang.
 *
 *     node scripts/build-wasm.mjs [--out FILE]   builds; needs clang and wasm-ld (Debian packages clang and lld)
 *     node scripts/build-wasm.mjs --check        exit code 1 when the committed file is not built from the sources
 *
 * The bytes depend on the sources, the flags and the compiler alone. Their hash, and the compiler's version, stand in a
 * custom section of the module.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const committed = join(root, 'src', 'tensor', 'wasm', 'shiftaddnas.wasm');
const section = 'shiftaddnas.build';

const units = ['kernels.c', 'ops.c', 'wasm/wasm.c', 'wasm/memory.c', 'wasm/threads.c', 'wasm/libc.c'];
/** The Node-API surrounding; everything else in native/ may be part of the module. */
const foreign = ['addon.c', 'pool.c', 'pool.h'];
const compileFlags = [
  '--target=wasm32',
  '-std=gnu11',
  '-O3',
  '-DSA_WASM',
  '-msimd128',
  '-matomics',
  '-mbulk-memory',
  '-mmutable-globals',
  '-ffreestanding',
  '-nostdlibinc',
  '-isystem',
  'native/wasm/include',
  '-Inative',
  '-fno-math-errno',
  '-fvisibility=hidden',
  '-Wall',
  '-Wextra',
  '-Werror',
];
const linkFlags = [
  '--no-entry',
  '--import-memory',
  '--shared-memory',
  '--initial-memory=2097152',
  '--max-memory=4294967296',
  '-z',
  'stack-size=524288',
  '--stack-first',
  '--export=__stack_pointer',
  '--strip-all',
  '-O3',
];

/** Hash of everything the module is made from, but for the compiler. */
function sourcesHash() {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([units, compileFlags, linkFlags]));
  for (const name of sources()) {
    const text = readFileSync(join(root, 'native', name), 'utf8').replaceAll('\r\n', '\n');
    hash.update(`\n${name} ${text.length}\n${text}`);
  }
  return hash.digest('hex');
}

function sources() {
  return readdirSync(join(root, 'native'), { recursive: true })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => /\.[ch]$/.test(name) && !foreign.includes(name))
    .sort();
}

function clangVersion() {
  const text = execFileSync('clang', ['--version'], { encoding: 'utf8' });
  return /version (\S+)/.exec(text)?.[1] ?? text.split('\n')[0];
}

function build(out) {
  const folder = mkdtempSync(join(tmpdir(), 'build-wasm-'));
  try {
    const objects = units.map((unit) => {
      const object = join(folder, `${unit.replaceAll('/', '-')}.o`);
      const args = [...compileFlags, '-c', `native/${unit}`, '-o', object];
      execFileSync('clang', args, { cwd: root, stdio: 'inherit' });
      return object;
    });
    const module = join(folder, 'module.wasm');
    execFileSync('wasm-ld', [...linkFlags, ...objects, '-o', module], { stdio: 'inherit' });
    const note = JSON.stringify({ sources: sourcesHash(), clang: clangVersion() });
    const bytes = Buffer.concat([readFileSync(module), customSection(section, note)]);
    writeFileSync(out, bytes);
    console.log(`${out}: ${bytes.length} bytes`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A custom section of a WebAssembly module: id 0, size, name, content. */
function customSection(name, content) {
  const body = Buffer.concat([leb128(name.length), Buffer.from(name), Buffer.from(content)]);
  return Buffer.concat([Buffer.from([0]), leb128(body.length), body]);
}

function leb128(value) {
  const bytes = [];
  for (; value >= 128; value >>>= 7) bytes.push((value & 127) | 128);
  return Buffer.from([...bytes, value]);
}

/** What {@link build} wrote into the committed module. */
function noteOf(path) {
  const module = new WebAssembly.Module(readFileSync(path));
  const [note] = WebAssembly.Module.customSections(module, section);
  return note === undefined
    ? { sources: 'unknown', clang: 'unknown' }
    : JSON.parse(Buffer.from(note).toString());
}

const [option, path] = process.argv.slice(2);
if (option === '--check') {
  if (noteOf(committed).sources !== sourcesHash()) {
    console.error(
      'src/tensor/wasm/shiftaddnas.wasm was not built from the present sources in native/: run `npm run build:wasm` ' +
        '(needs the Debian packages clang and lld) and commit the file',
    );
    process.exitCode = 1;
  }
} else if (option === undefined || (option === '--out' && path !== undefined)) {
  try {
    build(path ?? committed);
  } catch (error) {
    console.error(
      error.code === 'ENOENT'
        ? `${error.path} is not installed: install the Debian packages clang and lld`
        : error.message,
    );
    process.exitCode = 1;
  }
} else {
  console.error('usage: node scripts/build-wasm.mjs [--out FILE | --check]');
  process.exitCode = 2;
}
