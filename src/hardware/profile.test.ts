import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { FileError, OptionError } from '../base/errors.js';
import { estimateLayer } from './estimate.js';
import { Primitive } from './layer.js';
import { profileJsonSchema, type AcceleratorProfile } from './profile-schema.js';
import { profileQuantities, profileSummary } from './profile-text.js';
import { builtInProfileNames, loadProfile, parseProfile, withWordBits } from './profile.js';

const folder = mkdtempSync(join(tmpdir(), 'profile-'));
afterAll(() => rmSync(folder, { recursive: true }));

const written = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
/** The fair profile as a loose object, for files with one thing wrong. */
const loose = (): Record<string, unknown> & { clockPeriodNs: Record<string, unknown> } =>
  ({ ...structuredClone(loadProfile('fair')), name: 'mine' }) as never;

const layer = {
  name: 'layer',
  primitive: Primitive.Multiply,
  fullyConnected: false,
  batch: 1,
  inHeight: 8,
  inWidth: 8,
  inChannels: 16,
  kernel: 3,
  outHeight: 8,
  outWidth: 8,
  outChannels: 16,
  stride: 1,
  groups: 1,
  operandBits: { weight: 32, activation: 32, partialSum: 32 },
};

describe('loadProfile', () => {
  it.each(builtInProfileNames)(
    'reads the built-in %s, which bears its own name and cannot be changed',
    (name) => {
      const profile = loadProfile(name);
      expect(profile.name).toBe(name);
      expect(loadProfile(name)).toBe(profile);
      expect(() => Object.assign(profile.globalBufferWords, { value: 1 })).toThrow(TypeError);
      expect(profileSummary(profile)).toContain(name);
      expect(profileSummary(profile)).toMatch(/not priced: batch norm, residual additions and pooling/);
    },
  );

  it('reads a user file, YAML or JSON, and prices by it', () => {
    const mine = loose();
    mine.clockPeriodNs.multiply = { value: 2, unit: 'ns', source: 'a faster clock' };
    const yaml = loadProfile(written('mine.yaml', stringify(mine)));
    expect(yaml).toEqual(loadProfile(written('mine.json', JSON.stringify(mine))));
    expect(estimateLayer(layer, loadProfile('fair')).latencyMs).toBe(
      2 * estimateLayer(layer, yaml).latencyMs,
    );
  });

  it('refuses unknown names and missing files, saying what there is', () => {
    expect(() => loadProfile('fairest')).toThrow(OptionError);
    expect(() => loadProfile('fairest')).toThrow(
      /choose fair, fair-int8, paper-cv-168, .*paper-nlp-pre or give the path/,
    );
    expect(() => loadProfile('eyeriss-chip')).toThrow(
      /it is a machine of the loop-nest model: hw map --machine eyeriss-chip$/,
    );
    expect(() => loadProfile(join(folder, 'absent.json'))).toThrow(/absent\.json: no such cost profile file/);
  });
});

