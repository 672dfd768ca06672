/**
 * @file Counting the gates of a processing element with yosys (Wolf, https://yosyshq.net/yosys).
 *
 * Two technologies: static CMOS gates (NOT, NAND, NOR, XOR, XNOR, AND-OR-inverters, multiplexers, chosen by abc for
 * least cost, and plain D flip-flops), counted in transistors as yosys does; and four-input lookup tables with
 * carry chains (iCE40). No placement, no wires, no clock tree, no drive strengths.
 */
import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FileError } from '../../base/errors.js';
import { packageRoot } from '../../base/modules.js';
import type { Primitive } from '../layer.js';
import type { ElementShape } from './element.js';
import { inTemporaryFolder, runTool, Tool } from './tools.js';

/** Where the Verilog of the elements stands. */
export const rtlFolder = join(packageRoot, 'hardware', 'rtl');

/** Name of the element's module, which is that of its file without `.v`. */
export function moduleOf({ primitive }: { readonly primitive: Primitive }): string {
  return `pe_${primitive}`;
}

/** The Verilog file of an element: ours, or that of the same name in another folder. @throws FileError when it is missing */
export function rtlFile(shape: ElementShape, folder: string = rtlFolder): string {
  const path = join(folder, `${moduleOf(shape)}.v`);
  if (!existsSync(path))
    throw new FileError(`${path}: no such file; the folder must hold pe_multiply.v, pe_shift.v and pe_add.v`);
  return path;
}

/** The values of the module's parameters. */
export function parametersOf({
  bits,
  exponentBits,
  sumBits,
}: ElementShape): Readonly<Record<string, number>> {
  return {
    WIDTH: bits,
    ...(exponentBits === undefined ? {} : { EXPONENT_WIDTH: exponentBits }),
    SUM_WIDTH: sumBits,
  };
}

/** Yosys commands after the element is read, up to gates; `TOP` stands for the module. */
export const gateScript =
  'synth -flatten -top TOP; dfflegalize -cell $_DFF_P_ x; abc -g cmos; opt_clean -purge';
/** Yosys commands after the element is read, up to lookup tables. */
export const lutScript = 'synth_ice40 -top TOP';

/**
 * Runs one of the scripts on an element and returns the netlist, as `write_json` writes it.
 * @param rtl folder of the Verilog, ours when absent @throws ToolError, FileError
 */
export function synthesise(shape: ElementShape, script: string, rtl?: string): string {
  const file = rtlFile(shape, rtl);
  return inTemporaryFolder((folder) => {
    const top = moduleOf(shape);
    // Under a name of its own, because a path may hold what a script of yosys gives a meaning.
    copyFileSync(file, join(folder, 'element.v'));
    const values = Object.entries(parametersOf(shape)).map(([name, value]) => `-set ${name} ${value}`);
    const commands = `read_verilog element.v; chparam ${values.join(' ')} ${top}; ${script.replaceAll('TOP', top)}; write_json netlist.json`;
    runTool(Tool.Yosys, ['-q', '-p', commands], folder);
    return readFileSync(join(folder, 'netlist.json'), 'utf8');
  });
}
