/*
 * The blocked skeleton of every convolution-like gather: forward and input gradient of conv2d, of the adder layer and
 * of both depth-wise. They differ in the kernel of tiles.h alone.
 *
 * Work is dealt in bands: some rows of destination pixels, over the ends of images, so that bands of small maps are as
 * large as those of big ones. A band first copies the source rows it sees into memory of its thread, with the padding
 * written out as zeros (nothing is unfolded; without padding even the copy is left out). From there on every pixel
 * finds the source of a tap at the same distance from its own pointer, taps of one kernel row are adjacent, and the
 * tiles of the band, which lies in the cache, pass under one block of weights after the other.
 *
 * An input gradient is the same gather seen from the input: input pixel (ih, iw) reads dy at ((ih + pad - u) / stride,
 * ...) for the taps that divide. For stride s the pixels fall into s x s phases with the same taps each, so no
 * work is spent on holes. Seen in the order of the source its taps run backwards.
 */

INLINE int is_depthwise(const sa_geometry *g) {
  return g->groups > 1 && g->groups == g->in_channels && g->groups == g->out_channels;
}

/* Some destination positions of one axis and their taps: position i of `count` stands at start + i * period and reads
 * the sources i * step + origin .. + taps - 1. */
typedef struct {
  long start, count;
  long origin, taps;
} axis_phase;

typedef struct {
  long period, step;
  long sources, destinations; /* extents */
  long phases;
  axis_phase *phase;
  /* over all phases: position i reads sources from i * step + low to i * step + high - 1, together `extent` */
  long low, high, extent;
  int inside; /* all of them exist */
} axis;

typedef struct {
  int step;
  const sa_geometry *g;
  int backward, lanewise;
  long batch, groups;
  long length;  /* source channels of a group */
  long columns; /* destination channels of a group */
  long source_channels, channels;
  axis down, across;
  const float *source, *weights, *aux;
  float *destination;

  float *packed;
  long packed_width; /* packed floats per source float of the reduction of a group */

  long rows;     /* of positions in one image, over all phases down the image */
  long band;     /* rows of a band */
  int copied;    /* bands copy their sources */
  long row;      /* floats from one source row to the next */
  long parts;    /* tasks per band, each with every parts-th block of channels */
  long calls;    /* of tile kernels in a band, about */
  size_t copy_floats;
  int failed;    /* a thread had no memory for its band */
} gather;

/* --- axes ------------------------------------------------------------------------------------------------- */

static void set_axis(axis *a, int backward, long stride, long kernel, long pad, long sources, long destinations) {
  a->period = backward ? stride : 1;
  a->step = backward ? 1 : stride;
  a->sources = sources;
  a->destinations = destinations;
  a->phases = min_long(a->period, destinations);
  a->low = a->high = 0;
  a->inside = 1;
  int seen = 0;
  for (long i = 0; i < a->phases; i++) {
    axis_phase *f = &a->phase[i];
    f->start = i;
    f->count = ceil_div(destinations - i, a->period);
    const long first = backward ? (i + pad) % stride : 0; /* of the taps that divide */
    f->taps = first < kernel ? (kernel - 1 - first) / a->period + 1 : 0;
    f->origin = backward ? (i + pad) / stride - (f->taps - 1) : -pad;
    if (f->taps == 0) continue;
    a->low = seen ? min_long(a->low, f->origin) : f->origin;
    a->high = seen ? max_long(a->high, f->origin + f->taps) : f->origin + f->taps;
    a->inside &= f->origin >= 0 && (f->count - 1) * a->step + f->origin + f->taps <= sources;
    seen = 1;
  }
  a->extent = 0;
  for (long i = 0; i < a->phases; i++) {
    const axis_phase *f = &a->phase[i];
    if (f->taps > 0) a->extent = max_long(a->extent, (f->count - 1) * a->step + f->origin + f->taps - a->low);
  }
}

/* The kernel position of tap t of a phase. */
INLINE long kernel_tap(const gather *c, const axis *a, const axis_phase *f, long t, long pad) {
  return c->backward ? (f->start + pad) % a->period + (f->taps - 1 - t) * a->period : t;
}

