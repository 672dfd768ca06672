/*
 * Per-channel reductions and maps over [rows, channels] (batch normalisation).
 *
 * So that any channel count fills vectors, `fold` rows are seen as one wide row whose width is a multiple of the
 * vector and at least four of them: 3 channels become 64 rows of 192 columns' worth of lanes, column j belonging to
 * channel j % channels. Sums run in float over at most a few hundred values per lane and are combined in double, tile
 * by tile in order, so that the result knows nothing of threads.
 */

enum { ROW_TILE = 1 << 14, BLOCK = 4 };

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
  f.tile_rows = f.fold * max_long(ceil_div(64, f.fold), ROW_TILE / f.wide);
  f.tiles = ceil_div(rows, f.tile_rows);
  return f;
}

/* What is summed over the rows of a tile. */
enum { SUM, SQUARES_ABOUT, GRADIENT_SUMS };

typedef struct {
  folding f;
  int relu;
  const float *x, *y, *dy, *mean;
  double *partial; /* [tiles][3][channels] */
} reduction;

/* Adds, for `vectors` vectors of wide columns from j, the sums over `count` wide rows (or with `lanes` < WIDTH of one
 * cut row) to first and second, indexed by channel. */
INLINE void reduce_columns(const int kind, const int vectors, const reduction *c, long at, long j, long count,
                           long lanes, const double *about, double *first, double *second) {
  const long channels = c->f.channels, wide = c->f.wide;
  V a[BLOCK], b[BLOCK], pivot[BLOCK];
  float spill[BLOCK * WIDTH] ALIGNED = {0};
  if (kind != SUM) {
    for (long i = 0; i < vectors * WIDTH; i++)
      spill[i] = about ? (float)about[(j + i) % channels] : c->mean[(j + i) % channels];
  }
  UNROLL
  for (int v = 0; v < vectors; v++) {
    a[v] = b[v] = v_zero();
    pivot[v] = v_load(spill + v * WIDTH);
  }
  for (long r = 0; r < count; r++, at += wide) {
    UNROLL
    for (int v = 0; v < vectors; v++) {
      const long i = at + j + v * WIDTH;
      const V x = v_load_up_to(c->x + i, lanes);
      if (kind == SUM) {
        a[v] += x;
      } else if (kind == SQUARES_ABOUT) {
        const V d = x - pivot[v];
        a[v] += d;
        b[v] = v_fma(d, d, b[v]);
      } else {
        V dy = v_load_up_to(c->dy + i, lanes);
        if (c->relu) dy = v_where_positive(v_load_up_to(c->y + i, lanes), dy);
        a[v] += dy;
        b[v] = v_fma(dy, x - pivot[v], b[v]);
      }
    }
  }
  const long valid = min_long(lanes, vectors * WIDTH);
  UNROLL
  for (int v = 0; v < vectors; v++) v_store(spill + v * WIDTH, a[v]);
  for (long i = 0; i < valid; i++) first[(j + i) % channels] += spill[i];
  if (kind == SUM) return;
  UNROLL
  for (int v = 0; v < vectors; v++) v_store(spill + v * WIDTH, b[v]);
  for (long i = 0; i < valid; i++) second[(j + i) % channels] += spill[i];
}

INLINE void reduce_tile(const int kind, const reduction *c, long tile, const double *about, double *first,
                        double *second) {
  const folding *f = &c->f;
  const long row0 = tile * f->tile_rows, rows = min_long(f->tile_rows, f->rows - row0);
  const long count = rows / f->fold, rest = rows % f->fold * f->channels;
  const long at = row0 * f->channels;
  long j = 0;
  if (count > 0) {
    for (; j + BLOCK * WIDTH <= f->wide; j += BLOCK * WIDTH)
      reduce_columns(kind, BLOCK, c, at, j, count, BLOCK * WIDTH, about, first, second);
    for (; j < f->wide; j += WIDTH) reduce_columns(kind, 1, c, at, j, count, WIDTH, about, first, second);
  }
  for (j = 0; j < rest; j += WIDTH)
    reduce_columns(kind, 1, c, at + count * f->wide, j, 1, min_long(WIDTH, rest - j), about, first, second);
}

