import { describe, expect, it } from 'vitest';
import { OptionError } from '../base/errors.js';
import { filter64, type Array64 } from '../tensor/float64.cases.js';
import { describeFamily } from './families.cases.js';
import {
  termPass,
  type FamilyOracle,
  type LayerOracle,
  type TermOracle,
  type TermRules,
} from './oracle.cases.js';
import { headsOf } from './attention/core.js';
import { attended64, type Rule64 } from './attention/oracle.cases.js';
import { defaultFamilies, familyNamed, listFamilies } from './registry.js';

const clamp = (value: number): number => Math.min(1, Math.max(-1, value));

const convolution: TermRules = {
  term: (x, w) => x * w,
  inputRule: (_, w) => w,
  weightRule: (x) => x,
};

const step = (value: number): number => (value > 0 ? 1 : 0);

/** Halves to even. */
const nearest = (value: number): number =>
  Math.abs(value % 1) === 0.5 ? 2 * Math.round(value / 2) : Math.round(value);
const deepShiftPs = (p: number, s: number): number => {
  const magnitude = 2 ** nearest(Math.min(0, Math.max(-14, p)));
  return Math.abs(s) <= 0.5 ? 0 : Math.sign(s) * magnitude;
};

/** With the released threshold of signs. */
const releasedPs = (p: number, s: number): number =>
  Math.abs(s) <= Math.fround(0.3) ? (p + s === p + s ? 0 : NaN) : Math.sign(s) * Math.abs(deepShiftPs(p, 1));
/** Of the powers 2^-15 to 1 the nearest by value, of two the larger. */
const nearestPower = (w: number): number => {
  if (w === 0 || Number.isNaN(w)) return w;
  const powers = Array.from({ length: 16 }, (_, k) => 2 ** (k - 15));
  const away = (power: number): number => Math.abs(Math.abs(w) - power);
  return Math.sign(w) * powers.reduce((best, power) => (away(power) <= away(best) ? power : best));
};

/** S_0 to S_T. */
const denseExponents = (bits: readonly number[]): readonly number[] =>
  bits.reduce<number[]>((before, t) => [...before, step(t) * (before.at(-1)! + 1)], [0]);
const denseShift: FamilyOracle = {
  ...convolution,
  effective: (s, ...bits) => (s! < 0 ? -1 : 1) * 2 ** denseExponents(bits).at(-1)!,
  // Through sqrt(S_T + 1) in the place of 2^(S_T), backwards along the recursion.
  storedRule: (s, ...bits) => {
    const exponents = denseExponents(bits);
    const root = Math.sqrt(exponents.at(-1)! + 1);
    return [
      root,
      ...bits.map((_, k) => {
        const later = bits.slice(k + 1).every((t) => t > 0);
        return later ? ((s! < 0 ? -1 : 1) * (exponents[k]! + 1)) / (2 * root) : 0;
      }),
    ];
  },
  isDerivative: false,
};
/** The gradients of AdderNet, which are not the derivative. */
const l1: TermRules = {
  term: (x, w) => -Math.abs(x - w),
  inputRule: (x, w) => clamp(w - x),
  weightRule: (x, w) => x - w,
};

