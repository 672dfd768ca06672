/**
 * @file The training loop, for stand-alone networks and for the supernet alike; resumable at any step.
 *
 * The state after k steps is a pure function of the seed and k: batches come from labelled random streams, kernels do
 * not depend on the number of threads, and a checkpoint holds everything else. A run that was killed and resumed ends
 * with the same weights as one that was left alone.
 */
import { DivergenceError, FileError } from '../base/errors.js';
import { stateOf, type NamedTensors, type Parameter, type StateBuffer } from '../nn/module.js';
import { loadState } from '../nn/state.js';
import { kernels } from '../tensor/device.js';
import { countCorrect } from '../tensor/ops/loss.js';
import { at, firstNonFinite, Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Interrupted } from './interrupted.js';
import { createClusteredOptimiser, withStandIns, type Clusters } from './clusters.js';
import { clipGradients, isOptimiserState, type Optimiser } from './optimiser.js';
import type { Pass, PassingTrainee } from './passes.js';
import { learningRate, type Schedule } from './schedule.js';
import { crossEntropy, type LabelledImages, type Loss, type StepPlace, type Technique } from './technique.js';

/** What can be trained: parameters, state, and a recorded forward pass that may depend on the step, or several. */
export type Trainee = TraineeState & (ForwardTrainee | PassingTrainee);

/** What is trained by one pass in a step. */
interface ForwardTrainee {
  /** Images [N, H, W, C] -> logits [N, 1, 1, classes], in training mode. */
  forward(images: Tensor, step: number): Tensor;
}

interface TraineeState {
  /** `supernet` or `retrain:NAME`; names progress, checkpoints and errors. */
  readonly name: string;
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  /** Stand-ins that the optimiser moves some parameters through; their gradients are for the trainee to fill in. */
  readonly clusters?: Clusters;
  /** What is to be small; the default is the cross-entropy with the schedule's label smoothing. */
  readonly loss?: Loss;
  /** Extra factor on the gradient of a parameter or of a stand-in in this step. */
  gradientScale?(parameter: Parameter): number;
  /** Runs after each optimiser step. */
  afterStep?(): void;
}

export interface TrainingBatch extends LabelledImages {
  release(): void;
}

/** Where batches come from, in a fixed order. */
export interface BatchSource {
  nextSync(): TrainingBatch;
  close(): void;
}

export interface TrainingCheckpoint {
  /** Steps done. */
  readonly step: number;
  /** Parameters, state, what techniques remember and the optimiser's memory. Of a checkpoint that is handed out: only lent, the next step overwrites them. */
  readonly tensors: NamedTensors;
}

export interface TrainingProgress {
  readonly name: string;
  readonly step: number;
  readonly steps: number;
  readonly epoch: number;
  readonly epochs: number;
  /** Mean loss and training accuracy of all passes since the last report. */
  readonly loss: number;
  readonly accuracy: number;
  readonly learningRate: number;
  /** Images of the batches, however many passes go over them. */
  readonly imagesPerSecond: number;
}

export interface TrainingOptions {
  readonly schedule: Schedule;
  readonly stepsPerEpoch: number;
  readonly imageShape: { readonly height: number; readonly width: number; readonly channels: number };
  /** Opens the stream of batches at this epoch and step within it. */
  readonly openBatches: (start: { readonly epoch: number; readonly step: number }) => BatchSource;
  /** In this order; none when left out. Who made them disposes of them. */
  readonly techniques?: readonly Technique[];
  readonly resumeFrom?: TrainingCheckpoint;
  readonly onProgress: (progress: TrainingProgress) => void;
  /** Called at least every `checkpointSeconds`, and once when the run is interrupted. */
  readonly onCheckpoint: (checkpoint: TrainingCheckpoint) => void;
  readonly checkpointSeconds: number;
  /** Polled between steps. */
  readonly interrupted: () => boolean;
}

/** Reports of progress over a whole training. */
const progressReports = 200;

/**
 * Trains to the end of the schedule.
 * @throws DivergenceError when the loss stops being finite; the last checkpoint stays as it was
 * @throws Interrupted after a last checkpoint, when asked to stop
 */
