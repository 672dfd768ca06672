/**
 * @file `shiftaddnas space published`: the networks that ShiftAddNAS retrained on ImageNet, with their counts, and as files for
 * `train --architecture` and `hw estimate`; and the counts of the supernets that it searched.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { OptionError } from '../../base/errors.js';
import { checkWritable, writeFileAtomic } from '../../base/files.js';
import { loadProfile } from '../../hardware/index.js';
import { networkCost } from '../../pipeline/models/network-costs.js';
import type { SpaceImages } from '../../pipeline/config/space-files.js';
import { familyNamed } from '../../operators/registry.js';
import { publishedNetwork, publishedNetworks, type PublishedNetwork } from '../../spaces/hytra/retraining.js';
import { operationTotal, parameterCount } from '../../spaces/layers.js';
import {
  PublishedSharing,
  publishedRuns,
  publishedSupernetParameters,
} from '../../supernet/published-count.js';
import { count, percent, significant } from '../format.js';
import { examples, wholeNumber } from '../options.js';
import { textTable } from '../tables.js';
import { imageSize } from './space.js';

interface PublishedFlags {
  readonly input?: SpaceImages['input'];
  readonly classes?: number;
  readonly lastStride?: 1 | 2;
  readonly shift: string;
  readonly profile: string;
  readonly out?: string;
  readonly json?: boolean;
}

export function addSpacePublishedCommand(space: Command): void {
  space
    .command('published')
    .description(
      'The networks that ShiftAddNAS retrained on ImageNet and, where none is named, its supernets, with their counts.',
    )
    .argument('[name]', `one of them: ${Object.keys(publishedNetworks).join(', ')}`)
    .option(
      '--last-stride <1|2>',
      '2 is the smaller form (T0), 1 the larger (T1); both when left out',
      (text) => {
        const stride = wholeNumber(1)(text);
        if (stride > 2) throw new OptionError(`--last-stride ${text}: give 1 or 2`);
        return stride;
      },
    )
    .option('--shift <family>', 'operator family of the shifts (pot.ps in one of the published)', 'pot.q')
    .option('--input <HxWxC>', 'images of another size than 224x224x3', imageSize)
    .option('--classes <number>', 'another number of classes than 1000', wholeNumber(2))
    .option('--profile <name|file>', 'cost profile of the energies', 'fair')
    .option('--out <folder>', 'write architecture.json of the one named there (needs --last-stride)')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      examples(
        'shiftaddnas space published',
        'shiftaddnas space published mix-v3 --last-stride 2 --input 256x256x3',
        'shiftaddnas space published mix-v4 --last-stride 1 --out mix-v4 && shiftaddnas hw estimate mix-v4',
      ),
    )
    .action((name: string | undefined, flags: PublishedFlags) => runPublished(name, flags));
}

function runPublished(name: string | undefined, flags: PublishedFlags): void {
  const { input, classes, shift, lastStride, out } = flags;
  if (name !== undefined && !Object.hasOwn(publishedNetworks, name))
    throw new OptionError(
      `unknown network '${name}'; published are ${Object.keys(publishedNetworks).join(', ')}`,
    );
  const profile = loadProfile(flags.profile);
  const names = (name === undefined ? Object.keys(publishedNetworks) : [name]) as PublishedNetwork[];
  const strides = lastStride === undefined ? ([2, 1] as const) : [lastStride];
  const networks = names.flatMap((network) =>
    strides.map((stride) => {
      const architecture = publishedNetwork(network, {
        ...{ shift: familyNamed(shift).name, lastStride: stride },
        ...(input && { input }),
        ...(classes !== undefined && { classes }),
      });
      return {
        ...{ name: network, lastStride: stride, architecture, parameters: parameterCount(architecture) },
        operations: operationTotal(architecture),
        energyMj: networkCost(architecture, profile).energyMj,
      };
    }),
  );
  if (out !== undefined) {
    if (networks.length !== 1)
      throw new OptionError('--out takes one network; give its name and --last-stride');
    const file = join(out, 'architecture.json');
    if (existsSync(file)) throw new OptionError(`${file} is there already; name another folder with --out`);
    checkWritable(file);
    writeFileAtomic(file, `${JSON.stringify(networks[0]!.architecture, undefined, 2)}\n`);
  }
  const supernets =
    name === undefined
      ? Object.values(PublishedSharing).map((sharing) => ({
          ...{ sharing, runs: publishedRuns[sharing], parameters: publishedSupernetParameters(sharing) },
        }))
      : undefined;
  if (flags.json)
    return console.log(
      JSON.stringify({ shift, profile: profile.name, networks, ...(supernets && { supernets }) }),
    );
  console.log(
    textTable(
      ['network', 'last stride', 'parameters', 'operations', `energy mJ (${profile.name})`],
      networks.map(({ lastStride: stride, ...network }) => [
        ...[network.name, `${stride} (T${2 - stride})`, count(network.parameters)],
        ...[count(network.operations), significant(network.energyMj)],
      ]),
    ),
  );
  if (supernets !== undefined)
    console.log(
      `\nThe supernets that were trained, all 14 candidates in each of 16 layers, 100 classes:\n${textTable(
        ['run', 'shared', 'parameters', 'of v1'],
        supernets.map(({ sharing, runs, parameters }) => [
          ...[runs, sharedWords[sharing], parameters.toLocaleString('en')],
          percent(parameters / supernets[0]!.parameters),
        ]),
      )}`,
    );
}

/** What has its weights from the tensors of convolutions. */
const sharedWords: Readonly<Record<PublishedSharing, string>> = {
  none: 'nothing',
  add: 'add',
  addShiftBoth: 'add, exponents and signs of shift',
  addShift: 'add, shift',
  addShiftOwnSigns: 'add, exponents of shift',
};
