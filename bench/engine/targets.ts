/**
 * @file What this project wants to reach, and whether a run reached it.
 */
import type { Row, Target } from './result.js';

/** Least ratio to PyTorch: its time over ours. */
const ratios: readonly (readonly [name: string, ratio: number])[] = [
  ['conv3x3-forward', 1],
  ['conv3x3-input-gradient', 1],
  ['conv3x3-weight-gradient', 1],
  ['conv3x3-16-forward', 0.9],
  ['matmul-1024', 0.95],
  ['add3x3-forward', 45],
  ['add3x3-backward', 40],
  ['batchnorm', 3],
  ['attention', 2],
  ['resnet20-conv-step', 1.1],
  ['resnet20-shift-step', 1],
  ['resnet20-add-step', 25],
];

/** Kernels that take at least so long on one thread must gain this much from a second. */
export const scalingFromMs = 10;
const scalingWanted = 1.7;

/** The targets that the measured rows speak about, in the order of the table above, then the scaling of long kernels. */
export function judge(rows: readonly Row[]): readonly Target[] {
  const versusTorch = ratios.flatMap(([name, wanted]) =>
    rows
      .filter((row) => row.name === name && row.ratioToTorch !== null)
      .map((row) => target(`${name} / PyTorch`, row, wanted, row.ratioToTorch as number)),
  );
  const scaling = rows
    .filter((row) => isLongOnTwoThreads(row))
    .map((row) => target(`${row.name} / 1 thread`, row, scalingWanted, row.speedup as number));
  return [...versusTorch, ...scaling];
}

function isLongOnTwoThreads({ threads, speedup, oursMs }: Row): boolean {
  return threads === 2 && speedup !== null && speedup * oursMs >= scalingFromMs;
}

function target(what: string, { threads }: Row, wanted: number, measured: number): Target {
  return { what, threads, wanted, measured, met: measured >= wanted };
}
