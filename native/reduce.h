/*
 * Reductions of x [outer, reduced, inner] over its middle axis.
 *
 * The work is cut into matrices [reduced, inner], those into blocks of columns, and those into parts of rows; parts are
 * combined in double, in order, so that the result knows nothing of threads. Where an inner row is narrower than a few
 * vectors, sums go through the wide rows of normalisation.h. Float lanes take at most SUM_ROWS values.
 */

enum { REDUCE_SUM, REDUCE_PRODUCTS, REDUCE_MAXIMUM };
enum { NARROW = BLOCK * WIDTH, BLOCK_COLUMNS = 512, PART = 1 << 15, SUM_ROWS = 128 };

typedef struct {
  int kind;
  long outer, reduced, inner;
  long blocks, parts, part_rows;
  double scale;
  const float *x, *other; /* other: the second factor, or of a gradient the maximum */
  const float *dy;
  float *to;
  double *partial; /* [outer][parts][inner]; NULL with one part */
} slices;

/* A tile: the matrix it lies in, its rows and its columns. */
typedef struct {
  long matrix, part, row0, rows, column0, columns;
  long at; /* of its first element in x */
} slice;

static slices slices_of(int kind, long outer, long reduced, long inner) {
  slices s = {.kind = kind, .outer = outer, .reduced = reduced, .inner = inner, .scale = 1};
  const long columns = min_long(inner, BLOCK_COLUMNS);
  s.blocks = ceil_div(inner, BLOCK_COLUMNS);
  s.part_rows = max_long(SUM_ROWS, PART / max_long(1, columns));
  s.parts = ceil_div(reduced, s.part_rows);
  return s;
}

static slice slice_at(const slices *c, long tile) {
  if (c->parts == 1 && c->blocks == 1)
    return (slice){.matrix = tile, .rows = c->reduced, .columns = c->inner, .at = tile * c->reduced * c->inner};
  slice s = {.part = tile % c->parts};
  const long block = tile / c->parts % c->blocks;
  s.matrix = tile / c->parts / c->blocks;
  s.row0 = s.part * c->part_rows;
  s.rows = min_long(c->part_rows, c->reduced - s.row0);
  s.column0 = block * BLOCK_COLUMNS;
  s.columns = min_long(BLOCK_COLUMNS, c->inner - s.column0);
  s.at = (s.matrix * c->reduced + s.row0) * c->inner + s.column0;
  return s;
}

static void store_results(const slices *c, const slice *s, long column, const double *values, long count) {
  const long at = s->column0 + column;
  for (long i = 0; i < count; i++)
    if (c->parts == 1)
      c->to[s->matrix * c->inner + at + i] = (float)(values[i] * c->scale);
    else
      c->partial[(s->matrix * c->parts + s->part) * c->inner + at + i] = values[i];
}

/* Up to NARROW columns, `vectors` vectors of them, row by row: into `to` where a float lane can take all the rows, else
 * into `results`. Returns whether it was `to`. */
INLINE int reduce_block(const int kind, const int vectors, const slices *c, long at, long rows, long lanes,
                        float *to, double *results) {
  const long last = lanes - (vectors - 1) * WIDTH; /* lanes of the last vector */
  float spill[NARROW] ALIGNED;
  if (!to)
    for (long i = 0; i < lanes; i++) results[i] = kind == REDUCE_MAXIMUM ? -INFINITY : 0;
  for (long r = 0; r < rows;) {
    V sum[BLOCK];
    I bad[BLOCK];
    UNROLL
    for (int v = 0; v < vectors; v++) {
      sum[v] = kind == REDUCE_MAXIMUM ? v_set(-INFINITY) : v_zero();
      bad[v] = (I){0};
    }
    for (const long end = min_long(rows, r + SUM_ROWS); r < end; r++, at += c->inner) {
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const long i = at + v * WIDTH;
        const V x = v == vectors - 1 ? v_load_up_to(c->x + i, last) : v_load(c->x + i);
        if (kind == REDUCE_SUM) {
          sum[v] += x;
        } else if (kind == REDUCE_PRODUCTS) {
          sum[v] = v_fma(x, v == vectors - 1 ? v_load_up_to(c->other + i, last) : v_load(c->other + i), sum[v]);
        } else {
          sum[v] = v_max(x, sum[v]);
          bad[v] |= (I)(x != x);
        }
      }
    }
    if (to) {
      const V scale = v_set((float)c->scale);
      UNROLL
      for (int v = 0; v < vectors; v++) {
        if (kind == REDUCE_MAXIMUM)
          sum[v] = v_select(bad[v], v_set(NAN), sum[v]);
        else
          sum[v] *= scale;
        v_store_up_to(to + v * WIDTH, sum[v], v == vectors - 1 ? last : WIDTH);
      }
      return 1;
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
      v_store(spill + v * WIDTH, kind == REDUCE_MAXIMUM ? v_select(bad[v], v_set(NAN), sum[v]) : sum[v]);
    for (long i = 0; i < lanes; i++) {
      const double value = (double)spill[i];
      if (kind != REDUCE_MAXIMUM)
        results[i] += value;
      else if (value > results[i] || value != value)
        results[i] = value;
    }
  }
  return 0;
}

