/* test_bitlinear_post: a projection and what follows it in one dispatch give the bits that two dispatches give, for every family and tier
 * that has it, many workgroups and one, again and again with the same counters; and where it cannot be, there are two. */
#include "device.h"

#include <string.h>

#include "core/checked.h"
#include "core/log.h"
#include "ops/matrix.h"
#include "ops/op_bitlinear_post.h"
#include "ops/sign_family.h"
#include "ops/sign_gemv.h"
#include "selftest/case_matrix.h"
#include "selftest/cases.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define EPS 1e-5f
#define OUTPUTS_MAX 4

/* A group of weights of one family with random contents. */
typedef struct group {
    uint32_t count, rows[OBI_GROUP_MAX], n;
    obi_weight weights[OBI_GROUP_MAX];
    obi_bitlinear_part parts[OBI_GROUP_MAX];
    obi_view in, y;
} group;

static float *normal(uint64_t count, double scale)
{
    float *values = obi_case_normal(test_env(), count, scale);
    assert_non_null(values);
    return values;
}

/* Of random values; `beside` floats more. */
static obi_view view_of(uint64_t floats, uint64_t beside)
{
    obi_view view;
    TEST_OK(obi_case_upload(test_env(), normal(floats + beside, 1.0), (floats + beside) * 4, &view));
    return view;
}

/* y has `beside` bytes more at its end. */
static void make(group *g, obi_sign_family family, uint64_t beside)
{
    obi_case_env *env = test_env();
    uint64_t floats = 0, offset = 0, starts[OBI_GROUP_MAX];
    if (g->count > 1) TEST_OK(obi_weight_create_group(env->device, OBI_WEIGHT_SIGN, g->rows, g->count, g->n, g->weights));
    else TEST_OK(obi_weight_create(env->device, OBI_WEIGHT_SIGN, g->rows[0], g->n, 0, g->weights));
    for (uint32_t i = 0; i < g->count; i++) {
        uint32_t *words = obi_case_signs(env, g->rows[i], g->n);
        assert_non_null(words);
        g->weights[i].family = (uint32_t)family;
        TEST_OK(obi_weight_upload(env->upload, &g->weights[i], 0, g->rows[i], words));
        starts[i] = floats;
        floats += obi_scales_floats(g->rows[i], g->n);
    }
    TEST_OK(obi_upload_finish(env->upload));
    obi_view scales;
    TEST_OK(obi_case_upload(env, normal(floats, 0.5), floats * 4, &scales));
    g->in = view_of(g->n, 0);
    for (uint32_t i = 0; i < g->count; i++) {
        obi_view part = { scales.buffer, scales.offset + starts[i] * 4, obi_scales_floats(g->rows[i], g->n) * 4 };
        g->parts[i] = (obi_bitlinear_part){ { NULL, offset, (uint64_t)g->rows[i] * 4 }, part, &g->weights[i] };
        offset = obi_align_up(offset + g->parts[i].y.size, OBI_BUFFER_ALIGNMENT);
    }
    g->y = view_of((offset + beside) / 4, 0);
    for (uint32_t i = 0; i < g->count; i++) g->parts[i].y.buffer = g->y.buffer;
}

static void destroy(group *g)
{
    for (uint32_t i = 0; i < g->count; i++) obi_weight_destroy(test_device(), &g->weights[i]);
    obi_case_env_clear(test_env());
}

/* What is compared, and what it held before. */
typedef struct output {
    const char *name;
    obi_view view;
    uint32_t *before, *two, *one;
} output;

static output output_of(const char *name, obi_view view)
{
    obi_case_env *env = test_env();
    output out = { name, view, (uint32_t *)(void *)obi_case_zeros(env, view.size / 4),
                   (uint32_t *)(void *)obi_case_zeros(env, view.size / 4), (uint32_t *)(void *)obi_case_zeros(env, view.size / 4) };
    assert_true(out.before && out.two && out.one);
    TEST_OK(obi_case_download(env, view, out.before, view.size));
    return out;
}

typedef void (*recorder)(const void *what);

/* Runs what `record` records, in two dispatches and in one, twice each, so that the counters are used again, the
 * products gone before each; the latter once more by the same commands, from where it began. */