/* Packed floats before those of phase (i, j). */
static long packed_before(const gather *c, long i, long j) {
  long rows = 0, taps = 0;
  for (long k = 0; k < i; k++) rows += c->down.phase[k].taps;
  for (long k = 0; k < j; k++) taps += c->across.phase[k].taps;
  taps = rows * c->g->kernel_width + c->down.phase[i].taps * taps;
  return taps * c->length * c->packed_width * c->groups;
}

/* --- weights ---------------------------------------------------------------------------------------------- */

static const tile_kernel *kernel_for(const gather *c, long left) {
  return c->lanewise ? &tile_kernels[c->step].lanes : tile_kernel_for(c->step, left, c->length);
}

/* Packs one block of channels of one group for one tap: [k / fold][channel][fold], zero beyond the last channel. */
static void pack_tap(const gather *c, const tile_kernel *kernel, long lanes, const float *from, float *to) {
  const long out = c->g->out_channels, fold = kernel->fold, wide = kernel->channels * fold;
  if (lanes < kernel->channels) memset(to, 0, (size_t)(c->length * kernel->channels) * sizeof(float));
  if (c->backward && !c->lanewise) {
    for (long i = 0; i < lanes; i++, from += out)
      for (long k = 0; k < c->length; k++) to[k / fold * wide + i * fold + k % fold] = from[k];
  } else if (fold > 1) {
    for (long k = 0; k < c->length; k++, from += out)
      for (long i = 0; i < lanes; i++) to[k / fold * wide + i * fold + k % fold] = from[i];
  } else {
    for (long k = 0; k < c->length; k++, from += out, to += wide)
      for (long i = 0; i < lanes; i += WIDTH) v_store_up_to(to + i, v_load_up_to(from + i, lanes - i), lanes - i);
  }
}

/* Tasks are the taps down of every phase, group by group. */
static void pack_weights(void *context, long first, long last) {
  const gather *c = context;
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  const long tap_floats = (c->lanewise ? 1 : in_group) * g->out_channels;
  for (long task = first; task < last; task++) {
    const long group = task % c->groups;
    long i = 0, t = task / c->groups;
    for (; t >= c->down.phase[i].taps; i++) t -= c->down.phase[i].taps;
    const long u = kernel_tap(c, &c->down, &c->down.phase[i], t, g->pad_top), rows = c->down.phase[i].taps;
    for (long j = 0; j < c->across.phases; j++) {
      const axis_phase *f = &c->across.phase[j];
      const long reduction = rows * f->taps * c->length;
      float *to = c->packed + packed_before(c, i, j) + group * reduction * c->packed_width;
      for (long column = 0; column < c->columns;) {
        const tile_kernel *kernel = kernel_for(c, c->columns - column);
        const long lanes = min_long(kernel->channels, c->columns - column);
        for (long s = 0; s < f->taps; s++) {
          const long v = kernel_tap(c, &c->across, f, s, g->pad_left);
          const float *from = c->weights + (u * g->kernel_width + v) * tap_floats + group * out_group +
                              column * (c->backward && !c->lanewise ? g->out_channels : 1);
          pack_tap(c, kernel, lanes, from, to + (t * f->taps + s) * c->length * kernel->channels);
        }
        to += reduction * kernel->channels;
        column += lanes;
      }
    }
  }
}

/* --- bands ------------------------------------------------------------------------------------------------ */

/* What a band needs of its thread's memory. */
typedef struct {
  float *copy;           /* [source rows][c->row] */
  const float **sources; /* [band]: where the sources of a row of positions begin, at (low, low) */
  const float **source;  /* per pixel of a phase, see tile_job */
  float **destination;
  long *segment;
  const char *ahead, *ahead_end; /* sources of the next band, not yet fetched */
  long ahead_share;              /* bytes to fetch with each tile */
} band_memory;

/* The list of pixels goes on for the tile after the last. */
static size_t band_pixels(const gather *c) { return (size_t)(c->band * c->across.phase[0].count) + 2 * MAX_TILE; }

