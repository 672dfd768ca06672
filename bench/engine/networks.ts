/**
 * @file Rows of whole training steps: ResNet-20 at batch 128 in each operator family.
 */
import { parameterCount, planLayers } from '../../src/spaces/layers.js';
import { resnetArchitecture } from '../../src/spaces/resnet.js';
import type { Architecture } from '../../src/spaces/architecture.js';
import { trainingStep } from '../clock.js';
import { Bound, type BenchCase, type Work } from './case.js';

/** A family by the name that rows and the PyTorch side use. */
export interface StepFamily {
  readonly name: string;
  readonly family: string;
}

export const stepFamilies: readonly StepFamily[] = [
  { name: 'conv', family: 'conv' },
  { name: 'shift', family: 'pot.q' },
  { name: 'add', family: 'add' },
];
export const stepBatch = 128;

export function resnet20(family: string): Architecture {
  return resnetArchitecture({
    depth: 20,
    family,
    input: { height: 32, width: 32, channels: 3 },
    classes: 10,
  });
}

/** Length of every trainable tensor of ResNet-20: weights, then scale and offset of the norm; the classifier's bias. */
export function parameterLengths(): readonly number[] {
  return planLayers(resnet20('conv')).flatMap(({ kernel, inChannels, outChannels, fullyConnected }) => [
    kernel * kernel * inChannels * outChannels,
    ...(fullyConnected ? [outChannels] : [outChannels, outChannels]),
  ]);
}

export function stepCases(): readonly BenchCase[] {
  return stepFamilies.map(({ name, family }) => {
    const architecture = resnet20(family);
    return {
      name: `resnet20-${name}-step`,
      group: 'training step',
      shape: `ResNet-20, batch ${stepBatch}`,
      work: workOf(architecture),
      headline: true,
      peer: { kind: 'resnet20', family: name, batch: stepBatch },
      build() {
        const { step, dispose } = trainingStep(architecture, stepBatch);
        return { run: step, dispose, facts: { parameters: parameterCount(architecture) } };
      },
    };
  });
}

/** The accumulations of a step: forward, weight gradient, and input gradient of all layers but the first. */
function workOf(architecture: Architecture): readonly Work[] {
  return planLayers(architecture).flatMap((layer, index) => {
    const { outHeight, outWidth, outChannels, inChannels, kernel, family } = layer;
    const amount = stepBatch * outHeight * outWidth * outChannels * inChannels * kernel * kernel;
    const adds = family === 'add';
    const bounds = [
      adds ? Bound.AbsoluteDifference : Bound.MultiplyAccumulate,
      Bound.MultiplyAccumulate,
      ...(index === 0 ? [] : [adds ? Bound.ClampedGradient : Bound.MultiplyAccumulate]),
    ];
    return bounds.map((bound) => ({ bound, amount }));
  });
}
