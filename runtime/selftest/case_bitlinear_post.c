/* Cases of projections whose last workgroup does what follows them: the products, made once more by the op alone (which has cases of its
 * own), are what the reference goes on from. Where a device takes two dispatches there is nothing to run, and that passes. */
#include "core/checked.h"
#include "ops/op_bitlinear_post.h"
#include "ops/sign_family.h"
#include "ops/sign_gemv.h"
#include "ref/ref_bitlinear.h"
#include "selftest/case_matrix.h"
#include "selftest/case_norm.h"
#include "selftest/case_post_norm.h"
#include "selftest/cases.h"

/* Some matrices of n columns with random contents, one vector, and the products: for the op, and `raw` as the host's. */
typedef struct projection {
    uint32_t count;
    const uint32_t *words[OBI_GROUP_MAX];
    obi_weight weights[OBI_GROUP_MAX];
    obi_bitlinear_part parts[OBI_GROUP_MAX];
    obi_view in, y;
    float *raw; /* where they are in y */
} projection;

static void drop(obi_case_env *env, projection *of)
{
    for (uint32_t i = 0; i < of->count; i++) obi_weight_destroy(env->device, &of->weights[i]);
}

static obi_status fill(obi_case_env *env, projection *of, obi_sign_family family, const uint32_t *rows, uint32_t n, uint64_t beside,
                       obi_case_result *result)
{
    uint64_t y_bytes = 0, scales_floats = 0, first[OBI_GROUP_MAX];
    for (uint32_t i = 0; i < of->count; i++) {
        uint32_t *words = obi_case_signs(env, rows[i], n);
        if (!words) return OBI_ERROR_MEMORY;
        of->words[i] = words;
        of->weights[i].family = (uint32_t)family;
        OBI_TRY(obi_weight_upload(env->upload, &of->weights[i], 0, rows[i], words));
        of->parts[i].y = (obi_view){ NULL, y_bytes, (uint64_t)rows[i] * 4 };
        first[i] = scales_floats;
        y_bytes = obi_align_up(y_bytes + of->parts[i].y.size, OBI_BUFFER_ALIGNMENT);
        scales_floats += obi_scales_floats(rows[i], n);
    }
    float *x = obi_case_normal(env, n, 1.0), *scales = obi_case_normal(env, scales_floats, 0.5);
    of->raw = obi_case_zeros(env, (y_bytes + beside) / 4);
    if (!x || !scales || !of->raw) return OBI_ERROR_MEMORY;
    obi_view scales_view;
    OBI_TRY(obi_case_upload(env, x, (uint64_t)n * 4, &of->in));
    OBI_TRY(obi_case_upload(env, scales, scales_floats * 4, &scales_view));
    OBI_TRY(obi_case_output(env, y_bytes + beside, &of->y));
    OBI_TRY(obi_upload_finish(env->upload));
    for (uint32_t i = 0; i < of->count; i++) {
        of->parts[i].weight = &of->weights[i];
        of->parts[i].scales = (obi_view){ scales_view.buffer, scales_view.offset + first[i] * 4, obi_scales_floats(rows[i], n) * 4 };
        of->parts[i].y.buffer = of->y.buffer;
        of->parts[i].y.offset += of->y.offset;
    }
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_group_fwd(env->cmd, of->parts, of->count, of->in, 1);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, of->y, of->raw, y_bytes));
    for (uint32_t i = 0; i < of->count; i++) {
        const float *g = scales + first[i], *h = g + obi_scales_h_offset(n);
        float *want = obi_case_zeros(env, rows[i]), *bound = obi_case_zeros(env, rows[i]);
        if (!want || !bound) return OBI_ERROR_MEMORY;
        ref_bitlinear_fwd(want, x, of->words[i], g, h, rows[i], n, 1);
        for (uint32_t j = 0; j < rows[i]; j++) bound[j] = obi_case_sign_error(family == OBI_SIGN_HALF, x, g, n, h[j]);
        obi_case_compare(result, "a product", of->raw + (of->parts[i].y.offset - of->y.offset) / 4, want, rows[i], bound, 0, 0);
    }
    return OBI_OK;
}

/* y has `beside` bytes more. To be dropped where it succeeds. */
static obi_status make(obi_case_env *env, projection *of, obi_sign_family family, const uint32_t *rows, uint32_t count, uint32_t n,
                       uint64_t beside, obi_case_result *result)
{
    OBI_TRY(obi_weight_create_group(env->device, OBI_WEIGHT_SIGN, rows, count, n, of->weights));
    of->count = count;
    obi_status status = fill(env, of, family, rows, n, beside, result);
    if (status != OBI_OK) drop(env, of);
    return status;
}

static obi_status residual(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t m = sizes[0], post = sizes[2];
    projection of;
    OBI_TRY(make(env, &of, family, &m, 1, sizes[1], 0, result));
    float *x = obi_case_normal(env, m, 1.0), *w = obi_case_normal(env, m, 1.0);
    obi_view x_view, w_view, normed_view;
    obi_status status = x && w ? OBI_OK : OBI_ERROR_MEMORY;
    if (status == OBI_OK) status = obi_case_upload(env, x, (uint64_t)m * 4, &x_view);
    if (status == OBI_OK) status = obi_case_upload(env, w, (uint64_t)m * 4, &w_view);
    if (status == OBI_OK) status = obi_case_output(env, (uint64_t)m * 4, &normed_view);
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_bitlinear_residual_fwd(env->cmd, x_view, normed_view, of.parts, of.in, w_view, 1, obi_case_post_eps(post),
                                      OBI_CASE_NORM_EPS);
        status = obi_cmd_run(env->cmd);
    }
    drop(env, &of);
    return status == OBI_OK ? obi_case_check_residual(env, x_view, normed_view, x, of.raw, w, 1, m, post, result) : status;
}