static size_t band_bytes(const gather *c) {
  const size_t pointers = (size_t)c->band + 2 * band_pixels(c);
  const size_t taps = (size_t)c->g->kernel_height * (size_t)c->g->kernel_width;
  return c->copy_floats * sizeof(float) + pointers * sizeof(void *) + taps * sizeof(long) + 64;
}

static band_memory band_memory_at(const gather *c, void *memory) {
  band_memory m;
  m.copy = memory;
  m.sources = (const float **)(m.copy + (c->copy_floats + 15) / 16 * 16);
  m.source = m.sources + c->band;
  m.destination = (float **)(m.source + band_pixels(c));
  m.segment = (long *)(m.destination + band_pixels(c));
  m.ahead = m.ahead_end = NULL;
  m.ahead_share = 0;
  return m;
}

/* Source row h of an image as the band sees it, with the padding. */
static void copy_row(const gather *c, long image, long h, float *to) {
  const long C = c->source_channels, low = c->across.low, width = c->across.sources;
  if (h < 0 || h >= c->down.sources) {
    memset(to, 0, (size_t)c->row * sizeof(float));
    return;
  }
  const long columns = c->across.extent;
  const long left = min_long(columns, max_long(0, -low));
  const long end = max_long(left, min_long(columns, width - low));
  const float *from = c->source + ((image * c->down.sources + h) * width + low + left) * C;
  memset(to, 0, (size_t)(left * C) * sizeof(float));
  memcpy(to + left * C, from, (size_t)((end - left) * C) * sizeof(float));
  memset(to + end * C, 0, (size_t)((columns - end) * C) * sizeof(float));
}

/* Finds, and where needed copies, the sources of rows [first, last) of positions. */
static void open_band(const gather *c, long first, long last, band_memory *m) {
  float *to = m->copy;
  for (long row = first, next; row < last; row = next) {
    const long image = row / c->rows, i = row % c->rows;
    next = min_long(last, (image + 1) * c->rows);
    const long top = i * c->down.step + c->down.low;
    const float *base = to;
    if (c->copied) {
      const long bottom = (i + next - row - 1) * c->down.step + c->down.high;
      for (long h = top; h < bottom; h++, to += c->row) copy_row(c, image, h, to);
    } else {
      base = c->source + (image * c->down.sources + top) * c->row + c->across.low * c->source_channels;
    }
    for (long r = row; r < next; r++) m->sources[r - first] = base + (r - row) * c->down.step * c->row;
  }
  /* the rows that the next band reads and this one does not */
  const long sources = c->batch * c->down.sources, bytes = c->across.sources * c->source_channels * (long)sizeof(float);
  const long next = last / c->rows * c->down.sources + last % c->rows * c->down.step + c->down.high - c->down.step;
  const long from = max_long(0, min_long(sources, next)), to_row = max_long(0, min_long(sources, next + (last - first) * c->down.step));
  m->ahead = (const char *)c->source + from * bytes;
  m->ahead_end = (const char *)c->source + to_row * bytes;
  m->ahead_share = (m->ahead_end - m->ahead) / c->calls + 1;
}

/* Lists the pixels of one phase in rows [first, last); the last is repeated to the end of its tile. */
static long list_pixels(const gather *c, const axis_phase *down, const axis_phase *across, long first, long last,
                        const band_memory *m) {
  const long source_step = c->across.step * c->source_channels, step = c->across.period * c->channels;
  const long origin = (down->origin - c->down.low) * c->row + (across->origin - c->across.low) * c->source_channels;
  long pixels = 0;
  for (long row = first; row < last; row++) {
    const long image = row / c->rows, i = row % c->rows;
    if (i >= down->count) continue;
    const float *from = m->sources[row - first] + origin;
    float *to = c->destination + ((image * c->down.destinations + down->start + i * c->down.period) *
                                      c->across.destinations + across->start) * c->channels;
    for (long j = 0; j < across->count; j++) {
      m->source[pixels + j] = from + j * source_step;
      m->destination[pixels + j] = to + j * step;
    }
    pixels += across->count;
  }
  for (long i = pixels; pixels > 0 && i < pixels + 2 * MAX_TILE; i++) {
    m->source[i] = m->source[pixels - 1];
    m->destination[i] = m->destination[pixels - 1];
  }
  return pixels;
}

