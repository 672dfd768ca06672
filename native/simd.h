/*
 * The vector vocabulary of the kernels: one type V of WIDTH floats and a dozen words over it, per instruction set.
 * Everything else in the kernels is written once, over these words. GCC vector extensions carry the arithmetic
 * (+ - *); only what they cannot say well is spelled with intrinsics.
 */
#ifndef SIMD_H
#define SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(SA_AVX512)
#include <immintrin.h>
#define WIDTH 16
#define ISA_NAME "avx512"
#define ISA_TABLE sa_kernels_avx512
typedef __m512 V;
#elif defined(SA_AVX2)
#include <immintrin.h>
#define WIDTH 8
#define ISA_NAME "avx2"
#define ISA_TABLE sa_kernels_avx2
typedef __m256 V;
#elif defined(SA_SSE4)
#include <immintrin.h>
#define WIDTH 4
#define ISA_NAME "sse4"
#define ISA_TABLE sa_kernels_sse4
typedef __m128 V;
#elif defined(SA_WASM)
#include <wasm_simd128.h>
#define WIDTH 4
#define ISA_NAME "simd128"
#define ISA_TABLE sa_kernels_simd128
typedef float V __attribute__((vector_size(16)));
#else
#define WIDTH 4
#define ISA_NAME "generic"
#define ISA_TABLE sa_kernels_generic
typedef float V __attribute__((vector_size(16)));
#endif

#define INLINE static inline __attribute__((always_inline, unused))
#define NOINLINE static __attribute__((noinline))
#define ALIGNED __attribute__((aligned(64)))
/* Leaves the compiler no knowledge of an integer or pointer. */
#define HIDE(value) __asm__("" : "+r"(value))
/* Loops over accumulators: unless each of them is unrolled whole, the compiler keeps the array in memory. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

typedef float VU __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
typedef int32_t I __attribute__((vector_size(4 * WIDTH)));
typedef int32_t IU __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

INLINE V v_load(const float *p) { return (V)*(const VU *)p; }
INLINE void v_store(float *p, V v) { *(VU *)p = (VU)v; }
INLINE V v_zero(void) { return (V){0}; }
INLINE V v_abs(V v) { return (V)((I)v & 0x7fffffff); }
/* yes where the mask, a comparison, is true, else no */
INLINE V v_select(I mask, V yes, V no) { return (V)((mask & (I)yes) | (~mask & (I)no)); }

#if defined(SA_AVX512)

INLINE V v_set(float x) { return _mm512_set1_ps(x); }
INLINE V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
INLINE V v_opaque(V v) {
  __asm__("" : "+v"(v));
  return v;
}
INLINE __mmask16 v_first(long n) { return (__mmask16)((1u << n) - 1); }
INLINE V v_load_part(const float *p, long n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
INLINE void v_store_part(float *p, V v, long n) { _mm512_mask_storeu_ps(p, v_first(n), v); }
/* value where test > 0, else 0 (a NaN test gives 0) */
INLINE V v_where_positive(V test, V value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(test, v_zero(), _CMP_GT_OQ), value);
}
/* The smaller, the larger of two; b when either is NaN, as the instructions have it. */
INLINE V v_min(V a, V b) { return _mm512_min_ps(a, b); }
INLINE V v_max(V a, V b) { return _mm512_max_ps(a, b); }
INLINE V v_sqrt(V v) { return _mm512_sqrt_ps(v); }
/* The clamp to [-1, 1] in one instruction: copysign(min(|d|, 1), d). A NaN becomes 1 or -1, here and in the others. */
INLINE V v_clamp(V d, V one) { return _mm512_range_ps(d, one, 2); }

#else

#if defined(SA_AVX2)
INLINE V v_set(float x) { return _mm256_set1_ps(x); }
INLINE V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
INLINE V v_opaque(V v) {
  __asm__("" : "+x"(v));
  return v;
}
static const int32_t part_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
INLINE __m256i v_first(long n) { return _mm256_loadu_si256((const __m256i *)(part_mask + 8 - n)); }
INLINE V v_load_part(const float *p, long n) { return _mm256_maskload_ps(p, v_first(n)); }
INLINE void v_store_part(float *p, V v, long n) { _mm256_maskstore_ps(p, v_first(n), v); }
INLINE V v_where_positive(V test, V value) {
  return _mm256_and_ps(_mm256_cmp_ps(test, v_zero(), _CMP_GT_OQ), value);
}
INLINE V v_min(V a, V b) { return _mm256_min_ps(a, b); }
INLINE V v_max(V a, V b) { return _mm256_max_ps(a, b); }
INLINE V v_sqrt(V v) { return _mm256_sqrt_ps(v); }
/* As whole numbers: floats above 1 are larger than it, and without a sign those below -1 are larger than that. These
 * minima leave the pipes that add floats free. */
