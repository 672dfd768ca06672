/**
 * @file What the benchmark says of whole training steps beyond their time: profile and memory.
 */
import { execFile } from 'node:child_process';
import { platform } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { installClock, summarise, trainingStep, type Timing } from '../clock.js';
import { resnet20, stepBatch, stepFamilies, type StepFamily } from './networks.js';
import { PeerGoneError, Purpose, type PeerLauncher } from './peer.js';
import type { MemoryUse, Profile } from './result.js';
import { useThreads } from './threads.js';

/** Where the time of a ResNet-20 step goes, by family. */
export async function profileSteps(threads: number, repetitions: number): Promise<readonly Profile[]> {
  await useThreads(threads);
  const clock = installClock();
  try {
    return stepFamilies.map(({ name, family }) => {
      const { step, dispose } = trainingStep(resnet20(family), stepBatch);
      const timings: Timing[] = [];
      step();
      for (let i = 0; i < repetitions; i++) timings.push(clock.measure(step));
      dispose();
      const { wallMs, shareOutside, kernels } = summarise(timings);
      return {
        family: name,
        threads,
        stepMs: wallMs,
        shareOutsideKernels: shareOutside,
        kernels: kernels.map(({ name: kernel, ms, calls }) => ({ name: kernel, ms, calls })),
      };
    });
  } finally {
    clock.uninstall();
  }
}

interface ChildAnswer {
  readonly beforeKiB: number;
  readonly peakKiB: number;
  readonly poolPeakMiB: number;
}

/** Peak memory of training steps, each family and side in a process of its own. Linux only: the kernel counts. */
export async function measureMemory(
  threads: number,
  peer: PeerLauncher | undefined,
  problems: string[],
): Promise<readonly MemoryUse[]> {
  if (platform() !== 'linux') return [];
  const results: MemoryUse[] = [];
  for (const each of stepFamilies) {
    const ours = await ownMemory(each.family, threads);
    results.push({
      family: each.name,
      oursMiB: (ours.peakKiB - ours.beforeKiB) / 1024,
      poolPeakMiB: ours.poolPeakMiB,
      torchMiB: peer === undefined ? null : await torchMemoryMiB(each, threads, peer, problems),
    });
  }
  return results;
}

async function ownMemory(family: string, threads: number): Promise<ChildAnswer> {
  const program = fileURLToPath(new URL('memory-child.ts', import.meta.url));
  const args = [...process.execArgv, program, family, String(stepBatch)];
  const env = { ...process.env, SHIFTADDNAS_THREADS: String(threads) };
  const { stdout } = await promisify(execFile)(process.execPath, args, { env });
  return JSON.parse(stdout) as ChildAnswer;
}

async function torchMemoryMiB(
  { name }: StepFamily,
  threads: number,
  launcher: PeerLauncher,
  problems: string[],
): Promise<number | null> {
  try {
    const peer = await launcher.start(Purpose.Memory);
    const { beforeKiB, peakKiB } = await peer.peakMemory(name, stepBatch, threads);
    peer.close();
    return (peakKiB - beforeKiB) / 1024;
  } catch (error) {
    if (!(error instanceof PeerGoneError)) throw error;
    problems.push(`memory of a PyTorch step (${name}): ${error.message}`);
    return null;
  }
}
