/**
 * @file A profile worked out for one kind of layer: plain limits and plain prices, the numbers the search multiplies.
 */
import { Primitive, pricedAs, stepCount, type LayerDescription, type OperandBits } from './layer.js';
import {
  ArrayLimit,
  MemoryLevel,
  NarrowArithmetic,
  OperandWidths,
  OutputTiles,
  type AcceleratorProfile,
} from './profile-schema.js';

/** Resource limits as exclusive or inclusive integer bounds on a tile. */
export interface ArrayLimits {
  /** Largest M1 C1 E1 R. */
  readonly maxProcessingElements: number;
  /** Whether the profile states that limit as one to stay below; words only, the number above is inclusive. */
  readonly processingElementsBelow: boolean;
  /** Largest C0 S. */
  readonly maxInputWords: number;
  /** Largest M0 C0 S. */
  readonly maxWeightWords: number;
  /** Largest M0. */
  readonly maxPartialSumWords: number;
  /** Largest input tile plus output tile in the global buffer. */
  readonly maxGlobalBufferWords: number;
  /** M0 above which the published first pass strikes factorisations of M (see `OutputTiles.Thinned`); else undefined. */
  readonly thinnedAboveM0: number | undefined;
}

/** What one access of one operand at one level costs, in pJ, one operation, and one cycle in ns. */
export interface UnitPrices {
  readonly computePj: number;
  readonly inputDramPj: number;
  readonly inputGlobalBufferPj: number;
  readonly inputNocPj: number;
  readonly inputRegisterFilePj: number;
  readonly weightDramPj: number;
  readonly weightNocPj: number;
  readonly weightRegisterFilePj: number;
  readonly outputDramPj: number;
  readonly outputGlobalBufferPj: number;
  readonly outputNocPj: number;
  readonly outputRegisterFilePj: number;
  readonly cyclePeriodNs: number;
}

/**
 * The limits of the array in whole words. The published buffers must be less than full (strict bounds), the partial
 * sum register file may be full; sizes are words, so narrow operands do not enlarge a buffer.
 */
export function arrayLimits(profile: AcceleratorProfile): ArrayLimits {
  const word = profile.wordSizes[String(profile.wordBits)]!;
  const elements = profile.processingElements.value * word.processingElementFactor.value;
  const below = profile.processingElementLimit === ArrayLimit.Below;
  const words = (buffer: { readonly value: number }): number => buffer.value * word.bufferWordFactor.value;
  return {
    maxProcessingElements: below ? elements - 1 : elements,
    processingElementsBelow: below,
    maxInputWords: words(profile.inputRegisterFileWords) - 1,
    maxWeightWords: words(profile.weightRegisterFileWords) - 1,
    maxPartialSumWords: words(profile.partialSumRegisterFileWords),
    maxGlobalBufferWords: words(profile.globalBufferWords) - 1,
    thinnedAboveM0:
      profile.outputTiles === OutputTiles.Thinned ? profile.partialSumRegisterFileWords.value : undefined,
  };
}

/** What of a layer decides its unit prices. */
export type PricedKind = Pick<LayerDescription, 'primitive' | 'role' | 'operandBits' | 'steps'>;

/** What the published prices set a primitive apart by; moves have none. */
function primitiveRule(profile: AcceleratorProfile, primitive: Primitive) {
  return primitive === Primitive.Move ? undefined : profile.primitiveRules?.[primitive];
}

/**
 * The operand widths that a profile charges for a layer: those of the rule for its role or primitive, else the layer's
 * own, the profile's for the primitive (or the layer's, where narrower), or one word each.
 */
