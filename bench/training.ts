/**
 * @file Whole training steps of the quick start's networks and of ResNet-20, by operator family, and where the time
 * goes.
 *
 * Families are interleaved so that a busy machine slows all of them alike; medians are printed, with the ratio to the
 * convolution network of the same run, and the share that the TypeScript side costs (see `clock.ts`). Run with
 * `npm run bench -- training`.
 */
import { listFamilies } from '../src/operators/registry.js';
import type { Architecture } from '../src/spaces/architecture.js';
import { createMiniSpace, uniformGenome } from '../src/spaces/mini/space.js';
import { resnetArchitecture } from '../src/spaces/resnet.js';
import '../src/tensor/choose-device.js';
import { describeDevice } from '../src/tensor/device.js';
import { installClock, summarise, trainingStep, type Timing } from './clock.js';

const repetitions = 30;
const cifar = { height: 32, width: 32, channels: 3 };

const mini = (input: typeof cifar) => (family: string) => {
  const stemStride = input.height === 28 ? 2 : 1;
  const space = createMiniSpace({ input, classes: 10, stemStride, families: [family] });
  return space.architecture(uniformGenome(space, family));
};

const subjects: readonly {
  readonly title: string;
  readonly batch: number;
  readonly of: (family: string) => Architecture;
}[] = [
  {
    title: 'mini space at full depth and width, 28x28x1',
    batch: 128,
    of: mini({ height: 28, width: 28, channels: 1 }),
  },
  { title: 'mini space at full depth and width, 32x32x3', batch: 128, of: mini(cifar) },
  {
    title: 'ResNet-20, 32x32x3',
    batch: 64,
    of: (family) => resnetArchitecture({ depth: 20, family, input: cifar, classes: 10 }),
  },
];

const clock = installClock();
const { device, isa, threads } = describeDevice();
console.log(`training steps, ${device} ${isa}, ${threads} thread(s), ${repetitions} interleaved repetitions`);

for (const { title, batch, of } of subjects) {
  const runs = listFamilies().map(({ name }) => ({
    name,
    ...trainingStep(of(name), batch),
    timings: [] as Timing[],
  }));
  for (let repetition = -2; repetition < repetitions; repetition++)
    for (const run of runs) {
      const timing = clock.measure(run.step);
      if (repetition >= 0) run.timings.push(timing);
    }
  console.log(`\n${title}, batch ${batch}`);
  let reference: number | undefined;
  for (const { name, timings, dispose } of runs) {
    const { wallMs, shareOutside, kernels } = summarise(timings);
    reference ??= wallMs;
    const top = kernels.slice(0, 6).map((kernel) => `${kernel.name} ${kernel.ms.toFixed(1)}`);
    console.log(
      `  ${name.padEnd(6)} ${wallMs.toFixed(1)} ms/step  ${((1000 * batch) / wallMs).toFixed(0)} images/s  ` +
        `${(wallMs / reference).toFixed(2)} x conv  ${(100 * shareOutside).toFixed(1)} % outside kernels  ` +
        top.join(', '),
    );
    dispose();
  }
}
clock.uninstall();
