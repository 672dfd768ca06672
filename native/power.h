/*
 * Powers of a positive vector with one exponent, as the layers of -sum |x - w|^p take them: scale a^p = 2^(p log2 a + c).
 *
 * log2(1 + f) = f q(f) over [sqrt(1/2) - 1, sqrt(2) - 1] (absolute error 3e-7), 2^r by a polynomial of fifth degree over
 * [-1/2, 1/2] (relative error 7.5e-8), both by reweighted least squares. With the rounding of the exponent the result is
 * within 3e-6 of its value, relatively, for a from 2^-27 to 2^20 and |p| <= 2. Results are held within 2^-125 and 2^127, so
 * no denormal number and no infinity arises; what a NaN gives is undefined.
 */
#ifndef POWER_H
#define POWER_H

#include "simd.h"

INLINE V v_power(V a, V exponent, V offset) {
  const I bits = (I)a - 0x3f3504f3;
  const V e = __builtin_convertvector(bits >> 23, V);
  const V f = (V)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
  V q = v_fma(v_set(1.7063433e-1f), f, v_set(-2.7269801e-1f));
  q = v_fma(q, f, v_set(2.9726266e-1f));
  q = v_fma(q, f, v_set(-3.5896184e-1f));
  q = v_fma(q, f, v_set(4.8046503e-1f));
  q = v_fma(q, f, v_set(-7.2137587e-1f));
  q = v_fma(q, f, v_set(1.4426997f));
  V t = v_fma(v_fma(q, f, e), exponent, offset);
  t = v_max(v_set(-125.0f), v_min(v_set(127.0f), t));
  const V magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, held in the low bits */
  const V shifted = t + magic;
  const V r = t - (shifted - magic);
  V y = v_fma(v_set(1.3276471e-3f), r, v_set(9.6755416e-3f));
  y = v_fma(y, r, v_set(5.5507133e-2f));
  y = v_fma(y, r, v_set(2.4022120e-1f));
  y = v_fma(y, r, v_set(6.9314697e-1f));
  y = v_fma(y, r, v_set(1.0f));
  return (V)((I)y + ((I)shifted << 23)); /* the bits of the magic number leave on the left */
}

/* |d|^p. A zero is taken for the smallest normal number. */
INLINE V v_distance_power(V d, V exponent, V offset) {
  return v_power(v_max(v_set(1.17549435e-38f), v_abs(d)), exponent, offset);
}

/* Distances to which the slope of |d|^p is smoothed, see v_slope_power. */
#define SLOPE_EPSILON 1e-8f

/* p d (|d| + epsilon)^(p - 2) for `exponent` p - 2 and `offset` log2 p: the derivative of |d|^p, smooth at zero. */
INLINE V v_slope_power(V d, V exponent, V offset) {
  return d * v_power(v_abs(d) + SLOPE_EPSILON, exponent, offset);
}

/* The two by their definition for one float, whatever it is. */
static float distance_power(float d, float p) {
  const float size = d < 0 ? -d : d;
  if (d != d || size > 3.4e38f || size == 0) return size;
  return v_distance_power(v_set(size), v_set(p), v_zero())[0];
}
static float slope_power(float d, float exponent, float offset) {
  if (d != d || d - d != 0) return d;
  return v_slope_power(v_set(d), v_set(exponent), v_set(offset))[0];
}

#endif
