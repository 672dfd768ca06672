/**
 * @file Prices a table of layer shapes: CSV in, CSV with costs out.
 *
 * Columns are those of `golden/paper-cv-layers.csv`. Required are type (Conv, Add, Shift, FC, in any case), N, H, W, C (input),
 * R (kernel), M, E, F (output) and stride; `groups` and
 * `copies` are optional and 1 by default. `block` is optional too: in the
 * published translation tables it names the light branch (conv, add, shiftadd) that a row belongs to, whose kernel
 * is typed Conv and whose linears are typed Shift whatever they compute. The result always has all columns
 * of the golden table in its order, then any further columns of the input, then the profile's name. ONE profile
 * prices all rows: a row whose `PE_strictly_below` or `bits` column says otherwise is priced with that profile all
 * the same and listed in a notice, so that a mixed table never looks as if it had been priced row by row.
 */
import { FileError, UserError } from '../base/errors.js';
import { widestOperandBits } from './check-layer.js';
import { formatCsvLine, parseCsv } from './csv-text.js';
import { estimateLayer, type LayerCost, type NetworkCost } from './estimate.js';
import { LayerRole, Primitive, type LayerDescription, type OperandBits } from './layer.js';
import { arrayLimits, chargedBits } from './machine.js';
import { OperandWidths, type AcceleratorProfile } from './profile-schema.js';
import { loadProfile } from './profile.js';

/** Options of {@link estimateCsv}. */
export interface CsvOptions {
  /** A profile, the name of a built-in one, or the path of a profile file. */
  readonly profile: AcceleratorProfile | string;
  /** Operand widths by primitive for profiles that charge a layer's own; {@link fp32OperandBits} by default. */
  readonly operandBits?: (primitive: Primitive) => OperandBits;
}

/** One priced row and the line it stood on. */
export interface PricedRow {
  readonly line: number;
  readonly layer: LayerDescription;
  readonly cost: LayerCost;
}

/** Something worth saying about rows that were priced all the same. */
export interface CsvNotice {
  readonly message: string;
  readonly lines: readonly number[];
}

export interface CsvEstimate {
  /** The priced table; broken rows are left out. */
  readonly csv: string;
  readonly rows: readonly PricedRow[];
  /** Rows that could not be priced, by line number (the header is line 1). */
  readonly badRows: readonly { readonly line: number; readonly message: string }[];
  readonly notices: readonly CsvNotice[];
}

/** Of an index into a window of 3x3. */
const moveBits = 4;

/**
 * Widths of a network trained at 32 bit: the weights of shift layers are a sign and a 4-bit exponent, those of moves an
 * index.
 */
export function fp32OperandBits(primitive: Primitive): OperandBits {
  const weight = {
    [Primitive.Multiply]: 32,
    [Primitive.Shift]: 5,
    [Primitive.Add]: 32,
    [Primitive.Move]: moveBits,
  };
  return { weight: weight[primitive], activation: 32, partialSum: 32 };
}

const sizeColumns = {
  N: 'batch',
  H: 'inHeight',
  W: 'inWidth',
  C: 'inChannels',
  R: 'kernel',
  M: 'outChannels',
  E: 'outHeight',
  F: 'outWidth',
  stride: 'stride',
} as const;

const requiredColumns = ['type', ...Object.keys(sizeColumns)];

const primitiveOfType = {
  Conv: Primitive.Multiply,
  FC: Primitive.Multiply,
  Shift: Primitive.Shift,
  Add: Primitive.Add,
  Move: Primitive.Move,
} as const;

/** The light branches of the published translation tables: what their kernel and their linears compute. */
const primitivesOfBlock: Readonly<
  Record<string, { readonly kernel: Primitive; readonly linear: Primitive }>
> = {
  conv: { kernel: Primitive.Multiply, linear: Primitive.Multiply },
  add: { kernel: Primitive.Add, linear: Primitive.Multiply },
  shiftadd: { kernel: Primitive.Add, linear: Primitive.Shift },
};
const noBlock = ['', '-'];

