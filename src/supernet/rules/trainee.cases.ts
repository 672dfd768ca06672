/**
 * @file What tests of the rules share: a toy supernet, its trainee under any rules, whole trainings and single gradients.
 * Tests only.
 */
import { Random } from '../../base/random.js';
import { Mode, stateOf, type NamedTensors, type Parameter } from '../../nn/module.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { softmaxCrossEntropy } from '../../tensor/ops/loss.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import {
  snapshot,
  toyBatch,
  toyBatchSize,
  toyOptions,
  toyShape,
  toySpace,
} from '../../training/toy.cases.js';
import type { Loss } from '../../training/technique.js';
import { train, type TrainingOptions } from '../../training/train.js';
import { FamilyGradients } from '../family-gradients.js';
import { Projection } from '../projection.js';
import { defaultSharing, DistributionKind } from '../sharing.js';
import { Supernet } from '../supernet.js';
import { createPlan } from './plan.js';
import { PathsKind } from './registry.js';
import { Combination, supernetTrainee, type SupernetRules } from './trainee.js';

export const toySteps = 12;

export const plainRules: SupernetRules = {
  paths: PathsKind.Fair,
  randomPaths: 2,
  distill: 1,
  combine: Combination.Sum,
  separateOptimiserState: false,
  projectGradients: Projection.None,
  warmUp: [],
};

/** Without a term about distributions, so that gradients are those of the losses of its passes. */
export const freshSupernet = (space: SearchSpace = toySpace, seed = 1): Supernet =>
  new Supernet(space, Random.stream('supernet', seed), {
    ...defaultSharing,
    distribution: DistributionKind.None,
  });

/** Trains `supernet` on the toy problem under `changes` to the plain rules. */
export function trainByRules(
  supernet: Supernet,
  changes: Partial<SupernetRules>,
  options: Partial<TrainingOptions> = {},
  space: SearchSpace = toySpace,
): void {
  const rules = { ...plainRules, ...changes };
  const { trainee, dispose } = supernetTrainee(supernet, createPlan(space, rules, toySteps), rules, {
    seed: 5,
  });
  try {
    train(trainee, toyOptions(options));
  } finally {
    dispose();
  }
}

/** The state after a whole training of a fresh supernet. */
export function trainedState(
  changes: Partial<SupernetRules>,
  options: Partial<TrainingOptions> = {},
  space: SearchSpace = toySpace,
): NamedTensors {
  const supernet = freshSupernet(space);
  trainByRules(supernet, changes, options, space);
  const state = snapshot(stateOf(supernet));
  supernet.dispose();
  return state;
}

export const toyImages = (step: number): Tensor =>
  Tensor.view([toyBatchSize, toyShape.height, toyShape.width, 1], toyBatch(0, step).images);

/** Gradients of `weight` times one genome's cross-entropy against the labels, by parameter; leaves none behind. */
export function gradientsOf(
  supernet: Supernet,
  genome: Genome,
  weight = 1,
): ReadonlyMap<string, Float32Array> {
  const { value, tape } = Tape.record(() =>
    softmaxCrossEntropy(supernet.forward(toyImages(0), genome, Mode.Training), toyBatch(0, 0).labels),
  );
  tape.backward(value, weight);
  return takeGradients(supernet);
}

export function takeGradients({ parameters }: Supernet): ReadonlyMap<string, Float32Array> {
  const gradients = new Map<string, Float32Array>();
  for (const { name, tensor } of parameters) {
    if (tensor.gradient !== undefined) gradients.set(name, tensor.gradient.slice());
    tensor.dropGradient();
  }
  return gradients;
}

/** The gradients that the optimiser would see in one step, factors applied, from the trainee's own passes. */
export function stepGradients(
  supernet: Supernet,
  changes: Partial<SupernetRules>,
  {
    space = toySpace,
    step = 0,
    steps = toySteps,
  }: { readonly space?: SearchSpace; readonly step?: number; readonly steps?: number } = {},
): ReadonlyMap<string, Float32Array> {
  const rules = { ...plainRules, ...changes };
  const { trainee } = supernetTrainee(supernet, createPlan(space, rules, steps), rules, { seed: 5 });
  if (!('passes' in trainee)) throw new Error('a supernet is trained by passes');
  const place = { step, steps, stepsPerEpoch: 4 };
  const { labels } = toyBatch(0, step);
  const input = toyImages(step);
  const inner: Loss = (logits) => softmaxCrossEntropy(logits, labels);
  for (const pass of trainee.passes(place)) {
    const { value, tape } = Tape.record(() =>
      (pass.loss?.(inner) ?? inner)(pass.forward(input), { input, labels }, step),
    );
    tape.backward(value, pass.weight);
    trainee.afterPass?.(pass.weight);
  }
  trainee.afterPasses?.(place);
  for (const parameter of supernet.parameters) {
    const { gradient } = parameter.tensor;
    const scale = gradient === undefined ? 1 : (trainee.gradientScale?.(parameter) ?? 1);
    if (scale !== 1) gradient?.forEach((value, i) => (gradient[i] = scale * value));
  }
  return takeGradients(supernet);
}

/** What the optimiser is told of the parameters after a single pass, whose gradients are complete. */
export function scalesAfterPass(supernet: Supernet): (parameter: Parameter) => number {
  const { sharedLayers } = supernet;
  const families = new Set(sharedLayers.flatMap(({ family }) => family?.name ?? []));
  const gradients = new FamilyGradients(sharedLayers, [...families], {
    ...{ projection: Projection.None, separateState: false, seed: 5 },
  });
  gradients.afterPass(1);
  gradients.afterPasses(0);
  return (parameter) => gradients.gradientScale(parameter);
}
