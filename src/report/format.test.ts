import { expect, test } from 'vitest';
import { duration, energyUnit, percent, significant, wilsonInterval, withUnit } from './format.js';

test('a unit is the one in which the largest value is at least 1', () => {
  expect(energyUnit([0.0593, 0.002]).label).toBe('µJ');
  expect(energyUnit([12, 0.002]).label).toBe('mJ');
  expect(energyUnit([1500]).label).toBe('J');
  expect(energyUnit([3e-7]).label).toBe('nJ');
  expect(energyUnit([Number.NaN]).label).toBe('nJ');
  expect(withUnit(0.0593, energyUnit([0.0593]))).toBe('59.3 µJ');
});

test('three significant digits', () => {
  expect(significant(1234.5)).toBe('1,235');
  expect(significant(0.012345)).toBe('0.0123');
  expect(significant(9.999)).toBe('10.00');
  expect(significant(0)).toBe('0');
  expect(significant(Number.NaN)).toBe('–');
});

test('percentages and durations', () => {
  expect(percent(0.98526)).toBe('98.53 %');
  expect(duration(8.44)).toBe('8.4 s');
  expect(duration(200)).toBe('3 min 20 s');
  expect(duration(7500)).toBe('2 h 05 min');
  expect(duration(3599.7)).toBe('1 h 00 min');
});

test('the Wilson interval solves |p - a| = z sqrt(p (1 - p) / n) for p', () => {
  for (const [accuracy, images] of [
    [0.98, 10000],
    [0.5, 40],
    [1, 100],
  ] as const)
    for (const end of wilsonInterval(accuracy, images)) {
      if (end === accuracy) continue;
      expect(Math.abs(end - accuracy)).toBeCloseTo(1.959964 * Math.sqrt((end * (1 - end)) / images), 9);
    }
});
