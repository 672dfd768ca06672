/**
 * What shift layers do in training: every family learns, its weights go on changing and stay powers of two.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Primitive } from '../hardware/layer.js';
import { Mode } from '../nn/module.js';
import { familyNamed, listFamilies } from '../operators/registry.js';
import { createMiniSpace, uniformGenome } from '../spaces/mini/space.js';
import { Network } from '../spaces/network.js';
import { accuracyOf } from './evaluate.js';
import {
  toyBatch,
  toyOptions,
  toySchedule,
  toyShape,
  toySpace,
  toyStepsPerEpoch,
  traineeOf,
} from './toy.cases.js';
import { train } from './train.js';

/** Not the one with the released oddity: signs that never change, it learns little by. */
const shiftFamilies = listFamilies().filter(
  ({ name, primitive }) => primitive === Primitive.Shift && !name.endsWith('.compat'),
);
const epochs = 12;

/** Trains the all-`family` network; also returns, by epoch, the part of its weights whose value changed. */
function trained(family: string): { readonly network: Network; readonly changed: readonly number[] } {
  const space = createMiniSpace({ ...toySpace.options, families: [family] });
  const network = new Network(
    space.architecture(uniformGenome(space, family)),
    Random.stream('shift', family),
  );
  const weights = (): readonly number[] =>
    network.operatorLayers
      .filter((layer) => layer.family.name === family)
      .flatMap((layer) => [...layer.effectiveWeights()]);
  const changed: number[] = [];
  let before = weights();
  const onProgress = ({ step }: { readonly step: number }): void => {
    if (step % toyStepsPerEpoch !== 0) return;
    const now = weights();
    changed.push(now.filter((value, i) => value !== before[i]).length / now.length);
    before = now;
  };
  train(traineeOf(network), toyOptions({ schedule: { ...toySchedule, epochs }, onProgress }));
  return { network, changed };
}

describe.each(shiftFamilies.map(({ name }) => name))('a network of %s', (family) => {
  it('learns, and computes with powers of two and zeros alone at the end', () => {
    const { network, changed } = trained(family);
    const batches = Array.from({ length: 6 }, (_, i) => toyBatch(100, i));
    expect(
      accuracyOf(batches, toyShape, (images) => network.forward(images, Mode.Evaluation)),
    ).toBeGreaterThan(0.6);
    expect(changed.length).toBe(epochs);
    expect(Math.min(...changed.slice(0, epochs / 2))).toBeGreaterThan(0);
    for (const layer of network.operatorLayers) {
      if (layer.family.name !== family) continue;
      const values = new Set(layer.effectiveWeights().map(Math.abs));
      for (const value of values) if (value !== 0) expect(2 ** Math.round(Math.log2(value))).toBe(value);
      expect(values.size).toBeLessThanOrEqual(2 ** familyNamed(family).operandBits.weight);
    }
    network.dispose();
  });
});

describe('weights that change their value in an epoch', () => {
  it('are more in DenseShift than where sign and exponent are trained, at equal rate (ICCV 2023)', () => {
    const share = (family: string): number => {
      const { network, changed } = trained(family);
      network.dispose();
      return changed.reduce((sum, part) => sum + part, 0) / changed.length;
    };
    expect(share('pot.dense')).toBeGreaterThan(3 * share('pot.ps'));
  });
});
