import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileError } from '../../base/errors.js';
import { Random } from '../../base/random.js';
import { convertNetwork, defaultKept } from '../../conversion/convert.js';
import { parseMethod } from '../../conversion/methods.js';
import { createMiniSpace, uniformGenome } from '../../spaces/mini/space.js';
import { Network } from '../../spaces/network.js';
import { Mode } from '../../nn/module.js';
import { Tensor } from '../../tensor/tensor.js';
import {
  conversionFile,
  packBits,
  readConversion,
  saveConversion,
  unpackBits,
  type Conversion,
} from './conversion-files.js';
import { loadModel, saveModel, type ModelInfo } from './model-files.js';

const space = createMiniSpace({
  input: { height: 16, width: 16, channels: 1 },
  classes: 3,
  stemChannels: 4,
  stageChannels: [4, 6],
  blocksPerStage: [1, 1],
});
const info: ModelInfo = {
  dataset: 'toy',
  classes: ['a', 'b', 'c'],
  statistics: { mean: [0.5], std: [0.2] },
  seed: 1,
};
const pixels = (() => {
  const random = Random.stream('pixels');
  return Float32Array.from({ length: 4 * 16 * 16 }, () => random.normal());
})();

function logitsOf(network: Network): Float32Array {
  const logits = network.forward(Tensor.view([4, 16, 16, 1], pixels), Mode.Evaluation);
  const copy = logits.data.slice();
  logits.dispose();
  return copy;
}

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'shiftaddnas-conversion-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A converted network in `folder`. */
function saved(family: string, name: string): { readonly network: Network; readonly conversion: Conversion } {
  const network = new Network(space.architecture(uniformGenome(space, family)), Random.stream(family));
  const kept = defaultKept(network);
  const layers = convertNetwork(network, parseMethod(name), kept, () => void logitsOf(network));
  const conversion = { method: name, kept, calibrationImages: 4, layers };
  saveModel(folder, network, info);
  saveConversion(folder, conversion);
  return { network, conversion };
}

describe('conversion.json', () => {
  it.each([
    ['conv', 'pot'],
    ['conv', 'apot3+optq'],
    ['conv', 'bcq3+group16'],
    ['conv', 'bcq2+scale0'],
    ['conv', 'int8'],
    ['conv', 'int4+pow2'],
    ['add', 'add.int8'],
    ['add', 'add.int4+clamp+pow2'],
    ['add', 'add.int6+groups2'],
  ])('brings a %s network of %s back: records and logits to the bit', (family, name) => {
    const { network, conversion } = saved(family, name);
    const loaded = loadModel(folder);
    expect(loaded.conversion).toEqual(conversion);
    expect(logitsOf(loaded.network)).toEqual(logitsOf(network));
    network.dispose();
    loaded.network.dispose();
  });

  it('packs codes at their own width', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.uint8Array({ maxLength: 50 }), (bits, bytes) => {
        const codes = bytes.map((byte) => byte & (2 ** bits - 1));
        const packed = packBits(codes, bits);
        expect(Buffer.from(packed, 'base64')).toHaveLength(Math.ceil((codes.length * bits) / 8));
        expect(unpackBits(packed, bits, codes.length)).toEqual(codes);
      }),
    );
    expect(packBits([-1, -128, 127], 8)).toBe(Buffer.from([255, 128, 127]).toString('base64'));
    expect(unpackBits('AA==', 8, 2)).toBeUndefined();
  });

  it('a folder without one was not converted', () => {
    expect(readConversion(folder)).toBeUndefined();
  });

  describe('names what is wrong', () => {
    type Json = { layers: Record<string, unknown>[] } & Record<string, unknown>;
    const refused = (change: (json: Json) => void, message: RegExp): void => {
      saved('add', 'add.int8+clamp').network.dispose();
      const path = join(folder, conversionFile);
      const json = JSON.parse(readFileSync(path, 'utf8')) as Json;
      change(json);
      writeFileSync(path, JSON.stringify(json));
      expect(() => loadModel(folder)).toThrow(FileError);
      expect(() => loadModel(folder)).toThrow(message);
    };
    it('another version', () => refused((json) => (json['version'] = 2), /version/));
    it('a missing layer', () =>
      refused((json) => (json.layers[0]!['name'] = 'elsewhere'), /no layer 'elsewhere'/));
    it('too few codes', () =>
      refused(
        (json) => (json.layers[0]!['codes'] = { bits: 8, base64: 'AAAA' }),
        /its codes are not \d+ of 8 bits/,
      ));
    it('a second scale for one operand', () =>
      refused((json) => (json.layers[0]!['weightScale'] = 0.5), /weightScale|Unrecognized/));
    it('filters in no group', () =>
      refused((json) => {
        (json.layers[0]!['groups'] as { filters: number[] }[])[0]!.filters.pop();
      }, /its groups are not its \d+ filters/));
    it('weights of another model', () =>
      refused((json) => {
        const [group] = json.layers[0]!['groups'] as { grid: { scale: number } }[];
        group!.grid.scale *= 2;
      }, /are not the weights in model\.safetensors/));
  });
});