const describingColumns = [
  ...['table', 'type', 'block'],
  ...Object.keys(sizeColumns),
  ...['bits', 'PE_strictly_below'],
] as const;

/** What the table says about a layer's cost, by column, in the golden table's order. */
export const costColumns: Readonly<Record<string, (cost: LayerCost) => number>> = {
  macs: (cost) => cost.operations,
  energy_mJ: (cost) => cost.energyMj,
  latency_ms: (cost) => cost.latencyMs,
  E_input: (cost) => cost.byOperand.inputMj,
  E_weight: (cost) => cost.byOperand.weightMj,
  E_output: (cost) => cost.byOperand.outputMj,
  comp: (cost) => cost.byLevel.computeMj,
  DRAM: (cost) => cost.byLevel.dramMj,
  GB: (cost) => cost.byLevel.globalBufferMj,
  NoC: (cost) => cost.byLevel.nocMj,
  RF: (cost) => cost.byLevel.registerFileMj,
  N0: (cost) => cost.tiling.N0,
  N3: (cost) => cost.tiling.N3,
  M0: (cost) => cost.tiling.M0,
  M1: (cost) => cost.tiling.M1,
  M2: (cost) => cost.tiling.M2,
  M3: (cost) => cost.tiling.M3,
  C0: (cost) => cost.tiling.C0,
  C1: (cost) => cost.tiling.C1,
  C2: (cost) => cost.tiling.C2,
  E1: (cost) => cost.tiling.E1,
  E3: (cost) => cost.tiling.E3,
};

/**
 * Prices every row of a CSV text (columns in the file comment).
 * @throws FileError when the header is missing or lacks a column or no row follows, and as {@link loadProfile} for the profile; a broken
 *   row is not thrown but listed in `badRows`.
 */
export function estimateCsv(text: string, options: CsvOptions): CsvEstimate {
  const profile = typeof options.profile === 'string' ? loadProfile(options.profile) : options.profile;
  const operandBits = options.operandBits ?? fp32OperandBits;
  const table = readLayerTable(text, operandBits);
  const extraColumns = table.header.filter(
    (column) =>
      !describingColumns.includes(column) && !Object.hasOwn(costColumns, column) && column !== 'profile',
  );

  const lines = [
    formatCsvLine([...describingColumns, ...Object.keys(costColumns), ...extraColumns, 'profile']),
  ];
  const rows: PricedRow[] = [];
  const badRows = [...table.badRows];
  for (const { line, cells, layer } of table.rows) {
    try {
      const cost = estimateLayer(layer, profile);
      rows.push({ line, layer, cost });
      lines.push(
        formatCsvLine([
          ...describingColumns.map((column) => cells.get(column) ?? ''),
          ...Object.values(costColumns).map((value) => Number(value(cost).toPrecision(10))),
          ...extraColumns.map((column) => cells.get(column) ?? ''),
          profile.name,
        ]),
      );
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      badRows.push({ line, message: error.message });
    }
  }
  return {
    csv: `${lines.join('\n')}\n`,
    rows,
    badRows: badRows.sort((a, b) => a.line - b.line),
    notices: contradictions(table.rows, rows, profile),
  };
}

const typeOfPrimitive = {
  [Primitive.Multiply]: 'Conv',
  [Primitive.Shift]: 'Shift',
  [Primitive.Add]: 'Add',
  [Primitive.Move]: 'Move',
} as const;

/**
 * Priced layers as CSV with the columns of the golden table, names, groups and copies; what {@link estimateCsv} reads.
 * @param costs of the same layers, under one profile or several
 * @param measured their latencies on a machine, for two columns more
 */
