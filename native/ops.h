/*
 * The engine's ops by name, as surroundings that take calls from JavaScript see them: one table, one call format
 * (buffers, then numbers), one check of both. addon.c reads typed arrays into a call, wasm.c addresses.
 */
#ifndef OPS_H
#define OPS_H

#include "shiftadd.h"

/* What one call brings. A list op (see below) has `items` groups of buffers, and as many groups of item numbers after
 * the op's own. */
typedef struct {
  const sa_kernels *kernels;
  void **data;
  size_t *length; /* elements of each buffer */
  double *number;
  int items; /* 1 but for list ops */
  double result;
} sa_call;

/*
 * `buffers`: what each buffer must hold, separated by spaces. Digits (hexadecimal) are a product of numbers: "012" =
 * n0 n1 n2; with a geometry as numbers x, y (also the size of dy) and w; A and B an operand of a broadcast, which has the
 * axes n0 .. n5 whose bits are set in n6, n7; "=" is the length of the first buffer of the item. "#0<1" is an Int32Array of
 * n0 indices below n1, "#0+3" one of n0 counts up to n3; all other buffers are Float32Arrays.
 * `numbers`: what each number may be, one letter each: c a count and p a positive one that fit an int32_t, n a count
 * that fits a long, i a whole number that fits an int, f anything.
 * `item_numbers`: NULL, or for a list op, which takes any number of items in one call, the same for each item.
 */
typedef struct {
  const char *name;
  int (*run)(sa_call *c);
  const char *buffers;
  const char *numbers;
  const char *item_numbers;
} sa_op;

/* The numbers of an op on a geometry: the fields of sa_geometry; stride and groups divide. */
#define GEOMETRY "cccccccccpccp"

extern const sa_op sa_ops[];
extern const int sa_op_count;

/* How many buffers one item of the op has, and whether buffer i holds integers. */
int sa_buffers(const sa_op *o);
int sa_holds_integers(const sa_op *o, int buffer);

/* Items that `arguments` buffers and numbers make; -1 when they do not fit the op. */
int sa_items(const sa_op *o, int arguments);

/* Whether the numbers are allowed and the buffers long enough. Writes what is wrong into `message` and returns 0 if
 * not, -1 when it is an index out of range. */
int sa_check(const sa_op *o, const sa_call *c, char *message, size_t size);

#endif
