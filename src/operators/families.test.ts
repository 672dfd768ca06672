import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { filter64, type Array64 } from '../tensor/float64.cases.js';
import {
  describeFamily,
  termPass,
  type FamilyOracle,
  type LayerOracle,
  type TermRules,
} from './families.cases.js';
import { familyNamed, listFamilies } from './registry.js';

const clamp = (value: number): number => Math.min(1, Math.max(-1, value));

const convolution: TermRules = {
  term: (x, w) => x * w,
  inputRule: (_, w) => w,
  weightRule: (x) => x,
};

/** The gradients of AdderNet, which are not the derivative. */
const l1: TermRules = {
  term: (x, w) => -Math.abs(x - w),
  inputRule: (x, w) => clamp(w - x),
  weightRule: (x, w) => x - w,
};

const powerOfTwo = (w: number): number =>
  w === 0 ? w : Math.sign(w) * 2 ** Math.min(0, Math.max(-15, Math.round(Math.log2(Math.abs(w)))));

const mapped = ({ shape, data }: Array64, f: (value: number, i: number) => number): Array64 => ({
  shape,
  data: data.map(f),
});

/** A convolution with the effective weights and an L1 layer with those of its own behind it, the chain rule through both. */
const shiftThenAdd = (effective: (w: number) => number, trained: boolean): LayerOracle => ({
  effective,
  pass(x, w, own, dy, geometry) {
    const shift = mapped(w, effective);
    const [addWeights] = own as [Array64];
    const behind = { stride: 1, padding: (geometry.kernel - 1) / 2, groups: geometry.groups };
    const outer = termPass(l1, filter64(x, shift, convolution.term, geometry), addWeights, dy, behind);
    const inner = termPass(convolution, x, shift, outer.dx, geometry);
    const { dx, dw } = inner;
    return { y: outer.y, dx, dw: trained ? dw : new Float64Array(dw.length), own: [outer.dw] };
  },
});

const sign = (value: number): number => (value > 0 ? 1 : -1);

/** One per registered family; a family without one fails below. */
const oracles: Readonly<Record<string, FamilyOracle>> = {
  conv: { ...convolution, effective: (w) => w, isDerivative: true },
  // Straight-through: the gradient of a convolution at the rounded weights, passed to the stored ones.
  'pot.q': {
    ...convolution,
    effective: powerOfTwo,
    isDerivative: false,
  },
  add: { ...l1, effective: (w) => w, isDerivative: false },
  shiftadd: shiftThenAdd(powerOfTwo, true),
  'shiftadd.fixed': shiftThenAdd((w) => w, false),
  // Signs of both operands, the weights' times the mean magnitude of their channel; see binary/ops.ts for the rules.
  binary: {
    effective: sign,
    pass(x, w, own, dy, geometry) {
      const [threshold] = own as [Array64];
      const { inChannels, outChannels } = geometry;
      const beyond = mapped(x, (value, i) => value - threshold.data[i % inChannels]!);
      const scales = new Float64Array(outChannels);
      w.data.forEach(
        (value, i) => (scales[i % outChannels]! += (Math.abs(value) * outChannels) / w.data.length),
      );
      const weights = mapped(w, (value, i) => sign(value) * scales[i % outChannels]!);
      const inner = termPass(convolution, mapped(beyond, sign), weights, dy, geometry);
      const dx = inner.dx.map((value, i) => value * Math.max(0, 2 - 2 * Math.abs(beyond.data[i]!)));
      const dThreshold = new Float64Array(inChannels);
      dx.forEach((value, i) => (dThreshold[i % inChannels]! -= value));
      const dw = inner.dw.map((value, i) => (Math.abs(w.data[i]!) <= 1 ? value : 0));
      return { y: inner.y, dx, dw, own: [dThreshold] };
    },
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
