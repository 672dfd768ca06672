import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { arrayArea } from '../../hardware/area/array-area.js';
import {
  builtInProfileNames,
  estimate,
  loadProfile,
  operationCount,
  Primitive,
  type LayerDescription,
} from '../../hardware/index.js';
import { costsCsv, readLayerTable } from '../../hardware/csv.js';
import { layerFlash } from '../../hardware/memory/footprint.js';
import { decodeOnnx } from '../../nn/onnx/read.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { layersOfGraph } from '../../nn/onnx/priced-layers.js';
import { normals } from '../../tensor/float64.cases.js';
import { conv2d } from '../../tensor/ops/convolution.js';
import { mul } from '../../tensor/ops/binary.js';
import { sum } from '../../tensor/ops/reduction.js';
import { Tape, tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { layerInput, type LayerGeometry, type LayerOnMap } from '../contract.js';
import { OperatorLayer } from '../layer.js';
import { displace, sourceChannels } from './family.js';

const geometry = (inChannels: number, outChannels: number, kernel: number, stride = 1): LayerGeometry => ({
  ...{ inChannels, outChannels, kernel, stride },
  ...{ padding: Math.floor(kernel / 2), groups: 1 },
});

/** Logits [k, k, 1, out] that choose offset `taps`[o] for output o. */
function choosing(taps: readonly number[], kernel: number): Float32Array {
  const logits = normals(kernel ** 2 * taps.length, 'logits', kernel);
  taps.forEach((tap, o) => (logits[tap * taps.length + o] = 10));
  return logits;
}

const onMap = (at: LayerGeometry, size: number): LayerOnMap => ({
  ...{ fullyConnected: false, batch: 1, inHeight: size, inWidth: size },
  ...{ inChannels: at.inChannels, outChannels: at.outChannels, kernel: at.kernel },
  ...{ outHeight: size / at.stride, outWidth: size / at.stride, stride: at.stride, groups: at.groups },
});

function pricedAs(at: LayerGeometry, size: number): LayerDescription {
  const { name = 'layer', reads, ...part } = displace.parts!(onMap(at, size))[0]!;
  expect(reads).toEqual([layerInput]);
  return { name, ...part };
}

describe('displacement', () => {
  it.each([
    [4, 4, 1],
    [6, 3, 1],
    [3, 8, 2],
  ])(
    '%i -> %i channels, stride %i: is the convolution with its one-hot kernel',
    (inChannels, outChannels, stride) => {
      const at = geometry(inChannels, outChannels, 3, stride);
      const taps = Array.from({ length: outChannels }, (_, o) => (5 * o) % 9);
      const x = Tensor.view([2, 6, 6, inChannels], normals(72 * inChannels, 'x'));
      const y = tidy(() => displace.forward(x, Tensor.view([3, 3, 1, outChannels], choosing(taps, 3)), at));
      const dense = new Float32Array(9 * inChannels * outChannels);
      taps.forEach((tap, o) => (dense[(tap * inChannels + (o % inChannels)) * outChannels + o] = 1));
      const expected = tidy(() => conv2d(x, Tensor.view([3, 3, inChannels, outChannels], dense), at));
      expect(y.data).toEqual(expected.data);
      y.dispose();
      expected.dispose();
    },
  );

  it('moves a map by the offset, with zeros from outside', () => {
    const x = Tensor.view([1, 3, 3, 1], Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9]));
    const moved = (tap: number): number[] => {
      const y = tidy(() =>
        displace.forward(x, Tensor.view([3, 3, 1, 1], choosing([tap], 3)), geometry(1, 1, 3)),
      );
      const values = [...y.data];
      y.dispose();
      return values;
    };
    expect(moved(4)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(moved(0)).toEqual([0, 0, 0, 0, 1, 2, 0, 4, 5]);
    expect(moved(5)).toEqual([2, 3, 0, 5, 6, 0, 8, 9, 0]);
  });

  it('reads input o mod in within its group', () => {
    expect(sourceChannels(geometry(3, 7, 3))).toEqual([0, 1, 2, 0, 1, 2, 0]);
    expect(sourceChannels(geometry(7, 3, 3))).toEqual([0, 1, 2]);
    expect(sourceChannels({ ...geometry(4, 6, 3), groups: 2 })).toEqual([0, 1, 0, 2, 3, 2]);
  });

  it('the gradient of a logit is p (g - sum p g), and training finds the offset that was asked for', () => {
    const at = geometry(2, 2, 3);
    const wanted = [1, 6];
    const x = Tensor.view([4, 8, 8, 2], normals(512, 'search'));
    const target = tidy(() => displace.forward(x, Tensor.view([3, 3, 1, 2], choosing(wanted, 3)), at));
    const logits = Tensor.persistent([3, 3, 1, 2], displace.initialWeights(at, Random.stream('start')), true);
    const chosenNow = (): number[] => {
      const chosen = displace.effectiveWeights(logits.data, at);
      return [0, 1].map((o) => Array.from({ length: 9 }, (_, tap) => chosen[tap * 2 + o]).indexOf(1));
    };
    expect(chosenNow()).not.toEqual(wanted);
    for (let step = 0; step < 60; step++) {
      const { value, tape } = Tape.record(() => {
        const y = displace.forward(x, logits, at);
        return sum(
          mul(
            y,
            Tensor.view(
              target.shape,
              target.data.map((t) => -t / 256),
            ),
          ),
        );
      });
      tape.backward(value);
      logits.gradient!.forEach((g, i) => (logits.data[i]! -= g));
      // A softmax's gradients sum to zero over the offsets of a channel.
      for (const o of [0, 1]) {
        const total = Array.from({ length: 9 }, (_, tap) => logits.gradient![tap * 2 + o]!);
        expect(Math.abs(total.reduce((a, b) => a + b, 0))).toBeLessThan(1e-6);
      }
      logits.dropGradient();
    }
    expect(chosenNow()).toEqual(wanted);
    logits.dispose();
    target.dispose();
  });
});

