/**
 * @file Speed of the compiled kernels on the layer shapes of our search spaces, beside the processor's measured peak.
 *
 * `npx tsx bench/kernels.ts [filter]`; with `SHIFTADDNAS_DEVICE=wasm` in the WebAssembly device. Rates are useful work over the best time: GFLOP/s (two per multiply-accumulate)
 * or Gel/s (one per |a - b| or clamped product). "% peak" is against the same inner step on registers alone, one
 * thread measured in the same minute; with two threads the peak counts twice.
 */
import { measurePeak, Probe, type CompiledDevice } from '../src/tensor/compiled/device.js';
import type { ConvGeometry, Kernels } from '../src/tensor/kernels.js';
import { loadNativeDevice, nativeProblem } from '../src/tensor/native/device.js';
import { loadWasmDevice, wasmProblem } from '../src/tensor/wasm/device.js';

interface Shape {
  readonly name: string;
  readonly batch: number;
  readonly size: number;
  readonly channels: number;
  readonly outChannels: number;
  readonly kernel: number;
  readonly stride: number;
  readonly groups?: number;
}

const conv = (
  size: number,
  channels: number,
  outChannels: number,
  kernel = 3,
  stride = 1,
  batch = 128,
): Shape => ({
  name: `${size}x${size}x${channels}->${outChannels} ${kernel}x${kernel}${stride > 1 ? ` s${stride}` : ''}${batch === 128 ? '' : ` b${batch}`}`,
  batch,
  size,
  channels,
  outChannels,
  kernel,
  stride,
});

const shapes: readonly Shape[] = [
  conv(14, 16, 16),
  conv(14, 16, 8),
  conv(7, 32, 32),
  conv(4, 64, 64),
  conv(32, 16, 16),
  conv(16, 32, 32),
  conv(8, 64, 64),
  conv(14, 16, 32, 3, 2),
  conv(14, 16, 32, 1, 2),
  conv(7, 32, 64, 1, 2),
  conv(28, 1, 16, 3, 2),
  conv(32, 3, 16),
  conv(1, 64, 10, 1),
  conv(32, 64, 64, 3, 1, 64),
];

function geometryOf(shape: Shape): ConvGeometry {
  const pad = (shape.kernel - 1) >> 1;
  const out = Math.floor((shape.size + 2 * pad - shape.kernel) / shape.stride) + 1;
  return {
    batch: shape.batch,
    inHeight: shape.size,
    inWidth: shape.size,
    inChannels: shape.channels,
    outHeight: out,
    outWidth: out,
    outChannels: shape.outChannels,
    kernelHeight: shape.kernel,
    kernelWidth: shape.kernel,
    stride: shape.stride,
    padTop: pad,
    padLeft: pad,
    groups: shape.groups ?? 1,
  };
}

function filled(kernels: Kernels, length: number): Float32Array {
  const values = kernels.allocate(length);
  for (let i = 0; i < length; i++) values[i] = Math.sin(i * 12.9898) * 0.8;
  return values;
}

/**
 * Best time of one call in milliseconds within about `budgetMs`. One thread is timed by the processor time of the
 * process, which leaves out what others on a shared machine take; several threads by the clock.
 */
function bestMs(run: () => void, threads: number, budgetMs = 120): number {
  const clock = threads === 1 ? processorMs : () => performance.now();
  run();
  let [best, spent, calls, runs] = [Infinity, 0, 1, 0];
  while ((spent < budgetMs && runs < 400) || runs < 3) {
    const start = clock();
    for (let i = 0; i < calls; i++) run();
    const took = clock() - start;
    spent += took;
    runs++;
    // The processor clock ticks in microseconds: time at least a fifth of a millisecond at once.
    if (took < 0.2 && calls < 10_000) calls *= 2;
    else best = Math.min(best, took / calls);
  }
  return best;
}

function processorMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function row(cells: readonly string[]): void {
  console.log(cells.map((cell, i) => (i < 2 ? cell.padEnd(20) : cell.padStart(10))).join(' '));
}

function benchShape({ kernels, setThreads }: CompiledDevice, shape: Shape, peaks: readonly number[]): void {
  const g = geometryOf(shape);
  const outputs = g.batch * g.outHeight * g.outWidth * g.outChannels;
  const work = outputs * g.kernelHeight * g.kernelWidth * (g.inChannels / g.groups);
  const x = filled(kernels, g.batch * g.inHeight * g.inWidth * g.inChannels);
  const w = filled(kernels, (g.kernelHeight * g.kernelWidth * g.inChannels * g.outChannels) / g.groups);
  const y = filled(kernels, outputs);
  const [dx, dw] = [kernels.allocate(x.length), kernels.allocate(w.length)];
  const [fma, distance, clamp] = peaks as [number, number, number];
  const ops: readonly [string, () => void, number, number][] = [
    ['conv forward', () => kernels.conv2dForward(g, x, w, y), fma, 2],
    ['conv dx', () => kernels.conv2dInputGradient(g, y, w, dx), fma, 2],
    ['conv dw', () => kernels.conv2dWeightGradient(g, x, y, dw), fma, 2],
    ['l1 forward', () => kernels.l1Forward(g, x, w, y), distance, 1],
    ['l1 dx', () => kernels.l1InputGradient(g, x, w, y, dx), clamp, 1],
    ['l1 dw', () => kernels.l1WeightGradient(g, x, w, y, dw), fma, 1],
  ];
  for (const [name, run, peak, unit] of ops) {
    const cells = [shape.name, name];
    for (const threads of [1, 2]) {
      setThreads(threads);
      const ms = bestMs(run, threads);
      const rate = work / ms / 1e6;
      cells.push(
        ms.toFixed(3),
        (rate * unit).toFixed(1),
        `${((100 * rate * 1e9) / (peak * threads)).toFixed(0)}%`,
      );
    }
    row(cells);
  }
}

