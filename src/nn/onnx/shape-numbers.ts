/**
 * @file The numbers that a graph computes of sizes alone (Shape, Gather, Concat, arithmetic), as exporters write them
 * to reshape for any batch.
 */
import { sizeOf } from '../../tensor/shape.js';
import { axisOf, intOf, mostNumbers, type Call, type KnownValue } from './known-values.js';
import { slicesOf } from './shape-rules.js';

/** The numbers of a result that is computed of sizes alone. */
export function folded(call: Call, shape: readonly number[]): readonly number[] | undefined {
  const { node, inputs } = call;
  const [x, y] = inputs;
  if (sizeOf(shape) > mostNumbers || inputs.some((input) => input?.real)) return undefined;
  switch (node.opType) {
    case 'Shape':
      return x?.shape.slice(intOf(node, 'start', 0), intOf(node, 'end', x.shape.length));
    case 'Size':
      return x && [sizeOf(x.shape)];
    case 'Identity':
    case 'Cast':
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
    case 'Flatten':
      return x?.numbers;
    case 'Gather':
      return x?.shape.length === 1
        ? y?.numbers?.map((at) => x.numbers?.[axisOf(at, x.shape[0]!)] ?? Number.NaN)
        : undefined;
    case 'Concat':
      return inputs.every((input) => input?.numbers !== undefined)
        ? inputs.flatMap((input) => input!.numbers!)
        : undefined;
    case 'Slice': {
      const [slice, ...others] = slicesOf(call) ?? [];
      if (slice === undefined || others.length > 0 || x?.numbers === undefined) return undefined;
      const [, from, , step] = slice;
      return Array.from({ length: shape[0]! }, (_, at) => x.numbers![from + at * step]!);
    }
    case 'ReduceProd':
      return x?.numbers && shape.every((size) => size === 1)
        ? [x.numbers.reduce((product, each) => product * each, 1)]
        : undefined;
    case 'Add':
    case 'Sub':
    case 'Mul':
    case 'Div':
      return arithmetic(node.opType, x, y, sizeOf(shape));
    default:
      return undefined;
  }
}

function arithmetic(
  opType: 'Add' | 'Sub' | 'Mul' | 'Div',
  x: KnownValue | undefined,
  y: KnownValue | undefined,
  length: number,
): readonly number[] | undefined {
  const [a, b] = [x?.numbers, y?.numbers];
  // Lists and single numbers: all that computations on shapes are made of.
  const fits = (numbers: readonly number[] | undefined): boolean =>
    numbers !== undefined && (numbers.length === 1 || numbers.length === length);
  if (!fits(a) || !fits(b)) return undefined;
  return Array.from({ length }, (_, at) => {
    const [p, q] = [a![a!.length === 1 ? 0 : at]!, b![b!.length === 1 ? 0 : at]!];
    if (opType === 'Add') return p + q;
    if (opType === 'Sub') return p - q;
    return opType === 'Mul' ? p * q : Math.trunc(p / q);
  });
}
