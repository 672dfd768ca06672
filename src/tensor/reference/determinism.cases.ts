/**
 * @file Every op once, on work large enough to be split: what determinism cases compare bit by bit.
 */
import { describe, expect, it } from 'vitest';
import { BinaryGradientKind, BinaryKind, UnaryKind } from '../kinds.js';
import { type Device, normals, sameBits, usualLayers, withBuffers } from './support.cases.js';
import { attend, attentionOperands, usualAttentions } from './attention.cases.js';
import { softmaxRowGradients, softmaxRows } from './softmax.cases.js';
import { multiply, operands, usualProducts } from './matmul.cases.js';
import { allCalls, layerData } from './convolution.cases.js';

/** The results of every op on fixed data. */
export function computeAll(device: Device): ReadonlyMap<string, Float32Array> {
  const results = new Map<string, Float32Array>();
  for (const calls of allCalls) {
    usualLayers.forEach((g, index) => {
      const { x, w, dy } = layerData(g, index);
      results.set(`${calls.name} ${index} y`, calls.forward(device, g, x, w));
      results.set(`${calls.name} ${index} dx`, calls.byInput(device, g, x, w, dy));
      results.set(`${calls.name} ${index} dw`, calls.byWeight(device, g, x, w, dy));
    });
  }

  usualProducts.forEach((g, index) =>
    results.set(`product ${index}`, multiply(device, g, operands(g, index))),
  );

  usualAttentions.forEach((g, index) => {
    for (const [name, result] of Object.entries(attend(device, g, attentionOperands(g, index))))
      results.set(`attention ${index} ${name}`, result);
  });

  const { kernels } = device;
  const [rows, channels] = [4099, 35];
  const length = rows * channels;
  const [a, b, perChannel] = [normals(length, 'a'), normals(length, 'b'), normals(channels, 'c')];
  for (const logarithm of [false, true]) {
    const y = softmaxRows(device, channels, logarithm, a);
    results.set(`softmax ${logarithm}`, y);
    results.set(`softmax gradient ${logarithm}`, softmaxRowGradients(device, channels, logarithm, y, b));
  }
  withBuffers(device, (buffers) => {
    const output = (name: string, size: number): Float32Array => {
      const buffer = buffers.output(size);
      results.set(name, buffer);
      return buffer;
    };
    const updated = (name: string, values: Float32Array): Float32Array => {
      const buffer = buffers.updated(values);
      results.set(name, buffer);
      return buffer;
    };
    const [x, y, c] = [buffers.input(a), buffers.input(b), buffers.input(perChannel)];
    const form = { rows, channels, relu: true, epsilon: 1e-5 };
    const [mean, variance] = [output('mean', channels), output('variance', channels)];
    kernels.batchNorm(form, x, c, c, mean, variance, output('batch norm', length));
    kernels.channelAffine(rows, channels, true, x, c, c, output('affine', length));
    const before = [form, x, y, mean, variance, c, c] as const;
    const [dgamma, dbeta] = [output('dgamma', channels), output('dbeta', channels)];
    kernels.batchNormGradient(...before, output('batch norm dx', length), dgamma, dbeta);
    kernels.batchNormParameterGradient(
      ...before,
      output('dgamma alone', channels),
      output('dbeta alone', channels),
    );
    kernels.relu(x, output('relu', length));
    kernels.reluGradient(x, y, output('relu gradient', length));
    kernels.add(true, x, y, output('add', length));
    kernels.axpy(0.3, x, updated('axpy', b));
    kernels.scale(0.3, updated('scale', b));
    results.set('sum of squares', new Float32Array(Float64Array.of(kernels.sumOfSquares(x)).buffer));
    const perRow = [output('row means', rows), output('row 1/std', rows)] as const;
    kernels.layerNorm(form, x, c, c, ...perRow, output('layer norm', length));
    const layer = [form, x, y, ...perRow, c, c] as const;
    const [layerDgamma, layerDbeta] = [output('layer dgamma', channels), output('layer dbeta', channels)];
    kernels.layerNormGradient(...layer, output('layer dx', length), layerDgamma, layerDbeta);
    const windows = {
      batch: 3,
      inHeight: 37,
      inWidth: 36,
      channels,
      outHeight: 19,
      outWidth: 18,
      kernelHeight: 3,
      kernelWidth: 3,
      strideHeight: 2,
      strideWidth: 2,
      padTop: 1,
      padLeft: 1,
    };
    const pooled = output('max pool', 3 * 19 * 18 * channels);
    kernels.maxPool(windows, x, pooled);
    kernels.maxPoolGradient(windows, x, pooled, y, output('max pool gradient', 3 * 37 * 36 * channels));
    kernels.averagePool(windows, false, x, output('average pool', pooled.length));
    kernels.averagePoolGradient(windows, false, y, output('average pool gradient', 3 * 37 * 36 * channels));
    const uses = Int32Array.from({ length: rows }, (_, n) => (n * n) % 501);
    const lookUps = { count: rows, rows: 501, width: channels };
    kernels.embedding(lookUps, x, uses, output('embedding', length));
    kernels.embeddingGradient(lookUps, uses, x, output('embedding gradient', 501 * channels));
    for (const kind of Object.values(UnaryKind)) {
      kernels.unary(kind, -1, 1, x, output(kind, length));
      kernels.unaryGradient(kind, -1, 1, x, y, output(`${kind} gradient`, length));
    }
    const axes = [
      { extent: rows, a: true, b: false },
      { extent: channels, a: true, b: true },
    ];
    for (const kind of Object.values(BinaryKind))
      kernels.binary(kind, axes, x, c, output(`pair ${kind}`, length));
    for (const kind of Object.values(BinaryGradientKind))
      kernels.binaryGradient(kind, axes, x, c, y, output(`pair ${kind} gradient`, length));
    for (const reduction of [
      { outer: 1, reduced: rows, inner: channels },
      { outer: rows, reduced: channels, inner: 1 },
      { outer: 1, reduced: length, inner: 1 },
    ]) {
      const name = Object.values(reduction).join('x');
      const results = reduction.outer * reduction.inner;
      kernels.reduceSum(reduction, 0.5, x, output(`sum ${name}`, results));
      kernels.reduceProducts(reduction, x, y, output(`products ${name}`, results));
      const most = output(`maximum ${name}`, results);
      kernels.reduceMaximum(reduction, x, most);
      kernels.reduceMaximumGradient(reduction, x, most, most, output(`maximum gradient ${name}`, length));
    }
    kernels.globalAveragePool(1, rows, channels, x, output('pool over one image', channels));
    kernels.globalAveragePool(rows, 1, channels, x, output('pool over one position', length));
    kernels.globalAveragePoolGradient(1, rows, channels, c, output('pool gradient', length));
    const labels = Int32Array.from({ length: rows }, (_, n) => n % channels);
    kernels.softmaxCrossEntropy(
      rows,
      channels,
      0.1,
      x,
      labels,
      output('losses', rows),
      output('dlogits', length),
    );
    kernels.softTargetCrossEntropy(
      rows,
      channels,
      x,
      y,
      output('soft losses', rows),
      output('soft dlogits', length),
    );
    kernels.powerOfTwo(-15, 0, x, output('powers of two', length));
    const table = { pointsPerUnit: 16, values: c, slopes: c };
    kernels.oddTable(table, 0.9, 1.1, x, output('odd table', length));
    const sum = kernels.oddTableGradient(table, 0.9, 1.1, x, y, output('odd table gradient', length));
    results.set('odd table sum', new Float32Array(Float64Array.of(sum).buffer));
    results.set('sum over lists', new Float32Array(Float64Array.of(kernels.sumOfSquares(x, c, y)).buffer));
    kernels.scale(0.3, updated('scaled', b), updated('scaled too', perChannel));
    const item = { gradient: y, weightDecay: 1e-4, gradientScale: 1 };
    const small = { gradient: c, weightDecay: 0, gradientScale: 0.5 };
    for (const nesterov of [false, true]) {
      const name = nesterov ? 'nesterov' : 'sgd';
      const [w, v] = [updated(`${name} weight`, a), updated(`${name} velocity`, b)];
      const [w2, v2] = [updated(`${name} bias`, perChannel), updated(`${name} bias velocity`, perChannel)];
      kernels.sgdSteps(0.1, 0.9, nesterov, [
        { ...small, weight: w2, velocity: v2 },
        { ...item, weight: w, velocity: v },
      ]);
    }
    const squares = b.map((value) => value * value);
    const [w, m, q] = [updated('adamw weight', a), updated('mean', b), updated('square', squares)];
    const [w2, m2, q2] = ['weight', 'mean', 'square'].map((name) =>
      updated(`adamw bias ${name}`, perChannel.map(Math.abs)),
    ) as [Float32Array, Float32Array, Float32Array];
    kernels.adamWSteps(0.1, { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }, [
      { ...small, weight: w2, mean: m2, square: q2, step: 1 },
      { ...item, weight: w, mean: m, square: q, step: 7 },
    ]);
  });
  return results;
}

/** Throws at the first op of which the two results differ in any bit. */
export function expectSameResults(
  a: ReadonlyMap<string, Float32Array>,
  b: ReadonlyMap<string, Float32Array>,
): void {
  expect([...a.keys()]).toEqual([...b.keys()]);
  for (const [name, result] of a) expect(sameBits(result, b.get(name)!), `${name} is the same`).toBe(true);
}

export function describeDeterminism(device: Device): void {
  describe('determinism', () => {
    it('a second call gives the same bits', () => {
      expectSameResults(computeAll(device), computeAll(device));
    });
  });
}
