/*
 * The gradient of attention. With weights P = exp(S - log sums) recomputed block by block, S = scale Q K':
 *
 *   dV = P' dY,  dP = dY V',  dS = scale P (dP - delta),  delta[i] = sum_c dy[i,c] y[i,c],  dQ = dS K,  dK = dS' Q.
 *
 * (That delta equals the sum over keys of P dP: Dao et al., NeurIPS 2022.) A task owns the keys of one head, or a part of
 * them where heads are few, and walks over all queries in order; so dK and dV have one writer each. dQ has one too, or
 * with parts of keys as many copies, added in order.
 */

enum { FEW_HEADS = 24, MAX_KEY_PARTS = 8, QUERY_COPIES = 1 << 24 /* floats of the copies of dQ */ };

typedef struct {
  attention forward; /* y and log_sums are read here */
  const float *dy;
  float *dq, *dk, *dv;
  long parts, part_keys;
  float *partial; /* [part] dq; dq itself when there is one part */
  int failed;
} attention_gradient;

/* What a task works in, for one block of queries; PAIR queries wide but for the last two, which are PAIR channels wide. */
typedef struct {
  float *weights, *slopes; /* [KEY_BLOCK]: P and dS */
  float *queries, *dy; /* [channel]: scaled Q and dY transposed */
  float *dq; /* [channel] */
  float *query_strips, *dy_strips; /* [strip][query]: Q and dY */
} gradient_memory;

static gradient_memory gradient_memory_at(const sa_attention *g, float *memory, size_t *floats) {
  const long strips = ceil_div(g->channels, PAIR), value_strips = ceil_div(g->value_channels, PAIR);
  gradient_memory m;
  m.weights = memory;
  m.slopes = m.weights + KEY_BLOCK * PAIR;
  m.queries = m.slopes + KEY_BLOCK * PAIR;
  m.dy = m.queries + (long)g->channels * PAIR;
  m.dq = m.dy + (long)g->value_channels * PAIR;
  m.query_strips = m.dq + (long)g->channels * PAIR;
  m.dy_strips = m.query_strips + strips * PAIR * PAIR;
  *floats = (size_t)(m.dy_strips + value_strips * PAIR * PAIR - memory);
  return m;
}

/* sum over channels of a * b for up to WIDTH rows. */
static V row_products(const float *a, const float *b, long row, long rows, long channels) {
  V r[WIDTH], sum = v_zero();
  for (int i = 0; i < WIDTH; i++) {
    r[i] = v_zero();
    if (i >= rows) continue;
    for (long c = 0; c < channels; c += WIDTH)
      r[i] = v_fma(v_load_up_to(a + i * row + c, channels - c), v_load_up_to(b + i * row + c, channels - c), r[i]);
  }
  v_transpose(r);
  UNROLL
  for (int i = 0; i < WIDTH; i++) sum += r[i];
  return sum;
}

/* to[key][channel] (+)= sum over queries of weights[key][query] * strips[query][channel]. */
static void add_key_gradients(const float *weights, long keys, const float *strips, long queries, long channels,
                              int adds, float *to, long row) {
  for (long c = 0; c < channels; c += PAIR, strips += PAIR * PAIR) {
    const product job = {.a = weights, .a_stride = PAIR, .b = strips, .b_stride = PAIR, .c = to + c, .c_stride = row,
                         .steps = queries, .lanes = channels - c, .accumulate = adds};
    multiply_rows(ROWS_APART, job, keys);
  }
}

static void clear_tokens(float *to, long row, long tokens, long channels) {
  for (long j = 0; j < tokens; j++) memset(to + j * row, 0, (size_t)channels * sizeof(float));
}

