/**
 * @file `shiftaddnas/hardware`: energy and latency of layers on an accelerator, usable without the rest of the package.
 *
 * @example
 * import { estimate, fp32OperandBits, Primitive } from 'shiftaddnas/hardware';
 * const cost = estimate(layers, 'fair');
 * console.log(cost.energyMj, cost.latencyMs, cost.profile);
 */
export {
  estimate,
  estimateLayer,
  type EstimateOptions,
  type LayerCost,
  type NetworkCost,
} from './estimate.js';
export type { LevelEnergy, OperandEnergy, Tiling } from './accesses.js';
export { LayerRole, Primitive, operationCount, type LayerDescription, type OperandBits } from './layer.js';
export {
  builtInProfileNames,
  loadProfile,
  parseProfile,
  withWordBits,
  type BuiltInProfileName,
} from './profile.js';
export type { AcceleratorProfile } from './profile-schema.js';
export { profileQuantities, profileSummary, type ProfileQuantity } from './profile-text.js';
export { CostProxy, fitProxy, parseProxy, typicalLayers } from './proxy.js';
export { LayerError, MappingError, SingleRowError, type RefusedLimit } from './errors.js';
export {
  estimateCsv,
  fp32OperandBits,
  type CsvEstimate,
  type CsvNotice,
  type CsvOptions,
  type PricedRow,
} from './csv.js';
export {
  compareWithGolden,
  type GoldenComparison,
  type GoldenDeviation,
  type GoldenTable,
} from './golden.js';
