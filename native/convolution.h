/*
 * The blocked skeleton of every dense convolution-like op: conv2d forward and input gradient, L1 forward, and the
 * adder's clamped input gradient. They differ in the inner step alone.
 *
 * A tile is P destination pixels (consecutive in the flattened order image, row, column, so tiles stay full on maps
 * of any size) times one or two vectors of destination channels, held in registers. The reduction runs over
 * segments: one per kernel tap, each `length` adjacent source floats, reached through a pointer per pixel (indirect
 * convolution: nothing is unfolded; a padded position points at a row of zeros). When a segment would be shorter
 * than a vector (the stem: 1 or 3 channels) the P patches are gathered into a small panel on the stack, one segment.
 *
 * An input gradient is the same gather seen from the input: input pixel (ih, iw) reads dy at ((ih + pad - u) / stride,
 * ...) for the taps that divide. For stride s the pixels fall into s x s phases with the same taps each, so no
 * work is spent on holes.
 */

enum { STEP_MULTIPLY, STEP_DISTANCE, STEP_CLAMP };

/* Destination pixels per tile: `pair` when there are two or more vectors of channels, else `single`. */
#if WIDTH == 16
enum { MULTIPLY_PAIR = 14, MULTIPLY_SINGLE = 14, DISTANCE_PAIR = 10, DISTANCE_SINGLE = 14, CLAMP_PAIR = 6, CLAMP_SINGLE = 12 };
#elif defined(SA_AVX2)
enum { MULTIPLY_PAIR = 6, MULTIPLY_SINGLE = 10, DISTANCE_PAIR = 5, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
#else
enum { MULTIPLY_PAIR = 5, MULTIPLY_SINGLE = 8, DISTANCE_PAIR = 4, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
#endif
enum { MAX_TILE = 16, MAX_SEGMENTS = 64, MAX_PANEL = 8192, TILES_PER_PIECE = 4 };

/* What one call of a tile kernel works on. */
typedef struct {
  const float *const *source; /* [segments][P] */
  long segments, length;
  long source_shift; /* added to every source pointer: first channel of the group */
  const float *packed; /* [segments * length][NV * WIDTH] */
  const float *init; /* starting values per channel, or NULL for zero */
  int accumulate; /* start from what the destination holds */
  float *const *destination; /* [P] */
  const float *const *aux; /* [P], the x of the clamped gradient */
  long destination_shift; /* first destination channel */
  long lanes; /* valid channels from there */
} tile_job;

INLINE V inner_step(const int step, V acc, V source, V weight, V x, V one) {
  if (step == STEP_MULTIPLY) return v_fma(source, weight, acc);
  if (step == STEP_DISTANCE) return v_add_abs(source - weight, one, acc);
  return v_fma(source, v_clamp(weight - x, one), acc);
}

/* KU steps of the reduction for all P pixels; the weights of KU steps stay in registers. */
INLINE void tile_steps(const int step, const int P, const int NV, const int KU, V *acc, const V *x, V one,
                       const float *const *from, long k, const float *packed) {
  V weight[16];
  UNROLL
  for (int i = 0; i < KU * NV; i++) weight[i] = v_load(packed + i * WIDTH);
  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int i = 0; i < KU; i++) {
      const V source = v_set(from[p][k + i]);
      UNROLL
      for (int v = 0; v < NV; v++)
        acc[p * NV + v] = inner_step(step, acc[p * NV + v], source, weight[i * NV + v],
                                     step == STEP_CLAMP ? x[p * NV + v] : v_zero(), one);
    }
  }
}

