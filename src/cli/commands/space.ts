/**
 * @file `shiftaddnas space`: what a search space holds, without any data or training.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { OptionError } from '../../base/errors.js';
import { checkWritable, writeFileAtomic } from '../../base/files.js';
import { Random } from '../../base/random.js';
import { loadProfile, type AcceleratorProfile } from '../../hardware/index.js';
import { familyNamed } from '../../operators/registry.js';
import { networkCost } from '../../pipeline/models/network-costs.js';
import { loadSpace, type SpaceImages } from '../../pipeline/config/space-files.js';
import { architectureSvg } from '../../report/architecture-svg.js';
import type { Architecture } from '../../spaces/architecture.js';
import type { Genome, SearchSpace } from '../../spaces/contract.js';
import { extremesOf } from '../../spaces/extremes.js';
import { nodeParameters, operationTotal, parameterCount, planLayers } from '../../spaces/layers.js';
import { namedSpaces } from '../../spaces/registry.js';
import { plannedParameters, supernetPlan } from '../../supernet/plan.js';
import { count, percent, significant } from '../format.js';
import { examples, wholeNumber } from '../options.js';
import { architecturePicture, textTable } from '../tables.js';
import { addSpacePublishedCommand } from './space-published.js';

interface SpaceFlags {
  readonly input?: SpaceImages['input'];
  readonly classes?: number;
  readonly profile: string;
  readonly json?: boolean;
}

interface GenomeFlags extends SpaceFlags {
  readonly genome?: Genome;
  readonly seed: number;
}

interface SampleFlags extends SpaceFlags {
  readonly seed: number;
  readonly count: number;
  readonly out?: string;
}

export function addSpaceCommands(program: Command): void {
  const space = program
    .command('space')
    .description('What a search space holds: its size, its choices, single networks of it.')
    .addHelpText(
      'after',
      `\nSpaces:\n${Object.entries(namedSpaces)
        .map(([name, { title }]) => `  ${name.padEnd(15)} ${title}`)
        .join(
          '\n',
        )}\n  ${'FILE'.padEnd(15)} one's own, .yaml or .json: examples/space.yaml; options of hytra: examples/hytra.yaml\n${examples(
        'shiftaddnas space info hytra-imagenet',
        'shiftaddnas space sample hytra-cifar --count 5 --seed 2 --out samples',
        'shiftaddnas space describe mini --genome 1,0,3,2,5,6',
        'shiftaddnas space draw examples/space.yaml --svg network.svg',
        'shiftaddnas space published',
      )}`,
    );
  addSpacePublishedCommand(space);
  const child = (name: string, description: string, ...lines: readonly string[]): Command =>
    space
      .command(name)
      .description(description)
      .argument('<name|file>', `${Object.keys(namedSpaces).join(', ')}, or a .yaml or .json file`)
      .option('--input <HxWxC>', 'images of another size, as in 160x160x3', imageSize)
      .option('--classes <number>', 'another number of classes', wholeNumber(2))
      .option('--profile <name|file>', 'cost profile of the energies', 'fair')
      .option('--json', 'print one JSON object')
      .addHelpText('after', examples(...lines));
  child(
    'info',
    'The size of a space, its positions, and its smallest and largest networks.',
    'shiftaddnas space info hytra-imagenet',
    'shiftaddnas space info hytra-imagenet --input 160x160x3 --json',
  ).action((name: string, flags: SpaceFlags) => runInfo(name, flags));
  child(
    'sample',
    'Draw networks, all equally likely.',
    'shiftaddnas space sample hytra-imagenet --count 10',
    'shiftaddnas space sample hytra-cifar --seed 7 --out network && shiftaddnas hw estimate network',
  )
    .option('--count <number>', 'how many', wholeNumber(1), 1)
    .option('--seed <number>', 'seed of all chance', wholeNumber(0), 1)
    .option('--out <folder>', 'write architecture.json there; of several, into folders 1, 2, ...')
    .action((name: string, flags: SampleFlags) => runSample(name, flags));
  const ofGenome = (command: Command): Command =>
    command
      .option('--genome <0,1,...>', 'one option for each position; drawn by --seed when left out', genomeText)
      .option('--seed <number>', 'seed of a genome that is not given', wholeNumber(0), 1);
  ofGenome(
    child(
      'describe',
      'One network layer by layer.',
      'shiftaddnas space describe mini --genome 1,0,3,2,5,6',
      'shiftaddnas space describe hytra-cifar --seed 3 --profile fair-int8',
    ),
  ).action((name: string, flags: GenomeFlags) => runDescribe(name, flags));
  ofGenome(
    child(
      'draw',
      'One network as a picture, on the terminal or as an SVG file.',
      'shiftaddnas space draw hytra-imagenet --seed 3',
      'shiftaddnas space draw mini --genome 1,0,3,2,5,6 --svg network.svg',
    ),
  )
    .option('--svg <file>', 'write the picture there')
    .action((name: string, flags: GenomeFlags & { readonly svg?: string }) => runDraw(name, flags));
}

/** For `160x160x3`. */
export function imageSize(text: string): SpaceImages['input'] {
  const [, height, width, channels] = /^([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,3})$/.exec(text) ?? [];
  if (channels === undefined) throw new InvalidArgumentError('Give HEIGHTxWIDTHxCHANNELS, as in 160x160x3.');
  return { height: Number(height), width: Number(width), channels: Number(channels) };
}

