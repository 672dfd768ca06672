/**
 * @file Converting a trained network: layer by layer in order of execution, each corrected by what really arrives at it
 * from the layers that are converted already.
 */
import { OptionError } from '../base/errors.js';
import { WindowSum } from '../operators/contract.js';
import type { Network } from '../spaces/network.js';
import { allocateBits, layerImportance, type AllocatedLayer } from './allocation.js';
import { inputRanges, windowProducts, type CalibrationPass, type InputRange } from './calibration.js';
import { convertLayer, type LayerMethod } from './convert-layer.js';
import { formOf } from './form.js';
import { isConvertible, layersOfNetwork, type ConvertibleLayer, type NetworkLayer } from './layers.js';
import { Criterion, windowSumOf, type Method } from './methods.js';
import { correctionFactor, outputError } from './optq.js';
import { termBits } from './powers.js';
import { storedWeights, type LayerRecord } from './record.js';

/** The layers that keep their floats unless the user says otherwise: the first and the last, as in the papers. */
export function defaultKept(network: Network): readonly string[] {
  const layers = layersOfNetwork(network);
  return [layers[0], layers.at(-1)].flatMap((layer) => (layer === undefined ? [] : [layer.name]));
}

/** The layers a method converts. @throws OptionError when there is none, or one that the method cannot convert */
export function layersFor(
  network: Network,
  method: Method,
  kept: readonly string[],
): readonly ConvertibleLayer[] {
  const wanted = windowSumOf(method);
  const all = layersOfNetwork(network).filter(isConvertible);
  const fitting = all.filter(({ windowSum }) => windowSum === wanted);
  const found = fitting.filter(({ name }) => !kept.includes(name));
  if (found.length > 0) {
    for (const layer of found) requireGroupable(layer, method);
    return found;
  }
  const what = wanted === WindowSum.Distances ? 'add layers' : 'convolutions and linear layers';
  throw new OptionError(
    fitting.length === 0
      ? `${method.name} is for ${what}, and this network has none; choose another conversion`
      : `${method.name} is for ${what}, and all ${fitting.length} of this network are kept (${fitting.map(({ name }) => name).join(', ')}); choose another conversion or --keep none`,
  );
}

/** Which kinds of layers there are to convert. */
export function convertibleKinds(network: Network, kept: readonly string[]): ReadonlySet<WindowSum> {
  return new Set(
    layersOfNetwork(network)
      .filter(isConvertible)
      .filter(({ name }) => !kept.includes(name))
      .map(({ windowSum }) => windowSum),
  );
}

/** @throws OptionError for a name that is no layer of the network */
export function requireLayers(network: Network, names: readonly string[]): void {
  const known = layersOfNetwork(network).map(({ name }) => name);
  for (const name of names)
    if (!known.includes(name))
      throw new OptionError(`--keep: no layer '${name}'; there is ${known.join(', ')}`);
}

/**
 * Converts the network in place and returns what is stored of each converted layer.
 * @param pass runs the calibration images through `network`
 * @throws OptionError when the method applies to no layer or the mean bits cannot be met
 */
export function convertNetwork(
  network: Network,
  method: Method,
  kept: readonly string[],
  pass: CalibrationPass,
): readonly LayerRecord[] {
  const layers = layersFor(network, method, kept);
  const ranges =
    method.kind === 'integers' || method.kind === 'distances' ? inputRanges(layers, pass) : undefined;
  const methods = method.meanBits === undefined ? undefined : mixedMethods(layers, method, pass);
  return layers.map((layer, i) => {
    const chosen = methods?.[i] ?? (method as LayerMethod);
    const factors = method.optq
      ? windowProducts(layer, pass).map((products) => correctionFactor(products, Math.sqrt(products.length)))
      : undefined;
    const record = convertLayer(layer, chosen, () => ({
      range: ranges?.get(layer.name) ?? unseen,
      ...(factors && { factors }),
    }));
    applyRecord(layer, record);
    return record;
  });
}

/** For methods that do not look at ranges. */
const unseen: InputRange = { least: 0, largest: 0, percentile: () => 0 };

