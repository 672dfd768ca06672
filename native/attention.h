/*
 * Multi-head attention, y = softmax(scale Q K' [causal]) V for each head, without ever holding its square of weights.
 *
 * Everything is kept transposed, a block of queries in the lanes of two vectors: scores [key][query] = K Q', weights
 * from them, outputs [channel][query] = V' weights. So the maxima and sums of the softmax need no sums across lanes,
 * keys and values are read where they are, and only Q is transposed going in and y coming out. Keys pass in blocks
 * with the softmax kept on line (Milakov and Gimelshein 2018; Dao et al., NeurIPS 2022); what is saved for the gradient
 * is the logarithm of each query's sum of exponentials.
 *
 * A causal query sees the keys up to its own position, the last query being level with the last key. Keys after an
 * item's count are padding that nobody sees.
 */

#include <float.h>

#include "functions.h"

enum { KEY_BLOCK = 128 };
#define LOG2_E 1.44269504f
#define LN_2 0.69314718f

typedef struct {
  const sa_attention *g;
  long query_blocks;
  long queries_row, keys_row, values_row, results_row; /* floats between tokens */
  const float *q, *k, *v;
  float *y, *log_sums;
  int failed; /* a thread had no memory */
} attention;

static attention attention_over(const sa_attention *g, const float *q, const float *k, const float *v) {
  return (attention){
      .g = g,
      .query_blocks = ceil_div(g->queries, PAIR),
      .keys_row = (long)g->heads * g->channels,
      .values_row = (long)g->heads * g->value_channels,
      .q = q,
      .k = k,
      .v = v,
  };
}

/* Whether a long of 32 bits can count the memory of a task. */
static int is_attention_countable(const sa_attention *g) {
  const double channels = (double)g->channels + g->value_channels + 2 * KEY_BLOCK + 2 * PAIR;
  return 3 * channels * PAIR < 1 << 29;
}

/* One head of one item: its first floats. */
typedef struct {
  const float *q, *k, *v;
  long row, values_row; /* floats between tokens of q and k, and of v */
  long keys; /* that count */
} attention_head;

static attention_head head_at(const attention *c, long index) {
  const sa_attention *g = c->g;
  const long item = index / g->heads, head = index % g->heads;
  return (attention_head){
      .q = c->q + item * g->queries * c->keys_row + head * g->channels,
      .k = c->k + item * g->keys * c->keys_row + head * g->channels,
      .v = c->v + item * g->keys * c->values_row + head * g->value_channels,
      .row = c->keys_row,
      .values_row = c->values_row,
      .keys = g->key_counts[item],
  };
}

/* to[channel][PAIR] = factor * up to PAIR rows of `from`, zeros after them. */
static void transpose_queries(const float *from, long row, long queries, long channels, float factor, float *to) {
  for (long half = 0; half < PAIR; half += WIDTH)
    transpose_strip(from + half * row, row, max_long(0, min_long(WIDTH, queries - half)), channels, to + half, PAIR);
  if (factor == 1) return;
  const V by = v_set(factor);
  for (long i = 0; i < channels * PAIR; i += WIDTH) v_store(to + i, by * v_load(to + i));
}

/* The reverse, times a factor for each query. */
static void return_queries(const float *from, const V *factor, long queries, long channels, float *to, long row) {
  for (long half = 0; half < queries; half += WIDTH) {
    for (long first = 0; first < channels; first += WIDTH) {
      const long lanes = channels - first;
      V r[WIDTH];
      UNROLL
      for (int i = 0; i < WIDTH; i++) {
        r[i] = v_zero();
        if (i < lanes) r[i] = factor[half / WIDTH] * v_load(from + (first + i) * PAIR + half);
      }
      v_transpose(r);
      const long rows = min_long(WIDTH, queries - half);
      for (long i = 0; i < rows; i++) v_store_up_to(to + (half + i) * row + first, r[i], lanes);
    }
  }
}

