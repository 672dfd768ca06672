/*
 * The innermost kernels of the convolution-like gathers (convolution.h): tiles of destination in registers.
 *
 * A tile is P destination pixels times one or two vectors of destination channels. The reduction runs over segments of
 * adjacent source floats that lie at the same distances from every pixel's own source pointer. Five steps are known:
 * multiply-accumulate, absolute difference (the adder layer), the adder's clamped input gradient, and for adder layers of
 * another norm the power of the absolute difference and its slope (power.h).
 *
 * When one vector covers the destination channels (16 of them and AVX-512, say), a load would feed a single
 * multiplication and the load ports would set the pace. Then `fold` adjacent source floats are repeated over the
 * vector in one load and meet weights laid out [channel][fold]: two vectors of weights cover 2 WIDTH / fold channels,
 * each load feeds two vectors again, no lane is idle with half as many channels, and neighbours are added at the end.
 *
 * Depth-wise layers, and those with two or four channels in a group, go lane by lane: a vector of sources belongs to the
 * same vector of destinations, or its neighbours within the group do.
 */

#include "power.h"

enum { STEP_MULTIPLY, STEP_DISTANCE, STEP_CLAMP, STEP_POWER, STEP_SLOPE };

/* Whether a step reads the x at its destination, as input gradients of distances do. */
INLINE int reads_aux(int step) { return step == STEP_CLAMP || step == STEP_SLOPE; }
INLINE int is_power(int step) { return step == STEP_POWER || step == STEP_SLOPE; }

/* Destination pixels per tile: `pair` with two vectors (also folded ones), else `single`, or `lanes` lane by lane.
 * SINGLE_STEPS and DISTANCE_STEPS are source floats per step of a single vector, see tile_steps. */
#if WIDTH == 16
enum { MULTIPLY_PAIR = 14, MULTIPLY_SINGLE = 14, DISTANCE_PAIR = 10, DISTANCE_SINGLE = 14, CLAMP_PAIR = 6, CLAMP_SINGLE = 12 };
enum { SINGLE_STEPS = 16, DISTANCE_STEPS = 8, LANES_TILE = 8 };
#elif defined(SA_AVX2)
enum { MULTIPLY_PAIR = 6, MULTIPLY_SINGLE = 10, DISTANCE_PAIR = 5, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
enum { SINGLE_STEPS = 4, DISTANCE_STEPS = 1, LANES_TILE = 6 };
#elif defined(SA_WASM) /* V8 has fifteen registers for vectors and spills beyond; the clamp holds an x for every sum */
enum { MULTIPLY_PAIR = 4, MULTIPLY_SINGLE = 8, DISTANCE_PAIR = 3, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
enum { SINGLE_STEPS = 1, DISTANCE_STEPS = 1, LANES_TILE = 6 };
#else
enum { MULTIPLY_PAIR = 4, MULTIPLY_SINGLE = 8, DISTANCE_PAIR = 3, DISTANCE_SINGLE = 8, CLAMP_PAIR = 2, CLAMP_SINGLE = 4 };
enum { SINGLE_STEPS = 1, DISTANCE_STEPS = 1, LANES_TILE = 6 };
#endif
/* A power takes some thirty instructions: few pixels keep the units busy, and loads no longer count. */
#if WIDTH == 16
enum { POWER_PAIR = 4, POWER_SINGLE = 6 };
#else
enum { POWER_PAIR = 2, POWER_SINGLE = 3 };
#endif
enum { MAX_TILE = 16 };

/* What the tile kernels work on, a tile per call. The lists hold pixels up to the end of the last tile. */
typedef struct {
  const float *const *source; /* per pixel: where distances count from */
  float *const *destination;  /* per pixel: its first channel */
  uintptr_t aux_distance;     /* bytes from there to the x of a distance's input gradient */
  const long *segment;        /* distance in floats of each segment */
  long segments, length;
  const float *packed; /* [segments * length / fold][vectors * WIDTH] */
  long source_shift;   /* first source channel */
  long channel;        /* first destination channel */
  long lanes;          /* valid channels from there */
  float exponent, offset; /* of powers, see power.h */
} tile_job;

/* What the steps hold in registers: 1, or the exponent and offset of a power. */
typedef struct {
  V one, offset;
} step_constants;

INLINE step_constants constants_of(const int step, const tile_job *job) {
  const step_constants plain = {v_opaque(v_set(1.0f)), v_zero()};
  const step_constants power = {v_set(job->exponent), v_set(job->offset)};
  return is_power(step) ? power : plain;
}

INLINE V inner_step(const int step, V acc, V source, V weight, V x, step_constants with) {
  if (step == STEP_MULTIPLY) return v_fma(source, weight, acc);
  if (step == STEP_DISTANCE) return v_add_abs(source - weight, with.one, acc);
  if (step == STEP_POWER) return acc + v_distance_power(source - weight, with.one, with.offset);
  if (step == STEP_SLOPE) return v_fma(source, v_slope_power(weight - x, with.one, with.offset), acc);
  return v_fma(source, v_clamp(weight - x, with.one), acc);
}

/* Starts the accumulators of the tile from pixel p0; x is read for the input gradients of distances alone. */
INLINE void tile_start(const int step, const int P, const int NV, V *acc, V *x, const tile_job *job, long p0) {
  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int v = 0; v < NV; v++) {
      acc[p * NV + v] = v_zero();
      if (!reads_aux(step)) continue;
      const float *at = (const float *)((uintptr_t)job->destination[p0 + p] + job->aux_distance) + job->channel;
      x[p * NV + v] = v_load_up_to(at + v * WIDTH, job->lanes - v * WIDTH);
    }
  }
}