/* Fetches what the next tile writes and a share of what the next band reads: on maps beyond the second-level cache the
 * tiles would otherwise wait for memory a third of the time. */
INLINE void look_ahead(const tile_job *job, long tile, long p, band_memory *m) {
  enum { LINE = 64 };
  for (long i = p + tile; i < p + 2 * tile; i++)
    for (long k = 0; k < job->lanes; k += LINE / 4) __builtin_prefetch(job->destination[i] + job->channel + k, 1);
  const char *end = m->ahead + m->ahead_share;
  for (; m->ahead < end && m->ahead < m->ahead_end; m->ahead += LINE) __builtin_prefetch(m->ahead, 0, 2);
}

/* Runs the tiles of one phase, for every parts-th block of channels from `part`. */
static void run_phase(const gather *c, long i, long j, long part, long pixels, band_memory *m) {
  const axis_phase *down = &c->down.phase[i], *across = &c->across.phase[j];
  const int whole_rows = c->groups == 1 && !c->lanewise;
  tile_job job = {
      .source = m->source,
      .destination = m->destination,
      .aux_distance = (uintptr_t)c->aux - (uintptr_t)c->destination,
      .segment = m->segment,
      .length = (whole_rows ? across->taps : 1) * c->length,
      .packed = c->packed + packed_before(c, i, j),
  };
  for (long t = 0; t < down->taps; t++)
    for (long s = 0; s < (whole_rows ? 1 : across->taps); s++)
      m->segment[job.segments++] = t * c->row + s * c->source_channels;
  const long reduction = down->taps * across->taps * c->length;
  long block = 0;
  for (long group = 0; group < c->groups; group++) {
    for (long column = 0; column < c->columns; block++) {
      const tile_kernel *kernel = kernel_for(c, c->columns - column);
      job.source_shift = group * c->length;
      job.channel = group * c->columns + column;
      job.lanes = min_long(kernel->channels, c->columns - column);
      for (long p = 0; p < pixels && block % c->parts == part; p += kernel->tile) {
        look_ahead(&job, kernel->tile, p, m);
        kernel->run(&job, p);
      }
      job.packed += reduction * kernel->channels;
      column += job.lanes;
    }
  }
}

static void gather_bands(void *context, long first, long last) {
  gather *c = context;
  void *memory = sa_thread_scratch(band_bytes(c));
  if (!memory) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  band_memory m = band_memory_at(c, memory);
  for (long task = first; task < last; task++) {
    const long row = task / c->parts * c->band, end = min_long(row + c->band, c->batch * c->rows);
    open_band(c, row, end, &m);
    for (long i = 0; i < c->down.phases; i++) {
      for (long j = 0; j < c->across.phases; j++) {
        const long pixels = list_pixels(c, &c->down.phase[i], &c->across.phase[j], row, end, &m);
        if (c->down.phase[i].taps * c->across.phase[j].taps * c->length > 0)
          run_phase(c, i, j, task % c->parts, pixels, &m);
        else
          for (long p = 0; p < pixels; p++) memset(m.destination[p], 0, (size_t)c->channels * sizeof(float));
      }
    }
  }
}

/* --- the definition --------------------------------------------------------------------------------------- */

/* One result by its definition, for weights that are not all finite: the fast kernels multiply them by the zeros of the
 * padding, and the clamp in one instruction loses a NaN. Such a training run has diverged; what matters is that the
 * NaN or infinity reaches what depends on it and nothing else. */
