#include "engine/bench_operation.h"

#include "ops/op_act_bwd.h"
#include "ops/op_attn_bwd.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_embed_bwd.h"
#include "ops/op_loss.h"
#include "ops/op_norm_bwd.h"
#include "ops/op_optim.h"
#include "ops/op_svid.h"

#define EPS 1e-5f

static uint64_t rows_words(obi_bench_shape shape) { return (uint64_t)shape.T * shape.n; }
static uint64_t matrix_words(obi_bench_shape shape) { return (uint64_t)shape.m * shape.n; }

/* `count` buffers of `words`, and a cost for each word of one of them: `moved` words, `operations`. */
static void plan_words(obi_bench_plan *plan, int count, uint64_t words, uint32_t moved, double operations)
{
    for (int i = 0; i < count; i++) plan->buffers[i].words = words;
    plan->operations = operations * (double)words;
    plan->bytes = words * moved * 4;
}

static void more(obi_bench_plan *plan, int i, uint64_t words, uint64_t moved)
{
    plan->buffers[i].words = words;
    plan->bytes += moved * 4;
}

/* ---- backward passes -------------------------------------------------------------------------------------------------- */

/* Sums of squares and of dy w x (5), then dx = a dy w - b x (4). */
static void plan_rmsnorm(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 3, rows_words(shape), 3, 9);
    more(plan, 3, shape.n, shape.n);
}
static void rmsnorm(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_rmsnorm_bwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), obi_bench_view(o, 3), o->shape.T, o->shape.n,
                       EPS, false);
}

/* Sums of squares (2), then dw += dy x / rms (3). */
static void plan_rmsnorm_weight(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, rows_words(shape), 2, 5);
    more(plan, 2, shape.n, 2ull * shape.n);
    more(plan, 3, obi_op_rmsnorm_bwd_w_scratch_bytes(shape.T, shape.n) / 4, 0);
}
static void rmsnorm_weight(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_rmsnorm_bwd_w(cmd, obi_bench_view(o, 2), obi_bench_view(o, 3), obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T,
                         o->shape.n, EPS);
}

/* The norm anew (5), sums of dy and of dy y (3), and dx of both (4). */
static void plan_layernorm(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 3, rows_words(shape), 3, 12);
}
static void layernorm(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_layernorm_bwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), o->shape.T, o->shape.n, EPS);
}

static void plan_rope(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    obi_bench_heads heads = obi_bench_heads_of(shape.n);
    plan_words(plan, 1, (uint64_t)shape.T * heads.H * heads.C, 2, 3);
    more(plan, 1, (uint64_t)shape.T * heads.C, (uint64_t)shape.T * heads.C);
}
static void rope(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_op_rope_bwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, heads.H, heads.C, heads.C, 0, OBI_ROPE_HALF);
}

/* sigmoid (3), up's (2) and gate's (6). */
static void plan_swiglu(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 3, rows_words(shape), 5, 11);
    plan->buffers[0].restored = plan->buffers[1].restored = true;
}
static void swiglu(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_swiglu_bwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), rows_words(o->shape));
}

static void plan_relu(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 3, rows_words(shape), 3, 1);
}
static void relu(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_relu_bwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), rows_words(o->shape));
}

static void plan_scale_columns(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, rows_words(shape), 2, 1);
    more(plan, 2, shape.n, shape.n);
}
static void scale_columns(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_scale_columns(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), o->shape.T, o->shape.n, false);
}

static void plan_column_dot(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, rows_words(shape), 2, 2);
    more(plan, 2, shape.n, 2ull * shape.n);
    more(plan, 3, obi_column_dot_floats(shape.T, shape.n), 0);
}
static void column_dot(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_column_dot(cmd, obi_bench_view(o, 2), obi_bench_view(o, 3), obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, o->shape.n);
}

static void plan_scatter(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 1, rows_words(shape), 1, 1);
    more(plan, 1, OBI_EMBED_PLAN_WORDS(shape.T), OBI_EMBED_PLAN_WORDS(shape.T));
    plan->buffers[1].contents = OBI_BENCH_SCATTER;
    plan->matrix = OBI_BENCH_F32;
    plan->distinct_bytes = 8ull * shape.n;
}
static void scatter(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_embed_scatter_add(cmd, &o->weights[0], obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, o->distinct);
}

/* ---- attention over one sequence of T tokens ---------------------------------------------------------------------------- */

enum { QKV = 0, OUT = 1, DOUT = 2, DQKV = 3, STATS = 4 };

