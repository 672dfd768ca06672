/**
 * @file The definitions the convolution-like ops are held to, in float64 and gathered result by result.
 *
 * Written apart from the devices on purpose: each result looks up the terms that belong to it (the input gradient
 * asks which windows read an input), where the devices walk over windows and scatter.
 */
import type { ConvGeometry } from '../kernels.js';
import { type AddTerm, type Numbers, type Sums, tabulate } from './support.cases.js';
import { inputLength, outputLength, weightLength } from './taps.js';

/** What an op makes of one input value and one weight; `magnitude` where the size of the term is not |term|. */
export interface Rule {
  readonly term: (x: number, w: number) => number;
  readonly magnitude?: (x: number, w: number) => number;
}

/** Forward and the two gradient rules of a convolution-like operator. */
export interface Operator {
  readonly forward: Rule;
  readonly byInput: Rule;
  readonly byWeight: Rule;
}

export const convolution: Operator = {
  forward: { term: (x, w) => x * w },
  byInput: { term: (_, w) => w },
  byWeight: { term: (x) => x },
};

/** AdderNet's published rules; a device may take x - w apart, so the size of that term is |x| + |w|. */
export const adder: Operator = {
  forward: { term: (x, w) => -Math.abs(x - w) },
  byInput: { term: (x, w) => (w - x > 1 ? 1 : w - x < -1 ? -1 : w - x) },
  byWeight: { term: (x, w) => x - w, magnitude: (x, w) => Math.abs(x) + Math.abs(w) },
};

/**
 * Another norm, with the derivative smoothed at zero. A device may take powers by polynomials within 3e-6, which the sizes
 * of the terms allow for.
 */
export function powerDistance(exponent: number): Operator {
  const roomy = (term: (x: number, w: number) => number): Rule => ({
    term,
    magnitude: (x, w) => 4 * Math.abs(term(x, w)),
  });
  const slope = (d: number): number => exponent * d * (Math.abs(d) + 1e-8) ** (exponent - 2);
  return {
    forward: roomy((x, w) => -(Math.abs(x - w) ** exponent)),
    byInput: roomy((x, w) => slope(w - x)),
    byWeight: roomy((x, w) => slope(x - w)),
  };
}

/** y[n,oh,ow,o] = sum over u, v, c of rule(x, w), x zero in the padding. */
export function forwardSums(g: ConvGeometry, rule: Rule, x: Numbers, w: Numbers): Sums {
  const perGroup = g.inChannels / g.groups;
  return tabulate(outputLength(g), (index, add) => {
    const [n, oh, ow, o] = unravel(index, g.outHeight, g.outWidth, g.outChannels);
    const firstChannel = groupOfOutput(g, o) * perGroup;
    for (let u = 0; u < g.kernelHeight; u++) {
      for (let v = 0; v < g.kernelWidth; v++) {
        for (let c = 0; c < perGroup; c++) {
          const value = read(
            g,
            x,
            n,
            oh * g.stride + u - g.padTop,
            ow * g.stride + v - g.padLeft,
            firstChannel + c,
          );
          apply(add, rule, value, w[weightAt(g, u, v, c, o)]!, 1);
        }
      }
    }
  });
}

/** dx[n,ih,iw,c] = sum over the outputs that read this input of dy * rule(x, w). */
export function inputGradientSums(g: ConvGeometry, rule: Rule, x: Numbers, w: Numbers, dy: Numbers): Sums {
  const inputsPerGroup = g.inChannels / g.groups;
  const outputsPerGroup = g.outChannels / g.groups;
  return tabulate(inputLength(g), (index, add) => {
    const [n, ih, iw, channel] = unravel(index, g.inHeight, g.inWidth, g.inChannels);
    const group = Math.floor(channel / inputsPerGroup);
    for (let u = 0; u < g.kernelHeight; u++) {
      const oh = (ih + g.padTop - u) / g.stride;
      if (!Number.isInteger(oh) || oh < 0 || oh >= g.outHeight) continue;
      for (let v = 0; v < g.kernelWidth; v++) {
        const ow = (iw + g.padLeft - v) / g.stride;
        if (!Number.isInteger(ow) || ow < 0 || ow >= g.outWidth) continue;
        for (let o = group * outputsPerGroup; o < (group + 1) * outputsPerGroup; o++) {
          const weight = w[weightAt(g, u, v, channel % inputsPerGroup, o)]!;
          const slope = dy[((n * g.outHeight + oh) * g.outWidth + ow) * g.outChannels + o]!;
          apply(add, rule, x[index]!, weight, slope);
        }
      }
    }
  });
}

/** dw[u,v,c,o] = sum over images and output positions of dy * rule(x, w), x zero in the padding. */
export function weightGradientSums(g: ConvGeometry, rule: Rule, x: Numbers, w: Numbers, dy: Numbers): Sums {
  const perGroup = g.inChannels / g.groups;
  return tabulate(weightLength(g), (index, add) => {
    const [u, v, c, o] = unravel(index, g.kernelWidth, perGroup, g.outChannels);
    const channel = groupOfOutput(g, o) * perGroup + c;
    let position = 0;
    for (let n = 0; n < g.batch; n++) {
      for (let oh = 0; oh < g.outHeight; oh++) {
        for (let ow = 0; ow < g.outWidth; ow++) {
          const value = read(g, x, n, oh * g.stride + u - g.padTop, ow * g.stride + v - g.padLeft, channel);
          apply(add, rule, value, w[index]!, dy[position++ * g.outChannels + o]!);
        }
      }
    }
  });
}

function apply(add: AddTerm, rule: Rule, x: number, w: number, slope: number): void {
  const term = rule.term(x, w);
  add(slope * term, Math.abs(slope * (rule.magnitude ? rule.magnitude(x, w) : term)));
}

function groupOfOutput(g: ConvGeometry, o: number): number {
  return Math.floor(o / (g.outChannels / g.groups));
}

function weightAt(g: ConvGeometry, u: number, v: number, c: number, o: number): number {
  return ((u * g.kernelWidth + v) * (g.inChannels / g.groups) + c) * g.outChannels + o;
}

function read(g: ConvGeometry, x: Numbers, n: number, ih: number, iw: number, channel: number): number {
  if (ih < 0 || iw < 0 || ih >= g.inHeight || iw >= g.inWidth) return 0;
  return x[((n * g.inHeight + ih) * g.inWidth + iw) * g.inChannels + channel]!;
}

/** The four indices of a flat row-major index; the first has no bound. */
function unravel(index: number, b: number, c: number, d: number): [number, number, number, number] {
  const row = Math.floor(index / d);
  const plane = Math.floor(row / c);
  return [Math.floor(plane / b), plane % b, row % c, index % d];
}
