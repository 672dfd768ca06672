/**
 * @file Trains one hybrid network by hand: convolution first, then shifts, then additions. Run it with
 * `npx tsx examples/hybrid.ts` in a clone; `TARGET=0.985` makes it fail below that test accuracy.
 */
import {
  costsOf,
  createMiniSpace,
  loadProfile,
  networkAccuracy,
  prepareData,
  trainNetwork,
} from '../src/index.js';

const data = await prepareData({
  data: 'mnist',
  seed: 1,
  split: { searchValidation: 5000 },
  augmentation: { cropPadding: 1, flip: false },
});
const space = createMiniSpace({ input: data.shape, classes: 10, stemStride: 2 });

// One option per block: convolution in the first stage, shift layers in the second, additions in the third.
const stages = ['conv x1', 'pot.q x1', 'add x1'];
const genome = space.positions.map(({ stage, options }, position) =>
  options.findIndex((_, option) => space.optionLabel(position, option) === stages[stage]),
);
const architecture = space.architecture(genome);
const { energyMj, latencyMs, macs, params } = costsOf(architecture, loadProfile('fair'));
console.log(
  `${energyMj.toFixed(3)} mJ, ${latencyMs.toFixed(3)} ms, ${macs} operations, ${params} parameters`,
);

const network = trainNetwork(
  {
    name: 'example',
    architecture,
    data: data.learning,
    seed: 1,
    augmentation: { cropPadding: 1, flip: false },
    schedule: {
      epochs: 2,
      batchSize: 128,
      peakLearningRate: 0.1,
      warmupFraction: 0.1,
      momentum: 0.9,
      weightDecay: 5e-4,
      labelSmoothing: 0,
    },
  },
  {
    send: (message) => {
      if (message.type === 'training' && message.step % 86 === 0)
        console.log(`step ${message.step}/${message.steps}  loss ${message.loss.toFixed(3)}`);
    },
    interrupted: () => false,
  },
);
const accuracy = networkAccuracy(network, data, data.splits.openTest('example'));
console.log(`MNIST test accuracy ${(100 * accuracy).toFixed(2)} %`);
if (accuracy < Number(process.env['TARGET'] ?? 0)) process.exitCode = 1;
