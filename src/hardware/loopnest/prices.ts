/**
 * @file A machine worked out for one layer: prices, rooms and rates as flat arrays, and what counted traffic costs.
 *
 * Energy: accesses in whole blocks times the price of a block, words on networks, operations, leakage of the
 * instances in use (the others are taken to be switched off) and static power times the running time. Time: the array computes one step per cycle; every port moves so many words per
 * cycle; where tiles are exchanged without waiting the slowest of these sets the pace, and tiles that are not add
 * their exchange to it. Before the first step the first tiles must have come down, after the last one the last
 * outputs must go up: fill and drain. See {@link Cycles}.
 */
import { OptionError } from '../../base/errors.js';
import type { LayerDescription, OperandBits } from '../layer.js';
import { Primitive } from '../layer.js';
import { Buffering, Direction, FirstUpdate, OperandWidths, layoutOf, type Machine } from './machine.js';
import { operationsOf, outputsIndex, problemOf, tensorCount, tensors, type Problem } from './problem.js';
import type { Layout, Traffic } from './traffic.js';

/** What is said about a layer beyond its shape. */
export interface EvaluationOptions {
  /** Share of zeros among the inputs, 0 to 1; saves what the machine's `zeroGating` names. 0 by default. */
  readonly inputZeros?: number;
}

const directions = [Direction.Read, Direction.Write, Direction.Drain] as const;

/** A port worked out: which words pass it, by `3 * tensor + direction`. */
interface Port {
  readonly level: number;
  readonly passes: readonly boolean[];
  readonly wordsPerCycle: number;
}

/** A machine and a layer, ready for many mappings. */
export interface Prepared {
  readonly machine: Machine;
  readonly problem: Problem;
  readonly layout: Layout;
  readonly operations: number;
  /** Its steps move values: none of them is an operation. */
  readonly onlyMoves: boolean;
  /** Room a word of each tensor takes in each level, copies included; `level * tensorCount + tensor`. */
  readonly room: Float64Array;
  /** Part of a storage word that an operand word fills. */
  readonly fraction: Float64Array;
  /** The same for an output that is final, in the outermost level: it is the next layer's input. */
  readonly finalFraction: number;
  readonly capacity: Float64Array;
  /** Words that a tensor takes at a time; 0 where it takes single words. */
  readonly bankWords: Float64Array;
  readonly blockWords: Float64Array;
  readonly readPj: Float64Array;
  readonly fillPj: Float64Array;
  readonly updatePj: Float64Array;
  readonly drainPj: Float64Array;
  /** Part of the arithmetic's accesses to a level that zero inputs leave. */
  readonly gated: Float64Array;
  readonly accumulatesFirst: readonly boolean[];
  readonly networkPj: Float64Array;
  readonly ports: readonly Port[];
  /** Level and tensor pairs whose exchange stops the array: `level * tensorCount + tensor`. */
  readonly exposed: readonly number[];
  readonly operationPj: number;
  readonly leakPjPerCycle: Float64Array;
  readonly idlePjPerCycle: number;
}

/** Running time in clock cycles. */
export interface Cycles {
  /** Steps of the array. */
  readonly compute: number;
  /** Exchanges of tiles during which the array stands still. */
  readonly exchange: number;
  /** From the first step to the last: exchange + max(compute, busiest port). */
  readonly steady: number;
  /** Until the first tiles have arrived. */
  readonly fill: number;
  /** Until the last outputs have left. */
  readonly drain: number;
  /** fill + steady + drain. */
  readonly total: number;
}

/** What a mapping costs, filled in by {@link priceTraffic}; per tensor by `level * tensorCount + tensor`. */
export interface Price {
  readonly storagePj: Float64Array;
  readonly networkPj: Float64Array;
  energyPj: number;
  compute: number;
  exchange: number;
  steady: number;
  fill: number;
  drain: number;
  /** Index into the ports of the one that sets the pace; -1 for the array itself. */
  boundBy: number;
}

