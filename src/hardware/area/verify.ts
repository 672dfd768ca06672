/**
 * @file The Verilog of an element against its integers, clock by clock, in Icarus Verilog.
 */
import { readFileSync, writeFileSync, copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { ToolError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import {
  elementName,
  latencyOf,
  sumsOf,
  weightBitsOf,
  type ElementShape,
  type OperandPair,
} from './element.js';
import { inputPorts, packedPair } from './ports.js';
import { moduleOf, parametersOf, rtlFile } from './synthesis.js';
import { inTemporaryFolder, runTool, Tool } from './tools.js';
import { cornerPairs, randomPairs } from './vectors.js';

/** How an element's sums compare with the integers of its operator. */
export interface Verification {
  readonly element: ElementShape;
  /** Pairs of operands, hence sums compared: corners and random ones. */
  readonly pairs: number;
  readonly agreed: number;
  /** The first disagreement. */
  readonly firstMismatch?: {
    readonly pair: number;
    readonly expected: string;
    /** As the simulator printed it, in hexadecimal; `x` stands for bits without a value. */
    readonly found: string;
  };
}

/**
 * Simulates an element on all corners and on `count` random pairs, and compares the sum after each.
 * @param rtl folder of the Verilog, ours when absent
 * @throws ToolError when Icarus Verilog is missing or fails
 */
export function verifyElement(shape: ElementShape, count: number, seed: number, rtl?: string): Verification {
  const random = Random.stream(seed, 'verify', elementName(shape));
  const pairs = [...cornerPairs(shape), ...randomPairs(shape, count, random)];
  return compareSums(shape, pairs, simulateElement(shape, pairs, rtl));
}

/** Compares printed sums with those that the pairs make. */
export function compareSums(
  shape: ElementShape,
  pairs: readonly OperandPair[],
  found: readonly string[],
): Verification {
  const digits = Math.ceil(shape.sumBits / 4);
  let agreed = 0;
  let firstMismatch: Verification['firstMismatch'];
  sumsOf(shape, pairs).forEach((sum, pair) => {
    const expected = BigInt.asUintN(shape.sumBits, sum).toString(16).padStart(digits, '0');
    if (found[pair] === expected) agreed++;
    else firstMismatch ??= { pair, expected, found: found[pair] ?? 'nothing' };
  });
  return {
    element: shape,
    pairs: pairs.length,
    agreed,
    ...(firstMismatch === undefined ? {} : { firstMismatch }),
  };
}

/**
 * The element's sum for each pair as its Verilog (in the folder `rtl`, ours when absent) puts it out, in hexadecimal.
 * @throws ToolError when Icarus Verilog is missing or fails
 */
export function simulateElement(shape: ElementShape, pairs: readonly OperandPair[], rtl?: string): string[] {
  const file = rtlFile(shape, rtl);
  return inTemporaryFolder((folder) => {
    copyFileSync(file, join(folder, 'element.v'));
    writeFileSync(join(folder, 'bench.v'), testBench(shape, pairs.length));
    writeFileSync(
      join(folder, 'pairs.hex'),
      pairs.map((pair) => packedPair(shape, pair).toString(16)).join('\n'),
    );
    runTool(Tool.Iverilog, ['-g2001', '-o', 'bench.vvp', 'bench.v', 'element.v'], folder);
    runTool(Tool.Vvp, ['-n', 'bench.vvp'], folder);
    const sums = readFileSync(join(folder, 'sums.hex'), 'utf8').trimEnd().split('\n');
    if (sums.length !== pairs.length)
      throw new ToolError(
        `${Tool.Vvp} wrote ${sums.length} of ${pairs.length} sums of ${elementName(shape)}`,
      );
    return sums;
  });
}

/** Presents one pair before each clock edge, and prints the sum that holds it as many edges later as it takes. */
function testBench(shape: ElementShape, pairs: number): string {
  const latency = latencyOf(shape);
  const width = 1 + shape.bits + weightBitsOf(shape);
  const ports = inputPorts(shape);
  const values = Object.entries(parametersOf(shape)).map(([name, value]) => `.${name}(${value})`);
  const connections = ports.map(([name]) => `.${name}(${name})`).join(', ');
  return `\`timescale 1ns/1ns
module bench;
    reg clock;
    reg [${width - 1}:0] pairs [0:${pairs - 1}];
    reg [${width - 1}:0] pair;
    wire [${shape.sumBits - 1}:0] sum;
${ports.map(([name, bits]) => `    wire [${bits - 1}:0] ${name};`).join('\n')}
    assign {${ports.map(([name]) => name).join(', ')}} = pair;
    integer i, file;
    ${moduleOf(shape)} #(${values.join(', ')}) element (.clock(clock), ${connections}, .sum(sum));
    initial begin
        $readmemh("pairs.hex", pairs);
        file = $fopen("sums.hex", "w");
        clock = 0;
        for (i = 0; i < ${pairs + latency - 1}; i = i + 1) begin
            pair = pairs[i < ${pairs} ? i : ${pairs - 1}];
            #1 clock = 1;
            #1 if (i >= ${latency - 1}) $fdisplay(file, "%h", sum);
            clock = 0;
        end
        $fclose(file);
        $finish;
    end
endmodule
`;
}
