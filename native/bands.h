/*
 * How the convolution-like ops walk over the pixels of a batch: in bands of some rows of positions, over the ends of
 * images, so that bands of small maps are as large as those of big ones.
 *
 * A band first copies the source rows it sees into memory of its thread, with the padding written out as zeros (nothing
 * is unfolded; without padding even the copy is left out). From there on every pixel finds the source of a tap at the
 * same distance from its own pointer, taps of one kernel row are adjacent, and what is read again and again lies in the
 * cache. While a band is computed, the source rows of the next are fetched.
 *
 * Positions are those of the output; or for an input gradient those of the input, where pixel (ih, iw) reads dy at
 * ((ih + pad - u) / stride, ...) for the taps that divide. For stride s these fall into s x s phases with the same
 * taps each, so that no work is spent on holes. Seen in the order of the source their taps run backwards.
 */

/* Some positions of one axis and their taps: position i of `count` stands at start + i * period and reads the sources
 * i * step + origin .. + taps - 1. */
typedef struct {
  long start, count;
  long origin, taps;
} axis_phase;

typedef struct {
  long period, step, pad;
  int backward;
  long sources, positions; /* extents */
  long phases;
  axis_phase *phase;
  /* over all phases: position i reads sources from i * step + low to i * step + high - 1, together `extent` */
  long low, high, extent;
  int inside; /* all of them exist */
} axis;

typedef struct {
  const sa_geometry *g;
  const float *source;
  long source_channels;
  axis down, across;
  long rows;    /* of positions in one image, over all phases down the image */
  long all;     /* in all images */
  long band;    /* in a band */
  int copied;   /* bands copy their sources */
  long row;     /* floats from one source row to the next */
  size_t floats; /* of the copy */
  long calls;   /* of tile kernels in a band, about */
} band_plan;

/* --- planning --------------------------------------------------------------------------------------------- */

static void set_axis(axis *a, int backward, long stride, long kernel, long pad, long sources, long positions) {
  a->backward = backward;
  a->period = backward ? stride : 1;
  a->step = backward ? 1 : stride;
  a->pad = pad;
  a->sources = sources;
  a->positions = positions;
  a->phases = min_long(a->period, positions);
  a->low = a->high = a->extent = 0;
  a->inside = 1;
  int seen = 0;
  for (long i = 0; i < a->phases; i++) {
    axis_phase *f = &a->phase[i];
    f->start = i;
    f->count = ceil_div(positions - i, a->period);
    const long first = backward ? (i + pad) % stride : 0; /* of the taps that divide */
    f->taps = first < kernel ? (kernel - 1 - first) / a->period + 1 : 0;
    f->origin = backward ? (i + pad) / stride - (f->taps - 1) : -pad;
    if (f->taps == 0) continue;
    a->low = seen ? min_long(a->low, f->origin) : f->origin;
    a->high = seen ? max_long(a->high, f->origin + f->taps) : f->origin + f->taps;
    a->inside &= f->origin >= 0 && (f->count - 1) * a->step + f->origin + f->taps <= sources;
    seen = 1;
  }
  for (long i = 0; i < a->phases; i++) {
    const axis_phase *f = &a->phase[i];
    if (f->taps > 0) a->extent = max_long(a->extent, (f->count - 1) * a->step + f->origin + f->taps - a->low);
  }
}

/* The kernel position of tap t of a phase. */
INLINE long kernel_tap(const axis *a, const axis_phase *f, long t) {
  return a->backward ? (f->start + a->pad) % a->period + (f->taps - 1 - t) * a->period : t;
}

/* Sets the axes of the plan; 0 when there is no memory for them. The sources of a forward op are x, backward dy. */
static int set_axes(band_plan *b, const sa_geometry *g, int backward) {
  const long height = backward ? g->in_height : g->out_height, width = backward ? g->in_width : g->out_width;
  const long period = backward ? g->stride : 1, phases_down = min_long(period, height);
  b->g = g;
  b->source_channels = backward ? g->out_channels : g->in_channels;
  b->down.phase = sa_scratch(SA_SLOT_PHASES, (size_t)(phases_down + min_long(period, width)) * sizeof(axis_phase));
  if (!b->down.phase) return 0;
  b->across.phase = b->down.phase + phases_down;
  set_axis(&b->down, backward, g->stride, g->kernel_height, g->pad_top, backward ? g->out_height : g->in_height, height);
  set_axis(&b->across, backward, g->stride, g->kernel_width, g->pad_left, backward ? g->out_width : g->in_width, width);
  b->rows = b->down.phase[0].count;
  b->all = b->rows * g->batch;
  return 1;
}

/* Floats of a band's copy: the largest that stays in the second-level cache; and how many are wanted, in the first-level
 * cache beside a block of weights, or more where few passes go over them and copying is what costs. */
enum { LARGE_COPY = 1 << 16, SMALL_COPY = 1 << 13, LANES_COPY = 1 << 15, FEW_TILES = 4, MANY_BANDS = 8 };

static long greatest_divisor(long a, long b) { return b == 0 ? a : greatest_divisor(b, a % b); }

/* Chooses the rows of a band for tiles of `tile` pixels: a few tiles, more while the copy is below `wanted` and bands are
 * many, and if possible whole tiles. With `overread`, a vector may be read beyond the last channel. */
