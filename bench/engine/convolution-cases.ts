/**
 * @file Rows of the convolution and L1 kernels: the standard shape, the shapes of ResNet-20, and the awkward ones.
 */
import { kernels } from '../../src/tensor/device.js';
import type { ConvGeometry } from '../../src/tensor/kernels.js';
import { Bound, type BenchCase, type Subject } from './case.js';
import { input } from './inputs.js';

interface Shape {
  readonly batch?: number;
  readonly size: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly groups?: number;
}

enum Pass {
  Forward = 'forward',
  InputGradient = 'input-gradient',
  WeightGradient = 'weight-gradient',
  /** Both gradients. */
  Backward = 'backward',
}

const peerPass: Readonly<Record<Pass, string>> = {
  [Pass.Forward]: 'forward',
  [Pass.InputGradient]: 'inputGradient',
  [Pass.WeightGradient]: 'weightGradient',
  [Pass.Backward]: 'backward',
};

const separately = [Pass.Forward, Pass.InputGradient, Pass.WeightGradient];
const together = [Pass.Forward, Pass.Backward];

export function convolutionCases(): readonly BenchCase[] {
  const standard: Shape = { size: 32, inChannels: 64, outChannels: 64 };
  const stage1: Shape = { size: 32, inChannels: 16, outChannels: 16 };
  const stage2: Shape = { size: 16, inChannels: 32, outChannels: 32 };
  const stage3: Shape = { size: 8, inChannels: 64, outChannels: 64 };
  const depthwise: Shape = { size: 32, inChannels: 64, outChannels: 64, groups: 64 };
  const tuned = tuningShapes();
  const headline = true;
  return [
    ...convolutions('conv3x3', standard, { headline }),
    ...convolutions('conv3x3-16', stage1, { passes: [Pass.Forward], headline }),
    ...convolutions('conv3x3-16', stage1, { passes: separately.slice(1) }),
    ...convolutions('conv3x3-32', stage2),
    ...convolutions('conv3x3-64', stage3),
    // The images need no gradient.
    ...convolutions(
      'conv-first',
      { size: 32, inChannels: 3, outChannels: 16 },
      { passes: [Pass.Forward, Pass.WeightGradient] },
    ),
    ...convolutions('conv3x3-strided', { size: 32, inChannels: 16, outChannels: 32, stride: 2 }),
    ...convolutions('conv1x1-strided', { size: 32, inChannels: 16, outChannels: 32, kernel: 1, stride: 2 }),
    ...convolutions('conv-grouped', { size: 32, inChannels: 64, outChannels: 64, groups: 4 }),
    ...convolutions('conv-depthwise', depthwise),
    ...tuned.flatMap(({ name, shape }) => convolutions(`conv-${name}`, shape, { extra: true })),
    ...adders('add3x3', standard, { passes: together, headline }),
    ...adders('add3x3', standard, { passes: separately.slice(1) }),
    ...adders('add3x3-16', stage1, { passes: together }),
    ...adders('add3x3-32', stage2, { passes: together }),
    ...adders('add3x3-64', stage3, { passes: together }),
    ...adders('add-depthwise', depthwise),
    ...norms('add-lp3x3', standard),
    ...norms('add-lp3x3-16', stage1),
    ...tuned.flatMap(({ name, shape }) => adders(`add-${name}`, shape, { extra: true })),
  ];
}

interface RowOptions {
  readonly passes?: readonly Pass[];
  readonly headline?: boolean;
  readonly extra?: boolean;
}

const flags = ({ headline = false, extra = false }: RowOptions) => ({ headline, extra });

function convolutions(name: string, shape: Shape, options: RowOptions = {}): readonly BenchCase[] {
  const g = geometryOf(shape);
  return (options.passes ?? separately).map((pass) => ({
    ...flags(options),
    name: `${name}-${pass}`,
    group: 'convolution',
    shape: shapeText(g),
    work: [{ bound: Bound.MultiplyAccumulate, amount: accumulations(g) }],
    peer: { kind: 'conv', pass: peerPass[pass], ...g },
    build: () => buildConvolution(g, pass),
  }));
}

function adders(name: string, shape: Shape, options: RowOptions = {}): readonly BenchCase[] {
  const g = geometryOf(shape);
  const bounds: Readonly<Record<Pass, readonly Bound[]>> = {
    [Pass.Forward]: [Bound.AbsoluteDifference],
    [Pass.InputGradient]: [Bound.ClampedGradient],
    // A convolution's weight gradient minus w sum(dy).
    [Pass.WeightGradient]: [Bound.MultiplyAccumulate],
    [Pass.Backward]: [Bound.ClampedGradient, Bound.MultiplyAccumulate],
  };
  return (options.passes ?? separately).map((pass) => ({
    ...flags(options),
    name: `${name}-${pass}`,
    group: 'L1 ("add") layers',
    shape: shapeText(g),
    work: bounds[pass].map((bound) => ({ bound, amount: accumulations(g) })),
    peer: { kind: 'l1', pass: peerPass[pass], ...g },
    build: () => buildAdder(g, pass),
  }));
}

