/**
 * @file Zero-cost scorers: what all of them must do, and each against its definition written plainly.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Primitive } from '../hardware/layer.js';
import { Mode, stateOf } from '../nn/module.js';
import { familyNamed, listFamilies } from '../operators/registry.js';
import { powerOfTwoSquare, roundedSquare, termCount } from '../operators/variance.js';
import { planLayers } from '../spaces/layers.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { batchNorm } from '../tensor/ops/normalisation.js';
import { poolUsage } from '../tensor/pool.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import type { ProxyBatch, ProxySubject } from './contract.js';
import { logVariance } from './entropy.js';
import { CodeKernel } from './naswot.js';
import { listProxies } from './registry.js';
import { GradientMoments, zico, zicoOf } from './zico.js';

const side = 16;
const space = createMiniSpace({
  input: { height: side, width: side, channels: 1 },
  classes: 4,
  stemChannels: 4,
  stemStride: 2,
  stageChannels: [4, 8],
  blocksPerStage: [1, 1],
});
const batches: readonly ProxyBatch[] = [0, 1, 2].map((at) => ({
  images: normals(8 * side * side, `images ${at}`),
  labels: Int32Array.from({ length: 8 }, (_, i) => (i + at) % 4),
}));

function subjectOf(family: string, seed = 1): ProxySubject {
  const offering = createMiniSpace({ ...space.options, families: [family] });
  const architecture = offering.architecture(uniformGenome(offering, family));
  return { architecture, network: new Network(architecture, Random.stream(seed, 'weights')), batches };
}

const families = [...space.options.families, 'conv.int4', 'add.int6', 'pot.q.int8'];

describe.each(listProxies().map((proxy) => [proxy.name, proxy] as const))('%s', (_, proxy) => {
  it.each(families)(
    'scores a network of %s with a number, the same each time and behind other scorers',
    (family) => {
      const first = subjectOf(family);
      const score = proxy.score(first);
      expect(Number.isFinite(score)).toBe(true);
      const second = subjectOf(family);
      for (const other of listProxies()) other.score(second);
      expect(proxy.score(second)).toBe(score);
      first.network.dispose();
      second.network.dispose();
    },
  );

  it('leaves weights, gradients and the pool as they were', () => {
    const before = poolUsage().usedBytes;
    const subject = subjectOf('add');
    const { parameters } = subject.network;
    const held = parameters.map(({ tensor }) => tensor.data.slice());
    proxy.score(subject);
    parameters.forEach(({ tensor }, at) => {
      expect(tensor.data).toEqual(held[at]);
      expect(tensor.gradient).toBeUndefined();
    });
    subject.network.dispose();
    expect(poolUsage().usedBytes).toBe(before);
  });

  it('reads batches only when it says so', () => {
    const subject = subjectOf('conv');
    const asked: number[] = [];
    const watched = new Proxy(batches, {
      get(target, key, receiver) {
        if (typeof key === 'string' && /^\d+$/.test(key)) asked.push(Number(key));
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
    proxy.score({ ...subject, batches: watched });
    expect(asked.length > 0).toBe(proxy.batches > 0);
    subject.network.dispose();
  });

  it('thinks more of a wider network', () => {
    const wide = subjectOf('conv');
    const option = wide.architecture.genome!.map((gene) => gene - 1);
    const architecture = space.architecture(option);
    const narrow = { architecture, network: new Network(architecture, Random.stream(1, 'weights')), batches };
    expect(planLayers(architecture).some(({ outChannels }) => outChannels === 4)).toBe(true);
    expect(proxy.score(wide)).toBeGreaterThan(proxy.score(narrow));
    wide.network.dispose();
    narrow.network.dispose();
  });
});

describe('the kernel of ReLU codes', () => {
  it('of two images is log(N^2 - (N - h)^2) at h differing bits', () => {
    const kernel = new CodeKernel(2);
    const codes = [1, 1, 0, 0, 1, 0, 1, 0, 0, 1];
    kernel.add(Float32Array.from([...codes, ...codes.map((bit, at) => (at < 3 ? 1 - bit : bit))]));
    expect(kernel.logDeterminant()).toBeCloseTo(Math.log(10 ** 2 - 7 ** 2), 12);
  });

  it('is that of counted matches, over several maps and more bits than a word holds', () => {
    const [images, sizes] = [6, [70, 33, 5]];
    const random = Random.stream('codes');
    const maps = sizes.map((bits) => Float32Array.from({ length: images * bits }, () => random.normal()));
    const kernel = new CodeKernel(images);
    maps.forEach((map) => kernel.add(map));
    const matches = (i: number, j: number): number =>
      maps.reduce((sum, map, m) => {
        const bits = sizes[m]!;
        let same = 0;
        for (let b = 0; b < bits; b++) if (map[i * bits + b]! > 0 === map[j * bits + b]! > 0) same++;
        return sum + same;
      }, 0);
    const plain = Array.from({ length: images }, (_, i) =>
      Array.from({ length: images }, (_, j) => matches(i, j)),
    );
    expect(kernel.logDeterminant()).toBeCloseTo(Math.log(determinant(plain)), 9);
  });

  it('is worthless where two images have one code', () => {
    const kernel = new CodeKernel(3);
    kernel.add(Float32Array.from([1, 0, 1, 1, 0, 1, 0, 1, 0]));
    expect(kernel.logDeterminant()).toBe(-Infinity);
  });

  it('degenerates behind an add layer without batch norm, and neither with one nor behind a convolution', () => {
    const geometry = { inChannels: 4, outChannels: 8, kernel: 3, stride: 1, padding: 1, groups: 1 };
    const images = 8;
    const x = Tensor.view([images, 6, 6, 4], normals(images * 144, 'x'));
    const one = Tensor.persistent([8], new Float32Array(8).fill(1));
    const zero = Tensor.persistent([8], new Float32Array(8));
    const scores = ['add', 'conv'].map((name) => {
      const family = familyNamed(name);
      const random = Random.stream('w');
      const w = Tensor.persistent([3, 3, 4, 8], family.initialWeights(geometry, random));
      const y = family.forward(x, w, geometry);
      const scoreOf = (map: Tensor): number => {
        const kernel = new CodeKernel(images);
        kernel.add(map.data);
        return kernel.logDeterminant();
      };
      return [
        scoreOf(y),
        scoreOf(batchNorm(y, one, zero, { epsilon: 1e-5, relu: true, onMoments: () => undefined })),
      ];
    });
    expect(scores[0]![0]).toBe(-Infinity);
    for (const score of [scores[0]![1]!, ...scores[1]!]) expect(score).toBeGreaterThan(images * Math.log(10));
  });
});

/** By elimination without square roots. */
function determinant(rows: readonly (readonly number[])[]): number {
  const a = rows.map((row) => [...row]);
  let product = 1;
  for (let k = 0; k < a.length; k++) {
    product *= a[k]![k]!;
    for (let i = k + 1; i < a.length; i++) {
      const factor = a[i]![k]! / a[k]![k]!;
      for (let j = k; j < a.length; j++) a[i]![j]! -= factor * a[k]![j]!;
    }
  }
  return product;
}

