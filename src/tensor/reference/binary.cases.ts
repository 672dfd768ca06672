/**
 * @file Cases for the functions of two operands under every kind of broadcasting: random axes that either operand has or
 * repeats along, of extents around the widths of vectors, and long ones that are split among threads.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BroadcastAxis } from '../kernels.js';
import { BinaryGradientKind, BinaryKind } from '../kinds.js';
import { sizeOf } from '../shape.js';
import {
  type Device,
  expectClose,
  expectEqual,
  forAll,
  normals,
  seeds,
  tabulate,
  withBuffers,
} from './support.cases.js';

const kinds = Object.values(BinaryKind);
const gradientKinds = Object.values(BinaryGradientKind);

const definitions: Readonly<Record<BinaryKind, (a: number, b: number) => number>> = {
  [BinaryKind.Add]: (a, b) => a + b,
  [BinaryKind.Subtract]: (a, b) => a - b,
  [BinaryKind.Multiply]: (a, b) => a * b,
  [BinaryKind.Divide]: (a, b) => a / b,
  [BinaryKind.Maximum]: Math.max,
  [BinaryKind.Minimum]: Math.min,
};

const slopes: Readonly<Record<BinaryGradientKind, (a: number, b: number, dy: number) => number>> = {
  [BinaryGradientKind.Divisor]: (a, b, dy) => (-dy * a) / b ** 2,
  [BinaryGradientKind.Maximum]: (a, b, dy) => (a > b ? dy : a === b ? dy / 2 : 0),
  [BinaryGradientKind.Minimum]: (a, b, dy) => (a < b ? dy : a === b ? dy / 2 : 0),
};

const extents = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constantFrom(3, 7, 15, 16, 17, 31, 64, 65, 130));
const axis = fc.record({ extent: extents, a: fc.boolean(), b: fc.boolean() });
/** Up to eight axes: more than one compiled call takes. */
const shapes = fc
  .tuple(fc.array(axis, { maxLength: 8 }), seeds)
  .filter(([axes]) => sizeOf(axes.map(({ extent }) => extent)) <= 6000);

function elements(axes: readonly BroadcastAxis[], side: 'a' | 'b'): number {
  return sizeOf(axes.filter((each) => each[side]).map(({ extent }) => extent));
}

/** For each element of the result, the index of the element of an operand: by counting through all the axes. */
function places(axes: readonly BroadcastAxis[], side: 'a' | 'b'): number[] {
  let found = [0];
  for (const { extent, [side]: has } of axes)
    found = found.flatMap((at) => Array.from({ length: extent }, (_, i) => (has ? at * extent + i : at)));
  return found;
}

