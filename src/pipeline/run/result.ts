/**
 * @file What a run leaves behind for people and programs: the shape of `result.json` and of the lines of `events.jsonl`.
 */
import type { ControlComparison } from '../../search/control.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Machine } from './machine.js';

/** Cost of one layer under one profile. Energies in mJ, latency in ms, per inference at batch 1. */
export interface LayerCostRecord {
  readonly name: string;
  /** Operator family, or `conv` for the stem and the classifier. */
  readonly family: string;
  readonly operations: number;
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly computeMj: number;
  readonly dramMj: number;
  readonly globalBufferMj: number;
  readonly nocMj: number;
  readonly registerFileMj: number;
}

/** Weight histogram of one family over the whole network: `counts[i]` weights in [edges[i], edges[i + 1]). */
export interface WeightHistogram {
  readonly family: string;
  readonly edges: readonly number[];
  readonly counts: readonly number[];
}

/** The weights that a family sees in the whole supernet, each tensor in units of its root mean square. */
export interface SupernetWeights extends WeightHistogram {
  readonly weights: number;
  /** About zero: 0 for a Gaussian, 3 for a Laplacian. */
  readonly excessKurtosis: number;
  /** Kolmogorov-Smirnov distances to the Gaussian of the same variance and the Laplacian of the same mean magnitude. */
  readonly gaussianDistance: number;
  readonly laplacianDistance: number;
}

/** How the supernet shared weights, and what came of it. */
export interface SupernetSummary {
  readonly map: string;
  readonly distribution: string;
  /** Values of its parameters. */
  readonly weights: number;
  readonly families: readonly SupernetWeights[];
}

/** One retrained network: trained from scratch under the shared schedule, test set read once. */
export interface NetworkResult {
  /** `hybrid`, `front-1`, `front-2`, ..., `all-conv`, `all-shift`, `all-add` or `conv-scaled`. */
  readonly name: string;
  /** 0 to 1. */
  readonly testAccuracy: number;
  readonly searchValidationAccuracy: number;
  /** By profile name, whole network, one inference. */
  readonly energyMj: Readonly<Record<string, number>>;
  readonly latencyMs: Readonly<Record<string, number>>;
  /** By the latency table, where the run has one: the latency that the budget limits. */
  readonly tableLatencyMs?: number | undefined;
  /** Primitive operations (multiply-, shift- or add-accumulates). */
  readonly macs: number;
  readonly params: number;
  /** Of the array divided for it, under the budget's profile; absent in runs of before. */
  readonly areaMm2?: number | undefined;
  /** Arena of the activations and parameters as stored, under the budget's profile; absent in runs of before. */
  readonly sramBytes?: number | undefined;
  readonly flashBytes?: number | undefined;
  readonly withinBudget: boolean;
  readonly trainSeconds: number;
  readonly architecture: Architecture;
  /** By profile name. */
  readonly layers: Readonly<Record<string, readonly LayerCostRecord[]>>;
  readonly weightHistograms: readonly WeightHistogram[];
  /** Every seed that it was retrained with, the run's own first, which is that of the figures above; absent for one. */
  readonly seeds?: readonly Retraining[] | undefined;
  /** Over the seeds, with the standard deviation of the sample. */
  readonly meanTestAccuracy?: number | undefined;
  readonly testAccuracyDeviation?: number | undefined;
}

/** One retraining of a network. */
export interface Retraining {
  readonly seed: number;
  readonly testAccuracy: number;
  readonly searchValidationAccuracy: number;
  readonly trainSeconds: number;
}

/** A judged network that no other one of the search beats in all objectives (weights inherited from the supernet). */
export interface FrontMember {
  readonly genome: readonly number[];
  /** On search-validation, 0 to 1. */
  readonly accuracy: number;
  /** Under the budget's profile; the latency by the latency table, where the run has one. */
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly macs: number;
  readonly params: number;
  readonly areaMm2: number;
  readonly sramBytes: number;
  readonly flashBytes: number;
}

/** One limit of the budget, all "at most". */
export interface BudgetRecord {
  /** A key of the search's costs: `energyMj`, `latencyMs`, `macs`, `params`, `areaMm2`, `sramBytes` or `flashBytes`. */
  readonly quantity: string;
  readonly limit: number;
}

