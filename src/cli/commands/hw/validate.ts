/**
 * @file `shiftaddnas hw validate`: published figures beside ours.
 */
import type { Command } from 'commander';
import { OptionError } from '../../../base/errors.js';
import { deviationOf, holds, type Anchor } from '../../../hardware/anchors/anchor.js';
import { anchorGroups, type AnchorGroup } from '../../../hardware/anchors/groups.js';
import { examples } from '../../options.js';
import { textTable } from '../../tables.js';

interface ValidateFlags {
  readonly only?: string;
  readonly notes?: boolean;
  readonly json?: boolean;
}

const brokenBoundExitCode = 1;

export function addValidateCommand(hw: Command): void {
  hw.command('validate')
    .description('Print published figures of cost models and chips beside ours.')
    .option(
      '--only <text>',
      `groups or figures whose name has this in it (groups: ${anchorGroups.map(({ name }) => name).join(', ')})`,
    )
    .option('--notes', 'print what is to be said about single figures')
    .option('--json', 'print the figures as one JSON object')
    .addHelpText(
      'after',
      `\nThe exit code is 1 when a figure lies outside its bound. A figure without a bound is shown without a claim.\n${examples(
        'shiftaddnas hw validate',
        'shiftaddnas hw validate --only timeloop',
        'shiftaddnas hw validate --only VGG --notes',
        'shiftaddnas hw validate --json > anchors.json',
      )}`,
    )
    .action(runValidate);
}

function runValidate({ only, notes, json }: ValidateFlags): void {
  const report = validationReport(anchorGroups, only);
  if (json) console.log(JSON.stringify(report.json));
  else {
    console.log([...report.lines, ...(notes ? report.notes : []), report.summary].join('\n'));
    for (const line of report.broken) console.error(line);
  }
  if (report.broken.length > 0) process.exitCode = brokenBoundExitCode;
}

/** What the command prints. */
export interface ValidationReport {
  readonly lines: readonly string[];
  readonly notes: readonly string[];
  readonly summary: string;
  /** One line for each figure outside its bound. */
  readonly broken: readonly string[];
  readonly json: unknown;
}

/**
 * Works out the groups whose name has `only` in it or, if none has, the figures whose name has.
 * @throws OptionError when neither a group nor a figure is called so.
 */
export function validationReport(all: readonly AnchorGroup[], only: string | undefined): ValidationReport {
  const wanted = only?.toLowerCase() ?? '';
  // A text that names groups means all of their figures, and no other group has to be worked out.
  const named = all.filter(({ name }) => name.includes(wanted));
  const groups = (named.length > 0 ? named : all).flatMap((group) => {
    const anchors = group
      .anchors()
      .filter(({ name }) => named.length > 0 || name.toLowerCase().includes(wanted));
    return anchors.length === 0 ? [] : [{ ...group, anchors }];
  });
  const anchors = groups.flatMap((group) => group.anchors);
  if (anchors.length === 0)
    throw new OptionError(
      `--only ${only}: no group and no figure is called so; the groups are ${all.map(({ name }) => name).join(', ')}`,
    );
  const within = anchors.filter((anchor) => holds(anchor) === true).length;
  const broken = anchors.filter((anchor) => holds(anchor) === false);
  const unbounded = anchors.length - within - broken.length;
  return {
    lines: [
      anchorTable(anchors),
      ...groups.flatMap(({ name, remarks }) => remarks.map((remark) => `${name}: ${remark}`)),
    ],
    notes: anchors.flatMap(({ name, note }) => (note === undefined ? [] : [`${name}: ${note}`])),
    summary: `${within} of ${within + broken.length} figures within their bounds, ${unbounded} shown without one`,
    broken: broken.map(({ name, source }) => `outside its bound: ${name} (${source})`),
    json: {
      anchors: groups.flatMap((group) =>
        group.anchors.map((anchor) => ({
          group: group.name,
          ...anchor,
          deviation: deviationOf(anchor),
          ok: holds(anchor) ?? null,
        })),
      ),
      within,
      broken: broken.length,
      unbounded,
    },
  };
}

function anchorTable(anchors: readonly Anchor[]): string {
  return textTable(
    ['figure', 'ours', 'published', 'unit', 'deviation', 'bound', 'ok'],
    anchors.map((anchor) => {
      const { name, ours, published, unit, bound } = anchor;
      const ok = holds(anchor);
      return [
        name,
        figure(ours),
        figure(published),
        unit,
        share(deviationOf(anchor)),
        bound === undefined ? '' : bound === 0 ? 'exact' : share(bound),
        ok === undefined ? '' : ok ? 'yes' : 'NO',
      ];
    }),
  );
}

/** Up to seven digits. */
function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
}

/** A relative figure as percent, tiny ones in powers of ten. */
function share(value: number): string {
  if (value === 0) return '0';
  return Math.abs(value) < 5e-5 ? value.toExponential(0) : `${(100 * value).toFixed(2)} %`;
}