INLINE V v_clamp(V d, V one) {
  const __m256i below = _mm256_min_epi32(_mm256_castps_si256(d), _mm256_castps_si256(one));
  return _mm256_castsi256_ps(_mm256_min_epu32(below, _mm256_castps_si256(-one)));
}

#elif defined(SA_WASM)
INLINE V v_set(float x) { return (V)wasm_f32x4_splat(x); }
INLINE V v_fma(V a, V b, V c) { return a * b + c; }
INLINE V v_opaque(V v) {
  __asm__("" : "+r"(v));
  return v;
}
INLINE V v_load_part(const float *p, long n) {
  if (n == 1) return (V)wasm_v128_load32_zero(p);
  const v128_t two = wasm_v128_load64_zero(p);
  return (V)(n == 2 ? two : wasm_v128_load32_lane(p + 2, two, 2));
}
INLINE void v_store_part(float *p, V v, long n) {
  if (n == 1) {
    wasm_v128_store32_lane(p, (v128_t)v, 0);
    return;
  }
  wasm_v128_store64_lane(p, (v128_t)v, 0);
  if (n == 3) wasm_v128_store32_lane(p + 2, (v128_t)v, 2);
}
INLINE V v_where_positive(V test, V value) { return (V)((I)value & (I)(test > v_zero())); }
/* pmin and pmax are single instructions of the processors, unlike min and max; pmin(b, a) is a < b ? a : b. */
INLINE V v_min(V a, V b) { return (V)wasm_f32x4_pmin((v128_t)b, (v128_t)a); }
INLINE V v_max(V a, V b) { return (V)wasm_f32x4_pmax((v128_t)b, (v128_t)a); }
INLINE V v_sqrt(V v) { return (V)wasm_f32x4_sqrt((v128_t)v); }
/* As for AVX2. */
INLINE V v_clamp(V d, V one) {
  return (V)wasm_u32x4_min(wasm_i32x4_min((v128_t)d, (v128_t)one), (v128_t)-one);
}

#else

INLINE V v_load_part(const float *p, long n) {
  V v = v_zero();
  memcpy(&v, p, (size_t)n * sizeof(float));
  return v;
}
INLINE void v_store_part(float *p, V v, long n) { memcpy(p, &v, (size_t)n * sizeof(float)); }
INLINE V v_fma(V a, V b, V c) { return a * b + c; }

#if defined(SA_SSE4)
INLINE V v_set(float x) { return _mm_set1_ps(x); }
INLINE V v_opaque(V v) {
  __asm__("" : "+x"(v));
  return v;
}
INLINE V v_where_positive(V test, V value) { return _mm_and_ps(_mm_cmpgt_ps(test, v_zero()), value); }
INLINE V v_min(V a, V b) { return _mm_min_ps(a, b); }
INLINE V v_max(V a, V b) { return _mm_max_ps(a, b); }
INLINE V v_sqrt(V v) { return _mm_sqrt_ps(v); }
/* As for AVX2. */
INLINE V v_clamp(V d, V one) {
  const __m128i below = _mm_min_epi32(_mm_castps_si128(d), _mm_castps_si128(one));
  return _mm_castsi128_ps(_mm_min_epu32(below, _mm_castps_si128(-one)));
}
#else
INLINE V v_set(float x) { return (V){x, x, x, x}; }
INLINE V v_opaque(V v) { return v; }
INLINE V v_where_positive(V test, V value) { return (V)((I)value & (I)(test > v_zero())); }
INLINE V v_min(V a, V b) { return v_select((I)(a < b), a, b); }
INLINE V v_max(V a, V b) { return v_select((I)(a > b), a, b); }
INLINE V v_sqrt(V v) {
  return (V){__builtin_sqrtf(v[0]), __builtin_sqrtf(v[1]), __builtin_sqrtf(v[2]), __builtin_sqrtf(v[3])};
}
INLINE V v_clamp(V d, V one) {
  d = v_select((I)(d > one), one, d);
  return v_select((I)(-one > d), -one, d);
}
#endif
#endif
#endif

