/*
 * The exponential of a vector.
 *
 * exp(x) = 2^n exp(r) with n = round(x / ln 2) and |r| <= ln 2 / 2. ln 2 is subtracted in two parts, the first of
 * which has so few bits that its product with n is exact. exp(r) = 1 + r + r^2 q(r), q the polynomial of fourth degree
 * with the least relative error (3e-9) over the interval, found by reweighted least squares.
 *
 * Within 1.5 units in the last place of the true value (tested over all of the range). Results below 2^-125 are zero,
 * so that no slow denormal number arises; above the largest float they are infinite; a NaN stays.
 */
#ifndef EXPONENTIAL_H
#define EXPONENTIAL_H

#include "simd.h"

INLINE V v_exp(V x) {
  x = v_max(v_set(-87.5f), v_min(v_set(89.0f), x));
  const V magic = v_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, held in the low bits */
  const V shifted = v_fma(x, v_set(1.44269504f), magic);
  const V n = shifted - magic;
  const V r = v_fma(n, v_set(2.12194440e-4f), v_fma(n, v_set(-0.693359375f), x));
  V q = v_fma(v_set(1.3814456e-3f), r, v_set(8.3687855e-3f));
  q = v_fma(q, r, v_set(4.1668396e-2f));
  q = v_fma(q, r, v_set(0.1666652f));
  q = v_fma(q, r, v_set(0.49999994f));
  const V power = v_fma(q * r, r, r) + 1.0f;
  /* Half the power of two, so that the largest one is still a float; at n = -126 its bits are those of zero. */
  const I half = ((I)shifted - (I)magic + 126) << 23;
  return power * (V)half * 2.0f;
}

/* The sum of a vector's elements. */
INLINE double v_total(V v) {
  float lanes[WIDTH] ALIGNED;
  v_store(lanes, v);
  double sum = 0;
  for (int i = 0; i < WIDTH; i++) sum += (double)lanes[i];
  return sum;
}

#endif
