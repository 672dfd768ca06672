/**
 * @file A family with operands of B bits, made of one with wide operands: `conv.int8`, `add.int6`, `pot.q.int4`. Its layers
 * are trained as they will be computed (quantisation-aware): operands are rounded to integers times a step that is learned
 * (`step.ts`), gradients pass the rounding.
 *
 * Products of integers have a common factor whatever the two steps are, so inputs and weights have one each. Distances have
 * one only where both steps are the same: |s a - s b| = s |a - b|, but |s a - t b| is no multiple of an integer
 * (arXiv 2101.10015), so add layers have one step for both operands. The weights of shift layers are few bits already, and
 * their inputs alone are rounded. Inputs that are never negative have codes from 0, weights have a sign.
 *
 * Whatever else a family is, its sharing map, its initial weights, its statistics, is that of the wide one.
 */
import { OptionError } from '../../base/errors.js';
import { Primitive } from '../../hardware/layer.js';
import type { OnnxGraph } from '../../nn/onnx/graph.js';
import { filterAttributes } from '../../nn/onnx/layers.js';
import type { Random } from '../../base/random.js';
import { tidy } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { lowerL1By } from '../add/onnx.js';
import {
  WindowSum,
  type LayerGeometry,
  type Masking,
  type OperatorFamily,
  type OwnTensor,
} from '../contract.js';
import { deviationOf } from '../statistics.js';
import { fewestBits, inputCodes, mostBits, signedCodes, startingStep, type CodeRange } from './codes.js';
import { lowerFilter, lowerRounded } from './onnx.js';
import { rounded, roundInto } from './step.js';

/** No step becomes zero or negative. */
const leastStep = 2 ** -30;
/**
 * Where the optimiser moves the weights by a constant length whatever their gradient's, it moves the step of the grid by a
 * tenth of that, both for their size at the start, as it does the learned scale of a sharing map: gradients of add layers
 * have no scale that could be relied on.
 */
const shareOfAdaptiveRate = 0.1;

/** `conv.int8`, of `conv` and 8. */
export function quantisedName(base: string, bits: number): string {
  return `${base}.int${bits}`;
}

/** The wide family and the bits that a name asks for; undefined for other names. */
export function quantisedParts(name: string): { readonly base: string; readonly bits: number } | undefined {
  const found = /^(.+)\.int([1-9]\d*)$/.exec(name);
  return found === null ? undefined : { base: found[1]!, bits: Number(found[2]) };
}

/** Why a family has no operands of few bits; undefined when it can. */
export function quantisationProblem({
  name,
  windowSum,
  own,
  parts,
  primitive,
  weightShape,
}: OperatorFamily): string | undefined {
  if (quantisedParts(name) !== undefined) return `${name} has operands of few bits already`;
  const plain = own === undefined && parts === undefined && weightShape === undefined;
  return plain && (windowSum !== undefined || primitive === Primitive.Shift)
    ? undefined
    : `${name} layers have no operands of few bits: only plain sums of products, shifts or distances have`;
}

