/**
 * @file A process of its own for tests of what a process does once: reading the environment, exiting.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface ChildEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `script`, a module that may import TypeScript, for a minute at most. */
export function inChild(
  script: string,
  environment: Readonly<Record<string, string>>,
  ...nodeArguments: readonly string[]
): ChildEnd {
  const args = [...nodeArguments, '--import', 'tsx', '--input-type=module', '-e', script];
  return spawnSync(process.execPath, args, {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    env: { ...process.env, NODE_OPTIONS: '', ...environment },
    encoding: 'utf8',
    timeout: 60_000,
  });
}