export function chargedBits(profile: AcceleratorProfile, layer: PricedKind): OperandBits {
  const { primitive, role, operandBits } = layer;
  const ruled =
    (role && profile.roleRules?.[role]?.operandBits) ?? primitiveRule(profile, primitive)?.operandBits;
  if (ruled !== undefined) return { weight: ruled.value, activation: ruled.value, partialSum: ruled.value };
  switch (profile.operandWidths) {
    case OperandWidths.Layer:
      return operandBits;
    case OperandWidths.Primitive: {
      const widest = profile.operandBits![pricedAs(primitive)];
      const activation = Math.min(operandBits.activation, widest.activation.value);
      return {
        // A weight that is a sum is as wide as its parts together.
        weight: Math.min(operandBits.weight, widest.weight.value * stepCount(layer.steps)),
        activation,
        // A value that is only moved stays as wide as it was.
        partialSum:
          primitive === Primitive.Move
            ? activation
            : Math.min(operandBits.partialSum, widest.partialSum.value),
      };
    }
    case OperandWidths.Word:
      return { weight: profile.wordBits, activation: profile.wordBits, partialSum: profile.wordBits };
  }
}

/** Part of the energy of an operation on words that one on operands of these widths takes: 1 where none is narrower. */
function narrowness(
  { wordBits, narrowArithmetic = NarrowArithmetic.Whole }: AcceleratorProfile,
  primitive: Primitive,
  { weight, activation }: OperandBits,
): number {
  if (narrowArithmetic === NarrowArithmetic.Whole) return 1;
  const part = (bits: number): number => Math.min(1, bits / wordBits);
  switch (primitive) {
    case Primitive.Multiply:
      return part(weight) * part(activation);
    case Primitive.Shift:
      return part(activation);
    default:
      return part(Math.max(weight, activation));
  }
}

/**
 * Unit prices of a layer whose operands have these widths. Partial sums travel at their own width up to the global
 * buffer; what is written to DRAM is the next layer's input, hence of activation width.
 */
export function unitPrices(
  profile: AcceleratorProfile,
  { primitive, role, steps }: PricedKind,
  bits: OperandBits,
): UnitPrices {
  const compute = profile.wordSizes[String(profile.wordBits)]!.computePj;
  const memory = profile.memoryPjPer16Bits;
  const roleRule = role && profile.roleRules?.[role];
  const free = (roleRule?.freeLevels ?? primitiveRule(profile, primitive)?.freeLevels)?.levels ?? [];
  const dram = free.includes(MemoryLevel.Dram) ? 0 : memory.dram.value;
  const globalBuffer = free.includes(MemoryLevel.GlobalBuffer) ? 0 : memory.globalBuffer.value;
  const noc = free.includes(MemoryLevel.Noc) ? 0 : memory.noc.value;
  const activation = bits.activation / 16;
  const weight = bits.weight / 16;
  const partialSum = bits.partialSum / 16;
  const ofSigns = primitive === Primitive.Multiply && bits.weight === 1 && bits.activation === 1;
  const together = ofSigns ? compute.binary : undefined;
  const accumulatePj = compute.accumulate.value;
  const ofElementPj =
    primitive === Primitive.Move
      ? 0
      : (together?.value ?? narrowness(profile, primitive, bits) * compute[primitive].value + accumulatePj);
  const operationPj =
    steps === undefined
      ? ofElementPj
      : steps.shifts * compute.shift.value +
        steps.multiplications * compute.multiply.value +
        stepCount(steps) * accumulatePj;
  return {
    computePj: operationPj,
    inputDramPj: dram * activation,
    inputGlobalBufferPj: globalBuffer * activation,
    inputNocPj: noc * activation,
    inputRegisterFilePj: memory.registerFile.value * activation,
    weightDramPj: dram * weight,
    weightNocPj: noc * weight,
    weightRegisterFilePj: memory.registerFileWeight.value * weight,
    outputDramPj: dram * activation,
    outputGlobalBufferPj: globalBuffer * partialSum,
    outputNocPj: memory.nocPartialSum.value * partialSum,
    outputRegisterFilePj: memory.registerFile.value * partialSum,
    // One step after the other in the same element.
    cyclePeriodNs:
      (roleRule?.clockPeriodNs ?? profile.clockPeriodNs[pricedAs(primitive)]).value * stepCount(steps),
  };
}
