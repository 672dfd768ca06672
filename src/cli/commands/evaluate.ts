/**
 * @file `shiftaddnas evaluate`: a saved model on a data set.
 */
import { Option, type Command } from 'commander';
import { datasetUsages } from '../../data/load-dataset.js';
import { percent } from '../format.js';
import { superviseJob } from '../job.js';
import { examples, list, wholeNumber } from '../options.js';
import { createProgressView } from '../progress.js';
import { costLines } from '../tables.js';

/** The built-in profiles that are about image networks. */
const imageProfiles: readonly string[] = ['fair', 'fair-int8', 'paper-cv-168', 'paper-cv-192'];

interface EvaluateFlags {
  readonly data: string;
  readonly split: 'test' | 'train';
  readonly imageSize?: number;
  readonly profile: readonly string[];
  readonly json?: boolean;
  readonly quiet?: boolean;
}

export function addEvaluateCommand(program: Command): void {
  program
    .command('evaluate')
    .description('Measure the accuracy of a saved model, with the normalisation it was trained with.')
    .argument('<model folder>', 'folder with architecture.json and model.safetensors')
    .requiredOption('--data <spec>', `data set: ${datasetUsages.join(', ')}`)
    .addOption(new Option('--split <part>', 'which images').choices(['test', 'train']).default('test'))
    .option('--image-size <pixels>', 'scale the images to this side', wholeNumber(1))
    .option('--profile <names>', 'cost profiles, names or files', list, imageProfiles)
    .option('--json', 'print the result as one JSON object, and nothing else, on stdout')
    .option('--quiet', 'no progress')
    .addHelpText(
      'after',
      examples(
        'shiftaddnas evaluate runs/NAME --data mnist',
        'shiftaddnas evaluate runs/NAME/networks/all-add --data mnist --split train --json',
      ),
    )
    .action((model: string, flags: EvaluateFlags) => evaluate(model, flags));
}

async function evaluate(model: string, flags: EvaluateFlags): Promise<void> {
  const { data, split, imageSize, profile } = flags;
  const request = { model, data, split, imageSize, profiles: [...profile] };
  const result = await superviseJob('evaluate', request, createProgressView(flags), undefined);
  if (flags.json) return console.log(JSON.stringify(result));
  console.log(
    `${model} (trained on ${result.trainedOn}${result.conversion === undefined ? '' : `, converted by ${result.conversion}`}) on the ${result.images} ${split} images of ${result.spec}:`,
  );
  console.log(`accuracy ${percent(result.accuracy)}`);
  console.log(costLines(result));
}
