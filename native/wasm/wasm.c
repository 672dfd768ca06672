/*
 * The WebAssembly face of the engine: the table of ops.c for a JavaScript host that writes addresses, lengths and numbers
 * of a call into this module's memory and names the op by its place in the table.
 *
 * src/tensor/wasm/engine.ts is its only caller. Everything here runs on the thread that owns the engine.
 */
#include "../ops.h"
#include "memory.h"
#include "threads.h"

#include <string.h>

#define EXPORT(name) __attribute__((export_name(#name)))

enum { DONE, NO_MEMORY, BAD_CALL, BAD_INDEX, THREAD_FAILED };

/* The call that the host prepares: room for this many buffers and numbers. */
static int room;
static double *number;
static void **data;
static size_t *length;
static double result;
static char message[128];

/* Makes room for a call of so many arguments and returns where its numbers go: `arguments` doubles, then as many
 * addresses, then as many lengths in elements. 0 when memory is short. */
EXPORT(sa_call_room) double *sa_call_room(int arguments) {
  if (arguments <= room) return number;
  sa_give(number);
  room = 0;
  number = sa_take((uint64_t)arguments * (sizeof(double) + sizeof(void *) + sizeof(size_t)));
  if (!number) return NULL;
  room = arguments;
  data = (void **)(number + arguments);
  length = (size_t *)(data + arguments);
  return number;
}

/* Whether the kernels, whose long has 32 bits here, can count what they do with a geometry: reaches along both axes, a
 * band of source rows, packed weights. Sizes of buffers are no concern, they lie in this memory. */
static int is_countable(const double *n) {
  const double most = 1 << 29; /* floats, or 2^31 bytes */
  const double in = n[3], out = n[6], taps = n[7] * n[8], stride = n[9], widest = in > out ? in : out;
  const double down = (n[1] > n[4] * stride ? n[1] : n[4] * stride) + n[7] + n[10];
  const double across = (n[2] > n[5] * stride ? n[2] : n[5] * stride) + n[8] + n[11];
  const double block = 64; /* channels that packed weights are rounded up to, at most */
  return down < most && across * (widest + 1) * (stride + n[7]) < most && taps * in * (out + block) < most &&
         taps * out * (in + block) < most;
}

static int begins_with(const char *text, const char *start) {
  while (*start && *text == *start) text++, start++;
  return !*start;
}

/* Checks the prepared call of an op on `items` items and runs it. */
EXPORT(sa_invoke) int sa_invoke(int op, int items) {
  sa_call c = {.kernels = &sa_kernels_simd128, .data = data, .length = length, .number = number, .items = items};
  const int checked = sa_check(&sa_ops[op], &c, message, sizeof message);
  if (checked <= 0) return checked < 0 ? BAD_INDEX : BAD_CALL;
  if (begins_with(sa_ops[op].numbers, GEOMETRY) && !is_countable(number)) return NO_MEMORY;
  const int status = sa_ops[op].run(&c);
  result = c.result;
  if (sa_thread_failed()) return THREAD_FAILED;
  return status == SA_OK ? DONE : NO_MEMORY;
}

/* What the last op returned, and what was wrong with a bad call. */
EXPORT(sa_result) double sa_result(void) { return result; }
EXPORT(sa_message) const char *sa_message(void) { return message; }

/* --- the table ---------------------------------------------------------------------------------------------- */

EXPORT(sa_op_count) int op_count(void) { return sa_op_count; }
EXPORT(sa_op_name) const char *op_name(int op) { return sa_ops[op].name; }
EXPORT(sa_op_buffers) int op_buffers(int op) { return sa_buffers(&sa_ops[op]); }
EXPORT(sa_op_holds_integers) int op_holds_integers(int op, int buffer) {
  return sa_holds_integers(&sa_ops[op], buffer);
}
EXPORT(sa_op_items) int op_items(int op, int arguments) { return sa_items(&sa_ops[op], arguments); }
EXPORT(sa_isa) const char *isa(void) { return sa_kernels_simd128.name; }

/* --- memory ------------------------------------------------------------------------------------------------- */

/* A zeroed block of so many bytes, or 0; the host's numbers are doubles. */
EXPORT(sa_allocate) void *allocate(double bytes) {
  if (!(bytes >= 0 && bytes < 4294967296.0)) return NULL;
  void *block = sa_take((uint64_t)bytes);
  if (block) memset(block, 0, (size_t)bytes);
  return block;
}
EXPORT(sa_free) void release(void *block) { sa_give(block); }