static void compare(recorder record, const void *what, const group *g, output *outputs, uint32_t count, const char *title)
{
    obi_case_env *env = test_env();
    for (int way = 0; way < 3; way++) {
        for (uint32_t i = 0; i < count; i++)
            TEST_OK(obi_upload_bytes(env->upload, outputs[i].view, outputs[i].before, outputs[i].view.size));
        TEST_OK(obi_upload_finish(env->upload));
        test_device()->fused = way > 0;
        if (way < 2) {
            obi_cmd_begin_kept(env->cmd);
            for (int time = 0; time < 2; time++) {
                for (uint32_t i = 0; i < g->count; i++) obi_cmd_fill(env->cmd, g->parts[i].y, 0x7fc0deadu); /* a NaN */
                record(what);
            }
            TEST_OK(obi_cmd_run(env->cmd));
            if (obi_cmd_dispatches(env->cmd) != (way == 0 ? 4u : 2u))
                fail_msg("%s: %u dispatches", title, obi_cmd_dispatches(env->cmd));
        } else {
            TEST_OK(obi_cmd_again(env->cmd));
            TEST_OK(obi_cmd_wait(env->cmd));
        }
        for (uint32_t i = 0; i < count; i++) {
            uint32_t *got = way == 0 ? outputs[i].two : outputs[i].one;
            TEST_OK(obi_case_download(env, outputs[i].view, got, outputs[i].view.size));
            for (uint64_t j = 0; way > 0 && j < outputs[i].view.size / 4; j++)
                if (got[j] != outputs[i].two[j])
                    fail_msg("%s: word %u of %s is %08x and was %08x in two dispatches", title, (unsigned)j, outputs[i].name, got[j],
                             outputs[i].two[j]);
        }
    }
    test_device()->fused = !test_device()->caps.software;
}

/* ---- the three, each with random contents -------------------------------------------------------------------------- */

typedef struct residual {
    group g;
    obi_view x, normed, w;
    float post_eps;
} residual;

static void record_residual(const void *what)
{
    const residual *r = what;
    obi_op_bitlinear_residual_fwd(test_env()->cmd, r->x, r->normed, &r->g.parts[0], r->g.in, r->w, 1, r->post_eps, EPS);
}

static void residual_of(obi_sign_family family, uint32_t rows, uint32_t n, bool post)
{
    char title[128];
    residual r = { .g = { .count = 1, .rows = { rows }, .n = n }, .post_eps = post ? EPS : OBI_POST_NORM_NONE };
    make(&r.g, family, 0);
    r.x = view_of(rows, 7);
    r.normed = view_of(rows, 7);
    r.w = view_of(rows, 0);
    output outputs[] = { output_of("y", r.g.y), output_of("x", r.x), output_of("normed", r.normed) };
    (void)snprintf(title, sizeof title, "residual of %u x %u, %s%s", rows, n, obi_sign_family_name(family), post ? ", norm" : "");
    compare(record_residual, &r, &r.g, outputs, COUNT(outputs), title);
    destroy(&r.g);
}

typedef struct swiglu {
    group g;
    float post_eps;
} swiglu;

static void record_swiglu(const void *what)
{
    const swiglu *s = what;
    obi_op_bitlinear_swiglu_fwd(test_env()->cmd, s->g.parts, s->g.in, 1, s->post_eps);
}

static void swiglu_of(obi_sign_family family, uint32_t rows, uint32_t n, bool post)
{
    char title[128];
    swiglu s = { .g = { .count = 2, .rows = { rows, rows }, .n = n }, .post_eps = post ? EPS : OBI_POST_NORM_NONE };
    make(&s.g, family, 64);
    output outputs[] = { output_of("gate and up", s.g.y) };
    (void)snprintf(title, sizeof title, "swiglu of %u x %u, %s%s", rows, n, obi_sign_family_name(family), post ? ", norm" : "");
    compare(record_swiglu, &s, &s.g, outputs, COUNT(outputs), title);
    destroy(&s.g);
}

typedef struct qkv {
    group g;
    obi_view table;
    obi_kv_cache cache;
    obi_post_qkv what;
} qkv;

static void record_qkv(const void *what)
{
    const qkv *q = what;
    obi_op_bitlinear_qkv_fwd(test_env()->cmd, q->g.parts, q->g.in, q->g.y, q->table, q->cache, &q->what);
}

