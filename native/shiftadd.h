/*
 * The engine's own contract: what the kernels offer, and the two services they ask of their surroundings.
 *
 * The kernels (kernels.c and the files it gathers) are plain C without threads, files or a C++ run time. They are
 * compiled once per instruction set and offer one table of functions each. A surrounding (the Node-API addon here)
 * gives them a way to run tiles in parallel and scratch memory; it may be replaced without touching a kernel.
 */
#ifndef SHIFTADD_H
#define SHIFTADD_H

#include <stddef.h>
#include <stdint.h>

/* --- services of the surroundings ------------------------------------------------------------------------- */

typedef void (*sa_tiles)(void *context, long first, long last);

/* Calls run(context, first, last) for pieces that together cover [0, count) once, on any threads in any order, and
 * returns when all are done. What a tile computes must not depend on how the range was cut. */
void sa_parallel(sa_tiles run, void *context, long count);

/* Scratch memory, 64-byte aligned, valid until the same slot is asked for again. NULL when memory is short. */
enum sa_slot {
  SA_SLOT_PACKED,
  SA_SLOT_PHASES,
  SA_SLOT_ITEMS,
  SA_SLOT_PARTIAL,
  SA_SLOT_SUMS,
  SA_SLOT_CHANNELS,
  SA_SLOT_COUNT
};
void *sa_scratch(enum sa_slot slot, size_t bytes);

/* The same for the calling thread alone, valid until it asks again: memory for a tile to work in. */
void *sa_thread_scratch(size_t bytes);

/* --- what the kernels offer ------------------------------------------------------------------------------- */

enum { SA_OK = 0, SA_NO_MEMORY = 1 };

/* Field for field the PoolGeometry of src/tensor/kernels.ts. */
typedef struct {
  int32_t batch, in_height, in_width, channels;
  int32_t out_height, out_width, kernel_height, kernel_width;
  int32_t stride_height, stride_width, pad_top, pad_left;
} sa_pooling;

/* Most axes of the result of a broadcast op. */
enum { SA_AXES = 6 };

/* Field for field the ConvGeometry of src/tensor/kernels.ts. */
typedef struct {
  int32_t batch, in_height, in_width, in_channels;
  int32_t out_height, out_width, out_channels;
  int32_t kernel_height, kernel_width, stride, pad_top, pad_left, groups;
} sa_geometry;

/* Field for field the MatmulGeometry of src/tensor/kernels.ts. */
typedef struct {
  int32_t batch, rows, columns, depth;
  int32_t transpose_a, transpose_b, shared_b, accumulate;
} sa_matmul;

/* The AttentionGeometry of src/tensor/kernels.ts, its fields in order; `channels` are those of a head. */
typedef struct {
  int32_t batch, heads, queries, keys, channels, value_channels, causal;
  float scale;
  const int32_t *key_counts; /* [batch] */
} sa_attention;

/* One instruction set's functions; semantics are those of src/tensor/kernels.ts. Functions that need scratch
 * memory return SA_OK or SA_NO_MEMORY. */
