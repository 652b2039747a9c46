/* test_model_sources: one model from a path, from memory and from a reader; readers that fail, lie or are short. */
#include "api.h"

static ob_context *shared;
static const char *const names[] = { "f32.gguf", "f16.gguf", "onebit.gguf" };
static const ob_form forms[] = { OB_FORM_F32, OB_FORM_F16, OB_FORM_ONEBIT };
static unsigned char *files[3];
static size_t sizes[3];

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    for (int i = 0; i < 3; i++)
        files[i] = api_read_file(api_convert(shared, API_STORIES, API_STORIES_TOKENIZER, forms[i], names[i]), &sizes[i]);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) free(files[i]);
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

typedef struct shelf {
    const unsigned char *data;
    size_t size;
    uint64_t claimed;
    size_t largest, sum;
    unsigned calls, fail_at; /* 0: never */
} shelf;

static bool fetch(void *user, uint64_t offset, void *to, size_t count)
{
    shelf *own = user;
    if (++own->calls == own->fail_at) return false;
    assert_true(count <= own->claimed && offset <= own->claimed - count); /* never asked for what is not there */
    if (count > own->largest) own->largest = count;
    own->sum += count;
    memset(to, 0, count); /* what the claim has and the data have not */
    if (offset < own->size) memcpy(to, own->data + offset, count < own->size - offset ? count : own->size - (size_t)offset);
    return true;
}

/* What the model makes of a prompt. */
static void choices(const ob_model_desc *desc, uint32_t ids[8], unsigned char *state, size_t *bytes)
{
    static const uint32_t prompt[] = { 1, 403, 407, 261, 378 };
    ob_model *model = NULL;
    API_OK(ob_model_load(&model, shared, desc));
    ob_model_info info;
    API_OK(ob_model_info_get(model, &info));
    assert_true(info.has_tokenizer && info.file_bytes > 0);
    ob_session *session = api_session(model, (ob_sampling){ 0 });
    API_OK(api_generate(session, prompt, 5, ids, 8));
    API_OK(ob_session_save(session, state, *bytes, bytes)); /* holds the model's fingerprint */
    ob_session_destroy(session);
    ob_model_destroy(model);
}

static void test_same_model(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        uint32_t ids[3][8];
        unsigned char saved[3][1024];
        size_t bytes[3] = { 1024, 1024, 1024 };
        char path[1024];
        snprintf(path, sizeof path, "%s", scratch_path(names[i]));
        choices(&(ob_model_desc){ .path = path }, ids[0], saved[0], &bytes[0]);
        unsigned char *copy = malloc(sizes[i] + 1); /* at an odd place */
        assert_non_null(copy);
        memcpy(copy + 1, files[i], sizes[i]);
        choices(&(ob_model_desc){ .memory = copy + 1, .memory_bytes = sizes[i], .map = i == 1 }, ids[1], saved[1], &bytes[1]);
        free(copy);
        shelf own = { .data = files[i], .size = sizes[i], .claimed = sizes[i] };
        ob_reader reader = { .bytes = sizes[i], .read = fetch, .user = &own, .name = "a shelf" };
        choices(&(ob_model_desc){ .reader = &reader, .map = i == 1 }, ids[2], saved[2], &bytes[2]);
        assert_true(own.sum < sizes[i] + (2u << 20) && own.calls > 10);
        for (int k = 1; k < 3; k++) {
            assert_memory_equal(ids[k], ids[0], sizeof ids[0]);
            assert_int_equal(bytes[k], bytes[0]);
            assert_memory_equal(saved[k], saved[0], bytes[0]);
        }
    }
}

static void expect_refused(ob_model_desc desc, ob_status code, const char *part)
{
    ob_model *model = (ob_model *)(uintptr_t)&shared;
    API_FAILS(ob_model_load(&model, shared, &desc), code, part);
    assert_null(model);
}

