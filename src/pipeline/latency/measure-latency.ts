/**
 * @file Times operations on this machine with our own inference kernels.
 *
 * Every sample is one call. The calls of a group of operations are interleaved round after round, so that caches are about
 * as cold as between the layers of a network, and so that a busy moment of the machine touches all of them a little. The
 * first rounds warm up and do not count. The whole list is gone through several times, in another order each time, so that
 * the machine's slower changes do not fall on single operations either. Medians stand for calls and for passes.
 */
import { Random } from '../../base/random.js';
import { median, quantile } from '../../base/statistics.js';
import { OperationKind, operationKey, type Operation } from '../../hardware/measured/operation.js';
import type { MeasuredMachine, MeasuredRow } from '../../hardware/measured/table.js';
import { BatchNorm } from '../../nn/batch-norm.js';
import { Linear } from '../../nn/linear.js';
import { Mode, type Module } from '../../nn/module.js';
import type { OperatorFamily } from '../../operators/contract.js';
import { OperatorLayer } from '../../operators/layer.js';
import { listFamilies } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { Network } from '../../spaces/network.js';
import { describeDevice } from '../../tensor/device.js';
import { add } from '../../tensor/ops/binary.js';
import { globalAveragePool } from '../../tensor/ops/pooling.js';
import { inScope } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { machineOf, packageVersion } from '../run/machine.js';

/** What this machine's latencies depend on, as a table states it. */
export function measuredMachine(): MeasuredMachine {
  const { device, isa, threads } = describeDevice();
  return { cpu: machineOf().cpu, isa, threads, device, engine: packageVersion() };
}

/** Something to time, with what it holds. */
interface Subject {
  run(): void;
  dispose(): void;
}

/** How operations are timed. */
export interface MeasureOptions {
  /** Times that the whole list is gone through, each in another order. */
  readonly passes: number;
  /** Timed calls of each operation in a pass. */
  readonly rounds: number;
  readonly warmUpRounds?: number;
  /** Operations whose calls are interleaved; what is in progress is lost when the measuring is stopped. */
  readonly groupSize?: number;
  /** Rows of an earlier measuring, whose passes count. */
  readonly known?: readonly MeasuredRow[];
  /** After each group, with all rows so far: the moment to save them. */
  readonly onRows?: (rows: readonly MeasuredRow[]) => void;
  /** In passes over single operations, of those that were to be made. */
  readonly onProgress?: (done: number, total: number, key: string) => void;
  /** Polled between rounds; true stops the measuring. */
  readonly interrupted?: () => boolean;
  /** Lets others have the thread now and then: progress bars, signals. */
  readonly pause?: () => Promise<void>;
}

const defaultWarmUpRounds = 8;
const defaultGroupSize = 12;

/**
 * Times `operations` and returns their rows after those of `known` that are not among them; what whole groups have when
 * it was interrupted. Each pass is shuffled by `seed`, so that neighbours in the list do not share the machine's moods.
 */
export async function measureOperations(
  operations: readonly Operation[],
  seed: number,
  options: MeasureOptions,
): Promise<readonly MeasuredRow[]> {
  const {
    passes,
    groupSize = defaultGroupSize,
    known = [],
    onRows = () => undefined,
    onProgress = () => undefined,
    interrupted = () => false,
  } = options;
  const rows = new Map(known.map((row) => [operationKey(row.operation), row]));
  const passesOf = (operation: Operation): MeasuredRow['passes'] =>
    rows.get(operationKey(operation))?.passes ?? [];
  const missing = (operation: Operation): number => Math.max(0, passes - passesOf(operation).length);
  const total = operations.reduce((sum, operation) => sum + missing(operation), 0);
  let done = 0;
  for (let pass = 0; pass < passes; pass++) {
    const due = operations.filter((operation) => passesOf(operation).length <= pass);
    const order = Random.stream(seed, 'measure', pass).shuffle([...due]);
    for (let from = 0; from < order.length; from += groupSize) {
      const group = order.slice(from, from + groupSize);
      const timed = await timeTogether(
        group.map((operation) => () => subjectOf(operation, seed)),
        options,
        (share) => onProgress(done + share * group.length, total, operationKey(group[0]!)),
      );
      if (interrupted()) return [...rows.values()];
      done += group.length;
      group.forEach((operation, at) =>
        rows.set(operationKey(operation), { operation, passes: [...passesOf(operation), timed[at]!] }),
      );
      onRows([...rows.values()]);
    }
  }
  return [...rows.values()];
}

type Pass = MeasuredRow['passes'][number];

