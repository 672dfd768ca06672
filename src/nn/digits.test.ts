import { describe, expect, it } from 'vitest';
import { binaryDigits, digitCount, Digits, proximalTable, signedDigits } from './digits.js';

const range = Array.from({ length: 257 }, (_, i) => i - 128);
const mean = (values: readonly number[]): number => values.reduce((sum, v) => sum + v, 0) / values.length;
const valueOf = (digits: readonly number[]): number =>
  digits.reduce((sum, digit, j) => sum + digit * 2 ** j, 0);

describe('digits', () => {
  it('binary ones make the magnitude, and their count is that of the ones in a word', () => {
    for (const n of range) {
      expect(valueOf(binaryDigits(n))).toBe(Math.abs(n));
      expect(digitCount(n, Digits.Binary)).toBe(Math.abs(n).toString(2).replaceAll('0', '').length);
    }
  });

  it('signed ones make the number, have no two neighbours, and are never more than binary ones', () => {
    for (const n of range) {
      const digits = signedDigits(n);
      expect(valueOf(digits)).toBe(n);
      digits.forEach((digit, j) => expect(digit === 0 || (digits[j + 1] ?? 0) === 0).toBe(true));
      expect(digitCount(n, Digits.Signed)).toBeLessThanOrEqual(digitCount(n, Digits.Binary));
    }
    expect(mean(range.map((n) => digitCount(n, Digits.Binary)))).toBeCloseTo(3.49, 2);
    expect(mean(range.map((n) => digitCount(n, Digits.Signed)))).toBeCloseTo(2.77, 2);
  });

  it('carry an integer product: sums by digits times powers of two', () => {
    const [x, w] = [
      [3, -7, 11],
      [-93, 127, 58],
    ];
    for (const digitsOf of [(n: number) => binaryDigits(n).map((d) => d * Math.sign(n)), signedDigits]) {
      let total = 0;
      for (let j = 0; j < 9; j++)
        total += 2 ** j * x.reduce((sum, value, i) => sum + value * (digitsOf(w[i]!)[j] ?? 0), 0);
      expect(total).toBe(x.reduce((sum, value, i) => sum + value * w[i]!, 0));
    }
  });
});

describe('the proximal table', () => {
  it.each(Object.values(Digits))(
    'of %s digits: free ones change nothing, priceless ones leave nothing',
    (digits) => {
      expect([...proximalTable(128, 0, 0.5, digits)]).toEqual(Array.from({ length: 129 }, (_, n) => n));
      expect(new Set(proximalTable(128, 1e9, 0.5, digits))).toEqual(new Set([0]));
    },
  );

  it.each(Object.values(Digits))(
    'of %s digits never has more of them, and is the least of all choices',
    (digits) => {
      for (const lambda of [0.1, 1, 1.001, 3]) {
        const table = proximalTable(128, lambda, 0.5, digits);
        table.forEach((v, n) => {
          expect(digitCount(v, digits)).toBeLessThanOrEqual(digitCount(n, digits));
          // Over both signs: what is of the other sign is further away than zero.
          const price = (u: number): number =>
            lambda * digitCount(u, digits) + Math.abs(Math.sqrt(n) - Math.sign(u) * Math.sqrt(Math.abs(u)));
          for (const u of range) expect(price(v)).toBeLessThanOrEqual(price(u) + 1e-12);
        });
      }
    },
  );

  it('brings 3.49 binary digits down to 1.11 at the published price', () => {
    const table = proximalTable(128, 1, 0.5, Digits.Binary);
    expect(mean(range.map((n) => digitCount(table[Math.abs(n)]!, Digits.Binary)))).toBeCloseTo(1.11, 1);
  });
});
