/**
 * @file The residual block, once: the stand-alone network and the supernet put their own layers into it.
 *
 *     x -> layer1 -> norm1+ReLU -> layer2 -> norm2 -> (+ shortcut) -> ReLU
 *
 * The shortcut is the identity, or a 1x1 layer of the block's family with its own norm where the shape changes.
 */
import type { BatchNorm } from '../nn/batch-norm.js';
import type { Mode } from '../nn/module.js';
import { add } from '../tensor/ops/binary.js';
import { at, chain, checkpoint, tidy } from '../tensor/tape.js';
import type { Tensor } from '../tensor/tensor.js';

interface NormalisedLayer {
  readonly forward: (x: Tensor) => Tensor;
  readonly norm: BatchNorm;
}

export interface ResidualParts {
  readonly layer1: NormalisedLayer;
  readonly layer2: NormalisedLayer;
  readonly shortcut?: NormalisedLayer;
}

/** How a network keeps what its backward pass needs. */
export interface ForwardOptions {
  /**
   * Keeps of every block its input alone and computes the rest again for the gradients: the same bits, about half of the
   * memory of a training step, a third more work.
   */
  readonly recomputeBlocks?: boolean;
}

/** One pass through a residual block. */
export function residualForward(
  name: string,
  x: Tensor,
  mode: Mode,
  parts: ResidualParts,
  options: ForwardOptions = {},
): Tensor {
  const { layer1, layer2, shortcut } = parts;
  const through = ({ forward, norm }: NormalisedLayer, y: Tensor): Tensor =>
    tidy(() => norm.forward(forward(y), mode));
  const block = (): Tensor => {
    const outer = chain(x, [(y) => through(layer1, y), (y) => through(layer2, y)]);
    const straight = shortcut === undefined ? x : through(shortcut, x);
    return add(outer, straight, { relu: true });
  };
  return at(name, () => (options.recomputeBlocks ? checkpoint([x], block) : tidy(block)));
}
