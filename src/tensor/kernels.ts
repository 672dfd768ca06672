/**
 * @file The op contract: what a device must be able to compute, on plain float32 buffers.
 *
 * `reference` computes each op in readable TypeScript and is the oracle; `native` and `wasm` call the C kernels.
 * Nothing above the tensor floor knows which device runs. Layout is NHWC for activations and HWIO ([kernelHeight, kernelWidth,
 * inChannels / groups, outChannels]) for weights, dense, row-major. Outputs are written whole: callers need not
 * clear them. Inputs and outputs never overlap unless said. Shapes have been checked by the caller.
 * Results do not depend on the number of threads.
 */
import type { BinaryGradientKind, BinaryKind, UnaryKind } from './kinds.js';

/** Geometry of a convolution-like op. Padded positions read as zero. All counts in elements. */
export interface ConvGeometry {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly inChannels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly outChannels: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly stride: number;
  readonly padTop: number;
  readonly padLeft: number;
  readonly groups: number;
}

/** Geometry of the products C = A B of a batch. A is [batch, rows, depth], B [batch, depth, columns], C [batch, rows, columns]. */
export interface MatmulGeometry {
  readonly batch: number;
  readonly rows: number;
  readonly columns: number;
  /** Terms of each sum. */
  readonly depth: number;
  /** A is held as [batch, depth, rows]. */
  readonly transposeA: boolean;
  /** B is held as [batch, columns, depth]. */
  readonly transposeB: boolean;
  /** There is one B for the whole batch. */
  readonly sharedB: boolean;
  /** Add to what C holds. */
  readonly accumulate: boolean;
}

/** A normalisation over x [rows, channels], of each channel over the rows or of each row over the channels. */
export interface NormalisationForm {
  readonly rows: number;
  readonly channels: number;
  readonly relu: boolean;
  readonly epsilon: number;
}

/** An odd function by a table: linear between grid points and beyond the last of them. NaN maps to NaN. */
export interface OddTable {
  readonly pointsPerUnit: number;
  /** At each grid point from 0 on. */
  readonly values: Float32Array;
  /** From each grid point to the next, per unit; as many as values. */
  readonly slopes: Float32Array;
}

/**
 * Geometry of multi-head attention. q is [batch, queries, heads, headChannels], k [batch, keys, heads, headChannels],
 * v [batch, keys, heads, valueChannels], y [batch, queries, heads, valueChannels].
 */
export interface AttentionGeometry {
  readonly batch: number;
  readonly heads: number;
  readonly queries: number;
  readonly keys: number;
  readonly headChannels: number;
  readonly valueChannels: number;
  /** Query i sees keys up to i + keys - queries: the last query is level with the last key. */
  readonly causal: boolean;
  readonly scale: number;
  /** How many keys of each item count; those after them are padding, which is not read. All when undefined. */
  readonly keyCounts: Int32Array | undefined;
}

/** Windows of a pooling over x [batch, inHeight, inWidth, channels]. Every window holds some of the map. */
export interface PoolGeometry {
  readonly batch: number;
  readonly inHeight: number;
  readonly inWidth: number;
  readonly channels: number;
  readonly outHeight: number;
  readonly outWidth: number;
  readonly kernelHeight: number;
  readonly kernelWidth: number;
  readonly strideHeight: number;
  readonly strideWidth: number;
  readonly padTop: number;
  readonly padLeft: number;
}

/** `count` uses of the rows of a table [rows, width]. */
export interface EmbeddingForm {
  readonly count: number;
  readonly rows: number;
  readonly width: number;
}

/** One loop of a broadcast op, and which operands have it; the others repeat along it. */
export interface BroadcastAxis {
  readonly extent: number;
  readonly a: boolean;
  readonly b: boolean;
}

/** Extents of a reduction over the middle axis. */
export interface ReductionForm {
  readonly outer: number;
  readonly reduced: number;
  readonly inner: number;
}

/** One parameter of an SGD step; the three buffers are equally long. */
export interface SgdItem {
  readonly weight: Float32Array;
  readonly gradient: Float32Array;
  readonly velocity: Float32Array;
  readonly weightDecay: number;
  readonly gradientScale: number;
}

/** One parameter of an AdamW step; the four buffers are equally long. */
export interface AdamWItem {
  readonly weight: Float32Array;
  readonly gradient: Float32Array;
  /** Running mean of the gradient, and of its square. */
  readonly mean: Float32Array;
  readonly square: Float32Array;
  readonly weightDecay: number;
  readonly gradientScale: number;
  /** Steps of this parameter, this one included: the bias correction is 1 - beta^step. */
  readonly step: number;
}

