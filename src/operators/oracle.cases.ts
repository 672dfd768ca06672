/**
 * @file How a test writes down what an operator family computes: by the terms of its sums, as a whole, or by what its stored
 * values together choose. Tests only.
 */
import { eachTap, filter64, type Array64, type Filter64 } from '../tensor/float64.cases.js';
import type { LayerGeometry } from './contract.js';

/** One family as its publication defines it. */
export type FamilyOracle = TermOracle | LayerOracle | ChoiceOracle;

interface EffectiveOracle {
  /** The value that a weight is computed with, given what is stored of it: one number per plane of the family. */
  readonly effective: (...stored: readonly number[]) => number;
}

/** A layer that is one sum, by what a weight adds to it. All but `effective` see the effective weight. */
export interface TermOracle extends TermRules, EffectiveOracle {
  /** dL/dw times these is the gradient of the stored values; absent: dL/dw is that of the one stored value. */
  readonly storedRule?: (...stored: readonly number[]) => readonly number[];
  /** Whether the two rules are the derivative of `term`; then finite differences of the layer must agree too. */
  readonly isDerivative: boolean;
}

/** A layer that is more than one sum, or has tensors beside its weights, as a whole. */
export interface LayerOracle extends EffectiveOracle {
  /** From x, the stored weights, the tensors beside them and dL/dy. */
  readonly pass: (
    x: Array64,
    w: Array64,
    own: readonly Array64[],
    dy: ArrayLike<number>,
    geometry: LayerGeometry,
  ) => Pass64;
}

/** A layer whose stored values together say what it computes with, of the shape that its family has for them. */
export interface ChoiceOracle extends Pick<LayerOracle, 'pass'> {
  /** The values computed with, as many as are stored. */
  readonly effectiveOf: (stored: Float32Array, geometry: LayerGeometry) => Float32Array;
  /**
   * Outputs that one stored value has a say in, by its place: a NaN there shows in the effective values of these and no
   * other.
   */
  readonly outputOf: (at: number, geometry: LayerGeometry) => number;
  /** An output is made of one input: where there are fewer outputs than inputs of a window, some inputs get no gradient. */
  readonly takesOneInput: true;
}

/** An output and dL/d everything that led to it. */
export interface Pass64 {
  readonly y: Float64Array;
  readonly dx: Float64Array;
  readonly dw: Float64Array;
  readonly own: readonly Float64Array[];
  /**
   * For gradients in `own` that are sums of terms of both signs: the sum of their magnitudes, against which rounding errors
   * are measured; absent, against the gradients themselves.
   */
  readonly ownMagnitudes?: readonly number[];
}

export interface TermRules {
  /** What x and w add to the output. */
  readonly term: (x: number, w: number) => number;
  /** dL/dx gains dy times this. */
  readonly inputRule: (x: number, w: number) => number;
  /** dL/dw gains dy times this. */
  readonly weightRule: (x: number, w: number) => number;
}

/** A layer of these terms in float64, at effective weights. */
export function termPass(
  { term, inputRule, weightRule }: TermRules,
  x: Array64,
  w: Array64,
  dy: ArrayLike<number>,
  geometry: Filter64,
): Pass64 {
  const [dx, dw] = [new Float64Array(x.data.length), new Float64Array(w.data.length)];
  eachTap(x, w, geometry, (from, tap, to) => {
    const [xAt, wAt] = [from < 0 ? 0 : x.data[from]!, w.data[tap]!];
    if (from >= 0) dx[from]! += dy[to]! * inputRule(xAt, wAt);
    dw[tap]! += dy[to]! * weightRule(xAt, wAt);
  });
  return { y: filter64(x, w, term, geometry).data, dx, dw, own: [] };
}
