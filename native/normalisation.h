/*
 * Per-channel reductions and maps over [rows, channels] (batch normalisation).
 *
 * So that any channel count fills vectors, `fold` rows are seen as one wide row whose width is a multiple of the
 * vector and at least four of them: 3 channels become 64 rows of 192 columns' worth of lanes, column j belonging to
 * channel j % channels. Sums run in float over at most a few hundred values per lane and are combined in double, tile
 * by tile in order, so that the result knows nothing of threads.
 */

#include <math.h>

enum { ROW_TILE = 1 << 14, BLOCK = 4, LEAST_TILE_ROWS = 64, PIVOT_ROWS = 4 };

typedef struct {
  long rows, channels;
  long fold, wide; /* rows per wide row; its columns */
  long tile_rows, tiles; /* tile_rows is a multiple of fold */
} folding;

static folding fold_rows(long rows, long channels) {
  folding f = {.rows = rows, .channels = channels, .fold = 1};
  while (f.fold * channels % WIDTH) f.fold++;
  while (f.fold * channels < BLOCK * WIDTH) f.fold *= 2;
  f.wide = f.fold * channels;
  f.tile_rows = f.fold * max_long(ceil_div(LEAST_TILE_ROWS, f.fold), ROW_TILE / f.wide);
  f.tiles = ceil_div(rows, f.tile_rows);
  return f;
}

static long rows_of_tile(const folding *f, long tile) { return min_long(f->tile_rows, f->rows - tile * f->tile_rows); }

/* Repeats the first `channels` of `values` up to the width of a wide row. */
static void widen(const folding *f, float *values) {
  for (long j = f->channels; j < f->wide; j++) values[j] = values[j - f->channels];
}

/* What is summed over the rows of a tile: x; x dy; x and its square, about a pivot; dy and dy (x - mean), dy being cut
 * where x scale + shift is not positive. */
enum { SUM, PRODUCTS, SQUARES_ABOUT, GRADIENT_SUMS, CUT_GRADIENT_SUMS };

typedef struct {
  folding f;
  const float *x, *dy;
  const float *mean, *scale, *shift; /* [wide] each */
  float *pivots; /* [tiles][wide] */
  double *partial; /* [tiles][2][channels], and [2][channels] for the totals */
} reduction;

/* Adds lanes of the wide columns from j to the sums of their channels. */
static void add_lanes(const float *lanes, long count, long channels, long j, double *sums) {
  if (channels == 1) {
    double sum[4] = {0}; /* apart, so that they need not wait for each other */
    for (long i = 0; i < count; i++) sum[i & 3] += (double)lanes[i];
    sums[0] += sum[0] + sum[1] + (sum[2] + sum[3]);
    return;
  }
  for (long i = 0, channel = j % channels; i < count; channel = 0) {
    const long run = min_long(count - i, channels - channel);
    for (long k = 0; k < run; k++) sums[channel + k] += (double)lanes[i + k];
    i += run;
  }
}

/* Adds, for `vectors` vectors of wide columns from j, the sums over `count` wide rows (or with `lanes` < WIDTH of one
 * cut row) to first and second, indexed by channel. */