INLINE void tile_body(const int step, const int P, const int NV, const int KU, const tile_job *job) {
  V acc[2 * MAX_TILE], x[2 * MAX_TILE];
  const V one = v_opaque(v_set(1.0f));
  const long shift = job->destination_shift, lanes = job->lanes;
  if (step == STEP_CLAMP) {
    UNROLL
    for (int p = 0; p < P; p++) {
      UNROLL
      for (int v = 0; v < NV; v++) x[p * NV + v] = v_load_up_to(job->aux[p] + shift + v * WIDTH, lanes - v * WIDTH);
    }
  }
  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int v = 0; v < NV; v++) acc[p * NV + v] = job->init ? v_load(job->init + v * WIDTH) : v_zero();
  }
  if (job->accumulate) {
    UNROLL
    for (int p = 0; p < P; p++) {
      UNROLL
      for (int v = 0; v < NV; v++) {
        const V held = v_load_up_to(job->destination[p] + shift + v * WIDTH, lanes - v * WIDTH);
        acc[p * NV + v] = step == STEP_DISTANCE ? -held : held;
      }
    }
  }

  const float *packed = job->packed;
  const float *const *source = job->source;
  const long length = job->length;
  for (long s = 0; s < job->segments; s++, source += P) {
    const float *from[MAX_TILE];
    UNROLL
    for (int p = 0; p < P; p++) from[p] = source[p] + job->source_shift;
    long k = 0;
    for (; k + KU <= length; k += KU, packed += KU * NV * WIDTH)
      tile_steps(step, P, NV, KU, acc, x, one, from, k, packed);
    if (KU > 1)
      for (; k < length; k++, packed += NV * WIDTH) tile_steps(step, P, NV, 1, acc, x, one, from, k, packed);
  }

  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int v = 0; v < NV; v++) {
      V value = acc[p * NV + v];
      if (step == STEP_DISTANCE) value = -value;
      if (step == STEP_CLAMP && CLAMP_DROPS_NAN) value = v_keep_nan(value, x[p * NV + v]);
      v_store_up_to(job->destination[p] + shift + v * WIDTH, value, lanes - v * WIDTH);
    }
  }
}

#define TILE_KERNEL(name, step, P, NV, KU) \
  NOINLINE void name(const tile_job *job) { tile_body(step, P, NV, KU, job); }
TILE_KERNEL(multiply_pair, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1)
TILE_KERNEL(multiply_rest, STEP_MULTIPLY, MULTIPLY_PAIR, 1, 1)
TILE_KERNEL(multiply_single, STEP_MULTIPLY, MULTIPLY_SINGLE, 1, WIDTH == 16 ? 8 : 1)
TILE_KERNEL(distance_pair, STEP_DISTANCE, DISTANCE_PAIR, 2, 1)
TILE_KERNEL(distance_rest, STEP_DISTANCE, DISTANCE_PAIR, 1, 1)
TILE_KERNEL(distance_single, STEP_DISTANCE, DISTANCE_SINGLE, 1, 1)
TILE_KERNEL(clamp_pair, STEP_CLAMP, CLAMP_PAIR, 2, 1)
TILE_KERNEL(clamp_rest, STEP_CLAMP, CLAMP_PAIR, 1, 1)
TILE_KERNEL(clamp_single, STEP_CLAMP, CLAMP_SINGLE, 1, 1)

static const struct {
  int pair_tile, single_tile;
  void (*pair)(const tile_job *), (*rest)(const tile_job *), (*single)(const tile_job *);
} tile_kernels[] = {
    {MULTIPLY_PAIR, MULTIPLY_SINGLE, multiply_pair, multiply_rest, multiply_single},
    {DISTANCE_PAIR, DISTANCE_SINGLE, distance_pair, distance_rest, distance_single},
    {CLAMP_PAIR, CLAMP_SINGLE, clamp_pair, clamp_rest, clamp_single},
};

/* Destination pixels that share one set of taps. */
typedef struct {
  long pixels, taps; /* pixels of one image */
  long first_pixel; /* index of the phase's first entry in `targets` */
  long first_offset; /* the same in `offsets` */
  long packed; /* first float of its packed weights */
  long init; /* first float of its starting values */
  long first_tile, tiles;
} phase;

