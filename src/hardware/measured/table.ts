/**
 * @file A table of measured latencies, and the machine it holds for.
 *
 * A latency is a property of a machine, its engine and its settings, so a table states them and is refused elsewhere;
 * users of published tables could not tell whose numbers they were searching with (once-for-all, issues 16, 37, 46).
 */
import { z } from 'zod';
import { FileError, OptionError } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import { median } from '../../base/statistics.js';
import { Primitive } from '../layer.js';
import { operationKey, OperationKind } from './operation.js';

const size = z.int().positive();
const mapOperation = { batch: size, height: size, width: size, channels: size };
const operationSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal(OperationKind.Layer),
    primitive: z.enum(Primitive),
    fullyConnected: z.boolean(),
    ...{ batch: size, inHeight: size, inWidth: size, inChannels: size, kernel: size },
    ...{ outHeight: size, outWidth: size, outChannels: size, stride: size, groups: size },
  }),
  z.strictObject({ kind: z.literal(OperationKind.Join), ...mapOperation }),
  z.strictObject({ kind: z.literal(OperationKind.Pool), ...mapOperation }),
]);

const machineSchema = z.strictObject({
  /** Model of the processor. */
  cpu: z.string(),
  /** Instruction set that the kernels use. */
  isa: z.string(),
  threads: z.int().positive(),
  /** `native`, `wasm` or `reference`. */
  device: z.string(),
  /** Version of the program, whose kernels these are. */
  engine: z.string(),
});

/** What the latencies of our kernels depend on. */
export type MeasuredMachine = Readonly<z.infer<typeof machineSchema>>;

const rowSchema = z.strictObject({
  operation: operationSchema,
  /** One entry for each time the whole table was gone through. */
  passes: z
    .array(
      z.strictObject({
        /** Median of the calls. */
        medianMs: z.number().positive(),
        /** Between the quartiles of the calls. */
        spreadMs: z.number().nonnegative(),
      }),
    )
    .min(1)
    .readonly(),
});

/** One timed operation. */
export type MeasuredRow = Readonly<z.infer<typeof rowSchema>>;

/** The latency that a row stands for: the median of its passes, which one bad moment of the machine cannot move. */
export function latencyOfRow({ passes }: MeasuredRow): number {
  return median(passes.map(({ medianMs }) => medianMs));
}

/** How far calls scatter: the median over the passes of the distance of the quartiles. */
export function spreadOfRow({ passes }: MeasuredRow): number {
  return median(passes.map(({ spreadMs }) => spreadMs));
}

const tableSchema = z.strictObject({
  format: z.literal('shiftaddnas-latency-table'),
  version: z.literal(1),
  machine: machineSchema,
  rows: z.array(rowSchema).readonly(),
});

/** The content of a file of `hw measure`. */
export type LatencyTable = Readonly<z.infer<typeof tableSchema>>;

/** A table of no rows. */
export function emptyTable(machine: MeasuredMachine): LatencyTable {
  return { format: 'shiftaddnas-latency-table', version: 1, machine, rows: [] };
}

/** Reads a table. @throws FileError when it is missing, none, of another version, or holds an operation twice */
export function readLatencyTable(path: string): LatencyTable {
  const content = readJson(path);
  const head = z.object({ format: z.literal('shiftaddnas-latency-table') }).safeParse(content);
  if (!head.success)
    throw new FileError(`${path}: not a latency table of shiftaddnas; make one with: shiftaddnas hw measure`);
  const parsed = tableSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new FileError(
      `${path}: ${issue.path.join('.')}: ${issue.message}; the file was changed by hand or is of another version: measure anew`,
    );
  }
  const seen = new Set<string>();
  for (const { operation } of parsed.data.rows) {
    const key = operationKey(operation);
    if (seen.has(key)) throw new FileError(`${path}: '${key}' stands in it twice; measure anew`);
    seen.add(key);
  }
  return parsed.data;
}

/** Writes a table, atomically. @throws OutputError */
export function writeLatencyTable(path: string, table: LatencyTable): void {
  const rows = table.rows.map((row) => `  ${JSON.stringify(row)}`).join(',\n');
  const { format, version, machine } = table;
  const head = JSON.stringify({ format, version, machine }).slice(0, -1);
  writeFileAtomic(path, `${head},"rows":[\n${rows}\n]}\n`);
}

const words: Readonly<Record<keyof MeasuredMachine, string>> = {
  cpu: 'processor',
  isa: 'instruction set',
  threads: 'number of threads',
  device: 'device',
  engine: 'version of shiftaddnas',
};

/** In what two machines differ, in words; `keys` are what is compared. */
export function machineDifferences(
  table: MeasuredMachine,
  here: MeasuredMachine,
  keys: readonly (keyof MeasuredMachine)[] = ['cpu', 'isa', 'threads', 'device', 'engine'],
): readonly string[] {
  return keys
    .filter((key) => table[key] !== here[key])
    .map((key) => `${words[key]} '${table[key]}', here '${here[key]}'`);
}

/**
 * Refuses a table of another processor or of other kernels. Device, instruction set and threads are settings that
 * whoever measured chose: a search may train on two threads for a product that runs on one.
 * @param remedy how to use the table all the same, for the message
 * @throws OptionError saying in what the machines differ
 */
export function requireSameMachine(
  table: LatencyTable,
  here: MeasuredMachine,
  path: string,
  remedy: string,
): void {
  const differences = machineDifferences(table.machine, here, ['cpu', 'engine']);
  if (differences.length > 0)
    throw new OptionError(
      `${path}: measured elsewhere (${differences.join('; ')}); measure here with hw measure, or use it all the same with ${remedy}`,
    );
}
