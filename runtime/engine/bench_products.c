#include "engine/bench_operation.h"

#include "core/checked.h"
#include "ops/op_bitlinear_bwd.h"
#include "ops/op_dense.h"
#include "ops/op_dense_bwd.h"

/* ---- what they cost: 2 T m n operations each -------------------------------------------------------------------- */

enum { X = 0, Y = 1, SCALES = 2 }; /* buffers: (T,n), (T,m), g and h */

static uint64_t matrix_bytes(obi_bench_matrix matrix, obi_bench_shape shape)
{
    obi_weight_type type = matrix == OBI_BENCH_F32 ? OBI_WEIGHT_F32 : matrix == OBI_BENCH_F16 ? OBI_WEIGHT_F16 : OBI_WEIGHT_SIGN;
    return (uint64_t)shape.m * obi_weight_row_words(type, shape.n) * 4;
}

static void plan_product(obi_bench_matrix matrix, obi_bench_shape shape, obi_bench_plan *plan)
{
    uint64_t T = shape.T, m = shape.m, n = shape.n;
    plan->buffers[X].words = T * n;
    plan->buffers[Y].words = T * m;
    plan->matrix = matrix;
    plan->operations = 2.0 * shape.T * shape.m * shape.n;
    plan->bytes = (T * n + T * m) * 4 + matrix_bytes(matrix, shape);
    plan->signs = matrix == OBI_BENCH_SIGNS || matrix == OBI_BENCH_SIGN_ROWS ? m * n : 0;
}

static void plan_onebit(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_product(OBI_BENCH_SIGNS, shape, plan);
    plan->buffers[SCALES].words = obi_scales_floats(shape.m, shape.n);
    plan->bytes += ((uint64_t)shape.m + shape.n) * 4;
}

/* Of a matrix of the group in its buffer. */
static uint64_t group_bytes(obi_bench_shape shape) { return obi_align_up((uint64_t)shape.T * shape.m * 4, OBI_BUFFER_ALIGNMENT); }

static void plan_onebit_group(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    plan_onebit(device, shape, plan);
    plan->matrices = 3;
    plan->buffers[Y].words = 3 * group_bytes(shape) / 4;
    plan->buffers[SCALES].words *= 3;
    plan->operations *= 3;
    plan->signs *= 3;
    plan->bytes = 3 * plan->bytes - 2 * (uint64_t)shape.T * shape.n * 4; /* X is read once */
}

static void plan_signs(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_product(OBI_BENCH_SIGN_ROWS, shape, plan);
}

static void plan_dense(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_product(OBI_BENCH_F32, shape, plan);
}

static void plan_half(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    (void)device;
    plan_product(OBI_BENCH_F16, shape, plan);
}

static void plan_gradient(const obi_device *device, obi_bench_shape shape, obi_bench_plan *plan)
{
    plan_dense(device, shape, plan);
    plan->bytes += matrix_bytes(OBI_BENCH_F32, shape); /* read and written */
}

/* ---- how they are recorded ---------------------------------------------------------------------------------------- */

static void onebit_forward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_bitlinear_fwd(cmd, obi_bench_view(o, Y), obi_bench_view(o, X), &o->weights[0], obi_bench_view(o, SCALES), o->shape.T);
}
static void onebit_group_forward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_bitlinear_part parts[3];
    uint64_t scales = obi_scales_floats(o->shape.m, o->shape.n) * 4;
    for (uint32_t i = 0; i < 3; i++) {
        obi_view y = { o->buffers[Y], i * group_bytes(o->shape), (uint64_t)o->shape.T * o->shape.m * 4 };
        obi_view own = { o->buffers[SCALES], i * scales, scales };
        parts[i] = (obi_bitlinear_part){ y, own, &o->weights[i] };
    }
    obi_op_bitlinear_group_fwd(cmd, parts, 3, obi_bench_view(o, X), o->shape.T);
}
static void sign_forward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_sign_gemm(cmd, obi_bench_view(o, Y), obi_bench_view(o, X), &o->weights[0], o->shape.T);
}
static void sign_backward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_bitlinear_bwd_x(cmd, obi_bench_view(o, X), obi_bench_view(o, Y), &o->weights[0], o->shape.T);
}
static void weight_gradient(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_dense_bwd_w(cmd, &o->weights[0], obi_bench_view(o, Y), obi_bench_view(o, X), o->shape.T);
}
static void dense_forward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_dense_fwd(cmd, obi_bench_view(o, Y), obi_bench_view(o, X), &o->weights[0], o->shape.T);
}
static void dense_backward(obi_cmd *cmd, const obi_bench_operands *o)
{
    obi_op_dense_bwd_x(cmd, obi_bench_view(o, X), obi_bench_view(o, Y), &o->weights[0], o->shape.T, false);
}

#define SHAPES { { 1, 4096, 4096 }, { 512, 4096, 4096 } }

const obi_bench_operation obi_bench_products[] = {
    { "matmul_onebit_forward", "Y (T,m) = h * (S (g * X)), the 1-bit linear layer", plan_onebit, onebit_forward, SHAPES },
    { "matmul_onebit_group_forward", "the same for three matrices (m,n) of one X, as q, k and v", plan_onebit_group, onebit_group_forward,
      SHAPES },
    { "matmul_sign_forward", "V (T,m) = U (T,n) S^T", plan_signs, sign_forward, SHAPES },
    { "matmul_sign_backward", "dU (T,n) = dV (T,m) S", plan_signs, sign_backward, SHAPES },
    { "matmul_weight_gradient", "dS (m,n) += dV^T U", plan_gradient, weight_gradient, SHAPES },
    { "matmul_dense_forward", "Y (T,m) = X (T,n) W^T, f32", plan_dense, dense_forward, SHAPES },
    { "matmul_half_forward", "Y (T,m) = X (T,n) W^T, f16 weights", plan_half, dense_forward, SHAPES },
    { "matmul_dense_backward", "dX (T,n) = dY (T,m) W, f32", plan_dense, dense_backward, SHAPES },
    { 0 },
};
