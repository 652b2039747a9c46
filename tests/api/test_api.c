/* test_api: contexts and models through onebit.h: what each function gives, and what it says when it cannot. */
#include "api.h"

static ob_context *shared; /* with the validation layer, whose messages are counted at the end */
static ob_model *stories;
static char stories_path[1024];

static const ob_context_desc plain = { .cache_dir = "", .skip_selftest = true };

/* A pointer that is no object: an out-pointer must not keep it. */
#define JUNK(type) ((type *)(uintptr_t)&shared)

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    API_OK(ob_context_create(&shared, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true, .validation = API_VALIDATION }));
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    stories = api_model(shared, stories_path);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_model_destroy(stories);
    assert_int_equal(ob_context_validation_messages(shared), 0);
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

/* ---- status -------------------------------------------------------------------------------------------------------- */

static void test_exit_codes(void **state)
{
    (void)state;
    assert_int_equal(ob_exit_code(OB_OK), 0);
    assert_int_equal(ob_exit_code(OB_ERROR_RUNTIME), 1);
    assert_int_equal(ob_exit_code(OB_ERROR_ARGUMENT), 2);
    assert_int_equal(ob_exit_code(OB_ERROR_NO_DEVICE), 3);
    assert_int_equal(ob_exit_code(OB_ERROR_MEMORY), 4);
    assert_int_equal(ob_exit_code(OB_ERROR_DATA), 5);
    assert_int_equal(ob_exit_code(OB_ERROR_DEVICE_LOST), 6);
    assert_int_equal(ob_exit_code(OB_ERROR_CANCELLED), 130);
    assert_int_equal(ob_exit_code((ob_status)-99), 1);
    assert_int_equal(ob_exit_code((ob_status)7), 1);
}

static void test_version(void **state)
{
    (void)state;
    unsigned major, minor, patch;
    int used = 0;
    assert_int_equal(sscanf(ob_version(), "%u.%u.%u%n", &major, &minor, &patch, &used), 3);
    assert_int_equal(ob_version()[used], 0);
}

static void *read_error_elsewhere(void *sentence)
{
    snprintf(sentence, 512, "%s", ob_last_error());
    return NULL;
}

/* A thread sees its own failures only. */
static void test_errors_belong_to_a_thread(void **state)
{
    (void)state;
    ob_model *model = JUNK(ob_model);
    API_FAILS(ob_model_load(&model, shared, &(ob_model_desc){ 0 }), OB_ERROR_ARGUMENT, "no model file");
    char elsewhere[512] = "not asked";
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, read_error_elsewhere, elsewhere), 0);
    pthread_join(thread, NULL);
    assert_string_equal(elsewhere, "");
    api_check_sentence("after another thread", "no model file");
}

static void test_destroy_takes_null(void **state)
{
    (void)state;
    ob_session_destroy(NULL);
    ob_model_destroy(NULL);
    ob_context_destroy(NULL);
    ob_quantize_report_free(NULL);
}

/* Where a desc has no required field, none at all is one of zeros. */
static void test_no_desc(void **state)
{
    (void)state;
    ob_session *session;
    API_OK(ob_session_create(&session, stories, NULL));
    assert_int_equal(ob_session_context(session), 512);
    ob_session_destroy(session);
}

/* ---- devices --------------------------------------------------------------------------------------------------------- */

