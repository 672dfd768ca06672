import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FileError, ShapeError } from '../base/errors.js';
import { decodeSafetensors, encodeSafetensors, type StoredTensor } from './safetensors.js';

/** A file put together by hand: any header text, then data. */
function fileOf(header: string | Uint8Array, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return Uint8Array.of(...length, ...text, ...data);
}

const entry = (shape: readonly number[], begin: number, end: number, dtype = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

const tensorArbitrary: fc.Arbitrary<StoredTensor> = fc.array(fc.nat(4), { maxLength: 4 }).chain((shape) => {
  const length = shape.reduce((product, extent) => product * extent, 1);
  return fc
    .array(fc.float(), { minLength: length, maxLength: length })
    .map((values) => ({ shape, data: Float32Array.from(values) }));
});
const nameArbitrary = fc
  .oneof(fc.string({ unit: 'binary' }), fc.constantFrom('1', '0', '__proto__', 'constructor', 'a"b\\'))
  .filter((name) => name !== '__metadata__');
const tensorsArbitrary = fc
  .uniqueArray(fc.tuple(nameArbitrary, tensorArbitrary), { selector: ([name]) => name, maxLength: 6 })
  .map((entries) => new Map(entries));
const metadataArbitrary = fc.dictionary(fc.string(), fc.string(), { noNullPrototype: true });

/** The bits, so that -0 and NaN count. */
function bitsOf(tensors: ReadonlyMap<string, StoredTensor>) {
  return new Map(
    [...tensors].map(([name, { shape, data }]) => [name, [shape, new Uint8Array(data.slice().buffer)]]),
  );
}

describe('safetensors', () => {
  it('keeps metadata whose keys mean something to JavaScript', () => {
    const metadata = JSON.parse('{"__proto__": "a", "constructor": "b"}') as Record<string, string>;
    const decoded = decodeSafetensors(encodeSafetensors(new Map(), metadata), 'file').metadata;
    expect(Object.entries(decoded)).toEqual(Object.entries(metadata));
  });

  it('gives back what was written, bit by bit, wherever the bytes lie', () => {
    fc.assert(
      fc.property(tensorsArbitrary, metadataArbitrary, fc.nat(7), (tensors, metadata, shift) => {
        const bytes = encodeSafetensors(tensors, metadata);
        const moved = new Uint8Array(bytes.length + shift);
        moved.set(bytes, shift);
        const decoded = decodeSafetensors(moved.subarray(shift), 'file');
        expect(bitsOf(decoded.tensors)).toEqual(bitsOf(tensors));
        expect({ ...decoded.metadata }).toEqual({ ...metadata });
      }),
    );
  });

  it('keeps the order of the tensors, number-like names too', () => {
    const one = { shape: [1], data: Float32Array.of(1) };
    const names = ['b', '7', 'a', '1', 'empty'];
    const tensors = new Map(
      names.map((name) => [name, name === 'empty' ? { shape: [0], data: new Float32Array(0) } : one]),
    );
    expect([...decodeSafetensors(encodeSafetensors(tensors), 'file').tensors.keys()]).toEqual(names);
  });

  it('writes the published layout byte for byte', () => {
    const tensors = new Map([['w', { shape: [2], data: Float32Array.of(1, -2) }]]);
    const bytes = encodeSafetensors(tensors, { format: 'pt' });
    const header = '{"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8, ' ');
    expect(bytes).toEqual(fileOf(padded, Uint8Array.of(0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0)));
    expect((8 + padded.length) % 8).toBe(0);
  });

  it('reads files of others: unpadded header, entries in any order, scalars, no metadata', () => {
    const header = `{"b":${entry([], 8, 12)},"a":${entry([1, 2], 0, 8)}}`;
    const data = new Uint8Array(Float32Array.of(1, 2, 3).buffer);
    const { tensors, metadata } = decodeSafetensors(fileOf(header, data), 'file');
    expect([...tensors]).toEqual([
      ['a', { shape: [1, 2], data: Float32Array.of(1, 2) }],
      ['b', { shape: [], data: Float32Array.of(3) }],
    ]);
    expect(metadata).toEqual({});
  });

  // readFileSync gives a Buffer, whose slice() is a view where that of a Uint8Array copies.
  it.each(['Uint8Array', 'Buffer'])('copies: the tensors outlive the bytes of a %s', (kind) => {
    const written = encodeSafetensors(
      new Map([
        ['v', { shape: [1], data: Float32Array.of(4) }],
        ['w', { shape: [1], data: Float32Array.of(5) }],
      ]),
    );
    const bytes = kind === 'Buffer' ? Buffer.from(written) : written;
    const { tensors } = decodeSafetensors(bytes, 'file');
    bytes.fill(0);
    expect([...tensors.values()].map(({ data }) => data)).toEqual([Float32Array.of(4), Float32Array.of(5)]);
  });

  it('refuses to write what cannot be read', () => {
    const tensor = { shape: [3], data: new Float32Array(2) };
    expect(() => encodeSafetensors(new Map([['w', tensor]]))).toThrow(ShapeError);
    const good = { shape: [2], data: new Float32Array(2) };
    expect(() => encodeSafetensors(new Map([['__metadata__', good]]))).toThrow('cannot be the name');
  });

  const eight = new Uint8Array(8);
  const hugeHeader = new Uint8Array(16).fill(0xff);
  const bad: Readonly<Record<string, readonly [Uint8Array, RegExp]>> = {
    'nothing at all': [new Uint8Array(0), /shorter/],
    'half a header length': [new Uint8Array(5), /shorter/],
    'an absurd header length': [hugeHeader, /header of 18446744073709551615 bytes/],
    'a header longer than the file': [fileOf('{}').subarray(0, 9), /truncated within the header/],
    'a header that is no JSON': [fileOf('{"a":'), /header: /],
    'a header that is no UTF-8': [fileOf(Uint8Array.of(0x7b, 0xff, 0x7d)), /header: /],
    'a header that begins with a blank': [fileOf(' {}'), /no JSON object/],
    'a header that is a list': [fileOf('[]'), /no JSON object/],
    'a header that is null': [fileOf('null'), /no JSON object/],
    'metadata that are no strings': [fileOf('{"__metadata__":{"a":1}}'), /__metadata__/],
    'an entry that is none': [fileOf('{"w":3}'), /tensor w: malformed/],
    'a negative size': [fileOf(`{"w":${entry([-1, -2], 0, 8)}}`, eight), /tensor w: malformed/],
    'a fractional offset': [fileOf(`{"w":${entry([2], 0.5, 8)}}`, eight), /tensor w: malformed/],
    'an unknown key': [fileOf('{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":1}}'), /malformed/],
    'another type': [fileOf(`{"w":${entry([4], 0, 8, 'F16')}}`, eight), /tensor w is F16; only F32/],
    'a range of the wrong length': [fileOf(`{"w":${entry([3], 0, 8)}}`, eight), /do not hold \[3\]/],
    'a range that ends before it begins': [fileOf(`{"w":${entry([2], 8, 0)}}`, eight), /do not hold/],
    'a range past the end': [fileOf(`{"w":${entry([3], 0, 12)}}`, eight), /ends at byte 12 of 8/],
    overlap: [fileOf(`{"v":${entry([1], 0, 4)},"w":${entry([1], 0, 4)}}`, eight), /begins at byte 0/],
    'a hole': [fileOf(`{"v":${entry([1], 4, 8)}}`, eight), /begins at byte 4 of the data/],
    'bytes left over': [fileOf(`{"v":${entry([1], 0, 4)}}`, eight), /4 bytes at the end/],
    'a name used twice': [
      fileOf(`{"v":${entry([1], 0, 4)},"v":${entry([1], 4, 8)}}`, eight),
      /begins at byte 4/,
    ],
  };
  it.each(Object.entries(bad))('refuses %s, naming the file', (_, [bytes, message]) => {
    const read = () => decodeSafetensors(bytes, 'runs/7/weights.safetensors');
    expect(read).toThrow(FileError);
    expect(read).toThrow(/^runs\/7\/weights\.safetensors: not a usable safetensors file \(.*\)$/);
    expect(read).toThrow(message);
  });

  it('refuses every truncation of a file, and never fails in another way on a damaged one', () => {
    fc.assert(
      fc.property(
        tensorsArbitrary.filter((tensors) => tensors.size > 0),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (tensors, where, change) => {
          const bytes = encodeSafetensors(tensors, { seed: '1' });
          const at = where % bytes.length;
          expect(() => decodeSafetensors(bytes.subarray(0, at), 'file')).toThrow(FileError);
          bytes[at]! ^= change;
          try {
            decodeSafetensors(bytes, 'file');
          } catch (error) {
            expect(error).toBeInstanceOf(FileError);
          }
        },
      ),
    );
  });
});
