/* test_attn: rotary positions, the cache, and attention against runtime/ref, at every tier of this device. */
#include "device.h"

#include <math.h>
#include <string.h>

#include "ops/op_attn.h"
#include "selftest/cases.h"

static void test_rope(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 2, 4, 6, 32, 34, 64, 66, 100, 128, 256 };
    for (uint32_t layout = 0; layout < 2; layout++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            TEST_CASE(obi_case_attn_rope, 3, 5, sizes[i], sizes[i], 0, layout);
            TEST_CASE(obi_case_attn_rope, 1, 3, sizes[i] + 3, sizes[i], 70, layout); /* the rest of the head stays */
        }
        TEST_CASE(obi_case_attn_rope, 4100, 8, 256, 256, 0, layout); /* more than 65535 workgroups */
    }
}

/* On software drivers, whole or parts of a head, whatever number of units; the last ones go the usual way. */
static void test_rope_straight(void **state)
{
    (void)state;
    static const uint32_t sizes[] = { 8, 16, 24, 32, 48, 64, 80, 128, 176, 256, 6, 34 };
    for (uint32_t layout = 0; layout < 2; layout++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            TEST_CASE(obi_case_attn_rope_straight, 16, 3, sizes[i], sizes[i], 0, layout);
            TEST_CASE(obi_case_attn_rope_straight, 48, 1, sizes[i] + 3, sizes[i], 70, layout); /* the rest of the head stays */
            TEST_CASE(obi_case_attn_rope_bwd_straight, 32, 5, sizes[i] + (uint32_t)(i % 2) * 3, sizes[i], 7 * (uint32_t)i, layout);
        }
        TEST_CASE(obi_case_attn_rope_straight, 4112, 2, 16, 16, 3, layout);  /* tokens past those of a dispatch */
        TEST_CASE(obi_case_attn_rope_straight, 16, 300, 16, 16, 3, layout);  /* heads too */
        TEST_CASE(obi_case_attn_rope_straight, 16, 2, 4096, 2064, 1, layout); /* more units than an axis takes: the usual way */
        TEST_CASE(obi_case_attn_rope_straight, 15, 2, 32, 32, 1, layout);
    }
}

static void test_kv_store(void **state)
{
    (void)state;
    static const uint32_t widths[] = { 1, 31, 32, 33, 64, 65, 100, 1000 };
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        TEST_CASE(obi_case_attn_kv_store, 1, widths[i], 0, 5); /* one token's position is read from memory */
        TEST_CASE(obi_case_attn_kv_store, 1, widths[i], 3, 5);
        TEST_CASE(obi_case_attn_kv_store, 3, widths[i], 2, 5);
        TEST_CASE(obi_case_attn_kv_store, 5, widths[i], 0, 5);
        TEST_CASE(obi_case_attn_kv_store_f16, 3, 2 * widths[i], 2, 7);
        TEST_CASE(obi_case_attn_kv_store_f16, 1, 2 * widths[i], 4, 7);
    }
    TEST_CASE(obi_case_attn_kv_store, 4097, 1024, 1, 4099); /* more than 65535 workgroups */
}

static void test_decode(void **state)
{
    (void)state;
    static const uint32_t positions[] = { 1, 2, 31, 32, 33, 63, 64, 65, 100, 128, 129, 1000 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) TEST_CASE(obi_case_attn_decode, 1, 4, 2, 48, positions[i] - 1);
    static const uint32_t head_sizes[] = { 2, 4, 6, 32, 62, 64, 66, 80, 128, 130, 192, 254, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) TEST_CASE(obi_case_attn_decode, 1, 2, 1, head_sizes[i], 76);
    TEST_CASE(obi_case_attn_decode, 1, 8, 8, 8, 40); /* no sharing */
    TEST_CASE(obi_case_attn_decode, 1, 9, 1, 8, 40); /* one key head for all */
    uint32_t *size = &test_device()->caps.workgroup_size, before = *size;
    *size = 32; /* more columns a lane */
    TEST_CASE(obi_case_attn_decode, 1, 2, 1, 66, 76);
    TEST_CASE(obi_case_attn_prefill, 6, 2, 1, 66, 70);
    *size = before;
    TEST_CASE(obi_case_attn_decode, 1, 1, 1, 64, 4095);
    TEST_CASE(obi_case_attn_decode, 1, 1, 1, 128, 32767);
}

