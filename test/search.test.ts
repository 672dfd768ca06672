/**
 * @file The main job through the real command: what a run leaves behind, and that it is a function of its seed.
 */
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadDataset } from '../src/data/load-dataset.js';
import { imageLength } from '../src/data/dataset.js';
import { Mode } from '../src/nn/module.js';
import { runOnnx } from '../src/nn/onnx/run-onnx.cases.js';
import { silentHost } from '../src/pipeline/run/host.js';
import { checkConfig, runConfigSchema } from '../src/pipeline/config/config.js';
import { loadModel } from '../src/pipeline/models/model-files.js';
import { prepareData } from '../src/pipeline/training/prepared-data.js';
import { subnetJudge, trainSupernet } from '../src/pipeline/search/supernet-phases.js';
import type { RunResult } from '../src/pipeline/run/result.js';
import { createMiniSpace, uniformGenome } from '../src/spaces/mini/space.js';
import { Tensor } from '../src/tensor/tensor.js';
import {
  comparable,
  readEvents,
  readResult,
  shiftaddnas,
  temporaryFolder,
  toyConfig,
  writeConfig,
  writeToyIdx,
  type Finished,
} from './support.js';

const { path: home, remove } = temporaryFolder();
const run = join(home, 'runs', 'first');
let data: string;
let config: string;
let finished: Finished;

beforeAll(async () => {
  data = writeToyIdx(join(home, 'data'));
  config = writeConfig(join(home, 'toy.yaml'), toyConfig(data, join(home, 'runs')));
  finished = await shiftaddnas(['search', '--config', config, '--name', 'first']);
});
afterAll(remove);

