/**
 * @file All commands put together, and how commander's own complaints look: one line, with a hint.
 */
import { Command } from 'commander';
import { packageVersion } from '../pipeline/run/machine.js';
import { addCompareCommand } from './commands/compare.js';
import { addConvertCommand } from './commands/convert.js';
import { addDataCommands } from './commands/data.js';
import { addEvaluateCommand } from './commands/evaluate.js';
import { addHardwareCommands } from './commands/hw.js';
import { addRankCommand } from './commands/rank.js';
import { addReportCommand } from './commands/report.js';
import { addReproduceCommand } from './commands/reproduce.js';
import { addSearchCommand } from './commands/search.js';
import { addSpaceCommands } from './commands/space.js';
import { addTrainCommand } from './commands/train.js';
import { examples } from './options.js';

export function createProgram(): Command {
  const program = new Command('shiftaddnas');
  program
    .description(
      'Finds the most accurate network within an energy, latency or size budget,\nfrom layers that multiply, shift or add.',
    )
    .version(packageVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      examples(
        'shiftaddnas search --preset mnist-quick',
        'shiftaddnas search --data folder:./flowers --budget energy=50% --config my.yaml',
        'shiftaddnas hw estimate --architecture runs/NAME/architecture.json',
      ),
    )
    .addHelpText(
      'afterAll',
      '\nFolders of files and results that are written are made where they are not there yet.',
    );
  addSearchCommand(program);
  addTrainCommand(program);
  addEvaluateCommand(program);
  addConvertCommand(program);
  addSpaceCommands(program);
  addHardwareCommands(program);
  addRankCommand(program);
  addReproduceCommand(program);
  addReportCommand(program);
  addCompareCommand(program);
  addDataCommands(program);
  complainInOneLine(program, program.name());
  return program;
}

/** Commander puts its suggestion on a second line; here all stands on one, and the help that fits is named. */
function complainInOneLine(command: Command, path: string): void {
  command.configureOutput({
    outputError: (text, write) =>
      write(
        `${text
          .trim()
          .replace(/\.?\s*\n\s*/g, ' ')
          .replace(/\.$/, '')}; see '${path} --help'\n`,
      ),
  });
  for (const child of command.commands) complainInOneLine(child, `${path} ${child.name()}`);
}
