/**
 * @file The optimisers, behind one contract: stochastic gradient descent with momentum, AdamW; the adaptive learning
 * rate of add layers; clipping by the global norm.
 */
import { OptionError } from '../base/errors.js';
import { kernels } from '../tensor/device.js';
import type { NamedTensors, Parameter } from '../nn/module.js';
import type { AdamWOptions } from '../tensor/kernels.js';
import { Tensor } from '../tensor/tensor.js';

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
export type OptimiserSettings = SgdSettings | AdamWSettings;

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
    settings.optimiser === 'adamw'
      ? { beta1: settings.beta1, beta2: settings.beta2 }
      : { momentum: settings.momentum };
  for (const [name, value] of Object.entries(shares))
    if (!(value >= 0 && value < 1))
      throw new OptionError(`${name} ${value} is not a number from 0 to below 1`);
  if (settings.optimiser === 'adamw') return new AdamW(parameters, settings);
  if (settings.optimiser === undefined || settings.optimiser === 'sgd') return new Sgd(parameters, settings);
  throw new OptionError(
    `optimiser '${String(settings.optimiser satisfies never)}' is not known; use sgd or adamw`,
  );
}

const momentum = 'momentum:';
const adamMean = 'adamw.mean:';
const adamSquare = 'adamw.square:';
const adamSteps = 'adamw.steps:';

/** Whether a tensor of a checkpoint is the memory of an optimiser. */
export function isOptimiserState(name: string): boolean {
  return [momentum, adamMean, adamSquare, adamSteps].some((prefix) => name.startsWith(prefix));
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
  readonly #means: ReadonlyMap<Parameter, Tensor>;
  readonly #squares: ReadonlyMap<Parameter, Tensor>;
  readonly #steps: ReadonlyMap<Parameter, Tensor>;

  constructor(
    private readonly parameters: readonly Parameter[],
    private readonly settings: Omit<AdamWSettings, 'optimiser'>,
  ) {
    this.#means = zerosLike(parameters);
    this.#squares = zerosLike(parameters);
    this.#steps = new Map(parameters.map((parameter) => [parameter, Tensor.persistent([1], [0])]));
    this.state = named([adamMean, this.#means], [adamSquare, this.#squares], [adamSteps, this.#steps]);
  }

  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const moving = this.parameters.filter(hasGradient);
    const items = moving.map((parameter) => {
      const steps = dataOf(this.#steps, parameter);
      steps[0] = (steps[0] as number) + 1;
      return {
        ...commonItem(parameter, this.settings.weightDecay, gradientScale),
        mean: dataOf(this.#means, parameter),
        square: dataOf(this.#squares, parameter),
        step: steps[0],
      };
    });
    kernels().adamWSteps(rate, this.settings, items);
    for (const { tensor } of moving) tensor.dropGradient();
  }

  dispose(): void {
    for (const memory of [this.#means, this.#squares, this.#steps])
      for (const tensor of memory.values()) tensor.dispose();
  }
}

function hasGradient({ tensor }: Parameter): boolean {
  return tensor.gradient !== undefined;
}

/**
 * What every optimiser does with a parameter: adds its penalty to the gradient; where it is, whether it decays, by how
 * much its gradient is scaled.
 */
function commonItem(
  parameter: Parameter,
  weightDecay: number,
  gradientScale: (parameter: Parameter) => number,
): {
  readonly weight: Float32Array;
  readonly gradient: Float32Array;
  readonly weightDecay: number;
  readonly gradientScale: number;
} {
  const { tensor, decay, adaptiveRate } = parameter;
  const gradient = tensor.gradient as Float32Array;
  parameter.penalty?.(weightDecay, gradient);
  const adaptive = adaptiveRate === undefined ? 1 : adaptiveScale(adaptiveRate, gradient);
  return {
    weight: tensor.data,
    gradient,
    weightDecay: decay ? weightDecay : 0,
    gradientScale: gradientScale(parameter) * adaptive,
  };
}

function zerosLike(parameters: readonly Parameter[]): ReadonlyMap<Parameter, Tensor> {
  return new Map(
    parameters.map((parameter) => {
      const { shape, size } = parameter.tensor;
      return [parameter, Tensor.persistent(shape, new Float32Array(size))];
    }),
  );
}

function dataOf(memory: ReadonlyMap<Parameter, Tensor>, parameter: Parameter): Float32Array {
  return (memory.get(parameter) as Tensor).data;
}

function named(...kinds: readonly (readonly [string, ReadonlyMap<Parameter, Tensor>])[]): NamedTensors {
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [prefix, memory] of kinds)
    for (const [{ name }, { shape, data }] of memory) state.set(prefix + name, { shape, data });
  return state;
}
