/**
 * @file What one run of the benchmark found, as `--json` writes it. All times in milliseconds.
 */
import { z } from 'zod';
import { Bound, type BenchCase } from './case.js';
import type { Measurement } from './measure.js';
import { countedMs, summarise } from './statistics.js';

const positive = z.number().positive();
const quartiles = z.tuple([positive, positive]);
const threads = z.number().int().positive();

const rowSchema = z.strictObject({
  name: z.string(),
  group: z.string(),
  shape: z.string(),
  threads,
  /** One thread is timed by processor time, several by the clock. */
  clock: z.enum(['processor', 'wall']),
  /** Medians. */
  oursMs: positive,
  torchMs: positive.nullable(),
  /** torchMs / oursMs: above 1 we are faster. */
  ratioToTorch: positive.nullable(),
  oursQuartilesMs: quartiles,
  torchQuartilesMs: quartiles.nullable(),
  repetitions: z.number().int().positive(),
  torchRepetitions: z.number().int().nonnegative(),
  /** Calls that one repetition averages. */
  callsPerRepetition: z.number().int().positive(),
  /** The fastest form of the PyTorch side, which torchMs is of; and the best time of each form tried. */
  torchForm: z.string().nullable(),
  torchFormsMs: z.record(z.string(), positive),
  /** The form that is usually published, where it is known. */
  torchPublished: z.strictObject({ form: z.string(), ms: positive }).nullable(),
  /** Time that the work takes at the machine's peak over ours; null where no peak applies. */
  fractionOfPeak: positive.nullable(),
  /** The peaks that the work is held against. */
  boundBy: z.array(z.enum(Bound)),
  /** Time on one thread over this one, where both were measured. */
  speedup: positive.nullable(),
});

export const resultSchema = z.strictObject({
  format: z.literal('shiftaddnas-bench-engine'),
  version: z.literal(1),
  startedAt: z.iso.datetime(),
  seconds: positive,
  quick: z.boolean(),
  machine: z.strictObject({
    cpu: z.string(),
    cores: threads,
    memoryGiB: positive,
    platform: z.string(),
    node: z.string(),
  }),
  device: z.string(),
  isa: z.string(),
  /** Null when our side was measured alone. */
  torch: z
    .strictObject({
      version: z.string(),
      python: z.string(),
      capability: z.string(),
      /** Environment variables that make it fastest here. */
      settings: z.record(z.string(), z.string()),
    })
    .nullable(),
  peaks: z.strictObject({
    /** Elements per second of one thread; n threads are held against n times that. Null without probes. */
    arithmetic: z.strictObject({ fma: positive, distance: positive, clamp: positive }).nullable(),
    /** Bytes per second over buffers of `footprintBytes`. */
    memory: z.array(z.strictObject({ threads, footprintBytes: positive, bytesPerSecond: positive })),
  }),
  rows: z.array(rowSchema),
  /** Where a training step's time goes. */
  profiles: z.array(
    z.strictObject({
      family: z.string(),
      threads,
      stepMs: positive,
      shareOutsideKernels: z.number(),
      kernels: z.array(z.strictObject({ name: z.string(), ms: positive, calls: positive })),
    }),
  ),
  /** Resident memory of a fresh process at its peak during training steps, less that before the network was built. */
  memory: z.array(
    z.strictObject({
      family: z.string(),
      oursMiB: positive,
      poolPeakMiB: positive,
      torchMiB: positive.nullable(),
    }),
  ),
  targets: z.array(
    z.strictObject({
      what: z.string(),
      threads,
      wanted: positive,
      measured: positive,
      met: z.boolean(),
    }),
  ),
  /** In one line each: what could not be measured, and results that differ between the two sides. */
  problems: z.array(z.string()),
});

export type Row = Readonly<z.infer<typeof rowSchema>>;
export type BenchResult = Readonly<z.infer<typeof resultSchema>>;
export type Target = BenchResult['targets'][number];
export type Profile = BenchResult['profiles'][number];
export type MemoryUse = BenchResult['memory'][number];

/** The row of one measurement. `leastMs` is the time at the machine's peak; `single` the measurement on one thread. */
export function rowOf(
  { name, group, shape, work }: BenchCase,
  { threads: count, ours, calls, torch }: Measurement,
  leastMs: number | undefined,
  single: Measurement | undefined,
): Row {
  const [oursMs = [], torchMs] = countedMs(torch === undefined ? [ours] : [ours, torch.samples]);
  const own = summarise(oursMs);
  const theirs = torchMs === undefined ? null : summarise(torchMs);
  return {
    name,
    group,
    shape,
    threads: count,
    clock: count === 1 ? 'processor' : 'wall',
    oursMs: own.medianMs,
    torchMs: theirs && theirs.medianMs,
    ratioToTorch: theirs && theirs.medianMs / own.medianMs,
    oursQuartilesMs: [...own.quartilesMs],
    torchQuartilesMs: theirs && [...theirs.quartilesMs],
    repetitions: own.repetitions,
    torchRepetitions: theirs?.repetitions ?? 0,
    callsPerRepetition: calls,
    torchForm: torch?.form ?? null,
    torchFormsMs: torch?.forms ?? {},
    torchPublished: torch?.published ?? null,
    fractionOfPeak: leastMs === undefined ? null : leastMs / own.medianMs,
    boundBy: [...new Set(work.map(({ bound }) => bound))],
    speedup: single === undefined || count === 1 ? null : summarise(single.ours.ms).medianMs / own.medianMs,
  };
}
