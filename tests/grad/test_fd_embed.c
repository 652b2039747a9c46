/* test_fd_embed: the gradient of the embedding lookup's reference against finite differences. */
#include "fd.h"

#include <string.h>

#include "ref/ref_embed.h"
#include "ref/ref_embed_bwd.h"

enum { T = 7, V = 5, D = 4 };
static const uint32_t ids[T] = { 3, 1, 3, 9, 0, 3, 1 };
static struct { float table[V * D], dtable[V * D], cotangent[T * D], x[T * D]; } at;

static double gather(void *context)
{
    (void)context;
    ref_embed_gather(at.x, ids, at.table, T, D, V);
    return fd_dot(at.cotangent, at.x, T * D);
}

static void test_scatter(void **state)
{
    (void)state;
    obi_rng rng = obi_rng_seed(9);
    fd_random(&rng, at.table, V * D, 1.0);
    fd_random(&rng, at.cotangent, T * D, 1.0);
    ref_embed_scatter_add(at.dtable, at.cotangent, ids, T, D, V);
    fd_check("dtable", gather, NULL, at.table, V * D, at.dtable, 1e-5);
    float once[V * D];
    memcpy(once, at.dtable, sizeof once);
    ref_embed_scatter_add(at.dtable, at.cotangent, ids, T, D, V); /* it adds */
    for (int i = 0; i < V * D; i++) assert_true(at.dtable[i] == 2 * once[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_scatter) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
