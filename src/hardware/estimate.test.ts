import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { publishedOperations } from './area/references.js';
import { LayerError, MappingError, SingleRowError } from './errors.js';
import { estimate, estimateLayer, honoursGroups } from './estimate.js';
import {
  asMoves,
  LayerRole,
  operationCount,
  Primitive,
  type LayerDescription,
  type OperandBits,
} from './layer.js';
import type { AcceleratorProfile } from './profile-schema.js';
import { builtInProfileNames, loadProfile, withWordBits } from './profile.js';

const fair = loadProfile('fair');
const paper168 = loadProfile('paper-cv-168');
const paper192 = loadProfile('paper-cv-192');

const bits = (weight: number, activation = weight, partialSum = 32): OperandBits => ({
  weight,
  activation,
  partialSum,
});

const base: LayerDescription = {
  name: 'base',
  primitive: Primitive.Multiply,
  fullyConnected: false,
  batch: 1,
  inHeight: 16,
  inWidth: 16,
  inChannels: 32,
  kernel: 3,
  outHeight: 16,
  outWidth: 16,
  outChannels: 32,
  stride: 1,
  groups: 1,
  operandBits: bits(32),
};

/** The 3x3 layer on which the published model is usually quoted. */
const quoted: LayerDescription = {
  ...base,
  inHeight: 56,
  inWidth: 56,
  outHeight: 56,
  outWidth: 56,
  inChannels: 64,
  outChannels: 64,
};

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const primitives = fc.constantFrom(...Object.values(Primitive));
const layers: fc.Arbitrary<LayerDescription> = fc
  .record({
    primitive: primitives,
    batch: size(4),
    map: fc.integer({ min: 2, max: 20 }),
    kernel: fc.constantFrom(1, 3, 5),
    stride: size(2),
    groups: fc.constantFrom(1, 1, 2, 4),
    inPerGroup: size(24),
    outPerGroup: size(24),
    weight: size(32),
    activation: size(32),
  })
  .map(({ primitive, batch, map, kernel, stride, groups, inPerGroup, outPerGroup, weight, activation }) => ({
    ...base,
    primitive,
    batch,
    inHeight: map * stride,
    inWidth: map * stride,
    outHeight: map,
    outWidth: map,
    kernel,
    stride,
    groups,
    inChannels: groups * inPerGroup,
    outChannels: groups * outPerGroup,
    operandBits: bits(weight, activation),
  }))
  .map((layer) => (layer.primitive === Primitive.Move ? asMoves(layer) : layer));
const profiles = fc.constantFrom(...builtInProfileNames.map(loadProfile));

