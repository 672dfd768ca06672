/**
 * @file Gradual pruning by masks (Zhu and Gupta 2017, arXiv 1710.01878): the terms that matter least are taken out of the
 * sums of each layer, more and more of them on a cubic curve, while the others go on learning. What matters and how a term
 * is left out, the families say (`masking` of the contract): a multiplication or shift by the magnitude of its weight,
 * whose mask makes it zero; an addition by the variance of its distance, and the term is removed, not the weight zeroed.
 *
 * Every layer but the first loses the same part of its terms. What was taken out stays out. The masks are the state of
 * the technique in checkpoints, and of the layers in model files and exports.
 */
import type { Masking } from '../../operators/contract.js';
import { weightShape, type OperatorLayer } from '../../operators/layer.js';
import { sizeOf } from '../../tensor/shape.js';
import { Tensor } from '../../tensor/tensor.js';
import type { Technique } from '../technique.js';

export interface PruneSettings {
  /** Part of the terms of a layer that is gone in the end, 0 to below 1. */
  readonly ratio: number;
  /** Parts of the training between which it grows. */
  readonly from: number;
  readonly until: number;
  /** Steps from one removal to the next. */
  readonly every: number;
}

/** Part of the terms that is to be gone behind step `step`: ratio (1 - (1 - progress)^3). */
export function prunedPart({ ratio, from, until }: PruneSettings, step: number, steps: number): number {
  const [first, last] = [Math.round(from * steps), Math.round(until * steps)];
  if (step < first) return 0;
  const progress = last > first ? Math.min(1, (step - first) / (last - first)) : 1;
  return ratio * (1 - (1 - progress) ** 3);
}

/** Whether terms are removed behind this step. */
function isRemoval({ from, until, every }: PruneSettings, step: number, steps: number): boolean {
  const [first, last] = [Math.round(from * steps), Math.min(steps - 1, Math.round(until * steps))];
  return step === last || (step >= first && step < last && (step - first) % every === 0);
}

/** The layers that are pruned: all but the first, which sees the image. */
export function prunedLayers(layers: readonly OperatorLayer[]): readonly OperatorLayer[] {
  return layers.slice(1).filter(({ family }) => family.masking !== undefined);
}

/** Clears entries of `mask` until `gone` are zero: those that matter least, of equals the first; what is zero stays. */
export function removeLeast(mask: Float32Array, importance: Float32Array, gone: number): void {
  const kept = Uint32Array.from(mask.keys()).filter((i) => mask[i] !== 0);
  const wanted = gone - (mask.length - kept.length);
  if (wanted <= 0) return;
  kept.sort((a, b) => (importance[a] as number) - (importance[b] as number) || a - b);
  for (const i of kept.subarray(0, wanted)) mask[i] = 0;
}

/** Prunes the layers among `layers` whose families can leave terms out. */
export function maskPruning(layers: readonly OperatorLayer[], settings: PruneSettings): Technique {
  const pruned = prunedLayers(layers).map((layer) => ({
    layer,
    masking: layer.family.masking as Masking,
    mask: new Float32Array(sizeOf(weightShape(layer.geometry))).fill(1),
    input: new Float32Array(0),
  }));
  const removes = (step: number, steps: number): boolean =>
    settings.ratio > 0 && isRemoval(settings, step, steps);
  const stopLooking = (): void => {
    for (const { layer } of pruned) layer.variant = undefined;
  };
  return {
    name: 'prune',
    buffers: pruned.map(({ layer, mask }) => ({ name: `prune:${layer.name}.mask`, data: mask })),
    beforeStep({ step, steps }) {
      for (const each of pruned) {
        const { layer, mask } = each;
        // A checkpoint may have brought masks.
        if (layer.mask === undefined && mask.includes(0)) layer.setMask(mask);
        if (!removes(step, steps)) continue;
        layer.variant = {
          forward(x, weights, geometry, own) {
            each.input = x.data.slice();
            return layer.mask === undefined
              ? layer.family.forward(x, weights, geometry, own)
              : each.masking.forward(x, weights, Tensor.view(weightShape(geometry), mask), geometry);
          },
        };
      }
    },
    afterStep({ step, steps }) {
      if (!removes(step, steps)) return;
      stopLooking();
      const part = prunedPart(settings, step, steps);
      for (const { layer, masking, mask, input } of pruned) {
        const importance = masking.importance(layer.weight.data, layer.geometry, input);
        removeLeast(mask, importance, Math.floor(part * mask.length));
        if (mask.includes(0)) layer.setMask(mask);
      }
    },
    dispose: stopLooking,
  };
}