/* x where x is NaN, else v */
INLINE V v_keep_nan(V v, V x) {
  const I nan = (I)(x != x);
  return (V)((nan & (I)x) | (~nan & (I)v));
}

/* max(0, x); a NaN stays */
INLINE V v_relu(V x) { return v_max(v_zero(), x); }

/* acc + |d|. The multiplication by an opaque one lets the FMA pipes share the work of the adders. */
INLINE V v_add_abs(V d, V one, V acc) {
#if defined(SA_AVX512) || defined(SA_AVX2)
  return v_fma(v_abs(d), one, acc);
#elif defined(SA_WASM)
  (void)one; /* an `and` that LLVM must not turn into f32x4.abs, which V8 makes three instructions of */
  return acc + (V)((I)d & (I)v_opaque((V)((I){0} + 0x7fffffff)));
#else
  (void)one;
  return acc + v_abs(d);
#endif
}

/* `fold` adjacent floats (2 or 4) repeated over the vector, in one load. */
INLINE V v_set_group(const float *p, const int fold) {
#if WIDTH == 4
  if (fold == 4) return v_load(p);
#if defined(SA_SSE4)
  double pair;
  memcpy(&pair, p, sizeof pair);
  return _mm_castpd_ps(_mm_set1_pd(pair));
#elif defined(SA_WASM)
  return (V)wasm_v128_load64_splat(p);
#else
  return (V){p[0], p[1], p[0], p[1]};
#endif
#elif WIDTH == 8
  if (fold == 4) return _mm256_broadcast_ps((const __m128 *)p);
  double pair;
  memcpy(&pair, p, sizeof pair);
  return _mm256_castpd_ps(_mm256_set1_pd(pair));
#else
  if (fold == 4) return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
  double pair;
  memcpy(&pair, p, sizeof pair);
  return _mm512_castpd_ps(_mm512_set1_pd(pair));
#endif
}

/* Each lane's neighbour c within its group of `group` lanes (1, 2 or 4; both known to the compiler). */
INLINE V v_pick(V v, const int group, const int c) {
  if (group == 1) return v;
#if defined(SA_AVX512)
  if (group == 2) return c == 0 ? _mm512_permute_ps(v, 0xa0) : _mm512_permute_ps(v, 0xf5);
  return c == 0   ? _mm512_permute_ps(v, 0x00)
         : c == 1 ? _mm512_permute_ps(v, 0x55)
         : c == 2 ? _mm512_permute_ps(v, 0xaa)
                  : _mm512_permute_ps(v, 0xff);
#elif defined(SA_AVX2)
  if (group == 2) return c == 0 ? _mm256_permute_ps(v, 0xa0) : _mm256_permute_ps(v, 0xf5);
  return c == 0   ? _mm256_permute_ps(v, 0x00)
         : c == 1 ? _mm256_permute_ps(v, 0x55)
         : c == 2 ? _mm256_permute_ps(v, 0xaa)
                  : _mm256_permute_ps(v, 0xff);
#else
  return group == 2 ? (V){v[c], v[c], v[2 + c], v[2 + c]} : (V){v[c], v[c], v[c], v[c]};
#endif
}

/* Sums of adjacent pairs: a0+a1, a2+a3, ..., b0+b1, ... */
INLINE V v_add_pairs(V a, V b) {
#if defined(SA_AVX512)
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return _mm512_permutex2var_ps(a, even, b) + _mm512_permutex2var_ps(a, odd, b);
#elif defined(SA_AVX2)
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(_mm256_hadd_ps(a, b)), 0xd8));
#else
  return (V){a[0] + a[1], a[2] + a[3], b[0] + b[1], b[2] + b[3]};
#endif
}

/* Transposes the WIDTH x WIDTH floats of the vectors r[0 .. WIDTH). */
INLINE void v_transpose(V *r) {
#if defined(SA_AVX512)
  V t[16];
  UNROLL
  for (int i = 0; i < 16; i += 2) { /* pairs of rows, interleaved within each quarter */
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 16; i += 4) { /* r[i + j]: column j of each quarter, four rows */
    r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  UNROLL
  for (int j = 0; j < 4; j++) {
    t[j] = _mm512_shuffle_f32x4(r[j], r[j + 4], 0x88);
    t[j + 4] = _mm512_shuffle_f32x4(r[j], r[j + 4], 0xdd);
    t[j + 8] = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0x88);
    t[j + 12] = _mm512_shuffle_f32x4(r[j + 8], r[j + 12], 0xdd);
  }
  UNROLL
  for (int j = 0; j < 4; j++) {
    r[j] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0x88);
    r[j + 4] = _mm512_shuffle_f32x4(t[j + 4], t[j + 12], 0x88);
    r[j + 8] = _mm512_shuffle_f32x4(t[j], t[j + 8], 0xdd);
    r[j + 12] = _mm512_shuffle_f32x4(t[j + 4], t[j + 12], 0xdd);
  }
