/**
 * @file The op contract of `../kernels.ts` over the compiled C ops, however they were compiled: the native addon and
 * the WebAssembly module offer the same table of ops (native/ops.c), called with buffers first and then numbers.
 */
import type {
  AttentionGeometry,
  ConvGeometry,
  Kernels,
  NormalisationForm,
  PoolGeometry,
} from '../kernels.js';

import { binaryGradientNumber, binaryNumber, callBroadcast, unaryNumber } from './broadcast.js';

/** One op of native/ops.c: buffers, then numbers, in the order of its table. */
export type CompiledOp = (...buffersThenNumbers: readonly (Float32Array | Int32Array | number)[]) => number;

/** The ops of native/ops.c by name. */
export interface CompiledOps {
  readonly conv2dForward: CompiledOp;
  readonly conv2dInputGradient: CompiledOp;
  readonly conv2dWeightGradient: CompiledOp;
  readonly l1Forward: CompiledOp;
  readonly l1InputGradient: CompiledOp;
  readonly l1WeightGradient: CompiledOp;
  readonly lpForward: CompiledOp;
  readonly lpInputGradient: CompiledOp;
  readonly lpWeightGradient: CompiledOp;
  readonly matmul: CompiledOp;
  readonly softmax: CompiledOp;
  readonly softmaxGradient: CompiledOp;
  readonly attentionForward: CompiledOp;
  readonly attentionGradient: CompiledOp;
  readonly channelAffine: CompiledOp;
  readonly batchNorm: CompiledOp;
  readonly batchNormGradient: CompiledOp;
  readonly batchNormParameterGradient: CompiledOp;
  readonly layerNorm: CompiledOp;
  readonly layerNormGradient: CompiledOp;
  readonly layerNormParameterGradient: CompiledOp;
  readonly relu: CompiledOp;
  readonly reluGradient: CompiledOp;
  readonly add: CompiledOp;
  readonly axpy: CompiledOp;
  readonly scale: CompiledOp;
  readonly sumOfSquares: CompiledOp;
  readonly unary: CompiledOp;
  readonly unaryGradient: CompiledOp;
  readonly binary: CompiledOp;
  readonly binaryGradient: CompiledOp;
  readonly reduceSum: CompiledOp;
  readonly reduceProducts: CompiledOp;
  readonly reduceMaximum: CompiledOp;
  readonly reduceMaximumGradient: CompiledOp;
  readonly globalAveragePool: CompiledOp;
  readonly globalAveragePoolGradient: CompiledOp;
  readonly maxPool: CompiledOp;
  readonly maxPoolGradient: CompiledOp;
  readonly averagePool: CompiledOp;
  readonly averagePoolGradient: CompiledOp;
  readonly embedding: CompiledOp;
  readonly embeddingGradient: CompiledOp;
  readonly softmaxCrossEntropy: CompiledOp;
  readonly softTargetCrossEntropy: CompiledOp;
  readonly powerOfTwo: CompiledOp;
  readonly oddTable: CompiledOp;
  readonly oddTableGradient: CompiledOp;
  readonly sgdSteps: CompiledOp;
  readonly adamwSteps: CompiledOp;
  readonly probe: CompiledOp;
}