/** Signs, smoothed at zero. */
const smoothSign = (d: number): number => d / (Math.abs(d) + 1e-8);
const signRules = {
  inputRule: (x: number, w: number): number => smoothSign(w - x),
  weightRule: (x: number, w: number): number => smoothSign(x - w),
};
/** -|x - w|^p and its derivative. */
const distanceTo = (p: number): TermRules => {
  const slope = (d: number): number => p * Math.sign(d) * Math.abs(d) ** (p - 1);
  return {
    term: (x, w) => -(Math.abs(x - w) ** p),
    inputRule: (x, w) => slope(w - x),
    weightRule: (x, w) => slope(x - w),
  };
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

/** Convolutions for queries, keys and values, attention over the map, and what else is made of the values. */
const attentionBy = (rule: Rule64, withNeighbours = false): LayerOracle => ({
  effective: (w) => w!,
  pass(x, values, [queries, keys, local], dy, geometry) {
    const projected = [queries!, keys!, values].map((w) => filter64(x, w, convolution.term, geometry));
    const [items, height, width, channels] = projected[0]!.shape as [number, number, number, number];
    const shape = [items, height * width, channels];
    const [q, k, v] = projected.map(({ data }): Array64 => ({ shape, data })) as [Array64, Array64, Array64];
    const out = { shape, data: Float64Array.from(dy) };
    const { y, dq, dk, dv } = attended64(rule, q, k, v, out, headsOf(channels));
    const near = withNeighbours
      ? termPass(convolution, projected[2]!, local!, dy, { stride: 1, padding: 1, groups: channels })
      : undefined;
    const dValues = dv.data.map((value, i) => value + (near?.dx[i] ?? 0));
    const through = [
      termPass(convolution, x, queries!, dq.data, geometry),
      termPass(convolution, x, keys!, dk.data, geometry),
      termPass(convolution, x, values, dValues, geometry),
    ] as const;
    return {
      y: y.data.map((value, i) => value + (near?.y[i] ?? 0)),
      dx: through[0].dx.map((value, i) => value + through[1].dx[i]! + through[2].dx[i]!),
      dw: through[2].dw,
      own: [through[0].dw, through[1].dw, ...(near ? [near.dw] : [])],
    };
  },
});

/** One per registered family; a family without one fails below. */
/** 1 where a logit [k, k, 1, channels] is the first of the largest ones of its channel. */
const largestOfEach = (logits: ArrayLike<number>, channels: number): Float32Array =>
  Float32Array.from({ length: logits.length }, (_, i) => {
    const ofChannel = Array.from(
      { length: logits.length / channels },
      (_, tap) => logits[tap * channels + (i % channels)]!,
    );
    return ofChannel.indexOf(Math.max(...ofChannel)) === Math.floor(i / channels) ? 1 : 0;
  });

const oracles: Readonly<Record<string, FamilyOracle>> = {
  conv: { ...convolution, effective: (w) => w, isDerivative: true },
  // Straight-through: the gradient of a convolution at the rounded weights, passed to the stored ones.
  'pot.q': {
    ...convolution,
    effective: powerOfTwo,
    isDerivative: false,
  },
  'pot.ps': {
    ...convolution,
    effective: (p, s) => deepShiftPs(p!, s!),
    storedRule: (p, s) => [deepShiftPs(p!, s!) * Math.LN2, 1],
    isDerivative: false,
  },
  'pot.q.nearest': { ...convolution, effective: (w) => nearestPower(w!), isDerivative: false },
  'pot.ps.compat': {
    ...convolution,
    effective: (p, s) => releasedPs(p!, s!),
    storedRule: (p, s) => [releasedPs(p!, s!) * Math.LN2, 1],
    isDerivative: false,
  },
  'pot.dense': denseShift,
  'pot.dense2': denseShift,
  'pot.dense4': denseShift,
  'pot.s3': {
    ...convolution,
    effective: (s, v, t1, t2) => (v! > 0 ? (s! < 0 ? -1 : 1) * (t1! > 0 ? (t2! > 0 ? 4 : 2) : 1) : 0),
    storedRule: (s, v, t1, t2) => {
      const [sign, kept, first, second] = [s! < 0 ? -1 : 1, step(v!), step(t1!), step(t2!)];
      const power = 2 ** (first * (second + 1));
      const shifted = sign * kept * power * Math.LN2;
      return [kept * power, sign * power, shifted * (second + 1), shifted * first];
    },
    isDerivative: false,
  },
  add: { ...l1, effective: (w) => w, isDerivative: false },
  'add.sign': { ...l1, ...signRules, effective: (w) => w!, isDerivative: false },
  'add.lp': {
    effective: (w) => w!,
    pass(x, w, [exponent], dy, geometry) {
      const pass = termPass(distanceTo(exponent!.data[0]!), x, w, dy, geometry);
      return { ...pass, own: [new Float64Array(1)] };
    },
  },
  shiftadd: shiftThenAdd(powerOfTwo, true),
  'shiftadd.fixed': shiftThenAdd((w) => w, false),
  attention: attentionBy('normalised'),
  'attention.compat': attentionBy('swapped'),
  'attention.linear': attentionBy('linearBinary', true),
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
  // GhostSR: output o reads input o mod in at the offset of its largest logit; the gradient is the softmax's.
  displace: {
    effectiveOf: (stored, { outChannels }) => largestOfEach(stored, outChannels),
    outputOf: (at, { outChannels }) => at % outChannels,
    takesOneInput: true,
    pass: (x, w, _, dy, { inChannels, outChannels, kernel, stride, padding, groups }) => {
      const [items, height, width] = x.shape as [number, number, number];
      const [outHeight, outWidth] = [height, width].map(
        (size) => Math.floor((size + 2 * padding - kernel) / stride) + 1,
      ) as [number, number];
      const chosen = largestOfEach(w.data, outChannels);
      const y = new Float64Array(items * outHeight * outWidth * outChannels);
      const [dx, dChosen] = [new Float64Array(x.data.length), new Float64Array(w.data.length)];
      for (let at = 0; at < y.length; at++) {
        const o = at % outChannels;
        const column = Math.floor(at / outChannels) % outWidth;
        const row = Math.floor(at / outChannels / outWidth) % outHeight;
        const item = Math.floor(at / outChannels / outWidth / outHeight);
        const inGroup = inChannels / groups;
        const outGroup = outChannels / groups;
        const c = Math.floor(o / outGroup) * inGroup + ((o % outGroup) % inGroup);
        for (let tap = 0; tap < kernel ** 2; tap++) {
          const i = row * stride - padding + Math.floor(tap / kernel);
          const j = column * stride - padding + (tap % kernel);
          if (i < 0 || j < 0 || i >= height || j >= width) continue;
          const from = ((item * height + i) * width + j) * inChannels + c;
          dChosen[tap * outChannels + o]! += dy[at]! * x.data[from]!;
          if (chosen[tap * outChannels + o] !== 1) continue;
          y[at] = x.data[from]!;
          dx[from]! += dy[at]!;
        }
      }
      const ofChannel = (i: number): number[] =>
        Array.from({ length: kernel ** 2 }, (_, tap) => tap * outChannels + (i % outChannels));
      const shareOf = (i: number): number => {
        const logits = ofChannel(i).map((at) => w.data[at]!);
        const largest = Math.max(...logits);
        return (
          Math.exp(w.data[i]! - largest) / logits.reduce((sum, each) => sum + Math.exp(each - largest), 0)
        );
      };
      const dw = Float64Array.from(w.data, (_, i) => {
        const mean = ofChannel(i).reduce((sum, at) => sum + shareOf(at) * dChosen[at]!, 0);
        return shareOf(i) * (dChosen[i]! - mean);
      });
      return { y, dx, dw, own: [] };
    },
  },
};

/** Integer codes of `bits` bits. */
const codeRange = (bits: number, signed: boolean): readonly [least: number, most: number] =>
  signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];