describe('parseProfile', () => {
  const refusal = (change: (profile: ReturnType<typeof loose>) => void): string => {
    const profile = loose();
    change(profile);
    try {
      parseProfile(JSON.stringify(profile), 'mine.json');
    } catch (error) {
      expect(error).toBeInstanceOf(FileError);
      return (error as FileError).message;
    }
    return 'accepted';
  };

  it('names the key that is missing, unknown, of the wrong kind or out of range', () => {
    expect(refusal((profile) => delete profile.clockPeriodNs.add)).toMatch(
      /^mine\.json: .*clockPeriodNs\.add/,
    );
    expect(refusal((profile) => (profile.dramBandwidth = 1))).toMatch(
      /^mine\.json: cost profile key dramBandwidth: not known/,
    );
    expect(
      refusal((profile) => (profile.clockPeriodNs.add = { value: 4, source: 'x', unit: 'ns', per: 'op' })),
    ).toMatch(/cost profile key clockPeriodNs\.add\.per: not known/);
    expect(refusal((profile) => (profile.wordSizes = { wide: {} }))).toMatch(
      /wordSizes\.wide: expected a number of bits/,
    );
    expect(
      refusal((profile) => (profile.clockPeriodNs.add = { value: '4', unit: 'ns', source: 'x' })),
    ).toMatch(/clockPeriodNs\.add\.value: .*number/);
    expect(refusal((profile) => (profile.clockPeriodNs.add = { value: 0, unit: 'ns', source: 'x' }))).toMatch(
      /clockPeriodNs\.add\.value/,
    );
    expect(
      refusal((profile) => (profile.processingElements = { value: 1.5, unit: 'PE', source: 'x' })),
    ).toMatch(/processingElements\.value/);
    expect(refusal((profile) => (profile.processingElements = { value: 16, unit: 'PE' }))).toMatch(
      /processingElements\.source/,
    );
    expect(refusal((profile) => (profile.groups = 'sometimes'))).toMatch(/groups/);
    expect(refusal((profile) => (profile.wordBits = 16))).toMatch(/wordSizes: has no entry for wordBits/);
    expect(refusal((profile) => (profile.schemaVersion = 1))).toMatch(/schemaVersion: must be 2 .*unit/);
    expect(refusal(() => undefined)).toBe('accepted');
  });

  it('names every quantity that is beyond its bound, and the factor that carries another beyond it', () => {
    const bounds = {
      processingElements: 1e6,
      inputRegisterFileWords: 2 ** 40,
      weightRegisterFileWords: 2 ** 40,
      partialSumRegisterFileWords: 2 ** 40,
      globalBufferWords: 2 ** 40,
    };
    const unitOf = (key: string): string => (key === 'processingElements' ? 'PE' : 'words');
    for (const [key, most] of Object.entries(bounds)) {
      const sized = (value: number): unknown => ({ value, unit: unitOf(key), source: 'x' });
      expect(refusal((profile) => (profile[key] = sized(most)))).toBe('accepted');
      expect(refusal((profile) => (profile[key] = sized(most + 1)))).toMatch(
        new RegExp(`^mine\\.json: cost profile key ${key}\\.value: .*${most}`),
      );
    }
    expect(refusal((profile) => (profile.wordBits = 1e9))).toMatch(/key wordBits: /);
    for (const value of [1e-7, 1e10])
      expect(refusal((profile) => (profile.clockPeriodNs.add = { value, unit: 'ns', source: 'x' }))).toMatch(
        /key clockPeriodNs\.add\.value: /,
      );
    const scaled = (profile: ReturnType<typeof loose>, factor: string, key: string, value: number): void => {
      const sizes = profile.wordSizes as Record<string, Record<string, unknown>>;
      sizes['32']![factor] = { value: 4, unit: 'times', source: 'x' };
      profile[key] = { value, unit: unitOf(key), source: 'x' };
    };
    const elements = 'processingElementFactor';
    expect(refusal((profile) => scaled(profile, elements, 'processingElements', 250_000))).toBe('accepted');
    expect(refusal((profile) => scaled(profile, elements, 'processingElements', 250_001))).toMatch(
      /wordSizes\.32\.processingElementFactor\.value: times processingElements must be at most 1000000/,
    );
    expect(
      refusal((profile) => scaled(profile, 'bufferWordFactor', 'globalBufferWords', 2 ** 38 + 1)),
    ).toMatch(/wordSizes\.32\.bufferWordFactor\.value: times globalBufferWords/);
  });

  it('prices by the largest array it admits', () => {
    const profile = loose();
    profile.processingElements = { value: 1e6, unit: 'PE', source: 'x' };
    const large = parseProfile(JSON.stringify(profile), 'mine.json');
    const { tiling } = estimateLayer(layer, large);
    expect(tiling.M1 * tiling.C1 * tiling.E1 * layer.kernel).toBeGreaterThan(168);
  });

  it('refuses the name of a built-in profile, in any case, and names that are no plain word', () => {
    for (const name of [...builtInProfileNames, 'Fair', 'PAPER-cv-168'])
      expect(refusal((profile) => (profile.name = name))).toMatch(
        new RegExp(`key name: '${name.toLowerCase()}' is a built-in profile; give yours another name`),
      );
    for (const name of ['', 'my profile', 'a/b', 'a\nb', 'naïve', 'x'.repeat(101)])
      expect(refusal((profile) => (profile.name = name))).toMatch(/key name: /);
    expect(refusal((profile) => (profile.name = 'Fair.my_array-2'))).toBe('accepted');
  });

  it('counts further faults and stays on one line', () => {
    const message = refusal((profile) => {
      delete profile.clockPeriodNs.add;
      delete profile.clockPeriodNs.shift;
    });
    expect(message).toMatch(/\(and 1 more\)$/);
    expect(message).not.toContain('\n');
  });

  it('refuses text that is neither JSON nor YAML', () => {
    expect(() => parseProfile('{', 'mine.json')).toThrow(/mine\.json: not readable as a cost profile/);
    expect(() => parseProfile('a: [', 'mine.yaml')).toThrow(/mine\.yaml: not readable as a cost profile/);
    expect(() => parseProfile('', 'mine.yaml')).toThrow(/the file as a whole is no cost profile/);
  });
});