/** Medians and quartile distances of subjects that are called in turn. Stops early when interrupted. */
async function timeTogether(
  makers: readonly (() => Subject)[],
  options: Pick<MeasureOptions, 'rounds' | 'warmUpRounds' | 'interrupted' | 'pause'>,
  onProgress: (share: number) => void,
): Promise<readonly Pass[]> {
  const { rounds, warmUpRounds = defaultWarmUpRounds, interrupted = () => false, pause } = options;
  const subjects = makers.map((make) => make());
  const samples: number[][] = makers.map(() => []);
  try {
    for (let round = -warmUpRounds; round < rounds && !interrupted(); round++) {
      for (const [at, subject] of subjects.entries()) {
        const start = process.hrtime.bigint();
        subject.run();
        const elapsed = process.hrtime.bigint() - start;
        if (round >= 0) samples[at]!.push(Number(elapsed) / 1e6);
      }
      onProgress((round + warmUpRounds + 1) / (rounds + warmUpRounds));
      await pause?.();
    }
  } finally {
    for (const subject of subjects) subject.dispose();
  }
  return samples.map(passOf);
}

/** Latencies of one inference of whole networks (batch 1), in ms, timed as the operations are. */
export async function measureNetworks(
  architectures: readonly Architecture[],
  seed: number,
  options: Pick<MeasureOptions, 'passes' | 'rounds' | 'interrupted' | 'pause'>,
): Promise<readonly number[]> {
  const makers = architectures.map((architecture) => () => networkSubject(architecture, seed));
  const passes: (readonly Pass[])[] = [];
  for (let pass = 0; pass < options.passes; pass++)
    passes.push(await timeTogether(makers, options, () => undefined));
  return architectures.map((_, at) => median(passes.map((pass) => pass[at]!.medianMs)));
}

/** Median and distance of the quartiles, to a nanosecond. */
function passOf(samples: readonly number[]): Pass {
  const rounded = (value: number): number => Number(value.toFixed(6));
  return {
    medianMs: Math.max(1e-6, rounded(median(samples))),
    spreadMs: rounded(quantile(samples, 0.75) - quantile(samples, 0.25)),
  };
}

function subjectOf(operation: Operation, seed: number): Subject {
  const random = Random.stream(seed, operationKey(operation));
  if (operation.kind !== OperationKind.Layer) {
    const { batch, height, width, channels } = operation;
    const shape = [batch, height, width, channels];
    const [a, b] = [normalTensor(shape, random), normalTensor(shape, random)];
    const run =
      operation.kind === OperationKind.Join ? () => add(a, b, { relu: true }) : () => globalAveragePool(a);
    return subject(run, [a, b], []);
  }
  const { batch, inHeight, inWidth, inChannels, outChannels, kernel, stride, groups } = operation;
  const x = normalTensor([batch, inHeight, inWidth, inChannels], random);
  if (operation.fullyConnected) {
    const linear = new Linear('timed', inChannels, outChannels, random);
    return subject(() => linear.forward(x), [x], [linear]);
  }
  const geometry = { inChannels, outChannels, kernel, stride, padding: (kernel - 1) / 2, groups };
  const layer = new OperatorLayer('timed', familyOf(operation.primitive), geometry, random);
  const norm = new BatchNorm('timed.norm', outChannels, true);
  return subject(() => norm.forward(layer.forward(x), Mode.Evaluation), [x], [layer, norm]);
}

/** The family whose kernel stands for a primitive: the first registered one. */
function familyOf(primitive: string): OperatorFamily {
  return listFamilies().find((family) => family.primitive === primitive)!;
}

function networkSubject(architecture: Architecture, seed: number): Subject {
  const random = Random.stream(seed, 'network');
  const network = new Network(architecture, random);
  const { height, width, channels } = architecture.input;
  const x = normalTensor([1, height, width, channels], random);
  return subject(() => network.forward(x, Mode.Evaluation), [x], [network]);
}

function normalTensor(shape: readonly number[], random: Random): Tensor {
  const count = shape.reduce((product, side) => product * side, 1);
  return Tensor.persistent(
    shape,
    Float32Array.from({ length: count }, () => random.normal()),
  );
}

/** `run` with its temporaries given back after each call. */
function subject(
  run: () => Tensor,
  tensors: readonly Tensor[],
  modules: readonly Pick<Module, 'parameters'>[],
): Subject {
  return {
    run() {
      const temporaries: { dispose(): void }[] = [];
      inScope({ add: (temporary) => temporaries.push(temporary) }, run);
      for (const temporary of temporaries) temporary.dispose();
    },
    dispose() {
      for (const tensor of tensors) tensor.dispose();
      for (const { parameters } of modules) for (const { tensor } of parameters) tensor.dispose();
    },
  };
}
