/**
 * @file Machines for the loop-nest model: levels of storage and fan-out, units, clock, as data with sources.
 *
 * A machine is a JSON or YAML file. Its levels stand outermost first; each keeps some tensors, or fans out into
 * instances of the level below, or both. The first level keeps everything and has no bound (main memory). The
 * arithmetic stands under the last level. Energies are per access of one block of words, capacities in words.
 */
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { OptionError } from '../../base/errors.js';
import { readDataFile } from '../data-file.js';
import { arithmeticPrimitives } from '../layer.js';
import { mostPj, widestBits } from '../profile-schema.js';
import { Tensor, dimensions, tensors } from './problem.js';
import { HaloReuse, type Layout } from './traffic.js';

/** How wide the operands of a layer are taken to be. */
export enum OperandWidths {
  /** Every operand fills one word of each storage. */
  Word = 'word',
  /** An operand of b bits takes b / wordBits of a word: of its room, of its energy, of its time. */
  Layer = 'layer',
}

/** How a tile of a storage is exchanged for the next one. */
export enum Buffering {
  /** Word by word while the old one is still in use: no extra room, no waiting. */
  Rolling = 'rolling',
  /** The next tile is brought in beside the present one: twice the room, no waiting. */
  Double = 'double',
  /** The unit stands still while the tile is exchanged. */
  Single = 'single',
}

/** What becomes of the first partial sum of an output. */
export enum FirstUpdate {
  /** It is written. */
  Writes = 'writes',
  /** It is added to a value read, like every later one. */
  Accumulates = 'accumulates',
}

/** Which way words pass a port, seen from its storage. */
export enum Direction {
  /** Read to serve the levels below. */
  Read = 'read',
  /** Written, from above or from below. */
  Write = 'write',
  /** Read to be sent up. */
  Drain = 'drain',
}

const mostInstances = 1_000_000;
const mostWords = 2 ** 40;

const source = z.string().min(1);
const pj = z.number().nonnegative().max(mostPj);
const positive = z.number().positive().max(1e12);
const tensor = z.enum(Tensor);
const dimension = z.enum(dimensions);

const port = z.strictObject({
  tensors: z.array(tensor).min(1),
  directions: z.array(z.enum(Direction)).min(1),
  wordsPerCycle: positive,
  source,
});

const storage = z.strictObject({
  keeps: z.array(tensor).min(1),
  wordBits: z.int().positive().max(widestBits),
  /** Words that one access moves; counts are rounded up to whole blocks. */
  blockWords: z.int().positive().max(1_000_000).default(1),
  /** Absent: without bound. */
  capacity: z
    .strictObject({
      words: z.int().positive().max(mostWords),
      /** Words of one bank; a tensor takes whole banks. Absent: tensors share to the word. */
      bankWords: z.int().positive().max(mostWords).optional(),
      source,
    })
    .optional(),
  /** By tensor; `rolling` where nothing is said. */
  buffering: z.partialRecord(tensor, z.enum(Buffering)).default({}),
  firstUpdate: z.enum(FirstUpdate).default(FirstUpdate.Writes),
  /** Energy of one block read for the levels below, written from above, written from below, read to be sent up. */
  access: z.strictObject({
    readPj: pj,
    fillPj: pj,
    updatePj: pj,
    drainPj: pj,
    /** Of one instance that is in use, whatever it does. */
    leakPjPerCycle: pj.default(0),
    source,
  }),
  /** Absent: words pass without taking time. */
  ports: z.array(port).default([]),
  /** Of one instance. */
  areaUm2: z.strictObject({ value: z.number().nonnegative().max(1e12), source }).optional(),
});

/** What a search may do with the loops of a level; where nothing is said it may do anything. */
const levelDataflow = z.strictObject({
  /** Dimensions that may loop here in time. */
  temporal: z.array(dimension).optional(),
  /** Innermost loops of the level, outermost of them first. */
  innermost: z.array(dimension).optional(),
  /** Dimensions that must be complete at this level: no loop of theirs stands further out. */
  whole: z.array(dimension).optional(),
  spatialX: z.array(dimension).optional(),
  spatialY: z.array(dimension).optional(),
});

const level = z
  .strictObject({
    name: z
      .string()
      .max(60)
      .regex(
        /^[A-Za-z][\w.-]*$/,
        'must begin with a letter and consist of letters, digits, dots, dashes and underscores',
      ),
    storage: storage.optional(),
    /** Instances of the next level under one of this: columns x, rows y. */
    fanout: z
      .strictObject({
        x: z.int().positive().max(mostInstances),
        y: z.int().positive().max(mostInstances),
        source,
        /** Energy of one word of `wordBits` for each instance that it reaches or leaves. */
        network: z
          .strictObject({ pjPerWord: pj, wordBits: z.int().positive().max(widestBits), source })
          .optional(),
      })
      .optional(),
    dataflow: levelDataflow.default({}),
  })
  .refine(({ storage, fanout }) => storage !== undefined || fanout !== undefined, {
    path: ['storage'],
    message: 'a level needs a storage, a fanout, or both',
  });

const operation = z.strictObject({
  primitive: z.enum(arithmeticPrimitives),
  /** Widest operands the unit takes. */
  bits: z.int().positive().max(widestBits),
  pj,
  areaUm2: z.number().nonnegative().max(1e12).optional(),
  source,
});

