/*
 * Functions of two operands that are broadcast against each other, and their derivatives.
 *
 * The result has up to SA_AXES axes; an operand has an axis, or repeats along it. The result is walked in rows along which
 * each operand is either contiguous or a repeated pattern of at most PATTERN floats (one for a value that stays, the
 * channels of a bias): a pattern is copied out past its end, so that a vector can be loaded at any phase.
 */

enum { PATTERN = 64 };

/* The order of BinaryKind, then of BinaryGradientKind, in src/tensor/kinds.ts. */
enum binary_kind {
  BINARY_ADD,
  BINARY_SUBTRACT,
  BINARY_MULTIPLY,
  BINARY_DIVIDE,
  BINARY_MAXIMUM,
  BINARY_MINIMUM,
  BINARY_KINDS,
  DIVISOR_GRADIENT = BINARY_KINDS,
  MAXIMUM_GRADIENT,
  MINIMUM_GRADIENT,
  BINARY_GRADIENT_KINDS
};

/* One operand: its step along each outer axis; along a row it is contiguous, or repeats after `period` floats. */
typedef struct {
  const float *data;
  long step[SA_AXES];
  long period; /* 0 when contiguous */
} operand;

typedef struct {
  int kind, axes; /* outer axes */
  long extent[SA_AXES], row, length;
  operand a, b;
  const float *dy;
  float *to;
} broadcast;

INLINE V binary_value(const int kind, V a, V b, V dy) {
  switch (kind) {
    case BINARY_ADD: return a + b;
    case BINARY_SUBTRACT: return a - b;
    case BINARY_MULTIPLY: return a * b;
    case BINARY_DIVIDE: return a / b;
    case BINARY_MAXIMUM: return v_select((I)(a != a), a, v_max(a, b));
    case BINARY_MINIMUM: return v_select((I)(a != a), a, v_min(a, b));
    case DIVISOR_GRADIENT: return -(dy * (a / b)) / b;
    case MAXIMUM_GRADIENT:
      return v_select((I)(a < b), v_zero(), v_select((I)(a == b), dy * 0.5f, dy));
    default: return v_select((I)(a > b), v_zero(), v_select((I)(a == b), dy * 0.5f, dy));
  }
}

/* How an operand is read along a row. */
enum { CONTIGUOUS, PATTERNED, CONSTANT };

typedef struct {
  const float *at;
  long phase, step, period;
  V value;
} reader;

INLINE int reading(const operand *o) { return !o->period ? CONTIGUOUS : o->period > 1 ? PATTERNED : CONSTANT; }

/* `pattern` holds that of the row at *filled, which rows often share. */
INLINE reader read_from(const operand *o, const float *row, long offset, float *pattern, const float **filled) {
  if (!o->period) return (reader){.at = row + offset};
  if (o->period == 1) return (reader){.value = v_set(*row)};
  if (row != *filled)
    for (long i = 0, j = 0; i < o->period + WIDTH; i++, j = j + 1 < o->period ? j + 1 : 0) pattern[i] = row[j];
  *filled = row;
  return (reader){.at = pattern, .phase = offset % o->period, .step = WIDTH % o->period, .period = o->period};
}

INLINE V next_vector(const int how, reader *r, long i, long lanes) {
  if (how == CONSTANT) return r->value;
  if (how == CONTIGUOUS) return v_load_up_to(r->at + i, lanes);
  const V v = v_load(r->at + r->phase);
  r->phase += r->step;
  if (r->phase >= r->period) r->phase -= r->period;
  return v;
}

INLINE void binary_row(const int kind, const int how_a, const int how_b, reader a, reader b, const float *dy,
                       float *to, long count) {
  for (long i = 0; i < count; i += WIDTH) {
    const long lanes = count - i;
    const V left = next_vector(how_a, &a, i, lanes), right = next_vector(how_b, &b, i, lanes);
    const V slope = kind < BINARY_KINDS ? left : v_load_up_to(dy + i, lanes);
    v_store_up_to(to + i, binary_value(kind, left, right, slope), lanes);
  }
}