export function costsCsv(
  layers: readonly LayerDescription[],
  costs: readonly NetworkCost[],
  measured?: readonly { readonly latencyMs: number; readonly predicted: boolean }[],
): string {
  const header = ['name', 'type', ...Object.keys(sizeColumns), 'groups', 'copies'];
  const ofMachine = measured === undefined ? [] : ['machine_latency_ms', 'machine_latency_is'];
  const lines = [formatCsvLine([...header, ...Object.keys(costColumns), 'profile', ...ofMachine])];
  for (const { profile, layers: priced } of costs)
    layers.forEach((layer, at) => {
      const sizes = Object.values(sizeColumns).map((key) => layer[key]);
      const type =
        layer.fullyConnected && layer.primitive === Primitive.Multiply
          ? 'FC'
          : typeOfPrimitive[layer.primitive];
      lines.push(
        formatCsvLine([
          ...[layer.name, type, ...sizes, layer.groups, layer.copies ?? 1],
          ...Object.values(costColumns).map((value) => Number(value(priced[at]!).toPrecision(10))),
          profile,
          ...(measured === undefined
            ? []
            : [
                Number(measured[at]!.latencyMs.toPrecision(6)),
                measured[at]!.predicted ? 'predicted' : 'measured',
              ]),
        ]),
      );
    });
  return `${lines.join('\n')}\n`;
}

/** A row of a layer table as it was read: its cells by column and the layer they describe. */
export interface LayerTableRow {
  readonly line: number;
  readonly cells: ReadonlyMap<string, string>;
  readonly layer: LayerDescription;
}

/**
 * Reads the layers of a CSV text without pricing them.
 * @throws FileError when the header is missing, repeats a column or lacks a required one, or no row follows.
 */
export function readLayerTable(
  text: string,
  operandBits: (primitive: Primitive) => OperandBits = fp32OperandBits,
): {
  readonly header: readonly string[];
  readonly rows: readonly LayerTableRow[];
  readonly badRows: readonly { readonly line: number; readonly message: string }[];
} {
  const [first, ...records] = parseCsv(text);
  if (!first) throw new FileError('the CSV is empty; its first line must name the columns');
  if ('problem' in first) throw new FileError(`the CSV's header line is broken: ${first.problem}`);
  const separator = [
    [';', 'semicolons'],
    ['\t', 'tabs'],
  ].find(([character]) => first.cells.some((cell) => cell.includes(character!)));
  if (separator !== undefined && first.cells.length < requiredColumns.length)
    throw new FileError(
      `the CSV's columns are separated by ${separator[1]!}; save it with commas between them`,
    );
  const header = first.cells.map((cell) => cell.trim());
  const repeated = header.find((column, index) => header.indexOf(column) !== index);
  if (repeated !== undefined) throw new FileError(`the CSV names column '${repeated}' twice`);
  const missing = requiredColumns.filter((column) => !header.includes(column));
  if (missing.length > 0)
    throw new FileError(
      `the CSV lacks column${missing.length > 1 ? 's' : ''} ${missing.join(', ')}; it needs ${requiredColumns.join(', ')}`,
    );
  if (records.length === 0)
    throw new FileError('the CSV has a header and no rows; each further line must describe a layer');

  const rows: LayerTableRow[] = [];
  const badRows: { line: number; message: string }[] = [];
  for (const record of records) {
    try {
      if ('problem' in record) throw new FileError(record.problem);
      if (record.cells.length !== header.length)
        throw new FileError(`${record.cells.length} cells where the header has ${header.length}`);
      const cells = new Map(header.map((column, index) => [column, record.cells[index]!.trim()]));
      rows.push({ line: record.line, cells, layer: readLayer(cells, record.line, operandBits) });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      badRows.push({ line: record.line, message: error.message });
    }
  }
  return { header, rows, badRows };
}

