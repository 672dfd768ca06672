/**
 * @file One class per kind of failure, each with a stable `code` that scripts may match on.
 *
 * A `UserError` is something the person at the keyboard can mend (a missing file, a malformed budget): the
 * command line prints its message as one line and exits with 2. Anything else is a defect of ours and keeps its
 * stack trace. Messages say what is wrong AND what to do about it.
 */

/** A failure that the user can mend; the command line prints the message alone and exits with code 2. */
export class UserError extends Error {
  override readonly name: string = 'UserError';
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A wrong or missing option, an unknown key of a config file, a malformed budget. */
export class OptionError extends UserError {
  override readonly name = 'OptionError';
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_OPTION', message, options);
  }
}

/** A data set that is missing, truncated, corrupt or of a kind we cannot use. */
export class DataError extends UserError {
  override readonly name = 'DataError';
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_DATA', message, options);
  }
}

/** A file of ours (checkpoint, result, architecture, CSV, profile) that is missing, corrupt or of another version. */
export class FileError extends UserError {
  override readonly name = 'FileError';
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_FILE', message, options);
  }
}

/** The output folder cannot be written, is full, or already holds a run. */
export class OutputError extends UserError {
  override readonly name = 'OutputError';
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_OUTPUT', message, options);
  }
}

/** No architecture of the space meets the budget; the message names the nearest reachable point. */
export class InfeasibleBudgetError extends UserError {
  override readonly name = 'InfeasibleBudgetError';
  constructor(message: string) {
    super('INFEASIBLE_BUDGET', message);
  }
}

/** A program of another project that a command calls is not installed, or failed. */
export class ToolError extends UserError {
  override readonly name = 'ToolError';
  constructor(message: string, options?: ErrorOptions) {
    super('BAD_TOOL', message, options);
  }
}

/** Training produced a NaN or an infinity; names the step and the layer where it began. */
export class DivergenceError extends UserError {
  override readonly name = 'DivergenceError';
  constructor(message: string) {
    super('DIVERGED', message);
  }
}

/** A tensor operation was called with shapes that do not fit; names the op and the shapes. */
export class ShapeError extends Error {
  override readonly name = 'ShapeError';
  readonly code = 'BAD_SHAPE';
}

/** The text of an unknown thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What Node throws for a failed system call, in words that need no types of Node. */
export interface SystemError extends Error {
  readonly code: string;
  readonly path?: string;
}

/** True when `error` is a Node system error with this code (`'ENOENT'`, `'ENOSPC'`, ...). */
export function isSystemError(error: unknown, ...codes: readonly string[]): error is SystemError {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