export interface RunResult {
  readonly format: 'shiftaddnas-result';
  readonly version: 1;
  readonly name: string;
  readonly command: string;
  readonly seed: number;
  readonly startedAt: string;
  readonly seconds: number;
  /** Seconds by phase: supernet, search, retrain. */
  readonly phaseSeconds: Readonly<Record<string, number>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Machine;
  readonly dataset: {
    readonly name: string;
    readonly spec: string;
    readonly height: number;
    readonly width: number;
    readonly channels: number;
    readonly classes: readonly string[];
    readonly trainImages: number;
    readonly searchValidationImages: number;
    readonly testImages: number;
    readonly fingerprint: string;
    readonly notices: readonly string[];
  };
  readonly space: { readonly name: string; readonly size: string; readonly families: readonly string[] };
  /** Profile that the budget is measured under, and every profile reported. */
  readonly profile: string;
  readonly profiles: readonly string[];
  /** The table that the budget's latencies were taken by, and what it was measured on. */
  readonly latencyTable?: { readonly file: string; readonly machine: string } | undefined;
  readonly budget: readonly BudgetRecord[];
  readonly schedule: Readonly<Record<string, number | string>>;
  /** With the steps of its optimiser, and the forward and backward passes of subnets in them; absent in runs of before. */
  readonly supernet?: (SupernetSummary & { readonly steps: number; readonly passes: number }) | undefined;
  readonly search: {
    /** `evolution`, `nsga2` or `random`, and `none`, `ridge` or `gp`; absent in runs of before, as what follows. */
    readonly strategy?: string | undefined;
    readonly surrogate?: string | undefined;
    /** What the front is taken over: `error` and words of the budget. */
    readonly objectives?: readonly string[] | undefined;
    /** Of everything judged, the most accurate first. */
    readonly front?: readonly FrontMember[] | undefined;
    /** sha256 of all that was judged, in order, with its accuracy and costs: two searches that agree in it were the same. */
    readonly archiveHash?: string | undefined;
    readonly generations: number;
    readonly evaluated: number;
    readonly bestGenome: readonly number[];
    readonly bestSearchValidationAccuracy: number;
    /** What the first generation was chosen by; absent without a pre-filter. */
    readonly prefilter?:
      { readonly scorer: string; readonly pool: number; readonly kept: number } | undefined;
    /** Held against random search at equal evaluations; absent when it was not, or is random search itself. */
    readonly control?: ControlRecord | undefined;
  };
  readonly networks: readonly NetworkResult[];
}

/** A search and random search after equally many evaluations of the same judge. */
export interface ControlRecord extends ControlComparison {
  /** Of random search, as of the search. */
  readonly archiveHash: string;
}

/** One network that was judged for the control alone; those that the search had judged are not judged again. */
export interface ControlEvent {
  readonly type: 'control';
  readonly time: string;
  readonly generation: number;
  readonly genome: readonly number[];
  /** On search-validation, 0 to 1. */
  readonly accuracy: number;
}

/** One evaluated candidate of the search (weights inherited from the supernet). */
export interface CandidateEvent {
  readonly type: 'candidate';
  readonly time: string;
  readonly generation: number;
  readonly genome: readonly number[];
  /** How it came about: `random`, `mutation` or `crossover`. */
  readonly origin: string;
  /** On search-validation, 0 to 1. */
  readonly accuracy: number;
  /** Under the budget's profile; the latency by the latency table, where the run has one. */
  readonly energyMj: number;
  readonly latencyMs: number;
  readonly macs: number;
  readonly params: number;
  readonly areaMm2?: number | undefined;
  readonly sramBytes?: number | undefined;
  readonly flashBytes?: number | undefined;
}

/**
 * One report of training progress (supernet or a retrained network). After a kill, the steps since the last checkpoint
 * are trained, and reported, again: the later line of a step counts.
 */
export interface TrainingEvent {
  readonly type: 'training';
  readonly time: string;
  /** `supernet` or `retrain:NAME`. */
  readonly phase: string;
  readonly epoch: number;
  readonly step: number;
  readonly loss: number;
  readonly accuracy: number;
  readonly learningRate: number;
  /** Of the supernet: forward and backward passes so far. */
  readonly passes?: number | undefined;
}

/** A phase began or ended, or something a person should know happened. */
export interface PhaseEvent {
  readonly type: 'phase';
  readonly time: string;
  readonly phase: string;
  readonly state: 'started' | 'finished' | 'resumed';
}

export interface NoticeEvent {
  readonly type: 'notice';
  readonly time: string;
  readonly message: string;
}

export type RunEvent = CandidateEvent | ControlEvent | TrainingEvent | PhaseEvent | NoticeEvent;
