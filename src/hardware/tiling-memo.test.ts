import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { estimate, nestsOf } from './estimate.js';
import { LayerRole, Primitive, type LayerDescription } from './layer.js';
import { arrayLimits, chargedBits, unitPrices } from './machine.js';
import { loadProfile, withWordBits } from './profile.js';
import { version3Stages, visionNetwork } from './published/vision.js';
import { TilingMemo, profileHash } from './tiling-memo.js';
import { searchTiling } from './tiling.js';

const folder = mkdtempSync(join(tmpdir(), 'memo-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const freshPath = (): string => join(folder, `cache-${files++}`, 'tilings.bin');

const profile = loadProfile('paper-cv-168');
const layers = visionNetwork({ resolution: 64, lastStride: 2, stages: version3Stages });
const limits = arrayLimits(profile);

/** What the memo is asked and what it should answer, of every distinct layer. */
const questions = layers.map((layer) => {
  const bits = chargedBits(profile, layer);
  const { nest } = nestsOf(layer, profile.groups);
  const { tiling } = searchTiling(nest, limits, unitPrices(profile, layer, bits), false)!;
  return { layer, bits, nest, tiling };
});

const filled = (path: string): void => {
  const memo = new TilingMemo(path, () => expect.unreachable());
  for (const { nest, layer, bits, tiling } of questions) memo.add(nest, layer, bits, tiling);
  memo.flush();
};
/** The answers of a process that begins now, and what it says. */
const answers = (
  path: string,
): { readonly found: unknown[]; readonly notices: string[]; memo: TilingMemo } => {
  const notices: string[] = [];
  const memo = new TilingMemo(path, (message) => notices.push(message));
  return { found: questions.map(({ nest, layer, bits }) => memo.find(nest, layer, bits)), notices, memo };
};
const expected = questions.map(({ tiling }) => tiling);

describe('TilingMemo', () => {
  it('tells the next process what this one chose', () => {
    const path = freshPath();
    expect(answers(path)).toMatchObject({ found: expected.map(() => undefined), notices: [] });
    filled(path);
    expect(answers(path)).toMatchObject({ found: expected, notices: [] });
  });

  it('tells apart layers that differ in anything that the search looks at', () => {
    const path = freshPath();
    filled(path);
    const { memo } = answers(path);
    const { nest, layer, bits } = questions[4]!;
    expect(memo.find(nest, layer, bits)).toBeDefined();
    for (const key of ['N', 'H', 'W', 'C', 'R', 'M', 'E', 'F', 'stride'] as const)
      expect(memo.find({ ...nest, [key]: nest[key] + 1 }, layer, bits)).toBeUndefined();
    expect(memo.find({ ...nest, isMatrixProduct: !nest.isMatrixProduct }, layer, bits)).toBeUndefined();
    for (const change of [{ primitive: Primitive.Add }, { role: LayerRole.LightKernel }])
      expect(memo.find(nest, { ...layer, ...change }, bits)).toBeUndefined();
    for (const operand of ['weight', 'activation', 'partialSum'] as const)
      expect(memo.find(nest, layer, { ...bits, [operand]: 7 })).toBeUndefined();
  });

  it('keeps what processes write side by side', () => {
    const path = freshPath();
    const writers = [0, 1, 2].map(() => answers(path).memo);
    questions.forEach(({ nest, layer, bits, tiling }, at) => {
      const writer = writers[at % 3]!;
      writer.add(nest, layer, bits, tiling);
      if (at % 2 === 0) writer.flush();
    });
    for (const writer of writers) writer.flush();
    expect(answers(path)).toMatchObject({ found: expected, notices: [] });
  });

  it('never gives a wrong answer from a damaged file, says so once, and mends it', () => {
    const path = freshPath();
    filled(path);
    const sound = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(sound);
        bytes[at]! ^= flip;
        writeFileSync(path, bytes);
        const { found, notices } = answers(path);
        found.forEach((tiling, question) => expect([undefined, expected[question]]).toContainEqual(tiling));
        expect(notices).toHaveLength(1);
        expect(notices[0]).toMatch(/tilings\.bin: 1 of \d+ remembered tilings are damaged and left out$/);
        expect(answers(path).notices).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes garbage of any length for an empty memory and grows from there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), (garbage) => {
        const path = freshPath();
        filled(path);
        writeFileSync(path, garbage);
        const first = answers(path);
        expect(first.found).toEqual(expected.map(() => undefined));
        for (const { nest, layer, bits, tiling } of questions) first.memo.add(nest, layer, bits, tiling);
        first.memo.flush();
        expect(first.notices.length).toBeGreaterThan(0);
        expect(answers(path)).toMatchObject({ found: expected, notices: [] });
      }),
      { numRuns: 50 },
    );
  });

  it('waits for the writer of a record that is only half there', () => {
    const path = freshPath();
    filled(path);
    const whole = readFileSync(path);
    const half = whole.length - 30;
    writeFileSync(path, whole.subarray(0, half));
    const { found, memo, notices } = answers(path);
    expect(found.slice(0, -1)).toEqual(expected.slice(0, -1));
    appendFileSync(path, whole.subarray(half));
    const { nest, layer, bits, tiling } = questions[0]!;
    memo.add({ ...nest, N: 2 }, layer, bits, { ...tiling, N0: 2 });
    memo.flush();
    expect(notices).toEqual([]);
    expect(statSync(path).size).toBe(whole.length + whole.length / questions.length);
    expect(answers(path)).toMatchObject({ found: expected, notices: [] });
  });

  it('forgets the older half rather than grow without bound', () => {
    const path = freshPath();
    const { memo } = answers(path);
    const { nest, layer, bits, tiling } = questions[0]!;
    for (let N = 1; N <= 20_000; N++) {
      memo.add({ ...nest, N }, layer, bits, { ...tiling, N0: N });
      if (N % 4000 === 0) memo.flush();
    }
    const { memo: later } = answers(path);
    expect(statSync(path).size).toBeLessThan(1.5e6);
    expect(later.find({ ...nest, N: 20_000 }, layer, bits)).toMatchObject({ N0: 20_000 });
  });

  it('does without where nothing can be written', () => {
    const blocked = join(folder, 'a file');
    writeFileSync(blocked, '');
    const path = join(blocked, 'tilings.bin');
    filled(path);
    expect(answers(path)).toMatchObject({ found: expected.map(() => undefined), notices: [] });
  });
});

