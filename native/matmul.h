/*
 * Matrix products C = A B (+ C), either factor transposed, for a batch of them.
 *
 * The classical blocking (Goto and van de Geijn, ACM TOMS 34, 2008): B lies packed in strips of two vectors of columns,
 * of which a block of steps stays in the first-level cache while the row tiles of a block of A, packed in the
 * second-level cache by the task that needs it, pass under it.
 *
 * What is met a few times only is not prepared: A is read in place when a task has few strips, B when there is one tile of
 * rows, and with few blocks of rows each task packs the strips of B for itself. When the sum is much longer than the
 * matrix is wide, it is cut as well, into partial results that are added in order. All of this depends on the shape
 * alone, never on the number of threads.
 */

#if WIDTH == 16
enum { BLOCK_TILES = 5 };
#elif WIDTH == 8
enum { BLOCK_TILES = 10 };
#else
enum { BLOCK_TILES = 12 };
#endif
enum {
  BLOCK_DEPTH = 256, /* steps of a block */
  BLOCK_STRIPS = 16, /* strips of a task */
  FEW_STRIPS = 3, /* up to here A is read in place */
  FEW_TASKS = 24,
  FEW_ROW_BLOCKS = 4, /* up to here tasks pack B themselves */
  SHALLOW = 64, /* steps up to which A is read in place whatever the strips */
  LEAST_WORK = 1 << 19, /* multiplications that are worth a task of their own */
  LEAST_DEPTH = 512, /* steps that are worth a partial result */
  PARTIAL_FLOATS = 1 << 22,
  PACKED_FLOATS = 1 << 22 /* of B in the work space, but for a single larger matrix */
};

typedef struct {
  long batch, rows, columns, depth;
  int transpose_a, transpose_b, shared_b, accumulate;
  const float *a, *b;
  float *c;

  int pack_a, direct_b, pack_b;
  long strips, block_strips, strip_blocks;
  long block_rows, row_blocks;
  long block_depth, depth_blocks;
  long part_blocks, parts; /* depth blocks of a partial result */
  long first_item, items; /* of the batch, in this round */
  float *packed; /* [item or 1][strip][depth][PAIR] */
  float *partial; /* [part][item][rows][columns] */
  int failed; /* a thread had no memory for its blocks */
} matmul_plan;

/* Packs steps [first, last) of a strip of B to [step][PAIR]. */
static void pack_strip(const matmul_plan *c, const float *b, long strip, long first, long last, float *to) {
  const long columns = c->columns - strip * PAIR;
  if (!c->transpose_b) {
    copy_strip(b + first * c->columns + strip * PAIR, c->columns, last - first, columns, to);
    return;
  }
  for (long half = 0; half < PAIR; half += WIDTH)
    transpose_strip(b + (strip * PAIR + half) * c->depth + first, c->depth,
                    max_long(0, min_long(WIDTH, columns - half)), last - first, to + half, PAIR);
}

static void pack_strips(void *context, long first, long last) {
  const matmul_plan *c = context;
  for (long i = first; i < last; i++) {
    const long strip = i % c->strips, block = i / c->strips % c->depth_blocks, item = i / c->strips / c->depth_blocks;
    const long k0 = block * c->block_depth, k1 = min_long(c->depth, k0 + c->block_depth);
    pack_strip(c, c->b + (c->first_item + item) * c->depth * c->columns, strip, k0, k1,
               c->packed + ((item * c->strips + strip) * c->depth + k0) * PAIR);
  }
}

/* Packs rows [row, row + rows) of A at steps [first, last) in tiles [tile][step][row]. */
static void pack_rows(const matmul_plan *c, const float *a, long row, long rows, long first, long last, float *to) {
  const long tiles = tiles_of(rows), steps = last - first;
  for (long i = 0; i < tiles; i++) {
    const long r0 = tile_row(rows, tiles, i), tall = tile_row(rows, tiles, i + 1) - r0;
    float *tile = to + r0 * steps;
    if (!c->transpose_a) {
      transpose_strip(a + (row + r0) * c->depth + first, c->depth, tall, steps, tile, tall);
      continue;
    }
    const float *from = a + first * c->rows + row + r0;
    const long adjacent = c->rows - row - r0; /* what follows a tile in its line may be read and written over */
    for (long k = 0; k < steps; k++, from += c->rows, tile += tall) v_store(tile, v_load_up_to(from, adjacent));
  }
}

