import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileError, OptionError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { Mode } from '../../nn/module.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { normals, relativeError } from '../../tensor/float64.cases.js';
import { inScope } from '../../tensor/scope.js';
import { Tensor } from '../../tensor/tensor.js';
import { toySchedule } from '../../training/toy.cases.js';
import { onnxModel, saveModel } from '../models/model-files.js';
import { inputPlan } from './onnx-teacher-protocol.js';
import { openTechniques, requireTechniques, techniqueInputs } from './techniques.js';
import { techniquesSchema, type TechniqueSettings } from '../config/technique-settings.js';

const shape = { height: 16, width: 16, channels: 3 };
const classes = ['ant', 'bee', 'cat', 'dog'];
/** The teacher's own normalisation, and that of the data that it teaches on. */
const own = { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3] };
const seen = { mean: [0.45, 0.45, 0.4], std: [0.2, 0.3, 0.25] };
const data = { shape, statistics: seen, classes };
const schedule = { ...toySchedule, batchSize: 6 };

let folder: string;
let network: Network;
const at = (name: string): string => join(folder, name);

function networkFor(of: { readonly shape?: typeof shape; readonly classes?: number } = {}): Network {
  const space = createMiniSpace({
    input: of.shape ?? shape,
    classes: of.classes ?? 4,
    stemChannels: 8,
    stageChannels: [8],
    blocksPerStage: [1],
  });
  return new Network(space.architecture(uniformGenome(space, 'conv')), Random.stream('teachers'));
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-teachers-'));
  network = networkFor();
  const info = { dataset: 'd', classes, statistics: own, seed: 1 };
  saveModel(at('model'), network, info);
  saveModel(at('renamed'), network, { ...info, classes: ['ant', 'cat', 'bee', 'dog'] });
  writeFileSync(at('model.onnx'), onnxModel(network, info, {}));
  const plain = { mean: [0, 0, 0], std: [1, 1, 1] };
  writeFileSync(at('normalised.onnx'), onnxModel(network, { ...info, statistics: plain }, {}));
  writeFileSync(at('broken.onnx'), 'no model');
  for (const [name, other] of [
    ['small', { shape: { ...shape, height: 20, width: 20 } }],
    ['six', { classes: 6 }],
  ] as const) {
    const made = networkFor(other);
    const names = Array.from({ length: made.architecture.classes }, (_, i) => `c${i}`);
    saveModel(at(name), made, { ...info, classes: names });
    writeFileSync(at(`${name}.onnx`), onnxModel(made, { ...info, classes: names }, {}));
    made.dispose();
  }
});
afterAll(() => {
  network.dispose();
  rmSync(folder, { recursive: true, force: true });
});

const settings = (distill: object): TechniqueSettings =>
  techniquesSchema.parse({ distill: { labels: false, ...distill } });

/** The losses of logits that are zero but for one each: what they differ by is the teacher's probability of that class. */
function lossesUnder(distill: object, images: Float32Array): Float32Array {
  const techniques = openTechniques(settings(distill), { network, data, schedule, seed: 1 });
  const count = images.length / (16 * 16 * 3);
  const losses = new Float32Array(count * 4);
  const owned: { dispose(): void }[] = [];
  inScope({ add: (temporary) => owned.push(temporary) }, () => {
    const input = Tensor.view([count, 16, 16, 3], images);
    const none = (): Tensor => {
      throw new Error('labels');
    };
    for (let c = 0; c < 4; c++) {
      const logits = new Float32Array(count * 4);
      for (let n = 0; n < count; n++) {
        logits.fill(0);
        logits[n * 4 + c] = 1;
        const loss = techniques[0]!.loss!(none)(
          Tensor.view([count, 1, 1, 4], logits),
          { input, labels: new Int32Array(count) },
          0,
        );
        losses[n * 4 + c] = loss.data[0]!;
      }
    }
  });
  for (const each of owned) each.dispose();
  for (const technique of techniques) technique.dispose?.();
  return losses;
}