static void sum_tiles(void *context, long first, long last) {
  const reduction *c = context;
  for (long tile = first; tile < last; tile++) {
    double *to = c->partial + tile * 3 * c->f.channels;
    memset(to, 0, (size_t)c->f.channels * sizeof(double));
    reduce_tile(SUM, c, tile, 0, to, 0);
  }
}

/* Per tile: its mean rounded to float, and the sum and sum of squares about that. */
static void moment_tiles(void *context, long first, long last) {
  const reduction *c = context;
  const long channels = c->f.channels;
  for (long tile = first; tile < last; tile++) {
    double *mean = c->partial + tile * 3 * channels, *sum = mean + channels, *squares = sum + channels;
    const long rows = min_long(c->f.tile_rows, c->f.rows - tile * c->f.tile_rows);
    memset(mean, 0, (size_t)(3 * channels) * sizeof(double));
    reduce_tile(SUM, c, tile, 0, mean, 0);
    for (long i = 0; i < channels; i++) mean[i] = (float)(mean[i] / (double)rows);
    reduce_tile(SQUARES_ABOUT, c, tile, mean, sum, squares);
  }
}

static void gradient_sum_tiles(void *context, long first, long last) {
  const reduction *c = context;
  const long channels = c->f.channels;
  for (long tile = first; tile < last; tile++) {
    double *to = c->partial + tile * 3 * channels;
    memset(to, 0, (size_t)(2 * channels) * sizeof(double));
    reduce_tile(GRADIENT_SUMS, c, tile, 0, to, to + channels);
  }
}

static double *reduction_memory(const folding *f) {
  return sa_scratch(SA_SLOT_SUMS, (size_t)(f->tiles * 3 * f->channels) * sizeof(double));
}

static int column_sums(long rows, long channels, const float *x, float *sums) {
  reduction c = {.f = fold_rows(rows, channels), .x = x};
  c.partial = reduction_memory(&c.f);
  if (!c.partial) return SA_NO_MEMORY;
  sa_parallel(sum_tiles, &c, c.f.tiles);
  for (long i = 0; i < channels; i++) {
    double sum = 0;
    for (long t = 0; t < c.f.tiles; t++) sum += c.partial[t * 3 * channels + i];
    sums[i] = (float)sum;
  }
  return SA_OK;
}

static int channel_moments(long rows, long channels, const float *x, float *mean, float *variance) {
  reduction c = {.f = fold_rows(rows, channels), .x = x};
  c.partial = reduction_memory(&c.f);
  if (!c.partial) return SA_NO_MEMORY;
  sa_parallel(moment_tiles, &c, c.f.tiles);
  for (long i = 0; i < channels; i++) {
    double total = 0, squares = 0;
    for (long t = 0; t < c.f.tiles; t++) {
      const double *at = c.partial + t * 3 * channels + i;
      const double tile_rows = (double)min_long(c.f.tile_rows, rows - t * c.f.tile_rows);
      total += tile_rows * at[0] + at[channels];
    }
    total /= (double)rows;
    /* sum (x - m)^2 = sum (x - p)^2 + 2 (p - m) sum (x - p) + n (p - m)^2, p the tile's pivot */
    for (long t = 0; t < c.f.tiles; t++) {
      const double *at = c.partial + t * 3 * channels + i;
      const double tile_rows = (double)min_long(c.f.tile_rows, rows - t * c.f.tile_rows);
      const double shift = at[0] - total;
      squares += at[2 * channels] + shift * (2 * at[channels] + tile_rows * shift);
    }
    mean[i] = (float)total;
    squares /= (double)rows;
    variance[i] = squares < 0 ? 0.0f : (float)squares;
  }
  return SA_OK;
}

/* Per-channel maps: coefficients are laid out once for a wide row. */
typedef struct {
  folding f;
  int relu;
  const float *x, *y, *dy;
  float *to;
  const float *coefficient[4]; /* [wide] each */
} channel_map;

enum { MAP_AFFINE, MAP_GRADIENT };

INLINE V map_vector(const int kind, const int relu, const channel_map *c, long i, long j, long lanes) {
  const V x = v_load_up_to(c->x + i, lanes);
  const V c0 = v_load(c->coefficient[0] + j), c1 = v_load(c->coefficient[1] + j);
  if (kind == MAP_AFFINE) {
    const V y = v_fma(x, c0, c1);
    return relu ? v_relu(y) : y;
  }
  V dy = v_load_up_to(c->dy + i, lanes);
  if (relu) dy = v_where_positive(v_load_up_to(c->y + i, lanes), dy);
  return v_fma(dy, c0, v_fma(x - v_load(c->coefficient[3] + j), c1, v_load(c->coefficient[2] + j)));
}

