/**
 * @file Accelerator profiles: what one machine offers and what each of its operations costs, read from files.
 *
 * A profile is a JSON or YAML file of the shape in `profile-schema.ts`. It may say `extends: NAME` of a built-in one
 * and state only what differs (`null` removes a key; a quantity is replaced whole), and any quantity may be an entry
 * of a unit table. Built in are the published model to the digit, oddities included (`paper-cv-168`, `paper-cv-192`,
 * `paper-nlp-aug`, `paper-nlp-pre`), and the same array charged evenly, at 32 bit (`fair`, also called `fair-fp32`)
 * and quantised (`fair-int8`).
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { FileError, OptionError, isSystemError, messageOf } from '../base/errors.js';
import { builtInMachineNames } from './loopnest/machine.js';
import { profileHash } from './profile-hash.js';
import { profileSchema, type AcceleratorProfile } from './profile-schema.js';
import { unitTable, unitTableNames } from './units.js';

/** The profiles that come with the package, the default one first. */
export const builtInProfileNames = [
  'fair',
  'fair-int8',
  'paper-cv-168',
  'paper-cv-192',
  'paper-nlp-aug',
  'paper-nlp-pre',
] as const;
export type BuiltInProfileName = (typeof builtInProfileNames)[number];

/** Second names of built-in profiles; the machine is the same, figures bear the name that was asked for. */
export const profileAliases: Readonly<Record<string, BuiltInProfileName>> = { 'fair-fp32': 'fair' };

const builtIns = new Map<string, AcceleratorProfile>();

/**
 * A built-in profile by name, or a user's own from a path that ends in `.json`, `.yaml` or `.yml`.
 * @throws OptionError for an unknown name; FileError, naming the key, for a file that is missing or malformed.
 */
export function loadProfile(nameOrPath: string): AcceleratorProfile {
  const known = builtIns.get(nameOrPath);
  if (known) return known;
  const alias = Object.hasOwn(profileAliases, nameOrPath) ? profileAliases[nameOrPath] : undefined;
  const name = builtInProfileNames.find((each) => each === nameOrPath);
  if (alias === undefined && name === undefined) {
    if (!/\.(json|ya?ml)$/i.test(nameOrPath))
      throw new OptionError(
        `unknown cost profile '${nameOrPath}'; choose ${builtInProfileNames.join(', ')} or give the path of a .json or .yaml file` +
          (builtInMachineNames.some((machine) => machine === nameOrPath)
            ? `; it is a machine of the loop-nest model: hw map --machine ${nameOrPath}`
            : ''),
      );
    return parseProfile(readText(nameOrPath), nameOrPath);
  }
  const profile =
    name === undefined
      ? deepFreeze({ ...loadProfile(alias!), name: nameOrPath })
      : validated(builtInContent(name), builtInPath(name));
  builtIns.set(nameOrPath, profile);
  return profile;
}

/**
 * Parses the text of a user's profile file; `path` chooses JSON or YAML by its ending and stands in messages.
 * @throws FileError naming the first key that is wrong, or the built-in profile whose name the file bears.
 */
export function parseProfile(text: string, path: string): AcceleratorProfile {
  const content = contentOf(text, path);
  const base = isRecord(content) ? content['extends'] : undefined;
  const profile = validated(base === undefined ? content : extended(content as Content, base, path), path);
  // Figures bear the name of their profile; under a built-in one's they would pass as comparable with it.
  const namesake = [...builtInProfileNames, ...Object.keys(profileAliases)].find(
    (known) => known === profile.name.toLowerCase(),
  );
  if (namesake !== undefined)
    throw new FileError(
      `${path}: cost profile key name: '${namesake}' is a built-in profile; give yours another name`,
    );
  return profile;
}

type Content = Readonly<Record<string, unknown>>;

