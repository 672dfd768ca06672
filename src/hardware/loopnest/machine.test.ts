/**
 * @file Machine files: the built-in ones load, broken ones are refused by key, mappings survive their text form.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Stationary, withDataflow } from './dataflow.js';
import { builtInMachineNames, loadMachine, machineSummary, unitCount } from './machine.js';
import { mappingText, parseMapping } from './mapping.js';
import { toyMachine } from './toy.cases.js';

const folder = mkdtempSync(join(tmpdir(), 'machines-'));
afterAll(() => rmSync(folder, { recursive: true }));

function refusal(change: (machine: Record<string, unknown>) => void): string {
  const machine = JSON.parse(JSON.stringify(toyMachine())) as Record<string, unknown>;
  change(machine);
  const path = join(folder, 'mine.json');
  writeFileSync(path, JSON.stringify(machine));
  try {
    loadMachine(path);
  } catch (error) {
    return (error as Error).message.replace(`${path}: `, '');
  }
  return 'accepted';
}

type Level = { name: string; storage: Record<string, unknown>; fanout: Record<string, unknown> };
const levelsOf = (machine: Record<string, unknown>): Level[] => machine['levels'] as Level[];

describe('machine files', () => {
  it('load under their own name and say what they are', () => {
    for (const name of builtInMachineNames) {
      const machine = loadMachine(name);
      expect(machine.name).toBe(name);
      expect(Object.isFrozen(machine.levels[0])).toBe(true);
      expect(machineSummary(machine).split('\n').length).toBeGreaterThan(machine.levels.length);
    }
    expect(unitCount(loadMachine('eyeriss-chip'))).toBe(168);
    expect(unitCount(loadMachine('timeloop-simba-like'))).toBe(256);
  });

  it('are refused by key', () => {
    expect(refusal(() => undefined)).toBe('accepted');
    expect(refusal((machine) => (machine['colour'] = 'red'))).toBe(
      'machine key colour: not known here; remove or correct',
    );
    expect(refusal((machine) => (levelsOf(machine)[1]!.storage['wordBits'] = 0))).toMatch(
      /^machine key levels\.1\.storage\.wordBits: /,
    );
    expect(refusal((machine) => (levelsOf(machine)[0]!.storage['keeps'] = ['weights']))).toBe(
      'machine key levels.0.storage.keeps: the outermost level must keep weights, inputs, outputs',
    );
    expect(
      refusal((machine) => (levelsOf(machine)[0]!.storage['capacity'] = { words: 5, source: 'test' })),
    ).toBe('machine key levels.0.storage.capacity: the outermost level has no bound; leave it out');
    expect(refusal((machine) => (levelsOf(machine)[2]!.name = 'buffer'))).toBe(
      "machine key levels.2.name: 'buffer' is taken by another level",
    );
    expect(refusal((machine) => (levelsOf(machine)[1]!.fanout['x'] = 1_000_000))).toMatch(
      /^machine key levels\.1\.fanout: makes 2000000 instances/,
    );
    expect(
      refusal(
        (machine) => (machine['zeroGating'] = { levels: ['nowhere'], operation: true, source: 'test' }),
      ),
    ).toBe("machine key zeroGating.levels.0: no level is called 'nowhere'");
    expect(refusal((machine) => (machine['name'] = 'eyeriss-chip'))).toMatch(
      /'eyeriss-chip' is the name of a built-in machine; give yours another name$/,
    );
  });

  it('say so when they are not there', () => {
    expect(() => loadMachine(join(folder, 'none.yaml'))).toThrow(
      `${join(folder, 'none.yaml')}: no such machine file`,
    );
    expect(() => loadMachine('eyeris')).toThrow(
      "machine 'eyeris' is not known; give one of edge-row-stationary, ",
    );
  });
});

describe('dataflows', () => {
  it('refuse a machine without an array', () => {
    expect(() => withDataflow(toyMachine({ x: 1, y: 1 }), Stationary.Weight)).toThrow(
      "machine 'toy' has no fan-out, hence no weight-stationary dataflow",
    );
    expect(
      withDataflow(toyMachine(), Stationary.Free).levels.every(
        ({ dataflow }) => Object.keys(dataflow).length === 0,
      ),
    ).toBe(true);
  });
});

describe('mappings as text', () => {
  const machine = loadMachine('timeloop-eyeriss-like');

  it('read back as they were written', () => {
    const text = 'DRAM: P8 Q2 P2 | shared_glb: P14 Q4 | inter_PE_spatial: C3Y S3Y | psum_spad: M8';
    expect(mappingText(parseMapping(text, machine), machine)).toBe(text);
    expect(mappingText(parseMapping('DRAM: no loops', machine), machine)).toBe('DRAM: no loops');
  });

  it('are refused with the part that is not understood', () => {
    const complaint = (text: string): string => {
      try {
        parseMapping(text, machine);
      } catch (error) {
        return (error as Error).message;
      }
      return 'accepted';
    };
    expect(complaint('DRAM P8')).toBe("mapping part 'DRAM P8' must have the form LEVEL: LOOPS");
    expect(complaint('L2: P8')).toMatch(
      /^mapping names level 'L2'; machine 'timeloop-eyeriss-like' has DRAM, /,
    );
    expect(complaint('shared_glb: P8 | DRAM: Q2')).toMatch(
      /^mapping level 'DRAM' is out of order; outermost first: DRAM, /,
    );
    for (const loop of ['8P', 'K4', 'P0', 'P8Z'])
      expect(complaint(`DRAM: ${loop}`)).toMatch(
        new RegExp(`^mapping loop '${loop}' of level 'DRAM' must be one of NGMCPQRS`),
      );
  });
});
