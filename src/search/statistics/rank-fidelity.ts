/**
 * @file How well a scorer (a supernet, a proxy, a surrogate) ranks networks whose true accuracy is known.
 *
 * A good tau over all networks may come from telling bad from good, or dear from cheap, alone. So the same figures are
 * also given inside the best third by truth, where a search has to choose, and inside bins of energy, where counting
 * parameters no longer helps. Sub-sets are chosen anew in every bootstrap sample: their choice is part of the figure.
 *
 * Intervals: BCa for the correlations; percentile for the regret, which has an atom at zero and an edge there.
 */
import { OptionError } from '../../base/errors.js';
import { quantile, rankCorrelation, ranks } from '../../base/statistics.js';
import { bootstrap, type BootstrapOptions, type Estimate, IntervalKind } from './bootstrap.js';
import { kendallTau, kendallTauWithin } from './kendall.js';
import { topRegret } from './regret.js';

/** One network with its accuracy after training alone, and what a scorer says of it: more is better. */
export interface RankedNetwork {
  readonly truth: number;
  readonly score: number;
  readonly energyMj: number;
}

/** How a scorer agrees with the truth on a set of networks. */
export interface RankAgreement {
  readonly networks: number;
  /** tau-b. */
  readonly kendallTau: Estimate;
  readonly spearman: Estimate;
  /** By k: best accuracy there is minus best accuracy among the k that the scorer puts first. */
  readonly topRegret: readonly { readonly k: number; readonly regret: Estimate }[];
}

export interface EnergyBin extends RankAgreement {
  /** The least and the most energy in the bin. */
  readonly fromMj: number;
  readonly toMj: number;
}

export interface RankFidelity {
  readonly overall: RankAgreement;
  readonly bestThird: RankAgreement;
  /** Equal counts, from cheap to dear; networks of equal energy share a bin. */
  readonly energyBins: readonly EnergyBin[];
  /** tau-b over the pairs of networks that share a bin. */
  readonly kendallTauInsideBins: Estimate;
}

export interface RankFidelityOptions extends BootstrapOptions {
  /** Default 3. */
  readonly energyBins?: number;
  /** The k of the regrets; default 1, 3 and 5. */
  readonly topK?: readonly number[];
}

type Networks = readonly RankedNetwork[];

/** The best third by truth: the truth must reach that of the network at the place of a third, so ties belong to it. */
export function bestThird(networks: Networks): Networks {
  const falling = networks.map(({ truth }) => truth).sort((a, b) => b - a);
  const threshold = falling[Math.ceil(networks.length / 3) - 1] ?? Infinity;
  return networks.filter(({ truth }) => truth >= threshold);
}

/** Networks by energy in `bins` groups of equal counts, as far as equal energies allow. */
export function energyBins(networks: Networks, bins: number): readonly Networks[] {
  const found = Array.from({ length: bins }, (): RankedNetwork[] => []);
  ranks(networks.map(({ energyMj }) => energyMj)).forEach((rank, at) => {
    found[Math.floor((bins * (rank + 0.5)) / networks.length)]!.push(networks[at]!);
  });
  return found;
}

const truths = (networks: Networks): readonly number[] => networks.map(({ truth }) => truth);
const scores = (networks: Networks): readonly number[] => networks.map(({ score }) => score);
const tau = (networks: Networks): number => kendallTau(scores(networks), truths(networks));

/**
 * Agreement of a scorer with the truth over all networks, inside the best third, and inside energy bins.
 * @throws OptionError when a figure of a network is not a number
 */
export function rankFidelity(networks: Networks, options: RankFidelityOptions): RankFidelity {
  requireNumbers(networks);
  const { energyBins: bins = 3, topK = [1, 3, 5] } = options;
  const subsets = (sample: Networks): readonly Networks[] => [
    sample,
    bestThird(sample),
    ...energyBins(sample, bins),
  ];
  const agreement = (sample: Networks): readonly number[] => [
    tau(sample),
    rankCorrelation(scores(sample), truths(sample)),
    ...topK.map((k) => topRegret(scores(sample), truths(sample), k)),
  ];
  const kinds = [IntervalKind.Bca, IntervalKind.Bca, ...topK.map(() => IntervalKind.Percentile)];
  const estimates = bootstrap(
    networks.length,
    (indices) => {
      const [all, third, ...binned] = subsets(indices.map((at) => networks[at]!));
      return [
        ...[all!, third!, ...binned].flatMap(agreement),
        kendallTauWithin(binned.map((bin) => ({ first: scores(bin), second: truths(bin) }))),
      ];
    },
    [...subsets(networks).flatMap(() => kinds), IntervalKind.Bca],
    options,
  );
  const described = subsets(networks).map((subset, at): RankAgreement => {
    const [kendall, spearman, ...regrets] = estimates.slice(at * kinds.length, (at + 1) * kinds.length);
    return {
      networks: subset.length,
      kendallTau: kendall!,
      spearman: spearman!,
      topRegret: topK.map((k, which) => ({ k, regret: regrets[which]! })),
    };
  });
  const [overall, third, ...binned] = described;
  return {
    overall: overall!,
    bestThird: third!,
    energyBins: energyBins(networks, bins).map((bin, at) => {
      const energies = bin.map(({ energyMj }) => energyMj);
      return { fromMj: quantile(energies, 0), toMj: quantile(energies, 1), ...binned[at]! };
    }),
    kendallTauInsideBins: estimates.at(-1)!,
  };
}

/**
 * tau-b of `first` minus that of `second`, two scores of the same networks, overall and inside the best third: an
 * interval above zero says that the first ranks better. Both are taken on the same samples, so that what the networks
 * have in common does not blur the difference.
 */
export function kendallTauDifference(
  first: Networks,
  second: Networks,
  options: BootstrapOptions,
): { readonly overall: Estimate; readonly bestThird: Estimate } {
  requireNumbers([...first, ...second]);
  if (first.length !== second.length || first.some(({ truth }, at) => truth !== second[at]!.truth))
    throw new OptionError('two scorers can only be compared on the same networks with the same truths');
  const difference = (a: Networks, b: Networks): number => tau(a) - tau(b);
  const [overall, third] = bootstrap(
    first.length,
    (indices) => {
      const [a, b] = [indices.map((at) => first[at]!), indices.map((at) => second[at]!)];
      return [difference(a, b), difference(bestThird(a), bestThird(b))];
    },
    [IntervalKind.Bca, IntervalKind.Bca],
    options,
  );
  return { overall: overall!, bestThird: third! };
}

function requireNumbers(networks: Networks): void {
  networks.forEach((network, at) => {
    for (const [name, value] of Object.entries(network) as [string, number][])
      if (Number.isNaN(value))
        throw new OptionError(`network ${at}: its ${name} is not a number, so it cannot be ranked`);
  });
}
