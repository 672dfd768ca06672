/**
 * @file `shiftaddnas/hardware`: energy and latency of layers on an accelerator, usable without the rest of the package.
 *
 * @example
 * import { estimate, fp32OperandBits, Primitive } from 'shiftaddnas/hardware';
 * const layer = {
 *   name: 'first', primitive: Primitive.Add, fullyConnected: false, batch: 1,
 *   inHeight: 56, inWidth: 56, inChannels: 64, kernel: 3, outHeight: 56, outWidth: 56, outChannels: 64,
 *   stride: 1, groups: 1, operandBits: fp32OperandBits(Primitive.Add),
 * };
 * const cost = estimate([layer], 'fair');
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
export {
  LayerRole,
  Primitive,
  operationCount,
  type LayerDescription,
  type OperandBits,
  type WeightSteps,
} from './layer.js';
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
// Machines of one's own: loops on levels of storage, a mapper, arrays of mixed elements, systolic arrays.
export { loadMachine, builtInMachineNames, machineSummary, type Machine } from './loopnest/machine.js';
export { Stationary, withDataflow } from './loopnest/dataflow.js';
export { mappingText, parseMapping, type Mapping } from './loopnest/mapping.js';
export { evaluateMapping, type MappingCost } from './loopnest/evaluate.js';
export {
  Objective,
  refusedLimits,
  searchMapping,
  type MappingSearch,
  type SearchOptions,
} from './loopnest/search.js';
export { NoMappingError, type BrokenLimit } from './loopnest/limits.js';
export { divideChunks, type Chunk, type ChunkDivision, type ChunkOptions } from './loopnest/chunks.js';
export {
  SystolicDataflow,
  systolicCycles,
  systolicProduct,
  type SystolicArray,
  type SystolicCost,
} from './systolic/systolic.js';
// Memory: the arena of the activations, and the parameters as stored.
export {
  buffersOf,
  type ActivationGraph,
  type ActivationTensor,
  type Buffer,
  type GraphStep,
} from './memory/graph.js';
export { MemoryGraphError } from './memory/errors.js';
export {
  defaultAlignment,
  planArena,
  PlanOrder,
  planOrders,
  type ArenaPlan,
  type PlacedBuffer,
  type PlanOptions,
} from './memory/arena.js';
export {
  layerFlash,
  memoryFootprint,
  memoryReport,
  stepName,
  type LayerFlash,
  type MemoryFootprint,
} from './memory/footprint.js';
// Latencies measured on a machine, and predictions from them.
export {
  operationKey,
  OperationKind,
  operationOf,
  type LayerOperation,
  type MapOperation,
  type Operation,
} from './measured/operation.js';
export {
  latencyOfRow,
  machineDifferences,
  readLatencyTable,
  requireSameMachine,
  spreadOfRow,
  writeLatencyTable,
  type LatencyTable,
  type MeasuredMachine,
  type MeasuredRow,
} from './measured/table.js';
export {
  fitLinear,
  heldOutErrors,
  latencyLookup,
  PredictorKind,
  type KnownLatency,
  type LatencyPredictor,
  type PredictorFit,
} from './measured/predictor.js';
export { rankCorrelation } from '../base/statistics.js';
export { predictionErrors, type PredictionErrors } from './measured/statistics.js';
export { anchorGroups, type AnchorGroup } from './anchors/groups.js';
export { deviationOf, holds, type Anchor } from './anchors/anchor.js';
// Processing elements as gates: counts made with yosys, and the area of an array of mixed elements.
export {
  builtInGateProfile,
  elementAreaUm2,
  elementEnergyPj,
  elementOf,
  loadGateProfile,
  nand2Of,
  smallestElement,
  type GateElement,
  type GateProfile,
} from './area/profile.js';
export { arrayArea, type ArrayArea, type ArrayPart } from './area/array-area.js';
export { elementShape, elementShapes, sumsOf, type ElementShape, type OperandPair } from './area/element.js';
export { makeGateProfile } from './area/make-profile.js';
export { verifyElement, type Verification } from './area/verify.js';