/* On software drivers: every number of positions of a workgroup, splits, and head sizes that have no such kernel. */
static void test_decode_straight(void **state)
{
    (void)state;
    static const uint32_t positions[] = { 1, 2, 8, 9, 31, 32, 33, 64, 65, 129, 1000, 1025 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        TEST_CASE(obi_case_attn_decode_straight, 1, 4, 2, 48, positions[i] - 1);
        TEST_CASE(obi_case_attn_decode_f16_straight, 1, 4, 2, 48, positions[i] - 1);
    }
    static const uint32_t head_sizes[] = { 2, 8, 16, 64, 72, 128, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) {
        TEST_CASE(obi_case_attn_decode_straight, 1, 2, 1, head_sizes[i], 76);
        TEST_CASE(obi_case_attn_decode_f16_straight, 1, 2, 1, head_sizes[i], 76);
    }
    TEST_CASE(obi_case_attn_decode_straight, 1, 8, 8, 8, 76); /* no sharing */
    TEST_CASE(obi_case_attn_decode_straight, 1, 9, 1, 8, 76); /* one key head for all */
    TEST_CASE(obi_case_attn_decode_straight, 1, 3, 1, 64, 4999); /* splits */
    TEST_CASE(obi_case_attn_decode_straight, 1, 1, 1, 128, 4095);
    TEST_CASE(obi_case_attn_decode_f16_straight, 1, 2, 2, 256, 600);
    TEST_CASE(obi_case_attn_decode_straight, 1, 1, 1, 8, 300000); /* more splits than there may be: the usual way */
}

static void test_prefill(void **state)
{
    (void)state;
    static const uint32_t tokens[] = { 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 65, 100 };
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        TEST_CASE(obi_case_attn_prefill, tokens[i], 4, 2, 48, 0);
        TEST_CASE(obi_case_attn_prefill, tokens[i], 2, 1, 18, 61); /* after earlier tokens */
    }
    static const uint32_t head_sizes[] = { 2, 4, 6, 32, 62, 64, 66, 80, 128, 130, 192, 254, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) TEST_CASE(obi_case_attn_prefill, 6, 2, 1, head_sizes[i], 70);
    TEST_CASE(obi_case_attn_prefill, 3, 1, 1, 16, 4094);
}

/* The same kernels where the cache holds halves. */
/* Made of products: queries and positions around a tile, a chunk, an axis of the grid, the pieces of scratch. */
static void test_prompt_straight(void **state)
{
    (void)state;
    static const uint32_t first[] = { 0, 1, 30, 223, 225, 256, 511, 1000 };
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) {
        TEST_CASE(obi_case_attn_prompt_straight, 8 + (uint32_t)i * 5, 6, 2, 40, first[i], 1);
        TEST_CASE(obi_case_attn_prompt_straight, 32, 3, 3, 64, first[i], 1);
        TEST_CASE(obi_case_attn_prompt_straight, 11, 4, 1, 8, first[i], 0);
    }
    TEST_CASE(obi_case_attn_prompt_straight, 131, 4, 2, 128, 100, 1);   /* two pieces of queries, and three more */
    TEST_CASE(obi_case_attn_prompt_straight, 16, 2, 1, 16, 4000, 1);    /* more positions than a dispatch of a product takes */
    TEST_CASE(obi_case_attn_prompt_straight, 64, 9, 3, 8, 20000, 1);    /* pieces of heads */
    TEST_CASE(obi_case_attn_prompt_straight, 8, 1, 1, 8, 65000, 0);     /* as many chunks as there may be */
    TEST_CASE(obi_case_attn_prompt_straight, 8, 255, 1, 8, 3, 1);
    TEST_CASE(obi_case_attn_prompt_straight, 8, 256, 256, 8, 3, 1);     /* too many heads: the usual way */
}

