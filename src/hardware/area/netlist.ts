/**
 * @file A gate netlist as yosys writes it, and a simulator that counts what switches.
 *
 * Every net holds 32 independent streams, one per bit of an integer, so that a gate is one or two machine instructions.
 * Two counts are made of one run. Settled: a net counts when it ends a clock at another value than it ended the last,
 * which is the least that any circuit with these gates switches. Unit delay: every gate takes one unit of time, and
 * what a net does on its way counts too; real gates swallow some of these short pulses, so this is more than they
 * switch. A net that changes charges or discharges the inputs that it drives; an input is taken as its share of its
 * cell's transistors. So the unit of both counts is the transistor.
 */
import { z } from 'zod';
import { ToolError } from '../../base/errors.js';

/** Transistors of static CMOS cells, as `stat -tech cmos` of yosys counts them. */
const cellTransistors: Readonly<Record<string, number>> = {
  $_NOT_: 2,
  $_NAND_: 4,
  $_NOR_: 4,
  $_AOI3_: 6,
  $_OAI3_: 6,
  $_AOI4_: 8,
  $_OAI4_: 8,
  $_NMUX_: 10,
  $_MUX_: 12,
  $_XOR_: 12,
  $_XNOR_: 12,
  $_DFF_P_: 16,
};
const flipFlopType = '$_DFF_P_';
/** Gates by the number that {@link evaluate} knows them by. */
const gateTypes = Object.keys(cellTransistors).filter((type) => type !== flipFlopType);

/** Transistors of a two-input NAND, the unit of gate counts. */
export const nand2Transistors = cellTransistors['$_NAND_']!;

/** Streams that are simulated at once. */
export const lanes = 32;

/** Clocks at the start of a run that are not counted, until the pipeline is full. */
const warmUpClocks = 4;

const bit = z.union([z.int(), z.string()]);
const netlistSchema = z.object({
  modules: z.record(
    z.string(),
    z.object({
      ports: z.record(z.string(), z.object({ direction: z.string(), bits: z.array(bit) })),
      cells: z.record(
        z.string(),
        z.object({ type: z.string(), connections: z.record(z.string(), z.array(bit)) }),
      ),
    }),
  ),
});

/** Cells of one module of a netlist by type. @throws ToolError when the module is not in it */
export function cellCounts(text: string, module: string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { type } of Object.values(moduleNamed(text, module).cells))
    counts.set(type, (counts.get(type) ?? 0) + 1);
  return counts;
}

function moduleNamed(text: string, name: string): z.infer<typeof netlistSchema>['modules'][string] {
  const module = netlistSchema.parse(JSON.parse(text)).modules[name];
  if (module === undefined)
    throw new ToolError(`yosys wrote a netlist without module ${name}; use yosys 0.23 or later`);
  return module;
}

/** Gates in an order in which each comes after those that drive it. Nets are numbers; 0 and 1 are the constants. */
export interface Netlist {
  readonly nets: number;
  /** Five numbers a gate: type, then inputs A, B, C, D (or the select of a multiplexer in C; 0 where there is none). */
  readonly gates: Int32Array;
  /** The net that each gate drives. */
  readonly outputs: Int32Array;
  readonly flipFlopInputs: Int32Array;
  readonly flipFlopOutputs: Int32Array;
  /** Nets of each port, lowest bit first. */
  readonly ports: ReadonlyMap<string, readonly number[]>;
  /** What a net drives, in transistors. */
  readonly loads: Float64Array;
  /** What the clock drives, in transistors. */
  readonly clockLoad: number;
  readonly transistors: number;
}

