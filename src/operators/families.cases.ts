/**
 * @file What every operator family must do, whatever it computes: the shared cases over the registry.
 *
 * A family is held to an oracle that is written from its publication: what one weight contributes to an output, and
 * by which rule the two gradients are formed. Tests only.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { builtInProfileNames, estimateLayer, loadProfile, operationCount } from '../hardware/index.js';
import { encodeOnnx } from '../nn/onnx/encode.js';
import { OnnxGraph } from '../nn/onnx/graph.js';
import { runOnnx } from '../nn/onnx/run-onnx.cases.js';
import { array64, centralDifferences, filter64, normals, relativeError } from '../tensor/float64.cases.js';
import { describeDevice } from '../tensor/device.js';
import { nativeInfo, setThreads } from '../tensor/native/device.js';
import { sizeOf } from '../tensor/shape.js';
import { contribute, record, Tape, tidy } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import {
  layerInput,
  type LayerGeometry,
  type LayerOnMap,
  type OperatorFamily,
  type OwnTensor,
} from './contract.js';
import { weightCount } from './initialisation.js';
import { OperatorLayer, storedShape, weightShape } from './layer.js';
import { termPass, type FamilyOracle, type Pass64, type TermOracle } from './oracle.cases.js';
import { deviationOf } from './statistics.js';

const layer = (
  inChannels: number,
  outChannels: number,
  kernel: number,
  stride: number,
  padding: number,
  groups = 1,
): LayerGeometry => ({ inChannels, outChannels, kernel, stride, padding, groups });

type Case = readonly [LayerGeometry, readonly [number, number]];

const cases: Readonly<Record<string, Case>> = {
  '3x3': [layer(4, 6, 3, 1, 1), [7, 6]],
  '3x3, stride 2, odd map': [layer(3, 5, 3, 2, 1), [7, 5]],
  '3x3, stride 2, even map': [layer(8, 16, 3, 2, 1), [8, 6]],
  '3x3, inputs from zero': [{ ...layer(4, 6, 3, 1, 1), nonNegativeInput: true }, [7, 6]],
  '1x1': [layer(5, 7, 1, 1, 0), [4, 3]],
  '1x1, stride 2': [layer(4, 8, 1, 2, 0), [7, 6]],
  'without padding': [layer(2, 3, 3, 1, 0), [5, 4]],
  'depth-wise': [layer(6, 6, 3, 1, 1, 6), [5, 5]],
  'depth-wise, stride 2': [layer(4, 8, 3, 2, 1, 4), [6, 7]],
};

/** Sum of coefficients times y, so that dL/dy are the coefficients. */
function weightedSum(y: Tensor, coefficients: Float32Array): Tensor {
  return record(
    'weightedSum',
    [y],
    [1],
    (out) => (out[0] = y.data.reduce((sum, value, i) => sum + value * coefficients[i]!, 0)),
    () => contribute(y, (gradient) => gradient.set(coefficients)),
  );
}

interface Pass {
  readonly shape: readonly number[];
  readonly y: Float32Array;
  readonly dx: Float32Array;
  readonly dw: Float32Array;
  readonly own: readonly Float32Array[];
}

const batch = 2;

/** What is stored of weight i. */
const storedAt = (family: OperatorFamily, stored: Float32Array, i: number): readonly number[] => {
  const planes = family.planes ?? 1;
  return Array.from({ length: planes }, (_, plane) => stored[(plane * stored.length) / planes + i]!);
};

const effectiveOf = (
  family: OperatorFamily,
  oracle: FamilyOracle,
  stored: Float32Array,
  geometry: LayerGeometry,
): Float32Array =>
  'effectiveOf' in oracle
    ? oracle.effectiveOf(stored, geometry)
    : Float32Array.from({ length: stored.length / (family.planes ?? 1) }, (_, i) =>
        oracle.effective(...storedAt(family, stored, i)),
      );

/** How many values are computed with: as many as are stored, of those of several planes one. */
const effectiveCount = (family: OperatorFamily, geometry: LayerGeometry): number =>
  sizeOf(storedShape(family, geometry)) / (family.planes ?? 1);

/** A layer with `count` values to compute with: a kernel of one place, from one channel. */
const layerOfWeights = (count: number): LayerGeometry => layer(1, count, 1, 1, 0);