static void test_one_source(void **state)
{
    (void)state;
    shelf own = { .data = files[0], .size = sizes[0], .claimed = sizes[0] };
    ob_reader reader = { .bytes = sizes[0], .read = fetch, .user = &own }, idle = { .bytes = 10 };
    expect_refused((ob_model_desc){ 0 }, OB_ERROR_ARGUMENT, "no model file");
    expect_refused((ob_model_desc){ .path = "x", .memory = files[0], .memory_bytes = 1 }, OB_ERROR_ARGUMENT, "more than one");
    expect_refused((ob_model_desc){ .path = "x", .reader = &reader }, OB_ERROR_ARGUMENT, "more than one");
    expect_refused((ob_model_desc){ .memory = files[0], .memory_bytes = 1, .reader = &reader }, OB_ERROR_ARGUMENT, "more than one");
    expect_refused((ob_model_desc){ .reader = &idle }, OB_ERROR_ARGUMENT, "no function");
    expect_refused((ob_model_desc){ .memory = files[0], .memory_bytes = 0 }, OB_ERROR_DATA, "GGUF");
    expect_refused((ob_model_desc){ .memory = files[0], .memory_bytes = sizes[0] / 2 }, OB_ERROR_DATA, "ends before");
    assert_int_equal(own.calls, 0);
}

static void test_hostile_readers(void **state)
{
    (void)state;
    for (unsigned fail_at = 1; fail_at < 40; fail_at += 6) {
        shelf own = { .data = files[2], .size = sizes[2], .claimed = sizes[2], .fail_at = fail_at };
        ob_reader reader = { .bytes = sizes[2], .read = fetch, .user = &own, .name = "a bad shelf" };
        expect_refused((ob_model_desc){ .reader = &reader }, OB_ERROR_RUNTIME, "a bad shelf");
        assert_int_equal(own.calls, fail_at); /* it ends there */
    }
    /* Sizes that are not the file's. */
    static const struct { int64_t more; ob_status code; } lies[] = {
        { -1, OB_ERROR_DATA }, { -1000, OB_ERROR_DATA }, { 1000, OB_ERROR_DATA }, { INT64_MAX / 2, OB_ERROR_DATA },
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        shelf own = { .data = files[2], .size = sizes[2], .claimed = sizes[2] + (uint64_t)lies[i].more };
        ob_reader reader = { .bytes = own.claimed, .read = fetch, .user = &own };
        expect_refused((ob_model_desc){ .reader = &reader }, lies[i].code, "the model that is read");
    }
    static const uint64_t few[] = { 0, 1, 4, 23, 100 };
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        shelf own = { .data = files[2], .size = sizes[2], .claimed = few[i] };
        ob_reader reader = { .bytes = few[i], .read = fetch, .user = &own };
        expect_refused((ob_model_desc){ .reader = &reader }, OB_ERROR_DATA, "the model that is read");
    }
}

/* A header that is longer than what is read of it at first: a key of 3 MiB in front of the others. */
static void test_long_header(void **state)
{
    (void)state;
    enum { PAD = 3 << 20, HEAD = 24 };
    static const char key[] = "a.long.key";
    size_t added = 8 + sizeof key - 1 + 4 + 8 + PAD;
    added = (added + 31) / 32 * 32; /* what follows stays aligned */
    size_t text = added - (8 + sizeof key - 1 + 4 + 8);
    unsigned char *longer = malloc(sizes[2] + added), *at = longer + HEAD;
    assert_non_null(longer);
    memcpy(longer, files[2], HEAD);
    longer[16]++; /* one key more */
    assert_true(longer[16] != 0);
    for (int k = 0; k < 8; k++) *at++ = (unsigned char)((sizeof key - 1) >> 8 * k & 0xff);
    memcpy(at, key, sizeof key - 1);
    at += sizeof key - 1;
    memcpy(at, "\x08\0\0\0", 4); /* a string */
    at += 4;
    for (int k = 0; k < 8; k++) *at++ = (unsigned char)((uint64_t)text >> 8 * k & 0xff);
    memset(at, 'x', text);
    memcpy(at + text, files[2] + HEAD, sizes[2] - HEAD);
    uint32_t ids[2][8];
    unsigned char saved[2][1024];
    size_t bytes[2] = { 1024, 1024 };
    shelf own = { .data = longer, .size = sizes[2] + added, .claimed = sizes[2] + added };
    ob_reader reader = { .bytes = own.claimed, .read = fetch, .user = &own };
    choices(&(ob_model_desc){ .memory = longer, .memory_bytes = sizes[2] + added }, ids[0], saved[0], &bytes[0]);
    choices(&(ob_model_desc){ .reader = &reader }, ids[1], saved[1], &bytes[1]);
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    assert_memory_equal(saved[0], saved[1], bytes[0]);
    free(longer);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_model), cmocka_unit_test(test_one_source),
                                        cmocka_unit_test(test_hostile_readers), cmocka_unit_test(test_long_header) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
