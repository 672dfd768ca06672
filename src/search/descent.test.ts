import { describe, expect, it } from 'vitest';
import type { Genome } from '../spaces/contract.js';
import type { Costs } from './costs.js';
import { descend } from './descent.js';

describe('descent on the violation', () => {
  const counts = [4, 4, 4, 4];

  it('crosses plateaus of the violation by way of the other limits', () => {
    // The slowest gene alone decides about energy: lowering one of several leaves the violation as it was.
    const costOf = (genome: Genome): Costs => ({
      energyMj: 1 + Math.max(...genome),
      latencyMs: 1 + genome.reduce((sum, gene) => sum + gene, 0),
      macs: 1,
      params: 1,
      areaMm2: 1,
      sramBytes: 1,
      flashBytes: 1,
    });
    const found = descend([3, 3, 3, 3], counts, costOf, { energyMj: 1.5, latencyMs: 100 });
    expect(found.genome).toEqual([0, 0, 0, 0]);
    expect(found.violation).toBe(0);
  });

  it('stops at the first genome within the budget, in the order of positions it is given', () => {
    const costOf = (genome: Genome): Costs => ({
      energyMj: 1 + genome.reduce((sum, gene) => sum + gene, 0),
      latencyMs: 1,
      macs: 1,
      params: 1,
      areaMm2: 1,
      sramBytes: 1,
      flashBytes: 1,
    });
    expect(descend([3, 3, 3, 3], counts, costOf, { energyMj: 7 }, [2, 0, 1, 3]).genome).toEqual([0, 3, 0, 3]);
    expect(descend([1, 0, 0, 0], counts, costOf, { energyMj: 2 }).genome).toEqual([1, 0, 0, 0]);
    expect(descend([1, 2, 3, 0], counts, costOf, { energyMj: 0.5 })).toMatchObject({
      genome: [0, 0, 0, 0],
      violation: 1,
    });
  });
});
