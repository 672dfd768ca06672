/*
 * Weight gradients: dw[u, v, c, o] = sum over images and pixels of x[pixel at tap, c] * dy[pixel, o].
 *
 * The second blocked kernel: a tile of CB input channels times NV vectors of output channels of one tap stays in
 * registers while the pixels go by. The batch is cut into a number of chunks that depends on the shape alone; each
 * chunk sums into its own buffer and the buffers are added in order, so that the number of threads cannot be seen
 * in the result. Within a chunk a few images at a time pass under all taps, so that they are read from the cache.
 *
 * The adder layer's rule sum dy * (x - w) is this gradient minus w * sum dy, exactly (padded positions too, where
 * x = 0), so it costs one extra pass over dy.
 */

enum { MAX_CHUNKS = 32, MAX_PARTIAL = 1 << 22, CACHED_FLOATS = 1 << 14 };

/* Rows of pixels under one tap: `images` x `rows` x `columns`, with the strides in floats between neighbours. */
typedef struct {
  long images, rows, columns;
  const float *x, *dy;
  long x_image, x_row, x_column;
  long dy_image, dy_row, dy_column;
  float *to; /* [CB][to_stride] */
  long to_stride;
  long lanes;
} gradient_job;

INLINE void gradient_body(const int CB, const int NV, const int part, const gradient_job *job) {
  V acc[32];
  const long lanes = job->lanes;
  UNROLL
  for (int i = 0; i < CB; i++) {
    UNROLL
    for (int v = 0; v < NV; v++)
      acc[i * NV + v] = part ? v_load_part(job->to + i * job->to_stride, lanes)
                             : v_load(job->to + i * job->to_stride + v * WIDTH);
  }
  for (long n = 0; n < job->images; n++) {
    for (long h = 0; h < job->rows; h++) {
      const float *x = job->x + n * job->x_image + h * job->x_row;
      const float *dy = job->dy + n * job->dy_image + h * job->dy_row;
      for (long w = 0; w < job->columns; w++, x += job->x_column, dy += job->dy_column) {
        V gradient[4];
        UNROLL
        for (int v = 0; v < NV; v++) gradient[v] = part ? v_load_part(dy, lanes) : v_load(dy + v * WIDTH);
        UNROLL
        for (int i = 0; i < CB; i++) {
          const V value = v_set(x[i]);
          UNROLL
          for (int v = 0; v < NV; v++) acc[i * NV + v] = v_fma(value, gradient[v], acc[i * NV + v]);
        }
      }
    }
  }
  UNROLL
  for (int i = 0; i < CB; i++) {
    UNROLL
    for (int v = 0; v < NV; v++) {
      if (part)
        v_store_part(job->to + i * job->to_stride, acc[i * NV + v], lanes);
      else
        v_store(job->to + i * job->to_stride + v * WIDTH, acc[i * NV + v]);
    }
  }
}

#define GRADIENT_KERNEL(CB, NV, PART) \
  NOINLINE void gradient_##CB##_##NV##_##PART(const gradient_job *job) { gradient_body(CB, NV, PART, job); }
#if WIDTH == 16
GRADIENT_KERNEL(8, 2, 0)
GRADIENT_KERNEL(16, 1, 0)
GRADIENT_KERNEL(16, 1, 1)
GRADIENT_KERNEL(9, 1, 0)
GRADIENT_KERNEL(9, 1, 1)
#else
#if !defined(SA_WASM) /* twelve accumulators and V8's fifteen registers do not go together */
GRADIENT_KERNEL(6, 2, 0)
#endif
GRADIENT_KERNEL(8, 1, 0)
GRADIENT_KERNEL(8, 1, 1)
#endif
GRADIENT_KERNEL(4, 2, 0)
GRADIENT_KERNEL(2, 2, 0)
GRADIENT_KERNEL(1, 2, 0)
GRADIENT_KERNEL(4, 1, 0)
GRADIENT_KERNEL(3, 1, 0)
GRADIENT_KERNEL(3, 1, 1)
GRADIENT_KERNEL(3, 2, 0)
GRADIENT_KERNEL(2, 1, 0)
GRADIENT_KERNEL(1, 1, 0)
GRADIENT_KERNEL(4, 1, 1)
GRADIENT_KERNEL(2, 1, 1)
GRADIENT_KERNEL(1, 1, 1)