/** The pass of a layer of terms, its dL/dw brought to what is stored of the weights. */
function throughStored(
  family: OperatorFamily,
  { storedRule = () => [1] }: TermOracle,
  stored: Float32Array,
  pass: Pass64,
): Pass64 {
  const dw = new Float64Array(stored.length);
  pass.dw.forEach((gradient, i) =>
    storedRule(...storedAt(family, stored, i)).forEach(
      (factor, plane) => (dw[plane * pass.dw.length + i] = gradient * factor),
    ),
  );
  return { ...pass, dw };
}

/** Values that have left their start: in proportion where they may not become negative. */
function away({ least }: OwnTensor, start: Float32Array, label: readonly string[]): Float32Array {
  const moved = normals(start.length, ...label);
  return start.map((value, i) => value + 0.1 * moved[i]! * (least === undefined ? 1 : value));
}

/** Normal inputs, of which a ReLU left those above zero where a layer has no others. */
function drawnInputs({ nonNegativeInput }: LayerGeometry, count: number, ...label: string[]): Float32Array {
  const values = normals(count, ...label);
  return nonNegativeInput ? values.map((value) => Math.max(0, value)) : values;
}

/** Inputs of deviation `deviation`, and tensors beside the weights that have left their start. */
function inputsOf(family: OperatorFamily, [geometry, size]: Case, label: string, deviation = 1) {
  const shape = [batch, ...size, geometry.inChannels];
  const x = drawnInputs(geometry, sizeOf(shape), label, 'x').map((value) => deviation * value);
  const w = family.initialWeights(geometry, Random.stream(label, 'w'));
  const outputs = filter64(
    array64(shape, x),
    array64(weightShape(geometry), new Float64Array(weightCount(geometry))),
    () => 0,
    geometry,
  );
  const dy = normals(outputs.data.length, label, 'dy');
  const own = (family.own ?? []).map((tensor) => {
    const { name, shape: shapeOf, initialValues, fixed = false } = tensor;
    const values = initialValues(geometry, Random.stream(label, name));
    return { shape: shapeOf(geometry), data: fixed ? values : away(tensor, values, [label, name]), fixed };
  });
  return { shape, x, w, own, dy, outputShape: outputs.shape };
}

function passOf(family: OperatorFamily, at: Case, label: string, deviation?: number): Pass {
  const { shape, x, w, own: ownValues, dy } = inputsOf(family, at, label, deviation);
  const input = Tensor.persistent(shape, x, true);
  const weights = Tensor.persistent(storedShape(family, at[0]), w, !family.fixedWeights);
  const own = ownValues.map((values) => Tensor.persistent(values.shape, values.data, !values.fixed));
  const { value, tape } = Tape.record(() => {
    const output = family.forward(input, weights, at[0], own);
    return { shape: output.shape, y: output.data.slice(), loss: weightedSum(output, dy) };
  });
  tape.backward(value.loss);
  const pass = {
    ...value,
    dx: input.gradient!.slice(),
    dw: weights.gradient?.slice() ?? new Float32Array(w.length),
    own: own.map(({ gradient, size }) => gradient?.slice() ?? new Float32Array(size)),
  };
  for (const tensor of [input, weights, ...own]) tensor.dispose();
  return pass;
}

/** Declares the shared cases for one family. */
export function describeFamily(family: OperatorFamily, oracle: FamilyOracle): void {
  describe(`family ${family.name}`, () => {
    describeComputation(family, oracle);
    describeWeights(family, oracle);
    describeSharing(family);
    describeCost(family);
    describeExport(family);
  });
}