INLINE void reduce_wide(const int kind, const slices *c, const slice *s) {
  double results[NARROW];
  for (long j = 0; j < s->columns;) {
    const long left = s->columns - j, lanes = left >= NARROW ? NARROW : min_long(left, 3 * WIDTH), at = s->at + j;
    float *to = s->rows == c->reduced && s->rows <= SUM_ROWS ? c->to + s->matrix * c->inner + s->column0 + j : 0;
    const int done = lanes == NARROW      ? reduce_block(kind, BLOCK, c, at, s->rows, lanes, to, results)
                     : lanes > 2 * WIDTH ? reduce_block(kind, 3, c, at, s->rows, lanes, to, results)
                     : lanes > WIDTH     ? reduce_block(kind, 2, c, at, s->rows, lanes, to, results)
                                         : reduce_block(kind, 1, c, at, s->rows, lanes, to, results);
    if (!done) store_results(c, s, j, results, lanes);
    j += lanes;
  }
}

static void sum_narrow(const slices *c, const slice *s) {
  double sums[NARROW] = {0};
  const float *x = c->x + s->at, *other = c->other ? c->other + s->at : 0;
  if (s->rows * c->inner < NARROW) {
    for (long r = 0, at = 0; r < s->rows; r++)
      for (long i = 0; i < c->inner; i++, at++) sums[i] += other ? (double)x[at] * other[at] : (double)x[at];
  } else {
    const reduction r = {.f = fold_rows(s->rows, c->inner), .x = x, .dy = other};
    const long some = SUM_ROWS * r.f.fold;
    for (long row = 0; row < s->rows; row += some)
      if (other)
        reduce_rows(PRODUCTS, &r, 0, row, min_long(some, s->rows - row), sums, 0);
      else
        reduce_rows(SUM, &r, 0, row, min_long(some, s->rows - row), sums, 0);
  }
  store_results(c, s, 0, sums, c->inner);
}

INLINE V add_term(const int kind, const float *x, const float *other, long i, long lanes, V sum) {
  const V value = v_load_up_to(x + i, lanes);
  if (kind == REDUCE_PRODUCTS) return v_fma(value, v_load_up_to(other + i, lanes), sum);
  return sum + value;
}