typedef struct {
  int rows;
  void (*run)(const gradient_job *);
} gradient_kernel;
#if WIDTH == 16
static const gradient_kernel gradient_pair[] = {
    {8, gradient_8_2_0}, {4, gradient_4_2_0}, {3, gradient_3_2_0}, {2, gradient_2_2_0}, {1, gradient_1_2_0}};
static const gradient_kernel gradient_single[] = {
    {16, gradient_16_1_0}, {9, gradient_9_1_0}, {4, gradient_4_1_0}, {3, gradient_3_1_0}, {2, gradient_2_1_0}, {1, gradient_1_1_0}};
static const gradient_kernel gradient_part[] = {
    {16, gradient_16_1_1}, {9, gradient_9_1_1}, {4, gradient_4_1_1}, {3, gradient_3_1_1}, {2, gradient_2_1_1}, {1, gradient_1_1_1}};
#else
static const gradient_kernel gradient_pair[] = {
#if !defined(SA_WASM)
    {6, gradient_6_2_0},
#endif
    {4, gradient_4_2_0}, {3, gradient_3_2_0}, {2, gradient_2_2_0}, {1, gradient_1_2_0}};
static const gradient_kernel gradient_single[] = {
    {8, gradient_8_1_0}, {4, gradient_4_1_0}, {3, gradient_3_1_0}, {2, gradient_2_1_0}, {1, gradient_1_1_0}};
static const gradient_kernel gradient_part[] = {
    {8, gradient_8_1_1}, {4, gradient_4_1_1}, {3, gradient_3_1_1}, {2, gradient_2_1_1}, {1, gradient_1_1_1}};
#endif

/* All of [rows][columns] of one tap (or several adjacent ones); job holds the pixels, `to` points at the tap's first weight. */
static void gradient_tap(gradient_job job, long rows, long columns) {
  const float *x = job.x, *dy = job.dy;
  float *to = job.to;
  for (long o = 0; o < columns;) {
    const long left = columns - o;
    const long taken = left >= 2 * WIDTH ? 2 * WIDTH : min_long(left, WIDTH);
    const gradient_kernel *kernel = taken > WIDTH ? gradient_pair : taken == WIDTH ? gradient_single : gradient_part;
    for (long c = 0; c < rows;) {
      while (kernel->rows > rows - c) kernel++;
      job.x = x + c;
      job.dy = dy + o;
      job.to = to + c * job.to_stride + o;
      job.lanes = left;
      kernel->run(&job);
      c += kernel->rows;
    }
    o += taken;
  }
}

typedef struct {
  const sa_geometry *g;
  const float *x, *dy;
  float *dw, *partial;
  long chunks, weights; /* floats of dw */
  long images; /* that pass under all taps together */
  int by_tap; /* chunks are few: taps are tasks of their own */
  int swapped; /* vectors run over input channels, buffers are [tap][o][c] */
  int wide; /* take the taps of a kernel row together */
  const float *w; /* L1: subtract w * sums[o] */
  const float *sums;
} gradient_plan;

/* Taps t of [0, kernel) for which at + t lies in [0, extent). */
INLINE void tap_range(long at, long kernel, long extent, long *first, long *last) {
  *first = max_long(0, min_long(kernel, -at));
  *last = max_long(*first, min_long(kernel, extent - at));
}

/* Output positions o for which o * stride - pad + tap lies in [0, extent). */
INLINE void valid_range(long tap, long stride, long pad, long extent, long outputs, long *first, long *last) {
  *first = pad > tap ? ceil_div(pad - tap, stride) : 0;
  const long top = extent - 1 + pad - tap;
  *last = top < 0 ? 0 : min_long(outputs, top / stride + 1);
  if (*first > *last) *first = *last;
}

/* Adds the gradient of taps (u, v0 .. v1 - 1) over output columns [w0, w1), for all of which those taps lie inside. With
 * several taps the group must be the only one: their x values are then adjacent, and so are their weights. */