describe('ZiCo', () => {
  it('is the mean magnitude over the deviation, summed over weights that vary', () => {
    const moments = new GradientMoments(3);
    // E|g| = 2, sd = 1; E|g| = 3, sd = 3; always the same.
    moments.add(Float32Array.of(1, 3, 0.7));
    moments.add(Float32Array.of(3, -3, 0.7));
    expect(moments.ratioSum()).toBeCloseTo(3, 12);
    expect(zicoOf([3, 0, 5])).toBeCloseTo(Math.log(15), 12);
    expect(zicoOf([0])).toBe(-Infinity);
  });

  it.each(families)('reads the raw gradients of %s, not those of its adaptive rate', (family) => {
    const subject = subjectOf(family);
    const { network } = subject;
    const layers = network.weightLayers.map((layer) => layer.parameters[0]!);
    const gradients = batches.map(({ images, labels }) => {
      const { value, tape } = Tape.record(() =>
        softmaxCrossEntropy(
          network.forward(Tensor.view([8, side, side, 1], images), Mode.Training),
          labels,
          0,
        ),
      );
      tape.backward(value);
      const found = layers.map(({ tensor }) => [...tensor.gradient!]);
      for (const { tensor } of network.parameters) tensor.dropGradient();
      return found;
    });
    const plainly = (scale: (gradient: readonly number[], layer: number) => number): number =>
      layers.reduce((total, _, layer) => {
        const scaled = gradients.map((ofBatch) => {
          const factor = scale(ofBatch[layer]!, layer);
          return ofBatch[layer]!.map((g) => factor * g);
        });
        const sum = scaled[0]!.reduce((all, __, at) => {
          const values = scaled.map((each) => each[at]!);
          const mean = values.reduce((a, b) => a + b) / values.length;
          const deviation = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
          const magnitude = values.reduce((a, b) => a + Math.abs(b), 0) / values.length;
          return deviation > 1e-7 * Math.abs(mean) ? all + magnitude / deviation : all;
        }, 0);
        return total + Math.log(sum);
      }, 0);
    const score = zico.score(subject);
    expect(score).toBeCloseTo(
      plainly(() => 1),
      5,
    );
    if (layers.some(({ adaptiveRate }) => adaptiveRate !== undefined)) {
      const adaptive = plainly((gradient, layer) =>
        layers[layer]!.adaptiveRate === undefined ? 1 : 1 / Math.hypot(...gradient),
      );
      expect(Math.abs(adaptive - score)).toBeGreaterThan(1e-3);
    }
    network.dispose();
  });
});

