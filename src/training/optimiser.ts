/**
 * @file The optimisers, behind one contract: stochastic gradient descent with momentum, AdamW, RAdam; clipping by the
 * global norm. What they share, the adaptive learning rate of add layers included, is in `optimiser-state.ts`.
 */
import { OptionError } from '../base/errors.js';
import { kernels } from '../tensor/device.js';
import type { NamedTensors, Parameter } from '../nn/module.js';
import type { AdamWOptions } from '../tensor/kernels.js';
import type { Tensor } from '../tensor/tensor.js';
import { AdamMemory, commonItem, dataOf, hasGradient, named, zerosLike } from './optimiser-state.js';
import { RAdam, type RAdamSettings } from './radam.js';

export interface Optimiser {
  /**
   * All it remembers between steps, under the names that checkpoints have for it ({@link isOptimiserState} knows
   * them). A checkpoint is taken up by writing into these.
   */
  readonly state: NamedTensors;
  /**
   * One update of every parameter that has a gradient, at learning rate `rate`; then drops the gradients. Parameters
   * without one (blocks that this step did not use) keep weight and memory. `gradientScale` may rescale further.
   */
  step(rate: number, gradientScale?: (parameter: Parameter) => number): void;
  dispose(): void;
}

/** What an optimiser is told; of a training's schedule, or alone. */
export type OptimiserSettings = SgdSettings | AdamWSettings | RAdamSettings;

export interface SgdSettings {
  /** The one used when left out. */
  readonly optimiser?: 'sgd' | undefined;
  readonly momentum: number;
  /** Look ahead: step by the gradient plus momentum times the new velocity. Default false. */
  readonly nesterov?: boolean | undefined;
  /** L2 coefficient on parameters with `decay`, inside the gradient. */
  readonly weightDecay: number;
}

export interface AdamWSettings extends AdamWOptions {
  readonly optimiser: 'adamw';
  /** Part of a parameter with `decay` that a step at learning rate 1 takes away, beside the gradient. */
  readonly weightDecay: number;
}

/** The optimiser that the settings name. @throws OptionError for another name, or a momentum or beta outside [0, 1) */
export function createOptimiser(parameters: readonly Parameter[], settings: OptimiserSettings): Optimiser {
  const shares =
    'beta1' in settings ? { beta1: settings.beta1, beta2: settings.beta2 } : { momentum: settings.momentum };
  for (const [name, value] of Object.entries(shares))
    if (!(value >= 0 && value < 1))
      throw new OptionError(`${name} ${value} is not a number from 0 to below 1`);
  switch (settings.optimiser) {
    case 'adamw':
      return new AdamW(parameters, settings);
    case 'radam':
      return new RAdam(parameters, settings);
    case undefined:
    case 'sgd':
      return new Sgd(parameters, settings);
    default:
      throw new OptionError(
        `optimiser '${String((settings as { optimiser: unknown }).optimiser)}' is not known; use sgd, adamw or radam`,
      );
  }
}

const momentum = 'momentum:';
const adamState = /^(adamw|radam)\.(mean|square|steps):/;

/** Whether a tensor of a checkpoint is the memory of an optimiser. */
export function isOptimiserState(name: string): boolean {
  return name.startsWith(momentum) || adamState.test(name);
}

/**
 * Shortens the gradients, all by one factor, so that their joint Euclidean norm is at most `maxNorm`; returns the norm
 * before. A norm that is not finite is left for the caller to see. Parameters with an adaptive rate neither count nor
 * change: their steps have a length of their own, whatever the gradient's.
 */
export function clipGradients(parameters: readonly Parameter[], maxNorm: number): number {
  const gradients: Float32Array[] = [];
  for (const { tensor, adaptiveRate } of parameters)
    if (tensor.gradient !== undefined && adaptiveRate === undefined) gradients.push(tensor.gradient);
  const norm = Math.sqrt(kernels().sumOfSquares(...gradients));
  if (Number.isFinite(norm) && norm > maxNorm) kernels().scale(maxNorm / norm, ...gradients);
  return norm;
}

/** Stochastic gradient descent with momentum. */
export class Sgd implements Optimiser {
  readonly state: NamedTensors;
  readonly #velocities: ReadonlyMap<Parameter, Tensor>;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly settings: Omit<SgdSettings, 'optimiser'>,
  ) {
    this.#velocities = zerosLike(parameters);
    this.state = named([momentum, this.#velocities]);
  }

  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const { weightDecay, nesterov = false } = this.settings;
    const moving = this.parameters.filter(hasGradient);
    const items = moving.map((parameter) => ({
      ...commonItem(parameter, weightDecay, gradientScale),
      velocity: dataOf(this.#velocities, parameter),
    }));
    kernels().sgdSteps(rate, this.settings.momentum, nesterov, items);
    for (const { tensor } of moving) tensor.dropGradient();
  }

  dispose(): void {
    for (const velocity of this.#velocities.values()) velocity.dispose();
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter, ICLR 2019); the bias correction counts each parameter's own steps. */
export class AdamW implements Optimiser {
  readonly state: NamedTensors;
  readonly #memory: AdamMemory;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly settings: Omit<AdamWSettings, 'optimiser'>,
  ) {
    this.#memory = new AdamMemory(parameters, 'adamw');
    this.state = this.#memory.state;
  }

  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const moving = this.parameters.filter(hasGradient);
    const { weightDecay } = this.settings;
    const items = moving.map((parameter) => this.#memory.nextItem(parameter, weightDecay, gradientScale));
    kernels().adamWSteps(rate, this.settings, items);
    for (const { tensor } of moving) tensor.dropGradient();
  }

  dispose(): void {
    this.#memory.dispose();
  }
}
