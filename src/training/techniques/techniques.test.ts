import { Random } from '../../base/random.js';
import { BatchNorm } from '../../nn/batch-norm.js';
import { Linear } from '../../nn/linear.js';
import { add } from '../../operators/add/family.js';
import type { OperatorFamily } from '../../operators/contract.js';
import { OperatorLayer } from '../../operators/layer.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { mul } from '../../tensor/ops/binary.js';
import { globalAveragePool } from '../../tensor/ops/pooling.js';
import { chain, tidy } from '../../tensor/tape.js';
import { lpAnnealing } from './lp-annealing.js';
import { maskPruning } from './mask-pruning.js';
import { Digits } from '../../nn/digits.js';
import { bitPruning } from './bit-pruning.js';
import { kernelDistillation } from './kernel-distillation.js';
import { twoStepBinarisation } from './two-step-binarisation.js';
import { freeze, Mode } from '../../nn/module.js';
import type { Tensor } from '../../tensor/tensor.js';
import { forEachBatch } from '../evaluate.js';
import { crossEntropy, type Technique } from '../technique.js';
import { distillation, DistillationTarget, type TwoHeaded } from './distillation.js';
import { averagedWeights } from './averaged-weights.js';
import { mixedImages } from './mixed-images.js';
import { describeTechniques, type ToyModel } from './technique.cases.js';
import { genomeOf, toyNetwork, toyShape, twoHeadedToy } from '../toy.cases.js';

/** Another network of the toy problem says what it thinks. */
function taught(weight: number, target = DistillationTarget.Soft, student?: TwoHeaded): Technique {
  const network = toyNetwork(7);
  freeze(network);
  return distillation(
    {
      classes: 4,
      logits: (images, count) => {
        let said = new Float32Array(0);
        const batch = { images, labels: new Int32Array(count) };
        const keep = (logits: Tensor): void => void (said = logits.data.slice());
        forEachBatch([batch], toyShape, (x) => network.forward(x, Mode.Evaluation), keep);
        return said;
      },
      dispose: () => network.dispose(),
    },
    { target, temperature: 2, weight },
    student,
  );
}

const binaryNetwork = (seed?: number): Network => {
  const space = createMiniSpace({
    ...{ input: toyShape, classes: 4, stemChannels: 8, stageChannels: [8, 16], blocksPerStage: [1, 1] },
    families: ['binary'],
  });
  return new Network(space.architecture(uniformGenome(space, 'binary')), Random.stream('binary', seed ?? 1));
};

/** Layers of `family`, one behind the other with a ReLU, and a classifier. */
function stack(family: OperatorFamily, seed = 1): ToyModel {
  const random = Random.stream('stack', seed);
  const geometry = { kernel: 3, stride: 2, padding: 1, groups: 1, outChannels: 8 };
  const layers = [1, 8].map(
    (inChannels, i) => new OperatorLayer(`layer${i}`, family, { ...geometry, inChannels }, random),
  );
  const norms = layers.map(({ name }) => new BatchNorm(`${name}.norm`, 8, true));
  const classifier = new Linear('classifier', 8, 4, random);
  const modules = [...layers, ...norms, classifier];
  const parameters = modules.flatMap((module) => module.parameters);
  return {
    parameters,
    buffers: norms.flatMap(({ buffers }) => buffers),
    operatorLayers: layers,
    forward: (images, mode) =>
      chain(images, [
        ...layers.map((layer, i) => (x: Tensor) => tidy(() => norms[i]!.forward(layer.forward(x), mode))),
        (x) => tidy(() => classifier.forward(globalAveragePool(x))),
      ]),
    project: () => {
      for (const layer of layers) layer.project();
    },
    dispose: () => {
      for (const { tensor } of parameters) tensor.dispose();
    },
  };
}

/** An add layer whose output is scaled by a tensor that is never trained: an exponent as annealing sees it. */
const withExponent: OperatorFamily = {
  ...add,
  own: [
    {
      name: 'exponent',
      shape: () => [1, 1, 1, 1],
      initialValues: () => Float32Array.of(1),
      decay: false,
      fixed: true,
    },
  ],
  forward: (x, weights, geometry, own) => tidy(() => mul(add.forward(x, weights, geometry), own![0]!)),
};

const besideTeacher = (network: ToyModel, beta: number, kd: number): Technique => {
  const teacher = toyNetwork(9, genomeOf('conv x1'));
  return kernelDistillation(network, teacher, { beta, kd, temperature: 2 }, crossEntropy(0.1), 1);
};

const mixing = { seed: 1, classes: 4, shape: toyShape };

describeTechniques([
  {
    name: 'ema',
    on: (network) => averagedWeights(network, 0.9),
    off: (network) => averagedWeights(network, 0),
  },
  {
    name: 'mixup',
    on: () => mixedImages({ ...mixing, mixup: { alpha: 0.4, probability: 0.8 } }),
    off: () => mixedImages({ ...mixing, mixup: { alpha: 0.4, probability: 0 } }),
  },
  {
    name: 'cutmix',
    on: () => mixedImages({ ...mixing, cutmix: { alpha: 1, probability: 0.8 } }),
    off: () => mixedImages(mixing),
  },
  {
    name: 'lp annealing',
    network: (seed) => stack(withExponent, seed),
    on: ({ parameters }) => lpAnnealing(parameters, { start: 2, until: 0.75 }),
    off: ({ parameters }) => lpAnnealing(parameters, { start: 1, until: 0.75 }),
  },
  {
    name: 'two-step binarisation',
    network: binaryNetwork,
    on: ({ operatorLayers }) => twoStepBinarisation(operatorLayers, { realWeights: 0.5, weightDecay: 1e-2 }),
    off: ({ operatorLayers }) => twoStepBinarisation(operatorLayers, { realWeights: 0, weightDecay: 1e-2 }),
  },
  {
    name: 'mask pruning',
    on: ({ operatorLayers }) => maskPruning(operatorLayers, { ratio: 0.5, from: 0.2, until: 0.7, every: 2 }),
    off: ({ operatorLayers }) => maskPruning(operatorLayers, { ratio: 0, from: 0.2, until: 0.7, every: 2 }),
  },
  {
    name: 'bit pruning',
    network: (seed) => toyNetwork(seed, genomeOf('conv x1', 'add x1', 'conv x0.5', 'conv x1')),
    on: ({ operatorLayers }) =>
      bitPruning(
        operatorLayers,
        { bits: 4, weight: 10, lambda: 1.001, power: 0.5, digits: Digits.Signed, layersPerStep: 3 },
        1,
      ),
  },
  {
    name: 'kernel distillation',
    network: (seed) => toyNetwork(seed, genomeOf('add x1', 'pot.q x1')),
    on: (network) => besideTeacher(network, 0.5, 1),
    off: (network) => besideTeacher(network, 0, 0),
  },
  { name: 'distill, soft', on: () => taught(0.7), off: () => taught(0) },
  { name: 'distill, hard', on: () => taught(1, DistillationTarget.Hard), off: () => taught(0) },
  {
    name: 'distill, two heads',
    network: twoHeadedToy,
    on: (network) => taught(0.5, DistillationTarget.Hard, network as Network),
    off: (network) => taught(0, DistillationTarget.Hard, network as Network),
  },
]);
