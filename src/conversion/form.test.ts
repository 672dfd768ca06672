/**
 * Forms of converted layers: the float simulation against integer arithmetic and against ONNX Runtime.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { encodeOnnx } from '../nn/onnx/encode.js';
import { OnnxGraph } from '../nn/onnx/graph.js';
import { runOnnx } from '../nn/onnx/run-onnx.cases.js';
import { add } from '../operators/add/family.js';
import type { LayerGeometry, WindowSum } from '../operators/contract.js';
import { conv } from '../operators/conv/family.js';
import { OperatorLayer } from '../operators/layer.js';
import { inScope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';
import { applyRecord } from './convert.js';
import { convertLayer, type LayerMethod } from './convert-layer.js';
import { integerFormOf } from './form.js';
import { codeOf, rangeOf, roundToGrid, signedGrid, unsignedGrid } from './grid.js';
import { activationGrid, filterScales, productAccumulatorBits } from './integers.js';
import type { ConvertibleLayer } from './layers.js';
import { parseMethod } from './methods.js';
import { RecordKind, type LayerRecord } from './record.js';

const [batch, height, width] = [2, 7, 6];

/** A layer, converted, with inputs behind a ReLU. */
function converted(method: string, geometry: LayerGeometry, signed = false) {
  const family = method.startsWith('add') ? add : conv;
  const layer = new OperatorLayer('layer', family, geometry, Random.stream('form', method));
  const face: ConvertibleLayer = {
    name: 'layer',
    windowSum: family.windowSum as WindowSum,
    geometry,
    family,
    weights: layer.parameters[0]!.tensor.data,
    get form() {
      return layer.form;
    },
    set form(form) {
      layer.form = form;
    },
  };
  const random = Random.stream('inputs', method);
  const x = Float32Array.from({ length: batch * height * width * geometry.inChannels }, () => {
    const value = random.normal();
    return signed ? value : Math.max(0, value);
  });
  const least = Math.min(0, ...x);
  const largest = Math.max(...x.map(Math.abs));
  const evidence = {
    range: { least, largest, percentile: (p: number) => (p === 100 ? largest : 0.9 * largest) },
  };
  const record: LayerRecord = convertLayer(face, parseMethod(method) as LayerMethod, () => evidence);
  applyRecord(face, record);
  return { layer, face, record, x };
}

function outputOf(layer: OperatorLayer, x: Float32Array): { shape: readonly number[]; data: Float32Array } {
  const owned: { dispose(): void }[] = [];
  try {
    return inScope({ add: (temporary) => owned.push(temporary) }, () => {
      const { shape, data } = layer.forward(
        Tensor.view([batch, height, width, layer.geometry.inChannels], x),
      );
      return { shape, data: data.slice() };
    });
  } finally {
    for (const temporary of owned) temporary.dispose();
  }
}

const dense: LayerGeometry = { inChannels: 6, outChannels: 8, kernel: 3, stride: 2, padding: 1, groups: 1 };
const depthwise: LayerGeometry = {
  inChannels: 6,
  outChannels: 6,
  kernel: 3,
  stride: 1,
  padding: 1,
  groups: 6,
};

const exact = [
  ['int8+pow2', dense],
  ['int8+pow2', depthwise],
  ['int6+pow2+clip99', dense],
  ['int4+pow2', dense],
  ['add.int8+pow2', dense],
  ['add.int8+pow2', depthwise],
  ['add.int6+pow2+clip99', dense],
  ['add.int4+pow2', dense],
  ['add.int4+pow2+clamp', dense],
  ['add.int8+pow2+clamp', depthwise],
  ['add.int4+pow2+groups3', dense],
  ['add.int4+pow2+groupsall', dense],
] as const;

describe('integer arithmetic', () => {
  it.each(exact)('%s is what the floats simulate, to the bit', (method, geometry) => {
    for (const signed of [false, true]) {
      const { layer, face, record, x } = converted(method, geometry, signed);
      const simulated = outputOf(layer, x);
      if (record.kind !== RecordKind.Integers && record.kind !== RecordKind.Distances)
        throw new Error('no integers');
      layer.form = integerFormOf(record, face);
      const integers = outputOf(layer, x);
      expect(integers.shape).toEqual(simulated.shape);
      // Minus zero and zero are one number here.
      expect(integers.data.map((v) => v + 0)).toEqual(simulated.data.map((v) => v + 0));
      expect(new Set(integers.data).size).toBeGreaterThan(8);
    }
  });

  it.each(['int8', 'add.int8', 'add.int4+clamp'])('%s at any scale is as near as float32 gets', (method) => {
    const { layer, face, record, x } = converted(method, dense);
    const simulated = outputOf(layer, x).data;
    if (record.kind !== RecordKind.Integers && record.kind !== RecordKind.Distances)
      throw new Error('no integers');
    layer.form = integerFormOf(record, face);
    outputOf(layer, x).data.forEach((value, i) =>
      expect(Math.abs(value - simulated[i]!)).toBeLessThan(1e-5 * (1 + Math.abs(value))),
    );
  });

  it('products of codes need the bits that are stated for them', () => {
    expect(productAccumulatorBits(8, unsignedGrid(1, 8), 1)).toBe(1 + 15);
    expect(productAccumulatorBits(8, signedGrid(1, 8), 576)).toBe(1 + 24);
  });
});

