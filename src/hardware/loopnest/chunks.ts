/**
 * @file Arrays of three kinds of elements under one area budget: who gets how many.
 *
 * A hybrid network's layers multiply, shift or add. A chunk is an array of elements of one kind that runs the layers
 * of its kind; chunks work at the same time, each on another image, so a network leaves the machine every as many
 * milliseconds as the slowest chunk needs (NASA, Shi et al., ICCAD 2022; NASH, arXiv 2409.04829). Its coarse step gives each
 * chunk elements in proportion to its operations, which would make all chunks equally slow if every element were
 * always busy. They are not, so from there the mapper's own running times move elements from the chunks that wait
 * to those that are waited for, first in proportion, then a few at a time, spare area too, as long as the slowest gets
 * faster. Buffers above the array and the bandwidth to main memory are
 * shared in proportion to the area of the chunks.
 */
import { OptionError } from '../../base/errors.js';
import { elementAreaUm2, smallestElement, type GateProfile } from '../area/profile.js';
import {
  arithmeticPrimitives,
  operationCount,
  Primitive,
  type ArithmeticPrimitive,
  type LayerDescription,
} from '../layer.js';
import { OperandWidths, type Machine, type MachineLevel } from './machine.js';
import type { MappingCost } from './evaluate.js';
import { refusedLimits, searchMapping, type SearchOptions } from './search.js';

export interface ChunkOptions extends SearchOptions {
  /** Area of all elements with their registers. */
  readonly areaMm2: number;
  /** Takes the areas of the units from these integer elements, instead of from the machine's `areaUm2`. */
  readonly gates?: GateProfile;
}

/** One chunk and what its layers cost on it. */
export interface Chunk {
  readonly primitive: ArithmeticPrimitive;
  readonly columns: number;
  readonly rows: number;
  readonly elements: number;
  readonly elementAreaUm2: number;
  readonly areaMm2: number;
  readonly operations: number;
  readonly layers: readonly MappingCost[];
  /** Time the chunk works for one image. */
  readonly busyMs: number;
  readonly energyMj: number;
}

export interface ChunkDivision {
  readonly machine: string;
  readonly areaMm2: number;
  readonly chunks: readonly Chunk[];
  /** Time between two images: the busiest chunk's. */
  readonly intervalMs: number;
  /** Time one image takes, layer after layer. */
  readonly latencyMs: number;
  readonly energyMj: number;
  /** Interval of the coarse step's division, which the refinement started from. */
  readonly coarseIntervalMs: number;
  /** Interval if every element of a perfect division were always busy. */
  readonly idealIntervalMs: number;
  /** Divisions tried. */
  readonly divisions: number;
}

const defaultTries = 3000;
const rounds = 8;
/** Single moves of elements that are tried after them. */
const moves = 32;
/** Part of the way that a round goes towards equal times. */
const damping = 0.7;
const widestAspect = 4;

/**
 * Divides an area among the kinds of elements that a network needs, and maps every layer on its chunk.
 * @throws OptionError when the machine states no areas, the area holds no element of each kind, or no layer is given;
 *   NoMappingError when a layer does not fit a chunk that has all the area it can get.
 */
