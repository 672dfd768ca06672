/**
 * @file The published ShiftAddNAS figures (You et al., ICML 2022: result folders and tables of GATECH-EIC/ShiftAddNAS)
 * beside what the `paper` profiles come to. The claim is exactness, so the bounds are the rounding of the printed digits.
 *
 * Where the authors published no figure (what-if questions about their own model), the figure is that of a second,
 * independent implementation of the published model that reproduces all of its files; the source says so.
 */
import { estimate, networkCost, type LayerCost, type NetworkCost } from '../estimate.js';
import { compareWithGolden } from '../golden.js';
import { Primitive, type LayerDescription, type OperandBits } from '../layer.js';
import type { AcceleratorProfile } from '../profile-schema.js';
import { loadProfile } from '../profile.js';
import { ShiftedLinears, translationNetwork, translationNetworks } from '../published/translation.js';
import {
  multiplicationTwin,
  version3Stages,
  version4Stages,
  visionNetwork,
  type VisionNetwork,
} from '../published/vision.js';
import type { Anchor } from './anchor.js';

const folders = 'GATECH-EIC/ShiftAddNAS, CV/retraining_hybrid/hw_record';
const translation = 'GATECH-EIC/ShiftAddNAS, NLP/en-de (record and sim files)';
const independent = 'independent implementation of the published model';

/** All figures of the published cost model that we reproduce. Computing them takes about a second. */
export function paperAnchors(): readonly Anchor[] {
  return [
    ...goldenAnchors(),
    ...quotedLayerAnchors(),
    ...visionAnchors(),
    ...operationAnchors(),
    ...twinAnchors(),
    ...whatIfAnchors(),
    ...translationAnchors(),
  ];
}

/** An anchor that claims agreement to the digits printed. */
function printed(
  name: string,
  source: string,
  ours: number,
  published: number,
  decimals: number,
  unit: string,
  note?: string,
): Anchor {
  // A hair above half a digit: the figure may have been rounded from a sum of rounded ones' binary neighbours.
  const bound = (0.5 * 10 ** -decimals * (1 + 1e-6)) / Math.abs(published);
  return { name, source, ours, published, unit, bound, ...(note !== undefined && { note }) };
}

function goldenAnchors(): readonly Anchor[] {
  const { tables, tolerance } = compareWithGolden();
  return tables.map(({ file, rows, matched, largestDeviation }) => ({
    name: `layers of ${file} with all figures equal`,
    source: `${folders}, NLP/en-de/sim`,
    ours: matched,
    published: rows,
    unit: 'layers',
    bound: 0,
    note: `within ${tolerance} relative, largest deviation ${largestDeviation.toExponential(1)}`,
  }));
}

const allBits = (bits: number): OperandBits => ({ weight: bits, activation: bits, partialSum: bits });

/** The layer on which the published model is usually quoted: 3x3, 64 to 64 channels at 56x56. */
function quotedLayer(primitive: Primitive): LayerDescription {
  return {
    name: `${primitive} 3x3, 64 to 64 channels at 56x56`,
    primitive,
    fullyConnected: false,
    ...{ batch: 1, inHeight: 56, inWidth: 56, inChannels: 64, kernel: 3 },
    ...{ outHeight: 56, outWidth: 56, outChannels: 64, stride: 1, groups: 1 },
    operandBits: allBits(32),
  };
}

function quotedLayerAnchors(): readonly Anchor[] {
  const paper = loadProfile('paper-cv-192');
  const even = { ...paper, primitiveRules: {} };
  const cases: readonly (readonly [Primitive, AcceleratorProfile, number, number, string])[] = [
    [Primitive.Multiply, paper, 32, 4.913, 'as published'],
    [Primitive.Add, paper, 32, 4.001, 'as published'],
    [Primitive.Shift, paper, 32, 1.417, 'as published'],
    [Primitive.Add, even, 32, 4.59, 'with equal memory widths and levels'],
    [Primitive.Shift, even, 32, 4.501, 'with equal memory widths and levels'],
    [Primitive.Multiply, paper, 8, 1.113, '8 bit, as published'],
    [
      Primitive.Shift,
      paper,
      8,
      1.366,
      '8 bit, as published: 10-bit words make it dearer than multiplication',
    ],
  ];
  return cases.map(([primitive, profile, wordBits, published, how]) =>
    printed(
      `${quotedLayer(primitive).name}, ${how}`,
      independent,
      estimate([quotedLayer(primitive)], profile, { wordBits }).energyMj,
      published,
      3,
      'mJ',
    ),
  );
}

