/*
 * The register tile behind matrix products and attention: C[p][j] = sum over k of a(p, k) * b[k][j] for a few rows p
 * and one or two vectors of columns j. A float of a is repeated over a vector and meets the vectors of b.
 *
 * The floats of a lie either with the rows apart and the steps k adjacent, or with the rows adjacent and the steps
 * apart: a matrix and its transpose can both be read where they are. One pointer serves three rows that are apart,
 * since a pointer for each row would not fit the integer registers.
 */

#if WIDTH == 16
enum { PRODUCT_ROWS = 14 };
#elif defined(SA_AVX2)
enum { PRODUCT_ROWS = 6 };
#else
enum { PRODUCT_ROWS = 4 };
#endif
enum { ROWS_APART, ROWS_ADJACENT, ROWS_PER_POINTER = 3 };
enum { PAIR = 2 * WIDTH };

typedef struct {
  const float *a;
  long a_stride; /* floats between rows when they are apart, between steps when rows are adjacent */
  const float *b;
  long b_stride; /* floats between steps */
  float *c;
  long c_stride; /* floats between rows */
  long steps;
  long lanes; /* columns of c to write, more than WIDTH for two vectors */
  int accumulate; /* add to what c holds */
} product;

INLINE void product_body(const int layout, const int P, const int NV, const product *job) {
  V acc[2 * PRODUCT_ROWS];
  const float *at[(PRODUCT_ROWS + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER];
  const long a_stride = job->a_stride, b_stride = job->b_stride;
  const float *b = job->b;
  UNROLL
  for (int p = 0; p < P; p += ROWS_PER_POINTER)
    at[p / ROWS_PER_POINTER] = job->a + (layout == ROWS_ADJACENT ? 0 : p * a_stride);
  UNROLL
  for (int i = 0; i < P * NV; i++) acc[i] = v_zero();

  for (long k = job->steps; k > 0; k--, b += b_stride) {
    V right[2];
    UNROLL
    for (int v = 0; v < NV; v++) right[v] = v_load(b + v * WIDTH);
    UNROLL
    for (int p = 0; p < P; p++) {
      const float *left = layout == ROWS_ADJACENT ? at[0] + p
                                                  : at[p / ROWS_PER_POINTER] + (p % ROWS_PER_POINTER) * a_stride;
      const V repeated = v_set(*left);
      UNROLL
      for (int v = 0; v < NV; v++) acc[p * NV + v] = v_fma(repeated, right[v], acc[p * NV + v]);
    }
    if (layout == ROWS_ADJACENT) {
      at[0] += a_stride;
    } else {
      UNROLL
      for (int p = 0; p < P; p += ROWS_PER_POINTER) {
        at[p / ROWS_PER_POINTER]++;
        /* hides the value, or the compiler makes a pointer per row again and keeps most of them in memory */
        __asm__("" : "+r"(at[p / ROWS_PER_POINTER]));
      }
    }
  }

  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int v = 0; v < NV; v++) {
      float *to = job->c + p * job->c_stride + v * WIDTH;
      V value = acc[p * NV + v];
      if (job->accumulate) value += v_load_up_to(to, job->lanes - v * WIDTH);
      v_store_up_to(to, value, job->lanes - v * WIDTH);
    }
  }
}

#define PRODUCT_KERNELS(P)                                                                             \
  NOINLINE void product_apart_1_##P(const product *job) { product_body(ROWS_APART, P, 1, job); }       \
  NOINLINE void product_apart_2_##P(const product *job) { product_body(ROWS_APART, P, 2, job); }       \
  NOINLINE void product_adjacent_1_##P(const product *job) { product_body(ROWS_ADJACENT, P, 1, job); } \
  NOINLINE void product_adjacent_2_##P(const product *job) { product_body(ROWS_ADJACENT, P, 2, job); }