/**
 * Works a machine out for a layer.
 * @throws LayerError for an impossible layer, OptionError when the machine has no unit for its primitive.
 */
export function prepare(
  layer: LayerDescription,
  machine: Machine,
  options: EvaluationOptions = {},
): Prepared {
  const inputZeros = options.inputZeros ?? 0;
  if (!(inputZeros >= 0 && inputZeros <= 1))
    throw new OptionError(`the share of zero inputs must be from 0 to 1, got ${inputZeros}`);
  const problem = problemOf(layer);
  const layout = layoutOf(machine);
  const { levelCount } = layout;
  const bits = layer.operandBits;
  const perTensorBits = [bits.weight, bits.activation, bits.partialSum];
  const perLevel = (of: (level: Machine['levels'][number]) => number): Float64Array =>
    Float64Array.from(machine.levels, of);
  const fraction = new Float64Array(levelCount * tensorCount);
  const room = new Float64Array(levelCount * tensorCount);
  machine.levels.forEach(({ storage }, level) => {
    tensors.forEach((name, tensor) => {
      if (storage === undefined || !storage.keeps.includes(name)) return;
      const part =
        machine.operandWidths === OperandWidths.Layer ? perTensorBits[tensor]! / storage.wordBits : 1;
      fraction[level * tensorCount + tensor] = part;
      room[level * tensorCount + tensor] = part * (storage.buffering[name] === Buffering.Double ? 2 : 1);
    });
  });
  const gatedLevels = inputZeros > 0 ? (machine.zeroGating?.levels ?? []) : [];
  const operation = operationFor(machine, layer.primitive, bits, layer.name);
  const gatesOperation = machine.zeroGating?.operation === true;
  const top = machine.levels[0]!.storage!;
  return {
    machine,
    problem,
    layout,
    operations: operationsOf(problem),
    onlyMoves: layer.primitive === Primitive.Move,
    room,
    fraction,
    finalFraction: machine.operandWidths === OperandWidths.Layer ? bits.activation / top.wordBits : 1,
    capacity: perLevel(({ storage }) => storage?.capacity?.words ?? Infinity),
    bankWords: perLevel(({ storage }) => storage?.capacity?.bankWords ?? 0),
    blockWords: perLevel(({ storage }) => storage?.blockWords ?? 1),
    readPj: perLevel(({ storage }) => storage?.access.readPj ?? 0),
    fillPj: perLevel(({ storage }) => storage?.access.fillPj ?? 0),
    updatePj: perLevel(({ storage }) => storage?.access.updatePj ?? 0),
    drainPj: perLevel(({ storage }) => storage?.access.drainPj ?? 0),
    gated: perLevel(({ name }) => (gatedLevels.includes(name) ? 1 - inputZeros : 1)),
    accumulatesFirst: machine.levels.map(({ storage }) => storage?.firstUpdate === FirstUpdate.Accumulates),
    networkPj: networkPrices(machine, perTensorBits),
    ports: machine.levels.flatMap(({ storage }, level) =>
      (storage?.ports ?? []).map((port) => ({
        level,
        passes: tensors.flatMap((name) =>
          directions.map((direction) => port.tensors.includes(name) && port.directions.includes(direction)),
        ),
        wordsPerCycle: port.wordsPerCycle,
      })),
    ),
    exposed: machine.levels.flatMap(({ storage }, level) =>
      tensors.flatMap((name, tensor) =>
        level > 0 && storage?.keeps.includes(name) && storage.buffering[name] === Buffering.Single
          ? [level * tensorCount + tensor]
          : [],
      ),
    ),
    operationPj: operation * (gatesOperation ? 1 - inputZeros : 1),
    leakPjPerCycle: leakage(machine),
    // One milliwatt is a nanojoule per microsecond: pJ per cycle = mW * 1000 / MHz.
    idlePjPerCycle: ((machine.staticMw?.value ?? 0) * 1000) / machine.clockMhz.value,
  };
}

