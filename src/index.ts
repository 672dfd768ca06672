/**
 * @file `shiftaddnas`: the public entry point of Node. All that a browser has (tensors, ops, layers, networks, optimisers:
 * `browser.ts`), on the fastest device there is, and what needs files: data, jobs, models, reports.
 * `shiftaddnas/hardware` is the cost side alone.
 */
import './tensor/choose-device.js';

export * from './browser.js';
export { DataError, InfeasibleBudgetError } from './base/errors.js';
export { loadDataset } from './data/load-dataset.js';
export { splitDataset } from './data/split.js';
export { estimate, loadProfile, Primitive, type LayerDescription } from './hardware/index.js';
export { compareRuns, type ComparedRun, type RunComparison } from './pipeline/search/compare-runs.js';
export { silentHost, type JobHost, type JobMessage } from './pipeline/run/host.js';
export { loadModel, onnxModel, saveModel, type ModelInfo } from './pipeline/models/model-files.js';
export { costsOf, networkCost } from './pipeline/models/network-costs.js';
export { prepareData, type PreparedData } from './pipeline/training/prepared-data.js';
export type { NetworkResult, RunEvent, RunResult } from './pipeline/run/result.js';
export { runSearchJob } from './pipeline/jobs/search-job.js';
export { networkAccuracy, trainNetwork } from './pipeline/training/train-network.js';
export { writeReport } from './report/write.js';
export { describeBudget, parseBudget, resolveBudget } from './search/budget.js';
export { compareWithControl, createControl, type ControlComparison } from './search/control.js';
export { createEvolution } from './search/evolution.js';
export { compareFronts, hypervolume, type HypervolumeComparison } from './search/hypervolume.js';
export { createNsga2 } from './search/nsga2.js';
export { frontOf, Objective, objectiveValues } from './search/objectives.js';
export { createRandomSearch } from './search/random-search.js';
export { kendallTau } from './search/statistics/kendall.js';
export {
  kendallTauDifference,
  rankFidelity,
  type RankedNetwork,
  type RankFidelity,
} from './search/statistics/rank-fidelity.js';
export { topRegret } from './search/statistics/regret.js';
export type { SearchProblem, SearchState, SearchStrategy } from './search/strategy.js';
export { SurrogateKind } from './search/surrogate/screening.js';