function benchRows({ kernels, setThreads }: CompiledDevice): void {
  const [rows, channels] = [128 * 32 * 32, 16];
  const length = rows * channels;
  const [x, y, dy] = [filled(kernels, length), filled(kernels, length), filled(kernels, length)];
  const form = { rows, channels, relu: true, epsilon: 1e-5 };
  const [a, b, c, d, e, f] = [1, 2, 3, 4, 5, 6].map(() => filled(kernels, channels)) as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const dx = kernels.allocate(length);
  const table = { pointsPerUnit: 512, values: filled(kernels, 4097), slopes: filled(kernels, 4097) };
  const item = { weight: x, gradient: dy, velocity: y, weightDecay: 1e-4, gradientScale: 1 };
  const classes = 10;
  const logits = filled(kernels, 128 * classes);
  const labels = new Int32Array(128);
  const [losses, dlogits] = [kernels.allocate(128), kernels.allocate(128 * classes)];
  const ops: readonly [string, number, () => void][] = [
    ['batchNorm', 3, () => kernels.batchNorm(form, x, a, b, c, d, y)],
    ['channelAffine', 2, () => kernels.channelAffine(rows, channels, true, x, a, b, y)],
    ['batchNormGradient', 5, () => kernels.batchNormGradient(form, x, dy, a, b, c, d, dx, e, f)],
    ['relu', 2, () => kernels.relu(x, y)],
    ['reluGradient', 3, () => kernels.reluGradient(y, dy, dx)],
    ['add', 3, () => kernels.add(false, x, dy, y)],
    ['axpy', 3, () => kernels.axpy(1e-9, x, y)],
    ['sumOfSquares', 1, () => kernels.sumOfSquares(x)],
    ['oddTable', 2, () => kernels.oddTable(table, 1, 1, x, y)],
    ['oddTableGradient', 3, () => kernels.oddTableGradient(table, 1, 1, x, dy, y)],
    ['powerOfTwo', 2, () => kernels.powerOfTwo(-14, 0, x, y)],
    ['sgdSteps', 5, () => kernels.sgdSteps(1e-3, 0.9, false, [item])],
    ['averagePool', 1, () => kernels.globalAveragePool(128, 1024, channels, x, dx)],
    [
      'crossEntropy 128x10',
      0,
      () => kernels.softmaxCrossEntropy(128, classes, 0.1, logits, labels, losses, dlogits),
    ],
    ['relu of 64 (call)', 0, () => kernels.relu(logits.subarray(0, 64), dlogits)],
  ];
  row(['op on 131072x16', '', 'ms 1t', 'GB/s', 'ms 2t', 'GB/s']);
  for (const [name, passes, run] of ops) {
    const cells = [name, ''];
    for (const threads of [1, 2]) {
      setThreads(threads);
      const ms = bestMs(run, threads);
      cells.push(ms.toFixed(4), passes === 0 ? '-' : ((passes * length * 4) / ms / 1e6).toFixed(1));
    }
    row(cells);
  }
}

function main(): void {
  const wasm = process.env['SHIFTADDNAS_DEVICE'] === 'wasm';
  const device = wasm ? loadWasmDevice() : loadNativeDevice();
  if (device === undefined) {
    console.log(wasm ? wasmProblem() : nativeProblem());
    return;
  }
  const filter = process.argv[2] ?? '';
  const peaks = [Probe.MultiplyAccumulate, Probe.AbsoluteDifference, Probe.ClampedGradient].map((probe) =>
    measurePeak(device, probe),
  );
  console.log(
    `${device.kernels.name} ${device.kernels.describe().isa}; peak of one thread: FMA ${(peaks[0]! / 5e8).toFixed(0)} GFLOP/s, L1 ${(peaks[1]! / 1e9).toFixed(0)} Gel/s, clamped gradient ${(peaks[2]! / 1e9).toFixed(0)} Gel/s`,
  );
  row(['shape', 'op', 'ms 1t', 'G/s', '% peak', 'ms 2t', 'G/s', '% peak']);
  for (const shape of shapes) if (shape.name.includes(filter)) benchShape(device, shape, peaks);
  if ('rows'.includes(filter)) benchRows(device);
}

main();
