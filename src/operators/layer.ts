/**
 * @file A stand-alone layer of any operator family, with its own weights.
 */
import type { Random } from '../base/random.js';
import type { Module, Parameter } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { LayerGeometry, OperatorFamily } from './contract.js';

/** Shape [k, k, in / groups, out] of a layer's weights. */
export function weightShape(geometry: LayerGeometry): readonly [number, number, number, number] {
  const { kernel, inChannels, groups, outChannels } = geometry;
  return [kernel, kernel, inChannels / groups, outChannels];
}

/** Shape of what `family` trains for such a layer: the weights, behind an axis of planes where it has one. */
export function storedShape(
  family: Pick<OperatorFamily, 'planes'>,
  geometry: LayerGeometry,
): readonly number[] {
  const shape = weightShape(geometry);
  return family.planes === undefined ? shape : [family.planes, ...shape];
}

/** Fresh parameters `PREFIX.NAME` for the tensors that a family has beside its weights. */
export function ownParameters(
  prefix: string,
  family: OperatorFamily,
  geometry: LayerGeometry,
  random: Random,
): readonly Parameter[] {
  return (family.own ?? []).map(({ name, shape, initialValues, decay, adaptiveRate, fixed = false }) => ({
    name: `${prefix}.${name}`,
    tensor: Tensor.persistent(shape(geometry), initialValues(geometry, random), !fixed),
    decay,
    ...(adaptiveRate !== undefined && { adaptiveRate }),
    ...(fixed && { fixed }),
  }));
}

export class OperatorLayer implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  /** What the layer computes instead of its family's `forward`, as long as a technique of training says so. */
  variant: Pick<OperatorFamily, 'forward'> | undefined;
  /** Is shown every output when it has been recorded. */
  tap: ((output: Tensor) => void) | undefined;
  readonly #weight: Tensor;
  readonly #own: readonly Tensor[];

  constructor(
    readonly name: string,
    readonly family: OperatorFamily,
    readonly geometry: LayerGeometry,
    random: Random,
  ) {
    const { adaptiveRate, decay = true, penalty, fixedWeights = false } = family;
    const tensor = Tensor.persistent(
      storedShape(family, geometry),
      family.initialWeights(geometry, random),
      !fixedWeights,
    );
    this.#weight = tensor;
    const own = ownParameters(name, family, geometry, random);
    this.#own = own.map((parameter) => parameter.tensor);
    this.parameters = [
      {
        name: `${name}.weight`,
        tensor,
        decay,
        ...(adaptiveRate !== undefined && { adaptiveRate }),
        ...(fixedWeights && { fixed: true }),
        ...(penalty !== undefined && {
          penalty: (weightDecay, gradient) => penalty(tensor.data, weightDecay, gradient),
        }),
      },
      ...own,
    ];
  }

  /** What is trained of each weight, and stored. */
  get weight(): Tensor {
    return this.#weight;
  }

  forward(x: Tensor): Tensor {
    const { forward } = this.variant ?? this.family;
    const output = at(this.name, () => forward(x, this.#weight, this.geometry, this.#own));
    this.tap?.(output);
    return output;
  }

  /** Called by the trainer after each optimiser step; frozen weights stay as they are. */
  project(): void {
    if (this.#weight.requiresGradient) this.family.project?.(this.#weight.data);
  }

  /** The values the layer computes with. */
  effectiveWeights(): Float32Array {
    return this.family.effectiveWeights(this.#weight.data);
  }

  lower(graph: OnnxGraph, input: string): string {
    const own = this.#own.map(({ data }) => data);
    return this.family.lower(graph, this.name, input, this.#weight.data, this.geometry, own);
  }
}