static float gather_exactly(const gather *c, long image, long h, long w, long channel) {
  const sa_geometry *g = c->g;
  const long stride = g->stride, in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  const long length = c->backward ? out_group : in_group, columns = c->backward ? in_group : out_group;
  const long group = channel / columns;
  float sum = 0;
  for (long u = 0; u < g->kernel_height; u++) {
    for (long v = 0; v < g->kernel_width; v++) {
      long y = c->backward ? h + g->pad_top - u : h * stride - g->pad_top + u;
      long x = c->backward ? w + g->pad_left - v : w * stride - g->pad_left + v;
      if (c->backward && (y % stride || x % stride)) continue;
      if (c->backward) y /= stride, x /= stride;
      const int inside = y >= 0 && y < c->down.sources && x >= 0 && x < c->across.sources;
      if (!inside && c->step != STEP_DISTANCE) continue;
      for (long k = 0; k < length; k++) {
        const float source =
            inside ? c->source[((image * c->down.sources + y) * c->across.sources + x) * c->source_channels +
                               group * length + k]
                   : 0;
        const long in = c->backward ? channel % columns : k, out = c->backward ? group * length + k : channel;
        const float weight = c->weights[((u * g->kernel_width + v) * in_group + in) * g->out_channels + out];
        if (c->step == STEP_MULTIPLY) {
          sum += source * weight;
        } else if (c->step == STEP_DISTANCE) {
          sum -= __builtin_fabsf(source - weight);
        } else {
          const float d = weight - c->aux[((image * c->down.destinations + h) * c->across.destinations + w) * c->channels + channel];
          sum += source * (d > 1 ? 1 : d < -1 ? -1 : d);
        }
      }
    }
  }
  return sum;
}

/* Tasks are destination rows. */
static void gather_rows_exactly(void *context, long first, long last) {
  const gather *c = context;
  float *to = c->destination + first * c->across.destinations * c->channels;
  for (long row = first; row < last; row++)
    for (long w = 0; w < c->across.destinations; w++)
      for (long channel = 0; channel < c->channels; channel++)
        *to++ = gather_exactly(c, row / c->down.destinations, row % c->down.destinations, w, channel);
}

static int all_finite(const float *values, long length) {
  V sum[4] = {v_zero(), v_zero(), v_zero(), v_zero()};
  long i = 0;
  for (; i + 4 * WIDTH <= length; i += 4 * WIDTH) {
    UNROLL
    for (int k = 0; k < 4; k++) sum[k] += v_load(values + i + k * WIDTH) * v_zero();
  }
  for (; i < length; i += WIDTH) sum[0] += v_load_up_to(values + i, length - i) * v_zero();
  sum[0] += sum[1] + sum[2] + sum[3];
  for (int k = 0; k < WIDTH; k++)
    if (sum[0][k] != 0) return 0;
  return 1;
}

/* --- the whole -------------------------------------------------------------------------------------------- */

/* A band's copy should stay in the first-level cache beside a block of weights, and must in the second-level one. */
enum { SMALL_COPY = 1 << 13, LARGE_COPY = 1 << 16, FEW_TILES = 4, MANY_BANDS = 8 };

static long greatest_divisor(long a, long b) { return b == 0 ? a : greatest_divisor(b, a % b); }

/* Source rows that one image of a band needs beyond `step` for each row of positions. */
static long halo(const gather *c) { return max_long(0, c->down.high - c->down.low - c->down.step); }

/* Rows of a band: a few tiles, more while the copy is small and bands are many, and if possible whole tiles. */
static long choose_band(const gather *c, long tile) {
  const long width = c->across.phase[0].count, total = c->batch * c->rows;
  const long few = ceil_div(FEW_TILES * tile, width), exact = tile / greatest_divisor(tile, width);
  const double floats = (double)c->row * (double)(c->rows * c->down.step + halo(c)) / (double)c->rows;
  const long small = (long)(SMALL_COPY / floats), large = max_long(1, (long)(LARGE_COPY / floats));
  const long rows = max_long(few, min_long(small, total / MANY_BANDS));
  return min_long(min_long(ceil_div(rows, exact) * exact, large), total);
}