function isRecord(value: unknown): value is Content {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function contentOf(text: string, path: string): unknown {
  try {
    return /\.json$/i.test(path) ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    const firstLine = messageOf(error).split('\n')[0];
    throw new FileError(`${path}: not readable as a cost profile (${firstLine})`, { cause: error });
  }
}

function builtInPath(name: BuiltInProfileName): string {
  return fileURLToPath(new URL(`./profiles/${name}.json`, import.meta.url));
}

/** What a built-in file says, with what it extends. */
function builtInContent(name: BuiltInProfileName): Content {
  const path = builtInPath(name);
  const content = contentOf(readText(path), path) as Content;
  const base = content['extends'];
  return base === undefined
    ? content
    : merged(builtInContent(base as BuiltInProfileName), withoutBase(content));
}

/** A user's file on top of the built-in profile that it extends; it does not inherit that one's claims about itself. */
function extended(content: Content, base: unknown, path: string): Content {
  const known = builtInProfileNames.find(
    (name) => name === base || (typeof base === 'string' && profileAliases[base] === name),
  );
  if (known === undefined)
    throw new FileError(
      `${path}: cost profile key extends: must be one of ${builtInProfileNames.join(', ')}, got ${JSON.stringify(base)}`,
    );
  return merged(
    {
      ...builtInContent(known),
      description: `${known} with changes`,
      source: `own file; what it does not state is that of ${known}`,
    },
    withoutBase(content),
  );
}

function withoutBase(content: Content): Content {
  return Object.fromEntries(Object.entries(content).filter(([key]) => key !== 'extends'));
}

/** `changes` over `base`, key by key; null removes, and quantities and lists are replaced whole. */
function merged(base: Content, changes: Content): Content {
  const result = new Map(Object.entries(base));
  for (const [key, change] of Object.entries(changes)) {
    const old = result.get(key);
    if (change === null) result.delete(key);
    else
      result.set(key, isRecord(old) && isRecord(change) && !isWhole(change) ? merged(old, change) : change);
  }
  return Object.fromEntries(result);
}

function isWhole(change: Content): boolean {
  return ['value', 'table', 'levels'].some((key) => Object.hasOwn(change, key));
}

/** Fills in the quantities that are entries of unit tables. */
function withEntries(value: unknown, path: string, key: readonly string[] = []): unknown {
  if (Array.isArray(value)) return value;
  if (!isRecord(value)) return value;
  if (!Object.hasOwn(value, 'table'))
    return Object.fromEntries(
      Object.entries(value).map(([name, each]) => [name, withEntries(each, path, [...key, name])]),
    );
  const { table, entry, ...others } = value;
  const refuse = (problem: string): never => {
    throw new FileError(`${path}: cost profile key ${key.join('.')}: ${problem}`);
  };
  const units = typeof table === 'string' ? unitTable(table) : undefined;
  if (units === undefined)
    return refuse(`no unit table ${JSON.stringify(table)}; there is ${unitTableNames.join(', ')}`);
  if (typeof entry !== 'string' || !Object.hasOwn(units.entries, entry))
    return refuse(
      `unit table '${units.name}' has no entry ${JSON.stringify(entry)}; it has ${Object.keys(units.entries).join(', ')}`,
    );
  const found = units.entries[entry]!;
  return { ...found, source: `${found.source} (${units.name}, ${entry})`, ...others };
}

function validated(content: unknown, path: string): AcceleratorProfile {
  const result = profileSchema.safeParse(withEntries(content, path));
  if (result.success) {
    // Its identity is asked for with its first price, which should not have to wait for it.
    profileHash(result.data);
    return deepFreeze(result.data);
  }
  const [issue, ...others] = result.error.issues;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  throw new FileError(`${path}: ${issueText(issue!)}${more}`);
}

function issueText(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => [...issue.path, key].join('.'));
    return `cost profile key${keys.length > 1 ? 's' : ''} ${keys.join(', ')}: not known here; remove or correct`;
  }
  if (issue.path.length === 0) return `the file as a whole is no cost profile: ${issue.message}`;
  // A key that breaks the rule for keys has that rule's message one level down.
  const message = issue.code === 'invalid_key' ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return `cost profile key ${issue.path.join('.')}: ${message}`;
}

/**
 * The same machine with another word width, for profiles whose `wordSizes` has an entry for it (the paper's: 32, 8).
 * @throws OptionError when the profile has no such entry.
 */
export function withWordBits(profile: AcceleratorProfile, wordBits: number): AcceleratorProfile {
  if (wordBits === profile.wordBits) return profile;
  if (!Object.hasOwn(profile.wordSizes, String(wordBits)))
    throw new OptionError(
      `cost profile '${profile.name}' has no ${wordBits}-bit words; it knows ${Object.keys(profile.wordSizes).join(', ')}`,
    );
  return deepFreeze({ ...profile, name: `${profile.name} at ${wordBits} bit`, wordBits });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such cost profile file`);
    if (isSystemError(error, 'EISDIR'))
      throw new FileError(`${path}: a folder; give the .json or .yaml file of a cost profile`);
    throw new FileError(`${path}: cost profile not readable (${messageOf(error)})`, { cause: error });
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
