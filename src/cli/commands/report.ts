/**
 * @file `shiftaddnas report`: writes report.html of a run anew, finished or not.
 */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { readJson } from '../../base/files.js';
import { checkConfig, runConfigSchema } from '../../pipeline/config/config.js';
import { examples } from '../options.js';

export function addReportCommand(program: Command): void {
  program
    .command('report')
    .description('Write report.html of a run folder anew; a run that is not finished shows what it has.')
    .argument('<run folder>')
    .option('--json', 'print the path as one JSON object')
    .addHelpText('after', examples('shiftaddnas report runs/NAME'))
    .action(async (folder: string, { json }: { readonly json?: boolean }) => {
      const { writeReport } = await import('../../report/write.js');
      const path = writeReport(folder, { header: headerOf(folder) });
      console.log(json ? JSON.stringify({ report: path }) : path);
    });
}

/** What a run that has no result yet is known to be about. */
function headerOf(folder: string): {
  readonly name: string;
  readonly dataset?: string;
  readonly profile?: string;
  readonly seed?: number;
  readonly budgetAsGiven?: string;
} {
  const name = basename(resolve(folder));
  const path = join(folder, 'config.json');
  if (!existsSync(path)) return { name };
  const { data, profile, seed, budget } = checkConfig(runConfigSchema, readJson(path), path);
  return { name, dataset: data, profile, seed, budgetAsGiven: budget };
}
