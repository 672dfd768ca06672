/**
 * @file The Verilog against the integers, and that a wrong circuit does not pass.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Primitive, type ArithmeticPrimitive } from '../layer.js';
import { elementName, elementShape, elementShapes } from './element.js';
import { moduleOf, rtlFile } from './synthesis.js';
import { Tool, toolVersion } from './tools.js';
import { cornerPairs, randomPairs } from './vectors.js';
import { compareSums, simulateElement, verifyElement } from './verify.js';

const missing = toolVersion(Tool.Iverilog) === undefined;
const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-verify-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(missing)('the Verilog of an element (skipped without iverilog)', () => {
  it.each(elementShapes([2, 4, 11, 32]).map((shape) => [elementName(shape), shape] as const))(
    '%s puts out the integers of its operator, every clock',
    (_, shape) => {
      const { pairs, agreed, firstMismatch } = verifyElement(shape, 500, 3);
      expect(firstMismatch).toBeUndefined();
      expect(agreed).toBe(pairs);
      expect(pairs).toBe(cornerPairs(shape).length + 500);
    },
    30_000,
  );

  const broken = (
    primitive: ArithmeticPrimitive,
    from: string,
    to: string,
  ): ReturnType<typeof compareSums> => {
    const shape = elementShape(primitive, 4);
    const text = readFileSync(rtlFile(shape), 'utf8');
    expect(text).toContain(from);
    writeFileSync(join(folder, `${moduleOf(shape)}.v`), text.replace(from, to));
    const pairs = [...cornerPairs(shape), ...randomPairs(shape, 200, Random.stream('broken'))];
    return compareSums(shape, pairs, simulateElement(shape, pairs, folder));
  };

  it.each([
    ['without signs', Primitive.Multiply, 'product <= x * w;', 'product <= $unsigned(x) * $unsigned(w);'],
    ['that never begins anew', Primitive.Multiply, 'restart <= first;', "restart <= 1'b0;"],
    ['without the carry of the sign', Primitive.Shift, '+ {addend, negative}', "+ {addend, 1'b0}"],
    ['that takes zero for a power', Primitive.Shift, "zero ? {WIDTH{1'b0}} : x", 'x'],
    ['of a difference too narrow', Primitive.Add, 'difference[WIDTH];', 'difference[WIDTH-1];'],
    ['a clock late', Primitive.Add, 'always @(posedge clock) sum <=', 'always @(posedge clock) sum <= #3'],
  ] as const)('is found out: %s', (_, primitive, from, to) => {
    const { agreed, pairs, firstMismatch } = broken(primitive, from, to);
    expect(agreed).toBeLessThan(pairs);
    expect(firstMismatch).toBeDefined();
  });
});