export function describeBinary(device: Device): void {
  const { kernels } = device;
  const valueOf = (kind: BinaryKind, axes: readonly BroadcastAxis[], a: Float32Array, b: Float32Array) =>
    withBuffers(device, (buffers) => {
      const y = buffers.output(sizeOf(axes.map(({ extent }) => extent)));
      kernels.binary(kind, axes, buffers.input(a), buffers.input(b), y);
      return y;
    });
  const slopeOf = (
    kind: BinaryGradientKind,
    axes: readonly BroadcastAxis[],
    a: Float32Array,
    b: Float32Array,
    dy: Float32Array,
  ): Float32Array =>
    withBuffers(device, (buffers) => {
      const d = buffers.output(dy.length);
      kernels.binaryGradient(kind, axes, buffers.input(a), buffers.input(b), buffers.input(dy), d);
      return d;
    });
  const check = (axes: readonly BroadcastAxis[], seed: number): void => {
    const a = normals(elements(axes, 'a'), 'a', seed);
    // Divisors away from zero, and some values that both operands have.
    const b = normals(elements(axes, 'b'), 'b', seed).map((value, i) =>
      i % 5 === 0 ? a[i % a.length]! : Math.sign(value) * (0.5 + Math.abs(value)),
    );
    const [atA, atB] = [places(axes, 'a'), places(axes, 'b')];
    const dy = normals(atA.length, 'dy', seed);
    for (const kind of kinds) {
      const expected = tabulate(atA.length, (i, add) => {
        const exact = definitions[kind](a[atA[i]!]!, b[atB[i]!]!);
        add(exact, Math.abs(exact));
      });
      expectClose(kind, valueOf(kind, axes, a, b), expected, 1.2e-7);
    }
    for (const kind of gradientKinds) {
      const expected = tabulate(atA.length, (i, add) => add(slopes[kind](a[atA[i]!]!, b[atB[i]!]!, dy[i]!)));
      expectClose(`${kind} gradient`, slopeOf(kind, axes, a, b, dy), expected, 3e-7);
    }
  };

  describe('functions of two operands', () => {
    it('are their definitions, however they are broadcast', () => {
      forAll(shapes, ([axes, seed]) => check(axes, seed), 100);
    });

    it.each([
      ['two equal shapes', [[50_021, true, true]]],
      ['a value and a buffer', [[50_021, false, true]]],
      [
        'a bias of few channels',
        [
          [5003, true, false],
          [10, true, true],
        ],
      ],
      [
        'a bias of many channels',
        [
          [301, true, false],
          [167, true, true],
        ],
      ],
      [
        'a bias on the left',
        [
          [5003, false, true],
          [10, true, true],
        ],
      ],
      [
        'a value for each row',
        [
          [3001, true, true],
          [17, true, false],
        ],
      ],
      [
        'a scale for each image and channel',
        [
          [5, true, true],
          [197, true, false],
          [48, true, true],
        ],
      ],
      [
        'an outer product',
        [
          [251, true, false],
          [203, false, true],
        ],
      ],
      [
        'two biases',
        [
          [3001, false, false],
          [17, true, true],
        ],
      ],
      [
        'a value all over',
        [
          [3001, false, false],
          [17, false, true],
        ],
      ],
    ] as const)('%s, in pieces', (_, list) => {
      check(
        list.map(([extent, a, b]) => ({ extent, a, b })),
        7,
      );
    });

    it('may be written over an operand that has all axes, and over dy', () => {
      const axes = [
        { extent: 301, a: true, b: false },
        { extent: 21, a: true, b: true },
      ];
      const [a, b] = [normals(301 * 21, 'a'), normals(21, 'b')];
      const swapped = axes.map((each) => ({ extent: each.extent, a: each.b, b: each.a }));
      for (const kind of kinds) {
        const [left, right] = withBuffers(device, (buffers) => {
          const results = [buffers.updated(a), buffers.updated(a)] as const;
          const other = buffers.input(b);
          kernels.binary(kind, axes, results[0], other, results[0]);
          kernels.binary(kind, swapped, other, results[1], results[1]);
          return results;
        });
        expectEqual(kind, left, valueOf(kind, axes, a, b));
        expectEqual(kind, right, valueOf(kind, swapped, b, a));
      }
      for (const kind of gradientKinds) {
        const over = withBuffers(device, (buffers) => {
          const d = buffers.updated(a);
          kernels.binaryGradient(kind, axes, buffers.input(a), buffers.input(b), d, d);
          return d;
        });
        expectEqual(kind, over, slopeOf(kind, axes, a, b, a));
      }
    });

    it('equal operands of a maximum share the gradient', () => {
      const axes = [{ extent: 3, a: true, b: true }];
      const [a, b, dy] = [Float32Array.of(1, 2, 3), Float32Array.of(2, 2, 2), Float32Array.of(4, 4, 4)];
      expectEqual('max', slopeOf(BinaryGradientKind.Maximum, axes, a, b, dy), [0, 2, 4]);
      expectEqual('min', slopeOf(BinaryGradientKind.Minimum, axes, a, b, dy), [4, 2, 0]);
    });

    it.each([NaN, Infinity, -Infinity])(
      '%s in an operand reaches what is made of it, and nothing else',
      (bad) => {
        const axes = [
          { extent: 5, a: true, b: false },
          { extent: 19, a: true, b: true },
        ];
        const ones = (length: number): Float32Array => new Float32Array(length).fill(1);
        const spoilt = (values: Float32Array, at: number): Float32Array =>
          values.map((v, i) => (i === at ? bad : v));
        const [atA, atB] = [places(axes, 'a'), places(axes, 'b')];
        for (const kind of kinds)
          for (const place of [0, 16, 18]) {
            const inA = valueOf(kind, axes, spoilt(ones(95), 38 + place), ones(19));
            const inB = valueOf(kind, axes, ones(95), spoilt(ones(19), place));
            const definition = definitions[kind];
            expectEqual(
              `${kind} a`,
              inA,
              atA.map((at) => (at === 38 + place ? definition(bad, 1) : definition(1, 1))),
            );
            expectEqual(
              `${kind} b`,
              inB,
              atB.map((at) => (at === place ? definition(1, bad) : definition(1, 1))),
            );
          }
      },
    );

    it('nothing is nothing', () => {
      const axes = [
        { extent: 0, a: true, b: true },
        { extent: 3, a: true, b: false },
      ];
      expect(valueOf(BinaryKind.Add, axes, new Float32Array(0), new Float32Array(0)).length).toBe(0);
    });
  });
}
