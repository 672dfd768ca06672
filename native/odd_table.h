/*
 * Odd functions by tables (the sharing map of add layers): value and slope at each grid point from zero on, linear in
 * between and beyond the last. A gather for each element: scalar code, in pieces of PIECE floats.
 */

typedef struct {
  long length, last;
  float points_per_unit, unit, in, out;
  const float *values, *slopes, *x, *dy;
  float *to;
  double *partial;
} odd_table_work;

/* f(z) of |z|, and its slope; NaN has neither. */
INLINE float odd_table_at(const odd_table_work *c, float magnitude, float *slope) {
  const float position = magnitude * c->points_per_unit;
  const long point = position < (float)c->last ? (long)position : c->last;
  *slope = position == position ? c->slopes[point] : position;
  return c->values[point] + *slope * ((position - (float)point) * c->unit);
}

static void odd_table_pieces(void *context, long first, long last) {
  const odd_table_work *c = context;
  const long end = min_long(last * PIECE, c->length);
  for (long i = first * PIECE; i < end; i++) {
    const float z = c->x[i] * c->in;
    float slope;
    c->to[i] = c->out * __builtin_copysignf(odd_table_at(c, __builtin_fabsf(z), &slope), z);
  }
}

static void odd_table_gradient_pieces(void *context, long first, long last) {
  enum { SUMS = 8 };
  const odd_table_work *c = context;
  const float outer = c->in * c->out;
  for (long piece = first; piece < last; piece++) {
    const long end = min_long((piece + 1) * PIECE, c->length);
    double sums[SUMS] = {0};
    for (long i = piece * PIECE; i < end; i++) {
      const float z = c->x[i] * c->in, dy = c->dy[i];
      float slope;
      const float value = __builtin_copysignf(odd_table_at(c, __builtin_fabsf(z), &slope), z);
      c->to[i] = outer * slope * dy;
      sums[i % SUMS] += (double)value * dy;
    }
    double sum = 0;
    for (int k = 0; k < SUMS; k++) sum += sums[k];
    c->partial[piece] = sum;
  }
}

static void odd_table(long length, const float *x, const float *values, const float *slopes, long points,
                      double points_per_unit, double in, double out, float *y) {
  odd_table_work c = {.length = length, .last = points - 1, .points_per_unit = (float)points_per_unit,
                      .unit = (float)(1 / points_per_unit), .in = (float)in, .out = (float)out, .values = values,
                      .slopes = slopes, .x = x,
                      .to = y};
  sa_parallel(odd_table_pieces, &c, ceil_div(length, PIECE));
}

static int odd_table_gradient(long length, const float *x, const float *dy, const float *values, const float *slopes,
                              long points, double points_per_unit, double in, double out, float *dx, double *sum) {
  const long pieces = ceil_div(length, PIECE);
  odd_table_work c = {.length = length, .last = points - 1, .points_per_unit = (float)points_per_unit,
                      .unit = (float)(1 / points_per_unit), .in = (float)in, .out = (float)out, .values = values,
                      .slopes = slopes, .x = x,
                      .dy = dy, .to = dx};
  c.partial = sa_scratch(SA_SLOT_SUMS, (size_t)pieces * sizeof(double));
  if (!c.partial) return SA_NO_MEMORY;
  sa_parallel(odd_table_gradient_pieces, &c, pieces);
  *sum = 0;
  for (long i = 0; i < pieces; i++) *sum += c.partial[i];
  return SA_OK;
}