describe('variance transfer', () => {
  const geometry = { inChannels: 16, outChannels: 2048, kernel: 3, stride: 1, padding: 0, groups: 1 };
  const terms = termCount(geometry);

  it('is D E[x^2] of a convolution, D (1 - 2/pi) (var x + 1) of an add layer, 2 D / pi of a binary one', () => {
    const of = (name: string, mean: number, variance: number): number =>
      familyNamed(name).variance({ mean, variance }, geometry);
    expect(of('conv', 0.5, 2)).toBeCloseTo(terms * 2.25, 9);
    expect(of('add', 0, 1)).toBeCloseTo(terms * (1 - 2 / Math.PI) * 2, 9);
    expect(of('add', 0, 3)).toBeCloseTo(terms * (1 - 2 / Math.PI) * 4, 9);
    // Far from zero an absolute value spreads as its argument.
    expect(of('add', 50, 3)).toBeCloseTo(terms * 4, 6);
    expect(of('binary', 0, 7)).toBeCloseTo((2 * terms) / Math.PI, 9);
  });

  it('of powers of two is the square of rounded normal values', () => {
    const values = normals(200_000, 'w');
    const mean = (of: (w: number) => number): number =>
      values.reduce((sum, w) => sum + of(w) ** 2, 0) / values.length;
    expect(powerOfTwoSquare(Math.SQRT2)).toBeCloseTo(
      mean((w) => 2 ** Math.round(Math.log2(Math.abs(w)))),
      1,
    );
    const nearest = (w: number): number => {
      const low = 2 ** Math.floor(Math.log2(Math.abs(w)));
      return Math.abs(w) < 1.5 * low ? low : 2 * low;
    };
    expect(powerOfTwoSquare(1.5)).toBeCloseTo(mean(nearest), 1);
    expect(roundedSquare([1], [])).toBeCloseTo(1, 12);
    expect(roundedSquare([0, 3], [1])).toBeCloseTo(9 * 0.31731050786, 8);
  });

  it.each([
    'conv',
    'pot.q',
    'pot.q.nearest',
    'pot.ps',
    'pot.dense',
    'pot.dense2',
    'pot.dense4',
    'pot.s3',
    'binary',
  ])('of %s is that of its layer at normal weights', (name) => {
    const family = familyNamed(name);
    // A power of two small enough that no weight leaves the exponents' range; shared values are normal at it.
    const unit = 2 ** -5;
    const shared = Tensor.persistent(
      [3, 3, 16, 2048],
      normals(terms * 2048, 'shared').map((w) => unit * w),
    );
    const weights = family.sharing.apply(shared, []);
    const own = (family.own ?? []).map(({ shape, initialValues }) =>
      Tensor.persistent(shape(geometry), initialValues(geometry, Random.stream('own'))),
    );
    const x = Tensor.view([4, 3, 3, 16], normals(4 * terms, 'x'));
    const { data } = family.forward(x, weights, geometry, own);
    const square = data.reduce((sum, y) => sum + y * y, 0) / data.length;
    // What one unit of the family's levels is of the deviation; other families compute with the value itself.
    const levelUnit = { 'pot.dense': 1 / 4, 'pot.dense2': 1, 'pot.dense4': 1 / 64, 'pot.s3': 1 / 2 }[name];
    const scale = levelUnit ?? 1 / unit;
    const inputSquare =
      name === 'binary' ? 1 : x.data.reduce((sum, value) => sum + value * value, 0) / x.size;
    const expected = family.variance({ mean: 0, variance: inputSquare }, geometry);
    expect((square * scale * scale) / expected).toBeGreaterThan(0.96);
    expect((square * scale * scale) / expected).toBeLessThan(1.04);
  });

  it('of an add layer is that of its outputs', () => {
    const add = familyNamed('add');
    const w = Tensor.persistent([3, 3, 16, 2048], normals(terms * 2048, 'add'));
    const x = Tensor.view(
      [1, 3, 3, 16],
      normals(terms, 'x1').map((value) => Math.max(0, value)),
    );
    const { data } = add.forward(x, w, geometry);
    // Over the weights; the input is one draw, so its own values stand for the moments.
    const mean = data.reduce((sum, y) => sum + y, 0) / data.length;
    const variance = data.reduce((sum, y) => sum + (y - mean) ** 2, 0) / data.length;
    const expected = x.data.reduce(
      (sum, value) => sum + add.variance({ mean: value, variance: 0 }, geometry) / terms,
      0,
    );
    expect(variance / expected).toBeGreaterThan(0.9);
    expect(variance / expected).toBeLessThan(1.1);
  });

  it('is there for every family, above zero and, where anything is summed up, growing with the window', () => {
    for (const { name, variance, primitive } of listFamilies()) {
      const [small, large] = [1, 3].map((kernel) =>
        variance({ mean: 0.4, variance: 0.3 }, { ...geometry, kernel }),
      );
      expect(small, name).toBeGreaterThan(0);
      if (primitive === Primitive.Move) expect(large, name).toBe(small);
      else expect(large, name).toBeGreaterThan(small!);
    }
  });
});