static obi_status swiglu(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t m = sizes[0], post = sizes[2], rows[] = { m, m };
    projection of;
    OBI_TRY(make(env, &of, family, rows, 2, sizes[1], 0, result));
    obi_cmd_begin(env->cmd);
    obi_op_bitlinear_swiglu_fwd(env->cmd, of.parts, of.in, 1, obi_case_post_eps(post));
    obi_status status = obi_cmd_run(env->cmd);
    drop(env, &of);
    if (status != OBI_OK) return status;
    float *up = of.raw + (of.parts[1].y.offset - of.parts[0].y.offset) / 4;
    return obi_case_check_swiglu(env, of.parts[0].y, of.raw, up, 1, m, post, result);
}

static obi_status qkv(obi_case_env *env, obi_sign_family family, obi_kv_type type, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t H = sizes[1], K = sizes[2], C = sizes[3], rows[] = { H * C, K * C, K * C };
    uint64_t bytes = obi_attn_parts_bytes(1, H, K, C);
    obi_case_qkv what;
    projection of;
    obi_view none = { 0 };
    obi_attn_parts at = obi_attn_parts_of(none, 1, H, K, C);
    OBI_TRY(obi_case_qkv_make(env, sizes, type, &what));
    OBI_TRY(make(env, &of, family, rows, 3, H * C, OBI_BUFFER_ALIGNMENT, result));
    float *q = of.raw, *k = of.raw + at.k.offset / 4, *v = of.raw + at.v.offset / 4;
    of.raw[bytes / 4 + 1] = (float)what.what.first_position;
    obi_status status = obi_upload_bytes(env->upload, of.y, of.raw, bytes + 8);
    if (status == OBI_OK) status = obi_upload_finish(env->upload);
    if (status == OBI_OK) {
        obi_cmd_begin(env->cmd);
        obi_op_bitlinear_qkv_fwd(env->cmd, of.parts, of.in, of.y, what.table_view, what.cache, &what.what);
        status = obi_cmd_run(env->cmd);
    }
    drop(env, &of);
    return status == OBI_OK ? obi_case_check_qkv(env, &what, of.y, q, k, v, result) : status;
}

static obi_status qkv_f32(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    return qkv(env, family, OBI_KV_F32, sizes, result);
}

static obi_status qkv_f16(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    return qkv(env, family, OBI_KV_F16, sizes, result);
}

typedef obi_status (*runner)(obi_case_env *env, obi_sign_family family, const uint32_t *sizes, obi_case_result *result);

/* The products alone at the tier of the kernel that is tried, so that they are the same to the last bit. */
static obi_status run(obi_case_env *env, int kernel, runner what, obi_sign_family family, const uint32_t *sizes, obi_case_result *result)
{
    obi_device *device = env->device;
    int alone = family == OBI_SIGN_HALF ? OBI_KERNEL_BITLINEAR_GEMV_HALF : OBI_KERNEL_BITLINEAR_GEMV;
    if (!device->fused || device->caps.bindings < OBI_BINDINGS_MAX) return OBI_OK;
    if (family == OBI_SIGN_HALF && !obi_gemv_half_possible(device)) return OBI_OK;
    obi_tier before = device->kernel_tier[alone];
    device->kernel_tier[alone] = device->kernel_tier[kernel];
    obi_status status = what(env, family, sizes, result);
    device->kernel_tier[alone] = before;
    return status;
}

/* Sizes of many workgroups, and such that tier A takes the groups on a GPU too (obi_matrix_group_rows alone and together). */
#define CASE(name, KERNEL, what, family, size_names, ...)                                                                   \
    static obi_status run_##name(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)                         \
    {                                                                                                                       \
        return run(env, OBI_KERNEL_BITLINEAR_##KERNEL, what, family, sizes, result);                                        \
    }                                                                                                                       \
    const obi_case obi_case_bitlinear_##name = { "bitlinear_" #name, OBI_KERNEL_BITLINEAR_##KERNEL, size_names, { __VA_ARGS__ }, \
                                                 run_##name };

CASE(residual, GEMV_RESIDUAL, residual, OBI_SIGN_XOR, "m n post", 1001, 77, 1)
CASE(residual_half, GEMV_HALF_RESIDUAL, residual, OBI_SIGN_HALF, "m n post", 1001, 77, 1)
CASE(swiglu, GEMV_SWIGLU, swiglu, OBI_SIGN_XOR, "m n post", 1001, 77, 1)
CASE(swiglu_half, GEMV_HALF_SWIGLU, swiglu, OBI_SIGN_HALF, "m n post", 1001, 77, 1)
CASE(qkv, GEMV_QKV, qkv_f32, OBI_SIGN_XOR, "1 H K C R post+2*pairs", 1, 16, 12, 50, 10, 3)
CASE(qkv_f16, GEMV_QKV_F16, qkv_f16, OBI_SIGN_XOR, "1 H K C R post+2*pairs", 1, 16, 12, 50, 10, 1)
CASE(qkv_half, GEMV_HALF_QKV, qkv_f32, OBI_SIGN_HALF, "1 H K C R post+2*pairs", 1, 16, 12, 50, 10, 1)
CASE(qkv_f16_half, GEMV_HALF_QKV_F16, qkv_f16, OBI_SIGN_HALF, "1 H K C R post+2*pairs", 1, 16, 12, 50, 10, 3)