/* Turns scores and products of a few keys into weights and slopes of scores. */
INLINE void slope_scores(const gradient_memory *m, long key, const int ROWS, const int NV, const V *log_sum,
                         const V *delta, V scale) {
  V x[4];
  UNROLL
  for (int i = 0; i < ROWS * NV; i++) x[i] = v_load(m->weights + (key + i / NV) * PAIR + i % NV * WIDTH) - log_sum[i % NV];
  v_exp2_each(x, ROWS * NV);
  UNROLL
  for (int i = 0; i < ROWS * NV; i++) {
    float *slope = m->slopes + (key + i / NV) * PAIR + i % NV * WIDTH;
    v_store(m->weights + (key + i / NV) * PAIR + i % NV * WIDTH, x[i]);
    v_store(slope, x[i] * scale * (v_load(slope) - delta[i % NV]));
  }
}

/* One block of queries against keys [first, last) of a head. */
static void block_gradient(const attention_gradient *c, const attention_head *h, long query, long first, long last,
                           const float *y, const float *dy, const float *log_sums, float *dq, float *dk, float *dv,
                           const gradient_memory *m) {
  const sa_attention *g = c->forward.g;
  const long queries = min_long(PAIR, g->queries - query), lanes = queries > WIDTH ? PAIR : WIDTH;
  const long vectors = lanes / WIDTH;
  const float *q = h->q + query * h->row;
  const V scale = v_set(g->scale);
  V delta[2], log_sum[2];
  for (long v = 0; v < vectors; v++) {
    const long at = v * WIDTH, left = queries - at;
    log_sum[v] = v_set(LOG2_E) * v_load_up_to(log_sums + at, left);
    delta[v] = row_products(y + at * h->values_row, dy + at * h->values_row, h->values_row, min_long(WIDTH, left),
                            g->value_channels);
  }
  transpose_queries(q, h->row, queries, g->channels, g->scale * LOG2_E, m->queries);
  transpose_queries(dy, h->values_row, queries, g->value_channels, 1, m->dy);
  for (long i = 0; i < g->channels; i += PAIR) copy_strip(q + i, h->row, queries, g->channels - i, m->query_strips + i * PAIR);
  for (long i = 0; i < g->value_channels; i += PAIR)
    copy_strip(dy + i, h->values_row, queries, g->value_channels - i, m->dy_strips + i * PAIR);

  const long visible = min_long(last, visible_keys(g, h, query + queries));
  for (long j = first; j == first || j < visible; j += KEY_BLOCK) {
    const long keys = max_long(0, min_long(KEY_BLOCK, visible - j));
    const float *k = h->k + j * h->row, *value = h->v + j * h->values_row;
    key_products(k, h->row, keys, m->queries, g->channels, lanes, m->weights);
    key_products(value, h->values_row, keys, m->dy, g->value_channels, lanes, m->slopes);
    if (g->causal) hide_later_keys(g, query, j, keys, m->weights);
    long i = 0;
    if (lanes == PAIR) {
      for (; i + 2 <= keys; i += 2) slope_scores(m, i, 2, 2, log_sum, delta, scale);
      if (i < keys) slope_scores(m, i, 1, 2, log_sum, delta, scale);
    } else {
      for (; i < keys; i++) slope_scores(m, i, 1, 1, log_sum, delta, scale);
    }
    if (j == first) {
      prefetch_tokens(q, h->row, PAIR, PAIR, g->channels, 0);
      prefetch_tokens(y, h->values_row, PAIR, PAIR, g->value_channels, 0);
      prefetch_tokens(dy, h->values_row, PAIR, PAIR, g->value_channels, 0);
      prefetch_tokens(dq, h->row, 0, queries, g->channels, 1);
    }
    const int adds = g->causal || query > 0;
    add_key_gradients(m->weights, keys, m->dy_strips, queries, g->value_channels, adds, dv + j * h->values_row,
                      h->values_row);
    add_key_gradients(m->slopes, keys, m->query_strips, queries, g->channels, adds, dk + j * h->row, h->row);
    channel_products(k, h->row, keys, m->slopes, g->channels, lanes, j > first, m->dq);
  }
  const V ones[2] = {v_set(1), v_set(1)};
  return_queries(m->dq, ones, queries, g->channels, dq, h->row);
}

