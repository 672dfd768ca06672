import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { describeFamily, type FamilyOracle } from './families.cases.js';
import { familyNamed, listFamilies } from './registry.js';

const clamp = (value: number): number => Math.min(1, Math.max(-1, value));

const convolution: Omit<FamilyOracle, 'effective' | 'isDerivative'> = {
  term: (x, w) => x * w,
  inputRule: (_, w) => w,
  weightRule: (x) => x,
};

/** One per registered family; a family without one fails below. */
const oracles: Readonly<Record<string, FamilyOracle>> = {
  conv: { ...convolution, effective: (w) => w, isDerivative: true },
  // Straight-through: the gradient of a convolution at the rounded weights, passed to the stored ones.
  'pot.q': {
    ...convolution,
    effective: (w) =>
      w === 0 ? w : Math.sign(w) * 2 ** Math.min(0, Math.max(-15, Math.round(Math.log2(Math.abs(w))))),
    isDerivative: false,
  },
  add: {
    effective: (w) => w,
    term: (x, w) => -Math.abs(x - w),
    inputRule: (x, w) => clamp(w - x),
    weightRule: (x, w) => x - w,
    isDerivative: false,
  },
};

describe('the registry', () => {
  it('holds exactly the families that have an oracle here', () => {
    expect(
      listFamilies()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(Object.keys(oracles).sort());
  });

  it('tells families apart by name, short name and colour, and names those there are', () => {
    for (const key of ['name', 'shortName', 'colour', 'title'] as const)
      expect(new Set(listFamilies().map((family) => family[key])).size).toBe(listFamilies().length);
    for (const family of listFamilies()) expect(familyNamed(family.name)).toBe(family);
    expect(() => familyNamed('mul')).toThrow(OptionError);
    expect(() => familyNamed('mul')).toThrow(/'mul'; known: conv, pot\.q, add/);
  });
});

for (const family of listFamilies()) {
  const oracle = oracles[family.name];
  if (oracle !== undefined) describeFamily(family, oracle);
}