/** LSQ (arXiv 1902.08153, equations 1 to 5): a value on its grid, and the gradients by it and by the step; the ends of the range are inside. */
const learnedStep = (v: number, step: number, [least, most]: readonly [number, number]) => {
  // A quotient of float32, as ONNX's: with many codes some lie between two of them but for its rounding.
  const steps = Math.fround(v / step);
  const beyond = steps < least ? least : most;
  if (steps < least || steps > most)
    return { value: beyond * step, byValue: 0, byStep: beyond, magnitude: Math.abs(beyond) };
  const code = nearest(steps);
  return {
    ...{ value: code * step, byValue: 1, byStep: code - steps },
    magnitude: Math.abs(code) + Math.abs(steps),
  };
};

/** A layer of terms over operands of few bits: both with a step each, both with one, or the inputs alone. */
const fewBits = (base: TermOracle, bits: number, steps: 'each' | 'one' | 'input'): LayerOracle => ({
  effective: base.effective,
  pass(x, w, own, dy, geometry) {
    const [inputStep, weightStep] = [own[0]!.data[0]!, own.at(-1)!.data[0]!];
    const inputRange = codeRange(bits, geometry.nonNegativeInput !== true);
    const weightRange = codeRange(bits, true);
    const inputs = [...x.data].map((v) => learnedStep(v, inputStep, inputRange));
    const count = geometry.kernel ** 2 * (geometry.inChannels / geometry.groups) * geometry.outChannels;
    const stored = Array.from({ length: count }, (_, i) =>
      Array.from({ length: w.data.length / count }, (_, plane) => w.data[plane * count + i]!),
    );
    const weights =
      steps === 'input'
        ? stored.map((values) => ({ value: base.effective(...values), byValue: 1, byStep: 0, magnitude: 0 }))
        : [...w.data].map((v) => learnedStep(v, weightStep, weightRange));
    const valuesOf = (all: readonly { value: number }[]): Float64Array =>
      Float64Array.from(all, ({ value }) => value);
    const shape = w.shape.slice(-4);
    const inner = termPass(
      ...([base, { shape: x.shape, data: valuesOf(inputs) }] as const),
      ...([{ shape, data: valuesOf(weights) }, dy, geometry] as const),
    );
    /** The sum of the terms, and that of their magnitudes. */
    const byStep = (
      all: readonly { byStep: number; magnitude: number }[],
      gradient: Float64Array,
      values: number,
      range: readonly [number, number],
    ): readonly [sum: number, magnitude: number] => {
      const factor = 1 / Math.sqrt(values * range[1]);
      return [
        factor * all.reduce((sum, each, i) => sum + each.byStep * gradient[i]!, 0),
        factor * all.reduce((sum, each, i) => sum + each.magnitude * Math.abs(gradient[i]!), 0),
      ];
    };
    const ofInputs = byStep(inputs, inner.dx, x.data.length / x.shape[0]!, inputRange);
    const ofWeights = byStep(weights, inner.dw, count, weightRange);
    const both = [ofInputs[0] + ofWeights[0], ofInputs[1] + ofWeights[1]] as const;
    const dw = new Float64Array(w.data.length);
    const storedRule = base.storedRule ?? (() => [1]);
    inner.dw.forEach((gradient, i) =>
      storedRule(...stored[i]!).forEach(
        (factor, plane) => (dw[plane * count + i] = gradient * weights[i]!.byValue * factor),
      ),
    );
    const ofSteps = { each: [ofInputs, ofWeights], one: [both], input: [ofInputs] }[steps];
    return {
      y: inner.y,
      dx: inner.dx.map((value, i) => value * inputs[i]!.byValue),
      dw,
      own: ofSteps.map(([sum]) => Float64Array.of(sum)),
      ownMagnitudes: ofSteps.map(([, magnitude]) => magnitude),
    };
  },
});

