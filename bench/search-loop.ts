/**
 * @file The search loop: networks judged per second by a supernet of the default mini space, the share of that outside
 * kernels, what worker processes gain, and how fast each strategy proposes when judging costs nothing.
 *
 * Part 1 is a whole search as `search` runs it (proposals, prices, recalibration, evaluation, records) under the clock of
 * `clock.ts`: the share outside kernels is all of its time that is not inside kernel calls. Part 2 judges the same networks
 * with one and with several worker processes in turn, so that a busy machine slows all of them alike. Run with
 * `npm run bench -- search-loop`; part 2 needs `npm run build` before it.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '../src/base/random.js';
import { mapConcurrently } from '../src/base/concurrent.js';
import { loadProfile } from '../src/hardware/index.js';
import { defaultFamilies } from '../src/operators/registry.js';
import { checkConfig, runConfigSchema, type RunConfig } from '../src/pipeline/config/config.js';
import { silentHost } from '../src/pipeline/run/host.js';
import { openJudge } from '../src/pipeline/search/judging.js';
import { supernetPhase } from '../src/pipeline/search/stored-supernet.js';
import { rememberedCosts } from '../src/pipeline/models/network-costs.js';
import type { LearningData } from '../src/pipeline/training/prepared-data.js';
import { RunFolder } from '../src/pipeline/run/run-folder.js';
import { searchWith } from '../src/pipeline/search/search-phase.js';
import { strategyFor, StrategyKind } from '../src/pipeline/config/search-settings.js';
import { supernetWeights } from '../src/pipeline/search/supernet-phases.js';
import { threadsPerWorker } from '../src/pipeline/workers/pool.js';
import { SurrogateKind } from '../src/search/surrogate/screening.js';
import { createMiniSpace, uniformGenome } from '../src/spaces/mini/space.js';
import { Supernet } from '../src/supernet/supernet.js';
import '../src/tensor/choose-device.js';
import { describeDevice } from '../src/tensor/device.js';
import { installClock, median } from './clock.js';

const shape = { height: 32, width: 32, channels: 3 };
const classes = Array.from({ length: 10 }, (_, at) => `class ${at}`);
const repetitions = 3;

function configOf(search: object): RunConfig {
  return checkConfig(
    runConfigSchema,
    {
      ...{ data: 'noise', budget: 'energy=70%' },
      supernet: { epochs: 1, batchSize: 128 },
      retrain: { epochs: 1, batchSize: 128 },
      search: { recalibrationImages: 1000, evaluationImages: 2000, ...search },
    },
    'bench',
  );
}

/** Images of noise: how long a judge takes does not depend on what is to be seen. */
function noise(): LearningData {
  const random = Random.stream('bench', 'images');
  const part = (count: number) => ({
    ...shape,
    classes,
    images: Uint8Array.from({ length: count * 32 * 32 * 3 }, () => random.integer(256)),
    labels: Uint8Array.from({ length: count }, () => random.integer(10)),
    indices: Uint32Array.from({ length: count }, (_, at) => at),
  });
  const statistics = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };
  return { shape, statistics, classes, train: part(1000), searchValidation: part(2000) };
}

const { device, isa, threads } = describeDevice();
console.log(`${cpus()[0]?.model.trim() ?? 'unknown processor'}, ${device} ${isa}, ${threads} thread(s)`);

const data = noise();
const space = createMiniSpace({ input: shape, classes: 10, families: [...defaultFamilies] });
const costOf = rememberedCosts(space, loadProfile('fair'));
const budget = { energyMj: 0.7 * costOf(uniformGenome(space, 'conv')).energyMj };
const home = mkdtempSync(join(tmpdir(), 'shiftaddnas-bench-'));
const identity = 'bench';
const weights = new Supernet(space, Random.stream('bench', 'weights'));
new RunFolder(home).writeCheckpoint(supernetPhase, identity, supernetWeights(weights));
weights.dispose();

