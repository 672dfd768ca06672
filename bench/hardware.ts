/**
 * @file Speed of the cost model: whole networks in fresh processes, with nothing known, with their layer shapes
 * remembered on disk and in memory; and layers a second through the exact model and through the proxy.
 *
 * `npm run bench -- hardware`. A fresh process is a cold one: its compiler has seen no loop of the search yet. Wall
 * clock and processor time stand side by side, since a shared machine stretches the first.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { estimate, estimateLayer } from '../src/hardware/estimate.js';
import { loadProfile } from '../src/hardware/profile.js';
import { fitProxy, typicalLayers } from '../src/hardware/proxy.js';
import { version3Stages, visionNetwork } from '../src/hardware/published/vision.js';

const processesPerCase = 7;
const network = visionNetwork({ resolution: 224, lastStride: 2, stages: version3Stages });

interface Taken {
  readonly wallMs: number;
  readonly processorMs: number;
}

/** Times `run` once. */
function taken(run: () => void): Taken {
  const processor = process.cpuUsage();
  const start = performance.now();
  run();
  const wallMs = performance.now() - start;
  const { user, system } = process.cpuUsage(processor);
  return { wallMs, processorMs: (user + system) / 1000 };
}

/** What a fresh process prints: the network with what is on disk, and the same again from memory. */
function child(profileName: string): void {
  const profile = loadProfile(profileName);
  const first = taken(() => void estimate(network, profile));
  const again = taken(() => void estimate(network, profile));
  console.log(JSON.stringify({ first, again }));
}

function fresh(profileName: string, cache: string): { readonly first: Taken; readonly again: Taken } {
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--import', 'tsx', fileURLToPath(import.meta.url), 'child', profileName],
    { env: { ...process.env, SHIFTADDNAS_CACHE: '', XDG_CACHE_HOME: cache }, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as { readonly first: Taken; readonly again: Taken };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function line(name: string, times: readonly Taken[]): void {
  const [walls, processors] = [
    times.map(({ wallMs }) => wallMs),
    times.map(({ processorMs }) => processorMs),
  ];
  const cells = [Math.min(...walls), median(walls), Math.min(...processors), median(processors)];
  console.log(`${name.padEnd(52)}${cells.map((ms) => ms.toFixed(2).padStart(10)).join('')}`);
}

function benchNetworks(): void {
  console.log(`T0_mix_v3 at 224 px, ${network.length} layers; ${processesPerCase} fresh processes each\n`);
  const heads = ['wall best', 'median', 'proc. best', 'median'].map((head) => head.padStart(10)).join('');
  console.log(`${'ms'.padEnd(52)}${heads}`);
  for (const profile of ['paper-cv-168', 'fair', 'fair-int8']) {
    const cold: Taken[] = [];
    const disk: Taken[] = [];
    const memory: Taken[] = [];
    for (let run = 0; run < processesPerCase; run++) {
      const cache = mkdtempSync(join(tmpdir(), 'bench-'));
      cold.push(fresh(profile, cache).first);
      const { first, again } = fresh(profile, cache);
      disk.push(first);
      memory.push(again);
      rmSync(cache, { recursive: true });
    }
    line(`${profile}: nothing known (exhaustive search)`, cold);
    line(`${profile}: shapes known on disk`, disk);
    line(`${profile}: shapes known in memory`, memory);
  }
}

/** Layers a second over a list, best of several passes by processor time. */
function rate(layers: number, pass: () => void): number {
  let best = Infinity;
  for (let i = 0; i < 8; i++) best = Math.min(best, taken(pass).processorMs);
  return (1000 * layers) / best;
}

function benchRates(): void {
  const profile = loadProfile('fair');
  const shapes = typicalLayers({ seed: 1, count: 1000 });
  let exact: number;
  const searched = taken(() => {
    exact = shapes.reduce(
      (sum, layer) => sum + estimateLayer(layer, profile, { remember: false }).energyMj,
      0,
    );
  });
  const proxy = fitProxy(shapes, profile);
  const copies = 200;
  let sum = 0;
  const proxied = rate(copies * shapes.length, () => {
    for (let copy = 0; copy < copies; copy++) for (const layer of shapes) sum += proxy.energyMj(layer);
  });
  const both = rate(copies * shapes.length, () => {
    for (let copy = 0; copy < copies; copy++)
      for (const layer of shapes) sum += proxy.energyMj(layer) + proxy.latencyMs(layer);
  });
  const known = rate(shapes.length * 10, () => {
    for (let copy = 0; copy < 10; copy++)
      for (const layer of shapes) sum += estimateLayer(layer, profile, { remember: false }).energyMj;
  });
  const perSecond = (layers: number): string =>
    `${Math.round(layers).toLocaleString('en-US')} layers/s`.padStart(24);
  console.log(`\n1000 layers of all kinds under fair, one thread, processor time`);
  console.log(`exact, each shape searched${perSecond((1000 * shapes.length) / searched.processorMs)}`);
  console.log(`exact, shapes in memory   ${perSecond(known)}`);
  console.log(`proxy, energy             ${perSecond(proxied)}`);
  console.log(`proxy, energy and latency ${perSecond(both)}`);
  if (!(sum > 0 && exact! > 0)) throw new Error('nothing was computed');
}

const [mode, profileName] = process.argv.slice(2);
if (mode === 'child') child(profileName!);
else {
  benchNetworks();
  benchRates();
}
