import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { OptionError } from '../../base/errors.js';
import type { Genome } from '../../spaces/contract.js';
import { createMiniSpace } from '../../spaces/mini/space.js';
import {
  agreementOfSeeds,
  scorerOutcomes,
  supernetScorer,
  type RankNetwork,
  type ScorerOutcome,
} from './result.js';
import { networksAlongEnergy } from './sample.js';

const space = createMiniSpace({ input: { height: 16, width: 16, channels: 1 }, classes: 4 });
/** A sum of many genes crowds around its middle, as energies do. */
const energyOf = (genome: Genome): number => genome.reduce((sum, gene) => sum + gene, 0);

describe('networks along the energy', () => {
  it('are different, follow from the seed, and are the same for any number behind them', () => {
    const chosen = networksAlongEnergy(space, energyOf, 30, 1);
    expect(new Set(chosen.map((genome) => genome.join())).size).toBe(30);
    expect(networksAlongEnergy(space, energyOf, 30, 1)).toEqual(chosen);
    expect(networksAlongEnergy(space, energyOf, 30, 2)).not.toEqual(chosen);
  });

  it('fill the energies evenly, which uniform draws do not', () => {
    const random = Random.stream('uniform');
    const uniform = Array.from({ length: 2000 }, () => energyOf(space.sample(random)));
    const [least, most] = [Math.min(...uniform), Math.max(...uniform)];
    const outside = (energies: readonly number[]): number =>
      energies.filter((energy) => Math.abs(energy - (least + most) / 2) > (most - least) / 4).length /
      energies.length;
    const chosen = networksAlongEnergy(space, energyOf, 40, 1).map(energyOf);
    expect(outside(uniform)).toBeLessThan(0.2);
    expect(outside(chosen)).toBeGreaterThan(0.35);
  });

  it('of a small space may be all, and no more', () => {
    const small = createMiniSpace({
      ...{ input: { height: 16, width: 16, channels: 1 }, classes: 4, families: ['conv'] },
      ...{ stemChannels: 4, stageChannels: [8, 8], blocksPerStage: [1, 1] },
    });
    const all = Number(small.size);
    const chosen = networksAlongEnergy(small, energyOf, all, 1);
    expect(new Set(chosen.map((genome) => genome.join())).size).toBe(all);
    expect(() => networksAlongEnergy(small, energyOf, all + 1, 1)).toThrow(OptionError);
    expect(networksAlongEnergy(small, () => 1, all, 1)).toHaveLength(all);
  });
});

describe('the outcome', () => {
  const network = (at: number, over: Partial<RankNetwork> = {}): RankNetwork => ({
    genome: [at],
    options: [],
    energyMj: 1 + at,
    macs: 1,
    params: 1,
    scores: { [supernetScorer]: at, other: -at },
    accuracies: [0.1 * at, 0.1 * at],
    accuracy: 0.1 * at,
    folders: [],
    ...over,
  });
  const titles = new Map([
    [supernetScorer, 'Supernet'],
    ['other', 'Other'],
  ]);
  const nine = Array.from({ length: 9 }, (_, at) => network(at));
  const many = Array.from({ length: 15 }, (_, at) => network(at));

  it('is 1 for a scorer that is right, -1 for one that is wrong, and the difference of the two is 2', () => {
    const { [supernetScorer]: right, other: wrong } = scorerOutcomes(many, titles, 1);
    expect(right).toMatchObject({ networks: 15, kendallTau: 1, kendallTauBestThird: 1 });
    expect(wrong).toMatchObject({ networks: 15, kendallTau: -1, kendallTauBestThird: -1 });
    expect(wrong!.supernetAhead!.overall.value).toBe(2);
    expect(right!.supernetAhead).toBeUndefined();
    expect(right!.fidelity.energyBins.map(({ networks }) => networks)).toEqual([5, 5, 5]);
  });

  it('has no figures of fewer than five networks, but how many there are, in JSON too', () => {
    const outcomes = JSON.parse(JSON.stringify(scorerOutcomes(nine, titles, 1))) as Record<
      string,
      ScorerOutcome
    >;
    const { kendallTau, kendallTauBestThird, fidelity, supernetAhead } = outcomes['other']!;
    const none = { value: null, low: null, high: null };
    expect([kendallTau, kendallTauBestThird]).toEqual([-1, null]);
    for (const few of [fidelity.bestThird, ...fidelity.energyBins]) {
      expect(few).toMatchObject({ networks: 3, kendallTau: none, spearman: none });
      for (const { regret } of few.topRegret) expect(regret).toEqual(none);
    }
    // Nine pairs in all bins together; five networks have ten.
    expect(fidelity.kendallTauInsideBins).toEqual(none);
    expect(supernetAhead).toMatchObject({ overall: { value: 2 }, bestThird: none });
    const twelve = scorerOutcomes(many.slice(0, 12), titles, 1)[supernetScorer]!.fidelity;
    expect(twelve.kendallTauInsideBins.value).toBe(1);
    const four = scorerOutcomes(nine.slice(0, 4), titles, 1)['other']!;
    expect(four).toMatchObject({ networks: 4, kendallTau: null, kendallTauBestThird: null });
    expect(four.fidelity.overall.networks).toBe(4);
  });

  it('takes a network that a scorer thinks worthless as its last', () => {
    const least = nine.map((each, at) =>
      at === 0 ? { ...each, scores: { ...each.scores, [supernetScorer]: null } } : each,
    );
    expect(scorerOutcomes(least, titles, 1)[supernetScorer]!.kendallTau).toBe(1);
  });

  it('leaves out what diverged', () => {
    const diverged = [...nine, network(99, { accuracies: [0.5, null], accuracy: null })];
    expect(scorerOutcomes(diverged, titles, 1)).toEqual(scorerOutcomes(nine, titles, 1));
    expect(agreementOfSeeds(diverged)).toBe(1);
  });

  it('knows how far seeds agree: the mean over their pairs, nothing for one', () => {
    const orders = [
      [0, 1, 2, 3, 4],
      [0, 2, 1, 3, 4],
      [4, 3, 2, 1, 0],
    ];
    const measured = [0, 1, 2, 3, 4].map((at) =>
      network(at, { accuracies: orders.map((order) => order[at]!) }),
    );
    // Pairs in agreement less those against, of ten: 8, -10, -8.
    expect(agreementOfSeeds(measured)).toBeCloseTo((8 - 10 - 8) / 30, 12);
    expect(agreementOfSeeds(measured.slice(0, 4))).toBeNull();
    expect(agreementOfSeeds(measured.map((each) => ({ ...each, accuracies: [1] })))).toBeNull();
  });
});
