import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { Mode } from '../../nn/module.js';
import { uniformGenome } from '../../spaces/landmarks.js';
import { createHytraCifar } from '../../spaces/hytra/space.js';
import { createMiniSpace } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { softmaxCrossEntropy } from '../../tensor/ops/loss.js';
import { poolUsage, resetPeak } from '../../tensor/pool.js';
import { Tape } from '../../tensor/tape.js';
import { Tensor } from '../../tensor/tensor.js';
import { leastBytesPerImage, requireMemory } from './training-memory.js';

const input = { height: 32, width: 32, channels: 3 };
const architectures = [createMiniSpace({ input, classes: 10 }), createHytraCifar({ input })].flatMap(
  (space) => ['conv', 'add'].map((family) => space.architecture(uniformGenome(space, family))),
);

/** Most bytes handed out at once in a step over so many images, beyond those of the network. */
function measuredBytes(network: Network, images: number, recomputeBlocks: boolean): number {
  const x = Tensor.view([images, 32, 32, 3], new Float32Array(images * 3072).fill(0.5));
  const before = poolUsage().usedBytes;
  resetPeak();
  const { value, tape } = Tape.record(() =>
    softmaxCrossEntropy(network.forward(x, Mode.Training, { recomputeBlocks }), new Int32Array(images)),
  );
  const { usedBytes } = poolUsage();
  tape.backward(value);
  for (const { tensor } of network.parameters) tensor.dropGradient();
  return usedBytes - before;
}

describe('leastBytesPerImage', () => {
  it.each([false, true])('is less than what a step keeps, and no small part of it (again: %s)', (again) => {
    for (const architecture of architectures) {
      const network = new Network(architecture, Random.stream('memory'));
      // Of two numbers of images the difference: what is kept for each, without what is kept once.
      const kept = (measuredBytes(network, 12, again) - measuredBytes(network, 4, again)) / 8;
      const least = leastBytesPerImage(architecture, again);
      expect(least).toBeLessThanOrEqual(kept);
      expect(least).toBeGreaterThan(kept / 5);
      network.dispose();
    }
  });
});

it('requireMemory says how many bytes there would have to be', () => {
  const architecture = architectures[0]!;
  const each = leastBytesPerImage(architecture);
  const check = (batchSize: number, accumulate?: number): (() => void) => {
    const schedule = { batchSize, ...(accumulate && { accumulate }) };
    return () => requireMemory('retrain', architecture, schedule, false, 10 * each);
  };
  expect(check(10)).not.toThrow();
  expect(check(11)).toThrow(`'retrain.batchSize': a step over 11 images of 32x32x3 keeps`);
  expect(check(11)).toThrow(`(${11 * each} bytes)`);
  expect(check(40, 4)).not.toThrow();
});
