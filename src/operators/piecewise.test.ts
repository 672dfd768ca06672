import { describe, expect, it } from 'vitest';
import { array64, centralDifferences, normals, relativeError } from '../tensor/float64.cases.js';
import { sum } from '../tensor/ops/reduction.js';
import { mul } from '../tensor/ops/binary.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { OperatorFamily, SharingMap } from './contract.js';
import { piecewiseSharing, publishedPiecewiseSharing, publishedSegments } from './piecewise.js';
import { familyNamed, listFamilies } from './registry.js';

/** The range of `whole` in segments, as the release writes them: a mask for each. */
function masks(
  values: ArrayLike<number>,
  whole: ArrayLike<number>,
  count: number,
  closed: boolean,
): boolean[][] {
  const [low, high] = [Math.min(...Array.from(whole)), Math.max(...Array.from(whole))];
  return Array.from({ length: count }, (_, k) =>
    Array.from(values, (value) => {
      const at = ((value - low) * count) / (high - low);
      const inside = at >= k && at < k + 1;
      return inside || (closed && k === count - 1 && value === high);
    }),
  );
}

/** sum over the segments of mask_k a_k S, times a scale. */
function byMasks(
  values: ArrayLike<number>,
  factors: ArrayLike<number>,
  segments: readonly (readonly boolean[])[],
  scale = 1,
): Float64Array {
  const result = new Float64Array(values.length);
  segments.forEach((mask, k) =>
    mask.forEach((inside, i) => {
      if (inside) result[i]! += scale * factors[k]! * values[i]!;
    }),
  );
  return result;
}

function mapped(map: SharingMap, shared: Tensor, own: readonly Tensor[], whole?: Float32Array): Float32Array {
  const weights = tidy(() => map.apply(shared, own, whole));
  const copy = weights.data.slice();
  weights.dispose();
  return copy;
}

/** The gradients of the weighted sum of what the map makes. */
function gradients(
  map: SharingMap,
  shared: Tensor,
  own: readonly Tensor[],
  coefficients: Float32Array,
): void {
  const { value, tape } = Tape.record(() => {
    const weights = map.apply(shared, own);
    return sum(mul(weights, Tensor.view(weights.shape, coefficients)));
  });
  tape.backward(value);
}

const rms = (values: ArrayLike<number>): number =>
  Math.sqrt(Array.from(values).reduce((total, each) => total + each * each, 0) / values.length);

const values = normals(400, 'piecewise').map((v) => 0.2 * v);
const [conv, add, potQ, potPs] = ['conv', 'add', 'pot.q', 'pot.ps'].map(familyNamed) as [
  OperatorFamily,
  OperatorFamily,
  OperatorFamily,
  OperatorFamily,
];

