/*
 * Pooling over windows of x [batch, height, width, channels], channels in the lanes. Padding never takes part in a
 * maximum; in a mean it counts as zeros or not at all.
 */

enum { POOL_BLOCK = 64 }; /* channels of a tile of the maximum's gradient: whole cache lines */

typedef struct {
  sa_pooling g;
  int count_padding;
  const float *x, *y, *dy;
  float *to;
  long blocks;
  int failed; /* a thread had no memory */
} window_pool;

/* The part of a window that lies inside the map along one axis: [first, last). */
typedef struct {
  long first, last;
} range;

INLINE range window_range(long out, long stride, long pad, long kernel, long extent) {
  const long start = out * stride - pad;
  return (range){max_long(0, start), min_long(extent, start + kernel)};
}
INLINE range rows_of(const sa_pooling *g, long h) {
  return window_range(h, g->stride_height, g->pad_top, g->kernel_height, g->in_height);
}
INLINE range columns_of(const sa_pooling *g, long w) {
  return window_range(w, g->stride_width, g->pad_left, g->kernel_width, g->in_width);
}

/* One over the number of values in the mean of a window. */
INLINE float mean_share(const window_pool *c, range rows, range columns) {
  if (c->count_padding) return (float)(1.0 / ((double)c->g.kernel_height * c->g.kernel_width));
  return (float)(1.0 / (double)((rows.last - rows.first) * (columns.last - columns.first)));
}

INLINE const float *pixel(const window_pool *c, const float *from, long n, long h, long w) {
  return from + ((n * c->g.in_height + h) * c->g.in_width + w) * c->g.channels;
}

/* `vectors` vectors of channels from j of one output. */
INLINE void pool_window(const int maximum, const int vectors, const window_pool *c, long n, range rows, range columns,
                        float *to, long j, long lanes) {
  const long last = lanes - (vectors - 1) * WIDTH;
  V value[4];
  I bad[4];
  UNROLL
  for (int v = 0; v < vectors; v++) {
    value[v] = maximum ? v_set(-INFINITY) : v_zero();
    bad[v] = (I){0};
  }
  for (long h = rows.first; h < rows.last; h++)
    for (long w = columns.first; w < columns.last; w++) {
      const float *x = pixel(c, c->x, n, h, w) + j;
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const V each = v == vectors - 1 ? v_load_up_to(x + v * WIDTH, last) : v_load(x + v * WIDTH);
        if (maximum) {
          bad[v] |= (I)(each != each);
          value[v] = v_max(each, value[v]);
        } else {
          value[v] += each;
        }
      }
    }
  const V share = v_set(maximum ? 1 : mean_share(c, rows, columns));
  UNROLL
  for (int v = 0; v < vectors; v++) {
    if (maximum)
      value[v] = v_select(bad[v], v_set(NAN), value[v]);
    else
      value[v] *= share;
    v_store_up_to(to + v * WIDTH, value[v], v == vectors - 1 ? last : WIDTH);
  }
}

/* Tiles are rows of the output. */
INLINE void pool_rows(const int maximum, const window_pool *c, long first, long last) {
  const sa_pooling *g = &c->g;
  for (long row = first; row < last; row++) {
    const long n = row / g->out_height;
    const range rows = rows_of(g, row % g->out_height);
    for (long w = 0; w < g->out_width; w++) {
      const range columns = columns_of(g, w);
      float *to = c->to + (row * g->out_width + w) * g->channels;
      long j = 0;
      for (; j + 4 * WIDTH <= g->channels; j += 4 * WIDTH)
        pool_window(maximum, 4, c, n, rows, columns, to + j, j, 4 * WIDTH);
      for (; j < g->channels; j += WIDTH)
        pool_window(maximum, 1, c, n, rows, columns, to + j, j, min_long(WIDTH, g->channels - j));
    }
  }
}

static void max_pool_rows(void *context, long first, long last) { pool_rows(1, context, first, last); }
static void average_pool_rows(void *context, long first, long last) { pool_rows(0, context, first, last); }

