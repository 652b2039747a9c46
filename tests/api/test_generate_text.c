/* test_generate_text: ob_session_generate and ob_model_detokenize: text and why it ends, in one call or in many. */
#include "api.h"

static ob_context *shared;
static ob_model *stories, *mute; /* with and without a tokenizer */
static const uint32_t prompt[] = { 1, 403, 407, 261, 378 }; /* "Once upon a time" */
static const uint32_t golden[] = { 432, 383, 286, 261, 376, 298, 315, 421, 395, 317 };
static const char story[] = ", there was a little girl named Lily. She loved to play outside in the park."; /* 27 tokens */
enum { PROMPT = sizeof prompt / sizeof *prompt, GOLDEN = sizeof golden / sizeof *golden };

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    shared = api_context();
    stories = api_model(shared, api_stories("stories.gguf"));
    char alone[1024], path[1024]; /* a tokenizer that lies beside the model would be taken along */
    snprintf(alone, sizeof alone, "%s", scratch_path("alone.bin"));
    snprintf(path, sizeof path, "%s", scratch_path("mute.gguf"));
    api_copy_file(test_data_path(API_STORIES), alone);
    API_OK(ob_quantize(NULL, &(ob_quantize_desc){ .input = alone, .output = path, .form = OB_FORM_F32 }, NULL));
    mute = api_model(shared, path);
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_model_destroy(mute);
    ob_model_destroy(stories);
    ob_context_destroy(shared);
    api_remove_tree(scratch_directory);
    return 0;
}

/* ---- what is said ------------------------------------------------------------------------------------------------------ */

typedef struct listener {
    char text[4096];
    size_t length;
    uint32_t ids[600];
    unsigned count, calls, rests; /* tokens, calls, and calls without a token */
    unsigned most;                /* stops after so many tokens; 0: never */
} listener;

static bool listen(const char *text, size_t bytes, uint32_t id, void *user)
{
    listener *own = user;
    memcpy(own->text + own->length, text, bytes);
    own->length += bytes;
    own->text[own->length] = 0;
    own->calls++;
    if (id == OB_NO_TOKEN) own->rests++;
    else own->ids[own->count++] = id;
    return own->most == 0 || own->count < own->most;
}

static ob_generate_result generated(ob_session *session, ob_generate_desc desc, listener *heard)
{
    ob_generate_result result;
    memset(&result, 0x5a, sizeof result);
    desc.on_text = listen;
    desc.user = heard;
    API_OK(ob_session_generate(session, &desc, &result));
    return result;
}

static void test_text_and_ids(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        ob_generate_desc desc = { .max_tokens = 27 };
        if (way == 0) desc.prompt = "Once upon a time", desc.prompt_bytes = 16;
        if (way == 1) desc.ids = prompt, desc.id_count = PROMPT;
        if (way == 2) desc.prompt = "", desc.max_tokens = 31; /* the model begins with the same words by itself */
        listener heard = { 0 };
        ob_session *session = api_session(stories, (ob_sampling){ 0 });
        ob_generate_result result = generated(session, desc, &heard);
        assert_string_equal(heard.text + (way == 2 ? 16 : 0), story);
        if (way < 2) assert_memory_equal(heard.ids, golden, sizeof golden);
        assert_int_equal(result.stop, OB_STOP_LENGTH);
        assert_int_equal(result.tokens, desc.max_tokens);
        assert_int_equal(heard.count, desc.max_tokens);
        assert_int_equal(heard.rests, 0);
        assert_int_equal(result.prompt_tokens, way == 2 ? 1 : PROMPT);
        assert_int_equal(ob_session_position(session), result.prompt_tokens + desc.max_tokens - 1); /* the last is not fed */
        assert_true(result.prompt_seconds > 0 && result.seconds > 0 && result.held_bytes == 0);
        ob_session_destroy(session);
    }
}

