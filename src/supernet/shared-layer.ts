/**
 * @file One layer position of the supernet: a single weight tensor that every operator family uses through its map, or,
 * as a control, a tensor for each.
 *
 * A shared tensor must serve gradients of very different size. The published code normalises the add layer's gradient
 * to a root mean square of 0.2 inside the backward pass, some fifty times what a convolution sends to the same
 * tensor, so that additions drown the rest (operators-and-techniques 0.3; one of the stated suspects for the collapse
 * of the published shared supernets). Here the optimiser rescales the gradient of an adaptive family to the running
 * norm of the multiplying families' gradients on the same tensor. The gradient of the term about distributions is kept
 * aside until then: it is in units of the loss whatever the family, and nothing of it is to be rescaled or followed.
 */
import type { Random } from '../base/random.js';
import type { Parameter, StateBuffer } from '../nn/module.js';
import type {
  LayerGeometry,
  OperatorFamily,
  OwnTensor,
  SharingMap,
  SharingParameter,
} from '../operators/contract.js';
import { ownParameters, projectOwn, storedShape, weightShape } from '../operators/layer.js';
import { deviationOf } from '../operators/statistics.js';
import { WeightLaw } from '../operators/weight-laws.js';
import { kernels } from '../tensor/device.js';
import { sliceWeights } from '../tensor/ops/slice.js';
import { release, take } from '../tensor/pool.js';
import { at, contribute, record, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { adaptiveScale } from '../training/optimiser-state.js';
import { momentDistance, publishedDivergence, sortedDistance } from './distribution.js';
import {
  defaultSharing,
  defaultTermWeights,
  DistributionKind,
  initialShared,
  mapOf,
  SharingKind,
  type SharingSettings,
} from './sharing.js';

/** How fast the running gradient norm follows. */
const normMomentum = 0.9;
/** Adaptive rate of the learned values of a sharing map: they see the sum over a whole tensor or a segment of it. */
const mapAdaptiveRate = 0.02;

/** What the passes of one family in a step sent to the shared tensor. */
export interface GradientPart {
  readonly family: OperatorFamily;
  readonly gradient: Float32Array;
  /** Sum of the weights of these passes. */
  readonly weight: number;
}

/** How a family uses the shared tensor. */
interface Use {
  readonly map: SharingMap;
  /** The learned values of the map. */
  readonly own: readonly Tensor[];
}

/** Fresh values of a map's parameter. */
function initialValues(
  { initial, count = 1, deviation }: SharingParameter,
  random: Random,
): readonly number[] {
  const value = deviation === undefined ? () => initial : () => initial + deviation * random.normal();
  return Array.from({ length: count }, value);
}

export class SharedLayer {
  readonly parameters: readonly Parameter[];
  readonly buffers: readonly StateBuffer[];
  /** Undefined where nothing is shared. */
  readonly #shared: Tensor | undefined;
  readonly #uses: ReadonlyMap<string, Use>;
  /** What each family has for itself: weights that do not come from the shared tensor, and tensors beside the weights. */
  readonly #kept: ReadonlyMap<string, Tensor>;
  readonly #own: ReadonlyMap<string, readonly Tensor[]>;
  /** Running norm of the multiplying families' gradients; 0 before the first. */
  readonly #gradientNorm = new Float32Array(1);
  #familyOfStep: OperatorFamily | undefined;
  /** Families that computed with weights of their own since {@link project}. */
  readonly #usedKept = new Set<OperatorFamily>();
  /** Gradient of the term about distributions by the shared tensor, from the pool. */
  #aside: Float32Array | undefined;

  /** `geometry` is the widest the layer can be; the shared tensor is drawn at the convolution's fan-in scale. */
  constructor(
    readonly name: string,
    private readonly geometry: LayerGeometry,
    readonly families: readonly OperatorFamily[],
    random: Random,
    private readonly sharing: SharingSettings = defaultSharing,
  ) {
    const shared =
      sharing.map === SharingKind.None
        ? undefined
        : Tensor.persistent(weightShape(geometry), initialShared(sharing, geometry, random), true);
    this.#shared = shared;
    const uses = families.map((family) => {
      const map = mapOf(sharing, family);
      const own = (map?.parameters ?? []).map((parameter): Parameter => {
        const values = initialValues(parameter, random);
        return {
          name: `${name}.${family.name}.${parameter.name}`,
          tensor: Tensor.persistent([values.length], values, true),
          decay: false,
          adaptiveRate: mapAdaptiveRate,
        };
      });
      return { family, map, own };
    });
    this.#uses = new Map(
      uses.flatMap(({ family, map, own }) =>
        map === undefined ? [] : [[family.name, { map, own: own.map(({ tensor }) => tensor) }]],
      ),
    );
    const kept = uses.flatMap(({ family, map }) =>
      map !== undefined ? [] : [{ family, parameter: keptParameter(name, family, geometry, random) }],
    );
    this.#kept = new Map(kept.map(({ family, parameter }) => [family.name, parameter.tensor]));
    const own = families.map((family) => ({
      family,
      parameters: ownParameters(`${name}.${family.name}`, family, geometry, random),
    }));
    this.#own = new Map(
      own.map(({ family, parameters }) => [family.name, parameters.map(({ tensor }) => tensor)]),
    );
    this.parameters = [
      ...(shared === undefined ? [] : [{ name: `${name}.shared`, tensor: shared, decay: true }]),
      ...uses.flatMap((use) => use.own),
      ...kept.map(({ parameter }) => parameter),
      ...own.flatMap(({ parameters }) => parameters),
    ];
    this.buffers = shared === undefined ? [] : [{ name: `${name}.gradientNorm`, data: this.#gradientNorm }];
  }

  /** x through this layer as `family`, at the leading `inChannels` x `outChannels` of its weights. */
  forward(x: Tensor, family: OperatorFamily, inChannels: number, outChannels: number): Tensor {
    this.#familyOfStep = family;
    return at(this.name, () => {
      const geometry = { ...this.geometry, inChannels, outChannels };
      const own = (this.#own.get(family.name) as readonly Tensor[]).map((tensor, i) => {
        const [, , rows, columns] = (family.own as readonly OwnTensor[])[i]!.shape(geometry);
        return sliceWeights(tensor, rows, columns);
      });
      return family.forward(x, this.#weights(family, geometry), geometry, own);
    });
  }

  /** The stored weights of `family` for a layer of this geometry, as the tape sees them. */
  #weights(family: OperatorFamily, geometry: LayerGeometry): Tensor {
    const kept = this.#kept.get(family.name);
    if (kept !== undefined) {
      this.#usedKept.add(family);
      const [rows, columns] = storedShape(family, geometry).slice(-2) as [number, number];
      return sliceWeights(kept, rows, columns);
    }
    const shared = this.#shared as Tensor;
    const { map, own } = this.#uses.get(family.name) as Use;
    return map.apply(sliceWeights(shared, geometry.inChannels, geometry.outChannels), own, shared.data);
  }

  /** The weights that `family` computes with here, for histograms: those of the layer at its widest. */
  weightsOf(family: OperatorFamily): Float32Array {
    const kept = this.#kept.get(family.name);
    const besides = (this.#own.get(family.name) as readonly Tensor[]).map(({ data }) => data);
    if (kept !== undefined) return family.effectiveWeights(kept.data, this.geometry, besides).slice();
    const { map, own } = this.#uses.get(family.name) as Use;
    const mapped = tidy(() => map.apply(this.#shared as Tensor, own));
    const weights = family.effectiveWeights(mapped.data, this.geometry, besides).slice();
    if (mapped !== this.#shared) mapped.dispose();
    return weights;
  }

  /**
   * How far the distribution of the weights that `family` has from the shared tensor is from its law: of the shared
   * tensor itself where that is a Gaussian, and behind the family's map where it is not. Undefined where there is no
   * such term: nobody shares the family's weights, or, as released, its term counts for nothing. Of the whole tensor,
   * whatever part of it the family has just used.
   */
  distributionTerm(family: OperatorFamily, random: () => Random): Tensor | undefined {
    const kind = this.sharing.distribution;
    const use = this.#uses.get(family.name);
    if (use === undefined || kind === DistributionKind.None) return undefined;
    const law = family.weightLaw ?? WeightLaw.Gaussian;
    const gaussian = law === WeightLaw.Gaussian;
    if (gaussian && kind === DistributionKind.Published) return undefined;
    const weight = this.sharing.weight ?? defaultTermWeights[kind];
    return at(this.name, () => {
      const shared = this.#sharedAside();
      const weights = gaussian ? shared : use.map.apply(shared, use.own);
      switch (kind) {
        case DistributionKind.Sorted:
          return sortedDistance(weights, law, weight);
        case DistributionKind.Moment:
          return momentDistance(weights, law, weight);
        case DistributionKind.Published:
          return publishedDivergence(weights, law, weight, random());
      }
    });
  }

  /** The shared tensor on the tape, with a gradient that stays aside until {@link takeAside}. */
  #sharedAside(): Tensor {
    const shared = this.#shared as Tensor;
    return record(
      'sharedAside',
      [shared],
      shared.shape,
      (copy) => copy.set(shared.data),
      (gradient) => {
        // Where the family sends none, the optimiser is to see one nevertheless.
        if (shared.gradient === undefined) contribute(shared, (none) => none.fill(0));
        if (this.#aside !== undefined) return kernels().axpy(1, gradient, this.#aside);
        this.#aside = take(shared.size);
        this.#aside.set(gradient);
      },
      { tensors: [], output: false },
    );
  }

  /** Puts what families have for themselves back into its domain, as stand-alone layers do; of weights, those of this step. */
  project(): void {
    for (const family of this.families) projectOwn(family, this.#own.get(family.name) as readonly Tensor[]);
    for (const family of this.#usedKept)
      if (!family.fixedWeights) family.project?.((this.#kept.get(family.name) as Tensor).data);
    this.#usedKept.clear();
  }

  dispose(): void {
    if (this.#aside !== undefined) release(this.#aside);
    this.#aside = undefined;
    for (const { tensor } of this.parameters) tensor.dispose();
  }

  owns(parameter: Parameter): boolean {
    return parameter.tensor === this.#shared;
  }

  /** Of the last pass through the layer. */
  get family(): OperatorFamily | undefined {
    return this.#familyOfStep;
  }

  /**
   * Factors on the parts of the shared tensor's gradient of this step, one of each family: to be asked once per step.
   * Norms are those of a pass of weight 1, so that families with more passes in the step keep their larger part. A
   * multiplying family that sent nothing (its map is detached) says nothing of the size.
   */
  gradientScales(parts: readonly GradientPart[]): readonly number[] {
    const norms = parts
      .filter(({ family }) => family.adaptiveRate === undefined)
      .map(({ gradient, weight }) => Math.sqrt(kernels().sumOfSquares(gradient)) / weight)
      .filter((norm) => norm > 0);
    if (norms.length > 0) {
      const norm = norms.reduce((sum, each) => sum + each, 0) / norms.length;
      const held = this.#gradientNorm[0] as number;
      this.#gradientNorm[0] = held === 0 ? norm : normMomentum * held + (1 - normMomentum) * norm;
    }
    const held = this.#gradientNorm[0] as number;
    return parts.map(({ family, gradient, weight }) => {
      if (family.adaptiveRate === undefined) return 1;
      if (held > 0) return adaptiveScale((weight * held) / Math.sqrt(gradient.length), gradient);
      const size = family.adaptiveRate * deviationOf((this.#shared as Tensor).data);
      return adaptiveScale(weight * size, gradient);
    });
  }

  /** Adds `factor` times what the term about distributions has left aside to `gradient`, once. */
  takeAside(gradient: Float32Array, factor = 1): void {
    if (this.#aside === undefined) return;
    kernels().axpy(factor, this.#aside, gradient);
    release(this.#aside);
    this.#aside = undefined;
  }
}

/** The weights that a family has for itself, with all that a stand-alone layer's would have. */
function keptParameter(
  name: string,
  family: OperatorFamily,
  geometry: LayerGeometry,
  random: Random,
): Parameter {
  const { adaptiveRate, penalty, decay = true, fixedWeights = false } = family;
  const tensor = Tensor.persistent(
    storedShape(family, geometry),
    family.initialWeights(geometry, random),
    !fixedWeights,
  );
  return {
    name: `${name}.${family.name}.weight`,
    tensor,
    decay: !fixedWeights && decay,
    ...(adaptiveRate !== undefined && { adaptiveRate }),
    ...(fixedWeights && { fixed: true }),
    ...(penalty !== undefined && {
      penalty: (weightDecay: number, gradient: Float32Array) => penalty(tensor.data, weightDecay, gradient),
    }),
  };
}
