/**
 * @file `shiftaddnas compare`: the retrained fronts of several finished runs under one reference point.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { FileError } from '../../base/errors.js';
import { checkWritable, readJson, writeFileAtomic } from '../../base/files.js';
import {
  compareRuns,
  familiesText,
  type ComparedRun,
  type NetworkStanding,
  type RunComparison,
} from '../../pipeline/search/compare-runs.js';
import { percent, significant } from '../format.js';
import { examples } from '../options.js';
import { accuracyText, textTable } from '../tables.js';

interface CompareFlags {
  readonly profile?: string;
  readonly out?: string;
  readonly json?: boolean;
}

const pageFile = 'comparison.html';

export function addCompareCommand(program: Command): void {
  program
    .command('compare')
    .description('Compare the retrained fronts of finished runs: hypervolume, and accuracy at equal energy.')
    .argument('<run folders...>')
    .option('--profile <name>', 'cost profile of the energies (default: that of the budgets)')
    .option('--out <file.html>', `where the page is written (default ${pageFile})`)
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .addHelpText(
      'after',
      `
Of each run the networks count that its search found: the winner, and the members of its front that search.retrainFront
asks for. Accuracies are on the test part, means over the seeds of --retrain-seeds. The reference point is common: a tenth
of the range beyond the worst error and the worst energy of all. Runs must have the same data, split, schedules,
augmentation and techniques; other differences are listed.
${examples(
  'shiftaddnas compare runs/hybrid runs/conv-only runs/shift-only runs/add-only',
  'shiftaddnas compare runs/hybrid runs/add-only --profile fair-int8 --json',
)}`,
    )
    .action(async (folders: readonly string[], flags: CompareFlags) => {
      const { profile, out = pageFile, json } = flags;
      const { parseResult } = await import('../../report/schema.js');
      const runs = folders.map((path): ComparedRun => {
        const file = join(path, 'result.json');
        if (!existsSync(file))
          throw new FileError(
            `${path}: not a finished run (no result.json); finish it by search --resume ${path}`,
          );
        const config = join(path, 'config.json');
        if (!existsSync(config))
          throw new FileError(`${path}: its config.json is gone; without it runs cannot be compared`);
        return {
          path,
          result: parseResult(readJson(file), file),
          config: readJson(config) as ComparedRun['config'],
        };
      });
      const comparison = compareRuns(runs, profile);
      const { renderComparePage } = await import('../../report/compare-page.js');
      checkWritable(out);
      writeFileAtomic(out, renderComparePage(comparison));
      console.log(json ? JSON.stringify(comparison) : comparisonText(comparison, out));
    });
}

function accuracyOf({ accuracy, deviation }: NetworkStanding): string {
  return accuracyText({
    testAccuracy: accuracy,
    ...(deviation !== null && { meanTestAccuracy: accuracy, testAccuracyDeviation: deviation }),
  });
}

function comparisonText(comparison: RunComparison, page: string): string {
  const { dataset, profile, runs, duels, reference, differences } = comparison;
  const anyMixed = runs.some(({ mixed }) => mixed);
  const pairs = duels.flatMap(({ family, best, rivals }) =>
    (rivals.length === 0 ? [undefined] : rivals).map((rival) => ({ family, best, rival })),
  );
  return [
    `test accuracy on ${dataset}, energy under ${profile}; reference point: error ${percent(reference[0]!)}, ${significant(reference[1]!)} mJ`,
    '',
    textTable(
      ['run', 'network', 'its blocks', 'seeds', 'test accuracy', 'energy mJ', 'on its\nfront'],
      runs.flatMap(({ name, networks }) =>
        networks.map((network) => [
          name,
          network.network,
          familiesText(network),
          String(network.seeds.length),
          accuracyOf(network),
          significant(network.energyMj),
          network.onFront ? 'yes' : 'no',
        ]),
      ),
    ),
    '',
    textTable(
      [
        'run',
        'searched over',
        '',
        'judged',
        'hypervolume',
        'sd over\nseeds',
        'share of\nthe box',
        'only\nhere',
      ],
      runs.map((run) => [
        run.name,
        run.families.join(', '),
        run.mixed ? 'mixed' : 'one family',
        String(run.evaluated),
        significant(run.hypervolume),
        run.hypervolumeDeviation === null ? '-' : significant(run.hypervolumeDeviation),
        percent(run.share, 1),
        percent(run.onlyHere, 1),
      ]),
    ),
    ...(!anyMixed || pairs.length === 0
      ? []
      : [
          '',
          textTable(
            [
              'best of one family',
              'accuracy',
              'energy mJ',
              'of mixed searches, at no more energy',
              'its blocks',
              'accuracy',
              'ahead',
              'apart',
            ],
            pairs.map(({ family, best, rival }) => [
              `${family}: ${best.run}, ${best.network}`,
              accuracyOf(best),
              significant(best.energyMj),
              ...(rival === undefined
                ? ['none was found', '-', '-', '-', '-']
                : [
                    `${rival.run}, ${rival.network}`,
                    familiesText(rival),
                    accuracyOf(rival),
                    `${(100 * rival.ahead).toFixed(2)} points`,
                    rival.apart === null ? '-' : rival.apart ? 'yes' : 'no',
                  ]),
            ]),
          ),
          'apart: mean ± standard deviation over the seeds do not overlap',
        ]),
    ...(Object.keys(differences).length === 0
      ? []
      : ['', `the runs differ in ${Object.keys(differences).join(', ')}`]),
    '',
    `picture       ${page}`,
  ].join('\n');
}
