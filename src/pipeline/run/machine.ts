/**
 * @file What a figure was measured on.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { packageRoot } from '../../base/modules.js';
import '../../tensor/choose-device.js';
import { describeDevice } from '../../tensor/device.js';

/** This program's version, from package.json. */
export function packageVersion(): string {
  const description = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  return description.version;
}

export function versionsOf(): Readonly<Record<string, string>> {
  return { shiftaddnas: packageVersion(), node: process.versions.node, v8: process.versions.v8 };
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly platform: string;
  /** Device and instruction set of the kernels. */
  readonly device: string;
  readonly threads: number;
}

export function machineOf(): Machine {
  const { device, isa, threads } = describeDevice();
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${platform()} ${release()}`,
    device: `${device} ${isa}`,
    threads,
  };
}
