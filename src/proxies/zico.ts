/**
 * @file ZiCo (Li et al., ICLR'23, arXiv 2301.11300): sum over the layers of log sum over their weights of E|g| / sd(g),
 * moments of the loss's gradient over batches.
 *
 * The gradients are those of the tape, before anything that an optimiser does to them: the adaptive rate of add layers
 * would bring every batch's gradient to one norm and with that take out the very spread that is measured
 * (operators-and-techniques 0.3). What is not trained has no gradient and does not count, nor do weights whose gradient
 * is the same on every batch.
 */
import { Mode } from '../nn/module.js';
import type { Network } from '../spaces/network.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { ProxyBatch, ProxyScorer, ProxySubject } from './contract.js';

export const zico: ProxyScorer = {
  name: 'zico',
  title: 'ZiCo (gradient mean over deviation)',
  batches: 2,
  score(subject) {
    const { batches, network } = subject;
    const layers = network.weightLayers.map((layer) =>
      weightsOf(layer).map((tensor) => ({ tensor, moments: new GradientMoments(tensor.size) })),
    );
    batches.forEach((batch, at) => {
      backpropagate(subject, batch, at);
      for (const { tensor, moments } of layers.flat())
        if (tensor.gradient !== undefined) moments.add(tensor.gradient);
      dropGradients(network);
    });
    return zicoOf(layers.map((weights) => weights.reduce((sum, { moments }) => sum + moments.ratioSum(), 0)));
  },
};

/** Of a layer all tensors of weights; biases are vectors, the step of a grid is a single value. */
function weightsOf({ parameters }: Network['weightLayers'][number]): readonly Tensor[] {
  return parameters.map(({ tensor }) => tensor).filter(({ shape, size }) => shape.length >= 4 && size > 1);
}

/** The score from each layer's sum of ratios; layers without any do not count. -Infinity without a layer. */
export function zicoOf(ratioSums: readonly number[]): number {
  const counted = ratioSums.filter((sum) => sum > 0);
  return counted.length === 0 ? -Infinity : counted.reduce((total, sum) => total + Math.log(sum), 0);
}

/** Leaves the gradient of the batch's mean cross-entropy on the network's parameters. */
function backpropagate(
  { architecture: { input }, network }: ProxySubject,
  batch: ProxyBatch,
  at: number,
): void {
  const { images, labels } = batch;
  const { value, tape } = Tape.record(() => {
    const x = Tensor.view([labels.length, input.height, input.width, input.channels], images);
    const logits = network.forward(x, Mode.Training, { chance: { seed: 0, step: at } });
    return softmaxCrossEntropy(logits, labels, 0);
  });
  tape.backward(value);
}

function dropGradients({ parameters }: Network): void {
  for (const { tensor } of parameters) tensor.dropGradient();
}

/** Moments of each gradient of a layer over batches, in float64. */
export class GradientMoments {
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  readonly #magnitudes: Float64Array;
  #batches = 0;

  constructor(size: number) {
    this.#sum = new Float64Array(size);
    this.#squares = new Float64Array(size);
    this.#magnitudes = new Float64Array(size);
  }

  add(gradient: Float32Array): void {
    gradient.forEach((g, at) => {
      this.#sum[at]! += g;
      this.#squares[at]! += g * g;
      this.#magnitudes[at]! += Math.abs(g);
    });
    this.#batches++;
  }

  /** Sum of E|g| / sd(g) over the weights whose gradient differs between batches. */
  ratioSum(): number {
    let total = 0;
    for (let at = 0; at < this.#sum.length; at++) {
      const mean = this.#sum[at]! / this.#batches;
      const variance = this.#squares[at]! / this.#batches - mean * mean;
      // What rounding leaves of equal gradients.
      if (variance > 1e-14 * mean * mean)
        total += this.#magnitudes[at]! / this.#batches / Math.sqrt(variance);
    }
    return total;
  }
}
