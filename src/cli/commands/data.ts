/**
 * @file `shiftaddnas data`: what a data set holds.
 */
import type { Command } from 'commander';
import { describeDataset, type DatasetDescription } from '../../data/describe.js';
import { datasetUsages, loadDataset } from '../../data/load-dataset.js';
import { significant } from '../format.js';
import { examples, wholeNumber } from '../options.js';
import { createProgressView } from '../progress.js';
import { textTable } from '../tables.js';

interface InfoFlags {
  readonly imageSize?: number;
  readonly seed: number;
  readonly json?: boolean;
}

export function addDataCommands(program: Command): void {
  const data = program
    .command('data')
    .description('Look at data sets.')
    .addHelpText(
      'after',
      examples('shiftaddnas data info mnist', 'shiftaddnas data info folder:./flowers --image-size 32'),
    );
  data
    .command('info')
    .description('Load a data set and say what it holds.')
    .argument('<spec>', datasetUsages.join(', '))
    .option('--image-size <pixels>', 'scale the images to this side', wholeNumber(1))
    .option('--seed <number>', 'draws the test part of an image folder that has none', wholeNumber(0), 1)
    .option('--json', 'print the figures as one JSON object')
    .addHelpText(
      'after',
      examples('shiftaddnas data info mnist', 'shiftaddnas data info folder:./flowers --json'),
    )
    .action((spec: string, flags: InfoFlags) => info(spec, flags));
}

async function info(spec: string, { imageSize, seed, json }: InfoFlags): Promise<void> {
  const view = createProgressView({ json: json === true || !process.stderr.isTTY });
  const dataset = await loadDataset(spec, {
    seed,
    ...(imageSize !== undefined && { imageSize }),
    onNotice: (message) => view.show({ type: 'notice', message }),
    onProgress: (progress) => view.show({ type: 'loading', ...progress }),
  }).finally(() => view.close());
  const description = describeDataset(dataset);
  console.log(json ? JSON.stringify(description) : summary(description));
}

function summary(description: DatasetDescription): string {
  const { spec, height, width, channels, trainCount, testCount, classes, mean, std } = description;
  const figures = (values: readonly number[]): string => values.map(significant).join(', ');
  return [
    `${spec}: ${trainCount} training and ${testCount} test images of ${height}x${width}x${channels}, ${classes.length} classes`,
    `channel means ${figures(mean)}, deviations ${figures(std)} (white = 1)`,
    `${significant(description.memoryBytes / 1e6)} MB in memory, sha256 ${description.fingerprint}`,
    textTable(
      ['class', 'training', 'test'],
      classes.map(({ name, train, test }) => [name, String(train), String(test)]),
    ),
  ].join('\n');
}
