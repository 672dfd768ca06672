/*
 * The blocked skeleton of every convolution-like gather: forward and input gradient of conv2d, of the adder layer and
 * of their depth-wise forms. They differ in the kernel of tiles.h alone. The tiles of a band (bands.h), which lies in the
 * cache, pass under one block of weights after the other.
 */

typedef struct {
  int step;
  int backward;
  band_plan bands;
  long groups;     /* that are computed one by one */
  long lane_group; /* or 0 */
  long length;     /* source channels of a group */
  long columns;    /* destination channels of a group, or of all when lane by lane */
  long channels;   /* of the destination */
  const float *weights, *aux;
  float *destination;
  float exponent, offset; /* of powers */

  float *packed;
  long packed_width; /* packed floats per source float of the reduction of a group */
  long parts;        /* tasks per band, each with every parts-th block of channels */
  int failed;        /* a thread had no memory for its band */
} gather;

/* Channels of a group when the layer goes lane by lane (see tiles.h), else 0. */
INLINE long lane_group(const sa_geometry *g) {
  const long group = g->in_channels / g->groups;
  return g->groups > 1 && g->in_channels == g->out_channels && (group == 1 || group == 2 || group == 4) ? group : 0;
}

/* --- weights ---------------------------------------------------------------------------------------------- */

/* Packed floats before those of phase (i, j). */
static long packed_before(const gather *c, long i, long j) {
  const axis *down = &c->bands.down, *across = &c->bands.across;
  long rows = 0, taps = 0;
  for (long k = 0; k < i; k++) rows += down->phase[k].taps;
  for (long k = 0; k < j; k++) taps += across->phase[k].taps;
  taps = rows * c->bands.g->kernel_width + down->phase[i].taps * taps;
  return taps * c->length * c->packed_width * c->groups;
}

static const tile_kernel *kernel_for(const gather *c, long left) {
  if (!c->lane_group) return tile_kernel_for(c->step, left, c->length);
  return c->lane_group == 1   ? &tile_kernels[c->step].lanes1
         : c->lane_group == 2 ? &tile_kernels[c->step].lanes2
                              : &tile_kernels[c->step].lanes4;
}

/* Packs one block of channels of one group for one tap: [k / fold][channel][fold], zero beyond the last channel. `from`
 * is the tap's first weight for this group; the channels are [column, column + lanes). */
static void pack_tap(const gather *c, const tile_kernel *kernel, long column, long lanes, const float *from, float *to) {
  const long out = c->bands.g->out_channels, fold = kernel->fold, wide = kernel->channels * fold, group = c->lane_group;
  if (lanes < kernel->channels) memset(to, 0, (size_t)(c->length * kernel->channels) * sizeof(float));
  if (c->backward) {
    for (long i = 0; i < lanes; i++) {
      const long in = column + i;
      const float *row = group ? from + in % group * out + in / group * group : from + in * out;
      for (long k = 0; k < c->length; k++) to[k / fold * wide + i * fold + k % fold] = row[k];
    }
  } else if (fold > 1) {
    for (long k = 0; k < c->length; k++)
      for (long i = 0; i < lanes; i++) to[k / fold * wide + i * fold + k % fold] = from[k * out + column + i];
  } else {
    for (long k = 0; k < c->length; k++)
      for (long i = 0; i < lanes; i += WIDTH)
        v_store_up_to(to + k * wide + i, v_load_up_to(from + k * out + column + i, lanes - i), lanes - i);
  }
}

/* Tasks are the taps down of every phase, group by group. */
static void pack_weights(void *context, long first, long last) {
  const gather *c = context;
  const sa_geometry *g = c->bands.g;
  const axis *down = &c->bands.down, *across = &c->bands.across;
  const long tap_floats = g->in_channels / g->groups * g->out_channels, out_group = g->out_channels / g->groups;
  for (long task = first; task < last; task++) {
    const long group = task % c->groups;
    long i = 0, t = task / c->groups;
    for (; t >= down->phase[i].taps; i++) t -= down->phase[i].taps;
    const long u = kernel_tap(down, &down->phase[i], t);
    for (long j = 0; j < across->phases; j++) {
      const axis_phase *f = &across->phase[j];
      const long reduction = down->phase[i].taps * f->taps * c->length;
      float *to = c->packed + packed_before(c, i, j) + group * reduction * c->packed_width;
      for (long column = 0; column < c->columns;) {
        const tile_kernel *kernel = kernel_for(c, c->columns - column);
        const long lanes = min_long(kernel->channels, c->columns - column);
        for (long s = 0; s < f->taps; s++) {
          const float *from = c->weights + (u * g->kernel_width + kernel_tap(across, f, s)) * tap_floats + group * out_group;
          pack_tap(c, kernel, column, lanes, from, to + (t * f->taps + s) * c->length * kernel->channels);
        }
        to += reduction * kernel->channels;
        column += lanes;
      }
    }
  }
}