INLINE void tile_store(const int step, const int P, const int NV, const int whole, const V *acc, const V *x,
                       float *const *to, long channel, long lanes) {
  UNROLL
  for (int p = 0; p < P; p++) {
    UNROLL
    for (int v = 0; v < NV; v++) {
      V value = acc[p * NV + v];
      if (step == STEP_DISTANCE || step == STEP_POWER) value = -value;
      if (reads_aux(step)) value = v_keep_nan(value, x[p * NV + v]);
      if (whole)
        v_store(to[p] + channel + v * WIDTH, value);
      else
        v_store_up_to(to[p] + channel + v * WIDTH, value, lanes - v * WIDTH);
    }
  }
}

INLINE void tile_finish(const int step, const int P, const int NV, const V *acc, const V *x, const tile_job *job, long p0) {
  float *const *to = job->destination + p0;
  const long channel = job->channel, lanes = job->lanes;
  if (lanes >= NV * WIDTH)
    tile_store(step, P, NV, 1, acc, x, to, channel, lanes);
  else
    tile_store(step, P, NV, 0, acc, x, to, channel, lanes);
}

/* KU steps (of `fold` source floats each) of the reduction for all P pixels. The weights of KU steps stay in
 * registers, so that with one vector of channels a pixel's pointer is needed once in KU steps; some pixels go
 * together to have their chains in flight. */
INLINE void tile_steps(const int step, const int P, const int NV, const int KU, const int fold, V *acc, const V *x,
                       step_constants with, const float *const *source, long k, const float *packed) {
  enum { TOGETHER = 7 };
  V weight[16];
  HIDE(source); /* or GCC copies the pointers to the stack before each short loop, to load them from there */
  UNROLL
  for (int i = 0; i < KU * NV; i++) weight[i] = v_load(packed + i * WIDTH);
  UNROLL
  for (int p0 = 0; p0 < P; p0 += TOGETHER) {
    const float *from[TOGETHER];
    UNROLL
    for (int p = p0; p < (p0 + TOGETHER < P ? p0 + TOGETHER : P); p++) from[p - p0] = source[p] + k;
    UNROLL
    for (int i = 0; i < KU; i++) {
      UNROLL
      for (int p = p0; p < (p0 + TOGETHER < P ? p0 + TOGETHER : P); p++) {
        const V value = fold > 1 ? v_set_group(from[p - p0] + i * fold, fold) : v_set(from[p - p0][i]);
        UNROLL
        for (int v = 0; v < NV; v++)
          acc[p * NV + v] = inner_step(step, acc[p * NV + v], value, weight[i * NV + v],
                                       reads_aux(step) ? x[p * NV + v] : v_zero(), with);
      }
    }
  }
}

