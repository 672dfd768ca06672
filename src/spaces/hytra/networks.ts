/**
 * @file The networks of the space of ShiftAddNAS: paths through its supernet, and the networks that are retrained.
 */
import type { Architecture, BlockDescription, StemDescription } from '../architecture.js';
import { BlockKind } from '../architecture.js';
import { expandStem, fixedFamily } from '../blocks/ends.js';
import { inputName, NodeList, type FeatureMap } from '../nodes.js';
import {
  candidateBlock,
  expansion,
  mapBehind,
  retrainedStyle,
  supernetStyle,
  type BlockStyle,
  type Place,
} from './candidates.js';
import { NetworkForm, type HytraSettings } from './options.js';

/** Families of the layers, stage by stage. */
export type StageFamilies = readonly (readonly string[])[];

/** Retrained networks are so many times as wide as they were while searching. */
const widening = 2;

type Body = Pick<Architecture, 'input' | 'classes' | 'stem' | 'blocks' | 'classifier'>;

/** The network of these families in the form that the settings say. */
export function hytraNetwork(settings: HytraSettings, families: StageFamilies): Body {
  return settings.network === NetworkForm.Searched
    ? searchedNetwork(settings, families)
    : retrainedNetwork(settings, families);
}

/** A path through the supernet; its first layer is met with a quarter of its channels. */
function searchedNetwork(settings: HytraSettings, families: StageFamilies): Body {
  const { stageChannels } = settings;
  const before = mapOfStem(settings);
  const adapter = adapterBlock(before, stageChannels[0]! / expansion, 1);
  const layers = blocksOf(families, { ...before, channels: adapter.outChannels }, supernetStyle, (place) => ({
    ...place,
    name: `layer${place.layer}.scale${place.stage}`,
    stage: place.stage + 1,
    stride: place.stage > 0 && place.isFirst ? 2 : 1,
    outChannels: stageChannels[place.stage]!,
  }));
  return { ...ends(settings), blocks: [adapter, ...layers] };
}

/** As ShiftAddNAS retrains what it finds: cv-search 6.1. */
function retrainedNetwork(settings: HytraSettings, families: StageFamilies): Body {
  const { stageChannels, lastStride } = settings;
  const blocks = blocksOf(families, mapOfStem(settings), retrainedStyle, (place) => {
    const isLast = place.stage === stageChannels.length - 1;
    const stride = place.stage === 0 || !place.isFirst ? 1 : isLast ? lastStride : 2;
    return {
      ...place,
      ...{ name: `stage${place.stage}.block${place.at}`, stride },
      outChannels: widening * stageChannels[place.stage]!,
    };
  });
  return { ...ends(settings), blocks, classifier: { heads: 2 } };
}

/** Between the stem's map and a first layer on a map that is `stride` times smaller. */
export function adapterBlock(before: FeatureMap, outChannels: number, stride: number): BlockDescription {
  return {
    ...{ name: 'adapter', stage: 0, kind: BlockKind.Adapter, family: fixedFamily },
    ...{ inHeight: before.height, inWidth: before.width, inChannels: before.channels },
    ...{ midChannels: before.channels, outChannels, stride },
  };
}

/** A layer's number among all, its stage, and whether it is the first of that. */
interface LayerPlace {
  readonly layer: number;
  readonly stage: number;
  readonly at: number;
  readonly isFirst: boolean;
  readonly input: FeatureMap;
}

function blocksOf(
  families: StageFamilies,
  before: FeatureMap,
  style: BlockStyle,
  placed: (place: LayerPlace) => Place,
): readonly BlockDescription[] {
  const blocks: BlockDescription[] = [];
  let input = before;
  families.forEach((ofStage, stage) =>
    ofStage.forEach((family, at) => {
      const place = placed({ layer: blocks.length, stage, at, isFirst: at === 0, input });
      blocks.push(candidateBlock(family, place, style));
      input = mapBehind(place);
    }),
  );
  return blocks;
}

/** The stem as it stands in an architecture. */
export function stemOf({ stem }: Pick<HytraSettings, 'stem'>): StemDescription {
  const { channels, kernel, stride, pool } = stem;
  return { channels, stride, ...(kernel !== 3 && { kernel }), ...(pool && { pool }) };
}

/** The map behind the stem. */
export function mapOfStem(settings: Pick<HytraSettings, 'stem' | 'input'>): FeatureMap {
  const nodes = new NodeList(settings.input);
  return nodes.mapOf(expandStem(stemOf(settings), nodes, inputName));
}

function ends(settings: HytraSettings): Pick<Body, 'input' | 'classes' | 'stem'> {
  const { input, classes } = settings;
  return { input: { ...input }, classes, stem: stemOf(settings) };
}