const visionCost = (network: VisionNetwork, profile: AcceleratorProfile | string): NetworkCost =>
  estimate(visionNetwork(network), profile);

type Kind = 'conv' | 'linear' | 'matmul' | 'add' | 'shift';

interface VisionFolder {
  readonly name: string;
  readonly resolution: number;
  readonly lastStride: 1 | 2;
  readonly energyMj: number;
  readonly latencyMs: number;
  /** mJ of compute, DRAM, global buffer, network, register files. */
  readonly levels: readonly number[];
  /** mJ and ms by kind of layer. */
  readonly kinds: Readonly<Record<Kind, readonly [energyMj: number, latencyMs: number]>>;
}

/** Sums of the published per-layer files. */
const visionFolders: readonly VisionFolder[] = [
  {
    ...{ name: 'T0_mix_v3-224', resolution: 224, lastStride: 2, energyMj: 242.264, latencyMs: 206.402 },
    levels: [17.06, 30.58, 18.63, 27.61, 148.39],
    kinds: {
      conv: [211.5, 173.16],
      linear: [1.86, 0.1],
      matmul: [1.45, 1.29],
      add: [20.76, 25.69],
      shift: [6.69, 6.16],
    },
  },
  {
    ...{ name: 'T0_mix_v3-256', resolution: 256, lastStride: 2, energyMj: 310.452, latencyMs: 255.599 },
    levels: [22.32, 34.2, 24.7, 35.31, 193.92],
    kinds: {
      conv: [270.48, 213.16],
      linear: [1.86, 0.1],
      matmul: [2.34, 1.57],
      add: [27.11, 33.55],
      shift: [8.65, 7.21],
    },
  },
  {
    ...{ name: 'T1_mix_v3-224', resolution: 224, lastStride: 1, energyMj: 440.619, latencyMs: 387.655 },
    levels: [33.29, 41.17, 42.31, 50.68, 273.17],
    kinds: {
      conv: [403.37, 349.32],
      linear: [1.86, 0.1],
      matmul: [7.94, 6.38],
      add: [20.76, 25.69],
      shift: [6.69, 6.16],
    },
  },
  {
    ...{ name: 'T1_mix_v3_Q-256', resolution: 256, lastStride: 1, energyMj: 572.399, latencyMs: 464.79 },
    levels: [43.73, 56.8, 47.54, 66.1, 358.22],
    kinds: {
      conv: [521.17, 414.49],
      linear: [1.86, 0.1],
      matmul: [13.6, 9.44],
      add: [27.11, 33.55],
      shift: [8.65, 7.21],
    },
  },
];

function kindOf({ name, primitive }: LayerCost): Kind {
  if (primitive === Primitive.Add) return 'add';
  if (primitive === Primitive.Shift) return 'shift';
  if (name.startsWith('head.')) return 'linear';
  return /\.(qk|av)$/.test(name) ? 'matmul' : 'conv';
}

function visionAnchors(): readonly Anchor[] {
  return visionFolders.flatMap(({ name, resolution, lastStride, energyMj, latencyMs, levels, kinds }) => {
    const cost = visionCost({ resolution, lastStride, stages: version3Stages }, 'paper-cv-168');
    const { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj } = cost.byLevel;
    const ours = [computeMj, dramMj, globalBufferMj, nocMj, registerFileMj];
    return [
      printed(`${name}: energy`, folders, cost.energyMj, energyMj, 3, 'mJ'),
      printed(`${name}: latency`, folders, cost.latencyMs, latencyMs, 3, 'ms'),
      ...['compute', 'DRAM', 'global buffer', 'network', 'register files'].map((level, at) =>
        printed(`${name}: energy of ${level}`, folders, ours[at]!, levels[at]!, 2, 'mJ'),
      ),
      ...(Object.keys(kinds) as Kind[]).flatMap((kind) => {
        const part = networkCost(
          cost.profile,
          cost.layers.filter((layer) => kindOf(layer) === kind),
        );
        return [
          printed(`${name}: energy of ${kind} layers`, folders, part.energyMj, kinds[kind][0], 2, 'mJ'),
          printed(`${name}: latency of ${kind} layers`, folders, part.latencyMs, kinds[kind][1], 2, 'ms'),
        ];
      }),
    ];
  });
}

