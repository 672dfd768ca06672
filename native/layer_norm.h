/*
 * Layer normalisation over the last axis of x [rows, channels], optionally with a ReLU.
 *
 * A row is read from memory once: the passes over it find it in the cache. The gradients of the parameters are summed
 * over the rows of a tile in float, of which there are at most LAYER_ROWS, and over tiles in double, in order.
 */
#include "exponential.h"

enum { LAYER_ROWS = 128, LAYER_LEAST_ROWS = 32 };

typedef struct {
  long rows, channels, tile_rows;
  int relu;
  double epsilon;
  const float *x, *dy, *gamma, *beta;
  float *mean, *inverse_std;
  float *to;      /* y, or dx, which may be NULL */
  float *partial; /* [tiles][2][channels]: dgamma, dbeta */
} layer_norm_rows;

INLINE V normalised(V x, V mean, V inverse) { return (x - mean) * inverse; }
INLINE V layer_value(V unit, const float *gamma, const float *beta, long i, long lanes) {
  return v_fma(unit, v_load_up_to(gamma + i, lanes), v_load_up_to(beta + i, lanes));
}

/* The sum over a row of the vectors that `term`, an expression in i and lanes, gives; lanes beyond the row are cut. */
#define ROW_SUM(result, count, term)                                                                                 \
  double result = 0;                                                                                                 \
  for (long i = 0, end = 0; i < (count);) {                                                                          \
    V sum_ = v_zero();                                                                                               \
    for (end = min_long(count, end + 128 * WIDTH); i + WIDTH <= end; i += WIDTH) {                                    \
      const long lanes = WIDTH;                                                                                      \
      sum_ += (term);                                                                                                \
    }                                                                                                                \
    if (i < end) {                                                                                                   \
      const long lanes = end - i;                                                                                    \
      sum_ += v_select(v_lanes(lanes), (term), v_zero());                                                            \
      i = end;                                                                                                       \
    }                                                                                                                \
    result += v_total(sum_);                                                                                         \
  }

static void layer_norm_tiles(void *context, long first, long last) {
  const layer_norm_rows *c = context;
  const long channels = c->channels, end_row = min_long(last * c->tile_rows, c->rows);
  for (long row = first * c->tile_rows; row < end_row; row++) {
    const float *x = c->x + row * channels;
    float *y = c->to + row * channels;
    ROW_SUM(sum, channels, v_load_up_to(x + i, lanes))
    const float centre = (float)(sum / (double)channels);
    const V mean = v_set(centre);
    ROW_SUM(squares, channels, (v_load_up_to(x + i, lanes) - mean) * (v_load_up_to(x + i, lanes) - mean))
    const float scale = (float)(1 / sqrt(squares / (double)channels + c->epsilon));
    const V inverse = v_set(scale);
    c->mean[row] = centre;
    c->inverse_std[row] = scale;
    for (long i = 0; i < channels; i += WIDTH) {
      const long lanes = channels - i;
      const V value = layer_value(normalised(v_load_up_to(x + i, lanes), mean, inverse), c->gamma, c->beta, i, lanes);
      v_store_up_to(y + i, c->relu ? v_relu(value) : value, lanes);
    }
  }
}

static layer_norm_rows layer_tiles(long rows, long channels) {
  layer_norm_rows c = {.rows = rows, .channels = channels};
  c.tile_rows = max_long(LAYER_LEAST_ROWS, min_long(LAYER_ROWS, PIECE / max_long(1, channels)));
  return c;
}

static void layer_norm(long rows, long channels, int relu, double epsilon, const float *x, const float *gamma,
                       const float *beta, float *mean, float *inverse_std, float *y) {
  layer_norm_rows c = layer_tiles(rows, channels);
  c.relu = relu;
  c.epsilon = epsilon;
  c.x = x;
  c.gamma = gamma;
  c.beta = beta;
  c.mean = mean;
  c.inverse_std = inverse_std;
  c.to = y;
  sa_parallel(layer_norm_tiles, &c, ceil_div(rows, c.tile_rows));
}

/* What of dy reaches the value before the ReLU. */
INLINE V layer_slope(const int relu, const layer_norm_rows *c, const float *dy, V unit, long i, long lanes) {
  const V slope = v_load_up_to(dy + i, lanes);
  return relu ? v_where_positive(layer_value(unit, c->gamma, c->beta, i, lanes), slope) : slope;
}