/** Decay of the running means, and what is added to the root of the second. */
export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** What a device is made of. */
export interface DeviceFacts {
  /** Instruction set of the kernels, `typescript` for the reference. */
  readonly isa: string;
  /** Threads that take part in an op. */
  readonly threads: number;
}

export interface Kernels {
  /** `native`, `wasm` or `reference`. */
  readonly name: string;

  describe(): DeviceFacts;

  /**
   * A zeroed buffer of `length` floats, 64-byte aligned where the device cares. Its memory lives as long as the array
   * that is returned: who keeps only a `subarray` of it may lose the memory under it.
   */
  allocate(length: number): Float32Array;

  // --- convolution: y[n,oh,ow,o] = sum x[n, oh*s-p+u, ow*s-p+v, c] * w[u,v,c,o]
  conv2dForward(g: ConvGeometry, x: Float32Array, w: Float32Array, y: Float32Array): void;
  conv2dInputGradient(g: ConvGeometry, dy: Float32Array, w: Float32Array, dx: Float32Array): void;
  conv2dWeightGradient(g: ConvGeometry, x: Float32Array, dy: Float32Array, dw: Float32Array): void;

  // --- AdderNet (CVPR'20): y = -sum |x - w|; padded positions take part as |0 - w|
  l1Forward(g: ConvGeometry, x: Float32Array, w: Float32Array, y: Float32Array): void;
  /** dx = sum dy * clamp(w - x, -1, 1) (the published rule, not the derivative). */
  l1InputGradient(
    g: ConvGeometry,
    x: Float32Array,
    w: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;
  /** dw = sum dy * (x - w) (the published "full precision" rule), padded positions count as x = 0. */
  l1WeightGradient(
    g: ConvGeometry,
    x: Float32Array,
    w: Float32Array,
    dy: Float32Array,
    dw: Float32Array,
  ): void;

  // --- adder layers of another norm (arXiv 2105.14202): y = -sum |x - w|^p, 1 <= p <= 2; padded positions take part.
  // The gradients are the derivative, with |d|^(p - 1) sgn d smoothed to d (|d| + 1e-8)^(p - 2). Compiled devices are
  // within 3e-6 of the terms (native/power.h).
  lpForward(g: ConvGeometry, exponent: number, x: Float32Array, w: Float32Array, y: Float32Array): void;
  /** dx = sum dy p |w - x|^(p - 1) sgn(w - x). */
  lpInputGradient(
    g: ConvGeometry,
    exponent: number,
    x: Float32Array,
    w: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;
  /** dw = sum dy p |x - w|^(p - 1) sgn(x - w), padded positions counting as x = 0. */
  lpWeightGradient(
    g: ConvGeometry,
    exponent: number,
    x: Float32Array,
    w: Float32Array,
    dy: Float32Array,
    dw: Float32Array,
  ): void;

  // --- matrix products: c[i,r,j] = sum a[i,r,k] * b[i,k,j] (+ c[i,r,j])
  matmul(g: MatmulGeometry, a: Float32Array, b: Float32Array, c: Float32Array): void;

  // --- softmax over the rows of x [rows, columns]
  /** y = exp(x) / sum exp(x), or its logarithm. */
  softmax(rows: number, columns: number, logarithm: boolean, x: Float32Array, y: Float32Array): void;
  /** dx = y (dy - sum y dy), or with the logarithm dy - exp(y) sum dy. `dx` may be `dy`. */
  softmaxGradient(
    rows: number,
    columns: number,
    logarithm: boolean,
    y: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;

  // --- attention: with s[i,j] = scale * sum_c q[i,c] k[j,c] of each item and head, y[i] = sum_j softmax(s)[i,j] v[j]
  /** Writes y and logSums [batch, heads, queries], the logarithm of each query's sum of exp(s), for the gradient. With
   *  `causal`, values that are not finite may also reach queries (forward and backward) up to 31 tokens before them: a
   *  device may compute a block whole, with weights of zero. */
  attentionForward(
    g: AttentionGeometry,
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    y: Float32Array,
    logSums: Float32Array,
  ): void;
  /** Writes dq, dk and dv; zero for keys that do not count. */
  attentionGradient(
    g: AttentionGeometry,
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    y: Float32Array,
    logSums: Float32Array,
    dy: Float32Array,
    dq: Float32Array,
    dk: Float32Array,
    dv: Float32Array,
  ): void;

  // --- batch normalisation over rows: x is [rows, channels]
  /** y = x * scale[c] + shift[c], then max(0, .) when `relu`. `y` may be `x`. */
  channelAffine(
    rows: number,
    channels: number,
    relu: boolean,
    x: Float32Array,
    scale: Float32Array,
    shift: Float32Array,
    y: Float32Array,
  ): void;
  /**
   * y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, then max(0, .) when `relu`. Writes y and the biased mean
   * and variance of each channel.
   */
  batchNorm(
    form: NormalisationForm,
    x: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    mean: Float32Array,
    variance: Float32Array,
    y: Float32Array,
  ): void;
  /**
   * Gradient of {@link batchNorm}, the moments being functions of x. With `relu`, dy counts where the y that was
   * written is positive. Writes dx, dgamma, dbeta; `dx` may be `dy`.
   */
  batchNormGradient(
    form: NormalisationForm,
    x: Float32Array,
    dy: Float32Array,
    mean: Float32Array,
    variance: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    dx: Float32Array,
    dgamma: Float32Array,
    dbeta: Float32Array,
  ): void;
  /** The dgamma and dbeta of {@link batchNormGradient} alone, where nobody asks for dx. */
  batchNormParameterGradient(
    form: NormalisationForm,
    x: Float32Array,
    dy: Float32Array,
    mean: Float32Array,
    variance: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    dgamma: Float32Array,
    dbeta: Float32Array,
  ): void;

  // --- layer normalisation of each row of x [rows, channels]
  /**
   * y = gamma * (x - mean) * inverseStd + beta, then max(0, .) when `relu`, with the row's biased moments; inverseStd is
   * 1 / sqrt(variance + epsilon). Writes y, mean [rows] and inverseStd [rows].
   */
  layerNorm(
    form: NormalisationForm,
    x: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    mean: Float32Array,
    inverseStd: Float32Array,
    y: Float32Array,
  ): void;
  /**
   * Gradient of {@link layerNorm}, the moments being functions of x. With `relu`, dy counts where the y that was
   * written is positive. Writes dx, dgamma, dbeta; `dx` may be `dy`.
   */
  layerNormGradient(
    form: NormalisationForm,
    x: Float32Array,
    dy: Float32Array,
    mean: Float32Array,
    inverseStd: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    dx: Float32Array,
    dgamma: Float32Array,
    dbeta: Float32Array,
  ): void;
  /** The dgamma and dbeta of {@link layerNormGradient} alone, where nobody asks for dx. */
  layerNormParameterGradient(
    form: NormalisationForm,
    x: Float32Array,
    dy: Float32Array,
    mean: Float32Array,
    inverseStd: Float32Array,
    gamma: Float32Array,
    beta: Float32Array,
    dgamma: Float32Array,
    dbeta: Float32Array,
  ): void;

  // --- elementwise; length = first buffer's
  /** y = max(0, x). `y` may be `x`. */
  relu(x: Float32Array, y: Float32Array): void;
  /** dx = y > 0 ? dy : 0. `dx` may be `dy`. */
  reluGradient(y: Float32Array, dy: Float32Array, dx: Float32Array): void;
  /** y = a + b, then max(0, .) when `relu`. `y` may be `a`. */
  add(relu: boolean, a: Float32Array, b: Float32Array, y: Float32Array): void;
  /** y += alpha * x. */
  axpy(alpha: number, x: Float32Array, y: Float32Array): void;
  /** x *= alpha, for each buffer. */
  scale(alpha: number, ...buffers: readonly Float32Array[]): void;
  /** Sum of squares over all buffers, accumulated in float64 over fixed pieces in order. NaN and infinity propagate. */
  sumOfSquares(...buffers: readonly Float32Array[]): number;

  /** y = the function `kind` of x; `low` and `high` are the bounds of a clamp. `y` may be `x`. */
  unary(kind: UnaryKind, low: number, high: number, x: Float32Array, y: Float32Array): void;
  /** dx = dy times the derivative, `at` being y where slopeNeedsValue(kind), else x. `dx` may be `dy`. */
  unaryGradient(
    kind: UnaryKind,
    low: number,
    high: number,
    at: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;

  // --- functions of two operands, broadcast: y has all the axes, a and b those that say so
  /** y = the function `kind` of a and b. `y` may be an operand that has all axes. */
  binary(
    kind: BinaryKind,
    axes: readonly BroadcastAxis[],
    a: Float32Array,
    b: Float32Array,
    y: Float32Array,
  ): void;
  /** d = the derivative `kind` at a and b times dy, both with all axes. `d` may be `dy`. */
  binaryGradient(
    kind: BinaryGradientKind,
    axes: readonly BroadcastAxis[],
    a: Float32Array,
    b: Float32Array,
    dy: Float32Array,
    d: Float32Array,
  ): void;

  // --- reductions: x is [outer, reduced, inner], y is [outer, inner]; reduced > 0
  /** y = scale * sum x. */
  reduceSum(form: ReductionForm, scale: number, x: Float32Array, y: Float32Array): void;
  /** y = sum a * b. */
  reduceProducts(form: ReductionForm, a: Float32Array, b: Float32Array, y: Float32Array): void;
  /** y = max x, NaN where some x is. */
  reduceMaximum(form: ReductionForm, x: Float32Array, y: Float32Array): void;
  /** dx = dy at the first x that is y, or the first that is NaN; else 0. */
  reduceMaximumGradient(
    form: ReductionForm,
    x: Float32Array,
    y: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;

  // --- pooling: x is [batch, positions, channels], y is [batch, channels]
  globalAveragePool(
    batch: number,
    positions: number,
    channels: number,
    x: Float32Array,
    y: Float32Array,
  ): void;
  globalAveragePoolGradient(
    batch: number,
    positions: number,
    channels: number,
    dy: Float32Array,
    dx: Float32Array,
  ): void;

  // --- pooling over windows
  /** y = the largest of each window, padding not taking part; NaN where the window holds one. */
  maxPool(g: PoolGeometry, x: Float32Array, y: Float32Array): void;
  /** dx = dy at the first place of each window, in row-major order, that is y or NaN, added up over windows. */
  maxPoolGradient(
    g: PoolGeometry,
    x: Float32Array,
    y: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): void;
  /** y = the mean of each window, padding counted as zeros or left out. */
  averagePool(g: PoolGeometry, countPadding: boolean, x: Float32Array, y: Float32Array): void;
  averagePoolGradient(g: PoolGeometry, countPadding: boolean, dy: Float32Array, dx: Float32Array): void;

  // --- rows of a table [rows, width] by their indices: y is [count, width]
  embedding(form: EmbeddingForm, table: Float32Array, indices: Int32Array, y: Float32Array): void;
  /** dtable = the sum of dy over the uses of each row, in their order. */
  embeddingGradient(form: EmbeddingForm, indices: Int32Array, dy: Float32Array, dtable: Float32Array): void;

  // --- loss: logits [batch, classes], label-smoothed cross-entropy per image
  /** losses[n] = -sum_c q_c log softmax(logits)_c, q = (1 - smoothing) onehot + smoothing / classes;
   *  dlogits = (softmax - q) / batch. */
  softmaxCrossEntropy(
    batch: number,
    classes: number,
    smoothing: number,
    logits: Float32Array,
    labels: Int32Array,
    losses: Float32Array,
    dlogits: Float32Array,
  ): void;

  /** The same against any targets q [batch, classes] >= 0: losses[n] = -sum_c q_c log softmax(logits)_c;
   *  dlogits = (softmax * sum_c q_c - q) / batch. A class with q = 0 costs nothing, whatever its logit. */
  softTargetCrossEntropy(
    batch: number,
    classes: number,
    logits: Float32Array,
    targets: Float32Array,
    losses: Float32Array,
    dlogits: Float32Array,
  ): void;

  // --- weights
  /** DeepShift-Q: q = sign(w) * 2^round(log2 |w|) with the exponent clamped to [minExponent, maxExponent]; 0 stays 0. */
  powerOfTwo(minExponent: number, maxExponent: number, w: Float32Array, q: Float32Array): void;
  /** y = outputScale * f(inputScale * x). */
  oddTable(f: OddTable, inputScale: number, outputScale: number, x: Float32Array, y: Float32Array): void;
  /** dx = outputScale * inputScale * f'(inputScale * x) * dy; returns the sum of f(inputScale * x) * dy. */
  oddTableGradient(
    f: OddTable,
    inputScale: number,
    outputScale: number,
    x: Float32Array,
    dy: Float32Array,
    dx: Float32Array,
  ): number;

  // --- optimisers: one call for all parameters of a step; g = gradientScale * gradient throughout
  /**
   * g += weightDecay * weight; velocity = momentum * velocity + g; weight -= rate * velocity, or with `nesterov`
   * weight -= rate * (g + momentum * velocity), the velocity being the new one.
   */
  sgdSteps(rate: number, momentum: number, nesterov: boolean, items: readonly SgdItem[]): void;
  /**
   * mean = beta1 mean + (1 - beta1) g; square = beta2 square + (1 - beta2) g^2; weight = (1 - rate weightDecay) weight
   * - rate mean' / (sqrt(square') + epsilon), both divided by 1 - beta^step (AdamW: Loshchilov and Hutter, ICLR 2019).
   */
  adamWSteps(rate: number, options: AdamWOptions, items: readonly AdamWItem[]): void;
}
