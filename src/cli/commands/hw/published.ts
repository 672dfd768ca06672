/**
 * @file `shiftaddnas hw published`: the published networks under several profiles side by side.
 */
import type { Command } from 'commander';
import { estimate, loadProfile, type LayerDescription, type NetworkCost } from '../../../hardware/index.js';
import { translationNetwork, translationNetworks } from '../../../hardware/published/translation.js';
import { visionNetwork, visionNetworks } from '../../../hardware/published/vision.js';
import { significant } from '../../format.js';
import { examples, list } from '../../options.js';
import { textTable } from '../../tables.js';

interface PublishedFlags {
  readonly profile?: readonly string[];
  readonly translation?: boolean;
  readonly json?: boolean;
}

const visionProfiles = ['paper-cv-168', 'paper-cv-192', 'fair-fp32', 'fair-int8'];
const translationProfiles = ['paper-nlp-aug', 'paper-nlp-pre', 'fair-fp32', 'fair-int8'];
const resolutions = [224, 256];

export function addPublishedCommand(hw: Command): void {
  hw.command('published')
    .description('Price the published ShiftAddNAS networks under several profiles, side by side.')
    .option('--translation', 'the translation networks instead of the vision networks at 224 and 256 px')
    .option('--profile <names|files>', 'cost profiles, names or files', list)
    .option('--json', 'print the figures as one JSON array')
    .addHelpText('after', examples('shiftaddnas hw published', 'shiftaddnas hw published --translation'))
    .action((flags: PublishedFlags) => runPublished(flags));
}

function runPublished({ profile, translation, json }: PublishedFlags): void {
  const profiles = (profile ?? (translation ? translationProfiles : visionProfiles)).map(loadProfile);
  const priced = [...(translation ? translationLists() : visionLists())].map(([name, layers]) => ({
    name,
    costs: profiles.map((each) => estimate(layers, each)),
  }));
  if (json)
    return console.log(
      JSON.stringify(
        priced.map(({ name, costs }) => ({
          name,
          costs: costs.map(({ profile: of, energyMj, latencyMs, operations, byLevel, byOperand }) => ({
            ...{ profile: of, energyMj, latencyMs, operations, byLevel, byOperand },
          })),
        })),
      ),
    );
  const names = profiles.map((each) => each.name);
  const table = (unit: string, of: (cost: NetworkCost) => number): string =>
    textTable(
      ['network', ...names.map((each) => `${unit}\n${each}`)],
      priced.map(({ name, costs }) => [name, ...costs.map((cost) => significant(of(cost)))]),
    );
  console.log(table('energy mJ', ({ energyMj }) => energyMj));
  console.log(table('latency ms', ({ latencyMs }) => latencyMs));
}

function visionLists(): ReadonlyMap<string, readonly LayerDescription[]> {
  return new Map(
    resolutions.flatMap((resolution) =>
      visionNetworks.map(
        ({ name, ...network }) =>
          [`${name}-${resolution}`, visionNetwork({ ...network, resolution })] as const,
      ),
    ),
  );
}

function translationLists(): ReadonlyMap<string, readonly LayerDescription[]> {
  return new Map(
    Object.entries(translationNetworks).map(
      ([name, network]) => [name, translationNetwork(network)] as const,
    ),
  );
}
