#include "engine/bench_operation.h"

#include "engine/session.h"
#include "ops/op_act.h"
#include "ops/op_embed.h"
#include "ops/op_norm.h"
#include "ops/op_post_norm.h"
#include "ops/op_util.h"

#define EPS 1e-5f
#define TOPK 40u

/* Operations an element, by the formulas: a norm by mean and deviation has the sum, x - mean, its square and sum, the product. */
#define RMSNORM_OPERATIONS 4
#define LAYERNORM_OPERATIONS 5
#define ROPE_OPERATIONS 3 /* two products and a sum */
#define SWIGLU_OPERATIONS 5

static double elements(obi_bench_shape shape) { return (double)shape.T * shape.n; }
static uint64_t row_bytes(obi_bench_shape shape) { return (uint64_t)shape.T * shape.n * 4; } /* of (T,n) */

static void rows_at(obi_bench_plan *plan, int i, obi_bench_shape shape, bool restored)
{
    plan->buffers[i] = (obi_bench_buffer){ .words = (uint64_t)shape.T * shape.n, .restored = restored };
}

/* ---- embedding, norms, activations ---------------------------------------------------------------------------------- */

static void plan_gather(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    rows_at(plan, 0, shape, false);
    plan->buffers[1] = (obi_bench_buffer){ .words = shape.T, .contents = OBI_BENCH_IDS };
    plan->matrix = OBI_BENCH_F16;
    plan->bytes = row_bytes(shape) + (uint64_t)shape.T * (obi_weight_row_words(OBI_WEIGHT_F16, shape.n) + 1) * 4;
}
static void gather(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_embed_gather_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), &o->weights[0], o->shape.T);
}

static void plan_rmsnorm(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    rows_at(plan, 0, shape, false);
    rows_at(plan, 1, shape, false);
    plan->buffers[2].words = shape.n;
    plan->operations = RMSNORM_OPERATIONS * elements(shape);
    plan->bytes = 2 * row_bytes(shape) + (uint64_t)shape.n * 4;
}
static void rmsnorm(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_rmsnorm_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), o->shape.T, o->shape.n, EPS);
}

static void plan_layernorm(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    rows_at(plan, 0, shape, false);
    rows_at(plan, 1, shape, false);
    plan->operations = LAYERNORM_OPERATIONS * elements(shape);
    plan->bytes = 2 * row_bytes(shape);
}
static void layernorm(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_layernorm_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, o->shape.n, EPS);
}

static void plan_swiglu(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    for (int i = 0; i < 3; i++) rows_at(plan, i, shape, false);
    plan->operations = SWIGLU_OPERATIONS * elements(shape);
    plan->bytes = 3 * row_bytes(shape);
}
static void swiglu(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_swiglu_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), (uint64_t)o->shape.T * o->shape.n);
}

static void plan_relu(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    for (int i = 0; i < 2; i++) rows_at(plan, i, shape, false);
    plan->operations = elements(shape);
    plan->bytes = 2 * row_bytes(shape);
}
static void relu(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_relu_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), (uint64_t)o->shape.T * o->shape.n);
}

static void plan_add(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    for (int i = 0; i < 3; i++) rows_at(plan, i, shape, false);
    plan->operations = elements(shape);
    plan->bytes = 3 * row_bytes(shape);
}
static void add(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_add_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), (uint64_t)o->shape.T * o->shape.n);
}

/* ---- positions, cache, attention: n is the width of q, k and v, cut into heads --------------------------------------- */

/* Positions: m, or T where that is more; the T tokens are the last of them. */
static uint32_t positions_of(obi_bench_shape shape) { return shape.m > shape.T ? shape.m : shape.T; }
static uint32_t first_of(obi_bench_shape shape) { return positions_of(shape) - shape.T; }

static obi_bench_shape of_heads(obi_bench_shape shape)
{
    obi_bench_heads heads = obi_bench_heads_of(shape.n);
    return (obi_bench_shape){ shape.T, shape.m, heads.H * heads.C };
}

static obi_kv_cache cache_of(const obi_bench_operands *o, int k, int v)
{
    return (obi_kv_cache){ obi_session_kv_type(o->device), obi_bench_view(o, k), obi_bench_view(o, v) };
}