describe('estimateLayer', () => {
  it('splits the energy completely, by level and by operand', () => {
    fc.assert(
      fc.property(layers, profiles, (layer, profile) => {
        const { energyMj, latencyMs, byLevel, byOperand } = estimateLayer(layer, profile);
        const levels = Object.values(byLevel).reduce((a, b) => a + b, 0);
        const operands = byLevel.computeMj + byOperand.inputMj + byOperand.weightMj + byOperand.outputMj;
        expect(levels / energyMj).toBeCloseTo(1, 12);
        expect(operands / energyMj).toBeCloseTo(1, 12);
        expect(latencyMs).toBeGreaterThan(0);
      }),
      { numRuns: 200 },
    );
  });

  it('factors the loops completely', () => {
    fc.assert(
      fc.property(layers, profiles, (layer, profile) => {
        const { N0, N3, M0, M1, M2, M3, C0, C1, C2, E1, E3 } = estimateLayer(layer, profile).tiling;
        const groups = honoursGroups(layer, profile) ? layer.groups : 1;
        expect([N0 * N3, M0 * M1 * M2 * M3, C0 * C1 * C2, E1 * E3]).toEqual([
          layer.batch,
          layer.outChannels / groups,
          layer.inChannels / groups,
          layer.outHeight,
        ]);
      }),
      { numRuns: 200 },
    );
  });

  it('never falls below the closed-form floor of any tiling under the fair profile', () => {
    fc.assert(
      fc.property(layers, (layer) => {
        const cost = estimateLayer(layer, fair);
        const operations = operationCount(layer);
        const inputs = layer.batch * layer.inHeight * layer.inWidth * layer.inChannels;
        const outputs = layer.batch * layer.outHeight * layer.outWidth * layer.outChannels;
        const weights = (layer.kernel ** 2 * layer.inChannels * layer.outChannels) / layer.groups;
        const { weight, activation, partialSum } = layer.operandBits;
        const computePj = { multiply: 4.6, shift: 1.03, add: 1.8, move: 0 }[layer.primitive];
        // Every operand comes from DRAM and through the buffer at least once; each operation reads a weight and an input.
        const floorPj =
          operations * (computePj + 3.7 * (activation / 16) + 7.4 * (weight / 16)) +
          inputs * (200 + 22.2) * (activation / 16) +
          weights * 200 * (weight / 16) +
          outputs * (200 * (activation / 16) + (22.2 + 3.7 + 3.7) * (partialSum / 16));
        expect(cost.operations).toBe(operations);
        expect(cost.energyMj * 1e9).toBeGreaterThanOrEqual(floorPj * (1 - 1e-12));
        const rowsPerArray = Math.floor(168 / layer.kernel);
        const fewestCycles = operations / layer.kernel / rowsPerArray;
        expect(cost.latencyMs * 1e6).toBeGreaterThanOrEqual(4 * fewestCycles * (1 - 1e-12));
      }),
      { numRuns: 300 },
    );
  });

  it('prices by shape, not by history, name or call order', () => {
    fc.assert(
      fc.property(layers, (layer) => {
        const cold: AcceleratorProfile = structuredClone(fair);
        const { name, ...first } = estimateLayer({ ...layer, name: 'first' }, fair);
        const { name: otherName, ...again } = estimateLayer({ ...layer, name: 'again' }, cold);
        expect([name, otherName]).toEqual(['first', 'again']);
        expect(again).toEqual(first);
      }),
      { numRuns: 50 },
    );
  });

  it('tells apart layers that differ in a single size, primitive or width', () => {
    const variants: Partial<LayerDescription>[] = [
      {},
      { batch: 2 },
      { inHeight: 18 },
      { inWidth: 18 },
      { inChannels: 64 },
      { kernel: 5 },
      { outHeight: 8 },
      { outWidth: 8 },
      { outChannels: 64 },
      { groups: 2 },
      { primitive: Primitive.Add },
      { operandBits: bits(8, 32) },
      { operandBits: bits(32, 8) },
      { operandBits: bits(32, 32, 16) },
    ];
    const energies = variants.map((variant) => estimateLayer({ ...base, ...variant }, fair).energyMj);
    expect(new Set(energies).size).toBe(variants.length);
  });
});

