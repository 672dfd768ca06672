/**
 * @file What `shiftaddnas hw area` prints of elements: tables, proportions, JSON and CSV.
 */
import { elementName } from '../../../hardware/area/element.js';
import {
  elementAreaUm2,
  elementEnergyPj,
  nand2Of,
  usualElement,
  type GateElement,
  type GateProfile,
} from '../../../hardware/area/profile.js';
import { differences, earlierCounts, publishedOperations } from '../../../hardware/area/references.js';
import { formatCsvLine } from '../../../hardware/csv-text.js';
import { arithmeticPrimitives } from '../../../hardware/layer.js';
import { significant } from '../../format.js';
import { textTable } from '../../tables.js';

/** Every element, with area and energy. */
export function elementTable(profile: GateProfile, elements: readonly GateElement[]): string {
  return textTable(
    [
      'element',
      'sum\nbits',
      'transistors',
      'NAND2',
      'area um2',
      'flip-\nflops',
      'LUT4',
      'energy pJ\nsettled',
      'energy pJ\nglitches',
    ],
    elements.map((element) => {
      const { settledPj, unitDelayPj } = elementEnergyPj(profile, element);
      return [
        elementName(element),
        String(element.sumBits),
        String(element.transistors),
        nand2Of(element).toFixed(0),
        elementAreaUm2(profile, element).toFixed(0),
        String(element.flipFlops),
        String(element.lut4),
        significant(settledPj),
        significant(unitDelayPj),
      ];
    }),
  );
}

/** Multiply, shift (with the usual exponent) and add of one width. */
interface Trio {
  readonly bits: number;
  readonly multiply: GateElement;
  readonly shift: GateElement;
  readonly add: GateElement;
}

function triosOf(profile: GateProfile, elements: readonly GateElement[]): Trio[] {
  return [...new Set(elements.map(({ bits }) => bits))].flatMap((bits) => {
    const [multiply, shift, add] = arithmeticPrimitives.map((primitive) =>
      usualElement(profile, primitive, bits),
    );
    return multiply && shift && add ? [{ bits, multiply, shift, add }] : [];
  });
}

/** Three figures as `3.76 : 1.68 : 1`. */
function ratio(multiply: number, shift: number, add: number): string {
  return [multiply, shift, add].map((value) => significant(value / add)).join(' : ');
}

/** Multiply, shift and add of each width in proportion. */
export function ratioLines(profile: GateProfile, elements: readonly GateElement[]): string[] {
  const rows = triosOf(profile, elements).map((trio) => {
    const of = (figure: (element: GateElement) => number): string =>
      ratio(figure(trio.multiply), figure(trio.shift), figure(trio.add));
    const before = (key: 'transistors' | 'lut4'): string => {
      const [multiply, shift, add] = arithmeticPrimitives.map(
        (primitive) =>
          earlierCounts.find((each) => each.primitive === primitive && each.bits === trio.bits)?.[key],
      );
      return multiply && shift && add ? ratio(multiply, shift, add) : '';
    };
    return [
      `${trio.bits} bit, ${trio.shift.exponentBits}-bit exponent`,
      of(({ transistors }) => transistors),
      before('transistors'),
      of(({ lut4 }) => lut4),
      before('lut4'),
      of((element) => elementEnergyPj(profile, element).settledPj),
      of((element) => elementEnergyPj(profile, element).unitDelayPj),
    ];
  });
  if (rows.length === 0) return [];
  return [
    textTable(
      [
        'multiply : shift : add',
        'transistors',
        'earlier count',
        'LUT4',
        'earlier count',
        'energy, settled',
        'energy, glitches',
      ],
      rows,
    ),
  ];
}

/** Elements beside published operations of 45 nm; nothing where there are none. */
export function publishedLines(profile: GateProfile, elements: readonly GateElement[]): string[] {
  const rows = publishedOperations().flatMap(({ primitive, bits, areaUm2, energyPj, parts }) => {
    const element = elements.find((each) => each === usualElement(profile, primitive, bits));
    if (element === undefined) return [];
    const { settledPj, unitDelayPj } = elementEnergyPj(profile, element);
    return [
      [
        elementName(element),
        elementAreaUm2(profile, element).toFixed(0),
        areaUm2 === undefined ? '' : String(areaUm2),
        [settledPj, unitDelayPj].map(significant).join(', '),
        energyPj === undefined ? '' : String(energyPj),
        parts,
      ],
    ];
  });
  if (rows.length === 0) return [];
  return [
    textTable(
      [
        '45 nm',
        'area um2',
        'published',
        'energy pJ\nsettled, glitches',
        'published',
        'published figures added up',
      ],
      rows,
    ),
    `energies follow from ${profile.energyAnchor.value} pJ: ${profile.energyAnchor.source}`,
  ];
}

/** One element with what follows from its counts. */
function derived(profile: GateProfile, element: GateElement): Record<string, number> {
  const { settledPj, unitDelayPj } = elementEnergyPj(profile, element);
  return {
    nand2: nand2Of(element),
    areaUm2: Number(elementAreaUm2(profile, element).toPrecision(6)),
    energySettledPj: Number(settledPj.toPrecision(4)),
    energyGlitchesPj: Number(unitDelayPj.toPrecision(4)),
  };
}

/** Elements with what follows from their counts, for `--json`. */
export function jsonOf(profile: GateProfile, elements: readonly GateElement[]): object {
  const { name, tool, command, nand2AreaUm2, energyAnchor, quantities } = profile;
  return {
    ...{ name, tool, command, nand2AreaUm2, energyAnchor, quantities },
    elements: elements.map((element) => ({ ...element, ...derived(profile, element) })),
    published: publishedOperations(),
    earlierCounts,
    differences,
  };
}

/** The same, one line an element, for `--csv`. */
export function csvText(profile: GateProfile, elements: readonly GateElement[]): string {
  const rows = elements.map((element) => ({
    primitive: element.primitive,
    bits: element.bits,
    exponentBits: element.exponentBits ?? '',
    sumBits: element.sumBits,
    transistors: element.transistors,
    flipFlops: element.flipFlops,
    lut4: element.lut4,
    carryCells: element.carryCells,
    switchedSettled: element.switching.settled,
    switchedUnitDelay: element.switching.unitDelay,
    switchedClock: element.switching.clock,
    ...derived(profile, element),
  }));
  return [Object.keys(rows[0]!), ...rows.map((row) => Object.values(row))]
    .map((cells) => `${formatCsvLine(cells)}\n`)
    .join('');
}