INLINE void tile_body(const int step, const int P, const int NV, const int KU, const int fold, const tile_job *job,
                      long p0) {
  V acc[2 * MAX_TILE], x[2 * MAX_TILE];
  const step_constants with = constants_of(step, job);
  tile_start(step, P, NV, acc, x, job, p0);
  const float *packed = job->packed;
  const float *const *source = job->source + p0;
  for (long s = 0; s < job->segments; s++) {
    long k = job->segment[s] + job->source_shift;
    const long last = k + job->length;
    for (; k + KU * fold <= last; k += KU * fold, packed += KU * NV * WIDTH)
      tile_steps(step, P, NV, KU, fold, acc, x, with, source, k, packed);
    if (KU > 8)
      for (; k + 8 <= last; k += 8, packed += 8 * NV * WIDTH)
        tile_steps(step, P, NV, 8, 1, acc, x, with, source, k, packed);
    if (KU > 3) /* the three channels of a picture */
      for (; k + 3 <= last; k += 3, packed += 3 * NV * WIDTH)
        tile_steps(step, P, NV, 3, 1, acc, x, with, source, k, packed);
    if (KU > 1)
      for (; k < last; k++, packed += NV * WIDTH) tile_steps(step, P, NV, 1, 1, acc, x, with, source, k, packed);
  }
  if (fold > 1) {
    UNROLL
    for (int p = 0; p < P; p++) {
      acc[p] = v_add_pairs(acc[2 * p], acc[2 * p + 1]);
      if (fold == 4) acc[p] = v_add_pairs(acc[p], acc[p]);
    }
  }
  tile_finish(step, P, fold > 1 ? 1 : NV, acc, x, job, p0);
}

/* Every channel reads the `group` channels of its own group. The sources may be read a vector beyond the last channel. */
INLINE void lanes_body(const int step, const int P, const int group, const tile_job *job, long p0) {
  V acc[MAX_TILE], x[MAX_TILE];
  const step_constants with = constants_of(step, job);
  const float *from[MAX_TILE];
  tile_start(step, P, 1, acc, x, job, p0);
  UNROLL
  for (int p = 0; p < P; p++) from[p] = job->source[p0 + p] + job->channel;
  for (long s = 0; s < job->segments; s++) {
    V weight[4];
    UNROLL
    for (int c = 0; c < group; c++) weight[c] = v_load(job->packed + (s * group + c) * WIDTH);
    UNROLL
    for (int p = 0; p < P; p++) {
      const V source = v_load(from[p] + job->segment[s]);
      UNROLL
      for (int c = 0; c < group; c++)
        acc[p] = inner_step(step, acc[p], v_pick(source, group, c), weight[c], reads_aux(step) ? x[p] : v_zero(), with);
    }
  }
  tile_finish(step, P, 1, acc, x, job, p0);
}

#define TILE_KERNEL(name, step, P, NV, KU, fold) \
  NOINLINE void name(const tile_job *job, long p0) { tile_body(step, P, NV, KU, fold, job, p0); }
TILE_KERNEL(multiply_pair, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 1)
TILE_KERNEL(multiply_single, STEP_MULTIPLY, MULTIPLY_SINGLE, 1, SINGLE_STEPS, 1)
TILE_KERNEL(multiply_fold2, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 2)
TILE_KERNEL(multiply_fold4, STEP_MULTIPLY, MULTIPLY_PAIR, 2, 1, 4)
TILE_KERNEL(distance_pair, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 1)
TILE_KERNEL(distance_single, STEP_DISTANCE, DISTANCE_SINGLE, 1, DISTANCE_STEPS, 1)
TILE_KERNEL(distance_fold2, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 2)
TILE_KERNEL(distance_fold4, STEP_DISTANCE, DISTANCE_PAIR, 2, 1, 4)
TILE_KERNEL(clamp_pair, STEP_CLAMP, CLAMP_PAIR, 2, 1, 1)
TILE_KERNEL(clamp_single, STEP_CLAMP, CLAMP_SINGLE, 1, 1, 1)
TILE_KERNEL(power_pair, STEP_POWER, POWER_PAIR, 2, 1, 1)
TILE_KERNEL(power_single, STEP_POWER, POWER_SINGLE, 1, 1, 1)
TILE_KERNEL(slope_pair, STEP_SLOPE, POWER_PAIR, 2, 1, 1)
TILE_KERNEL(slope_single, STEP_SLOPE, POWER_SINGLE, 1, 1, 1)
#define LANES_KERNEL(name, step, group) \
  NOINLINE void name(const tile_job *job, long p0) { lanes_body(step, LANES_TILE, group, job, p0); }
