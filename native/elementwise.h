/*
 * Maps over flat buffers, in pieces of PIECE floats: smaller ones are not worth waking a thread for.
 */

enum { PIECE = 1 << 14 };

typedef struct {
  long length;
  int flag;
  int low, high;
  float alpha;
  const float *a, *b;
  float *to;
} stream;

#define EACH_VECTOR(c, first, last, i, lanes)                                                                        \
  for (long i = (first) * PIECE, end_ = min_long((last) * PIECE, (c)->length), lanes = min_long(WIDTH, end_ - i); i < end_; \
       i += WIDTH, lanes = min_long(WIDTH, end_ - i))

static void run_stream(sa_tiles run, stream *c) { sa_parallel(run, c, ceil_div(c->length, PIECE)); }

static void relu_pieces(void *context, long first, long last) {
  const stream *c = context;
  EACH_VECTOR(c, first, last, i, lanes) v_store_up_to(c->to + i, v_relu(v_load_up_to(c->a + i, lanes)), lanes);
}

static void relu(long length, const float *x, float *y) {
  run_stream(relu_pieces, &(stream){.length = length, .a = x, .to = y});
}

static void relu_gradient_pieces(void *context, long first, long last) {
  const stream *c = context;
  EACH_VECTOR(c, first, last, i, lanes)
  v_store_up_to(c->to + i, v_where_positive(v_load_up_to(c->a + i, lanes), v_load_up_to(c->b + i, lanes)), lanes);
}

static void relu_gradient(long length, const float *y, const float *dy, float *dx) {
  run_stream(relu_gradient_pieces, &(stream){.length = length, .a = y, .b = dy, .to = dx});
}

static void add_pieces(void *context, long first, long last) {
  const stream *c = context;
  EACH_VECTOR(c, first, last, i, lanes) {
    const V sum = v_load_up_to(c->a + i, lanes) + v_load_up_to(c->b + i, lanes);
    v_store_up_to(c->to + i, c->flag ? v_relu(sum) : sum, lanes);
  }
}

static void add(long length, int relu, const float *a, const float *b, float *y) {
  run_stream(add_pieces, &(stream){.length = length, .flag = relu, .a = a, .b = b, .to = y});
}

static void axpy_pieces(void *context, long first, long last) {
  const stream *c = context;
  const V alpha = v_set(c->alpha);
  EACH_VECTOR(c, first, last, i, lanes)
  v_store_up_to(c->to + i, v_fma(alpha, v_load_up_to(c->a + i, lanes), v_load_up_to(c->to + i, lanes)), lanes);
}

static void axpy(long length, float alpha, const float *x, float *y) {
  run_stream(axpy_pieces, &(stream){.length = length, .alpha = alpha, .a = x, .to = y});
}

/* log2 rounds at the geometric middle of two powers, sqrt(2) 2^k, which no float hits: the largest mantissa below
 * sqrt(2) is 0x3504f3. Everything is done on the bits. */
INLINE I choose(I mask, I yes, I no) { return (mask & yes) | (~mask & no); }

static void power_pieces(void *context, long first, long last) {
  const stream *c = context;
  const int low = c->low, high = c->high;
  EACH_VECTOR(c, first, last, i, lanes) {
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
}

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
