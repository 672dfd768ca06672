/**
 * @file Accuracy of anything that maps images to logits.
 */
import { countCorrect } from '../tensor/ops/loss.js';
import { inScope } from '../tensor/scope.js';
import { Tensor } from '../tensor/tensor.js';

export interface EvaluationBatch {
  /** NHWC, normalised. */
  readonly images: Float32Array;
  readonly labels: Int32Array;
}

/** Runs `forward` on every batch and hands the logits to `use`; temporaries are given back batch by batch. */
export function forEachBatch(
  batches: Iterable<EvaluationBatch>,
  shape: { readonly height: number; readonly width: number; readonly channels: number },
  forward: (images: Tensor) => Tensor,
  use: (logits: Tensor, labels: Int32Array) => void = () => undefined,
): void {
  for (const { images, labels } of batches) {
    const temporaries: { dispose(): void }[] = [];
    try {
      inScope({ add: (temporary) => temporaries.push(temporary) }, () => {
        const input = Tensor.view([labels.length, shape.height, shape.width, shape.channels], images);
        use(forward(input), labels);
      });
    } finally {
      for (const temporary of temporaries) temporary.dispose();
    }
  }
}

/** Share of images whose largest logit is at the label, 0 to 1. */
export function accuracyOf(
  batches: Iterable<EvaluationBatch>,
  shape: { readonly height: number; readonly width: number; readonly channels: number },
  forward: (images: Tensor) => Tensor,
): number {
  let correct = 0;
  let total = 0;
  forEachBatch(batches, shape, forward, (logits, labels) => {
    correct += countCorrect(logits, labels);
    total += labels.length;
  });
  return correct / total;
}
