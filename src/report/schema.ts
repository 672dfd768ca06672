/**
 * @file Reading a run folder: `result.json` whole and checked, `events.jsonl` line by line and forgiving.
 *
 * The result is written once, atomically, so any fault in it is damage and refused. The event log is appended to
 * while the run goes on and may end in half a line when the power goes, so what cannot be read there is left out
 * and counted, and the report says how much.
 */
import { z } from 'zod';
import { FileError } from '../base/errors.js';
import type { RunEvent, RunResult } from '../pipeline/run/result.js';
import { parseArchitecture } from '../spaces/parse.js';

const number = z.number();
const text = z.string();
const fraction = number.min(0).max(1);
const byName = z.record(text, number);

const layerSchema = z.object({
  name: text,
  family: text,
  operations: number,
  energyMj: number,
  latencyMs: number,
  computeMj: number,
  dramMj: number,
  globalBufferMj: number,
  nocMj: number,
  registerFileMj: number,
});

const histogram = { family: text, edges: z.array(number), counts: z.array(number.min(0)) };
const binsFit = ({ edges, counts }: { edges: readonly number[]; counts: readonly number[] }): boolean =>
  edges.length === counts.length + 1;
const histogramSchema = z.object(histogram).refine(binsFit, 'needs one edge more than counts');

const supernetSchema = z.object({
  map: text,
  distribution: text,
  weights: number,
  families: z.array(
    z
      .object({
        ...histogram,
        weights: number,
        excessKurtosis: number,
        gaussianDistance: fraction,
        laplacianDistance: fraction,
      })
      .refine(binsFit, 'needs one edge more than counts'),
  ),
});

const networkSchema = z.object({
  name: text,
  testAccuracy: fraction,
  searchValidationAccuracy: fraction,
  energyMj: byName,
  latencyMs: byName,
  tableLatencyMs: number.optional(),
  macs: number,
  params: number,
  areaMm2: number.optional(),
  sramBytes: number.optional(),
  flashBytes: number.optional(),
  withinBudget: z.boolean(),
  trainSeconds: number,
  architecture: z.unknown(),
  layers: z.record(text, z.array(layerSchema)),
  weightHistograms: z.array(histogramSchema),
  seeds: z
    .array(
      z.object({
        seed: number,
        testAccuracy: fraction,
        searchValidationAccuracy: fraction,
        trainSeconds: number,
      }),
    )
    .optional(),
  meanTestAccuracy: fraction.optional(),
  testAccuracyDeviation: number.optional(),
});

const progressSchema = { evaluations: number, bestAccuracy: fraction, hypervolume: number };
const controlSideSchema = z.object({ ...progressSchema, curve: z.array(z.object(progressSchema)) });

const frontMemberSchema = z.object({
  genome: z.array(number),
  accuracy: fraction,
  energyMj: number,
  latencyMs: number,
  macs: number,
  params: number,
  areaMm2: number,
  sramBytes: number,
  flashBytes: number,
});

const resultSchema = z.object({
  format: z.literal('shiftaddnas-result'),
  version: z.literal(1),
  name: text,
  command: text,
  seed: number,
  startedAt: text,
  seconds: number,
  phaseSeconds: byName,
  versions: z.record(text, text),
  machine: z.object({
    cpu: text,
    cores: number,
    memoryGiB: number,
    platform: text,
    device: text,
    threads: number,
  }),
  dataset: z.object({
    name: text,
    spec: text,
    height: number,
    width: number,
    channels: number,
    classes: z.array(text),
    trainImages: number,
    searchValidationImages: number,
    testImages: number,
    fingerprint: text,
    notices: z.array(text),
  }),
  space: z.object({ name: text, size: text, families: z.array(text) }),
  profile: text,
  profiles: z.array(text),
  latencyTable: z.object({ file: text, machine: text }).optional(),
  budget: z.array(z.object({ quantity: text, limit: number })),
  schedule: z.record(text, z.union([number, text])),
  supernet: supernetSchema.extend({ steps: number, passes: number }).optional(),
  search: z.object({
    strategy: text.optional(),
    surrogate: text.optional(),
    objectives: z.array(text).optional(),
    front: z.array(frontMemberSchema).optional(),
    archiveHash: text.optional(),
    generations: number,
    evaluated: number,
    bestGenome: z.array(number),
    bestSearchValidationAccuracy: number,
    prefilter: z.object({ scorer: text, pool: number, kept: number }).optional(),
    control: z
      .object({
        objectives: z.array(text),
        reference: z.array(number),
        search: controlSideSchema,
        random: controlSideSchema,
        archiveHash: text,
      })
      .optional(),
  }),
  networks: z.array(networkSchema),
});

const eventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('candidate'),
    time: text,
    generation: number,
    genome: z.array(number),
    origin: text,
    accuracy: number,
    energyMj: number,
    latencyMs: number,
    macs: number,
    params: number,
    areaMm2: number.optional(),
    sramBytes: number.optional(),
    flashBytes: number.optional(),
  }),
  z.object({
    type: z.literal('control'),
    time: text,
    generation: number,
    genome: z.array(number),
    accuracy: number,
  }),
  z.object({
    type: z.literal('training'),
    time: text,
    phase: text,
    epoch: number,
    step: number,
    loss: number,
    accuracy: number,
    learningRate: number,
  }),
  z.object({
    type: z.literal('phase'),
    time: text,
    phase: text,
    state: z.enum(['started', 'finished', 'resumed']),
  }),
  z.object({ type: z.literal('notice'), time: text, message: text }),
]);

/**
 * Checks parsed JSON and returns it as a run result; `where` (usually the path) begins every message.
 * @throws FileError when it is not a result, is of another version, or a field is missing or wrong.
 */
export function parseResult(json: unknown, where: string): RunResult {
  const head = z.object({ format: z.literal('shiftaddnas-result'), version: z.unknown() }).safeParse(json);
  if (!head.success)
    throw new FileError(
      `${where}: not a result file of shiftaddnas (its "format" is not "shiftaddnas-result")`,
    );
  if (head.data.version !== 1)
    throw new FileError(
      `${where}: written in version ${JSON.stringify(head.data.version)} of the result format, this program reads version 1; ` +
        'use the program that wrote the run',
    );
  const parsed = resultSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new FileError(
      `${where}: ${issue.path.join('.') || 'root'}: ${issue.message}; the file was changed by hand or is damaged`,
    );
  }
  return {
    ...parsed.data,
    networks: parsed.data.networks.map((network) => ({
      ...network,
      architecture: parseArchitecture(network.architecture, `${where}: architecture of ${network.name}`),
    })),
  };
}

/** The events of a log and the number of lines that could not be read. */
export interface EventLog {
  readonly events: readonly RunEvent[];
  /** Lines before the last that are not events; a run that went on after a crash can leave one. */
  readonly unreadable: number;
  /** The last line is incomplete: the run was cut off, or is writing it now. */
  readonly torn: boolean;
}

/** Reads the text of `events.jsonl`; never throws, see {@link EventLog}. */
export function parseEvents(content: string): EventLog {
  const lines = content.split('\n');
  const events: RunEvent[] = [];
  let unreadable = 0;
  let torn = false;
  lines.forEach((line, at) => {
    if (line.trim() === '') return;
    const event = parseLine(line);
    if (event !== null) events.push(event);
    else if (at === lines.length - 1) torn = true;
    else unreadable++;
  });
  return { events, unreadable, torn };
}

function parseLine(line: string): RunEvent | null {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return null;
  }
  const parsed = eventSchema.safeParse(json);
  return parsed.success ? parsed.data : null;
}