static void attention_gradient_tasks(void *context, long first, long last) {
  attention_gradient *c = context;
  const sa_attention *g = c->forward.g;
  size_t floats;
  gradient_memory_at(g, NULL, &floats);
  float *memory = sa_thread_scratch(floats * sizeof(float));
  if (!memory) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  const gradient_memory m = gradient_memory_at(g, memory, &floats);
  const long query_floats = (long)g->batch * g->queries * c->forward.keys_row;
  for (long task = first; task < last; task++) {
    const long index = task / c->parts, part = task % c->parts;
    const attention_head h = head_at(&c->forward, index);
    const long key = part * c->part_keys, end = min_long(g->keys, key + c->part_keys);
    const long counted = g->causal || g->queries == 0 ? key : min_long(end, max_long(key, h.keys));
    float *dk = c->dk + (h.k - c->forward.k), *dv = c->dv + (h.v - c->forward.v);
    /* keys that the first queries do not see; the others they write */
    clear_tokens(dk + counted * h.row, h.row, end - counted, g->channels);
    clear_tokens(dv + counted * h.values_row, h.values_row, end - counted, g->value_channels);
    const long item = index / g->heads, head = index % g->heads;
    for (long query = 0; query < g->queries; query += PAIR) {
      const long at = (item * g->queries + query) * h.values_row + head * g->value_channels;
      float *dq = c->partial + part * query_floats + (h.q - c->forward.q) + query * h.row;
      block_gradient(c, &h, query, key, end, c->forward.y + at, c->dy + at,
                     c->forward.log_sums + index * g->queries + query, dq, dk, dv, &m);
    }
  }
}

enum { QUERY_PIECE = 4096 };

static void add_query_parts(void *context, long first, long last) {
  const attention_gradient *c = context;
  const sa_attention *g = c->forward.g;
  const long floats = (long)g->batch * g->queries * c->forward.keys_row, end = min_long(last * QUERY_PIECE, floats);
  for (long i = first * QUERY_PIECE; i < end; i += WIDTH) {
    V sum = v_load_up_to(c->partial + i, end - i);
    for (long part = 1; part < c->parts; part++) sum += v_load_up_to(c->partial + part * floats + i, end - i);
    v_store_up_to(c->dq + i, sum, end - i);
  }
}

static int attention_backward(const sa_attention *g, const float *q, const float *k, const float *v, const float *y,
                              const float *log_sums, const float *dy, float *dq, float *dk, float *dv) {
  if (!is_attention_countable(g)) return SA_NO_MEMORY;
  attention_gradient c = {.forward = attention_over(g, q, k, v), .dy = dy, .dq = dq, .dk = dk, .dv = dv};
  c.forward.y = (float *)y;
  c.forward.log_sums = (float *)log_sums;
  const long heads = (long)g->batch * g->heads, query_floats = (long)g->batch * g->queries * c.forward.keys_row;
  if (heads == 0) return SA_OK;
  const long blocks = max_long(1, ceil_div(g->keys, KEY_BLOCK));
  c.parts = min_long(min_long(blocks, MAX_KEY_PARTS), min_long(FEW_HEADS / heads, QUERY_COPIES / max_long(1, query_floats)));
  c.parts = max_long(1, c.parts);
  c.part_keys = ceil_div(blocks, c.parts) * KEY_BLOCK;
  c.parts = ceil_div(blocks, c.part_keys / KEY_BLOCK);
  c.partial = dq;
  if (c.parts > 1) {
    c.partial = sa_scratch(SA_SLOT_PARTIAL, (size_t)c.parts * (size_t)query_floats * sizeof(float));
    if (!c.partial) return SA_NO_MEMORY;
  }
  sa_parallel(attention_gradient_tasks, &c, heads * c.parts);
  if (c.parts > 1) sa_parallel(add_query_parts, &c, ceil_div(query_floats, QUERY_PIECE));
  return c.failed ? SA_NO_MEMORY : SA_OK;
}
