/**
 * @file Reads a JSON or YAML file against a schema; every complaint is one line that names the file and the key.
 */
import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { FileError, isSystemError, messageOf } from '../base/errors.js';

/**
 * The checked and frozen content of a `.json`, `.yaml` or `.yml` file.
 * @param what names the kind of file in messages: `'machine'`
 * @throws FileError, naming the key, for a file that is missing, unreadable or malformed.
 */
export function readDataFile<T>(path: string, schema: z.ZodType<T>, what: string): T {
  return parseDataText(readText(path, what), path, schema, what);
}

/** As {@link readDataFile}, for text that is already there; `path` decides between JSON and YAML. */
export function parseDataText<T>(text: string, path: string, schema: z.ZodType<T>, what: string): T {
  let content: unknown;
  try {
    content = /\.json$/i.test(path) ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    const firstLine = messageOf(error).split('\n')[0];
    throw new FileError(`${path}: not readable as a ${what} (${firstLine})`, { cause: error });
  }
  const result = schema.safeParse(content);
  if (result.success) return deepFreeze(result.data);
  const [issue, ...others] = result.error.issues;
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  throw new FileError(`${path}: ${issueText(issue!, what)}${more}`);
}

function issueText(issue: z.core.$ZodIssue, what: string): string {
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => [...issue.path, key].join('.'));
    return `${what} key${keys.length > 1 ? 's' : ''} ${keys.join(', ')}: not known here; remove or correct`;
  }
  if (issue.path.length === 0) return `the file as a whole is no ${what}: ${issue.message}`;
  return `${what} key ${issue.path.join('.')}: ${issue.message}`;
}

function readText(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) throw new FileError(`${path}: no such ${what} file`);
    if (isSystemError(error, 'EISDIR'))
      throw new FileError(`${path}: a folder; give the .json or .yaml file of a ${what}`);
    throw new FileError(`${path}: ${what} not readable (${messageOf(error)})`, { cause: error });
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}
