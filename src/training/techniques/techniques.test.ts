import { freeze, Mode } from '../../nn/module.js';
import type { Tensor } from '../../tensor/tensor.js';
import { forEachBatch } from '../evaluate.js';
import type { Technique } from '../technique.js';
import { distillation, DistillationTarget } from './distillation.js';
import { averagedWeights } from './averaged-weights.js';
import { mixedImages } from './mixed-images.js';
import { describeTechniques } from './technique.cases.js';
import { toyNetwork, toyShape } from '../toy.cases.js';

/** Another network of the toy problem says what it thinks. */
function taught(weight: number, target = DistillationTarget.Soft): Technique {
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
  );
}

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
  { name: 'distill, soft', on: () => taught(0.7), off: () => taught(0) },
  { name: 'distill, hard', on: () => taught(1, DistillationTarget.Hard), off: () => taught(0) },
]);
