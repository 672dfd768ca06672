/**
 * @file The benchmark on the terminal: lines of fixed width, so that each row can be printed as soon as it is measured.
 */
import { significant } from '../../src/cli/format.js';
import type { ArithmeticPeaks } from './peaks.js';
import type { BenchResult, MemoryUse, Profile, Row, Target } from './result.js';
import { spread } from './statistics.js';

interface Column {
  readonly title: string;
  readonly width: number;
  readonly cell: (row: Row) => string;
}

const threadsText = (threads: number): string => `${threads} thread${threads === 1 ? ' ' : 's'}`;
const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;
const plusMinus = (medianMs: number | null, quartilesMs: readonly [number, number] | null): string =>
  medianMs === null || quartilesMs === null
    ? ''
    : `±${percent(spread({ medianMs, quartilesMs, repetitions: 0 }))}`;

const columns: readonly Column[] = [
  { title: 'kernel', width: 34, cell: ({ name }) => name },
  { title: 'shape', width: 41, cell: ({ shape }) => shape },
  { title: 'threads', width: 7, cell: ({ threads }) => String(threads) },
  { title: 'ours ms', width: 9, cell: ({ oursMs }) => significant(oursMs) },
  { title: '', width: 6, cell: ({ oursMs, oursQuartilesMs }) => plusMinus(oursMs, oursQuartilesMs) },
  {
    title: 'torch ms',
    width: 9,
    cell: ({ torchMs }) => (torchMs === null ? '-' : significant(torchMs)),
  },
  { title: '', width: 6, cell: ({ torchMs, torchQuartilesMs }) => plusMinus(torchMs, torchQuartilesMs) },
  {
    title: 'ratio',
    width: 7,
    cell: ({ ratioToTorch }) => (ratioToTorch === null ? '-' : `${significant(ratioToTorch)}x`),
  },
  {
    title: 'of peak',
    width: 8,
    cell: ({ fractionOfPeak }) => (fractionOfPeak === null ? '-' : percent(fractionOfPeak)),
  },
  { title: 'gain', width: 6, cell: ({ speedup }) => (speedup === null ? '' : `${speedup.toFixed(2)}x`) },
  { title: '  PyTorch as', width: 0, cell: ({ torchForm }) => (torchForm === null ? '' : `  ${torchForm}`) },
];
const leftAligned = 2;

const line = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => {
      const { width } = columns[i] as Column;
      return i < leftAligned ? cell.padEnd(width) : cell.padStart(width);
    })
    .join(' ')
    .trimEnd();

/** The heading, and what its columns mean. */
export function tableHead(): string {
  return [
    'Medians of interleaved repetitions, with half the distance between the quartiles. ratio: time of PyTorch over',
    'ours, above 1 we are faster. of peak: the time the arithmetic or the memory needs at least, over ours.',
    'gain: time on one thread over this.',
    '',
    line(columns.map(({ title }) => title)),
  ].join('\n');
}

export function tableRow(row: Row): string {
  return line(columns.map(({ cell }) => cell(row)));
}

/** What the machine can do. `memory` is the bandwidth of main memory in bytes per second, by number of threads. */
export function peakLines(
  arithmetic: ArithmeticPeaks | undefined,
  memory: readonly { readonly threads: number; readonly rate: number }[],
): string {
  const bandwidths = memory.map(
    ({ threads, rate }) => `${(rate / 1e9).toFixed(0)} GB/s on ${threadsText(threads).trim()}`,
  );
  const rates =
    arithmetic === undefined
      ? 'this device has no probes'
      : `one thread FMA ${(arithmetic.fma / 5e8).toFixed(0)} GFLOP/s, absolute difference ` +
        `${(arithmetic.distance / 1e9).toFixed(0)} G/s, clamped gradient ${(arithmetic.clamp / 1e9).toFixed(0)} G/s`;
  return `peaks: ${rates}; memory ${bandwidths.join(', ')}`;
}

/** Published forms of the PyTorch side that are slower than the form the table shows. */
export function publishedLines(rows: readonly Row[]): string {
  const lines = rows.flatMap(({ name, threads, oursMs, torchPublished: published, torchForm }) =>
    published === null || published.form === torchForm
      ? []
      : [
          `  ${name.padEnd(28)} ${threadsText(threads)}  ${significant(published.ms).padStart(8)} ms  ` +
            `${significant(published.ms / oursMs)}x ours  ${published.form}`,
        ],
  );
  return section('PyTorch as usually published (the table shows its fastest form)', lines);
}

/** Rounding the weights of a shift layer as a share of the layer's convolution. */
export function shiftLines(rows: readonly Row[]): string {
  const lines = rows
    .filter(({ name }) => name === 'conv3x3-forward')
    .flatMap(({ threads, oursMs }) => {
      const rounding = rows.find((row) => row.name === 'power-of-two-3x3' && row.threads === threads);
      if (rounding === undefined) return [];
      const share = (100 * rounding.oursMs) / oursMs;
      return [`  ${threadsText(threads)}  rounding takes ${significant(share)} % of the convolution`];
    });
  return section('shift layer, 3x3 of 64 to 64 channels', lines);
}

export function profileLines(profiles: readonly Profile[]): string {
  return section(
    'where a ResNet-20 step spends its time',
    profiles.map(({ family, threads, stepMs, shareOutsideKernels, kernels }) => {
      const top = kernels.slice(0, 8).map(({ name, ms }) => `${name} ${significant(ms)}`);
      return `  ${family.padEnd(6)} ${threadsText(threads)}  ${significant(stepMs)} ms, ${(100 * shareOutsideKernels).toFixed(1)} % outside kernels: ${top.join(', ')}`;
    }),
  );
}

export function memoryLines(memory: readonly MemoryUse[]): string {
  return section(
    'peak memory of a ResNet-20 step at batch 128, in a fresh process, less what it held before the network was built',
    memory.map(({ family, oursMiB, poolPeakMiB, torchMiB }) => {
      const theirs =
        torchMiB === null
          ? ''
          : `, PyTorch ${torchMiB.toFixed(0)} MiB (${(torchMiB / oursMiB).toFixed(2)}x ours)`;
      return `  ${family.padEnd(6)} ours ${oursMiB.toFixed(0)} MiB (pool ${poolPeakMiB.toFixed(0)} MiB)${theirs}`;
    }),
  );
}

export function targetLines(targets: readonly Target[]): string {
  return section(
    `targets: ${targets.filter(({ met }) => met).length} of ${targets.length} met`,
    targets.map(
      ({ what, threads, wanted, measured, met }) =>
        `  ${met ? 'met   ' : 'MISSED'} ${what.padEnd(42)} ${threadsText(threads)}  ` +
        `${significant(measured)} of ${wanted}`,
    ),
  );
}

export function machineLine({ machine, device, isa, torch }: BenchResult): string {
  const peer =
    torch === null
      ? 'PyTorch: none'
      : [
          `PyTorch ${torch.version} (${torch.capability})`,
          ...Object.entries(torch.settings).map(([name, value]) => `${name}=${value}`),
        ].join(' ');
  return `${machine.cpu}, ${machine.cores} processors, ${machine.platform}, Node ${machine.node}\nours: ${device} ${isa}; ${peer}`;
}

/** A heading over lines; empty when there are none. */
function section(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? '' : ['', title, ...lines].join('\n');
}