/** The op contract over `ops`. */
export function compiledKernels(
  { name, describe, allocate }: Pick<Kernels, 'name' | 'describe' | 'allocate'>,
  ops: CompiledOps,
): Kernels {
  return {
    name,
    describe,
    allocate,
    conv2dForward: (g, x, w, y) => withGeometry(ops.conv2dForward, g, x, w, y),
    conv2dInputGradient: (g, dy, w, dx) => withGeometry(ops.conv2dInputGradient, g, dy, w, dx),
    conv2dWeightGradient: (g, x, dy, dw) => withGeometry(ops.conv2dWeightGradient, g, x, dy, dw),
    l1Forward: (g, x, w, y) => withGeometry(ops.l1Forward, g, x, w, y),
    l1InputGradient: (g, x, w, dy, dx) => withGeometry(ops.l1InputGradient, g, x, w, dy, dx),
    l1WeightGradient: (g, x, w, dy, dw) => withGeometry(ops.l1WeightGradient, g, x, w, dy, dw),
    lpForward: (g, exponent, x, w, y) => withNorm(ops.lpForward, g, exponent, x, w, y),
    lpInputGradient: (g, exponent, x, w, dy, dx) => withNorm(ops.lpInputGradient, g, exponent, x, w, dy, dx),
    lpWeightGradient: (g, exponent, x, w, dy, dw) =>
      withNorm(ops.lpWeightGradient, g, exponent, x, w, dy, dw),
    matmul(g, a, b, c) {
      const flags = [g.transposeA, g.transposeB, g.accumulate].map(Number);
      ops.matmul(a, b, c, g.batch, g.rows, g.columns, g.depth, g.sharedB ? 1 : g.batch, ...flags);
    },
    softmax(rows, columns, logarithm, x, y) {
      ops.softmax(x, y, rows, columns, logarithm ? 1 : 0);
    },
    softmaxGradient(rows, columns, logarithm, y, dy, dx) {
      ops.softmaxGradient(y, dy, dx, rows, columns, logarithm ? 1 : 0);
    },
    attentionForward: (g, ...buffers) => withAttention(ops.attentionForward, g, ...buffers),
    attentionGradient: (g, ...buffers) => withAttention(ops.attentionGradient, g, ...buffers),
    channelAffine(rows, channels, relu, x, scale, shift, y) {
      ops.channelAffine(x, scale, shift, y, rows, channels, relu ? 1 : 0);
    },
    batchNorm: (form, ...buffers) => withForm(ops.batchNorm, form, buffers),
    batchNormGradient: (form, ...buffers) => withForm(ops.batchNormGradient, form, buffers),
    batchNormParameterGradient: (form, ...buffers) => withForm(ops.batchNormParameterGradient, form, buffers),
    layerNorm: (form, ...buffers) => withForm(ops.layerNorm, form, buffers),
    layerNormGradient({ rows, channels, relu }, ...buffers) {
      ops.layerNormGradient(...buffers, rows, channels, relu ? 1 : 0);
    },
    layerNormParameterGradient({ rows, channels, relu }, ...buffers) {
      ops.layerNormParameterGradient(...buffers, rows, channels, relu ? 1 : 0);
    },
    relu(x, y) {
      ops.relu(x, y);
    },
    reluGradient(y, dy, dx) {
      ops.reluGradient(y, dy, dx);
    },
    add(relu, a, b, y) {
      ops.add(a, b, y, relu ? 1 : 0);
    },
    axpy(alpha, x, y) {
      ops.axpy(x, y, alpha);
    },
    scale(alpha, ...buffers) {
      ops.scale(...buffers, alpha);
    },
    sumOfSquares: (...buffers) => ops.sumOfSquares(...buffers),
    unary(kind, low, high, x, y) {
      ops.unary(x, y, unaryNumber(kind), low, high);
    },
    unaryGradient(kind, low, high, at, dy, dx) {
      ops.unaryGradient(at, dy, dx, unaryNumber(kind), low, high);
    },
    binary(kind, axes, a, b, y) {
      callBroadcast(ops.binary, binaryNumber(kind), axes, a, b, [y]);
    },
    binaryGradient(kind, axes, a, b, dy, d) {
      callBroadcast(ops.binaryGradient, binaryGradientNumber(kind), axes, a, b, [dy, d]);
    },
    reduceSum({ outer, reduced, inner }, scale, x, y) {
      ops.reduceSum(x, y, outer, reduced, inner, scale);
    },
    reduceProducts({ outer, reduced, inner }, a, b, y) {
      ops.reduceProducts(a, b, y, outer, reduced, inner);
    },
    reduceMaximum({ outer, reduced, inner }, x, y) {
      ops.reduceMaximum(x, y, outer, reduced, inner);
    },
    reduceMaximumGradient({ outer, reduced, inner }, x, y, dy, dx) {
      ops.reduceMaximumGradient(x, y, dy, dx, outer, reduced, inner);
    },
    globalAveragePool(batch, positions, channels, x, y) {
      ops.globalAveragePool(x, y, batch, positions, channels);
    },
    globalAveragePoolGradient(batch, positions, channels, dy, dx) {
      ops.globalAveragePoolGradient(dy, dx, batch, positions, channels);
    },
    maxPool(g, x, y) {
      ops.maxPool(x, y, ...poolNumbers(g));
    },
    maxPoolGradient(g, x, y, dy, dx) {
      ops.maxPoolGradient(x, y, dy, dx, ...poolNumbers(g));
    },
    averagePool(g, countPadding, x, y) {
      ops.averagePool(x, y, ...poolNumbers(g), countPadding ? 1 : 0);
    },
    averagePoolGradient(g, countPadding, dy, dx) {
      ops.averagePoolGradient(dy, dx, ...poolNumbers(g), countPadding ? 1 : 0);
    },
    embedding({ count, rows, width }, table, indices, y) {
      ops.embedding(table, indices, y, count, rows, width);
    },
    embeddingGradient({ count, rows, width }, indices, dy, dtable) {
      ops.embeddingGradient(indices, dy, dtable, count, rows, width);
    },
    softmaxCrossEntropy(batch, classes, smoothing, logits, labels, losses, dlogits) {
      ops.softmaxCrossEntropy(logits, labels, losses, dlogits, batch, classes, smoothing);
    },
    softTargetCrossEntropy(batch, classes, logits, targets, losses, dlogits) {
      ops.softTargetCrossEntropy(logits, targets, losses, dlogits, batch, classes);
    },
    powerOfTwo(minExponent, maxExponent, w, q) {
      ops.powerOfTwo(w, q, minExponent, maxExponent);
    },
    oddTable({ values, slopes, pointsPerUnit }, inputScale, outputScale, x, y) {
      ops.oddTable(x, values, slopes, y, values.length, pointsPerUnit, inputScale, outputScale);
    },
    oddTableGradient({ values, slopes, pointsPerUnit }, inputScale, outputScale, x, dy, dx) {
      const scales = [pointsPerUnit, inputScale, outputScale];
      return ops.oddTableGradient(x, dy, values, slopes, dx, values.length, ...scales);
    },
    sgdSteps(rate, momentum, nesterov, items) {
      ops.sgdSteps(
        ...items.flatMap(({ weight, gradient, velocity }) => [weight, gradient, velocity]),
        rate,
        momentum,
        nesterov ? 1 : 0,
        ...items.flatMap(({ weightDecay, gradientScale }) => [weightDecay, gradientScale]),
      );
    },
    adamWSteps(rate, { beta1, beta2, epsilon }, items) {
      ops.adamwSteps(
        ...items.flatMap(({ weight, gradient, mean, square }) => [weight, gradient, mean, square]),
        rate,
        beta1,
        beta2,
        epsilon,
        ...items.flatMap(({ weightDecay, gradientScale, step }) => [
          weightDecay,
          gradientScale,
          1 - beta1 ** step,
          1 - beta2 ** step,
        ]),
      );
    },
  };
}

