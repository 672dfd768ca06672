/*
 * The table of ops: how each is called on buffers and numbers, and the check that a call's buffers hold what its
 * numbers say. The compiled devices of src/tensor give the arguments in the order of the table.
 */
#include "ops.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define F(i) ((float *)c->data[i])
#define N(i) ((long)c->number[i])

static sa_geometry geometry_of(const sa_call *c) {
  int32_t fields[13];
  for (int i = 0; i < 13; i++) fields[i] = (int32_t)c->number[i];
  sa_geometry g;
  memcpy(&g, fields, sizeof g);
  return g;
}

static int op_conv2d_forward(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->conv2d_forward(&g, F(0), F(1), F(2));
}
static int op_conv2d_input_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->conv2d_input_gradient(&g, F(0), F(1), F(2));
}
static int op_conv2d_weight_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->conv2d_weight_gradient(&g, F(0), F(1), F(2));
}
static int op_l1_forward(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->l1_forward(&g, F(0), F(1), F(2));
}
static int op_l1_input_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->l1_input_gradient(&g, F(0), F(1), F(2), F(3));
}
static int op_l1_weight_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->l1_weight_gradient(&g, F(0), F(1), F(2), F(3));
}
static int op_lp_forward(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->lp_forward(&g, (float)c->number[13], F(0), F(1), F(2));
}
static int op_lp_input_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->lp_input_gradient(&g, (float)c->number[13], F(0), F(1), F(2), F(3));
}
static int op_lp_weight_gradient(sa_call *c) {
  const sa_geometry g = geometry_of(c);
  return c->kernels->lp_weight_gradient(&g, (float)c->number[13], F(0), F(1), F(2), F(3));
}
static int op_matmul(sa_call *c) {
  const sa_matmul g = {
      .batch = (int32_t)c->number[0], .rows = (int32_t)c->number[1], .columns = (int32_t)c->number[2],
      .depth = (int32_t)c->number[3], .shared_b = c->number[4] < c->number[0], .transpose_a = N(5) != 0,
      .transpose_b = N(6) != 0, .accumulate = N(7) != 0,
  };
  return c->kernels->matmul(&g, F(0), F(1), F(2));
}
static int op_softmax(sa_call *c) {
  c->kernels->softmax(N(0), N(1), N(2) != 0, F(0), F(1));
  return SA_OK;
}
static int op_softmax_gradient(sa_call *c) {
  c->kernels->softmax_gradient(N(0), N(1), N(2) != 0, F(0), F(1), F(2));
  return SA_OK;
}
static sa_attention attention_of(const sa_call *c) {
  int32_t n[7];
  for (int i = 0; i < 7; i++) n[i] = (int32_t)c->number[i];
  return (sa_attention){n[0], n[1], n[2], n[3], n[4], n[5], n[6], (float)c->number[7], c->data[0]};
}
static int op_attention_forward(sa_call *c) {
  const sa_attention g = attention_of(c);
  return c->kernels->attention_forward(&g, F(1), F(2), F(3), F(4), F(5));
}
static int op_attention_gradient(sa_call *c) {
  const sa_attention g = attention_of(c);
  return c->kernels->attention_gradient(&g, F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8), F(9));
}
static int op_channel_affine(sa_call *c) {
  return c->kernels->channel_affine(N(0), N(1), N(2) != 0, F(0), F(1), F(2), F(3));
}
static int op_batch_norm(sa_call *c) {
  return c->kernels->batch_norm(N(0), N(1), N(2) != 0, c->number[3], F(0), F(1), F(2), F(3), F(4), F(5));
}
static int op_batch_norm_gradient(sa_call *c) {
  return c->kernels->batch_norm_gradient(N(0), N(1), N(2) != 0, c->number[3], F(0), F(1), F(2), F(3), F(4), F(5), F(6),
                                         F(7), F(8));
}
static int op_batch_norm_parameter_gradient(sa_call *c) {
  return c->kernels->batch_norm_gradient(N(0), N(1), N(2) != 0, c->number[3], F(0), F(1), F(2), F(3), F(4), F(5), NULL,
                                         F(6), F(7));
}
static int op_layer_norm(sa_call *c) {
  c->kernels->layer_norm(N(0), N(1), N(2) != 0, c->number[3], F(0), F(1), F(2), F(3), F(4), F(5));
  return SA_OK;
}
static int op_layer_norm_gradient(sa_call *c) {
  return c->kernels->layer_norm_gradient(N(0), N(1), N(2) != 0, F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7), F(8));
}
static int op_layer_norm_parameter_gradient(sa_call *c) {
  return c->kernels->layer_norm_gradient(N(0), N(1), N(2) != 0, F(0), F(1), F(2), F(3), F(4), F(5), NULL, F(6), F(7));
}
static int op_relu(sa_call *c) {
  c->kernels->relu((long)c->length[0], F(0), F(1));
  return SA_OK;
}
static int op_relu_gradient(sa_call *c) {
  c->kernels->relu_gradient((long)c->length[0], F(0), F(1), F(2));
  return SA_OK;
}
static int op_add(sa_call *c) {
  c->kernels->add((long)c->length[0], N(0) != 0, F(0), F(1), F(2));
  return SA_OK;
}
static int op_axpy(sa_call *c) {
  c->kernels->axpy((long)c->length[0], (float)c->number[0], F(0), F(1));
  return SA_OK;
}
static int op_scale(sa_call *c) {
  return c->kernels->scale(c->items, (float *const *)c->data, c->length, c->number[0]);
}
static int op_sum_of_squares(sa_call *c) {
  return c->kernels->sum_of_squares(c->items, (float *const *)c->data, c->length, &c->result);
}
static int op_unary(sa_call *c) {
  const double *n = c->number;
  c->kernels->unary((long)c->length[0], (int)n[0], (float)n[1], (float)n[2], F(0), F(1));
  return SA_OK;
}
static int op_unary_gradient(sa_call *c) {
  const double *n = c->number;
  c->kernels->unary_gradient((long)c->length[0], (int)n[0], (float)n[1], (float)n[2], F(0), F(1), F(2));
  return SA_OK;
}
static void binary(sa_call *c, const float *dy, float *to) {
  long extents[SA_AXES];
  for (int i = 0; i < SA_AXES; i++) extents[i] = N(i);
  c->kernels->binary((int)c->number[8], extents, (int)c->number[6], (int)c->number[7], F(0), F(1), dy, to);
}
static int op_binary(sa_call *c) {
  binary(c, NULL, F(2));
  return SA_OK;
}
static int op_binary_gradient(sa_call *c) {
  binary(c, F(2), F(3));
  return SA_OK;
}
static int op_reduce_sum(sa_call *c) { return c->kernels->reduce_sum(N(0), N(1), N(2), c->number[3], F(0), F(1)); }
static int op_reduce_products(sa_call *c) { return c->kernels->reduce_products(N(0), N(1), N(2), F(0), F(1), F(2)); }
static int op_reduce_maximum(sa_call *c) { return c->kernels->reduce_maximum(N(0), N(1), N(2), F(0), F(1)); }
static int op_reduce_maximum_gradient(sa_call *c) {
  c->kernels->reduce_maximum_gradient(N(0), N(1), N(2), F(0), F(1), F(2), F(3));
  return SA_OK;
}
static int op_global_average_pool(sa_call *c) {
  c->kernels->global_average_pool(N(0), N(1), N(2), F(0), F(1));
  return SA_OK;
}
static int op_global_average_pool_gradient(sa_call *c) {
  c->kernels->global_average_pool_gradient(N(0), N(1), N(2), F(0), F(1));
  return SA_OK;
}
static sa_pooling pooling_of(const sa_call *c) {
  int32_t fields[12];
  for (int i = 0; i < 12; i++) fields[i] = (int32_t)c->number[i];
  sa_pooling g;
  memcpy(&g, fields, sizeof g);
  return g;
}
static int op_max_pool(sa_call *c) {
  const sa_pooling g = pooling_of(c);
  c->kernels->max_pool(&g, F(0), F(1));
  return SA_OK;
}
static int op_max_pool_gradient(sa_call *c) {
  const sa_pooling g = pooling_of(c);
  return c->kernels->max_pool_gradient(&g, F(0), F(1), F(2), F(3));
}
static int op_average_pool(sa_call *c) {
  const sa_pooling g = pooling_of(c);
  c->kernels->average_pool(&g, N(12) != 0, F(0), F(1));
  return SA_OK;
}
static int op_average_pool_gradient(sa_call *c) {
  const sa_pooling g = pooling_of(c);
  c->kernels->average_pool_gradient(&g, N(12) != 0, F(0), F(1));
  return SA_OK;
}
static int op_embedding(sa_call *c) {
  c->kernels->embedding(N(0), N(1), N(2), F(0), c->data[1], F(2));
  return SA_OK;
}
static int op_embedding_gradient(sa_call *c) {
  return c->kernels->embedding_gradient(N(0), N(1), N(2), c->data[0], F(1), F(2));
}
static int op_softmax_cross_entropy(sa_call *c) {
  c->kernels->softmax_cross_entropy(N(0), N(1), (float)c->number[2], F(0), c->data[1], F(2), F(3));
  return SA_OK;
}
static int op_soft_target_cross_entropy(sa_call *c) {
  c->kernels->soft_target_cross_entropy(N(0), N(1), F(0), F(1), F(2), F(3));
  return SA_OK;
}
static int op_power_of_two(sa_call *c) {
  c->kernels->power_of_two((long)c->length[0], (int)c->number[0], (int)c->number[1], F(0), F(1));
  return SA_OK;
}
static int op_odd_table(sa_call *c) {
  c->kernels->odd_table((long)c->length[0], F(0), F(1), F(2), N(0), c->number[1], c->number[2], c->number[3], F(3));
  return SA_OK;
}
static int op_odd_table_gradient(sa_call *c) {
  return c->kernels->odd_table_gradient((long)c->length[0], F(0), F(1), F(2), F(3), N(0), c->number[1], c->number[2],
                                        c->number[3], F(4), &c->result);
}
static int op_sgd_steps(sa_call *c) {
  const double *n = c->number;
  return c->kernels->sgd_steps(c->items, (float *const *)c->data, c->length, n + 3, n[0], n[1], n[2] != 0);
}
static int op_adamw_steps(sa_call *c) {
  const double *n = c->number;
  return c->kernels->adamw_steps(c->items, (float *const *)c->data, c->length, n + 4, n[0], n[1], n[2], n[3]);
}
static int op_probe(sa_call *c) {
  c->result = c->kernels->probe((int)c->number[0], N(1));
  return SA_OK;
}


