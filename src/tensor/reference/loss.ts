/**
 * @file Reference cross-entropy with its gradient, against labels (smoothed: Szegedy et al., CVPR 2016, section 7) or
 * against soft targets (Hinton et al., 2015).
 */

/**
 * For each image: q = (1 - smoothing) * onehot(label) + smoothing / classes, loss = -sum q log softmax(logits),
 * dlogits = (softmax - q) / batch, the gradient of the mean loss. logits, dlogits are [batch, classes], labels and
 * losses [batch].
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
  const targets = new Float64Array(classes);
  for (let n = 0; n < batch; n++) {
    for (let c = 0; c < classes; c++)
      targets[c] = smoothing / classes + (c === labels[n] ? 1 - smoothing : 0);
    const [from, to] = [n * classes, (n + 1) * classes];
    losses[n] = rowLoss(logits.subarray(from, to), targets, batch, dlogits.subarray(from, to));
  }
}

/** The same with q given for each image and class: dlogits = (softmax * sum q - q) / batch. */
export function softTargetCrossEntropy(
  batch: number,
  classes: number,
  logits: Float32Array,
  targets: Float32Array,
  losses: Float32Array,
  dlogits: Float32Array,
): void {
  for (let n = 0; n < batch; n++) {
    const [from, to] = [n * classes, (n + 1) * classes];
    losses[n] = rowLoss(
      logits.subarray(from, to),
      targets.subarray(from, to),
      batch,
      dlogits.subarray(from, to),
    );
  }
}

/** The largest logit is taken off first, so that no finite logits overflow. */
function rowLoss(
  logits: Float32Array,
  targets: Float32Array | Float64Array,
  batch: number,
  dlogits: Float32Array,
): number {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - largest);
  const logTotal = Math.log(total);
  let mass = 0;
  for (const target of targets) mass += target;

  let loss = 0;
  for (let c = 0; c < logits.length; c++) {
    const target = targets[c]!;
    const logProbability = logits[c]! - largest - logTotal;
    // A class that is not asked for may have probability zero, whose logarithm would spoil the sum.
    if (target !== 0 || Number.isNaN(logProbability)) loss -= target * logProbability;
    dlogits[c] = (Math.exp(logProbability) * mass - target) / batch;
  }
  return loss;
}
