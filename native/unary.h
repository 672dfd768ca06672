/*
 * Functions of one variable, applied to a flat buffer, and their derivatives. The kinds are those of UnaryKind in
 * src/tensor/kinds.ts, in its order.
 */
#include "functions.h"

enum unary_kind {
  UNARY_NEGATE,
  UNARY_ABSOLUTE,
  UNARY_SIGN,
  UNARY_SQUARE,
  UNARY_SQUARE_ROOT,
  UNARY_EXPONENTIAL,
  UNARY_LOGARITHM,
  UNARY_SIGMOID,
  UNARY_TANH,
  UNARY_SILU,
  UNARY_GELU,
  UNARY_GELU_TANH,
  UNARY_HARD_SIGMOID,
  UNARY_HARD_SWISH,
  UNARY_CLAMP,
  UNARY_KINDS
};

typedef struct {
  long length;
  int kind, gradient;
  float low, high;
  const float *x, *dy;
  float *to;
} unary_map;

/* sqrt(2 / pi) (x + 0.044715 x^3), twice: gelu's tanh form is x times the sigmoid of it. */
#define GELU_SLOPE 1.59576912f
#define GELU_CUBE 7.13548163e-2f

INLINE V v_sign(V x) {
  return v_select((I)(x > v_zero()), v_set(1.0f), v_select((I)(x < v_zero()), v_set(-1.0f), x));
}
INLINE V v_between(V low, V high, V x) { return v_max(low, v_min(high, x)); }
/* x where it is to be multiplied with a share that is zero far out: an infinite x then takes nothing. */
INLINE V v_gain(V x) { return v_between(v_set(-1e4f), v_set(INFINITY), x); }
INLINE V v_bounded(V x) { return v_between(v_set(-1e4f), v_set(1e4f), x); }
INLINE V v_hard_sigmoid(V x) { return v_between(v_zero(), v_set(6.0f), x + 3.0f) * (1.0f / 6.0f); }

INLINE V unary_value(const int kind, V x, V low, V high) {
  V density;
  switch (kind) {
    case UNARY_NEGATE: return -x;
    case UNARY_ABSOLUTE: return v_abs(x);
    case UNARY_SIGN: return v_sign(x);
    case UNARY_SQUARE: return x * x;
    case UNARY_SQUARE_ROOT: return v_sqrt(x);
    case UNARY_EXPONENTIAL: return v_exp(x);
    case UNARY_LOGARITHM: return v_log(x);
    case UNARY_SIGMOID: return v_sigmoid(x);
    case UNARY_TANH: return v_tanh(x);
    case UNARY_SILU: return v_gain(x) * v_sigmoid(x);
    case UNARY_GELU: return v_gain(x) * v_normal(x, &density);
    case UNARY_GELU_TANH: return v_gain(x) * v_sigmoid(x * v_fma(x * x, v_set(GELU_CUBE), v_set(GELU_SLOPE)));
    case UNARY_HARD_SIGMOID: return v_hard_sigmoid(x);
    case UNARY_HARD_SWISH: return v_gain(x) * v_hard_sigmoid(x);
    default: return v_between(low, high, x);
  }
}

/* The derivative times dy. `at` is the value for square root, exponential, sigmoid and tanh, else the argument. */
INLINE V unary_slope(const int kind, V at, V dy, V low, V high) {
  V density, share;
  switch (kind) {
    case UNARY_NEGATE: return -dy;
    case UNARY_ABSOLUTE: return dy * v_sign(at);
    case UNARY_SIGN: return v_zero();
    case UNARY_SQUARE: return dy * (at + at);
    case UNARY_SQUARE_ROOT: return dy / (at + at);
    case UNARY_EXPONENTIAL: return dy * at;
    case UNARY_LOGARITHM: return dy / at;
    case UNARY_SIGMOID: return dy * (at * (1.0f - at));
    case UNARY_TANH: return dy * ((1.0f - at) * (1.0f + at));
    case UNARY_SILU:
      share = v_sigmoid(at);
      return dy * v_fma(v_bounded(at) * share, 1.0f - share, share);
    case UNARY_GELU:
      share = v_normal(at, &density);
      return dy * v_fma(v_bounded(at), density, share);
    case UNARY_GELU_TANH: {
      const V x = v_bounded(at), square = x * x, slope = v_fma(square, v_set(3 * GELU_CUBE), v_set(GELU_SLOPE));
      share = v_sigmoid(x * v_fma(square, v_set(GELU_CUBE), v_set(GELU_SLOPE)));
      return dy * v_fma(x * share * (1.0f - share), slope, share);
    }
    case UNARY_HARD_SIGMOID: return v_select((I)(v_abs(at) < v_set(3.0f)), dy * (1.0f / 6.0f), v_zero());
    case UNARY_HARD_SWISH:
      share = v_select((I)(v_abs(at) < v_set(3.0f)), at * (1.0f / 6.0f), v_zero());
      return dy * (v_hard_sigmoid(at) + share);
    default: return v_select((I)(at >= low) & (I)(at <= high), dy, v_zero());
  }
}

INLINE void unary_vector(const unary_map *c, long i, long lanes) {
  const V x = v_load_up_to(c->x + i, lanes), low = v_set(c->low), high = v_set(c->high);
  const V y = c->gradient ? unary_slope(c->kind, x, v_load_up_to(c->dy + i, lanes), low, high)
                          : unary_value(c->kind, x, low, high);
  v_store_up_to(c->to + i, y, lanes);
}

INLINE void unary_pieces(const int kind, const int gradient, const unary_map *context, long first, long last) {
  unary_map c = *context;
  c.kind = kind; /* constants, by which the vector's function is chosen when this is compiled */
  c.gradient = gradient;
  EACH_VECTOR(&c, first, last, unary_vector);
}

/* One loop for each kind, forward and backward. */
#define EACH_UNARY(use)                                                                                              \
  use(UNARY_NEGATE) use(UNARY_ABSOLUTE) use(UNARY_SIGN) use(UNARY_SQUARE) use(UNARY_SQUARE_ROOT)                     \
  use(UNARY_EXPONENTIAL) use(UNARY_LOGARITHM) use(UNARY_SIGMOID) use(UNARY_TANH) use(UNARY_SILU) use(UNARY_GELU)     \
  use(UNARY_GELU_TANH) use(UNARY_HARD_SIGMOID) use(UNARY_HARD_SWISH) use(UNARY_CLAMP)

#define UNARY_FORWARD(kind)                                                                                          \
  case kind: unary_pieces(kind, 0, c, first, last); break;
static void unary_forward_pieces(void *context, long first, long last) {
  const unary_map *c = context;
  switch (c->kind) { EACH_UNARY(UNARY_FORWARD) }
}

#define UNARY_BACKWARD(kind)                                                                                         \
  case kind: unary_pieces(kind, 1, c, first, last); break;
static void unary_backward_pieces(void *context, long first, long last) {
  const unary_map *c = context;
  switch (c->kind) { EACH_UNARY(UNARY_BACKWARD) }
}

static void unary(long length, int kind, float low, float high, const float *x, float *y) {
  unary_map c = {.length = length, .kind = kind, .low = low, .high = high, .x = x, .to = y};
  sa_parallel(unary_forward_pieces, &c, ceil_div(length, PIECE));
}

static void unary_gradient(long length, int kind, float low, float high, const float *at, const float *dy, float *dx) {
  unary_map c = {.length = length, .kind = kind, .low = low, .high = high, .x = at, .dy = dy, .to = dx};
  sa_parallel(unary_backward_pieces, &c, ceil_div(length, PIECE));
}
