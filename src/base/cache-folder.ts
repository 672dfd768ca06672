/**
 * @file Where this package keeps what it can compute again.
 */
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The user's cache folder for this package (XDG), or undefined when `SHIFTADDNAS_CACHE=off`. It may not exist yet. */
export function cacheFolder(): string | undefined {
  if (process.env['SHIFTADDNAS_CACHE'] === 'off') return undefined;
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'shiftaddnas');
}
