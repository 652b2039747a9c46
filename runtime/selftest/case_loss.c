#include <math.h>
#include <string.h>

#include "ops/op_loss.h"
#include "ref/ref_loss.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define U 0x1p-24 /* the rounding of one f32 operation */

/* Roundings in a row's sum: a lane adds every 32nd element or fewer, then the lanes are joined in at most 32 steps. */
static double sum_steps(uint64_t n) { return (double)n / 32 + 32; }

/* Relative error of exp(x - top): Vulkan allows 3 + 2|x| ulp, software drivers show 17; the difference is rounded too. */
static double power_error(const float *row, uint32_t V)
{
    double low = (double)row[0], top = (double)row[0];
    for (uint32_t i = 0; i < V; i++) {
        low = fmin(low, (double)row[i]);
        top = fmax(top, (double)row[i]);
    }
    double range = fmin(top - low, 87.0);
    return (2 * (20 + 2 * range) + range) * U;
}

/* log(x): absolute 2^-21 around 1 in Vulkan's terms, up to 172 ulp elsewhere on software drivers. */
static double log_error(double value) { return 0x1p-20 + 400 * U * fabs(value); }

/* The error of a softmax of a power, a sum of powers, a division and a product is relative; the target's 1 adds roundings
 * of 1. The loss has the relative error of the sum, and those of the logarithm and of the logits' difference. */
static obi_status run_xent(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], V = sizes[1];
    uint64_t count = (uint64_t)T * V;
    const double scale = 0.25;
    float *logits = obi_case_normal(env, count, 3.0), *got = obi_case_zeros(env, count), *want = obi_case_zeros(env, count);
    float *tolerance = obi_case_zeros(env, count), *got_loss = obi_case_zeros(env, T), *want_loss = obi_case_zeros(env, T);
    float *loss_tolerance = obi_case_zeros(env, T);
    uint32_t *targets = (uint32_t *)(void *)obi_case_zeros(env, T);
    double *loss = (double *)(void *)obi_case_zeros(env, 2 * (uint64_t)T);
    if (!logits || !got || !want || !tolerance || !got_loss || !want_loss || !loss_tolerance || !targets || !loss) return OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < T; t++) targets[t] = t % 4 == 3 ? OBI_NO_TARGET : (uint32_t)(obi_rng_next(&env->rng) % V);
    ref_loss_xent(loss, want, logits, targets, T, V, scale);
    for (uint32_t t = 0; t < T; t++) {
        const float *row = logits + (uint64_t)t * V;
        double power = power_error(row, V), relative = 2 * power + (sum_steps(V) + 8) * U, largest = 0;
        for (uint64_t i = 0; i < V; i++) {
            bool chosen = i == targets[t];
            double p = fabs((double)want[t * (uint64_t)V + i] / scale + chosen);
            tolerance[t * (uint64_t)V + i] = (float)(scale * (p * relative + 4 * chosen * U) + 1e-30);
            largest = fmax(largest, fabs((double)row[i]));
        }
        want_loss[t] = (float)loss[t];
        loss_tolerance[t] = (float)(power + (sum_steps(V) + 2) * U + log_error(log(V)) + 8 * largest * U);
    }
    obi_view logits_view, targets_view, loss_view;
    OBI_TRY(obi_case_upload(env, logits, count * 4, &logits_view));
    OBI_TRY(obi_case_upload(env, targets, (uint64_t)T * 4, &targets_view));
    OBI_TRY(obi_case_output(env, (uint64_t)T * 4, &loss_view));
    obi_cmd_begin(env->cmd);
    obi_op_xent(env->cmd, loss_view, logits_view, targets_view, T, V, (float)scale);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, logits_view, got, count * 4));
    OBI_TRY(obi_case_download(env, loss_view, got_loss, (uint64_t)T * 4));
    obi_case_compare(result, "dlogits", got, want, count, tolerance, 0, 0);
    obi_case_compare(result, "loss", got_loss, want_loss, T, loss_tolerance, 0, 0);
    return OBI_OK;
}

/* As above for both softmaxes. The losses are means over p of differences and logits: their sums have the relative error
 * of p times the mean magnitude, and the roundings of the terms. */