/** Reads one module of a `write_json` file. @throws ToolError for cells that are no gates, and for loops of gates */
export function readNetlist(text: string, name: string): Netlist {
  const module = moduleNamed(text, name);
  const numbers = new Map<number | string, number>([
    ['0', 0],
    ['1', 1],
    ['x', 0],
  ]);
  const netOf = (one: number | string): number => {
    let net = numbers.get(one);
    if (net === undefined) numbers.set(one, (net = numbers.size - 1));
    return net;
  };
  const ports = new Map(Object.entries(module.ports).map(([port, { bits }]) => [port, bits.map(netOf)]));
  const cells = Object.values(module.cells).map(({ type, connections }) => {
    if (cellTransistors[type] === undefined)
      throw new ToolError(`yosys made a cell ${type} of ${name}, which is not counted here; use yosys 0.23`);
    const netsOfPins = new Map(Object.entries(connections).map(([pin, [net]]) => [pin, netOf(net ?? '0')]));
    const at = (pin: string): number => netsOfPins.get(pin) ?? 0;
    return { type, at, pins: [...netsOfPins.keys()].filter((pin) => pin !== 'Y' && pin !== 'Q') };
  });
  const nets = numbers.size - 1;
  const loads = new Float64Array(nets);
  let clockLoad = 0;
  let transistors = 0;
  for (const { type, at, pins } of cells) {
    transistors += cellTransistors[type]!;
    const share = cellTransistors[type]! / pins.length;
    for (const pin of pins)
      if (pin === 'C' && type === flipFlopType) clockLoad += share;
      else loads[at(pin)]! += share;
  }
  const flipFlops = cells.filter(({ type }) => type === flipFlopType);
  const gates = inOrder(
    cells
      .filter(({ type }) => type !== flipFlopType)
      .map(({ type, at, pins }) => ({
        code: [gateTypes.indexOf(type), at('A'), at('B'), at(pins.includes('S') ? 'S' : 'C'), at('D')],
        inputs: pins.map(at),
        output: at('Y'),
      })),
    nets,
  );
  if (gates === undefined) throw new ToolError(`the gates of ${name} form a loop without a register`);
  return {
    nets,
    gates: Int32Array.from(gates.flatMap(({ code }) => code)),
    outputs: Int32Array.from(gates, ({ output }) => output),
    flipFlopInputs: Int32Array.from(flipFlops, ({ at }) => at('D')),
    flipFlopOutputs: Int32Array.from(flipFlops, ({ at }) => at('Q')),
    ports,
    loads,
    clockLoad,
    transistors,
  };
}

interface Gate {
  readonly code: readonly number[];
  readonly inputs: readonly number[];
  readonly output: number;
}

/** Gates after their drivers; undefined when there is no such order. */
function inOrder(gates: readonly Gate[], nets: number): readonly Gate[] | undefined {
  const drivers = new Map(gates.map((gate) => [gate.output, gate]));
  const readers: Gate[][] = Array.from({ length: nets }, () => []);
  const missing = new Map<Gate, number>();
  for (const gate of gates) {
    const inside = gate.inputs.filter((net) => drivers.has(net));
    missing.set(gate, inside.length);
    for (const net of inside) readers[net]!.push(gate);
  }
  const order = gates.filter((gate) => missing.get(gate) === 0);
  for (let at = 0; at < order.length; at++)
    for (const reader of readers[order[at]!.output]!) {
      const left = missing.get(reader)! - 1;
      missing.set(reader, left);
      if (left === 0) order.push(reader);
    }
  return order.length === gates.length ? order : undefined;
}

/** What 32 streams of operands switched, per clock and stream. */
export interface Switching {
  /** Transistors whose gate changed, each clock by its last value alone; without the clock. */
  readonly settled: number;
  /** The same with every change on the way, all gates being equally slow. */
  readonly unitDelay: number;
  /** Transistors that the clock switches: each twice. */
  readonly clock: number;
  /** Clocks that were counted, of one stream. */
  readonly clocks: number;
}

/**
 * Runs a netlist. `inputs` gives, for clock and lane, the value of each input port but `clock`; `watch` is called with the
 * clock and the value of `port` in each lane as it stands before the clock edge.
 */
