/*
 * Weight gradients of layers that go lane by lane: depth-wise ones, and groups of two or four channels. As many taps as
 * registers hold take their sums while the pixels of a band (bands.h) go by: dy is read once for all of them.
 */

typedef struct {
  long rows, columns;
  const float *const *sources; /* [rows], see band_memory */
  long x_column;
  const float *dy; /* [rows][columns][dy_column] */
  long dy_column;
  const long *segment; /* of the first tap */
  float *to;           /* [taps * group][dy_column] */
  long channel, lanes;
  fetch ahead_x, ahead_dy; /* of the next band */
} lanes_job;

INLINE void lanes_gradient_body(const int taps, const int group, lanes_job *job) {
  V acc[9];
  const float *from[9];
  const long lanes = job->lanes;
  UNROLL
  for (int i = 0; i < taps * group; i++) acc[i] = v_load_up_to(job->to + i * job->dy_column, lanes);
  for (long r = 0; r < job->rows; r++) {
    const float *dy = job->dy + r * job->columns * job->dy_column;
    fetch_share(&job->ahead_x);
    fetch_share(&job->ahead_dy);
    UNROLL
    for (int t = 0; t < taps; t++) from[t] = job->sources[r] + job->segment[t] + job->channel;
    for (long w = 0, at = 0; w < job->columns; w++, at += job->x_column, dy += job->dy_column) {
      const V gradient = v_load_up_to(dy, lanes);
      UNROLL
      for (int t = 0; t < taps; t++) {
        const V x = v_load(from[t] + at);
        UNROLL
        for (int c = 0; c < group; c++)
          acc[t * group + c] = v_fma(v_pick(x, group, c), gradient, acc[t * group + c]);
      }
    }
  }
  UNROLL
  for (int i = 0; i < taps * group; i++) v_store_up_to(job->to + i * job->dy_column, acc[i], lanes);
}

#define LANES_GRADIENT(taps, group) \
  NOINLINE void lanes_gradient_##taps##_##group(lanes_job *job) { lanes_gradient_body(taps, group, job); }
LANES_GRADIENT(9, 1)
LANES_GRADIENT(4, 1)
LANES_GRADIENT(1, 1)
LANES_GRADIENT(3, 2)
LANES_GRADIENT(1, 2)
LANES_GRADIENT(2, 4)
LANES_GRADIENT(1, 4)

typedef struct {
  long taps;
  void (*run)(lanes_job *);
} lanes_kernel;

/* Those of one group size, the last for a single tap. */
static const lanes_kernel lanes_kernels1[] = {{9, lanes_gradient_9_1}, {4, lanes_gradient_4_1}, {1, lanes_gradient_1_1}};
static const lanes_kernel lanes_kernels2[] = {{3, lanes_gradient_3_2}, {1, lanes_gradient_1_2}};
static const lanes_kernel lanes_kernels4[] = {{2, lanes_gradient_2_4}, {1, lanes_gradient_1_4}};

typedef struct {
  const gradient_plan *plan;
  band_plan bands;
  int failed;
} lanes_plan;

/* Adds the gradient of the opened band of rows [first, last). */
static void lanes_band(const lanes_plan *c, long first, long last, const band_memory *m, float *to) {
  const sa_geometry *g = c->bands.g;
  const long channels = g->out_channels, taps = (long)g->kernel_height * g->kernel_width, group = c->plan->lane_group;
  lanes_job job = {.rows = last - first, .columns = g->out_width, .sources = m->sources,
                   .x_column = g->stride * channels, .dy_column = channels, .ahead_x = m->ahead};
  const long row = g->out_width * channels, rows = c->bands.all - last;
  const float *next = c->plan->dy + last * row;
  job.ahead_dy = fetch_of(next, next + min_long(job.rows, rows) * row, c->bands.calls);
  for (long channel = 0; channel < channels; channel += WIDTH) {
    const lanes_kernel *kernel = group == 1 ? lanes_kernels1 : group == 2 ? lanes_kernels2 : lanes_kernels4;
    job.channel = channel;
    job.lanes = channels - channel;
    job.dy = c->plan->dy + first * row + channel;
    for (long tap = 0; tap < taps; tap += kernel->taps) {
      while (kernel->taps > taps - tap) kernel++;
      job.segment = m->segment + tap;
      job.to = to + tap * group * channels + channel;
      kernel->run(&job);
    }
  }
}

/* Tasks are chunks. */
static void lanes_chunks(void *context, long first, long last) {
  lanes_plan *c = context;
  const gradient_plan *plan = c->plan;
  const long rows = c->bands.rows, batch = plan->g->batch;
  band_memory m = band_memory_of_thread(&c->bands);
  if (!m.copy) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  list_segments(&c->bands, &c->bands.down.phase[0], &c->bands.across.phase[0], 0, &m);
  for (long chunk = first; chunk < last; chunk++) {
    float *to = plan->partial + chunk * plan->weights;
    memset(to, 0, (size_t)plan->weights * sizeof(float));
    const long end = batch * (chunk + 1) / plan->chunks * rows;
    for (long row = batch * chunk / plan->chunks * rows, next; row < end; row = next) {
      next = min_long(row + c->bands.band, end);
      open_band(&c->bands, row, next, &m);
      lanes_band(c, row, next, &m, to);
    }
  }
}

static int lanes_gradient(gradient_plan *plan) {
  lanes_plan c = {.plan = plan, .bands = {.source = plan->x}};
  if (plan->g->out_height * plan->g->out_width == 0) {
    memset(plan->dw, 0, (size_t)plan->weights * sizeof(float));
    return SA_OK;
  }
  if (!set_axes(&c.bands, plan->g, 0)) return SA_NO_MEMORY;
  choose_band(&c.bands, 1, LANES_COPY, plan->g->in_channels % WIDTH != 0);
  const long taps = (long)plan->g->kernel_height * plan->g->kernel_width;
  c.bands.calls = c.bands.band * ceil_div(plan->g->out_channels, WIDTH) * ceil_div(taps * plan->lane_group, 9);
  sa_parallel(lanes_chunks, &c, plan->chunks);
  return c.failed ? SA_NO_MEMORY : SA_OK;
}
