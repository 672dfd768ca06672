/**
 * @file RAdam (Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020): Adam that, while it
 * has seen too few squares to divide by, steps by the mean gradient, and afterwards scales its steps by what the variance
 * of the divisor is worth.
 *
 * The weight decay is decoupled (beside the gradient, times the learning rate), as in the RAdam that DeepShift's PS
 * networks were trained by. The rectified rule begins at rho_t >= 5, as in the authors' code; the paper says rho_t > 4.
 */
import type { NamedTensors, Parameter } from '../nn/module.js';
import { kernels } from '../tensor/device.js';
import type { AdamWItem, AdamWOptions } from '../tensor/kernels.js';
import type { Optimiser } from './optimiser.js';
import { AdamMemory, hasGradient } from './optimiser-state.js';

export interface RAdamSettings extends AdamWOptions {
  readonly optimiser: 'radam';
  /** Part of a parameter with `decay` that a step at learning rate 1 takes away, beside the gradient. */
  readonly weightDecay: number;
}

/** Length of the average of squares below which its variance is not tractable. */
const leastLength = 5;

/**
 * r_t, by which step `step` (from 1) is scaled: sqrt((rho - 4)(rho - 2) limit / ((limit - 4)(limit - 2) rho)), rho being the
 * length of a simple average with the freshness of the running one, limit that of an endless one. Undefined while rho < 5.
 */
export function rectification(beta2: number, step: number): number | undefined {
  const limit = 2 / (1 - beta2) - 1;
  const power = beta2 ** step;
  const rho = limit - (2 * step * power) / (1 - power);
  if (rho < leastLength) return undefined;
  return Math.sqrt((((rho - 4) * (rho - 2)) / ((limit - 4) * (limit - 2))) * (limit / rho));
}

export class RAdam implements Optimiser {
  readonly state: NamedTensors;
  readonly #memory: AdamMemory;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly settings: Omit<RAdamSettings, 'optimiser'>,
  ) {
    this.#memory = new AdamMemory(parameters, 'radam');
    this.state = this.#memory.state;
  }

  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const { beta1, beta2, weightDecay } = this.settings;
    const moving = this.parameters.filter(hasGradient);
    // Parameters count their own steps; those that are equally far are updated by one call.
    const byStep = new Map<number, AdamWItem[]>();
    for (const parameter of moving) {
      const item = this.#memory.nextItem(parameter, weightDecay, gradientScale);
      byStep.set(item.step, [...(byStep.get(item.step) ?? []), item]);
    }
    for (const [step, items] of byStep) {
      const scale = rectification(beta2, step);
      if (scale !== undefined) {
        // An Adam step at rate r_t rate; the decay keeps the rate itself.
        const scaled = items.map((item) => ({ ...item, weightDecay: item.weightDecay / scale }));
        kernels().adamWSteps(scale * rate, this.settings, scaled);
        continue;
      }
      // At rate 0 the kernel only brings its two averages up to date.
      kernels().adamWSteps(0, this.settings, items);
      for (const { weight, mean, weightDecay: decay } of items) {
        if (decay !== 0) kernels().scale(1 - rate * decay, weight);
        kernels().axpy(-rate / (1 - beta1 ** step), mean, weight);
      }
    }
    for (const { tensor } of moving) tensor.dropGradient();
  }

  dispose(): void {
    this.#memory.dispose();
  }
}
