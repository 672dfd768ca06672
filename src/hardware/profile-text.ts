/**
 * @file A profile in words, for help texts and reports.
 */
import { ArrayLimit, NarrowArithmetic, OperandWidths, type AcceleratorProfile } from './profile-schema.js';

const notPriced =
  'batch norm, residual additions and pooling are free under every profile; ' +
  'this favours add and shift a little, whose batch norms cannot be folded into their weights';

/** A few lines: the array, the clock, the unit energies, the pricing rules and what has no price. */
export function profileSummary(profile: AcceleratorProfile): string {
  const word = profile.wordSizes[String(profile.wordBits)]!;
  const { computePj } = word;
  const memory = profile.memoryPjPer16Bits;
  const scaled = (words: { readonly value: number }): number => words.value * word.bufferWordFactor.value;
  const limit = profile.processingElementLimit === ArrayLimit.Below ? 'fewer than' : 'at most';
  const clocks = profile.clockPeriodNs;
  return [
    `${profile.name}: ${profile.description}`,
    `  array: ${limit} ${profile.processingElements.value * word.processingElementFactor.value} processing elements, ` +
      `global buffer below ${scaled(profile.globalBufferWords)} words, register files below ` +
      `${scaled(profile.inputRegisterFileWords)} input / below ${scaled(profile.weightRegisterFileWords)} weight / ` +
      `at most ${scaled(profile.partialSumRegisterFileWords)} partial-sum words`,
    `  clock: multiply ${clocks.multiply.value} ns, shift ${clocks.shift.value} ns, add ${clocks.add.value} ns`,
    `  compute: multiply ${computePj.multiply.value} pJ, shift ${computePj.shift.value} pJ, add ${computePj.add.value} pJ, ` +
      `accumulate ${computePj.accumulate.value} pJ` +
      (computePj.binary === undefined ? '' : `, multiply-accumulate of signs ${computePj.binary.value} pJ`),
    `  memory per 16 bit: DRAM ${memory.dram.value} pJ, global buffer ${memory.globalBuffer.value} pJ, ` +
      `network ${memory.noc.value} pJ (partial sums ${memory.nocPartialSum.value}), ` +
      `register file ${memory.registerFile.value} pJ (weights ${memory.registerFileWeight.value})`,
    `  rules: ${[widthsText(profile), ...narrowText(profile), `groups ${profile.groups}`, `output tiles ${profile.outputTiles}`, ...rulesText(profile)].join('; ')}`,
    `  not priced: ${notPriced}`,
    `  source: ${profile.source}`,
  ].join('\n');
}

function widthsText(profile: AcceleratorProfile): string {
  switch (profile.operandWidths) {
    case OperandWidths.Word:
      return `every operand ${profile.wordBits} bit`;
    case OperandWidths.Layer:
      return 'every operand at its own width';
    case OperandWidths.Primitive:
      return Object.entries(profile.operandBits!)
        .map(
          ([primitive, { weight, activation, partialSum }]) =>
            `${primitive} ${weight.value}-bit weights, ${activation.value}-bit activations, ${partialSum.value}-bit partial sums`,
        )
        .join('; ');
  }
}

function narrowText({ narrowArithmetic }: AcceleratorProfile): string[] {
  return narrowArithmetic === NarrowArithmetic.Scaled
    ? ['operations on narrower operands cost less: multiplications by both widths, others by one']
    : [];
}

function rulesText(profile: AcceleratorProfile): string[] {
  const { multiply, shift, add } = profile.primitiveRules ?? {};
  const { lightKernel, lightLinear } = profile.roleRules ?? {};
  const named = Object.entries({
    ...{ multiply, shift, add },
    ...{ 'kernels of light branches': lightKernel, 'linears of light branches': lightLinear },
  });
  return named.flatMap(([name, rule]) => {
    const free = rule?.freeLevels?.levels ?? [];
    const clock = rule && 'clockPeriodNs' in rule ? rule.clockPeriodNs : undefined;
    return [
      ...(rule?.operandBits ? [`${name} at ${rule.operandBits.value}-bit operands`] : []),
      ...(clock ? [`${name} at ${clock.value} ns`] : []),
      ...(free.length > 0 ? [`${name} without ${free.join(', ')} energy`] : []),
    ];
  });
}

/** One quantity of a profile: its key, value, unit and source. */
export interface ProfileQuantity {
  readonly key: string;
  readonly value: number;
  readonly unit: string;
  readonly source: string;
}

/** Every quantity that a profile states, in the order of its keys. */
export function profileQuantities(profile: AcceleratorProfile): readonly ProfileQuantity[] {
  return quantitiesIn(profile, []);
}

function quantitiesIn(value: unknown, path: readonly string[]): readonly ProfileQuantity[] {
  if (typeof value !== 'object' || value === null) return [];
  if ('value' in value && 'unit' in value && 'source' in value) {
    const quantity = value as Omit<ProfileQuantity, 'key'>;
    return [{ key: path.join('.'), ...quantity }];
  }
  return Object.entries(value).flatMap(([key, inner]) => quantitiesIn(inner, [...path, key]));
}
