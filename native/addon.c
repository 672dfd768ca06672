/*
 * The Node-API face of the engine: one table of ops, one wrapper that reads typed arrays and then numbers, checks
 * that the arrays are long enough, and calls the kernels of this processor.
 *
 * src/tensor/native/device.ts is its only caller and gives the arguments in the order of the table.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>

#include "pool.h"
#include "shiftadd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { MAX_BUFFERS = 9, MAX_NUMBERS = 13, LARGE_BYTES = 1 << 18, HUGE_BYTES = 1 << 22 };

static const sa_kernels *kernels;

/* --- choosing an instruction set -------------------------------------------------------------------------- */

#if defined(__x86_64__)
static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
static int has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static int has_sse4(void) { return __builtin_cpu_supports("sse4.1"); }
static const struct {
  const sa_kernels *kernels;
  int (*supported)(void);
} sets[] = {{&sa_kernels_avx512, has_avx512}, {&sa_kernels_avx2, has_avx2}, {&sa_kernels_sse4, has_sse4}};
#else
static int always(void) { return 1; }
static const struct {
  const sa_kernels *kernels;
  int (*supported)(void);
} sets[] = {{&sa_kernels_generic, always}};
#endif

/* The best supported set, or the one SHIFTADDNAS_ISA names; NULL with a message when that cannot be. */
static const sa_kernels *choose_kernels(char *message, size_t size) {
  const char *forced = getenv("SHIFTADDNAS_ISA");
  if (forced && !*forced) forced = NULL;
  for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
    if (forced && strcmp(forced, sets[i].kernels->name)) continue;
    if (sets[i].supported()) return sets[i].kernels;
    if (forced) {
      snprintf(message, size, "SHIFTADDNAS_ISA=%s: this processor does not have it; unset it to use the best there is",
               forced);
      return NULL;
    }
  }
  if (forced)
    snprintf(message, size, "SHIFTADDNAS_ISA=%.40s: unknown; use avx512, avx2 or sse4, or unset it", forced);
  else
    snprintf(message, size, "this processor has none of AVX-512, AVX2 and SSE4.1");
  return NULL;
}

/* --- the table -------------------------------------------------------------------------------------------- */

typedef struct {
  void *data[MAX_BUFFERS];
  size_t length[MAX_BUFFERS];
  double number[MAX_NUMBERS];
  double result;
} call;

#define F(i) ((float *)c->data[i])
#define N(i) ((long)c->number[i])

static sa_geometry geometry_of(const call *c) {
  int32_t fields[13];
  for (int i = 0; i < 13; i++) fields[i] = (int32_t)c->number[i];
  sa_geometry g;
  memcpy(&g, fields, sizeof g);
  return g;
}

static int op_conv2d_forward(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->conv2d_forward(&g, F(0), F(1), F(2));
}
static int op_conv2d_input_gradient(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->conv2d_input_gradient(&g, F(0), F(1), F(2));
}
static int op_conv2d_weight_gradient(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->conv2d_weight_gradient(&g, F(0), F(1), F(2));
}
static int op_l1_forward(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->l1_forward(&g, F(0), F(1), F(2));
}
static int op_l1_input_gradient(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->l1_input_gradient(&g, F(0), F(1), F(2), F(3));
}
static int op_l1_weight_gradient(call *c) {
  const sa_geometry g = geometry_of(c);
  return kernels->l1_weight_gradient(&g, F(0), F(1), F(2), F(3));
}
static int op_channel_moments(call *c) { return kernels->channel_moments(N(0), N(1), F(0), F(1), F(2)); }
static int op_channel_affine(call *c) {
  return kernels->channel_affine(N(0), N(1), N(2) != 0, F(0), F(1), F(2), F(3));
}
static int op_batch_norm_gradient(call *c) {
  return kernels->batch_norm_gradient(N(0), N(1), N(2) != 0, F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8));
}
static int op_relu(call *c) {
  kernels->relu((long)c->length[0], F(0), F(1));
  return SA_OK;
}
static int op_relu_gradient(call *c) {
  kernels->relu_gradient((long)c->length[0], F(0), F(1), F(2));
  return SA_OK;
}
static int op_add(call *c) {
  kernels->add((long)c->length[0], N(0) != 0, F(0), F(1), F(2));
  return SA_OK;
}
static int op_axpy(call *c) {
  kernels->axpy((long)c->length[0], (float)c->number[0], F(0), F(1));
  return SA_OK;
}
static int op_scale(call *c) {
  kernels->scale((long)c->length[0], (float)c->number[0], F(0));
  return SA_OK;
}
static int op_sum_of_squares(call *c) { return kernels->sum_of_squares((long)c->length[0], F(0), &c->result); }
static int op_global_average_pool(call *c) {
  kernels->global_average_pool(N(0), N(1), N(2), F(0), F(1));
  return SA_OK;
}
static int op_global_average_pool_gradient(call *c) {
  kernels->global_average_pool_gradient(N(0), N(1), N(2), F(0), F(1));
  return SA_OK;
}
static int op_softmax_cross_entropy(call *c) {
  kernels->softmax_cross_entropy(N(0), N(1), (float)c->number[2], F(0), c->data[1], F(2), F(3));
  return SA_OK;
}
static int op_power_of_two(call *c) {
  kernels->power_of_two((long)c->length[0], (int)c->number[0], (int)c->number[1], F(0), F(1));
  return SA_OK;
}
static int op_sgd_step(call *c) {
  kernels->sgd_step((long)c->length[0], (float)c->number[0], (float)c->number[1], (float)c->number[2],
                    (float)c->number[3], F(0), F(1), F(2));
  return SA_OK;
}
static int op_probe(call *c) {
  c->result = kernels->probe((int)c->number[0], N(1));
  return SA_OK;
}