/** Energy of one operation: the narrowest unit wide enough, or the widest one where words are charged whole. */
function operationFor(machine: Machine, primitive: Primitive, bits: OperandBits, layerName: string): number {
  if (primitive === Primitive.Move) return 0;
  const units = machine.arithmetic.operations
    .filter((unit) => unit.primitive === primitive)
    .sort((a, b) => a.bits - b.bits);
  const known = [...new Set(machine.arithmetic.operations.map((unit) => unit.primitive))].join(', ');
  if (units.length === 0)
    throw new OptionError(
      `layer '${layerName}': machine '${machine.name}' has no units that ${primitive}; it has ${known} (arithmetic.operations)`,
    );
  if (machine.operandWidths === OperandWidths.Word) return units.at(-1)!.pj;
  // A shifter is as wide as what it shifts; its weight only says how far.
  const needed = primitive === Primitive.Shift ? bits.activation : Math.max(bits.activation, bits.weight);
  const unit = units.find((candidate) => candidate.bits >= needed);
  if (unit === undefined)
    throw new OptionError(
      `layer '${layerName}': machine '${machine.name}' can ${primitive} at most ${units.at(-1)!.bits} bits, the layer has ${needed}`,
    );
  return unit.pj;
}

function networkPrices(machine: Machine, perTensorBits: readonly number[]): Float64Array {
  return Float64Array.from(
    machine.levels.flatMap(({ fanout }) =>
      tensors.map((_, tensor) => {
        const network = fanout?.network;
        if (network === undefined) return 0;
        const part =
          machine.operandWidths === OperandWidths.Layer ? perTensorBits[tensor]! / network.wordBits : 1;
        return network.pjPerWord * part;
      }),
    ),
  );
}

/** Leakage of one instance of each level, and of an arithmetic unit as the last entry, per cycle. */
function leakage(machine: Machine): Float64Array {
  return Float64Array.from([
    ...machine.levels.map(({ storage }) => storage?.access.leakPjPerCycle ?? 0),
    machine.arithmetic.leakPjPerCycle,
  ]);
}

export function emptyPrice(levelCount: number): Price {
  return {
    storagePj: new Float64Array(levelCount * tensorCount),
    networkPj: new Float64Array(levelCount * tensorCount),
    energyPj: 0,
    compute: 0,
    exchange: 0,
    steady: 0,
    fill: 0,
    drain: 0,
    boundBy: -1,
  };
}

/** What counted traffic costs. */
export function priceTraffic(prepared: Prepared, traffic: Traffic, price: Price): void {
  timeTraffic(prepared, traffic, price);
  const { layout, fraction, blockWords, gated } = prepared;
  let total = prepared.operations * prepared.operationPj;
  const cycles = price.fill + price.steady + price.drain;
  for (let level = 0; level <= layout.levelCount; level++)
    total += prepared.leakPjPerCycle[level]! * traffic.instances[level]! * cycles;
  total += prepared.idlePjPerCycle * cycles;
  // Padding takes its step, but the arithmetic does nothing in it, and asks for nothing.
  const occupied = prepared.operations / (traffic.steps * traffic.instances[layout.levelCount]!);
  for (let tensor = 0; tensor < tensorCount; tensor++) {
    const keepers = layout.keepers[tensor]!;
    const innermost = keepers.at(-1)!;
    for (const level of keepers) {
      const at = level * tensorCount + tensor;
      const block = blockWords[level]!;
      const part = fraction[at]! / block;
      const left = level === innermost ? gated[level]! * occupied : 1;
      const finals = traffic.finals[at]!;
      const reads = readsOf(prepared, traffic, level, at) * left;
      let updates = traffic.updates[at]! * left * part;
      // The last update of an output in the outermost level has the width of the next layer's input.
      if (level === 0) updates += (finals * left * (prepared.finalFraction - fraction[at]!)) / block;
      const energy =
        traffic.instances[level]! *
        (Math.ceil(reads * part) * prepared.readPj[level]! +
          Math.ceil(traffic.fills[at]! * part) * prepared.fillPj[level]! +
          Math.ceil(updates) * prepared.updatePj[level]! +
          Math.ceil(traffic.drains[at]! * part) * prepared.drainPj[level]!);
      price.storagePj[at] = energy;
      total += energy;
    }
  }
  for (let at = 0; at < price.networkPj.length; at++) {
    const energy = traffic.network[at]! * prepared.networkPj[at]!;
    price.networkPj[at] = energy;
    total += energy;
  }
  price.energyPj = total;
}

