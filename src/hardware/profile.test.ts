import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { FileError, OptionError } from '../base/errors.js';
import { estimateLayer } from './estimate.js';
import { Primitive } from './layer.js';
import { builtInProfileNames, loadProfile, parseProfile, profileSummary, withWordBits } from './profile.js';

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
    mine.clockPeriodNs.multiply = { value: 2, source: 'a faster clock' };
    const yaml = loadProfile(written('mine.yaml', stringify(mine)));
    expect(yaml).toEqual(loadProfile(written('mine.json', JSON.stringify(mine))));
    expect(estimateLayer(layer, loadProfile('fair')).latencyMs).toBe(
      2 * estimateLayer(layer, yaml).latencyMs,
    );
  });

  it('refuses unknown names and missing files, saying what there is', () => {
    expect(() => loadProfile('fairest')).toThrow(OptionError);
    expect(() => loadProfile('fairest')).toThrow(/choose fair, paper-cv-168, paper-cv-192 or give the path/);
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
    expect(refusal((profile) => (profile.clockPeriodNs.add = { value: 4, source: 'x', unit: 'ns' }))).toMatch(
      /cost profile key clockPeriodNs\.add\.unit: not known/,
    );
    expect(refusal((profile) => (profile.wordSizes = { wide: {} }))).toMatch(
      /wordSizes\.wide: expected a number of bits/,
    );
    expect(refusal((profile) => (profile.clockPeriodNs.add = { value: '4', source: 'x' }))).toMatch(
      /clockPeriodNs\.add\.value: .*number/,
    );
    expect(refusal((profile) => (profile.clockPeriodNs.add = { value: 0, source: 'x' }))).toMatch(
      /clockPeriodNs\.add\.value/,
    );
    expect(refusal((profile) => (profile.processingElements = { value: 1.5, source: 'x' }))).toMatch(
      /processingElements\.value/,
    );
    expect(refusal((profile) => (profile.processingElements = { value: 16 }))).toMatch(
      /processingElements\.source/,
    );
    expect(refusal((profile) => (profile.groups = 'sometimes'))).toMatch(/groups/);
    expect(refusal((profile) => (profile.wordBits = 16))).toMatch(/wordSizes: has no entry for wordBits/);
    expect(refusal((profile) => (profile.schemaVersion = 2))).toMatch(/schemaVersion/);
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
    for (const [key, most] of Object.entries(bounds)) {
      expect(refusal((profile) => (profile[key] = { value: most, source: 'x' }))).toBe('accepted');
      expect(refusal((profile) => (profile[key] = { value: most + 1, source: 'x' }))).toMatch(
        new RegExp(`^mine\\.json: cost profile key ${key}\\.value: .*${most}`),
      );
    }
    expect(refusal((profile) => (profile.wordBits = 1e9))).toMatch(/key wordBits: /);
    for (const value of [1e-7, 1e10])
      expect(refusal((profile) => (profile.clockPeriodNs.add = { value, source: 'x' }))).toMatch(
        /key clockPeriodNs\.add\.value: /,
      );
    const scaled = (profile: ReturnType<typeof loose>, factor: string, key: string, value: number): void => {
      const sizes = profile.wordSizes as Record<string, Record<string, unknown>>;
      sizes['32']![factor] = { value: 4, source: 'x' };
      profile[key] = { value, source: 'x' };
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
    profile.processingElements = { value: 1e6, source: 'x' };
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
