/**
 * A training step needs the same memory every time: 50 steps take no byte more than the second.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../base/random.js';
import { Mode } from '../nn/module.js';
import { listFamilies } from '../operators/registry.js';
import { Network } from '../spaces/network.js';
import { resnetArchitecture } from '../spaces/resnet.js';
import { normals } from '../tensor/float64.cases.js';
import { softmaxCrossEntropy } from '../tensor/ops/loss.js';
import { poolUsage, resetPeak, type PoolUsage } from '../tensor/pool.js';
import { Tape } from '../tensor/tape.js';
import { Tensor } from '../tensor/tensor.js';
import { Sgd } from './optimiser.js';

const input = { height: 16, width: 16, channels: 3 };
const batch = 12;
const families = listFamilies().map(({ name }) => name);

describe('the memory of a training step', () => {
  it.each(families.flatMap((family) => [[family, false] as const, [family, true] as const]))(
    'of %s layers, recomputed blocks %s, is that of the step before',
    (family, recomputeBlocks) => {
      const before = poolUsage().usedBytes;
      const network = new Network(
        resnetArchitecture({ depth: 8, family, input, classes: 4 }),
        Random.stream('memory'),
      );
      const optimiser = new Sgd(network.parameters, { momentum: 0.9, weightDecay: 5e-4 });
      const images = Tensor.view([batch, 16, 16, 3], normals(batch * 16 * 16 * 3, 'memory'));
      const labels = Int32Array.from({ length: batch }, (_, i) => i % 4);
      const usages: PoolUsage[] = [];
      for (let step = 0; step < 50; step++) {
        resetPeak();
        const { value, tape } = Tape.record(() =>
          softmaxCrossEntropy(network.forward(images, Mode.Training, { recomputeBlocks }), labels),
        );
        tape.backward(value);
        optimiser.step(0.01);
        network.project();
        usages.push(poolUsage());
        // Another batch size in between, as an evaluation has it, must not fragment the memory of the steps.
        network
          .forward(Tensor.view([5, 16, 16, 3], images.data.subarray(0, 5 * 768)), Mode.Evaluation)
          .dispose();
      }
      for (const usage of usages.slice(2)) expect(usage).toEqual(usages[1]);
      network.dispose();
      optimiser.dispose();
      expect(poolUsage().usedBytes).toBe(before);
    },
  );
});