static void test_halves(void **state)
{
    (void)state;
    static const uint32_t positions[] = { 1, 2, 31, 32, 33, 63, 64, 65, 129, 1000 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        TEST_CASE(obi_case_attn_decode_f16, 1, 4, 2, 48, positions[i] - 1, 1);
        TEST_CASE(obi_case_attn_decode_f16, 1, 4, 2, 48, positions[i] - 1, 4);
        TEST_CASE(obi_case_attn_prefill_f16, 7, 2, 1, 18, positions[i] - 1, 1);
        TEST_CASE(obi_case_attn_prefill_f16, 5, 2, 1, 18, positions[i] - 1, 2);
    }
    static const uint32_t head_sizes[] = { 2, 4, 6, 30, 32, 34, 62, 64, 66, 80, 126, 128, 130, 192, 254, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) {
        TEST_CASE(obi_case_attn_decode_f16, 1, 2, 1, head_sizes[i], 76, 1);
        TEST_CASE(obi_case_attn_prefill_f16, 6, 2, 1, head_sizes[i], 70, 1);
    }
    uint32_t *size = &test_device()->caps.workgroup_size, before = *size;
    *size = 32; /* more columns a lane */
    TEST_CASE(obi_case_attn_decode_f16, 1, 2, 1, 66, 76, 1);
    TEST_CASE(obi_case_attn_prefill_f16, 6, 2, 1, 128, 70, 1);
    *size = before;
    TEST_CASE(obi_case_attn_decode_f16, 1, 1, 1, 128, 32767);
}

/* Any number of splits, those that see no position and those whose share begins after some queries of a tile included. */
static void test_splits(void **state)
{
    (void)state;
    static const uint32_t positions[] = { 1, 2, 63, 64, 65, 127, 128, 129, 255, 257, 1000 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++)
        for (uint32_t splits = 2; splits <= OBI_ATTN_SPLITS_MAX; splits *= splits < 4 ? 2 : 4) {
            TEST_CASE(obi_case_attn_decode, 1, 4, 2, 48, positions[i] - 1, splits);
            TEST_CASE(obi_case_attn_prefill, 6, 2, 1, 20, positions[i] - 1, splits);
        }
    static const uint32_t head_sizes[] = { 2, 4, 6, 34, 62, 64, 66, 128, 130, 254, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) {
        TEST_CASE(obi_case_attn_combine, 1, 3, 1, head_sizes[i], 300, 3);
        TEST_CASE(obi_case_attn_prefill, 5, 2, 2, head_sizes[i], 124, 3); /* the last queries see one round more */
    }
    TEST_CASE(obi_case_attn_combine, 300, 8, 1, 256, 5, 64); /* pieces: the parts of all queries are 38 MiB */
    uint32_t *limit = &test_device()->caps.workgroup_count[0], before = *limit;
    *limit = 10;
    TEST_CASE(obi_case_attn_combine, 9, 5, 5, 6, 64, 2); /* rows folded over the grid */
    *limit = before;
}

