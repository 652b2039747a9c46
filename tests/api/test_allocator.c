/* test_allocator: ob_set_allocator: all host memory comes from the host's functions and goes back, and what they refuse is said. */
#include "api.h"

#include <stdatomic.h>

static char stories_path[1024];

/* Memory that knows what it is: a mark in front of each block, so that one of another allocator's shows. */
typedef struct counts {
    atomic_long blocks, calls;
    atomic_long until; /* calls that succeed before all are refused; negative: all do */
} counts;

typedef union block { max_align_t align; uint64_t mark; } block;
#define MARK UINT64_C(0x6f6e65626974b10c)

static bool refused(counts *own)
{
    atomic_fetch_add(&own->calls, 1);
    if (atomic_load(&own->until) < 0) return false;
    return atomic_fetch_sub(&own->until, 1) <= 0 && (atomic_store(&own->until, 0), true);
}

static void *reallocate(void *memory, size_t bytes, void *user)
{
    counts *own = user;
    block *old = memory ? (block *)memory - 1 : NULL;
    if (bytes == 0 || (old && old->mark != MARK) || refused(own)) return NULL;
    block *made = realloc(old, sizeof *made + bytes);
    if (!made) return NULL;
    made->mark = MARK;
    if (!old) {
        memset(made + 1, 0xa5, bytes); /* nobody may count on zeros */
        atomic_fetch_add(&own->blocks, 1);
    }
    return made + 1;
}

static void *allocate(size_t bytes, void *user) { return reallocate(NULL, bytes, user); }

static void release(void *memory, void *user)
{
    counts *own = user;
    block *old = (block *)memory - 1;
    if (old->mark != MARK) abort(); /* not ours */
    old->mark = 0;
    free(old);
    atomic_fetch_sub(&own->blocks, 1);
}

static ob_status load_generate_destroy(uint32_t *ids, size_t count)
{
    ob_context *context = NULL;
    ob_model *model = NULL;
    ob_session *session = NULL;
    static const uint32_t prompt[] = { 1, 403, 407, 261, 378 };
    double nll[4];
    size_t length;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true });
    if (status == OB_OK) status = ob_model_load(&model, context, &(ob_model_desc){ .path = stories_path });
    if (status == OB_OK) status = ob_model_tokenize(model, "Once", 4, 0, NULL, 0, &length);
    if (status == OB_OK) status = ob_session_create(&session, model, &(ob_session_desc){ .context = 32 });
    if (status == OB_OK) status = ob_session_score(session, prompt, 4, nll);
    if (status == OB_OK) status = ob_session_rewind(session, 0);
    if (status == OB_OK) status = api_generate(session, prompt, 5, ids, count);
    if (status == OB_OK) status = ob_session_generate(session, &(ob_generate_desc){ .max_tokens = 2 }, NULL);
    ob_session_destroy(session);
    ob_model_destroy(model);
    ob_context_destroy(context);
    return status;
}

static void test_balance(void **state)
{
    (void)state;
    counts own = { .until = -1 };
    uint32_t before[8], after[8];
    API_OK(load_generate_destroy(before, 8));
    API_OK(ob_set_allocator(&(ob_allocator){ allocate, reallocate, release, &own }));
    for (int i = 0; i < 2; i++) {
        API_OK(load_generate_destroy(after, 8));
        assert_int_equal(atomic_load(&own.blocks), 0);
        assert_memory_equal(before, after, sizeof before);
    }
    long calls = atomic_load(&own.calls);
    assert_true(calls > 200);
    API_OK(ob_set_allocator(NULL));
    API_OK(load_generate_destroy(after, 8));
    assert_int_equal(atomic_load(&own.calls), calls); /* it is out of use */
}

/* Refused from some point on: said, and nothing kept. test_alloc_fail refuses each one. */
static void test_refusals(void **state)
{
    (void)state;
    counts own = { .until = -1 };
    uint32_t ids[8];
    API_OK(ob_set_allocator(&(ob_allocator){ allocate, reallocate, release, &own }));
    API_OK(load_generate_destroy(ids, 8));
    long calls = atomic_load(&own.calls);
    for (long i = 0; i < 6; i++) {
        atomic_store(&own.until, calls * i / 12); /* the later ones are for what can do without */
        API_FAILS(load_generate_destroy(ids, 8), OB_ERROR_MEMORY, "memory");
        assert_int_equal(atomic_load(&own.blocks), 0);
    }
    API_OK(ob_set_allocator(NULL));
}

static void test_wrong_use(void **state)
{
    (void)state;
    counts own = { .until = -1 };
    API_FAILS(ob_set_allocator(&(ob_allocator){ NULL, reallocate, release, &own }), OB_ERROR_ARGUMENT, "three functions");
    API_FAILS(ob_set_allocator(&(ob_allocator){ allocate, NULL, release, &own }), OB_ERROR_ARGUMENT, "three functions");
    API_FAILS(ob_set_allocator(&(ob_allocator){ allocate, reallocate, NULL, &own }), OB_ERROR_ARGUMENT, "three functions");
    ob_context *context = api_context(), *none = NULL;
    API_FAILS(ob_set_allocator(&(ob_allocator){ allocate, reallocate, release, &own }), OB_ERROR_ARGUMENT, "1 context lives");
    API_FAILS(ob_set_allocator(NULL), OB_ERROR_ARGUMENT, "1 context lives");
    API_FAILS(ob_context_create(&none, &(ob_context_desc){ .device = "no such device" }), OB_ERROR_NO_DEVICE, "no such device");
    ob_context_destroy(context);
    API_OK(ob_set_allocator(&(ob_allocator){ allocate, reallocate, release, &own })); /* the one that failed does not count */
    API_OK(ob_set_allocator(NULL));
    assert_int_equal(atomic_load(&own.calls), 0);
}

static int convert_stories(void **state)
{
    if (scratch_open(state) != 0) return -1;
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    return 0;
}

static int remove_scratch(void **state)
{
    (void)state;
    api_remove_tree(scratch_directory);
    return 0;
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_balance), cmocka_unit_test(test_refusals), cmocka_unit_test(test_wrong_use) };
    return cmocka_run_group_tests(tests, convert_stories, remove_scratch);
}