function timeTraffic(prepared: Prepared, traffic: Traffic, price: Price): void {
  const { ports, fraction, exposed, layout } = prepared;
  let busiest = traffic.steps;
  let fill = 0;
  let drain = 0;
  let exchange = 0;
  price.boundBy = -1;
  for (let index = 0; index < ports.length; index++) {
    const { level, passes, wordsPerCycle } = ports[index]!;
    let words = 0;
    let first = 0;
    let last = 0;
    for (let tensor = 0; tensor < tensorCount; tensor++) {
      const at = level * tensorCount + tensor;
      const part = fraction[at]!;
      if (part === 0) continue;
      if (passes[3 * tensor]) {
        const waits = waitsFor(prepared, level, tensor);
        const read = readsOf(prepared, traffic, level, at) * part;
        if (waits) exchange += read / wordsPerCycle;
        else words += read;
        if (tensor !== outputsIndex) first += firstWords(layout, traffic, level, tensor) * part;
      }
      if (passes[3 * tensor + 1]) {
        words += (traffic.fills[at]! + traffic.updates[at]!) * part;
        if (tensor === outputsIndex) last += lastWords(layout, traffic, level) * part;
      }
      if (passes[3 * tensor + 2]) words += traffic.drains[at]! * part;
    }
    fill += first / wordsPerCycle;
    drain += last / wordsPerCycle;
    if (words / wordsPerCycle > busiest) {
      busiest = words / wordsPerCycle;
      price.boundBy = index;
    }
  }
  price.compute = traffic.steps;
  price.exchange = exposed.length === 0 ? 0 : exchange;
  price.steady = price.exchange + busiest;
  price.fill = fill;
  price.drain = drain;
}

/** Words read to serve the levels below, with the first value of each output where the machine reads that too. */
export function readsOf(prepared: Prepared, traffic: Traffic, level: number, at: number): number {
  return traffic.reads[at]! + (prepared.accumulatesFirst[level] ? traffic.finals[at]! : 0);
}

/** Whether the array stands still while `level` serves a tensor to the level that keeps it next. */
function waitsFor({ exposed, layout }: Prepared, level: number, tensor: number): boolean {
  if (exposed.length === 0) return false;
  const keepers = layout.keepers[tensor]!;
  const child = keepers[keepers.indexOf(level) + 1];
  return child !== undefined && exposed.includes(child * tensorCount + tensor);
}

/** Words that a level sends down before the first step: one tile of the next keeper, to each that holds a different one. */
function firstWords(layout: Layout, traffic: Traffic, level: number, tensor: number): number {
  const keepers = layout.keepers[tensor]!;
  const child = keepers[keepers.indexOf(level) + 1];
  if (child === undefined) return 0;
  const fills = traffic.fills[child * tensorCount + tensor]!;
  return fills === 0
    ? 0
    : (traffic.reads[level * tensorCount + tensor]! / fills) * traffic.words[child * tensorCount + tensor]!;
}

/** Words that a level receives after the last step: one tile of the next keeper of the outputs. */
function lastWords(layout: Layout, traffic: Traffic, level: number): number {
  const keepers = layout.keepers[outputsIndex]!;
  const child = keepers[keepers.indexOf(level) + 1];
  if (child === undefined) return 0;
  const drains = traffic.drains[child * tensorCount + outputsIndex]!;
  return (
    (traffic.updates[level * tensorCount + outputsIndex]! / drains) *
    traffic.words[child * tensorCount + outputsIndex]!
  );
}