describe('the fair profile', () => {
  it('charges operation and accumulation', () => {
    const perOperationPj = (primitive: Primitive): number => {
      const cost = estimateLayer({ ...base, primitive }, fair);
      return (cost.byLevel.computeMj * 1e9) / cost.operations;
    };
    expect(perOperationPj(Primitive.Multiply)).toBeCloseTo(4.6, 12);
    expect(perOperationPj(Primitive.Shift)).toBeCloseTo(1.03, 12);
    expect(perOperationPj(Primitive.Add)).toBeCloseTo(1.8, 12);
  });

  it('charges a depth-wise layer as many single-channel layers', () => {
    fc.assert(
      fc.property(primitives, size(64), fc.integer({ min: 2, max: 32 }), (primitive, channels, map) => {
        const maps = { inHeight: map, inWidth: map, outHeight: map, outWidth: map };
        const window = primitive === Primitive.Move ? { kernel: 1 } : {};
        const depthwise = {
          ...base,
          ...maps,
          primitive,
          inChannels: channels,
          outChannels: channels,
          groups: channels,
          ...window,
        };
        const single = { ...base, ...maps, primitive, inChannels: 1, outChannels: 1, ...window };
        const whole = estimateLayer(depthwise, fair);
        const part = estimateLayer(single, fair);
        expect(whole.energyMj / (channels * part.energyMj)).toBeCloseTo(1, 12);
        expect(whole.latencyMs / (channels * part.latencyMs)).toBeCloseTo(1, 12);
        expect(whole.operations).toBe(operationCount(depthwise));
        expect(whole.tiling).toEqual(part.tiling);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    base,
    quoted,
    { ...base, kernel: 1, inChannels: 256 },
    { ...base, stride: 2, outHeight: 8, outWidth: 8 },
  ])('charges add layers the memory and the time of a convolution of equal widths', (shape) => {
    const conv = estimateLayer(shape, fair);
    const add = estimateLayer({ ...shape, primitive: Primitive.Add }, fair);
    expect(add.byOperand).toEqual(conv.byOperand);
    expect(add.latencyMs).toBe(conv.latencyMs);
    expect(add.energyMj).toBeLessThan(conv.energyMj);
  });

  it('makes 5-bit shift weights cheaper than 32-bit ones, and both cheaper than a convolution', () => {
    const conv = estimateLayer(quoted, fair);
    const wide = estimateLayer({ ...quoted, primitive: Primitive.Shift }, fair);
    const narrow = estimateLayer({ ...quoted, primitive: Primitive.Shift, operandBits: bits(5, 32) }, fair);
    expect(wide.energyMj).toBeLessThan(conv.energyMj);
    expect(narrow.energyMj).toBeLessThan(wide.energyMj);
    expect(narrow.byOperand.weightMj / wide.byOperand.weightMj).toBeCloseTo(5 / 32, 12);
    // No faster clock for shifts: what remains is energy.
    expect(narrow.latencyMs).toBe(conv.latencyMs);
  });

  it('may fill the array to the last processing element', () => {
    // 168 = 28 output rows x 2 channels x 3 kernel rows: exactly full, which the published model forbids.
    const { tiling } = estimateLayer(
      { ...base, inHeight: 28, outHeight: 28, inChannels: 2, outChannels: 1 },
      fair,
    );
    expect(tiling.M1 * tiling.C1 * tiling.E1 * 3).toBe(168);
  });

  it('falls back to one output row on the array only where more do not fit', () => {
    const oneRow = { ...base, inHeight: 2, inWidth: 2, outHeight: 1, outWidth: 1, stride: 2 };
    expect(estimateLayer(oneRow, fair).tiling.E1).toBe(1);
    const prime = { ...base, inHeight: 97, inWidth: 97, outHeight: 97, outWidth: 97 };
    expect(estimateLayer(prime, fair).tiling).toMatchObject({ E1: 1, E3: 97 });
    expect(estimateLayer(base, fair).tiling.E1).toBeGreaterThan(1);
  });
});

describe('the fair-int8 profile', () => {
  const int8 = loadProfile('fair-int8');

  it('charges 8-bit operations and 32-bit accumulations', () => {
    const perOperationPj = (primitive: Primitive): number => {
      const cost = estimateLayer({ ...base, primitive }, int8);
      return (cost.byLevel.computeMj * 1e9) / cost.operations;
    };
    expect(perOperationPj(Primitive.Multiply)).toBeCloseTo(0.3, 12);
    expect(perOperationPj(Primitive.Shift)).toBeCloseTo(0.124, 12);
    // Difference, absolute value and accumulation, as the machines of the loop-nest model and hw area have it.
    expect(perOperationPj(Primitive.Add)).toBeCloseTo(0.16, 12);
    const published = publishedOperations().find(
      ({ primitive, bits: width }) => primitive === Primitive.Add && width === 8,
    );
    expect(perOperationPj(Primitive.Add)).toBeCloseTo(published!.energyPj!, 12);
  });

  it('moves every operand at its own width, the narrower of the layer and the machine', () => {
    const price = (primitive: Primitive, operandBits: OperandBits): unknown =>
      estimateLayer({ ...quoted, primitive, operandBits }, int8).byOperand;
    const wide = price(Primitive.Multiply, bits(32));
    expect(price(Primitive.Multiply, bits(8, 8, 32))).toEqual(wide);
    // The same widths under fair, whose memory is the same, give the same memory energy.
    expect(estimateLayer({ ...quoted, operandBits: bits(8, 8, 32) }, fair).byOperand).toEqual(wide);
    expect(price(Primitive.Shift, bits(5, 32))).toEqual(price(Primitive.Shift, bits(32)));
    expect(price(Primitive.Shift, bits(4, 4, 16))).toEqual(
      estimateLayer({ ...quoted, primitive: Primitive.Shift, operandBits: bits(4, 4, 16) }, fair).byOperand,
    );
  });

  it('charges an add layer the memory and the time of a convolution', () => {
    const conv = estimateLayer(quoted, int8);
    const add = estimateLayer({ ...quoted, primitive: Primitive.Add }, int8);
    expect(add.byOperand).toEqual(conv.byOperand);
    expect(add.latencyMs).toBe(conv.latencyMs);
  });
});

describe('copies', () => {
  const product: LayerDescription = {
    ...base,
    fullyConnected: true,
    batch: 49,
    ...{ inHeight: 1, inWidth: 1, outHeight: 1, outWidth: 1, kernel: 1, inChannels: 64, outChannels: 49 },
  };

  it('cost as many layers where groups are honoured', () => {
    const one = estimateLayer(product, fair);
    const heads = estimateLayer({ ...product, copies: 8 }, fair);
    expect(heads.energyMj / one.energyMj).toBeCloseTo(8, 12);
    expect(heads.latencyMs / one.latencyMs).toBeCloseTo(8, 12);
    expect(heads.operations).toBe(8 * one.operations);
    expect(operationCount({ ...product, copies: 8 })).toBe(heads.operations);
  });

  it('stand in the batch where they are not, as published', () => {
    const heads = estimateLayer({ ...product, copies: 8 }, paper168);
    expect(heads).toEqual(estimateLayer({ ...product, batch: 8 * 49 }, paper168));
  });
});

describe('roles', () => {
  const aug = loadProfile('paper-nlp-aug');
  const pre = loadProfile('paper-nlp-pre');

  it('give the linears of a light branch narrow words and a faster clock, whatever they compute', () => {
    const linear = { ...base, role: LayerRole.LightLinear };
    const plain = estimateLayer(base, aug);
    const light = estimateLayer(linear, aug);
    expect(light.byOperand.weightMj / plain.byOperand.weightMj).toBeCloseTo(10 / 32, 12);
    expect(light.latencyMs / plain.latencyMs).toBeCloseTo(0.5, 12);
    expect(light.byLevel.computeMj).toBe(plain.byLevel.computeMj);
    const shift = { ...base, primitive: Primitive.Shift };
    expect(estimateLayer({ ...shift, role: LayerRole.LightLinear }, aug)).toEqual(estimateLayer(shift, aug));
  });

  it('move the operands of a light kernel for free', () => {
    const { byLevel } = estimateLayer({ ...base, role: LayerRole.LightKernel }, aug);
    expect([byLevel.dramMj, byLevel.globalBufferMj]).toEqual([0, 0]);
    expect(byLevel.nocMj).toBeGreaterThan(0);
  });

  it('mean nothing to the other profiles', () => {
    for (const profile of [pre, paper168, fair])
      for (const role of Object.values(LayerRole))
        expect(estimateLayer({ ...base, role }, profile)).toEqual(estimateLayer(base, profile));
  });
});

describe('the paper profiles', () => {
  it('give the figures usually quoted for the published model: 4.913, 4.001 and 1.417 mJ', () => {
    const energyMj = (primitive: Primitive): number =>
      estimateLayer({ ...quoted, primitive }, paper192).energyMj;
    expect(energyMj(Primitive.Multiply)).toBeCloseTo(4.913, 3);
    expect(energyMj(Primitive.Add)).toBeCloseTo(4.001, 3);
    expect(energyMj(Primitive.Shift)).toBeCloseTo(1.417, 3);
  });

  it('give the published oddity at 8 bit: shift, stuck at 10-bit words, costs more than multiplication', () => {
    const at8 = withWordBits(paper192, 8);
    const energyMj = (primitive: Primitive): number => estimateLayer({ ...quoted, primitive }, at8).energyMj;
    expect(energyMj(Primitive.Multiply)).toBeCloseTo(1.113, 3);
    expect(energyMj(Primitive.Shift)).toBeCloseTo(1.366, 3);
  });

  it('ignore operand widths and groups', () => {
    const dense = estimateLayer(base, paper168);
    expect(estimateLayer({ ...base, operandBits: bits(8), groups: 32 }, paper168)).toEqual(dense);
  });

  it('charge an add layer no DRAM and no buffer, and a shift layer a faster clock', () => {
    const add = estimateLayer({ ...base, primitive: Primitive.Add }, paper168);
    expect([add.byLevel.dramMj, add.byLevel.globalBufferMj]).toEqual([0, 0]);
    const conv = estimateLayer(base, paper168);
    const shift = estimateLayer({ ...base, primitive: Primitive.Shift }, paper168);
    expect(shift.tiling).toEqual(conv.tiling);
    expect(conv.latencyMs / shift.latencyMs).toBeCloseTo(3.2, 12);
  });
});

describe('estimate', () => {
  it('adds layers up and names the profile', () => {
    const parts = [base, quoted, { ...base, primitive: Primitive.Add }];
    const whole = estimate(parts, 'fair');
    const costs = parts.map((part) => estimateLayer(part, fair));
    expect(whole.profile).toBe('fair');
    expect(whole.layers).toEqual(costs);
    expect(whole.energyMj).toBeCloseTo(
      costs.reduce((sum, cost) => sum + cost.energyMj, 0),
      12,
    );
    expect(whole.operations).toBe(costs.reduce((sum, cost) => sum + cost.operations, 0));
    const levels = Object.values(whole.byLevel).reduce((a, b) => a + b, 0);
    expect(levels).toBeCloseTo(whole.energyMj, 12);
  });

  it('prices no layers at nothing', () => {
    expect(estimate([], 'fair')).toMatchObject({ energyMj: 0, latencyMs: 0, operations: 0, layers: [] });
  });
});

describe('refusals', () => {
  const sizeKeys = [
    ...['batch', 'inHeight', 'inWidth', 'inChannels', 'kernel'],
    ...['outHeight', 'outWidth', 'outChannels', 'stride', 'groups', 'copies'],
  ];
  it.each(sizeKeys)('name the layer and %s when it is no positive integer', (key) => {
    for (const value of [
      0,
      -1,
      1.5,
      Number.NaN,
      Infinity,
      2 ** 31,
      ...(key === 'copies' ? [] : [undefined]),
      '3',
    ])
      expect(() => estimateLayer({ ...base, name: 'stem', [key]: value }, fair)).toThrow(
        new RegExp(`layer 'stem': ${key} must be an integer from 1`),
      );
  });

  it('name the width, the primitive and the indivisible channels', () => {
    const price = (change: object): unknown =>
      estimateLayer({ ...base, ...change } as LayerDescription, fair);
    expect(() => price({ operandBits: bits(0, 8) })).toThrow(/operandBits\.weight must be/);
    expect(() => price({ operandBits: undefined })).toThrow(/operandBits\.weight must be/);
    expect(() => price({ primitive: 'divide' })).toThrow(/primitive must be one of multiply, shift, add/);
    expect(() => price({ role: 'heavy' })).toThrow(/role must be one of lightKernel, lightLinear/);
    expect(() => price({ groups: 3 })).toThrow(/inChannels must be a multiple of groups \(3\), got 32/);
    expect(() => price({ groups: 32, outChannels: 33 })).toThrow(/outChannels must be a multiple/);
    expect(() => price({ fullyConnected: true })).toThrow(/inHeight must be 1 in a fully connected layer/);
  });

  it('name the size that overflows the counts', () => {
    const huge = { ...base, inChannels: 2 ** 30, outChannels: 2 ** 20 };
    expect(() => estimateLayer(huge, fair)).toThrow(LayerError);
    expect(() => estimateLayer(huge, fair)).toThrow(/inChannels \(1073741824\) makes the layer too large/);
  });

  it('hold exactly for output maps that no padding below the kernel could make', () => {
    fc.assert(
      fc.property(size(12), size(5), size(4), size(40), fc.boolean(), (map, kernel, stride, out, wide) => {
        const tiny = { ...base, inHeight: map, inWidth: map, outHeight: 1, outWidth: 1, kernel, stride };
        const layer = { ...tiny, [wide ? 'outWidth' : 'outHeight']: out };
        // Spelled out: some padding lets the kernel stand at `out` places.
        const possible = Array.from({ length: 2 * kernel - 1 }, (_, padding) =>
          Math.floor((map + padding - kernel) / stride + 1),
        ).some((places) => places >= out);
        const price = (): unknown => estimateLayer(layer, fair);
        if (possible) expect(price).not.toThrow(LayerError);
        else expect(price).toThrow(wide ? /outWidth \(\d+\) is larger/ : /outHeight \(\d+\) is larger/);
      }),
      { numRuns: 300 },
    );
  });

  it('say which limit of the array refuses a layer, and by how much', () => {
    const tall = { ...base, name: 'tall', inHeight: 97, outHeight: 97 };
    expect(() => estimateLayer(tall, paper168)).toThrow(MappingError);
    expect(() => estimateLayer(tall, paper168)).toThrow(
      /'tall' does not fit profile 'paper-cv-168'.*needs 291 processing elements \(97 output rows x 3 kernel rows\), which must stay below 168\./,
    );
    const wideKernel = { ...base, kernel: 13 };
    expect(() => estimateLayer(wideKernel, fair)).toThrow(
      /needs 13 input register file words, which must stay below 12\./,
    );
    const tallKernel = { ...base, inHeight: 256, outHeight: 256, kernel: 169 };
    expect(() => estimateLayer(tallKernel, fair)).toThrow(
      /needs 169 processing elements \(1 output rows x 169 kernel rows\), which must be at most 168;/,
    );
    const panorama = { ...base, inWidth: 30_000, outWidth: 30_000 };
    // One output row: 3 rows of 30002 inputs and 30000 outputs.
    expect(() => estimateLayer(panorama, fair)).toThrow(
      /needs 120006 global buffer words, which must stay below 65536\./,
    );
    const oneRow = { ...base, inHeight: 2, outHeight: 1, outWidth: 8, stride: 2 };
    expect(() => estimateLayer(oneRow, paper168)).toThrow(SingleRowError);
    expect(() => estimateLayer(oneRow, paper168)).toThrow(/outHeight is 1/);
  });
});