/* However often it is interrupted, the text is the same: by length, by the callback, and by another prompt that says the same. */
static void test_going_on(void **state)
{
    (void)state;
    static const ob_sampling samplings[] = { { 0 }, { .temperature = 0.9f, .top_k = 20, .seed = 7 },
                                             { .temperature = 1, .top_p = 0.9f, .repeat_penalty = 1.1f, .seed = 8 } };
    for (size_t i = 0; i < sizeof samplings / sizeof *samplings; i++) {
        listener whole = { 0 }, parts = { 0 };
        ob_session *session = api_session(stories, samplings[i]);
        ob_generate_desc first = { .ids = prompt, .id_count = PROMPT, .max_tokens = 40, .ignore_eos = true };
        generated(session, first, &whole);
        ob_session_destroy(session);

        session = api_session(stories, samplings[i]);
        first.max_tokens = 1;
        generated(session, first, &parts);
        while (parts.count < 40) {
            ob_generate_desc more = { .max_tokens = parts.count % 5 + 1, .ignore_eos = true };
            if (parts.count + more.max_tokens > 40) more.max_tokens = 40 - parts.count;
            parts.most = parts.count % 3 == 0 ? parts.count + 1 : 0;
            ob_generate_result result = generated(session, more, &parts);
            assert_int_equal(result.stop, parts.most ? OB_STOP_CALLBACK : OB_STOP_LENGTH);
            assert_int_equal(result.prompt_tokens, 0);
        }
        assert_memory_equal(parts.ids, whole.ids, 40 * sizeof *whole.ids);
        assert_string_equal(parts.text, whole.text);
        ob_session_destroy(session);
    }
    /* What was given out and not fed stands in front of a new prompt; what was fed by hand does not. */
    listener heard = { 0 };
    ob_session *session = api_session(stories, (ob_sampling){ 0 });
    generated(session, (ob_generate_desc){ .ids = prompt, .id_count = PROMPT, .max_tokens = 3 }, &heard);
    generated(session, (ob_generate_desc){ .ids = golden + 3, .id_count = 2, .max_tokens = 1 }, &heard);
    assert_int_equal(heard.ids[3], golden[5]);
    assert_int_equal(ob_session_position(session), PROMPT + 5);
    API_OK(ob_session_feed(session, golden + 5, 2));
    generated(session, (ob_generate_desc){ .max_tokens = 1 }, &heard);
    assert_int_equal(heard.ids[4], golden[7]);
    assert_int_equal(ob_session_position(session), PROMPT + 7);
    API_OK(ob_session_rewind(session, PROMPT));
    API_FAILS(ob_session_generate(session, &(ob_generate_desc){ .max_tokens = 1 }, NULL), OB_ERROR_ARGUMENT, "nothing to go on from");
    ob_session_destroy(session);
}

static void test_stop_strings(void **state)
{
    (void)state;
    static const struct { const char *stop[2], *first; } cases[] = {
        { { "Lily", NULL }, "Lily" }, { { "irl na", NULL }, "irl na" }, { { "play", "named" }, "named" },
        { { "little boy", "l named Lily. S" }, "l named" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        listener heard = { 0 };
        ob_session *session = api_session(stories, (ob_sampling){ 0 });
        ob_generate_desc desc = { .ids = prompt, .id_count = PROMPT, .max_tokens = 27, .stop = cases[i].stop,
                                  .stop_count = cases[i].stop[1] ? 2 : 1 };
        ob_generate_result result = generated(session, desc, &heard);
        assert_int_equal(result.stop, OB_STOP_STRING);
        assert_true(result.tokens < 27 && result.tokens == heard.count);
        assert_int_equal(heard.length, strstr(story, cases[i].first) - story);
        assert_memory_equal(heard.text, story, heard.length);
        ob_session_destroy(session);
    }
    /* One that never comes takes nothing away. */
    static const char *const never[] = { "in the park.\"" };
    listener heard = { 0 };
    ob_session *session = api_session(stories, (ob_sampling){ 0 });
    ob_generate_result result = generated(session, (ob_generate_desc){ .ids = prompt, .id_count = PROMPT, .max_tokens = 27, .stop = never,
                                                                       .stop_count = 1 }, &heard);
    assert_int_equal(result.stop, OB_STOP_LENGTH);
    assert_int_equal(heard.rests, 1);
    assert_string_equal(heard.text, story);
    ob_session_destroy(session);
}

static void test_end_and_full(void **state)
{
    (void)state;
    static const uint32_t fresh[] = { 1 };
    listener heard = { 0 };
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = 8 }));
    ob_generate_result result = generated(session, (ob_generate_desc){ .ids = prompt, .id_count = PROMPT }, &heard);
    assert_int_equal(result.stop, OB_STOP_FULL);
    assert_int_equal(result.tokens, 4);
    assert_int_equal(ob_session_position(session), 8);
    result = generated(session, (ob_generate_desc){ 0 }, &heard);
    assert_int_equal(result.stop, OB_STOP_FULL);
    assert_int_equal(result.tokens, 0);
    ob_session_destroy(session);

    /* It ends its story within its context; to ignore that goes on to the last position. */
    for (int ignore = 0; ignore < 2; ignore++) {
        listener said = { 0 };
        session = api_session(stories, (ob_sampling){ 0 });
        result = generated(session, (ob_generate_desc){ .ids = fresh, .id_count = 1, .ignore_eos = ignore }, &said);
        assert_int_equal(result.stop, ignore ? OB_STOP_FULL : OB_STOP_END);
        if (ignore) assert_int_equal(result.tokens, API_STORIES_CONTEXT);
        else assert_true(result.tokens > 30 && result.tokens < API_STORIES_CONTEXT);
        assert_int_equal(result.tokens, said.count);
        ob_session_destroy(session);
    }
}

/* ---- what is refused ------------------------------------------------------------------------------------------------------ */

static bool one_step(double fraction, const char *what, void *user)
{
    unsigned *steps = user;
    assert_true(fraction > 0 && fraction <= 1 && what[0]);
    return ++*steps < 2;
}

