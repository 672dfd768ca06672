/**
 * @file The variables by which a shell chooses how Node computes, read in one place so that every device takes the same
 * values. (SHIFTADDNAS_ISA is read by the addon, which knows the processor.)
 */
import { OptionError } from '../base/errors.js';
import { maxThreads } from './compiled/device.js';

/** SHIFTADDNAS_THREADS; undefined when unset or empty. @throws OptionError for anything but a number from 1 to 256 */
export function threadsWanted(): number | undefined {
  const text = process.env['SHIFTADDNAS_THREADS'] ?? '';
  if (text === '') return undefined;
  const threads = Number(text);
  if (/^\d+$/.test(text) && threads >= 1 && threads <= maxThreads) return threads;
  throw new OptionError(`SHIFTADDNAS_THREADS=${text}: must be a whole number from 1 to ${maxThreads}`);
}