INLINE void binary_pieces(const int kind, const broadcast *c, long first, long last) {
  const long begin = first * PIECE, end = min_long(last * PIECE, c->length);
  long index[SA_AXES], rest = begin / c->row, offset = begin % c->row;
  const float *a = c->a.data, *b = c->b.data, *a_filled = 0, *b_filled = 0;
  float a_pattern[PATTERN + WIDTH], b_pattern[PATTERN + WIDTH];
  const int how_a = reading(&c->a), how_b = reading(&c->b);
  for (int k = c->axes - 1; k >= 0; k--) {
    index[k] = rest % c->extent[k];
    rest /= c->extent[k];
    a += index[k] * c->a.step[k];
    b += index[k] * c->b.step[k];
  }
  for (long at = begin; at < end;) {
    const long count = min_long(c->row - offset, end - at);
    const reader left = read_from(&c->a, a, offset, a_pattern, &a_filled);
    const reader right = read_from(&c->b, b, offset, b_pattern, &b_filled);
    const float *dy = c->dy ? c->dy + at : 0;
    float *to = c->to + at;
    /* the usual combinations have a loop of their own */
    const int usual = kind < BINARY_KINDS;
    if (how_a == CONTIGUOUS && how_b == CONTIGUOUS)
      binary_row(kind, CONTIGUOUS, CONTIGUOUS, left, right, dy, to, count);
    else if (usual && how_a == CONTIGUOUS && how_b == PATTERNED)
      binary_row(kind, CONTIGUOUS, PATTERNED, left, right, dy, to, count);
    else if (usual && how_a == CONTIGUOUS)
      binary_row(kind, CONTIGUOUS, CONSTANT, left, right, dy, to, count);
    else
      binary_row(kind, how_a, how_b, left, right, dy, to, count);
    at += count;
    offset = 0;
    for (int k = c->axes - 1; k >= 0; k--) {
      a += c->a.step[k];
      b += c->b.step[k];
      if (++index[k] < c->extent[k]) break;
      a -= c->extent[k] * c->a.step[k];
      b -= c->extent[k] * c->b.step[k];
      index[k] = 0;
    }
  }
}

#define EACH_BINARY(use)                                                                                             \
  use(BINARY_ADD) use(BINARY_SUBTRACT) use(BINARY_MULTIPLY) use(BINARY_DIVIDE) use(BINARY_MAXIMUM)                   \
  use(BINARY_MINIMUM) use(DIVISOR_GRADIENT) use(MAXIMUM_GRADIENT) use(MINIMUM_GRADIENT)
#define BINARY_LOOP(kind)                                                                                            \
  case kind: binary_pieces(kind, c, first, last); break;
static void broadcast_pieces(void *context, long first, long last) {
  const broadcast *c = context;
  switch (c->kind) { EACH_BINARY(BINARY_LOOP) }
}

/* How an operand lies in the result: steps along the outer axes, and the period along the last one, or along the last
 * two where they are walked as one row. */
static void lay_operand(operand *o, const float *data, int has, const long *extents, int axes, int merged) {
  *o = (operand){.data = data};
  long size = 1;
  for (int k = axes - 1; k >= 0; k--) {
    const int own = has >> k & 1;
    if (k < axes - 1 - merged) o->step[k] = own ? size : 0;
    if (own) size *= extents[k];
  }
  const int last = has >> (axes - 1) & 1, before = merged && has >> (axes - 2) & 1;
  if (!merged)
    o->period = !last;
  else if (!last || !before)
    o->period = last ? extents[axes - 1] : 1;
}

/* `has_a` and `has_b`: bit k is set where the operand has axis k. Along two axes walked as one, each operand must be
 * contiguous, a value that stays, or the last axis over and over. */
static void run_broadcast(int kind, const long *extents, int has_a, int has_b, const float *a, const float *b,
                          const float *dy, float *to) {
  broadcast c = {.kind = kind, .dy = dy, .to = to, .length = 1};
  long used[SA_AXES];
  int own_a = 0, own_b = 0, kept = 0;
  for (int k = 0; k < SA_AXES; k++) {
    c.length *= extents[k];
    if (extents[k] == 1) continue;
    used[kept] = extents[k];
    own_a |= (has_a >> k & 1) << kept;
    own_b |= (has_b >> k & 1) << kept;
    kept++;
  }
  if (c.length == 0) return;
  if (kept == 0) {
    used[0] = 1;
    own_a = own_b = kept = 1;
  }
  const int axes = kept, top = axes - 1, next = axes - 2;
  /* an operand that has the outer of the two axes but not the last one does not repeat a pattern */
  const int merged = axes > 1 && used[top] <= PATTERN && !(own_a >> next & 1 && !(own_a >> top & 1)) &&
                     !(own_b >> next & 1 && !(own_b >> top & 1));
  lay_operand(&c.a, a, own_a, used, axes, merged);
  lay_operand(&c.b, b, own_b, used, axes, merged);
  c.axes = axes - 1 - merged;
  c.row = merged ? used[top] * used[next] : used[top];
  for (int k = 0; k < c.axes; k++) c.extent[k] = used[k];
  sa_parallel(broadcast_pieces, &c, ceil_div(c.length, PIECE));
}
