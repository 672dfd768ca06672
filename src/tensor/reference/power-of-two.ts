/**
 * @file Reference DeepShift-Q rounding (Elhoushi et al., CVPRW 2021, arXiv 1905.13298): the nearest power of two on
 * the logarithmic scale.
 *
 * The rounding boundary between 2^k and 2^(k+1) is sqrt(2) * 2^k. Taking `Math.round(Math.log2(w))` would leave the
 * side of weights next to the boundary to the last bit of the logarithm; comparing the significand with sqrt(2)
 * decides them exactly (no float32 equals it), and the same on every device.
 */

/**
 * q = sign(w) * 2^e, e = round(log2 |w|) clamped to [minExponent, maxExponent]. Zeros keep their sign and stay
 * zero, NaN stays NaN, an infinity is clamped like any large weight. `q` may be `w`.
 */
export function powerOfTwo(minExponent: number, maxExponent: number, w: Float32Array, q: Float32Array): void {
  for (let i = 0; i < w.length; i++) {
    const weight = w[i]!;
    if (weight === 0 || Number.isNaN(weight)) q[i] = weight;
    else {
      const exponent = roundedExponent(Math.abs(weight));
      q[i] = Math.sign(weight) * 2 ** Math.max(minExponent, Math.min(maxExponent, exponent));
    }
  }
}

/** round(log2 `magnitude`) for a positive float32, decided on the significand. */
function roundedExponent(magnitude: number): number {
  if (magnitude === Infinity) return Infinity;
  let exponent = Math.floor(Math.log2(magnitude));
  // The logarithm is rounded: next to a power of two its integer part may be one off.
  if (magnitude < 2 ** exponent) exponent--;
  else if (magnitude >= 2 ** (exponent + 1)) exponent++;
  const significand = magnitude / 2 ** exponent;
  return significand > Math.SQRT2 ? exponent + 1 : exponent;
}
