import { describe, expect, it } from 'vitest';
import { linearLaw, rowOf, toyLayers } from '../hardware/measured/measured.cases.js';
import { layerCounts } from '../hardware/measured/features.js';
import { OperationKind } from '../hardware/measured/operation.js';
import { fitLinear, heldOutErrors } from '../hardware/measured/predictor.js';
import type { MeasuredRow } from '../hardware/measured/table.js';
import '../tensor/choose-device.js';
import { fitMlp } from './latency-mlp.js';

const layers = toyLayers(200, 1);
const rows = layers.map((layer) => rowOf(layer, linearLaw(layer)));
const fit = (seed: number) => (some: readonly MeasuredRow[]) => fitMlp(some, { seed, steps: 600 });

describe('the perceptron that predicts latencies', () => {
  it('learns a law, for layers it has not seen', () => {
    const errors = heldOutErrors(rows, fit(1), 1)!;
    expect(errors.meanRelative).toBeLessThan(0.12);
    expect(errors.rankCorrelation).toBeGreaterThan(0.98);
  });

  it('follows what is no sum of the counts, which the linear one cannot', () => {
    const bent = layers.map((layer) =>
      rowOf(layer, Math.sqrt(layerCounts(layer)[0]! * layerCounts(layer)[2]!) * 1e-6),
    );
    const [linear, mlp] = [heldOutErrors(bent, fitLinear, 1)!, heldOutErrors(bent, fit(1), 1)!];
    expect(mlp.meanRelative).toBeLessThan(0.7 * linear.meanRelative);
  });

  it('is the same for the same seed, and another for another', () => {
    const [a, again, b] = [fit(1)(rows), fit(1)(rows), fit(2)(rows)];
    const others = toyLayers(20, 9);
    const predicted = others.map((layer) => a.predictMs(layer));
    expect(others.map((layer) => again.predictMs(layer))).toEqual(predicted);
    expect(others.map((layer) => b.predictMs(layer))).not.toEqual(predicted);
    expect(Math.min(...predicted)).toBeGreaterThan(0);
  });

  it('leaves operations on maps to the linear one, and says what it knows too little of', () => {
    const join = { kind: OperationKind.Join as const, batch: 1, height: 8, width: 8, channels: 8 };
    expect(fit(1)([...rows, rowOf(join, 0.5)]).predictMs(join)).toBeCloseTo(0.5, 4);
    expect(() => fit(1)(rows.slice(0, 5)).predictMs(layers[9]!)).toThrow(/too few like it/);
    const alone = rows.filter(
      ({ operation }) => operation.kind === OperationKind.Layer && operation.primitive === 'add',
    );
    const other = layers.find(({ primitive }) => primitive === 'multiply')!;
    expect(() => fit(1)(alone).predictMs(other)).toThrow(/too few like it/);
  });
});
