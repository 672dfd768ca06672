/**
 * @file `shiftaddnas hw area` and `--budget area=` through the real program, and the elements against the real layers.
 */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Random } from '../src/base/random.js';
import { elementShape, operandRange, shiftCode, sumsOf } from '../src/hardware/area/element.js';
import { rtlFolder } from '../src/hardware/area/synthesis.js';
import { Tool, toolVersion } from '../src/hardware/area/tools.js';
import { loadGateProfile } from '../src/hardware/area/profile.js';
import { Primitive, type ArithmeticPrimitive } from '../src/hardware/layer.js';
import { listFamilies } from '../src/operators/registry.js';
import { encodeOnnx } from '../src/nn/onnx/encode.js';
import { OnnxGraph } from '../src/nn/onnx/graph.js';
import { Tensor } from '../src/tensor/tensor.js';
import {
  readEvents,
  shiftaddnas,
  temporaryFolder,
  toyConfig,
  writeConfig,
  writeToyIdx,
  type RunOptions,
} from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);
const noTools = join(home, 'empty');
mkdirSync(noTools);
const version = toolVersion(Tool.Yosys);
const simulator = toolVersion(Tool.Iverilog);

const run = (args: readonly string[], options?: RunOptions): ReturnType<typeof shiftaddnas> =>
  shiftaddnas(['hw', 'area', ...args], options);

async function mistake(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(args, { env: { PATH: noTools } });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr.slice('error: '.length).trimEnd();
}

const layers = join(home, 'layers.csv');
writeFileSync(
  layers,
  [
    'name,type,N,H,W,C,R,M,E,F,stride',
    'stem,Conv,1,16,16,3,3,16,16,16,1',
    'one,Shift,1,16,16,16,3,16,16,16,1',
    'two,Add,1,16,16,16,3,32,8,8,2',
  ].join('\n'),
);

