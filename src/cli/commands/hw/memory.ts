/**
 * @file `shiftaddnas hw memory`: the SRAM and flash that an architecture needs, and the plan of its activations.
 */
import { Option, type Command } from 'commander';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError } from '../../../base/errors.js';
import { readJson, writeFileAtomic } from '../../../base/files.js';
import { formatCsvLine } from '../../../hardware/csv-text.js';
import {
  defaultAlignment,
  loadProfile,
  memoryReport,
  PlanOrder,
  planOrders,
  stepName,
  type MemoryFootprint,
} from '../../../hardware/index.js';
import { familyNamed } from '../../../operators/registry.js';
import { renderMemoryPage } from '../../../report/memory-page.js';
import { parseBudget } from '../../../search/budget.js';
import { limitedQuantities, Quantity, type Budget } from '../../../search/costs.js';
import { architectureMemory } from '../../../spaces/activations.js';
import { parseArchitecture } from '../../../spaces/parse.js';
import { bytes, percent } from '../../format.js';
import { examples, list, wholeNumber } from '../../options.js';
import { textTable } from '../../tables.js';
import { InputKind, isSameFile, kindOfInput, requireUnconverted } from './inputs.js';

interface MemoryFlags {
  readonly architecture?: string;
  readonly profile: readonly string[];
  readonly budget?: string;
  readonly order: PlanOrder;
  readonly alignment: number;
  readonly csv?: string;
  readonly report?: string;
  readonly json?: boolean;
}

const tooLargeExitCode = 2;

export function addMemoryCommand(hw: Command): void {
  hw.command('memory')
    .description('Plan the activations of an architecture in SRAM, and count its parameters in flash.')
    .argument('[path]', 'an architecture.json, or the folder of a run or model with one')
    .option('--architecture <path>', 'the same')
    .option(
      '--profile <names|files>',
      'cost profiles whose operand widths are taken: names, .json or .yaml files',
      list,
      ['fair'],
    )
    .option('--budget <limits>', 'what there is, as in sram=256KiB,flash=1MiB')
    .addOption(
      new Option(
        '--order <which>',
        'place the largest first as microcontroller runtimes do, by time, or better',
      )
        .choices(planOrders)
        .default(PlanOrder.Best),
    )
    .option('--alignment <bytes>', 'offsets are multiples of it', wholeNumber(1), defaultAlignment)
    .option('--csv <file>', 'write the plan as CSV')
    .option('--report <file.html>', 'write a page with a picture of the arena')
    .option('--json', 'print the figures as one JSON object, or an array for several profiles')
    .addHelpText(
      'after',
      `\nThe arena holds every activation from the layer that writes it to the last that reads it; a shortcut keeps the\ninput of its block. The bound is the most bytes alive at once. Not counted: code, stack, scratch of kernels.\nWhat exceeds --budget is named on stderr with the layer and the bytes, and the exit code is 2.\n${examples(
        'shiftaddnas hw memory runs/NAME --profile fair-int8',
        'shiftaddnas hw memory architecture.json --profile fair,fair-int8 --budget sram=64KiB,flash=256KiB',
        'shiftaddnas hw memory runs/NAME --profile fair-int8 --csv plan.csv --report arena.html',
      )}`,
    )
    .action((path: string | undefined, flags: MemoryFlags) => runMemory(path, flags));
}

function runMemory(given: string | undefined, flags: MemoryFlags): void {
  const source = [given, flags.architecture].filter((each) => each !== undefined);
  if (source.length !== 1)
    throw new OptionError('hw memory needs one architecture: an architecture.json, or a folder with one');
  const path = architecturePath(source[0]!);
  requireUnconverted(path, 'hw memory');
  const budget = flags.budget === undefined ? {} : memoryBudget(flags.budget);
  const profiles = flags.profile.map(loadProfile);
  for (const [flag, out] of [
    ['--csv', flags.csv],
    ['--report', flags.report],
  ])
    for (const input of [path, ...flags.profile])
      if (out !== undefined && isSameFile(out, input))
        throw new OptionError(`${flag} ${out} would overwrite its input ${input}; name another file`);
  const architecture = parseArchitecture(readJson(path), path);
  const { order, alignment } = flags;
  const footprints = profiles.map((profile) =>
    architectureMemory(architecture, familyNamed, profile, { order, alignment }),
  );
  if (flags.csv !== undefined) writeFileAtomic(flags.csv, planCsv(footprints));
  if (flags.report !== undefined)
    writeFileAtomic(flags.report, renderMemoryPage({ title: path, footprints }));
  if (flags.json) {
    const objects = footprints.map(memoryReport);
    console.log(JSON.stringify(objects.length === 1 ? objects[0] : objects));
  } else {
    for (const footprint of footprints) console.log(summary(path, footprint));
    for (const out of [flags.csv, flags.report]) if (out !== undefined) console.log(`written to ${out}`);
  }
  const complaints = footprints.flatMap((footprint) => excesses(footprint, budget));
  for (const complaint of complaints) console.error(`error: ${path}: ${complaint}`);
  if (complaints.length > 0) process.exitCode = tooLargeExitCode;
}

