/* test_fd_act: the gradients of the activations' references against finite differences. */
#include "fd.h"

#include <string.h>

#include "ref/ref_act.h"
#include "ref/ref_act_bwd.h"

enum { N = 40 };
static struct { float gate[N], up[N], cotangent[N], y[N], dgate[N], dup[N]; } at;

static double swiglu(void *context)
{
    (void)context;
    ref_act_swiglu(at.y, at.gate, at.up, N);
    return fd_dot(at.cotangent, at.y, N);
}

static double relu(void *context)
{
    (void)context;
    ref_act_relu(at.y, at.gate, N);
    return fd_dot(at.cotangent, at.y, N);
}

static int set_up(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(7);
    fd_random(&rng, at.gate, N, 2.0);
    fd_random(&rng, at.up, N, 1.0);
    fd_random(&rng, at.cotangent, N, 1.0);
    memcpy(at.dgate, at.gate, sizeof at.dgate);
    memcpy(at.dup, at.up, sizeof at.dup);
    return 0;
}

static void test_swiglu(void **state)
{
    (void)state;
    ref_act_swiglu_bwd(at.dgate, at.dup, at.cotangent, N);
    fd_check("dgate", swiglu, NULL, at.gate, N, at.dgate, 2e-5);
    fd_check("dup", swiglu, NULL, at.up, N, at.dup, 2e-5);
}

static void test_relu(void **state)
{
    (void)state;
    for (int i = 0; i < N; i++)
        if (fabsf(at.gate[i]) < 0.1f) at.gate[i] = 1; /* away from the corner */
    ref_act_relu_bwd(at.dgate, at.cotangent, at.gate, N);
    fd_check("dx", relu, NULL, at.gate, N, at.dgate, 2e-5);
    at.gate[0] = 0;
    ref_act_relu_bwd(at.dgate, at.cotangent, at.gate, 1);
    assert_true(at.dgate[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test_setup(test_swiglu, set_up), cmocka_unit_test_setup(test_relu, set_up) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