describe('hw area', () => {
  it('prints the stored counts without any tool', async () => {
    const { code, stdout, stderr } = await run([], { env: { PATH: noTools } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const profile = loadGateProfile();
    for (const { transistors } of profile.elements) expect(stdout).toMatch(new RegExp(`│ +${transistors} │`));
    expect(stdout).toContain(profile.tool);
    expect(stdout).toContain('glitch less than a multiplier has less with glitches than settled');
    expect(stdout).toMatch(/8 bit, 3-bit exponent +│ 3\.76 : 1\.68 : 1\.00 │ 3\.75 : 1\.41 : 1\.00/);
    expect(stdout).toMatch(/multiply 32 bit +│ +10022 │ +3632 │ +2\.89, 4\.05 │ +3\.2 │/);
    expect((await run(['--help'])).stdout).toContain('floating point is out of scope');
  });

  it('prints JSON and writes a table of the widths asked for', async () => {
    const csv = join(home, 'elements.csv');
    const { stdout } = await run(['--widths', '16,8', '--csv', csv, '--json']);
    const { elements, published } = JSON.parse(stdout) as {
      elements: readonly { bits: number; transistors: number; nand2: number; areaUm2: number }[];
      published: readonly { primitive: string; bits: number; areaUm2?: number }[];
    };
    expect(elements.map(({ bits }) => bits)).toEqual([8, 8, 8, 8, 8, 16, 16, 16, 16, 16]);
    for (const { transistors, nand2, areaUm2 } of elements) {
      expect(nand2).toBe(transistors / 4);
      expect(areaUm2 / nand2).toBeCloseTo(0.798, 4);
    }
    expect(published).toContainEqual(
      expect.objectContaining({ primitive: 'multiply', bits: 8, areaUm2: 419, energyPj: 0.3 }),
    );
    const [head, ...rows] = readFileSync(csv, 'utf8').trimEnd().split('\n');
    expect(head).toBe(
      'primitive,bits,exponentBits,sumBits,transistors,flipFlops,lut4,carryCells,switchedSettled,switchedUnitDelay,switchedClock,nand2,areaUm2,energySettledPj,energyGlitchesPj',
    );
    expect(rows).toHaveLength(10);
    expect(rows[0]).toMatch(/^multiply,8,,28,\d+,45,/);
  });

  it.skipIf(simulator === undefined)(
    'verifies the Verilog, clock by clock (skipped without iverilog)',
    async () => {
      const { code, stdout } = await run(['--verify', '--widths', '4', '--vectors', '100', '--seed', '5']);
      expect(code).toBe(0);
      expect(stdout).toMatch(/multiply 4 bit +│ +20 │ +8802 │ +8802 │/);
      expect(stdout).toMatch(/^(\d+) of \1 sums agree with exact integers \(.+, seed 5\)$/m);
      const json = await run(['--verify', '--widths', '2', '--vectors', '9', '--json']);
      const { results } = JSON.parse(json.stdout) as {
        results: readonly { pairs: number; agreed: number }[];
      };
      expect(results).toHaveLength(5);
      for (const { pairs, agreed } of results) expect(agreed).toBe(pairs);
    },
  );

  it.skipIf(simulator === undefined)(
    'exits with 1 when a circuit puts out something else (skipped without iverilog)',
    async () => {
      const rtl = join(home, 'rtl');
      cpSync(rtlFolder, rtl, { recursive: true });
      const file = join(rtl, 'pe_add.v');
      writeFileSync(file, readFileSync(file, 'utf8').replace('= x - w;', '= w - w;'));
      const { code, stdout, stderr } = await run([
        '--verify',
        '--rtl',
        rtl,
        '--widths',
        '2',
        '--vectors',
        '9',
      ]);
      expect(code).toBe(1);
      expect(stdout).toMatch(/add 2 bit +│ +14 │ +(\d+) │ +(?!\1)\d+ │/);
      expect(stderr).toMatch(/^add 2 bit: pair \d+ gives \d{4} instead of \d{4}\n$/);
      if (version === undefined) return;
      const measured = await run(['--measure', '--rtl', rtl, '--widths', '2']);
      expect(measured.code).toBe(2);
      expect(measured.stderr.trimEnd().split('\n').at(-1)).toMatch(
        /^error: .*pe_add\.v does not compute add \d bit: its gates put out \d+ instead of \d+; look into it with hw area --verify --rtl /,
      );
    },
  );

  it.skipIf(version === undefined)(
    'counts anew, for itself and for others (skipped without yosys)',
    async () => {
      const out = join(home, 'my gates.json');
      const { code, stdout, stderr } = await run(['--measure', '--widths', '3', '--out', out]);
      expect(code).toBe(0);
      expect(stderr.split('\n')[0]).toBe('1 of 10: multiply 3 bit');
      expect(stdout).toContain(`written to ${out}`);
      expect(stdout).not.toContain('multiply 8 bit');
      expect(loadGateProfile(out)).toMatchObject({ name: 'my-gates', tool: version });
      const again = await run(['--gates', out, '--widths', '3']);
      expect(again.stdout).toContain('shift 3 bit, 2-bit exponent');
      const table = await run(['--layers', layers, '--gates', out, '--bits', '3']);
      expect(table.stdout).toContain('add 3 bit');
    },
  );

  it('prints the array of a network', async () => {
    const { stdout } = await run(['--layers', layers, '--profile', 'fair-int8', '--json']);
    const { elements, areaMm2, parts, multipliersAloneMm2 } = JSON.parse(stdout) as {
      elements: number;
      areaMm2: number;
      multipliersAloneMm2: number;
      parts: readonly { elements: number; areaMm2: number }[];
    };
    expect(elements).toBe(168);
    expect(parts.reduce((sum, part) => sum + part.elements, 0)).toBe(168);
    expect(parts.reduce((sum, part) => sum + part.areaMm2, 0)).toBeCloseTo(areaMm2, 12);
    expect(multipliersAloneMm2).toBeGreaterThan(areaMm2);
    const text = await run(['--layers', layers]);
    expect(text.stdout).toMatch(/on the array of fair, elements of yosys-45nm:/);
    expect(text.stdout).toMatch(/area 0\.\d+ mm2, \d+\.\d % of \d\.\d+ mm2 with multipliers alone/);
  });

  it('prints the array of an ONNX file, and refuses one with a layer that has no price', async () => {
    const file = (name: string, opType: string): string => {
      const graph = new OnnxGraph(name);
      const x = graph.input('x', [1, 4, 'height', 'width']);
      const w = graph.initializer('w', [4, 4, 3, 3], new Float32Array(144).fill(0.3));
      graph.output(graph.node(opType, [x, w], {}, { name: 'layer' }));
      const path = join(home, `${name}.onnx`);
      writeFileSync(path, encodeOnnx(graph));
      return path;
    };
    const args = ['--bits', '8', '--profile', 'fair-int8', '--input', 'x=1x4x8x8'];
    const { code, stdout, stderr } = await run(['--onnx', file('conv', 'Conv'), ...args, '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { parts } = JSON.parse(stdout) as { parts: { operations: number; element: object }[] };
    expect(parts).toMatchObject([{ operations: 144 * 36, element: { primitive: 'multiply', bits: 8 } }]);
    const transposed = file('transposed', 'ConvTranspose');
    expect(await mistake('--onnx', transposed, ...args)).toBe(
      `${transposed}: not priced: ConvTranspose 'layer': no price for this operator`,
    );
  });

  it('gives its areas to hw chunks', async () => {
    const chunks = async (...flags: readonly string[]) => {
      const { stdout } = await shiftaddnas([
        ...['hw', 'chunks', '--layers', layers, '--bits', '8', '--area', '0.5', '--tries', '50', '--json'],
        ...flags,
      ]);
      return JSON.parse(stdout) as { chunks: readonly { elementAreaUm2: number }[] };
    };
    const [own, gates] = [await chunks(), await chunks('--gates', 'yosys-45nm')];
    const more = gates.chunks.map(({ elementAreaUm2 }, i) => elementAreaUm2 - own.chunks[i]!.elementAreaUm2);
    // The registers are the same; the machine's units have 419, 171 and 209 um2.
    const um2 = (transistors: number): number => (transistors / 4) * 0.798;
    [um2(4562) - 419, um2(2866) - 171, um2(1214) - 209].forEach((difference, i) =>
      expect(more[i]).toBeCloseTo(difference, 6),
    );
  });

  it('says in one line what is wrong', async () => {
    for (const [args, text] of [
      [
        ['--measure'],
        'yosys is not installed; install it (Debian and Ubuntu: apt-get install yosys), or leave --measure out',
      ],
      [['--verify'], 'iverilog is not installed; install it (Debian and Ubuntu: apt-get install iverilog)'],
      [['--measure', '--verify'], 'give --measure or --verify, not both'],
      [['--out', 'x.json'], '--out goes with --measure'],
      [['--measure', '--out', 'x.txt'], '--out x.txt: a gate profile is a .json file'],
      [['--vectors', '5'], '--vectors goes with --verify'],
      [['--seed', '5'], '--seed goes with --verify'],
      [['--rtl', '.'], '--rtl goes with --measure or --verify'],
      [['--verify', '--rtl', noTools], 'pe_multiply.v: no such file; the folder must hold pe_multiply.v'],
      [['--verify', '--vectors', '2000000'], '--vectors 2000000: give at most 1000000'],
      [['--verify', '--csv', 'x.csv'], '--csv does not go with --verify'],
      [['--gates', 'yosys-45nm', '--measure'], '--gates reads counts'],
      [['--gates', 'nowhere.json'], 'nowhere.json: no such gate profile file'],
      [['--gates', 'nangate'], "gate profile 'nangate' is not known"],
      [
        ['--widths', '6'],
        "gate profile 'yosys-45nm' has no elements of 6 bits; count them with hw area --measure --widths 6",
      ],
      [['--widths', 'fp32'], 'Give whole numbers of bits from 2 to 32'],
      [['--widths', '64'], 'Give whole numbers of bits from 2 to 32'],
      [['--profile', 'fair'], '--profile goes with --layers, --architecture or --onnx'],
      [['--layers', layers, '--widths', '8'], '--widths does not go with --layers, --architecture or --onnx'],
      [['--input', 'x=1x1'], '--input goes with --onnx FILE.onnx'],
      [['--layers', layers, '--input', 'x=1x1'], '--input goes with --onnx FILE.onnx'],
      [['--layers', layers, '--profile', 'fare'], "'fare'"],
      [
        ['--layers', layers, '--bits', '33'],
        "gate profile 'yosys-45nm' has no element that can multiply 33 bits",
      ],
      [
        ['--layers', layers, '--architecture', 'x'],
        'hw area needs one of --layers FILE.csv, --architecture PATH, --onnx FILE.onnx',
      ],
    ] as const)
      expect(await mistake(...args)).toContain(text);
    expect(await mistake('--csv', '/proc/none/x.csv')).toContain('/proc/none/x.csv: ');
    // Before anything is counted.
    const unwritable = await run(['--measure', '--out', '/proc/none/x.json']);
    expect(unwritable).toMatchObject({ code: 2, stdout: '' });
    expect(unwritable.stderr).toMatch(/^error: \/proc\/none\/x\.json: [^\n]+\n$/);
  });

  it('never writes over what it reads', async () => {
    const gates = join(home, 'own.json');
    const text = JSON.stringify({ ...loadGateProfile(), name: 'own' });
    writeFileSync(gates, text);
    expect(await mistake('--gates', gates, '--csv', join(home, '.', 'own.json'))).toContain(
      `would overwrite its input ${gates}; name another file`,
    );
    expect(readFileSync(gates, 'utf8')).toBe(text);
    const both = join(home, 'both.json');
    expect(await mistake('--measure', '--out', both, '--csv', both)).toBe(
      `--csv and --out both name ${both}; name two files`,
    );
  });
});

describe('an element', () => {
  /** One output of a 1x1 layer on integer inputs, by the layer of the family. */
  const layerOutput = (name: string, x: readonly bigint[], w: readonly number[]): number => {
    const family = listFamilies().find((each) => each.name === name)!;
    const geometry = { inChannels: x.length, outChannels: 1, kernel: 1, stride: 1, padding: 0, groups: 1 };
    const input = Tensor.view([1, 1, 1, x.length], Float32Array.from(x, Number));
    const weights = Tensor.persistent([1, 1, x.length, 1], w);
    return family.forward(input, weights, geometry).data[0]!;
  };
  const random = Random.stream('layers');
  const integers = (count: number): bigint[] => {
    const [least, greatest] = operandRange(8);
    return Array.from({ length: count }, () => least + BigInt(random.integer(Number(greatest - least) + 1)));
  };
  const last = (
    primitive: ArithmeticPrimitive,
    x: readonly bigint[],
    w: readonly bigint[],
    exponentBits?: number,
  ): number => {
    const pairs = x.map((value, i) => ({ first: i === 0, x: value, w: w[i]! }));
    return Number(sumsOf(elementShape(primitive, 8, exponentBits), pairs).at(-1)!);
  };

  it('makes the sums of the layers that compute with floating point', () => {
    for (const count of [1, 7, 64]) {
      const [x, w] = [integers(count), integers(count)];
      expect(last(Primitive.Multiply, x, w)).toBe(layerOutput('conv', x, w.map(Number)));
      expect(-last(Primitive.Add, x, w)).toBe(layerOutput('add', x, w.map(Number)));
      // Exponents of pot.q go from -15 to 0; those of the element count from the smallest.
      const codes = x.map(() => ({ negative: random.integer(2) === 1, exponent: random.integer(16) }));
      const sum = last(
        Primitive.Shift,
        x,
        codes.map(({ negative, exponent }) => shiftCode(4, negative, false, exponent)),
        4,
      );
      const powers = codes.map(({ negative, exponent }) => (negative ? -1 : 1) * 2 ** (exponent - 15));
      expect(sum / 2 ** 15).toBeCloseTo(layerOutput('pot.q', x, powers), 3);
    }
  });
});

describe('a budget on the area', () => {
  const runs = join(home, 'runs');
  const data = writeToyIdx(join(home, 'data'));
  const config = writeConfig(join(home, 'toy.yaml'), {
    ...toyConfig(data, runs),
    profile: 'fair-int8',
    reportProfiles: [],
  });

  it('is kept by every candidate, and stands in the result and the report', async () => {
    const { code, stdout } = await shiftaddnas([
      ...['search', '--config', config, '--name', 'area', '--quiet', '--budget', 'area=75%'],
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/budget area <= 0\.1147 mm2 under fair-int8/);
    expect(stdout).toContain('area mm2');
    const candidates = readEvents(join(runs, 'area')).flatMap((event) =>
      event.type === 'candidate' ? [event] : [],
    );
    expect(candidates.length).toBeGreaterThan(0);
    const all = 168 * (4562 / 4) * 0.798e-6;
    for (const { areaMm2 } of candidates) expect(areaMm2).toBeLessThanOrEqual(0.75 * all);
    expect(readFileSync(join(runs, 'area', 'report.html'), 'utf8')).toContain('area ≤ 0.115 mm²');
    // What the search measured is what hw area prints.
    const printed = await run([
      ...['--architecture', join(runs, 'area'), '--profile', 'fair-int8', '--json'],
    ]);
    const { areaMm2, multipliersAloneMm2 } = JSON.parse(printed.stdout) as Record<string, number>;
    expect(multipliersAloneMm2).toBeCloseTo(all, 12);
    expect(candidates.map((candidate) => candidate.areaMm2)).toContain(areaMm2);
  });

  it('that no network meets is refused with what comes nearest', async () => {
    const { code, stderr } = await shiftaddnas([
      ...['search', '--config', config, '--name', 'never', '--quiet', '--budget', 'area=0.01mm2'],
    ]);
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: no network .* the mini space meets area <= 0\.01 mm2; the nearest has .*area 0\.\d+ mm2, sram .* KiB, flash .* KiB: raise the budget to area=0\.\d+mm2/,
    );
    expect(existsSync(join(runs, 'never'))).toBe(false);
  });

  it('is malformed without a unit', async () => {
    const { code, stderr } = await shiftaddnas([
      ...['search', '--config', config, '--name', 'never', '--budget', 'area=3'],
    ]);
    expect(code).toBe(2);
    expect(stderr).toContain('area needs a unit (um2, mm2, %), for example area=0.1mm2 or area=50%');
  });
});