static void gradient_of_taps(const gradient_plan *c, long image, long images, long u, long v0, long v1, long w0, long w1,
                             float *to) {
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  long h0, h1;
  valid_range(u, g->stride, g->pad_top, g->in_height, g->out_height, &h0, &h1);
  if (h0 >= h1 || w0 >= w1) return;
  gradient_job job = {
      .images = images,
      .rows = h1 - h0,
      .columns = w1 - w0,
      .x_image = (long)g->in_height * g->in_width * g->in_channels,
      .x_row = (long)g->stride * g->in_width * g->in_channels,
      .x_column = (long)g->stride * g->in_channels,
      .dy_image = (long)g->out_height * g->out_width * g->out_channels,
      .dy_row = (long)g->out_width * g->out_channels,
      .dy_column = g->out_channels,
      .to_stride = g->out_channels,
  };
  const float *x = c->x + image * job.x_image +
                   ((h0 * g->stride - g->pad_top + u) * g->in_width + w0 * g->stride - g->pad_left + v0) *
                       g->in_channels;
  const float *dy = c->dy + image * job.dy_image + (h0 * g->out_width + w0) * g->out_channels;
  if (c->swapped) {
    gradient_job other = job;
    other.x_image = job.dy_image, other.x_row = job.dy_row, other.x_column = job.dy_column, other.x = dy;
    other.dy_image = job.x_image, other.dy_row = job.x_row, other.dy_column = job.x_column, other.dy = x;
    other.to_stride = g->in_channels;
    other.to = to + (u * g->kernel_width + v0) * g->in_channels * g->out_channels;
    gradient_tap(other, g->out_channels, g->in_channels);
    return;
  }
  for (long group = 0; group < g->groups; group++) {
    job.x = x + group * in_group;
    job.dy = dy + group * out_group;
    job.to = to + (u * g->kernel_width + v0) * in_group * g->out_channels + group * out_group;
    gradient_tap(job, (v1 - v0) * in_group, out_group);
  }
}

static void gradient_one_tap(const gradient_plan *c, long image, long images, long tap, float *to) {
  const sa_geometry *g = c->g;
  const long u = tap / g->kernel_width, v = tap % g->kernel_width;
  long w0, w1;
  valid_range(v, g->stride, g->pad_left, g->in_width, g->out_width, &w0, &w1);
  gradient_of_taps(c, image, images, u, v, v + 1, w0, w1, to);
}

/* Few input channels: the taps of one kernel row together, over each run of columns that has the same taps inside. */
static void gradient_wide_taps(const gradient_plan *c, long image, long images, float *to) {
  const sa_geometry *g = c->g;
  for (long w0 = 0, w1; w0 < g->out_width; w0 = w1) {
    long v0, v1, next0, next1;
    tap_range(w0 * g->stride - g->pad_left, g->kernel_width, g->in_width, &v0, &v1);
    for (w1 = w0 + 1; w1 < g->out_width; w1++) {
      tap_range(w1 * g->stride - g->pad_left, g->kernel_width, g->in_width, &next0, &next1);
      if (next0 != v0 || next1 != v1) break;
    }
    if (v0 < v1)
      for (long u = 0; u < g->kernel_height; u++) gradient_of_taps(c, image, images, u, v0, v1, w0, w1, to);
  }
}

static void depthwise_weight_gradient(const sa_geometry *g, const float *x, const float *dy, long image, long images,
                                      long tap, float *to);

static void gradient_chunks(void *context, long first, long last) {
  const gradient_plan *c = context;
  const sa_geometry *g = c->g;
  const long taps = (long)g->kernel_height * g->kernel_width, tap_weights = c->weights / taps;
  for (long task = first; task < last; task++) {
    const long chunk = c->by_tap ? task / taps : task;
    const long tap0 = c->by_tap ? task % taps : 0, tap1 = c->by_tap ? tap0 + 1 : taps;
    float *to = c->partial + chunk * c->weights;
    memset(to + tap0 * tap_weights, 0, (size_t)((tap1 - tap0) * tap_weights) * sizeof(float));
    const long image1 = g->batch * (chunk + 1) / c->chunks;
    for (long image = g->batch * chunk / c->chunks; image < image1; image += c->images) {
      const long images = min_long(c->images, image1 - image);
      if (c->wide)
        gradient_wide_taps(c, image, images, to);
      else
        for (long tap = tap0; tap < tap1; tap++) {
          if (is_depthwise(g))
            depthwise_weight_gradient(g, c->x, c->dy, image, images, tap, to);
          else
            gradient_one_tap(c, image, images, tap, to);
        }
    }
  }
}

enum { GRADIENT_PIECE = 4096 };

