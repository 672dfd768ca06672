/**
 * @file One layer position of the supernet: a single weight tensor that every operator family uses through its map.
 *
 * A shared tensor must serve gradients of very different size. The published code normalises the add layer's gradient
 * to a root mean square of 0.2 inside the backward pass, some fifty times what a convolution sends to the same
 * tensor, so that additions drown the rest (operators-and-techniques 0.3; one of the stated suspects for the collapse
 * of the published shared supernets). Here the optimiser rescales the gradient of an adaptive family to the running
 * norm of the multiplying families' gradients on the same tensor.
 */
import type { Random } from '../base/random.js';
import type { Parameter, StateBuffer } from '../nn/module.js';
import type { LayerGeometry, OperatorFamily, OwnTensor } from '../operators/contract.js';
import { kaimingNormal } from '../operators/initialisation.js';
import { deviationOf } from '../operators/statistics.js';
import { adaptiveScale } from '../training/optimiser-state.js';
import { ownParameters, weightShape } from '../operators/layer.js';
import { kernels } from '../tensor/device.js';
import { sliceWeights } from '../tensor/ops/slice.js';
import { at } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';

/** How fast the running gradient norm follows. */
const normMomentum = 0.9;
/** Adaptive rate of the learned scalars of a sharing map: they see the sum over a whole tensor. */
const scalarAdaptiveRate = 0.02;

/** What the passes of one family in a step sent to the shared tensor. */
export interface GradientPart {
  readonly family: OperatorFamily;
  readonly gradient: Float32Array;
  /** Sum of the weights of these passes. */
  readonly weight: number;
}

/** Whether a family's weights cannot come from a shared tensor. */
function keepsWeights({ fixedWeights = false, weightShape: ownShape }: OperatorFamily): boolean {
  return fixedWeights || ownShape !== undefined;
}

export class SharedLayer {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  readonly #shared: Tensor;
  /** The learned scalars of each family's map. */
  readonly #scalars: ReadonlyMap<string, readonly Tensor[]>;
  /** What each family has for itself: weights that no other could share, and tensors beside the weights. */
  readonly #kept: ReadonlyMap<string, Tensor>;
  readonly #own: ReadonlyMap<string, readonly Tensor[]>;
  /** Running norm of the multiplying families' gradients; 0 before the first. */
  readonly #gradientNorm = new Float32Array(1);
  #familyOfStep: OperatorFamily | undefined;