INLINE void reduce_columns(const int kind, const int vectors, const reduction *c, const float *about, long at, long j,
                           long count, long lanes, double *first, double *second) {
  const long wide = c->f.wide;
  V a[BLOCK], b[BLOCK], pivot[BLOCK], scale[BLOCK], shift[BLOCK];
  UNROLL
  for (int v = 0; v < vectors; v++) {
    a[v] = b[v] = v_zero();
    if (kind >= SQUARES_ABOUT) pivot[v] = v_load(about + j + v * WIDTH);
    if (kind == CUT_GRADIENT_SUMS) {
      scale[v] = v_load(c->scale + j + v * WIDTH);
      shift[v] = v_load(c->shift + j + v * WIDTH);
    }
  }
  for (long r = 0; r < count; r++, at += wide) {
    UNROLL
    for (int v = 0; v < vectors; v++) {
      const long i = at + j + v * WIDTH;
      const V x = v_load_up_to(c->x + i, lanes);
      if (kind == SUM) {
        a[v] += x;
      } else if (kind == PRODUCTS) {
        a[v] = v_fma(x, v_load_up_to(c->dy + i, lanes), a[v]);
      } else if (kind == SQUARES_ABOUT) {
        const V d = x - pivot[v];
        a[v] += d;
        b[v] = v_fma(d, d, b[v]);
      } else {
        V dy = v_load_up_to(c->dy + i, lanes);
        if (kind == CUT_GRADIENT_SUMS) dy = v_where_positive(v_fma(x, scale[v], shift[v]), dy);
        a[v] += dy;
        b[v] = v_fma(dy, x - pivot[v], b[v]);
      }
    }
  }
  float spill[BLOCK * WIDTH] ALIGNED;
  const long valid = min_long(lanes, vectors * WIDTH);
  UNROLL
  for (int v = 0; v < vectors; v++) v_store(spill + v * WIDTH, a[v]);
  add_lanes(spill, valid, c->f.channels, j, first);
  if (kind < SQUARES_ABOUT) return;
  UNROLL
  for (int v = 0; v < vectors; v++) v_store(spill + v * WIDTH, b[v]);
  add_lanes(spill, valid, c->f.channels, j, second);
}

/* The sums over a number of rows from row0. */
INLINE void reduce_rows(const int kind, const reduction *c, const float *about, long row0, long rows, double *first,
                        double *second) {
  const folding *f = &c->f;
  const long count = rows / f->fold, rest = rows % f->fold * f->channels;
  const long at = row0 * f->channels;
  long j = 0;
  if (count > 0) {
    for (; j + BLOCK * WIDTH <= f->wide; j += BLOCK * WIDTH)
      reduce_columns(kind, BLOCK, c, about, at, j, count, BLOCK * WIDTH, first, second);
    for (; j < f->wide; j += WIDTH) reduce_columns(kind, 1, c, about, at, j, count, WIDTH, first, second);
  }
  for (j = 0; j < rest; j += WIDTH)
    reduce_columns(kind, 1, c, about, at + count * f->wide, j, 1, min_long(WIDTH, rest - j), first, second);
}

static double *partial_of(const reduction *c, long tile) { return c->partial + tile * 2 * c->f.channels; }

static void sum_tiles(void *context, long first, long last) {
  const reduction *c = context;
  for (long tile = first; tile < last; tile++) {
    double *to = partial_of(c, tile);
    memset(to, 0, (size_t)c->f.channels * sizeof(double));
    reduce_rows(SUM, c, 0, tile * c->f.tile_rows, rows_of_tile(&c->f, tile), to, 0);
  }
}

/* Per tile: a pivot for each channel, the mean of the first few wide rows, and the sum and the sum of squares about it. A
 * large mean then costs no digits, and the tile is read once. */
static void moment_tiles(void *context, long first, long last) {
  const reduction *c = context;
  const long channels = c->f.channels;
  for (long tile = first; tile < last; tile++) {
    double *sum = partial_of(c, tile);
    float *pivot = c->pivots + tile * c->f.wide;
    const long row0 = tile * c->f.tile_rows, rows = rows_of_tile(&c->f, tile);
    const long some = min_long(rows, PIVOT_ROWS * c->f.fold);
    memset(sum, 0, (size_t)channels * sizeof(double));
    reduce_rows(SUM, c, 0, row0, some, sum, 0);
    for (long i = 0; i < channels; i++) pivot[i] = (float)(sum[i] / (double)some);
    widen(&c->f, pivot);
    memset(sum, 0, (size_t)(2 * channels) * sizeof(double));
    reduce_rows(SQUARES_ABOUT, c, pivot, row0, rows, sum, sum + channels);
  }
}

