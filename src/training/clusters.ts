/**
 * @file A memory of the optimiser for each cluster of networks that train one tensor ("MS" of CaLR + MS, CVPR'25, arXiv
 * 2503.10740): momentum that families of operators leave in a shared tensor is noise to each other.
 *
 * In the optimiser a tensor is replaced by its stand-ins, one per cluster: parameters over the same weights, each with a
 * gradient and so with a memory of its own. A stand-in without a gradient in a step keeps its memory and moves nothing, like
 * any parameter. A tensor with one cluster is updated to the bit as if it had none.
 *
 * Where several clusters of a tensor have a gradient in one step, each updates its own memory. By SGD the tensor moves by
 * the sum of their velocities, as the gradients of a step add up too. Adam's steps do not grow with the gradient, so by
 * AdamW and RAdam it moves by the mean of their steps. Weight decay counts once either way.
 */
import type { NamedTensors, Parameter } from '../nn/module.js';
import { kernels } from '../tensor/device.js';
import { Tensor } from '../tensor/tensor.js';
import { createOptimiser, type Optimiser, type OptimiserSettings } from './optimiser.js';
import { hasGradient } from './optimiser-state.js';

/** A parameter over the weights of another one, with a gradient of its own. */
export class StandIn implements Parameter {
  readonly name: string;
  readonly tensor: Tensor;
  /** Whether the optimiser's weight decay acts through it. */
  decay: boolean;

  constructor(
    readonly of: Parameter,
    cluster: string,
  ) {
    this.name = `${of.name}@${cluster}`;
    this.tensor = Tensor.view(of.tensor.shape, of.tensor.data);
    this.decay = of.decay;
  }
}

/** Stand-ins of the parameters that have some. */
export type Clusters = ReadonlyMap<Parameter, readonly StandIn[]>;

/** The parameters as the optimiser sees them. */
export function withStandIns(parameters: readonly Parameter[], clusters: Clusters): readonly Parameter[] {
  return parameters.flatMap((parameter): readonly Parameter[] => clusters.get(parameter) ?? [parameter]);
}

/** The optimiser that the settings name, over `parameters` with stand-ins in place of those in `clusters`. */
export function createClusteredOptimiser(
  parameters: readonly Parameter[],
  clusters: Clusters,
  settings: OptimiserSettings,
): Optimiser {
  const inner = createOptimiser(withStandIns(parameters, clusters), settings);
  return clusters.size === 0 ? inner : new ClusteredOptimiser(inner, [...clusters.values()], settings);
}

class ClusteredOptimiser implements Optimiser {
  constructor(
    private readonly inner: Optimiser,
    private readonly clusters: readonly (readonly StandIn[])[],
    private readonly settings: OptimiserSettings,
  ) {}

  get state(): NamedTensors {
    return this.inner.state;
  }

  step(rate: number, gradientScale: (parameter: Parameter) => number = () => 1): void {
    const met = this.clusters
      .map((standIns) => standIns.filter(hasGradient))
      .filter((standIns) => standIns.length > 1)
      .map((standIns) => standIns.map((standIn) => new Waiting(standIn, gradientScale(standIn))));
    this.inner.step(rate, gradientScale);
    for (const standIns of met) this.#decayOnce(standIns, rate);
    for (const [count, tensors] of byLength(met))
      // One cluster of every tensor after the other: they write to the same weights.
      for (let turn = 0; turn < count; turn++) {
        for (const standIns of tensors) standIns[turn]!.enter();
        this.inner.step(this.#isSgd ? rate : rate / count);
        for (const standIns of tensors) standIns[turn]!.leave();
      }
  }

  get #isSgd(): boolean {
    return this.settings.optimiser === undefined || this.settings.optimiser === 'sgd';
  }

  /** SGD decays by the gradient, of which every cluster gets an equal part; the Adams shrink the weights themselves. */
  #decayOnce(standIns: readonly Waiting[], rate: number): void {
    const { of: parameter } = standIns[0]!.standIn;
    const { weightDecay } = this.settings;
    if (!parameter.decay || weightDecay === 0) return;
    const { data } = parameter.tensor;
    if (this.#isSgd)
      for (const { gradient } of standIns) kernels().axpy(weightDecay / standIns.length, data, gradient);
    else kernels().scale(1 - rate * weightDecay, data);
  }

  dispose(): void {
    this.inner.dispose();
  }
}

/** A stand-in whose scaled gradient is set aside until its turn. */
class Waiting {
  readonly gradient: Float32Array;

  constructor(
    readonly standIn: StandIn,
    scale: number,
  ) {
    this.gradient = standIn.tensor.gradient as Float32Array;
    standIn.tensor.gradient = undefined;
    if (scale !== 1) kernels().scale(scale, this.gradient);
  }

  enter(): void {
    this.standIn.decay = false;
    this.standIn.tensor.gradient = this.gradient;
  }

  leave(): void {
    this.standIn.decay = this.standIn.of.decay;
  }
}

function byLength(
  met: readonly (readonly Waiting[])[],
): ReadonlyMap<number, readonly (readonly Waiting[])[]> {
  const groups = new Map<number, (readonly Waiting[])[]>();
  for (const standIns of met) groups.set(standIns.length, [...(groups.get(standIns.length) ?? []), standIns]);
  return groups;
}