/* The fields of sa_pooling; kernel and stride divide. */
#define POOLING "ccccccppppcc"

const sa_op sa_ops[] = {
    {"conv2dForward", op_conv2d_forward, "x w y", GEOMETRY, NULL},
    {"conv2dInputGradient", op_conv2d_input_gradient, "y w x", GEOMETRY, NULL},
    {"conv2dWeightGradient", op_conv2d_weight_gradient, "x y w", GEOMETRY, NULL},
    {"l1Forward", op_l1_forward, "x w y", GEOMETRY, NULL},
    {"l1InputGradient", op_l1_input_gradient, "x w y x", GEOMETRY, NULL},
    {"l1WeightGradient", op_l1_weight_gradient, "x w y w", GEOMETRY, NULL},
    {"lpForward", op_lp_forward, "x w y", GEOMETRY "f", NULL},
    {"lpInputGradient", op_lp_input_gradient, "x w y x", GEOMETRY "f", NULL},
    {"lpWeightGradient", op_lp_weight_gradient, "x w y w", GEOMETRY "f", NULL},
    {"matmul", op_matmul, "013 423 012", "ccccciii", NULL},
    {"softmax", op_softmax, "01 01", "nni", NULL},
    {"softmaxGradient", op_softmax_gradient, "01 01 01", "nni", NULL},
    {"attentionForward", op_attention_forward, "#0+3 0214 0314 0315 0215 012", "ccccccif", NULL},
    {"attentionGradient", op_attention_gradient, "#0+3 0214 0314 0315 0215 012 0215 0214 0314 0315", "ccccccif", NULL},
    {"channelAffine", op_channel_affine, "01 1 1 01", "nni", NULL},
    {"batchNorm", op_batch_norm, "01 1 1 1 1 01", "nnif", NULL},
    {"batchNormGradient", op_batch_norm_gradient, "01 01 1 1 1 1 01 1 1", "nnif", NULL},
    {"batchNormParameterGradient", op_batch_norm_parameter_gradient, "01 01 1 1 1 1 1 1", "nnif", NULL},
    {"layerNorm", op_layer_norm, "01 1 1 0 0 01", "nnif", NULL},
    {"layerNormGradient", op_layer_norm_gradient, "01 01 0 0 1 1 01 1 1", "nni", NULL},
    {"layerNormParameterGradient", op_layer_norm_parameter_gradient, "01 01 0 0 1 1 1 1", "nni", NULL},
    {"relu", op_relu, "= =", "", NULL},
    {"reluGradient", op_relu_gradient, "= = =", "", NULL},
    {"add", op_add, "= = =", "i", NULL},
    {"axpy", op_axpy, "= =", "f", NULL},
    {"scale", op_scale, "=", "f", ""},
    {"sumOfSquares", op_sum_of_squares, "=", "", ""},
    {"unary", op_unary, "= =", "iff", NULL},
    {"unaryGradient", op_unary_gradient, "= = =", "iff", NULL},
    {"binary", op_binary, "A B 012345", "nnnnnniii", NULL},
    {"binaryGradient", op_binary_gradient, "A B 012345 012345", "nnnnnniii", NULL},
    {"reduceSum", op_reduce_sum, "012 02", "nnnf", NULL},
    {"reduceProducts", op_reduce_products, "012 012 02", "nnn", NULL},
    {"reduceMaximum", op_reduce_maximum, "012 02", "nnn", NULL},
    {"reduceMaximumGradient", op_reduce_maximum_gradient, "012 02 02 012", "nnn", NULL},
    {"globalAveragePool", op_global_average_pool, "012 02", "nnn", NULL},
    {"globalAveragePoolGradient", op_global_average_pool_gradient, "02 012", "nnn", NULL},
    {"maxPool", op_max_pool, "0123 0453", POOLING, NULL},
    {"maxPoolGradient", op_max_pool_gradient, "0123 0453 0453 0123", POOLING, NULL},
    {"averagePool", op_average_pool, "0123 0453", POOLING "i", NULL},
    {"averagePoolGradient", op_average_pool_gradient, "0453 0123", POOLING "i", NULL},
    {"embedding", op_embedding, "12 #0<1 02", "ccn", NULL},
    {"embeddingGradient", op_embedding_gradient, "#0<1 02 12", "ccn", NULL},
    {"softmaxCrossEntropy", op_softmax_cross_entropy, "01 #0<1 0 01", "nnf", NULL},
    {"softTargetCrossEntropy", op_soft_target_cross_entropy, "01 01 0 01", "nn", NULL},
    {"powerOfTwo", op_power_of_two, "= =", "ii", NULL},
    {"oddTable", op_odd_table, "= 0 0 =", "pfff", NULL},
    {"oddTableGradient", op_odd_table_gradient, "= = 0 0 =", "pfff", NULL},
    {"sgdSteps", op_sgd_steps, "= = =", "ffi", "ff"},
    {"adamwSteps", op_adamw_steps, "= = = =", "ffff", "ffff"},
    {"probe", op_probe, "", "cn", NULL},
};

