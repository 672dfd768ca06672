/**
 * @file The job behind `convert`: a trained model in other arithmetic without training, one row for each conversion.
 *
 * Ranges and corrections come from images of the training part. The test part is read once for each network of the table,
 * the original among them; nothing is chosen by it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { OptionError, OutputError } from '../../base/errors.js';
import { makeFolder, readJson, writeFileAtomic } from '../../base/files.js';
import {
  convertibleKinds,
  convertNetwork,
  defaultKept,
  layersFor,
  requireLayers,
} from '../../conversion/convert.js';
import { operationsByKind, type OperationsByKind } from '../../conversion/cost.js';
import { allMethods, parseMethod, type Method } from '../../conversion/methods.js';
import { storedBits, type LayerRecord } from '../../conversion/record.js';
import { loadDataset } from '../../data/load-dataset.js';
import { splitDataset } from '../../data/split.js';
import { estimate, type AcceleratorProfile, type LayerDescription } from '../../hardware/index.js';
import { operationCount, stepCount } from '../../hardware/layer.js';
import { Mode } from '../../nn/module.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Network } from '../../spaces/network.js';
import { forEachBatch } from '../../training/evaluate.js';
import { conversionFile, saveConversion, type Conversion } from '../models/conversion-files.js';
import type { JobHost } from '../run/host.js';
import { loadModel, onnxModel, saveModel } from '../models/model-files.js';
import { loadProfiles, modelLayers } from '../models/network-costs.js';
import { drawSubset, evaluationBatches, type InputForm } from '../training/prepared-data.js';
import { networkAccuracy } from '../training/train-network.js';
import { requireFitting } from './train-job.js';
import { requestFile } from './train-request.js';

export interface ConvertRequest {
  /** Folder with architecture.json and model.safetensors. */
  readonly model: string;
  /** Names of conversions; `all` for every one that applies. */
  readonly methods: readonly string[];
  /** Data set; the one that the model's folder names when absent. */
  readonly data?: string | undefined;
  readonly imageSize?: number | undefined;
  readonly calibrationImages: number;
  /** Layers that keep their floats; the first and the last when absent. */
  readonly keep?: readonly string[] | undefined;
  readonly profiles: readonly string[];
  /** Where the converted models go; nowhere when absent. */
  readonly out?: string | undefined;
}

/** One network of the table. */
export interface ConvertedRow {
  /** `original` for the model as it was trained. */
  readonly method: string;
  /** Bits per weight of the converted layers: codes, and codes with scales; null for the original. */
  readonly codeBits: number | null;
  readonly bitsPerWeight: number | null;
  /** On the test part, 0 to 1, and its difference to the original. */
  readonly accuracy: number;
  readonly difference: number;
  /** By profile, one inference of the whole network. */
  readonly energyMj: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<string, number>>;
  /** Weights of all layers with their scales, those that stay at their own width. */
  readonly weightBytes: number;
  readonly operations: OperationsByKind;
  /** Width of the codes of each converted layer. */
  readonly layerBits: Readonly<Record<string, number>>;
  /** Calibration, conversion and evaluation. */
  readonly seconds: number;
  /** Folder of the converted model, where it was written. */
  readonly folder?: string;
}

export interface ConvertResult {
  readonly format: 'shiftaddnas-convert';
  readonly version: 1;
  readonly model: string;
  readonly trainedOn: string;
  readonly dataset: string;
  readonly spec: string;
  readonly fingerprint: string;
  readonly testImages: number;
  readonly calibrationImages: number;
  readonly kept: readonly string[];
  readonly rows: readonly ConvertedRow[];
}

/** The configuration of a search, in its folder. */
const runConfigFile = 'config.json';
const calibrationBatchSize = 64;
const originalName = 'original';
export const tableFile = 'convert.json';