function architecturePath(given: string): string {
  if (kindOfInput(given) !== InputKind.Architecture)
    throw new OptionError(
      `${given}: hw memory takes architectures only, an architecture.json or a folder with one`,
    );
  return existsSync(given) && statSync(given).isDirectory() ? join(given, 'architecture.json') : given;
}

function memoryBudget(text: string): Budget {
  const request = parseBudget(text);
  const budget: Partial<Record<Quantity, number>> = {};
  for (const [quantity, limit] of Object.entries(request) as [Quantity, (typeof request)[Quantity]][]) {
    if (quantity !== Quantity.Sram && quantity !== Quantity.Flash)
      throw new OptionError(
        `--budget ${text}: hw memory knows sram and flash alone, as in sram=256KiB,flash=1MiB`,
      );
    if (limit?.kind !== 'absolute')
      throw new OptionError(
        `--budget ${text}: give bytes, as in sram=256KiB; there is no network to take per cent of`,
      );
    budget[quantity] = limit.value;
  }
  return budget;
}

/** What does not fit, in words: the layer with the most in SRAM, the layer with the largest share of the flash. */
function excesses(footprint: MemoryFootprint, budget: Budget): readonly string[] {
  const { profile, plan, graph, flash } = footprint;
  return limitedQuantities(budget).flatMap((quantity) => {
    const limit = Math.floor(budget[quantity]!);
    const needed = quantity === Quantity.Sram ? footprint.sramBytes : footprint.flashBytes;
    if (needed <= limit) return [];
    const what = quantity === Quantity.Sram ? 'SRAM' : 'flash';
    const heaviest = flash.toSorted(
      (a, b) => b.weightBytes + b.channelBytes - a.weightBytes - a.channelBytes,
    )[0]!;
    const where =
      quantity === Quantity.Sram
        ? `layer '${stepName(graph, plan.boundStep)}' is the peak, with ${bytes(plan.boundBytes)} alive`
        : `layer '${heaviest.name}' is the largest, with ${bytes(heaviest.weightBytes + heaviest.channelBytes)}`;
    return [
      `${needed - limit} bytes of ${what} too many under ${profile}: ${bytes(needed)} of ${bytes(limit)}; ${where}`,
    ];
  });
}

function summary(path: string, footprint: MemoryFootprint): string {
  const { profile, plan, graph, flash, sramBytes, flashBytes } = footprint;
  const above = plan.bytes / plan.boundBytes - 1;
  const weights = flash.reduce((sum, { weightBytes }) => sum + weightBytes, 0);
  return [
    `${path} under ${profile}:`,
    textTable(
      ['tensor', 'bytes', 'offset', 'first use', 'last use'],
      plan.buffers.map((buffer) => [
        buffer.tensors.join(' = '),
        String(buffer.bytes),
        String(buffer.offset),
        stepName(graph, buffer.firstStep),
        stepName(graph, buffer.lastStep),
      ]),
    ),
    `SRAM  ${bytes(sramBytes)} (${sramBytes} bytes), peak at ${stepName(graph, plan.boundStep)}; ` +
      (above === 0
        ? 'no plan needs less: it is the most that is alive at once'
        : `${percent(above, 1)} above the bound of ${plan.boundBytes} bytes alive at once`),
    `flash ${bytes(flashBytes)} (${flashBytes} bytes): weights ${weights}, scales and offsets ${flashBytes - weights}`,
  ].join('\n');
}

function planCsv(footprints: readonly MemoryFootprint[]): string {
  const lines = [formatCsvLine(['profile', 'tensor', 'bytes', 'offset', 'first_use', 'last_use'])];
  for (const { profile, plan, graph } of footprints)
    for (const { tensors, bytes: size, offset, firstStep, lastStep } of plan.buffers)
      lines.push(
        formatCsvLine([
          ...[profile, tensors.join(' = '), size, offset],
          ...[stepName(graph, firstStep), stepName(graph, lastStep)],
        ]),
      );
  return `${lines.join('\n')}\n`;
}
