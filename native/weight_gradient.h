/*
 * Weight gradients: dw[u, v, c, o] = sum over images and pixels of x[pixel at tap, c] * dy[pixel, o].
 *
 * The second blocked kernel: a tile of CB input channels times NV vectors of output channels of one tap stays in
 * registers while the pixels go by. The batch is cut into a number of chunks that depends on the shape alone; each
 * chunk sums into its own buffer and the buffers are added in order, so that the number of threads cannot be seen
 * in the result. Within a chunk a few images at a time pass under all taps, so that they are read from the cache.
 *
 * The adder layer's rule sum dy * (x - w) is this gradient minus w * sum dy, exactly (padded positions too, where
 * x = 0), so it costs one extra pass over dy. That of the power of another norm has no such form: a tile then holds its
 * weights too, and the padded positions are added at the end, slope(-w) times the sum of dy over them.
 */

/* Chunks have CHUNK_PIXELS pixels at least, so that adding them up costs little; CACHED_FLOATS of x and dy pass under all
 * taps together. */
enum { MAX_CHUNKS = 32, CHUNK_PIXELS = 512, MAX_PARTIAL = 1 << 22, CACHED_FLOATS = 1 << 15, RUN_PIXELS = 32 };

/* Rows of pixels under one tap: `images` x `rows` x `columns`, with the strides in floats between neighbours. */
typedef struct {
  long images, rows, columns;
  const float *x, *dy;
  long x_image, x_row, x_column;
  long dy_image, dy_row, dy_column;
  float *to; /* [CB][to_stride] */
  long to_stride;
  long lanes;
  fetch *ahead; /* of x and dy, or NULL */
  const float *weights; /* as `to`, for powers; or NULL */
  float exponent, offset;
} gradient_job;

