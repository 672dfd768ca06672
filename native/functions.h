/*
 * Elementary functions of a vector beside the exponential. The polynomials were found by reweighted least squares over
 * their intervals; their own relative errors are below 3e-8, less than the rounding of the operations around them.
 * Stated and tested: log, tanh and sigmoid are within 3 units in the last place; the normal distribution is within
 * 1.5e-7 everywhere, and relatively within 1e-5 down to -12. A NaN stays a NaN.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include <math.h>

#include "exponential.h"

/*
 * log(x) = e ln 2 + log(1 + f), 1 + f = x / 2^e within [sqrt(1/2), sqrt(2)); log(1 + f) = f - f^2 / 2 + f^3 p(f). Below
 * the normal range x is scaled up first.
 */
INLINE V v_log(V x) {
  const I small = (I)(x < v_set(1.17549435e-38f));
  const I bits = (I)v_select(small, x * 33554432.0f, x) - 0x3f3504f3;
  const I exponent = (bits >> 23) - (small & 25);
  const V e = __builtin_convertvector(exponent, V);
  const V f = (V)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
  V p = v_fma(v_set(-7.6344930e-2f), f, v_set(1.2761575e-1f));
  p = v_fma(p, f, v_set(-1.3160183e-1f));
  p = v_fma(p, f, v_set(1.4201754e-1f));
  p = v_fma(p, f, v_set(-1.6623357e-1f));
  p = v_fma(p, f, v_set(2.0001227e-1f));
  p = v_fma(p, f, v_set(-2.5000820e-1f));
  p = v_fma(p, f, v_set(3.3333331e-1f));
  const V square = f * f;
  V y = v_fma(square * f, p, e * -2.12194440e-4f);
  y = v_fma(square, v_set(-0.5f), y) + f;
  y = v_fma(e, v_set(0.693359375f), y);
  y = v_select((I)(x == v_set(INFINITY)), x, y);
  y = v_select((I)(x == v_zero()), v_set(-INFINITY), y);
  y = v_select((I)(x < v_zero()), v_set(NAN), y);
  return v_select((I)(x != x), x, y);
}

/* x + x^3 p(x^2) near zero, 1 - 2 / (exp(2 |x|) + 1) with the sign of x elsewhere. */
INLINE V v_tanh(V x) {
  const V size = v_abs(x), z = x * x;
  V p = v_fma(v_set(-5.7026111e-3f), z, v_set(2.0637045e-2f));
  p = v_fma(p, z, v_set(-5.3739116e-2f));
  p = v_fma(p, z, v_set(1.3331436e-1f));
  p = v_fma(p, z, v_set(-3.3333281e-1f));
  const V near = v_fma(x * z, p, x);
  const V far = 1.0f - 2.0f / (v_exp(size + size) + 1.0f);
  return v_select((I)(size < v_set(0.625f)), near, (V)((I)far | ((I)x & (I)v_set(-0.0f))));
}

INLINE V v_sigmoid(V x) { return 1.0f / (1.0f + v_exp(-x)); }

/*
 * The standard normal distribution P(x) and, in `density`, exp(-x^2 / 2) / sqrt(2 pi). The lower tail is
 * exp(-x^2 / 2) q(u), u = 1 / (1 + 0.35 |x|), q fitted to erfc(t / sqrt 2) exp(t^2 / 2) / 2 for t up to 13.5: no
 * difference of nearly equal numbers is taken, so that a small P keeps its digits.
 */
INLINE V v_normal(V x, V *density) {
  const V size = v_abs(x);
  const V power = v_exp(x * x * -0.5f), u = 1.0f / v_fma(v_set(0.35f), size, v_set(1.0f));
  V q = v_fma(v_set(-2.9125964e-2f), u, v_set(1.4387269e-1f));
  q = v_fma(q, u, v_set(-2.5550547e-1f));
  q = v_fma(q, u, v_set(1.5893029e-1f));
  q = v_fma(q, u, v_set(-2.2937782e-2f));
  q = v_fma(q, u, v_set(1.0543319e-1f));
  q = v_fma(q, u, v_set(1.1985238e-1f));
  q = v_fma(q, u, v_set(1.3985910e-1f));
  q = v_fma(q, u, v_set(1.3962157e-1f));
  const V tail = power * q * u;
  *density = power * 0.398942280f;
  return v_select((I)(x > v_zero()), 1.0f - tail, tail);
}

#endif