static double pairs_of(obi_bench_shape shape) { return 0.5 * shape.T * (shape.T + 1.0); } /* of a query and what it sees */
static uint64_t heads_words(obi_bench_shape shape)
{
    obi_bench_heads heads = obi_bench_heads_of(shape.n);
    return (uint64_t)shape.T * heads.H * heads.C;
}
static uint64_t parts_words(obi_bench_shape shape)
{
    obi_bench_heads heads = obi_bench_heads_of(shape.n);
    return obi_attn_parts_bytes(shape.T, heads.H, heads.H, heads.C) / 4;
}

/* For each pair and element two products and sums. */
static void plan_attention(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    uint64_t words = heads_words(shape);
    more(plan, QKV, parts_words(shape), 3 * words);
    more(plan, OUT, words, words);
    plan->operations = 4 * pairs_of(shape) * (double)words / shape.T;
}
static void attention(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_attn_parts parts = obi_attn_parts_of(obi_bench_view(o, QKV), o->shape.T, heads.H, heads.H, heads.C);
    obi_op_attn_train_fwd(cmd, obi_bench_view(o, OUT), parts.q, parts.k, parts.v, 1, o->shape.T, heads.H, heads.H, heads.C);
}

/* Five: the scores anew, and the gradients of weights, q, k and v. */
static void plan_attention_backward(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    plan_attention(device, shape, plan);
    uint64_t words = heads_words(shape);
    more(plan, DOUT, words, words);
    more(plan, DQKV, parts_words(shape), 3 * words);
    more(plan, STATS, obi_attn_stats_bytes(shape.T, obi_bench_heads_of(shape.n).H) / 4, 0);
    plan->operations *= 2.5;
}
static void attention_backward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_op_attn_bwd(cmd, obi_bench_view(o, DQKV), obi_bench_view(o, STATS), obi_bench_view(o, QKV), obi_bench_view(o, OUT),
                    obi_bench_view(o, DOUT), 1, o->shape.T, heads.H, heads.H, heads.C);
}

/* ---- losses: m is the vocabulary ------------------------------------------------------------------------------------------ */

/* x - largest, its exponential and their sum; a product and, once a row, a difference. */
static void plan_xent(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 1, (uint64_t)shape.T * shape.m, 2, 5);
    plan->buffers[0].restored = true;
    more(plan, 1, shape.T, shape.T);
    plan->buffers[1].contents = OBI_BENCH_IDS;
    more(plan, 2, shape.T, shape.T);
}
static void xent(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_xent(cmd, obi_bench_view(o, 2), obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, o->shape.m, 1.0f / (float)o->shape.T);
}

/* The same of both (2 x 4), p (t - s) into the sum (3), q - p (2). */
static void plan_kd(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, (uint64_t)shape.T * shape.m, 0, 13);
    plan->bytes = 12ull * shape.T * shape.m; /* the student's read and written, the teacher's read */
    plan->buffers[0].restored = true;
    more(plan, 2, shape.T, shape.T);
    plan->buffers[2].contents = OBI_BENCH_IDS;
    more(plan, 3, 2ull * shape.T, 2ull * shape.T);
}
static void kd(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_kd_xent(cmd, obi_bench_view(o, 3), obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), o->shape.T, o->shape.m,
                   1.0f / (float)o->shape.T);
}

static void plan_hidden(obi_bench_shape shape, double operations, obi_bench_plan *plan)
{
    plan_words(plan, 3, rows_words(shape), 4, operations);
    more(plan, 3, (uint64_t)shape.T + 1, shape.T);
    more(plan, 4, obi_op_hidden_scratch_bytes(shape.T, shape.n) / 4, 0);
}
/* Two sums of squares (4), the distance of directions (4), the gradient and its sum (5). */
static void plan_cos(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_hidden(shape, 13, plan);
}
/* The teacher's squares (2), the distance (3), the gradient and its sum (3). */
static void plan_mse(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_hidden(shape, 8, plan);
}
static void hidden(obi_cmd *cmd, const obi_bench_operands *o, obi_hidden_kind kind)
{
    obi_op_hidden(cmd, obi_bench_view(o, 3), obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), obi_bench_view(o, 4),
                  o->shape.T, o->shape.n, 1.0f / (float)o->shape.T, kind);
}
static void hidden_cos(obi_cmd *cmd, const obi_bench_operands *o) { hidden(cmd, o, OBI_HIDDEN_COS); }
static void hidden_mse(obi_cmd *cmd, const obi_bench_operands *o) { hidden(cmd, o, OBI_HIDDEN_MSE); }

