/*
 * Label-smoothed cross-entropy, a row of logits at a time, in double: a few thousand numbers per step.
 */
#include <math.h>

typedef struct {
  long batch, classes;
  double smoothing;
  const float *logits;
  const int32_t *labels;
  float *losses, *dlogits;
} cross_entropy;

static void cross_entropy_rows(void *context, long first, long last) {
  const cross_entropy *c = context;
  const long classes = c->classes;
  for (long n = first; n < last; n++) {
    const float *logits = c->logits + n * classes;
    float *gradient = c->dlogits + n * classes;
    double top = logits[0], total = 0, weighted = 0;
    for (long i = 1; i < classes; i++)
      if (logits[i] > top) top = logits[i];
    for (long i = 0; i < classes; i++) {
      const double z = logits[i] - top, e = exp(z);
      total += e;
      weighted += z;
      gradient[i] = (float)e;
    }
    /* -sum q (z - log total), q summing to one */
    const double uniform = c->smoothing / (double)classes;
    const double own = (double)logits[c->labels[n]] - top;
    const double smooth = c->smoothing > 0 ? uniform * weighted : 0;
    c->losses[n] = (float)(log(total) - (1 - c->smoothing) * own - smooth);
    for (long i = 0; i < classes; i++) {
      const double q = uniform + (i == c->labels[n] ? 1 - c->smoothing : 0);
      gradient[i] = (float)((gradient[i] / total - q) / (double)c->batch);
    }
  }
}

enum { LOSS_ROWS = 64 };

static void cross_entropy_tiles(void *context, long first, long last) {
  const cross_entropy *c = context;
  cross_entropy_rows(context, first * LOSS_ROWS, min_long(last * LOSS_ROWS, c->batch));
}

static void softmax_cross_entropy(long batch, long classes, float smoothing, const float *logits,
                                  const int32_t *labels, float *losses, float *dlogits) {
  cross_entropy c = {batch, classes, smoothing, logits, labels, losses, dlogits};
  sa_parallel(cross_entropy_tiles, &c, ceil_div(batch, LOSS_ROWS));
}
