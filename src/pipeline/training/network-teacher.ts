/**
 * @file A network of ours as a teacher: it sees the images of a training under the normalisation that it was trained by.
 */
import type { ChannelStatistics } from '../../data/augment.js';
import { freeze, Mode } from '../../nn/module.js';
import type { Network } from '../../spaces/network.js';
import { forEachBatch } from '../../training/evaluate.js';
import type { Teacher } from '../../training/techniques/distillation.js';

/** Per channel what takes a value normalised by `from` to one normalised by `to`: scale x + shift. */
export function renormalisation(
  from: ChannelStatistics,
  to: ChannelStatistics,
): { readonly scale: readonly number[]; readonly shift: readonly number[] } {
  const each = <T>(of: (c: number) => T): readonly T[] => from.mean.map((_, c) => of(c));
  const [mean, std] = [from.mean as number[], from.std as number[]];
  return {
    scale: each((c) => std[c]! / to.std[c]!),
    shift: each((c) => (mean[c]! - to.mean[c]!) / to.std[c]!),
  };
}

/** Takes `network` over. `seen` is the normalisation of the images it will be given, `own` the one it was trained by. */
export function networkTeacher(network: Network, own: ChannelStatistics, seen: ChannelStatistics): Teacher {
  freeze(network);
  const { input, classes } = network.architecture;
  const { scale, shift } = renormalisation(seen, own);
  const same = scale.every((factor) => factor === 1) && shift.every((offset) => offset === 0);
  let [renormalised, said] = [new Float32Array(0), new Float32Array(0)];
  const asOwn = (images: Float32Array): Float32Array => {
    if (same) return images;
    if (renormalised.length !== images.length) renormalised = new Float32Array(images.length);
    const { channels } = input;
    for (let i = 0; i < images.length; i += channels)
      for (let c = 0; c < channels; c++) renormalised[i + c] = scale[c]! * images[i + c]! + shift[c]!;
    return renormalised;
  };
  return {
    classes,
    logits(images, count) {
      const batch = { images: asOwn(images), labels: new Int32Array(count) };
      const keep = (logits: { readonly data: Float32Array }): void => void (said = logits.data.slice());
      forEachBatch([batch], input, (x) => network.forward(x, Mode.Evaluation), keep);
      return said;
    },
    dispose: () => network.dispose(),
  };
}
