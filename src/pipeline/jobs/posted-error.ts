/**
 * @file Errors as they cross threads and processes: what plain data can carry of them, and back.
 */
import {
  DataError,
  DivergenceError,
  FileError,
  InfeasibleBudgetError,
  OptionError,
  OutputError,
  UserError,
  messageOf,
} from '../../base/errors.js';
import { Interrupted } from '../../training/interrupted.js';

/** An error as it is posted: `UserError`s keep class and code, defects their stack. */
export interface PostedError {
  readonly kind: 'user' | 'interrupted' | 'defect';
  readonly name: string;
  readonly code: string;
  readonly message: string;
  readonly stack: string | undefined;
}

const userErrors = [
  DataError,
  DivergenceError,
  FileError,
  InfeasibleBudgetError,
  OptionError,
  OutputError,
] as const;

/** The error as plain data. */
export function postedError(error: unknown): PostedError {
  const message = error instanceof Interrupted ? error.phase : messageOf(error);
  const stack = error instanceof Error ? error.stack : undefined;
  const name = error instanceof Error ? error.name : 'Error';
  if (error instanceof Interrupted) return { kind: 'interrupted', name, code: error.code, message, stack };
  if (error instanceof UserError) return { kind: 'user', name, code: error.code, message, stack };
  return { kind: 'defect', name, code: '', message, stack };
}

/** The error as it was thrown elsewhere, as far as plain data can carry it. */
export function revivedError({ kind, name, code, message, stack }: PostedError): Error {
  if (kind === 'interrupted') return new Interrupted(message);
  if (kind === 'user') {
    const known = userErrors.find((candidate) => candidate.name === name);
    return known === undefined ? new UserError(code, message) : new known(message);
  }
  const error = new Error(message);
  error.name = name;
  if (stack !== undefined) error.stack = stack;
  return error;
}