static void test_refused(void **state)
{
    (void)state;
    static const uint32_t wrong[] = { 1, API_STORIES_VOCABULARY };
    static const char *const empty[] = { "" }, *const fine[] = { "a" };
    ob_session *session;
    API_OK(ob_session_create(&session, stories, &(ob_session_desc){ .context = 16, .batch = 4 }));
    ob_generate_result result;
    const ob_generate_desc refused[] = {
        { 0 },
        { .prompt = "a", .prompt_bytes = 1, .ids = prompt, .id_count = 1 },
        { .ids = prompt },
        { .ids = wrong, .id_count = 2 },
        { .prompt = "", .no_bos = true },
        { .ids = prompt, .id_count = 17 },
        { .prompt = "a", .prompt_bytes = 1, .stop = empty, .stop_count = 1 },
    };
    static const char *const words[] = { "nothing to go on from", "either",     "no ids",       "512",
                                         "nothing to start from", "do not fit", "stop string 0" };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        API_FAILS(ob_session_generate(session, &refused[i], &result), OB_ERROR_ARGUMENT, words[i]);
        assert_int_equal(result.tokens + result.prompt_tokens, 0);
        assert_int_equal(ob_session_position(session), 0);
    }
    /* Cancelled by its progress, in the prompt: as before the call. */
    unsigned steps = 0;
    ob_generate_desc cancelled = { .ids = golden, .id_count = GOLDEN, .progress = one_step, .user = &steps };
    API_FAILS(ob_session_generate(session, &cancelled, &result), OB_ERROR_CANCELLED, "cancelled");
    assert_int_equal(steps, 2);
    assert_int_equal(ob_session_position(session), 0);
    listener heard = { 0 };
    generated(session, (ob_generate_desc){ .ids = prompt, .id_count = PROMPT, .max_tokens = 4 }, &heard);
    assert_memory_equal(heard.ids, golden, 4 * sizeof *golden);
    /* Cancelled between two tokens: what was given out counts, and the text goes on. */
    ob_session_cancel(session);
    API_FAILS(ob_session_generate(session, &(ob_generate_desc){ .max_tokens = 1 }, &result), OB_ERROR_CANCELLED, "cancelled");
    assert_int_equal(result.tokens, 0);
    generated(session, (ob_generate_desc){ .max_tokens = 3 }, &heard);
    assert_memory_equal(heard.ids, golden, 7 * sizeof *golden);
    ob_session_destroy(session);

    /* Ids do without a tokenizer, texts do not. */
    session = api_session(mute, (ob_sampling){ 0 });
    API_FAILS(ob_session_generate(session, &(ob_generate_desc){ .prompt = "a", .prompt_bytes = 1 }, NULL), OB_ERROR_DATA, "no tokenizer");
    API_FAILS(ob_session_generate(session, &(ob_generate_desc){ .ids = prompt, .id_count = 1, .stop = fine, .stop_count = 1 }, NULL),
              OB_ERROR_DATA, "no tokenizer");
    heard = (listener){ 0 };
    generated(session, (ob_generate_desc){ .ids = prompt, .id_count = PROMPT, .max_tokens = GOLDEN }, &heard);
    assert_memory_equal(heard.ids, golden, sizeof golden);
    assert_int_equal(heard.length, 0);
    ob_session_destroy(session);
}

/* ---- texts of ids ---------------------------------------------------------------------------------------------------------- */

static void test_detokenize(void **state)
{
    (void)state;
    char text[64];
    size_t length = 77;
    uint32_t ids[PROMPT + GOLDEN];
    memcpy(ids, prompt, sizeof prompt);
    memcpy(ids + PROMPT, golden, sizeof golden);
    const char expected[] = "Once upon a time, there was a little girl";
    API_OK(ob_model_detokenize(stories, ids, PROMPT + GOLDEN, NULL, 0, &length));
    assert_true(length > sizeof expected - 1 && length < sizeof text);
    for (size_t room = 0; room < sizeof text; room++) {
        size_t again;
        memset(text, 0x7f, sizeof text);
        API_OK(ob_model_detokenize(stories, ids, PROMPT + GOLDEN, text, room, &again));
        assert_int_equal(again, length);
        size_t written = room < length ? room : length;
        assert_memory_equal(text, expected, written < sizeof expected - 1 ? written : sizeof expected - 1);
        assert_int_equal(text[written], 0x7f);
    }
    API_OK(ob_model_detokenize(stories, NULL, 0, text, sizeof text, &length));
    assert_int_equal(length, 0);
    static const uint32_t wrong[] = { 403, API_STORIES_VOCABULARY };
    API_FAILS(ob_model_detokenize(stories, wrong, 2, text, sizeof text, &length), OB_ERROR_ARGUMENT, "token 512");
    assert_int_equal(length, 0);
    API_FAILS(ob_model_detokenize(mute, prompt, 1, text, sizeof text, &length), OB_ERROR_DATA, "no tokenizer");
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_and_ids), cmocka_unit_test(test_going_on), cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_end_and_full), cmocka_unit_test(test_refused), cmocka_unit_test(test_detokenize),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