/* kind: 1 with the norm, 2 neighbours are pairs, 4 a cache of halves, 8 the position in memory */
static void qkv_of(obi_sign_family family, uint32_t H, uint32_t K, uint32_t C, uint32_t R, uint32_t n, uint32_t kind)
{
    enum { POSITION = 3, CONTEXT = 6 };
    char title[128];
    uint64_t words = obi_attn_parts_bytes(1, H, K, C) / 4;
    qkv q = { .g = { .count = 3, .rows = { H * C, K * C, K * C }, .n = n },
              .cache = { .type = kind & 4 ? OBI_KV_F16 : OBI_KV_F32 },
              .what = { .T = 1, .H = H, .K = K, .C = C, .R = R, .first_position = POSITION, .context = CONTEXT,
                        .place = kind & 8 ? (uint32_t)words + 1 : 0, .layout = kind & 2 ? OBI_ROPE_PAIRS : OBI_ROPE_HALF,
                        .post_eps = kind & 1 ? EPS : OBI_POST_NORM_NONE } };
    make(&q.g, family, OBI_BUFFER_ALIGNMENT);
    q.table = view_of((uint64_t)CONTEXT * R, 0);
    q.cache.k = view_of(CONTEXT * obi_kv_words(q.cache.type, (uint64_t)K * C, C), 0);
    q.cache.v = view_of(CONTEXT * obi_kv_words(q.cache.type, (uint64_t)K * C, C), 0);
    output outputs[] = { output_of("q, k and v", q.g.y), output_of("the keys", q.cache.k), output_of("the values", q.cache.v) };
    float position = POSITION;
    memcpy(&outputs[0].before[words + 1], &position, 4);
    (void)snprintf(title, sizeof title, "qkv of %u and %u heads of %u (%u) x %u, %s, kind %u", H, K, C, R, n, obi_sign_family_name(family),
                   kind);
    compare(record_qkv, &q, &q.g, outputs, COUNT(outputs), title);
    destroy(&q.g);
}

/* ---- tests ----------------------------------------------------------------------------------------------------------- */

static const obi_sign_family families[] = { OBI_SIGN_XOR, OBI_SIGN_HALF };

static void use_tier(int tier)
{
    for (int kernel = 0; kernel < OBI_KERNEL_COUNT; kernel++) test_device()->kernel_tier[kernel] = (obi_tier)tier;
}

/* Calls `some` for each family at each tier that runs it. */
static void everywhere(void (*some)(obi_sign_family family))
{
    for (int tier = OBI_TIER_A; tier <= (int)test_device()->tier; tier++) {
        use_tier(tier);
        for (size_t f = 0; f < COUNT(families); f++)
            if (families[f] != OBI_SIGN_HALF || tier == OBI_TIER_C) some(families[f]);
    }
    use_tier(test_device()->tier);
    test_device_check();
}

static const uint32_t lengths[][2] = { { 1, 1 },    { 3, 31 },   { 4, 33 },    { 5, 100 },   { 63, 64 },   { 64, 65 },
                                       { 65, 353 }, { 130, 40 }, { 300, 129 }, { 1000, 57 }, { 2049, 513 } };

static void some_residual(obi_sign_family family)
{
    for (size_t i = 0; i < COUNT(lengths); i++) residual_of(family, lengths[i][0], lengths[i][1], i % 4 != 1);
    residual_of(family, 16384, 32, true); /* a thousand workgroups and more */
}

static void test_residual(void **state)
{
    (void)state;
    everywhere(some_residual);
}

/* Tier A takes a group where its rows in one workgroup are as many together as alone (groups.h). */
static bool together_at_a(uint32_t rows, uint32_t others, uint32_t count)
{
    const obi_device *device = test_device();
    uint32_t all = obi_matrix_group_rows(device, rows + others * (count - 1));
    return device->kernel_tier[OBI_KERNEL_BITLINEAR_GEMV] > OBI_TIER_A ||
           (obi_matrix_group_rows(device, rows) == all && obi_matrix_group_rows(device, others) == all);
}

static void some_swiglu(obi_sign_family family)
{
    for (size_t i = 0; i < COUNT(lengths); i++)
        if (together_at_a(lengths[i][0], lengths[i][0], 2)) swiglu_of(family, lengths[i][0], lengths[i][1], i % 4 != 1);
    swiglu_of(family, 8192, 32, true);
}

