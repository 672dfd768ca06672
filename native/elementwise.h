/*
 * Maps over flat buffers, in pieces of PIECE floats: smaller ones are not worth waking a thread for.
 */

enum { PIECE = 1 << 14 };

typedef struct {
  long length;
  int low, high;
  float alpha;
  const float *a, *b;
  float *to;
} stream;

/* Calls map(c, i, lanes) for the vectors of pieces [first, last): whole ones, `lanes` being a constant, then the rest. */
#define EACH_VECTOR(c, first, last, map)                                            \
  do {                                                                              \
    const long end_ = min_long((last) * PIECE, (c)->length);                        \
    long i_ = (first) * PIECE;                                                      \
    for (; i_ + WIDTH <= end_; i_ += WIDTH) map(c, i_, WIDTH);                      \
    if (i_ < end_) map(c, i_, end_ - i_);                                           \
  } while (0)

static void run_stream(sa_tiles run, stream *c) { sa_parallel(run, c, ceil_div(c->length, PIECE)); }

/* What is constant lives in a copy of the stream that no store can reach, so that it stays in registers. */
#define STREAM_PIECES(name, map)                                  \
  static void name(void *context, long first, long last) {        \
    const stream c = *(const stream *)context;                    \
    EACH_VECTOR(&c, first, last, map);                            \
  }

INLINE void relu_vector(const stream *c, long i, long lanes) {
  v_store_up_to(c->to + i, v_relu(v_load_up_to(c->a + i, lanes)), lanes);
}
STREAM_PIECES(relu_pieces, relu_vector)

static void relu(long length, const float *x, float *y) {
  run_stream(relu_pieces, &(stream){.length = length, .a = x, .to = y});
}

INLINE void relu_gradient_vector(const stream *c, long i, long lanes) {
  v_store_up_to(c->to + i, v_where_positive(v_load_up_to(c->a + i, lanes), v_load_up_to(c->b + i, lanes)), lanes);
}
STREAM_PIECES(relu_gradient_pieces, relu_gradient_vector)

static void relu_gradient(long length, const float *y, const float *dy, float *dx) {
  run_stream(relu_gradient_pieces, &(stream){.length = length, .a = y, .b = dy, .to = dx});
}

INLINE V sum_vector(const stream *c, long i, long lanes) {
  return v_load_up_to(c->a + i, lanes) + v_load_up_to(c->b + i, lanes);
}
INLINE void add_vector(const stream *c, long i, long lanes) { v_store_up_to(c->to + i, sum_vector(c, i, lanes), lanes); }
INLINE void add_relu_vector(const stream *c, long i, long lanes) {
  v_store_up_to(c->to + i, v_relu(sum_vector(c, i, lanes)), lanes);
}
STREAM_PIECES(add_pieces, add_vector)
STREAM_PIECES(add_relu_pieces, add_relu_vector)

static void add(long length, int relu, const float *a, const float *b, float *y) {
  run_stream(relu ? add_relu_pieces : add_pieces, &(stream){.length = length, .a = a, .b = b, .to = y});
}

INLINE void axpy_vector(const stream *c, long i, long lanes) {
  const V sum = v_fma(v_set(c->alpha), v_load_up_to(c->a + i, lanes), v_load_up_to(c->to + i, lanes));
  v_store_up_to(c->to + i, sum, lanes);
}
STREAM_PIECES(axpy_pieces, axpy_vector)

static void axpy(long length, float alpha, const float *x, float *y) {
  run_stream(axpy_pieces, &(stream){.length = length, .alpha = alpha, .a = x, .to = y});
}

/* log2 rounds at the geometric middle of two powers, sqrt(2) 2^k, which no float hits: the largest mantissa below
 * sqrt(2) is 0x3504f3. Everything is done on the bits. */
INLINE I choose(I mask, I yes, I no) { return (mask & yes) | (~mask & no); }

INLINE void power_vector(const stream *c, long i, long lanes) {
  const int low = c->low, high = c->high;
  const I bits = (I)v_load_up_to(c->a + i, lanes), magnitude = bits & 0x7fffffff;
  I exponent = (magnitude >> 23) - 127 - ((magnitude & 0x7fffff) > 0x3504f3); /* a true comparison is -1 */
  exponent = choose((exponent < low) | (magnitude < 0x800000), (I){0} + low, exponent);
  exponent = choose(exponent > high, (I){0} + high, exponent);
  I power = (exponent + 127) << 23;
  if (low < -126) { /* powers below the normal range */
    const I shift = choose(exponent < -149, (I){0}, exponent + 149);
    const I tiny = choose(exponent < -149, (I){0}, ((I){0} + 1) << (shift & 31));
    power = choose(exponent < -126, tiny, power);
  }
  power = choose(magnitude > 0x7f800000, magnitude, power);
  power = choose(magnitude == 0, magnitude, power);
  v_store_up_to(c->to + i, (V)(power | (bits & (I)v_set(-0.0f))), lanes);
}
STREAM_PIECES(power_pieces, power_vector)

static void power_of_two(long length, int min_exponent, int max_exponent, const float *w, float *q) {
  run_stream(power_pieces, &(stream){.length = length,
                                     .low = min_exponent,
                                     .high = max_exponent > 127 ? 127 : max_exponent,
                                     .a = w,
                                     .to = q});
}

/* Pooling: tiles are images. */
typedef struct {
  long positions, channels;
  const float *from;
  float *to;
} pooling;

static void pool_images(void *context, long first, long last) {
  const pooling *c = context;
  const V inverse = v_set((float)(1.0 / (double)c->positions));
  for (long n = first; n < last; n++) {
    for (long i = 0; i < c->channels; i += WIDTH) {
      const long lanes = c->channels - i;
      const float *from = c->from + n * c->positions * c->channels + i;
      V even = v_zero(), odd = v_zero();
      long p = 0;
      for (; p + 2 <= c->positions; p += 2, from += 2 * c->channels) {
        even += v_load_up_to(from, lanes);
        odd += v_load_up_to(from + c->channels, lanes);
      }
      if (p < c->positions) even += v_load_up_to(from, lanes);
      v_store_up_to(c->to + n * c->channels + i, (even + odd) * inverse, lanes);
    }
  }
}

static void global_average_pool(long batch, long positions, long channels, const float *x, float *y) {
  pooling c = {.positions = positions, .channels = channels, .from = x, .to = y};
  sa_parallel(pool_images, &c, batch);
}

static void unpool_images(void *context, long first, long last) {
  const pooling *c = context;
  const V inverse = v_set((float)(1.0 / (double)c->positions));
  for (long n = first; n < last; n++) {
    for (long i = 0; i < c->channels; i += WIDTH) {
      const long lanes = c->channels - i;
      const V dy = inverse * v_load_up_to(c->from + n * c->channels + i, lanes);
      float *to = c->to + n * c->positions * c->channels + i;
      for (long p = 0; p < c->positions; p++, to += c->channels) v_store_up_to(to, dy, lanes);
    }
  }
}

static void global_average_pool_gradient(long batch, long positions, long channels, const float *dy, float *dx) {
  pooling c = {.positions = positions, .channels = channels, .from = dy, .to = dx};
  sa_parallel(unpool_images, &c, batch);
}
