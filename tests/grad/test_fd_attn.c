/* test_fd_attn: the gradients of attention's and of the rotary positions' references against finite differences. */
#include "fd.h"

#include <string.h>

#include "ref/ref_attn.h"
#include "ref/ref_attn_bwd.h"

enum { T = 5, H = 4, K = 2, C = 6, R = 4, Q_COUNT = T * H * C, KV_COUNT = T * K * C };
static struct {
    float q[Q_COUNT], k[KV_COUNT], v[KV_COUNT], cotangent[Q_COUNT], out[Q_COUNT], gradient[Q_COUNT], table[(T + 3) * R];
    double weights[T], dq[Q_COUNT], dk[KV_COUNT], dv[KV_COUNT], size_q[Q_COUNT], size_k[KV_COUNT], size_v[KV_COUNT];
} at;
static bool pairs;

static double attend(void *context)
{
    (void)context;
    ref_attn_attend(at.out, at.q, at.k, at.v, T, H, K, C, 0, at.weights, NULL, NULL);
    return fd_dot(at.cotangent, at.out, Q_COUNT);
}

static double rope(void *context)
{
    (void)context;
    memcpy(at.out, at.q, sizeof at.out);
    ref_attn_rope(at.out, at.table, T, H, C, R, 3, pairs, false);
    return fd_dot(at.cotangent, at.out, Q_COUNT);
}

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(8);
    fd_random(&rng, at.q, Q_COUNT, 1.5);
    fd_random(&rng, at.k, KV_COUNT, 1.5);
    fd_random(&rng, at.v, KV_COUNT, 1.0);
    fd_random(&rng, at.cotangent, Q_COUNT, 1.0);
    for (int i = 0; i < (T + 3) * R / 2; i++) {
        double angle = 0.37 * i;
        at.table[2 * i] = (float)cos(angle);
        at.table[2 * i + 1] = (float)sin(angle);
    }
    return 0;
}

static void check(const char *name, float *x, const double *gradient, size_t count)
{
    for (size_t i = 0; i < count; i++) at.gradient[i] = (float)gradient[i];
    fd_check(name, attend, NULL, x, count, at.gradient, 2e-5);
}

static void test_attention(void **state)
{
    (void)state;
    const ref_attn_gradients gradients = { at.dq, at.dk, at.dv }, sizes = { at.size_q, at.size_k, at.size_v };
    ref_attn_bwd(gradients, &sizes, at.weights, at.q, at.k, at.v, at.cotangent, T, H, K, C);
    check("dq", at.q, at.dq, Q_COUNT);
    check("dk", at.k, at.dk, KV_COUNT);
    check("dv", at.v, at.dv, KV_COUNT);
    for (int i = 0; i < Q_COUNT; i++) assert_true(at.size_q[i] >= fabs(at.dq[i]));
    for (int i = 0; i < KV_COUNT; i++) assert_true(at.size_k[i] >= fabs(at.dk[i]) && at.size_v[i] >= fabs(at.dv[i]));
    for (int i = 0; i < H * C; i++) assert_true(fabs(at.dq[i]) < 1e-12); /* the first token sees one position: nothing to weigh */
}

static void test_rope(void **state)
{
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        pairs = layout == 1;
        memcpy(at.gradient, at.cotangent, sizeof at.gradient);
        ref_attn_rope(at.gradient, at.table, T, H, C, R, 3, pairs, true);
        fd_check("dx", rope, NULL, at.q, Q_COUNT, at.gradient, 2e-5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup(test_attention, set_up), cmocka_unit_test_setup(test_rope, set_up) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