/* The same where it holds bytes: head sizes with one, two, three and no bytes left in the last word, more heads than are stored at once. */
static void test_bytes(void **state)
{
    (void)state;
    static const uint32_t positions[] = { 1, 2, 31, 32, 33, 63, 64, 65, 129, 1000 };
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        TEST_CASE(obi_case_attn_decode_int8, 1, 4, 2, 48, positions[i] - 1, 1);
        TEST_CASE(obi_case_attn_decode_int8, 1, 4, 2, 50, positions[i] - 1, 4);
        TEST_CASE(obi_case_attn_prefill_int8, 7, 2, 1, 18, positions[i] - 1, 1);
        TEST_CASE(obi_case_attn_prefill_int8, 5, 2, 1, 20, positions[i] - 1, 2);
    }
    static const uint32_t head_sizes[] = { 2, 4, 6, 30, 32, 34, 62, 64, 66, 80, 126, 128, 130, 192, 254, 256 };
    for (size_t i = 0; i < sizeof head_sizes / sizeof head_sizes[0]; i++) {
        TEST_CASE(obi_case_attn_decode_int8, 1, 2, 1, head_sizes[i], 76, 1);
        TEST_CASE(obi_case_attn_prefill_int8, 6, 2, 1, head_sizes[i], 70, 1);
        TEST_CASE(obi_case_attn_kv_store_int8, 3, 4, head_sizes[i], 2, 7);
        TEST_CASE(obi_case_attn_kv_store_int8, 1, 3, head_sizes[i] - 1, 0, 1);
        TEST_CASE(obi_case_attn_kv_store_int8, 1, 3, head_sizes[i], 3, 5);
    }
    TEST_CASE(obi_case_attn_decode_int8, 1, 8, 8, 8, 40, 0);
    TEST_CASE(obi_case_attn_decode_int8, 1, 9, 1, 8, 40, 0);
    TEST_CASE(obi_case_attn_decode_int8, 1, 1, 1, 16, 140000); /* more than one workgroup may loop over */
    TEST_CASE(obi_case_attn_prefill_int8, 3, 1, 1, 16, 4094);
    TEST_CASE(obi_case_attn_kv_store_int8, 2, 64, 6, 1, 4);
    TEST_CASE(obi_case_attn_kv_store_int8, 2, 65, 6, 1, 4);
    TEST_CASE(obi_case_attn_kv_store_int8, 2, 200, 5, 1, 4);
    uint32_t *size = &test_device()->caps.workgroup_size, before = *size;
    *size = 32; /* more columns a lane */
    TEST_CASE(obi_case_attn_decode_int8, 1, 2, 1, 66, 76, 1);
    TEST_CASE(obi_case_attn_prefill_int8, 6, 2, 1, 70, 70, 1);
    *size = before;
    uint32_t *limit = &test_device()->caps.workgroup_count[0], most = *limit;
    *limit = 10; /* more tokens than a grid axis has */
    TEST_CASE(obi_case_attn_kv_store_int8, 29, 3, 6, 1, 31);
    *limit = most;
}

/* Some queries of a tile or of many, alone: the others' rows stay. */
static void test_ranges(void **state)
{
    (void)state;
    enum { T = 11, H = 3, C = 10, FIRST = 90, P = FIRST + T, ROW = H * C };
    obi_case_env *env = test_env();
    for (uint32_t splits = 1; splits <= 2; splits++)
        for (uint32_t first = 0; first < T; first += 3) {
            uint32_t count = first == 6 ? 1 : first == 9 ? 2 : 5;
            obi_case_env_clear(env);
            float *q = obi_case_normal(env, T * ROW, 1), *k = obi_case_normal(env, P * ROW, 1), *v = obi_case_normal(env, P * ROW, 1);
            float all[T * ROW], some[T * ROW];
            obi_view q_view, all_view, some_view;
            obi_kv_cache cache = { .type = OBI_KV_F32 };
            TEST_OK(obi_case_upload(env, q, sizeof all, &q_view));
            TEST_OK(obi_case_upload(env, k, sizeof(float) * P * ROW, &cache.k));
            TEST_OK(obi_case_upload(env, v, sizeof(float) * P * ROW, &cache.v));
            TEST_OK(obi_case_output(env, sizeof all, &all_view));
            TEST_OK(obi_case_output(env, sizeof all, &some_view));
            obi_cmd_begin(env->cmd);
            obi_op_attn_range_fwd(env->cmd, all_view, q_view, cache, T, H, H, C, FIRST, (obi_attn_range){ .count = T, .splits = splits });
            obi_op_attn_range_fwd(env->cmd, some_view, q_view, cache, T, H, H, C, FIRST, (obi_attn_range){ .first = first, .count = count, .splits = splits });
            TEST_OK(obi_cmd_run(env->cmd));
            TEST_OK(obi_case_download(env, all_view, all, sizeof all));
            TEST_OK(obi_case_download(env, some_view, some, sizeof some));
            for (uint32_t i = 0; i < T * ROW; i++) {
                bool in = i / ROW >= first && i / ROW < first + count;
                if (in ? !(fabsf(all[i] - some[i]) <= 1e-6f) : !isnan(some[i]))
                    fail_msg("queries %u+%u, splits %u: [%u] = %g, of all %g", first, count, splits, i, (double)some[i], (double)all[i]);
            }
        }
    test_device_check();
}

