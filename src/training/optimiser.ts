/**
 * @file Stochastic gradient descent with momentum, and the adaptive learning rate of add layers.
 */
import { kernels } from '../tensor/device.js';
import type { Parameter } from '../nn/module.js';
import { Tensor } from '../tensor/tensor.js';

export interface SgdOptions {
  readonly momentum: number;
  /** L2 coefficient on parameters with `decay`. */
  readonly weightDecay: number;
}

/**
 * Factor by which the optimiser rescales the accumulated gradient of an adaptive parameter: eta sqrt(k) / ||g||, so
 * that every step has a root mean square of eta before the learning rate (AdderNet, CVPR'20, equation 13). A zero
 * gradient stays zero.
 */
export function adaptiveScale(eta: number, gradient: Float32Array): number {
  const norm = Math.sqrt(kernels().sumOfSquares(gradient));
  return (eta * Math.sqrt(gradient.length)) / Math.max(norm, 1e-12);
}

export class Sgd {
  /** Momentum of each parameter, by name, for checkpoints. */
  readonly velocities: ReadonlyMap<string, Tensor>;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly options: SgdOptions,
  ) {
    this.velocities = new Map(
      parameters.map(({ name, tensor }) => [
        name,
        Tensor.persistent(tensor.shape, new Float32Array(tensor.size)),
      ]),
    );
  }

  /**
   * One update of every parameter that has a gradient, at learning rate `rate`; then drops the gradients. Parameters
   * without one (blocks that this step did not use) keep weight and momentum. `gradientScale` may rescale further.
   */
  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const { momentum, weightDecay } = this.options;
    const moving = this.parameters.filter(({ tensor }) => tensor.gradient !== undefined);
    const items = moving.map((parameter) => {
      const { name, tensor, decay, adaptiveRate } = parameter;
      const gradient = tensor.gradient as Float32Array;
      return {
        weight: tensor.data,
        gradient,
        velocity: (this.velocities.get(name) as Tensor).data,
        weightDecay: decay ? weightDecay : 0,
        gradientScale:
          gradientScale(parameter) * (adaptiveRate === undefined ? 1 : adaptiveScale(adaptiveRate, gradient)),
      };
    });
    kernels().sgdSteps(rate, momentum, items);
    for (const { tensor } of moving) tensor.dropGradient();
  }

  dispose(): void {
    for (const velocity of this.velocities.values()) velocity.dispose();
  }
}