describe('exported', () => {
  it.each([...exact, ['int8', dense] as const, ['add.int6+clamp', dense] as const])(
    '%s computes the same in ONNX Runtime',
    async (method, geometry) => {
      const { layer, x } = converted(method, geometry, true);
      const graph = new OnnxGraph('layer');
      const input = graph.input('x', [batch, geometry.inChannels, height, width]);
      graph.output(layer.lower(graph, input));
      const { inChannels, outChannels } = geometry;
      const planes = new Float32Array(x.length);
      for (let n = 0; n < batch; n++)
        for (let p = 0; p < height * width; p++)
          for (let c = 0; c < inChannels; c++)
            planes[(n * inChannels + c) * height * width + p] = x[(n * height * width + p) * inChannels + c]!;
      const feeds = { x: { dims: [batch, inChannels, height, width], data: planes } };
      const output = (await runOnnx(encodeOnnx(graph), feeds)).get('layer')!;
      const own = outputOf(layer, x).data;
      const positions = own.length / batch / outChannels;
      for (let n = 0; n < batch; n++)
        for (let p = 0; p < positions; p++)
          for (let c = 0; c < outChannels; c++) {
            const theirs = output.data[(n * outChannels + c) * positions + p]!;
            const ours = own[(n * positions + p) * outChannels + c]!;
            expect(Math.abs(theirs - ours)).toBeLessThan(1e-5 * (1 + Math.abs(ours)));
          }
    },
  );
});

describe('rounding to a grid', () => {
  const grids = fc
    .record({
      scale: fc.constantFrom(0.25, 0.1, 1 / 3, 2),
      bits: fc.constantFrom(4, 8),
      signed: fc.boolean(),
    })
    .map(({ scale, bits, signed }) => (signed ? signedGrid : unsignedGrid)(Math.fround(scale), bits));

  it('is idempotent, stays on the grid, and is the simulation of the codes', () => {
    fc.assert(
      fc.property(
        grids,
        fc.array(fc.float({ min: -600, max: 600, noNaN: true }), { minLength: 1, maxLength: 20 }),
        (grid, values) => {
          const { low, high } = rangeOf(grid);
          const x = Tensor.persistent([values.length], values);
          const once = roundToGrid(x, grid);
          const twice = roundToGrid(once, grid);
          expect(twice.data).toEqual(once.data);
          values.forEach((value, i) => {
            expect(once.data[i]! + 0).toBe(Math.fround(codeOf(Math.fround(value), grid) * grid.scale) + 0);
            const inside = Math.max(low, Math.min(high, value));
            expect(Math.abs(once.data[i]! - inside)).toBeLessThanOrEqual(0.5001 * grid.scale + 1e-5);
          });
          for (const tensor of [x, once, twice]) tensor.dispose();
        },
      ),
    );
  });

  it('halves go to the even code, as in ONNX', () => {
    const grid = signedGrid(1, 8);
    expect([0.5, 1.5, 2.5, -0.5, -1.5].map((v) => codeOf(v, grid) + 0)).toEqual([0, 2, 2, 0, -2]);
  });

  it('inputs that are never negative use all codes for what is positive', () => {
    expect(activationGrid({ least: 0, largest: 5.1 }, 8, false)).toMatchObject({ least: 0, most: 255 });
    expect(activationGrid({ least: -1, largest: 5.1 }, 8, false)).toMatchObject({ least: -128, most: 127 });
  });

  it('the scale of a filter is the best of those tried, never worse than the whole range', () => {
    const random = Random.stream('scales');
    const weights = Float64Array.from({ length: 90 }, () => random.normal());
    for (const bits of [8, 4]) {
      const most = 2 ** (bits - 1) - 1;
      const error = (scale: number): number =>
        weights.reduce(
          (sum, w) => sum + (w - scale * Math.max(-most, Math.min(most, Math.round(w / scale)))) ** 2,
          0,
        );
      const whole = Math.max(...weights.map(Math.abs)) / most;
      const [best] = filterScales(weights, 1, bits, false);
      expect(error(best!)).toBeLessThanOrEqual(error(whole) * (1 + 1e-6));
      const [power] = filterScales(weights, 1, bits, true);
      expect(Number.isInteger(Math.log2(power!))).toBe(true);
    }
  });
});