/* Some heads after the others, cut within a key head too: the same bits as all at once. */
static void test_heads_by_themselves(void **state)
{
    (void)state;
    enum { T = 14, H = 6, K = 2, C = 16, FIRST = 50, P = FIRST + T, ROW = H * C };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    assert_int_equal(obi_op_attn_by_heads(env->device, OBI_KV_F32, T, H, C, P), env->device->caps.straight);
    if (!env->device->caps.straight) return; /* test_straight.c says which drivers must be */
    float *q = obi_case_normal(env, T * ROW, 1), *k = obi_case_normal(env, P * K * C, 1), *v = obi_case_normal(env, P * K * C, 1);
    float all[T * ROW], some[T * ROW];
    obi_view q_view, all_view, some_view;
    obi_kv_cache cache = { .type = OBI_KV_F32 };
    TEST_OK(obi_case_upload(env, q, sizeof all, &q_view));
    TEST_OK(obi_case_upload(env, k, sizeof(float) * P * K * C, &cache.k));
    TEST_OK(obi_case_upload(env, v, sizeof(float) * P * K * C, &cache.v));
    TEST_OK(obi_case_output(env, sizeof all, &all_view));
    TEST_OK(obi_case_output(env, sizeof all, &some_view));
    obi_cmd_begin(env->cmd);
    obi_op_attn_range_fwd(env->cmd, all_view, q_view, cache, T, H, K, C, FIRST, (obi_attn_range){ .count = T });
    static const uint32_t parts[][2] = { { 0, 2 }, { 2, 1 }, { 3, 3 } };
    for (size_t i = 0; i < 3; i++)
        obi_op_attn_range_fwd(env->cmd, some_view, q_view, cache, T, H, K, C, FIRST,
                              (obi_attn_range){ .count = T, .head = parts[i][0], .heads = parts[i][1] });
    TEST_OK(obi_cmd_run(env->cmd));
    TEST_OK(obi_case_download(env, all_view, all, sizeof all));
    TEST_OK(obi_case_download(env, some_view, some, sizeof some));
    assert_memory_equal(all, some, sizeof all);
    test_device_check();
}

/* Contexts past what one workgroup may loop over are split, whatever the device; the number stays from one power of two to the next. */
static void test_numbers_of_splits(void **state)
{
    (void)state;
    const obi_device *device = test_device();
    for (uint32_t C = 32; C <= 256; C *= 2) {
        assert_int_equal(obi_op_attn_splits(device, 1, 32, C, 500), 1);
        assert_true(obi_op_attn_splits(device, 1, 32, C, 1 << 17) > 1);
        assert_true(obi_op_attn_splits(device, 128, 32, C, 1 << 17) > 1);
        assert_int_equal(obi_op_attn_splits(device, 1, 32, C, (1 << 17) + 1), obi_op_attn_splits(device, 1, 32, C, 1 << 18));
        assert_true(obi_op_attn_positions_max(device, C) >= 1u << 21);
    }
    TEST_CASE(obi_case_attn_decode, 1, 1, 1, 16, 140000); /* more than one workgroup may */
    TEST_CASE(obi_case_attn_prefill, 3, 1, 1, 16, 140000);
}