/* dx = (g - mean of g - unit * mean of g unit) / std with g = dy gamma. */
INLINE void layer_gradient_body(const int relu, const layer_norm_rows *c, long first, long last) {
  const long channels = c->channels;
  for (long tile = first; tile < last; tile++) {
    float *dgamma = c->partial + tile * 2 * channels, *dbeta = dgamma + channels;
    memset(dgamma, 0, (size_t)(2 * channels) * sizeof(float));
    const long end_row = min_long((tile + 1) * c->tile_rows, c->rows);
    for (long row = tile * c->tile_rows; row < end_row; row++) {
      const float *x = c->x + row * channels, *dy = c->dy + row * channels;
      const V mean = v_set(c->mean[row]), inverse = v_set(c->inverse_std[row]);
#define UNIT normalised(v_load_up_to(x + i, lanes), mean, inverse)
#define SLOPE layer_slope(relu, c, dy, UNIT, i, lanes)
      if (!c->to) {
        for (long i = 0; i < channels; i += WIDTH) {
          const long lanes = channels - i;
          const V unit = UNIT, slope = layer_slope(relu, c, dy, unit, i, lanes);
          v_store_up_to(dgamma + i, v_fma(slope, unit, v_load_up_to(dgamma + i, lanes)), lanes);
          v_store_up_to(dbeta + i, slope + v_load_up_to(dbeta + i, lanes), lanes);
        }
        continue;
      }
      ROW_SUM(sum, channels, SLOPE * v_load_up_to(c->gamma + i, lanes))
      ROW_SUM(product, channels, SLOPE * v_load_up_to(c->gamma + i, lanes) * UNIT)
      const V offset = v_set((float)(-sum / (double)channels)), pull = v_set((float)(-product / (double)channels));
      float *dx = c->to + row * channels;
      for (long i = 0; i < channels; i += WIDTH) {
        const long lanes = channels - i;
        const V unit = UNIT, slope = layer_slope(relu, c, dy, unit, i, lanes);
        v_store_up_to(dgamma + i, v_fma(slope, unit, v_load_up_to(dgamma + i, lanes)), lanes);
        v_store_up_to(dbeta + i, slope + v_load_up_to(dbeta + i, lanes), lanes);
        const V g = v_fma(slope, v_load_up_to(c->gamma + i, lanes), offset);
        v_store_up_to(dx + i, v_fma(unit, pull, g) * inverse, lanes);
      }
    }
  }
}

static void layer_gradient_tiles(void *context, long first, long last) {
  const layer_norm_rows *c = context;
  if (c->relu)
    layer_gradient_body(1, c, first, last);
  else
    layer_gradient_body(0, c, first, last);
}

/* dx may be NULL where nobody asks for it, or dy. */
static int layer_norm_gradient(long rows, long channels, int relu, const float *x, const float *dy, const float *mean,
                               const float *inverse_std, const float *gamma, const float *beta, float *dx,
                               float *dgamma, float *dbeta) {
  layer_norm_rows c = layer_tiles(rows, channels);
  const long tiles = ceil_div(rows, c.tile_rows);
  c.relu = relu;
  c.x = x;
  c.dy = dy;
  c.mean = (float *)mean;
  c.inverse_std = (float *)inverse_std;
  c.gamma = gamma;
  c.beta = beta;
  c.to = dx;
  c.partial = sa_scratch(SA_SLOT_PARTIAL, (size_t)(tiles * 2 * channels) * sizeof(float));
  double *total = sa_scratch(SA_SLOT_SUMS, (size_t)(2 * channels) * sizeof(double));
  if (!c.partial || !total) return SA_NO_MEMORY;
  sa_parallel(layer_gradient_tiles, &c, tiles);
  memset(total, 0, (size_t)(2 * channels) * sizeof(double));
  for (long t = 0; t < tiles; t++) {
    const float *at = c.partial + t * 2 * channels;
    for (long i = 0; i < 2 * channels; i++) total[i] += (double)at[i];
  }
  for (long i = 0; i < channels; i++) {
    dgamma[i] = (float)total[i];
    dbeta[i] = (float)total[channels + i];
  }
  return SA_OK;
}