describe('a profile file', () => {
  const parse = (content: object): AcceleratorProfile =>
    parseProfile(JSON.stringify({ schemaVersion: 2, name: 'mine', ...content }), 'mine.json');

  it('may state only what differs from a built-in one', () => {
    const sources = { unit: 'words', source: 'a smaller chip' };
    const mine = parse({ extends: 'fair-int8', globalBufferWords: { value: 4096, ...sources } });
    const base = loadProfile('fair-int8');
    const { name, description, source, globalBufferWords, ...others } = mine;
    expect({ name, description }).toEqual({ name: 'mine', description: 'fair-int8 with changes' });
    expect(source).toContain('own file');
    expect(globalBufferWords).toEqual({ value: 4096, ...sources });
    expect(base).toMatchObject(others);
    expect(parse({ extends: 'fair-fp32' }).memoryPjPer16Bits).toEqual(loadProfile('fair').memoryPjPer16Bits);
    const plain = parse({ extends: 'paper-cv-168', primitiveRules: { add: null } });
    expect(plain.primitiveRules).toEqual({ shift: loadProfile('paper-cv-168').primitiveRules!.shift });
  });

  it('replaces a quantity whole, so that no value keeps the source of another', () => {
    const half = { globalBufferWords: { value: 4096 } };
    expect(() => parse({ extends: 'fair', ...half })).toThrow(/key globalBufferWords\.unit/);
    expect(() => parse({ extends: 'fair', globalBufferWords: { value: 4096, unit: 'words' } })).toThrow(
      /key globalBufferWords\.source/,
    );
  });

  it('may take quantities from a unit table', () => {
    const shift = { table: 'horowitz-45nm', entry: 'shift.int16' };
    const mine = parse({ extends: 'fair-int8', wordSizes: { 8: { computePj: { shift } } } });
    expect(mine.wordSizes['8']!.computePj.shift).toMatchObject({ value: 0.057, unit: 'pJ' });
    expect(mine.wordSizes['8']!.computePj.shift.source).toContain('(horowitz-45nm, shift.int16)');
    const price = (entry: object): unknown =>
      parse({ extends: 'fair-int8', wordSizes: { 8: { computePj: { shift: entry } } } });
    expect(() => price({ table: 'horowitz', entry: 'add.int8' })).toThrow(
      /key wordSizes\.8\.computePj\.shift: no unit table "horowitz"; there is horowitz-45nm/,
    );
    expect(() => price({ table: 'horowitz-45nm', entry: 'shift.int4' })).toThrow(
      /has no entry "shift\.int4"; it has add\.int8/,
    );
    expect(() => price({ table: 'horowitz-45nm', entry: 'area.add.int8' })).toThrow(/computePj\.shift\.unit/);
  });

  it('names the built-in profiles when it extends none of them', () => {
    for (const base of ['fare', './other.json', 3])
      expect(() => parse({ extends: base })).toThrow(
        /mine\.json: cost profile key extends: must be one of fair,/,
      );
  });

  it('refuses energies that are missing or negative, by their key', () => {
    const dram = (value: unknown): unknown => ({ value, unit: 'pJ per 16 bit', source: 'x' });
    const price = (memory: object): unknown => parse({ extends: 'fair', memoryPjPer16Bits: memory });
    expect(() => price({ dram: dram(-1) })).toThrow(/key memoryPjPer16Bits\.dram\.value/);
    expect(() => price({ dram: null })).toThrow(/key memoryPjPer16Bits\.dram/);
    expect(() => price({ dram: { ...(dram(200) as object), unit: 'nJ' } })).toThrow(
      /key memoryPjPer16Bits\.dram\.unit: .*pJ per 16 bit/,
    );
  });

  it('gives operand widths by primitive exactly if it charges them', () => {
    expect(() => parse({ extends: 'fair', operandWidths: 'primitive' })).toThrow(
      /key operandBits: must be given/,
    );
    expect(() => parse({ extends: 'fair-int8', operandWidths: 'layer' })).toThrow(
      /key operandBits: must be given/,
    );
  });

  it('has a JSON Schema that accepts the built-in profiles and names what they must have', () => {
    const schema = profileJsonSchema() as { readonly required: readonly string[] };
    for (const key of schema.required) expect(loadProfile('fair')).toHaveProperty(key);
    expect(schema.required).toContain('memoryPjPer16Bits');
  });
});

describe('fair-fp32', () => {
  it('is fair under another name', () => {
    const { name, ...others } = loadProfile('fair-fp32');
    expect(name).toBe('fair-fp32');
    expect(loadProfile('fair')).toMatchObject(others);
    expect(() => parseProfile(JSON.stringify({ ...loadProfile('fair'), name }), 'mine.json')).toThrow(
      /'fair-fp32' is a built-in profile/,
    );
  });
});

describe('quantities', () => {
  it.each(builtInProfileNames)('of %s all have a unit and a source', (name) => {
    const quantities = profileQuantities(loadProfile(name));
    expect(quantities.length).toBeGreaterThan(15);
    for (const { unit, source } of quantities)
      expect([unit, source].every((text) => text.length > 0)).toBe(true);
    expect(quantities.map(({ key }) => key)).toContain('memoryPjPer16Bits.dram');
  });
});

describe('withWordBits', () => {
  it('switches the published machine to its 8-bit rules, half the energy per word and four times the array', () => {
    const at8 = withWordBits(loadProfile('paper-cv-168'), 8);
    expect(profileSummary(at8)).toMatch(/fewer than 672 processing elements/);
    expect(profileSummary(at8)).toMatch(/multiply 0\.2 pJ, shift 0\.024 pJ, add 0\.03 pJ/);
    expect(withWordBits(at8, 8)).toBe(at8);
  });

  it('refuses widths that the profile does not know', () => {
    expect(() => withWordBits(loadProfile('fair'), 8)).toThrow(/'fair' has no 8-bit words; it knows 32/);
  });
});
