/**
 * @file Layers of odd shapes and the definitions of the convolution-like ops in plain double loops, to check the native
 * device on any instruction set, in a test or in a child process of one.
 */
import { Random } from '../../base/random.js';
import type { ConvGeometry, Kernels } from '../kernels.js';

/** A 3x3 layer of 16 channels on 9x11 maps, with changes. */
export function geometry(changes: Partial<ConvGeometry>): ConvGeometry {
  return {
    batch: 5,
    inHeight: 9,
    inWidth: 11,
    inChannels: 16,
    outHeight: 9,
    outWidth: 11,
    outChannels: 16,
    kernelHeight: 3,
    kernelWidth: 3,
    stride: 1,
    padTop: 1,
    padLeft: 1,
    groups: 1,
    ...changes,
  };
}

/** Odd sizes, channels, strides, groups and paddings. */
export const geometries: readonly (readonly [string, ConvGeometry])[] = [
  [
    '3 to 17 channels, stride 2',
    geometry({ inChannels: 3, outChannels: 17, stride: 2, outHeight: 5, outWidth: 6 }),
  ],
  ['1 to 5 channels', geometry({ inChannels: 1, outChannels: 5 })],
  ['16 to 8 channels', geometry({ outChannels: 8 })],
  ['8 to 48 channels', geometry({ inChannels: 8, outChannels: 48 })],
  ['40 to 33 channels', geometry({ batch: 3, inChannels: 40, outChannels: 33 })],
  [
    '1x1 stride 2',
    geometry({
      kernelHeight: 1,
      kernelWidth: 1,
      padTop: 0,
      padLeft: 0,
      stride: 2,
      outHeight: 5,
      outWidth: 6,
    }),
  ],
  [
    'a linear layer',
    geometry({
      batch: 70,
      inHeight: 1,
      inWidth: 1,
      inChannels: 64,
      outHeight: 1,
      outWidth: 1,
      outChannels: 10,
      kernelHeight: 1,
      kernelWidth: 1,
      padTop: 0,
      padLeft: 0,
    }),
  ],
  ['three groups', geometry({ inChannels: 12, outChannels: 15, groups: 3 })],
  ['three groups of eight', geometry({ inChannels: 24, outChannels: 24, groups: 3 })],
  [
    'depth-wise, stride 2',
    geometry({ inChannels: 19, outChannels: 19, groups: 19, stride: 2, outHeight: 5, outWidth: 6 }),
  ],
  [
    'more taps than one go, padded unevenly',
    geometry({
      batch: 2,
      inChannels: 5,
      outChannels: 17,
      kernelHeight: 9,
      kernelWidth: 8,
      padTop: 7,
      padLeft: 2,
      outHeight: 8,
      outWidth: 6,
    }),
  ],
  [
    'stride beyond the kernel',
    geometry({ inChannels: 5, outChannels: 3, stride: 4, padTop: 0, padLeft: 0, outHeight: 2, outWidth: 3 }),
  ],
  [
    'more taps than one go in every phase of the input gradient',
    geometry({
      batch: 2,
      inChannels: 2,
      outChannels: 4,
      kernelHeight: 19,
      kernelWidth: 18,
      stride: 2,
      padTop: 9,
      padLeft: 8,
      outHeight: 5,
      outWidth: 6,
    }),
  ],
  ...manyTaps(),
  ...blocksOfChannels(),
  ...groupsByLane(),
  ...bands(),
];

/**
 * Destination channels that the C code covers with several kinds of blocks: two vectors, one of which every load feeds
 * two, half a one; with sources that allow only some of them.
 */
function blocksOfChannels(): [string, ConvGeometry][] {
  const channels = [3, 4, 6, 10, 12, 20, 24, 28, 40, 48];
  return channels.flatMap((outChannels) =>
    [6, 7, 8].map((inChannels): [string, ConvGeometry] => [
      `${inChannels} to ${outChannels} channels`,
      geometry({ batch: 2, inHeight: 5, inWidth: 6, outHeight: 5, outWidth: 6, inChannels, outChannels }),
    ]),
  );
}

