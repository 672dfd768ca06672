/*
 * The blocked skeleton of every dense convolution-like op: conv2d forward and input gradient, L1 forward, and the
 * adder's clamped input gradient. They differ in the inner step alone.
 *
 * A tile is P destination pixels (consecutive in the flattened order image, row, column, so tiles stay full on maps
 * of any size) times one or two vectors of destination channels, held in registers. The reduction runs over
 * segments: one per kernel tap, each `length` adjacent source floats, reached through a pointer per pixel (indirect
 * convolution: nothing is unfolded; a padded position points at a row of zeros).
 *
 * When one vector covers the destination channels (16 of them and AVX-512, say), a load would feed a single
 * multiplication and the load ports would set the pace. Then `fold` adjacent source floats are repeated over the
 * vector in one load and meet weights laid out [channel][fold]: two vectors of weights cover 2 WIDTH / fold channels,
 * each load feeds two vectors again, no lane is idle with half as many channels, and neighbours are added at the end.
 *
 * An input gradient is the same gather seen from the input: input pixel (ih, iw) reads dy at ((ih + pad - u) / stride,
 * ...) for the taps that divide. For stride s the pixels fall into s x s phases with the same taps each, so no
 * work is spent on holes.
 */

enum { STEP_MULTIPLY, STEP_DISTANCE, STEP_CLAMP };