static void kd_tolerance(float *gradient, float *loss, const float *student, const float *teacher, uint32_t V, double scale)
{
    double power = fmax(power_error(student, V), power_error(teacher, V));
    double relative = 2 * power + (sum_steps(V) + 8) * U, s_all = 0, t_all = 0, s_top = -1e30, t_top = -1e30;
    for (uint32_t i = 0; i < V; i++) {
        s_top = fmax(s_top, (double)student[i]);
        t_top = fmax(t_top, (double)teacher[i]);
    }
    for (uint32_t i = 0; i < V; i++) {
        s_all += exp((double)student[i] - s_top);
        t_all += exp((double)teacher[i] - t_top);
    }
    double apart = 0, far = 0; /* mean over p of |t - s| and of |t| + |s|, measured from the tops */
    for (uint32_t i = 0; i < V; i++) {
        double s = (double)student[i] - s_top, t = (double)teacher[i] - t_top, p = exp(t) / t_all, q = exp(s) / s_all;
        apart += p * fabs(t - s);
        far += p * (fabs(t) + fabs(s) + fabs(t_top) + fabs(s_top));
        gradient[i] = (float)(scale * (p + q) * relative + 1e-30);
    }
    double both = 2 * power + (sum_steps(V) + 4) * U;
    loss[0] = (float)(relative * apart + 4 * far * U + both + log_error(log(s_all / t_all)));
    loss[1] = (float)(relative * far + 4 * far * U + both + log_error(log(t_all)));
}

static obi_status run_kd_xent(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], V = sizes[1];
    uint64_t count = (uint64_t)T * V, losses = 2 * (uint64_t)T;
    const double scale = 2.5;
    float *student = obi_case_normal(env, count, 2.0), *teacher = obi_case_normal(env, count, 3.0), *got = obi_case_zeros(env, count);
    float *want = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count), *got_loss = obi_case_zeros(env, losses);
    float *want_loss = obi_case_zeros(env, losses), *loss_tolerance = obi_case_zeros(env, losses);
    uint32_t *mask = (uint32_t *)(void *)obi_case_zeros(env, T);
    double *loss = (double *)(void *)obi_case_zeros(env, 2 * losses);
    if (!student || !teacher || !got || !want || !tolerance || !got_loss || !want_loss || !loss_tolerance || !mask || !loss)
        return OBI_ERROR_MEMORY;
    for (uint32_t t = 0; t < T; t++) mask[t] = t % 4 == 2 ? OBI_NO_TARGET : 0;
    for (uint64_t i = 0; T > 1 && i < V; i++) student[V + i] = teacher[V + i] + (float)(i % 3) * 0x1p-10f; /* a good student */
    ref_loss_kd_xent(loss, want, student, teacher, mask, T, V, scale);
    for (uint64_t t = 0; t < T; t++) {
        want_loss[2 * t] = (float)loss[2 * t];
        want_loss[2 * t + 1] = (float)loss[2 * t + 1];
        kd_tolerance(tolerance + t * V, loss_tolerance + 2 * t, student + t * V, teacher + t * V, V, scale);
    }
    obi_view student_view, teacher_view, mask_view, loss_view;
    OBI_TRY(obi_case_upload(env, student, count * 4, &student_view));
    OBI_TRY(obi_case_upload(env, teacher, count * 4, &teacher_view));
    OBI_TRY(obi_case_upload(env, mask, (uint64_t)T * 4, &mask_view));
    OBI_TRY(obi_case_output(env, losses * 4, &loss_view));
    obi_cmd_begin(env->cmd);
    obi_op_kd_xent(env->cmd, loss_view, student_view, teacher_view, mask_view, T, V, (float)scale);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, student_view, got, count * 4));
    OBI_TRY(obi_case_download(env, loss_view, got_loss, losses * 4));
    obi_case_compare(result, "dstudent", got, want, count, tolerance, 0, 0);
    obi_case_compare(result, "loss", got_loss, want_loss, losses, loss_tolerance, 0, 0);
    return OBI_OK;
}

/* By direction: an element of a unit row is off by e = (steps/2 + 10) u of itself (half the error of the sum of squares, a
 * root, a division, a product), so that a difference is off by e (|s| + |t|), and the loss by 4 e sqrt(loss) + 4 e^2 and
 * its own roundings. By distance: no cancellation but in student - teacher, which is rounded once; the sum of all squares
 * is made in two stages of fewer than 64 steps each for the sizes tested. */
static void hidden_tolerance(float *dh, float *loss, const float *student, const float *teacher, double distance, double divisor,
                             uint32_t D, double scale, bool cosine)
{
    double s_square = 0, t_square = 0, e = (cosine ? sum_steps(D) / 2 + 10 : 64 + 10) * U;
    for (uint32_t i = 0; i < D; i++) {
        s_square += (double)student[i] * (double)student[i];
        t_square += (double)teacher[i] * (double)teacher[i];
    }
    double s_norm = cosine ? sqrt(s_square) : sqrt(divisor), t_norm = cosine ? sqrt(t_square) : sqrt(divisor);
    if (s_norm < 1e-15 || t_norm < 1e-15) return;
    *loss = (float)(distance * (sum_steps(D) + 2) * U + (cosine ? 4 * e * sqrt(distance) + 4 * e * e : 4 * e * distance));
    for (uint32_t i = 0; i < D; i++) {
        double s = (double)student[i] / s_norm, t = (double)teacher[i] / t_norm;
        double apart = cosine ? e * (fabs(s) + fabs(t)) : e * fabs(s - t),
               back = cosine ? 0.5 * fabs(s) * ((double)*loss + 4 * e * distance) : 0;
        double part = fabs(s - t) + (cosine ? 0.5 * distance * fabs(s) : 0);
        dh[i] += (float)(2 * scale / s_norm * (apart + back + part * (e + 8 * U)));
    }
}