/* Multiplies rows [row, row + rows) of A by strips [s0, s1), over depth blocks [first, last). `packed` is the packed B of
 * this product, if it has one; `memory` is for blocks that are packed here. */
static void multiply_block(const matmul_plan *c, const float *a, const float *b, const float *packed, float *to,
                           long row, long rows, long s0, long s1, long first, long last, float *memory) {
  float *packed_b = memory, *packed_a = memory + c->block_depth * PAIR;
  const int layout = c->transpose_a ? ROWS_ADJACENT : ROWS_APART;
  const long tiles = tiles_of(rows);
  for (long block = first; block == first || block < last; block++) {
    const long k0 = block * c->block_depth, k1 = min_long(c->depth, k0 + c->block_depth);
    if (c->pack_a) pack_rows(c, a, row, rows, k0, k1, packed_a);
    for (long strip = s0; strip < s1; strip++) {
      product job = {
          .b = packed_b,
          .b_stride = PAIR,
          .c = to + row * c->columns + strip * PAIR,
          .c_stride = c->columns,
          .steps = k1 - k0,
          .lanes = c->columns - strip * PAIR,
          .accumulate = block > first || (c->accumulate && c->parts == 1),
      };
      if (c->direct_b && job.lanes >= PAIR) {
        job.b = b + k0 * c->columns + strip * PAIR;
        job.b_stride = c->columns;
      } else if (packed) {
        job.b = packed + (strip * c->depth + k0) * PAIR;
      } else {
        pack_strip(c, b, strip, k0, k1, packed_b);
      }
      if (!c->pack_a) {
        job.a = c->transpose_a ? a + k0 * c->rows + row : a + row * c->depth + k0;
        job.a_stride = c->transpose_a ? c->rows : c->depth;
        multiply_rows(layout, job, rows);
        continue;
      }
      for (long i = 0; i < tiles; i++) {
        const long r0 = tile_row(rows, tiles, i), tall = tile_row(rows, tiles, i + 1) - r0;
        product tile = job;
        tile.a = packed_a + r0 * job.steps;
        tile.a_stride = tall;
        tile.c += r0 * c->columns;
        multiply_tile(ROWS_ADJACENT, &tile, tall);
      }
    }
  }
}

/* Floats of a packed block of B and one of A; tiles of A are stored in whole vectors. */
static size_t block_floats(const matmul_plan *c) {
  return (size_t)(c->block_depth * (PAIR + (c->pack_a ? c->block_rows : 0)) + WIDTH);
}

static void matmul_tasks(void *context, long first, long last) {
  matmul_plan *c = context;
  float *memory = sa_thread_scratch(block_floats(c) * sizeof(float));
  if (!memory) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  const long product_floats = c->rows * c->columns;
  for (long i = first; i < last; i++) {
    long rest = i;
    const long row = rest % c->row_blocks * c->block_rows;
    rest /= c->row_blocks;
    const long s0 = rest % c->strip_blocks * c->block_strips;
    rest /= c->strip_blocks;
    const long item = rest % c->items, part = rest / c->items;
    const long rows = min_long(c->block_rows, c->rows - row), s1 = min_long(c->strips, s0 + c->block_strips);
    const long block = part * c->part_blocks, end = min_long(c->depth_blocks, block + c->part_blocks);
    const long at = c->first_item + item;
    const float *b = c->shared_b ? c->b : c->b + at * c->depth * c->columns;
    const float *packed = c->packed ? c->packed + (c->shared_b ? 0 : item * c->strips * c->depth * PAIR) : 0;
    float *to = c->parts > 1 ? c->partial + (part * c->batch + at) * product_floats : c->c + at * product_floats;
    multiply_block(c, c->a + at * c->rows * c->depth, b, packed, to, row, rows, s0, s1, block, end,
                   memory);
  }
}

enum { PART_PIECE = 4096 };

static void add_parts(void *context, long first, long last) {
  const matmul_plan *c = context;
  const long floats = c->batch * c->rows * c->columns, end = min_long(last * PART_PIECE, floats);
  for (long i = first * PART_PIECE; i < end; i += WIDTH) {
    const long lanes = end - i;
    V sum = v_load_up_to(c->partial + i, lanes);
    for (long part = 1; part < c->parts; part++) sum += v_load_up_to(c->partial + part * floats + i, lanes);
    if (c->accumulate) sum += v_load_up_to(c->c + i, lanes);
    v_store_up_to(c->c + i, sum, lanes);
  }
}