/** Adder layers of the norm 1.5: powers, held against the peak of what they generalise. */
function norms(name: string, shape: Shape): readonly BenchCase[] {
  const g = geometryOf(shape);
  const exponent = 1.5;
  const build = (pass: Pass): Subject => {
    const { x, w, dy } = inputsOf(g);
    const device = kernels();
    if (pass === Pass.Forward) return writing(dy.length, (y) => device.lpForward(g, exponent, x, w, y));
    if (pass === Pass.InputGradient)
      return writing(x.length, (dx) => device.lpInputGradient(g, exponent, x, w, dy, dx));
    return writing(w.length, (dw) => device.lpWeightGradient(g, exponent, x, w, dy, dw));
  };
  return separately.map((pass) => ({
    name: `${name}-${pass}`,
    group: 'L1 ("add") layers',
    shape: shapeText(g),
    work: [{ bound: Bound.AbsoluteDifference, amount: accumulations(g) }],
    build: () => build(pass),
  }));
}

function buildConvolution(g: ConvGeometry, pass: Pass): Subject {
  const { x, w, dy } = inputsOf(g);
  const device = kernels();
  if (pass === Pass.Forward) return writing(dy.length, (y) => device.conv2dForward(g, x, w, y));
  if (pass === Pass.InputGradient) return writing(x.length, (dx) => device.conv2dInputGradient(g, dy, w, dx));
  return writing(w.length, (dw) => device.conv2dWeightGradient(g, x, dy, dw));
}

function buildAdder(g: ConvGeometry, pass: Pass): Subject {
  const { x, w, dy } = inputsOf(g);
  const device = kernels();
  if (pass === Pass.Forward) return writing(dy.length, (y) => device.l1Forward(g, x, w, y));
  if (pass === Pass.InputGradient) return writing(x.length, (dx) => device.l1InputGradient(g, x, w, dy, dx));
  if (pass === Pass.WeightGradient)
    return writing(w.length, (dw) => device.l1WeightGradient(g, x, w, dy, dw));
  const [dx, dw] = [device.allocate(x.length), device.allocate(w.length)];
  return {
    run() {
      device.l1WeightGradient(g, x, w, dy, dw);
      device.l1InputGradient(g, x, w, dy, dx);
    },
    outputs: () => [dx, dw],
  };
}

function writing(length: number, write: (output: Float32Array) => void): Subject {
  const output = kernels().allocate(length);
  return { run: () => write(output), outputs: () => [output] };
}

function inputsOf(g: ConvGeometry): {
  readonly x: Float32Array;
  readonly w: Float32Array;
  readonly dy: Float32Array;
} {
  return {
    x: input(g.batch * g.inHeight * g.inWidth * g.inChannels, 1),
    w: input((g.kernelHeight * g.kernelWidth * g.inChannels * g.outChannels) / g.groups, 2),
    dy: input(outputsOf(g), 3),
  };
}

function outputsOf(g: ConvGeometry): number {
  return g.batch * g.outHeight * g.outWidth * g.outChannels;
}

/** Multiply-accumulates or absolute differences of one pass. */
function accumulations(g: ConvGeometry): number {
  return (outputsOf(g) * g.kernelHeight * g.kernelWidth * g.inChannels) / g.groups;
}

function geometryOf({
  batch = 64,
  size,
  inChannels,
  outChannels,
  kernel = 3,
  stride = 1,
  groups = 1,
}: Shape): ConvGeometry {
  const pad = (kernel - 1) / 2;
  const out = Math.floor((size + 2 * pad - kernel) / stride) + 1;
  return {
    batch,
    inHeight: size,
    inWidth: size,
    inChannels,
    outHeight: out,
    outWidth: out,
    outChannels,
    kernelHeight: kernel,
    kernelWidth: kernel,
    stride,
    padTop: pad,
    padLeft: pad,
    groups,
  };
}

/** `64 x 32x32x16->32 3x3 s2`. */
function shapeText(g: ConvGeometry): string {
  const map = `${g.batch} x ${g.inHeight}x${g.inWidth}x${g.inChannels}->${g.outChannels}`;
  const stride = g.stride === 1 ? '' : ` s${g.stride}`;
  const groups = g.groups === 1 ? '' : ` g${g.groups}`;
  return `${map} ${g.kernelHeight}x${g.kernelWidth}${stride}${groups}`;
}

/** The layers of the quick start's space and further shapes that tiles are tuned on. */
function tuningShapes(): readonly { readonly name: string; readonly shape: Shape }[] {
  const shapes: readonly Shape[] = [
    { size: 14, inChannels: 16, outChannels: 16 },
    { size: 14, inChannels: 16, outChannels: 8 },
    { size: 7, inChannels: 32, outChannels: 32 },
    { size: 4, inChannels: 64, outChannels: 64 },
    { size: 14, inChannels: 16, outChannels: 32, stride: 2 },
    { size: 14, inChannels: 16, outChannels: 32, kernel: 1, stride: 2 },
    { size: 7, inChannels: 32, outChannels: 64, kernel: 1, stride: 2 },
    { size: 28, inChannels: 1, outChannels: 16, stride: 2 },
  ];
  return shapes.map((shape) => {
    const { size, inChannels, outChannels, kernel = 3, stride = 1 } = shape;
    const form = `${kernel === 3 ? '' : `k${kernel}`}${stride === 1 ? '' : `s${stride}`}`;
    return {
      name: `${size}x${inChannels}to${outChannels}${form}`,
      shape: { ...shape, batch: 128 },
    };
  });
}