INLINE void gradient_body(const int CB, const int NV, const int part, const int power, const gradient_job *job) {
  V acc[32], weight[8];
  const long lanes = job->lanes;
  const V exponent = v_set(job->exponent), offset = v_set(job->offset);
  if (power) {
    UNROLL
    for (int i = 0; i < CB; i++)
      weight[i] = part ? v_load_part(job->weights + i * job->to_stride, lanes) : v_load(job->weights + i * job->to_stride);
  }
  UNROLL
  for (int i = 0; i < CB; i++) {
    UNROLL
    for (int v = 0; v < NV; v++)
      acc[i * NV + v] = part ? v_load_part(job->to + i * job->to_stride, lanes)
                             : v_load(job->to + i * job->to_stride + v * WIDTH);
  }
  for (long n = 0; n < job->images; n++) {
    for (long h = 0; h < job->rows; h++) {
      if (job->ahead) fetch_share(&job->ahead[0]), fetch_share(&job->ahead[1]);
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
          for (int v = 0; v < NV; v++)
            acc[i * NV + v] = v_fma(power ? v_slope_power(value - weight[i], exponent, offset) : value, gradient[v],
                                    acc[i * NV + v]);
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
  NOINLINE void gradient_##CB##_##NV##_##PART(const gradient_job *job) { gradient_body(CB, NV, PART, 0, job); }
#if WIDTH == 16
GRADIENT_KERNEL(8, 2, 0)
GRADIENT_KERNEL(16, 1, 0)
GRADIENT_KERNEL(16, 1, 1)
GRADIENT_KERNEL(9, 1, 0)
GRADIENT_KERNEL(9, 1, 1)
GRADIENT_KERNEL(8, 1, 0)
GRADIENT_KERNEL(8, 1, 1)
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

#define POWER_GRADIENT_KERNEL(CB, PART) \
  NOINLINE void power_gradient_##CB##_##PART(const gradient_job *job) { gradient_body(CB, 1, PART, 1, job); }
POWER_GRADIENT_KERNEL(4, 0)
POWER_GRADIENT_KERNEL(4, 1)
POWER_GRADIENT_KERNEL(1, 0)
POWER_GRADIENT_KERNEL(1, 1)

typedef struct {
  int rows;
  void (*run)(const gradient_job *);
} gradient_kernel;
static const gradient_kernel power_gradient_single[] = {{4, power_gradient_4_0}, {1, power_gradient_1_0}};
static const gradient_kernel power_gradient_part[] = {{4, power_gradient_4_1}, {1, power_gradient_1_1}};
#if WIDTH == 16
static const gradient_kernel gradient_pair[] = {
    {8, gradient_8_2_0}, {4, gradient_4_2_0}, {3, gradient_3_2_0}, {2, gradient_2_2_0}, {1, gradient_1_2_0}};
static const gradient_kernel gradient_single[] = {
    {16, gradient_16_1_0}, {9, gradient_9_1_0}, {8, gradient_8_1_0}, {4, gradient_4_1_0}, {3, gradient_3_1_0}, {2, gradient_2_1_0}, {1, gradient_1_1_0}};
static const gradient_kernel gradient_part[] = {
    {16, gradient_16_1_1}, {9, gradient_9_1_1}, {8, gradient_8_1_1}, {4, gradient_4_1_1}, {3, gradient_3_1_1}, {2, gradient_2_1_1}, {1, gradient_1_1_1}};
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
  const float *weights = job.weights;
  for (long o = 0; o < columns;) {
    const long left = columns - o;
    const long taken = left >= 2 * WIDTH && !weights ? 2 * WIDTH : min_long(left, WIDTH);
    const gradient_kernel *kernel = taken > WIDTH ? gradient_pair : taken == WIDTH ? gradient_single : gradient_part;
    if (weights) kernel = taken == WIDTH ? power_gradient_single : power_gradient_part;
    for (long c = 0; c < rows;) {
      while (kernel->rows > rows - c) kernel++;
      job.x = x + c;
      job.dy = dy + o;
      job.to = to + c * job.to_stride + o;
      if (weights) job.weights = weights + c * job.to_stride + o;
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
  long band_images, band_rows; /* that pass under all taps together: images, or rows of one */
  long fetches; /* rows that gradient kernels go over for a band, about */
  long lane_group; /* see lanes_gradient.h; the plan's rest is for dense layers */
  int by_tap; /* chunks are few: taps are tasks of their own */
  int swapped; /* vectors run over input channels, buffers are [tap][o][c] */
  int wide; /* take the taps of a kernel row together */
  const float *w; /* L1: subtract w * sums[o] */
  const float *sums;
  const float *power; /* weights of the power of a distance, or NULL */
  float exponent, offset;
} gradient_plan;

/* Pixels of dy: some images, or some rows of one. */
typedef struct {
  long image, images, row0, row1;
  fetch ahead[2]; /* x and dy of the next one */
} gradient_band;

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
static void gradient_of_taps(const gradient_plan *c, gradient_band *band, long u, long v0, long v1, long w0, long w1,
                             float *to) {
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  long h0, h1;
  valid_range(u, g->stride, g->pad_top, g->in_height, g->out_height, &h0, &h1);
  h0 = max_long(h0, band->row0);
  h1 = min_long(h1, band->row1);
  if (h0 >= h1 || w0 >= w1) return;
  gradient_job job = {
      .ahead = g->kernel_height * g->kernel_width == 1 && g->stride == 1 ? band->ahead : NULL,
      .images = band->images,
      .rows = h1 - h0,
      .columns = w1 - w0,
      .x_image = (long)g->in_height * g->in_width * g->in_channels,
      .x_row = (long)g->stride * g->in_width * g->in_channels,
      .x_column = (long)g->stride * g->in_channels,
      .dy_image = (long)g->out_height * g->out_width * g->out_channels,
      .dy_row = (long)g->out_width * g->out_channels,
      .dy_column = g->out_channels,
      .to_stride = g->out_channels,
      .exponent = c->exponent,
      .offset = c->offset,
  };
  const float *x = c->x + band->image * job.x_image +
                   ((h0 * g->stride - g->pad_top + u) * g->in_width + w0 * g->stride - g->pad_left + v0) *
                       g->in_channels;
  const float *dy = c->dy + band->image * job.dy_image + (h0 * g->out_width + w0) * g->out_channels;
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
    const long first = (u * g->kernel_width + v0) * in_group * g->out_channels + group * out_group;
    job.to = to + first;
    job.weights = c->power ? c->power + first : NULL;
    gradient_tap(job, (v1 - v0) * in_group, out_group);
  }
}

static void gradient_one_tap(const gradient_plan *c, gradient_band *band, long tap, float *to) {
  const sa_geometry *g = c->g;
  const long u = tap / g->kernel_width, v = tap % g->kernel_width;
  long w0, w1;
  valid_range(v, g->stride, g->pad_left, g->in_width, g->out_width, &w0, &w1);
  gradient_of_taps(c, band, u, v, v + 1, w0, w1, to);
}

/* Few input channels: the taps of one kernel row together, over each run of columns that has the same taps inside. */
static void gradient_wide_taps(const gradient_plan *c, gradient_band *band, float *to) {
  const sa_geometry *g = c->g;
  for (long w0 = 0, w1; w0 < g->out_width; w0 = w1) {
    long v0, v1, next0, next1;
    tap_range(w0 * g->stride - g->pad_left, g->kernel_width, g->in_width, &v0, &v1);
    for (w1 = w0 + 1; w1 < g->out_width; w1++) {
      tap_range(w1 * g->stride - g->pad_left, g->kernel_width, g->in_width, &next0, &next1);
      if (next0 != v0 || next1 != v1) break;
    }
    if (v0 < v1)
      for (long u = 0; u < g->kernel_height; u++) gradient_of_taps(c, band, u, v0, v1, w0, w1, to);
  }
}

/* The next `images` images from `image`, or the rows of one from `row`; what lies in memory after it will be next. */
static gradient_band gradient_band_at(const gradient_plan *c, long image, long row, long image1) {
  const sa_geometry *g = c->g;
  gradient_band band = {.image = image, .images = min_long(c->band_images, image1 - image), .row0 = row};
  band.row1 = min_long(row + c->band_rows, g->out_height);
  const long x_row = (long)g->in_width * g->in_channels, dy_row = (long)g->out_width * g->out_channels;
  const float *x = c->x + (image * g->in_height + row * g->stride) * x_row, *dy = c->dy + (image * g->out_height + row) * dy_row;
  const float *x_end = c->x + image1 * g->in_height * x_row, *dy_end = c->dy + image1 * g->out_height * dy_row;
  const long rows = c->band_images * c->band_rows, x_floats = rows * g->stride * x_row, dy_floats = rows * dy_row;
  band.ahead[0] = fetch_of(x + min_long(x_floats, x_end - x), x + min_long(2 * x_floats, x_end - x), c->fetches);
  band.ahead[1] = fetch_of(dy + min_long(dy_floats, dy_end - dy), dy + min_long(2 * dy_floats, dy_end - dy), c->fetches);
  return band;
}

/* How often a gradient kernel runs for a band, about. */
static long kernel_calls(const gradient_plan *c) {
  const sa_geometry *g = c->g;
  const long in = g->in_channels / g->groups, out = g->out_channels / g->groups;
  const long rows = c->swapped ? out : in * (c->wide ? g->kernel_width : 1), columns = c->swapped ? in : out;
  const long taps = c->by_tap ? 1 : g->kernel_height * (c->wide ? 1 : g->kernel_width);
  return taps * g->groups * ceil_div(rows, gradient_pair[0].rows) * ceil_div(columns, 2 * WIDTH);
}

static int lanes_gradient(gradient_plan *c);

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
    for (long image = g->batch * chunk / c->chunks; image < image1; image += c->band_images) {
      for (long row = 0; row < g->out_height; row += c->band_rows) {
        gradient_band band = gradient_band_at(c, image, row, image1);
        if (c->wide)
          gradient_wide_taps(c, &band, to);
        else
          for (long tap = tap0; tap < tap1; tap++) gradient_one_tap(c, &band, tap, to);
      }
    }
  }
}

enum { GRADIENT_PIECE = 4096 };

/* Adds the chunks in order; an L1 layer subtracts w * sums. */
static void combine_chunks(void *context, long first, long last) {
  const gradient_plan *c = context;
  const long end = min_long(last * GRADIENT_PIECE, c->weights), channels = c->g->out_channels;
  float *to = c->swapped ? c->partial : c->dw;
  for (long i = first * GRADIENT_PIECE; i < end; i += WIDTH) {
    const long n = min_long(WIDTH, end - i);
    V sum = v_load_up_to(c->partial + i, n);
    for (long k = 1; k < c->chunks; k++) sum += v_load_up_to(c->partial + k * c->weights + i, n);
    v_store_up_to(to + i, sum, n);
  }
  if (!c->w || c->swapped) return;
  for (long i = first * GRADIENT_PIECE, o = i % channels; i < end; i++) {
    c->dw[i] -= c->w[i] * c->sums[o];
    if (++o == channels) o = 0;
  }
}

/* [tap][o][c] to [tap][c][o]; tasks are taps. */
static void swap_back(void *context, long first, long last) {
  const gradient_plan *c = context;
  const long in = c->g->in_channels, out = c->g->out_channels;
  for (long t = first; t < last; t++) {
    for (long i = 0; i < in; i++) {
      const float *from = c->partial + t * in * out + i;
      const long row = (t * in + i) * out;
      for (long o = 0; o < out; o++)
        c->dw[row + o] = from[o * in] - (c->w ? c->w[row + o] * c->sums[o] : 0);
    }
  }
}

/* --- the whole -------------------------------------------------------------------------------------------- */

/* Share of vector lanes in use when vectors run over `channels`. */
static double lane_use(long channels) { return (double)channels / (double)(ceil_div(channels, WIDTH) * WIDTH); }

static int column_sums(long rows, long channels, const float *x, float *sums);

/* Chooses rows of about `pixels` pixels for a 1x1 layer, in which every pixel is an image of its own. */
static sa_geometry reshaped(const sa_geometry *g, int32_t pixels) {
  sa_geometry flat = *g;
  if (g->kernel_height != 1 || g->kernel_width != 1 || g->stride != 1 || g->pad_top != 0 || g->pad_left != 0 ||
      g->in_height != g->out_height || g->in_width != g->out_width)
    return flat;
  if (g->in_height * g->in_width == 1) {
    int32_t run = pixels;
    while (g->batch % run) run--;
    flat.batch = g->batch / run;
    flat.in_width = run;
  } else {
    int32_t rows = 1;
    while (rows < g->in_height && (g->in_height % rows || g->in_width * rows < pixels)) rows++;
    flat.in_height = g->in_height / rows;
    flat.in_width = g->in_width * rows;
  }
  flat.out_height = flat.in_height;
  flat.out_width = flat.in_width;
  return flat;
}

/* Adds what the padding contributes to the gradient of a power: slope(0 - w) times the sum of dy over the pixels whose tap
 * lies outside. Tasks are taps. */
static void padding_of_power(void *context, long first, long last) {
  const gradient_plan *c = context;
  const sa_geometry *g = c->g;
  const long channels = g->out_channels, rows = g->in_channels / g->groups;
  for (long tap = first; tap < last; tap++) {
    long h0, h1, w0, w1;
    valid_range(tap / g->kernel_width, g->stride, g->pad_top, g->in_height, g->out_height, &h0, &h1);
    valid_range(tap % g->kernel_width, g->stride, g->pad_left, g->in_width, g->out_width, &w0, &w1);
    if (h0 == 0 && h1 == g->out_height && w0 == 0 && w1 == g->out_width) continue;
    for (long o = 0; o < channels; o += WIDTH) {
      const long lanes = channels - o;
      V sum = v_zero();
      for (long n = 0; n < g->batch; n++)
        for (long h = 0; h < g->out_height; h++) {
          const float *dy = c->dy + (n * g->out_height + h) * g->out_width * channels + o;
          const int inside = h >= h0 && h < h1;
          for (long w = 0; w < (inside ? w0 : g->out_width); w++) sum += v_load_up_to(dy + w * channels, lanes);
          if (inside)
            for (long w = w1; w < g->out_width; w++) sum += v_load_up_to(dy + w * channels, lanes);
        }
      for (long i = 0; i < rows; i++) {
        const long at = (tap * rows + i) * channels + o;
        const V slope = v_slope_power(-v_load_up_to(c->power + at, lanes), v_set(c->exponent), v_set(c->offset));
        v_store_up_to(c->dw + at, v_fma(slope, sum, v_load_up_to(c->dw + at, lanes)), lanes);
      }
    }
  }
}

/* dw of a layer of powers by its definition, for numbers that are not all finite; tasks are weights. */
static void power_gradient_exactly(void *context, long first, long last) {
  const gradient_plan *c = context;
  const sa_geometry *g = c->g;
  const long rows = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  for (long at = first; at < last; at++) {
    const long o = at % g->out_channels, i = at / g->out_channels % rows, tap = at / g->out_channels / rows;
    const long u = tap / g->kernel_width, v = tap % g->kernel_width;
    float sum = 0;
    for (long n = 0; n < g->batch; n++)
      for (long h = 0; h < g->out_height; h++)
        for (long w = 0; w < g->out_width; w++) {
          const long y = h * g->stride - g->pad_top + u, column = w * g->stride - g->pad_left + v;
          const int inside = y >= 0 && y < g->in_height && column >= 0 && column < g->in_width;
          const long from = ((n * g->in_height + y) * g->in_width + column) * g->in_channels + o / out_group * rows + i;
          const float d = (inside ? c->x[from] : 0) - c->power[at];
          sum += c->dy[((n * g->out_height + h) * g->out_width + w) * g->out_channels + o] *
                 slope_power(d, c->exponent, c->offset);
        }
    c->dw[at] = sum;
  }
}

/* dw of a convolution, or with `w` that of an L1 layer, or with `power` that of the power of a distance. */
static int weight_gradient_of(gradient_plan c, const sa_geometry *geometry) {
  const sa_geometry flat = reshaped(geometry, RUN_PIXELS), *g = &flat;
  const long taps = (long)g->kernel_height * g->kernel_width;
  const float *w = c.w;
  c.g = g;
  c.lane_group = c.power ? 0 : lane_group(g);
  c.weights = taps * (g->in_channels / g->groups) * g->out_channels;
  if (c.weights == 0) return SA_OK;
  if (c.power && !(all_finite(c.power, c.weights) &&
                   all_finite(c.x, (long)g->batch * g->in_height * g->in_width * g->in_channels))) {
    sa_parallel(power_gradient_exactly, &c, c.weights);
    return SA_OK;
  }
  const long pixels = (long)g->batch * g->out_height * g->out_width;
  c.chunks = min_long(min_long(g->batch, MAX_CHUNKS), min_long(MAX_PARTIAL / c.weights, pixels / CHUNK_PIXELS));
  c.chunks = max_long(1, c.chunks);
  const long row_floats = (long)g->stride * g->in_width * g->in_channels + (long)g->out_width * g->out_channels;
  c.band_rows = max_long(1, min_long(g->out_height, CACHED_FLOATS / max_long(1, row_floats)));
  c.band_images = max_long(1, CACHED_FLOATS / max_long(1, row_floats * g->out_height));
  c.wide = !c.lane_group && g->groups == 1 && g->in_channels < 16 && g->kernel_width > 1;
  c.by_tap = !c.lane_group && !c.wide && c.chunks < MAX_CHUNKS / 2;
  c.swapped = !c.lane_group && !c.power && g->groups == 1 && !c.wide && lane_use(g->in_channels) > lane_use(g->out_channels);
  c.fetches = kernel_calls(&c) * c.band_rows * c.band_images;
  /* a single chunk goes straight to its place */
  c.partial = c.chunks == 1 && !c.swapped ? c.dw
                                          : sa_scratch(SA_SLOT_PARTIAL, (size_t)(c.chunks * c.weights) * sizeof(float));
  if (!c.partial) return SA_NO_MEMORY;
  if (w) {
    float *sums = sa_scratch(SA_SLOT_CHANNELS, (size_t)g->out_channels * sizeof(float));
    if (!sums || column_sums(pixels, g->out_channels, c.dy, sums)) return SA_NO_MEMORY;
    c.sums = sums;
  }
  if (c.lane_group) {
    const int status = lanes_gradient(&c);
    if (status != SA_OK) return status;
  } else {
    sa_parallel(gradient_chunks, &c, c.chunks * (c.by_tap ? taps : 1));
  }
  if (c.chunks > 1 || (w && !c.swapped)) sa_parallel(combine_chunks, &c, ceil_div(c.weights, GRADIENT_PIECE));
  if (c.swapped) sa_parallel(swap_back, &c, taps);
  if (c.power) sa_parallel(padding_of_power, &c, taps);
  return SA_OK;
}

static int weight_gradient(const sa_geometry *g, const float *x, const float *w, const float *dy, float *dw) {
  return weight_gradient_of((gradient_plan){.x = x, .w = w, .dy = dy, .dw = dw}, g);
}

static int power_weight_gradient(const sa_geometry *g, const float *x, const float *w, const float *dy, float exponent,
                                 float offset, float *dw) {
  const gradient_plan c = {.x = x, .power = w, .dy = dy, .dw = dw, .exponent = exponent, .offset = offset};
  return weight_gradient_of(c, g);
}
