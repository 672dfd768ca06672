/**
 * @file What is wrong with a configuration for the data that were read: found before the first training begins.
 */
import type { SearchSpace } from '../../spaces/contract.js';
import type { RunConfig } from '../config/config.js';
import type { LearningData } from '../training/prepared-data.js';
import { requireTechniques, techniqueInputs } from '../training/techniques.js';
import { requireBatches } from '../training/train-network.js';
import { requireSpaceMemory } from '../training/training-memory.js';
import { supernetEffort } from './supernet-phases.js';

/**
 * Whether the supernet, if one is `trained` here, and the networks after it can be trained on these data; returns the fingerprints of what
 * the techniques read. @throws UserError naming the key that is wrong
 */
export function requireTrainings(
  config: RunConfig,
  space: SearchSpace,
  data: LearningData,
  trained: boolean,
): readonly string[] {
  if (trained) requireBatches(data, 'supernet', config.supernet);
  supernetEffort(config, space, data);
  requireBatches(data, 'retrain', config.retrain);
  requireSpaceMemory(config, space);
  const inputs = techniqueInputs(config.techniques);
  requireTechniques(config.techniques, data, config.retrain);
  return inputs;
}