describe('entropy', () => {
  it('adds the layers of a chain and the variances at a join', () => {
    const plain = createMiniSpace({
      input: { height: 16, width: 16, channels: 3 },
      classes: 5,
      stemChannels: 8,
      stageChannels: [8],
      blocksPerStage: [1],
      widthRatios: [0.5],
    });
    const conv = plain.architecture(uniformGenome(plain, 'conv'));
    // Stem 27 E[x^2]; block 72/2 and 36/2 against the identity; classifier behind a ReLU, 8/2.
    const expected = Math.log(27) + Math.log(1 + 36 * 18) + Math.log(4);
    expect(logVariance(conv)).toBeCloseTo(expected, 9);
    const skipped = plain.architecture([0]);
    expect(logVariance(skipped)).toBeCloseTo(Math.log(27) + Math.log(4), 9);
  });

  it('needs neither weights nor images', () => {
    const architecture = space.architecture(uniformGenome(space, 'add'));
    const entropy = listProxies().find(({ name }) => name === 'entropy')!;
    const network = new Network(architecture, Random.stream('any'));
    const before = [...stateOf(network).values()].map(({ data }) => data.slice());
    expect(entropy.score({ architecture, network, batches: [] })).toBe(logVariance(architecture));
    expect([...stateOf(network).values()].map(({ data }) => data)).toEqual(before);
    network.dispose();
  });
});