static void gradient_sum_tiles(void *context, long first, long last) {
  const reduction *c = context;
  const long channels = c->f.channels;
  for (long tile = first; tile < last; tile++) {
    const long row0 = tile * c->f.tile_rows, rows = rows_of_tile(&c->f, tile);
    double *to = partial_of(c, tile);
    memset(to, 0, (size_t)(2 * channels) * sizeof(double));
    if (c->scale)
      reduce_rows(CUT_GRADIENT_SUMS, c, c->mean, row0, rows, to, to + channels);
    else
      reduce_rows(GRADIENT_SUMS, c, c->mean, row0, rows, to, to + channels);
  }
}

/* Runs the tiles and adds up their `sums` (1 or 2) partial sums for each channel; NULL when memory is short. */
static double *run_reduction(sa_tiles run, reduction *c, int sums) {
  const long channels = c->f.channels, tiles = c->f.tiles;
  c->partial = sa_scratch(SA_SLOT_SUMS, (size_t)((tiles + 1) * 2 * channels) * sizeof(double));
  if (!c->partial) return NULL;
  sa_parallel(run, c, tiles);
  double *total = partial_of(c, tiles);
  memset(total, 0, (size_t)(2 * channels) * sizeof(double));
  for (long t = 0; t < tiles; t++) {
    const double *at = partial_of(c, t);
    for (long i = 0; i < sums * channels; i++) total[i] += at[i];
  }
  return total;
}

static int column_sums(long rows, long channels, const float *x, float *sums) {
  reduction c = {.f = fold_rows(rows, channels), .x = x};
  const double *total = run_reduction(sum_tiles, &c, 1);
  if (!total) return SA_NO_MEMORY;
  for (long i = 0; i < channels; i++) sums[i] = (float)total[i];
  return SA_OK;
}

static int channel_moments(long rows, long channels, const float *x, float *mean, float *variance) {
  reduction c = {.f = fold_rows(rows, channels), .x = x};
  c.pivots = sa_scratch(SA_SLOT_ITEMS, (size_t)(c.f.tiles * c.f.wide) * sizeof(float));
  double *centre = c.pivots ? run_reduction(moment_tiles, &c, 1) : NULL;
  if (!centre) return SA_NO_MEMORY;
  double *squares = centre + channels;
  for (long t = 0; t < c.f.tiles; t++) {
    const double count = (double)rows_of_tile(&c.f, t);
    const float *pivot = c.pivots + t * c.f.wide;
    for (long i = 0; i < channels; i++) centre[i] += count * (double)pivot[i];
  }
  for (long i = 0; i < channels; i++) centre[i] /= (double)rows;
  /* sum (x - m)^2 = sum (x - p)^2 + 2 (p - m) sum (x - p) + n (p - m)^2, p the tile's pivot */
  for (long t = 0; t < c.f.tiles; t++) {
    const double count = (double)rows_of_tile(&c.f, t), *sum = partial_of(&c, t);
    const float *pivot = c.pivots + t * c.f.wide;
    for (long i = 0; i < channels; i++) {
      const double shift = (double)pivot[i] - centre[i];
      squares[i] += sum[channels + i] + shift * (2 * sum[i] + count * shift);
    }
  }
  for (long i = 0; i < channels; i++) {
    mean[i] = (float)centre[i];
    variance[i] = squares[i] < 0 ? 0.0f : (float)(squares[i] / (double)rows);
  }
  return SA_OK;
}

/* Per-channel maps: coefficients are laid out once for a wide row. */
typedef struct {
  folding f;
  int relu;
  const float *x, *dy;
  float *to;
  const float *scale, *shift, *mean, *slope, *by_product, *by_sum; /* [wide] each */
} channel_map;

enum { MAP_AFFINE, MAP_GRADIENT };

/* Vectors of columns taken together: as many as there are registers for. */
enum { MAP_BLOCK = WIDTH == 16 ? 4 : 2 };

/* What a map needs to know of some columns, held in registers over all rows of a tile. */
typedef struct {
  V scale[MAP_BLOCK], shift[MAP_BLOCK], mean[MAP_BLOCK], slope[MAP_BLOCK], by_product[MAP_BLOCK], by_sum[MAP_BLOCK];
} map_columns;