/** @throws FileError for a damaged model, DataError for bad data, OptionError for what does not fit or apply, OutputError */
export async function runConvertJob(request: ConvertRequest, host: JobHost): Promise<ConvertResult> {
  const { model, out } = request;
  const profiles = [...loadProfiles(request.profiles).values()];
  const { network, info, conversion } = loadModel(model);
  if (conversion !== undefined)
    throw new OptionError(
      `${model} is converted already (${conversion.method}, see its ${conversionFile}); give the model it was made from`,
    );
  const { architecture } = network;
  const kept = request.keep ?? defaultKept(network);
  requireLayers(network, kept);
  const methods = chosenMethods(request.methods, network, kept);
  if (out !== undefined) requireFresh(out);

  const source = request.data === undefined ? recordedData(model) : { data: request.data };
  const imageSize = request.imageSize ?? source.imageSize;
  const dataset = await loadDataset(source.data, {
    seed: info.seed,
    ...(imageSize !== undefined && { imageSize }),
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  requireFitting(architecture, dataset, model);
  const { height, width, channels } = dataset;
  const data: InputForm = { shape: { height, width, channels }, statistics: info.statistics };
  const splits = splitDataset(dataset, { seed: info.seed, searchValidation: 0 });
  const calibration = drawSubset(splits.train, request.calibrationImages, info.seed, 'calibration');
  const accuracyOf = (of: Network, name: string): number =>
    networkAccuracy(of, data, splits.openTest(`${name} of ${model}`));

  const rows: ConvertedRow[] = [];
  const started = performance.now();
  host.send({ type: 'phase', phase: originalName, state: 'started' });
  const accuracy = accuracyOf(network, originalName);
  network.dispose();
  rows.push({
    ...rowOf(architecture, undefined, profiles),
    ...{ accuracy, difference: 0, seconds: secondsSince(started) },
  });
  for (const method of methods) {
    const begun = performance.now();
    host.send({ type: 'phase', phase: method.name, state: 'started' });
    const { network: converted } = loadModel(model);
    try {
      const layers = convertNetwork(converted, method, kept, () =>
        forEachBatch(evaluationBatches(data, calibration, calibrationBatchSize), data.shape, (images) =>
          converted.forward(images, Mode.Evaluation),
        ),
      );
      const calibrationImages = calibration.indices.length;
      const made: Conversion = { method: method.name, kept, calibrationImages, layers };
      const reached = accuracyOf(converted, method.name);
      const folder = out === undefined ? undefined : methods.length === 1 ? out : join(out, method.name);
      rows.push({
        ...rowOf(architecture, made, profiles),
        ...{ accuracy: reached, difference: reached - accuracy, seconds: secondsSince(begun) },
        ...(folder !== undefined && { folder }),
      });
      if (folder === undefined) continue;
      makeFolder(folder);
      saveModel(folder, converted, info);
      saveConversion(folder, made);
      const metadata = {
        dataset: info.dataset,
        conversion: method.name,
        testAccuracy: String(reached),
      };
      writeFileAtomic(join(folder, 'model.onnx'), onnxModel(converted, info, metadata));
    } finally {
      converted.dispose();
    }
  }
  const result: ConvertResult = {
    format: 'shiftaddnas-convert',
    version: 1,
    model,
    trainedOn: info.dataset,
    dataset: dataset.name,
    spec: dataset.spec,
    fingerprint: dataset.fingerprint,
    testImages: splits.testCount,
    calibrationImages: calibration.indices.length,
    kept,
    rows,
  };
  if (out !== undefined) writeFileAtomic(join(out, tableFile), `${JSON.stringify(result, undefined, 1)}\n`);
  return result;
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000;
}

/** @throws OptionError for an unknown conversion, one named twice or one that applies to nothing */
function chosenMethods(
  names: readonly string[],
  network: Network,
  kept: readonly string[],
): readonly Method[] {
  const all = names.flatMap((name) =>
    name === 'all' ? allMethods(convertibleKinds(network, kept)) : [name],
  );
  if (all.length === 0)
    throw new OptionError(
      `no layer is left to convert: all are kept or of families that no conversion is for; see --keep`,
    );
  const methods = [...new Set(all)].map(parseMethod);
  for (const method of methods) layersFor(network, method, kept);
  return methods;
}

/** @throws OutputError when the folder holds anything */
function requireFresh(out: string): void {
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new OutputError(`${out} already holds files; choose another folder for --out`);
  makeFolder(out);
}

/** Files that name the data set of a model, beside it or in the folder of the run that it belongs to. */
const recordFiles = [requestFile, runConfigFile, join('..', '..', runConfigFile)] as const;

const dataRecord = z.object({ data: z.string(), imageSize: z.int().min(1).optional() });
const anyRecord = z.union([z.object({ config: dataRecord }), dataRecord]);

/** Where the model's folder says its data are from. @throws OptionError when it does not */
function recordedData(folder: string): z.infer<typeof dataRecord> {
  for (const name of recordFiles) {
    const path = join(folder, name);
    const parsed = existsSync(path) ? anyRecord.safeParse(readJson(path)).data : undefined;
    if (parsed !== undefined) return 'config' in parsed ? parsed.config : parsed;
  }
  throw new OptionError(`${folder} does not say which data set it was trained on; name it by --data`);
}

/** What follows from the codes alone. */
function rowOf(
  architecture: Architecture,
  conversion: Conversion | undefined,
  profiles: readonly AcceleratorProfile[],
): Omit<ConvertedRow, 'accuracy' | 'difference' | 'seconds'> {
  const records = conversion?.layers ?? [];
  const layers = modelLayers(architecture, conversion);
  const costs = profiles.map((profile) => estimate(layers, profile));
  const stored = records.map(storedBits);
  const weights = stored.reduce((sum, each) => sum + each.weights, 0);
  const codes = stored.reduce((sum, each) => sum + each.codes, 0);
  const scales = stored.reduce((sum, each) => sum + each.scales, 0);
  const converted = new Set(records.map(({ name }) => name));
  const others = layers.filter(({ name }) => !converted.has(name));
  const otherBits = others.reduce((sum, layer) => sum + weightCount(layer) * layer.operandBits.weight, 0);
  return {
    method: conversion?.method ?? originalName,
    codeBits: weights === 0 ? null : codes / weights,
    bitsPerWeight: weights === 0 ? null : (codes + scales) / weights,
    energyMj: Object.fromEntries(costs.map(({ profile, energyMj }) => [profile, energyMj])),
    latencyMs: Object.fromEntries(costs.map(({ profile, latencyMs }) => [profile, latencyMs])),
    weightBytes: Math.ceil((codes + scales + otherBits) / 8),
    operations: operationsByKind(layers, operationCount),
    layerBits: Object.fromEntries(records.map((record) => [record.name, codeBitsOf(record)])),
  };
}

function weightCount(layer: LayerDescription): number {
  return operationCount(layer) / stepCount(layer.steps) / (layer.batch * layer.outHeight * layer.outWidth);
}

function codeBitsOf(record: LayerRecord): number {
  const { codes, weights } = storedBits(record);
  return codes / weights;
}