static void combine_chunks(void *context, long first, long last) {
  const gradient_plan *c = context;
  const long end = min_long(last * GRADIENT_PIECE, c->weights);
  float *to = c->swapped ? c->partial : c->dw;
  for (long i = first * GRADIENT_PIECE; i < end; i += WIDTH) {
    const long n = min_long(WIDTH, end - i);
    V sum = v_load_up_to(c->partial + i, n);
    for (long k = 1; k < c->chunks; k++) sum += v_load_up_to(c->partial + k * c->weights + i, n);
    v_store_up_to(to + i, sum, n);
  }
}

/* [tap][o][c] to [tap][c][o] */
static void swap_back(const gradient_plan *c) {
  const long in = c->g->in_channels, out = c->g->out_channels, taps = c->weights / (in * out);
  for (long t = 0; t < taps; t++)
    for (long i = 0; i < in; i++)
      for (long o = 0; o < out; o++) c->dw[(t * in + i) * out + o] = c->partial[(t * out + o) * in + i];
}

static void subtract_weighted_sums(const gradient_plan *c) {
  const long channels = c->g->out_channels;
  for (long row = 0; row < c->weights; row += channels)
    for (long o = 0; o < channels; o++) c->dw[row + o] -= c->w[row + o] * c->sums[o];
}

/* Share of vector lanes in use when vectors run over `channels`. */
static double lane_use(long channels) { return (double)channels / (double)(ceil_div(channels, WIDTH) * WIDTH); }

static int column_sums(long rows, long channels, const float *x, float *sums);

/* dw of a convolution, or with `w` that of an L1 layer. */
static int weight_gradient(const sa_geometry *geometry, const float *x, const float *w, const float *dy, float *dw) {
  sa_geometry flat = *geometry;
  const sa_geometry *g = &flat;
  if (flat.kernel_height == 1 && flat.kernel_width == 1 && flat.stride == 1 && flat.pad_top == 0 &&
      flat.pad_left == 0 && flat.in_height == flat.out_height && flat.in_width == flat.out_width) {
    /* every pixel is an image of its own: long runs of pixels instead of short rows */
    if (flat.in_height * flat.in_width == 1) {
      int32_t run = 64;
      while (flat.batch % run) run--;
      flat.batch /= run;
      flat.in_width = run;
    } else {
      flat.in_width *= flat.in_height;
      flat.in_height = 1;
    }
    flat.out_height = 1;
    flat.out_width = flat.in_width;
  }
  const long taps = (long)g->kernel_height * g->kernel_width;
  gradient_plan c = {.g = g, .x = x, .dy = dy, .dw = dw, .w = w};
  c.weights = taps * (g->in_channels / g->groups) * g->out_channels;
  if (c.weights == 0) return SA_OK;
  c.chunks = max_long(1, min_long(min_long(g->batch, MAX_CHUNKS), MAX_PARTIAL / c.weights));
  const long image_floats = (long)g->in_height * g->in_width * g->in_channels +
                            (long)g->out_height * g->out_width * g->out_channels;
  c.images = max_long(1, CACHED_FLOATS / max_long(1, image_floats));
  c.wide = g->groups == 1 && g->in_channels < 16 && g->kernel_width > 1;
  c.by_tap = !c.wide && c.chunks < 16;
  c.swapped = g->groups == 1 && !c.wide && lane_use(g->in_channels) > lane_use(g->out_channels);
  /* a single chunk goes straight to its place */
  c.partial = c.chunks == 1 && !c.swapped ? dw
                                          : sa_scratch(SA_SLOT_PARTIAL, (size_t)(c.chunks * c.weights) * sizeof(float));
  if (!c.partial) return SA_NO_MEMORY;
  if (w) {
    float *sums = sa_scratch(SA_SLOT_CHANNELS, (size_t)g->out_channels * sizeof(float));
    if (!sums || column_sums((long)g->batch * g->out_height * g->out_width, g->out_channels, dy, sums))
      return SA_NO_MEMORY;
    c.sums = sums;
  }
  sa_parallel(gradient_chunks, &c, c.chunks * (c.by_tap ? taps : 1));
  if (c.chunks > 1) sa_parallel(combine_chunks, &c, ceil_div(c.weights, GRADIENT_PIECE));
  if (c.swapped) swap_back(&c);
  if (w) subtract_weighted_sums(&c);
  return SA_OK;
}
