/**
 * @file The package's `install` script: builds the native engine with node-gyp, and never fails an installation.
 *
 * Without a compiler, and where this script is not run at all, the package computes in WebAssembly, about four times
 * slower; so a failed build is a notice, and its log is kept in build/addon.log. SHIFTADDNAS_SKIP_ADDON=1 skips the build.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const addon = join(root, 'build', 'Release', 'shiftaddnas.node');
const log = join(root, 'build', 'addon.log');
const remedy = `To get the fast one: install g++, make and python3, then run: node ${fileURLToPath(import.meta.url)}`;

if (process.env.SHIFTADDNAS_SKIP_ADDON === '1') {
  console.log(
    'shiftaddnas: native engine skipped (SHIFTADDNAS_SKIP_ADDON=1); the slower WebAssembly device will be used.',
  );
} else if (isFresh()) {
  console.log('shiftaddnas: native engine is up to date.');
} else {
  const problem = build();
  console.log(
    problem === undefined
      ? 'shiftaddnas: native engine built.'
      : `shiftaddnas: native engine NOT built (${problem}; log: build/addon.log); the slower WebAssembly device will be used.\n${remedy}`,
  );
}

/** True when the addon is newer than everything it is built from. */
function isFresh() {
  if (!existsSync(addon)) return false;
  const folder = join(root, 'native');
  const sources = readdirSync(folder).map((name) => join(folder, name));
  const built = statSync(addon).mtimeMs;
  return [...sources, join(root, 'binding.gyp')].every((source) => statSync(source).mtimeMs < built);
}

/** Runs node-gyp; returns undefined, or in brief why there is no addon. */
function build() {
  const gyp = findNodeGyp();
  if (gyp === undefined) return keepLog('no node-gyp was found beside npm', '');
  // Node's own headers, where they are installed with it: then nothing need be downloaded.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? [`--nodedir=${prefix}`] : [];
  const result = spawnSync(process.execPath, [gyp, 'rebuild', ...headers], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  const output = `${result.error ?? ''}${result.stdout ?? ''}${result.stderr ?? ''}`;
  if (result.status === 0 && existsSync(addon)) {
    keepLog('', output);
    return undefined;
  }
  return keepLog(reason(output), output);
}

function keepLog(problem, output) {
  try {
    mkdirSync(dirname(log), { recursive: true });
    writeFileSync(log, output);
  } catch {
    return `${problem === '' ? 'the log' : problem}; build/ cannot be written`;
  }
  return problem;
}

function reason(output) {
  if (/find python/i.test(output) && /could not find any python/i.test(output)) return 'python3 is missing';
  if (/not found: make|spawn make ENOENT|command not found: make/i.test(output)) return 'make is missing';
  if (/(cc|gcc|g\+\+|c\+\+|clang):? (command )?not found|\] Error 127$/im.test(output))
    return 'the C compiler is missing';
  if (/ENOTFOUND|ECONNREFUSED|ETIMEDOUT|EAI_AGAIN/.test(output)) return "Node's headers could not be fetched";
  const line = output.split('\n').find((text) => /\berror\b/i.test(text));
  return line === undefined ? 'the build failed' : line.trim().slice(0, 120);
}

/** node-gyp's script: the one npm names in a lifecycle script, else the one bundled with the npm of this Node. */
function findNodeGyp() {
  const npm = process.env.npm_execpath;
  const places = [
    process.env.npm_config_node_gyp,
    npm && join(dirname(npm), '..', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
    ...[dirname(dirname(process.execPath)), dirname(process.execPath)].flatMap((prefix) =>
      ['lib/node_modules', 'node_modules'].map((folder) =>
        join(prefix, folder, 'npm', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'),
      ),
    ),
    globalNodeGyp,
  ];
  for (const place of places) {
    const path = typeof place === 'function' ? place() : place;
    if (path && existsSync(path)) return path;
  }
  return undefined;
}

function globalNodeGyp() {
  const result = spawnSync('npm', ['root', '-g'], { encoding: 'utf8', shell: process.platform === 'win32' });
  const folder = result.status === 0 ? result.stdout.trim() : '';
  return folder && join(folder, 'npm', 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
}