  /** `geometry` is the widest the layer can be; the shared tensor is drawn at the convolution's fan-in scale. */
  constructor(
    readonly name: string,
    private readonly geometry: LayerGeometry,
    families: readonly OperatorFamily[],
    random: Random,
  ) {
    this.#shared = Tensor.persistent(weightShape(geometry), kaimingNormal(geometry, random), true);
    const scalars = families.map((family) => ({
      family,
      tensors: family.sharing.parameters.map(({ initial }) => Tensor.persistent([1], [initial], true)),
    }));
    this.#scalars = new Map(scalars.map(({ family, tensors }) => [family.name, tensors]));
    const kept = families.filter(keepsWeights).map((family) => ({
      family,
      tensor: Tensor.persistent(
        family.weightShape?.(geometry) ?? weightShape(geometry),
        family.initialWeights(geometry, random),
        !family.fixedWeights,
      ),
    }));
    this.#kept = new Map(kept.map(({ family, tensor }) => [family.name, tensor]));
    const own = families.map((family) => ({
      family,
      parameters: ownParameters(`${name}.${family.name}`, family, geometry, random),
    }));
    this.#own = new Map(
      own.map(({ family, parameters }) => [family.name, parameters.map(({ tensor }) => tensor)]),
    );
    this.parameters = [
      { name: `${name}.shared`, tensor: this.#shared, decay: true },
      ...scalars.flatMap(({ family, tensors }) =>
        family.sharing.parameters.map((parameter, i) => ({
          name: `${name}.${family.name}.${parameter.name}`,
          tensor: tensors[i] as Tensor,
          decay: false,
          adaptiveRate: scalarAdaptiveRate,
        })),
      ),
      ...kept.map(({ family, tensor }) => ({
        name: `${name}.${family.name}.weight`,
        tensor,
        decay: !family.fixedWeights && (family.decay ?? true),
        ...(family.adaptiveRate !== undefined && { adaptiveRate: family.adaptiveRate }),
        ...(family.fixedWeights && { fixed: true }),
      })),
      ...own.flatMap(({ parameters }) => parameters),
    ];
    this.buffers = [{ name: `${name}.gradientNorm`, data: this.#gradientNorm }];
  }

  /** x through this layer as `family`, at the leading `inChannels` x `outChannels` of the shared tensor. */
  forward(x: Tensor, family: OperatorFamily, inChannels: number, outChannels: number): Tensor {
    this.#familyOfStep = family;
    return at(this.name, () => {
      const geometry = { ...this.geometry, inChannels, outChannels };
      const kept = this.#kept.get(family.name);
      const [, , rows, columns] = family.weightShape?.(geometry) ?? [0, 0, inChannels, outChannels];
      const slice = sliceWeights(kept ?? this.#shared, rows, columns);
      const weights = kept === undefined ? this.#mapped(family, slice) : slice;
      const own = (this.#own.get(family.name) as readonly Tensor[]).map((tensor, i) => {
        const [, , rows, columns] = (family.own as readonly OwnTensor[])[i]!.shape(geometry);
        return sliceWeights(tensor, rows, columns);
      });
      return family.forward(x, weights, geometry, own);
    });
  }

  #mapped(family: OperatorFamily, shared: Tensor): Tensor {
    return family.sharing.apply(shared, this.#scalars.get(family.name) as readonly Tensor[]);
  }

  /** The weights that `family` computes with here, for histograms: its map applied to the whole shared tensor. */
  weightsOf(family: OperatorFamily): Float32Array {
    const kept = this.#kept.get(family.name);
    if (kept !== undefined) return family.effectiveWeights(kept.data, this.geometry).slice();
    const mapped = this.#mapped(family, this.#shared);
    const weights = family.effectiveWeights(mapped.data).slice();
    if (mapped !== this.#shared) mapped.dispose();
    return weights;
  }

  owns(parameter: Parameter): boolean {
    return parameter.tensor === this.#shared;
  }

  /** Of the last pass through the layer. */
  get family(): OperatorFamily | undefined {
    return this.#familyOfStep;
  }

  /** Factor on the shared tensor's gradient of this step; also follows the multiplying families' norm. */
  gradientScale(): number {
    const family = this.#familyOfStep;
    const gradient = this.#shared.gradient;
    if (family === undefined || gradient === undefined) return 1;
    return this.gradientScales([{ family, gradient, weight: 1 }])[0] as number;
  }

  /**
   * Factors on the parts of the shared tensor's gradient of this step, one of each family: to be asked once per step.
   * Norms are those of a pass of weight 1, so that families with more passes in the step keep their larger part.
   */
  gradientScales(parts: readonly GradientPart[]): readonly number[] {
    const norms = parts
      .filter(({ family }) => family.adaptiveRate === undefined)
      .map(({ gradient, weight }) => Math.sqrt(kernels().sumOfSquares(gradient)) / weight);
    if (norms.length > 0) {
      const norm = norms.reduce((sum, each) => sum + each, 0) / norms.length;
      const held = this.#gradientNorm[0] as number;
      this.#gradientNorm[0] = held === 0 ? norm : normMomentum * held + (1 - normMomentum) * norm;
    }
    const held = this.#gradientNorm[0] as number;
    return parts.map(({ family, gradient, weight }) => {
      if (family.adaptiveRate === undefined) return 1;
      if (held > 0) return adaptiveScale((weight * held) / Math.sqrt(gradient.length), gradient);
      return adaptiveScale(weight * family.adaptiveRate * deviationOf(this.#shared.data), gradient);
    });
  }
}