static void test_device_list(void **state)
{
    (void)state;
    uint32_t count = 99, again = 99;
    API_OK(ob_device_list(NULL, 0, &count));
    assert_true(count >= 1);
    ob_device_info infos[9];
    memset(infos, 0x5a, sizeof infos);
    API_OK(ob_device_list(infos, 8, &again));
    assert_int_equal(again, count);
    for (uint32_t i = 0; i < count && i < 8; i++) {
        assert_true(infos[i].name[0] && infos[i].driver[0] && infos[i].type[0]);
        assert_true(infos[i].tier >= 'A' && infos[i].tier <= 'C');
        assert_true(infos[i].usable ? infos[i].reason[0] == 0 : infos[i].reason[0] != 0);
    }
    assert_int_equal(((unsigned char *)&infos[count < 8 ? count : 8])[0], 0x5a); /* not one entry too many */

    /* A context without a selection is the first of the list. */
    ob_device_info info;
    API_OK(ob_context_info(shared, &info));
    assert_string_equal(info.name, infos[0].name);
    assert_string_equal(info.driver, infos[0].driver);
    assert_string_equal(info.type, infos[0].type);
    assert_memory_equal(info.uuid, infos[0].uuid, sizeof info.uuid);
    assert_true(info.usable && info.reason[0] == 0 && info.tier == infos[0].tier);
    assert_int_equal(info.api_version, infos[0].api_version);
    assert_true(info.subgroup_size >= 1 && info.workgroup_size >= 128 && info.shared_bytes >= 16384);
    assert_true(info.storage_range >= 1u << 27 && info.memory_bytes > 0);
    assert_true(info.storage_range == infos[0].storage_range && info.allocation_max == infos[0].allocation_max);
    assert_true(info.unified == infos[0].unified && info.fp16 == infos[0].fp16 && info.storage16 == infos[0].storage16);
    assert_true(info.subgroup_arithmetic == infos[0].subgroup_arithmetic && info.timestamps == infos[0].timestamps);
}

static void expect_opens(const char *selection, const char *name)
{
    ob_context *context;
    ob_context_desc desc = plain;
    desc.device = selection;
    API_OK(ob_context_create(&context, &desc));
    ob_device_info info;
    API_OK(ob_context_info(context, &info));
    assert_string_equal(info.name, name);
    ob_context_destroy(context);
}

static void test_device_selection(void **state)
{
    (void)state;
    ob_device_info info;
    uint32_t count;
    API_OK(ob_device_list(&info, 1, &count));
    char part[5] = { 0 }, uuid[40];
    for (int i = 0; i < 4; i++) part[i] = (char)(info.name[i] >= 'a' && info.name[i] <= 'z' ? info.name[i] - 32 : info.name[i]);
    size_t used = 0;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) uuid[used++] = '-';
        used += (size_t)snprintf(uuid + used, sizeof uuid - used, i % 2 ? "%02x" : "%02X", info.uuid[i]);
    }
    expect_opens("", info.name);
    expect_opens("0", info.name);
    expect_opens(part, info.name);
    expect_opens(uuid, info.name);

    static const char *const wrong[] = { "no such device", "987654", "-1", "00000000-0000-0000-0000-00000000000" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ob_context *context = JUNK(ob_context);
        ob_context_desc desc = plain;
        desc.device = wrong[i];
        API_FAILS(ob_context_create(&context, &desc), OB_ERROR_NO_DEVICE, wrong[i]);
        assert_non_null(strstr(ob_last_error(), info.name)); /* it says what there is */
        assert_null(context);
    }
}

#ifndef _WIN32 /* Wine asks the loader of its host, which does not see these variables */
/* What the loader finds is decided by the environment, which the loader reads each time. */
static void test_no_driver(void **state)
{
    (void)state;
    static const char *const names[] = { "VK_ICD_FILENAMES", "VK_DRIVER_FILES" };
    char *before[2];
    for (int i = 0; i < 2; i++) {
        const char *value = getenv(names[i]);
        before[i] = value ? strdup(value) : NULL;
        setenv(names[i], scratch_path("no_such_manifest.json"), 1);
    }
    uint32_t count = 99;
    ob_device_info info;
    ob_context *context = JUNK(ob_context);
    ob_status listed = ob_device_list(&info, 1, &count), created = ob_context_create(&context, &plain);
    for (int i = 0; i < 2; i++) {
        if (before[i]) setenv(names[i], before[i], 1);
        else unsetenv(names[i]);
        free(before[i]);
    }
    API_FAILS(listed, OB_ERROR_NO_DEVICE, "driver");
    assert_int_equal(count, 0);
    API_FAILS(created, OB_ERROR_NO_DEVICE, "driver");
    assert_null(context);
}
#endif

