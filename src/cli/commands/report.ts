/**
 * @file `shiftaddnas report`: writes report.html of a run anew, finished or not.
 */
import type { Command } from 'commander';
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
      const path = writeReport(folder);
      console.log(json ? JSON.stringify({ report: path }) : path);
    });
}
