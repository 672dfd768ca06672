import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DivergenceError, FileError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { Linear } from '../nn/linear.js';
import { Mode } from '../nn/module.js';
import { OperatorLayer } from '../operators/layer.js';
import { familyNamed } from '../operators/registry.js';
import { Network } from '../spaces/network.js';
import { resnetArchitecture } from '../spaces/resnet.js';
import { relativeError } from '../tensor/float64.cases.js';
import { relu } from '../tensor/ops/elementwise.js';
import { globalAveragePool } from '../tensor/ops/pooling.js';
import { poolUsage, resetPeak } from '../tensor/pool.js';
import { chain, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { accuracyOf, forEachBatch } from './evaluate.js';
import { Interrupted } from './interrupted.js';
import {
  copyOf,
  stateNow,
  toyAdamWSchedule,
  toyBatch,
  toyNetwork,
  toyOptions,
  toySchedule,
  toyShape,
  ToySource,
  traineeOf,
} from './toy.cases.js';
import { isOptimiserState } from './optimiser.js';
import { train, type Trainee, type TrainingCheckpoint, type TrainingProgress } from './train.js';

let baseline: number;
beforeEach(() => {
  baseline = poolUsage().usedBytes;
});
afterEach(() => {
  expect(poolUsage().usedBytes, 'buffers given back').toBe(baseline);
});

/** Stops after `steps` steps and returns what was saved. */
function interruptedAfter(steps: number, changes: Parameters<typeof toyOptions>[0] = {}): TrainingCheckpoint {
  const network = toyNetwork();
  let polls = 0;
  const saved: TrainingCheckpoint[] = [];
  expect(() =>
    train(
      traineeOf(network),
      toyOptions({
        interrupted: () => polls++ >= steps,
        onCheckpoint: (checkpoint) => saved.push(copyOf(checkpoint)),
        ...changes,
      }),
    ),
  ).toThrow(Interrupted);
  network.dispose();
  expect(saved.length).toBe(1);
  return saved[0]!;
}

describe('train', () => {
  it('lowers the loss and raises the accuracy on a problem that can be learned', () => {
    const network = toyNetwork();
    const progress: TrainingProgress[] = [];
    const schedule = { ...toySchedule, epochs: 10 };
    train(traineeOf(network), toyOptions({ schedule, onProgress: (each) => progress.push(each) }));
    expect(progress.length).toBe(40);
    expect(progress.at(-1)).toMatchObject({ name: 'toy', step: 40, steps: 40, epoch: 10, epochs: 10 });
    const mean = (list: readonly TrainingProgress[]): number =>
      list.reduce((sum, { loss }) => sum + loss, 0) / list.length;
    expect(mean(progress.slice(-8))).toBeLessThan(0.7 * mean(progress.slice(0, 8)));
    const batches = [toyBatch(100, 0), toyBatch(100, 1), toyBatch(100, 2)];
    forEachBatch([], toyShape, (images) => network.forward(images, Mode.Evaluation));
    expect(
      accuracyOf(batches, toyShape, (images) => network.forward(images, Mode.Evaluation)),
    ).toBeGreaterThan(0.6);
    network.dispose();
  });

  it.each([
    ['sgd', toySchedule],
    ['sgd with Nesterov momentum and clipping', { ...toySchedule, nesterov: true, clipNorm: 0.1 }],
    ['adamw', toyAdamWSchedule],
  ])(
    '12 steps equal 5 steps, a checkpoint, and 7 steps of another process, memory and all: %s',
    (_, base) => {
      const final = (run: (onLast: (checkpoint: TrainingCheckpoint) => void) => void): TrainingCheckpoint => {
        let last: TrainingCheckpoint | undefined;
        run((checkpoint) => (last = copyOf(checkpoint)));
        return last as TrainingCheckpoint;
      };
      const schedule = { ...base, epochs: 3 };
      // The optimiser's memory is only to be seen in checkpoints: both runs are asked to stop one step before the end as well.
      const straight = interruptedAfter(11, { schedule });
      const saved = interruptedAfter(5, { schedule });
      expect(saved.step).toBe(5);
      const network = toyNetwork(2);
      const opened: object[] = [];
      const resumed = final((onCheckpoint) => {
        let polls = 0;
        expect(() =>
          train(
            traineeOf(network),
            toyOptions({
              schedule,
              resumeFrom: saved,
              interrupted: () => polls++ >= 6,
              onCheckpoint,
              openBatches: (start) => {
                opened.push(start);
                return new ToySource(start);
              },
            }),
          ),
        ).toThrow(Interrupted);
      });
      expect(opened).toEqual([{ epoch: 1, step: 1 }]);
      expect(resumed).toEqual(straight);
      const memory = [...straight.tensors.keys()].filter(isOptimiserState);
      expect(memory.length).toBe((base === toyAdamWSchedule ? 3 : 1) * network.parameters.length);

      const whole = toyNetwork();
      train(traineeOf(whole), toyOptions({ schedule }));
      const rest = toyNetwork(3);
      train(traineeOf(rest), toyOptions({ schedule, resumeFrom: saved }));
      expect(stateNow(rest)).toEqual(stateNow(whole));
      for (const each of [network, whole, rest]) each.dispose();
    },
  );

  it('saves at the interval it was given, never after the last step, and closes its source', () => {
    const steps: number[] = [];
    let source: ToySource | undefined;
    const network = toyNetwork();
    train(
      traineeOf(network),
      toyOptions({
        checkpointSeconds: 0,
        onCheckpoint: ({ step }) => steps.push(step),
        openBatches: (start) => (source = new ToySource(start)),
      }),
    );
    expect(steps).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(source?.closed).toBe(true);
    expect(source?.out).toBe(0);
    network.dispose();
  });

  it('learns with AdamW too', () => {
    const network = toyNetwork();
    const losses: number[] = [];
    const schedule = { ...toyAdamWSchedule, epochs: 10 };
    train(traineeOf(network), toyOptions({ schedule, onProgress: ({ loss }) => losses.push(loss) }));
    const mean = (list: readonly number[]): number => list.reduce((sum, loss) => sum + loss, 0) / list.length;
    expect(mean(losses.slice(-8))).toBeLessThan(0.7 * mean(losses.slice(0, 8)));
    network.dispose();
  });

  it('refuses a checkpoint of another network, of another optimiser, and one without momentum', () => {
    const foreign = toyNetwork();
    const resumeForeign = (): void =>
      train(traineeOf(foreign), toyOptions({ schedule: toyAdamWSchedule, resumeFrom: interruptedAfter(1) }));
    expect(resumeForeign).toThrow(
      /holds no 'adamw\.mean:stem\.weight'; it belongs to another network or optimiser/,
    );
    foreign.dispose();

    const saved = interruptedAfter(1);
    const without = (name: string): TrainingCheckpoint => ({
      ...saved,
      tensors: new Map([...saved.tensors].filter(([key]) => key !== name)),
    });
    for (const name of ['stem.weight', 'momentum:classifier.bias', 'stem.norm.mean']) {
      const network = toyNetwork();
      const resume = (): void => train(traineeOf(network), toyOptions({ resumeFrom: without(name) }));
      expect(resume).toThrow(FileError);
      expect(resume).toThrow(name.replace('momentum:', ''));
      network.dispose();
    }
  });
});

describe('gradient accumulation', () => {
  const parts = (accumulate: number) => ({ ...toySchedule, accumulate });
  /** A network of every family without batch norm, which alone can tell a batch from its parts. */
  function plainTrainee(): Trainee & { readonly dispose: () => void } {
    const random = Random.stream('accumulate');
    const geometry = { kernel: 3, stride: 2, padding: 1, groups: 1 };
    const layers = ['conv', 'add', 'pot.q'].map((family, i) => {
      const [inChannels, outChannels] = [i === 0 ? 1 : 8, 8];
      const widths = { ...geometry, inChannels, outChannels };
      return new OperatorLayer(family, familyNamed(family), widths, random);
    });
    const classifier = new Linear('classifier', 8, 4, random);
    const parameters = [...layers, classifier].flatMap((module) => module.parameters);
    return {
      name: 'plain',
      parameters,
      buffers: [],
      forward: (images) =>
        chain(images, [
          ...layers.map((layer) => (x: Tensor) => tidy(() => relu(layer.forward(x)))),
          (x) => tidy(() => classifier.forward(globalAveragePool(x))),
        ]),
      dispose: () => {
        for (const { tensor } of parameters) tensor.dispose();
      },
    };
  }
  const trained = (accumulate: number) => {
    const trainee = plainTrainee();
    const progress: TrainingProgress[] = [];
    const schedule = parts(accumulate);
    train(trainee, toyOptions({ schedule, onProgress: (each) => progress.push(each) }));
    const weights = new Map(trainee.parameters.map(({ name, tensor }) => [name, tensor.data.slice()]));
    trainee.dispose();
    return {
      weights,
      losses: progress.map(({ loss }) => loss),
      accuracies: progress.map(({ accuracy }) => accuracy),
    };
  };

  it.each([2, 3, 5, 8])('in %d parts takes the step of the whole batch, up to rounding', (count) => {
    const [whole, cut] = [trained(1), trained(count)];
    for (const [name, weights] of whole.weights)
      expect(relativeError(cut.weights.get(name)!, weights), name).toBeLessThan(1e-5);
    whole.losses.forEach((loss, i) => expect(cut.losses[i]).toBeCloseTo(loss, 5));
    expect(cut.accuracies).toEqual(whole.accuracies);
  });

  it('gives the same bits every time, and after a resume', () => {
    expect(trained(3)).toEqual(trained(3));
    const schedule = parts(3);
    const saved = interruptedAfter(5, { schedule });
    const [whole, rest] = [toyNetwork(), toyNetwork(2)];
    train(traineeOf(whole), toyOptions({ schedule }));
    train(traineeOf(rest), toyOptions({ schedule, resumeFrom: saved }));
    expect(stateNow(rest)).toEqual(stateNow(whole));
    // Batch norm sees the parts.
    const once = toyNetwork();
    train(traineeOf(once), toyOptions());
    expect(stateNow(once)).not.toEqual(stateNow(whole));
    for (const each of [whole, rest, once]) each.dispose();
  });

  it('needs the memory of one part', () => {
    const peak = (accumulate: number): number => {
      const network = toyNetwork();
      resetPeak();
      const before = poolUsage().usedBytes;
      train(traineeOf(network), toyOptions({ schedule: parts(accumulate) }));
      const bytes = poolUsage().peakBytes - before;
      network.dispose();
      return bytes;
    };
    expect(peak(4)).toBeLessThan(0.5 * peak(1));
  });

  it('does not outdo the images: of more parts than images some are left out', () => {
    expect(trained(100)).toEqual(trained(8));
  });
});

describe('recomputed blocks', () => {
  it('end with the same weights, statistics and momentum, and need less memory', () => {
    const schedule = { ...toySchedule, epochs: 1 };
    const deep = resnetArchitecture({ depth: 20, family: 'add', input: toyShape, classes: 4 });
    const run = (recomputeBlocks: boolean) => {
      const network = new Network(deep, Random.stream('deep'));
      const saved: TrainingCheckpoint[] = [];
      resetPeak();
      const before = poolUsage().usedBytes;
      train(
        { ...traineeOf(network), forward: (x) => network.forward(x, Mode.Training, { recomputeBlocks }) },
        toyOptions({ schedule, checkpointSeconds: 0, onCheckpoint: (each) => saved.push(copyOf(each)) }),
      );
      // Momentum and gradients are there either way.
      const fixed = 2 * network.parameters.reduce((bytes, { tensor }) => bytes + 4 * tensor.size, 0);
      const peakBytes = poolUsage().peakBytes - before - fixed;
      const result = { state: stateNow(network), saved, peakBytes };
      network.dispose();
      return result;
    };
    const [kept, recomputed] = [run(false), run(true)];
    expect(recomputed.state).toEqual(kept.state);
    expect(recomputed.saved).toEqual(kept.saved);
    expect(recomputed.peakBytes).toBeLessThan(0.6 * kept.peakBytes);
  });
});

describe('divergence', () => {
  const wild = { ...toySchedule, peakLearningRate: 1e30, warmupFraction: 0 };

  it('names step and layer, and saves no checkpoint that holds a NaN or an infinity', () => {
    const network = toyNetwork();
    const saved: TrainingCheckpoint[] = [];
    let thrown: unknown;
    try {
      train(
        traineeOf(network),
        toyOptions({
          schedule: wild,
          checkpointSeconds: 0,
          onCheckpoint: (checkpoint) => saved.push(copyOf(checkpoint)),
        }),
      );
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(DivergenceError);
    const message = (thrown as Error).message;
    const [, step, place] =
      /^toy: the loss is not finite at step (\d+); it began in (\S+)/.exec(message) ?? [];
    expect(Number(step)).toBeGreaterThan(1);
    const layers = network.parameters.map(({ name }) => name.replace(/\.(weight|gamma|beta|bias)$/, ''));
    expect([...layers, 'loss']).toContain(place);
    for (const { tensors } of saved)
      for (const { data } of tensors.values()) expect(data.every(Number.isFinite)).toBe(true);
    network.dispose();
  });

  it('is noticed when the weights go bad in the very last step', () => {
    const network = toyNetwork();
    const trainee = {
      ...traineeOf(network),
      afterStep: () => network.parameters[0]!.tensor.data.fill(NaN),
    };
    const schedule = { ...toySchedule, epochs: 1 };
    expect(() => train(trainee, toyOptions({ schedule, stepsPerEpoch: 1 }))).toThrow(
      /step 1; it began in stem\.weight/,
    );
    network.dispose();
  });

  it('leaves the last good checkpoint alone when the run is stopped between the bad step and the bad loss', () => {
    const network = toyNetwork();
    let steps = 0;
    const trainee = {
      ...traineeOf(network),
      afterStep: () => {
        if (++steps === 3) network.parameters[0]!.tensor.data.fill(NaN);
      },
    };
    const saved: TrainingCheckpoint[] = [];
    expect(() =>
      train(
        trainee,
        toyOptions({
          interrupted: () => steps === 3,
          onCheckpoint: (checkpoint) => saved.push(copyOf(checkpoint)),
        }),
      ),
    ).toThrow();
    for (const { tensors } of saved)
      for (const [name, { data }] of tensors) expect(data.every(Number.isFinite), name).toBe(true);
    network.dispose();
  });
});

describe('forEachBatch', () => {
  it('gives the temporaries of a batch back, also when the forward pass throws', () => {
    const network = toyNetwork();
    const batches = [toyBatch(0, 0), toyBatch(0, 1)];
    const seen: number[] = [];
    forEachBatch(
      batches,
      toyShape,
      (images) => network.forward(images, Mode.Evaluation),
      (logits, labels) => seen.push(logits.size / labels.length),
    );
    expect(seen).toEqual([4, 4]);
    const held = poolUsage().usedBytes;
    expect(() =>
      forEachBatch(batches, toyShape, (images) => {
        network.forward(images, Mode.Evaluation);
        throw new Error('in the middle');
      }),
    ).toThrow('in the middle');
    expect(poolUsage().usedBytes).toBe(held);
    network.dispose();
  });

  it('counts over batches of unequal size', () => {
    const batches = [
      { images: Float32Array.of(1, 0, 0, 1, 1, 0), labels: Int32Array.of(0, 1, 1) },
      { images: Float32Array.of(0, 1), labels: Int32Array.of(1) },
    ];
    const shape = { height: 1, width: 1, channels: 2 };
    expect(accuracyOf(batches, shape, (images: Tensor) => images)).toBe(0.75);
  });
});