static void test_swiglu(void **state)
{
    (void)state;
    everywhere(some_swiglu);
}

static void some_qkv(obi_sign_family family)
{
    static const uint32_t shapes[][5] = { { 1, 1, 2, 2, 1 },    { 8, 4, 8, 8, 40 },    { 6, 3, 34, 10, 77 },
                                          { 4, 2, 34, 34, 33 }, { 32, 4, 64, 64, 96 }, { 9, 9, 64, 64, 353 } };
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const uint32_t *s = shapes[i];
        if (!together_at_a(s[0] * s[2], s[1] * s[2], 3)) continue;
        for (uint32_t kind = 0; kind < 16; kind++)
            if (i == 2 || kind % 4 == i % 4) qkv_of(family, s[0], s[1], s[2], s[3], s[4], kind);
    }
}

static void test_qkv(void **state)
{
    (void)state;
    everywhere(some_qkv);
}

/* A folded grid has a few workgroups more than there is to do, and they count, too. */
static void some_folded(obi_sign_family family)
{
    residual_of(family, 301, 65, true);
    swiglu_of(family, 301, 65, true);
    if (together_at_a(176, 132, 3)) qkv_of(family, 4, 3, 44, 44, 65, 13); /* 29 workgroups on a CPU */
}

static void test_a_folded_grid(void **state)
{
    (void)state;
    uint32_t *most = &test_device()->caps.workgroup_count[0], before = *most;
    *most = 10;
    everywhere(some_folded);
    *most = before;
}

/* Two that follow each other in one command share the counters. */
static void record_two(const void *what)
{
    const residual *r = what;
    record_residual(&r[0]);
    record_residual(&r[1]);
}

static uint32_t dispatches(recorder record, const void *what)
{
    obi_cmd *cmd = test_env()->cmd;
    obi_cmd_begin(cmd);
    record(what);
    TEST_OK(obi_cmd_run(cmd));
    return obi_cmd_dispatches(cmd);
}

static void test_one_after_the_other(void **state)
{
    (void)state;
    obi_device *device = test_device();
    residual r[2] = { { .g = { .count = 1, .rows = { 300 }, .n = 70 }, .post_eps = EPS },
                      { .g = { .count = 1, .rows = { 300 }, .n = 300 }, .post_eps = EPS } };
    for (int i = 0; i < 2; i++) {
        make(&r[i].g, OBI_SIGN_XOR, 0);
        r[i].w = view_of(300, 0);
        r[i].x = i ? r[0].x : view_of(300, 0);
        r[i].normed = view_of(300, 0);
    }
    r[1].g.in = r[0].normed;
    output outputs[] = { output_of("x", r[0].x), output_of("normed", r[0].normed), output_of("the second normed", r[1].normed) };
    for (int way = 0; way < 2; way++) {
        for (size_t i = 0; i < COUNT(outputs); i++)
            TEST_OK(obi_upload_bytes(test_env()->upload, outputs[i].view, outputs[i].before, outputs[i].view.size));
        TEST_OK(obi_upload_finish(test_env()->upload));
        device->fused = way == 1;
        assert_int_equal(dispatches(record_two, r), way == 1 ? 2 : 4);
        for (size_t i = 0; i < COUNT(outputs); i++)
            TEST_OK(obi_case_download(test_env(), outputs[i].view, way ? outputs[i].one : outputs[i].two, outputs[i].view.size));
    }
    for (size_t i = 0; i < COUNT(outputs); i++) assert_memory_equal(outputs[i].one, outputs[i].two, outputs[i].view.size);

    /* Where it cannot be: two dispatches each. */
    device->caps.bindings = OBI_BINDINGS_SET;
    assert_int_equal(dispatches(record_two, r), 4);
    device->caps.bindings = OBI_BINDINGS_MAX;
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL] = true;
    assert_int_equal(dispatches(record_two, r), 4);
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL] = false;
    for (int i = 0; i < 2; i++) r[i].g.weights[0].family = OBI_SIGN_INT8;
    assert_true(dispatches(record_two, r) >= 4);
    device->fused = !device->caps.software;
    obi_weight_destroy(device, &r[0].g.weights[0]);
    destroy(&r[1].g);
    test_device_check();
}

