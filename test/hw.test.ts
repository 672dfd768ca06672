/**
 * @file `shiftaddnas hw` through the real program: paths that are folders or the input itself, and profiles of one's own.
 */
import { linkSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  builtInProfileNames,
  estimate,
  loadProfile,
  parseProxy,
  typicalLayers,
} from '../src/hardware/index.js';
import { encodeOnnx } from '../src/nn/onnx/encode.js';
import { OnnxGraph } from '../src/nn/onnx/graph.js';
import { shiftaddnas, temporaryFolder } from './support.js';

const { path: home, remove } = temporaryFolder();
afterAll(remove);

const text = 'type,N,H,W,C,R,M,E,F,stride\nConv,1,8,8,4,3,4,8,8,1\n';
const layers = join(home, 'layers.csv');
writeFileSync(layers, text);

const mistake = async (...args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await shiftaddnas(['hw', 'estimate', ...args]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  return stderr;
};

describe('hw estimate', () => {
  it('takes a folder with an architecture.json for the file in it', async () => {
    const folder = join(home, 'model');
    mkdirSync(folder);
    const map = { inHeight: 8, inWidth: 8, inChannels: 4, midChannels: 4, outChannels: 4, stride: 1 };
    const architecture = {
      format: 'shiftaddnas-architecture',
      version: 1,
      space: 'mini',
      genome: null,
      input: { height: 8, width: 8, channels: 1 },
      classes: 3,
      stem: { channels: 4, stride: 1 },
      blocks: [{ name: 'stage0.block0', stage: 0, kind: 'residual', family: 'add', ...map }],
    };
    const path = join(folder, 'architecture.json');
    writeFileSync(path, JSON.stringify(architecture));
    const [ofFile, ofFolder] = await Promise.all(
      [path, folder].map((given) => shiftaddnas(['hw', 'estimate', '--architecture', given, '--json'])),
    );
    expect(ofFile).toMatchObject({ code: 0, stderr: '' });
    expect((JSON.parse(ofFile!.stdout) as { layers: unknown[] }).layers).toHaveLength(4);
    expect(ofFolder).toEqual(ofFile);
    expect(await mistake('--architecture', home)).toContain(
      `${join(home, 'architecture.json')}: no such file`,
    );
  });

  it('says so when a path leads nowhere', async () => {
    expect(await mistake('--architecture', `${layers}/x`)).toContain(`${layers}/x: `);
    expect(await mistake('--layers', layers, '--csv', `${layers}/x.csv`)).toContain('cannot write here');
  });

  it('says so when the layers are a folder', async () => {
    expect(await mistake('--layers', home)).toContain(`${home}: a folder; give the CSV file`);
  });

  it('never writes over the table it reads, whatever the path', async () => {
    const linked = join(home, 'linked.csv');
    linkSync(layers, linked);
    const symbolic = join(home, 'symbolic.csv');
    symlinkSync(layers, symbolic);
    for (const out of [layers, join(home, '.', 'layers.csv'), linked, symbolic])
      expect(await mistake('--layers', layers, '--csv', out)).toContain('would overwrite its input');
    expect(readFileSync(layers, 'utf8')).toBe(text);
  });

  it('refuses profiles too large for the memory, and those under a built-in name', async () => {
    const profile = (name: string, change: object): string => {
      const path = join(home, name);
      writeFileSync(path, JSON.stringify({ ...loadProfile('fair'), name: 'mine', ...change }));
      return path;
    };
    const huge = profile('huge.json', { processingElements: { value: 1e9, unit: 'PE', source: 'a dream' } });
    expect(await mistake('--layers', layers, '--profile', huge)).toContain(
      'cost profile key processingElements.value: ',
    );
    const posing = profile('posing.json', { name: 'fair' });
    expect(await mistake('--layers', layers, '--profile', posing)).toContain("'fair' is a built-in profile");
    const largest = profile('largest.json', {
      processingElements: { value: 1e6, unit: 'PE', source: 'a dream' },
    });
    const priced = await shiftaddnas(['hw', 'estimate', '--layers', layers, '--profile', largest]);
    expect(priced).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('hw estimate of several profiles', () => {
  const run = (...args: readonly string[]): ReturnType<typeof shiftaddnas> =>
    shiftaddnas(['hw', 'estimate', ...args]);

  it('prints each split, the tiling and the totals side by side, and writes a table and a page', async () => {
    const csv = join(home, 'side.csv');
    const page = join(home, 'side.html');
    const profiles = ['--profile', 'fair,fair-int8'];
    const { code, stdout, stderr } = await run(layers, ...profiles, '--report', page);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const text of ['under fair:', 'under fair-int8:', 'memory mJ by operand', 'tiling', /N1\.1 M\d/])
      expect(stdout).toMatch(text);
    expect(readFileSync(page, 'utf8')).toContain('under profile fair-int8');
    expect((await run(layers, ...profiles, '--csv', csv)).code).toBe(0);
    const rows = readFileSync(csv, 'utf8').trim().split('\n');
    expect(rows).toHaveLength(3);
    expect(rows.slice(1).map((row) => row.split(',').at(-1))).toEqual(['fair', 'fair-int8']);
    const json = JSON.parse((await run(layers, ...profiles, '--json')).stdout) as {
      readonly profile: string;
      readonly byOperand: object;
      readonly rows: readonly { readonly tiling: object }[];
    }[];
    expect(json.map(({ profile }) => profile)).toEqual(['fair', 'fair-int8']);
    expect(json[0]!.byOperand).toHaveProperty('weightMj');
    expect(json[0]!.rows[0]!.tiling).toHaveProperty('M0');
  });

  it('prices the good rows of a table with broken ones, names those by line, and exits with 2', async () => {
    const broken = join(home, 'broken.csv');
    writeFileSync(broken, `${text}Pool,1,8,8,4,3,4,8,8,1\nConv,1,8,8,-4,3,4,8,8,1\n`);
    const { code, stdout, stderr } = await run(broken, '--profile', 'fair,fair-int8', '--json');
    expect(code).toBe(2);
    expect((JSON.parse(stdout) as { rows: unknown[] }[]).map(({ rows }) => rows.length)).toEqual([1, 1]);
    expect(stderr.split('\n').filter((line) => line.startsWith('error:'))).toEqual([
      `error: ${broken}:3: type must be one of Conv, FC, Shift, Add, Move, got 'Pool'`,
      `error: ${broken}:4: C must be a positive integer, got '-4'`,
    ]);
  });

  it('compares only rows that every profile prices', async () => {
    const wide = join(home, 'wide.csv');
    writeFileSync(wide, `${text}Conv,1,20,20,1,13,1,8,8,1\n`);
    const roomier = join(home, 'roomy.json');
    const fair = loadProfile('fair');
    const { inputRegisterFileWords } = fair;
    writeFileSync(
      roomier,
      JSON.stringify({
        ...fair,
        name: 'roomy',
        inputRegisterFileWords: { ...inputRegisterFileWords, value: 14 },
      }),
    );
    const profiles = ['--profile', `${roomier},fair`];
    const { code, stdout, stderr } = await run(wide, ...profiles);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: .*wide\.csv:3: .*does not fit profile 'fair'.*\n$/);
    expect(stdout).toContain('the 1 of 2 layers that every profile prices:');
    const [roomy, plain] = JSON.parse((await run(wide, ...profiles, '--json')).stdout) as {
      readonly energyMj: number;
      readonly rows: readonly unknown[];
      readonly comparable: { readonly lines: readonly number[]; readonly energyMj: number };
    }[];
    expect([roomy!.rows.length, plain!.rows.length]).toEqual([2, 1]);
    expect([roomy!.comparable.lines, plain!.comparable.lines]).toEqual([[2], [2]]);
    expect(plain!.comparable.energyMj).toBe(plain!.energyMj);
    expect(roomy!.comparable.energyMj).toBeLessThan(roomy!.energyMj);
  });

  it('shows control characters in names as what they are', async () => {
    const odd = join(home, 'odd.csv');
    writeFileSync(odd, text.replace('type,', 'name,type,').replace('\nConv', '\nre\u001b[31md,Conv'));
    const { stdout } = await run(odd);
    expect(stdout).toContain('re\ufffd[31md');
    expect(stdout).not.toContain('\u001b[31m');
  });

  it('takes the published words at 8 bit, and refuses widths that a profile does not know', async () => {
    const price = async (...args: readonly string[]): Promise<number> =>
      (JSON.parse((await run(layers, '--json', ...args)).stdout) as { energyMj: number }).energyMj;
    const paper = ['--profile', 'paper-cv-192'];
    expect(await price(...paper, '--word-bits', '8')).toBeLessThan((await price(...paper)) / 2);
    expect(await mistake(layers, '--word-bits', '8')).toContain("'fair' has no 8-bit words");
  });

  it('wants exactly one input', async () => {
    expect(await mistake()).toContain('needs one input');
    expect(await mistake(layers, '--layers', layers)).toContain('needs one input');
    expect(await mistake(layers, '--input', 'x=1x1')).toContain('--input goes with an ONNX file');
  });

  it('shares what it remembers with processes beside it, and says when that is damaged', async () => {
    const cache = join(home, 'cache');
    const env = { SHIFTADDNAS_CACHE: '', XDG_CACHE_HOME: cache };
    const beside = await Promise.all(
      [1, 2, 3, 4].map(() => shiftaddnas(['hw', 'estimate', layers, '--json'], { env })),
    );
    expect(new Set(beside.map(({ stdout, stderr }) => stdout + stderr)).size).toBe(1);
    const [file] = readdirSync(join(cache, 'shiftaddnas'));
    const path = join(cache, 'shiftaddnas', file!);
    expect(readFileSync(path).length).toBeGreaterThan(100);
    writeFileSync(path, 'x'.repeat(500));
    const { code, stdout, stderr } = await shiftaddnas(['hw', 'estimate', layers, '--json'], { env });
    expect({ code, stdout }).toEqual({ code: 0, stdout: beside[0]!.stdout });
    expect(stderr).toMatch(
      /^notice: .*prices-\d+-\w+\.bin: 2 of 2 remembered prices are damaged and left out\n$/,
    );
    const after = await shiftaddnas(['hw', 'estimate', layers, '--json'], { env });
    expect(after).toEqual(beside[0]);
  });
});

describe('hw estimate of an ONNX file', () => {
  const graph = new OnnxGraph('small');
  const x = graph.input('x', ['batch', 2, 'height', 'width']);
  const filter = (name: string, value: number): string =>
    graph.initializer(name, [4, 2, 3, 3], new Float32Array(72).fill(value));
  const first = graph.node('Conv', [x, filter('w1', 0.3)], {}, { name: 'multiplies' });
  graph.node('NonZero', [first], {}, { name: 'odd' });
  graph.node('Conv', [x, filter('w2', 0.25)], {}, { name: 'shifts' });
  graph.output(graph.node('Relu', [first], {}, { name: 'y' }));
  const path = join(home, 'small.onnx');
  writeFileSync(path, encodeOnnx(graph));

  it('prices its layers and lists the rest', async () => {
    const { code, stdout, stderr } = await shiftaddnas([
      ...['hw', 'estimate', path, '--input', 'x=1x2x9x9', '--json'],
    ]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      layers: [
        { name: 'multiplies', primitive: 'multiply', operations: 72 * 49 },
        { name: 'shifts', primitive: 'shift', operations: 72 * 49 },
      ],
      unpriced: [{ name: 'odd', opType: 'NonZero' }],
      free: { Relu: 1 },
    });
    expect(stderr).toContain("not priced: NonZero 'odd' (no price for this operator)");
    expect(stderr).toContain('free under every profile: 1 Relu');
  });

  it('asks for sizes that are open, and refuses what is no ONNX file', async () => {
    expect(await mistake(path)).toContain("input 'x' is [batch, 2, height, width]; give its size");
    expect(await mistake(path, '--input', 'z=1x2')).toContain('has no input of this name; it has x');
    expect(await mistake(path, '--input', 'x=1x0x2')).toContain('give NAME=SIZES');
    const garbage = join(home, 'garbage.onnx');
    writeFileSync(garbage, 'this is no model');
    expect(await mistake(garbage)).toContain(`${garbage}: `);
    expect(await mistake(join(home, 'none.onnx'))).toContain('no such file');
  });

  it('exits with 2 for layers without a price, which the totals say they lack', async () => {
    const graph = new OnnxGraph('partly');
    const x = graph.input('x', [1, 2, 9, 9]);
    const weights = (name: string, ...dims: number[]): string =>
      graph.initializer(name, dims, new Float32Array(dims.reduce((a, b) => a * b)).fill(0.3));
    graph.node('Conv', [x, weights('a', 4, 2, 1, 7)], {}, { name: 'flat' });
    graph.node('Conv', [x, weights('b', 4, 3, 3, 3)], {}, { name: 'misfit' });
    graph.node('ConvTranspose', [x, weights('c', 2, 4, 3, 3)], {}, { name: 'up' });
    graph.node('NonZero', [x], {}, { name: 'odd' });
    graph.output(graph.node('Conv', [x, weights('d', 4, 2, 3, 3)], {}, { name: 'priced' }));
    const file = join(home, 'partly.onnx');
    writeFileSync(file, encodeOnnx(graph));
    const { code, stdout, stderr } = await shiftaddnas(['hw', 'estimate', file]);
    expect(code).toBe(2);
    expect(stdout).toContain('total without 3 layers');
    expect(stderr.trimEnd().split('\n')).toEqual([
      `notice: ${file}: not priced: NonZero 'odd' (no price for this operator)`,
      `error: ${file}: not priced: Conv 'flat': a kernel of 1x7; only square ones are priced`,
      `error: ${file}: not priced: Conv 'misfit': an input of 1x2x9x9 does not go with weights of 4x3x3x3 in 1 group`,
      `error: ${file}: not priced: ConvTranspose 'up': no price for this operator`,
    ]);
    expect(await mistake(file, '--input', 'x=1x3x9x9')).toBe(
      "error: input 'x' is [1, 2, 9, 9] in the file, which 1x3x9x9 contradicts; give sizes only where the file leaves them open\n",
    );
  });

  it('names the layers that do not fit a profile, and prices the others', async () => {
    const large = new OnnxGraph('large');
    const input = large.input('x', [1, 1, 20, 20]);
    const weights = (name: string, size: number): string =>
      large.initializer(name, [1, 1, size, size], new Float32Array(size * size).fill(0.3));
    large.node('Conv', [input, weights('a', 13)], {}, { name: 'too-wide' });
    large.output(large.node('Conv', [input, weights('b', 3)], {}, { name: 'fits' }));
    const file = join(home, 'large.onnx');
    writeFileSync(file, encodeOnnx(large));
    const { code, stdout, stderr } = await shiftaddnas(['hw', 'estimate', file, '--json']);
    expect(code).toBe(2);
    expect((JSON.parse(stdout) as { layers: { name: string }[] }).layers.map(({ name }) => name)).toEqual([
      'fits',
    ]);
    expect(stderr).toMatch(
      /error: .*layer 'too-wide' does not fit profile 'fair'.*input register file words/,
    );
  });
});

describe('hw fit', () => {
  it('prints errors, and writes a proxy that the library reads', async () => {
    const out = join(home, 'proxy.json');
    const { code, stdout, stderr } = await shiftaddnas(['hw', 'fit', '--count', '480', '--out', out]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('multiply dense 3x3, 32/32/32 bit');
    const fair = loadProfile('fair');
    const proxy = parseProxy(JSON.parse(readFileSync(out, 'utf8')), out, fair);
    const [layer] = typicalLayers({ seed: 5, count: 1 });
    expect(proxy.energyMj(layer!) / estimate([layer!], fair).energyMj).toBeCloseTo(1, 0);
  });

  it('says so when the layers are too few', async () => {
    const { code, stderr } = await shiftaddnas(['hw', 'fit', '--layers', layers]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: 1 layers of class multiply dense 3x3.* are too few to fit/);
  });
});

describe('hw published and profiles', () => {
  it('puts the four networks at two sizes side by side', async () => {
    const { stdout } = await shiftaddnas(['hw', 'published', '--json']);
    const priced = JSON.parse(stdout) as { name: string; costs: { profile: string; energyMj: number }[] }[];
    expect(priced.map(({ name }) => name)).toHaveLength(8);
    const [first] = priced;
    expect(first!.name).toBe('T0_mix_v3-224');
    expect(first!.costs.map(({ profile }) => profile)).toEqual([
      ...['paper-cv-168', 'paper-cv-192', 'fair-fp32', 'fair-int8'],
    ]);
    expect(first!.costs[0]!.energyMj).toBeCloseTo(242.264, 3);
  });

  it('states every quantity of a profile with unit and source, and the schema of profile files', async () => {
    const { stdout } = await shiftaddnas(['hw', 'profiles', 'fair-int8']);
    expect(stdout).toMatch(
      /wordSizes\.8\.computePj\.multiply: 0\.2 pJ \(Horowitz, ISSCC 2014.*horowitz-45nm, multiply\.int8\)/,
    );
    expect((await shiftaddnas(['hw', 'profiles', 'horowitz-45nm'])).stdout).toContain(
      'area.multiply.int8: 282 um2',
    );
    const schema = JSON.parse((await shiftaddnas(['hw', 'profiles', '--schema'])).stdout) as object;
    expect(schema).toHaveProperty('properties.globalBufferWords');
  });
});

describe('help', () => {
  it.each(['hw', 'data'])('%s --help has examples', async (group) => {
    const { code, stdout } = await shiftaddnas([group, '--help']);
    expect(code).toBe(0);
    expect(stdout).toContain(`Examples:\n  $ shiftaddnas ${group} `);
  });

  it('hw profiles says what no profile prices', async () => {
    const { stdout } = await shiftaddnas(['hw', 'profiles']);
    const said = stdout.match(/not priced: batch norm, residual additions and pooling are free/g);
    expect(said).toHaveLength(builtInProfileNames.length);
  });
});
