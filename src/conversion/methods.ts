/**
 * @file The names of conversions: `pot`, `apot2`, `bcq3+optq`, `int8+pow2`, `add.int4+groups4`. A base and modifiers, so
 * that one name says everything about one row of a table.
 */
import { OptionError } from '../base/errors.js';
import { WindowSum } from '../operators/contract.js';
import { Rounding, termBits } from './powers.js';

/** Powers of two, `terms` of them; with `meanBits` each layer gets its own number. */
export interface PowersMethod {
  readonly kind: 'powers';
  readonly terms: number | undefined;
  readonly rounding: Rounding;
}

export interface BinaryMethod {
  readonly kind: 'binary';
  readonly codes: number | undefined;
  /** Weights of a filter that share scales; all of them when undefined. */
  readonly group: number | undefined;
  readonly scaleTerms: number;
}

export interface IntegersMethod {
  readonly kind: 'integers';
  readonly bits: number | undefined;
  readonly powerOfTwoScales: boolean;
  /** Percentile of the input magnitudes at which outliers are clipped. */
  readonly clip: number;
}

export interface DistancesMethod {
  readonly kind: 'distances';
  readonly bits: number;
  /** Groups of filters with a scale each; 'all' for one per filter. */
  readonly groups: number | 'all';
  readonly clamp: boolean;
  readonly powerOfTwoScales: boolean;
  readonly clip: number;
}

/** Mean bits per weight over the layers, and how the error of a choice is judged. */
export enum Criterion {
  /** Squared error of the layer's outputs on the calibration images, relative to their squares. */
  Measured = 'measured',
  /** Importance of ShiftAddLLM times the relative squared error of the weights. */
  Importance = 'importance',
}

export type Method = (PowersMethod | BinaryMethod | IntegersMethod | DistancesMethod) & {
  /** Canonical. */
  readonly name: string;
  readonly optq: boolean;
  readonly meanBits: number | undefined;
  readonly criterion: Criterion;
};

/** For people: each base with what it does. */
export const methodUsages: readonly (readonly [string, string])[] = [
  ['pot', 'nearest power of two'],
  ['apot1 to apot4', 'sums of that many powers of two (ShiftAddLLM rounding)'],
  ['bcq1 to bcq8', 'that many binary codes per weight, scales of two powers of two (ShiftAddLLM)'],
  ['int8, int6, int4', 'integer weights with a scale per filter, 8-bit inputs'],
  ['add.int8, add.int6, add.int4', 'add layers: one scale for inputs and weights'],
  ['apot, bcq, int', 'mixed widths by layer, with +mean<bits>'],
];

/** For people: each modifier, and the bases that take it. */
export const modifierUsages: readonly (readonly [string, string])[] = [
  ['+optq', 'correct for the inputs of the calibration images (all but add.*)'],
  ['+mean<bits>', 'share bits out over the layers, this many per weight on average (apot, bcq, int)'],
  ['+importance', 'share them out by the importance of ShiftAddLLM instead of the measured error'],
  ['+value, +log', 'round powers by value or by logarithm (pot: value, apot: log)'],
  ['+group<n>', 'bcq: n weights of a filter share scales (default: all of them)'],
  ['+scale<k>', 'bcq: scales of k powers of two, 0 for float scales (default 2)'],
  ['+pow2', 'int, add.int: scales that are powers of two'],
  ['+clip<percent>', 'int, add.int: clip inputs above this percentile of their magnitudes'],
  ['+groups<n|all>', 'add.int: a scale for each of n groups of filters'],
  ['+clamp', 'add.int: clamp weights to the range of the inputs, losslessly, into a bias'],
];

type Draft =
  | { -readonly [K in keyof PowersMethod]: PowersMethod[K] }
  | { -readonly [K in keyof BinaryMethod]: BinaryMethod[K] }
  | { -readonly [K in keyof IntegersMethod]: IntegersMethod[K] }
  | { -readonly [K in keyof DistancesMethod]: DistancesMethod[K] };

function draftOf(base: string): Draft | undefined {
  const terms = /^apot([1-4])?$/.exec(base);
  if (base === 'pot') return { kind: 'powers', terms: 1, rounding: Rounding.Value };
  if (terms) return { kind: 'powers', terms: numberOr(terms[1]), rounding: Rounding.Log };
  const codes = /^bcq([1-8])?$/.exec(base);
  if (codes) return { kind: 'binary', codes: numberOr(codes[1]), group: undefined, scaleTerms: 2 };
  const bits = /^int(8|6|4)?$/.exec(base);
  if (bits) return { kind: 'integers', bits: numberOr(bits[1]), powerOfTwoScales: false, clip: 100 };
  const distances = /^add\.int(8|6|4)$/.exec(base);
  if (distances)
    return {
      kind: 'distances',
      bits: Number(distances[1]),
      ...{ groups: 1, clamp: false, powerOfTwoScales: false, clip: 100 },
    };
  return undefined;
}

/** The narrowest weights of each kind. */
const leastBits = { powers: termBits, binary: 1, integers: 2, distances: 4 } as const;