/** Operations in G: as priced (depth-wise layers dense), and as they are. */
function operationAnchors(): readonly Anchor[] {
  const cases = [
    ['T0_mix_v3', 224, 2, 5.586, 3.747],
    ['T0_mix_v3', 256, 2, 7.307, 4.904],
    ['T0_mix_v3', 288, 2, 9.263, 6.223],
    ['T1_mix_v3', 224, 1, 9.973, 6.403],
    ['T1_mix_v3', 256, 1, 13.095, 8.432],
  ] as const;
  return cases.flatMap(([name, resolution, lastStride, priced, real]) => {
    const operations = (profile: string): number =>
      visionCost({ resolution, lastStride, stages: version3Stages }, profile).operations / 1e9;
    const title = `${name}-${resolution}: operations`;
    return [
      printed(`${title} as priced`, folders, operations('paper-cv-168'), priced, 3, 'G'),
      printed(`${title}, depth-wise as such`, independent, operations('fair'), real, 3, 'G'),
    ];
  });
}

/** The networks with every add and shift block multiplied out, with fewer than 192 processing elements. */
function twinAnchors(): readonly Anchor[] {
  const cases = [
    ['T0', 224, 2, 265.44],
    ['T0', 256, 2, 344.71],
    ['T0', 288, 2, 429.17],
    ['T1', 224, 1, 461.69],
    ['T1', 256, 1, 606.66],
  ] as const;
  const energyMj = (network: VisionNetwork): number => visionCost(network, 'paper-cv-192').energyMj;
  const twins = cases.map(([name, resolution, lastStride, published]) =>
    printed(
      `${name}-${resolution}: energy of the all-multiplication twin`,
      independent,
      energyMj({ resolution, lastStride, stages: multiplicationTwin(version3Stages) }),
      published,
      2,
      'mJ',
    ),
  );
  const mixed: readonly (readonly [string, 1 | 2, VisionNetwork['stages'], number, number])[] = [
    ['T0_mix_v3', 2, version3Stages, 10, 0],
    ['T0_mix_v4', 2, version4Stages, 18, 0],
    ['T1_mix_v3', 1, version3Stages, 6, 0],
    ['T1_mix_v4', 1, version4Stages, 10.5, 1],
  ];
  const savings = mixed.map(([name, lastStride, stages, published, decimals]) => {
    const whole = { resolution: 256, lastStride };
    const saved =
      1 - energyMj({ ...whole, stages }) / energyMj({ ...whole, stages: multiplicationTwin(stages) });
    const title = `${name}-256: energy saved against its all-multiplication twin`;
    return printed(title, independent, 100 * saved, published, decimals, '%');
  });
  return [...twins, ...savings];
}

/** What the published oddities are worth on T0_mix_v3 at 256 px, with fewer than 192 processing elements. */
function whatIfAnchors(): readonly Anchor[] {
  const paper = loadProfile('paper-cv-192');
  const layers = visionNetwork({ resolution: 256, lastStride: 2, stages: version3Stages });
  // That implementation folds the channels of a depth-wise layer into the batch, so that all share one filter.
  const folded = layers.map((layer) =>
    layer.groups > 1 ? { ...layer, batch: layer.groups, inChannels: 1, outChannels: 1, groups: 1 } : layer,
  );
  const grouped = estimate(folded, paper);
  const charged = estimate(layers, { ...paper, primitiveRules: { shift: paper.primitiveRules!.shift! } });
  const plain = estimate(layers, paper);
  const title = 'T0_mix_v3-256';
  return [
    printed(`${title}: energy, fewer than 192 PEs`, independent, plain.energyMj, 310.34, 2, 'mJ'),
    printed(`${title}: latency, fewer than 192 PEs`, independent, plain.latencyMs, 253.8, 1, 'ms'),
    printed(
      `${title}: energy, depth-wise layers priced as such`,
      independent,
      grouped.energyMj,
      208.9,
      2,
      'mJ',
    ),
    printed(
      `${title}: latency, depth-wise layers priced as such`,
      independent,
      grouped.latencyMs,
      158.3,
      1,
      'ms',
    ),
    printed(
      `${title}: energy, add layers charged for their memory`,
      independent,
      charged.energyMj,
      321.13,
      2,
      'mJ',
    ),
  ];
}