function readLayer(
  cells: ReadonlyMap<string, string>,
  line: number,
  operandBits: (primitive: Primitive) => OperandBits,
): LayerDescription {
  const cell = cells.get('type')!;
  const types = Object.keys(primitiveOfType) as (keyof typeof primitiveOfType)[];
  const type = types.find((known) => known.toLowerCase() === cell.toLowerCase());
  if (type === undefined) throw new FileError(`type must be one of ${types.join(', ')}, got '${cell}'`);
  const { primitive, role } = kindOf(type, cells.get('block') ?? '');
  refuseWidth(cells.get('bits') ?? '');
  const size = (column: string): number => {
    const cell = cells.get(column) ?? '';
    if (!/^[0-9]+$/.test(cell) || Number(cell) < 1 || !Number.isSafeInteger(Number(cell)))
      throw new FileError(`${column} must be a positive integer, got '${cell}'`);
    return Number(cell);
  };
  const sizes = Object.fromEntries(
    Object.entries(sizeColumns).map(([column, key]) => [key, size(column)]),
  ) as Record<(typeof sizeColumns)[keyof typeof sizeColumns], number>;
  return {
    name: cells.get('name') || `${type} of line ${line}`,
    primitive,
    fullyConnected: type === 'FC',
    ...sizes,
    groups: cells.get('groups') ? size('groups') : 1,
    ...(cells.get('copies') && { copies: size('copies') }),
    ...(role !== undefined && { role }),
    operandBits: operandBits(primitive),
  };
}

/** The `bits` column is optional, and a cell of it may be empty. */
function refuseWidth(cell: string): void {
  if (cell !== '' && (!/^[0-9]+$/.test(cell) || Number(cell) < 1 || Number(cell) > widestOperandBits))
    throw new FileError(`bits must be an integer from 1 to ${widestOperandBits}, got '${cell}'`);
}

/** What a row computes and, in a light branch, where it stands. */
function kindOf(
  type: keyof typeof primitiveOfType,
  block: string,
): { readonly primitive: Primitive; readonly role?: LayerRole } {
  const light = Object.hasOwn(primitivesOfBlock, block) ? primitivesOfBlock[block] : undefined;
  if (light !== undefined && type === 'Conv') return { primitive: light.kernel, role: LayerRole.LightKernel };
  if (light !== undefined && type === 'Shift')
    return { primitive: light.linear, role: LayerRole.LightLinear };
  return { primitive: primitiveOfType[type] };
}

/** Notices on priced rows whose own word width or array size is not the profile's. */
function contradictions(
  tableRows: readonly LayerTableRow[],
  priced: readonly PricedRow[],
  profile: AcceleratorProfile,
): CsvNotice[] {
  const pricedLines = new Map(priced.map((row) => [row.line, row.layer]));
  const elements = arrayLimits(profile).maxProcessingElements;
  const linesBy = new Map<string, number[]>();
  for (const { line, cells } of tableRows) {
    const layer = pricedLines.get(line);
    if (!layer) continue;
    const below = cells.get('PE_strictly_below') ?? '';
    const bits = cells.get('bits') ?? '';
    const block = cells.get('block') ?? '';
    // The paper's shift layers move 10-bit words in its 32-bit tables: the column means the machine's words there.
    const width =
      profile.operandWidths === OperandWidths.Word
        ? profile.wordBits
        : chargedBits(profile, layer).activation;
    const found = [
      ...(below !== '' && Number(below) !== elements + 1
        ? [`PE_strictly_below says ${below}, priced with at most ${elements} processing elements`]
        : []),
      ...(bits !== '' && Number(bits) !== width ? [`bits says ${bits}, priced at ${width} bit`] : []),
      ...(noBlock.includes(block) || Object.hasOwn(primitivesOfBlock, block)
        ? []
        : [
            `block '${block}' is none of ${Object.keys(primitivesOfBlock).join(', ')}, -; priced by its type alone`,
          ]),
    ];
    for (const message of found) {
      const lines = linesBy.get(message) ?? [];
      lines.push(line);
      linesBy.set(message, lines);
    }
  }
  return [...linesBy].map(([message, lines]) => ({
    message: `${message} (profile '${profile.name}')`,
    lines,
  }));
}