/* Sums of consecutive values, or of their products with others. */
INLINE double row_sum(const int kind, const float *x, const float *other, long count) {
  if (count < 2 * WIDTH) {
    double few = 0;
    for (long i = 0; i < count; i++) few += kind == REDUCE_PRODUCTS ? (double)x[i] * other[i] : (double)x[i];
    return few;
  }
  double total = 0;
  for (long i = 0; i < count;) {
    const long end = min_long(count, i + SUM_ROWS * BLOCK * WIDTH);
    V sum[BLOCK];
    UNROLL
    for (int v = 0; v < BLOCK; v++) sum[v] = v_zero();
    for (; i + BLOCK * WIDTH <= end; i += BLOCK * WIDTH) {
      UNROLL
      for (int v = 0; v < BLOCK; v++) sum[v] = add_term(kind, x, other, i + v * WIDTH, WIDTH, sum[v]);
    }
    for (; i < end; i += WIDTH) sum[0] = add_term(kind, x, other, i, end - i, sum[0]);
    i = end;
    total += v_total((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
  return total;
}

/* The larger of two; a NaN is the largest of all. */
INLINE float larger(float a, float b) { return a > b || a != a ? a : b; }

/* The largest of consecutive values. */
static double row_largest(const float *x, long count) {
  if (count < WIDTH) {
    float most = -INFINITY;
    for (long i = 0; i < count; i++) most = larger(most, x[i]);
    return (double)most;
  }
  V top[2] = {v_set(-INFINITY), v_set(-INFINITY)}; /* apart, so that they need not wait for each other */
  I bad = {0};
  long i = 0;
  for (; i + 2 * WIDTH <= count; i += 2 * WIDTH) {
    UNROLL
    for (int v = 0; v < 2; v++) {
      const V value = v_load(x + i + v * WIDTH);
      top[v] = v_max(value, top[v]);
      bad |= (I)(value != value);
    }
  }
  for (; i < count; i += WIDTH) {
    const V value = v_load_or(x + i, count - i, -INFINITY);
    top[0] = v_max(value, top[0]);
    bad |= (I)(value != value);
  }
  const float nan = v_largest(v_select(bad, v_set(1), v_zero()));
  return nan > 0 ? (double)NAN : (double)v_largest(v_max(top[0], top[1]));
}

static void reduce_tiles(void *context, long first, long last) {
  const slices *c = context;
  for (long tile = first; tile < last; tile++) {
    const slice s = slice_at(c, tile);
    if (c->inner == 1) {
      const double result = c->kind == REDUCE_MAXIMUM ? row_largest(c->x + s.at, s.rows)
                            : c->kind == REDUCE_SUM   ? row_sum(REDUCE_SUM, c->x + s.at, 0, s.rows)
                                                      : row_sum(REDUCE_PRODUCTS, c->x + s.at, c->other + s.at, s.rows);
      store_results(c, &s, 0, &result, 1);
    } else if (c->kind == REDUCE_MAXIMUM) {
      reduce_wide(REDUCE_MAXIMUM, c, &s);
    } else if (c->inner < NARROW) {
      sum_narrow(c, &s);
    } else if (c->kind == REDUCE_SUM) {
      reduce_wide(REDUCE_SUM, c, &s);
    } else {
      reduce_wide(REDUCE_PRODUCTS, c, &s);
    }
  }
}

static int run_slices(slices c) {
  const long tiles = c.outer * c.blocks * c.parts, size = c.outer * c.inner;
  if (c.parts > 1) {
    c.partial = sa_scratch(SA_SLOT_SUMS, (size_t)(size * c.parts) * sizeof(double));
    if (!c.partial) return SA_NO_MEMORY;
  }
  if (size * c.reduced <= PIECE) /* not worth waking a thread for */
    reduce_tiles(&c, 0, tiles);
  else
    sa_parallel(reduce_tiles, &c, tiles);
  if (c.parts == 1) return SA_OK;
  for (long n = 0; n < c.outer; n++) {
    double *total = c.partial + n * c.parts * c.inner;
    for (long p = 1; p < c.parts; p++)
      for (long i = 0; i < c.inner; i++) {
        const double value = total[p * c.inner + i];
        if (c.kind != REDUCE_MAXIMUM)
          total[i] += value;
        else if (value > total[i] || value != value)
          total[i] = value;
      }
    for (long i = 0; i < c.inner; i++) c.to[n * c.inner + i] = (float)(total[i] * c.scale);
  }
  return SA_OK;
}

static int reduce_sum(long outer, long reduced, long inner, double scale, const float *x, float *y) {
  slices c = slices_of(REDUCE_SUM, outer, reduced, inner);
  c.x = x;
  c.scale = scale;
  c.to = y;
  return run_slices(c);
}

static int reduce_products(long outer, long reduced, long inner, const float *a, const float *b, float *y) {
  slices c = slices_of(REDUCE_PRODUCTS, outer, reduced, inner);
  c.x = a;
  c.other = b;
  c.to = y;
  return run_slices(c);
}

static int reduce_maximum(long outer, long reduced, long inner, const float *x, float *y) {
  slices c = slices_of(REDUCE_MAXIMUM, outer, reduced, inner);
  c.x = x;
  c.to = y;
  return run_slices(c);
}

/* dy goes to the first place of each column that holds the maximum, or a NaN. */
static void maximum_gradient_tiles(void *context, long first, long last) {
  const slices *c = context;
  for (long tile = first; tile < last; tile++) {
    const slice s = slice_at(c, tile);
    const long result = s.matrix * c->inner + s.column0;
    if (c->inner == 1) {
      const float *x = c->x + s.at, most = c->other[result];
      long r = 0;
      while (r + 1 < s.rows && x[r] != most && x[r] == x[r]) r++;
      memset(c->to + s.at, 0, (size_t)s.rows * sizeof(float));
      c->to[s.at + r] = c->dy[result];
      continue;
    }
    I taken[BLOCK_COLUMNS / WIDTH];
    memset(taken, 0, sizeof taken);
    for (long r = 0, at = s.at; r < s.rows; r++, at += c->inner)
      for (long j = 0; j < s.columns; j += WIDTH) {
        const long lanes = s.columns - j;
        const V x = v_load_up_to(c->x + at + j, lanes), most = v_load_up_to(c->other + result + j, lanes);
        const V dy = v_load_up_to(c->dy + result + j, lanes);
        const I hit = ((I)(x == most) | (I)(x != x)) & ~taken[j / WIDTH];
        taken[j / WIDTH] |= hit;
        v_store_up_to(c->to + at + j, v_select(hit, dy, v_zero()), lanes);
      }
  }
}

static void reduce_maximum_gradient(long outer, long reduced, long inner, const float *x, const float *y,
                                    const float *dy, float *dx) {
  slices c = slices_of(REDUCE_MAXIMUM, outer, reduced, inner);
  c.part_rows = reduced;
  c.parts = 1;
  c.x = x;
  c.other = y;
  c.dy = dy;
  c.to = dx;
  sa_parallel(maximum_gradient_tiles, &c, outer * c.blocks);
}