type TranslationName = keyof typeof translationNetworks;

const plotted = 'energy and latency as plotted';

/** mJ and ms under the committed table, mJ at 8 bit (where known). */
const translationFigures: Readonly<
  Record<
    TranslationName,
    readonly [energyMj: number, latencyMs: number, source: string, energy8BitMj?: number]
  >
> = {
  'transformer-base': [69.41, 41.82, translation, 15.69],
  'transformer-big': [214.34, 130.25, translation, 48.31],
  'transformer-small': [35.64, 21.18, translation],
  'found-100': [41.18, 25.17, translation, 9.46],
  'found-120': [37.3, 22.84, translation, 8.63],
  'found-150': [49.18, 30.22, translation, 11.25],
  'found-180': [56.26, 34.51, translation, 12.81],
  'found-200': [61.12, 37.73, translation, 13.98],
  'found-250': [64.49, 39.75, translation, 14.74],
  'found-300': [54.1, 33.17, translation, 12.36],
  'found-350': [70.04, 43.1, translation, 15.94],
  'found-400': [73.31, 45.08, independent],
};

/** mJ with the feed-forward linears made of shifts, and with all linears made of shifts. */
const shiftedFigures: readonly (readonly [TranslationName, number, number])[] = [
  ['transformer-base', 41.86, 20.99],
  ['found-200', 32.43, 18.8],
  ['found-350', 35.62, 21.41],
];

function translationAnchors(): readonly Anchor[] {
  const cost = (
    name: TranslationName,
    profile: string,
    shifted = ShiftedLinears.None,
    wordBits = 32,
  ): NetworkCost => estimate(translationNetwork(translationNetworks[name], shifted), profile, { wordBits });
  const committed = (Object.keys(translationFigures) as TranslationName[]).flatMap((name) => {
    const [energyMj, latencyMs, source, energy8BitMj] = translationFigures[name];
    const ours = cost(name, 'paper-nlp-aug');
    const narrow = (): number => cost(name, 'paper-nlp-aug', ShiftedLinears.None, 8).energyMj;
    return [
      printed(`${name}: energy`, source, ours.energyMj, energyMj, 2, 'mJ', plotted),
      printed(`${name}: latency`, source, ours.latencyMs, latencyMs, 2, 'ms', plotted),
      ...(energy8BitMj === undefined
        ? []
        : [printed(`${name}: energy at 8 bit`, independent, narrow(), energy8BitMj, 2, 'mJ')]),
    ];
  });
  const shifted = shiftedFigures.flatMap(([name, feedForwardMj, allMj]) =>
    (
      [
        ['feed-forward linears made of shifts', ShiftedLinears.FeedForward, feedForwardMj],
        ['all linears made of shifts', ShiftedLinears.All, allMj],
      ] as const
    ).map(([how, which, published]) =>
      printed(
        `${name}: energy, ${how}`,
        independent,
        cost(name, 'paper-nlp-aug', which).energyMj,
        published,
        2,
        'mJ',
      ),
    ),
  );
  const older = 'older unit table (paper-nlp-pre)';
  return [
    ...committed,
    ...shifted,
    printed(
      'found-150: energy, older table',
      translation,
      cost('found-150', 'paper-nlp-pre').energyMj,
      49.76,
      2,
      'mJ',
      older,
    ),
    printed(
      'found-250: latency, older table',
      translation,
      cost('found-250', 'paper-nlp-pre').latencyMs,
      40.06,
      2,
      'ms',
      older,
    ),
    printed(
      'found-300: latency, older table',
      translation,
      cost('found-300', 'paper-nlp-pre').latencyMs,
      33.41,
      2,
      'ms',
      older,
    ),
  ];
}
