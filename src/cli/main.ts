#!/usr/bin/env node
/**
 * @file The command `shiftaddnas`.
 *
 * Exit codes: 0 done; 2 something the user can mend (one line on stderr; a diverged training counts, since the
 * learning rate is the user's); 130 stopped by a signal with everything saved; 1 a defect of ours, with its stack.
 */
import { CommanderError } from 'commander';
import { UserError, isSystemError } from '../base/errors.js';
import { Stopped } from './job.js';
import { createProgram } from './program.js';

enum ExitCode {
  Defect = 1,
  UserMistake = 2,
  Stopped = 130,
}

// A reader that has seen enough (`| head`) is no failure, and no reason to lose a running job.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error) => {
    if (!isSystemError(error, 'EPIPE')) throw error;
  });

try {
  const program = createProgram();
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  process.exitCode = exitCodeOf(error);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ExitCode.UserMistake;
  if (error instanceof Stopped) {
    console.error(error.message);
    return ExitCode.Stopped;
  }
  if (error instanceof UserError) {
    console.error(`error: ${error.message.replace(/\s*\n\s*/g, ' ')}`);
    return ExitCode.UserMistake;
  }
  console.error(error instanceof Error ? (error.stack ?? error.message) : error);
  console.error('This is a defect of shiftaddnas; please report it with the lines above.');
  return ExitCode.Defect;
}
