import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { distanceVariance } from '../../operators/add/masking.js';
import { OperatorLayer, weightShape } from '../../operators/layer.js';
import { familyNamed, listFamilies } from '../../operators/registry.js';
import { array64, eachTap, normals, relativeError, type Array64 } from '../../tensor/float64.cases.js';
import { sizeOf } from '../../tensor/shape.js';
import { Tape } from '../../tensor/tape.js';
import { sum } from '../../tensor/ops/reduction.js';
import { mul } from '../../tensor/ops/binary.js';
import { Tensor } from '../../tensor/tensor.js';
import { maskPruning, prunedLayers, prunedPart, removeLeast } from './mask-pruning.js';

const geometries = {
  '3x3': { inChannels: 4, outChannels: 6, kernel: 3, stride: 1, padding: 1, groups: 1 },
  'stride 2, groups': { inChannels: 4, outChannels: 6, kernel: 3, stride: 2, padding: 1, groups: 2 },
  '1x1': { inChannels: 5, outChannels: 4, kernel: 1, stride: 1, padding: 0, groups: 1 },
};
type Geometry = (typeof geometries)['3x3'];

function maskOf(geometry: Geometry, label: string): Float32Array {
  return normals(sizeOf(weightShape(geometry)), label, 'mask').map((v) => (v > 0.3 ? 0 : 1));
}

interface Terms {
  readonly term: (x: number, w: number) => number;
  readonly inputRule: (x: number, w: number) => number;
  readonly weightRule: (x: number, w: number) => number;
}
const clamp = (v: number): number => Math.min(1, Math.max(-1, v));
const product: Terms = { term: (x, w) => x * w, inputRule: (_, w) => w, weightRule: (x) => x };
const distance: Terms = {
  term: (x, w) => -Math.abs(x - w),
  inputRule: (x, w) => clamp(w - x),
  weightRule: (x, w) => x - w,
};

/** The sums over the kept terms alone, written plainly. */
function kept64(
  rules: Terms,
  x: Array64,
  w: Array64,
  mask: Float32Array,
  dy: Float32Array | undefined,
  geometry: Geometry,
) {
  const [y, dx, dw] = [
    new Map<number, number>(),
    new Float64Array(x.data.length),
    new Float64Array(w.data.length),
  ];
  eachTap(x, w, geometry, (from, tap, to) => {
    const [value, weight] = [from < 0 ? 0 : x.data[from]!, w.data[tap]!];
    y.set(to, (y.get(to) ?? 0) + (mask[tap] === 0 ? 0 : rules.term(value, weight)));
    if (mask[tap] === 0 || dy === undefined) return;
    if (from >= 0) dx[from]! += dy[to]! * rules.inputRule(value, weight);
    dw[tap]! += dy[to]! * rules.weightRule(value, weight);
  });
  return { y: Float64Array.from({ length: y.size }, (_, i) => y.get(i)!), dx, dw };
}

const maskable = listFamilies().filter(({ masking }) => masking !== undefined);

describe('a masked layer', () => {
  it('is offered by the families that have a term of zero, and by additions', () => {
    expect(maskable.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['conv', 'pot.q', 'pot.ps', 'pot.s3', 'add']),
    );
    for (const name of ['pot.dense', 'binary', 'shiftadd']) {
      const layer = new OperatorLayer('layer', familyNamed(name), geometries['3x3'], Random.stream(name));
      expect(() => layer.setMask(maskOf(geometries['3x3'], name))).toThrow(OptionError);
      for (const { tensor } of layer.parameters) tensor.dispose();
    }
  });

  describe.each(maskable)('of $name', (family) => {
    it.each(Object.entries(geometries))(
      'sums the kept terms alone, forward, backward and in ONNX: %s',
      async (label, geometry) => {
        const layer = new OperatorLayer('layer', family, geometry, Random.stream(label, family.name));
        const mask = maskOf(geometry, label);
        expect(mask.includes(0) && mask.includes(1)).toBe(true);
        layer.setMask(mask);
        const shape = [2, 6, 5, geometry.inChannels] as const;
        // Many inputs within 1 of zero and beyond it, where the clamp of an addition's gradient is and is not.
        const values = normals(sizeOf(shape), label, 'x').map((v) => 1.5 * v);
        const x = Tensor.persistent(shape, values, true);
        const weights = array64(weightShape(geometry), layer.effectiveWeights());
        const rules = family.name.startsWith('add') ? distance : product;
        const plain = kept64(rules, array64(shape, values), weights, mask, undefined, geometry);
        const dy = normals(plain.y.length, label, 'dy');
        const { value, tape } = Tape.record(() => {
          const y = layer.forward(x);
          expect(relativeError(y.data, plain.y)).toBeLessThan(1e-5);
          return sum(mul(y, Tensor.view(y.shape, dy)));
        });
        tape.backward(value);
        const expected = kept64(rules, array64(shape, values), weights, mask, dy, geometry);
        expect(relativeError(x.gradient!, expected.dx)).toBeLessThan(1e-5);
        if (family.planes === undefined)
          expect(relativeError(layer.weight.gradient!, expected.dw)).toBeLessThan(1e-5);
        const graph = new OnnxGraph('masked');
        const [count, height, width, channels] = shape;
        const output = layer.lower(graph, graph.input('x', [...shape.slice(0, 1), channels, height, width]));
        graph.output(graph.node('Identity', [output], {}, { name: 'y' }), [
          'n',
          geometry.outChannels,
          'h',
          'w',
        ]);
        const nchw = Float32Array.from({ length: values.length }, (_, i) => {
          const [w, rest] = [i % width, Math.floor(i / width)];
          const [h, above] = [rest % height, Math.floor(rest / height)];
          const [c, n] = [above % channels, Math.floor(above / channels)];
          return values[((n * height + h) * width + w) * channels + c]!;
        });
        const run = await runOnnx(encodeOnnx(graph), {
          x: { dims: [count, channels, height, width], data: nchw },
        });
        const y = run.get('y')!;
        const [, out, outHeight, outWidth] = y.dims as [number, number, number, number];
        const back = Float64Array.from({ length: y.data.length }, (_, i) => {
          const [o, rest] = [i % out, Math.floor(i / out)];
          const [w, above] = [rest % outWidth, Math.floor(rest / outWidth)];
          const [h, n] = [above % outHeight, Math.floor(above / outHeight)];
          return y.data[((n * out + o) * outHeight + h) * outWidth + w]!;
        });
        expect(relativeError(back, plain.y)).toBeLessThan(1e-5);
        layer.setMask(undefined);
        for (const { tensor } of [...layer.parameters, { tensor: x }]) tensor.dispose();
      },
    );
  });
});