/** The fields of sa_pooling in native/shiftadd.h. */
function poolNumbers(g: PoolGeometry): readonly number[] {
  return [
    g.batch,
    g.inHeight,
    g.inWidth,
    g.channels,
    g.outHeight,
    g.outWidth,
    g.kernelHeight,
    g.kernelWidth,
    g.strideHeight,
    g.strideWidth,
    g.padTop,
    g.padLeft,
  ];
}

function withForm(op: CompiledOp, form: NormalisationForm, buffers: readonly Float32Array[]): void {
  op(...buffers, form.rows, form.channels, form.relu ? 1 : 0, form.epsilon);
}

function withGeometry(op: CompiledOp, g: ConvGeometry, ...buffers: readonly Float32Array[]): void {
  op(...buffers, ...numbersOf(g));
}

function withNorm(
  op: CompiledOp,
  g: ConvGeometry,
  exponent: number,
  ...buffers: readonly Float32Array[]
): void {
  op(...buffers, ...numbersOf(g), exponent);
}

/** The numbers of a convolution-like op, in the order of native/ops.h. */
function numbersOf(g: ConvGeometry): readonly number[] {
  return [
    g.batch,
    g.inHeight,
    g.inWidth,
    g.inChannels,
    g.outHeight,
    g.outWidth,
    g.outChannels,
    g.kernelHeight,
    g.kernelWidth,
    g.stride,
    g.padTop,
    g.padLeft,
    g.groups,
  ];
}

function withAttention(op: CompiledOp, g: AttentionGeometry, ...buffers: readonly Float32Array[]): void {
  op(
    g.keyCounts ?? new Int32Array(g.batch).fill(g.keys),
    ...buffers,
    g.batch,
    g.heads,
    g.queries,
    g.keys,
    g.headChannels,
    g.valueChannels,
    g.causal ? 1 : 0,
    g.scale,
  );
}