/** @throws OptionError for a width that there is not, and for a family that cannot */
export function quantised(base: OperatorFamily, bits: number): OperatorFamily {
  if (!Number.isInteger(bits) || bits < fewestBits || bits > mostBits)
    throw new OptionError(
      `operator family '${quantisedName(base.name, bits)}': operands have ${fewestBits} to ${mostBits} bits`,
    );
  const problem = quantisationProblem(base);
  if (problem !== undefined)
    throw new OptionError(`operator family '${quantisedName(base.name, bits)}': ${problem}`);
  const { windowSum, firstStage, masking, ...kept } = base;
  void firstStage;
  const operands = operandsOf(base, bits);
  const { weight, partialSum } = base.operandBits;
  return {
    ...kept,
    name: quantisedName(base.name, bits),
    shortName: `${base.shortName}-int${bits}`,
    // What stands in brackets is left out in narrow places.
    title: base.title.replace(/(?= \(|$)/, `, int${bits}`),
    colour: lighter(base.colour, bits),
    own: operands.own,
    forward: (x, weights, geometry, own) =>
      tidy(() => {
        const [input, used] = operands.rounded(x, weights, geometry, own!);
        return base.forward(input, used, geometry);
      }),
    effectiveWeights: (weights, geometry, own) =>
      base.effectiveWeights(own === undefined ? weights : operands.weights(weights, own), geometry),
    ...(masking !== undefined && { masking: maskedOperands(masking, operands) }),
    operandBits: {
      weight: windowSum === undefined ? weight : Math.min(weight, bits),
      activation: bits,
      partialSum,
    },
    lower: (graph, name, input, weights, geometry, own) => {
      const x = operands.lowerInput(graph, name, input, geometry, own!, windowSum !== undefined);
      return operands.lowerLayer(graph, name, x, weights, geometry, own!);
    },
  };
}

/** How the two operands of a kind of layer are rounded. */
interface Operands {
  readonly own: readonly OwnTensor[];
  rounded(
    x: Tensor,
    weights: Tensor,
    geometry: LayerGeometry,
    own: readonly Tensor[],
  ): readonly [input: Tensor, weights: Tensor];
  /** The weights on their grid. */
  weights(weights: Float32Array, own: readonly Float32Array[]): Float32Array;
  lowerInput(
    graph: OnnxGraph,
    name: string,
    input: string,
    geometry: LayerGeometry,
    own: readonly Float32Array[],
    asIntegers: boolean,
  ): string;
  /** The layer over an input that has been rounded. */
  lowerLayer: OperatorFamily['lower'];
}

function operandsOf(base: OperatorFamily, bits: number): Operands {
  const weightCodes = signedCodes(bits);
  const codesOf = ({ nonNegativeInput = false }: LayerGeometry): CodeRange =>
    inputCodes(bits, nonNegativeInput);
  const roundedInput = (x: Tensor, step: Tensor, geometry: LayerGeometry): Tensor =>
    rounded(x, step, codesOf(geometry), x.size / x.shape[0]!);
  const lowerInput: Operands['lowerInput'] = (graph, name, input, geometry, own, asIntegers) =>
    lowerRounded(graph, `${name}.input`, input, own[0]![0]!, codesOf(geometry), asIntegers);
  const ofInput = (geometry: LayerGeometry): number => startingStep(codesOf(geometry).most);
  if (base.windowSum === undefined)
    return {
      own: [stepTensor('inputStep', ofInput)],
      rounded: (x, weights, geometry, [step]) => [roundedInput(x, step!, geometry), weights],
      weights: (weights) => weights,
      lowerInput,
      lowerLayer: (graph, name, input, weights, geometry) =>
        base.lower(graph, name, input, weights, geometry),
    };
  const distances = base.windowSum === WindowSum.Distances;
  const ofWeights = startingStep(weightCodes.most);
  /** Place of the weights' step among the tensors beside them. */
  const at = distances ? 0 : 1;
  return {
    own: distances
      ? // Both operands are of deviation 1, and of their two steps that of the weights is the longer.
        [stepTensor('step', () => ofWeights, stepRate(base, ofWeights))]
      : [
          stepTensor('inputStep', ofInput),
          stepTensor(
            'weightStep',
            (geometry, random) => ofWeights * deviationOf(base.initialWeights(geometry, random)),
          ),
        ],
    rounded: (x, weights, geometry, own) => [
      roundedInput(x, own[0]!, geometry),
      rounded(weights, own[at]!, weightCodes, weights.size),
    ],
    weights(weights, own) {
      const onGrid = new Float32Array(weights.length);
      roundInto(weights, own[at]![0]!, weightCodes, onGrid);
      return onGrid;
    },
    lowerInput,
    lowerLayer(graph, name, input, weights, geometry, own) {
      const filter = lowerFilter(graph, name, weights, geometry, own![at]![0]!, weightCodes);
      return distances
        ? lowerL1By(graph, name, input, filter, geometry)
        : graph.node('Conv', [input, filter], filterAttributes(geometry), { name });
    },
  };
}

function stepTensor(
  name: string,
  start: (geometry: LayerGeometry, random: Random) => number,
  adaptiveRate?: number,
): OwnTensor {
  return {
    name,
    shape: () => [1, 1, 1, 1],
    initialValues: (geometry, random) => Float32Array.of(start(geometry, random)),
    decay: false,
    least: leastStep,
    ...(adaptiveRate !== undefined && { adaptiveRate }),
  };
}

/** The adaptive rate of a step that starts at `start`; undefined where the weights have none. */
function stepRate({ adaptiveRate }: OperatorFamily, start: number): number | undefined {
  return adaptiveRate && shareOfAdaptiveRate * adaptiveRate * start;
}

/** The terms of masked weights are left out of the sums of rounded operands. */
function maskedOperands(masking: Masking, operands: Operands): Masking {
  return {
    importance: masking.importance,
    forward: (x, weights, mask, geometry, own) =>
      tidy(() => {
        const [input, used] = operands.rounded(x, weights, geometry, own!);
        return masking.forward(input, used, mask, geometry);
      }),
    lower(graph, name, input, weights, mask, geometry, own) {
      // The weights are written as floats.
      const x = operands.lowerInput(graph, name, input, geometry, own!, false);
      return masking.lower(graph, name, x, operands.weights(weights, own!), mask, geometry);
    },
  };
}

/** A colour #rrggbb with more white in it the fewer the bits are: none at 16, 60 % at 2. */
function lighter(colour: string, bits: number): string {
  const white = (0.6 * (mostBits - bits)) / (mostBits - fewestBits);
  const part = (from: number): string => {
    const value = Number.parseInt(colour.slice(from, from + 2), 16);
    return Math.round(value + white * (255 - value))
      .toString(16)
      .padStart(2, '0');
  };
  return `#${part(1)}${part(3)}${part(5)}`;
}