describe('the piecewise map', () => {
  it.each([
    ['add', 100],
    ['add', 7],
    ['pot.q', 100],
  ] as const)('of %s in %d segments is the sum over masks, the largest value too', (name, count) => {
    const family = familyNamed(name);
    const factors = normals(count, 'factors');
    const shared = Tensor.persistent([1, 1, 20, 20], values);
    const own = [Tensor.persistent([count], factors)];
    const scale = name === 'add' ? 1 / rms(values) : 1;
    const segments = masks(values, values, count, true);
    expect(segments.every((mask, k) => k % 10 > 0 || mask.length === 400)).toBe(true);
    const expected = byMasks(values, factors, segments, scale);
    const weights = mapped(piecewiseSharing(family, count), shared, own);
    expect(relativeError(weights, expected)).toBeLessThan(1e-6);
    const top = values.indexOf(Math.max(...values));
    expect(weights[top]).toBeCloseTo(scale * factors[count - 1]! * values[top]!, 5);
    expect(weights[top]).not.toBe(0);
    for (const tensor of [shared, ...own]) tensor.dispose();
  });

  it('starts as the tensor itself: at its own scale for shift, at that of AdderNet for add', () => {
    const shared = Tensor.persistent([1, 1, 20, 20], values);
    const start = (family: OperatorFamily): Float32Array => {
      const map = piecewiseSharing(family, 100);
      const own = map.parameters.map(({ initial, count = 1 }) =>
        Tensor.persistent([count], new Float32Array(count).fill(initial)),
      );
      const weights = mapped(map, shared, own);
      for (const tensor of own) tensor.dispose();
      return weights;
    };
    expect(start(potQ)).toEqual(values);
    const ofAdd = start(add);
    expect(rms(ofAdd)).toBeCloseTo(1, 5);
    expect(
      relativeError(
        ofAdd,
        values.map((v) => v / rms(values)),
      ),
    ).toBeLessThan(1e-6);
    const planes = start(potPs);
    values.forEach((v, i) => expect(planes[i]).toBeCloseTo(Math.log2(Math.abs(v)), 4));
    shared.dispose();
  });

  it.each(['add', 'pot.q'])('of %s has the gradients of central differences', (name) => {
    const count = 12;
    const map = piecewiseSharing(familyNamed(name), count);
    // The ends of the range are pinned by two values; the others keep away from borders.
    const inside = Array.from(
      normals(60, 'inside'),
      (v, i) => Math.floor(6 + 2 * v) + 0.2 + 0.6 * ((i % 7) / 7),
    );
    const places = [0, ...inside.map((v) => Math.min(11.8, Math.max(0.2, v))), 12];
    const points = Float32Array.from(places, (v) => (v - 6) / 4);
    const factors = normals(count, 'factors 2');
    const coefficients = normals(points.length, 'dW');
    const [low, high] = [points[0]!, points.at(-1)!];
    const [s64, a64] = [array64([points.length], points), array64([count], factors)];
    const scale = name === 'add' ? 1 / rms(points) : 1;
    const loss = (): number =>
      s64.data.reduce((total, value, i) => {
        const at = Math.min(count - 1, Math.max(0, Math.floor(((value - low) * count) / (high - low))));
        return total + coefficients[i]! * scale * a64.data[at]! * value;
      }, 0);
    const shared = Tensor.persistent([points.length], points, true);
    const own = [Tensor.persistent([count], factors, true)];
    gradients(map, shared, own, coefficients);
    expect(relativeError(shared.gradient!, centralDifferences(loss, s64.data))).toBeLessThan(1e-5);
    expect(relativeError(own[0]!.gradient!, centralDifferences(loss, a64.data))).toBeLessThan(1e-5);
    for (const tensor of [shared, ...own]) tensor.dispose();
  });

  it('gives a value the same weight in every cut of the tensor', () => {
    const factors = normals(100, 'factors 3');
    const own = [Tensor.persistent([100], factors)];
    const whole = Tensor.persistent([1, 1, 20, 20], values);
    const part = Tensor.persistent([1, 1, 5, 5], values.slice(0, 25));
    for (const map of [piecewiseSharing(add, 100), publishedPiecewiseSharing(add)]) {
      const wide = mapped(map, whole, own);
      expect(mapped(map, part, own, values)).toEqual(wide.slice(0, 25));
      expect(mapped(map, part, own)).not.toEqual(wide.slice(0, 25));
    }
    for (const tensor of [whole, part, ...own]) tensor.dispose();
  });

  it('takes equal values as one segment', () => {
    const shared = Tensor.persistent([4], [0.5, 0.5, 0.5, 0.5]);
    const own = [Tensor.persistent([3], [2, 5, 7])];
    expect([...mapped(piecewiseSharing(potQ, 3), shared, own)]).toEqual([1, 1, 1, 1]);
    for (const tensor of [shared, ...own]) tensor.dispose();
  });

  it('is there for every family that says so, and the closed form for the others', () => {
    for (const family of listFamilies()) {
      const has = family.piecewise !== undefined;
      expect(piecewiseSharing(family, 9) === family.sharing, family.name).toBe(!has);
      expect(publishedPiecewiseSharing(family) === family.sharing, family.name).toBe(!has);
    }
    expect(listFamilies().filter(({ piecewise }) => piecewise !== undefined).length).toBeGreaterThan(8);
    expect(conv.piecewise).toBeUndefined();
  });

  it('passes NaN on and gives all buffers back', () => {
    const before = poolUsage().usedBytes;
    const shared = Tensor.persistent([3], [1, Number.NaN, -1], true);
    const own = [Tensor.persistent([100], new Float32Array(100).fill(1), true)];
    expect([...mapped(piecewiseSharing(potQ, 100), shared, own)]).toEqual([1, NaN, -1]);
    gradients(piecewiseSharing(potQ, 100), shared, own, Float32Array.of(1, 1, 1));
    for (const tensor of [shared, ...own]) tensor.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });
});