/* Keys that some of the queries before `last` see. */
static long visible_keys(const sa_attention *g, const attention_head *h, long last) {
  return g->causal ? min_long(h->keys, max_long(0, last + g->keys - g->queries)) : h->keys;
}

/* c[key][query] = rows of keys (or values) times the transposed queries (or slopes). */
static void key_products(const float *rows, long row, long keys, const float *columns, long channels, long lanes,
                         float *to) {
  const product job = {.a = rows, .a_stride = row, .b = columns, .b_stride = PAIR, .c = to, .c_stride = PAIR,
                       .steps = channels, .lanes = lanes};
  multiply_rows(ROWS_APART, job, keys);
}

/* c[channel][query] (+)= sum over keys of rows[key][channel] * weights[key][query]. */
static void channel_products(const float *rows, long row, long keys, const float *weights, long channels, long lanes,
                             int accumulate, float *to) {
  const product job = {.a = rows, .a_stride = row, .b = weights, .b_stride = PAIR, .c = to, .c_stride = PAIR,
                       .steps = keys, .lanes = lanes, .accumulate = accumulate};
  multiply_rows(ROWS_ADJACENT, job, channels);
}

/* Sets the scores of keys [first, first + keys) that lie after a query to -infinity. */
static void hide_later_keys(const sa_attention *g, long query, long first, long keys, float *scores) {
  const long level = query + g->keys - g->queries; /* the last key that the first query sees */
  for (long j = max_long(0, level + 1 - first); j < keys; j++) {
    for (long half = 0; half < PAIR; half += WIDTH) {
      float *at = scores + j * PAIR + half;
      v_store(at, v_select(v_lanes(first + j - level - half), v_set(-INFINITY), v_load(at)));
    }
  }
}

/* The tokens of a head lie apart, so what is needed soon is fetched by hand; it may lie past the end. */
INLINE void prefetch_tokens(const float *rows, long row, long first, long tokens, long channels, const int write) {
  for (long j = first; j < first + tokens; j++) {
    for (long i = 0; i < channels; i += 16) {
      const void *line = (const void *)((uintptr_t)rows + (uintptr_t)(j * row + i) * sizeof(float));
      if (write)
        __builtin_prefetch(line, 1);
      else
        __builtin_prefetch(line, 0);
    }
  }
}

/* Replaces a block of scores [key][query] by 2^(score - the largest so far), brings the largest and the sums of these powers
 * up to date, and says what earlier powers must be multiplied with. */
INLINE void weigh_scores(float *scores, long keys, const int NV, V *top, V *sum, V *kept) {
  enum { ROWS = 2 };
  V most[ROWS * 2], total[ROWS * 2], x[ROWS * 2];
  UNROLL
  for (int i = 0; i < ROWS * NV; i++) most[i] = top[i % NV], total[i] = v_zero();
  long j = 0;
  for (; j + ROWS <= keys; j += ROWS) {
    UNROLL
    for (int i = 0; i < ROWS * NV; i++) most[i] = v_max(v_load(scores + (j + i / NV) * PAIR + i % NV * WIDTH), most[i]);
  }
  UNROLL
  for (int v = 0; v < NV; v++) {
    if (j < keys) most[v] = v_max(v_load(scores + j * PAIR + v * WIDTH), most[v]);
    most[v] = v_max(most[v + NV], most[v]);
    kept[v] = top[v] - most[v];
    top[v] = most[v];
  }
  for (j = 0; j + ROWS <= keys; j += ROWS) {
    UNROLL
    for (int i = 0; i < ROWS * NV; i++) x[i] = v_load(scores + (j + i / NV) * PAIR + i % NV * WIDTH) - top[i % NV];
    v_exp2_each(x, ROWS * NV);
    UNROLL
    for (int i = 0; i < ROWS * NV; i++) {
      v_store(scores + (j + i / NV) * PAIR + i % NV * WIDTH, x[i]);
      total[i] += x[i];
    }
  }
  if (j < keys) {
    UNROLL
    for (int v = 0; v < NV; v++) x[v] = v_load(scores + j * PAIR + v * WIDTH) - top[v];
    v_exp2_each(x, NV);
    UNROLL
    for (int v = 0; v < NV; v++) {
      v_store(scores + j * PAIR + v * WIDTH, x[v]);
      total[v] += x[v];
    }
  }
  v_exp2_each(kept, NV);
  UNROLL
  for (int v = 0; v < NV; v++) sum[v] = v_fma(sum[v], kept[v], total[v] + total[v + NV]);
}

