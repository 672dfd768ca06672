/**
 * @file Layer lists of the published ShiftAddNAS vision models, from their description: stem, four stages of mixed
 * blocks, two heads. They rebuild the totals of the published result folders from nothing but the architecture.
 */
import { fp32OperandBits } from './csv.js';
import { Primitive, type LayerDescription } from './layer.js';

/** What a block is made of. */
export type PaperBlock = Primitive | 'attention';

export interface PaperNetwork {
  readonly resolution: number;
  /** Stride of the last stage: 2 in the T0 models, 1 in the T1 models. */
  readonly lastStride: 1 | 2;
  readonly stages: readonly (readonly PaperBlock[])[];
}

const { Multiply: C, Add: P, Shift: S } = Primitive;
const A = 'attention';
export const version3Stages: readonly (readonly PaperBlock[])[] = [
  [C, C],
  [C, C, C, C],
  [S, C, A, P, P],
  [A, A, C, A, A],
];

interface Sizes {
  readonly batch?: number;
  readonly from: number;
  readonly to?: number;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernel?: number;
  readonly stride?: number;
  readonly fullyConnected?: boolean;
}

function layer(primitive: Primitive, sizes: Sizes): LayerDescription {
  const { batch = 1, from, to = from, inChannels, outChannels, kernel = 1, stride = 1 } = sizes;
  return {
    name: `${primitive} ${kernel}x${kernel} ${inChannels}-${outChannels} at ${from}`,
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
    groups: 1,
    operandBits: fp32OperandBits(primitive),
  };
}

/** The priced layers of a model; position encodings stand as dense 3x3 layers, as the published model prices them. */
export function paperNetwork({ resolution, lastStride, stages }: PaperNetwork): LayerDescription[] {
  const layers = [
    layer(Primitive.Multiply, {
      from: resolution,
      to: resolution / 2,
      inChannels: 3,
      outChannels: 64,
      kernel: 7,
      stride: 2,
    }),
  ];
  let map = resolution / 4;
  let channels = 64;
  stages.forEach((blocks, stage) => {
    const planes = 64 * 2 ** stage;
    const width = 4 * planes;
    blocks.forEach((block, index) => {
      const stride = index > 0 ? 1 : [1, 2, 2, lastStride][stage]!;
      const out = Math.ceil(map / stride);
      const primitive = block === 'attention' ? Primitive.Multiply : block;
      const add = (sizes: Sizes, of = primitive): number => layers.push(layer(of, sizes));
      if (stride === 2 || channels !== width) add({ from: out, inChannels: channels, outChannels: width });
      if (block === 'attention') {
        const heads = 2 ** stage;
        const inner = 64 * heads;
        const tokens = out * out;
        const product = { from: 1, fullyConnected: true };
        add({ from: map, inChannels: channels, outChannels: inner });
        add({ from: map, to: out, inChannels: inner, outChannels: inner, kernel: 3, stride });
        add({ from: out, inChannels: inner, outChannels: 3 * inner });
        add({ ...product, batch: heads * tokens, inChannels: 64, outChannels: tokens });
        add({ ...product, batch: inner, inChannels: tokens, outChannels: tokens });
        add({ from: out, inChannels: inner, outChannels: width });
      } else {
        add({ from: map, inChannels: channels, outChannels: planes });
        add({ from: map, to: out, inChannels: planes, outChannels: planes, kernel: 3, stride });
        add({ from: out, inChannels: planes, outChannels: planes, kernel: 3 });
        add({ from: out, inChannels: planes, outChannels: width });
        add({ from: 1, inChannels: width, outChannels: width / 16 }, Primitive.Multiply);
        add({ from: 1, inChannels: width / 16, outChannels: width }, Primitive.Multiply);
      }
      map = out;
      channels = width;
    });
  });
  const head = layer(Primitive.Multiply, {
    from: 1,
    inChannels: 2048,
    outChannels: 1000,
    fullyConnected: true,
  });
  return [...layers, head, head];
}
