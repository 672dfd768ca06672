/*
 * Cross-entropy of softmax(logits) against labels or soft targets, a row of logits at a time, with its gradient.
 *
 * Exponentials are vectors of float; their sums are taken in float over blocks of a few hundred per lane and combined
 * in double. A row is read from memory once: the later passes find it in the cache.
 */
#include <math.h>

#include "exponential.h"

enum { LOSS_TILE = 1 << 14, LOSS_BLOCK = 64 * WIDTH };

typedef struct {
  long batch, classes, tile_rows;
  double smoothing;
  const float *logits, *targets;
  const int32_t *labels;
  float *losses, *dlogits;
} cross_entropy;

/* The largest of a row. Where some are NaN it may be any of them: the NaN shows in the sums. */
INLINE float row_maximum(const float *x, long count) {
  V top = v_load_or(x, count, -INFINITY);
  for (long i = WIDTH; i < count; i += WIDTH) top = v_max(v_load_or(x + i, count - i, -INFINITY), top);
  return v_largest(top);
}

/* e = exp(x - top); returns the sum of e, and adds that of x - top where it is wanted. */
INLINE double row_exponentials(const float *x, long count, float top, float *e, double *distances) {
  const V peak = v_set(top);
  double total = 0;
  for (long i = 0; i < count;) {
    const long end = min_long(count, i + LOSS_BLOCK);
    V sum = v_zero(), distance = v_zero();
    for (; i + WIDTH <= end; i += WIDTH) {
      const V z = v_load(x + i) - peak, power = v_exp(z);
      v_store(e + i, power);
      sum += power;
      if (distances) distance += z;
    }
    if (i < end) {
      const V z = v_load_or(x + i, end - i, top) - peak, power = v_exp(z);
      v_store_part(e + i, power, end - i);
      sum += v_select(v_lanes(end - i), power, v_zero());
      if (distances) distance += z;
      i = end;
    }
    total += v_total(sum);
    if (distances) *distances += v_total(distance);
  }
  return total;
}

/* The sums of q and of q (x - top), a q of zero taking nothing of an infinite logit. */
static void row_targets(const float *x, const float *q, long count, float top, double *mass, double *weighted) {
  const V peak = v_set(top);
  for (long i = 0; i < count;) {
    const long end = min_long(count, i + LOSS_BLOCK);
    V sum = v_zero(), products = v_zero();
    for (; i < end; i += WIDTH) {
      const V target = v_load_up_to(q + i, end - i), z = v_load_up_to(x + i, end - i) - peak;
      sum += target;
      products += v_select((I)(target == v_zero()), v_zero(), target * z);
    }
    *mass += v_total(sum);
    *weighted += v_total(products);
    i = end;
  }
}

/* gradient = slope * gradient - by * q - offset */
static void row_gradient(float *gradient, long count, double slope, const float *q, double by, double offset) {
  const V a = v_set((float)slope), b = v_set((float)-by), c = v_set((float)-offset);
  for (long i = 0; i < count; i += WIDTH) {
    V rest = c;
    if (q) rest = b * v_load_up_to(q + i, count - i);
    v_store_up_to(gradient + i, v_fma(a, v_load_up_to(gradient + i, count - i), rest), count - i);
  }
}

static void label_row(const cross_entropy *c, long n) {
  const long classes = c->classes;
  const float *logits = c->logits + n * classes;
  float *gradient = c->dlogits + n * classes;
  const float top = row_maximum(logits, classes);
  double distances = 0;
  const double total = row_exponentials(logits, classes, top, gradient, &distances);
  /* -sum q (z - log total), q summing to one */
  const double uniform = c->smoothing / (double)classes, batch = (double)c->batch;
  const double own = (double)logits[c->labels[n]] - (double)top, power = (double)gradient[c->labels[n]];
  const double smooth = c->smoothing > 0 ? uniform * distances : 0;
  c->losses[n] = (float)(log(total) - (1 - c->smoothing) * own - smooth);
  row_gradient(gradient, classes, 1 / (total * batch), 0, 0, uniform / batch);
  gradient[c->labels[n]] = (float)((power / total - uniform - (1 - c->smoothing)) / batch);
}

static void target_row(const cross_entropy *c, long n) {
  const long classes = c->classes;
  const float *logits = c->logits + n * classes, *targets = c->targets + n * classes;
  float *gradient = c->dlogits + n * classes;
  const float top = row_maximum(logits, classes);
  double distances = 0, mass = 0, weighted = 0;
  const double total = row_exponentials(logits, classes, top, gradient, &distances);
  row_targets(logits, targets, classes, top, &mass, &weighted);
  c->losses[n] = (float)(mass * log(total) - weighted);
  row_gradient(gradient, classes, mass / (total * (double)c->batch), targets, 1 / (double)c->batch, 0);
}

static void cross_entropy_tiles(void *context, long first, long last) {
  const cross_entropy *c = context;
  const long end = min_long(last * c->tile_rows, c->batch);
  for (long n = first * c->tile_rows; n < end; n++)
    if (c->targets)
      target_row(c, n);
    else
      label_row(c, n);
}

static void run_cross_entropy(cross_entropy c) {
  c.tile_rows = max_long(1, LOSS_TILE / max_long(1, c.classes));
  sa_parallel(cross_entropy_tiles, &c, ceil_div(c.batch, c.tile_rows));
}

static void softmax_cross_entropy(long batch, long classes, float smoothing, const float *logits,
                                  const int32_t *labels, float *losses, float *dlogits) {
  run_cross_entropy((cross_entropy){.batch = batch,
                                    .classes = classes,
                                    .smoothing = smoothing,
                                    .logits = logits,
                                    .labels = labels,
                                    .losses = losses,
                                    .dlogits = dlogits});
}

static void soft_target_cross_entropy(long batch, long classes, const float *logits, const float *targets,
                                      float *losses, float *dlogits) {
  run_cross_entropy((cross_entropy){.batch = batch,
                                    .classes = classes,
                                    .logits = logits,
                                    .targets = targets,
                                    .losses = losses,
                                    .dlogits = dlogits});
}
