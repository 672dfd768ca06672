/**
 * @file A supernet as the training loop sees it, under a rule and its options, all of which combine.
 */
import { Mode } from '../../nn/module.js';
import type { ForwardOptions } from '../../spaces/execute.js';
import type { Loss, StepPlace } from '../../training/technique.js';
import { add } from '../../tensor/ops/binary.js';
import type { Pass } from '../../training/passes.js';
import type { Trainee } from '../../training/train.js';
import { FamilyGradients } from '../family-gradients.js';
import type { Projection } from '../projection.js';
import type { Supernet } from '../supernet.js';
import { InPlaceDistillation } from './in-place-distillation.js';
import type { PathPlan, PlanSettings } from './plan.js';

/** What becomes of the gradients of a step's passes. */
export enum Combination {
  /** They are added, as published: a step of n passes goes as far as n steps of one. */
  Sum = 'sum',
  Mean = 'mean',
}

export interface SupernetRules extends PlanSettings {
  /** Of the sandwich: the teacher's part of the other networks' loss, 0 to 1. */
  readonly distill: number;
  readonly combine: Combination;
  readonly separateOptimiserState: boolean;
  readonly projectGradients: Projection;
}

export interface SupernetTrainee {
  readonly trainee: Trainee;
  /** Gives back what a training that failed has left; the supernet stays. */
  dispose(): void;
}

/** `supernet` under `rules`, on the paths of `plan`. */
export function supernetTrainee(
  supernet: Supernet,
  plan: PathPlan,
  rules: Omit<SupernetRules, keyof PlanSettings>,
  run: { readonly seed: number; readonly options?: ForwardOptions },
): SupernetTrainee {
  const { seed, options = {} } = run;
  const gradients = new FamilyGradients(supernet.sharedLayers, plan.families, {
    projection: rules.projectGradients,
    separateState: rules.separateOptimiserState,
    seed,
  });
  const withTerm =
    (inner: Loss): Loss =>
    (logits, batch, step) => {
      const loss = inner(logits, batch, step);
      const term = supernet.distributionTerm(seed, step);
      return term === undefined ? loss : add(loss, term);
    };
  const passes = ({ step }: StepPlace): readonly Pass[] => {
    const paths = plan.paths(seed, step);
    const distillation = new InPlaceDistillation(rules.distill);
    return paths.map(({ genome, role }) => ({
      forward: (images) => supernet.forward(images, genome, Mode.Training, options),
      weight: rules.combine === Combination.Mean ? 1 / paths.length : 1,
      loss: (inner) => withTerm(distillation.loss(role, inner)),
    }));
  };
  return {
    trainee: {
      name: 'supernet',
      parameters: supernet.parameters,
      buffers: supernet.buffers,
      clusters: gradients.clusters,
      passes,
      afterPass: (weight) => gradients.afterPass(weight),
      afterPasses: ({ step }) => gradients.afterPasses(step),
      gradientScale: (parameter) => gradients.gradientScale(parameter),
      afterStep: () => supernet.project(),
    },
    dispose: () => gradients.dispose(),
  };
}