const int sa_op_count = sizeof sa_ops / sizeof *sa_ops;

/* --- checking a call -------------------------------------------------------------------------------------- */

int sa_buffers(const sa_op *o) {
  int count = *o->buffers != 0;
  for (const char *at = o->buffers; *at; at++) count += *at == ' ';
  return count;
}

/* The description of buffer i of an item. */
static const char *description(const sa_op *o, int buffer) {
  const char *at = o->buffers;
  for (; buffer > 0; at++) buffer -= *at == ' ';
  return at;
}

int sa_holds_integers(const sa_op *o, int buffer) { return *description(o, buffer) == '#'; }

int sa_items(const sa_op *o, int arguments) {
  const int buffers = sa_buffers(o), own = (int)strlen(o->numbers);
  if (!o->item_numbers) return arguments == buffers + own ? 1 : -1;
  const int each = buffers + (int)strlen(o->item_numbers);
  return arguments >= own && (arguments - own) % each == 0 ? (arguments - own) / each : -1;
}

/* Whether a number is what its letter says; the kernels' integers then hold it. */
static int is_allowed(char kind, double number) {
  if (kind == 'f') return 1;
  const double least = kind == 'p' ? 1 : kind == 'i' ? INT32_MIN : 0;
  const double most = kind == 'n' && LONG_MAX > INT32_MAX ? 9007199254740992.0 : INT32_MAX;
  return number >= least && number <= most && number == (double)(int64_t)number; /* a NaN fails the first test */
}

