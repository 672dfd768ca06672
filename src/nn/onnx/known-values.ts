/**
 * @file What shape inference knows of a value and of a node, and how it reads a node's attributes.
 */
import type { ReadNode } from './read.js';

/** What is known of one value. */
export interface KnownValue {
  readonly shape: readonly number[];
  /** Bits of one element as it is stored; those of the quantised tensor behind a dequantisation. */
  readonly bits: number;
  /** Of values behind a dequantisation the bits of the numbers that they are again, which sums of them have. */
  readonly realBits?: number;
  /** Its numbers, for small constants and what is computed of whole ones. */
  readonly numbers?: readonly number[];
  /** Where a Clip with constant ends made it: these. */
  readonly ends?: readonly [low: number, high: number];
  /** True where `numbers` are of a floating-point type; nothing is computed of those. */
  readonly real?: boolean;
}

export type KnownValues = ReadonlyMap<string, KnownValue>;

/** A node with what is known of its inputs. */
export interface Call {
  readonly node: ReadNode;
  readonly inputs: readonly (KnownValue | undefined)[];
  readonly opset: number;
}

/** Width of values whose type is not stated. */
export const defaultBits = 32;
/** Constants beyond this length are weights, not shapes. */
export const mostNumbers = 64;

export function intOf({ attributes }: ReadNode, name: string, otherwise: number): number {
  const value = attributes.get(name);
  return typeof value === 'number' ? value : otherwise;
}

export function intsOf({ attributes }: ReadNode, name: string): readonly number[] | undefined {
  const value = attributes.get(name);
  return Array.isArray(value) ? (value as readonly number[]) : undefined;
}

/** An axis counted from the front. */
export function axisOf(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}