static void choose_band(band_plan *b, long tile, long wanted, int overread) {
  b->copied = !b->down.inside || !b->across.inside || overread;
  b->row = (b->copied ? b->across.extent : b->across.sources) * b->source_channels;
  /* source rows that one image of a band needs beyond `step` for each row of positions */
  const long halo = max_long(0, b->down.high - b->down.low - b->down.step), width = b->across.phase[0].count;
  const long few = ceil_div(FEW_TILES * tile, width), exact = tile / greatest_divisor(tile, width);
  const double floats = (double)b->row * (double)(b->rows * b->down.step + halo) / (double)b->rows;
  const long small = (long)((double)wanted / floats), large = max_long(1, (long)(LARGE_COPY / floats));
  const long rows = max_long(few, min_long(small, b->all / MANY_BANDS));
  b->band = min_long(min_long(ceil_div(rows, exact) * exact, large), b->all);
  const long images = min_long(b->g->batch, (b->band + b->rows - 2) / b->rows + 1);
  b->floats = b->copied ? (size_t)((b->band * b->down.step + images * halo) * b->row + WIDTH) : 0;
  b->calls = ceil_div(b->band * width, tile) * b->down.phases * b->across.phases;
}

/* --- a band ----------------------------------------------------------------------------------------------- */

/* What a band needs of its thread's memory. */
typedef struct {
  float *copy;           /* [source rows][row] */
  const float **sources; /* [band]: where the sources of a row of positions begin, at (low, low) */
  const float **source;  /* per pixel of a phase, see tile_job */
  float **destination;
  long *segment;
  fetch ahead; /* sources of the next band */
} band_memory;

/* The list of pixels goes on for the tile after the last. */
static size_t band_pixels(const band_plan *b) { return (size_t)(b->band * b->across.phase[0].count) + 2 * MAX_TILE; }

/* Memory of the calling thread for one band after the other; its `copy` is NULL when there is none. */
static band_memory band_memory_of_thread(const band_plan *b) {
  const size_t floats = (b->floats + 15) / 16 * 16, pointers = (size_t)b->band + 2 * band_pixels(b);
  const size_t taps = (size_t)b->g->kernel_height * (size_t)b->g->kernel_width;
  band_memory m = {0};
  m.copy = sa_thread_scratch(floats * sizeof(float) + pointers * sizeof(void *) + taps * sizeof(long));
  if (!m.copy) return m;
  m.sources = (const float **)(m.copy + floats);
  m.source = m.sources + b->band;
  m.destination = (float **)(m.source + band_pixels(b));
  m.segment = (long *)(m.destination + band_pixels(b));
  return m;
}

/* Source row h of an image as the band sees it, with the padding. */
static void copy_row(const band_plan *b, long image, long h, float *to) {
  const long C = b->source_channels, low = b->across.low, width = b->across.sources, columns = b->across.extent;
  if (h < 0 || h >= b->down.sources) {
    memset(to, 0, (size_t)b->row * sizeof(float));
    return;
  }
  const long left = min_long(columns, max_long(0, -low));
  const long end = max_long(left, min_long(columns, width - low));
  const float *from = b->source + ((image * b->down.sources + h) * width + low + left) * C;
  memset(to, 0, (size_t)(left * C) * sizeof(float));
  memcpy(to + left * C, from, (size_t)((end - left) * C) * sizeof(float));
  memset(to + end * C, 0, (size_t)((columns - end) * C) * sizeof(float));
}

/* Finds, and where needed copies, the sources of rows [first, last) of positions. */
static void open_band(const band_plan *b, long first, long last, band_memory *m) {
  float *to = m->copy;
  for (long row = first, next; row < last; row = next) {
    const long image = row / b->rows, i = row % b->rows;
    next = min_long(last, (image + 1) * b->rows);
    const long top = i * b->down.step + b->down.low;
    const float *base = to;
    if (b->copied) {
      const long bottom = (i + next - row - 1) * b->down.step + b->down.high;
      for (long h = top; h < bottom; h++, to += b->row) copy_row(b, image, h, to);
    } else {
      base = b->source + (image * b->down.sources + top) * b->row + b->across.low * b->source_channels;
    }
    for (long r = row; r < next; r++) m->sources[r - first] = base + (r - row) * b->down.step * b->row;
  }
  /* the rows that the next band reads and this one does not */
  const long all = b->g->batch * b->down.sources, floats = b->across.sources * b->source_channels;
  const long next = last / b->rows * b->down.sources + last % b->rows * b->down.step + b->down.high - b->down.step;
  const long from = max_long(0, min_long(all, next));
  const long end = max_long(0, min_long(all, next + (last - first) * b->down.step));
  m->ahead = fetch_of(b->source + from * floats, b->source + end * floats, b->calls);
}

/* Lists where the taps of a phase lie: `whole_rows` as one segment for each kernel row. */
static long list_segments(const band_plan *b, const axis_phase *down, const axis_phase *across, int whole_rows,
                          const band_memory *m) {
  long segments = 0;
  for (long t = 0; t < down->taps; t++)
    for (long s = 0; s < (whole_rows ? 1 : across->taps); s++)
      m->segment[segments++] = t * b->row + s * b->source_channels;
  return segments;
}
