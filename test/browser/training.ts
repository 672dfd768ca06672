/**
 * @file A small training that a browser and Node can both run, to compare them bit by bit.
 */
import {
  countCorrect,
  createMiniSpace,
  createOptimiser,
  Mode,
  Network,
  Random,
  softmaxCrossEntropy,
  Tape,
  Tensor,
} from '../../src/browser.js';

const side = 16;
const classes = 4;
const batchSize = 32;

/** Trains convolution, shift and add layers on bars in noise; returns loss and hits of every step, and the weights. */
export function trainSomeSteps(steps: number): {
  readonly curve: readonly number[];
  readonly weights: number[];
} {
  const space = createMiniSpace({
    input: { height: side, width: side, channels: 1 },
    classes,
    stemChannels: 8,
    stageChannels: [8, 16, 16],
    blocksPerStage: [1, 1, 1],
  });
  const wanted = ['conv x1', 'pot.q x1', 'add x1'];
  const genome = space.positions.map(({ stage, options }, position) =>
    options.findIndex((_, option) => space.optionLabel(position, option) === wanted[stage]),
  );
  const network = new Network(space.architecture(genome), Random.stream('weights'));
  // Engines may differ in the last bit of a logarithm: weights that come from sums and products alone do not.
  for (const { name, tensor } of network.parameters) {
    if (!name.endsWith('.weight')) continue;
    const random = Random.stream('uniform weights', name);
    tensor.data.forEach((_, i) => (tensor.data[i] = 0.4 * random.uniform() - 0.2));
  }
  const optimiser = createOptimiser(network.parameters, {
    optimiser: 'sgd',
    momentum: 0.9,
    weightDecay: 1e-4,
  });
  const curve: number[] = [];
  for (let step = 0; step < steps; step++) {
    const { images, labels } = batch(step);
    const x = Tensor.view([batchSize, side, side, 1], images);
    const { value: loss, tape } = Tape.record(() => {
      const logits = network.forward(x, Mode.Training);
      curve.push(countCorrect(logits, labels));
      return softmaxCrossEntropy(logits, labels, 0.1);
    });
    curve.push(loss.data[0] as number);
    tape.backward(loss);
    optimiser.step(0.05);
    network.project();
  }
  return { curve, weights: network.parameters.flatMap(({ tensor }) => [...tensor.data]) };
}

function batch(step: number): { readonly images: Float32Array; readonly labels: Int32Array } {
  const random = Random.stream('images', step);
  const labels = Int32Array.from({ length: batchSize }, (_, n) => n % classes);
  const images = Float32Array.from({ length: batchSize * side * side }, (_, i) => {
    const [n, y, x] = [Math.floor(i / side / side), Math.floor(i / side) % side, i % side];
    const along = labels[n]! % 2 === 0 ? y : x;
    return (Math.floor(along / 8) === Math.floor(labels[n]! / 2) ? 0.5 : -0.5) + random.uniform();
  });
  return { images, labels };
}
