import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { operationCount } from '../../hardware/index.js';
import { visionNetwork } from '../../hardware/published/vision.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { tidy } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { LayerGeometry, LayerOnMap, OperatorFamily } from '../contract.js';
import { OperatorLayer } from '../layer.js';
import { attentionCompat } from './compat.js';
import { attention } from './family.js';
import { attentionLinear } from './linear.js';

const onMap = (side: number, inChannels: number, outChannels: number): LayerOnMap => ({
  ...{ fullyConnected: false, batch: 1, inHeight: side, inWidth: side, inChannels, kernel: 1 },
  ...{ outHeight: side, outWidth: side, outChannels, stride: 1, groups: 1 },
});
const parts = (family: OperatorFamily, layer: LayerOnMap) => family.parts!(layer);

describe('what attention costs', () => {
  it.each([attention, attentionCompat])('$name: the products are those of the published tables', (family) => {
    // The first attention block of the third stage: 14 x 14 positions, 4 heads of 64.
    const published = visionNetwork({
      resolution: 224,
      lastStride: 2,
      stages: [['multiply'], ['multiply'], ['attention'], ['multiply']] as never,
    }).filter(({ name }) => /L3\.0\.(qkv|qk|av)$/.test(name));
    const [qkv, scores, output] = published;
    const all = parts(family, onMap(14, 256, 256));
    const shapeOf = ({
      batch,
      inChannels,
      outChannels,
      copies,
      fullyConnected,
    }: (typeof published)[number]) => ({
      ...{ batch, inChannels, outChannels, copies, fullyConnected },
    });
    expect(shapeOf({ ...all[3]!, name: '' })).toEqual(shapeOf(scores!));
    expect(shapeOf({ ...all[4]!, name: '' })).toEqual(shapeOf(output!));
    const projected = all.slice(0, 3).reduce((sum, part) => sum + operationCount({ ...part, name: '' }), 0);
    expect(projected).toBe(operationCount(qkv!));
  });

  it('of linear attention, grows with the positions and not with their square', () => {
    const additions = (side: number): number =>
      parts(attentionLinear, onMap(side, 64, 128))
        .filter(({ primitive }) => primitive === 'add')
        .reduce((sum, part) => sum + operationCount({ ...part, name: '' }), 0);
    // K' V and Q (K' V): 2 T C (C / heads).
    expect(additions(7)).toBe(2 * 49 * 128 * 64);
    expect(additions(14)).toBe(4 * additions(7));
    expect(
      parts(attentionLinear, onMap(7, 64, 128)).filter(({ operandBits }) => operandBits.weight === 1),
    ).toHaveLength(2);
  });

  it('stores nothing for products of what was computed', () => {
    for (const family of [attention, attentionCompat, attentionLinear])
      expect(
        parts(family, onMap(7, 64, 128)).every(
          ({ weightless, fullyConnected }) => (weightless ?? false) === fullyConnected,
        ),
      ).toBe(true);
  });
});

const geometry: LayerGeometry = {
  inChannels: 6,
  outChannels: 32,
  kernel: 1,
  stride: 1,
  padding: 0,
  groups: 1,
};

describe.each([attention, attentionCompat, attentionLinear])('$name', (family) => {
  const layer = (): OperatorLayer =>
    new OperatorLayer('layer', family, geometry, Random.stream('permutation'));

  it('has queries and keys beside its weights, which are trained as weights are', () => {
    const { parameters } = layer();
    expect(parameters.slice(0, 3).map(({ name, decay, fixed }) => [name, decay, fixed])).toEqual([
      ['layer.weight', true, undefined],
      ['layer.query', true, undefined],
      ['layer.key', true, undefined],
    ]);
  });

  it('is exported with its products as MatMul', () => {
    const graph = new OnnxGraph('layer');
    layer().lower(graph, graph.input('x', ['batch', 6, 4, 4]));
    const types = graph.nodes.map(({ opType }) => opType);
    expect(types.filter((type) => type === 'MatMul')).toHaveLength(2);
    expect(types.filter((type) => type === 'Softmax')).toHaveLength(family === attentionLinear ? 0 : 1);
  });
});

describe.each([attention, attentionCompat])('$name over 1x1 layers', (family) => {
  it('moves with a permutation of the positions', () => {
    const layer = new OperatorLayer('layer', family, geometry, Random.stream('permutation'));
    const x = normals(12 * 6, 'positions');
    const order = Random.stream('order').shuffle(Array.from({ length: 12 }, (_, i) => i));
    const moved = Float32Array.from(
      { length: x.length },
      (_, i) => x[order[Math.floor(i / 6)]! * 6 + (i % 6)]!,
    );
    const run = (values: Float32Array): Float32Array => {
      const y = tidy(() => layer.forward(Tensor.view([1, 3, 4, 6], values)));
      const copy = y.data.slice();
      y.dispose();
      return copy;
    };
    const y = run(x);
    const expected = Float32Array.from(
      { length: y.length },
      (_, i) => y[order[Math.floor(i / 32)]! * 32 + (i % 32)]!,
    );
    expect(relativeError(run(moved), expected)).toBeLessThan(2e-6);
  });
});