/** One, two and four channels in a group, in whole vectors and not, with kernels of many and few taps. */
function groupsByLane(): [string, ConvGeometry][] {
  return [1, 2, 4].flatMap((inGroup) =>
    [5, 16].flatMap((groups): [string, ConvGeometry][] => {
      const layer = { groups, inChannels: groups * inGroup, outChannels: groups * inGroup };
      const name = `${groups} groups of ${inGroup}`;
      return [
        [name, geometry(layer)],
        [`${name}, stride 2`, geometry({ ...layer, stride: 2, outHeight: 5, outWidth: 6 })],
        [`${name}, no padding`, geometry({ ...layer, padTop: 0, padLeft: 0, outHeight: 7, outWidth: 9 })],
        [
          `${name}, 5x7`,
          geometry({ ...layer, batch: 2, kernelHeight: 5, kernelWidth: 7, padTop: 2, padLeft: 3 }),
        ],
      ];
    }),
  );
}

/** Bands of the C code that hold many images, many bands in an image, and a row too long for a band. */
function bands(): [string, ConvGeometry][] {
  const maps = (size: number, width: number, batch: number): Partial<ConvGeometry> => ({
    batch,
    inHeight: size,
    inWidth: width,
    outHeight: size,
    outWidth: width,
  });
  const small = { inChannels: 4, outChannels: 5 };
  const point = { kernelHeight: 1, kernelWidth: 1, padTop: 0, padLeft: 0 };
  return [
    ['a hundred maps of 2x3', geometry({ ...maps(2, 3, 100), ...small })],
    ['a hundred maps of 1x1', geometry({ ...maps(1, 1, 100), ...small })],
    ['maps of 90x90', geometry({ ...maps(90, 90, 2), ...small })],
    [
      'maps of 23x41, 7 by 5 taps',
      geometry({ ...maps(23, 41, 2), ...small, kernelHeight: 7, kernelWidth: 5, padTop: 3, padLeft: 2 }),
    ],
    [
      'rows of 500 pixels, depth-wise',
      geometry({ ...maps(2, 500, 1), inChannels: 70, outChannels: 70, groups: 70 }),
    ],
    ['rows of 500 pixels', geometry({ ...maps(2, 500, 1), inChannels: 70, outChannels: 3 })],
    ['1x1 on 7x5 maps', geometry({ ...maps(7, 5, 70), ...point, inChannels: 24, outChannels: 18 })],
    ['1x1 on 6x1 maps', geometry({ ...maps(6, 1, 70), ...point, inChannels: 18, outChannels: 24 })],
    [
      '1x1 beyond the map',
      geometry({ ...maps(6, 4, 2), ...small, kernelHeight: 1, kernelWidth: 1, outHeight: 8, outWidth: 6 }),
    ],
  ];
}

/**
 * Kernels of more taps than the C code takes in one go (64), for every way it lays out weights: a few source channels
 * times a few destination channels are folded by two or four, depending on both and on the width of the vectors (4, 8
 * or 16 lanes). Input gradients swap the two, and with a stride have a part of the taps per phase.
 */
function manyTaps(): [string, ConvGeometry][] {
  const kernels = [
    [9, 9],
    [10, 7],
    [1, 70],
  ] as const;
  const layers = [
    [4, 2, 1],
    [2, 4, 1],
    [4, 4, 1],
    [4, 8, 1],
    [8, 3, 1],
    [6, 8, 1],
    [6, 16, 1],
    [3, 7, 1],
    [3, 40, 1],
    [8, 16, 2],
    [12, 6, 3],
    [6, 12, 3],
  ] as const;
  return kernels.flatMap(([kernelHeight, kernelWidth]) =>
    layers.map(([inChannels, outChannels, groups]): [string, ConvGeometry] => [
      `${kernelHeight}x${kernelWidth}, ${inChannels} to ${outChannels} channels, ${groups} groups`,
      geometry({
        batch: 2,
        inHeight: 5,
        inWidth: 7,
        inChannels,
        outHeight: 5,
        outWidth: 7,
        outChannels,
        kernelHeight,
        kernelWidth,
        padTop: kernelHeight >> 1,
        padLeft: kernelWidth - 3, // so that the last taps meet the map, not only padding
        groups,
      }),
    ]),
  );
}

/** Reproducible values between -1 and 1 in a buffer of the device. */
export function values(kernels: Kernels, length: number, label: string): Float32Array {
  const random = Random.stream(7, label);
  const buffer = kernels.allocate(length);
  for (let i = 0; i < length; i++) buffer[i] = 2 * random.uniform() - 1;
  return buffer;
}