function describeComputation(family: OperatorFamily, oracle: FamilyOracle): void {
  it.each(Object.entries(cases))('%s: forward and both gradients are as published', (label, at) => {
    const { shape, x, w, own, dy, outputShape } = inputsOf(family, at, label);
    const x64 = array64(shape, x);
    const w64 = array64(
      family.weightShape?.(at[0]) ?? weightShape(at[0]),
      'term' in oracle ? effectiveOf(family, oracle, w, at[0]) : w,
    );
    const own64 = own.map((values) => array64(values.shape, values.data));
    const actual = passOf(family, at, label);
    const expected =
      'term' in oracle
        ? throughStored(family, oracle, w, termPass(oracle, x64, w64, dy, at[0]))
        : oracle.pass(x64, w64, own64, dy, at[0]);

    expect(actual.shape).toEqual(outputShape);
    expect(relativeError(actual.y, expected.y)).toBeLessThan(2e-6);
    expect(relativeError(actual.dx, expected.dx), 'dx').toBeLessThan(2e-6);
    expect(relativeError(actual.dw, expected.dw), 'dw').toBeLessThan(2e-6);
    expect(actual.own.length).toBe(expected.own.length);
    actual.own.forEach((gradient, i) => {
      const magnitude = expected.ownMagnitudes?.[i];
      const error =
        magnitude === undefined
          ? relativeError(gradient, expected.own[i]!)
          : Math.abs(gradient[0]! - expected.own[i]![0]!) / magnitude;
      expect(error, family.own![i]!.name).toBeLessThan(2e-6);
    });

    if ('term' in oracle && oracle.isDerivative) {
      const loss = (): number =>
        filter64(x64, w64, oracle.term, at[0]).data.reduce((sum, y, i) => sum + y * dy[i]!, 0);
      if (x.length <= 200)
        expect(relativeError(actual.dx, centralDifferences(loss, x64.data))).toBeLessThan(1e-5);
      if (w.length <= 200)
        expect(relativeError(actual.dw, centralDifferences(loss, w64.data))).toBeLessThan(1e-5);
    }
  });

  it.skipIf(describeDevice().device !== 'native')('is the same to the bit for any number of threads', () => {
    const { threads } = nativeInfo();
    try {
      const passes = [1, 2, 5].map((count) => {
        setThreads(count);
        return passOf(family, [layer(24, 40, 3, 1, 1), [26, 23]], 'threads');
      });
      expect(passes[1]).toEqual(passes[0]);
      expect(passes[2]).toEqual(passes[0]);
    } finally {
      setThreads(threads);
    }
  });

  it('every position of a strided map receives gradient', () => {
    // The published L1 kernel left three quarters of it without (cv-search, defect 1).
    const at: Case = [layer(3, 8, 3, 2, 1), [8, 8]];
    // Small inputs: where they are large, the rule of the binary layer passes nothing.
    const { dx } = passOf(family, at, 'strided', 0.15);
    if ('takesOneInput' in oracle) {
      // Every one that an output is made of, and no other.
      const { shape, x, w, dy } = inputsOf(family, at, 'strided', 0.15);
      const stored = array64(storedShape(family, at[0]), w);
      const expected = oracle.pass(array64(shape, x), stored, [], dy, at[0]);
      expect([...dx].map((value) => value === 0)).toEqual([...expected.dx].map((value) => value === 0));
      expect(dx.some((value) => value !== 0)).toBe(true);
      return;
    }
    expect(dx.filter((value) => value === 0).length).toBeLessThan(dx.length / 50);
  });

  it('forward is the same with and without a tape, and a frozen layer gets no gradient', () => {
    const at = cases['3x3'] as Case;
    const { shape, x, w, own: ownValues } = inputsOf(family, at, 'frozen');
    const [input, weights] = [Tensor.view(shape, x), Tensor.persistent(storedShape(family, at[0]), w)];
    const own = ownValues.map((values) => Tensor.view(values.shape, values.data));
    const plain = tidy(() => family.forward(input, weights, at[0], own));
    const { value, tape } = Tape.record(() => family.forward(input, weights, at[0], own));
    expect(value.data).toEqual(plain.data);
    expect(value.requiresGradient).toBe(false);
    tape.dispose();
    plain.dispose();
    weights.dispose();
  });
}