function requireGroupable({ name, geometry }: NetworkLayer, method: Method): void {
  if (method.kind === 'distances' && method.groups !== 1 && geometry.groups !== 1)
    throw new OptionError(
      `grouped scales are for dense layers, '${name}' has ${geometry.groups} groups of channels; leave out +groups or --keep ${name}`,
    );
}

/** Puts a converted layer's weights and form into place. */
export function applyRecord(layer: ConvertibleLayer, record: LayerRecord): void {
  layer.weights.set(storedWeights(record));
  layer.form = formOf(record, layer);
}

/** The widths that a layer may get, by method: bits per weight and the method that has them. */
function choicesOf(method: Method): readonly { readonly bits: number; readonly method: LayerMethod }[] {
  switch (method.kind) {
    case 'powers':
      return [1, 2, 3, 4].map((terms) => ({ bits: terms * termBits, method: { ...method, terms } }));
    case 'binary':
      return [1, 2, 3, 4, 5, 6].map((codes) => ({ bits: codes, method: { ...method, codes } }));
    case 'integers':
      return [2, 3, 4, 5, 6, 7, 8].map((bits) => ({ bits, method: { ...method, bits } }));
    case 'distances':
      throw new Error('add layers have no mixed widths');
  }
}

/** Every layer's method under the mean of `method.meanBits`, the total of the errors least. @throws OptionError */
function mixedMethods(
  layers: readonly ConvertibleLayer[],
  method: Method,
  pass: CalibrationPass,
): readonly LayerMethod[] {
  const choices = choicesOf(method);
  const posed = layers.map((layer): AllocatedLayer => {
    const products = windowProducts(layer, pass);
    const importance = method.criterion === Criterion.Importance ? importanceOf(layer, products) : undefined;
    return {
      weights: layer.weights.length,
      choices: choices.map(({ bits, method: each }) => {
        const stored = storedWeights(convertLayer(layer, each, () => ({ range: unseen })));
        const error =
          importance === undefined
            ? relativeOutputError(layer, stored, products)
            : importance * relativeWeightError(layer.weights, stored);
        return { bits, error };
      }),
    };
  });
  const chosen = allocateBits(posed, method.meanBits!);
  if (chosen === undefined) throw new Error(`${method.name}: the narrowest widths are above the mean`);
  return chosen.map((choice) => choices[choice]!.method);
}

/** The filters of one group of channels, [columns, filters / groups]. */
function filtersOfGroup(values: Float32Array, filters: number, groups: number, group: number): Float32Array {
  const count = filters / groups;
  return groups === 1 ? values : values.filter((_, i) => Math.floor((i % filters) / count) === group);
}

function relativeOutputError(
  { weights, geometry }: ConvertibleLayer,
  stored: Float32Array,
  products: readonly Float64Array[],
): number {
  const { outChannels, groups } = geometry;
  const zero = new Float32Array(weights.length / groups);
  let [error, whole] = [0, 0];
  products.forEach((own, group) => {
    const original = filtersOfGroup(weights, outChannels, groups, group);
    const quantised = filtersOfGroup(stored, outChannels, groups, group);
    error += outputError(original, quantised, outChannels / groups, own);
    whole += outputError(original, zero, outChannels / groups, own);
  });
  return whole === 0 ? 0 : error / whole;
}

function relativeWeightError(weights: Float32Array, stored: Float32Array): number {
  let [error, whole] = [0, 0];
  for (let i = 0; i < weights.length; i++) {
    error += (weights[i]! - stored[i]!) ** 2;
    whole += weights[i]! ** 2;
  }
  return whole === 0 ? 0 : error / whole;
}

function importanceOf({ weights, geometry }: ConvertibleLayer, products: readonly Float64Array[]): number {
  const { outChannels, groups } = geometry;
  return products.reduce((sum, own, group) => {
    const factor = correctionFactor(own, Math.sqrt(own.length));
    return (
      sum + layerImportance(filtersOfGroup(weights, outChannels, groups, group), outChannels / groups, factor)
    );
  }, 0);
}