/* ---- the optimiser, on m x n parameters ------------------------------------------------------------------------------------- */

static void plan_adamw(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 4, matrix_words(shape), 7, 17); /* of the formula in op_optim.h, decay and grad_scale included */
    plan->buffers[3].contents = OBI_BENCH_POSITIVE;
}
static void adamw(obi_cmd *cmd, const obi_bench_operands *o)
{
    const obi_adamw step = { .lr = 1e-4f, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-8f, .weight_decay = 0.01f, .c1 = 0.5f, .c2 = 0.5f,
                             .grad_scale = 1 };
    obi_op_adamw(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), obi_bench_view(o, 3), matrix_words(o->shape),
                 &step);
}

static void plan_sumsq(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 1, matrix_words(shape), 1, 2);
    more(plan, 1, 2, 2);
    more(plan, 2, obi_op_sumsq_scratch_bytes(matrix_words(shape)) / 4, 0);
}
static void sumsq(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_sumsq(cmd, obi_bench_view(o, 1), obi_bench_view(o, 2), obi_bench_view(o, 0), matrix_words(o->shape), false);
}

static void plan_scale(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 1, matrix_words(shape), 2, 1);
}
static void scale(obi_cmd *cmd, const obi_bench_operands *o) { obi_op_scale(cmd, obi_bench_view(o, 0), matrix_words(o->shape), 1.0f); }

/* tanh, its square, a difference, the product. */
static void plan_estimator(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, matrix_words(shape), 3, 4);
    plan->buffers[0].restored = true;
}
static void estimator(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_estimator(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), matrix_words(o->shape), OBI_ESTIMATOR_ONEBIT, 1);
}

static uint64_t packed_words(obi_bench_shape shape) { return (uint64_t)shape.m * obi_weight_row_words(OBI_WEIGHT_SIGN, shape.n); }

static void plan_flips(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_words(plan, 2, packed_words(shape), 2, 0); /* bits of floats: as good as any */
    plan->signs = matrix_words(shape);
    more(plan, 2, 1, 2);
}
static void flips(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_flip_count(cmd, obi_bench_view(o, 2), obi_bench_view(o, 0), obi_bench_view(o, 1), packed_words(o->shape));
}

/* ---- SVID: W (m,n) f32, its rows' a (m), its columns' b (n) ------------------------------------------------------------------- */

/* A weight of this shape without its blocks, for sizes of scratch; the device that makes it will say what is wrong with it. */
static obi_weight shape_only(const obi_device *device, obi_bench_shape shape)
{
    obi_weight weight = { 0 };
    if (obi_weight_shape(device, OBI_WEIGHT_F32, shape.m, shape.n, 0, &weight) != OBI_OK) weight.block_rows = weight.block_count = 1;
    return weight;
}

static void plan_svid(obi_bench_shape shape, double operations, obi_bench_plan *plan)
{
    plan->matrix = OBI_BENCH_F32;
    plan->operations = operations * (double)matrix_words(shape);
    plan->bytes = matrix_words(shape) * 4;
    more(plan, 0, shape.m, shape.m);
    more(plan, 1, shape.n, shape.n);
    plan->buffers[0].contents = plan->buffers[1].contents = OBI_BENCH_POSITIVE;
}
static void plan_svid_rows(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_svid(shape, 2, plan);
    more(plan, 2, 1, 1);
    plan->buffers[2].contents = OBI_BENCH_POSITIVE;
}
static void svid_rows(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_svid_rows(cmd, obi_bench_view(o, 0), &o->weights[0], obi_bench_view(o, 1), obi_bench_view(o, 2), true);
}
static void plan_svid_columns(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    plan_svid_rows(device, shape, plan);
    obi_weight weight = shape_only(device, shape);
    more(plan, 3, obi_svid_scratch_floats(&weight), 0);
}
static void svid_columns(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_svid_columns(cmd, obi_bench_view(o, 1), obi_bench_view(o, 3), &o->weights[0], obi_bench_view(o, 0), obi_bench_view(o, 2), true);
}
static void plan_svid_residual(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    plan_svid(shape, 4, plan);
    obi_weight weight = shape_only(device, shape);
    more(plan, 3, obi_svid_residual_floats(&weight), obi_svid_residual_floats(&weight));
}
static void svid_residual(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_svid_residual(cmd, obi_bench_view(o, 3), &o->weights[0], obi_bench_view(o, 0), obi_bench_view(o, 1), true);
}
static void plan_svid_stats(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan->matrix = OBI_BENCH_F32;
    plan->operations = 3.0 * (double)matrix_words(shape);
    plan->bytes = matrix_words(shape) * 4;
    more(plan, 0, shape.m, shape.m);
    more(plan, 1, shape.m, shape.m);
}
static void svid_stats(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_svid_stats(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), &o->weights[0]);
}

