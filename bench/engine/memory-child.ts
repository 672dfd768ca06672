/**
 * @file A fresh process that runs training steps and answers how much memory they took: `memory-child.ts FAMILY BATCH`.
 *
 * The same method as `peak_memory` in peer/networks.py: the kernel's own count of resident memory, its peak set back
 * before the network is built, three steps.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import '../../src/tensor/choose-device.js';
import { poolUsage } from '../../src/tensor/pool.js';
import { trainingStep } from '../clock.js';
import { resnet20 } from './networks.js';

const [family = 'conv', batch = '128'] = process.argv.slice(2);
const steps = 3;

function statusKiB(field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  if (found === null) throw new Error(`/proc/self/status has no ${field}`);
  return Number(found[1]);
}

const architecture = resnet20(family);
try {
  writeFileSync('/proc/self/clear_refs', '5');
} catch {
  // Without the right to set the peak back, that of loading the program counts too.
}
const beforeKiB = statusKiB('VmRSS');
const { step } = trainingStep(architecture, Number(batch));
for (let i = 0; i < steps; i++) step();
console.log(
  JSON.stringify({ beforeKiB, peakKiB: statusKiB('VmHWM'), poolPeakMiB: poolUsage().peakBytes / 2 ** 20 }),
);