/** Judged per second, and the part of the time outside kernels, of a whole small search. */
async function wholeSearch(): Promise<{ readonly rate: number; readonly outside: number }> {
  const config = configOf({ strategy: StrategyKind.Nsga2, generations: 2, population: 4 });
  // Prices are not remembered from one repetition to the next.
  const priced = rememberedCosts(space, loadProfile('fair'));
  const strategy = strategyFor(config, space, priced, budget);
  const clock = installClock();
  const judge = openJudge({ config, data, folder: home, identity }, silentHost);
  let judged = 0;
  try {
    const stop = clock.begin();
    const hooks = { onCandidate: () => void judged++, onGeneration: () => undefined };
    await searchWith(strategy, strategy.start(), judge, new Map(), hooks, silentHost);
    const { wallMs, kernelMs } = stop();
    return { rate: (1000 * judged) / wallMs, outside: (wallMs - kernelMs) / wallMs };
  } finally {
    judge.close();
    clock.uninstall();
  }
}

const searches = [];
for (let repetition = -1; repetition < repetitions; repetition++) {
  const one = await wholeSearch();
  if (repetition >= 0) searches.push(one);
}
console.log(
  `\nsearch of the mini space at 32x32x3 (${space.size} networks), 1000 images to recalibrate, 2000 to measure, nsga2:\n` +
    `  ${median(searches.map(({ rate }) => rate)).toFixed(2)} networks judged per second, ` +
    `${(100 * median(searches.map(({ outside }) => outside))).toFixed(1)} % of the time outside kernels`,
);

const sampled = Random.stream('bench', 'sample');
const genomes = Array.from({ length: 8 }, () => space.sample(sampled));
const counts = [1, Math.max(2, threads)];
const judges = counts.map((workers) =>
  openJudge({ config: configOf({ workers }), data, folder: home, identity }, silentHost),
);
const seconds = judges.map((): number[] => []);
for (let repetition = -1; repetition < repetitions; repetition++)
  for (const [at, judge] of judges.entries()) {
    const started = performance.now();
    await mapConcurrently(genomes, judge.concurrency, (genome) => judge.accuracyOf(genome));
    // The first round waits for the workers.
    if (repetition >= 0) seconds[at]!.push((performance.now() - started) / 1000);
  }
for (const judge of judges) judge.close();
rmSync(home, { recursive: true });
console.log(`\n${genomes.length} networks judged, sides in turn:`);
counts.forEach((workers, at) => {
  const time = median(seconds[at]!);
  const each = workers === 1 ? threads : threadsPerWorker(workers);
  console.log(
    `  ${workers} ${workers === 1 ? 'process' : 'workers'} with ${each} thread(s)${workers === 1 ? '' : ' each'}: ` +
      `${(genomes.length / time).toFixed(2)} per second, ${(median(seconds[0]!) / time).toFixed(2)} x`,
  );
});

console.log('\nproposals per second, prices included, judged by a table (10 generations of 50):');
for (const strategy of Object.values(StrategyKind))
  for (const surrogate of Object.values(SurrogateKind)) {
    const config = configOf({ strategy, surrogate, generations: 10, population: 50 });
    const priced = rememberedCosts(space, loadProfile('fair'));
    const searched = strategyFor(config, space, priced, budget);
    const table = { accuracyOf: (genome: readonly number[]) => tableAccuracy(genome), concurrency: 1 };
    const started = performance.now();
    const state = await searchWith(
      searched,
      searched.start(),
      table,
      new Map(),
      { onCandidate: () => undefined, onGeneration: () => undefined },
      silentHost,
    );
    const time = (performance.now() - started) / 1000;
    console.log(
      `  ${strategy.padEnd(9)} ${surrogate.padEnd(5)} ${(state.archive.length / time).toFixed(0).padStart(6)}`,
    );
  }

/** Any function of the genome does. */
function tableAccuracy(genome: readonly number[]): number {
  return genome.reduce((sum, gene, at) => sum + ((gene * 7 + at * 3) % 11) / 11, 0) / genome.length;
}
