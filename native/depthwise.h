/*
 * Depth-wise convolutions (groups = channels in and out): one weight per tap and channel, vectors over channels.
 * These read two numbers per operation, so they are bound by loads; the plain form is enough. Tiles are rows.
 */

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