/*
 * `sizes`: what each buffer must hold, one letter each. With a geometry: x, y (also the size of dy), w. Otherwise
 * products of the leading numbers: r = n0 n1, s = n0 n1 n2, a = n0, b = n1, p = n0 n2; = the first buffer's length.
 * `numbers`: what each number may be, one letter each: c a count and p a positive one that fit an int32_t, n a count
 * that fits a long, i a whole number that fits an int, f anything.
 * `labels` is the position of an Int32Array of n0 indices below n1, or -1.
 */
typedef struct {
  const char *name;
  int (*run)(call *c);
  const char *sizes;
  const char *numbers;
  int labels;
} op;

/* The fields of sa_geometry; stride and groups divide. */
#define GEOMETRY "cccccccccpccp"

static const op ops[] = {
    {"conv2dForward", op_conv2d_forward, "xwy", GEOMETRY, -1},
    {"conv2dInputGradient", op_conv2d_input_gradient, "ywx", GEOMETRY, -1},
    {"conv2dWeightGradient", op_conv2d_weight_gradient, "xyw", GEOMETRY, -1},
    {"l1Forward", op_l1_forward, "xwy", GEOMETRY, -1},
    {"l1InputGradient", op_l1_input_gradient, "xwyx", GEOMETRY, -1},
    {"l1WeightGradient", op_l1_weight_gradient, "xwyw", GEOMETRY, -1},
    {"channelMoments", op_channel_moments, "rbb", "nn", -1},
    {"channelAffine", op_channel_affine, "rbbr", "nni", -1},
    {"batchNormGradient", op_batch_norm_gradient, "rrrbbbrbb", "nni", -1},
    {"relu", op_relu, "==", "", -1},
    {"reluGradient", op_relu_gradient, "===", "", -1},
    {"add", op_add, "===", "i", -1},
    {"axpy", op_axpy, "==", "f", -1},
    {"scale", op_scale, "=", "f", -1},
    {"sumOfSquares", op_sum_of_squares, "=", "", -1},
    {"globalAveragePool", op_global_average_pool, "sp", "nnn", -1},
    {"globalAveragePoolGradient", op_global_average_pool_gradient, "ps", "nnn", -1},
    {"softmaxCrossEntropy", op_softmax_cross_entropy, "raar", "nnf", 1},
    {"powerOfTwo", op_power_of_two, "==", "ii", -1},
    {"sgdStep", op_sgd_step, "===", "ffff", -1},
    {"probe", op_probe, "", "cn", -1},
};

/* Whether a number is what its letter says; the kernels' integers then hold it. */
static int is_allowed(char kind, double number) {
  if (kind == 'f') return 1;
  const double least = kind == 'p' ? 1 : kind == 'i' ? INT32_MIN : 0;
  const double most = kind == 'n' ? (double)(1LL << 53) : INT32_MAX;
  return number >= least && number <= most && number == (double)(int64_t)number; /* a NaN fails the first test */
}

