/**
 * @file The section `sharing` of a configuration: how the supernet shares weights between operator families.
 *
 * Keys of choices that are not made are allowed and without effect, so that the same file serves for a way to share and
 * its controls; but a term about shared tensors where nothing is shared is refused.
 */
import { z } from 'zod';
import {
  defaultDistribution,
  DistributionKind,
  SharingKind,
  type SharingSettings,
} from '../../supernet/sharing.js';

export const sharingSettings = z
  .strictObject({
    map: z.enum(SharingKind).default(SharingKind.Transport),
    /** Of the map piecewise alone; the published number when left out. */
    segments: z.int().min(1).max(10_000).optional(),
    /** {@link defaultDistribution} when left out. */
    distribution: z.enum(DistributionKind).optional(),
    /** Of the distribution term in the loss; that of its kind when left out. */
    weight: z.number().positive().optional(),
  })
  .transform((values) => ({
    ...values,
    distribution: values.distribution ?? defaultDistribution(values.map),
  }))
  .refine(({ map, distribution }) => map !== SharingKind.None || distribution === DistributionKind.None, {
    path: ['distribution'],
    message: `is about shared tensors, and 'sharing.map: ${SharingKind.None}' has none; choose '${DistributionKind.None}', or another map`,
  });

const defaults = JSON.stringify(sharingSettings.parse({}));

/** Whether this is how supernets share when a configuration says nothing about it. */
export function isDefaultSharing(settings: SharingSettings): boolean {
  return JSON.stringify(settings) === defaults;
}