/* Cuts the work into tasks. */
static void plan_matmul(matmul_plan *c) {
  if (c->batch == 1) c->shared_b = 1;
  if (c->shared_b && !c->transpose_a) {
    c->rows *= c->batch;
    c->batch = 1;
  }
  c->strips = ceil_div(c->columns, PAIR);
  c->depth_blocks = max_long(1, ceil_div(c->depth, BLOCK_DEPTH));
  c->block_depth = ceil_div(c->depth, c->depth_blocks);

  const double work = (double)c->batch * (double)c->rows * (double)c->strips * PAIR * (double)c->depth;
  const double wanted = work / LEAST_WORK < FEW_TASKS ? work / LEAST_WORK : FEW_TASKS;
  const long all_tiles = tiles_of(c->rows);
  long parts = 1, tiles = min_long(BLOCK_TILES, all_tiles);
  if (c->depth / 4 >= c->rows && c->depth / 4 >= c->columns) {
    const double most = PARTIAL_FLOATS / ((double)c->batch * (double)c->rows * (double)c->columns);
    parts = min_long(c->depth / LEAST_DEPTH, (long)(most < wanted ? most : wanted));
  }
  c->part_blocks = ceil_div(c->depth_blocks, max_long(1, parts));
  c->parts = ceil_div(c->depth_blocks, c->part_blocks);
  c->block_strips = min_long(BLOCK_STRIPS, c->strips);
  for (;;) {
    c->row_blocks = ceil_div(all_tiles, tiles);
    c->strip_blocks = ceil_div(c->strips, c->block_strips);
    if ((double)c->parts * (double)c->batch * (double)c->row_blocks * (double)c->strip_blocks >= wanted) break;
    if (tiles == 1 && c->block_strips == 1) break;
    if (tiles * PRODUCT_ROWS > c->block_strips * PAIR || c->block_strips == 1)
      tiles = ceil_div(tiles, 2);
    else
      c->block_strips = ceil_div(c->block_strips, 2);
  }
  c->block_rows = ceil_div(c->rows, c->row_blocks);

  c->direct_b = all_tiles == 1 && !c->transpose_b;
  c->pack_b = !c->direct_b && c->row_blocks > FEW_ROW_BLOCKS && c->depth > 0;
  c->pack_a = !c->direct_b && c->block_strips > FEW_STRIPS && c->depth > SHALLOW;
}

static int matmul(const sa_matmul *g, const float *a, const float *b, float *c) {
  matmul_plan plan = {
      .batch = g->batch, .rows = g->rows, .columns = g->columns, .depth = g->depth,
      .transpose_a = g->transpose_a, .transpose_b = g->transpose_b, .shared_b = g->shared_b,
      .accumulate = g->accumulate, .a = a, .b = b, .c = c,
  };
  if (plan.batch == 0 || plan.rows == 0 || plan.columns == 0) return SA_OK;
  plan_matmul(&plan);
  const long matrix = plan.strips * PAIR * plan.depth;
  const long round = plan.pack_b && !plan.shared_b ? max_long(1, min_long(plan.batch, PACKED_FLOATS / max_long(1, matrix))) : plan.batch;
  if (plan.pack_b) {
    plan.packed = sa_scratch(SA_SLOT_PACKED, (size_t)(plan.shared_b ? 1 : round) * (size_t)matrix * sizeof(float));
    if (!plan.packed) return SA_NO_MEMORY;
  }
  if (plan.parts > 1) {
    const size_t floats = (size_t)plan.parts * (size_t)plan.batch * (size_t)plan.rows * (size_t)plan.columns;
    plan.partial = sa_scratch(SA_SLOT_PARTIAL, floats * sizeof(float));
    if (!plan.partial) return SA_NO_MEMORY;
  }
  for (; plan.first_item < plan.batch; plan.first_item += round) {
    plan.items = min_long(round, plan.batch - plan.first_item);
    if (plan.pack_b) sa_parallel(pack_strips, &plan, (plan.shared_b ? 1 : plan.items) * plan.strips * plan.depth_blocks);
    sa_parallel(matmul_tasks, &plan, plan.parts * plan.items * plan.row_blocks * plan.strip_blocks);
  }
  if (plan.parts > 1) sa_parallel(add_parts, &plan, ceil_div(plan.batch * plan.rows * plan.columns, PART_PIECE));
  return plan.failed ? SA_NO_MEMORY : SA_OK;
}
