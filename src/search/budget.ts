/**
 * @file Budgets as people write them: `energy=0.4mJ,latency=2ms,macs=20M,params=150k,sram=256KiB`, or
 * relative, `energy=50%`.
 *
 * A percentage means "of the all-convolution network of the space at full depth and width"; it can only be resolved
 * once that network is priced, so parsing gives a {@link BudgetRequest} and {@link resolveBudget} the limits.
 */
import { OptionError } from '../base/errors.js';
import { type Budget, type Costs, quantities, Quantity } from './costs.js';

/** One limit as it was asked for. */
export type RequestedLimit =
  | { readonly kind: 'absolute'; readonly value: number }
  /** Times the reference network's cost. */
  | { readonly kind: 'relative'; readonly fraction: number };

export type BudgetRequest = Readonly<Partial<Record<Quantity, RequestedLimit>>>;

interface Dimension {
  readonly word: string;
  /** Unit name -> factor to the unit of {@link Costs}; the units for printing, from small to large. */
  readonly units: Readonly<Record<string, number>>;
  /** The one unit to print in, where that is not the largest of those that keep the number at 1 or more. */
  readonly printedUnit?: string;
  /** Further units that are read and never printed. */
  readonly alsoRead?: Readonly<Record<string, number>>;
  readonly example: string;
}

const countUnits = { '': 1, k: 1e3, M: 1e6, G: 1e9 };
const byteUnits = {
  units: { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 },
  alsoRead: { kB: 1e3, MB: 1e6, GB: 1e9 },
};

const dimensions: Readonly<Record<Quantity, Dimension>> = {
  [Quantity.Energy]: {
    word: 'energy',
    units: { pJ: 1e-9, nJ: 1e-6, uJ: 1e-3, mJ: 1, J: 1e3 },
    example: 'energy=0.4mJ',
  },
  [Quantity.Latency]: {
    word: 'latency',
    units: { ns: 1e-6, us: 1e-3, ms: 1, s: 1e3 },
    example: 'latency=2ms',
  },
  [Quantity.Macs]: { word: 'macs', units: countUnits, example: 'macs=20M' },
  [Quantity.Params]: { word: 'params', units: countUnits, example: 'params=150k' },
  [Quantity.Area]: {
    word: 'area',
    units: { um2: 1e-6, mm2: 1 },
    printedUnit: 'mm2',
    example: 'area=0.1mm2',
  },
  [Quantity.Sram]: { word: 'sram', ...byteUnits, example: 'sram=256KiB' },
  [Quantity.Flash]: { word: 'flash', ...byteUnits, example: 'flash=1MiB' },
};

const fullExample = 'for example --budget energy=0.4mJ,latency=2ms or --budget energy=50%';

/**
 * Reads a comma-separated list of limits, each quantity at most once. Units: energy pJ, nJ, uJ, mJ, J; latency ns, us,
 * ms, s; macs and params plain or with k, M, G; area um2, mm2; sram and flash B, KiB, MiB, GiB, kB, MB, GB; `%` (of the
 * all-convolution network) for every quantity.
 * @throws OptionError naming the piece that is wrong, with an example.
 */
export function parseBudget(text: string): BudgetRequest {
  if (text.trim() === '') throw new OptionError(`the budget is empty; write it ${fullExample}`);
  const limits: Partial<Record<Quantity, RequestedLimit>> = {};
  for (const rawPiece of text.split(',')) {
    const piece = rawPiece.trim();
    const [, word, amount] = /^([^=]*?)\s*=\s*(.*)$/.exec(piece) ?? [];
    if (word === undefined || amount === undefined)
      throw new OptionError(`budget '${piece}': expected QUANTITY=VALUE, ${fullExample}`);
    const quantity = quantities.find((candidate) => dimensions[candidate].word === word);
    if (quantity === undefined)
      throw new OptionError(
        `budget '${piece}': '${word}' cannot be limited; use ${orList(quantities.map(wordOf))}, ${fullExample}`,
      );
    if (limits[quantity] !== undefined)
      throw new OptionError(`budget '${piece}': ${word} is limited twice; keep one limit per quantity`);
    limits[quantity] = parseLimit(piece, amount, dimensions[quantity]);
  }
  return limits;
}

/** True when some limit is a percentage, so that the reference network has to be priced. */
export function isRelative(request: BudgetRequest): boolean {
  return quantities.some((quantity) => request[quantity]?.kind === 'relative');
}