/** For `1,0,3`, whose values are for the space to judge. */
function genomeText(text: string): Genome {
  if (!/^\d+([ ,]+\d+)*$/.test(text.trim()))
    throw new InvalidArgumentError('Give whole numbers with commas between them, as in 1,0,3.');
  return text.trim().split(/[ ,]+/).map(Number);
}

function opened(name: string, { input, classes }: SpaceFlags): SearchSpace {
  return loadSpace(name, { ...(input && { input }), ...(classes !== undefined && { classes }) });
}

type Figures = Readonly<Record<'parameters' | 'operations' | 'energyMj', number>>;

function figuresOf(architecture: Architecture, profile: AcceleratorProfile): Figures {
  return {
    parameters: parameterCount(architecture),
    operations: operationTotal(architecture),
    energyMj: networkCost(architecture, profile).energyMj,
  };
}

function figuresText({ parameters, operations, energyMj }: Figures, profile: string): string {
  return `parameters ${count(parameters)}, operations ${count(operations)}, energy ${significant(energyMj)} mJ under ${profile}`;
}

/** Options of each position by their labels. */
function positionsOf(space: SearchSpace): readonly (readonly string[])[] {
  return space.optionCounts.map((options, position) =>
    Array.from({ length: options }, (_, option) => space.optionLabel(position, option)),
  );
}

function labelsOf(space: SearchSpace, genome: Genome): readonly string[] {
  return genome.map((option, position) => space.optionLabel(position, option));
}

/** What a supernet of the space would hold; nothing is allocated. */
function supernetOf(space: SearchSpace): {
  readonly candidates: number;
  readonly weights: number;
  readonly unshared: number;
} {
  const plan = supernetPlan(space);
  const { shared: weights, unshared } = plannedParameters(plan);
  return { candidates: plan.candidates, weights, unshared };
}

function runInfo(name: string, flags: SpaceFlags): void {
  const space = opened(name, flags);
  const profile = loadProfile(flags.profile);
  const positions = positionsOf(space);
  const { families } = space;
  const supernet = supernetOf(space);
  const extremes = extremesOf(space, (genome) => figuresOf(space.architecture(genome), profile));
  const { input, classes } = space.architecture(space.optionCounts.map(() => 0));
  if (flags.json)
    return console.log(
      JSON.stringify({
        ...{ name: space.name, identity: space.identity, input, classes, size: String(space.size) },
        ...{ positions, families, supernet, profile: profile.name, extremes },
        ...(space.options && { options: space.options }),
      }),
    );
  const named = families.map((family) => `${family} (${familyNamed(family).title})`);
  console.log(
    [
      `${space.name}: ${space.size.toLocaleString('en')} networks, images of ${input.height}x${input.width}x${input.channels}, ${classes} classes`,
      `families: ${named.join(', ')}`,
      ...(space.options === undefined ? [] : [`made with: ${optionsText(space.options)}`]),
      `supernet: ${supernet.candidates} candidates that networks can reach, ${count(supernet.weights)} values; ` +
        `${count(supernet.unshared)} if no family shared any (${percent(supernet.weights / supernet.unshared)})`,
      textTable(
        ['position', 'options', ''],
        positions.map((labels, at) => [String(at), String(labels.length), shortList(labels)]),
      ),
      textTable(
        [`under ${profile.name}`, 'least', 'most', 'least: genome', 'most: genome'],
        (
          [
            ['parameters', extremes.parameters, count],
            ['operations', extremes.operations, count],
            ['energy mJ', extremes.energyMj, significant],
          ] as const
        ).map(([title, { least, most }, text]) => [
          ...[title, text(least.cost), text(most.cost)],
          ...[least.genome.join(','), most.genome.join(',')],
        ]),
      ),
    ].join('\n'),
  );
}

/** `layers 8, stem (channels 16, kernel 3), stageChannels 32 64`; images and classes are said already. */
function optionsText(options: object): string {
  return Object.entries(options)
    .filter(([key]) => key !== 'input' && key !== 'classes')
    .map(([key, value]) => `${key} ${optionText(value)}`)
    .join(', ');
}

