/**
 * @file A trained network as files that run elsewhere: safetensors + architecture.json (and conversion.json of a
 * converted one), and ONNX.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { FileError, messageOf } from '../../base/errors.js';
import { readJson, writeFileAtomic } from '../../base/files.js';
import { Random } from '../../base/random.js';
import type { ChannelStatistics } from '../../data/augment.js';
import { stateOf } from '../../nn/module.js';
import { encodeOnnx } from '../../nn/onnx/encode.js';
import { OnnxGraph } from '../../nn/onnx/graph.js';
import { lowerNormalise } from '../../nn/onnx/layers.js';
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from '../../nn/safetensors.js';
import { loadState } from '../../nn/state.js';
import { weightShape, type OperatorLayer } from '../../operators/layer.js';
import { familyNamed } from '../../operators/registry.js';
import type { Architecture } from '../../spaces/architecture.js';
import { planLayers } from '../../spaces/layers.js';
import { Network } from '../../spaces/network.js';
import { parseArchitecture } from '../../spaces/parse.js';
import { applyConversion, readConversion, type Conversion } from './conversion-files.js';

/** What must travel with the weights. */
export interface ModelInfo {
  /** Data set it was trained on, for people. */
  readonly dataset: string;
  readonly classes: readonly string[];
  /** Normalisation of the input: (pixel / 255 - mean) / std, per channel. */
  readonly statistics: ChannelStatistics;
  /** Seed of its data splits: evaluation must hold out the same test part. */
  readonly seed: number;
}

const infoSchema = z.object({
  dataset: z.string(),
  classes: z.array(z.string()),
  statistics: z.object({ mean: z.array(z.number()), std: z.array(z.number().positive()) }),
  seed: z.int().min(0),
});

/** Writes architecture.json and model.safetensors into `folder`. */
export function saveModel(folder: string, network: Network, info: ModelInfo): void {
  const metadata = { format: 'shiftaddnas-model', info: JSON.stringify(info) };
  writeFileAtomic(
    join(folder, 'architecture.json'),
    `${JSON.stringify(network.architecture, undefined, 1)}\n`,
  );
  const masks = network.operatorLayers.flatMap(({ name, mask, geometry }) =>
    mask === undefined ? [] : [[name + maskSuffix, { shape: weightShape(geometry), data: mask }] as const],
  );
  const tensors = new Map([...stateOf(network), ...masks]);
  writeFileAtomic(join(folder, 'model.safetensors'), encodeSafetensors(tensors, metadata));
}

/** A model folder that was read. */
export interface LoadedModel {
  readonly network: Network;
  readonly info: ModelInfo;
  /** Set when the model was converted; the network then computes as converted. */
  readonly conversion?: Conversion;
}

/** Reads what {@link saveModel} wrote, and the conversion beside it. @throws FileError */
export function loadModel(folder: string): LoadedModel {
  const architecturePath = join(folder, 'architecture.json');
  const modelPath = join(folder, 'model.safetensors');
  for (const path of [architecturePath, modelPath])
    if (!existsSync(path))
      throw new FileError(
        `${path}: no such file; give a folder that holds architecture.json and model.safetensors`,
      );
  const architecture = parseArchitecture(readJson(architecturePath), architecturePath);
  const { tensors, metadata } = decodeSafetensors(readFileSync(modelPath), modelPath);
  let info: ModelInfo;
  try {
    info = infoSchema.parse(JSON.parse(metadata['info'] ?? ''));
  } catch (error) {
    throw new FileError(`${modelPath}: carries no model information (${messageOf(error).split('\n')[0]})`, {
      cause: error,
    });
  }
  requireFit(info, architecture, modelPath);
  requireFamilies(architecture, architecturePath);
  const conversion = readConversion(folder);
  const network = new Network(architecture, Random.stream('load'));
  try {
    const masked = network.operatorLayers.filter(({ name }) => tensors.has(name + maskSuffix));
    const names = new Set(masked.map(({ name }) => name + maskSuffix));
    loadState(network, new Map([...tensors].filter(([name]) => !names.has(name))), modelPath);
    for (const layer of masked) setMask(layer, tensors.get(layer.name + maskSuffix)!, modelPath);
    if (conversion !== undefined) applyConversion(network, conversion, folder);
  } catch (error) {
    network.dispose();
    throw error;
  }
  return { network, info, ...(conversion && { conversion }) };
}

/** What was pruned of a layer stands beside its weights. */
const maskSuffix = '.mask';

function setMask(layer: OperatorLayer, { shape, data }: StoredTensor, where: string): void {
  const wanted = weightShape(layer.geometry);
  const isMask = shape.join() === wanted.join() && data.every((value) => value === 0 || value === 1);
  if (!isMask || layer.family.masking === undefined)
    throw new FileError(
      `${where}: tensor '${layer.name}${maskSuffix}' [${shape.join(', ')}] is no mask of zeros and ones for weights ` +
        `[${wanted.join(', ')}] of family '${layer.family.name}'`,
    );
  layer.setMask(data);
}

function requireFit({ classes, statistics }: ModelInfo, architecture: Architecture, where: string): void {
  const { channels } = architecture.input;
  for (const { length } of [statistics.mean, statistics.std])
    if (length !== channels)
      throw new FileError(
        `${where}: normalises ${length} channel(s), its architecture takes ${channels}; it belongs to another network`,
      );
  if (classes.length !== architecture.classes)
    throw new FileError(
      `${where}: names ${classes.length} classes, its architecture tells ${architecture.classes} apart; ` +
        'it belongs to another network',
    );
}

function requireFamilies(architecture: Architecture, where: string): void {
  try {
    for (const { family } of planLayers(architecture)) familyNamed(family);
  } catch (error) {
    throw new FileError(`${where}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * The network as an ONNX model: input `pixels` [batch, C, H, W] in 0..1 (the normalisation is inside), output
 * `logits` [batch, classes]. Shift layers are Conv nodes with their power-of-two weights; add and binary
 * layers are model-local functions of standard ops.
 */
export function onnxModel(
  network: Network,
  info: ModelInfo,
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const { input, classes } = network.architecture;
  const graph = new OnnxGraph('shiftaddnas');
  const pixels = graph.input('pixels', ['batch', input.channels, input.height, input.width]);
  const normalised = lowerNormalise(graph, 'normalise', pixels, info.statistics.mean, info.statistics.std);
  const logits = graph.node('Identity', [network.lower(graph, normalised)], {}, { name: 'logits' });
  graph.output(logits, ['batch', classes]);
  graph.metadata('architecture', JSON.stringify(network.architecture));
  graph.metadata('classes', JSON.stringify(info.classes));
  for (const [key, value] of Object.entries(metadata)) graph.metadata(key, value);
  return encodeOnnx(graph);
}
