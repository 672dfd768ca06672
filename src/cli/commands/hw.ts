/**
 * @file `shiftaddnas hw`: the cost models, without any data or training.
 */
import type { Command } from 'commander';
import { examples } from '../options.js';
import { addEstimateCommand } from './hw/estimate.js';
import { addFitCommand } from './hw/fit.js';
import { addGoldenCommand, addProfilesCommand } from './hw/profiles.js';
import { addPublishedCommand } from './hw/published.js';

export function addHardwareCommands(program: Command): void {
  const hw = program
    .command('hw')
    .description('What layers and networks cost on an accelerator.')
    .addHelpText(
      'after',
      examples(
        'shiftaddnas hw estimate --architecture runs/NAME',
        'shiftaddnas hw estimate --layers layers.csv --csv priced.csv',
        'shiftaddnas hw estimate model.onnx --profile fair,fair-int8 --report cost.html',
        'shiftaddnas hw profiles',
        'shiftaddnas hw golden',
      ),
    );
  addEstimateCommand(hw);
  addPublishedCommand(hw);
  addProfilesCommand(hw);
  addFitCommand(hw);
  addGoldenCommand(hw);
}
