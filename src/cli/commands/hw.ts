/**
 * @file `shiftaddnas hw`: the cost models, without any data or training.
 */
import type { Command } from 'commander';
import { examples } from '../options.js';
import { addAreaCommand } from './hw/area.js';
import { addEstimateCommand } from './hw/estimate.js';
import { addFitCommand } from './hw/fit.js';
import { addGoldenCommand, addProfilesCommand } from './hw/profiles.js';
import { addPublishedCommand } from './hw/published.js';
import { addMeasureCommand } from './hw/measure.js';
import { addMemoryCommand } from './hw/memory.js';
import { addMapCommands } from './hw/map.js';
import { addSystolicCommand } from './hw/systolic.js';
import { addValidateCommand } from './hw/validate.js';

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
        'shiftaddnas hw validate',
        'shiftaddnas hw map --machine eyeriss-chip --layer C=64,H=56,M=64,R=3 --bits 16',
        'shiftaddnas hw systolic --architecture runs/NAME --array 32x32',
        'shiftaddnas hw chunks --architecture runs/NAME --area 2',
        'shiftaddnas hw area',
        'shiftaddnas hw memory runs/NAME --profile fair-int8 --budget sram=64KiB,flash=256KiB',
        'shiftaddnas hw measure --threads 1 --out this-machine.json',
      ),
    );
  addEstimateCommand(hw);
  addPublishedCommand(hw);
  addProfilesCommand(hw);
  addFitCommand(hw);
  addGoldenCommand(hw);
  addValidateCommand(hw);
  addMapCommands(hw);
  addSystolicCommand(hw);
  addAreaCommand(hw);
  addMemoryCommand(hw);
  addMeasureCommand(hw);
}
