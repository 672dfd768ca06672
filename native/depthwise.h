/*
 * Depth-wise convolutions (groups = channels in and out): one weight per tap and channel, vectors over channels.
 * These read two numbers per operation, so they are bound by loads; the plain form is enough. Tiles are rows.
 */

typedef struct {
  int step;
  const sa_geometry *g;
  const float *x, *w, *dy;
  float *to;
} depthwise;

static void depthwise_forward_rows(void *context, long first, long last) {
  const depthwise *c = context;
  const sa_geometry *g = c->g;
  const long channels = g->out_channels, kernel_width = g->kernel_width;
  const V one = v_opaque(v_set(1.0f));
  for (long row = first; row < last; row++) {
    const long n = row / g->out_height, h = row % g->out_height * g->stride - g->pad_top;
    long u0, u1;
    tap_range(h, g->kernel_height, g->in_height, &u0, &u1);
    for (long ow = 0; ow < g->out_width; ow++) {
      const long w = ow * g->stride - g->pad_left;
      long v0, v1;
      tap_range(w, kernel_width, g->in_width, &v0, &v1);
      const float *x = c->x + ((n * g->in_height + h) * g->in_width + w) * channels;
      float *y = c->to + (row * g->out_width + ow) * channels;
      for (long i = 0; i < channels; i += WIDTH) {
        const long lanes = channels - i;
        V acc = v_zero();
        for (long u = 0; u < g->kernel_height; u++) {
          for (long v = 0; v < kernel_width; v++) {
            const V weight = v_load_up_to(c->w + (u * kernel_width + v) * channels + i, lanes);
            const int inside = u >= u0 && u < u1 && v >= v0 && v < v1;
            const V value = inside ? v_load_up_to(x + (u * g->in_width + v) * channels + i, lanes) : v_zero();
            acc = c->step == STEP_MULTIPLY ? v_fma(value, weight, acc) : v_add_abs(value - weight, one, acc);
          }
        }
        v_store_up_to(y + i, c->step == STEP_MULTIPLY ? acc : -acc, lanes);
      }
    }
  }
}

static int depthwise_forward(int step, const sa_geometry *g, const float *x, const float *w, float *y) {
  depthwise c = {.step = step, .g = g, .x = x, .w = w, .to = y};
  sa_parallel(depthwise_forward_rows, &c, (long)g->batch * g->out_height);
  return SA_OK;
}

static void depthwise_input_rows(void *context, long first, long last) {
  const depthwise *c = context;
  const sa_geometry *g = c->g;
  const long channels = g->in_channels, stride = g->stride;
  const V one = v_opaque(v_set(1.0f));
  for (long row = first; row < last; row++) {
    const long n = row / g->in_height, ih = row % g->in_height;
    for (long iw = 0; iw < g->in_width; iw++) {
      const long at = (row * g->in_width + iw) * channels;
      for (long i = 0; i < channels; i += WIDTH) {
        const long lanes = channels - i;
        const V x = c->step == STEP_CLAMP ? v_load_up_to(c->x + at + i, lanes) : v_zero();
        V acc = v_zero();
        for (long u = (ih + g->pad_top) % stride; u < g->kernel_height; u += stride) {
          const long oh = (ih + g->pad_top - u) / stride;
          if (ih + g->pad_top < u || oh >= g->out_height) continue;
          for (long v = (iw + g->pad_left) % stride; v < g->kernel_width; v += stride) {
            const long ow = (iw + g->pad_left - v) / stride;
            if (iw + g->pad_left < v || ow >= g->out_width) continue;
            const V weight = v_load_up_to(c->w + (u * g->kernel_width + v) * channels + i, lanes);
            const V dy =
                v_load_up_to(c->dy + ((n * g->out_height + oh) * g->out_width + ow) * channels + i, lanes);
            if (c->step == STEP_MULTIPLY) {
              acc = v_fma(dy, weight, acc);
            } else {
              const V d = weight - x;
              acc = v_fma(dy, v_keep_nan(v_clamp(d, one), d), acc);
            }
          }
        }
        v_store_up_to(c->to + at + i, acc, lanes);
      }
    }
  }
}

static int depthwise_input_gradient(int step, const sa_geometry *g, const float *x, const float *w, const float *dy,
                                    float *dx) {
  depthwise c = {.step = step, .g = g, .x = x, .w = w, .dy = dy, .to = dx};
  sa_parallel(depthwise_input_rows, &c, (long)g->batch * g->in_height);
  return SA_OK;
}

/* Adds one tap's gradient over `images` images from `image` to to[tap][channel]. */
static void depthwise_weight_gradient(const sa_geometry *g, const float *x, const float *dy, long image, long images,
                                      long tap, float *to) {
  const long channels = g->in_channels, u = tap / g->kernel_width, v = tap % g->kernel_width;
  long h0, h1, w0, w1;
  valid_range(u, g->stride, g->pad_top, g->in_height, g->out_height, &h0, &h1);
  valid_range(v, g->stride, g->pad_left, g->in_width, g->out_width, &w0, &w1);
  for (long i = 0; i < channels; i += WIDTH) {
    const long lanes = channels - i;
    V acc = v_load_up_to(to + tap * channels + i, lanes);
    for (long n = image; n < image + images; n++) {
      for (long h = h0; h < h1; h++) {
        const float *from = x + ((n * g->in_height + h * g->stride - g->pad_top + u) * g->in_width +
                                 w0 * g->stride - g->pad_left + v) * channels + i;
        const float *by = dy + ((n * g->out_height + h) * g->out_width + w0) * channels + i;
        for (long w = w0; w < w1; w++, from += g->stride * channels, by += channels)
          acc = v_fma(v_load_up_to(from, lanes), v_load_up_to(by, lanes), acc);
      }
    }
    v_store_up_to(to + tap * channels + i, acc, lanes);
  }
}