static void max_pool(const sa_pooling *g, const float *x, float *y) {
  window_pool c = {.g = *g, .x = x, .to = y};
  sa_parallel(max_pool_rows, &c, (long)g->batch * g->out_height);
}

static void average_pool(const sa_pooling *g, int count_padding, const float *x, float *y) {
  window_pool c = {.g = *g, .count_padding = count_padding, .x = x, .to = y};
  sa_parallel(average_pool_rows, &c, (long)g->batch * g->out_height);
}

/* The windows that hold place i: outputs [first, last). */
INLINE range windows_of(long i, long stride, long pad, long kernel, long outputs) {
  const long reach = i + pad - kernel + 1;
  return (range){reach > 0 ? ceil_div(reach, stride) : 0, min_long(outputs, (i + pad) / stride + 1)};
}

/* Which place of the map the maximum or first NaN of a window stands at, for `vectors` vectors of channels from j. */
INLINE void find_maxima(const int vectors, const window_pool *c, long n, range rows, range columns, const float *y, long j,
                        long lanes, float *places) {
  V most[4];
  I place[4];
  UNROLL
  for (int v = 0; v < vectors; v++) {
    most[v] = v_load_up_to(y + v * WIDTH, lanes);
    place[v] = (I){0} - 1;
  }
  for (long h = rows.first; h < rows.last; h++)
    for (long w = columns.first; w < columns.last; w++) {
      const float *x = pixel(c, c->x, n, h, w) + j;
      const V here = (V)((I){0} + (int32_t)(h * c->g.in_width + w));
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const V each = v_load_up_to(x + v * WIDTH, lanes);
        const I found = ((I)(each == most[v]) | (I)(each != each)) & (I)(place[v] < 0); /* and none before */
        place[v] = (I)v_select(found, here, (V)place[v]);
      }
    }
  UNROLL
  for (int v = 0; v < vectors; v++) v_store(places + v * WIDTH, (V)place[v]);
}

/* The sum of the slopes of windows [up, across) whose maximum stands at (h, w). `dy` and `places` are those of the first
 * output of the image. */
INLINE void gather_slopes(const int vectors, const window_pool *c, long h, long w, range up, range across, const float *dy,
                          const float *places, long places_row, long lanes, float *dx) {
  const I here = (I){0} + (int32_t)(h * c->g.in_width + w);
  V sum[4];
  UNROLL
  for (int v = 0; v < vectors; v++) sum[v] = v_zero();
  for (long u = up.first; u < up.last; u++)
    for (long a = across.first; a < across.last; a++) {
      const long at = u * c->g.out_width + a;
      UNROLL
      for (int v = 0; v < vectors; v++) {
        const V slope = v_load_up_to(dy + at * c->g.channels + v * WIDTH, lanes);
        sum[v] += v_select((I)v_load(places + at * places_row + v * WIDTH) == here, slope, v_zero());
      }
    }
  UNROLL
  for (int v = 0; v < vectors; v++) v_store_up_to(dx + v * WIDTH, sum[v], lanes);
}

/* Four vectors of channels from `from` at a time where there are as many, then one. */
#define EACH_VECTORS(from, to, use)                                              \
  do {                                                                           \
    long j = from;                                                               \
    for (; j + 4 * WIDTH <= to; j += 4 * WIDTH) use(4, j, WIDTH);                \
    for (; j < to; j += WIDTH) use(1, j, min_long(WIDTH, to - j));               \
  } while (0)

