/**
 * @file The command line of the benchmark.
 */
import { availableParallelism } from 'node:os';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { OptionError, messageOf } from '../../src/base/errors.js';
import { makeFolder } from '../../src/base/files.js';
import { examples, list } from '../../src/cli/options.js';

/** Parts of the output. */
export enum Section {
  Rows = 'rows',
  Profile = 'profile',
  Memory = 'memory',
}

export interface EngineOptions {
  readonly threads: readonly number[];
  readonly only: readonly string[] | undefined;
  readonly all: boolean;
  readonly sections: ReadonlySet<Section>;
  readonly quick: boolean;
  readonly json: string | undefined;
  readonly torch: boolean;
}

interface Flags {
  readonly threads: readonly number[];
  readonly only?: readonly string[];
  readonly all?: boolean;
  readonly sections?: readonly Section[];
  readonly quick?: boolean;
  readonly json?: string;
  readonly torch: boolean;
}

const environment = `
Environment:
  SHIFTADDNAS_ISA=avx2       measure the kernels of a lesser instruction set (avx512, avx2, sse4)
  SHIFTADDNAS_DEVICE=wasm    measure another device (native, wasm; reference, on one thread)

A busy machine bends every figure: the sides take turns and medians are shown, but run it when nothing else does.
`;

/**
 * Reads the command line; undefined when help was asked for and printed.
 * @throws OptionError for what cannot be understood or met
 */
export function readOptions(args: readonly string[]): EngineOptions | undefined {
  const processors = availableParallelism();
  const command = new Command('npm run bench -- engine')
    .description(
      'Times every kernel and whole training steps, beside the machine’s peak and, where python3 has it, PyTorch.',
    )
    .option(
      '--threads <n,n>',
      'numbers of threads, of both sides',
      threadCounts,
      [1, 2].filter((n) => n <= processors),
    )
    .option('--only <name,name>', 'rows with this name, or whose name goes on with a hyphen')
    .option('--all', 'further layer shapes too, those that tiles are tuned on')
    .option(
      '--sections <name,name>',
      `parts of the output: ${Object.values(Section).join(', ')} (all; with --only, rows)`,
      sectionNames,
    )
    .option('--quick', 'fewer repetitions')
    .option('--json <file>', 'also write what was found to this file')
    .option('--no-torch', 'do not measure PyTorch')
    .allowExcessArguments(false)
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .addHelpText(
      'after',
      examples(
        'npm run bench -- engine',
        'npm run bench -- engine --only conv3x3,relu --threads 1 --no-torch',
        'npm run bench -- engine --quick --json engine.json',
        'SHIFTADDNAS_ISA=avx2 npm run bench -- engine --only add3x3',
      ) + environment,
    );
  command.options.find(({ long }) => long === '--only')?.argParser(list);
  try {
    command.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return undefined;
    throw new OptionError(
      `${error.message.replace(/^error: /, '').replace(/\s*\n\s*/g, ' ')}; see npm run bench -- engine --help`,
    );
  }
  const flags = command.opts<Flags>();
  const json = flags.json === undefined ? undefined : resolve(flags.json);
  if (json !== undefined) requireWritable(json);
  return {
    threads: flags.threads,
    only: flags.only,
    all: flags.all ?? false,
    sections: new Set(flags.sections ?? (flags.only === undefined ? Object.values(Section) : [Section.Rows])),
    quick: flags.quick ?? false,
    json,
    torch: flags.torch,
  };
}

function threadCounts(text: string): readonly number[] {
  const counts = list(text).map(Number);
  if (counts.some((count) => !Number.isInteger(count) || count < 1 || count > 256))
    throw new InvalidArgumentError('Give whole numbers from 1 to 256 with commas between them, as in 1,2.');
  return [...new Set(counts)].sort((a, b) => a - b);
}

function sectionNames(text: string): readonly Section[] {
  return list(text).map((name) => {
    const section = Object.values(Section).find((each) => each === name);
    if (section === undefined)
      throw new InvalidArgumentError(`The parts are ${Object.values(Section).join(', ')}.`);
    return section;
  });
}

/** A run takes minutes; find out first whether its result can be kept. @throws OptionError */
function requireWritable(path: string): void {
  try {
    makeFolder(dirname(path));
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw new OptionError(`--json ${path}: cannot write here (${messageOf(error)})`, { cause: error });
  }
  if (existsSync(path) && statSync(path).isDirectory())
    throw new OptionError(`--json ${path}: this is a folder; give the name of a file`);
}