function describeWeights(family: OperatorFamily, oracle: FamilyOracle): void {
  it('initial weights fill the shape, depend on the stream alone and are finite', () => {
    for (const geometry of [layer(4, 6, 3, 1, 1), layer(6, 6, 3, 1, 1, 6), layer(5, 2, 1, 2, 0)]) {
      const drawn = (seed: number): Float32Array => family.initialWeights(geometry, Random.stream(seed));
      expect(drawn(1)).toEqual(drawn(1));
      expect(drawn(1)).not.toEqual(drawn(2));
      expect(drawn(1).length).toBe(sizeOf(storedShape(family, geometry)));
      if (family.weightShape === undefined)
        expect(effectiveCount(family, geometry)).toBe(weightCount(geometry));
      expect(family.effectiveWeights(drawn(1), geometry).length).toBe(effectiveCount(family, geometry));
      expect(drawn(1).every(Number.isFinite)).toBe(true);
      expect(deviationOf(drawn(1))).toBeGreaterThan(0);
    }
  });

  it('effective weights are those of the definition, and do not change the stored ones', () => {
    const numbers = { noNaN: true, noDefaultInfinity: true, min: -8, max: 8 };
    const hold = (weights: Float32Array, geometry: LayerGeometry): void => {
      const before = weights.slice();
      expect(family.effectiveWeights(weights, geometry)).toEqual(
        effectiveOf(family, oracle, weights, geometry),
      );
      expect(weights).toEqual(before);
    };
    if (family.weightShape === undefined)
      fc.assert(
        fc.property(fc.float32Array(numbers), (drawn) => {
          const weights = drawn.slice(0, drawn.length - (drawn.length % (family.planes ?? 1)));
          hold(weights, layerOfWeights(weights.length / (family.planes ?? 1)));
        }),
      );
    else
      for (const geometry of [layer(4, 3, 3, 1, 1), layer(2, 5, 1, 1, 0), layer(2, 4, 2, 1, 0, 2)]) {
        const length = sizeOf(storedShape(family, geometry));
        fc.assert(
          fc.property(fc.float32Array({ ...numbers, minLength: length, maxLength: length }), (weights) =>
            hold(weights, geometry),
          ),
        );
      }
  });

  it('a NaN in what is stored of a weight makes that weight NaN, and no other', () => {
    if ('outputOf' in oracle) {
      const geometry = layer(4, 3, 3, 1, 1);
      for (const nan of [0, 5, 26]) {
        const stored = normals(27, 'NaN', nan);
        stored[nan] = NaN;
        expect([...family.effectiveWeights(stored, geometry)].map(Number.isNaN)).toEqual(
          Array.from(
            { length: 27 },
            (_, i) => oracle.outputOf(i, geometry) === oracle.outputOf(nan, geometry),
          ),
        );
      }
      return;
    }
    const count = 12;
    const planes = family.planes ?? 1;
    for (let plane = 0; plane < planes; plane++) {
      const stored = normals(planes * count, 'NaN', plane);
      stored[plane * count + 5] = NaN;
      expect([...family.effectiveWeights(stored)].map(Number.isNaN)).toEqual(
        Array.from({ length: count }, (_, i) => i === 5),
      );
    }
  });

  it('project is idempotent and changes no effective weight', () => {
    const drawn = layer(8, 8, 3, 1, 1);
    const inDomain = family.initialWeights(drawn, Random.stream('project'));
    const edges = [0, 1, -1, 3, -17, 1e-9, -1e-30, 2 ** -15, -(2 ** -15), 2 ** -16];
    const outside = Float32Array.from(
      Array.from({ length: family.planes ?? 1 }, (_, plane) =>
        edges.map((_, i) => edges[(i + plane) % 10]!),
      ).flat(),
    );
    for (const [weights, geometry] of [
      [inDomain, drawn],
      [outside, layerOfWeights(edges.length)],
    ] as const) {
      const projected = weights.slice();
      family.project?.(projected);
      expect(family.effectiveWeights(projected, geometry)).toEqual(
        family.effectiveWeights(weights, geometry),
      );
      const again = projected.slice();
      family.project?.(again);
      expect(again).toEqual(projected);
    }
  });
}

function describeSharing(family: OperatorFamily): void {
  const { sharing } = family;
  it('sharing: apply and invert undo each other, also at learned scalars far from the start', () => {
    for (const factor of [1, 0.2, 3])
      for (const deviation of [1e-3, 0.08, 1, 50]) {
        const values = normals(2000, 'shared').map((v) => deviation * v);
        const scalars = sharing.parameters.map(({ initial }) => Math.fround(factor * initial));
        const own = scalars.map((value) => Tensor.persistent([1], [value]));
        const shared = Tensor.persistent([1, 1, 40, 50], values);
        const weights = tidy(() => sharing.apply(shared, own));
        const inverted = sharing.invert(weights.data, scalars, deviationOf(values));
        expect(relativeError(inverted, values)).toBeLessThan(2e-6);
        const reshared = Tensor.persistent([1, 1, 40, 50], inverted);
        const again = tidy(() => sharing.apply(reshared, own));
        expect(relativeError(again.data, weights.data)).toBeLessThan(2e-6);
        expect(again.shape).toEqual([...(family.planes === undefined ? [] : [family.planes]), 1, 1, 40, 50]);
        for (const tensor of new Set([weights, shared, again, reshared, ...own])) tensor.dispose();
      }
  });

  it('sharing passes gradient to the shared tensor and to every scalar of its own', () => {
    const shared = Tensor.persistent([1, 1, 5, 4], normals(20, 'share gradient'), true);
    const own = sharing.parameters.map(({ initial }) => Tensor.persistent([1], [initial], true));
    const { value, tape } = Tape.record(() =>
      weightedSum(sharing.apply(shared, own), normals(20 * (family.planes ?? 1), 'share dy')),
    );
    tape.backward(value);
    expect(shared.gradient!.every((g) => Number.isFinite(g) && g !== 0)).toBe(true);
    for (const { gradient } of own) expect(gradient?.[0]).not.toBe(0);
    for (const tensor of [shared, ...own]) tensor.dispose();
  });
}