typedef struct {
  int step;
  long batch, groups;
  long length; /* floats per segment: source channels of one group */
  long columns, vectors; /* destination channels of one group, and vectors that cover them */
  long tile; /* pixels per tile */
  int panel; /* gather patches first */
  const float *source, *aux, *zeros;
  float *destination, *trash;
  long source_image, destination_image;
  const int32_t *offsets; /* [pixel][tap] of each phase: float offset in the source image, -1 when padded */
  const int32_t *targets; /* [pixel] of each phase: float offset in the destination image */
  float *packed, *init;
  long phases;
  phase *phase;
  /* for packing */
  const sa_geometry *g;
  const float *weights;
  int backward;
  const int32_t *tap_of; /* per phase: kernel positions of its taps, at first_tap */
  long *first_tap;
} gather;

static void gather_patches(const gather *c, const phase *f, const float *const *bases, const int32_t *const *offsets,
                           float *panel) {
  const long length = c->length;
  for (long p = 0; p < c->tile; p++) {
    for (long t = 0; t < f->taps; t++) {
      const float *from = offsets[p][t] < 0 ? c->zeros : bases[p] + offsets[p][t];
      for (long k = 0; k < length; k++) *panel++ = from[k];
    }
  }
}

static void gather_tile(const gather *c, const phase *f, long tile) {
  const long total = c->batch * f->pixels, P = c->tile;
  const float *bases[MAX_TILE], *aux[MAX_TILE];
  const int32_t *offsets[MAX_TILE];
  float *destination[MAX_TILE];
  const float *source[MAX_SEGMENTS * MAX_TILE];
  float panel[MAX_PANEL] ALIGNED;
  long image = tile * P / f->pixels, pixel = tile * P % f->pixels;
  for (long p = 0; p < P; p++) {
    const int32_t *own = c->offsets + f->first_offset + pixel * f->taps;
    if (tile * P + p < total) {
      const long target = image * c->destination_image + c->targets[f->first_pixel + pixel];
      bases[p] = c->source + image * c->source_image;
      destination[p] = c->destination + target;
      aux[p] = c->step == STEP_CLAMP ? c->aux + target : 0;
      offsets[p] = own;
      if (++pixel == f->pixels) pixel = 0, image++;
    } else { /* past the end: compute the last pixel again into a row nobody reads */
      bases[p] = bases[p - 1];
      offsets[p] = offsets[p - 1];
      aux[p] = aux[p - 1];
      destination[p] = c->trash;
    }
  }

  const long reduction = f->taps * c->length;
  for (long first = 0; first == 0 || first < f->taps;) {
    const long taps = c->panel ? f->taps : min_long(MAX_SEGMENTS, f->taps - first);
    if (c->panel) {
      gather_patches(c, f, bases, offsets, panel);
      for (long p = 0; p < P; p++) source[p] = panel + p * reduction;
    } else {
      for (long p = 0; p < P; p++)
        for (long t = 0; t < taps; t++) {
          const int32_t offset = offsets[p][first + t];
          source[t * P + p] = offset < 0 ? c->zeros : bases[p] + offset;
        }
    }
    for (long group = 0; group < c->groups; group++) {
      for (long v = 0; v < c->vectors;) {
        const long nv = min_long(2, c->vectors - v);
        const tile_job job = {
            .source = source,
            .segments = c->panel ? 1 : taps,
            .length = c->panel ? reduction : c->length,
            .source_shift = group * c->length,
            .packed = c->packed + f->packed +
                      ((group * c->vectors + v) * reduction + first * c->length * nv) * WIDTH,
            .init = c->init ? c->init + f->init + (group * c->vectors + v) * WIDTH : 0,
            .accumulate = first > 0,
            .destination = destination,
            .aux = aux,
            .destination_shift = group * c->columns + v * WIDTH,
            .lanes = c->columns - v * WIDTH,
        };
        (nv == 2             ? tile_kernels[c->step].pair
         : c->vectors == 1 ? tile_kernels[c->step].single
                             : tile_kernels[c->step].rest)(&job);
        v += nv;
      }
    }
    first += max_long(taps, 1);
  }
}

