/**
 * @file Options that several commands share, and how their values are read.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { mergeConfig, presetNamed, presets, readConfigFile } from '../pipeline/config/config.js';
import { withSpaceFile } from '../pipeline/config/space-files.js';
import { PathsKind } from '../supernet/rules/registry.js';
import { SharingKind } from '../supernet/sharing.js';

/** The examples at the end of a help text. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}\n`;
}

export const presetUsage = `values to begin with: ${Object.keys(presets).join(', ')}`;

/** For a whole number >= `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Give a whole number, at least ${least}.`);
    return value;
  };
}

/** For a number above zero. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('Give a number above zero.');
  return value;
}

/** For `a,b,c`. */
export function list(text: string): readonly string[] {
  const items = text.split(',').map((item) => item.trim());
  if (items.includes(''))
    throw new InvalidArgumentError('Give names with commas between them, as in conv,add.');
  return items;
}

/** Flags that every command with a search's configuration has. */
export interface ConfigFlags {
  readonly preset?: string;
  readonly config?: string;
  readonly data?: string;
  readonly imageSize?: number;
  readonly seed?: number;
}

export function addConfigOptions(command: Command, dataUsages: readonly string[]): Command {
  return command
    .option('--preset <name>', presetUsage)
    .option('--config <file.yaml>', 'configuration file; its values go before the preset’s')
    .option('--data <spec>', `data set: ${dataUsages.join(', ')}`)
    .option('--image-size <pixels>', 'scale the images to this side', wholeNumber(1))
    .option('--seed <number>', 'seed of all chance (default 1)', wholeNumber(0));
}

/** `--paths`, of commands that train a supernet; {@link pathsOf} reads it. */
export function pathsOption(): Option {
  return new Option('--paths <rule>', 'which networks a step of the supernet trains (default fair)').choices(
    Object.values(PathsKind),
  );
}

export function pathsOf({ paths }: { readonly paths?: string }): object {
  return paths === undefined ? {} : { supernetTraining: { paths } };
}

/** Of the commands that train a supernet. */
export function sharingOption(): Option {
  return new Option(
    '--sharing <map>',
    `how the families' weights come from a shared tensor (default ${SharingKind.Transport}; ${SharingKind.None}: own weights each)`,
  ).choices(Object.values(SharingKind));
}

/** Unchecked values: preset < configuration file < flags. */
export function gatherConfig(flags: ConfigFlags, ...further: readonly object[]): Record<string, unknown> {
  const { data, imageSize, seed } = flags;
  return withSpaceFile(
    mergeConfig(
      flags.preset === undefined ? {} : presetNamed(flags.preset),
      flags.config === undefined ? {} : readConfigFile(flags.config),
      { data, imageSize, seed },
      ...further,
    ),
  );
}

/** Where the values came from, for messages. */
export function sourceOf(flags: ConfigFlags): string {
  return flags.config ?? (flags.preset === undefined ? 'options' : `preset ${flags.preset}`);
}

/** A folder below `out` that does not exist yet: `PREFIX<data set>-<date>-<time>`. */
export function freshFolder(out: string, data: string, prefix = ''): string {
  const colon = data.indexOf(':');
  const source = colon < 0 ? data : basename(data.slice(colon + 1)) || data.slice(0, colon);
  const dataset = source.replace(/\.(tar|tgz|tar\.gz)$/i, '').replace(/[^\w.-]+/g, '-');
  const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  const path = join(out, `${prefix}${dataset}-${stamp}`);
  for (let i = 1; ; i++) {
    const candidate = i === 1 ? path : `${path}-${i}`;
    if (!existsSync(candidate)) return candidate;
  }
}

/** The command line as it could be typed again. */
export function typedCommand(): string {
  return ['shiftaddnas', ...process.argv.slice(2)].map(quoted).join(' ');
}

/** An argument as a POSIX shell reads it back. */
export function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`;
}

/** A flag as it is typed: `image-size`. */
export function dashed(flag: string): string {
  return flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
