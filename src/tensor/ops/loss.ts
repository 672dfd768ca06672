/**
 * @file Losses, on the tape.
 */
import { ShapeError } from '../../base/errors.js';
import { kernels } from '../device.js';
import { release, take } from '../pool.js';
import { requireElements, requireIntegers, requireSameShape, shapeText } from '../shape.js';
import { contribute, record } from '../tape.js';
import { Tensor } from '../tensor.js';

/**
 * Mean cross-entropy of logits [N, C] or [N, 1, 1, C] against class indices, with label smoothing: a tensor [1].
 * The targets are (1 - smoothing) onehot + smoothing / C. @throws ShapeError, and RangeError for a label outside [0, C)
 */
export function softmaxCrossEntropy(logits: Tensor, labels: Int32Array, smoothing = 0): Tensor {
  requireElements('softmaxCrossEntropy', [logits]);
  if (!(smoothing >= 0 && smoothing <= 1))
    throw new RangeError(`softmaxCrossEntropy: smoothing ${smoothing} is not a number from 0 to 1`);
  requireIntegers('softmaxCrossEntropy', 'labels', labels);
  const batch = logits.shape[0] as number;
  const classes = logits.size / batch;
  if (labels.length !== batch || logits.shape[logits.shape.length - 1] !== classes)
    throw new ShapeError(
      `softmaxCrossEntropy: logits ${shapeText(logits.shape)} and ${labels.length} labels`,
    );
  const foreign = labels.find((label) => label < 0 || label >= classes);
  if (foreign !== undefined)
    throw new RangeError(
      `softmaxCrossEntropy: label ${foreign} is outside the ${classes} classes (0 to ${classes - 1})`,
    );
  return meanLoss('softmaxCrossEntropy', logits, batch, (losses, dlogits) =>
    kernels().softmaxCrossEntropy(batch, classes, smoothing, logits.data, labels, losses, dlogits),
  );
}

/**
 * Mean cross-entropy -sum_c q_c log softmax(logits)_c against targets q of the same shape [N, C] or [N, 1, 1, C]: the
 * probabilities of a teacher (distillation: Hinton et al., 2015), mixed labels. A tensor [1]. The targets are taken as
 * constants: no gradient flows to them. @throws ShapeError
 */
export function softTargetCrossEntropy(logits: Tensor, targets: Tensor): Tensor {
  requireSameShape('softTargetCrossEntropy', logits, targets);
  const batch = logits.shape[0] as number;
  const classes = logits.shape[logits.shape.length - 1] as number;
  if (logits.size === 0 || logits.size !== batch * classes)
    throw new ShapeError(
      `softTargetCrossEntropy: logits ${shapeText(logits.shape)} are not [N, C] or [N, 1, 1, C]`,
    );
  return meanLoss('softTargetCrossEntropy', logits, batch, (losses, dlogits) =>
    kernels().softTargetCrossEntropy(batch, classes, logits.data, targets.data, losses, dlogits),
  );
}

/** Records the mean of per-image losses whose gradient by the logits is computed along with them. */
function meanLoss(
  op: string,
  logits: Tensor,
  batch: number,
  compute: (losses: Float32Array, dlogits: Float32Array) => void,
): Tensor {
  const dlogits = Tensor.temporary([logits.size]);
  return record(
    op,
    [logits],
    [1],
    (out) => {
      const losses = take(batch);
      compute(losses, dlogits.data);
      let sum = 0;
      for (const each of losses) sum += each;
      out[0] = sum / batch;
      release(losses);
    },
    (dy) => {
      contribute(logits, (gradient) => {
        gradient.set(dlogits.data);
        if (dy[0] !== 1) kernels().scale(dy[0] as number, gradient);
      });
    },
    { tensors: [dlogits], output: false },
  );
}

/** How many rows of logits have their first maximum at the label; a row with a NaN counts as wrong. @throws ShapeError */
export function countCorrect(logits: Tensor, labels: Int32Array): number {
  requireElements('countCorrect', [logits]);
  if (logits.shape[0] !== labels.length)
    throw new ShapeError(`countCorrect: logits ${shapeText(logits.shape)} and ${labels.length} labels`);
  const classes = logits.size / labels.length;
  let correct = 0;
  for (let n = 0; n < labels.length; n++) {
    const row = logits.data.subarray(n * classes, (n + 1) * classes);
    let best = 0;
    for (let c = 1; c < classes; c++) if ((row[c] as number) > (row[best] as number)) best = c;
    if (best === labels[n] && !row.some(Number.isNaN)) correct++;
  }
  return correct;
}