describe('the price of displacement', () => {
  const at = geometry(16, 24, 3, 2);

  it.each(builtInProfileNames)(
    '%s: no operation and no arithmetic, traffic of one input and one output each',
    (name) => {
      const layer = pricedAs(at, 16);
      expect(operationCount(layer)).toBe(0);
      const cost = estimate([layer], name);
      expect(cost.operations).toBe(0);
      expect(cost.byLevel.computeMj).toBe(0);
      expect(cost.byLevel.dramMj).toBeGreaterThan(0);
      expect(cost.latencyMs).toBeGreaterThan(0);
      // A depth-wise convolution of the same window reads and computes more.
      const depthWise = { ...onMap(geometry(24, 24, 3, 2), 16), name: 'conv', groups: 24 };
      const operandBits = { weight: 32, activation: 32, partialSum: 32 };
      const conv = estimate([{ ...depthWise, primitive: Primitive.Multiply, operandBits }], name);
      expect(cost.energyMj).toBeLessThan(conv.energyMj);
      expect(cost.latencyMs).toBeLessThan(conv.latencyMs);
    },
  );

  it('stores an index of the window for each output channel, and takes no elements', () => {
    expect(pricedAs(at, 16).operandBits.weight).toBe(4);
    expect(pricedAs(geometry(16, 24, 5), 16).operandBits.weight).toBe(5);
    const fair = loadProfile('fair');
    expect(layerFlash(pricedAs(at, 16), fair).weightBytes).toBe(12);
    expect(arrayArea([pricedAs(at, 16)], fair)).toEqual({ elements: 0, areaMm2: 0, parts: [] });
  });

  it('survives the way through CSV and through ONNX', () => {
    const layer = pricedAs(at, 16);
    const fair = loadProfile('fair');
    const csv = costsCsv([layer], [estimate([layer], fair)]);
    expect(readLayerTable(csv).rows.map((row) => row.layer)).toMatchObject([layer]);

    for (const each of [at, geometry(6, 6, 3), geometry(4, 8, 1)]) {
      const operator = new OperatorLayer('layer', displace, each, Random.stream('onnx'));
      const graph = new OnnxGraph('g');
      graph.output(operator.lower(graph, graph.input('x', [1, each.inChannels, 16, 16])));
      const { layers, unpriced } = layersOfGraph(decodeOnnx(encodeOnnx(graph), 'g.onnx'));
      expect(unpriced).toEqual([]);
      expect(layers).toEqual([pricedAs(each, 16)]);
      for (const { tensor } of operator.parameters) tensor.dispose();
    }
  });
});