/** Some of the families with operands of few bits, one of each kind and form of export at least. */
const fewBitOracles: Readonly<Record<string, FamilyOracle>> = Object.fromEntries(
  (
    [
      ['conv', 8, 'each'],
      ['conv', 3, 'each'],
      ['conv', 12, 'each'],
      ['add', 6, 'one'],
      ['add', 16, 'one'],
      ['add.sign', 8, 'one'],
      ['pot.q', 4, 'input'],
      ['pot.ps', 8, 'input'],
    ] as const
  ).map(([base, bits, steps]) => [`${base}.int${bits}`, fewBits(oracles[base] as TermOracle, bits, steps)]),
);

describe('the registry', () => {
  it('holds exactly the families that have an oracle here', () => {
    expect(
      listFamilies()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(Object.keys(oracles).sort());
  });

  it('leaves the default of a search space at the families of ShiftAddNAS', () => {
    expect(defaultFamilies).toEqual(['conv', 'pot.q', 'add']);
  });

  it('tells families apart by name, short name and colour, and names those there are', () => {
    for (const key of ['name', 'shortName', 'colour', 'title'] as const)
      expect(new Set(listFamilies().map((family) => family[key])).size).toBe(listFamilies().length);
    for (const family of listFamilies()) expect(familyNamed(family.name)).toBe(family);
    expect(() => familyNamed('mul')).toThrow(OptionError);
    expect(() => familyNamed('mul')).toThrow(/'mul'; known: conv, pot\.q, .*add/);
  });
});

for (const [name, oracle] of Object.entries(fewBitOracles)) describeFamily(familyNamed(name), oracle);

for (const family of listFamilies()) {
  const oracle = oracles[family.name];
  if (oracle !== undefined) describeFamily(family, oracle);
}