/* ---- context --------------------------------------------------------------------------------------------------------- */

static void test_tiers(void **state)
{
    (void)state;
    ob_device_info best, info;
    API_OK(ob_context_info(shared, &best));
    for (char tier = 'A'; tier <= 'C'; tier++) {
        ob_context *context;
        ob_context_desc desc = plain;
        desc.tier = tier;
        api_log *log = api_log_start();
        API_OK(ob_context_create(&context, &desc));
        API_OK(ob_context_info(context, &info));
        assert_int_equal(info.tier, tier < best.tier ? tier : best.tier);
        assert_int_equal(log->count[OB_LOG_WARNING], tier > best.tier); /* lowered, and said so */
        ob_set_log(NULL, NULL);
        ob_context_destroy(context);
    }
    static const char wrong[] = { 'D', 'a', '1', 1, (char)-1 };
    for (size_t i = 0; i < sizeof wrong; i++) {
        ob_context *context = JUNK(ob_context);
        ob_context_desc desc = plain;
        desc.tier = wrong[i];
        API_FAILS(ob_context_create(&context, &desc), OB_ERROR_ARGUMENT, "not A, B or C");
        if (wrong[i] > ' ') assert_int_equal(strchr(ob_last_error(), '"')[1], wrong[i]); /* it says which one was asked for */
        assert_null(context);
    }
    static const char *const wrong_words[] = { "D", "AB", "fast", "7" };
    for (size_t i = 0; i < sizeof wrong_words / sizeof *wrong_words; i++) {
        ob_context *context = JUNK(ob_context);
        setenv("ONEBIT_TIER", wrong_words[i], 1);
        ob_status status = ob_context_create(&context, &plain);
        unsetenv("ONEBIT_TIER");
        API_FAILS(status, OB_ERROR_ARGUMENT, "ONEBIT_TIER");
        assert_non_null(strstr(ob_last_error(), wrong_words[i]));
        assert_null(context);
    }
    ob_context *context;
    setenv("ONEBIT_TIER", "A", 1);
    ob_status status = ob_context_create(&context, &plain);
    unsetenv("ONEBIT_TIER");
    API_OK(status);
    API_OK(ob_context_info(context, &info));
    assert_int_equal(info.tier, 'A');
    ob_context_destroy(context);
}

/* Families of kernels, and that `exact` leaves the one out that is not. */
static void test_families(void **state)
{
    (void)state;
    for (int exact = 0; exact < 2; exact++) {
        ob_context *context;
        ob_context_desc desc = plain;
        ob_kernel_family families[8];
        ob_kernel_choice choice;
        desc.exact = exact;
        API_OK(ob_context_create(&context, &desc));
        assert_int_equal(ob_context_families(context, NULL, 0), 6);
        assert_int_equal(ob_context_families(context, families, 8), 6);
        assert_string_equal(families[0].name, "xor");
        assert_string_equal(families[2].name, "int8");
        assert_true(families[0].offered && families[2].offered == !exact);
        assert_int_equal(families[2].reason[0] == 0, !exact);
        assert_int_equal(ob_context_choices(context, NULL, 0), 1); /* on a software driver a rule */
        assert_int_equal(ob_context_choices(context, &choice, 1), 1);
        assert_string_equal(choice.what, "sign_gemv");
        /* A profile may lack what the straight families need. */
        bool straight = false;
        for (int i = 0; i < 6; i++) straight |= strcmp(families[i].name, "straight") == 0 && families[i].offered;
        assert_non_null(strstr(choice.choice, "(a software driver)"));
        if (straight || !getenv("ONEBIT_PROFILE"))
            assert_non_null(strstr(choice.choice, exact ? "straight (a software driver)" : "straight-int8 (a software driver)"));
        else assert_null(strstr(choice.choice, "straight"));
        ob_context_destroy(context);
    }
}

/* ---- model ----------------------------------------------------------------------------------------------------------- */