export function train(trainee: Trainee, options: TrainingOptions): void {
  const { schedule, stepsPerEpoch, techniques = [] } = options;
  const steps = schedule.epochs * stepsPerEpoch;
  const learner = learnerOf(trainee, options);
  const optimiser = createClusteredOptimiser(learner.parameters, learner.clusters, schedule);
  let step = 0;
  let source: BatchSource | undefined;
  const reportEvery = Math.ceil(steps / progressReports);
  let window = { started: performance.now(), images: 0, lossSum: 0, correct: 0, steps: 0 };
  let savedAt = performance.now();
  let savedStep = options.resumeFrom?.step;
  const saveFinite = (): void => {
    const checkpoint = checkpointOf(learner, optimiser, step);
    if (!allFinite(checkpoint.tensors)) return;
    options.onCheckpoint(checkpoint);
    savedStep = step;
  };
  try {
    if (options.resumeFrom !== undefined) step = restore(learner, optimiser, options.resumeFrom);
    source = options.openBatches({ epoch: Math.floor(step / stepsPerEpoch), step: step % stepsPerEpoch });
    while (step < steps) {
      if (options.interrupted()) {
        saveFinite();
        if (savedStep !== step) throw diverged(trainee, step - 1, brokenParameter(learner), savedStep);
        throw new Interrupted(trainee.name);
      }
      const rate = learningRate(schedule, step, steps);
      const batch = source.nextSync();
      const place = { step, steps, stepsPerEpoch };
      const { loss, correct, divergedIn } = trainStep(learner, optimiser, batch, options, place, rate);
      if (divergedIn !== undefined) throw diverged(trainee, step, divergedIn, savedStep);
      window.images += batch.labels.length;
      window.lossSum += loss;
      window.correct += correct;
      window.steps++;
      batch.release();
      step++;
      const now = performance.now();
      if (step % reportEvery === 0 || step === steps) {
        options.onProgress({
          name: trainee.name,
          step,
          steps,
          epoch: Math.ceil(step / stepsPerEpoch),
          epochs: schedule.epochs,
          loss: window.lossSum / window.steps,
          accuracy: window.correct / window.images,
          learningRate: rate,
          imagesPerSecond: (1000 * window.images) / (now - window.started),
        });
        window = { started: now, images: 0, lossSum: 0, correct: 0, steps: 0 };
      }
      if (now - savedAt > options.checkpointSeconds * 1000 && step < steps) {
        saveFinite();
        savedAt = performance.now();
      }
    }
    // The weights after the last step have not been through a loss yet.
    const broken = brokenParameter(learner);
    if (broken !== undefined) throw diverged(trainee, steps - 1, broken, savedStep);
    if (techniques.length > 0) {
      for (const technique of techniques.toReversed()) technique.finish?.();
      trainee.afterStep?.();
    }
  } finally {
    source?.close();
    optimiser.dispose();
  }
}

/** The trainee with its passes and its loss, and with all that its techniques train and remember. */
type Learner = TraineeState & PassingTrainee & { readonly loss: Loss; readonly clusters: Clusters };

function learnerOf(trainee: Trainee, { techniques = [], schedule }: TrainingOptions): Learner {
  const plain = trainee.loss ?? crossEntropy(schedule.labelSmoothing);
  return {
    name: trainee.name,
    parameters: [...trainee.parameters, ...techniques.flatMap(({ parameters = [] }) => parameters)],
    buffers: [...trainee.buffers, ...techniques.flatMap(({ buffers = [] }) => buffers)],
    clusters: trainee.clusters ?? new Map(),
    ...passesOf(trainee),
    loss: techniques.reduce((inner, technique) => technique.loss?.(inner) ?? inner, plain),
    ...(trainee.gradientScale && { gradientScale: trainee.gradientScale.bind(trainee) }),
    afterStep: () => trainee.afterStep?.(),
  };
}

function passesOf(trainee: Trainee): PassingTrainee {
  if (!('passes' in trainee))
    return { passes: ({ step }) => [{ forward: (images) => trainee.forward(images, step), weight: 1 }] };
  return {
    passes: (place) => trainee.passes(place),
    afterPass: (weight) => trainee.afterPass?.(weight),
    afterPasses: (place) => trainee.afterPasses?.(place),
  };
}

interface StepResult {
  /** Mean over the passes, as `correct`. */
  readonly loss: number;
  readonly correct: number;
  readonly divergedIn?: string;
}

interface PassResult {
  readonly loss: number;
  readonly correct: number;
  readonly divergedIn?: string;
}