export function divideChunks(
  layers: readonly LayerDescription[],
  machine: Machine,
  options: ChunkOptions,
): ChunkDivision {
  if (layers.length === 0) throw new OptionError('there are no layers to divide elements among');
  if (!(options.areaMm2 > 0 && Number.isFinite(options.areaMm2)))
    throw new OptionError(`the area must be above 0 mm2, got ${options.areaMm2}`);
  const areaUm2 = options.areaMm2 * 1e6;
  const arrayLevel = widestLevel(machine);
  const used = arithmeticPrimitives.filter((each) => layers.some(({ primitive }) => primitive === each));
  if (used.length === 0)
    throw new OptionError('the layers only move values: there is no arithmetic to divide elements among');
  // Moves need no element of their own: they pass through those that come last, the simplest.
  const kinds = used
    .map((each) => ({ primitive: each, members: layers.filter(({ primitive }) => primitive === each) }))
    .map(({ primitive, members }) => {
      const moves = layers.filter((layer) => layer.primitive === Primitive.Move && primitive === used.at(-1));
      return {
        primitive,
        layers: [...members, ...moves],
        operations: members.reduce((sum, layer) => sum + operationCount(layer), 0),
        elementAreaUm2: elementArea(
          machine,
          arrayLevel,
          unitArea(machine, primitive, members, options.gates),
        ),
      };
    });
  const smallest = kinds.reduce((sum, { elementAreaUm2 }) => sum + elementAreaUm2, 0);
  if (smallest > areaUm2)
    throw new OptionError(
      `an area of ${options.areaMm2} mm2 is too small: one element of each kind (${kinds.map(({ primitive }) => primitive).join(', ')}) takes ${(smallest / 1e6).toPrecision(3)} mm2`,
    );

  const tried = new Map<string, Division>();
  const mapped = new Map<string, Chunk>();
  const divide = (counts: readonly number[]): Division => {
    const key = counts.join();
    const known = tried.get(key);
    if (known !== undefined) return known;
    const chunks = kinds.map((kind, index) => {
      const elements = counts[index]!;
      const name = `${index} ${elements}`;
      const share = (elements * kind.elementAreaUm2) / areaUm2;
      const chunk = mapped.get(name) ?? mapChunk(kind, elements, machine, arrayLevel, share, options);
      mapped.set(name, chunk);
      return chunk;
    });
    const division = { counts, chunks, intervalMs: interval(chunks) };
    tried.set(key, division);
    return division;
  };
  // NASA's coarse step: elements in proportion to operations.
  const coarse = divide(
    elementCounts(
      kinds,
      kinds.map(({ operations }) => operations),
      areaUm2,
    ),
  );
  const { chunks, intervalMs } = moveElements(
    kinds,
    areaUm2,
    balance(kinds, areaUm2, coarse, divide),
    divide,
  );
  const work = kinds.reduce((sum, { operations, elementAreaUm2 }) => sum + operations * elementAreaUm2, 0);
  return {
    machine: machine.name,
    areaMm2: chunks.reduce((sum, chunk) => sum + chunk.areaMm2, 0),
    chunks,
    intervalMs,
    latencyMs: chunks.reduce((sum, { busyMs }) => sum + busyMs, 0),
    energyMj: chunks.reduce((sum, { energyMj }) => sum + energyMj, 0),
    coarseIntervalMs: coarse.intervalMs,
    idealIntervalMs: work / areaUm2 / (machine.clockMhz.value * 1000),
    divisions: tried.size,
  };
}

/** Elements of each kind, and what their layers take on them. */
interface Division {
  readonly counts: readonly number[];
  readonly chunks: readonly Chunk[];
  readonly intervalMs: number;
}

/** The fastest of a few divisions that each give elements in proportion to how long the chunks before were busy. */
function balance(
  kinds: readonly Kind[],
  areaUm2: number,
  start: Division,
  divide: (counts: readonly number[]) => Division,
): Division {
  let [best, last] = [start, start];
  const seen = new Set([start]);
  for (let round = 1; round < rounds; round++) {
    const { chunks, counts } = last;
    const mean = chunks.reduce((sum, { busyMs }) => sum + busyMs, 0) / chunks.length;
    const weights = chunks.map(({ busyMs }, index) => counts[index]! * (busyMs / mean) ** damping);
    last = divide(elementCounts(kinds, weights, areaUm2));
    if (seen.has(last)) break;
    seen.add(last);
    if (last.intervalMs < best.intervalMs) best = last;
  }
  return best;
}

