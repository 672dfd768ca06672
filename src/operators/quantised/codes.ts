/**
 * @file The integers that stand for operands of few bits, and the step between their values that a layer starts with.
 *
 * A value v is code * step, the code being v / step brought into its range and rounded, halves to even.
 *
 * Learned step size quantisation (LSQ: Esser et al., ICLR 2020, arXiv 1902.08153) starts at 2 E|v| / sqrt(most), from values
 * that a trained network already has. Here networks begin untrained, with values close to normal, and the step begins where
 * the expected square of the error is least: at 8 bit LSQ's start would leave most of the codes unused (a step of 0.14
 * deviations against 0.031), and its small gradients take long to find the way.
 */
import { normalCdf, normalDensity } from '../../base/normal-distribution.js';

/** Widths of operands that a family can have. */
export const fewestBits = 2;
export const mostBits = 16;

/** The codes from `least` to `most`; 0 is one of them. */
export interface CodeRange {
  readonly bits: number;
  readonly least: number;
  readonly most: number;
}

/** Two's complement. */
export function signedCodes(bits: number): CodeRange {
  return { bits, least: -(2 ** (bits - 1)), most: 2 ** (bits - 1) - 1 };
}

/** For what is never negative. */
export function unsignedCodes(bits: number): CodeRange {
  return { bits, least: 0, most: 2 ** bits - 1 };
}

/** The codes of a layer's input. */
export function inputCodes(bits: number, nonNegative: boolean): CodeRange {
  return nonNegative ? unsignedCodes(bits) : signedCodes(bits);
}

/**
 * Where values of a standard normal distribution are best cut off, when `most` codes divide what is below: the c of the
 * least c^2 / (12 most^2) + 2 E[max(0, v - c)^2], the square of the error inside (Bennett 1948) and that of the tails. Its
 * derivative c / (6 most^2) - 4 (phi(c) - c (1 - Phi(c))) rises, so bisection finds its root. It is the same of the upper
 * half alone, of which the other half has become zeros by a ReLU.
 */
export function clippingPoint(most: number): number {
  let [low, high] = [0, 40];
  for (let i = 0; i < 60; i++) {
    const c = (low + high) / 2;
    const rises = c / (6 * most * most) > 4 * (normalDensity(c) - c * normalCdf(-c));
    if (rises) high = c;
    else low = c;
  }
  return (low + high) / 2;
}

const starts = new Map<number, number>();

/** The step that normal values of deviation 1 start with, `most` being the largest code. */
export function startingStep(most: number): number {
  let step = starts.get(most);
  if (step === undefined) starts.set(most, (step = clippingPoint(most) / most));
  return step;
}