describe('a whole search', () => {
  it('ends well, with the story on stdout and nothing on stderr but notices', () => {
    expect(finished).toMatchObject({ code: 0 });
    expect(finished.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('notice:'))).toEqual(
      [],
    );
    for (const text of [
      'supernet',
      'generation 2/2',
      'retrain:conv-scaled',
      '100 %',
      'all-shift',
      'report.html',
    ])
      expect(finished.stdout).toContain(text);
  });

  it('leaves every file and no other', () => {
    expect(readdirSync(run).sort()).toEqual([
      'architecture.json',
      'checkpoints',
      'config.json',
      'events.jsonl',
      'model.onnx',
      'model.safetensors',
      'networks',
      'report.html',
      'result.json',
      'state.json',
    ]);
    expect(readdirSync(join(run, 'checkpoints'))).toEqual(['supernet.safetensors']);
  });

  it('writes result.json with all five networks', () => {
    const result = readResult(run);
    expect(result.format).toBe('shiftaddnas-result');
    expect(result.name).toBe('first');
    expect(result.networks.map(({ name }) => name)).toEqual([
      'hybrid',
      'all-conv',
      'all-shift',
      'all-add',
      'conv-scaled',
    ]);
    const profiles = ['fair', 'paper-cv-168', 'paper-cv-192'];
    for (const network of result.networks) {
      expect(network.testAccuracy).toBeGreaterThanOrEqual(0);
      expect(network.testAccuracy).toBeLessThanOrEqual(1);
      expect(Number.isInteger(Math.round(network.testAccuracy * 120 * 1e6) / 1e6)).toBe(true);
      for (const costs of [network.energyMj, network.latencyMs]) {
        expect(Object.keys(costs)).toEqual(profiles);
        for (const cost of Object.values(costs)) expect(cost).toBeGreaterThan(0);
      }
      expect(network.macs).toBeGreaterThan(0);
      expect(network.params).toBeGreaterThan(0);
      const limit = result.budget[0]!;
      expect(limit.quantity).toBe('energyMj');
      expect(network.withinBudget).toBe(network.energyMj['fair']! <= limit.limit);
    }
    const [hybrid, conv, , , scaled] = result.networks;
    expect(hybrid!.withinBudget).toBe(true);
    expect(result.budget[0]!.limit).toBeCloseTo(0.8 * conv!.energyMj['fair']!, 9);
    expect(scaled!.energyMj['fair']).toBeLessThanOrEqual(hybrid!.energyMj['fair']!);
    expect(result.dataset).toMatchObject({ trainImages: 280, searchValidationImages: 80, testImages: 120 });
    expect(result.search.generations).toBe(2);
    expect(result.machine.threads).toBeGreaterThan(0);
  });

  it('logs every phase and every candidate it judged', () => {
    const events = readEvents(run);
    const phases = events.filter((event) => event.type === 'phase' && event.state === 'finished');
    expect(phases.map((event) => event.type === 'phase' && event.phase)).toEqual([
      'supernet',
      'search',
      'control',
      ...['hybrid', 'all-conv', 'all-shift', 'all-add', 'conv-scaled'].map((name) => `retrain:${name}`),
    ]);
    const { limit } = readResult(run).budget[0]!;
    const candidates = events.filter((event) => event.type === 'candidate');
    expect(candidates).toHaveLength(readResult(run).search.evaluated);
    for (const candidate of candidates) expect(candidate.energyMj).toBeLessThanOrEqual(limit);
  });

  it('writes an ONNX model that gives our logits, and whose accuracy is the reported one', async () => {
    const { network, info } = loadModel(run);
    const dataset = await loadDataset(data);
    const { height, width, channels, test } = dataset;
    const count = test.labels.length;
    const pixels = Float32Array.from(test.images, (value) => value / 255);
    const { mean, std } = info.statistics;
    const normalised = pixels.map((value) => (value - mean[0]!) / std[0]!);
    const ours = network.forward(
      Tensor.view([count, height, width, channels], normalised),
      Mode.Evaluation,
    ).data;
    // One channel: NHWC and NCHW are the same bytes.
    expect(imageLength(dataset)).toBe(height * width);
    const outputs = await runOnnx(readFileSync(join(run, 'model.onnx')), {
      pixels: { dims: [count, channels, height, width], data: pixels },
    });
    const logits = outputs.get('logits')!;
    expect(logits.dims).toEqual([count, 4]);
    let largest = 0;
    logits.data.forEach((value, i) => (largest = Math.max(largest, Math.abs(value - ours[i]!))));
    expect(largest).toBeLessThan(1e-4 * Math.max(1, ...ours.map(Math.abs)));
    const correct = Array.from(test.labels).filter((label, i) => {
      const row = Array.from(logits.data.subarray(4 * i, 4 * i + 4));
      return row.indexOf(Math.max(...row)) === label;
    });
    expect(correct.length / count).toBeCloseTo(readResult(run).networks[0]!.testAccuracy, 6);
    network.dispose();
  });

  it('writes a report in one file', () => {
    const page = readFileSync(join(run, 'report.html'), 'utf8');
    expect(page).toContain('conv-scaled');
    expect(page).not.toMatch(/<(script|link|img)[^>]+(src|href)=["']?http/);
  });

  it('refuses the folder for another run, and leaves it as it is', async () => {
    const before = statSync(join(run, 'result.json')).mtimeMs;
    const again = await shiftaddnas(['search', '--config', config, '--name', 'first']);
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/^error: .*already holds files; go on with it by --resume [^\n]*\n$/);
    expect(statSync(join(run, 'result.json')).mtimeMs).toBe(before);
  });

  it('resumes a finished run to the same result', async () => {
    const before = comparable(run);
    const command = readResult(run).command;
    const again = await shiftaddnas(['search', '--resume', run, '--quiet']);
    expect(again).toMatchObject({ code: 0, stderr: finished.stderr });
    expect(comparable(run)).toEqual(before);
    expect(readResult(run).command).toBe(command);
  });

  it('is evaluated again to the same accuracy', async () => {
    for (const name of ['hybrid', 'all-add']) {
      const model = name === 'hybrid' ? run : join(run, 'networks', name);
      const evaluated = await shiftaddnas(['evaluate', model, '--data', data, '--json']);
      expect(evaluated.code).toBe(0);
      const expected = readResult(run).networks.find((network) => network.name === name)!;
      expect(JSON.parse(evaluated.stdout)).toMatchObject({
        accuracy: expected.testAccuracy,
        images: 120,
        energyMj: expected.energyMj,
        params: expected.params,
      });
    }
  });

  it('is priced again to the same energy by `hw estimate --architecture`', async () => {
    const priced = await shiftaddnas([
      'hw',
      'estimate',
      '--architecture',
      join(run, 'architecture.json'),
      '--json',
    ]);
    expect(priced.code).toBe(0);
    const { energyMj } = JSON.parse(priced.stdout) as { energyMj: number };
    expect(energyMj).toBeCloseTo(readResult(run).networks[0]!.energyMj['fair']!, 12);
  });
});