#elif defined(SA_AVX2)
  V t[8];
  UNROLL
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  UNROLL
  for (int j = 0; j < 4; j++) {
    const V low = r[j], high = r[j + 4];
    r[j] = _mm256_permute2f128_ps(low, high, 0x20);
    r[j + 4] = _mm256_permute2f128_ps(low, high, 0x31);
  }
#elif defined(SA_SSE4)
  _MM_TRANSPOSE4_PS(r[0], r[1], r[2], r[3]);
#else
  const V a = r[0], b = r[1], c = r[2], d = r[3];
  UNROLL
  for (int i = 0; i < 4; i++) r[i] = (V){a[i], b[i], c[i], d[i]};
#endif
}

/* The sum of a vector's elements, in double. */
INLINE double v_total(V v) {
#if defined(SA_AVX512)
  const __m512d wide = _mm512_cvtps_pd(_mm512_castps512_ps256(v)) + _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  const __m256d four = _mm512_castpd512_pd256(wide) + _mm512_extractf64x4_pd(wide, 1);
#elif defined(SA_AVX2)
  const __m256d four = _mm256_cvtps_pd(_mm256_castps256_ps128(v)) + _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
#endif
#if defined(SA_AVX512) || defined(SA_AVX2)
  const __m128d two = _mm256_castpd256_pd128(four) + _mm256_extractf128_pd(four, 1);
  return two[0] + two[1];
#else
  return ((double)v[0] + (double)v[2]) + ((double)v[1] + (double)v[3]);
#endif
}

/* The largest of a vector's elements; where some are NaN, whatever v_max makes of them. */
INLINE float v_largest(V v) {
#if defined(SA_AVX512)
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#elif defined(SA_AVX2)
  const __m256 eight = v;
#endif
#if defined(SA_AVX512) || defined(SA_AVX2)
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
#else
  const float a = v[0] > v[1] ? v[0] : v[1], b = v[2] > v[3] ? v[2] : v[3];
  return a > b ? a : b;
#endif
}

INLINE V v_load_up_to(const float *p, long n) { return n >= WIDTH ? v_load(p) : v_load_part(p, n); }
INLINE void v_store_up_to(float *p, V v, long n) {
  if (n >= WIDTH)
    v_store(p, v);
  else
    v_store_part(p, v, n);
}

/* Comparison mask of the first n lanes. */
INLINE I v_lanes(long n) {
#if WIDTH == 16
  const I index = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
#elif WIDTH == 8
  const I index = {0, 1, 2, 3, 4, 5, 6, 7};
#else
  const I index = {0, 1, 2, 3};
#endif
  return index < (int32_t)n;
}
/* Up to WIDTH floats from p, the lanes after the first n holding `fill`. */
INLINE V v_load_or(const float *p, long n, float fill) {
  return n >= WIDTH ? v_load(p) : v_select(v_lanes(n), v_load_part(p, n), v_set(fill));
}

/* Memory that will be needed soon, fetched into the second-level cache in equal shares while something else is
 * computed. (A number of lines that varied from share to share would be mispredicted each time.) */
enum { CACHE_LINE = 64 };
typedef struct {
  const char *at, *end;
  long lines; /* of a share */
} fetch;

INLINE fetch fetch_of(const void *from, const void *end, long shares) {
  return (fetch){from, end, ((const char *)end - (const char *)from) / (shares * CACHE_LINE) + 1};
}

INLINE void fetch_share(fetch *f) {
  if (f->at >= f->end) return;
  for (long i = 0; i < f->lines; i++, f->at += CACHE_LINE) __builtin_prefetch(f->at, 0, 2);
}

INLINE long min_long(long a, long b) { return a < b ? a : b; }
INLINE long max_long(long a, long b) { return a > b ? a : b; }
INLINE long ceil_div(long a, long b) { return (a + b - 1) / b; }

#endif
