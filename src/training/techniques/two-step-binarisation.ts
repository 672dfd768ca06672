/**
 * @file Two steps to binary layers (ReActNet, Liu et al., ECCV'20, arXiv 2003.03488; after Martinez et al., ICLR 2020):
 * first the activations are signs and the weights real, with a small weight decay; then the weights are signs too,
 * starting from what the first step left, without decay.
 *
 * Which step a training is in follows from the number of the step, so a checkpoint needs nothing more. The decay of the
 * first part is an L2 term inside the gradient of the weights of binary layers, as in the published code; the decay of
 * the schedule leaves these weights alone in both.
 */
import type { OperatorLayer } from '../../operators/layer.js';
import { kernels } from '../../tensor/device.js';
import type { Technique } from '../technique.js';

export interface TwoStepSettings {
  /** Part of the training whose weights are real, 0 to 1. */
  readonly realWeights: number;
  /** Of the weights of binary layers meanwhile. */
  readonly weightDecay: number;
}

/** The layers that can be binarised in two steps. */
export function twoStepLayers(layers: readonly OperatorLayer[]): readonly OperatorLayer[] {
  return layers.filter(({ family }) => family.firstStage !== undefined);
}

/** Trains the binary layers among `layers` in two steps. */
export function twoStepBinarisation(layers: readonly OperatorLayer[], settings: TwoStepSettings): Technique {
  const binary = twoStepLayers(layers);
  const isFirst = (step: number, steps: number): boolean => step < Math.round(settings.realWeights * steps);
  const binarise = (): void => {
    for (const layer of binary) layer.variant = undefined;
  };
  return {
    name: 'twoStep',
    beforeStep({ step, steps }) {
      const first = isFirst(step, steps);
      for (const layer of binary) layer.variant = first ? layer.family.firstStage : undefined;
    },
    afterGradients({ step, steps }) {
      if (settings.weightDecay === 0 || !isFirst(step, steps)) return;
      for (const { weight } of binary)
        if (weight.gradient !== undefined) kernels().axpy(settings.weightDecay, weight.data, weight.gradient);
    },
    finish: binarise,
    dispose: binarise,
  };
}