/** The limits in the units of {@link Costs}; percentages are taken of `reference`. */
export function resolveBudget(request: BudgetRequest, reference: Costs): Budget {
  const budget: Partial<Record<Quantity, number>> = {};
  for (const quantity of quantities) {
    const limit = request[quantity];
    if (limit === undefined) continue;
    budget[quantity] = limit.kind === 'absolute' ? limit.value : limit.fraction * reference[quantity];
  }
  return budget;
}

/** For people: `energy <= 0.4 mJ, macs <= 20 M`, or `no limit`. */
export function describeBudget(budget: Budget): string {
  const limits = quantities.flatMap((quantity) => {
    const limit = budget[quantity];
    return limit === undefined ? [] : [`${wordOf(quantity)} <= ${formatQuantity(quantity, limit)}`];
  });
  return limits.length === 0 ? 'no limit' : limits.join(', ');
}

/** For people: `energy 0.31 mJ, latency 1.2 ms, macs 12.5 M, params 80.1 k`. */
export function describeCosts(costs: Costs): string {
  return quantities
    .map((quantity) => `${wordOf(quantity)} ${formatQuantity(quantity, costs[quantity])}`)
    .join(', ');
}

/** The word a budget uses for the quantity: `energy`. */
export function wordOf(quantity: Quantity): string {
  return dimensions[quantity].word;
}

/** Four significant digits in the largest unit that keeps the number at 1 or more: `312.5 uJ`. */
export function formatQuantity(quantity: Quantity, value: number): string {
  const { unit, factor } = printedUnit(quantity, value);
  return `${Number((value / factor).toPrecision(4))}${unit === '' ? '' : ` ${unit}`}`;
}

/** A limit to write into a budget such that `value` just fits: `energy=312.6uJ` (rounded up to four digits). */
export function suggestLimit(quantity: Quantity, value: number): string {
  const { unit, factor } = printedUnit(quantity, value);
  const scaled = value / factor;
  const digit = 10 ** (Math.floor(Math.log10(scaled)) - 3);
  let steps = Math.ceil(scaled / digit);
  let amount = Number((steps * digit).toPrecision(4));
  // Division and rounding may land a hair below; what we suggest must work when it is pasted back.
  while (amount * factor < value) amount = Number((++steps * digit).toPrecision(4));
  return `${wordOf(quantity)}=${amount}${unit}`;
}

/** `a, b or c`. */
function orList(words: readonly string[]): string {
  return `${words.slice(0, -1).join(', ')} or ${words.at(-1)!}`;
}

function printedUnit(quantity: Quantity, value: number): { unit: string; factor: number } {
  const { units: known, printedUnit: fixed } = dimensions[quantity];
  if (fixed !== undefined) return { unit: fixed, factor: known[fixed]! };
  const units = Object.entries(known);
  const [unit, factor] = units.findLast(([, size]) => Math.abs(value) >= size) ?? units[0]!;
  return { unit, factor };
}

function parseLimit(piece: string, amount: string, dimension: Dimension): RequestedLimit {
  const [, digits, rawUnit] = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*)$/.exec(amount) ?? [];
  if (digits === undefined || rawUnit === undefined)
    throw new OptionError(`budget '${piece}': '${amount}' is not a number, ${forExample(dimension)}`);
  const number = Number(digits);
  if (!(number > 0) || !Number.isFinite(number))
    throw new OptionError(
      `budget '${piece}': a limit must be above zero and finite, ${forExample(dimension)}`,
    );
  if (rawUnit === '%') return { kind: 'relative', fraction: number / 100 };
  const unit = rawUnit.replace(/^[\u00b5\u03bc]/, 'u');
  const units: Readonly<Record<string, number>> = { ...dimension.units, ...dimension.alsoRead };
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  if (factor === undefined) {
    const known = [...Object.keys(units).filter((name) => name !== ''), '%'].join(', ');
    const complaint = unit === '' ? `${dimension.word} needs a unit` : `unknown unit '${unit}'`;
    throw new OptionError(`budget '${piece}': ${complaint} (${known}), ${forExample(dimension)}`);
  }
  const value = number * factor;
  if (!(value > 0) || !Number.isFinite(value))
    throw new OptionError(`budget '${piece}': the limit is out of range, ${forExample(dimension)}`);
  return { kind: 'absolute', value };
}

function forExample(dimension: Dimension): string {
  return `for example ${dimension.example} or ${dimension.word}=50%`;
}
