/**
 * @file Spaces by name or out of a file, in YAML or JSON: one that is declared there, or one with a name (`base`) and
 * `options` in the place of its own.
 */
import { existsSync } from 'node:fs';
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import type { SearchSpace } from '../../spaces/contract.js';
import { createDeclaredSpace } from '../../spaces/declared/space.js';
import { checkDeclared, type DeclaredInput } from '../../spaces/declared/schema.js';
import { spaceNamed } from '../../spaces/registry.js';
import { checkConfig, readConfigFile } from './config.js';

/** What may stand in the place of a space's own images. */
export interface SpaceImages {
  readonly input?: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes?: number;
}

const basedSchema = z.strictObject({
  base: z.string(),
  options: z.record(z.string(), z.unknown()).default({}),
});

/**
 * The values of a configuration with the file that its space names read into it, so that a run knows its space without
 * the file. @throws OptionError, FileError in one line that names the key
 */
export function withSpaceFile(values: Record<string, unknown>): Record<string, unknown> {
  const { space } = values;
  if (typeof space !== 'object' || space === null || !('file' in space)) return values;
  const { file, ...rest } = space as { readonly file: unknown };
  const [further] = Object.keys(rest);
  if (further !== undefined)
    throw new OptionError(`'space.${further}' cannot stand beside 'space.file'; write it into the file`);
  if (typeof file !== 'string') throw new OptionError("'space.file': must be the name of a file");
  return { ...values, space: sectionOfFile(file) };
}

function sectionOfFile(file: string): object {
  const values = readConfigFile(file);
  if (!('base' in values)) {
    checkDeclared(values, file);
    return { declared: values };
  }
  const { base, options } = checkConfig(basedSchema, values, file);
  spaceNamed(base);
  const own = Object.entries(options).filter(([key]) => key !== 'input' && key !== 'classes');
  return { name: base, ...Object.fromEntries(own) };
}

/** @throws OptionError, FileError in one line that names the key */
export function loadSpace(nameOrFile: string, images: SpaceImages = {}): SearchSpace {
  if (!/\.(ya?ml|json)$/i.test(nameOrFile) && !existsSync(nameOrFile))
    return spaceNamed(nameOrFile).create({ ...images });
  const values = readConfigFile(nameOrFile);
  if (!('base' in values)) return createDeclaredSpace({ ...values, ...images } as DeclaredInput, nameOrFile);
  const { base, options } = checkConfig(basedSchema, values, nameOrFile);
  try {
    return spaceNamed(base).create({ ...options, ...images });
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    throw new OptionError(`${nameOrFile}: ${error.message}`, { cause: error });
  }
}
