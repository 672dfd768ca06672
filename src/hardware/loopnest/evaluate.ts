/**
 * @file What one mapping of a layer costs on a machine: accesses per level, energy, running time, utilisation.
 */
import type { LayerDescription } from '../layer.js';
import { NoMappingError, brokenLimits, roomNeeded } from './limits.js';
import { unitCount, type Machine } from './machine.js';
import { mappingText, nestOf, type Mapping } from './mapping.js';
import {
  emptyPrice,
  prepare,
  priceTraffic,
  readsOf,
  type Cycles,
  type EvaluationOptions,
  type Prepared,
} from './prices.js';
import { tensorCount, tensors, type Tensor } from './problem.js';
import { countTraffic, emptyTraffic } from './traffic.js';

/** Accesses of one tensor at one level, in words per instance in use. */
export interface TensorAccesses {
  readonly tensor: Tensor;
  /** Words held. */
  readonly tileWords: number;
  /** Words read to serve the levels below. */
  readonly reads: number;
  /** Words written that came from above. */
  readonly fills: number;
  /** Words written that came from below. */
  readonly updates: number;
  /** Words read to be sent up. */
  readonly drains: number;
  /** Energy of all instances. */
  readonly energyPj: number;
}

/** One level of a mapped layer. */
export interface LevelCost {
  readonly name: string;
  readonly instancesUsed: number;
  readonly instances: number;
  /** Storage words that the tiles take, and that there are; absent without a bound. */
  readonly wordsUsed: number;
  readonly words?: number;
  readonly tensors: readonly TensorAccesses[];
  readonly leakagePj: number;
  /** Energy of words on the way to and from the instances below. */
  readonly networkPj: number;
  /** Accesses, leakage and network. */
  readonly energyPj: number;
}

/** The cost of one mapped layer. */
export interface MappingCost {
  readonly layer: string;
  readonly machine: string;
  readonly mapping: Mapping;
  readonly mappingText: string;
  readonly operations: number;
  readonly cycles: Cycles;
  /** What sets the pace: the array, or a level's port with what passes it. */
  readonly boundBy: string;
  readonly latencyMs: number;
  readonly energyPj: number;
  readonly arithmeticPj: number;
  /** Static power times the running time. */
  readonly staticPj: number;
  readonly levels: readonly LevelCost[];
  readonly units: number;
  /** Units in use in a step that is not padding. */
  readonly unitsUsed: number;
  /** Operations per step: units in use on average, padding not counted. */
  readonly activeUnits: number;
  /** Operations per unit and cycle of the whole running time. */
  readonly utilisation: number;
}

/**
 * Evaluates a given mapping.
 * @throws NoMappingError naming every buffer, fan-out and dimension that refuses; LayerError, OptionError as {@link prepare}.
 */
export function evaluateMapping(
  layer: LayerDescription,
  machine: Machine,
  mapping: Mapping,
  options: EvaluationOptions = {},
): MappingCost {
  return evaluatePrepared(prepare(layer, machine, options), mapping);
}

/** As {@link evaluateMapping}, for a layer and machine already worked out. */
export function evaluatePrepared(prepared: Prepared, mapping: Mapping): MappingCost {
  const { machine, problem, layout, operations } = prepared;
  const nest = nestOf(mapping, problem.stride);
  const traffic = emptyTraffic(layout.levelCount);
  const broken = brokenLimits(prepared, mapping, nest, traffic);
  if (broken.length > 0) throw new NoMappingError(problem.name, machine.name, broken, true);
  countTraffic(layout, nest, traffic);
  const price = emptyPrice(layout.levelCount);
  priceTraffic(prepared, traffic, price);

  const total = price.fill + price.steady + price.drain;
  let instances = 1;
  const levels = machine.levels.map(({ name, storage, fanout }, level): LevelCost => {
    const accesses = tensors.flatMap((tensor, index) => {
      if (storage === undefined || !storage.keeps.includes(tensor)) return [];
      const at = level * tensorCount + index;
      return [
        {
          tensor,
          tileWords: traffic.words[at]!,
          reads: readsOf(prepared, traffic, level, at),
          fills: traffic.fills[at]!,
          updates: traffic.updates[at]!,
          drains: traffic.drains[at]!,
          energyPj: price.storagePj[at]!,
        },
      ];
    });
    const leakagePj = prepared.leakPjPerCycle[level]! * traffic.instances[level]! * total;
    const networkPj = sum(price.networkPj.subarray(level * tensorCount, (level + 1) * tensorCount));
    const cost: LevelCost = {
      name,
      instancesUsed: traffic.instances[level]!,
      instances,
      wordsUsed: storage === undefined ? 0 : roomNeeded(prepared, traffic, level),
      ...(storage?.capacity === undefined ? {} : { words: storage.capacity.words }),
      tensors: accesses,
      leakagePj,
      networkPj,
      energyPj: sum(accesses.map(({ energyPj }) => energyPj)) + leakagePj + networkPj,
    };
    instances *= (fanout?.x ?? 1) * (fanout?.y ?? 1);
    return cost;
  });
  const units = unitCount(machine);
  return {
    layer: problem.name,
    machine: machine.name,
    mapping,
    mappingText: mappingText(mapping, machine),
    operations: prepared.onlyMoves ? 0 : operations,
    cycles: {
      compute: price.compute,
      exchange: price.exchange,
      steady: price.steady,
      fill: price.fill,
      drain: price.drain,
      total,
    },
    boundBy: paceText(prepared, price.boundBy),
    latencyMs: total / (machine.clockMhz.value * 1000),
    energyPj: price.energyPj,
    arithmeticPj:
      operations * prepared.operationPj +
      prepared.leakPjPerCycle[layout.levelCount]! * traffic.instances[layout.levelCount]! * total,
    staticPj: prepared.idlePjPerCycle * total,
    levels,
    units,
    unitsUsed: traffic.instances[layout.levelCount]!,
    activeUnits: operations / price.compute,
    utilisation: operations / (units * total),
  };
}

function paceText({ ports, machine }: Prepared, index: number): string {
  const port = ports[index];
  if (port === undefined) return 'array';
  const passing = tensors.filter((_, tensor) => port.passes.slice(3 * tensor, 3 * tensor + 3).includes(true));
  return `${machine.levels[port.level]!.name} port (${passing.join(', ')})`;
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
