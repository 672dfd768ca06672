/**
 * @file Layer lists of the published ShiftAddNAS vision networks (You et al., ICML 2022; BossNet-style retraining
 * networks), from their description: stem, four stages of mixed blocks, two heads. They rebuild the totals of the
 * published result folders from nothing but the architecture.
 *
 * A convolution, shift or add block is 1x1, depth-wise 3x3 (position encoding, carries the stride), 3x3, 1x1, all of
 * its own operator, then squeeze-and-excitation by multiplication; an attention block is 1x1, depth-wise 3x3, 1x1 to
 * queries, keys and values, the two products of every head, 1x1. The published model prices the depth-wise layers as
 * dense ones and folds the heads into one product; both is the profile's business, not this list's.
 */
import { fp32OperandBits } from '../csv.js';
import { Primitive, type LayerDescription } from '../layer.js';

/** What a block is made of. */
export type VisionBlock = Primitive | 'attention';

export interface VisionNetwork {
  readonly resolution: number;
  /** Stride of the last stage: 2 in the T0 networks, 1 in the T1 networks. */
  readonly lastStride: 1 | 2;
  readonly stages: readonly (readonly VisionBlock[])[];
}

const { Multiply: C, Add: P, Shift: S } = Primitive;
const A = 'attention';

/** mix_v3: add and shift blocks in the third stage. */
export const version3Stages: readonly (readonly VisionBlock[])[] = [
  [C, C],
  [C, C, C, C],
  [S, C, A, P, P],
  [A, A, C, A, A],
];

/** mix_v4: shift blocks only. */
export const version4Stages: readonly (readonly VisionBlock[])[] = [
  [C, C],
  [C, S, C, C],
  [S, C, A, S, S],
  [A, A, C, A, A],
];

/** The same network with every add and shift block made of multiplications. */
export function multiplicationTwin(stages: VisionNetwork['stages']): VisionNetwork['stages'] {
  return stages.map((blocks) => blocks.map((block) => (block === A ? A : C)));
}

/** The four published retraining networks. */
export const visionNetworks = [
  { name: 'T0_mix_v3', lastStride: 2, stages: version3Stages },
  { name: 'T0_mix_v4', lastStride: 2, stages: version4Stages },
  { name: 'T1_mix_v3', lastStride: 1, stages: version3Stages },
  { name: 'T1_mix_v4', lastStride: 1, stages: version4Stages },
] as const;

interface Sizes {
  readonly batch?: number;
  readonly from: number;
  readonly to?: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly groups?: number;
  readonly copies?: number;
  readonly fullyConnected?: boolean;
}

function layer(name: string, primitive: Primitive, sizes: Sizes): LayerDescription {
  const { batch = 1, from, to = from, inChannels, outChannels, kernel = 1, stride = 1, groups = 1 } = sizes;
  return {
    name,
    primitive,
    fullyConnected: sizes.fullyConnected ?? false,
    batch,
    inHeight: from,
    inWidth: from,
    inChannels,
    kernel,
    outHeight: to,
    outWidth: to,
    outChannels,
    stride,
    groups,
    ...(sizes.copies !== undefined && { copies: sizes.copies }),
    operandBits: fp32OperandBits(primitive),
  };
}

/** The priced layers of a network in order of execution, for one image. `resolution` is a multiple of 32. */
export function visionNetwork({ resolution, lastStride, stages }: VisionNetwork): LayerDescription[] {
  const stem = { from: resolution, to: resolution / 2, inChannels: 3, outChannels: 64, kernel: 7, stride: 2 };
  const layers = [layer('stem', Primitive.Multiply, stem)];
  let map = resolution / 4;
  let channels = 64;
  stages.forEach((blocks, stage) => {
    const planes = 64 * 2 ** stage;
    const width = 4 * planes;
    blocks.forEach((block, index) => {
      const stride = index > 0 ? 1 : [1, 2, 2, lastStride][stage]!;
      const out = Math.ceil(map / stride);
      const primitive = block === A ? Primitive.Multiply : block;
      const add = (name: string, sizes: Sizes, of = primitive): number =>
        layers.push(layer(`L${stage + 1}.${index}.${name}`, of, sizes));
      const positions = (width: number): Sizes => ({
        ...{ from: map, to: out, inChannels: width, outChannels: width },
        ...{ kernel: 3, stride, groups: width },
      });
      if (stride === 2 || channels !== width)
        add('down', { from: out, inChannels: channels, outChannels: width });
      if (block === A) {
        const heads = 2 ** stage;
        const inner = 64 * heads;
        const tokens = out * out;
        const product = { from: 1, fullyConnected: true, copies: heads };
        add('conv1', { from: map, inChannels: channels, outChannels: inner });
        add('peg', positions(inner));
        add('qkv', { from: out, inChannels: inner, outChannels: 3 * inner });
        add('qk', { ...product, batch: tokens, inChannels: 64, outChannels: tokens });
        add('av', { ...product, batch: 64, inChannels: tokens, outChannels: tokens });
        add('proj', { from: out, inChannels: inner, outChannels: width });
      } else {
        add('conv1', { from: map, inChannels: channels, outChannels: planes });
        add('peg', positions(planes));
        add('conv2', { from: out, inChannels: planes, outChannels: planes, kernel: 3 });
        add('conv3', { from: out, inChannels: planes, outChannels: width });
        add('se1', { from: 1, inChannels: width, outChannels: width / 16 }, Primitive.Multiply);
        add('se2', { from: 1, inChannels: width / 16, outChannels: width }, Primitive.Multiply);
      }
      map = out;
      channels = width;
    });
  });
  const head = { from: 1, inChannels: 2048, outChannels: 1000, fullyConnected: true };
  return [...layers, ...['class', 'distillation'].map((of) => layer(`head.${of}`, Primitive.Multiply, head))];
}