describe('the seed', () => {
  it.each(['1', '2'])(
    'gives the same run with %s threads, and --json prints the result alone',
    async (threads) => {
      const name = `threads-${threads}`;
      const again = await shiftaddnas(['search', '--config', config, '--name', name, '--json'], {
        env: { SHIFTADDNAS_THREADS: threads },
      });
      expect(again).toMatchObject({ code: 0, stderr: finished.stderr });
      const printed = JSON.parse(again.stdout) as RunResult;
      const folder = join(home, 'runs', name);
      expect(printed).toEqual(readResult(folder));
      expect(comparable(folder)).toEqual(comparable(run));
    },
  );

  it('gives another run when it is another', async () => {
    const again = await shiftaddnas([
      'search',
      '--config',
      config,
      '--name',
      'other',
      '--seed',
      '4',
      '--quiet',
    ]);
    expect(again.code).toBe(0);
    expect(readResult(join(home, 'runs', 'other')).seed).toBe(4);
    expect(comparable(join(home, 'runs', 'other'))).not.toEqual(comparable(run));
  });
});

describe('memory', () => {
  it('of recomputed blocks is saved at no other price than time: the same run', async () => {
    const lean = { ...toyConfig(data, join(home, 'runs')), recomputeBlocks: true };
    const path = writeConfig(join(home, 'lean.yaml'), lean);
    const { code } = await shiftaddnas(['search', '--config', path, '--name', 'lean', '--quiet']);
    expect(code).toBe(0);
    expect(comparable(join(home, 'runs', 'lean'))).toEqual(comparable(run));
  });
});

describe('flags', () => {
  it('win over the file, and name the folder by data set and time', async () => {
    const out = join(home, 'flags');
    const flags = [
      '--out',
      out,
      '--families',
      'conv,add',
      '--budget',
      'params=2k',
      '--profile',
      'paper-cv-168',
    ];
    const again = await shiftaddnas(['search', '--config', config, ...flags, '--json']);
    expect(again.code).toBe(0);
    const [folder, ...others] = readdirSync(out);
    expect(others).toEqual([]);
    expect(folder).toMatch(/^data-\d{8}-\d{6}$/);
    const result = readResult(join(out, folder!));
    expect(result.networks.map(({ name }) => name)).toEqual(['hybrid', 'all-conv', 'all-add', 'conv-scaled']);
    expect(result.budget).toEqual([{ quantity: 'params', limit: 2000 }]);
    expect(result.profile).toBe('paper-cv-168');
    expect(existsSync(join(out, folder!, 'model.onnx'))).toBe(true);
  });
});

describe('the test part', () => {
  it('is not opened before retraining, and nothing the judge is given leads to it', async () => {
    const resolved = checkConfig(runConfigSchema, toyConfig(data, join(home, 'runs')), 'toy');
    const prepared = await prepareData(resolved);
    const { test } = prepared.dataset;
    const reachable = new Set<unknown>();
    const walk = (value: unknown): void => {
      if (typeof value !== 'object' || value === null || reachable.has(value)) return;
      reachable.add(value);
      if (!ArrayBuffer.isView(value)) Object.values(value).forEach(walk);
      else reachable.add(value.buffer);
    };
    walk(prepared.learning);
    for (const hidden of [test, test.images, test.labels, test.images.buffer])
      expect(reachable.has(hidden)).toBe(false);
    expect(reachable.has(prepared.dataset.train.images)).toBe(true);
    const space = createMiniSpace({ ...resolved.space, input: prepared.shape, classes: 4 });
    const supernet = trainSupernet(
      resolved,
      space,
      prepared.learning,
      { everySeconds: 60, resumeFrom: undefined, save: () => undefined },
      silentHost,
    );
    const judge = subnetJudge(resolved, prepared.learning, supernet);
    expect(judge(uniformGenome(space, 'add'))).toBeGreaterThan(0);
    expect(prepared.splits.testAccesses).toEqual([]);
    supernet.dispose();
  });
});