typedef struct {
  const char *name;

  int (*conv2d_forward)(const sa_geometry *g, const float *x, const float *w, float *y);
  int (*conv2d_input_gradient)(const sa_geometry *g, const float *dy, const float *w, float *dx);
  int (*conv2d_weight_gradient)(const sa_geometry *g, const float *x, const float *dy, float *dw);
  int (*l1_forward)(const sa_geometry *g, const float *x, const float *w, float *y);
  int (*l1_input_gradient)(const sa_geometry *g, const float *x, const float *w, const float *dy, float *dx);
  int (*l1_weight_gradient)(const sa_geometry *g, const float *x, const float *w, const float *dy, float *dw);
  int (*lp_forward)(const sa_geometry *g, float exponent, const float *x, const float *w, float *y);
  int (*lp_input_gradient)(const sa_geometry *g, float exponent, const float *x, const float *w, const float *dy,
                           float *dx);
  int (*lp_weight_gradient)(const sa_geometry *g, float exponent, const float *x, const float *w, const float *dy,
                            float *dw);

  int (*matmul)(const sa_matmul *g, const float *a, const float *b, float *c);

  void (*softmax)(long rows, long columns, int logarithm, const float *x, float *y);
  void (*softmax_gradient)(long rows, long columns, int logarithm, const float *y, const float *dy, float *dx);
  int (*attention_forward)(const sa_attention *g, const float *q, const float *k, const float *v, float *y,
                           float *log_sums);
  int (*attention_gradient)(const sa_attention *g, const float *q, const float *k, const float *v, const float *y,
                            const float *log_sums, const float *dy, float *dq, float *dk, float *dv);

  int (*channel_affine)(long rows, long channels, int relu, const float *x, const float *scale, const float *shift,
                        float *y);
  int (*batch_norm)(long rows, long channels, int relu, double epsilon, const float *x, const float *gamma,
                    const float *beta, float *mean, float *variance, float *y);
  /* dx may be NULL */
  int (*batch_norm_gradient)(long rows, long channels, int relu, double epsilon, const float *x, const float *dy,
                             const float *mean, const float *variance, const float *gamma, const float *beta,
                             float *dx, float *dgamma, float *dbeta);

  /* mean and inverse_std are [rows] */
  void (*layer_norm)(long rows, long channels, int relu, double epsilon, const float *x, const float *gamma,
                     const float *beta, float *mean, float *inverse_std, float *y);
  /* dx may be NULL */
  int (*layer_norm_gradient)(long rows, long channels, int relu, const float *x, const float *dy, const float *mean,
                             const float *inverse_std, const float *gamma, const float *beta, float *dx,
                             float *dgamma, float *dbeta);

  void (*relu)(long length, const float *x, float *y);
  void (*relu_gradient)(long length, const float *y, const float *dy, float *dx);
  void (*add)(long length, int relu, const float *a, const float *b, float *y);
  void (*axpy)(long length, float alpha, const float *x, float *y);
  /* `kind` counts UnaryKind of src/tensor/kinds.ts; `at` is the argument, or the value of the kinds that say so */
  void (*unary)(long length, int kind, float low, float high, const float *x, float *y);
  void (*unary_gradient)(long length, int kind, float low, float high, const float *at, const float *dy, float *dx);
  /* `kind` counts BinaryKind, then BinaryGradientKind; the result has SA_AXES axes, and an operand those of its bits;
   * dy is NULL but for gradients */
  void (*binary)(int kind, const long *extents, int has_a, int has_b, const float *a, const float *b, const float *dy,
                 float *to);
  /* x [outer, reduced, inner] -> y [outer, inner] */
  int (*reduce_sum)(long outer, long reduced, long inner, double scale, const float *x, float *y);
  int (*reduce_products)(long outer, long reduced, long inner, const float *a, const float *b, float *y);
  int (*reduce_maximum)(long outer, long reduced, long inner, const float *x, float *y);
  void (*reduce_maximum_gradient)(long outer, long reduced, long inner, const float *x, const float *y,
                                  const float *dy, float *dx);
  void (*global_average_pool)(long batch, long positions, long channels, const float *x, float *y);
  void (*global_average_pool_gradient)(long batch, long positions, long channels, const float *dy, float *dx);
  void (*max_pool)(const sa_pooling *g, const float *x, float *y);
  int (*max_pool_gradient)(const sa_pooling *g, const float *x, const float *y, const float *dy, float *dx);
  void (*average_pool)(const sa_pooling *g, int count_padding, const float *x, float *y);
  void (*average_pool_gradient)(const sa_pooling *g, int count_padding, const float *dy, float *dx);
  void (*embedding)(long count, long rows, long width, const float *table, const int32_t *indices, float *y);
  int (*embedding_gradient)(long count, long rows, long width, const int32_t *indices, const float *dy,
                            float *dtable);
  void (*softmax_cross_entropy)(long batch, long classes, float smoothing, const float *logits,
                                const int32_t *labels, float *losses, float *dlogits);
  void (*soft_target_cross_entropy)(long batch, long classes, const float *logits, const float *targets,
                                    float *losses, float *dlogits);
  void (*power_of_two)(long length, int min_exponent, int max_exponent, const float *w, float *q);
  void (*odd_table)(long length, const float *x, const float *values, const float *slopes, long points,
                    double points_per_unit, double in, double out, float *y);
  int (*odd_table_gradient)(long length, const float *x, const float *dy, const float *values, const float *slopes, long points,
                            double points_per_unit, double in, double out, float *dx, double *sum);
  /* Lists: the buffers and the numbers of the items one after the other, `lengths` one for each buffer. */
  int (*scale)(int items, float *const *data, const size_t *lengths, double alpha);
  int (*sum_of_squares)(int items, float *const *data, const size_t *lengths, double *sum);
  /* weight, gradient, velocity; weight decay, gradient scale */
  int (*sgd_steps)(int items, float *const *data, const size_t *lengths, const double *numbers, double rate,
                   double momentum, int nesterov);
  /* weight, gradient, mean, square; weight decay, gradient scale, the bias corrections of mean and square */
  int (*adamw_steps)(int items, float *const *data, const size_t *lengths, const double *numbers, double rate,
                     double beta1, double beta2, double epsilon);

  /* Register-only loops: vector steps of `kind` (0 multiply-accumulate, 1 absolute difference, 2 clamped
   * gradient) done `rounds` times; returns the number of elements. The bench divides by the time. */
  double (*probe)(int kind, long rounds);
} sa_kernels;

extern const sa_kernels sa_kernels_avx512, sa_kernels_avx2, sa_kernels_sse4, sa_kernels_simd128, sa_kernels_generic;

#endif
