/**
 * @file Memory of ResNet-20 training steps: at its peak, with blocks kept and recomputed, and whether it grows.
 *
 * `npm run bench -- memory [STEPS [BATCH]]` (1000 steps of 32 images). Every line is a process of its own. `peak` is
 * resident memory at its peak less what there was before the network was built, `pool` the most that tensors held at
 * once and what the pool took from the system for it, `grown` resident memory at the end less that after a tenth of
 * the steps, and how much of that is the heap of JavaScript: it fills with the small objects of each step until the
 * collector runs, some tens of MiB, and then falls back. The peak beside PyTorch's: `npm run bench -- engine
 * --sections memory`.
 */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { OptionError, UserError } from '../src/base/errors.js';
import { listFamilies } from '../src/operators/registry.js';
import { resnetArchitecture } from '../src/spaces/resnet.js';
import '../src/tensor/choose-device.js';
import { describeDevice, kernels } from '../src/tensor/device.js';
import { poolUsage } from '../src/tensor/pool.js';
import { trainingStep } from './clock.js';

interface Usage {
  readonly peakMiB: number;
  readonly grownMiB: number;
  readonly heapGrownMiB: number;
  readonly poolPeakMiB: number;
  readonly poolMiB: number;
  readonly millisecondsPerStep: number;
}

const mebi = 2 ** 20;
const residentMiB = (): number => process.memoryUsage().rss / mebi;
const heapMiB = (): number => process.memoryUsage().heapTotal / mebi;

function measure(family: string, recomputeBlocks: boolean, steps: number, batch: number): Usage {
  const input = { height: 32, width: 32, channels: 3 };
  kernels();
  const before = residentMiB();
  const { step } = trainingStep(resnetArchitecture({ depth: 20, family, input, classes: 10 }), batch, {
    recomputeBlocks,
  });
  let early = { resident: 0, heap: 0 };
  const started = performance.now();
  for (let i = 1; i <= steps; i++) {
    step();
    if (i === Math.ceil(steps / 10)) early = { resident: residentMiB(), heap: heapMiB() };
  }
  const { peakBytes, allocatedBytes } = poolUsage();
  return {
    peakMiB: process.resourceUsage().maxRSS / 1024 - before,
    grownMiB: residentMiB() - early.resident,
    heapGrownMiB: heapMiB() - early.heap,
    poolPeakMiB: peakBytes / mebi,
    poolMiB: allocatedBytes / mebi,
    millisecondsPerStep: (performance.now() - started) / steps,
  };
}

function wholeNumber(text: string | undefined, otherwise: number): number {
  const value = Number(text ?? otherwise);
  if (!Number.isInteger(value) || value < 1)
    throw new OptionError(`'${text}' is not a whole number; usage: npm run bench -- memory [STEPS [BATCH]]`);
  return value;
}

function report(steps: number, batch: number): void {
  const { device, isa, threads } = describeDevice();
  console.log(`ResNet-20, ${steps} steps of ${batch} images, ${device} ${isa}, ${threads} thread(s); MiB`);
  const program = fileURLToPath(import.meta.url);
  for (const { name } of listFamilies())
    for (const mode of ['kept', 'recomputed']) {
      const args = [...process.execArgv, program, 'child', name, mode, String(steps), String(batch)];
      const answer = execFileSync(process.execPath, args, { encoding: 'utf8' });
      const usage = JSON.parse(answer) as Usage;
      console.log(
        `  ${name.padEnd(6)} blocks ${mode.padEnd(10)}  peak ${usage.peakMiB.toFixed(0).padStart(4)}  ` +
          `pool ${usage.poolPeakMiB.toFixed(1)} of ${usage.poolMiB.toFixed(1)}  ` +
          `grown ${usage.grownMiB.toFixed(1)}, ${usage.heapGrownMiB.toFixed(1)} of it JavaScript  ${usage.millisecondsPerStep.toFixed(1)} ms/step`,
      );
    }
}

const [first, ...rest] = process.argv.slice(2);
if (first === 'child') {
  const [family = '', mode, steps, batch] = rest;
  console.log(JSON.stringify(measure(family, mode === 'recomputed', Number(steps), Number(batch))));
} else {
  try {
    report(wholeNumber(first, 1000), wholeNumber(rest[0], 32));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`error: ${error.message}`);
    process.exitCode = 2;
  }
}
