import { describe, expect, it } from 'vitest';
import { OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { estimateLayer, loadProfile, Primitive, type LayerDescription } from '../../hardware/index.js';
import { storedBits } from '../../hardware/memory/footprint.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { layersOfGraph } from '../../nn/onnx/priced-layers.js';
import { decodeOnnx } from '../../nn/onnx/read.js';
import { runOnnx } from '../../nn/onnx/run-onnx.cases.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry } from '../contract.js';
import { transposed } from '../families.cases.js';
import { OperatorLayer } from '../layer.js';
import { familyNamed, listFamilies } from '../registry.js';
import { deviationOf } from '../statistics.js';
import { quantisationProblem } from './family.js';

const geometry: LayerGeometry = {
  ...{ inChannels: 8, outChannels: 12, kernel: 3, stride: 1, padding: 1, groups: 1 },
};
const widths = Array.from({ length: 15 }, (_, i) => i + 2);
const layerOf = (name: string, at = geometry): OperatorLayer =>
  new OperatorLayer('layer', familyNamed(name), at, Random.stream('few bits'));
const inputs = (label: string): Float32Array => normals(2 * 6 * 5 * 8, label);
const outputOf = (layer: OperatorLayer, x: Float32Array): Float32Array => {
  const y = tidy(() => layer.forward(Tensor.view([2, 6, 5, 8], x)));
  const values = y.data.slice();
  y.dispose();
  return values;
};

describe('the name of a family', () => {
  it('with a width makes it of the registered one, the same object each time', () => {
    const family = familyNamed('conv.int4');
    expect(familyNamed('conv.int4')).toBe(family);
    expect(family).toMatchObject({
      ...{ name: 'conv.int4', shortName: 'conv-int4', title: 'Convolution, int4' },
      operandBits: { weight: 4, activation: 4, partialSum: 32 },
    });
    expect(familyNamed('add.int6').title).toBe('Add, int6 (AdderNet)');
    // The weights of shift layers keep their sign and exponent.
    expect(familyNamed('pot.q.int4').operandBits).toEqual({ weight: 5, activation: 4, partialSum: 32 });
    expect(familyNamed('pot.dense2.int8').operandBits.weight).toBe(2);
    const looks = [familyNamed('conv'), ...widths.map((bits) => familyNamed(`conv.int${bits}`))];
    expect(new Set(looks.map(({ shortName }) => shortName)).size).toBe(looks.length);
    const red = looks.slice(1).map(({ colour }) => Number.parseInt(colour.slice(1, 3), 16));
    expect(red).toEqual(red.toSorted((a, b) => b - a));
    expect(familyNamed('conv.int16').colour).toBe(familyNamed('conv').colour);
    expect(listFamilies()).not.toContain(family);
  });

  it('is refused in one line for other widths, and for families for which they mean nothing', () => {
    const cases: [string, RegExp][] = [
      ['conv.int08', /unknown operator family 'conv\.int08'/],
      ['conv.int1', /'conv\.int1': operands have 2 to 16 bits$/],
      ['conv.int17', /operands have 2 to 16 bits/],
      ['conv.int4.int4', /unknown operator family 'conv\.int4\.int4'/],
      ['binary.int4', /'binary\.int4': binary layers have no operands of few bits: only plain sums/],
      ['attention.int8', /no operands of few bits/],
      ['shiftadd.int8', /no operands of few bits/],
      ['displace.int8', /no operands of few bits/],
      ['add.lp.int8', /no operands of few bits/],
      ['xor.int4', /unknown operator family 'xor\.int4'; known: conv, .*such as conv\.int8/],
    ];
    for (const [name, message] of cases) {
      expect(() => familyNamed(name)).toThrow(OptionError);
      expect(() => familyNamed(name)).toThrow(message);
      expect(() => familyNamed(name)).toThrow(/^[^\n]*$/);
    }
    expect(quantisationProblem(familyNamed('conv.int4'))).toMatch(/already/);
  });

  it('is there for every family that is one plain sum', () => {
    const can = listFamilies()
      .filter((family) => quantisationProblem(family) === undefined)
      .map(({ name }) => name);
    expect(can).toEqual([
      ...['conv', 'pot.q', 'pot.q.nearest', 'pot.ps', 'pot.ps.compat', 'pot.dense', 'pot.dense2'],
      ...['pot.dense4', 'pot.s3', 'add', 'add.sign'],
    ]);
  });
});

describe('a layer of few bits', () => {
  it.each(['conv', 'add', 'pot.q'])('of %s nears the wide one as bits grow', (base) => {
    const wide = layerOf(base);
    const x = inputs(base);
    const expected = outputOf(wide, x);
    const errors = [4, 6, 8, 10, 12].map((bits) => {
      const layer = layerOf(`${base}.int${bits}`);
      layer.weight.data.set(wide.weight.data);
      return relativeError(outputOf(layer, x), expected);
    });
    // Two bits more divide the steps by about 3.6, and the error with them.
    for (let i = 1; i < errors.length; i++) expect(errors[i]! / errors[i - 1]!).toBeLessThan(0.45);
    expect(errors.at(-1)!).toBeLessThan(2e-3);
  });

  it('computes with whole numbers of steps, few of them different', () => {
    const layer = layerOf('conv.int3');
    const [, , { tensor: step }] = layer.parameters as [never, never, OperatorLayer['parameters'][0]];
    const codes = [...layer.effectiveWeights()].map((w) => w / step.data[0]!);
    for (const code of codes) expect(Math.abs(code - Math.round(code))).toBeLessThan(1e-5);
    const different = new Set(codes.map((code) => Math.round(code) + 0));
    expect([...different].sort((a, b) => a - b)).toEqual([-4, -3, -2, -1, 0, 1, 2, 3]);
  });

  it('starts the step of its weights at their own scale, and that of its inputs by whether they have a sign', () => {
    const steps = (name: string, at: LayerGeometry): readonly number[] =>
      layerOf(name, at)
        .parameters.slice(1)
        .map(({ tensor }) => tensor.data[0]!);
    const [input, weight] = steps('conv.int8', geometry) as [number, number];
    // Of 864 weights drawn twice the deviations differ by a few hundredths.
    expect(Math.abs(weight / input / deviationOf(layerOf('conv').weight.data) - 1)).toBeLessThan(0.1);
    const [unsigned] = steps('conv.int8', { ...geometry, nonNegativeInput: true }) as [number];
    expect(unsigned / input).toBeGreaterThan(0.5);
    expect(unsigned / input).toBeLessThan(0.6);
    expect(steps('add.int8', geometry)).toEqual([input]);
    expect(steps('pot.q.int8', geometry)).toEqual([input]);
  });

  it('learns its steps, without decay, and they stay above zero', () => {
    for (const name of ['conv.int4', 'add.int4', 'pot.q.int4']) {
      const layer = layerOf(name);
      const own = layer.parameters.slice(1);
      expect(own.map(({ decay }) => decay)).toEqual(own.map(() => false));
      const { value, tape } = Tape.record(() =>
        sum(layer.forward(Tensor.view([2, 6, 5, 8], inputs('learn')))),
      );
      tape.backward(value);
      for (const { tensor } of own) {
        expect(Math.abs(tensor.gradient![0]!)).toBeGreaterThan(0);
        tensor.data[0] = -1;
      }
      layer.project();
      for (const { tensor } of own) expect(tensor.data[0]).toBeGreaterThan(0);
    }
  });

  it.each(['conv.int4', 'add.int6', 'pot.q.int8'])('of %s can be pruned, and exported so', async (name) => {
    const layer = layerOf(name);
    const { length } = layer.weight.data;
    const x = inputs('pruned');
    const whole = outputOf(layer, x);
    layer.setMask(new Float32Array(length).fill(1));
    expect(relativeError(outputOf(layer, x), whole)).toBeLessThan(2e-6);
    layer.setMask(Float32Array.from({ length }, (_, i) => (i % 3 === 0 ? 0 : 1)));
    const y = outputOf(layer, x);
    expect(relativeError(y, whole)).toBeGreaterThan(0.05);
    const graph = new OnnxGraph('layer');
    graph.output(layer.lower(graph, graph.input('x', [2, 8, 6, 5])));
    const results = await runOnnx(encodeOnnx(graph), {
      x: { dims: [2, 8, 6, 5], data: transposed(x, [2, 6, 5, 8]) },
    });
    expect(relativeError(results.get('layer')!.data, transposed(y, [2, 6, 5, 12]))).toBeLessThan(3e-6);
  });
});

describe('the price of few bits', () => {
  const described = (name: string): LayerDescription => {
    const { primitive, operandBits } = familyNamed(name);
    return {
      ...{ name: 'layer', primitive, operandBits, fullyConnected: false, batch: 1 },
      ...{ inHeight: 16, inWidth: 16, inChannels: 32, kernel: 3, outHeight: 16, outWidth: 16 },
      ...{ outChannels: 32, stride: 1, groups: 1 },
    };
  };

  it.each(['fair', 'fair-int8'])(
    'never falls with more bits, and is below that of wide operands under %s',
    (name) => {
      const profile = loadProfile(name);
      for (const base of ['conv', 'add', 'pot.q', 'pot.dense2']) {
        const energies = widths.map(
          (bits) => estimateLayer(described(`${base}.int${bits}`), profile).energyMj,
        );
        const wide = estimateLayer(described(base), profile).energyMj;
        expect(energies).toEqual(energies.toSorted((a, b) => a - b));
        expect(energies.at(-1)).toBeLessThanOrEqual(wide);
        expect(energies[2]!).toBeLessThan(energies[6]!);
        // Under fair-int8 everything is 8 bits already.
        if (name === 'fair-int8') expect(energies[6]).toBe(wide);
        else expect(energies[6]!).toBeLessThan(wide);
      }
    },
  );

  it('of an operation goes with both widths of a product, with one of a shift or a distance', () => {
    const profile = loadProfile('fair-int8');
    const perOperation = (name: string): number => {
      const cost = estimateLayer(described(name), profile);
      return (cost.byLevel.computeMj * 1e9) / cost.operations;
    };
    const accumulate = 0.1;
    expect(perOperation('conv.int8')).toBeCloseTo(0.2 + accumulate, 12);
    expect(perOperation('conv.int4')).toBeCloseTo(0.2 / 4 + accumulate, 12);
    expect(perOperation('conv.int2')).toBeCloseTo(0.2 / 16 + accumulate, 12);
    expect(perOperation('add.int4')).toBeCloseTo(0.06 / 2 + accumulate, 12);
    expect(perOperation('pot.q.int4')).toBeCloseTo(0.024 / 2 + accumulate, 12);
    expect(storedBits(described('conv.int4'), profile)).toEqual({ weight: 4, activation: 4, partialSum: 32 });
  });
});

describe('few bits in ONNX', () => {
  it('are read back at their widths', () => {
    const widthsOf = (name: string): unknown => {
      const layer = layerOf(name);
      const graph = new OnnxGraph('layer');
      graph.output(layer.lower(graph, graph.input('x', [1, 8, 6, 5])));
      const { layers, unpriced } = layersOfGraph(decodeOnnx(encodeOnnx(graph), 'few.onnx'));
      expect(unpriced).toEqual([]);
      return layers.map(({ primitive, operandBits: { weight, activation } }) => [
        primitive,
        weight,
        activation,
      ]);
    };
    expect(widthsOf('conv.int8')).toEqual([[Primitive.Multiply, 8, 8]]);
    expect(widthsOf('conv.int4')).toEqual([[Primitive.Multiply, 4, 4]]);
    expect(widthsOf('conv.int2')).toEqual([[Primitive.Multiply, 2, 2]]);
    expect(widthsOf('add.int6')).toEqual([[Primitive.Add, 6, 6]]);
    expect(widthsOf('pot.q.int4')).toEqual([[Primitive.Shift, 5, 4]]);
    // The weights are floats there.
    expect(widthsOf('conv.int12')).toEqual([[Primitive.Multiply, 32, 12]]);
  });
});
