/**
 * @file The section `techniques` of a configuration: what stand-alone training does beside following its schedule. A
 * section that is left out is a technique that is not used.
 */
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { Digits } from '../../nn/digits.js';
import { DistillationTarget } from '../../training/techniques/distillation.js';
import { SparseMasks } from '../../training/techniques/sparse-weights.js';

const fraction = z.number().min(0).max(1);

/** Part of the terms of a layer. */
const density = z.number().gt(0).max(1);

const mix = (
  alpha: number,
): z.ZodOptional<
  z.ZodObject<{ alpha: z.ZodDefault<z.ZodNumber>; probability: z.ZodDefault<z.ZodNumber> }, z.core.$strict>
> =>
  z
    .strictObject({
      /** Of the beta distribution that proportions are drawn from. */
      alpha: z.number().positive().default(alpha),
      /** Part of the steps. */
      probability: fraction.default(1),
    })
    .optional();

const distill = z
  .strictObject({
    /** Folder of a model of ours, or an ONNX file. */
    teacher: z.string().min(1),
    target: z.enum(DistillationTarget).default(DistillationTarget.Soft),
    temperature: z.number().positive().optional(),
    /** Of the teacher's part of the loss; of a network of two heads, of the second head's loss. */
    weight: fraction.optional(),
    /** False: nothing but the teacher is learned from. */
    labels: z.boolean().default(true),
    /** Of an ONNX teacher that does not take pixels in 0..1: the normalisation it takes, per channel. */
    mean: z.array(z.number()).readonly().optional(),
    std: z.array(z.number().positive()).readonly().optional(),
  })
  .superRefine(({ target, temperature, weight, labels, mean, std }, context) => {
    const problem = (key: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [key], message });
    if (!labels && weight !== undefined && weight !== 1)
      problem('weight', "is 1 with 'labels: false'; leave it out, or learn from the labels too");
    if (target === DistillationTarget.Hard && temperature !== undefined)
      problem('temperature', "goes with 'target: soft' alone; leave it out");
    if ((mean === undefined) !== (std === undefined))
      problem(mean === undefined ? 'mean' : 'std', 'is missing; mean and std go together');
  });

const bitPrune = z.strictObject({
  /** Of the integers that weights of multiplications become. */
  bits: z.int().min(2).max(8).default(8),
  /** Of the penalty on digits in the loss. */
  weight: z.number().min(0).default(0.5),
  /** Price of a digit, and the power by which distances count against it. */
  lambda: z.number().min(0).default(1.001),
  power: z.number().positive().max(1).default(0.5),
  digits: z.enum(Digits).default(Digits.Signed),
  layersPerStep: z.int().min(1).default(3),
});

export const techniquesSchema = z.strictObject({
  /** Exponential moving average of the weights; the average is judged and handed over. */
  ema: z.strictObject({ decay: z.number().min(0).lt(1).default(0.999) }).optional(),
  mixup: mix(0.2),
  cutmix: mix(1),
  distill: distill.optional(),
  /** Exponents of add layers that have one, down to 1. */
  lpAnneal: z
    .strictObject({ start: z.number().min(1).max(2).default(2), until: fraction.default(0.75) })
    .optional(),
  /** Binary layers begin with real weights. */
  twoStepBinary: z
    .strictObject({
      /** Part of the training. */
      realWeights: fraction.default(0.5),
      weightDecay: z.number().min(0).default(1e-5),
    })
    .optional(),
  /** Takes terms out of the sums of every layer but the first. */
  prune: z
    .strictObject({
      /** Part of the terms that is gone in the end. */
      ratio: z.number().min(0).lt(1),
      /** Parts of the training between which it grows. */
      from: fraction.default(0.2),
      until: fraction.default(0.7),
      /** Steps from one removal to the next. */
      every: z.int().min(1).default(50),
    })
    .refine(({ from, until }) => from <= until, { path: ['until'], message: 'must not be before from' })
    .optional(),
  /** Leaves terms out of the sums of layers from the first step on. */
  sparse: z
    .strictObject({
      /** Part of the terms that stay: of every layer but the first, or one for each layer that can be masked. */
      density: z.union([density, z.array(density).min(1).readonly()]),
      masks: z.enum(SparseMasks).default(SparseMasks.Random),
    })
    .optional(),
  /** Multiplications by integers of few digits. */
  bitPrune: bitPrune.optional(),
  /** A convolutional teacher of the same architecture, trained at the same time, layer by layer. */
  pkkd: z
    .strictObject({
      /** Of the comparison of layers. */
      beta: z.number().min(0).default(0.1),
      /** Of the teacher's probabilities. */
      kd: z.number().min(0).default(1),
      temperature: z.number().positive().default(4),
    })
    .optional(),
});

export type TechniqueSettings = z.output<typeof techniquesSchema>;

/** What techniques and the rest of a configuration must not say together. @throws OptionError */
export function requireTogether(config: {
  readonly techniques?: TechniqueSettings | undefined;
  readonly recomputeBlocks: boolean;
}): void {
  const { sparse, prune, bitPrune } = config.techniques ?? {};
  const [first, second] = Object.entries({ sparse, prune, bitPrune })
    .filter(([, settings]) => settings !== undefined)
    .map(([name]) => name);
  if (second !== undefined)
    throw new OptionError(
      `'techniques.${first}' and 'techniques.${second}' both decide what the layers compute with; leave one of them out`,
    );
  if (config.techniques?.pkkd !== undefined && config.recomputeBlocks)
    throw new OptionError(
      "'techniques.pkkd' compares what layers compute, which 'recomputeBlocks' does not keep; leave one of them out",
    );
}