/* The product of the extents n[0 ..] of a broadcast whose axes an operand has. */
static double elements_of_operand(const double *n, double has) {
  double product = 1;
  for (int i = 0; i < SA_AXES; i++)
    if ((int)has >> i & 1) product *= n[i];
  return product;
}

/* Elements that a buffer must hold. */
static double elements_needed(const char *size, const double *n, size_t first_length) {
  if (*size == '=') return (double)first_length;
  double product = 1;
  for (size += *size == '#'; *size && *size != ' ' && *size != '<' && *size != '+'; size++) switch (*size) {
      case 'A': product *= elements_of_operand(n, n[SA_AXES]); break;
      case 'B': product *= elements_of_operand(n, n[SA_AXES + 1]); break;
      case 'x': product *= n[0] * n[1] * n[2] * n[3]; break;
      case 'y': product *= n[0] * n[4] * n[5] * n[6]; break;
      case 'w': product *= n[7] * n[8] * (n[3] / n[12]) * n[6]; break;
      default: product *= n[*size <= '9' ? *size - '0' : *size - 'a' + 10];
    }
  return product;
}

static int check_numbers(const char *kinds, const double *numbers, char *message, size_t size) {
  for (; *kinds; kinds++, numbers++) {
    if (is_allowed(*kinds, *numbers)) continue;
    snprintf(message, size, "%g is not a %s", *numbers,
             *kinds == 'i' ? "whole number" : *kinds == 'p' ? "positive count" : "count");
    return 0;
  }
  return 1;
}

