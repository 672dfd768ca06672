/**
 * @file The gradient of a shared tensor by operator family, for steps in which several families use it.
 *
 * Behind every pass what it left in a shared tensor moves to the part of the pass's family. Behind the last pass of the
 * step each part is brought to the multiplying families' size ({@link SharedLayer.gradientScales}), parts that conflict
 * are projected, and the parts are either added up, or left to the optimiser one by one ({@link StandIn}), which then has a
 * memory for each family. A tensor that one family alone used in a step is scaled by the optimiser itself, behind the
 * clipping, as in a step of one pass.
 */
import { Random } from '../base/random.js';
import { Primitive } from '../hardware/layer.js';
import type { Parameter } from '../nn/module.js';
import { familyNamed } from '../operators/registry.js';
import { kernels } from '../tensor/device.js';
import { StandIn, type Clusters } from '../training/clusters.js';
import { hasGradient } from '../training/optimiser-state.js';
import { Projection, projectOnto, projectPairwise } from './projection.js';
import type { GradientPart, SharedLayer } from './shared-layer.js';

export interface FamilyGradientSettings {
  readonly projection: Projection;
  /** Whether the optimiser keeps a memory for each family. */
  readonly separateState: boolean;
  readonly seed: number;
}

/** The parts of one shared tensor. */
interface SharedTensor {
  readonly layer: SharedLayer;
  readonly parameter: Parameter;
  /** By family name, in order of registration in the space. */
  readonly standIns: ReadonlyMap<string, StandIn>;
  /** Of the families of this step: weight of their passes. */
  readonly weights: Map<string, number>;
}

export class FamilyGradients {
  /** For the optimiser: empty unless it keeps a memory for each family. */
  readonly clusters: Clusters;
  readonly #tensors: readonly SharedTensor[];
  /** Of this step: the parameters, or stand-ins, that one family alone has trained. */
  readonly #lone = new Map<Parameter, { readonly layer: SharedLayer; readonly part: GradientPart }>();

  constructor(
    layers: readonly SharedLayer[],
    families: readonly string[],
    private readonly settings: FamilyGradientSettings,
  ) {
    this.#tensors = layers.flatMap((layer) =>
      layer.parameters
        .filter((parameter) => layer.owns(parameter))
        .map((parameter) => ({
          layer,
          parameter,
          standIns: new Map(families.map((family) => [family, new StandIn(parameter, family)])),
          weights: new Map<string, number>(),
        })),
    );
    this.clusters = new Map(
      settings.separateState
        ? this.#tensors.map(({ parameter, standIns }) => [parameter, [...standIns.values()]])
        : [],
    );
  }

  /** Behind a pass: moves its gradients to the parts of the families it used. */
  afterPass(weight: number): void {
    for (const { layer, parameter, standIns, weights } of this.#tensors) {
      const { tensor } = parameter;
      const { gradient } = tensor;
      const family = layer.family?.name;
      if (gradient === undefined || family === undefined) continue;
      const part = standIns.get(family)!.tensor;
      if (part.gradient === undefined) {
        part.gradient = gradient;
        tensor.gradient = undefined;
      } else {
        kernels().axpy(1, gradient, part.gradient);
        tensor.dropGradient();
      }
      weights.set(family, (weights.get(family) ?? 0) + weight);
    }
  }

  /** Behind the last pass of a step: leaves the gradients as the optimiser is to see them. */
  afterPasses(step: number): void {
    this.#lone.clear();
    for (const tensor of this.#tensors) this.#finish(tensor, step);
  }

  #finish({ layer, parameter, standIns, weights }: SharedTensor, step: number): void {
    const met = [...standIns].filter(([, standIn]) => hasGradient(standIn));
    const parts = met.map(([family, standIn]) => ({
      family: familyNamed(family),
      gradient: standIn.tensor.gradient as Float32Array,
      weight: weights.get(family)!,
    }));
    weights.clear();
    const { separateState } = this.settings;
    if (parts.length === 1) {
      const [[, standIn], part] = [met[0]!, parts[0]!];
      this.#lone.set(separateState ? standIn : parameter, { layer, part });
    } else if (parts.length > 1) {
      layer.gradientScales(parts).forEach((scale, at) => {
        if (scale !== 1) kernels().scale(scale, parts[at]!.gradient);
      });
      this.#project(layer.name, parts, step);
      // What the term about distributions wants of the tensor is no family's: the first memory serves.
      layer.takeAside(parts[0]!.gradient);
    }
    if (separateState) return;
    for (const [, { tensor }] of met) {
      const { gradient } = tensor;
      const held = parameter.tensor.gradient;
      if (held === undefined) {
        parameter.tensor.gradient = gradient;
        tensor.gradient = undefined;
      } else {
        kernels().axpy(1, gradient as Float32Array, held);
        tensor.dropGradient();
      }
    }
  }

  #project(name: string, parts: readonly GradientPart[], step: number): void {
    const { projection, seed } = this.settings;
    const gradients = parts.map(({ gradient }) => gradient);
    if (projection === Projection.Pairwise)
      projectPairwise(gradients, Random.stream(seed, 'projection', name, step));
    if (projection !== Projection.Multiplying) return;
    const multiplies = ({ family }: GradientPart): boolean => family.primitive === Primitive.Multiply;
    projectOnto(
      parts.filter(multiplies).map(({ gradient }) => gradient),
      parts.filter((part) => !multiplies(part)).map(({ gradient }) => gradient),
    );
  }

  /** For the optimiser, once per step. */
  gradientScale(parameter: Parameter): number {
    const lone = this.#lone.get(parameter);
    if (lone === undefined) return 1;
    const scale = lone.layer.gradientScales([lone.part])[0] as number;
    lone.layer.takeAside(lone.part.gradient, 1 / scale);
    return scale;
  }

  /** Gives back what a step that failed has left. */
  dispose(): void {
    for (const { standIns } of this.#tensors)
      for (const { tensor } of standIns.values()) tensor.dropGradient();
  }
}
