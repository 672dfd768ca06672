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

#include <math.h>

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

/*
 * 2^x for x <= 1, where a softmax needs it often: the fraction is exact and the polynomial of sixth degree (least relative
 * error, 2e-9), so that it takes two thirds of the work of v_exp. COUNT vectors go side by side: a chain of a dozen
 * dependent instructions fills the processor's queues before its execution units. Within 1.5 units in the last place;
 * below 2^-126 zero or denormal, of -infinity zero; a NaN stays.
 */
INLINE void v_exp2_each(V *x, const int COUNT) {
  V q[8], n[8];
  UNROLL
  for (int i = 0; i < COUNT; i++) {
#if defined(SA_AVX512)
    x[i] = v_max(v_set(-200.0f), x[i]);
    n[i] = _mm512_roundscale_ps(x[i], 0);
    x[i] -= n[i];
#else
    x[i] = v_max(v_set(-127.0f), x[i]); /* where the bits of the power are those of zero */
    n[i] = x[i] + 12582912.0f; /* as in v_exp */
    x[i] -= n[i] - 12582912.0f;
#endif
  }
  const float coefficient[] = {9.6184378e-3f, 5.5503324e-2f, 0.24022648f, 0.69314718f, 1.0f};
  UNROLL
  for (int i = 0; i < COUNT; i++) q[i] = v_fma(v_set(1.5353310e-4f), x[i], v_set(1.3398939e-3f));
  UNROLL
  for (int k = 0; k < 5; k++) {
    UNROLL
    for (int i = 0; i < COUNT; i++) q[i] = v_fma(q[i], x[i], v_set(coefficient[k]));
  }
  UNROLL
  for (int i = 0; i < COUNT; i++) {
#if defined(SA_AVX512)
    x[i] = _mm512_scalef_ps(q[i], n[i]);
#else
    x[i] = q[i] * (V)(((I)n[i] - (I)v_set(12582912.0f) + 127) << 23);
#endif
  }
}

#endif
