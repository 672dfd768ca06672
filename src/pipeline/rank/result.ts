/**
 * @file The outcome of a rank measurement: how the supernet and each zero-cost scorer order networks, against what they
 * reach when trained alone.
 */
import { mean } from 'd3-array';
import type { Estimate } from '../../search/statistics/bootstrap.js';
import { kendallTau } from '../../search/statistics/kendall.js';
import {
  kendallTauDifference,
  rankFidelity,
  type RankAgreement,
  type RankedNetwork,
  type RankFidelity,
} from '../../search/statistics/rank-fidelity.js';
import type { Genome } from '../../spaces/contract.js';
import type { Machine } from '../run/machine.js';
import type { SupernetSummary } from '../run/result.js';

/** Name of the supernet among the scorers. */
export const supernetScorer = 'supernet';

/** Of fewer networks than this a correlation says nothing, and there is none. */
export const fewestNetworks = 5;

/** One network with all that was measured of it. */
export interface RankNetwork {
  readonly genome: Genome;
  /** One label for each position: `add x0.5`. */
  readonly options: readonly string[];
  readonly energyMj: number;
  readonly macs: number;
  readonly params: number;
  /** By scorer; null for a network that the scorer thinks worthless. */
  readonly scores: Readonly<Record<string, number | null>>;
  /** Of each seed, on search-validation after training alone; null where the training diverged. */
  readonly accuracies: readonly (number | null)[];
  /** Their mean; null when one diverged: the network is not ranked. */
  readonly accuracy: number | null;
  /** Folders of the trained networks, inside the measurement's. */
  readonly folders: readonly string[];
}

/** How one scorer orders the networks. */
export interface ScorerOutcome {
  readonly title: string;
  readonly networks: number;
  /** tau-b overall and inside the best third by accuracy; null where it is not defined, and of few networks. */
  readonly kendallTau: number | null;
  readonly kendallTauBestThird: number | null;
  /** The same with Spearman's correlation, regrets, energy bins, and intervals everywhere. */
  readonly fidelity: RankFidelity;
  /** tau-b of the supernet less that of this scorer, on the same samples; absent for the supernet. */
  readonly supernetAhead?: { readonly overall: Estimate; readonly bestThird: Estimate };
}

/** What `rank.json` holds. */
export interface RankResult {
  readonly format: 'shiftaddnas-rank';
  readonly version: 1;
  readonly command: string;
  readonly seed: number;
  /** Of the stand-alone trainings. */
  readonly seeds: readonly number[];
  readonly seconds: number;
  readonly phaseSeconds: Readonly<Record<string, number>>;
  readonly versions: Readonly<Record<string, string>>;
  readonly machine: Machine;
  readonly dataset: {
    readonly name: string;
    readonly spec: string;
    readonly height: number;
    readonly width: number;
    readonly channels: number;
    readonly classes: number;
    readonly trainImages: number;
    readonly searchValidationImages: number;
    readonly fingerprint: string;
  };
  readonly space: { readonly name: string; readonly size: string; readonly families: readonly string[] };
  readonly profile: string;
  readonly supernet: SupernetSummary & {
    /** Folder of the run that it was taken from; null: trained here. */
    readonly run: string | null;
    /** That it was trained with here. */
    readonly seed?: number;
    /** Steps of its optimiser, and forward and backward passes of subnets in them. */
    readonly steps: number;
    readonly passes: number;
    /** The section `supernetTraining`, its defaults filled in. */
    readonly training: Readonly<Record<string, unknown>>;
    readonly schedule: Readonly<Record<string, unknown>>;
  };
  /** Of the stand-alone trainings. */
  readonly schedule: Readonly<Record<string, unknown>>;
  /** Of all intervals. */
  readonly confidence: number;
  /** Networks that are ranked, and tau-b of the supernet. */
  readonly networks: number;
  readonly kendallTau: number | null;
  readonly kendallTauBestThird: number | null;
  readonly scorers: Readonly<Record<string, ScorerOutcome>>;
  /** Mean tau-b between the accuracies of two seeds: no scorer can be expected to do better. Null for one seed. */
  readonly seedAgreement: number | null;
  readonly measured: readonly RankNetwork[];
}

/** Outcomes of the scorers, by name; `titles` says which there are, the supernet first. */
export function scorerOutcomes(
  measured: readonly RankNetwork[],
  titles: ReadonlyMap<string, string>,
  seed: number,
): Readonly<Record<string, ScorerOutcome>> {
  const rankedBy = (scorer: string): readonly RankedNetwork[] =>
    measured.flatMap(({ accuracy, energyMj, scores }) =>
      accuracy === null ? [] : [{ truth: accuracy, score: scores[scorer] ?? -Infinity, energyMj }],
    );
  const supernet = rankedBy(supernetScorer);
  return Object.fromEntries(
    [...titles].map(([name, title]): [string, ScorerOutcome] => {
      const networks = rankedBy(name);
      const fidelity = withoutFew(rankFidelity(networks, { seed }));
      return [
        name,
        {
          title,
          networks: networks.length,
          kendallTau: numberOrNull(fidelity.overall.kendallTau.value),
          kendallTauBestThird: numberOrNull(fidelity.bestThird.kendallTau.value),
          fidelity,
          ...(name !== supernetScorer && {
            supernetAhead: aheadOf(fidelity, kendallTauDifference(supernet, networks, { seed })),
          }),
        },
      ];
    }),
  );
}

const noFigure: Estimate = { value: Number.NaN, low: Number.NaN, high: Number.NaN };

/** Without the figures of fewer than {@link fewestNetworks}; how many there are stays. */
function withoutFew(fidelity: RankFidelity): RankFidelity {
  const enough = <T extends RankAgreement>(agreement: T): T =>
    agreement.networks >= fewestNetworks
      ? agreement
      : {
          ...agreement,
          ...{ kendallTau: noFigure, spearman: noFigure },
          topRegret: agreement.topRegret.map(({ k }) => ({ k, regret: noFigure })),
        };
  const pairs = (networks: number): number => (networks * (networks - 1)) / 2;
  const { overall, bestThird, energyBins, kendallTauInsideBins } = fidelity;
  const inside = energyBins.reduce((sum, { networks }) => sum + pairs(networks), 0);
  return {
    overall: enough(overall),
    bestThird: enough(bestThird),
    energyBins: energyBins.map(enough),
    // Of the pairs in all bins together.
    kendallTauInsideBins: inside >= pairs(fewestNetworks) ? kendallTauInsideBins : noFigure,
  };
}

function aheadOf(
  { overall, bestThird }: RankFidelity,
  ahead: NonNullable<ScorerOutcome['supernetAhead']>,
): NonNullable<ScorerOutcome['supernetAhead']> {
  return {
    overall: overall.networks >= fewestNetworks ? ahead.overall : noFigure,
    bestThird: bestThird.networks >= fewestNetworks ? ahead.bestThird : noFigure,
  };
}

/** Mean tau-b over the pairs of seeds, of the networks that all of them trained; null where these are few. */
export function agreementOfSeeds(measured: readonly RankNetwork[]): number | null {
  const ranked = measured.filter(({ accuracy }) => accuracy !== null);
  if (ranked.length < fewestNetworks) return null;
  const seeds = ranked[0]?.accuracies.length ?? 0;
  const of = (seed: number): readonly number[] => ranked.map(({ accuracies }) => accuracies[seed]!);
  const taus = Array.from({ length: seeds }, (_, first) =>
    Array.from({ length: first }, (__, second) => kendallTau(of(first), of(second))),
  ).flat();
  return numberOrNull(mean(taus) ?? Number.NaN);
}

function numberOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
