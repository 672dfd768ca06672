import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FileError, OptionError } from '../base/errors.js';
import { readLayerTable } from './csv.js';
import { estimateLayer } from './estimate.js';
import type { LayerDescription } from './layer.js';
import { builtInProfileNames, loadProfile, withWordBits } from './profile.js';
import { fitProxy, parseProxy, typicalLayers } from './proxy.js';
import { version3Stages, version4Stages, visionNetwork } from './published/vision.js';

const fair = loadProfile('fair');
const layers = typicalLayers({ seed: 1, count: 1200 });

describe('fitProxy', () => {
  it.each(builtInProfileNames)('comes within a tenth of the exact energy of most layers under %s', (name) => {
    const profile = loadProfile(name);
    const { file } = fitProxy(typicalLayers({ seed: 1, count: 2400 }), profile);
    expect(file.classes.length).toBeGreaterThanOrEqual(15);
    for (const { energyError, latencyError } of file.classes) {
      expect(energyError.median).toBeLessThan(0.08);
      expect(energyError.p90).toBeLessThan(0.15);
      expect(latencyError.median).toBeLessThan(0.5);
      expect(energyError.max).toBeGreaterThanOrEqual(energyError.p90);
    }
  });

  it('is within a tenth on every layer of the published networks, as four terms a class were found to be', () => {
    const text = readFileSync(new URL('./golden/paper-cv-layers.csv', import.meta.url), 'utf8');
    const profile = loadProfile('paper-cv-192');
    const published = [224, 256, 288]
      .flatMap((resolution) =>
        ([1, 2] as const).flatMap((lastStride) =>
          [version3Stages, version4Stages].flatMap((stages) =>
            visionNetwork({ resolution, lastStride, stages }),
          ),
        ),
      )
      .filter(({ kernel }) => kernel < 7);
    const proxy = fitProxy(published, profile);
    let worst = 0;
    for (const { layer } of readLayerTable(text).rows) {
      if (layer.kernel === 7) continue;
      const exact = estimateLayer(layer, profile).energyMj;
      worst = Math.max(worst, Math.abs(proxy.energyMj(layer) / exact - 1));
    }
    expect(worst).toBeLessThan(0.1);
  });

  it('finds again what is exactly linear: what the published model charges for 1x1 add layers', () => {
    const profile = loadProfile('paper-cv-168');
    const { file } = fitProxy(layers, profile);
    const add = file.classes.find(
      ({ primitive, shape, kernel }) => primitive === 'add' && shape === 'dense' && kernel === 1,
    )!;
    // Per operation 0.9 pJ, 7.4 for the input, 14.8 for the weight; per output twice 7.4 for the partial sums.
    expect(add.energyPj.operation).toBeCloseTo(0.9 + 7.4 + 14.8, 1);
    expect(add.energyPj.output).toBeCloseTo(14.8, 0);
    expect(add.energyError.max).toBeLessThan(1e-3);
  });

  it('states errors that hold on layers it has not seen', () => {
    const { file } = fitProxy(layers, fair);
    const proxy = fitProxy(layers, fair);
    const others = typicalLayers({ seed: 2, count: 480 });
    const errors = others
      .map((layer) => Math.abs(proxy.energyMj(layer) / estimateLayer(layer, fair).energyMj - 1))
      .sort((a, b) => a - b);
    const stated = file.classes.map(({ energyError }) => energyError.p90);
    const average = stated.reduce((sum, each) => sum + each, 0) / stated.length;
    expect(errors[Math.floor(0.9 * errors.length)]).toBeLessThan(2 * average);
  });

  it('counts groups and copies as the profile does', () => {
    const depthWise = layers.find(({ groups }) => groups > 1)!;
    const product = layers.find(({ fullyConnected }) => fullyConnected)!;
    for (const profile of [fair, loadProfile('paper-cv-168')]) {
      const proxy = fitProxy(layers, profile);
      const shared = fitProxy(layers, profile);
      const dense = { ...depthWise, groups: 1 };
      const [grouped, asDense] = [proxy.energyMj(depthWise), proxy.energyMj(dense)];
      if (profile === fair) expect(grouped).toBeLessThan(asDense / 2);
      else expect(grouped).toBe(asDense);
      expect(shared.energyMj({ ...product, copies: 4 })).toBeCloseTo(
        profile === fair
          ? 4 * shared.energyMj(product)
          : shared.energyMj({ ...product, batch: 4 * product.batch }),
        12,
      );
    }
  });

  it('asks for enough layers of each class, and leaves out those that do not fit', () => {
    expect(() => fitProxy(layers.slice(0, 48), fair)).toThrow(
      /2 layers of class multiply dense 1x1, 32\/32\/32 bit are too few/,
    );
    const misfit: LayerDescription = {
      ...layers[0]!,
      kernel: 13,
      stride: 1,
      inHeight: 64,
      outHeight: 64,
      inWidth: 64,
      outWidth: 64,
    };
    expect(fitProxy([...layers, misfit], fair).file).toEqual(fitProxy(layers, fair).file);
  });
});

describe('a proxy file', () => {
  const { file } = fitProxy(layers, fair);

  it('gives the same proxy back', () => {
    const read = parseProxy(JSON.parse(JSON.stringify(file)), 'proxy.json', fair);
    for (const layer of layers.slice(0, 50)) {
      expect(read.energyMj(layer)).toBe(fitProxy(layers, fair).energyMj(layer));
      expect(read.latencyMs(layer)).toBeGreaterThan(0);
    }
  });

  it('is refused when it is none, or another machine’s', () => {
    expect(() => parseProxy({ ...file, classes: 3 }, 'proxy.json', fair)).toThrow(FileError);
    expect(() => parseProxy({ ...file, version: 2 }, 'proxy.json', fair)).toThrow(
      /^proxy\.json: no cost proxy \(version: /,
    );
    expect(() => parseProxy(file, 'proxy.json', loadProfile('fair-int8'))).toThrow(OptionError);
    expect(() => parseProxy(file, 'proxy.json', withWordBits(loadProfile('paper-cv-168'), 8))).toThrow(
      /fitted to another machine \('fair'\)/,
    );
  });

  it('names the class of a layer that was not fitted', () => {
    const proxy = parseProxy(file, 'proxy.json', fair);
    const odd = { ...layers[0]!, name: 'patches', kernel: 16, inHeight: 32, outHeight: 2 };
    expect(() => proxy.energyMj(odd)).toThrow(/knows no layers like 'patches' \(multiply dense 16x16/);
    const narrow = { ...layers[0]!, operandBits: { weight: 4, activation: 8, partialSum: 32 } };
    expect(() => proxy.latencyMs(narrow)).toThrow(/4\/8\/32 bit\); fit it on such layers/);
  });
});