static void gather_tiles(void *context, long first, long last) {
  const gather *c = context;
  const phase *f = c->phase;
  for (long piece = first; piece < last; piece++) {
    while (piece >= f->first_tile + f->tiles) f++;
    const long tiles = ceil_div(c->batch * f->pixels, c->tile);
    const long from = (piece - f->first_tile) * TILES_PER_PIECE;
    for (long tile = from; tile < min_long(from + TILES_PER_PIECE, tiles); tile++) gather_tile(c, f, tile);
  }
}

/* Packs the weights of one group of one phase as [block][tap][k][block's channels], zero beyond the last channel.
 * k runs over the source channels and the column over the destination channels of the group. */
static void pack_group(const gather *c, const phase *f, const int32_t *tap_of, long group) {
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups;
  const long reduction = f->taps * c->length;
  const long k_stride = c->backward ? 1 : g->out_channels, column_stride = c->backward ? g->out_channels : 1;
  for (long v = 0; v < c->vectors;) {
    const long nv = min_long(2, c->vectors - v), wide = nv * WIDTH;
    const long columns = min_long(wide, c->columns - v * WIDTH);
    float *to = c->packed + f->packed + (group * c->vectors + v) * reduction * WIDTH;
    float *init = c->init ? c->init + f->init + (group * c->vectors + v) * WIDTH : 0;
    for (long t = 0; t < f->taps; t++) {
      const float *from = c->weights + tap_of[t] * in_group * g->out_channels + group * out_group +
                          v * WIDTH * column_stride;
      for (long k = 0; k < c->length; k++, to += wide) {
        for (long i = 0; i < columns; i++) to[i] = from[k * k_stride + i * column_stride];
        for (long i = columns; i < wide; i++) to[i] = 0;
        if (init)
          for (long i = 0; i < columns; i++)
            if (to[i] != to[i]) init[i] = to[i];
      }
    }
    v += nv;
  }
}

static void pack_groups(void *context, long first, long last) {
  const gather *c = context;
  for (long i = first; i < last; i++) {
    const long f = i / c->groups;
    pack_group(c, &c->phase[f], c->tap_of + c->first_tap[f], i % c->groups);
  }
}

/* Source offset along one axis, or -1: forward reads at d * s - pad + u, backward at (d + pad - u) / s. */
INLINE long source_index(int backward, long destination, long tap, long stride, long pad, long extent) {
  const long at = backward ? (destination + pad - tap) / stride : destination * stride - pad + tap;
  return (backward && destination + pad < tap) || at < 0 || at >= extent ? -1 : at;
}

/*
 * Convolution-like gather from `source` to `destination`. Forward: source is x, destination y. Backward (input
 * gradients): source is dy, destination dx. `aux` is x for STEP_CLAMP, shaped like the destination.
 */