/* The first integer outside [0, most], or NULL. */
static const int32_t *foreign_integer(const int32_t *integers, double count, double most) {
  for (const int32_t *end = integers + (long)count; integers < end; integers++)
    if (*integers < 0 || *integers > most) return integers;
  return NULL;
}

int sa_check(const sa_op *o, const sa_call *c, char *message, size_t size) {
  const int buffers = sa_buffers(o), own = (int)strlen(o->numbers);
  if (!check_numbers(o->numbers, c->number, message, size)) return 0;
  for (int item = 0; item < c->items; item++) {
    const int each = o->item_numbers ? (int)strlen(o->item_numbers) : 0;
    if (each && !check_numbers(o->item_numbers, c->number + own + item * each, message, size)) return 0;
    for (int i = 0; i < buffers; i++) {
      const char *holds = description(o, i);
      const double needed = elements_needed(holds, c->number, c->length[item * buffers]);
      if ((double)c->length[item * buffers + i] < needed) {
        snprintf(message, size, "a buffer is shorter than its shape");
        return 0;
      }
      if (*holds != '#') continue;
      while (*holds != '<' && *holds != '+') holds++;
      const double bound = elements_needed(holds + 1, c->number, 0);
      const int32_t *found = foreign_integer(c->data[item * buffers + i], needed, *holds == '<' ? bound - 1 : bound);
      if (!found) continue;
      snprintf(message, size, "%s %d is outside 0 to %.0f", *holds == '<' ? "index" : "count", (int)*found,
               *holds == '<' ? bound - 1 : bound);
      return -1;
    }
  }
  return 1;
}