LANES_KERNEL(multiply_lanes1, STEP_MULTIPLY, 1)
LANES_KERNEL(multiply_lanes2, STEP_MULTIPLY, 2)
LANES_KERNEL(multiply_lanes4, STEP_MULTIPLY, 4)
LANES_KERNEL(distance_lanes1, STEP_DISTANCE, 1)
LANES_KERNEL(distance_lanes2, STEP_DISTANCE, 2)
LANES_KERNEL(distance_lanes4, STEP_DISTANCE, 4)
LANES_KERNEL(clamp_lanes1, STEP_CLAMP, 1)
LANES_KERNEL(clamp_lanes2, STEP_CLAMP, 2)
LANES_KERNEL(clamp_lanes4, STEP_CLAMP, 4)
LANES_KERNEL(power_lanes1, STEP_POWER, 1)
LANES_KERNEL(power_lanes2, STEP_POWER, 2)
LANES_KERNEL(power_lanes4, STEP_POWER, 4)
LANES_KERNEL(slope_lanes1, STEP_SLOPE, 1)
LANES_KERNEL(slope_lanes2, STEP_SLOPE, 2)
LANES_KERNEL(slope_lanes4, STEP_SLOPE, 4)

/* How a block of destination channels is computed: by which kernel, and so many packed floats per source float. */
typedef struct {
  void (*run)(const tile_job *, long first_pixel);
  long tile;     /* pixels per tile */
  long channels; /* at most */
  long fold;
} tile_kernel;

static const struct {
  tile_kernel pair, single, fold2, fold4, lanes1, lanes2, lanes4;
} tile_kernels[] = {
    {{multiply_pair, MULTIPLY_PAIR, 2 * WIDTH, 1},
     {multiply_single, MULTIPLY_SINGLE, WIDTH, 1},
     {multiply_fold2, MULTIPLY_PAIR, WIDTH, 2},
     {multiply_fold4, MULTIPLY_PAIR, WIDTH / 2, 4},
     {multiply_lanes1, LANES_TILE, WIDTH, 1},
     {multiply_lanes2, LANES_TILE, WIDTH, 1},
     {multiply_lanes4, LANES_TILE, WIDTH, 1}},
    {{distance_pair, DISTANCE_PAIR, 2 * WIDTH, 1},
     {distance_single, DISTANCE_SINGLE, WIDTH, 1},
     {distance_fold2, DISTANCE_PAIR, WIDTH, 2},
     {distance_fold4, DISTANCE_PAIR, WIDTH / 2, 4},
     {distance_lanes1, LANES_TILE, WIDTH, 1},
     {distance_lanes2, LANES_TILE, WIDTH, 1},
     {distance_lanes4, LANES_TILE, WIDTH, 1}},
    {{clamp_pair, CLAMP_PAIR, 2 * WIDTH, 1},
     {clamp_single, CLAMP_SINGLE, WIDTH, 1},
     {NULL, 0, 0, 0},
     {NULL, 0, 0, 0},
     {clamp_lanes1, LANES_TILE, WIDTH, 1},
     {clamp_lanes2, LANES_TILE, WIDTH, 1},
     {clamp_lanes4, LANES_TILE, WIDTH, 1}},
    {{power_pair, POWER_PAIR, 2 * WIDTH, 1},
     {power_single, POWER_SINGLE, WIDTH, 1},
     {NULL, 0, 0, 0},
     {NULL, 0, 0, 0},
     {power_lanes1, LANES_TILE, WIDTH, 1},
     {power_lanes2, LANES_TILE, WIDTH, 1},
     {power_lanes4, LANES_TILE, WIDTH, 1}},
    {{slope_pair, POWER_PAIR, 2 * WIDTH, 1},
     {slope_single, POWER_SINGLE, WIDTH, 1},
     {NULL, 0, 0, 0},
     {NULL, 0, 0, 0},
     {slope_lanes1, LANES_TILE, WIDTH, 1},
     {slope_lanes2, LANES_TILE, WIDTH, 1},
     {slope_lanes4, LANES_TILE, WIDTH, 1}},
};

/* The kernel for the next channels when `left` are left and every segment is a multiple of `length` floats long. */
static const tile_kernel *tile_kernel_for(int step, long left, long length) {
  const int folds = step == STEP_MULTIPLY || step == STEP_DISTANCE;
  const int fold2 = folds && length % 2 == 0, fold4 = folds && length % 4 == 0;
  if (left > (fold4 ? WIDTH + WIDTH / 2 : WIDTH)) return &tile_kernels[step].pair;
  if (fold4 && left <= WIDTH / 2) return &tile_kernels[step].fold4;
  return fold2 ? &tile_kernels[step].fold2 : &tile_kernels[step].single;
}