/* The self-test's cases, against the references. */
static void test_the_reference(void **state)
{
    (void)state;
    bool before = test_device()->fused;
    test_device()->fused = true;
    for (uint32_t post = 0; post < 2; post++) {
        TEST_CASE(obi_case_bitlinear_residual, 1, 1, post);
        TEST_CASE(obi_case_bitlinear_residual, 300, 129, post);
        TEST_CASE(obi_case_bitlinear_residual_half, 300, 129, post);
        TEST_CASE(obi_case_bitlinear_swiglu, 1, 1, post);
        TEST_CASE(obi_case_bitlinear_swiglu, 300, 129, post);
        TEST_CASE(obi_case_bitlinear_swiglu_half, 300, 129, post);
        for (uint32_t pairs = 0; pairs < 4; pairs += 2) {
            TEST_CASE(obi_case_bitlinear_qkv, 1, 6, 3, 44, 10, post + pairs);
            TEST_CASE(obi_case_bitlinear_qkv_f16, 1, 32, 4, 64, 64, post + pairs);
            TEST_CASE(obi_case_bitlinear_qkv_half, 1, 6, 3, 34, 10, post + pairs);
            TEST_CASE(obi_case_bitlinear_qkv_f16_half, 1, 4, 2, 34, 34, post + pairs);
        }
    }
    test_device()->fused = before;
}

/* A driver that gets it wrong: one line, and two dispatches. */
static char logged[1024];
static unsigned lines;

static void keep_log(obi_log_level level, const char *message, void *user)
{
    (void)level, (void)user;
    lines++;
    (void)snprintf(logged, sizeof logged, "%s", message);
}

static obi_status wrong(obi_case_env *env, const uint32_t *sizes, obi_case_result *result)
{
    (void)env, (void)sizes;
    result->worst = 5;
    return OBI_OK;
}

static void test_one_that_does_not_work(void **state)
{
    (void)state;
    obi_device *device = test_device();
    obi_case planted = obi_case_bitlinear_residual;
    const obi_case *cases[] = { &planted };
    planted.run = wrong;
    obi_log_set(keep_log, NULL);
    TEST_OK(obi_selftest_run_cases(device, cases, 1, NULL, NULL));
    obi_log_set(NULL, NULL);
    assert_int_equal(lines, 1);
    assert_non_null(strstr(logged, "bitlinear_residual does not work"));
    assert_true(device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL]);
    residual r = { .g = { .count = 1, .rows = { 30 }, .n = 70 }, .post_eps = EPS };
    make(&r.g, OBI_SIGN_XOR, 0);
    r.w = view_of(30, 0);
    r.x = view_of(30, 0);
    r.normed = view_of(30, 0);
    device->fused = true;
    assert_int_equal(dispatches(record_residual, &r), 2);
    device->kernel_off[OBI_KERNEL_BITLINEAR_GEMV_RESIDUAL] = false;
    assert_int_equal(dispatches(record_residual, &r), 1);
    device->fused = !device->caps.software;
    destroy(&r.g);
    test_device_check();
}

static void test_sizes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    residual r = { .g = { .count = 1, .rows = { 300 }, .n = 70 }, .post_eps = EPS };
    make(&r.g, OBI_SIGN_XOR, 0);
    r.w = view_of(300, 0);
    r.normed = view_of(300, 0);
    r.x = view_of(299, 0);
    for (int way = 0; way < 2; way++) {
        test_device()->fused = way == 1;
        obi_cmd_begin(test_env()->cmd);
        record_residual(&r);
        assert_int_equal(obi_cmd_run(test_env()->cmd), OBI_ERROR_ARGUMENT);
        assert_non_null(strstr(obi_last_error(), "post_residual: x must have"));
    }
    test_device()->fused = !test_device()->caps.software;
    destroy(&r.g);
    test_device_check();
}

int main(void)
{
    test_device()->caps.straight = false; /* lavapipe's own kernels for what follows give other bits */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_residual),
        cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_qkv),
        cmocka_unit_test(test_a_folded_grid),
        cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_the_reference),
        cmocka_unit_test(test_one_that_does_not_work),
        cmocka_unit_test(test_sizes_that_do_not_fit_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}
