/**
 * @file A training loop from the ops themselves: two spirals told apart by a layer of shifts between two that multiply.
 *
 *     npx tsx examples/training-loop.ts
 */
import {
  addBias,
  clipGradients,
  countCorrect,
  createOptimiser,
  describeDevice,
  familyNamed,
  linear,
  OperatorLayer,
  type Parameter,
  Random,
  relu,
  softmaxCrossEntropy,
  Tape,
  Tensor,
} from '../src/index.js';

const [points, width, steps] = [512, 32, 600];
const random = Random.stream('spirals');

function parameter(name: string, shape: readonly number[], deviation: number): Parameter {
  const length = shape.reduce((product, extent) => product * extent, 1);
  const values = Float32Array.from({ length }, () => deviation * random.normal());
  return { name, tensor: Tensor.persistent(shape, values, true), decay: deviation > 0 };
}

// Images of one pixel and two channels [N, 1, 1, 2]: the place of a point.
const places = new Float32Array(points * 2);
const labels = Int32Array.from({ length: points }, (_, n) => n % 2);
labels.forEach((label, n) => {
  const turn = 0.5 + (3.5 * n) / points;
  const angle = Math.PI * (turn + label);
  places.set([turn * Math.cos(angle), turn * Math.sin(angle)], 2 * n);
});

const geometry = { inChannels: width, outChannels: width, kernel: 1, stride: 1, padding: 0, groups: 1 };
const shifts = new OperatorLayer('shifts', familyNamed('pot.q'), geometry, random);
const [first, firstBias] = [parameter('first', [1, 1, 2, width], 0.7), parameter('firstBias', [width], 0)];
const [last, lastBias] = [parameter('last', [1, 1, width, 2], 0.3), parameter('lastBias', [2], 0)];
const parameters = [first, firstBias, ...shifts.parameters, last, lastBias];

const optimiser = createOptimiser(parameters, {
  ...{ optimiser: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 1e-4 },
});
const x = Tensor.view([points, 1, 1, 2], places);
console.log(describeDevice());
for (let step = 1; step <= steps; step++) {
  let hits = 0;
  const { value: loss, tape } = Tape.record(() => {
    const hidden = relu(addBias(linear(x, first.tensor), firstBias.tensor));
    const logits = addBias(linear(relu(shifts.forward(hidden)), last.tensor), lastBias.tensor);
    hits = countCorrect(logits, labels);
    return softmaxCrossEntropy(logits, labels);
  });
  const [value] = loss.data;
  tape.backward(loss); // gives every temporary back, the loss too
  clipGradients(parameters, 1);
  optimiser.step(0.01);
  shifts.project();
  if (step % 100 === 0)
    console.log(`step ${step}: loss ${value!.toFixed(3)}, ${hits} of ${points} points told apart`);
}
optimiser.dispose();
