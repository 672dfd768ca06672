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

/* Windows may share values, so the windows of an image follow each other; tiles are images and blocks of channels. */
static void max_pool_gradient_tiles(void *context, long first, long last) {
  const window_pool *c = context;
  const sa_pooling *g = &c->g;
  for (long tile = first; tile < last; tile++) {
    const long n = tile / c->blocks, from = tile % c->blocks * POOL_BLOCK;
    const long to = min_long(g->channels, from + POOL_BLOCK);
    for (long p = 0; p < (long)g->in_height * g->in_width; p++)
      memset(c->to + (n * g->in_height * g->in_width + p) * g->channels + from, 0, (size_t)(to - from) * sizeof(float));
    for (long h = 0; h < g->out_height; h++) {
      const range rows = rows_of(g, h);
      for (long w = 0; w < g->out_width; w++) {
        const range columns = columns_of(g, w);
        const long at = ((n * g->out_height + h) * g->out_width + w) * g->channels;
        for (long j = from; j < to; j += WIDTH) {
          const long lanes = to - j;
          const V most = v_load_up_to(c->y + at + j, lanes), dy = v_load_up_to(c->dy + at + j, lanes);
          I taken = {0};
          for (long u = rows.first; u < rows.last; u++)
            for (long v = columns.first; v < columns.last; v++) {
              const long place = ((n * g->in_height + u) * g->in_width + v) * g->channels + j;
              const V x = v_load_up_to(c->x + place, lanes);
              const I hit = ((I)(x == most) | (I)(x != x)) & ~taken;
              taken |= hit;
              const V sum = v_load_up_to(c->to + place, lanes) + v_select(hit, dy, v_zero());
              v_store_up_to(c->to + place, sum, lanes);
            }
        }
      }
    }
  }
}

static void max_pool_gradient(const sa_pooling *g, const float *x, const float *y, const float *dy, float *dx) {
  window_pool c = {.g = *g, .x = x, .y = y, .dy = dy, .to = dx, .blocks = ceil_div(g->channels, POOL_BLOCK)};
  sa_parallel(max_pool_gradient_tiles, &c, g->batch * c.blocks);
}

/* The windows that hold place i: outputs [first, last). */
INLINE range windows_of(long i, long stride, long pad, long kernel, long outputs) {
  const long reach = i + pad - kernel + 1;
  return (range){reach > 0 ? ceil_div(reach, stride) : 0, min_long(outputs, (i + pad) / stride + 1)};
}

/* Tiles are rows of the input: each gathers its share of the windows it lies in. */
static void average_pool_gradient_rows(void *context, long first, long last) {
  const window_pool *c = context;
  const sa_pooling *g = &c->g;
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
            sum = v_fma(v_set(mean_share(c, rows, columns_of(g, v))), v_load_up_to(dy, lanes), sum);
          }
        }
        v_store_up_to(to + j, sum, lanes);
      }
    }
  }
}

static void average_pool_gradient(const sa_pooling *g, int count_padding, const float *dy, float *dx) {
  window_pool c = {.g = *g, .count_padding = count_padding, .dy = dy, .to = dx};
  sa_parallel(average_pool_gradient_rows, &c, (long)g->batch * g->in_height);
}