describe('what matters', () => {
  it('of an addition is the variance of its distance', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 40 }),
        fc.double({ min: -6, max: 6, noNaN: true }),
        (inputs, w) => {
          const distances = inputs.map((x) => Math.abs(x - w));
          const mean = distances.reduce((total, v) => total + v, 0) / inputs.length;
          const naive = distances.reduce((total, v) => total + (v - mean) ** 2, 0) / inputs.length;
          expect(distanceVariance(Float64Array.from(inputs).sort())(w)).toBeCloseTo(naive, 9);
        },
      ),
    );
  });

  it('is told for the channel that a weight reads, groups and all', () => {
    const geometry = { inChannels: 4, outChannels: 2, kernel: 1, stride: 1, padding: 0, groups: 2 };
    // Channel c holds +-c.
    const x = Float32Array.from({ length: 80 }, (_, i) => (Math.floor(i / 4) % 2 ? 1 : -1) * (i % 4));
    const far = new Float32Array(4).fill(10);
    expect([...familyNamed('add').masking!.importance(far, geometry, x)].map((v) => Math.round(v))).toEqual([
      0, 4, 1, 9,
    ]);
  });

  it('of a multiplication or shift is the magnitude of its weight', () => {
    const geometry = geometries['1x1'];
    for (const name of ['conv', 'pot.q', 'pot.ps', 'pot.s3']) {
      const family = familyNamed(name);
      const weights = family.initialWeights(geometry, Random.stream(name));
      const expected = family.effectiveWeights(weights).map(Math.abs);
      expect(family.masking!.importance(weights, geometry, new Float32Array(5))).toEqual(expected);
    }
  });
});

describe('removal', () => {
  it('takes exactly as many as asked, those that matter least, and never puts one back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 5 })), { minLength: 1, maxLength: 60 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (entries, part) => {
          const mask = Float32Array.from(entries, ([kept]) => (kept ? 1 : 0));
          const before = mask.slice();
          const importance = Float32Array.from(entries, ([, value]) => value);
          const gone = Math.floor(part * mask.length);
          removeLeast(mask, importance, gone);
          const zeros = (values: Float32Array): number => values.filter((v) => v === 0).length;
          expect(zeros(mask)).toBe(Math.max(gone, zeros(before)));
          const removedNow = [...mask.keys()].filter((i) => before[i] === 1 && mask[i] === 0);
          const stayed = [...mask.keys()].filter((i) => mask[i] === 1);
          mask.forEach((v, i) => expect(v <= before[i]!).toBe(true));
          for (const i of removedNow)
            for (const j of stayed) expect(importance[i]! <= importance[j]!).toBe(true);
        },
      ),
    );
  });

  it('follows the cubic of Zhu and Gupta', () => {
    const settings = { ratio: 0.8, from: 0.25, until: 0.75, every: 1 };
    for (let step = 0; step < 100; step++) {
      const t = Math.min(1, Math.max(0, (step - 25) / 50));
      expect(prunedPart(settings, step, 100)).toBeCloseTo(0.8 + (0 - 0.8) * (1 - t) ** 3, 12);
    }
    expect(prunedPart({ ...settings, from: 0.5, until: 0.5 }, 50, 100)).toBe(0.8);
  });

  it('ends at the ratio in every layer but the first, whatever the interval', () => {
    for (const [every, until] of [
      [1, 0.7],
      [7, 0.7],
      [1000, 1],
    ] as const) {
      const layers = ['conv', 'conv', 'add', 'binary'].map(
        (family, i) =>
          new OperatorLayer(`l${i}`, familyNamed(family), geometries['3x3'], Random.stream('end', i)),
      );
      const pruning = maskPruning(layers, { ratio: 0.37, from: 0.2, until, every });
      expect(prunedLayers(layers).map(({ name }) => name)).toEqual(['l1', 'l2']);
      const x = Tensor.view([1, 6, 6, 4], normals(144, 'x'));
      const gone: number[] = [];
      for (let step = 0; step < 30; step++) {
        const place = { step, steps: 30, stepsPerEpoch: 10 };
        pruning.beforeStep!(place);
        for (const layer of layers) layer.forward(x).dispose();
        pruning.afterStep!(place);
        gone.push(layers[2]!.mask?.filter((v) => v === 0).length ?? 0);
      }
      for (const layer of layers.slice(1, 3))
        expect(layer.mask?.filter((v) => v === 0).length).toBe(Math.floor(0.37 * 216));
      expect([layers[0]!.mask, layers[3]!.mask]).toEqual([undefined, undefined]);
      expect(gone.every((count, i) => i === 0 || count >= gone[i - 1]!)).toBe(true);
      pruning.dispose!();
      for (const { parameters } of layers) for (const { tensor } of parameters) tensor.dispose();
    }
  });
});
