import { describe, expect, it } from 'vitest';
import { estimate } from './estimate.js';
import { compareWithGolden } from './golden.js';
import { Primitive } from './layer.js';
import { visionNetwork, version3Stages } from './published/vision.js';

describe('the published cost model', () => {
  it('is reproduced on all 158 golden vision layers and 59 translation layers, tilings included', () => {
    const comparison = compareWithGolden(1e-6);
    expect(comparison.deviations).toEqual([]);
    const counts = comparison.tables.map(({ rows, matched, sameTiling }) => [rows, matched, sameTiling]);
    // Ties are broken by the published enumeration order, so even the tilings agree.
    expect(counts).toEqual([
      [158, 158, 158],
      [59, 59, 59],
    ]);
    expect([comparison.rows, comparison.matched, comparison.sameTiling]).toEqual([217, 217, 217]);
    expect(comparison.largestDeviation).toBeLessThan(1e-9);
  });

  it('reports a deviation instead of hiding it', () => {
    const comparison = compareWithGolden(1e-12);
    expect(comparison.matched).toBeLessThan(217);
    expect(comparison.deviations.length).toBeGreaterThan(0);
    expect(comparison.largestAt).toBeDefined();
  });

  // Sums of the published result folders: mJ, ms, and mJ by level.
  it.each([
    ['T0 v3 at 224', 224, 2, 242.264, 206.402, [17.06, 30.58, 18.63, 27.61, 148.39]],
    ['T0 v3 at 256', 256, 2, 310.452, 255.599, [22.32, 34.2, 24.7, 35.31, 193.92]],
    ['T1 v3 at 224', 224, 1, 440.619, 387.655, [33.29, 41.17, 42.31, 50.68, 273.17]],
    ['T1 v3 at 256', 256, 1, 572.399, 464.79, [43.73, 56.8, 47.54, 66.1, 358.22]],
  ] as const)(
    'gives the published totals of %s',
    (_name, resolution, lastStride, energyMj, latencyMs, levels) => {
      const cost = estimate(
        visionNetwork({ resolution, lastStride, stages: version3Stages }),
        'paper-cv-168',
      );
      expect(cost.energyMj).toBeCloseTo(energyMj, 3);
      expect(cost.latencyMs).toBeCloseTo(latencyMs, 3);
      const { computeMj, dramMj, globalBufferMj, nocMj, registerFileMj } = cost.byLevel;
      [computeMj, dramMj, globalBufferMj, nocMj, registerFileMj].forEach((level, index) =>
        expect(Math.abs(level - levels[index]!)).toBeLessThanOrEqual(0.0051),
      );
    },
  );

  it('gives the published operation counts and shares by operator of T0 v3 at 224', () => {
    const layers = visionNetwork({ resolution: 224, lastStride: 2, stages: version3Stages });
    const cost = estimate(layers, 'paper-cv-168');
    expect(cost.operations / 1e9).toBeCloseTo(5.586, 3);
    const energyOf = (primitive: Primitive): number =>
      cost.layers
        .filter((layer) => layer.primitive === primitive)
        .reduce((sum, layer) => sum + layer.energyMj, 0);
    expect(energyOf(Primitive.Add)).toBeCloseTo(20.76, 2);
    expect(energyOf(Primitive.Shift)).toBeCloseTo(6.69, 2);
  });
});