/** The same, from the network itself over images normalised as it knows them. */
function expected(images: Float32Array): Float64Array {
  const count = images.length / (16 * 16 * 3);
  const asOwn = images.map((v, i) => {
    const c = i % 3;
    return (v * seen.std[c]! + seen.mean[c]! - own.mean[c]!) / own.std[c]!;
  });
  const owned: { dispose(): void }[] = [];
  const logits = inScope({ add: (temporary) => owned.push(temporary) }, () =>
    network.forward(Tensor.view([count, 16, 16, 3], asOwn), Mode.Evaluation).data.slice(),
  );
  for (const each of owned) each.dispose();
  return Float64Array.from(logits, (_, i) => {
    const row = logits.subarray(4 * Math.floor(i / 4), 4 * Math.floor(i / 4) + 4);
    const total = row.reduce((sum, v) => sum + Math.exp(v), 0);
    const q = Math.exp(logits[i]!) / total;
    return (Math.log(3 + Math.E) + (count - 1) * Math.log(4) - q) / count;
  });
}

describe('teachers', () => {
  const images = normals(6 * 16 * 16 * 3, 'images');

  it.each(['model', 'model.onnx'])('%s sees the images under its own normalisation', (teacher) => {
    expect(relativeError(lossesUnder({ teacher: at(teacher) }, images), expected(images))).toBeLessThan(1e-5);
  });

  it('an ONNX file of another normalisation is told so', () => {
    const losses = lossesUnder({ teacher: at('normalised.onnx'), ...own }, images);
    expect(relativeError(losses, expected(images))).toBeLessThan(1e-5);
  });

  it('an ONNX teacher gives the same bits every time, whatever the batch before', () => {
    const first = lossesUnder({ teacher: at('model.onnx') }, images);
    expect(lossesUnder({ teacher: at('model.onnx') }, images)).toEqual(first);
  });

  it.each([
    ['small', /small: takes images of 20x20x3, those of the data are 16x16x3/],
    [
      'small.onnx',
      /small\.onnx: takes images \[batch, 3, 20, 20\], those of the data are 16x16 of 3 channel\(s\)/,
    ],
    ['six', /six: tells 6 classes apart, the data has 4/],
    ['six.onnx', /six\.onnx: tells 6 classes apart, the data has 4/],
    ['renamed', /renamed: class 1 is 'cat', that of the data 'bee'/],
    ['broken.onnx', /broken\.onnx: ONNX Runtime cannot run it \(/],
    ['nobody', /nobody.architecture\.json: no such file/],
  ])('%s is refused in one line', (name, message) => {
    const check = (): void => requireTechniques(settings({ teacher: at(name) }), data, schedule);
    expect(check).toThrow(FileError);
    expect(check).toThrow(message);
    try {
      check();
    } catch (error) {
      expect((error as Error).message).not.toContain('\n');
    }
  });

  it('a normalisation goes with ONNX files alone, one value a channel', () => {
    const check = (distill: object) => (): void => requireTechniques(settings(distill), data, schedule);
    expect(check({ teacher: at('model'), ...own })).toThrow(OptionError);
    expect(check({ teacher: at('model.onnx'), mean: [0], std: [1] })).toThrow(
      /'techniques\.distill\.mean': 1 value/,
    );
  });

  it('count by content for the identity of a job', () => {
    expect(techniqueInputs(undefined)).toEqual([]);
    expect(techniqueInputs(settings({ teacher: at('six') }))).not.toEqual(
      techniqueInputs(settings({ teacher: at('model') })),
    );
    expect(() => techniqueInputs(settings({ teacher: at('nobody') }))).toThrow(/nobody: no such teacher/);
  });
});

describe('inputPlan', () => {
  it('finds the layout by what fits, channels first where both do, and how many images go in at once', () => {
    const pixels = Float32Array.from({ length: 12 }, (_, i) => i);
    const small = { height: 1, width: 2, channels: 3 };
    const first = inputPlan('m', ['N', 3, 'h', 'w'], small);
    expect([first.batch, first.dims(2)]).toEqual([undefined, [2, 3, 1, 2]]);
    expect([...first.arranged(pixels, 2)]).toEqual([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    const last = inputPlan('m', [8, 1, 2, 3], small);
    expect([last.batch, last.dims(8), last.arranged(pixels, 2)]).toEqual([8, [8, 1, 2, 3], pixels]);
    expect(() => inputPlan('m', ['N', 6], small)).toThrow(FileError);
  });
});
