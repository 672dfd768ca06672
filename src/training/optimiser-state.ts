/**
 * @file What the optimisers share: what each does with a parameter before its own rule, and the memory of the Adams.
 */
import type { NamedTensors, Parameter } from '../nn/module.js';
import { kernels } from '../tensor/device.js';
import type { AdamWItem } from '../tensor/kernels.js';
import { Tensor } from '../tensor/tensor.js';

/**
 * Factor by which the optimiser rescales the accumulated gradient of an adaptive parameter: eta sqrt(k) / ||g||, so
 * that every step has a root mean square of eta before the learning rate (AdderNet, CVPR'20, equation 13). A zero
 * gradient stays zero.
 */
export function adaptiveScale(eta: number, gradient: Float32Array): number {
  const norm = Math.sqrt(kernels().sumOfSquares(gradient));
  return (eta * Math.sqrt(gradient.length)) / Math.max(norm, 1e-12);
}

export function hasGradient({ tensor }: Parameter): boolean {
  return tensor.gradient !== undefined;
}

/**
 * What every optimiser does with a parameter: adds its penalty to the gradient; where it is, whether it decays, by how
 * much its gradient is scaled.
 */
export function commonItem(
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

export function zerosLike(parameters: readonly Parameter[]): ReadonlyMap<Parameter, Tensor> {
  return new Map(
    parameters.map((parameter) => {
      const { shape, size } = parameter.tensor;
      return [parameter, Tensor.persistent(shape, new Float32Array(size))];
    }),
  );
}

export function dataOf(memory: ReadonlyMap<Parameter, Tensor>, parameter: Parameter): Float32Array {
  return (memory.get(parameter) as Tensor).data;
}

export function named(
  ...kinds: readonly (readonly [string, ReadonlyMap<Parameter, Tensor>])[]
): NamedTensors {
  const state = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [prefix, memory] of kinds)
    for (const [{ name }, { shape, data }] of memory) state.set(prefix + name, { shape, data });
  return state;
}

/** Running means of the gradient and of its square, and the count of its own steps, for each parameter. */
export class AdamMemory {
  readonly state: NamedTensors;
  readonly #means: ReadonlyMap<Parameter, Tensor>;
  readonly #squares: ReadonlyMap<Parameter, Tensor>;
  readonly #steps: ReadonlyMap<Parameter, Tensor>;

  /** `prefix` begins the names that checkpoints have for it. */
  constructor(parameters: readonly Parameter[], prefix: string) {
    this.#means = zerosLike(parameters);
    this.#squares = zerosLike(parameters);
    this.#steps = new Map(parameters.map((parameter) => [parameter, Tensor.persistent([1], [0])]));
    this.state = named(
      [`${prefix}.mean:`, this.#means],
      [`${prefix}.square:`, this.#squares],
      [`${prefix}.steps:`, this.#steps],
    );
  }

  /** Counts one more step of a parameter with a gradient and says where everything of it is. */
  nextItem(
    parameter: Parameter,
    weightDecay: number,
    gradientScale: (parameter: Parameter) => number,
  ): AdamWItem {
    const steps = dataOf(this.#steps, parameter);
    steps[0] = (steps[0] as number) + 1;
    return {
      ...commonItem(parameter, weightDecay, gradientScale),
      mean: dataOf(this.#means, parameter),
      square: dataOf(this.#squares, parameter),
      step: steps[0],
    };
  }

  dispose(): void {
    for (const memory of [this.#means, this.#squares, this.#steps])
      for (const tensor of memory.values()) tensor.dispose();
  }
}
