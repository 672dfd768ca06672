/**
 * @file Numbers for people: units chosen once per report, digits that the measurement supports.
 */

/** A unit that all values of one quantity are shown in: `value * factor` is in `label`. */
export interface Unit {
  readonly label: string;
  readonly factor: number;
}

const energyUnits: readonly Unit[] = [
  { label: 'J', factor: 1e-3 },
  { label: 'mJ', factor: 1 },
  { label: 'µJ', factor: 1e3 },
  { label: 'nJ', factor: 1e6 },
];
const latencyUnits: readonly Unit[] = [
  { label: 's', factor: 1e-3 },
  { label: 'ms', factor: 1 },
  { label: 'µs', factor: 1e3 },
];
const countUnits: readonly Unit[] = [
  { label: 'G', factor: 1e-9 },
  { label: 'M', factor: 1e-6 },
  { label: 'k', factor: 1e-3 },
  { label: '', factor: 1 },
];

/** Areas are printed in mm² alone. */
export const squareMillimetres: Unit = { label: 'mm²', factor: 1 };
const byteUnits: readonly Unit[] = [
  { label: 'MiB', factor: 2 ** -20 },
  { label: 'KiB', factor: 2 ** -10 },
  { label: 'B', factor: 1 },
];

/** The unit in which the largest of these energies (mJ) is at least 1. */
export function energyUnit(energiesMj: readonly number[]): Unit {
  return largestBelow(energyUnits, energiesMj);
}

/** The unit in which the largest of these latencies (ms) is at least 1. */
export function latencyUnit(latenciesMs: readonly number[]): Unit {
  return largestBelow(latencyUnits, latenciesMs);
}

/** The prefix (none, k, M, G) in which the largest of these counts is at least 1. */
export function countUnit(counts: readonly number[]): Unit {
  return largestBelow(countUnits, counts);
}

/** The unit (B, KiB, MiB) in which the largest of these sizes in bytes is at least 1. */
export function byteUnit(sizes: readonly number[]): Unit {
  return largestBelow(byteUnits, sizes);
}

function largestBelow(units: readonly Unit[], values: readonly number[]): Unit {
  let largest = 0;
  for (const value of values) if (Number.isFinite(value) && value > largest) largest = value;
  return units.find((unit) => largest * unit.factor >= 1) ?? units[units.length - 1]!;
}

/** Three significant digits without exponent, with thousands separators; `–` for what is not a number. */
export function significant(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  if (digits > 8) return value.toExponential(2);
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A value with its unit: `0.312 mJ`. */
export function withUnit(value: number, unit: Unit): string {
  return `${significant(value * unit.factor)} ${unit.label}`.trimEnd();
}

/** `0.98525` as `98.53 %`. */
export function percent(fraction: number, digits = 2): string {
  return Number.isFinite(fraction) ? `${(100 * fraction).toFixed(digits)} %` : '–';
}

/** A count in full: `12,345`. */
export function integer(count: number): string {
  return Number.isFinite(count) ? Math.round(count).toLocaleString('en-US') : '–';
}

/** Seconds as `8.4 s`, `3 min 20 s` or `2 h 05 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/**
 * The 95 % interval of an accuracy measured on `images` independent images (Wilson, JASA 22, 1927): what the finite
 * test set alone leaves open. It says nothing of the spread between training seeds.
 */
export function wilsonInterval(accuracy: number, images: number): readonly [number, number] {
  const z = 1.959964;
  const centre = (accuracy + (z * z) / (2 * images)) / (1 + (z * z) / images);
  const half =
    (z / (1 + (z * z) / images)) *
    Math.sqrt((accuracy * (1 - accuracy)) / images + (z * z) / (4 * images * images));
  return [Math.max(0, centre - half), Math.min(1, centre + half)];
}