INLINE V map_vector(const int kind, const int relu, const channel_map *c, const map_columns *k, int v, long i,
                    long lanes) {
  const V x = v_load_up_to(c->x + i, lanes);
  if (kind == MAP_AFFINE) {
    const V y = v_fma(x, k->scale[v], k->shift[v]);
    return relu ? v_relu(y) : y;
  }
  V dy = v_load_up_to(c->dy + i, lanes);
  if (relu) dy = v_where_positive(v_fma(x, k->scale[v], k->shift[v]), dy);
  return v_fma(dy, k->slope[v], v_fma(x - k->mean[v], k->by_product[v], k->by_sum[v]));
}

/* `vectors` vectors of wide columns from j, over `count` wide rows from `at` (or with `lanes` < WIDTH over one cut row). */
INLINE void map_strip(const int kind, const int relu, const int vectors, const channel_map *c, long at, long j, long count,
                      long lanes) {
  map_columns k;
  UNROLL
  for (int v = 0; v < vectors; v++) {
    const long column = j + v * WIDTH;
    if (kind == MAP_AFFINE || relu) k.scale[v] = v_load(c->scale + column), k.shift[v] = v_load(c->shift + column);
    if (kind == MAP_AFFINE) continue;
    k.mean[v] = v_load(c->mean + column);
    k.slope[v] = v_load(c->slope + column);
    k.by_product[v] = v_load(c->by_product + column);
    k.by_sum[v] = v_load(c->by_sum + column);
  }
  for (long i = at + j; count > 0; count--, i += c->f.wide) {
    UNROLL
    for (int v = 0; v < vectors; v++)
      v_store_up_to(c->to + i + v * WIDTH, map_vector(kind, relu, c, &k, v, i + v * WIDTH, lanes), lanes);
  }
}

/* Tiles are taken from the last to the first: the sums before have left the end of the buffers in the caches. */
INLINE void map_body(const int kind, const int relu, const channel_map *context, long first, long last) {
  const channel_map c = *context;
  const folding *f = &c.f;
  for (long turn = first; turn < last; turn++) {
    const long tile = f->tiles - 1 - turn, rows = rows_of_tile(f, tile);
    const long count = rows / f->fold, rest = rows % f->fold * f->channels, at = tile * f->tile_rows * f->channels;
    long j = 0;
    for (; j + MAP_BLOCK * WIDTH <= f->wide; j += MAP_BLOCK * WIDTH)
      map_strip(kind, relu, MAP_BLOCK, &c, at, j, count, WIDTH);
    for (; j < f->wide; j += WIDTH) map_strip(kind, relu, 1, &c, at, j, count, WIDTH);
    for (j = 0; j < rest; j += WIDTH)
      map_strip(kind, relu, 1, &c, at + count * f->wide, j, 1, min_long(WIDTH, rest - j));
  }
}

static void affine_tiles(void *context, long first, long last) {
  const channel_map *c = context;
  if (c->relu)
    map_body(MAP_AFFINE, 1, c, first, last);
  else
    map_body(MAP_AFFINE, 0, c, first, last);
}

static void gradient_map_tiles(void *context, long first, long last) {
  const channel_map *c = context;
  if (c->relu)
    map_body(MAP_GRADIENT, 1, c, first, last);
  else
    map_body(MAP_GRADIENT, 0, c, first, last);
}

static int channel_affine(long rows, long channels, int relu, const float *x, const float *scale, const float *shift,
                          float *y) {
  channel_map c = {.f = fold_rows(rows, channels), .relu = relu, .x = x, .to = y};
  float *wide = sa_scratch(SA_SLOT_CHANNELS, (size_t)(2 * c.f.wide) * sizeof(float));
  if (!wide) return SA_NO_MEMORY;
  c.scale = memcpy(wide, scale, (size_t)channels * sizeof(float));
  c.shift = memcpy(wide + c.f.wide, shift, (size_t)channels * sizeof(float));
  widen(&c.f, wide);
  widen(&c.f, wide + c.f.wide);
  sa_parallel(affine_tiles, &c, c.f.tiles);
  return SA_OK;
}

