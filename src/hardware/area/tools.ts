/**
 * @file The programs that read Verilog: yosys counts gates, Icarus Verilog simulates. Neither is needed to use what was
 * counted before.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ToolError, isSystemError } from '../../base/errors.js';

/** A program of another project, by the name of its command. */
export enum Tool {
  Yosys = 'yosys',
  Iverilog = 'iverilog',
  Vvp = 'vvp',
}

const packages: Readonly<Record<Tool, string>> = {
  [Tool.Yosys]: 'yosys',
  [Tool.Iverilog]: 'iverilog',
  [Tool.Vvp]: 'iverilog',
};
const versionFlags: Readonly<Record<Tool, string>> = {
  [Tool.Yosys]: '-V',
  [Tool.Iverilog]: '-V',
  [Tool.Vvp]: '-V',
};
const mostOutputBytes = 2 ** 28;

/** First line of what the program says of its version; undefined when it is not installed. */
export function toolVersion(tool: Tool): string | undefined {
  const { error, stdout } = spawnSync(tool, [versionFlags[tool]], { encoding: 'utf8' });
  return error === undefined ? stdout.split('\n')[0]!.trim() : undefined;
}

/** Runs a program in `folder` to its end. @throws ToolError when it is not installed or fails, in one line */
export function runTool(tool: Tool, args: readonly string[], folder: string): string {
  const { error, status, signal, stdout, stderr } = spawnSync(tool, args, {
    cwd: folder,
    encoding: 'utf8',
    maxBuffer: mostOutputBytes,
  });
  if (error !== undefined) {
    if (isSystemError(error, 'ENOENT'))
      throw new ToolError(
        `${tool} is not installed; install it (Debian and Ubuntu: apt-get install ${packages[tool]}) and try again; hw area without --measure and --verify needs no tools`,
      );
    throw new ToolError(`${tool} cannot be run (${error.message})`, { cause: error });
  }
  if (status !== 0) {
    const complaint = `${stderr}\n${stdout}`
      .split('\n')
      .map((line) => line.trim())
      .find((line) => /error/i.test(line));
    throw new ToolError(
      `${tool} failed with ${signal ?? `exit code ${status}`}: ${complaint ?? 'no message'}`,
    );
  }
  return stdout;
}

/** Does something in a folder that is gone afterwards. */
export function inTemporaryFolder<T>(work: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-area-'));
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