/* Tiles are images and blocks of channels. Each value gathers the slopes of the windows that it is the maximum of. */
static void max_pool_gradient_tiles(void *context, long first, long last) {
  window_pool *c = context;
  const sa_pooling *g = &c->g;
  const long outputs = (long)g->out_height * g->out_width;
  const long row = ceil_div(min_long(POOL_BLOCK, g->channels), WIDTH) * WIDTH;
  float *places = sa_thread_scratch((size_t)(outputs * row) * sizeof(float));
  if (!places) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  for (long tile = first; tile < last; tile++) {
    const long n = tile / c->blocks, from = tile % c->blocks * POOL_BLOCK, to = min_long(g->channels, from + POOL_BLOCK);
    const float *y = c->y + n * outputs * g->channels, *dy = c->dy + n * outputs * g->channels;
    for (long h = 0; h < g->out_height; h++) {
      const range rows = rows_of(g, h);
      for (long w = 0; w < g->out_width; w++) {
        const range columns = columns_of(g, w);
        const long at = h * g->out_width + w;
#define FIND(vectors, j, lanes) \
  find_maxima(vectors, c, n, rows, columns, y + at * g->channels + j, j, lanes, places + at * row + j - from)
        EACH_VECTORS(from, to, FIND);
      }
    }
    for (long h = 0; h < g->in_height; h++) {
      const range up = windows_of(h, g->stride_height, g->pad_top, g->kernel_height, g->out_height);
      for (long w = 0; w < g->in_width; w++) {
        const range across = windows_of(w, g->stride_width, g->pad_left, g->kernel_width, g->out_width);
        float *dx = c->to + ((n * g->in_height + h) * g->in_width + w) * g->channels;
#define GATHER(vectors, j, lanes) \
  gather_slopes(vectors, c, h, w, up, across, dy + j, places + j - from, row, lanes, dx + j)
        EACH_VECTORS(from, to, GATHER);
      }
    }
  }
}

static int max_pool_gradient(const sa_pooling *g, const float *x, const float *y, const float *dy, float *dx) {
  window_pool c = {.g = *g, .x = x, .y = y, .dy = dy, .to = dx, .blocks = ceil_div(g->channels, POOL_BLOCK)};
  sa_parallel(max_pool_gradient_tiles, &c, g->batch * c.blocks);
  return c.failed ? SA_NO_MEMORY : SA_OK;
}

/* Tiles are rows of the input: each gathers its share of the windows it lies in. */
INLINE void average_gradient_rows(const int count_padding, const window_pool *c, long first, long last) {
  const sa_pooling *g = &c->g;
  const V all = v_set(count_padding ? mean_share(c, (range){0}, (range){0}) : 1);
  for (long row = first; row < last; row++) {
    const long n = row / g->in_height, h = row % g->in_height;
    const range up = windows_of(h, g->stride_height, g->pad_top, g->kernel_height, g->out_height);
    for (long w = 0; w < g->in_width; w++) {
      const range across = windows_of(w, g->stride_width, g->pad_left, g->kernel_width, g->out_width);
      float *to = c->to + (row * g->in_width + w) * g->channels;
      for (long j = 0; j < g->channels; j += WIDTH) {
        const long lanes = g->channels - j;
        V sum = v_zero();
        for (long u = up.first; u < up.last; u++) {
          const range rows = rows_of(g, u);
          for (long v = across.first; v < across.last; v++) {
            const float *dy = c->dy + ((n * g->out_height + u) * g->out_width + v) * g->channels + j;
            const V share = v_set(count_padding ? 1 : mean_share(c, rows, columns_of(g, v)));
            sum = v_fma(share, v_load_up_to(dy, lanes), sum);
          }
        }
        v_store_up_to(to + j, sum * all, lanes);
      }
    }
  }
}

static void average_pool_gradient_rows(void *context, long first, long last) {
  const window_pool *c = context;
  if (c->count_padding)
    average_gradient_rows(1, c, first, last);
  else
    average_gradient_rows(0, c, first, last);
}

static void average_pool_gradient(const sa_pooling *g, int count_padding, const float *dy, float *dx) {
  window_pool c = {.g = *g, .count_padding = count_padding, .dy = dy, .to = dx};
  sa_parallel(average_pool_gradient_rows, &c, (long)g->batch * g->in_height);
}
