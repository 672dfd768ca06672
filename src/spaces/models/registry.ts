/**
 * @file The published models by name.
 */
import { OptionError } from '../../base/errors.js';
import type { Model } from './contract.js';
import { kwinnersMnist } from './kwinners-mnist.js';
import { lenet5Bn } from './lenet5-bn.js';
import { mlpDeepshift } from './mlp-deepshift.js';
import { mobilenetTiny } from './mobilenet.js';
import { resnetModel } from './resnet.js';
import { vggSmall } from './vgg-small.js';
import { vitLite, vitTiny } from './vit.js';

const models: readonly Model[] = [
  mlpDeepshift,
  lenet5Bn,
  kwinnersMnist,
  resnetModel(20, 0.27, 40.8),
  resnetModel(32, 0.46, 69.1),
  resnetModel(56, 0.85, 125.7),
  vggSmall,
  mobilenetTiny,
  vitTiny,
  vitLite,
];

/** Every model, smallest images first. */
export function listModels(): readonly Model[] {
  return models;
}

/** The model of this name. @throws OptionError listing the known ones */
export function modelNamed(name: string): Model {
  const found = models.find((model) => model.name === name);
  if (found === undefined)
    throw new OptionError(`unknown model '${name}'; known: ${models.map((model) => model.name).join(', ')}`);
  return found;
}
