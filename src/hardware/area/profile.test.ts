/**
 * @file The stored gate profile: whole, sensible, and what yosys makes today.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync, copyFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { arithmeticPrimitives, Primitive, type ArithmeticPrimitive } from '../layer.js';
import { unitTable } from '../units.js';
import { elementName, elementShapes, exponentWidths } from './element.js';
import { makeGateProfile, profileWidths } from './make-profile.js';
import { measureElement } from './measure.js';
import {
  elementAreaUm2,
  elementEnergyPj,
  elementOf,
  gateProfileSchema,
  loadGateProfile,
  nand2Of,
  smallestElement,
  switchedOf,
  usualElement,
} from './profile.js';
import { gateScript, moduleOf, parametersOf, rtlFile } from './synthesis.js';
import { inTemporaryFolder, runTool, Tool, toolVersion } from './tools.js';

const stored = loadGateProfile();
const version = toolVersion(Tool.Yosys);
const sameYosys = version === stored.tool;
const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-gates-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the stored profile', () => {
  it('has every element of every width once, in the shape that the package gives it', () => {
    expect(stored.elements.map(({ bits }) => bits)).toEqual(
      profileWidths.flatMap((bits) => Array.from({ length: 2 + exponentWidths.length }, () => bits)),
    );
    for (const shape of elementShapes(profileWidths))
      expect(elementOf(stored, shape)).toMatchObject(JSON.parse(JSON.stringify(shape)) as object);
    expect(stored.scripts.gates).toBe(gateScript);
  });

  it('takes and switches more the wider the operands are, and multiplying most', () => {
    for (const bits of profileWidths) {
      const [multiply, shift, add] = arithmeticPrimitives.map((primitive) =>
        usualElement(stored, primitive, bits)!,
      );
      for (const [more, less] of [
        [multiply!, shift!],
        [shift!, add!],
      ] as const) {
        expect(more.transistors).toBeGreaterThan(less.transistors);
        expect(more.lut4).toBeGreaterThan(less.lut4);
        expect(switchedOf(more).settled).toBeGreaterThan(switchedOf(less).settled);
      }
    }
    for (const { switching, transistors, flipFlops } of stored.elements) {
      expect(switching.unitDelay).toBeGreaterThan(switching.settled);
      expect(switching.clock).toBe(16 * flipFlops);
      expect(switching.settled).toBeLessThan(transistors);
    }
  });

  it('has its energies from one published figure, and comes near two others', () => {
    const entries = unitTable('horowitz-45nm')!.entries;
    const energy = (primitive: ArithmeticPrimitive, bits: number) =>
      elementEnergyPj(stored, usualElement(stored, primitive, bits)!);
    const anchor = entries['multiply.int8']!.value + entries['add.int32']!.value;
    expect(energy(Primitive.Multiply, 8).settledPj).toBeCloseTo(anchor, 12);
    expect(energy(Primitive.Multiply, 8).unitDelayPj).toBeCloseTo(anchor, 12);
    for (const [primitive, published] of [
      [Primitive.Multiply, entries['multiply.int32']!.value + entries['add.int32']!.value],
      [Primitive.Add, 3 * entries['add.int32']!.value],
    ] as const) {
      const { settledPj, unitDelayPj } = energy(primitive, 32);
      expect(settledPj).toBeLessThan(published);
      expect(unitDelayPj).toBeGreaterThan(published);
      expect(unitDelayPj / published).toBeLessThan(1.35);
    }
    const multiply = usualElement(stored, Primitive.Multiply, 8)!;
    expect(nand2Of(multiply)).toBe(multiply.transistors / 4);
    expect(elementAreaUm2(stored, multiply)).toBeCloseTo((multiply.transistors / 4) * 0.798, 9);
  });

  it('gives the smallest element that takes the operands', () => {
    const found = (...operands: [ArithmeticPrimitive, number, number]) =>
      elementName(smallestElement(stored, ...operands));
    expect(found(Primitive.Multiply, 8, 8)).toBe('multiply 8 bit');
    expect(found(Primitive.Multiply, 5, 9)).toBe('multiply 16 bit');
    expect(found(Primitive.Shift, 8, 5)).toBe('shift 8 bit, 4-bit exponent');
    expect(found(Primitive.Shift, 8, 4)).toBe('shift 8 bit, 3-bit exponent');
    expect(found(Primitive.Shift, 10, 10)).toBe('shift 16 bit, 4-bit exponent');
    expect(found(Primitive.Add, 1, 1)).toBe('add 4 bit');
    expect(() => smallestElement(stored, Primitive.Add, 33, 8)).toThrow(
      "gate profile 'yosys-45nm' has no element that can add 33 bits; use operands of at most 32 bits",
    );
  });

  it('says how wide its elements are, and how to count wider ones', () => {
    const narrow = { ...stored, name: 'narrow', elements: stored.elements.filter(({ bits }) => bits <= 8) };
    expect(() => smallestElement(narrow, Primitive.Multiply, 32, 32)).toThrow(
      "gate profile 'narrow' has no element that can multiply 32 bits; its widest has 8 bits; count it with hw area --measure --widths 32",
    );
  });

  it.skipIf(!sameYosys)(
    `is what yosys makes today (skipped unless yosys is ${stored.tool}; found ${version ?? 'none'})`,
    () => {
      const told: string[] = [];
      // 8 bit comes with it, as the anchor.
      const today = makeGateProfile([4], {
        name: stored.name,
        command: stored.command,
        progress: (shape, done, all) => told.push(`${done + 1}/${all} ${elementName(shape)}`),
      });
      expect(today).toEqual({ ...stored, elements: stored.elements.filter(({ bits }) => bits <= 8) });
      expect(told).toHaveLength(10);
      expect(told[0]).toBe('1/10 multiply 4 bit');
    },
    120_000,
  );

  it.skipIf(version === undefined)(
    'counts transistors as yosys does (skipped without yosys)',
    () => {
      const shape = elementShapes([8])[1]!;
      const report = inTemporaryFolder((path) => {
        copyFileSync(rtlFile(shape), join(path, 'element.v'));
        const values = Object.entries(parametersOf(shape)).map(([name, value]) => `-set ${name} ${value}`);
        const script = gateScript.replaceAll('TOP', moduleOf(shape));
        return runTool(
          Tool.Yosys,
          [
            '-p',
            `read_verilog element.v; chparam ${values.join(' ')} ${moduleOf(shape)}; ${script}; stat -tech cmos`,
          ],
          path,
        );
      });
      const counted = /Estimated number of transistors:\s+(\S+)/.exec(report)?.[1];
      expect(counted).toBe(String(measureElement(shape).transistors));
    },
    60_000,
  );
});

describe('a gate profile of one’s own', () => {
  const write = (name: string, change: (profile: Record<string, unknown>) => object): string => {
    const path = join(folder, name);
    const text = readFileSync(new URL('./profiles/yosys-45nm.json', import.meta.url), 'utf8');
    writeFileSync(path, JSON.stringify(change(JSON.parse(text) as Record<string, unknown>)));
    return path;
  };

  it('is read from a file', () => {
    expect(loadGateProfile(write('own.json', (all) => ({ ...all, name: 'own' }))).name).toBe('own');
  });

  it.each([
    ['has a wrong key', (all: object) => ({ ...all, colour: 1 }), /gate profile key colour: not known here/],
    ['has no elements', (all: object) => ({ ...all, elements: [] }), /gate profile key elements: /],
    [
      'has an element twice',
      (all: Record<string, unknown>) => ({
        ...all,
        elements: [...(all['elements'] as object[]), (all['elements'] as object[])[0]],
      }),
      /gate profile key elements\.20: stands twice/,
    ],
    [
      'has accumulators of another rule',
      (all: object) => ({ ...all, sumHeadroomBits: 8 }),
      /gate profile key sumHeadroomBits: is 8, but this version counts elements with 12; make the file anew/,
    ],
    ['is of another version', (all: object) => ({ ...all, schemaVersion: 2 }), /key schemaVersion: /],
  ])('is refused in one line when it %s', (_, change, message) => {
    const path = write('bad.json', change);
    expect(() => loadGateProfile(path)).toThrow(message);
  });

  it('is refused by an unknown name, and when it lacks the anchor of its energies', () => {
    expect(() => loadGateProfile('nangate')).toThrow(
      "gate profile 'nangate' is not known; give yosys-45nm, or a .json or .yaml file",
    );
    const profile = gateProfileSchema.parse({ ...stored, elements: stored.elements.slice(0, 1) });
    expect(() => elementEnergyPj(profile, profile.elements[0]!)).toThrow(
      'has no multiply element of 8 bits, from which its energies follow',
    );
  });
});