/* The normalisation as the map x scale + shift. Forward and backward compute it here and nowhere else, so that both
 * find the same units cut by a ReLU. */
typedef struct {
  double epsilon;
  const float *mean, *variance, *gamma, *beta;
} moments_and_affine;

static double inverse_std(const moments_and_affine *n, long i) { return 1 / sqrt((double)n->variance[i] + n->epsilon); }

static void scale_and_shift(const folding *f, const moments_and_affine *n, float *scale, float *shift) {
  for (long i = 0; i < f->channels; i++) {
    scale[i] = (float)((double)n->gamma[i] * inverse_std(n, i));
    shift[i] = (float)((double)n->beta[i] - (double)n->mean[i] * (double)scale[i]);
  }
  widen(f, scale);
  widen(f, shift);
}

static int batch_norm(long rows, long channels, int relu, double epsilon, const float *x, const float *gamma,
                      const float *beta, float *mean, float *variance, float *y) {
  const int status = channel_moments(rows, channels, x, mean, variance);
  if (status != SA_OK) return status;
  channel_map c = {.f = fold_rows(rows, channels), .relu = relu, .x = x, .to = y};
  float *wide = sa_scratch(SA_SLOT_CHANNELS, (size_t)(2 * c.f.wide) * sizeof(float));
  if (!wide) return SA_NO_MEMORY;
  scale_and_shift(&c.f, &(moments_and_affine){epsilon, mean, variance, gamma, beta}, wide, wide + c.f.wide);
  c.scale = wide;
  c.shift = wide + c.f.wide;
  sa_parallel(affine_tiles, &c, c.f.tiles);
  return SA_OK;
}

/* dx may be NULL where nobody asks for it, or dy. */
static int batch_norm_gradient(long rows, long channels, int relu, double epsilon, const float *x, const float *dy,
                               const float *mean, const float *variance, const float *gamma, const float *beta,
                               float *dx, float *dgamma, float *dbeta) {
  const folding f = fold_rows(rows, channels);
  const long wide = f.wide;
  const moments_and_affine n = {epsilon, mean, variance, gamma, beta};
  float *memory = sa_scratch(SA_SLOT_CHANNELS, (size_t)(6 * wide) * sizeof(float));
  if (!memory) return SA_NO_MEMORY;
  float *scale = memory, *shift = scale + wide, *means = shift + wide;
  float *slope = means + wide, *by_product = slope + wide, *by_sum = by_product + wide;
  scale_and_shift(&f, &n, scale, shift);
  memcpy(means, mean, (size_t)channels * sizeof(float));
  widen(&f, means);
  reduction r = {.f = f, .x = x, .dy = dy, .mean = means, .scale = relu ? scale : NULL, .shift = shift};
  const double *sums = run_reduction(gradient_sum_tiles, &r, 2), *products = sums + channels;
  if (!sums) return SA_NO_MEMORY;
  for (long i = 0; i < channels; i++) {
    const double inverse = inverse_std(&n, i), each = (double)gamma[i] * inverse;
    dbeta[i] = (float)sums[i];
    dgamma[i] = (float)(products[i] * inverse);
    slope[i] = (float)each;
    by_product[i] = (float)(-each * inverse * inverse * products[i] / (double)rows);
    by_sum[i] = (float)(-each * sums[i] / (double)rows);
  }
  if (!dx) return SA_OK;
  widen(&f, slope);
  widen(&f, by_product);
  widen(&f, by_sum);
  channel_map c = {.f = f, .relu = relu, .x = x, .dy = dy, .to = dx, .scale = scale, .shift = shift};
  c.mean = means;
  c.slope = slope;
  c.by_product = by_product;
  c.by_sum = by_sum;
  sa_parallel(gradient_map_tiles, &c, f.tiles);
  return SA_OK;
}