function numberOr(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** @throws OptionError for an unknown base or modifier, or one that the base does not take */
export function parseMethod(text: string): Method {
  const [base, ...modifiers] = text.split('+') as [string, ...string[]];
  const draft = draftOf(base);
  if (draft === undefined)
    throw new OptionError(
      `unknown conversion '${base}'; known: ${methodUsages.map(([name]) => name).join(', ')}, all`,
    );
  let [optq, meanBits, criterion]: [boolean, number | undefined, Criterion] = [
    false,
    undefined,
    Criterion.Measured,
  ];
  const seen = new Set<string>();
  for (const modifier of modifiers) {
    const [, key = modifier, value = ''] =
      modifier === 'pow2' ? [] : (/^([a-z]+?)(\d[\d.]*|all)?$/.exec(modifier) ?? []);
    const number = Number(value);
    const takes = (allowed: boolean, valid: boolean): void => {
      if (!allowed)
        throw new OptionError(
          `'${text}': '+${modifier}' does not go with ${base}; see 'shiftaddnas convert --help'`,
        );
      if (!valid || seen.has(key))
        throw new OptionError(
          `'${text}': ${seen.has(key) ? `'+${key}' stands there twice` : `'+${modifier}' has a value out of range`}`,
        );
      seen.add(key);
    };
    const { kind } = draft;
    const bare = value === '';
    switch (key) {
      case 'optq':
        takes(kind !== 'distances', bare);
        optq = true;
        break;
      case 'mean':
        takes(isMixed(draft), number > 0 && number <= 32);
        meanBits = number;
        break;
      case 'importance':
        takes(isMixed(draft), bare);
        criterion = Criterion.Importance;
        break;
      case 'value':
      case 'log':
        takes(kind === 'powers', bare);
        if (kind === 'powers') draft.rounding = key === 'log' ? Rounding.Log : Rounding.Value;
        break;
      case 'group':
        takes(kind === 'binary', Number.isInteger(number) && number >= 1);
        if (kind === 'binary') draft.group = number;
        break;
      case 'scale':
        takes(kind === 'binary', /^[0-4]$/.test(value));
        if (kind === 'binary') draft.scaleTerms = number;
        break;
      case 'pow2':
        takes(kind === 'integers' || kind === 'distances', bare);
        if (kind === 'integers' || kind === 'distances') draft.powerOfTwoScales = true;
        break;
      case 'clip':
        takes(kind === 'integers' || kind === 'distances', number >= 50 && number <= 100);
        if (kind === 'integers' || kind === 'distances') draft.clip = number;
        break;
      case 'groups':
        takes(kind === 'distances', value === 'all' || (Number.isInteger(number) && number >= 1));
        if (kind === 'distances') draft.groups = value === 'all' ? 'all' : number;
        break;
      case 'clamp':
        takes(kind === 'distances', bare);
        if (kind === 'distances') draft.clamp = true;
        break;
      default:
        throw new OptionError(
          `'${text}': unknown modifier '+${modifier}'; known: ${modifierUsages.map(([name]) => name).join(', ')}`,
        );
    }
  }
  if (isMixed(draft) && meanBits === undefined)
    throw new OptionError(
      `'${text}' shares bits out over the layers: say how many per weight, as in ${base}+mean3, or give the width, as in ${base}${base === 'int' ? 8 : 2}`,
    );
  if (meanBits !== undefined && meanBits < leastBits[draft.kind])
    throw new OptionError(
      `'${text}': no layer can have fewer than ${leastBits[draft.kind]} bits per weight; raise the mean`,
    );
  if (draft.kind === 'distances' && draft.clamp && draft.groups !== 1)
    throw new OptionError(
      `'${text}': the clamp gives all filters the range of the inputs, so there is nothing to group; leave one out`,
    );
  return { ...draft, name: text, optq, meanBits, criterion };
}

function isMixed(draft: Draft): boolean {
  return (
    (draft.kind === 'powers' && draft.terms === undefined) ||
    (draft.kind === 'binary' && draft.codes === undefined) ||
    (draft.kind === 'integers' && draft.bits === undefined)
  );
}

/** Which layers a method converts. */
export function windowSumOf(method: Pick<Method, 'kind'>): WindowSum {
  return method.kind === 'distances' ? WindowSum.Distances : WindowSum.Products;
}

/** The rows of `--to all`, as far as they apply to layers of these kinds. */
export function allMethods(kinds: ReadonlySet<WindowSum>): readonly string[] {
  const products = [
    ...['pot', 'pot+optq', 'apot2', 'apot2+optq', 'apot3'],
    ...[2, 3, 4].flatMap((q) => [`bcq${q}`, `bcq${q}+optq`]),
    ...['bcq+mean2.5', 'bcq+mean2.5+optq'],
    ...['int8', 'int8+pow2', 'int6', 'int4', 'int4+optq'],
  ];
  const distances = [
    ...['add.int8', 'add.int8+pow2', 'add.int8+clamp', 'add.int6', 'add.int6+clamp'],
    ...['add.int4', 'add.int4+groups4', 'add.int4+groups4+clip99.9', 'add.int4+clamp'],
  ];
  return [
    ...(kinds.has(WindowSum.Products) ? products : []),
    ...(kinds.has(WindowSum.Distances) ? distances : []),
  ];
}

/** Whether a conversion can take one more modifier; false for `all` and for names that are wrong themselves. */
export function takesModifier(name: string, modifier: string): boolean {
  try {
    parseMethod(`${name}+${modifier}`);
    return true;
  } catch (error) {
    if (error instanceof OptionError) return false;
    throw error;
  }
}