/* cos and sin of half as many angles as a head has elements, for each position. */
static uint64_t rope_words(obi_bench_shape shape) { return (uint64_t)positions_of(shape) * obi_bench_heads_of(shape.n).C; }

static void plan_rope(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    shape = of_heads(shape);
    rows_at(plan, 0, shape, false);
    plan->buffers[1].words = rope_words(shape);
    plan->operations = ROPE_OPERATIONS * elements(shape);
    plan->bytes = 2 * row_bytes(shape) + (uint64_t)shape.T * obi_bench_heads_of(shape.n).C * 4;
}
static void rope(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_op_rope_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, heads.H, heads.C, heads.C, first_of(o->shape),
                    OBI_ROPE_HALF);
}

static void plan_store(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    shape = of_heads(shape);
    uint64_t words = obi_kv_words(obi_session_kv_type(device), shape.n, obi_bench_heads_of(shape.n).C);
    rows_at(plan, 0, shape, false);
    rows_at(plan, 1, shape, false);
    plan->buffers[2].words = plan->buffers[3].words = positions_of(shape) * words;
    plan->bytes = 2 * row_bytes(shape) + 2 * shape.T * words * 4;
}
static void store(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_shape shape = of_heads(o->shape);
    obi_op_kv_store_fwd(cmd, cache_of(o, 2, 3), obi_bench_view(o, 0), obi_bench_view(o, 1), shape.T, shape.n,
                        obi_bench_heads_of(shape.n).C, first_of(shape), positions_of(shape));
}

/* Each pair of a query and a position that it sees: a product and a sum for each element of q and k, and as many with v. Keys and
 * values are read once. */
static void plan_attention(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    shape = of_heads(shape);
    uint64_t words = obi_kv_words(obi_session_kv_type(device), shape.n, obi_bench_heads_of(shape.n).C);
    uint64_t T = shape.T, positions = positions_of(shape);
    rows_at(plan, 0, shape, false);
    rows_at(plan, 1, shape, false);
    plan->buffers[2].words = plan->buffers[3].words = positions * words;
    plan->operations = 4.0 * ((double)T * first_of(shape) + 0.5 * (double)T * (double)(T + 1)) * shape.n;
    plan->bytes = 2 * row_bytes(shape) + 2 * positions * words * 4;
}
static void attention(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_op_attn_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), cache_of(o, 2, 3), o->shape.T, heads.H, heads.H, heads.C,
                    first_of(o->shape));
}

/* ---- what follows a projection: norm by mean and deviation first ------------------------------------------------------ */

static void plan_post_qkv(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    shape = of_heads(shape);
    obi_bench_heads heads = obi_bench_heads_of(shape.n);
    uint64_t words = obi_kv_words(obi_session_kv_type(device), shape.n, obi_bench_heads_of(shape.n).C);
    plan->buffers[0] = (obi_bench_buffer){ .words = obi_attn_parts_bytes(shape.T, heads.H, heads.H, heads.C) / 4, .restored = true };
    plan->buffers[1].words = rope_words(shape);
    plan->buffers[2].words = plan->buffers[3].words = positions_of(shape) * words;
    plan->operations = (3 * LAYERNORM_OPERATIONS + 2 * ROPE_OPERATIONS) * elements(shape);
    plan->bytes = 4 * row_bytes(shape) + 2 * shape.T * words * 4 + (uint64_t)shape.T * heads.C * 4;
}
static void post_qkv(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bench_heads heads = obi_bench_heads_of(o->shape.n);
    obi_post_qkv what = { .T = o->shape.T, .H = heads.H, .K = heads.H, .C = heads.C, .R = heads.C, .first_position = first_of(o->shape),
                          .context = positions_of(o->shape), .layout = OBI_ROPE_HALF, .post_eps = EPS };
    obi_op_post_qkv_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), cache_of(o, 2, 3), &what);
}

static void plan_post_residual(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    rows_at(plan, 0, shape, true);
    rows_at(plan, 1, shape, false);
    rows_at(plan, 2, shape, true);
    plan->buffers[3].words = shape.n;
    plan->operations = (LAYERNORM_OPERATIONS + 1 + RMSNORM_OPERATIONS) * elements(shape);
    plan->bytes = 4 * row_bytes(shape) + (uint64_t)shape.n * 4; /* x read and written, p read, normed written, w */
}
static void post_residual(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_post_residual_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), obi_bench_view(o, 3), o->shape.T,
                             o->shape.n, EPS, EPS);
}

