/**
 * @file What switches, counted a second time: the gates as Verilog in Icarus Verilog, from its trace of every net.
 */
import { readFileSync, writeFileSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Primitive } from '../layer.js';
import { elementName, elementShape, type ElementShape, type OperandPair } from './element.js';
import { readNetlist, runNetlist } from './netlist.js';
import { inputPorts, packedPair, portValues } from './ports.js';
import { gateScript, moduleOf, parametersOf, rtlFile } from './synthesis.js';
import { inTemporaryFolder, runTool, Tool, toolVersion } from './tools.js';
import { randomPairs } from './vectors.js';

const missing = toolVersion(Tool.Yosys) === undefined || toolVersion(Tool.Iverilog) === undefined;
const clocks = 300;
const warmUp = 4;

interface Module {
  readonly netnames: Readonly<Record<string, { readonly bits: readonly (number | string)[] }>>;
  readonly cells: Readonly<
    Record<
      string,
      { readonly type: string; readonly connections: Readonly<Record<string, readonly (number | string)[]>> }
    >
  >;
}

/** Transistors by the comment of every cell in yosys' own table. */
const transistors: Readonly<Record<string, number>> = {
  ...{ $_NOT_: 2, $_NAND_: 4, $_NOR_: 4, $_XOR_: 12, $_XNOR_: 12, $_MUX_: 12, $_NMUX_: 10 },
  ...{ $_AOI3_: 6, $_OAI3_: 6, $_AOI4_: 8, $_OAI4_: 8, $_DFF_P_: 16 },
};

/** Gates with the same names in JSON and in Verilog, and a trace of them all on `pairs`. */
function traced(
  shape: ElementShape,
  pairs: readonly OperandPair[],
): { readonly json: string; readonly trace: string } {
  return inTemporaryFolder((folder) => {
    const top = moduleOf(shape);
    copyFileSync(rtlFile(shape), join(folder, 'element.v'));
    const values = Object.entries(parametersOf(shape)).map(([name, value]) => `-set ${name} ${value}`);
    runTool(
      Tool.Yosys,
      [
        '-q',
        '-p',
        `read_verilog element.v; chparam ${values.join(' ')} ${top}; ${gateScript.replaceAll('TOP', top)}; rename -enumerate -pattern n%; write_json gates.json; write_verilog -noattr gates.v`,
      ],
      folder,
    );
    const ports = inputPorts(shape).map(([name]) => name);
    const width = inputPorts(shape).reduce((sum, [, bits]) => sum + bits, 0);
    writeFileSync(
      join(folder, 'pairs.hex'),
      pairs.map((pair) => packedPair(shape, pair).toString(16)).join('\n'),
    );
    writeFileSync(
      join(folder, 'bench.v'),
      `\`timescale 1ns/1ns
module bench;
  reg clock; reg [${width - 1}:0] pairs [0:${pairs.length - 1}]; reg [${width - 1}:0] pair; integer i;
${inputPorts(shape)
  .map(([name, bits]) => `  wire [${bits - 1}:0] ${name};`)
  .join('\n')}
  wire [${shape.sumBits - 1}:0] sum;
  assign {${ports.join(', ')}} = pair;
  ${top} element (.clock(clock), ${ports.map((name) => `.${name}(${name})`).join(', ')}, .sum(sum));
  initial begin
    $readmemh("pairs.hex", pairs); $dumpfile("trace.vcd"); $dumpvars(0, element); clock = 0;
    for (i = 0; i < ${pairs.length}; i = i + 1) begin pair = pairs[i]; #1 clock = 1; #1 clock = 0; end
    $finish;
  end
endmodule
`,
    );
    runTool(Tool.Iverilog, ['-g2001', '-o', 'bench.vvp', 'bench.v', 'gates.v'], folder);
    runTool(Tool.Vvp, ['-n', 'bench.vvp'], folder);
    return {
      json: readFileSync(join(folder, 'gates.json'), 'utf8'),
      trace: readFileSync(join(folder, 'trace.vcd'), 'utf8'),
    };
  });
}

/** The value of every net, by its number in the JSON, before each rising edge of the clock. */
function settledValues(trace: string, module: Module): Map<number, string>[] {
  const netsOf = new Map<string, readonly (number | string)[]>();
  const values = new Map<number, string>();
  const samples: Map<number, string>[] = [];
  for (const line of trace.split('\n')) {
    const declared = /^\$var \w+ +\d+ (\S+) (\S+)/.exec(line);
    if (declared !== null) netsOf.set(declared[1]!, module.netnames[declared[2]!]!.bits);
    const time = /^#(\d+)/.exec(line);
    if (time !== null && Number(time[1]) % 2 === 1) samples.push(new Map(values));
    const change = /^([01xz])(\S+)$/.exec(line) ?? /^b([01xz]+) (\S+)$/.exec(line);
    const bits = change === null ? undefined : netsOf.get(change[2]!);
    if (change === null || bits === undefined) continue;
    const text = change[1]!.padStart(bits.length, /^[xz]/.test(change[1]!) ? change[1]![0] : '0');
    bits.forEach((net, i) => {
      if (typeof net === 'number') values.set(net, text.at(-1 - i)!);
    });
  }
  return samples;
}

describe.skipIf(missing)('settled switching (skipped without yosys and iverilog)', () => {
  it.each(
    [
      elementShape(Primitive.Multiply, 4),
      elementShape(Primitive.Shift, 4, 2),
      elementShape(Primitive.Add, 8),
    ].map((shape) => [elementName(shape), shape] as const),
  )('of %s is what its gates do in another simulator', (_, shape) => {
    const pairs = randomPairs(shape, clocks, Random.stream('trace'));
    const { json, trace } = traced(shape, pairs);
    const module = (JSON.parse(json) as { modules: Record<string, Module> }).modules[moduleOf(shape)]!;
    const loads = new Map<number | string, number>();
    for (const { type, connections } of Object.values(module.cells)) {
      const inputs = Object.entries(connections).filter(([pin]) => pin !== 'Y' && pin !== 'Q');
      for (const [pin, [net]] of inputs)
        if (pin !== 'C' || type !== '$_DFF_P_')
          loads.set(net!, (loads.get(net!) ?? 0) + transistors[type]! / inputs.length);
    }
    const samples = settledValues(trace, module);
    expect(samples).toHaveLength(clocks);
    let switched = 0;
    for (let clock = warmUp; clock < clocks; clock++)
      for (const [net, load] of loads) {
        if (typeof net !== 'number') continue;
        expect(samples[clock]!.get(net)).toMatch(/[01]/);
        if (samples[clock]!.get(net) !== samples[clock - 1]!.get(net)) switched += load;
      }
    const { settled } = runNetlist(
      readNetlist(json, moduleOf(shape)),
      clocks,
      (clock) => portValues(shape, pairs[clock]!),
      'sum',
      () => undefined,
    );
    expect(settled).toBeCloseTo(switched / (clocks - warmUp), 9);
  });
});
