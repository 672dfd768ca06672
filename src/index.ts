/**
 * @file `shiftaddnas`: the public entry point. `shiftaddnas/hardware` is the cost side alone.
 */
export { Random } from './base/random.js';
export {
  DataError,
  DivergenceError,
  FileError,
  InfeasibleBudgetError,
  OptionError,
  OutputError,
  ShapeError,
  UserError,
} from './base/errors.js';
export { loadDataset } from './data/load-dataset.js';
export { splitDataset } from './data/split.js';
export { estimate, loadProfile, Primitive, type LayerDescription } from './hardware/index.js';
export { freeze, Mode, thaw } from './nn/module.js';
export type { LayerGeometry, OperatorFamily, SharingMap } from './operators/contract.js';
export { OperatorLayer } from './operators/layer.js';
export { familyNamed, listFamilies } from './operators/registry.js';
export { silentHost, type JobHost, type JobMessage } from './pipeline/host.js';
export { loadModel, onnxModel, saveModel, type ModelInfo } from './pipeline/model-files.js';
export { costsOf, networkCost } from './pipeline/network-costs.js';
export { prepareData, type PreparedData } from './pipeline/prepared-data.js';
export type { NetworkResult, RunEvent, RunResult } from './pipeline/result.js';
export { runSearchJob } from './pipeline/search-job.js';
export { networkAccuracy, trainNetwork } from './pipeline/train-network.js';
export { writeReport } from './report/write.js';
export { describeBudget, parseBudget, resolveBudget } from './search/budget.js';
export { createEvolution } from './search/evolution.js';
export { createRandomSearch } from './search/random-search.js';
export type { SearchProblem, SearchState, SearchStrategy } from './search/strategy.js';
export { BlockKind, type Architecture } from './spaces/architecture.js';
export type { Genome, SearchSpace } from './spaces/contract.js';
export { layersOf, operationTotal, parameterCount } from './spaces/layers.js';
export { createMiniSpace, uniformGenome } from './spaces/mini/space.js';
export { Network } from './spaces/network.js';
export { resnetArchitecture, type ResnetOptions } from './spaces/resnet.js';
export { Supernet } from './supernet/supernet.js';
import './tensor/choose-device.js';
export { describeDevice } from './tensor/device.js';
export { Tape } from './tensor/tape.js';
export { Tensor } from './tensor/tensor.js';
export type { Schedule } from './training/schedule.js';