/* --- tiles ------------------------------------------------------------------------------------------------ */

/* Lists the pixels of one phase in rows [first, last); the last is repeated to the end of the tile after its own. */
static long list_pixels(const gather *c, const axis_phase *down, const axis_phase *across, long first, long last,
                        const band_memory *m) {
  const band_plan *b = &c->bands;
  const long source_step = b->across.step * b->source_channels, step = b->across.period * c->channels;
  const long origin = (down->origin - b->down.low) * b->row + (across->origin - b->across.low) * b->source_channels;
  long pixels = 0;
  for (long row = first; row < last; row++) {
    const long image = row / b->rows, i = row % b->rows;
    if (i >= down->count) continue;
    const float *from = m->sources[row - first] + origin;
    const long to_row = image * b->down.positions + down->start + i * b->down.period;
    float *to = c->destination + (to_row * b->across.positions + across->start) * c->channels;
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

/* Fetches what the next tile writes (and the x it reads) and a share of what the next band reads: on maps beyond the
 * second-level cache the tiles would otherwise wait for memory a third of the time. */
INLINE void look_ahead(const tile_job *job, int clamp, long tile, long p, band_memory *m) {
  for (long i = p + tile; i < p + 2 * tile; i++) {
    const float *to = job->destination[i] + job->channel;
    for (long k = 0; k < job->lanes; k += CACHE_LINE / 4) {
      __builtin_prefetch(to + k, 1);
      if (clamp) __builtin_prefetch((const void *)((uintptr_t)(to + k) + job->aux_distance));
    }
  }
  fetch_share(&m->ahead);
}

/* Runs the tiles of one phase, for every parts-th block of channels from `part`. */
static void run_phase(const gather *c, long i, long j, long part, long pixels, band_memory *m) {
  const axis_phase *down = &c->bands.down.phase[i], *across = &c->bands.across.phase[j];
  const int whole_rows = c->groups == 1 && !c->lane_group;
  tile_job job = {
      .source = m->source,
      .destination = m->destination,
      .aux_distance = (uintptr_t)c->aux - (uintptr_t)c->destination,
      .segment = m->segment,
      .segments = list_segments(&c->bands, down, across, whole_rows, m),
      .length = (whole_rows ? across->taps : 1) * c->length, /* not used lane by lane */
      .packed = c->packed + packed_before(c, i, j),
      .exponent = c->exponent,
      .offset = c->offset,
  };
  const long reduction = down->taps * across->taps * c->length;
  long block = 0;
  for (long group = 0; group < c->groups; group++) {
    for (long column = 0; column < c->columns; block++) {
      const tile_kernel *kernel = kernel_for(c, c->columns - column);
      job.source_shift = group * c->length;
      job.channel = group * c->columns + column;
      job.lanes = min_long(kernel->channels, c->columns - column);
      for (long p = 0; p < pixels && block % c->parts == part; p += kernel->tile) {
        look_ahead(&job, reads_aux(c->step), kernel->tile, p, m);
        kernel->run(&job, p);
      }
      job.packed += reduction * kernel->channels;
      column += job.lanes;
    }
  }
}

/* Tasks are the parts of bands. */
static void gather_bands(void *context, long first, long last) {
  gather *c = context;
  const band_plan *b = &c->bands;
  band_memory m = band_memory_of_thread(b);
  if (!m.copy) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  for (long task = first; task < last; task++) {
    const long row = task / c->parts * b->band, end = min_long(row + b->band, b->all);
    open_band(b, row, end, &m);
    for (long i = 0; i < b->down.phases; i++) {
      for (long j = 0; j < b->across.phases; j++) {
        const axis_phase *down = &b->down.phase[i], *across = &b->across.phase[j];
        const long pixels = list_pixels(c, down, across, row, end, &m);
        if (down->taps * across->taps > 0)
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
  const sa_geometry *g = c->bands.g;
  const axis *down = &c->bands.down, *across = &c->bands.across;
  const long stride = g->stride, in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  const long group = channel / (c->backward ? in_group : out_group), length = c->backward ? out_group : in_group;
  const long at = ((image * down->positions + h) * across->positions + w) * c->channels + channel;
  float sum = 0;
  for (long u = 0; u < g->kernel_height; u++) {
    for (long v = 0; v < g->kernel_width; v++) {
      long y = c->backward ? h + g->pad_top - u : h * stride - g->pad_top + u;
      long x = c->backward ? w + g->pad_left - v : w * stride - g->pad_left + v;
      if (c->backward && (y % stride || x % stride)) continue;
      if (c->backward) y /= stride, x /= stride;
      const int inside = y >= 0 && y < down->sources && x >= 0 && x < across->sources;
      if (!inside && c->step != STEP_DISTANCE && c->step != STEP_POWER) continue;
      const float *source = c->bands.source;
      if (inside) source += ((image * down->sources + y) * across->sources + x) * c->bands.source_channels + group * length;
      for (long k = 0; k < length; k++) {
        const float value = inside ? source[k] : 0;
        const long in = c->backward ? channel % in_group : k, out = c->backward ? group * length + k : channel;
        const float weight = c->weights[((u * g->kernel_width + v) * in_group + in) * g->out_channels + out];
        if (c->step == STEP_MULTIPLY) {
          sum += value * weight;
        } else if (c->step == STEP_DISTANCE) {
          sum -= __builtin_fabsf(value - weight);
        } else if (c->step == STEP_POWER) {
          sum -= distance_power(value - weight, c->exponent);
        } else if (c->step == STEP_SLOPE) {
          sum += value * slope_power(weight - c->aux[at], c->exponent, c->offset);
        } else {
          const float d = weight - c->aux[at];
          sum += value * (d > 1 ? 1 : d < -1 ? -1 : d);
        }
      }
    }
  }
  return sum;
}

/* Tasks are destination rows. */
static void gather_rows_exactly(void *context, long first, long last) {
  const gather *c = context;
  const long height = c->bands.down.positions, width = c->bands.across.positions;
  float *to = c->destination + first * width * c->channels;
  for (long row = first; row < last; row++)
    for (long w = 0; w < width; w++)
      for (long channel = 0; channel < c->channels; channel++)
        *to++ = gather_exactly(c, row / height, row % height, w, channel);
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
 * gradients): source is dy, destination dx. `aux` is x for STEP_CLAMP and STEP_SLOPE, shaped like the destination;
 * `exponent` and `offset` are those of powers.
 */
static int convolve_power(int step, int backward, const sa_geometry *g, const float *source, const float *weights,
                          const float *aux, float exponent, float offset, float *destination) {
  const long taps = (long)g->kernel_height * g->kernel_width;
  const long rows = (long)g->batch * (backward ? g->in_height : g->out_height);
  gather c = {.step = step, .backward = backward, .bands = {.source = source}, .weights = weights, .aux = aux,
              .destination = destination, .exponent = exponent, .offset = offset};
  c.channels = backward ? g->in_channels : g->out_channels;
  const long results = rows * (backward ? g->in_width : g->out_width) * c.channels;
  if (results == 0) return SA_OK;
  if (taps * g->in_channels * g->out_channels == 0) {
    memset(destination, 0, (size_t)results * sizeof(float));
    return SA_OK;
  }
  if (!set_axes(&c.bands, g, backward)) return SA_NO_MEMORY;
  int exactly = !all_finite(weights, taps * (g->in_channels / g->groups) * g->out_channels);
  if (is_power(step)) { /* bits of an infinity or a NaN in x would come out as numbers */
    const float *x = step == STEP_POWER ? source : aux;
    exactly |= !all_finite(x, (long)g->batch * g->in_height * g->in_width * g->in_channels);
  }
  if (exactly) {
    sa_parallel(gather_rows_exactly, &c, rows);
    return SA_OK;
  }

  c.lane_group = lane_group(g);
  c.groups = c.lane_group ? 1 : g->groups;
  c.length = c.bands.source_channels / g->groups;
  c.columns = c.channels / c.groups;
  choose_band(&c.bands, kernel_for(&c, c.columns)->tile, c.lane_group ? LANES_COPY : SMALL_COPY,
              c.lane_group && c.channels % WIDTH != 0);
  const long bands = ceil_div(c.bands.all, c.bands.band), blocks = count_blocks(&c, &c.packed_width) * c.groups;
  c.parts = bands < MANY_BANDS / 2 ? min_long(blocks, ceil_div(MANY_BANDS, bands)) : 1;
  c.bands.calls *= ceil_div(blocks, c.parts);
  c.packed = sa_scratch(SA_SLOT_PACKED, (size_t)(taps * c.length * c.packed_width * c.groups) * sizeof(float));
  if (!c.packed) return SA_NO_MEMORY;

  long taps_down = 0;
  for (long i = 0; i < c.bands.down.phases; i++) taps_down += c.bands.down.phase[i].taps;
  sa_parallel(pack_weights, &c, taps_down * c.groups);
  sa_parallel(gather_bands, &c, bands * c.parts);
  return c.failed ? SA_NO_MEMORY : SA_OK;
}

static int convolve(int step, int backward, const sa_geometry *g, const float *source, const float *weights,
                    const float *aux, float *destination) {
  return convolve_power(step, backward, g, source, weights, aux, 1, 0, destination);
}