static void plan_post_swiglu(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    rows_at(plan, 0, shape, true);
    rows_at(plan, 1, shape, true);
    plan->operations = (2 * LAYERNORM_OPERATIONS + SWIGLU_OPERATIONS) * elements(shape);
    plan->bytes = 3 * row_bytes(shape);
}
static void post_swiglu(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_post_swiglu_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), o->shape.T, o->shape.n, EPS);
}

/* ---- the choice of a token among m ---------------------------------------------------------------------------------- */

static uint32_t candidates_of(obi_bench_shape shape, uint32_t k) { return k < shape.m ? k : shape.m; }

static void plan_choice(obi_bench_shape shape, uint32_t k, obi_bench_plan *plan)
{
    k = candidates_of(shape, k);
    plan->buffers[0].words = 2 * k;
    plan->buffers[1].words = shape.m;
    plan->buffers[2].words = obi_op_topk_scratch_bytes(shape.m, k) / 4;
    plan->operations = shape.m;
    plan->bytes = (uint64_t)shape.m * 4 + 8 * k;
}
static void plan_argmax(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_choice(shape, 1, plan);
}
static void plan_topk(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_choice(shape, TOPK, plan);
}
static void choice(obi_cmd *cmd, const obi_bench_operands *o, uint32_t k)
{
    obi_op_topk_fwd(cmd, obi_bench_view(o, 0), obi_bench_view(o, 1), obi_bench_view(o, 2), o->shape.m, candidates_of(o->shape, k));
}
static void argmax(obi_cmd *cmd, const obi_bench_operands *o) { choice(cmd, o, 1); }
static void topk(obi_cmd *cmd, const obi_bench_operands *o) { choice(cmd, o, TOPK); }

#define ROWS { { 1, 4096, 4096 }, { 512, 4096, 4096 } }
#define CONTEXTS { { 1, 256, 4096 }, { 1, 4096, 4096 }, { 64, 64, 4096 }, { 64, 1024, 4096 } }

const obi_bench_operation obi_bench_forward[] = {
    { "embed_gather_forward", "X (T,n) = rows of W (m,n), f16", plan_gather, gather, { { 1, 32000, 4096 }, { 512, 32000, 4096 } } },
    { "rmsnorm_forward", "Y (T,n) = X w / rms(X)", plan_rmsnorm, rmsnorm, ROWS },
    { "layernorm_forward", "Y (T,n) = (X - mean) / deviation", plan_layernorm, layernorm, ROWS },
    { "rope_forward", "X (T,n) turned, heads of 128 where n allows it", plan_rope, rope, ROWS },
    { "kv_store_forward", "k, v (T,n) into the cache", plan_store, store, ROWS },
    { "attention_forward", "T queries over m positions, width n, as many key heads as heads", plan_attention, attention, CONTEXTS },
    { "swiglu_forward", "Y (T,n) = gate sigmoid(gate) up", plan_swiglu, swiglu, { { 1, 1, 11008 }, { 512, 1, 11008 } } },
    { "relu_forward", "Y (T,n) = max(X, 0)", plan_relu, relu, { { 512, 1, 4096 } } },
    { "add_forward", "Y (T,n) = A + B", plan_add, add, ROWS },
    { "post_qkv_forward", "N(q), N(k) turned, N(k), N(v) (T,n) into the cache", plan_post_qkv, post_qkv, ROWS },
    { "post_residual_forward", "X (T,n) += N(P), Y = X w / rms(X)", plan_post_residual, post_residual, ROWS },
    { "post_swiglu_forward", "gate (T,n) = silu(N(gate)) N(up)", plan_post_swiglu, post_swiglu, { { 1, 1, 11008 }, { 512, 1, 11008 } } },
    { "argmax_forward", "the largest of m", plan_argmax, argmax, { { 1, 32000, 1 } } },
    { "topk_forward", "the 40 largest of m", plan_topk, topk, { { 1, 32000, 1 } } },
    { 0 },
};