describe('the map as released', () => {
  it.each(['add', 'pot.q'])('of %s is the sum over half-open masks: the largest value becomes 0', (name) => {
    const factors = normals(publishedSegments, 'released');
    const shared = Tensor.persistent([1, 1, 20, 20], values);
    const own = [Tensor.persistent([publishedSegments], factors)];
    const map = publishedPiecewiseSharing(familyNamed(name));
    const weights = mapped(map, shared, own);
    const expected = byMasks(values, factors, masks(values, values, publishedSegments, false));
    expect(relativeError(weights, expected)).toBeLessThan(1e-6);
    expect(weights[values.indexOf(Math.max(...values))]).toBe(0);
    expect(weights.filter((w) => w === 0)).toHaveLength(1);
    expect(map.parameters).toEqual([{ name: 'factors', initial: 0, deviation: 1, count: 100 }]);
    for (const tensor of [shared, ...own]) tensor.dispose();
  });

  it('sends add and pot.q gradients to the shared tensor, and nothing by its largest value', () => {
    for (const family of [add, potQ]) {
      const shared = Tensor.persistent([400], values, true);
      const own = [Tensor.persistent([100], normals(100, 'released 2'), true)];
      const coefficients = normals(400, 'released dW');
      gradients(publishedPiecewiseSharing(family), shared, own, coefficients);
      const segments = masks(values, values, 100, false);
      expect(relativeError(shared.gradient!, byMasks(coefficients, own[0]!.data, segments))).toBeLessThan(
        1e-6,
      );
      const ofFactors = segments.map((mask) =>
        mask.reduce((total, inside, i) => total + (inside ? values[i]! * coefficients[i]! : 0), 0),
      );
      expect(relativeError(own[0]!.gradient!, ofFactors)).toBeLessThan(1e-5);
      for (const tensor of [shared, ...own]) tensor.dispose();
    }
  });

  it('of pot.ps has factors for exponents and for signs, and no gradient to the shared tensor', () => {
    const map = publishedPiecewiseSharing(potPs);
    expect(map.parameters.map(({ name }) => name)).toEqual(['factors1', 'factors2']);
    const shared = Tensor.persistent([400], values, true);
    const own = [1, 2].map((plane) => Tensor.persistent([100], normals(100, 'plane', plane), true));
    const coefficients = normals(800, 'planes dW');
    const segments = masks(values, values, 100, false);
    const stored = mapped(map, shared, own);
    gradients(map, shared, own, coefficients);
    own.forEach((factors, plane) => {
      const part = <T extends Float32Array>(of: T): Float32Array =>
        of.subarray(400 * plane, 400 * (plane + 1));
      expect(relativeError(part(stored), byMasks(values, factors.data, segments))).toBeLessThan(1e-6);
      const expected = segments.map((mask) =>
        mask.reduce((total, inside, i) => total + (inside ? values[i]! * part(coefficients)[i]! : 0), 0),
      );
      expect(relativeError(factors.gradient!, expected)).toBeLessThan(1e-5);
    });
    expect(shared.gradient).toBeUndefined();
    for (const tensor of [shared, ...own]) tensor.dispose();
  });

  it('starts with 76 % of the exponents of pot.ps at 0, 17 % at -1 and 6 % below (cv-search 3)', () => {
    const count = 100_000;
    const shared = Tensor.persistent([count], normals(count, 'exponents'));
    const parts = [0, 0, 0];
    const trials = 20;
    for (let trial = 0; trial < trials; trial++) {
      const own = [1, 2].map((plane) => Tensor.persistent([100], normals(100, 'trial', trial, plane)));
      const exponents = mapped(publishedPiecewiseSharing(potPs), shared, own).subarray(0, count);
      for (const exponent of exponents)
        parts[Math.min(2, -Math.round(Math.min(0, exponent)) + 0)]! += 1 / (count * trials);
      for (const tensor of own) tensor.dispose();
    }
    expect(parts[0]).toBeCloseTo(0.76, 1);
    expect(parts[1]).toBeCloseTo(0.17, 1);
    expect(parts[2]).toBeCloseTo(0.06, 1);
    shared.dispose();
  });
});