static void test_model_info(void **state)
{
    (void)state;
    ob_model_info info;
    memset(&info, 0x5a, sizeof info);
    API_OK(ob_model_info_get(stories, &info));
    assert_string_equal(info.architecture, "llama");
    assert_string_equal(info.name, "stories260K");
    assert_false(info.onebit);
    assert_true(info.layers == 5 && info.width == 64 && info.heads == 8 && info.kv_heads == 4 && info.head_size == 8);
    assert_true(info.ffn == 172 && info.vocabulary == API_STORIES_VOCABULARY && info.context == API_STORIES_CONTEXT);
    assert_true(info.bos == 1 && info.eos == 2 && info.add_bos && info.has_tokenizer);
    assert_int_equal(info.parameters, 260032); /* 512 x 64, 5 x (4 x 64 x 48 + 3 x 64 x 172 + 2 x 64), 64; tied */
    assert_true(info.device_bytes == 4 * info.parameters); /* F32 */
    struct stat file;
    assert_int_equal(stat(stories_path, &file), 0);
    assert_int_equal(info.file_bytes, file.st_size);
}

static void expect_no_model(const char *path, const char *part)
{
    ob_model *model = JUNK(ob_model);
    API_FAILS(ob_model_load(&model, shared, &(ob_model_desc){ .path = path }), OB_ERROR_DATA, part);
    assert_null(model);
}

static void test_model_that_cannot_be(void **state)
{
    (void)state;
    ob_model *model = JUNK(ob_model);
    API_FAILS(ob_model_load(&model, shared, &(ob_model_desc){ 0 }), OB_ERROR_ARGUMENT, "no model file");
    assert_null(model);
    expect_no_model("", "cannot open");
    expect_no_model(scratch_path("no_such_file.gguf"), "no_such_file.gguf");
    expect_no_model(scratch_directory, "a directory");
    expect_no_model("/dev/null", "not a file");
    expect_no_model("no\nsuch\tfile\x1b[31m", "cannot open");
    expect_no_model(test_data_path(API_STORIES), "GGUF");
    expect_no_model(test_data_path("tokenizers/gguf/ggml-vocab-llama-spm.gguf"), "ggml-vocab-llama-spm.gguf");

    size_t bytes;
    unsigned char *data = api_read_file(stories_path, &bytes);
    static const size_t lengths[] = { 0, 3, 24, 4096, 200000 };
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("cut.gguf"));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        api_write_file(path, data, lengths[i]);
        expect_no_model(path, "cut.gguf");
    }
    unlink(path);
    free(data);
}

typedef struct steps { unsigned count, stop_at; double last; } steps;

static bool on_progress(double fraction, const char *what, void *user)
{
    steps *seen = user;
    if (!(fraction >= seen->last && fraction <= 1) || !what || !what[0]) fail_msg("progress went from %g to %g", seen->last, fraction);
    seen->last = fraction;
    return ++seen->count != seen->stop_at;
}

static void test_load_progress(void **state)
{
    (void)state;
    steps all = { 0 };
    ob_model *model;
    API_OK(ob_model_load(&model, shared, &(ob_model_desc){ .path = stories_path, .progress = on_progress, .user = &all }));
    ob_model_destroy(model);
    assert_true(all.count > 10 && all.last == 1);
    for (unsigned stop = 1; stop <= all.count; stop += stop < 4 || stop + 4 > all.count ? 1 : 7) {
        steps seen = { .stop_at = stop };
        model = JUNK(ob_model);
        API_FAILS(ob_model_load(&model, shared, &(ob_model_desc){ .path = stories_path, .progress = on_progress, .user = &seen }),
                  OB_ERROR_CANCELLED, "cancelled");
        assert_null(model);
        assert_int_equal(seen.count, stop); /* not asked again */
    }
}

/* ---- tokens ---------------------------------------------------------------------------------------------------------- */