static void plan_pack(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan->matrix = OBI_BENCH_F32;
    plan->bytes = matrix_words(shape) * 4;
    plan->signs = matrix_words(shape);
    plan->operations = (double)matrix_words(shape);
    more(plan, 0, packed_words(shape), packed_words(shape));
}
static void pack(obi_cmd *cmd, const obi_bench_operands *o)
{
    const obi_weight *weight = &o->weights[0];
    obi_view words = obi_bench_view(o, 0);
    for (uint32_t block = 0; block < weight->block_count; block++) { /* each into the same place, where there are several */
        uint32_t first, count;
        (void)obi_weight_block(weight, block, &first, &count);
        words.size = (uint64_t)count * obi_weight_row_words(OBI_WEIGHT_SIGN, weight->columns) * 4;
        obi_op_sign_pack(cmd, words, weight, block);
    }
}

#define ROWS { { 512, 4096, 4096 } }
#define MATRIX { { 1, 4096, 4096 } }

const obi_bench_operation obi_bench_training[] = {
    { "attention_train_forward", "T tokens of one sequence, width n, causal", plan_attention, attention, ROWS },
    { "attention_backward", "its dq, dk and dv", plan_attention_backward, attention_backward, ROWS },
    { "rmsnorm_backward", "dX (T,n) of dY", plan_rmsnorm, rmsnorm, ROWS },
    { "rmsnorm_weight_backward", "dw (n) += of dY and X (T,n)", plan_rmsnorm_weight, rmsnorm_weight, ROWS },
    { "layernorm_backward", "dX (T,n) of dY", plan_layernorm, layernorm, ROWS },
    { "rope_backward", "dX (T,n) turned back", plan_rope, rope, ROWS },
    { "swiglu_backward", "dgate, dup (T,n) of dY, in place", plan_swiglu, swiglu, { { 512, 1, 11008 } } },
    { "relu_backward", "dX (T,n) of dY", plan_relu, relu, ROWS },
    { "scale_columns", "Y (T,n) = X s", plan_scale_columns, scale_columns, ROWS },
    { "column_dot", "out (n) += sum over T of A B", plan_column_dot, column_dot, ROWS },
    { "embed_scatter_backward", "dW (m,n) += dX (T,n) at their ids", plan_scatter, scatter, { { 512, 32000, 4096 } } },
    { "loss_xent", "cross-entropy of (T,m) logits and its gradient", plan_xent, xent, { { 512, 32000, 1 } } },
    { "loss_kd", "KL of (T,m) logits and its gradient", plan_kd, kd, { { 512, 32000, 1 } } },
    { "loss_hidden_cos", "distance of directions (T,n) and its gradient", plan_cos, hidden_cos, ROWS },
    { "loss_hidden_mse", "distance (T,n) and its gradient", plan_mse, hidden_mse, ROWS },
    { "optim_adamw", "a step of m x n parameters", plan_adamw, adamw, MATRIX },
    { "optim_sumsq", "sum of the squares of m x n", plan_sumsq, sumsq, MATRIX },
    { "optim_scale", "m x n numbers times one", plan_scale, scale, MATRIX },
    { "optim_estimator", "dW (m,n) *= 1.001 - tanh(W)^2", plan_estimator, estimator, MATRIX },
    { "optim_flip_count", "differing bits of m x n signs", plan_flips, flips, MATRIX },
    { "svid_rows", "a (m) = |W| b / b.b", plan_svid_rows, svid_rows, MATRIX },
    { "svid_columns", "b (n) = |W|T a / a.a", plan_svid_columns, svid_columns, MATRIX },
    { "svid_residual", "sums of (|W| - a bT)^2", plan_svid_residual, svid_residual, MATRIX },
    { "svid_stats", "sums of |W| and W^2 by rows", plan_svid_stats, svid_stats, MATRIX },
    { "sign_pack", "the signs of W (m,n)", plan_pack, pack, MATRIX },
    { 0 },
};