function trainStep(
  learner: Learner,
  optimiser: Optimiser,
  given: LabelledImages,
  options: TrainingOptions,
  place: StepPlace,
  rate: number,
): StepResult {
  const { techniques = [], schedule } = options;
  for (const technique of techniques) technique.beforeStep?.(place);
  const batch = techniques.reduce((held, technique) => technique.batch?.(held, place) ?? held, given);
  const parts = partsOf(batch, schedule.accumulate ?? 1);
  const passes = learner.passes(place);
  let [loss, correct] = [0, 0];
  const soFar = (): StepResult => ({
    loss: loss / passes.length,
    correct: correct / passes.length,
  });
  for (const pass of passes) {
    for (const part of parts) {
      const share = part.labels.length / batch.labels.length;
      const result = accumulateGradients(learner, pass, part, options, place.step, share);
      loss += share * result.loss;
      correct += result.correct;
      if (result.divergedIn !== undefined) return { ...soFar(), divergedIn: result.divergedIn };
    }
    learner.afterPass?.(pass.weight);
  }
  learner.afterPasses?.(place);
  for (const technique of techniques) technique.afterGradients?.(place);
  const { clipNorm } = schedule;
  if (clipNorm !== undefined) clipGradients(withStandIns(learner.parameters, learner.clusters), clipNorm);
  optimiser.step(rate, learner.gradientScale);
  learner.afterStep?.();
  for (const technique of techniques) technique.afterStep?.(place);
  return soFar();
}

/** The batch cut into `count` runs of images whose lengths differ by one at most, none of them empty. */
function partsOf(batch: LabelledImages, count: number): readonly LabelledImages[] {
  const { images, labels, targets } = batch;
  const start = (part: number): number => Math.floor((part * labels.length) / count);
  const cut = (values: Float32Array, part: number): Float32Array => {
    const each = values.length / labels.length;
    return values.subarray(start(part) * each, start(part + 1) * each);
  };
  return Array.from({ length: count }, (_, part) => ({
    images: cut(images, part),
    labels: labels.subarray(start(part), start(part + 1)),
    targets: targets && cut(targets, part),
  })).filter((part) => part.labels.length > 0);
}

/** Adds the gradients of the pass, by its mean loss over these images, `share` of all, to those of the parameters. */
function accumulateGradients(
  learner: Learner,
  pass: Pass,
  { images, labels, targets }: LabelledImages,
  options: TrainingOptions,
  step: number,
  share: number,
): PassResult {
  const { height, width, channels } = options.imageShape;
  const input = Tensor.view([labels.length, height, width, channels], images);
  const lossOf = pass.loss?.(learner.loss) ?? learner.loss;
  const forward = (): { readonly logits: Tensor; readonly loss: Tensor } => {
    const logits = pass.forward(input);
    return { logits, loss: at('loss', () => lossOf(logits, { input, labels, targets }, step)) };
  };
  const { value, tape } = Tape.record(forward);
  const loss = value.loss.data[0] as number;
  const correct = countCorrect(value.logits, labels);
  if (Number.isFinite(loss)) {
    tape.backward(value.loss, pass.weight * share);
    return { loss, correct };
  }
  tape.dispose();
  const origin = firstNonFinite(forward);
  return { loss, correct, divergedIn: origin === undefined ? 'the loss' : `${origin.place} (${origin.op})` };
}

function diverged(
  trainee: Trainee,
  step: number,
  origin: string | undefined,
  savedStep: number | undefined,
): DivergenceError {
  const kept =
    savedStep === undefined
      ? 'No checkpoint had been written yet'
      : `The last good checkpoint (step ${savedStep}) is kept`;
  return new DivergenceError(
    `${trainee.name}: the loss is not finite at step ${step + 1}; it began in ${origin ?? 'the loss'}. ` +
      `${kept}: lower the learning rate or use another seed`,
  );
}

/**
 * The parameter whose update began it, when weights are not finite. What goes wrong in a backward pass spreads from
 * there towards the input, so it is the last such parameter in order of execution.
 */
function brokenParameter({ parameters }: Learner): string | undefined {
  const broken = parameters.findLast(({ tensor }) => !isFinite(tensor.data));
  return broken && `${broken.name} (in the update before)`;
}

function isFinite(values: Float32Array): boolean {
  return Number.isFinite(kernels().sumOfSquares(values));
}

function allFinite(tensors: NamedTensors): boolean {
  return [...tensors.values()].every(({ data }) => isFinite(data));
}

function checkpointOf(learner: Learner, optimiser: Optimiser, step: number): TrainingCheckpoint {
  return { step, tensors: new Map([...stateOf(learner), ...optimiser.state]) };
}

function restore(learner: Learner, optimiser: Optimiser, checkpoint: TrainingCheckpoint): number {
  const { tensors } = checkpoint;
  const where = `checkpoint of ${learner.name}`;
  loadState(learner, new Map([...tensors].filter(([name]) => !isOptimiserState(name))), where);
  for (const [name, { data }] of optimiser.state) {
    const saved = tensors.get(name);
    if (saved?.data.length !== data.length)
      throw new FileError(`${where}: holds no '${name}'; it belongs to another network or optimiser`);
    data.set(saved.data);
  }
  return checkpoint.step;
}