/** The shape of a machine file. */
export const machineSchema = z
  .strictObject({
    schemaVersion: z.literal(1),
    name: z
      .string()
      .max(100)
      .regex(/^[\w.-]+$/, 'must consist of letters, digits, dots, dashes and underscores'),
    description: z.string().min(1),
    source,
    clockMhz: z.strictObject({ value: positive, source }),
    /** Power spent as long as the machine runs, whatever it does. */
    staticMw: z.strictObject({ value: z.number().nonnegative().max(mostPj), source }).optional(),
    operandWidths: z.enum(OperandWidths),
    haloReuse: z.enum(HaloReuse),
    arithmetic: z.strictObject({
      operations: z.array(operation).min(1),
      leakPjPerCycle: pj.default(0),
    }),
    /** What a zero input saves: the operation, and accesses of the arithmetic to these levels. */
    zeroGating: z.strictObject({ levels: z.array(z.string()), operation: z.boolean(), source }).optional(),
    levels: z.array(level).min(1).max(12),
  })
  .superRefine((machine, context) => {
    const refuse = (path: (string | number)[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    const names = machine.levels.map(({ name }) => name);
    names.forEach((name, index) => {
      if (names.indexOf(name) !== index)
        refuse(['levels', index, 'name'], `'${name}' is taken by another level`);
    });
    const top = machine.levels[0]!.storage;
    if (top === undefined || tensors.some((name) => !top.keeps.includes(name)))
      refuse(['levels', 0, 'storage', 'keeps'], `the outermost level must keep ${tensors.join(', ')}`);
    if (top?.capacity !== undefined)
      refuse(['levels', 0, 'storage', 'capacity'], 'the outermost level has no bound; leave it out');
    machine.zeroGating?.levels.forEach((name, index) => {
      if (!names.includes(name)) refuse(['zeroGating', 'levels', index], `no level is called '${name}'`);
    });
    let instances = 1;
    machine.levels.forEach(({ fanout }, index) => {
      instances *= (fanout?.x ?? 1) * (fanout?.y ?? 1);
      if (instances > mostInstances && fanout !== undefined)
        refuse(['levels', index, 'fanout'], `makes ${instances} instances; at most ${mostInstances}`);
    });
  });

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** One machine. Frozen when it comes from {@link loadMachine}. */
export type Machine = DeepReadonly<z.infer<typeof machineSchema>>;
export type MachineLevel = Machine['levels'][number];
export type Storage = NonNullable<MachineLevel['storage']>;
export type LevelDataflow = MachineLevel['dataflow'];

/** The machines that come with the package. */
export const builtInMachineNames = [
  'edge-row-stationary',
  'edge-weight-stationary',
  'edge-output-stationary',
  'eyeriss-chip',
  'eyeriss-isca16',
  'timeloop-eyeriss-like',
  'timeloop-simple-output-stationary',
  'timeloop-simple-weight-stationary',
  'timeloop-simba-like',
] as const;
export type BuiltInMachineName = (typeof builtInMachineNames)[number];

const builtIns = new Map<BuiltInMachineName, Machine>();

/**
 * A built-in machine by name, or a user's own from a path that ends in `.json`, `.yaml` or `.yml`.
 * @throws OptionError for an unknown name; FileError, naming the key, for a file that is missing or malformed.
 */
export function loadMachine(nameOrPath: string): Machine {
  const name = builtInMachineNames.find((known) => known === nameOrPath);
  if (name !== undefined) {
    let machine = builtIns.get(name);
    if (machine === undefined) {
      const path = fileURLToPath(new URL(`./machines/${name}.yaml`, import.meta.url));
      builtIns.set(name, (machine = readDataFile(path, machineSchema, 'machine')));
    }
    return machine;
  }
  if (!/\.(json|ya?ml)$/i.test(nameOrPath))
    throw new OptionError(
      `machine '${nameOrPath}' is not known; give one of ${builtInMachineNames.join(', ')}, or a .json or .yaml file`,
    );
  const machine = readDataFile(nameOrPath, machineSchema, 'machine');
  if (builtInMachineNames.some((known) => known === machine.name))
    throw new OptionError(
      `${nameOrPath}: '${machine.name}' is the name of a built-in machine; give yours another name`,
    );
  return machine;
}

/** The machine as the counting sees it. */
export function layoutOf(machine: Machine): Layout {
  return {
    levelCount: machine.levels.length,
    keepers: tensors.map((name) =>
      machine.levels.flatMap(({ storage }, index) => (storage?.keeps.includes(name) ? [index] : [])),
    ),
    haloReuse: machine.haloReuse,
  };
}

/** Arithmetic units: the product of all fan-outs. */
export function unitCount(machine: Machine): number {
  return machine.levels.reduce((product, { fanout }) => product * (fanout?.x ?? 1) * (fanout?.y ?? 1), 1);
}

/** A few lines for help texts: levels, capacities, fan-outs, clock. */
export function machineSummary(machine: Machine): string {
  const levels = machine.levels.map(({ name, storage, fanout }) => {
    const room =
      storage?.capacity === undefined
        ? 'without bound'
        : `${storage.capacity.words} words of ${storage.wordBits} bit`;
    const kept = storage === undefined ? '' : ` keeps ${storage.keeps.join(', ')} (${room})`;
    const below = fanout === undefined ? '' : `${kept === '' ? '' : ','} fans out ${fanout.x} x ${fanout.y}`;
    return `  ${name}:${kept}${below}`;
  });
  const units = machine.arithmetic.operations.map(
    ({ primitive, bits, pj }) => `${primitive} ${bits} bit ${pj} pJ`,
  );
  return [
    `${machine.name}: ${machine.description}`,
    ...levels,
    `  arithmetic: ${unitCount(machine)} units; ${units.join(', ')}; ${machine.clockMhz.value} MHz`,
    `  source: ${machine.source}`,
  ].join('\n');
}
