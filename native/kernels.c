/*
 * One instruction set's kernels as one translation unit, so that only the table at the end is visible outside and
 * the three compilations can be linked side by side. Compiled with -DSA_AVX512, -DSA_AVX2, -DSA_SSE4 or none.
 */
#include "shiftadd.h"
#include "simd.h"

#include "tiles.h"
#include "bands.h"
#include "convolution.h"
#include "weight_gradient.h"
#include "lanes_gradient.h"
#include "product.h"
#include "matmul.h"
#include "normalisation.h"
#include "elementwise.h"
#include "unary.h"
#include "broadcast.h"
#include "reduce.h"
#include "layer_norm.h"
#include "pooling.h"
#include "embedding.h"
#include "odd_table.h"
#include "loss.h"
#include "softmax.h"
#include "attention.h"
#include "attention_gradient.h"
#include "optimiser.h"
#include "probe.h"

static int conv2d_forward(const sa_geometry *g, const float *x, const float *w, float *y) {
  return convolve(STEP_MULTIPLY, 0, g, x, w, 0, y);
}

static int conv2d_input_gradient(const sa_geometry *g, const float *dy, const float *w, float *dx) {
  return convolve(STEP_MULTIPLY, 1, g, dy, w, 0, dx);
}

static int conv2d_weight_gradient(const sa_geometry *g, const float *x, const float *dy, float *dw) {
  return weight_gradient(g, x, 0, dy, dw);
}

static int l1_forward(const sa_geometry *g, const float *x, const float *w, float *y) {
  return convolve(STEP_DISTANCE, 0, g, x, w, 0, y);
}

static int l1_input_gradient(const sa_geometry *g, const float *x, const float *w, const float *dy, float *dx) {
  return convolve(STEP_CLAMP, 1, g, dy, w, x, dx);
}

static int l1_weight_gradient(const sa_geometry *g, const float *x, const float *w, const float *dy, float *dw) {
  return weight_gradient(g, x, w, dy, dw);
}

static int lp_forward(const sa_geometry *g, float exponent, const float *x, const float *w, float *y) {
  return convolve_power(STEP_POWER, 0, g, x, w, 0, exponent, 0, y);
}

/* log2 of an exponent, for the factor p of a slope. */
static float log2_of(float p) { return (v_log(v_set(p)) * 1.44269504f)[0]; }

static int lp_input_gradient(const sa_geometry *g, float exponent, const float *x, const float *w, const float *dy,
                             float *dx) {
  return convolve_power(STEP_SLOPE, 1, g, dy, w, x, exponent - 2, log2_of(exponent), dx);
}

static int lp_weight_gradient(const sa_geometry *g, float exponent, const float *x, const float *w, const float *dy,
                              float *dw) {
  return power_weight_gradient(g, x, w, dy, exponent - 2, log2_of(exponent), dw);
}

const sa_kernels ISA_TABLE = {
    .name = ISA_NAME,
    .conv2d_forward = conv2d_forward,
    .conv2d_input_gradient = conv2d_input_gradient,
    .conv2d_weight_gradient = conv2d_weight_gradient,
    .l1_forward = l1_forward,
    .l1_input_gradient = l1_input_gradient,
    .l1_weight_gradient = l1_weight_gradient,
    .lp_forward = lp_forward,
    .lp_input_gradient = lp_input_gradient,
    .lp_weight_gradient = lp_weight_gradient,
    .matmul = matmul,
    .softmax = softmax,
    .softmax_gradient = softmax_gradient,
    .attention_forward = attention_forward,
    .attention_gradient = attention_backward,
    .channel_affine = channel_affine,
    .batch_norm = batch_norm,
    .batch_norm_gradient = batch_norm_gradient,
    .relu = relu,
    .relu_gradient = relu_gradient,
    .add = add,
    .axpy = axpy,
    .unary = unary,
    .unary_gradient = unary_gradient,
    .binary = run_broadcast,
    .reduce_sum = reduce_sum,
    .reduce_products = reduce_products,
    .reduce_maximum = reduce_maximum,
    .reduce_maximum_gradient = reduce_maximum_gradient,
    .scale = scale,
    .sum_of_squares = sum_of_squares,
    .global_average_pool = global_average_pool,
    .global_average_pool_gradient = global_average_pool_gradient,
    .layer_norm = layer_norm,
    .layer_norm_gradient = layer_norm_gradient,
    .max_pool = max_pool,
    .max_pool_gradient = max_pool_gradient,
    .average_pool = average_pool,
    .average_pool_gradient = average_pool_gradient,
    .embedding = embedding,
    .embedding_gradient = embedding_gradient,
    .softmax_cross_entropy = softmax_cross_entropy,
    .soft_target_cross_entropy = soft_target_cross_entropy,
    .power_of_two = power_of_two,
    .odd_table = odd_table,
    .odd_table_gradient = odd_table_gradient,
    .sgd_steps = sgd_steps,
    .adamw_steps = adamw_steps,
    .probe = probe,
};
