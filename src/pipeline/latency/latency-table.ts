/**
 * @file A latency table at work: read, checked against this machine, fitted, and summed over networks.
 */
import {
  latencyLookup,
  fitLinear,
  PredictorKind,
  type KnownLatency,
  type LatencyPredictor,
  type PredictorFit,
} from '../../hardware/measured/predictor.js';
import type { Operation } from '../../hardware/measured/operation.js';
import { readLatencyTable, requireSameMachine, type LatencyTable } from '../../hardware/measured/table.js';
import { familyNamed } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { operationsOf } from '../../spaces/operations.js';
import { fitMlp } from '../../training/latency-mlp.js';
import { measuredMachine } from './measure-latency.js';

/** Seed of the perceptron that predicts with a table: the same table gives the same latencies. */
const predictorSeed = 1;

/** The fit of a kind of predictor. */
export function predictorFit(kind: PredictorKind, seed = predictorSeed): PredictorFit {
  return kind === PredictorKind.Linear ? fitLinear : (rows) => fitMlp(rows, { seed });
}

/** Latencies by a table of this machine. */
export interface MachineLatencies {
  readonly table: LatencyTable;
  readonly of: (operation: Operation) => KnownLatency;
  /** One inference (batch 1): the sum over layers, joins and pooling. */
  readonly networkMs: (architecture: Architecture) => number;
}

/** How a table is used. */
export interface TableUse {
  readonly predictor?: PredictorKind;
  /** Accepts a table of another machine. */
  readonly foreign?: boolean;
  /** How to ask for that, for the message. */
  readonly remedy?: string;
}

/** @throws FileError for a bad file, OptionError for a table of another machine unless `foreign` */
export function loadLatencies(path: string, use: TableUse = {}): MachineLatencies {
  const table = readLatencyTable(path);
  const { predictor: kind = PredictorKind.Linear, foreign = false, remedy = '--foreign-table' } = use;
  if (!foreign) requireSameMachine(table, measuredMachine(), path, remedy);
  let fitted: LatencyPredictor | undefined;
  const of = latencyLookup(table.rows, {
    // A table that has everything needs no predictor.
    predictMs: (operation) => (fitted ??= predictorFit(kind)(table.rows)).predictMs(operation),
  });
  return {
    table,
    of,
    networkMs: (architecture) =>
      operationsOf(architecture, familyNamed).reduce(
        (sum, { operation, times }) => sum + times * of(operation).latencyMs,
        0,
      ),
  };
}

/** `AMD EPYC, native avx512, 2 threads, shiftaddnas 0.1.0`. */
export function machineText({ machine }: LatencyTable): string {
  const { cpu, device, isa, threads, engine } = machine;
  return `${cpu}, ${device} ${isa}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, shiftaddnas ${engine}`;
}