/* Blocks of channels and packed floats of a group. */
static long count_blocks(const gather *c, long *packed_width) {
  long blocks = 0;
  *packed_width = 0;
  for (long column = 0; column < c->columns; blocks++) {
    const tile_kernel *kernel = kernel_for(c, c->columns - column);
    *packed_width += kernel->channels;
    column += kernel->channels;
  }
  return blocks;
}

/*
 * Convolution-like gather from `source` to `destination`. Forward: source is x, destination y. Backward (input
 * gradients): source is dy, destination dx. `aux` is x for STEP_CLAMP, shaped like the destination.
 */
static int convolve(int step, int backward, const sa_geometry *g, const float *source, const float *weights,
                    const float *aux, float *destination) {
  const long taps = (long)g->kernel_height * g->kernel_width;
  gather c = {.step = step, .g = g, .backward = backward, .batch = g->batch, .source = source, .weights = weights,
              .aux = aux, .destination = destination};
  c.source_channels = backward ? g->out_channels : g->in_channels;
  c.channels = backward ? g->in_channels : g->out_channels;
  c.lanewise = is_depthwise(g);
  c.groups = c.lanewise ? 1 : g->groups;
  c.length = c.lanewise ? 1 : c.source_channels / c.groups;
  c.columns = c.channels / c.groups;
  const long height = backward ? g->in_height : g->out_height, width = backward ? g->in_width : g->out_width;
  if (c.batch * height * width * c.channels == 0) return SA_OK;
  if (taps * c.source_channels == 0) {
    memset(destination, 0, (size_t)(c.batch * height * width * c.channels) * sizeof(float));
    return SA_OK;
  }

  const long period = backward ? g->stride : 1, phases_down = min_long(period, height);
  c.down.phase = sa_scratch(SA_SLOT_PHASES, (size_t)(phases_down + min_long(period, width)) * sizeof(axis_phase));
  if (!c.down.phase) return SA_NO_MEMORY;
  c.across.phase = c.down.phase + phases_down;
  set_axis(&c.down, backward, g->stride, g->kernel_height, g->pad_top, backward ? g->out_height : g->in_height, height);
  set_axis(&c.across, backward, g->stride, g->kernel_width, g->pad_left, backward ? g->out_width : g->in_width, width);
  if (!all_finite(weights, taps * (g->in_channels / g->groups) * g->out_channels)) {
    sa_parallel(gather_rows_exactly, &c, c.batch * height);
    return SA_OK;
  }

  /* lane by lane, a vector may reach beyond the last channel: not beyond the buffer */
  c.copied = !c.down.inside || !c.across.inside || (c.lanewise && c.channels % WIDTH != 0);
  c.row = (c.copied ? c.across.extent : c.across.sources) * c.source_channels;
  c.rows = c.down.phase[0].count;
  c.band = choose_band(&c, kernel_for(&c, c.columns)->tile);
  const long images = min_long(c.batch, (c.band + c.rows - 2) / c.rows + 1);
  c.copy_floats = c.copied ? (size_t)((c.band * c.down.step + images * halo(&c)) * c.row + WIDTH) : 0;
  const long bands = ceil_div(c.batch * c.rows, c.band), blocks = count_blocks(&c, &c.packed_width) * c.groups;
  c.parts = bands < MANY_BANDS / 2 ? min_long(blocks, ceil_div(MANY_BANDS, bands)) : 1;
  const long tiles = ceil_div(c.band * c.across.phase[0].count, kernel_for(&c, c.columns)->tile);
  c.calls = tiles * c.down.phases * c.across.phases * ceil_div(blocks, c.parts);
  c.packed = sa_scratch(SA_SLOT_PACKED, (size_t)(taps * c.length * c.packed_width * c.groups) * sizeof(float));
  if (!c.packed) return SA_NO_MEMORY;

  long taps_down = 0;
  for (long i = 0; i < c.down.phases; i++) taps_down += c.down.phase[i].taps;
  sa_parallel(pack_weights, &c, taps_down * c.groups);
  sa_parallel(gather_bands, &c, bands * c.parts);
  return c.failed ? SA_NO_MEMORY : SA_OK;
}
