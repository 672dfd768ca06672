/**
 * @file Reference label-smoothed cross-entropy (Szegedy et al., CVPR 2016, section 7) with its gradient.
 */

/**
 * For each image: q = (1 - smoothing) * onehot(label) + smoothing / classes, loss = -sum q log softmax(logits),
 * dlogits = (softmax - q) / batch, the gradient of the mean loss. logits, dlogits are [batch, classes], labels and
 * losses [batch]. The largest logit is taken off first, so that no finite logits overflow.
 */
export function softmaxCrossEntropy(
  batch: number,
  classes: number,
  smoothing: number,
  logits: Float32Array,
  labels: Int32Array,
  losses: Float32Array,
  dlogits: Float32Array,
): void {
  for (let n = 0; n < batch; n++) {
    const row = logits.subarray(n * classes, (n + 1) * classes);
    const largest = Math.max(...row);
    let total = 0;
    for (const logit of row) total += Math.exp(logit - largest);
    const logTotal = Math.log(total);

    let loss = 0;
    for (let c = 0; c < classes; c++) {
      const target = smoothing / classes + (c === labels[n] ? 1 - smoothing : 0);
      const logProbability = row[c]! - largest - logTotal;
      // A class that is not asked for may have probability zero, whose logarithm would spoil the sum.
      if (target > 0 || Number.isNaN(logProbability)) loss -= target * logProbability;
      dlogits[n * classes + c] = (Math.exp(logProbability) - target) / batch;
    }
    losses[n] = loss;
  }
}