/* Destination pixels per tile: `pair` when there are two or more vectors of channels, else `single`. */
#if WIDTH == 16
enum { MULTIPLY_PAIR = 14, MULTIPLY_SINGLE = 14, DISTANCE_PAIR = 10, DISTANCE_SINGLE = 14, CLAMP_PAIR = 6, CLAMP_SINGLE = 12 };
enum { SINGLE_STEPS = 16, DISTANCE_STEPS = 8 };
#elif defined(SA_AVX2)
enum { MULTIPLY_PAIR = 6, MULTIPLY_SINGLE = 10, DISTANCE_PAIR = 5, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
enum { SINGLE_STEPS = 4, DISTANCE_STEPS = 1 };
#else
enum { MULTIPLY_PAIR = 4, MULTIPLY_SINGLE = 8, DISTANCE_PAIR = 3, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
enum { SINGLE_STEPS = 1, DISTANCE_STEPS = 1 };
#endif
enum { MAX_TILE = 16, MAX_SEGMENTS = 64, TILES_PER_PIECE = 4 };

/* What one call of a tile kernel works on. */
typedef struct {
  const float *const *source; /* [segments][MAX_TILE] */
  long segments, length;
  long source_shift; /* added to every source pointer: first channel of the group */
  const float *packed; /* [segments * length / fold][NV * WIDTH] */
  int accumulate; /* add to what the destination holds */
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

/* KU steps (of `fold` source floats each) of the reduction for all P pixels. The weights of KU steps stay in
 * registers, so that with one vector of channels a pixel's pointer is needed once in KU steps; four pixels go
 * together to have four chains in flight. */
INLINE void tile_steps(const int step, const int P, const int NV, const int KU, const int fold, V *acc, const V *x,
                       V one, const float *const *from, long k, const float *packed) {
  enum { TOGETHER = 4 };
  V weight[16];
  UNROLL
  for (int i = 0; i < KU * NV; i++) weight[i] = v_load(packed + i * WIDTH);
  UNROLL
  for (int p0 = 0; p0 < P; p0 += TOGETHER) {
    UNROLL
    for (int i = 0; i < KU; i++) {
      UNROLL
      for (int p = p0; p < (p0 + TOGETHER < P ? p0 + TOGETHER : P); p++) {
        const V source = fold > 1 ? v_set_group(from[p] + k + i * fold, fold) : v_set(from[p][k + i]);
        UNROLL
        for (int v = 0; v < NV; v++)
          acc[p * NV + v] = inner_step(step, acc[p * NV + v], source, weight[i * NV + v],
                                       step == STEP_CLAMP ? x[p * NV + v] : v_zero(), one);
      }
    }
  }
}

INLINE void tile_body(const int step, const int P, const int NV, const int KU, const int fold, const tile_job *job) {
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
    for (int v = 0; v < NV; v++) acc[p * NV + v] = v_zero();
  }

  const float *packed = job->packed;
  const float *const *source = job->source;
  const long first = job->source_shift, last = first + job->length;
  for (long s = 0; s < job->segments; s++, source += MAX_TILE) {
    long k = first;
    for (; k + KU * fold <= last; k += KU * fold, packed += KU * NV * WIDTH)
      tile_steps(step, P, NV, KU, fold, acc, x, one, source, k, packed);
    if (KU > 8)
      for (; k + 8 <= last; k += 8, packed += 8 * NV * WIDTH)
        tile_steps(step, P, NV, 8, 1, acc, x, one, source, k, packed);
    if (KU > 3) /* the three channels of a picture */
      for (; k + 3 <= last; k += 3, packed += 3 * NV * WIDTH)
        tile_steps(step, P, NV, 3, 1, acc, x, one, source, k, packed);
    if (KU > 1)
      for (; k < last; k++, packed += NV * WIDTH) tile_steps(step, P, NV, 1, 1, acc, x, one, source, k, packed);
  }

  UNROLL
  for (int p = 0; p < P; p++) {
    if (fold > 1) {
      acc[p * NV] = v_add_pairs(acc[p * NV], acc[p * NV + NV - 1]);
      if (fold == 4) acc[p * NV] = v_add_pairs(acc[p * NV], acc[p * NV]);
    }
    UNROLL
    for (int v = 0; v < NV; v++) {
      if (fold > 1 && v > 0) break;
      V value = acc[p * NV + v];
      if (step == STEP_DISTANCE) value = -value;
      if (job->accumulate) value += v_load_up_to(job->destination[p] + shift + v * WIDTH, lanes - v * WIDTH);
      if (step == STEP_CLAMP && CLAMP_DROPS_NAN) value = v_keep_nan(value, x[p * NV + v]);
      v_store_up_to(job->destination[p] + shift + v * WIDTH, value, lanes - v * WIDTH);
    }
  }
}

#define TILE_KERNEL(name, step, P, NV, KU, fold) \
  NOINLINE void name(const tile_job *job) { tile_body(step, P, NV, KU, fold, job); }
TILE_KERNEL(multiply_pair, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 1)
TILE_KERNEL(multiply_rest, STEP_MULTIPLY, MULTIPLY_PAIR, 1, 1, 1)
TILE_KERNEL(multiply_single, STEP_MULTIPLY, MULTIPLY_SINGLE, 1, SINGLE_STEPS, 1)
TILE_KERNEL(multiply_fold2, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 2)
TILE_KERNEL(multiply_fold4, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 4)
TILE_KERNEL(distance_pair, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 1)
TILE_KERNEL(distance_rest, STEP_DISTANCE, DISTANCE_PAIR, 1, 1, 1)
TILE_KERNEL(distance_single, STEP_DISTANCE, DISTANCE_SINGLE, 1, DISTANCE_STEPS, 1)
TILE_KERNEL(distance_fold2, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 2)
TILE_KERNEL(distance_fold4, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 4)
TILE_KERNEL(clamp_pair, STEP_CLAMP, CLAMP_PAIR, 2, 1, 1)
TILE_KERNEL(clamp_rest, STEP_CLAMP, CLAMP_PAIR, 1, 1, 1)
TILE_KERNEL(clamp_single, STEP_CLAMP, CLAMP_SINGLE, 1, 1, 1)

typedef void (*tile_kernel)(const tile_job *);
static const struct {
  int pair_tile, single_tile;
  tile_kernel pair, rest, single, fold2, fold4;
} tile_kernels[] = {
    {MULTIPLY_PAIR, MULTIPLY_SINGLE, multiply_pair, multiply_rest, multiply_single, multiply_fold2, multiply_fold4},
    {DISTANCE_PAIR, DISTANCE_SINGLE, distance_pair, distance_rest, distance_single, distance_fold2, distance_fold4},
    {CLAMP_PAIR, CLAMP_SINGLE, clamp_pair, clamp_rest, clamp_single, NULL, NULL},
};

/* Source floats per load when one vector covers the destination channels; 1 when folding is not possible. */
static long fold_for(int step, long columns, long length) {
  if (columns > WIDTH || step == STEP_CLAMP || length % 2) return 1;
  return columns <= WIDTH / 2 && length % 4 == 0 ? 4 : 2;
}

/* Destination pixels that share one set of taps. */
typedef struct {
  long pixels, taps; /* pixels of one image */
  long first_pixel; /* index of the phase's first entry in `targets` */
  long first_offset; /* the same in `offsets` */
  long packed; /* first float of its packed weights */
  long first_tile, tiles;
} phase;

#define PADDED INT64_MIN

typedef struct {
  int step;
  long batch, groups;
  long length; /* floats per segment: source channels of one group */
  long columns, vectors; /* destination channels of one group, and vectors that cover them */
  long fold; /* source floats per load, see above */
  long tile; /* pixels per tile */
  int exact; /* the weights are not all finite */
  const float *source, *aux, *zeros;
  float *destination, *trash;
  long source_image, destination_image;
  /* Per phase, with MAX_TILE pixels more than an image has: these run on into the next images, so that a tile may
   * cross from image to image without noticing. */
  const int64_t *offsets; /* [tap][pixel]: float offset from the image's source, PADDED outside */
  const int64_t *targets; /* [pixel]: float offset from the image's destination */
  float *packed;
  long phases;
  phase *phase;
  /* for packing */
  const sa_geometry *g;
  const float *weights;
  int backward;
  const int32_t *tap_of; /* per phase: kernel positions of its taps, at first_tap */
  long *first_tap;
} gather;

/* Where the pixels of a tile read and write. */
typedef struct {
  const float *source[MAX_SEGMENTS * MAX_TILE] ALIGNED; /* [tap][MAX_TILE] */
  const float *aux[MAX_TILE];
  float *destination[MAX_TILE];
} tile_pointers;

/* Fetches what the tile after this one reads first (at the tap that looks furthest ahead) and what this one will write:
 * on maps beyond the second-level cache the tiles would otherwise wait for memory a third of the time. (Inline, because
 * GCC takes a function that only prefetches for one without effect.) */
INLINE void prefetch_tile(const gather *c, const tile_pointers *at, long furthest_tap) {
  enum { LINE = 16 };
  const long P = c->tile, source_floats = c->length * c->groups, floats = c->columns * c->groups;
  for (long p = 0; p < P; p++) {
    const uintptr_t ahead = (uintptr_t)at->source[furthest_tap * MAX_TILE + p] + (uintptr_t)(P * source_floats) * 4;
    for (long i = 0; i < source_floats; i += LINE) __builtin_prefetch((const void *)(ahead + (uintptr_t)i * 4));
    for (long i = 0; i < floats; i += LINE) __builtin_prefetch(at->destination[p] + i, 1);
  }
  if (c->step == STEP_CLAMP)
    for (long p = 0; p < P; p++)
      for (long i = 0; i < floats; i += LINE) __builtin_prefetch(at->aux[p] + P * floats + i);
}

/* Fills in the pointers for `taps` taps from `first`. Pixels past the last image read zeros and write to a row that
 * nobody reads. */
static void point_tile(const gather *c, const phase *f, long tile, long first, long taps, tile_pointers *to) {
  const long P = c->tile, row = f->pixels + MAX_TILE;
  const long image = tile * P / f->pixels, pixel = tile * P % f->pixels, valid = c->batch * f->pixels - tile * P;
  const int64_t *targets = c->targets + f->first_pixel + pixel;
  for (long p = 0; p < P; p++) {
    const long target = image * c->destination_image + targets[p];
    to->destination[p] = p < valid ? c->destination + target : c->trash;
    to->aux[p] = p < valid && c->step == STEP_CLAMP ? c->aux + target : c->zeros;
  }
  const uintptr_t base = (uintptr_t)(c->source + image * c->source_image), zeros = (uintptr_t)c->zeros;
  for (long t = 0; t < taps; t++) {
    const int64_t *offsets = c->offsets + f->first_offset + (first + t) * row + pixel;
    uintptr_t *source = (uintptr_t *)(to->source + t * MAX_TILE);
    for (long p = 0; p < MAX_TILE; p++)
      source[p] = offsets[p] == PADDED ? zeros : base + (uintptr_t)offsets[p] * sizeof(float);
    for (long p = valid; p < MAX_TILE; p++) source[p] = zeros;
  }
  if (taps > 0 && valid >= 2 * MAX_TILE) prefetch_tile(c, to, c->backward ? 0 : taps - 1);
}

/* Packed weights that one load of `fold` source floats meets, in a block of nv vectors of channels: folded, it is
 * always two vectors, however few the channels. */
static long packed_step(const gather *c, long nv) { return (c->fold > 1 ? 2 : nv) * WIDTH; }

/* Runs the kernels of a tile over `segments` segments, the first being tap `first`. */
static void run_tile(const gather *c, const phase *f, const tile_pointers *at, long segments, long first) {
  const long reduction = f->taps * c->length;
  for (long group = 0; group < c->groups; group++) {
    for (long v = 0; v < c->vectors;) {
      const long nv = min_long(2, c->vectors - v);
      const tile_job job = {
          .source = at->source,
          .segments = segments,
          .length = c->length,
          .source_shift = group * c->length,
          /* a block has room for unfolded weights; folded by four they fill half of it */
          .packed = c->packed + f->packed + (group * c->vectors + v) * reduction * WIDTH +
                    first * (c->length / c->fold) * packed_step(c, nv),
          .accumulate = first > 0,
          .destination = at->destination,
          .aux = at->aux,
          .destination_shift = group * c->columns + v * WIDTH,
          .lanes = c->columns - v * WIDTH,
      };
      (nv == 2          ? tile_kernels[c->step].pair
       : c->vectors > 1 ? tile_kernels[c->step].rest
       : c->fold == 4   ? tile_kernels[c->step].fold4
       : c->fold == 2   ? tile_kernels[c->step].fold2
                        : tile_kernels[c->step].single)(&job);
      v += nv;
    }
  }
}

static void gather_tile(const gather *c, const phase *f, long tile) {
  tile_pointers at;
  for (long first = 0; first == 0 || first < f->taps; first += MAX_SEGMENTS) {
    const long taps = min_long(MAX_SEGMENTS, f->taps - first);
    point_tile(c, f, tile, first, taps, &at);
    run_tile(c, f, &at, taps, first);
  }
}

/* The definition itself, for weights that are not all finite: the fast kernels multiply them by the zeros of the
 * padding, and the clamp in one instruction loses a NaN. Such a training run has diverged; what matters is that the
 * NaN or infinity reaches what depends on it and nothing else. */
static void gather_tile_exactly(const gather *c, const phase *f, long tile) {
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups;
  const int32_t *taps = c->tap_of + c->first_tap[f - c->phase];
  for (long at = tile * c->tile; at < min_long((tile + 1) * c->tile, c->batch * f->pixels); at++) {
    const long image = at / f->pixels, pixel = at % f->pixels;
    const int64_t *offsets = c->offsets + f->first_offset + pixel;
    const long row = f->pixels + MAX_TILE;
    const long target = image * c->destination_image + c->targets[f->first_pixel + pixel];
    for (long column = 0; column < c->groups * c->columns; column++) {
      const long group = column / c->columns;
      float sum = 0;
      for (long t = 0; t < f->taps; t++) {
        const int64_t offset = offsets[t * row];
        if (offset == PADDED && c->step != STEP_DISTANCE) continue;
        const float *source =
            (offset == PADDED ? c->zeros : c->source + image * c->source_image + offset) + group * c->length;
        for (long k = 0; k < c->length; k++) {
          const long in = c->backward ? column % c->columns : k, out = c->backward ? group * c->length + k : column;
          const float weight = c->weights[(taps[t] * in_group + in) * g->out_channels + out];
          if (c->step == STEP_MULTIPLY) {
            sum += source[k] * weight;
          } else if (c->step == STEP_DISTANCE) {
            sum -= __builtin_fabsf(source[k] - weight);
          } else {
            const float d = weight - c->aux[target + column];
            sum += source[k] * (d > 1 ? 1 : d < -1 ? -1 : d);
          }
        }
      }
      c->destination[target + column] = sum;
    }
  }
}

static int all_finite(const float *values, long length) {
  V sum = v_zero();
  for (long i = 0; i < length; i += WIDTH) sum += v_load_up_to(values + i, length - i) * v_zero();
  for (int i = 0; i < WIDTH; i++)
    if (sum[i] != 0) return 0;
  return 1;
}

static void gather_tiles(void *context, long first, long last) {
  const gather *c = context;
  const phase *f = c->phase;
  for (long piece = first; piece < last; piece++) {
    while (piece >= f->first_tile + f->tiles) f++;
    const long tiles = ceil_div(c->batch * f->pixels, c->tile);
    const long from = (piece - f->first_tile) * TILES_PER_PIECE, to = min_long(from + TILES_PER_PIECE, tiles);
    for (long tile = from; tile < to; tile++) {
      if (c->exact)
        gather_tile_exactly(c, f, tile);
      else
        gather_tile(c, f, tile);
    }
  }
}

/* Packs the weights of one group of one phase as [block][tap][k / fold][channel][fold], zero beyond the last channel.
 * k runs over the source channels and the column over the destination channels of the group. */
static void pack_group(const gather *c, const phase *f, const int32_t *tap_of, long group) {
  const sa_geometry *g = c->g;
  const long in_group = g->in_channels / g->groups, out_group = g->out_channels / g->groups, fold = c->fold;
  const long reduction = f->taps * c->length;
  const long k_stride = c->backward ? 1 : g->out_channels, column_stride = c->backward ? g->out_channels : 1;
  for (long v = 0; v < c->vectors;) {
    const long nv = min_long(2, c->vectors - v), wide = packed_step(c, nv);
    const long columns = min_long(nv * WIDTH, c->columns - v * WIDTH);
    float *to = c->packed + f->packed + (group * c->vectors + v) * reduction * WIDTH;
    for (long t = 0; t < f->taps; t++) {
      const float *from = c->weights + tap_of[t] * in_group * g->out_channels + group * out_group +
                          v * WIDTH * column_stride;
      for (long k = 0; k < c->length; k += fold, to += wide) {
        for (long i = 0; i < columns; i++)
          for (long j = 0; j < fold; j++) to[i * fold + j] = from[(k + j) * k_stride + i * column_stride];
        for (long i = columns * fold; i < wide; i++) to[i] = 0;
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

/* One axis of a phase: destination `start + i * period` reads source `first + i * step` at this tap. */
typedef struct {
  long first, step;
} axis;

INLINE axis axis_of(int backward, long start, long tap, long stride, long pad) {
  /* backward, only taps for which this divides are in the phase */
  return backward ? (axis){(start + pad - tap) / stride, 1} : (axis){tap - pad, stride};
}

/* Fills offsets[0 .. pixels + MAX_TILE) for one tap of a phase of `rows` x `columns` pixels. */
static void fill_offsets(int64_t *to, axis down, axis across, long rows, long columns, long height, long width,
                         long channels) {
  const long pixels = rows * columns;
  for (long i = 0; i < rows; i++) {
    const long h = down.first + i * down.step;
    for (long j = 0; j < columns; j++) {
      const long w = across.first + j * across.step;
      *to++ = h < 0 || h >= height || w < 0 || w >= width ? PADDED : (h * width + w) * channels;
    }
  }
  for (long i = 0; i < MAX_TILE; i++, to++) *to = to[-pixels] == PADDED ? PADDED : to[-pixels] + height * width * channels;
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
  c.exact = !all_finite(weights, taps * (g->in_channels / g->groups) * g->out_channels);
  c.length = source_channels / g->groups;
  c.columns = channels / g->groups;
  c.vectors = ceil_div(c.columns, WIDTH);
  c.fold = fold_for(step, c.columns, c.length);
  c.tile = c.vectors > 1 || c.fold > 1 ? tile_kernels[step].pair_tile : tile_kernels[step].single_tile;
  c.source_image = source_height * source_width * source_channels;
  c.destination_image = height * width * channels;

  /* Memory for the largest case: every phase together has every pixel and every tap once. */
  const long max_phases = period * period;
  const long packed_floats = taps * c.length * c.vectors * WIDTH * c.groups;
  const long zeros = max_long(source_channels, channels) + WIDTH;
  const long taps_per_phase = ceil_div(g->kernel_height, period) * ceil_div(g->kernel_width, period);
  float *packed = sa_scratch(SA_SLOT_PACKED, (size_t)(packed_floats + 2 * zeros) * sizeof(float));
  const long all_pixels = height * width + max_phases * MAX_TILE;
  int64_t *offsets = sa_scratch(SA_SLOT_OFFSETS, (size_t)(all_pixels * taps_per_phase) * sizeof(int64_t));
  int64_t *targets = sa_scratch(SA_SLOT_TARGETS, (size_t)all_pixels * sizeof(int64_t));
  char *memory = sa_scratch(SA_SLOT_ROWS, (size_t)max_phases * (sizeof(phase) + sizeof(long)) +
                                            (size_t)taps * sizeof(int32_t));
  if (!packed || !offsets || !targets || !memory) return SA_NO_MEMORY;
  c.packed = packed;
  c.zeros = packed + packed_floats;
  c.trash = packed + packed_floats + zeros;
  memset(packed + packed_floats, 0, (size_t)(2 * zeros) * sizeof(float));
  c.phase = (phase *)memory;
  c.first_tap = (long *)(memory + (size_t)max_phases * sizeof(phase));
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
      f->taps = 0;
      c.first_tap[c.phases++] = tap;
      const long rows = ceil_div(height - a, period), columns = ceil_div(width - b, period);
      f->pixels = rows * columns;
      const axis targets_down = {a, period}, targets_across = {b, period};
      fill_offsets(targets + pixel, targets_down, targets_across, rows, columns, height, width, channels);
      pixel += f->pixels + MAX_TILE;
      for (long u = u0; u < g->kernel_height; u += period) {
        const axis down = axis_of(backward, a, u, g->stride, g->pad_top);
        for (long v = v0; v < g->kernel_width; v += period, f->taps++) {
          const axis across = axis_of(backward, b, v, g->stride, g->pad_left);
          tap_of[tap++] = (int32_t)(u * g->kernel_width + v);
          fill_offsets(offsets + offset, down, across, rows, columns, source_height, source_width, source_channels);
          offset += f->pixels + MAX_TILE;
        }
      }
      f->first_tile = tiles;
      f->tiles = ceil_div(ceil_div(c.batch * f->pixels, c.tile), TILES_PER_PIECE);
      tiles += f->tiles;
    }
  }
  sa_parallel(pack_groups, &c, c.phases * c.groups);
  sa_parallel(gather_tiles, &c, tiles);
  return SA_OK;
}