export function runNetlist(
  netlist: Netlist,
  clocks: number,
  inputs: (clock: number, lane: number) => Readonly<Record<string, bigint>>,
  port: string,
  watch: (clock: number, values: readonly bigint[]) => void,
): Switching {
  const { flipFlopInputs, flipFlopOutputs, loads, outputs } = netlist;
  const values = new Int32Array(netlist.nets);
  values[1] = -1;
  const settled = new Int32Array(netlist.nets);
  const next = new Int32Array(outputs.length);
  const state = new Int32Array(flipFlopInputs.length);
  const watched = netlist.ports.get(port)!;
  let settledSum = 0;
  let unitDelaySum = 0;

  for (let clock = 0; clock < clocks; clock++) {
    const counted = clock >= warmUpClocks;
    let switched = 0;
    const set = (net: number, value: number): void => {
      switched += loads[net]! * ones(values[net]! ^ value);
      values[net] = value;
    };
    for (const [net, value] of inputNets(netlist, (lane) => inputs(clock, lane))) set(net, value);
    for (let i = 0; i < state.length; i++) set(flipFlopOutputs[i]!, state[i]!);
    watch(clock, valuesOf(watched, values));
    // Unit delay: all gates look at the same instant, until none changes any more.
    for (let changed = true; changed;) {
      changed = false;
      evaluate(netlist.gates, values, next);
      for (let gate = 0; gate < next.length; gate++) {
        const net = outputs[gate]!;
        if (values[net] === next[gate]) continue;
        set(net, next[gate]!);
        changed = true;
      }
    }
    for (let i = 0; i < state.length; i++) state[i] = values[flipFlopInputs[i]!]!;
    if (counted) {
      unitDelaySum += switched;
      for (let net = 0; net < values.length; net++)
        settledSum += loads[net]! * ones(settled[net]! ^ values[net]!);
    }
    settled.set(values);
  }
  const counted = clocks - warmUpClocks;
  return {
    settled: settledSum / (counted * lanes),
    unitDelay: unitDelaySum / (counted * lanes),
    clock: 2 * netlist.clockLoad,
    clocks: counted,
  };
}

/** One pass over all gates: what each puts out, seeing `values`. */
function evaluate(gates: Int32Array, values: Int32Array, next: Int32Array): void {
  for (let gate = 0, at = 0; gate < next.length; gate++, at += 5) {
    const a = values[gates[at + 1]!]!;
    const b = values[gates[at + 2]!]!;
    const c = values[gates[at + 3]!]!;
    next[gate] = gateValue(gates[at]!, a, b, c, values[gates[at + 4]!]!);
  }
}

/** The cells of yosys' simcells.v on 32 lanes; the select of a multiplexer comes in `c`. Numbers as in `gateTypes`. */
function gateValue(type: number, a: number, b: number, c: number, d: number): number {
  switch (type) {
    case 0:
      return ~a;
    case 1:
      return ~(a & b);
    case 2:
      return ~(a | b);
    case 3:
      return ~((a & b) | c);
    case 4:
      return ~((a | b) & c);
    case 5:
      return ~((a & b) | (c & d));
    case 6:
      return ~((a | b) & (c | d));
    case 7:
      return ~((c & b) | (~c & a));
    case 8:
      return (c & b) | (~c & a);
    case 9:
      return a ^ b;
    default:
      return ~(a ^ b);
  }
}

/** Values of the input nets with the lanes packed into one integer each. */
function* inputNets(
  { ports }: Netlist,
  inputs: (lane: number) => Readonly<Record<string, bigint>>,
): Generator<readonly [number, number]> {
  const given = Array.from({ length: lanes }, (_, lane) => inputs(lane));
  for (const port of Object.keys(given[0]!))
    for (const [i, net] of ports.get(port)!.entries()) {
      let packed = 0;
      for (let lane = 0; lane < lanes; lane++)
        packed |= Number((given[lane]![port]! >> BigInt(i)) & 1n) << lane;
      yield [net, packed];
    }
}

function valuesOf(nets: readonly number[], values: Int32Array): bigint[] {
  return Array.from({ length: lanes }, (_, lane) =>
    nets.reduce((sum, net, i) => sum | (BigInt((values[net]! >>> lane) & 1) << BigInt(i)), 0n),
  );
}

/** Bits that are set. */
function ones(value: number): number {
  let bits = value - ((value >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