static double floats_needed(char size, const call *c) {
  const double *n = c->number;
  switch (size) {
    case 'x': return n[0] * n[1] * n[2] * n[3];
    case 'y': return n[0] * n[4] * n[5] * n[6];
    case 'w': return n[7] * n[8] * (n[3] / n[12]) * n[6];
    case 'r': return n[0] * n[1];
    case 's': return n[0] * n[1] * n[2];
    case 'p': return n[0] * n[2];
    case 'a': return n[0];
    case 'b': return n[1];
    default: return (double)c->length[0];
  }
}

/* The first label outside [0, classes), or NULL. */
static const int32_t *foreign_label(const int32_t *labels, double count, double classes) {
  for (const int32_t *end = labels + (long)count; labels < end; labels++)
    if (*labels < 0 || *labels >= classes) return labels;
  return NULL;
}

static napi_value fail(napi_env env, const char *code, const char *name, const char *what) {
  char message[200];
  snprintf(message, sizeof message, "%s: %s", name, what);
  napi_throw_error(env, code, message);
  return NULL;
}

static napi_value invoke(napi_env env, napi_callback_info info) {
  napi_value arguments[MAX_BUFFERS + MAX_NUMBERS];
  size_t count = MAX_BUFFERS + MAX_NUMBERS;
  void *data;
  if (napi_get_cb_info(env, info, &count, arguments, NULL, &data) != napi_ok) return NULL;
  const op *o = data;
  const int buffers = (int)strlen(o->sizes), numbers = (int)strlen(o->numbers);
  call c;
  c.result = 0;
  if (count < (size_t)(buffers + numbers)) return fail(env, "BAD_CALL", o->name, "too few arguments");
  for (int i = 0; i < buffers; i++) {
    napi_typedarray_type type;
    if (napi_get_typedarray_info(env, arguments[i], &type, &c.length[i], &c.data[i], NULL, NULL) != napi_ok ||
        type != (i == o->labels ? napi_int32_array : napi_float32_array))
      return fail(env, "BAD_CALL", o->name, "an argument is not the typed array it should be");
  }
  for (int i = 0; i < numbers; i++) {
    if (napi_get_value_double(env, arguments[buffers + i], &c.number[i]) != napi_ok)
      return fail(env, "BAD_CALL", o->name, "an argument is not a number");
    if (!is_allowed(o->numbers[i], c.number[i])) {
      char what[100];
      snprintf(what, sizeof what, "%g is not a %s", c.number[i],
               o->numbers[i] == 'i'   ? "whole number"
               : o->numbers[i] == 'p' ? "positive count"
                                      : "count");
      return fail(env, "BAD_CALL", o->name, what);
    }
  }
  for (int i = 0; i < buffers; i++)
    if ((double)c.length[i] < floats_needed(o->sizes[i], &c))
      return fail(env, "BAD_CALL", o->name, "a buffer is shorter than its shape");
  if (o->labels >= 0) {
    const int32_t *label = foreign_label(c.data[o->labels], c.number[0], c.number[1]);
    if (label) {
      char message[100];
      snprintf(message, sizeof message, "%s: label %d is outside the %.0f classes", o->name, (int)*label, c.number[1]);
      napi_throw_range_error(env, "BAD_CALL", message);
      return NULL;
    }
  }

  sa_engine_enter();
  const int status = o->run(&c);
  sa_engine_leave();
  if (status != SA_OK) return fail(env, "NO_MEMORY", o->name, "not enough memory for the work space");
  napi_value result;
  if (napi_create_double(env, c.result, &result) != napi_ok) return NULL;
  return result;
}

/* --- the rest --------------------------------------------------------------------------------------------- */

static void release(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  free(hint);
}

/* Large activations are walked with wide strides; with pages of 4 KiB the walks cost as much as the arithmetic. */
static void ask_for_huge_pages(void *memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t page = 4096, start = ((uintptr_t)memory + page - 1) & ~(page - 1);
  const uintptr_t end = ((uintptr_t)memory + bytes) & ~(page - 1);
  if (bytes >= HUGE_BYTES) madvise((void *)start, end - start, MADV_HUGEPAGE);
#else
  (void)memory;
  (void)bytes;
#endif
}

