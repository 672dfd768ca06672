/**
 * @file Time per step of the supernet's training rules, relative to the uniform single path, beside what their passes
 * alone would cost.
 *
 * Every rule trains the same supernet of the mini space by the training loop itself, over images that never change. Rules
 * are interleaved so that a busy machine slows all of them alike, and the fastest round of each counts; times are those of
 * the processor, on one thread. Paths differ in cost (the sandwich's teacher is the widest network, its smallest next to
 * nothing), so the time per pass is printed too. Run with `npm run bench -- supernet-rules`.
 */
import { Random } from '../src/base/random.js';
import { createMiniSpace } from '../src/spaces/mini/space.js';
import { Projection } from '../src/supernet/projection.js';
import { createPlan } from '../src/supernet/rules/plan.js';
import { PathsKind } from '../src/supernet/rules/registry.js';
import { Combination, supernetTrainee, type SupernetRules } from '../src/supernet/rules/trainee.js';
import { Supernet } from '../src/supernet/supernet.js';
import '../src/tensor/choose-device.js';
import { describeDevice } from '../src/tensor/device.js';
import { setThreads } from '../src/tensor/native/device.js';
import { train } from '../src/training/train.js';

const rounds = 5;
/** Whole cycles of three families. */
const steps = 24;
const batch = 64;
const input = { height: 28, width: 28, channels: 1 };
const space = createMiniSpace({ input, classes: 10, stemStride: 2 });

const plain: SupernetRules = {
  paths: PathsKind.Single,
  randomPaths: 2,
  distill: 1,
  combine: Combination.Sum,
  separateOptimiserState: false,
  projectGradients: Projection.None,
  warmUp: [],
};
const [separate, pairwise] = [{ separateOptimiserState: true }, { projectGradients: Projection.Pairwise }];
const subjects: readonly (readonly [string, Partial<SupernetRules>])[] = [
  ['single', {}],
  ['single, separate state', separate],
  ['fair', { paths: PathsKind.Fair }],
  ['strict-fair', { paths: PathsKind.StrictFair }],
  ['strict-fair, separate state', { paths: PathsKind.StrictFair, ...separate }],
  ['strict-fair, projection', { paths: PathsKind.StrictFair, ...pairwise }],
  ['sandwich without distillation', { paths: PathsKind.Sandwich, distill: 0 }],
  ['sandwich', { paths: PathsKind.Sandwich }],
  ['sandwich, separate, projection', { paths: PathsKind.Sandwich, ...separate, ...pairwise }],
];

const random = Random.stream('bench');
const images = Float32Array.from({ length: batch * input.height * input.width }, () => random.normal());
const labels = Int32Array.from({ length: batch }, () => random.integer(10));

/** Milliseconds of processor time per step of a training under these rules. */
function timed(rules: SupernetRules): { readonly ms: number; readonly passes: number } {
  const supernet = new Supernet(space, Random.stream('weights'));
  const plan = createPlan(space, rules, steps);
  const training = supernetTrainee(supernet, plan, rules, { seed: 1 });
  const before = process.cpuUsage();
  train(training.trainee, {
    schedule: {
      ...{ epochs: 1, batchSize: batch, peakLearningRate: 0.01, warmupFraction: 0.1 },
      ...{ labelSmoothing: 0, momentum: 0.9, weightDecay: 5e-4 },
    },
    stepsPerEpoch: steps,
    imageShape: input,
    openBatches: () => ({
      nextSync: () => ({ images, labels, release: () => undefined }),
      close: () => undefined,
    }),
    onProgress: () => undefined,
    onCheckpoint: () => undefined,
    checkpointSeconds: Infinity,
    interrupted: () => false,
  });
  const { user, system } = process.cpuUsage(before);
  training.dispose();
  supernet.dispose();
  return { ms: (user + system) / 1000 / steps, passes: plan.passesUntil(steps) / steps };
}

setThreads(1);
const { device, isa, threads } = describeDevice();
console.log(
  `steps of the supernet, mini space 28x28x1, batch ${batch}, ${device} ${isa}, ${threads} thread, ` +
    `fastest of ${rounds} interleaved rounds of ${steps} steps`,
);
const best = subjects.map(() => ({ ms: Infinity, passes: 0 }));
for (let round = -1; round < rounds; round++)
  subjects.forEach(([, changes], at) => {
    const result = timed({ ...plain, ...changes });
    if (round >= 0 && result.ms < best[at]!.ms) best[at] = result;
  });
const reference = best[0]!.ms;
for (const [at, [name]] of subjects.entries()) {
  const { ms, passes } = best[at]!;
  console.log(
    `  ${name.padEnd(31)} ${ms.toFixed(1).padStart(6)} ms/step  ${(ms / reference).toFixed(2)} x single, ` +
      `${passes.toFixed(2)} x by passes  ${(ms / passes / reference).toFixed(2)} x single per pass`,
  );
}