/** Gives the slowest chunk spare area and elements of the others, many or few, as long as that makes it faster. */
function moveElements(
  kinds: readonly Kind[],
  areaUm2: number,
  start: Division,
  divide: (counts: readonly number[]) => Division,
): Division {
  let best = start;
  for (let move = 0; move < moves; move++) {
    const { chunks, counts, intervalMs } = best;
    const slowest = chunks.findIndex(({ busyMs }) => busyMs === intervalMs);
    const spare = counts.reduce((rest, count, index) => rest - count * kinds[index]!.elementAreaUm2, areaUm2);
    const given = (from: number, elements: number): readonly number[] =>
      counts.map((count, index) => {
        if (index === slowest) {
          const gained = spare + (from === slowest ? 0 : elements * kinds[from]!.elementAreaUm2);
          return count + Math.floor(gained / kinds[slowest]!.elementAreaUm2);
        }
        return index === from ? count - elements : count;
      });
    const candidates = counts.flatMap((count, from) =>
      from === slowest
        ? [given(from, 0)]
        : [...new Set([count >> 2, count >> 3, 2, 1])]
            .filter((elements) => elements >= 1 && elements < count)
            .map((elements) => given(from, elements)),
    );
    const next = candidates.map(divide).reduce((a, b) => (b.intervalMs < a.intervalMs ? b : a));
    if (next.intervalMs >= intervalMs) break;
    best = next;
  }
  return best;
}

interface Kind {
  readonly primitive: ArithmeticPrimitive;
  readonly layers: readonly LayerDescription[];
  readonly operations: number;
  readonly elementAreaUm2: number;
}

function interval(chunks: readonly Chunk[]): number {
  return Math.max(...chunks.map(({ busyMs }) => busyMs));
}

/** Whole elements for each kind in proportion to weights, at least one, within the area. */
function elementCounts(kinds: readonly Kind[], weights: readonly number[], areaUm2: number): number[] {
  const perWeight =
    areaUm2 / kinds.reduce((sum, { elementAreaUm2 }, index) => sum + weights[index]! * elementAreaUm2, 0);
  const counts = kinds.map((_, index) => Math.max(1, Math.floor(weights[index]! * perWeight)));
  // One element forced on a kind that deserved less is taken from the kind that has most.
  const used = (): number =>
    kinds.reduce((sum, { elementAreaUm2 }, index) => sum + counts[index]! * elementAreaUm2, 0);
  while (used() > areaUm2) {
    const largest = counts.indexOf(Math.max(...counts));
    counts[largest]!--;
  }
  return counts;
}

function mapChunk(
  kind: Kind,
  elements: number,
  machine: Machine,
  arrayLevel: number,
  share: number,
  options: ChunkOptions,
): Chunk {
  const shape = shapes(elements).find((candidate, index, all) => {
    // The squarest shape on which every layer fits; the last one is tried for real and says what refuses.
    if (index === all.length - 1) return true;
    const chunk = chunkMachine(machine, arrayLevel, kind.primitive, candidate, share);
    return kind.layers.every((layer) => refusedLimits(layer, chunk).length === 0);
  })!;
  const chunk = chunkMachine(machine, arrayLevel, kind.primitive, shape, share);
  const known = new Map<string, MappingCost>();
  const costs = kind.layers.map((layer) => {
    const { name, ...rest } = layer;
    const key = JSON.stringify(rest);
    let cost = known.get(key);
    if (cost === undefined)
      known.set(
        key,
        (cost = searchMapping(layer, chunk, { ...options, tries: options.tries ?? defaultTries }).cost),
      );
    return { ...cost, layer: name };
  });
  return {
    primitive: kind.primitive,
    columns: shape.x,
    rows: shape.y,
    elements: shape.x * shape.y,
    elementAreaUm2: kind.elementAreaUm2,
    areaMm2: (shape.x * shape.y * kind.elementAreaUm2) / 1e6,
    operations: kind.operations,
    layers: costs,
    busyMs: costs.reduce((sum, { latencyMs }) => sum + latencyMs, 0),
    energyMj: costs.reduce((sum, { energyPj }) => sum + energyPj / 1e9, 0),
  };
}

