/**
 * @file The section `supernetTraining` of a configuration: which subnets a step of the supernet trains, and what becomes
 * of their gradients. The section `supernet` is its schedule.
 */
import { z } from 'zod';
import { Projection } from '../../supernet/projection.js';
import { isSinglePath, PathsKind } from '../../supernet/rules/registry.js';
import { Combination } from '../../supernet/rules/trainee.js';

const fraction = z.number().min(0).max(1);

export const supernetTrainingSchema = z
  .strictObject({
    paths: z.enum(PathsKind).default(PathsKind.Fair),
    /** Of the sandwich alone, as `distill`. */
    randomPaths: z.int().min(0).max(100).default(2),
    /** The teacher's part of the loss; true is 1, false 0. */
    distill: z
      .union([z.boolean(), fraction], { error: 'must be true, false or a number from 0 to 1' })
      .transform(Number)
      .default(1),
    combine: z.enum(Combination).default(Combination.Sum),
    separateOptimiserState: z.boolean().default(false),
    projectGradients: z.enum(Projection).default(Projection.None),
    warmUp: z
      .array(
        z.strictObject({
          families: z.array(z.string().min(1)).min(1).readonly(),
          /** Of all steps. */
          part: z.number().positive().max(1),
        }),
      )
      .readonly()
      .default([])
      .refine((phases) => phases.reduce((sum, { part }) => sum + part, 0) <= 1, {
        message: 'has phases whose parts are more than 1 together',
      }),
  })
  .superRefine(({ paths, projectGradients }, context) => {
    if (projectGradients !== Projection.None && isSinglePath(paths))
      context.addIssue({
        code: 'custom',
        path: ['projectGradients'],
        message:
          `needs steps in which several families use a tensor, and with 'paths: ${paths}' one does; ` +
          `choose '${PathsKind.StrictFair}' or '${PathsKind.Sandwich}', or leave it out`,
      });
  });

export type SupernetTraining = Readonly<z.output<typeof supernetTrainingSchema>>;

/** What a configuration without the section means. */
export const defaultSupernetTraining: SupernetTraining = supernetTrainingSchema.parse({});
