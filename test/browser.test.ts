/**
 * The browser entry: it pulls in nothing of Node, and in Chromium it trains to the same bits as Node's WebAssembly device,
 * on several threads or one, in a worker or in the page itself.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { packageRoot } from '../src/base/modules.js';
import type { DeviceDescription } from '../src/tensor/device.js';
import { useKernels } from '../src/tensor/device.js';
import { loadWasmKernels } from '../src/tensor/wasm/device.js';
import { trainSomeSteps } from './browser/training.js';

const steps = 12;
const chromium = process.env['CHROMIUM'] ?? 'chromium';
const flags = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
];
const missing = spawnSync(chromium, ['--version']).error !== undefined;
if (missing)
  console.log(`browser tests skipped: there is no ${chromium}; install it, or name it in CHROMIUM`);

interface Answer {
  readonly device?: DeviceDescription;
  readonly curve?: readonly number[];
  readonly weights?: readonly number[];
  readonly error?: string;
  /** What the example says at its end: its title, and its line about the device. */
  readonly title?: string;
  readonly shown?: string;
}

/** The entry and the training as one file for browsers; esbuild refuses what no browser has. */
async function bundle(): Promise<{ readonly text: string; readonly inputs: Metafile['inputs'] }> {
  const { outputFiles, metafile } = await build({
    stdin: {
      contents: "export * from './src/browser.ts'; export * from './test/browser/training.ts';",
      resolveDir: packageRoot,
    },
    bundle: true,
    platform: 'browser',
    format: 'esm',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  return { text: outputFiles[0]!.text, inputs: metafile.inputs };
}

describe('the browser entry', () => {
  it('imports nothing of Node, nor what chooses devices there', async () => {
    const { inputs } = await bundle();
    const imports = Object.values(inputs).flatMap((input) => input.imports);
    expect(imports.filter(({ external }) => external === true)).toEqual([]);
    const paths = Object.keys(inputs);
    expect(paths).toContain('src/tensor/wasm/web.ts');
    expect(paths.filter((path) => /native|choose-device|base\/modules|wasm\/device/.test(path))).toEqual([]);
  });
});

// The page, or the worker that it starts, trains and posts what came of it.
const trainAndPost = `
  const answer = async () => {
    const { loadEngine, trainSomeSteps } = await import('/bundle.js');
    const device = await loadEngine({ threads: 3 });
    return { device, ...trainSomeSteps(${steps}) };
  };
  answer()
    .catch((error) => ({ error: String(error.stack) }))
    .then((answer) => fetch('/answer', { method: 'POST', body: JSON.stringify(answer) }));`;

// Added to the example: it says when it is done.
const reportEnd = `<script type="module">
  while (!document.title.startsWith('done')) await new Promise((resolve) => setTimeout(resolve, 50));
  const shown = document.getElementById('device').textContent;
  await fetch('/answer', { method: 'POST', body: JSON.stringify({ title: document.title, shown }) });
</script>`;

describe.skipIf(missing)('in Chromium', () => {
  const profile = mkdtempSync(join(tmpdir(), 'chromium-'));
  let server: Server;
  let isolated = true;
  /** Where the example is served; what this server does not have comes from there. */
  let example: string | undefined;
  let received: (answer: Answer) => void;
  let expected: ReturnType<typeof trainSomeSteps>;

  beforeAll(async () => {
    const { text } = await bundle();
    const files = new Map<string, readonly [string, string | Buffer]>([
      ['/page', ['text/html', `<script type="module">${trainAndPost}</script>`]],
      ['/worker', ['text/html', `<script>new Worker('/worker.js', { type: 'module' })</script>`]],
      ['/worker.js', ['text/javascript', trainAndPost]],
      ['/bundle.js', ['text/javascript', text]],
      [
        '/shiftaddnas.wasm',
        ['application/wasm', readFileSync(new URL('../src/tensor/wasm/shiftaddnas.wasm', import.meta.url))],
      ],
    ]);
    server = createServer((request, response) => {
      if (request.method === 'POST') {
        let body = '';
        request.setEncoding('utf8').on('data', (part: string) => (body += part));
        request.on('end', () => {
          response.end();
          received(JSON.parse(body) as Answer);
        });
        return;
      }
      const file = files.get(request.url ?? '');
      if (file === undefined && example !== undefined) {
        void passOn(`${example}${request.url}`, response);
        return;
      }
      const isolation = {
        'Cross-Origin-Opener-Policy': 'same-origin',
        'Cross-Origin-Embedder-Policy': 'require-corp',
      };
      response.writeHead(file === undefined ? 404 : 200, {
        'Content-Type': file?.[0] ?? 'text/plain',
        ...(isolated && isolation),
      });
      response.end(file?.[1]);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const before = useKernels(loadWasmKernels()!);
    expected = trainSomeSteps(steps);
    useKernels(before);
  });

  afterAll(() => {
    server.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  async function passOn(url: string, response: ServerResponse): Promise<void> {
    const answer = await fetch(url);
    const body = Buffer.from(await answer.arrayBuffer());
    const isPage = answer.headers.get('content-type') === 'text/html';
    response.writeHead(answer.status, {
      'Content-Type': answer.headers.get('content-type') ?? 'text/plain',
      'Cross-Origin-Opener-Policy': answer.headers.get('cross-origin-opener-policy') ?? '',
      'Cross-Origin-Embedder-Policy': answer.headers.get('cross-origin-embedder-policy') ?? '',
    });
    response.end(isPage ? Buffer.concat([body, Buffer.from(reportEnd)]) : body);
  }

  /** Opens a page and waits for what it posts. */
  async function open(path: string): Promise<Answer> {
    const { port } = server.address() as AddressInfo;
    const child = spawn(
      chromium,
      [...flags, `--user-data-dir=${profile}`, `http://127.0.0.1:${port}${path}`],
      { stdio: 'ignore' },
    );
    const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
    try {
      return await new Promise<Answer>((resolve, reject) => {
        received = resolve;
        child.on('error', reject);
        child.on('exit', () => reject(new Error('chromium ended without an answer')));
      });
    } finally {
      child.kill();
      await ended;
    }
  }

  it('a worker of an isolated page trains on several threads', async () => {
    isolated = true;
    const { device, curve, weights, error } = await open('/worker');
    expect(error).toBeUndefined();
    expect(device).toEqual({ device: 'wasm', isa: 'simd128', threads: 3 });
    expect(curve).toEqual(expected.curve);
    expect(weights).toEqual(expected.weights);
  });

  it('an isolated page itself trains on several threads', async () => {
    isolated = true;
    const { device, curve, weights, error } = await open('/page');
    expect(error).toBeUndefined();
    expect(device).toEqual({ device: 'wasm', isa: 'simd128', threads: 3 });
    expect({ curve, weights }).toEqual(expected);
  });

  it('a worker of an ordinary page trains on one thread', async () => {
    isolated = false;
    const { device, curve, weights, error } = await open('/worker');
    expect(error).toBeUndefined();
    expect(device).toEqual({ device: 'wasm', isa: 'simd128', threads: 1 });
    expect({ curve, weights }).toEqual(expected);
  });

  it('the example draws and learns', async () => {
    isolated = true;
    const script = join(packageRoot, 'examples', 'browser', 'serve.mjs');
    const serving = spawn(process.execPath, [script, '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const line = await new Promise<string>((resolve) =>
        serving.stdout.setEncoding('utf8').once('data', resolve),
      );
      example = /http:\/\/[^/]+/.exec(line)![0];
      expect((await fetch(`${example}//`)).status).toBe(404);
      const taken = spawnSync(process.execPath, [script, new URL(example).port], { encoding: 'utf8' });
      expect({ code: taken.status, text: taken.stderr }).toEqual({
        code: 2,
        text: `error: port ${new URL(example).port}: in use; give another one\n`,
      });
      const { title, shown } = await open('/?steps=60');
      expect(shown).toMatch(/^WebAssembly, simd128, [1-9]/);
      const [, accuracy] = /^done: step 60 of 60, .* (\d+) % of unseen/.exec(title ?? '') ?? [];
      expect(Number(accuracy)).toBeGreaterThan(60);
    } finally {
      serving.kill();
    }
  });

  it('learns', () => {
    const losses = expected.curve.filter((_, i) => i % 2 === 1);
    expect(losses.at(-1)!).toBeLessThan(0.85 * losses[0]!);
  });
});
