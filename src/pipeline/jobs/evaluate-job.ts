/**
 * @file The job behind `evaluate`: the accuracy of a saved model on a data set, with the normalisation it was
 * trained with.
 */
import { loadDataset } from '../../data/load-dataset.js';
import { splitDataset } from '../../data/split.js';
import { estimate } from '../../hardware/index.js';
import { operationCount } from '../../hardware/layer.js';
import { parameterCount } from '../../spaces/layers.js';
import type { JobHost } from '../run/host.js';
import { loadModel } from '../models/model-files.js';
import { loadProfiles, modelLayers } from '../models/network-costs.js';
import { networkAccuracy } from '../training/train-network.js';
import { requireFitting } from './train-job.js';

export interface EvaluateRequest {
  /** Folder with architecture.json and model.safetensors. */
  readonly model: string;
  readonly data: string;
  readonly split: 'test' | 'train';
  readonly imageSize?: number | undefined;
  readonly profiles: readonly string[];
}

export interface EvaluateResult {
  readonly model: string;
  /** The conversion that made it, where there was one. */
  readonly conversion?: string;
  /** The data set it was trained on, and the one it was evaluated on. */
  readonly trainedOn: string;
  readonly dataset: string;
  readonly spec: string;
  readonly fingerprint: string;
  readonly split: 'test' | 'train';
  readonly images: number;
  /** 0 to 1. */
  readonly accuracy: number;
  readonly energyMj: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<string, number>>;
  readonly macs: number;
  readonly params: number;
}

/** @throws FileError for a damaged model, DataError for bad data, OptionError when the two do not fit */
export async function runEvaluateJob(request: EvaluateRequest, host: JobHost): Promise<EvaluateResult> {
  const { model, split, imageSize } = request;
  const profiles = loadProfiles(request.profiles);
  const { network, info, conversion } = loadModel(model);
  const { architecture } = network;
  const dataset = await loadDataset(request.data, {
    seed: info.seed,
    ...(imageSize !== undefined && { imageSize }),
    onNotice: (message) => host.send({ type: 'notice', message }),
    onProgress: (progress) => host.send({ type: 'loading', ...progress }),
  });
  requireFitting(architecture, dataset, model);
  if (dataset.classes.join('\n') !== info.classes.join('\n'))
    host.send({
      type: 'notice',
      message: `the classes of ${dataset.spec} have other names or another order than those the model was trained on (${info.classes.slice(0, 3).join(', ')}, ...); they are compared by position`,
    });
  host.send({ type: 'phase', phase: 'evaluate', state: 'started' });
  const splits = splitDataset(dataset, { seed: info.seed, searchValidation: 0 });
  const { height, width, channels } = dataset;
  const data = { shape: { height, width, channels }, statistics: info.statistics };
  const subset = split === 'test' ? splits.openTest(`evaluation of ${model}`) : splits.train;
  const accuracy = networkAccuracy(network, data, subset);
  const layers = modelLayers(architecture, conversion);
  const costs = [...profiles.values()].map((profile) => estimate(layers, profile));
  network.dispose();
  return {
    model,
    ...(conversion && { conversion: conversion.method }),
    trainedOn: info.dataset,
    dataset: dataset.name,
    spec: dataset.spec,
    fingerprint: dataset.fingerprint,
    split,
    images: subset.indices.length,
    accuracy,
    energyMj: Object.fromEntries(costs.map(({ profile, energyMj }) => [profile, energyMj])),
    latencyMs: Object.fromEntries(costs.map(({ profile, latencyMs }) => [profile, latencyMs])),
    macs: layers.reduce((total, layer) => total + operationCount(layer), 0),
    params: parameterCount(architecture),
  };
}
