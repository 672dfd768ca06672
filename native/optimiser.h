/*
 * Passes over all the parameters of a network at once: optimiser steps, scaling, the sum of squares.
 *
 * The items of a list are laid end to end, each from a multiple of sixteen floats on, and the whole is cut into tiles
 * of PIECE floats: one fork and join for a network of any number of tensors, and the same tiles for any number of
 * threads.
 */

typedef struct {
  int items, buffers, numbers; /* of one item: buffers, numbers */
  float *const *data;
  const size_t *lengths;
  const double *number;
  const long *start; /* [items + 1], where each item begins */
  double alpha, beta, gamma, delta;
  int flag;
  double *partial;
} list;

/* Lays out the items; returns the number of tiles, or -1 when memory is short. */
static long lay_out(list *l) {
  long *start = sa_scratch(SA_SLOT_ITEMS, (size_t)(l->items + 1) * sizeof(long));
  if (!start) return -1;
  start[0] = 0;
  for (int i = 0; i < l->items; i++) start[i + 1] = start[i] + ceil_div((long)l->lengths[i * l->buffers], 16) * 16;
  l->start = start;
  return ceil_div(start[l->items], PIECE);
}

/* The item at `at`. */
static int item_at(const list *l, long at) {
  int low = 0, high = l->items - 1;
  while (low < high) {
    const int middle = low + (high - low + 1) / 2;
    if (l->start[middle] <= at)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* A walk over part of the layout, item by item: `count` elements of `item`, from `first` on. */
typedef struct {
  const list *l;
  long at, end;
  int item;
  long first, count;
} walk;

INLINE walk walk_tiles(const list *l, long first, long last) {
  walk w = {.l = l, .at = first * PIECE, .end = min_long(last * PIECE, l->start[l->items])};
  if (w.at < w.end) w.item = item_at(l, w.at) - 1;
  return w;
}

INLINE int next_span(walk *w) {
  if (w->at >= w->end) return 0;
  const long start = w->l->start[++w->item];
  w->first = w->at - start;
  w->count = min_long((long)w->l->lengths[w->item * w->l->buffers], w->end - start) - w->first;
  w->at = w->l->start[w->item + 1];
  return 1;
}

/* Buffer `which` of the item, from the first element of the span; its number `which`. */
INLINE float *buffer_of(const walk *w, int which) { return w->l->data[w->item * w->l->buffers + which] + w->first; }
INLINE double number_of(const walk *w, int which) { return w->l->number[w->item * w->l->numbers + which]; }

#define EACH_OF_SPAN(s, i, lanes)                                                                                    \
  for (long i = 0, lanes = min_long(WIDTH, (s).count); i < (s).count;                                                \
       i += WIDTH, lanes = min_long(WIDTH, (s).count - i))

static int run_list(sa_tiles run, list *l) {
  const long tiles = lay_out(l);
  if (tiles < 0) return SA_NO_MEMORY;
  sa_parallel(run, l, tiles);
  return SA_OK;
}

static void sgd_tiles(void *context, long first, long last) {
  const list *l = context;
  const V rate = v_set((float)l->alpha), momentum = v_set((float)l->beta);
  for (walk s = walk_tiles(l, first, last); next_span(&s);) {
    float *weights = buffer_of(&s, 0), *velocities = buffer_of(&s, 2);
    const float *gradients = buffer_of(&s, 1);
    const V decay = v_set((float)number_of(&s, 0)), scaling = v_set((float)number_of(&s, 1));
    EACH_OF_SPAN(s, i, lanes) {
      const V weight = v_load_up_to(weights + i, lanes);
      const V gradient = v_fma(decay, weight, scaling * v_load_up_to(gradients + i, lanes));
      const V velocity = v_fma(momentum, v_load_up_to(velocities + i, lanes), gradient);
      v_store_up_to(velocities + i, velocity, lanes);
      const V move = l->flag ? v_fma(momentum, velocity, gradient) : velocity;
      v_store_up_to(weights + i, weight - rate * move, lanes);
    }
  }
}

static int sgd_steps(int items, float *const *data, const size_t *lengths, const double *numbers, double rate,
                     double momentum, int nesterov) {
  list l = {.items = items, .buffers = 3, .numbers = 2, .data = data, .lengths = lengths, .number = numbers};
  l.alpha = rate;
  l.beta = momentum;
  l.flag = nesterov;
  return run_list(sgd_tiles, &l);
}

static void adam_tiles(void *context, long first, long last) {
  const list *l = context;
  const V keep_mean = v_set((float)l->beta), keep_square = v_set((float)l->gamma), epsilon = v_set((float)l->delta);
  const V new_mean = v_set((float)(1 - l->beta)), new_square = v_set((float)(1 - l->gamma));
  for (walk s = walk_tiles(l, first, last); next_span(&s);) {
    float *weights = buffer_of(&s, 0), *means = buffer_of(&s, 2), *squares = buffer_of(&s, 3);
    const float *gradients = buffer_of(&s, 1);
    const V keep = v_set((float)(1 - l->alpha * number_of(&s, 0))), scaling = v_set((float)number_of(&s, 1));
    const V rate = v_set((float)(l->alpha / number_of(&s, 2)));
    const V unbias = v_set((float)(1 / number_of(&s, 3)));
    EACH_OF_SPAN(s, i, lanes) {
      const V gradient = scaling * v_load_up_to(gradients + i, lanes);
      const V mean = v_fma(keep_mean, v_load_up_to(means + i, lanes), new_mean * gradient);
      const V square = v_fma(keep_square, v_load_up_to(squares + i, lanes), new_square * gradient * gradient);
      v_store_up_to(means + i, mean, lanes);
      v_store_up_to(squares + i, square, lanes);
      const V move = rate * mean / (v_sqrt(square * unbias) + epsilon);
      v_store_up_to(weights + i, keep * v_load_up_to(weights + i, lanes) - move, lanes);
    }
  }
}

static int adamw_steps(int items, float *const *data, const size_t *lengths, const double *numbers, double rate,
                       double beta1, double beta2, double epsilon) {
  list l = {.items = items, .buffers = 4, .numbers = 4, .data = data, .lengths = lengths, .number = numbers};
  l.alpha = rate;
  l.beta = beta1;
  l.gamma = beta2;
  l.delta = epsilon;
  return run_list(adam_tiles, &l);
}

static void scale_tiles(void *context, long first, long last) {
  const list *l = context;
  const V alpha = v_set((float)l->alpha);
  for (walk s = walk_tiles(l, first, last); next_span(&s);) {
    float *x = buffer_of(&s, 0);
    EACH_OF_SPAN(s, i, lanes) v_store_up_to(x + i, alpha * v_load_up_to(x + i, lanes), lanes);
  }
}

static int scale(int items, float *const *data, const size_t *lengths, double alpha) {
  list l = {.items = items, .buffers = 1, .data = data, .lengths = lengths, .alpha = alpha};
  return run_list(scale_tiles, &l);
}

/* Sixteen sums, whatever the width of a vector, so that the result is the same number for every instruction set. */
typedef double D __attribute__((vector_size(4 * WIDTH)));
typedef float F __attribute__((vector_size(2 * WIDTH), aligned(4), may_alias));
enum { SUMS = 16, D_LANES = WIDTH / 2 };

static double span_squares(const float *x, long count) {
  D sum[SUMS / D_LANES] = {{0}};
  double rest = 0;
  long i = 0;
  for (; i + SUMS <= count; i += SUMS) {
    UNROLL
    for (int v = 0; v < SUMS / D_LANES; v++) {
      const D each = __builtin_convertvector(*(const F *)(x + i + v * D_LANES), D);
      sum[v] += each * each;
    }
  }
  for (; i < count; i++) rest += (double)x[i] * x[i];
  for (int k = 0; k < SUMS / 2; k++) {
    const int other = k + SUMS / 2;
    rest += sum[k / D_LANES][k % D_LANES] + sum[other / D_LANES][other % D_LANES];
  }
  return rest;
}

static void square_tiles(void *context, long first, long last) {
  const list *l = context;
  for (long tile = first; tile < last; tile++) {
    double sum = 0;
    for (walk s = walk_tiles(l, tile, tile + 1); next_span(&s);) sum += span_squares(buffer_of(&s, 0), s.count);
    l->partial[tile] = sum;
  }
}

static int sum_of_squares(int items, float *const *data, const size_t *lengths, double *sum) {
  list l = {.items = items, .buffers = 1, .data = data, .lengths = lengths};
  const long tiles = lay_out(&l);
  if (tiles < 0) return SA_NO_MEMORY;
  l.partial = sa_scratch(SA_SLOT_SUMS, (size_t)tiles * sizeof(double));
  if (!l.partial) return SA_NO_MEMORY;
  sa_parallel(square_tiles, &l, tiles);
  *sum = 0;
  for (long i = 0; i < tiles; i++) *sum += l.partial[i];
  return SA_OK;
}
