/**
 * @file What is wrong with a configuration whatever its data hold: found before these are read, which may take minutes.
 *
 * Spaces are made on images that stand in for those of the data: of the size that is asked for, if one is, and else large
 * enough for every space.
 */
import { isRelative, parseBudget } from '../../search/budget.js';
import type { SearchSpace } from '../../spaces/contract.js';
import type { RunConfig } from '../config/config.js';
import { prefilterSettings } from '../search/prefilter.js';
import { referenceFamily } from '../search/rivals.js';
import { checkSpace, spaceOf } from '../config/space-settings.js';
import { requireRules } from '../search/supernet-phases.js';
import { requireTogether } from '../config/technique-settings.js';
import { teacherFile } from '../training/techniques.js';
import type { TrainConfig } from './train-request.js';

const standIn = { side: 224, channels: 3, classes: 10 };

/** The space of a configuration on images that stand in for those of the data. @throws OptionError */
export function spaceBeforeData({ space, imageSize }: Pick<RunConfig, 'space' | 'imageSize'>): SearchSpace {
  checkSpace(space);
  const { side, channels, classes } = standIn;
  const [height, width] = [imageSize ?? side, imageSize ?? side];
  return spaceOf(space, { input: { height, width, channels }, classes });
}

/** Of the techniques: what they must not say together, and files that are not there. @throws OptionError, FileError */
export function requireTechniquesBeforeData(
  config: Pick<TrainConfig, 'techniques' | 'recomputeBlocks'>,
): void {
  requireTogether(config);
  teacherFile(config.techniques);
}

/** What a search and a measurement of ranks have in common; returns the space. @throws OptionError, FileError */
export function requireSupernetSettings(config: RunConfig): SearchSpace {
  const space = spaceBeforeData(config);
  requireRules(config, space);
  requireTechniquesBeforeData(config);
  return space;
}

/** @throws OptionError, FileError */
export function requireSearchSettings(config: RunConfig): void {
  const space = requireSupernetSettings(config);
  if (isRelative(parseBudget(config.budget))) referenceFamily(space.families);
  prefilterSettings(config.search);
}
