import { createHash } from 'node:crypto';
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
import { estimate, type LayerCost } from './estimate.js';
import { LayerRole, Primitive, type LayerDescription } from './layer.js';
import { PriceMemo, hashOf, modelVersion, type Price } from './price-memo.js';
import { profileHash } from './profile-hash.js';
import { builtInProfileNames, loadProfile, withWordBits } from './profile.js';
import { typicalLayers } from './proxy.js';
import { version3Stages, visionNetwork } from './published/vision.js';

const folder = mkdtempSync(join(tmpdir(), 'memo-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const freshPath = (): string => join(folder, `cache-${files++}`, 'prices.bin');

const profile = loadProfile('paper-cv-168');
const network = visionNetwork({ resolution: 64, lastStride: 2, stages: version3Stages });
/** Distinct layers, and what they cost. */
const layers = [...new Map(network.map((layer) => [hashOf(layer), layer])).values()];
const priceOf = ({ operations, energyMj, latencyMs, byOperand, byLevel, tiling }: LayerCost): Price => ({
  ...{ operations, energyMj, latencyMs, byOperand, byLevel, tiling },
});
const expected = estimate(layers, profile).layers.map(priceOf);

const fill = (memo: PriceMemo): void => {
  layers.forEach((layer, at) => memo.add(layer, hashOf(layer), expected[at]!));
  memo.flush();
};
const filled = (path: string): void => fill(new PriceMemo(path, () => expect.unreachable()));
/** The answers of a process that begins now, and what it says. */
const answers = (
  path: string,
): { readonly found: unknown[]; readonly notices: string[]; memo: PriceMemo } => {
  const notices: string[] = [];
  const memo = new PriceMemo(path, (message) => notices.push(message));
  return { found: layers.map((layer) => memo.find(layer, hashOf(layer))), notices, memo };
};
const nothing = expected.map(() => undefined);
/** Adds one more price, as a process does that meets a new layer. */
const addOne = (memo: PriceMemo, batch = 77): void => {
  const layer = { ...layers[0]!, batch };
  memo.add(layer, hashOf(layer), expected[0]!);
  memo.flush();
};

describe('PriceMemo', () => {
  it('tells the next process what this one came to, to the last bit', () => {
    const path = freshPath();
    expect(answers(path)).toMatchObject({ found: nothing, notices: [] });
    filled(path);
    const { found, notices } = answers(path);
    expect(found).toEqual(expected);
    expect(notices).toEqual([]);
  });

  it('tells apart layers that differ in anything that a price follows from', () => {
    const path = freshPath();
    filled(path);
    const { memo } = answers(path);
    const layer = layers[4]!;
    const find = (other: LayerDescription): unknown => memo.find(other, hashOf(other));
    expect(find({ ...layer, name: 'another' })).toEqual(expected[4]);
    expect(find({ ...layer, copies: 1 })).toEqual(expected[4]);
    const sizes = [
      'batch',
      'inHeight',
      'inWidth',
      'inChannels',
      'kernel',
      'outHeight',
      'outWidth',
      'outChannels',
    ];
    for (const key of [...sizes, 'stride', 'groups'] as (keyof LayerDescription)[])
      expect(find({ ...layer, [key]: (layer[key] as number) + 1 }), key).toBeUndefined();
    for (const change of [
      { copies: 2 },
      { fullyConnected: !layer.fullyConnected },
      { primitive: Primitive.Add },
      { role: LayerRole.LightKernel },
      ...['weight', 'activation', 'partialSum'].map((operand) => ({
        operandBits: { ...layer.operandBits, [operand]: 7 },
      })),
    ])
      expect(find({ ...layer, ...change }), JSON.stringify(change)).toBeUndefined();
    // Even under the hash of another layer.
    expect(memo.find({ ...layer, kernel: 2 }, hashOf(layer))).toBeUndefined();
  });

  it('keeps what processes write side by side', () => {
    const path = freshPath();
    const writers = [0, 1, 2].map(() => answers(path).memo);
    layers.forEach((layer, at) => {
      const writer = writers[at % 3]!;
      writer.add(layer, hashOf(layer), expected[at]!);
      if (at % 2 === 0) writer.flush();
    });
    for (const writer of writers) writer.flush();
    expect(answers(path)).toMatchObject({ found: expected, notices: [] });
  });

  it('never gives a wrong answer from a damaged file; who adds to it says so once and mends it', () => {
    const path = freshPath();
    filled(path);
    const sound = readFileSync(path);
    fc.assert(
      fc.property(fc.nat(sound.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bytes = Buffer.from(sound);
        bytes[at]! ^= flip;
        writeFileSync(path, bytes);
        const { found, notices, memo } = answers(path);
        found.forEach((price, layer) => expect([undefined, expected[layer]]).toContainEqual(price));
        expect(found.filter((price) => price === undefined)).toHaveLength(1);
        expect(notices).toEqual([]);
        addOne(memo);
        expect(notices).toEqual([
          expect.stringMatching(/prices\.bin: 1 of \d+ remembered prices are damaged and left out$/),
        ]);
        const next = answers(path);
        expect(next.found).toEqual(found);
        addOne(next.memo, 78);
        expect(next.notices).toEqual([]);
      }),
      { numRuns: 100 },
    );
  });

  it('takes garbage of any length for an empty memory, says so, and grows from there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 900 }), (garbage) => {
        const path = freshPath();
        filled(path);
        writeFileSync(path, garbage);
        const { found, memo, notices } = answers(path);
        expect(found).toEqual(nothing);
        fill(memo);
        expect(notices).toHaveLength(1);
        const next = answers(path);
        expect(next.found).toEqual(expected);
        addOne(next.memo);
        expect(next.notices).toEqual([]);
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
    addOne(memo);
    expect(notices).toEqual([]);
    expect(statSync(path).size).toBe(whole.length + whole.length / layers.length);
    expect(answers(path)).toMatchObject({ found: expected, notices: [] });
  });

  it('forgets the older half rather than grow without bound', () => {
    const path = freshPath();
    const { memo } = answers(path);
    const at = (batch: number): LayerDescription => ({ ...layers[0]!, batch });
    for (let batch = 1; batch <= 20_000; batch++) {
      memo.add(at(batch), hashOf(at(batch)), expected[0]!);
      if (batch % 4000 === 0) memo.flush();
    }
    const later = answers(path).memo;
    expect(statSync(path).size).toBeLessThan(3.5e6);
    expect(later.find(at(20_000), hashOf(at(20_000)))).toEqual(expected[0]);
  });

  it('does without where nothing can be written', () => {
    const blocked = join(folder, 'a file');
    writeFileSync(blocked, '');
    const path = join(blocked, 'prices.bin');
    filled(path);
    expect(answers(path)).toMatchObject({ found: nothing, notices: [] });
  });
});

describe('the version of the model', () => {
  it('is raised whenever a price changes, since prices are remembered on disk', () => {
    const prices = builtInProfileNames.map((name) => {
      const { layers: costs } = estimate([...typicalLayers({ seed: 1, count: 240 }), ...network], name);
      return costs.map(({ energyMj, latencyMs, tiling }) => [
        energyMj.toPrecision(9),
        latencyMs.toPrecision(9),
        ...Object.values(tiling),
      ]);
    });
    const fingerprint = createHash('sha256').update(JSON.stringify(prices)).digest('hex').slice(0, 16);
    // When this fails because prices changed on purpose: raise modelVersion and put the new fingerprint here.
    expect({ modelVersion, fingerprint }).toEqual({ modelVersion: 2, fingerprint: '6991961bc254c310' });
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
    const file = join(home, 'shiftaddnas', `prices-${modelVersion}-${profileHash(profile)}.bin`);
    const size = statSync(file).size;
    expect(size).toBeGreaterThan(1000);
    expect(answers(file).found).toEqual(expected);
    expect(estimate(layers, cold())).toEqual(scratch);
    expect(statSync(file).size).toBe(size);
    expect(estimate(layers, cold(), { wordBits: 8 }).energyMj).toBeLessThan(scratch.energyMj);
    expect(statSync(file).size).toBe(size);
  });

  it('remembers the layers before one that does not fit', () => {
    const home = join(folder, 'home2');
    delete process.env['SHIFTADDNAS_CACHE'];
    process.env['XDG_CACHE_HOME'] = home;
    const misfit: LayerDescription = { ...layers[0]!, name: 'wide', kernel: 13 };
    expect(() => estimate([...layers, misfit], cold())).toThrow(/'wide' does not fit/);
    expect(
      answers(join(home, 'shiftaddnas', `prices-${modelVersion}-${profileHash(profile)}.bin`)).found,
    ).toEqual(expected);
  });
});
