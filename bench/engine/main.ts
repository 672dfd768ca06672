/**
 * @file `npm run bench -- engine`: every kernel and whole training steps, beside the machine's peak and PyTorch.
 */
import { UserError } from '../../src/base/errors.js';
import { writeFileAtomic } from '../../src/base/files.js';
import { machineOf } from '../../src/pipeline/run/machine.js';
import { deviceNotice } from '../../src/tensor/choose-device.js';
import { describeDevice } from '../../src/tensor/device.js';
import { busyWarning, shareInUse } from './busy.js';
import type { BenchCase } from './case.js';
import { allCases, chooseCases } from './cases.js';
import { compare, type Effort } from './measure.js';
import { Section, readOptions, type EngineOptions } from './options.js';
import { Peaks } from './peaks.js';
import { PeerGoneError, Purpose, findPeer, howToInstall, type Peer, type PeerLauncher } from './peer.js';
import { rowOf, type BenchResult, type Row } from './result.js';
import { measureMemory, profileSteps } from './sections.js';
import {
  machineLine,
  memoryLines,
  peakLines,
  profileLines,
  publishedLines,
  shiftLines,
  tableHead,
  tableRow,
  targetLines,
} from './table.js';
import { judge } from './targets.js';
import { compiledDevice } from './threads.js';

const effort: Effort = { turns: 5, budgetMs: 350 };
const headlineEffort: Effort = { turns: 7, budgetMs: 1200 };
const quickEffort: Effort = { turns: 2, budgetMs: 80 };
/** Bytes of the buffers over which the peak table gives the bandwidth of main memory. */
const mainMemoryFootprint = 2 ** 28;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === undefined) return 0;
    const result = await bench(options);
    if (options.json !== undefined) {
      write(options.json, result);
      console.log(`\nwritten to ${options.json}`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`error: ${error.message}`);
    return 2;
  }
}

function write(path: string, result: BenchResult): void {
  writeFileAtomic(path, `${JSON.stringify(result, null, 2)}\n`);
}

async function bench(options: EngineOptions): Promise<BenchResult> {
  const started = new Date();
  const cases = chooseCases(allCases(), options.only, options.all);
  const problems: string[] = [];
  const busy = busyWarning(await shareInUse());
  if (busy !== undefined) problems.push(busy);
  const threadCounts = compiledDevice() === undefined ? [1] : options.threads;
  const most = Math.max(...threadCounts);
  const slowDevice = deviceNotice();
  if (slowDevice !== undefined) problems.push(slowDevice);
  const launcher = options.torch ? await torch() : undefined;
  const { device, isa } = describeDevice();
  const { cpu, cores, memoryGiB, platform } = machineOf();
  const head: BenchResult = {
    format: 'shiftaddnas-bench-engine',
    version: 1,
    startedAt: started.toISOString(),
    seconds: 1,
    quick: options.quick,
    machine: { cpu, cores, memoryGiB, platform, node: process.versions.node },
    device,
    isa,
    torch: launcher === undefined ? null : torchOf(launcher),
    peaks: { arithmetic: null, memory: [] },
    rows: [],
    profiles: [],
    memory: [],
    targets: [],
    problems,
  };
  console.log(machineLine(head));
  if (busy !== undefined) console.log(`note: ${busy}`);

  const peaks = new Peaks();
  const mainMemory = [];
  for (const threads of threadCounts)
    mainMemory.push({ threads, rate: await peaks.bandwidth(mainMemoryFootprint, threads) });
  console.log(peakLines(peaks.arithmetic, mainMemory));
  const rows = options.sections.has(Section.Rows)
    ? await measureRows(cases, threadCounts, options.quick, launcher, peaks, problems, (soFar) => {
        // A run that is stopped leaves the rows it has.
        if (options.json !== undefined) write(options.json, { ...head, rows: soFar });
      })
    : [];
  for (const text of [publishedLines(rows), shiftLines(rows)]) if (text !== '') console.log(text);
  const profiles = [];
  if (options.sections.has(Section.Profile))
    for (const threads of threadCounts)
      profiles.push(...(await profileSteps(threads, options.quick ? 3 : 10)));
  if (profiles.length > 0) console.log(profileLines(profiles));
  const memory = options.sections.has(Section.Memory) ? await measureMemory(most, launcher, problems) : [];
  if (memory.length > 0) console.log(memoryLines(memory));
  const targets = judge(rows);
  if (targets.length > 0) console.log(targetLines(targets));
  for (const problem of new Set(problems)) if (problem !== busy) console.log(`note: ${problem}`);
  return {
    ...head,
    seconds: (Date.now() - started.getTime()) / 1000,
    peaks: {
      arithmetic: peaks.arithmetic ?? null,
      memory: peaks.bandwidths.map(({ threads, footprint, rate }) => ({
        threads,
        footprintBytes: footprint,
        bytesPerSecond: rate,
      })),
    },
    rows: [...rows],
    profiles,
    memory: [...memory],
    targets: [...targets],
    problems: [...new Set(problems)],
  };
}

/** PyTorch, or undefined after saying why there is none. */
async function torch(): Promise<PeerLauncher | undefined> {
  try {
    return await findPeer();
  } catch (error) {
    if (!(error instanceof PeerGoneError)) throw error;
    console.log(`no PyTorch here (${error.message}): ours is measured alone; ${howToInstall}`);
    return undefined;
  }
}

function torchOf({ description, settings }: PeerLauncher): NonNullable<BenchResult['torch']> {
  const { torch: version, python, capability } = description;
  return { version, python, capability, settings: { ...settings } };
}

async function measureRows(
  cases: readonly BenchCase[],
  threadCounts: readonly number[],
  quick: boolean,
  launcher: PeerLauncher | undefined,
  peaks: Peaks,
  problems: string[],
  save: (rows: Row[]) => void,
): Promise<readonly Row[]> {
  let peer = await launcher?.start(Purpose.Time);
  console.log(`\n${tableHead()}`);
  const rows: Row[] = [];
  let group = '';
  for (const each of cases) {
    if (each.group !== group) console.log(`\n${each.group}`);
    group = each.group;
    const wanted = quick ? quickEffort : each.headline === true ? headlineEffort : effort;
    try {
      rows.push(...(await measureCase(each, threadCounts, wanted, peer, peaks, problems)));
    } catch (error) {
      if (!(error instanceof PeerGoneError)) throw error;
      problems.push(
        `PyTorch stopped at ${each.name} (${error.message}); from there on ours was measured alone`,
      );
      console.log(`PyTorch stopped (${error.message}); going on without it`);
      peer = undefined;
      rows.push(...(await measureCase(each, threadCounts, wanted, peer, peaks, problems)));
    }
    save(rows);
  }
  peer?.close();
  return rows;
}

async function measureCase(
  benchCase: BenchCase,
  threadCounts: readonly number[],
  effortOfCase: Effort,
  peer: Peer | undefined,
  peaks: Peaks,
  problems: string[],
): Promise<readonly Row[]> {
  const compared = await compare(benchCase, threadCounts, effortOfCase, peer);
  problems.push(...compared.problems);
  const single = compared.measurements.find(({ threads }) => threads === 1);
  const rows: Row[] = [];
  for (const measurement of compared.measurements) {
    const leastMs = await peaks.leastMs(benchCase.work, measurement.threads);
    const row = rowOf(benchCase, measurement, leastMs, single);
    console.log(tableRow(row));
    rows.push(row);
  }
  return rows;
}