static obi_status run_hidden(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    uint32_t T = sizes[0], D = sizes[1];
    bool cosine = sizes[2] == OBI_HIDDEN_COS;
    uint64_t count = (uint64_t)T * D;
    const double scale = 0.75;
    float *student = obi_case_normal(env, count, 2.0), *teacher = obi_case_normal(env, count, 1.0),
          *want = obi_case_normal(env, count, 0.1);
    float *got = obi_case_zeros(env, count), *tolerance = obi_case_zeros(env, count), *got_loss = obi_case_zeros(env, T);
    float *want_loss = obi_case_zeros(env, T), *loss_tolerance = obi_case_zeros(env, T);
    double *loss = (double *)(void *)obi_case_zeros(env, 2 * (uint64_t)T), power = 0;
    if (!student || !teacher || !want || !got || !tolerance || !got_loss || !want_loss || !loss_tolerance || !loss) return OBI_ERROR_MEMORY;
    for (uint64_t i = 0; i < D; i++) {
        if (T > 1) student[D + i] = 0;
        if (T > 2) student[2 * D + i] = teacher[2 * D + i] * 3 + 0x1p-10f;
        if (T > 3) teacher[3 * D + i] = 0;
    }
    obi_view student_view, teacher_view, dh_view, loss_view, scratch_view;
    OBI_TRY(obi_case_upload(env, student, count * 4, &student_view));
    OBI_TRY(obi_case_upload(env, teacher, count * 4, &teacher_view));
    OBI_TRY(obi_case_upload(env, want, count * 4, &dh_view));
    OBI_TRY(obi_case_output(env, ((uint64_t)T + 1) * 4, &loss_view));
    OBI_TRY(obi_case_output(env, obi_op_hidden_scratch_bytes(T, D), &scratch_view));
    for (uint64_t i = 0; i < count; i++) {
        tolerance[i] = (float)(4 * fabs((double)want[i]) * U + 1e-30);
        power += (double)teacher[i] * (double)teacher[i] / T;
    }
    if (cosine) ref_loss_hidden_cos(loss, want, student, teacher, T, D, scale);
    else ref_loss_hidden_mse(loss, want, student, teacher, T, D, scale);
    for (uint64_t t = 0; t < T; t++) {
        want_loss[t] = (float)loss[t];
        hidden_tolerance(tolerance + t * D, loss_tolerance + t, student + t * D, teacher + t * D, loss[t], power, D, scale, cosine);
    }
    obi_cmd_begin(env->cmd);
    obi_op_hidden(env->cmd, loss_view, dh_view, student_view, teacher_view, scratch_view, T, D, (float)scale, (obi_hidden_kind)sizes[2]);
    OBI_TRY(obi_cmd_run(env->cmd));
    OBI_TRY(obi_case_download(env, dh_view, got, count * 4));
    OBI_TRY(obi_case_download(env, loss_view, got_loss, (uint64_t)T * 4));
    obi_case_compare(result, "dh", got, want, count, tolerance, 0, 0);
    obi_case_compare(result, "loss", got_loss, want_loss, T, loss_tolerance, 0, 0);
    return OBI_OK;
}

OBI_CASE_FORMS(run_kd_xent)
OBI_CASE_FORMS(run_hidden)

const obi_case obi_case_loss_xent = { "loss_xent", OBI_KERNEL_LOSS_XENT, "T V", { 5, 135 }, run_xent };
const obi_case obi_case_loss_kd_xent = { "loss_kd_xent", OBI_KERNEL_LOSS_KD_XENT, "T V", { 4, 135 }, run_kd_xent_plain };
const obi_case obi_case_loss_kd_straight = { "loss_kd_straight", OBI_KERNEL_LOSS_KD_STRAIGHT, "T V", { 16, 296 }, run_kd_xent_straight };
const obi_case obi_case_loss_hidden = { "loss_hidden", OBI_KERNEL_LOSS_HIDDEN, "T D kind", { 5, 135, OBI_HIDDEN_MSE }, run_hidden_plain };
const obi_case obi_case_loss_hidden_straight = {
    "loss_hidden_straight", OBI_KERNEL_LOSS_HIDDEN_STRAIGHT, "T D kind", { 16, 296, OBI_HIDDEN_COS }, run_hidden_straight
};
