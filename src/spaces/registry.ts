/**
 * @file The spaces that have a name.
 */
import { OptionError } from '../base/errors.js';
import type { SearchSpace } from './contract.js';
import { createHytraCifar, createHytraImagenet } from './hytra/space.js';
import { createMiniSpace, type MiniSpaceOptions } from './mini/space.js';

export interface NamedSpace {
  readonly title: string;
  /** The space with some of its options set; what it does not know it refuses. @throws OptionError */
  create(options?: object): SearchSpace;
}

const cifarImages = { input: { height: 32, width: 32, channels: 3 }, classes: 10 };

export const namedSpaces: Readonly<Record<string, NamedSpace>> = {
  'hytra-imagenet': {
    title: 'the image space of ShiftAddNAS (ICML 2022)',
    create: createHytraImagenet,
  },
  'hytra-cifar': { title: 'the same idea for images of 32 pixels', create: createHytraCifar },
  mini: {
    title: 'small residual networks, what `shiftaddnas search` takes where nothing is said',
    create: (options = {}) => createMiniSpace({ ...cifarImages, ...options } as MiniSpaceOptions),
  },
};

/** The space of this name. @throws OptionError listing the known ones */
export function spaceNamed(name: string): NamedSpace {
  const found = Object.hasOwn(namedSpaces, name) ? namedSpaces[name] : undefined;
  if (found === undefined)
    throw new OptionError(
      `unknown space '${name}'; known: ${Object.keys(namedSpaces).join(', ')}, or give a .yaml or .json file`,
    );
  return found;
}
