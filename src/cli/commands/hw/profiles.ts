/**
 * @file `shiftaddnas hw profiles` and `hw golden`: the machines, and the check of the published ones.
 */
import type { Command } from 'commander';
import {
  builtInProfileNames,
  compareWithGolden,
  loadProfile,
  profileQuantities,
  profileSummary,
  type ProfileQuantity,
} from '../../../hardware/index.js';
import { profileJsonSchema } from '../../../hardware/profile-schema.js';
import { profileAliases } from '../../../hardware/profile.js';
import { unitTable, unitTableNames } from '../../../hardware/units.js';
import { examples } from '../../options.js';

interface ProfilesFlags {
  readonly json?: boolean;
  readonly schema?: boolean;
}

export function addProfilesCommand(hw: Command): void {
  hw.command('profiles')
    .description('List the built-in cost profiles, or every quantity of one with its unit and source.')
    .argument('[name|file]', 'a profile, or a unit table')
    .option('--json', 'print the profiles as one JSON array')
    .option('--schema', 'print the JSON Schema of profile files instead')
    .addHelpText(
      'after',
      examples(
        'shiftaddnas hw profiles',
        'shiftaddnas hw profiles fair-int8',
        'shiftaddnas hw profiles horowitz-45nm',
        'shiftaddnas hw profiles --json > profiles.json',
      ),
    )
    .action((name: string | undefined, flags: ProfilesFlags) => runProfiles(name, flags));
}

function runProfiles(name: string | undefined, { json, schema }: ProfilesFlags): void {
  if (schema) return console.log(JSON.stringify(profileJsonSchema(), undefined, 2));
  const table = name === undefined ? undefined : unitTable(name);
  if (table !== undefined) {
    if (json) return console.log(JSON.stringify(table));
    const entries = Object.entries(table.entries).map(([key, entry]) => ({ key, ...entry }));
    return console.log([`${table.name}: ${table.description}`, ...entries.map(quantityLine)].join('\n'));
  }
  const profiles = (name === undefined ? builtInProfileNames : [name]).map(loadProfile);
  if (json) return console.log(JSON.stringify(profiles));
  const texts = profiles.map(profileSummary);
  if (name !== undefined)
    return console.log([texts[0]!, ...profileQuantities(profiles[0]!).map(quantityLine)].join('\n'));
  const aliases = Object.entries(profileAliases).map(([alias, of]) => `${alias} is another name of ${of}`);
  const tables = unitTableNames.map((each) => `unit table ${each}: ${unitTable(each)!.description}`);
  console.log([...texts, ...aliases, ...tables].join('\n\n'));
}

function quantityLine({ key, value, unit, source }: ProfileQuantity): string {
  return `  ${key}: ${value} ${unit} (${source})`;
}

export function addGoldenCommand(hw: Command): void {
  hw.command('golden')
    .description('Compare the paper profiles with the published cost model, layer by layer.')
    .option('--json', 'print the comparison as one JSON object')
    .addHelpText('after', examples('shiftaddnas hw golden'))
    .action(({ json }: { readonly json?: boolean }) => {
      const golden = compareWithGolden();
      const { largestAt } = golden;
      const at = largestAt && ` (${largestAt.column} of ${largestAt.file}, line ${largestAt.line})`;
      console.log(
        json
          ? JSON.stringify(golden)
          : `${golden.matched} of ${golden.rows} published layers matched within ${golden.tolerance} relative, ` +
              `${golden.sameTiling} with the same tiling\nlargest deviation ${golden.largestDeviation.toExponential(2)}${at ?? ''}`,
      );
      if (golden.matched < golden.rows) process.exitCode = 1;
    });
}