#define PRODUCT_ROW(P) \
  {{product_apart_1_##P, product_apart_2_##P}, {product_adjacent_1_##P, product_adjacent_2_##P}}
PRODUCT_KERNELS(1)
PRODUCT_KERNELS(2)
PRODUCT_KERNELS(3)
PRODUCT_KERNELS(4)
#if WIDTH >= 8
PRODUCT_KERNELS(5)
PRODUCT_KERNELS(6)
#endif
#if WIDTH == 16
PRODUCT_KERNELS(7)
PRODUCT_KERNELS(8)
PRODUCT_KERNELS(9)
PRODUCT_KERNELS(10)
PRODUCT_KERNELS(11)
PRODUCT_KERNELS(12)
PRODUCT_KERNELS(13)
PRODUCT_KERNELS(14)
#endif

/* [rows - 1][layout][vectors - 1] */
static void (*const product_kernels[PRODUCT_ROWS][2][2])(const product *) = {
    PRODUCT_ROW(1), PRODUCT_ROW(2), PRODUCT_ROW(3), PRODUCT_ROW(4),
#if WIDTH >= 8
    PRODUCT_ROW(5), PRODUCT_ROW(6),
#endif
#if WIDTH == 16
    PRODUCT_ROW(7), PRODUCT_ROW(8), PRODUCT_ROW(9), PRODUCT_ROW(10),
    PRODUCT_ROW(11), PRODUCT_ROW(12), PRODUCT_ROW(13), PRODUCT_ROW(14),
#endif
};

INLINE void multiply_tile(int layout, const product *job, long rows) {
  product_kernels[rows - 1][layout][job->lanes > WIDTH](job);
}

/* First row of tile i when `rows` rows are cut into as few tiles as possible, all about equally high. */
INLINE long tile_row(long rows, long tiles, long i) { return rows * i / tiles; }
INLINE long tiles_of(long rows) { return ceil_div(rows, PRODUCT_ROWS); }

/* Fetches the rows of a after these: each is a stream of its own, too short for the processor to foresee. (Inline,
 * because GCC takes a function that only prefetches for one without effect.) */
INLINE void prefetch_rows(const float *a, long stride, long rows, long steps) {
  enum { LINE = 64 };
  for (long p = rows; p < 2 * rows; p++) {
    const uintptr_t row = (uintptr_t)a + (uintptr_t)(p * stride) * sizeof(float);
    for (long byte = 0; byte < 4 * steps; byte += LINE) __builtin_prefetch((const void *)(row + (uintptr_t)byte));
  }
}

/* The product for any number of rows; `job` describes the first. */
static void multiply_rows(int layout, product job, long rows) {
  const long tiles = tiles_of(rows);
  const float *a = job.a;
  float *c = job.c;
  for (long i = 0; i < tiles; i++) {
    const long first = tile_row(rows, tiles, i), last = tile_row(rows, tiles, i + 1);
    job.a = a + first * (layout == ROWS_ADJACENT ? 1 : job.a_stride);
    job.c = c + first * job.c_stride;
    if (layout == ROWS_APART) prefetch_rows(job.a, job.a_stride, last - first, job.steps);
    multiply_tile(layout, &job, last - first);
  }
}

/* to[c * to_stride + r] = from[r * stride + c] for c < columns and r < rows <= WIDTH. Every step of `to` is
 * written WIDTH wide, with zeros after the rows; where to_stride is smaller, the next step writes over them. */
static void transpose_strip(const float *from, long stride, long rows, long columns, float *to, long to_stride) {
  for (long c = 0; c < columns; c += WIDTH) {
    const long lanes = columns - c;
    V r[WIDTH];
    if (rows == WIDTH && lanes >= WIDTH) {
      UNROLL
      for (int i = 0; i < WIDTH; i++) r[i] = v_load(from + i * stride + c);
    } else {
      for (int i = 0; i < WIDTH; i++) r[i] = i < rows ? v_load_up_to(from + i * stride + c, lanes) : v_zero();
    }
    v_transpose(r);
    if (lanes >= WIDTH) {
      UNROLL
      for (int i = 0; i < WIDTH; i++) v_store(to + (c + i) * to_stride, r[i]);
    } else {
      for (int i = 0; i < lanes; i++) v_store(to + (c + i) * to_stride, r[i]);
    }
  }
}

/* Copies `rows` rows of up to PAIR floats side by side, zeros after the last column. */
static void copy_strip(const float *from, long stride, long rows, long columns, float *to) {
  for (long r = 0; r < rows; r++, from += stride, to += PAIR) {
    v_store(to, v_load_up_to(from, columns));
    v_store(to + WIDTH, columns > WIDTH ? v_load_up_to(from + WIDTH, columns - WIDTH) : v_zero());
  }
}