/* Scores far apart, and in the second half all far below zero: nothing overflows, the largest takes all, wherever it is. */
static void test_extreme_scores(void **state)
{
    (void)state;
    enum { P = 200, C = 4 };
    obi_case_env *env = test_env();
    for (int tier = OBI_TIER_A; tier <= (int)env->device->tier && tier <= OBI_TIER_B; tier++) {
        for (uint32_t at = 0; at < 2 * P; at += 33) {
            obi_case_env_clear(env);
            env->device->kernel_tier[OBI_KERNEL_ATTN_DECODE_FWD] = (obi_tier)tier;
            float q[C] = { 100, 0, 0, 0 }, got[C];
            float *k = obi_case_zeros(env, P * C), *v = obi_case_normal(env, P * C, 1.0);
            for (uint32_t p = 0; p < P; p++) k[p * C] = p == at % P ? (at < P ? 500.0f : -400.0f) : -500.0f;
            obi_view q_view, out_view;
            obi_kv_cache cache = { .type = OBI_KV_F32 };
            TEST_OK(obi_case_upload(env, q, sizeof q, &q_view));
            TEST_OK(obi_case_upload(env, k, sizeof(float) * P * C, &cache.k));
            TEST_OK(obi_case_upload(env, v, sizeof(float) * P * C, &cache.v));
            TEST_OK(obi_case_output(env, sizeof got, &out_view));
            obi_cmd_begin(env->cmd);
            obi_op_attn_fwd(env->cmd, out_view, q_view, cache, 1, 1, 1, C, P - 1);
            TEST_OK(obi_cmd_run(env->cmd));
            TEST_OK(obi_case_download(env, out_view, got, sizeof got));
            for (uint32_t c = 0; c < C; c++)
                if (!(fabsf(got[c] - v[at % P * C + c]) <= 1e-6f))
                    fail_msg("tier %d, round %u: %g, not %g", tier, at, (double)got[c], (double)v[at % P * C + c]);
        }
    }
    env->device->kernel_tier[OBI_KERNEL_ATTN_DECODE_FWD] = env->device->tier;
    test_device_check();
}

/* What lies in the cache after the last visible position must have no influence, NaN included. */
static void test_the_future_is_not_seen(void **state)
{
    (void)state;
    enum { P = 130, T = 6, C = 8 };
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    float *q = obi_case_normal(env, T * C, 1), *k = obi_case_normal(env, P * C, 1), *v = obi_case_normal(env, P * C, 1);
    float *first = obi_case_zeros(env, T * C), *second = obi_case_zeros(env, T * C);
    for (int round = 0; round < 2; round++) {
        obi_view q_view, out_view;
        obi_kv_cache cache = { .type = OBI_KV_F32 };
        for (int i = 70 * C; round == 1 && i < P * C; i++) k[i] = v[i] = NAN;
        TEST_OK(obi_case_upload(env, q, sizeof(float) * T * C, &q_view));
        TEST_OK(obi_case_upload(env, k, sizeof(float) * P * C, &cache.k));
        TEST_OK(obi_case_upload(env, v, sizeof(float) * P * C, &cache.v));
        TEST_OK(obi_case_output(env, sizeof(float) * T * C, &out_view));
        obi_cmd_begin(env->cmd);
        obi_op_attn_fwd(env->cmd, out_view, q_view, cache, T, 1, 1, C, 70 - T);
        TEST_OK(obi_cmd_run(env->cmd));
        TEST_OK(obi_case_download(env, out_view, round ? second : first, sizeof(float) * T * C));
    }
    assert_memory_equal(first, second, sizeof(float) * T * C);
    test_device_check();
}

