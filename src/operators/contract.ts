/**
 * @file The contract of an operator family: everything the system must know of it stands in one folder.
 *
 * A family answers four questions: what the layer computes and by which gradient rule (several are deliberately not
 * the derivative), how its weights come from a tensor shared with other families, what it costs (pure data), and how
 * it lowers to an export format. To add a family is to add a folder and one line in `registry.ts`.
 */
import type { Random } from '../base/random.js';
import type { LayerDescription, OperandBits, Primitive } from '../hardware/layer.js';
import type { OnnxGraph } from '../nn/onnx/graph.js';
import type { Tensor } from '../tensor/tensor.js';
import type { VarianceTransfer } from './variance.js';
import type { WeightLaw } from './weight-laws.js';

/** Static geometry of one convolution-like layer; square kernels and strides. Weights are [kernel, kernel, in / groups, out]. */
export interface LayerGeometry {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  /** Zero padding on each side. */
  readonly padding: number;
  readonly groups: number;
  /** No input is ever negative, since it comes from a ReLU or the like; absent: some may be. */
  readonly nonNegativeInput?: boolean;
}

/** Learned values that a sharing map keeps per shared tensor. */
export interface SharingParameter {
  readonly name: string;
  /** At the start; their mean, where they have a deviation. */
  readonly initial: number;
  /** Default 1. */
  readonly count?: number;
  /** They start as normal values with this standard deviation; default 0. */
  readonly deviation?: number;
}

/** How a family's weights are obtained from a tensor that several families share. */
export interface SharingMap {
  /** Own learned values of the map, one tensor [count] of each per shared tensor. */
  readonly parameters: readonly SharingParameter[];
  /**
   * The family's stored weights, differentiably, from the shared tensor (one value per weight) and the map's own
   * tensors. Where `shared` was cut from a wider one, `whole` has the values of that: a map that depends on more than
   * each value by itself can so be the same in every width.
   */
  apply(shared: Tensor, own: readonly Tensor[], whole?: Float32Array): Tensor;
}

export interface InvertibleSharingMap extends SharingMap {
  /**
   * Shared values that map to these weights when the map's scalars are `own`: `apply(invert(w)) = w` up to rounding
   * for any weights of the family whose shared tensor has standard deviation `sharedStd`.
   */
  invert(weights: Float32Array, own: readonly number[], sharedStd: number): Float32Array;
}

/** What a family makes of a shared tensor whose values were multiplied by a learned factor each (`piecewise.ts`). */
export interface PiecewiseForm {
  /** Root mean square that the family's weights start at, where that is not the shared tensor's own. */
  readonly deviation?: number;
  /** The stored weights, of families that do not store the values themselves. */
  readonly stored?: (values: Tensor) => Tensor;
  /**
   * As published, each of the family's planes has factors of its own, and the shared tensor gets no gradient; absent, as
   * published the one multiplied tensor is the family's weights.
   */
  readonly publishedPlanes?: number;
}

/** A tensor that layers of a family have beside their weights; other families know nothing of it. */
export interface OwnTensor {
  /** Last part of the parameter's name: `threshold`. */
  readonly name: string;
  /**
   * Four axes, of which the last two may grow with the layer's channels: where a supernet runs a layer narrower than it
   * can be, the leading part of these two is used.
   */
  shape(geometry: LayerGeometry): readonly [number, number, number, number];
  initialValues(geometry: LayerGeometry, random: Random): Float32Array;
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** As {@link OperatorFamily.adaptiveRate}, for this tensor. */
  readonly adaptiveRate?: number;
  /** Never trained; a technique may set its values. */
  readonly fixed?: boolean;
  /** Values that an optimiser step took below it are brought back to it; absent: any value will do. */
  readonly least?: number;
}

/** What one layer of arithmetic is made of, as pure data. */
export interface LayerCost {
  readonly primitive: Primitive;
  readonly operandBits: OperandBits;
}

/** A layer on its map, as a cost model sees it. */
export type LayerOnMap = Omit<LayerDescription, 'name' | 'primitive' | 'operandBits' | 'role' | 'copies'>;

/** Name of what a layer reads, among what its parts read. */
export const layerInput = 'input';

/** One layer of arithmetic of a layer that is made of several. */
export interface LayerPart extends LayerOnMap, LayerCost {
  /** It is called `LAYER.NAME`; the last part, whose output is the layer's, has none and is called as the layer. */
  readonly name?: string;
  /** Independent products of this shape, such as those of heads. */
  readonly copies?: number;
  /** What it reads: names of earlier parts, and {@link layerInput}. */
  readonly reads: readonly string[];
  /** Both its operands are outputs of other parts: it has no weights to be stored. */
  readonly weightless?: boolean;
}

/** How a family leaves terms out of its sums: `mask` has a 1 for each weight whose term stays, and a 0 for the others. */
export interface Masking {
  /** How much the term of each weight matters, 0 or more, given stored weights and inputs [N, H, W, in] of the layer. */
  importance(weights: Float32Array, geometry: LayerGeometry, x: Float32Array): Float32Array;
  forward(x: Tensor, weights: Tensor, mask: Tensor, geometry: LayerGeometry, own?: readonly Tensor[]): Tensor;
  lower(
    graph: OnnxGraph,
    name: string,
    input: string,
    weights: Float32Array,
    mask: Float32Array,
    geometry: LayerGeometry,
    own?: readonly Float32Array[],
  ): string;
}

