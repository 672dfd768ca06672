/**
 * @file Distillation in place (US-Nets: Yu and Huang, ICCV 2019, arXiv 1903.05134): the other networks of a step learn
 * from what the widest has just said of the same images, in training mode as it is there; nothing flows back to it.
 *
 * A pupil's loss is (1 - weight) L + weight CE(softmax(teacher), pupil), L being the loss that the labels give. At weight 1
 * it does not look at the labels, as published.
 */
import { add, mul } from '../../tensor/ops/binary.js';
import { softTargetCrossEntropy } from '../../tensor/ops/loss.js';
import { Tensor } from '../../tensor/tensor.js';
import { softened } from '../../training/techniques/distillation.js';
import type { Loss } from '../../training/technique.js';
import { Role } from './contract.js';

/** Wraps the losses of one step's passes by their role. */
export class InPlaceDistillation {
  /** The teacher's probabilities, by the labels of the part of the batch. */
  readonly #said = new Map<Int32Array, Float32Array>();

  /** `weight` is the teacher's part of a pupil's loss, 0 to 1. */
  constructor(private readonly weight: number) {}

  loss(role: Role, inner: Loss): Loss {
    if (role === Role.Alone || this.weight === 0) return inner;
    return role === Role.Teacher ? this.#teachers(inner) : this.#pupils(inner);
  }

  #teachers(inner: Loss): Loss {
    return (logits, batch, step) => {
      this.#said.set(batch.labels, softened(logits.data, logits.shape.at(-1) as number, 1));
      return inner(logits, batch, step);
    };
  }

  #pupils(inner: Loss): Loss {
    const times = (x: Tensor, factor: number): Tensor => mul(x, Tensor.view([1], Float32Array.of(factor)));
    return (logits, batch, step) => {
      const said = this.#said.get(batch.labels);
      if (said === undefined) throw new Error('a pupil came before its teacher');
      const taught = softTargetCrossEntropy(logits, Tensor.view(logits.shape, said));
      if (this.weight === 1) return taught;
      return add(times(inner(logits, batch, step), 1 - this.weight), times(taught, this.weight));
    };
  }
}