INLINE void map_body(const int kind, const int relu, const channel_map *c, long first, long last) {
  const long wide = c->f.wide, end = min_long(last * c->f.tile_rows, c->f.rows) * c->f.channels;
  for (long at = first * c->f.tile_rows * c->f.channels; at < end; at += wide) {
    const long columns = min_long(wide, end - at);
    long j = 0;
    for (; j + WIDTH <= columns; j += WIDTH) v_store(c->to + at + j, map_vector(kind, relu, c, at + j, j, WIDTH));
    if (j < columns) {
      const long lanes = columns - j;
      v_store_part(c->to + at + j, map_vector(kind, relu, c, at + j, j, lanes), lanes);
    }
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
  const long wide = c.f.wide;
  float *memory = sa_scratch(SA_SLOT_CHANNELS, (size_t)(2 * wide) * sizeof(float));
  if (!memory) return SA_NO_MEMORY;
  for (long j = 0; j < wide; j++) {
    memory[j] = scale[j % channels];
    memory[wide + j] = shift[j % channels];
  }
  for (int i = 0; i < 2; i++) c.coefficient[i] = memory + i * wide;
  sa_parallel(affine_tiles, &c, c.f.tiles);
  return SA_OK;
}

/* The sums over all rows of dy and of dy (x - mean), into the first tile's partial sums, and the gradients of the
 * parameters that follow from them. */
static int gradient_sums(reduction *r, const float *inverse_std, float *dgamma, float *dbeta) {
  const long channels = r->f.channels;
  r->partial = reduction_memory(&r->f);
  if (!r->partial) return SA_NO_MEMORY;
  sa_parallel(gradient_sum_tiles, r, r->f.tiles);
  for (long i = 0; i < channels; i++) {
    double sum = 0, product = 0;
    for (long t = 0; t < r->f.tiles; t++) {
      sum += r->partial[t * 3 * channels + i];
      product += r->partial[(t * 3 + 1) * channels + i];
    }
    r->partial[i] = sum;
    r->partial[channels + i] = product;
    dbeta[i] = (float)sum;
    dgamma[i] = (float)(product * inverse_std[i]);
  }
  return SA_OK;
}

static int batch_norm_parameter_gradient(long rows, long channels, int relu, const float *x, const float *y,
                                         const float *dy, const float *mean, const float *inverse_std, float *dgamma,
                                         float *dbeta) {
  reduction r = {.f = fold_rows(rows, channels), .relu = relu, .x = x, .y = y, .dy = dy, .mean = mean};
  return gradient_sums(&r, inverse_std, dgamma, dbeta);
}

static int batch_norm_gradient(long rows, long channels, int relu, const float *x, const float *y, const float *dy,
                               const float *mean, const float *inverse_std, const float *gamma, float *dx,
                               float *dgamma, float *dbeta) {
  reduction r = {.f = fold_rows(rows, channels), .relu = relu, .x = x, .y = y, .dy = dy, .mean = mean};
  channel_map c = {.f = r.f, .relu = relu, .x = x, .y = y, .dy = dy, .to = dx};
  const long wide = c.f.wide;
  float *memory = sa_scratch(SA_SLOT_CHANNELS, (size_t)(4 * wide) * sizeof(float));
  if (!memory || gradient_sums(&r, inverse_std, dgamma, dbeta) != SA_OK) return SA_NO_MEMORY;
  for (long i = 0; i < channels; i++) {
    const double sum = r.partial[i], product = r.partial[channels + i];
    const double slope = (double)gamma[i] * inverse_std[i];
    memory[i] = (float)slope;
    memory[wide + i] = (float)(-slope * inverse_std[i] * inverse_std[i] * product / (double)rows);
    memory[2 * wide + i] = (float)(-slope * sum / (double)rows);
    memory[3 * wide + i] = mean[i];
  }
  for (long i = 0; i < 4; i++) {
    float *to = memory + i * wide;
    c.coefficient[i] = to;
    for (long j = channels; j < wide; j++) to[j] = to[j - channels];
  }
  sa_parallel(gradient_map_tiles, &c, c.f.tiles);
  return SA_OK;
}