/* The output of one block of queries. */
static void attend(const attention *c, const attention_head *h, long query, float *y, float *log_sums, float *memory) {
  const sa_attention *g = c->g;
  const long queries = min_long(PAIR, g->queries - query), lanes = queries > WIDTH ? PAIR : WIDTH;
  const int vectors = lanes / WIDTH;
  float *scores = memory, *columns = scores + KEY_BLOCK * PAIR, *out = columns + (long)g->channels * PAIR;
  V top[2], sum[2];
  for (int v = 0; v < 2; v++) top[v] = v_set(-FLT_MAX), sum[v] = v_zero();
  transpose_queries(h->q + query * h->row, h->row, queries, g->channels, g->scale * LOG2_E, columns);
  const long visible = visible_keys(g, h, query + queries);
  for (long first = 0; first == 0 || first < visible; first += KEY_BLOCK) {
    const long keys = min_long(KEY_BLOCK, visible - first);
    key_products(h->k + first * h->row, h->row, keys, columns, g->channels, lanes, scores);
    if (g->causal) hide_later_keys(g, query, first, keys, scores);
    prefetch_tokens(h->v, h->values_row, first, keys, g->value_channels, 0);
    if (first == 0) {
      prefetch_tokens(h->q, h->row, query + PAIR, PAIR, g->channels, 0);
      prefetch_tokens(y, h->values_row, 0, queries, g->value_channels, 1);
    }
    V kept[2];
    if (lanes == PAIR)
      weigh_scores(scores, keys, 2, top, sum, kept);
    else
      weigh_scores(scores, keys, 1, top, sum, kept);
    if (first > 0)
      for (long i = 0; i < g->value_channels * PAIR; i += WIDTH) v_store(out + i, kept[i / WIDTH % 2] * v_load(out + i));
    channel_products(h->v + first * h->values_row, h->values_row, keys, scores, g->value_channels, lanes, first > 0,
                     out);
  }
  for (int v = 0; v < vectors; v++) {
    const long left = queries - v * WIDTH;
    v_store_up_to(log_sums + v * WIDTH, v_fma(top[v], v_set(LN_2), v_log(sum[v])), left);
    sum[v] = 1.0f / sum[v];
  }
  return_queries(out, sum, queries, g->value_channels, y, h->values_row);
}

static void attend_blocks(void *context, long first, long last) {
  attention *c = context;
  const sa_attention *g = c->g;
  const size_t floats = (size_t)(KEY_BLOCK + (long)g->channels + g->value_channels) * PAIR;
  float *memory = sa_thread_scratch(floats * sizeof(float));
  if (!memory) {
    __atomic_store_n(&c->failed, 1, __ATOMIC_RELAXED);
    return;
  }
  for (long i = first; i < last; i++) {
    const long index = i / c->query_blocks, query = i % c->query_blocks * PAIR;
    const attention_head h = head_at(c, index);
    const long item = index / g->heads, head = index % g->heads;
    float *y = c->y + (item * g->queries + query) * c->values_row + head * g->value_channels;
    attend(c, &h, query, y, c->log_sums + index * g->queries + query, memory);
  }
}

static int attention_forward(const sa_attention *g, const float *q, const float *k, const float *v, float *y,
                             float *log_sums) {
  if (!is_attention_countable(g)) return SA_NO_MEMORY;
  attention c = attention_over(g, q, k, v);
  c.y = y;
  c.log_sums = log_sums;
  sa_parallel(attend_blocks, &c, (long)g->batch * g->heads * c.query_blocks);
  return c.failed ? SA_NO_MEMORY : SA_OK;
}
