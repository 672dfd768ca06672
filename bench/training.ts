/**
 * @file Whole training steps of the quick start's networks, by operator family, and where the time goes.
 *
 * Families are interleaved so that a busy machine slows all of them alike; medians are printed, with the ratio to the
 * convolution network of the same run. The share outside kernels is what TypeScript costs: wall time of a step minus
 * wall time inside kernel calls. Run with `npm run bench -- training`.
 */
import { Random } from '../src/base/random.js';
import { Mode } from '../src/nn/module.js';
import { createMiniSpace, uniformGenome } from '../src/spaces/mini/space.js';
import { Network } from '../src/spaces/network.js';
import { describeDevice, kernels, useKernels } from '../src/tensor/device.js';
import type { Kernels } from '../src/tensor/kernels.js';
import { softmaxCrossEntropy } from '../src/tensor/ops/loss.js';
import { Tape } from '../src/tensor/tape.js';
import { Tensor } from '../src/tensor/tensor.js';
import { Sgd } from '../src/training/optimiser.js';

const batch = 128;
const repetitions = 30;

let kernelMs = 0;
const byKernel = new Map<string, number>();

/** The same kernels, with a clock around every call. */
function timed(inner: Kernels): Kernels {
  return new Proxy(inner, {
    get(target, key, receiver) {
      const value: unknown = Reflect.get(target, key, receiver);
      if (typeof value !== 'function' || key === 'allocate') return value;
      return (...inputs: unknown[]): unknown => {
        const started = performance.now();
        const result: unknown = Reflect.apply(value, target, inputs);
        const spent = performance.now() - started;
        kernelMs += spent;
        byKernel.set(String(key), (byKernel.get(String(key)) ?? 0) + spent);
        return result;
      };
    },
  });
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

useKernels(timed(kernels()));
const { device, isa, threads } = describeDevice();
console.log(
  `training steps, batch ${batch}, ${device} ${isa}, ${threads} thread(s), ${repetitions} interleaved repetitions`,
);

for (const input of [
  { height: 28, width: 28, channels: 1 },
  { height: 32, width: 32, channels: 3 },
]) {
  const space = createMiniSpace({ input, classes: 10, stemStride: input.height === 28 ? 2 : 1 });
  const random = Random.stream('bench');
  const images = Tensor.persistent(
    [batch, input.height, input.width, input.channels],
    Float32Array.from({ length: batch * input.height * input.width * input.channels }, () => random.normal()),
  );
  const labels = Int32Array.from({ length: batch }, () => random.integer(10));
  const runs = space.options.families.map((family) => {
    const network = new Network(space.architecture(uniformGenome(space, family)), Random.stream('weights'));
    const optimiser = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 5e-4 });
    const step = (): void => {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(network.forward(images, Mode.Training), labels),
      );
      tape.backward(value);
      optimiser.step(0.01);
      network.project();
    };
    return {
      family,
      step,
      wall: [] as number[],
      outside: [] as number[],
      kernels: new Map<string, number>(),
    };
  });
  for (let repetition = -2; repetition < repetitions; repetition++)
    for (const run of runs) {
      kernelMs = 0;
      byKernel.clear();
      const started = performance.now();
      run.step();
      const wall = performance.now() - started;
      if (repetition < 0) continue;
      run.wall.push(wall);
      run.outside.push((wall - kernelMs) / wall);
      for (const [name, ms] of byKernel)
        run.kernels.set(name, (run.kernels.get(name) ?? 0) + ms / repetitions);
    }
  const reference = median((runs[0] as (typeof runs)[number]).wall);
  console.log(`\n${input.height}x${input.width}x${input.channels}, mini space at full depth and width`);
  for (const { family, wall, outside, kernels: own } of runs) {
    const top = [...own].sort((a, b) => b[1] - a[1]).slice(0, 5);
    console.log(
      `  ${family.padEnd(6)} ${median(wall).toFixed(1)} ms/step  ${((1000 * batch) / median(wall)).toFixed(0)} images/s  ` +
        `${(median(wall) / reference).toFixed(2)} x conv  ${(100 * median(outside)).toFixed(1)} % outside kernels  ` +
        top.map(([name, ms]) => `${name} ${ms.toFixed(1)}`).join(', '),
    );
  }
}