function optionText(value: unknown): string {
  if (Array.isArray(value))
    return value.map((each: unknown) => (Array.isArray(each) ? each.join('|') : String(each))).join(' ');
  return typeof value === 'object' && value !== null ? `(${optionsText(value)})` : String(value);
}

const shownLabels = 8;

function shortList(labels: readonly string[]): string {
  const more = labels.length - shownLabels;
  return [...labels.slice(0, shownLabels), ...(more > 0 ? [`and ${more} more`] : [])].join(', ');
}

function runSample(name: string, flags: SampleFlags): void {
  const space = opened(name, flags);
  const profile = loadProfile(flags.profile);
  const random = Random.stream(flags.seed, 'space sample');
  const sampled = Array.from({ length: flags.count }, () => {
    const genome = space.sample(random);
    const architecture = space.architecture(genome);
    return { genome, labels: labelsOf(space, genome), ...figuresOf(architecture, profile), architecture };
  });
  if (flags.out !== undefined) writeArchitectures(flags.out, sampled);
  if (flags.json)
    return console.log(
      JSON.stringify({ name: space.name, seed: flags.seed, profile: profile.name, networks: sampled }),
    );
  for (const { genome, labels, ...figures } of sampled)
    console.log(`${genome.join(',')}\n  ${labels.join(' ')}\n  ${figuresText(figures, profile.name)}`);
}

function writeArchitectures(out: string, sampled: readonly { readonly architecture: Architecture }[]): void {
  const folders = sampled.map((_, at) => (sampled.length === 1 ? out : join(out, String(at + 1))));
  const files = folders.map((folder) => join(folder, 'architecture.json'));
  const taken = files.find((file) => existsSync(file));
  if (taken !== undefined) throw new OptionError(`${taken} is there already; name another folder with --out`);
  files.forEach((file, at) => {
    checkWritable(file);
    writeFileAtomic(file, `${JSON.stringify(sampled[at]!.architecture, undefined, 2)}\n`);
  });
}

function chosen(space: SearchSpace, { genome, seed }: GenomeFlags): Architecture {
  return space.architecture(genome ?? space.sample(Random.stream(seed, 'space sample')));
}

function runDescribe(name: string, flags: GenomeFlags): void {
  const space = opened(name, flags);
  const profile = loadProfile(flags.profile);
  const architecture = chosen(space, flags);
  const genome = architecture.genome!;
  const cost = networkCost(architecture, profile);
  const layers = planLayers(architecture).map((layer) => {
    // What a family makes of a layer has the layer's name before its own.
    const parts = cost.layers.filter(
      (part) => part.name === layer.name || part.name.startsWith(`${layer.name}.`),
    );
    const { inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, kernel, stride, groups } = layer;
    return {
      ...{ name: layer.name, family: layer.family, inHeight, inWidth, inChannels },
      ...{ outHeight, outWidth, outChannels, kernel, stride, groups },
      parameters: nodeParameters(layer),
      operations: parts.reduce((sum, { operations }) => sum + operations, 0),
      energyMj: parts.reduce((sum, { energyMj }) => sum + energyMj, 0),
    };
  });
  const total = figuresOf(architecture, profile);
  if (flags.json)
    return console.log(
      JSON.stringify({
        ...{ name: space.name, genome, labels: labelsOf(space, genome), profile: profile.name },
        ...{ total, layers },
      }),
    );
  console.log(
    [
      `${space.name} ${genome.join(',')}: ${labelsOf(space, genome).join(' ')}`,
      textTable(
        ['layer', 'family', 'map', 'channels', 'kernel', 'groups', 'parameters', 'operations', 'energy mJ'],
        layers.map((layer) => [
          ...[layer.name, layer.family, `${layer.inHeight}x${layer.inWidth}`],
          `${layer.inChannels} > ${layer.outChannels}`,
          `${layer.kernel}${layer.stride === 1 ? '' : ` /${layer.stride}`}`,
          ...[String(layer.groups), count(layer.parameters), count(layer.operations)],
          significant(layer.energyMj),
        ]),
      ),
      `in all, with norms and the products of attentions: ${figuresText(total, profile.name)}`,
    ].join('\n'),
  );
}

function runDraw(name: string, flags: GenomeFlags & { readonly svg?: string }): void {
  const space = opened(name, flags);
  const architecture = chosen(space, flags);
  const figures = figuresOf(architecture, loadProfile(flags.profile));
  const svg = architectureSvg(architecture);
  if (flags.svg !== undefined) {
    checkWritable(flags.svg);
    writeFileAtomic(flags.svg, svg);
  }
  if (flags.json)
    return console.log(
      JSON.stringify({ name: space.name, genome: architecture.genome, ...figures, architecture, svg }),
    );
  console.log(
    flags.svg === undefined
      ? `${architecturePicture(architecture)}\n${figuresText(figures, flags.profile)}`
      : `${flags.svg}: genome ${architecture.genome!.join(',')}`,
  );
}
