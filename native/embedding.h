/*
 * Rows of a table by their indices, and the gradient of the table: for each row the sum of the slopes of its uses, in the
 * order of the uses, whatever the threads. The uses are sorted by row first, so that rows are written once each.
 */

enum { USES_BLOCK = 64 };

typedef struct {
  long count, rows, width, tile_rows;
  const int32_t *indices;
  const float *from;
  float *to;
  int32_t *start, *use; /* [rows + 1], where the uses of each row begin in [count] */
} table_rows;

static long rows_for(long width) { return max_long(1, PIECE / max_long(1, width)); }

static void embedding_tiles(void *context, long first, long last) {
  const table_rows *c = context;
  const size_t bytes = (size_t)c->width * sizeof(float);
  const long end = min_long(last * c->tile_rows, c->count);
  for (long i = first * c->tile_rows; i < end; i++)
    memcpy(c->to + i * c->width, c->from + c->indices[i] * c->width, bytes);
}

static void embedding(long count, long rows, long width, const float *table, const int32_t *indices, float *y) {
  table_rows c = {.count = count, .rows = rows, .width = width, .tile_rows = rows_for(width)};
  c.indices = indices;
  c.from = table;
  c.to = y;
  sa_parallel(embedding_tiles, &c, ceil_div(count, c.tile_rows));
}

static void embedding_gradient_tiles(void *context, long first, long last) {
  const table_rows *c = context;
  const long end = min_long(last * c->tile_rows, c->rows);
  for (long row = first * c->tile_rows; row < end; row++) {
    float *to = c->to + row * c->width;
    for (long j = 0; j < c->width; j += WIDTH) {
      const long lanes = c->width - j;
      V total = v_zero();
      for (long i = c->start[row]; i < c->start[row + 1];) { /* in blocks, for the digits of long sums */
        V sum = v_zero();
        for (const long some = min_long(i + USES_BLOCK, c->start[row + 1]); i < some; i++)
          sum += v_load_up_to(c->from + (long)c->use[i] * c->width + j, lanes);
        total += sum;
      }
      v_store_up_to(to + j, total, lanes);
    }
  }
}

static int embedding_gradient(long count, long rows, long width, const int32_t *indices, const float *dy,
                              float *dtable) {
  table_rows c = {.count = count, .rows = rows, .width = width, .tile_rows = rows_for(width)};
  c.from = dy;
  c.to = dtable;
  c.start = sa_scratch(SA_SLOT_ITEMS, (size_t)(rows + 1 + count) * sizeof(int32_t));
  if (!c.start) return SA_NO_MEMORY;
  c.use = c.start + rows + 1;
  memset(c.start, 0, (size_t)(rows + 1) * sizeof(int32_t));
  for (long i = 0; i < count; i++) c.start[indices[i] + 1]++;
  for (long row = 0; row < rows; row++) c.start[row + 1] += c.start[row];
  /* Filling moves each start to that of the next row; afterwards they move back. */
  for (long i = 0; i < count; i++) c.use[c.start[indices[i]]++] = (int32_t)i;
  for (long row = rows; row > 0; row--) c.start[row] = c.start[row - 1];
  c.start[0] = 0;
  sa_parallel(embedding_gradient_tiles, &c, ceil_div(rows, c.tile_rows));
  return SA_OK;
}