static int convolve(int step, int backward, const sa_geometry *g, const float *source, const float *weights,
                    const float *aux, float *destination) {
  const long taps = (long)g->kernel_height * g->kernel_width;
  const long source_channels = backward ? g->out_channels : g->in_channels;
  const long channels = backward ? g->in_channels : g->out_channels;
  const long source_height = backward ? g->out_height : g->in_height;
  const long source_width = backward ? g->out_width : g->in_width;
  const long height = backward ? g->in_height : g->out_height, width = backward ? g->in_width : g->out_width;
  const long period = backward ? g->stride : 1;
  if ((long)g->batch * height * width == 0) return SA_OK;

  gather c = {.step = step, .batch = g->batch, .groups = g->groups, .source = source, .aux = aux,
              .destination = destination, .g = g, .weights = weights, .backward = backward};
  c.length = source_channels / g->groups;
  c.columns = channels / g->groups;
  c.vectors = ceil_div(c.columns, WIDTH);
  c.tile = c.vectors > 1 ? tile_kernels[step].pair_tile : tile_kernels[step].single_tile;
  c.source_image = source_height * source_width * source_channels;
  c.destination_image = height * width * channels;

  /* Memory for the largest case: every phase together has every pixel and every tap once. */
  const long max_phases = period * period;
  const long packed_floats = taps * c.length * c.vectors * WIDTH * c.groups;
  const long init_floats = CLAMP_DROPS_NAN && step == STEP_CLAMP ? max_phases * c.groups * c.vectors * WIDTH : 0;
  const long zeros = max_long(source_channels, channels) + WIDTH;
  const long taps_per_phase = ceil_div(g->kernel_height, period) * ceil_div(g->kernel_width, period);
  float *packed = sa_scratch(SA_SLOT_PACKED, (size_t)(packed_floats + init_floats + 2 * zeros) * sizeof(float));
  int32_t *offsets = sa_scratch(SA_SLOT_OFFSETS, (size_t)(height * width * taps_per_phase) * sizeof(int32_t));
  int32_t *targets = sa_scratch(SA_SLOT_TARGETS, (size_t)(height * width) * sizeof(int32_t));
  char *rows = sa_scratch(SA_SLOT_ROWS, (size_t)max_phases * (sizeof(phase) + sizeof(long)) +
                                            (size_t)taps * sizeof(int32_t));
  if (!packed || !offsets || !targets || !rows) return SA_NO_MEMORY;
  c.packed = packed;
  c.init = init_floats ? packed + packed_floats : 0;
  c.zeros = packed + packed_floats + init_floats;
  c.trash = packed + packed_floats + init_floats + zeros;
  memset(packed + packed_floats, 0, (size_t)(init_floats + 2 * zeros) * sizeof(float));
  c.phase = (phase *)rows;
  c.first_tap = (long *)(rows + (size_t)max_phases * sizeof(phase));
  int32_t *tap_of = (int32_t *)(c.first_tap + max_phases);
  c.tap_of = tap_of;
  c.offsets = offsets;
  c.targets = targets;

  long pixel = 0, offset = 0, tap = 0, tiles = 0;
  for (long a = 0; a < min_long(period, height); a++) {
    for (long b = 0; b < min_long(period, width); b++) {
      phase *f = &c.phase[c.phases];
      const long u0 = backward ? (a + g->pad_top) % period : 0, v0 = backward ? (b + g->pad_left) % period : 0;
      f->first_pixel = pixel;
      f->first_offset = offset;
      f->packed = tap * c.length * c.vectors * WIDTH * c.groups;
      f->init = c.phases * c.groups * c.vectors * WIDTH;
      f->taps = 0;
      c.first_tap[c.phases++] = tap;
      for (long u = u0; u < g->kernel_height; u += period)
        for (long v = v0; v < g->kernel_width; v += period, f->taps++) tap_of[tap++] = u * g->kernel_width + v;
      for (long h = a; h < height; h += period) {
        for (long w = b; w < width; w += period) {
          targets[pixel++] = (int32_t)((h * width + w) * channels);
          for (long u = u0; u < g->kernel_height; u += period) {
            const long sh = source_index(backward, h, u, g->stride, g->pad_top, source_height);
            for (long v = v0; v < g->kernel_width; v += period) {
              const long sw = source_index(backward, w, v, g->stride, g->pad_left, source_width);
              offsets[offset++] = sh < 0 || sw < 0 ? -1 : (int32_t)((sh * source_width + sw) * source_channels);
            }
          }
        }
      }
      f->pixels = pixel - f->first_pixel;
      f->first_tile = tiles;
      f->tiles = ceil_div(ceil_div(c.batch * f->pixels, c.tile), TILES_PER_PIECE);
      tiles += f->tiles;
    }
  }
  c.panel = g->groups == 1 && c.length < 16 && taps > 1 && taps_per_phase * c.length * c.tile <= MAX_PANEL;
  sa_parallel(pack_groups, &c, c.phases * c.groups);
  sa_parallel(gather_tiles, &c, tiles);
  return SA_OK;
}
