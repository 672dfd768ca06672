/**
 * @file The gate simulator against truth tables and counts by hand.
 */
import { describe, expect, it } from 'vitest';
import { ToolError } from '../../base/errors.js';
import { lanes, readNetlist, runNetlist, type Switching } from './netlist.js';

type Cell = readonly [type: string, connections: Readonly<Record<string, number | string>>];

/** A module of these cells; nets 2, 3, ... are the input ports a, b, c, d; port y is the last cell's output. */
function netlist(inputs: number, cells: readonly Cell[]): ReturnType<typeof readNetlist> {
  const ports = Object.fromEntries(
    ['a', 'b', 'c', 'd'].slice(0, inputs).map((name, i) => [name, { direction: 'input', bits: [2 + i] }]),
  );
  const last = cells.at(-1)![1];
  const y = { direction: 'output', bits: [last['Y'] ?? last['Q']] };
  return readNetlist(
    JSON.stringify({
      modules: {
        m: {
          ports: { ...ports, y },
          cells: Object.fromEntries(
            cells.map(([type, connections], i) => [
              `cell${i}`,
              {
                type,
                connections: Object.fromEntries(
                  Object.entries(connections).map(([pin, net]) => [pin, [net]]),
                ),
              },
            ]),
          ),
        },
      },
    }),
    'm',
  );
}

const truths: readonly (readonly [string, string, (bits: readonly boolean[]) => boolean])[] = [
  ['$_NOT_', 'A', ([a]) => !a],
  ['$_NAND_', 'AB', ([a, b]) => !(a && b)],
  ['$_NOR_', 'AB', ([a, b]) => !(a || b)],
  ['$_XOR_', 'AB', ([a, b]) => a !== b],
  ['$_XNOR_', 'AB', ([a, b]) => a === b],
  ['$_AOI3_', 'ABC', ([a, b, c]) => !((a && b) || c)],
  ['$_OAI3_', 'ABC', ([a, b, c]) => !((a || b) && c)],
  ['$_MUX_', 'ABS', ([a, b, s]) => (s ? b : a)!],
  ['$_NMUX_', 'ABS', ([a, b, s]) => !(s ? b : a)],
  ['$_AOI4_', 'ABCD', ([a, b, c, d]) => !((a && b) || (c && d))],
  ['$_OAI4_', 'ABCD', ([a, b, c, d]) => !((a || b) && (c || d))],
];

describe('a gate', () => {
  // The output goes through a register, so that it is seen before the next clock edge.
  it.each(truths)('%s has its truth table', (type, pins, truth) => {
    const connections = Object.fromEntries([...pins].map((pin, i) => [pin, 2 + i]));
    const gate = netlist(pins.length, [
      [type, { ...connections, Y: 10 }],
      ['$_DFF_P_', { D: 10, C: 20, Q: 11 }],
    ]);
    const cases = 2 ** pins.length;
    const bit = (lane: number, i: number): bigint => BigInt(((lane % cases) >> i) & 1);
    runNetlist(
      gate,
      6,
      (_, lane) =>
        Object.fromEntries([...'abcd'].slice(0, pins.length).map((name, i) => [name, bit(lane, i)])),
      'y',
      (clock, values) => {
        if (clock === 0) return;
        for (let lane = 0; lane < lanes; lane++) {
          const bits = [...pins].map((_, i) => bit(lane, i) === 1n);
          expect(values[lane]).toBe(BigInt(truth(bits)));
        }
      },
    );
  });

  it('that is not counted is refused', () => {
    expect(() => netlist(2, [['$_DLATCH_P_', { D: 2, E: 3, Q: 4 }]])).toThrow(ToolError);
    expect(() =>
      netlist(1, [
        ['$_NAND_', { A: 2, B: 4, Y: 3 }],
        ['$_NOT_', { A: 3, Y: 4 }],
      ]),
    ).toThrow('the gates of m form a loop without a register');
  });
});

describe('what switches', () => {
  /** An input that is 0, 1, 0, 1, ... in every lane. */
  const alternating = (list: ReturnType<typeof netlist>): Switching =>
    runNetlist(
      list,
      10,
      (clock) => ({ a: BigInt(clock % 2) }),
      'y',
      () => undefined,
    );

  it('is each input pin of a cell once a change, as its share of the transistors', () => {
    const chain = netlist(1, [
      ['$_NOT_', { A: 2, Y: 3 }],
      ['$_NOT_', { A: 3, Y: 4 }],
    ]);
    expect(chain.transistors).toBe(4);
    // a and the first inverter's output drive an inverter each; the second's drives nothing.
    expect(alternating(chain)).toEqual({ settled: 4, unitDelay: 4, clock: 0, clocks: 6 });
  });

  it('is a pulse too, where gates take time', () => {
    // a and not a: 0 once settled, but for a moment after a rises both are 1, so the NAND falls and rises again.
    const hazard = netlist(1, [
      ['$_NOT_', { A: 2, Y: 3 }],
      ['$_NAND_', { A: 2, B: 3, Y: 4 }],
      ['$_NOT_', { A: 4, Y: 5 }],
    ]);
    // Settled: a drives 2 + 2, its inverse 2, every clock. The pulse: twice 2, every other clock.
    expect(alternating(hazard)).toEqual({ settled: 6, unitDelay: 8, clock: 0, clocks: 6 });
  });

  it('is both edges of the clock at every flip-flop, and what follows a register', () => {
    const toggle = netlist(1, [
      ['$_NOT_', { A: 4, Y: 3 }],
      ['$_DFF_P_', { D: 3, C: 9, Q: 4 }],
    ]);
    // Half of the flip-flop's 16 transistors at its clock pin, twice; D (8) and the inverter (2) change every clock.
    expect(alternating(toggle)).toEqual({ settled: 10, unitDelay: 10, clock: 16, clocks: 6 });
  });
});