/** What a layer sums up over its windows, for conversions of trained layers into integers and binary codes. */
export enum WindowSum {
  /** x w of real numbers. */
  Products = 'products',
  /** -|x - w| of real numbers. */
  Distances = 'distances',
}

export interface OperatorFamily {
  /** Registry name: `conv`, `pot.q`, `add`. */
  readonly name: string;
  /** One word for tables and baseline names (`all-shift`): `conv`, `shift`, `add`. */
  readonly shortName: string;
  /** For people: `Convolution`. */
  readonly title: string;
  /** CSS colour of the family in every picture. */
  readonly colour: string;

  // --- the layer
  /**
   * Trained values behind each weight, for families that make a weight of several (sign and exponent). Stored weights
   * then have the shape [planes, kernel, kernel, in / groups, out]; absent, there is one and no such axis.
   */
  readonly planes?: number;
  /**
   * Shape of the stored weights, where there is not one for each input and output of the kernel; four axes, of which a
   * supernet that runs a layer narrower uses the leading part of the last two. Such weights are nothing that other families
   * could share: a supernet keeps them with the layer, for this family alone, and the sharing map is not asked.
   */
  weightShape?(geometry: LayerGeometry): readonly [number, number, number, number];
  /** Fresh stored weights, [kernel, kernel, in / groups, out] for each plane. */
  initialWeights(geometry: LayerGeometry, random: Random): Float32Array;
  /** Tensors of each layer beside the weights, in the order in which `forward` and `lower` take them; absent: none. */
  readonly own?: readonly OwnTensor[];
  /**
   * The weights are drawn once and never trained. A supernet then keeps them with the layer, for this family alone: they
   * cannot follow a tensor that others train, so the sharing map is not asked.
   */
  readonly fixedWeights?: boolean;
  /** x [N, H, W, in] and stored weights -> [N, H', W', out], recorded on the tape with the family's own gradient rule. */
  forward(x: Tensor, weights: Tensor, geometry: LayerGeometry, own?: readonly Tensor[]): Tensor;
  /**
   * The values the layer really computes with, one per weight, for export, histograms and bit counts (powers of two for
   * pot.q). Families with a `weightShape` must be told the geometry; where tensors beside the weights have a part in them,
   * these too.
   */
  effectiveWeights(
    weights: Float32Array,
    geometry?: LayerGeometry,
    own?: readonly Float32Array[],
  ): Float32Array;
  /** Puts stand-alone weights back into the family's domain after an optimiser step; absent when there is nothing to do. */
  readonly project?: (weights: Float32Array) => void;
  /** Whether weight decay acts on the stored weights as they are; absent: it does. */
  readonly decay?: boolean;
  /**
   * Adds to the gradient of stand-alone stored weights, once per optimiser step, that of a penalty of the family's own;
   * `weightDecay` is the optimiser's coefficient.
   */
  readonly penalty?: (weights: Float32Array, weightDecay: number, gradient: Float32Array) => void;
  /**
   * Adaptive learning rate (AdderNet): the optimiser rescales this family's weight gradient to eta * sqrt(count) / ||g||
   * times itself. It belongs to the optimiser, after accumulation, never to the backward pass.
   */
  readonly adaptiveRate?: number;

  /**
   * The outputs have no scale of their own (they are never positive, or sums of signs or of whole powers of two), so that
   * a batch norm must follow every layer, the classifier included.
   */
  readonly needsNorm?: boolean;

  /** The closed form of how its weights come from a shared tensor. */
  readonly sharing: InvertibleSharingMap;
  /** Of families that may see the shared tensor through learned factors of its segments; absent: they never do. */
  readonly piecewise?: PiecewiseForm;
  /** What its real-valued weights are distributed like when they have been trained alone; default Gaussian. */
  readonly weightLaw?: WeightLaw;

  /** How far the outputs spread, for scores that need no training: closed form, pure data. */
  readonly variance: VarianceTransfer;

  // --- what techniques of training ask for
  /** The layer with binary activations and real weights, which the first of two stages of binarisation trains. */
  readonly firstStage?: Pick<OperatorFamily, 'forward'>;
  /** The layer without the terms of masked weights; absent: a term cannot be left out of its sums. */
  readonly masking?: Masking;

  // --- cost, as pure data
  readonly primitive: Primitive;
  readonly operandBits: OperandBits;
  /** Width of an activation that waits in memory for a layer, where it is more than that of the operand it becomes. */
  readonly storedActivationBits?: number;
  /**
   * For families whose layer is several layers of arithmetic, these in order of execution; absent, the layer is one, of
   * `primitive` and `operandBits`, which otherwise are those of the part that tables name the family by.
   */
  readonly parts?: (layer: LayerOnMap) => readonly LayerPart[];
  /**
   * Set where the layer is nothing but this sum over its stored weights, one real number each: then trained layers can be
   * converted. Absent, they stay as they are.
   */
  readonly windowSum?: WindowSum;

  // --- export
  /** Emits the layer (NCHW there) and returns the name of its output. `weights` are the stored ones. */
  lower(
    graph: OnnxGraph,
    name: string,
    input: string,
    weights: Float32Array,
    geometry: LayerGeometry,
    own?: readonly Float32Array[],
  ): string;
}
