/**
 * @file The zero-cost scorers, and the two baselines that often beat them (survey, arXiv 2307.01998): parameters and
 * operations.
 */
import { operationTotal, parameterCount } from '../spaces/layers.js';
import type { ProxyScorer } from './contract.js';
import { entropy } from './entropy.js';
import { naswot } from './naswot.js';
import { zico } from './zico.js';

const parameters: ProxyScorer = {
  name: 'parameters',
  title: 'Parameters (baseline)',
  batches: 0,
  score: ({ architecture }) => parameterCount(architecture),
};

const operations: ProxyScorer = {
  name: 'operations',
  title: 'Operations (baseline)',
  batches: 0,
  score: ({ architecture }) => operationTotal(architecture),
};

const scorers: readonly ProxyScorer[] = [naswot, zico, entropy, parameters, operations];

/** Every scorer, in a fixed order. */
export function listProxies(): readonly ProxyScorer[] {
  return scorers;
}
