/*
 * The Node-API face of the engine: one wrapper over the table of ops.c that reads typed arrays and then numbers, has
 * them checked, and calls the kernels of this processor.
 *
 * src/tensor/native/device.ts is its only caller and gives the arguments in the order of the table.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>

#include "ops.h"
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { FEW_ARGUMENTS = 24, LARGE_BYTES = 1 << 18, HUGE_BYTES = 1 << 22 };

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

/* --- calling an op ---------------------------------------------------------------------------------------- */

static napi_value fail(napi_env env, const char *code, const char *name, const char *what) {
  char message[200];
  snprintf(message, sizeof message, "%s: %s", name, what);
  napi_throw_error(env, code, message);
  return NULL;
}

/* Reads the arguments of one call (buffers, then numbers) into `c` and runs the op. */
static napi_value call_op(napi_env env, const sa_op *o, const napi_value *arguments, sa_call *c) {
  const int each = sa_buffers(o), buffers = each * c->items;
  const int numbers = (int)strlen(o->numbers) + (o->item_numbers ? c->items * (int)strlen(o->item_numbers) : 0);
  for (int i = 0; i < buffers; i++) {
    napi_typedarray_type type;
    if (napi_get_typedarray_info(env, arguments[i], &type, &c->length[i], &c->data[i], NULL, NULL) != napi_ok ||
        type != (sa_holds_integers(o, i % each) ? napi_int32_array : napi_float32_array))
      return fail(env, "BAD_CALL", o->name, "an argument is not the typed array it should be");
  }
  for (int i = 0; i < numbers; i++)
    if (napi_get_value_double(env, arguments[buffers + i], &c->number[i]) != napi_ok)
      return fail(env, "BAD_CALL", o->name, "an argument is not a number");
  char message[100];
  const int checked = sa_check(o, c, message, sizeof message);
  if (checked < 0) {
    char whole[160];
    snprintf(whole, sizeof whole, "%s: %s", o->name, message);
    napi_throw_range_error(env, "BAD_CALL", whole);
    return NULL;
  }
  if (!checked) return fail(env, "BAD_CALL", o->name, message);

  sa_engine_enter();
  const int status = o->run(c);
  sa_engine_leave();
  if (status != SA_OK) return fail(env, "NO_MEMORY", o->name, "not enough memory for the work space");
  napi_value result;
  return napi_create_double(env, c->result, &result) == napi_ok ? result : NULL;
}

static napi_value invoke(napi_env env, napi_callback_info info) {
  napi_value few[FEW_ARGUMENTS];
  void *few_data[FEW_ARGUMENTS];
  size_t few_lengths[FEW_ARGUMENTS];
  double few_numbers[FEW_ARGUMENTS];
  size_t count = FEW_ARGUMENTS;
  void *op;
  if (napi_get_cb_info(env, info, &count, few, NULL, &op) != napi_ok) return NULL;
  const sa_op *o = op;
  sa_call c = {.kernels = kernels, .data = few_data, .length = few_lengths, .number = few_numbers};
  c.items = sa_items(o, (int)count);
  if (c.items < 0) return fail(env, "BAD_CALL", o->name, "wrong number of arguments");
  if (count <= FEW_ARGUMENTS) return call_op(env, o, few, &c);

  napi_value result = NULL;
  char *memory = malloc(count * (sizeof(napi_value) + sizeof(void *) + sizeof(size_t) + sizeof(double)));
  if (!memory) return fail(env, "NO_MEMORY", o->name, "not enough memory for the arguments");
  napi_value *arguments = (napi_value *)memory;
  c.data = (void **)(arguments + count);
  c.length = (size_t *)(c.data + count);
  c.number = (double *)(c.length + count);
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) == napi_ok) result = call_op(env, o, arguments, &c);
  free(memory);
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
  for (int i = 0; fine && i < sa_op_count; i++)
    fine = add_function(env, exports, sa_ops[i].name, invoke, (void *)&sa_ops[i]);
  if (!fine) napi_throw_error(env, "BAD_CALL", "shiftaddnas: the addon could not register its functions");
  return exports;
}