describe('profileHash', () => {
  it('follows the numbers and rules of a machine, not its words', () => {
    expect(profileHash(loadProfile('fair-fp32'))).toBe(profileHash(loadProfile('fair')));
    const others = ['fair', 'fair-int8', 'paper-cv-168', 'paper-cv-192', 'paper-nlp-aug', 'paper-nlp-pre'];
    const hashes = others.map((name) => profileHash(loadProfile(name)));
    hashes.push(profileHash(withWordBits(profile, 8)));
    expect(new Set(hashes).size).toBe(hashes.length);
    const fair = loadProfile('fair');
    const dearer = { ...fair.memoryPjPer16Bits, noc: { ...fair.memoryPjPer16Bits.noc, value: 7.5 } };
    expect(profileHash({ ...fair, memoryPjPer16Bits: dearer })).not.toBe(profileHash(fair));
  });
});

describe('estimate', () => {
  afterEach(() => {
    process.env['SHIFTADDNAS_CACHE'] = 'off';
    delete process.env['XDG_CACHE_HOME'];
  });
  const cold = (): typeof profile => structuredClone(profile);

  it('comes to the same cost from scratch, while it fills the memory, and out of it', () => {
    const home = join(folder, 'home');
    const scratch = estimate(layers, cold(), { remember: false });
    expect(existsSync(home)).toBe(false);
    delete process.env['SHIFTADDNAS_CACHE'];
    process.env['XDG_CACHE_HOME'] = home;
    expect(estimate(layers, cold(), { remember: false })).toEqual(scratch);
    expect(existsSync(home)).toBe(false);
    expect(estimate(layers, cold())).toEqual(scratch);
    const file = join(home, 'shiftaddnas', `tilings-1-${profileHash(profile)}.bin`);
    const size = statSync(file).size;
    expect(size).toBeGreaterThan(1000);
    expect(answers(file).found).toEqual(expected);
    expect(estimate(layers, cold())).toEqual(scratch);
    expect(estimate(layers, cold(), { wordBits: 8 }).energyMj).toBeLessThan(scratch.energyMj);
    expect(statSync(file).size).toBe(size);
  });

  it('remembers the layers before one that does not fit', () => {
    const home = join(folder, 'home2');
    delete process.env['SHIFTADDNAS_CACHE'];
    process.env['XDG_CACHE_HOME'] = home;
    const misfit: LayerDescription = { ...layers[0]!, name: 'wide', kernel: 13 };
    expect(() => estimate([...layers, misfit], cold())).toThrow(/'wide' does not fit/);
    expect(answers(join(home, 'shiftaddnas', `tilings-1-${profileHash(profile)}.bin`)).found).toEqual(
      expected,
    );
  });
});