/* allocate(length): an ArrayBuffer of `length` zeroed floats at a multiple of 64 bytes. */
static napi_value allocate(napi_env env, napi_callback_info info) {
  napi_value argument, buffer;
  size_t count = 1;
  double length;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
      napi_get_value_double(env, argument, &length) != napi_ok || !(length >= 0) || length != (double)(int64_t)length)
    return fail(env, "BAD_CALL", "allocate", "the length must be a whole number of floats");
  const size_t bytes = length < 1e15 ? (size_t)length * sizeof(float) : 0;
  void *base = NULL, *aligned = NULL;
  if (bytes < LARGE_BYTES && length < LARGE_BYTES) {
    if (!posix_memalign(&base, 64, bytes ? bytes : 1)) aligned = memset(base, 0, bytes);
  } else if (bytes && (base = calloc(bytes + 64, 1))) { /* large blocks of calloc are untouched zero pages */
    aligned = (char *)base + (64 - ((uintptr_t)base & 63));
    ask_for_huge_pages(aligned, bytes);
  }
  if (!aligned) {
    char message[120];
    snprintf(message, sizeof message, "allocate: not enough memory for %.0f MiB; use a smaller batch or network",
             length * sizeof(float) / (1024 * 1024));
    napi_throw_error(env, "NO_MEMORY", message);
    return NULL;
  }
  if (napi_create_external_arraybuffer(env, aligned, bytes, release, base, &buffer) != napi_ok) {
    free(base);
    return fail(env, "NO_MEMORY", "allocate", "the engine could not make an ArrayBuffer");
  }
  return buffer;
}

static napi_value set_threads(napi_env env, napi_callback_info info) {
  napi_value argument;
  size_t count = 1;
  int32_t threads;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok ||
      napi_get_value_int32(env, argument, &threads) != napi_ok || threads < 1)
    return fail(env, "BAD_CALL", "setThreads", "the number of threads must be 1 or more");
  sa_engine_enter();
  sa_set_threads(threads);
  sa_engine_leave();
  return NULL;
}

static napi_value get_threads(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value result;
  sa_engine_enter();
  const int threads = sa_threads();
  sa_engine_leave();
  return napi_create_int32(env, threads, &result) == napi_ok ? result : NULL;
}

static int add_function(napi_env env, napi_value to, const char *name, napi_callback callback, void *data) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function) == napi_ok &&
         napi_set_named_property(env, to, name, function) == napi_ok;
}

/* Reads SHIFTADDNAS_THREADS once per process; 0 when it is wrong. */
static int read_threads(char *message, size_t size) {
  const char *text = getenv("SHIFTADDNAS_THREADS");
  if (!text || !*text) return sa_available_processors();
  char *end;
  const long threads = strtol(text, &end, 10);
  if (*end == 0 && threads >= 1 && threads <= 256) return (int)threads;
  snprintf(message, size, "SHIFTADDNAS_THREADS=%.40s: must be a whole number from 1 to 256", text);
  return 0;
}

NAPI_MODULE_INIT() {
  char message[200] = "";
  sa_engine_enter();
  if (!kernels) {
    const int threads = read_threads(message, sizeof message);
    const sa_kernels *chosen = threads ? choose_kernels(message, sizeof message) : NULL;
    if (chosen) {
      sa_set_threads(threads);
      kernels = chosen;
    }
  }
  const int ready = kernels != NULL;
  sa_engine_leave();
  if (!ready) {
    napi_throw_error(env, "BAD_OPTION", message);
    return NULL;
  }
  napi_value isa;
  int fine = napi_create_string_utf8(env, kernels->name, NAPI_AUTO_LENGTH, &isa) == napi_ok &&
             napi_set_named_property(env, exports, "isa", isa) == napi_ok &&
             add_function(env, exports, "allocate", allocate, NULL) &&
             add_function(env, exports, "setThreads", set_threads, NULL) &&
             add_function(env, exports, "getThreads", get_threads, NULL);
  for (size_t i = 0; fine && i < sizeof ops / sizeof *ops; i++)
    fine = add_function(env, exports, ops[i].name, invoke, (void *)&ops[i]);
  if (!fine) napi_throw_error(env, "BAD_CALL", "shiftaddnas: the addon could not register its functions");
  return exports;
}