/* Nor what a later token of the same batch has. */
static void test_later_tokens_are_not_seen(void **state)
{
    (void)state;
    enum { T = 150, H = 4, K = 2, C = 16, FIRST_MOST = 300, P_MOST = FIRST_MOST + T, KV = P_MOST * K * C, ROW = H * C };
    static const struct { uint32_t T, first, from; } batches[] = { { 6, 62, 3 }, { 8, 0, 5 }, { 9, 3, 1 }, { 33, 31, 32 }, { 150, 0, 130 },
                                                                   { 150, 300, 77 }, { 64, 256, 1 } };
    obi_case_env *env = test_env();
    float *out[2] = { NULL };
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
        for (int what = 0; what < 2; what++) {
            uint32_t tokens = batches[i].T, first = batches[i].first, from = batches[i].from, positions = first + tokens;
            obi_case_env_clear(env);
            float *q = obi_case_normal(env, tokens * ROW, 1), *k = obi_case_normal(env, KV, 1), *v = obi_case_normal(env, KV, 1);
            for (int round = 0; round < 2; round++) {
                obi_view q_view, out_view;
                obi_kv_cache cache = { .type = OBI_KV_F32 };
                for (uint32_t j = (first + from) * K * C; round == 1 && j < positions * K * C; j++) k[j] = v[j] = what ? INFINITY : NAN;
                out[round] = obi_case_zeros(env, tokens * ROW);
                TEST_OK(obi_case_upload(env, q, sizeof(float) * tokens * ROW, &q_view));
                TEST_OK(obi_case_upload(env, k, sizeof(float) * positions * K * C, &cache.k));
                TEST_OK(obi_case_upload(env, v, sizeof(float) * positions * K * C, &cache.v));
                TEST_OK(obi_case_output(env, sizeof(float) * tokens * ROW, &out_view));
                obi_cmd_begin(env->cmd);
                obi_op_attn_fwd(env->cmd, out_view, q_view, cache, tokens, H, K, C, first);
                TEST_OK(obi_cmd_run(env->cmd));
                TEST_OK(obi_case_download(env, out_view, out[round], sizeof(float) * tokens * ROW));
            }
            assert_memory_equal(out[0], out[1], sizeof(float) * from * ROW);
            for (uint32_t j = from * ROW; j < tokens * ROW; j++) /* and those that see them are spoilt */
                if (isfinite(out[1][j])) fail_msg("batch %u: [%u] = %g", (unsigned)i, j, (double)out[1][j]);
        }
    test_device_check();
}

static void test_bad_sizes_are_refused(void **state)
{
    (void)state;
    obi_case_env *env = test_env();
    obi_case_env_clear(env);
    obi_view view, two;
    TEST_OK(obi_case_output(env, 1 << 16, &view));
    TEST_OK(obi_case_output(env, 1 << 16, &two));
    static const uint32_t sizes[][5] = { /* T H K C first */
        { 1, 4, 3, 8, 0 }, { 1, 4, 0, 8, 0 }, { 1, 1, 1, 7, 0 }, { 1, 1, 1, 258, 0 }, { 1, 1, 1, 8, 1u << 20 }, { 0, 1, 1, 8, 0 } };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        obi_cmd_begin(env->cmd);
        obi_op_attn_fwd(env->cmd, view, two, (obi_kv_cache){ OBI_KV_F32, two, two }, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3],
                        sizes[i][4]);
        assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    }
    obi_cmd_begin(env->cmd);
    obi_op_kv_store_fwd(env->cmd, (obi_kv_cache){ OBI_KV_F32, view, view }, two, two, 3, 8, 8, 6, 8);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "do not fit the context"));
    obi_cmd_begin(env->cmd);
    obi_op_kv_store_fwd(env->cmd, (obi_kv_cache){ OBI_KV_F16, view, view }, two, two, 3, 9, 9, 0, 8);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "even length"));
    obi_cmd_begin(env->cmd);
    obi_op_kv_store_fwd(env->cmd, (obi_kv_cache){ OBI_KV_INT8, view, view }, two, two, 3, 12, 8, 0, 8);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "whole heads"));
    obi_cmd_begin(env->cmd);
    obi_op_rope_fwd(env->cmd, view, two, 1, 1, 8, 10, 0, OBI_ROPE_HALF);
    assert_int_equal(obi_cmd_run(env->cmd), OBI_ERROR_ARGUMENT);
    test_device_check();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),           cmocka_unit_test(test_rope_straight),
        cmocka_unit_test(test_kv_store),       cmocka_unit_test(test_decode),        cmocka_unit_test(test_decode_straight),
        cmocka_unit_test(test_prefill),        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_prompt_straight),
        cmocka_unit_test(test_heads_by_themselves),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_ranges),         cmocka_unit_test(test_numbers_of_splits),
        cmocka_unit_test(test_extreme_scores), cmocka_unit_test(test_the_future_is_not_seen),
        cmocka_unit_test(test_later_tokens_are_not_seen),
        cmocka_unit_test(test_bad_sizes_are_refused),
    };
    return test_device_finish(cmocka_run_group_tests(tests, NULL, NULL));
}
