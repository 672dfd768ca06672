/**
 * @file Gradients of families that pull a shared tensor in opposite directions: of two that conflict (negative inner
 * product) one gives up the part that undoes the other.
 */
import type { Random } from '../base/random.js';

/** What becomes of gradients that conflict. */
export enum Projection {
  /** They are added as they are. */
  None = 'none',
  /** PCGrad (Yu et al., NeurIPS 2020, arXiv 2001.06782): each gives way to every other, in random order. */
  Pairwise = 'pairwise',
  /** As in NASViT (Gong et al., ICLR 2022): the multiplying families' sum stays and the others give way to it. */
  Multiplying = 'multiplying',
}

/** Inner product in float64. */
export function inner(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

/** Takes from `gradient` what conflicts with `reference`; one that does not conflict stays as it is, to the bit. */
export function giveWay(gradient: Float32Array, reference: Float32Array): void {
  const product = inner(gradient, reference);
  if (!(product < 0)) return;
  const share = product / inner(reference, reference);
  for (let i = 0; i < gradient.length; i++)
    gradient[i] = (gradient[i] as number) - share * (reference[i] as number);
}

/** PCGrad, in place: every gradient gives way to the others as they were. */
export function projectPairwise(gradients: readonly Float32Array[], random: Random): void {
  const before = gradients.map((gradient) => gradient.slice());
  gradients.forEach((gradient, at) => {
    const others = random.shuffle(before.filter((_, other) => other !== at));
    for (const other of others) giveWay(gradient, other);
  });
}

/** The `others` give way to the sum of `references`, in place. */
export function projectOnto(references: readonly Float32Array[], others: readonly Float32Array[]): void {
  const [first, ...rest] = references;
  if (first === undefined) return;
  const sum = first.slice();
  for (const each of rest)
    for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) + (each[i] as number);
  for (const gradient of others) giveWay(gradient, sum);
}