/** Rectangles of at most `elements`, those that use most of them first, squarer ones before longer ones. */
function shapes(elements: number): { readonly x: number; readonly y: number }[] {
  const found: { x: number; y: number }[] = [];
  for (let y = 1; y <= elements; y++) {
    const x = Math.floor(elements / y);
    if (x * widestAspect < y) break;
    if (y * widestAspect >= x || elements < widestAspect) found.push({ x, y });
  }
  const waste = ({ x, y }: { x: number; y: number }): number =>
    1 - (x * y) / elements + Math.abs(Math.log2(x / y)) / 50;
  return found.sort((a, b) => waste(a) - waste(b));
}

/** The machine with an array of another shape, and a share of what stands above it. */
function chunkMachine(
  machine: Machine,
  arrayLevel: number,
  primitive: ArithmeticPrimitive,
  { x, y }: { readonly x: number; readonly y: number },
  share: number,
): Machine {
  const shared = (level: MachineLevel): MachineLevel =>
    level.storage === undefined
      ? level
      : {
          ...level,
          storage: {
            ...level.storage,
            ...(level.storage.capacity === undefined
              ? {}
              : {
                  capacity: {
                    ...level.storage.capacity,
                    words: Math.max(1, Math.floor(level.storage.capacity.words * share)),
                  },
                }),
            ports: level.storage.ports.map((port) => ({
              ...port,
              wordsPerCycle: port.wordsPerCycle * share,
            })),
          },
        };
  return {
    ...machine,
    name: `${machine.name}, ${primitive} chunk`,
    levels: machine.levels.map((level, index) => {
      if (index < arrayLevel) return shared(level);
      return index === arrayLevel ? { ...shared(level), fanout: { ...level.fanout!, x, y } } : level;
    }),
  };
}

function widestLevel(machine: Machine): number {
  const widths = machine.levels.map(({ fanout }) => (fanout?.x ?? 1) * (fanout?.y ?? 1));
  const widest = widths.indexOf(Math.max(...widths));
  if (widths[widest] === 1)
    throw new OptionError(
      `machine '${machine.name}' has no fan-out, hence no array to divide (levels.*.fanout)`,
    );
  return widest;
}

/** Area of one unit, as wide as the widest of the layers needs. */
function unitArea(
  machine: Machine,
  primitive: ArithmeticPrimitive,
  layers: readonly LayerDescription[],
  gates: GateProfile | undefined,
): number {
  if (gates !== undefined) {
    const widest = (operand: 'activation' | 'weight'): number =>
      Math.max(...layers.map(({ operandBits }) => operandBits[operand]));
    return elementAreaUm2(gates, smallestElement(gates, primitive, widest('activation'), widest('weight')));
  }
  const needed = Math.max(
    ...layers.map(({ operandBits: { activation, weight } }) =>
      primitive === Primitive.Shift ? activation : Math.max(activation, weight),
    ),
  );
  const units = machine.arithmetic.operations
    .filter((unit) => unit.primitive === primitive)
    .sort((a, b) => a.bits - b.bits);
  const unit =
    machine.operandWidths === OperandWidths.Word ? units.at(-1) : units.find(({ bits }) => bits >= needed);
  if (unit === undefined)
    throw new OptionError(
      `machine '${machine.name}' has no units that ${primitive} ${needed} bits (arithmetic.operations)`,
    );
  if (unit.areaUm2 === undefined)
    throw new OptionError(
      `machine '${machine.name}' states no area for ${primitive}; add areaUm2 to its entry in arithmetic.operations`,
    );
  return unit.areaUm2;
}

/** Area of one element: the units and the registers under one place of the array. */
function elementArea(machine: Machine, arrayLevel: number, unitAreaUm2: number): number {
  let instances = 1;
  let registers = 0;
  for (const { storage, fanout } of machine.levels.slice(arrayLevel + 1)) {
    registers += instances * (storage?.areaUm2?.value ?? 0);
    instances *= (fanout?.x ?? 1) * (fanout?.y ?? 1);
  }
  return instances * unitAreaUm2 + registers;
}
