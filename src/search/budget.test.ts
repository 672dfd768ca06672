import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  describeBudget,
  describeCosts,
  formatQuantity,
  isRelative,
  parseBudget,
  resolveBudget,
  suggestLimit,
} from './budget.js';
import { type Costs, meets, quantities, Quantity, violation } from './costs.js';

const reference: Costs = {
  ...{ energyMj: 2, latencyMs: 8, macs: 1_000_000, params: 3000, areaMm2: 0.25 },
  ...{ sramBytes: 65_536, flashBytes: 10_000 },
};
const limits = (text: string) => resolveBudget(parseBudget(text), reference);
const number = fc.double({ min: 1e-6, max: 1e6, noNaN: true });

describe('reading a budget', () => {
  it.each<[string, Partial<Record<Quantity, number>>]>([
    ['energy=0.4mJ', { energyMj: 0.4 }],
    ['energy=400uJ', { energyMj: 0.4 }],
    ['energy=400\u00b5J', { energyMj: 0.4 }],
    ['energy=400\u03bcJ', { energyMj: 0.4 }],
    ['energy=5e5nJ', { energyMj: 0.5 }],
    ['energy=2.5e8 pJ', { energyMj: 0.25 }],
    ['energy=.002J', { energyMj: 2 }],
    ['latency=1500ns', { latencyMs: 0.0015 }],
    ['latency=250us', { latencyMs: 0.25 }],
    ['latency=2.ms', { latencyMs: 2 }],
    ['latency=1e-2s', { latencyMs: 10 }],
    ['macs=20000000', { macs: 2e7 }],
    ['macs=20M', { macs: 2e7 }],
    ['macs=1.5G', { macs: 1.5e9 }],
    ['params=150k', { params: 150_000 }],
    ['params=+1E3', { params: 1000 }],
    [' energy = 1 mJ , params = 7 ', { energyMj: 1, params: 7 }],
    ['params=1,macs=2,latency=3ms,energy=4mJ', { energyMj: 4, latencyMs: 3, macs: 2, params: 1 }],
    ['area=0.1mm2', { areaMm2: 0.1 }],
    ['area=50000um2', { areaMm2: 0.05 }],
    ['area=40 %', { areaMm2: 0.1 }],
    ['sram=256KiB,flash=1MiB', { sramBytes: 262_144, flashBytes: 1_048_576 }],
    ['sram=64kB, flash=2MB', { sramBytes: 64_000, flashBytes: 2_000_000 }],
    ['sram=100B,flash=1GiB', { sramBytes: 100, flashBytes: 2 ** 30 }],
    ['sram=50%,flash=10%', { sramBytes: 32_768, flashBytes: 1000 }],
    ['energy=50%', { energyMj: 1 }],
    ['latency=12.5 %,macs=200%,params=1e1%', { latencyMs: 1, macs: 2_000_000, params: 300 }],
  ])('%s', (text, expected) => {
    const found = limits(text);
    expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
    for (const quantity of quantities)
      if (expected[quantity] !== undefined) expect(found[quantity]).toBeCloseTo(expected[quantity], 12);
  });

  it.each<[string, RegExp]>([
    ['', /empty/],
    ['  ', /empty/],
    ['energy', /'energy': expected QUANTITY=VALUE/],
    ['energy=1mJ,', /'': expected/],
    ['power=1W', /'power=1W': 'power' cannot be limited/],
    ['Energy=1mJ', /'Energy' cannot be limited/],
    ['energy=1mJ,energy=2mJ', /energy is limited twice/],
    ['energy=1', /energy needs a unit \(pJ, nJ, uJ, mJ, J, %\)/],
    ['energy=1MJ', /unknown unit 'MJ'/],
    ['energy=1ms', /unknown unit 'ms'/],
    ['energy=1constructor', /unknown unit 'constructor'/],
    ['latency=1m', /unknown unit 'm'/],
    ['macs=1m', /unknown unit 'm'/],
    ['macs=1M2', /unknown unit 'M2'/],
    ['area=1', /area needs a unit \(um2, mm2, %\), for example area=0\.1mm2/],
    ['area=1m2', /unknown unit 'm2'/],
    ['sram=256', /sram needs a unit \(B, KiB, MiB, GiB, kB, MB, GB, %\)/],
    ['flash=1KB', /unknown unit 'KB'/],
    ['ram=1KiB', /use energy, latency, macs, params, area, sram or flash,/],
    ['energy=mJ', /'mJ' is not a number/],
    ['energy=', /'' is not a number/],
    ['energy=infinitymJ', /not a number/],
    ['energy=NaNmJ', /not a number/],
    ['energy=0mJ', /above zero/],
    ['energy=-1mJ', /above zero/],
    ['energy=1e999mJ', /finite/],
    ['macs=1e308G', /out of range/],
    ['params=0%', /above zero/],
  ])('refuses "%s" in one line', (text, message) => {
    const parse = () => parseBudget(text);
    expect(parse).toThrow(message);
    expect(parse).toThrow(/^[^\n]*$/);
    expect(parse).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });

  it('knows when a reference is needed', () => {
    expect(isRelative(parseBudget('energy=1mJ,macs=2'))).toBe(false);
    expect(isRelative(parseBudget('energy=1mJ,macs=2%'))).toBe(true);
  });

  it('lets the reference itself pass at 100 %', () => {
    expect(meets(reference, limits('energy=100%,latency=100%,macs=100%,params=100%'))).toBe(true);
  });

  it('suggests limits that fit when pasted back, and not much more', () => {
    fc.assert(
      fc.property(fc.constantFrom(...quantities), number, (quantity, value) => {
        const limit = limits(suggestLimit(quantity, value))[quantity]!;
        expect(limit).toBeGreaterThanOrEqual(value);
        expect(limit).toBeLessThanOrEqual(value * 1.0011);
      }),
    );
    expect(suggestLimit(Quantity.Energy, 0.31251)).toBe('energy=312.6uJ');
    expect(suggestLimit(Quantity.Params, 1000)).toBe('params=1k');
    expect(suggestLimit(Quantity.Area, 0.012341)).toBe('area=0.01235mm2');
  });

  it('is printed with units', () => {
    expect(describeBudget(limits('params=150k,energy=0.4mJ'))).toBe('energy <= 400 uJ, params <= 150 k');
    expect(describeBudget({})).toBe('no limit');
    expect(describeCosts(reference)).toBe(
      'energy 2 mJ, latency 8 ms, macs 1 M, params 3 k, area 0.25 mm2, sram 64 KiB, flash 9.766 KiB',
    );
    expect(formatQuantity(Quantity.Macs, 123_456)).toBe('123.5 k');
    expect(formatQuantity(Quantity.Params, 0)).toBe('0');
  });
});

describe('the violation of a budget', () => {
  it('is the sum of relative excesses', () => {
    expect(violation(reference, { energyMj: 1, latencyMs: 10, params: 2000 })).toBeCloseTo(1 + 0.5, 12);
    expect(violation(reference, {})).toBe(0);
    expect(violation(reference, { energyMj: 2 })).toBe(0);
  });

  it('is zero exactly when the budget is met', () => {
    const each = {
      ...{ energyMj: number, latencyMs: number, macs: number, params: number },
      ...{ areaMm2: number, sramBytes: number, flashBytes: number },
    };
    const costs = fc.record(each);
    const budget = fc.record(each, { requiredKeys: [] });
    fc.assert(
      fc.property(costs, budget, (cost, limit) => {
        const over = violation(cost, limit);
        expect(over).toBeGreaterThanOrEqual(0);
        expect(over === 0).toBe(meets(cost, limit));
      }),
    );
  });
});