static void test_tokenize(void **state)
{
    (void)state;
    static const char text[] = "Once upon a time";
    static const uint32_t expected[] = { 1, 403, 407, 261, 378 }; /* the golden ids */
    const size_t length = sizeof text - 1;
    size_t count = 99;
    API_OK(ob_model_tokenize(stories, text, length, OB_TOKENIZE_BOS, NULL, 0, &count));
    assert_int_equal(count, 5);
    uint32_t ids[8];
    for (size_t room = 0; room <= 6; room++) { /* at most `room` are written, and all are counted */
        memset(ids, 0x5a, sizeof ids);
        count = 99;
        API_OK(ob_model_tokenize(stories, text, length, OB_TOKENIZE_BOS, ids, room, &count));
        assert_int_equal(count, 5);
        for (size_t i = 0; i < 8; i++) assert_int_equal(ids[i], i < room && i < 5 ? expected[i] : 0x5a5a5a5au);
    }
    API_OK(ob_model_tokenize(stories, text, length, 0, ids, 8, &count));
    assert_int_equal(count, 4);
    assert_memory_equal(ids, expected + 1, 4 * sizeof *ids);
    API_OK(ob_model_tokenize(stories, text, length, OB_TOKENIZE_BOS | OB_TOKENIZE_EOS, ids, 8, &count));
    assert_int_equal(count, 6);
    assert_int_equal(ids[5], 2);
    API_OK(ob_model_tokenize(stories, text, 4, 0, ids, 8, &count)); /* the length counts, not a NUL */
    assert_true(count >= 1 && ids[0] == expected[1]);
    API_OK(ob_model_tokenize(stories, "", 0, 0, ids, 8, &count));
    assert_int_equal(count, 0);
    API_OK(ob_model_tokenize(stories, "", 0, OB_TOKENIZE_BOS, ids, 8, &count));
    assert_true(count == 1 && ids[0] == 1);
    API_OK(ob_model_tokenize(stories, "\xff\0z", 3, 0, ids, 8, &count)); /* any bytes */
    assert_true(count >= 3);
}

static void test_pieces(void **state)
{
    (void)state;
    static const uint32_t ids[] = { 1, 403, 407, 261, 378 };
    char text[64], bytes[16];
    size_t length = 0;
    for (size_t i = 0; i < 5; i++) {
        int64_t previous = i ? (int64_t)ids[i - 1] : -1;
        size_t all = ob_model_piece(stories, previous, ids[i], NULL, 0);
        for (size_t room = 0; room <= all; room++) {
            memset(bytes, 0x5a, sizeof bytes);
            assert_int_equal(ob_model_piece(stories, previous, ids[i], bytes, room), all);
            assert_int_equal(bytes[room], 0x5a);
        }
        length += ob_model_piece(stories, previous, ids[i], text + length, sizeof text - length);
    }
    assert_int_equal(length, 16);
    assert_memory_equal(text, "Once upon a time", 16);
    static const uint32_t beyond[] = { API_STORIES_VOCABULARY, API_STORIES_VOCABULARY + 1, INT32_MAX, UINT32_MAX };
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        memset(bytes, 0x5a, sizeof bytes);
        assert_int_equal(ob_model_piece(stories, -1, beyond[i], bytes, sizeof bytes), 0);
        assert_int_equal(bytes[0], 0x5a);
    }
    static const int64_t odd[] = { API_STORIES_VOCABULARY, UINT32_MAX, INT64_MAX, -2, INT64_MIN }; /* no such token before it */
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_true(ob_model_piece(stories, odd[i], 403, bytes, sizeof bytes) <= sizeof bytes);
}

