import { averagedWeights } from './averaged-weights.js';
import { mixedImages } from './mixed-images.js';
import { describeTechniques } from './technique.cases.js';
import { toyShape } from '../toy.cases.js';

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
]);
