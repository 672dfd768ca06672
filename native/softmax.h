/*
 * Softmax of rows, or its logarithm, with their gradients. The largest of a row is taken off first, so that nothing
 * finite overflows.
 */

enum { SOFTMAX_TILE = 1 << 14, SOFTMAX_GROUP = 8, SOFTMAX_GROUP_FLOATS = 1 << 11 };

typedef struct {
  long rows, columns, tile_rows;
  int logarithm;
  const float *x, *y, *dy;
  float *to;
} softmax_rows;

/* y = x - the logarithm of the sum of exponentials, or exp(x - top), which y holds already, over their sum. */
static void finish_row(const softmax_rows *c, const float *x, float top, double total, float *y) {
  const long columns = c->columns;
  if (c->logarithm) {
    const V offset = v_set((float)log(total)), peak = v_set(top);
    for (long i = 0; i < columns; i += WIDTH)
      v_store_up_to(y + i, v_load_up_to(x + i, columns - i) - peak - offset, columns - i);
  } else {
    const V by = v_set((float)(1 / total));
    for (long i = 0; i < columns; i += WIDTH) v_store_up_to(y + i, by * v_load_up_to(y + i, columns - i), columns - i);
  }
}

/* Short rows take each of the three passes as a group: a row's passes wait for each other, those of other rows do not. */
static void softmax_tiles(void *context, long first, long last) {
  const softmax_rows *c = context;
  const long columns = c->columns, end = min_long(last * c->tile_rows, c->rows);
  const long group = max_long(1, min_long(SOFTMAX_GROUP, SOFTMAX_GROUP_FLOATS / columns));
  float top[SOFTMAX_GROUP];
  double total[SOFTMAX_GROUP];
  for (long row = first * c->tile_rows; row < end; row += group) {
    const long rows = min_long(group, end - row);
    const float *x = c->x + row * columns;
    float *y = c->to + row * columns;
    for (long i = 0; i < rows; i++) top[i] = row_maximum(x + i * columns, columns);
    for (long i = 0; i < rows; i++) total[i] = row_exponentials(x + i * columns, columns, top[i], y + i * columns, NULL);
    for (long i = 0; i < rows; i++) finish_row(c, x + i * columns, top[i], total[i], y + i * columns);
  }
}

static void softmax_gradient_tiles(void *context, long first, long last) {
  const softmax_rows *c = context;
  const long columns = c->columns, end = min_long(last * c->tile_rows, c->rows);
  for (long row = first * c->tile_rows; row < end; row++) {
    const float *y = c->y + row * columns, *dy = c->dy + row * columns;
    float *dx = c->to + row * columns;
    double total = 0;
    for (long i = 0; i < columns;) {
      const long stop = min_long(columns, i + LOSS_BLOCK);
      V sum = v_zero();
      for (; i < stop; i += WIDTH) {
        V slope = v_load_up_to(dy + i, stop - i);
        if (!c->logarithm) slope *= v_load_up_to(y + i, stop - i);
        sum += slope;
      }
      total += v_total(sum);
      i = stop;
    }
    const V mean = v_set((float)total);
    for (long i = 0; i < columns; i += WIDTH) {
      const long lanes = columns - i;
      const V slope = v_load_up_to(dy + i, lanes), value = v_load_up_to(y + i, lanes);
      V gradient = value * (slope - mean);
      if (c->logarithm) gradient = slope - v_exp(value) * mean;
      v_store_up_to(dx + i, gradient, lanes);
    }
  }
}

static void run_softmax(sa_tiles run, softmax_rows c) {
  c.tile_rows = max_long(1, SOFTMAX_TILE / max_long(1, c.columns));
  if (c.columns > 0) sa_parallel(run, &c, ceil_div(c.rows, c.tile_rows));
}

static void softmax(long rows, long columns, int logarithm, const float *x, float *y) {
  run_softmax(softmax_tiles, (softmax_rows){.rows = rows, .columns = columns, .logarithm = logarithm, .x = x, .to = y});
}

static void softmax_gradient(long rows, long columns, int logarithm, const float *y, const float *dy, float *dx) {
  run_softmax(softmax_gradient_tiles, (softmax_rows){.rows = rows, .columns = columns, .logarithm = logarithm,
                                                     .y = y, .dy = dy, .to = dx});
}