/** All six convolution-like ops of one layer. */
export function convolutionResults(kernels: Kernels, g: ConvGeometry): Record<string, Float32Array> {
  const x = values(kernels, g.batch * g.inHeight * g.inWidth * g.inChannels, 'x');
  const w = values(kernels, g.kernelHeight * g.kernelWidth * (g.inChannels / g.groups) * g.outChannels, 'w');
  const dy = values(kernels, g.batch * g.outHeight * g.outWidth * g.outChannels, 'dy');
  const into = (like: Float32Array, run: (out: Float32Array) => void): Float32Array => {
    const out = kernels.allocate(like.length).fill(NaN);
    run(out);
    return out;
  };
  return {
    y: into(dy, (out) => kernels.conv2dForward(g, x, w, out)),
    dx: into(x, (out) => kernels.conv2dInputGradient(g, dy, w, out)),
    dw: into(w, (out) => kernels.conv2dWeightGradient(g, x, dy, out)),
    l1: into(dy, (out) => kernels.l1Forward(g, x, w, out)),
    l1dx: into(x, (out) => kernels.l1InputGradient(g, x, w, dy, out)),
    l1dw: into(w, (out) => kernels.l1WeightGradient(g, x, w, dy, out)),
  };
}

/** The definitions, tap by tap, in double. */
function definitions(kernels: Kernels, g: ConvGeometry): Record<string, Float64Array> {
  const inGroup = g.inChannels / g.groups;
  const outGroup = g.outChannels / g.groups;
  const x = values(kernels, g.batch * g.inHeight * g.inWidth * g.inChannels, 'x');
  const w = values(kernels, g.kernelHeight * g.kernelWidth * inGroup * g.outChannels, 'w');
  const dy = values(kernels, g.batch * g.outHeight * g.outWidth * g.outChannels, 'dy');
  const like = (other: Float32Array): Float64Array => new Float64Array(other.length);
  const [y, dx, dw, l1, l1dx, l1dw] = [like(dy), like(x), like(w), like(dy), like(x), like(w)];
  for (let n = 0; n < g.batch; n++)
    for (let h = 0; h < g.outHeight; h++)
      for (let v = 0; v < g.outWidth; v++)
        for (let o = 0; o < g.outChannels; o++) {
          const out = ((n * g.outHeight + h) * g.outWidth + v) * g.outChannels + o;
          const slope = dy[out]!;
          for (let a = 0; a < g.kernelHeight; a++)
            for (let b = 0; b < g.kernelWidth; b++)
              for (let c = 0; c < inGroup; c++) {
                const [ih, iw] = [h * g.stride - g.padTop + a, v * g.stride - g.padLeft + b];
                const inside = ih >= 0 && ih < g.inHeight && iw >= 0 && iw < g.inWidth;
                const channel = Math.floor(o / outGroup) * inGroup + c;
                const at = ((n * g.inHeight + ih) * g.inWidth + iw) * g.inChannels + channel;
                const value = inside ? x[at]! : 0;
                const tap = ((a * g.kernelWidth + b) * inGroup + c) * g.outChannels + o;
                const weight = w[tap]!;
                y[out]! += value * weight;
                l1[out]! -= Math.abs(value - weight);
                dw[tap]! += slope * value;
                l1dw[tap]! += slope * (value - weight);
                if (!inside) continue;
                dx[at]! += slope * weight;
                l1dx[at]! += slope * Math.max(-1, Math.min(1, weight - value));
              }
        }
  return { y, dx, dw, l1, l1dx, l1dw };
}

function largestError(actual: Float32Array, expected: Float64Array): number {
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!) / (1 + Math.abs(expected[i]!));
    if (!(error <= worst)) worst = error; // a NaN counts as worst
  }
  return worst;
}

/** Throws, naming all of them, when ops of some layers are further from their definitions than rounding explains. */
export function checkDefinitions(kernels: Kernels): void {
  const failures: string[] = [];
  for (const [name, g] of geometries) {
    const [actual, expected] = [convolutionResults(kernels, g), definitions(kernels, g)];
    for (const [op, exact] of Object.entries(expected)) {
      const error = largestError(actual[op]!, exact);
      if (!(error < 3e-5)) failures.push(`${op} of ${name} is off by ${error}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.join('\n'));
}