/* A checkpoint that lies alone becomes a model without a tokenizer. */
static void test_model_without_tokenizer(void **state)
{
    (void)state;
    char alone[1024], path[1024];
    snprintf(alone, sizeof alone, "%s", scratch_path("alone.bin"));
    snprintf(path, sizeof path, "%s", scratch_path("alone.gguf"));
    api_copy_file(test_data_path(API_STORIES), alone);
    API_OK(ob_quantize(NULL, &(ob_quantize_desc){ .input = alone, .output = path, .form = OB_FORM_F16 }, NULL));
    ob_model *model = api_model(shared, path);
    ob_model_info info;
    API_OK(ob_model_info_get(model, &info));
    assert_true(!info.has_tokenizer && !info.add_bos && info.bos == -1 && info.eos == -1 && info.vocabulary == API_STORIES_VOCABULARY);
    uint32_t id = 77;
    size_t count = 99;
    API_FAILS(ob_model_tokenize(model, "a", 1, OB_TOKENIZE_BOS, &id, 1, &count), OB_ERROR_DATA, "no tokenizer");
    assert_true(count == 0 && id == 77);
    char byte = 0x5a;
    assert_int_equal(ob_model_piece(model, -1, 403, &byte, 1), 0);
    assert_int_equal(byte, 0x5a);
    ob_session *session = api_session(model, (ob_sampling){ 0 }); /* ids work all the same */
    API_OK(ob_session_feed(session, &(uint32_t){ 1 }, 1));
    API_OK(ob_session_sample(session, &id));
    assert_true(id < API_STORIES_VOCABULARY);
    ob_session_destroy(session);
    ob_model_destroy(model);
    unlink(alone);
    unlink(path);
}

/* Three tokens, no bytes, no unknown token; and a control token that text may spell. */
static void test_text_that_cannot_be_expressed(void **state)
{
    (void)state;
    static const char tokenizer[] =
        "{\"added_tokens\":[{\"id\":3,\"content\":\"<end>\",\"special\":true,\"single_word\":false,\"lstrip\":false,"
        "\"rstrip\":false,\"normalized\":false}],\"pre_tokenizer\":null,\"normalizer\":{\"type\":\"Replace\","
        "\"pattern\":{\"String\":\" \"},\"content\":\"\xe2\x96\x81\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":false,"
        "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<end>\":3},\"merges\":[\"a b\"]}}";
    char json[1024], path[1024];
    snprintf(json, sizeof json, "%s", scratch_path("tokenizer.json"));
    snprintf(path, sizeof path, "%s", scratch_path("few.gguf"));
    api_write_file(json, tokenizer, sizeof tokenizer - 1);
    ob_quantize_desc desc = { .input = test_data_path(API_STORIES), .output = path, .tokenizer = json, .form = OB_FORM_F16 };
    API_OK(ob_quantize(NULL, &desc, NULL));
    ob_model *model = api_model(shared, path);
    uint32_t ids[8] = { 77 };
    size_t count = 99;
    API_FAILS(ob_model_tokenize(model, "abc", 3, 0, ids, 8, &count), OB_ERROR_DATA, "\"c\"");
    assert_true(count == 0 && ids[0] == 77);
    API_OK(ob_model_tokenize(model, "aab", 3, 0, ids, 8, &count));
    assert_true(count == 2 && ids[0] == 0 && ids[1] == 2);
    API_OK(ob_model_tokenize(model, "b<end>a", 7, OB_TOKENIZE_SPECIAL, ids, 8, &count));
    assert_true(count == 3 && ids[0] == 1 && ids[1] == 3 && ids[2] == 0);
    API_FAILS(ob_model_tokenize(model, "b<end>a", 7, 0, ids, 8, &count), OB_ERROR_DATA, "\"<\"");
    ob_model_destroy(model);
    unlink(json);
    unlink(path);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_codes), cmocka_unit_test(test_version), cmocka_unit_test(test_errors_belong_to_a_thread),
        cmocka_unit_test(test_destroy_takes_null), cmocka_unit_test(test_no_desc),
        cmocka_unit_test(test_device_list), cmocka_unit_test(test_device_selection),
#ifndef _WIN32
        cmocka_unit_test(test_no_driver),
#endif
        cmocka_unit_test(test_tiers), cmocka_unit_test(test_families), cmocka_unit_test(test_model_info),
        cmocka_unit_test(test_model_that_cannot_be), cmocka_unit_test(test_load_progress), cmocka_unit_test(test_tokenize),
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_model_without_tokenizer), cmocka_unit_test(test_text_that_cannot_be_expressed),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
