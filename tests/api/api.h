/* api: what the tests of the public headers share: calls that must succeed or fail in a certain way, a log that remembers,
 * models made with the library's own ob_quantize. Sees include/ only. Include in cmocka tests only. */
#ifndef OB_TESTS_API_H
#define OB_TESTS_API_H

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "data.h"
#include "scratch.h"

#include "onebit/onebit.h"
#include "onebit/onebit_train.h"

#ifdef _WIN32
#define API_VALIDATION false /* Wine's loader takes no layers */
#else
#define API_VALIDATION true
#endif

/* ---- statuses ------------------------------------------------------------------------------------------------------ */

#define API_OK(call)                                                                                  \
    do {                                                                                              \
        ob_status api_status_ = (call);                                                               \
        if (api_status_ != OB_OK) fail_msg("%s: %d, %s", #call, (int)api_status_, ob_last_error());   \
    } while (0)

/* The last error is one sentence: printable, not empty, in one line, with nothing left unfilled. */
static inline void api_check_sentence(const char *call, const char *part)
{
    const char *sentence = ob_last_error();
    size_t length = strlen(sentence);
    if (length < 10 || length > 511) fail_msg("%s: the sentence has %zu bytes: %s", call, length, sentence);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)sentence[i] < 0x20 || sentence[i] == 0x7f)
            fail_msg("%s: the sentence holds the byte 0x%02x: %s", call, (unsigned)(unsigned char)sentence[i], sentence);
    if (strstr(sentence, "(null)")) fail_msg("%s: %s", call, sentence);
    if (!strstr(sentence, part)) fail_msg("%s: '%s' does not occur in: %s", call, part, sentence);
}

/* `call` fails with `code` and a sentence that contains `part`. */
#define API_FAILS(call, code, part)                                                                                             \
    do {                                                                                                                        \
        ob_status api_status_ = (call);                                                                                         \
        if (api_status_ != (code)) fail_msg("%s: %d instead of %s; %s", #call, (int)api_status_, #code, ob_last_error());       \
        api_check_sentence(#call, part);                                                                                        \
    } while (0)

/* ---- the log --------------------------------------------------------------------------------------------------------- */

typedef struct api_log {
    pthread_mutex_t lock;
    unsigned count[OB_LOG_DEBUG + 1];
    char text[1 << 14]; /* the messages, each with a newline; cut to what fits */
    size_t length;
} api_log;

static inline void api_on_log(ob_log_level level, const char *message, void *user)
{
    api_log *log = user;
    pthread_mutex_lock(&log->lock);
    if ((unsigned)level <= OB_LOG_DEBUG) log->count[level]++;
    int written = snprintf(log->text + log->length, sizeof log->text - log->length, "%s\n", message);
    log->length += (size_t)written;
    if (log->length >= sizeof log->text) log->length = sizeof log->text - 1;
    pthread_mutex_unlock(&log->lock);
}

/* Messages go to a fresh log from here on; there is one such log in a program. */
static inline api_log *api_log_start(void)
{
    static api_log log = { .lock = PTHREAD_MUTEX_INITIALIZER };
    ob_set_log(NULL, NULL);
    memset(log.count, 0, sizeof log.count);
    log.text[0] = 0;
    log.length = 0;
    ob_set_log(api_on_log, &log);
    return &log;
}

/* Nothing worse than information was said. */
static inline void api_log_expect_calm(const api_log *log)
{
    if (log->count[OB_LOG_ERROR] + log->count[OB_LOG_WARNING] > 0) fail_msg("the log has warnings: %s", log->text);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* The same bytes under another name. */
static inline void api_copy_file(const char *from, const char *to)
{
    char bytes[65536];
    size_t count;
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) fail_msg("cannot copy %s to %s", from, to);
    while ((count = fread(bytes, 1, sizeof bytes, in)) > 0) assert_int_equal(fwrite(bytes, 1, count, out), count);
    assert_int_equal(ferror(in), 0);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static inline void api_remove_tree(const char *path)
{
    if (scratch_remove_tree(path) != 0) fail_msg("cannot remove %s", path);
}

/* How many entries a directory has. */
static inline unsigned api_entries(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) fail_msg("cannot list %s", path);
    unsigned count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

/* The whole file; to be freed with free(). */
static inline unsigned char *api_read_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    struct stat info;
    assert_int_equal(fstat(fileno(file), &info), 0);
    *bytes = (size_t)info.st_size;
    unsigned char *data = malloc(*bytes + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *bytes, file), *bytes);
    data[*bytes] = 0;
    fclose(file);
    return data;
}

static inline void api_write_file(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot create %s", path);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* ---- contexts and models ------------------------------------------------------------------------------------------------ */

#define API_STORIES "models/stories260K/stories260K.bin"
#define API_STORIES_TOKENIZER "models/stories260K/tok512.bin"
#define API_STORIES_VOCABULARY 512u
#define API_STORIES_CONTEXT 512u

/* What a caller's environment may say must not decide what is tested here. Call it first in main. */
static inline void api_plain_environment(void)
{
    unsetenv("ONEBIT_TIER");
    unsetenv("XDG_CACHE_HOME");
}

/* A context without a self-test and without a cache: quick, and leaves nothing behind. */
static inline ob_context *api_context(void)
{
    ob_context *context = NULL;
    API_OK(ob_context_create(&context, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true }));
    assert_non_null(context);
    return context;
}

/* Converts test data to `name` in the scratch directory. `tokenizer` is a test file's name or NULL; returns the path
 * (one of eight that take turns). */
static inline const char *api_convert(ob_context *context, const char *input, const char *tokenizer, ob_form form, const char *name)
{
    static char paths[8][1024];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_directory, name);
    ob_quantize_desc desc = { .input = test_data_path(input), .output = path, .form = form };
    if (tokenizer) desc.tokenizer = test_data_path(tokenizer);
    API_OK(ob_quantize(context, &desc, NULL));
    return path;
}

/* stories260K with its tokenizer, every tensor F32. */
static inline const char *api_stories(const char *name) { return api_convert(NULL, API_STORIES, API_STORIES_TOKENIZER, OB_FORM_F32, name); }

/* The device's tier: lavapipe's is C, unless scripts/test-profiles.sh makes it look like a smaller device. */
static inline char api_device_tier(void)
{
    ob_device_info info;
    uint32_t count;
    API_OK(ob_device_list(&info, 1, &count));
    if (!getenv("ONEBIT_PROFILE")) assert_int_equal(info.tier, 'C');
    return info.tier;
}

static inline ob_model *api_model(ob_context *context, const char *path)
{
    ob_model *model = NULL;
    API_OK(ob_model_load(&model, context, &(ob_model_desc){ .path = path }));
    assert_non_null(model);
    return model;
}

static inline ob_session *api_session(ob_model *model, ob_sampling sampling)
{
    ob_session *session = NULL;
    API_OK(ob_session_create(&session, model, &(ob_session_desc){ .sampling = sampling }));
    assert_non_null(session);
    return session;
}

/* Feeds the prompt, then samples and feeds `count` ids into `ids`. */
static inline ob_status api_generate(ob_session *session, const uint32_t *prompt, size_t prompt_count, uint32_t *ids, size_t count)
{
    ob_status status = ob_session_feed(session, prompt, prompt_count);
    for (size_t i = 0; i < count && status == OB_OK; i++) {
        status = ob_session_sample(session, &ids[i]);
        if (status == OB_OK) status = ob_session_feed(session, &ids[i], 1);
    }
    return status;
}

#endif
