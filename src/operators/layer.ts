/**
 * @file A stand-alone layer of any operator family, with its own weights.
 */
import { OptionError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import type { LayerForm, Module, Parameter } from '../nn/module.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { LayerGeometry, Masking, OperatorFamily } from './contract.js';

/** Shape [k, k, in / groups, out] of a layer's weights. */
export function weightShape(geometry: LayerGeometry): readonly [number, number, number, number] {
  const { kernel, inChannels, groups, outChannels } = geometry;
  return [kernel, kernel, inChannels / groups, outChannels];
}

/** Shape of what `family` trains for such a layer: its weights, behind an axis of planes where it has one. */
export function storedShape(
  family: Pick<OperatorFamily, 'planes' | 'weightShape'>,
  geometry: LayerGeometry,
): readonly number[] {
  const shape = family.weightShape?.(geometry) ?? weightShape(geometry);
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

/** Brings the values of the tensors that a family has beside its weights back to the least that they may be. */
export function projectOwn({ own = [] }: OperatorFamily, tensors: readonly Tensor[]): void {
  own.forEach(({ least }, at) => {
    const { data, requiresGradient } = tensors[at]!;
    if (least === undefined || !requiresGradient) return;
    for (let i = 0; i < data.length; i++) if (data[i]! < least) data[i] = least;
  });
}

export class OperatorLayer implements Module {
  readonly parameters: readonly Parameter[];
  readonly buffers = [];
  /** What the layer computes instead of its family's `forward`, as long as a technique of training says so. */
  variant: Pick<OperatorFamily, 'forward'> | undefined;
  /** Is shown every output when it has been recorded. */
  tap: ((output: Tensor) => void) | undefined;
  #mask: Tensor | undefined;
  /** What stands around the family's computation; undefined for layers as they are trained. */
  form: LayerForm | undefined;
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
    const output = at(this.name, () =>
      this.form === undefined ? this.#compute(x) : this.form.forward(x, (input) => this.#compute(input)),
    );
    this.tap?.(output);
    return output;
  }

  #compute(x: Tensor): Tensor {
    const { family, variant, geometry } = this;
    if (variant === undefined && this.#mask !== undefined)
      return (family.masking as Masking).forward(x, this.#weight, this.#mask, geometry, this.#own);
    return (variant ?? family).forward(x, this.#weight, geometry, this.#own);
  }

  /** 1 for each weight whose term is in the sums, 0 for each that was left out; undefined when all are in. */
  get mask(): Float32Array | undefined {
    return this.#mask?.data;
  }

  /**
   * Leaves out the terms of weights with a 0 from now on, in forward passes and in exports; the layer reads `mask`
   * whenever it computes. @throws OptionError for a family that cannot, ShapeError for another number of weights
   */
  setMask(mask: Float32Array | undefined): void {
    if (mask !== undefined && this.family.masking === undefined)
      throw new OptionError(
        `${this.name}: a term of family '${this.family.name}' cannot be left out: no weight makes it zero; prune other families`,
      );
    this.#mask = mask && Tensor.view(weightShape(this.geometry), mask);
  }

  /** Called by the trainer after each optimiser step; frozen weights stay as they are. */
  project(): void {
    if (this.#weight.requiresGradient) this.family.project?.(this.#weight.data);
    projectOwn(this.family, this.#own);
  }

  /** The values the layer computes with. */
  effectiveWeights(): Float32Array {
    return this.family.effectiveWeights(
      this.#weight.data,
      this.geometry,
      this.#own.map(({ data }) => data),
    );
  }

  lower(graph: OnnxGraph, input: string): string {
    const own = this.#own.map(({ data }) => data);
    const plain = (name: string, from: string): string => {
      if (this.mask === undefined)
        return this.family.lower(graph, name, from, this.#weight.data, this.geometry, own);
      const { lower } = this.family.masking as Masking;
      return lower(graph, name, from, this.#weight.data, this.mask, this.geometry, own);
    };
    return this.form === undefined
      ? plain(this.name, input)
      : this.form.lower(graph, this.name, input, plain);
  }
}