function describeCost(family: OperatorFamily): void {
  it.each(builtInProfileNames)('has a price above nothing under %s', (profileName) => {
    const profile = loadProfile(profileName);
    for (const [geometry] of [cases['3x3'], cases['1x1, stride 2'], cases['depth-wise']] as Case[]) {
      const { inChannels, outChannels, kernel, stride, groups } = geometry;
      const out = Math.ceil(16 / stride);
      const layer: LayerOnMap = {
        fullyConnected: false,
        batch: 1,
        inHeight: 16,
        inWidth: 16,
        inChannels,
        kernel,
        outHeight: out,
        outWidth: out,
        outChannels,
        stride,
        groups,
      };
      const { primitive, operandBits } = family;
      const parts = family.parts?.(layer) ?? [{ ...layer, primitive, operandBits, reads: [layerInput] }];
      for (const part of parts) {
        const cost = estimateLayer({ ...part, name: part.name ?? 'layer' }, profile);
        expect(cost.energyMj).toBeGreaterThan(0);
        expect(cost.latencyMs).toBeGreaterThan(0);
        expect(Number.isFinite(cost.energyMj + cost.latencyMs)).toBe(true);
      }
      if (family.parts === undefined)
        expect(operationCount({ ...parts[0]!, name: 'layer' })).toBe(out * out * weightCount(geometry));
    }
  });

  it('its parts read earlier ones, all but the last are read, and the last makes the output', () => {
    const map = { inHeight: 9, inWidth: 8, outHeight: 5, outWidth: 4, kernel: 3, stride: 2 };
    const layer: LayerOnMap = {
      ...{ ...map, fullyConnected: false, batch: 1, inChannels: 32, outChannels: 96, groups: 1 },
    };
    const parts = family.parts?.(layer) ?? [];
    const unread = new Set<string>();
    parts.forEach(({ name, reads }, at) => {
      expect(name === undefined).toBe(at === parts.length - 1);
      for (const read of reads) {
        if (read !== layerInput) expect(parts.slice(0, at).map((part) => part.name)).toContain(read);
        unread.delete(read);
      }
      if (name !== undefined) unread.add(name);
    });
    expect([...unread]).toEqual([]);
    for (const { batch, outHeight, outWidth, outChannels, copies = 1 } of parts.slice(-1))
      expect(copies * batch * outHeight * outWidth * outChannels).toBe(5 * 4 * 96);
  });
}

function describeExport(family: OperatorFamily): void {
  it.each(Object.entries(cases))('%s: computes the same in ONNX Runtime', async (label, [geometry, size]) => {
    const operator = new OperatorLayer('layer', family, geometry, Random.stream(label, 'export'));
    operator.parameters.slice(1).forEach(({ tensor, fixed }, at) => {
      if (!fixed) tensor.data.set(away(family.own![at]!, tensor.data, [label, 'moved']));
    });
    const [height, width] = size;
    const x = drawnInputs(geometry, batch * height * width * geometry.inChannels, label, 'export');
    const input = Tensor.view([batch, height, width, geometry.inChannels], x);
    const y = tidy(() => operator.forward(input));

    const graph = new OnnxGraph('layer');
    const output = operator.lower(graph, graph.input('x', ['batch', geometry.inChannels, height, width]));
    graph.output(output);
    const dims = [batch, geometry.inChannels, height, width];
    const results = await runOnnx(encodeOnnx(graph), { x: { dims, data: transposed(x, input.shape) } });
    const [, outHeight, outWidth] = y.shape as [number, number, number];
    expect(results.get(output)!.dims).toEqual([batch, geometry.outChannels, outHeight, outWidth]);
    expect(relativeError(results.get(output)!.data, transposed(y.data, y.shape))).toBeLessThan(3e-6);
    y.dispose();
    operator.parameters.forEach(({ tensor }) => tensor.dispose());
  });
}

/** NHWC to NCHW. */
export function transposed(values: Float32Array, shape: readonly number[]): Float32Array {
  const [count, height, width, channels] = shape as [number, number, number, number];
  const positions = height * width;
  const result = new Float32Array(values.length);
  for (let n = 0; n < count; n++)
    for (let p = 0; p < positions; p++)
      for (let c = 0; c < channels; c++)
        result[(n * channels + c) * positions + p] = values[(n * positions + p) * channels + c]!;
  return result;
}
