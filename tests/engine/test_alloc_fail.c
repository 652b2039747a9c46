/* test_alloc_fail: host memory runs out at each place in turn, once or from there on. Nothing crashes, nothing is kept or
 * left on disk, Vulkan objects included; the caller hears OB_ERROR_MEMORY, or the work succeeds without what it can do without. */
#include "data.h"
#include "scratch.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "core/alloc.h"
#include "onebit/onebit_train.h"

/* ---- memory that runs out ---------------------------------------------------------------------------------------------- */

static struct memory {
    pthread_mutex_t lock;
    size_t calls, fail_at; /* fail_at 0: never; calls are counted from 1 */
    bool lasting;          /* every call from fail_at on fails */
    long live;             /* blocks */
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool refused(void)
{
    pthread_mutex_lock(&memory.lock);
    size_t call = ++memory.calls;
    bool fails = memory.fail_at && (call == memory.fail_at || (memory.lasting && call > memory.fail_at));
    pthread_mutex_unlock(&memory.lock);
    return fails;
}

static void count_live(long change)
{
    pthread_mutex_lock(&memory.lock);
    memory.live += change;
    pthread_mutex_unlock(&memory.lock);
}

static void *allocate(size_t bytes, void *user)
{
    (void)user;
    void *block = refused() ? NULL : malloc(bytes);
    if (block) count_live(1);
    return block;
}

static void *reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    void *block = refused() ? NULL : realloc(old, bytes);
    if (block && !old) count_live(1);
    return block;
}

static void release(void *block, void *user)
{
    (void)user;
    count_live(-1);
    free(block);
}

/* ---- one piece of work, again and again ---------------------------------------------------------------------------------- */

typedef struct work {
    const char *name;
    ob_status (*run)(const struct work *job);
    ob_context *context;
    const char *input, *tokenizer;
    ob_form form;
    size_t runs_max;   /* longer works are sampled evenly; every second sample also lasts. A half of it without ONEBIT_TEST_THOROUGH */
    bool at_the_end;   /* not sampled: the last runs_max calls */
    bool may_degrade;  /* success in spite of a refusal is fine */
    unsigned degraded;
    bool warming;      /* what the context keeps, pipelines above all, is made in this run */
} work;

static ob_context *shared; /* validated; its pipelines are made before memory runs out */
static char dense_path[640], onebit_path[640], out_path[640];
static unsigned messages;  /* of the validation layer */
static char first_message[512];

static void on_log(ob_log_level level, const char *message, void *user)
{
    (void)level;
    (void)user;
    if (strncmp(message, "Vulkan validation", 17) == 0 && messages++ == 0) snprintf(first_message, sizeof first_message, "%s", message);
}

static unsigned scratch_entries(void)
{
    unsigned count = 0;
    DIR *directory = opendir(scratch_directory);
    assert_non_null(directory);
    while (readdir(directory)) count++;
    closedir(directory);
    return count;
}

static void run_once(work *job, size_t fail_at, bool lasting)
{
    long live = memory.live;
    unsigned entries = scratch_entries();
    memory.calls = 0;
    memory.fail_at = fail_at;
    memory.lasting = lasting;
    ob_status status = job->run(job);
    memory.fail_at = 0;
    bool reached = fail_at > 0 && memory.calls >= fail_at;
    const char *how = lasting ? "from then on" : "once";
    if (messages) fail_msg("%s, call %zu refused %s: %s", job->name, fail_at, how, first_message);
    if (memory.live != live && !job->warming)
        fail_msg("%s, call %zu refused %s: %ld blocks are left", job->name, fail_at, how, memory.live - live);
    if (scratch_entries() != entries) fail_msg("%s, call %zu refused %s: a file is left", job->name, fail_at, how);
    if (!reached && status != OB_OK) fail_msg("%s: %s", job->name, ob_last_error());
    if (reached && status == OB_OK) job->degraded++;
    if (reached && status == OB_OK && !job->may_degrade) fail_msg("%s, call %zu refused %s: nobody noticed", job->name, fail_at, how);
    if (reached && status != OB_OK && (status != OB_ERROR_MEMORY || !strstr(ob_last_error(), "memory")))
        fail_msg("%s, call %zu refused %s: %d, %s", job->name, fail_at, how, (int)status, ob_last_error());
}

static void run_out(work job)
{
    job.warming = true;
    run_once(&job, 0, false);
    job.warming = false;
    run_once(&job, 0, false);
    size_t calls = memory.calls;
    assert_true(calls > 5);
    size_t most = getenv("ONEBIT_TEST_THOROUGH") ? job.runs_max : (job.runs_max + 1) / 2;
    size_t runs = calls < most ? calls : most;
    for (size_t i = 0; i < runs; i++) {
        size_t fail_at = job.at_the_end ? calls - i : 1 + i * (calls - 1) / (runs - 1);
        run_once(&job, fail_at, false);
        if (i % 2 == 0) run_once(&job, fail_at, true);
    }
    run_once(&job, 0, false); /* and all is well after it */
    print_message("%s: %zu allocations, %zu of them refused; %u times it went on without\n", job.name, calls, runs, job.degraded);
}

/* ---- the works -------------------------------------------------------------------------------------------------------------- */

static ob_status open_and_close(const work *job)
{
    (void)job;
    char cache[700];
    snprintf(cache, sizeof cache, "%s/cache", scratch_directory); /* it is there, so that no file is new */
    ob_context *context = (ob_context *)(uintptr_t)&shared;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .cache_dir = cache, .skip_selftest = true });
    if (status != OB_OK) assert_null(context);
    ob_context_destroy(context);
    return status;
}

/* A context that compiles something and saves it when it closes. */
static ob_status open_use_and_close(const work *job)
{
    char cache[700];
    snprintf(cache, sizeof cache, "%s/cache", scratch_directory);
    ob_context *context;
    ob_model *model = NULL;
    ob_session *session = NULL;
    ob_status status = ob_context_create(&context, &(ob_context_desc){ .cache_dir = cache, .skip_selftest = true });
    if (status == OB_OK) status = ob_model_load(&model, context, &(ob_model_desc){ .path = job->input });
    if (status == OB_OK) status = ob_session_create(&session, model, &(ob_session_desc){ .context = 8 });
    if (status == OB_OK) status = ob_session_feed(session, &(uint32_t){ 1 }, 1);
    ob_session_destroy(session);
    ob_model_destroy(model);
    ob_context_destroy(context);
    return status;
}

static ob_status list(const work *job)
{
    (void)job;
    ob_device_info info;
    uint32_t count;
    return ob_device_list(&info, 1, &count);
}

static ob_status test_kernels(const work *job) { return ob_selftest(job->context, NULL, NULL); }

static ob_status generate(const work *job)
{
    ob_model *model = (ob_model *)(uintptr_t)&shared;
    ob_session *session = NULL, *other = NULL;
    uint32_t ids[8], id;
    double nll[8];
    size_t count = 0;
    ob_status status = ob_model_load(&model, job->context, &(ob_model_desc){ .path = job->input });
    if (status != OB_OK) {
        assert_null(model);
        return status;
    }
    status = ob_model_tokenize(model, "Once upon a time", 16, OB_TOKENIZE_BOS, ids, 8, &count);
    if (status == OB_OK)
        status = ob_session_create(&session, model, &(ob_session_desc){ .context = 16, .sampling = { .temperature = 1, .top_k = 5 } });
    if (status == OB_OK) ob_session_profile(session, true);
    if (status == OB_OK) status = ob_session_feed(session, ids, count);
    if (status == OB_OK) status = ob_session_sample(session, &id);
    if (status == OB_OK) status = ob_session_feed(session, &id, 1);
    if (status == OB_OK) status = ob_session_sample(session, &id);
    if (status == OB_OK) status = ob_session_score(session, ids, count, nll);
    if (status == OB_OK)
        status = ob_session_score_continuations(session, (ob_continuation[]){ { ids, 3, nll }, { ids + 1, 2, nll + 2 } }, 2);
    if (status == OB_OK)
        status =
            ob_session_create(&other, model, &(ob_session_desc){ .context = 8, .sampling = { .temperature = 1, .repeat_penalty = 2 } });
    if (status == OB_OK) status = ob_session_feed(other, ids, count);
    if (status == OB_OK) status = ob_session_sample(other, &id);
    ob_session_destroy(other);
    ob_session_destroy(session);
    ob_model_destroy(model);
    return status;
}

static ob_status convert(const work *job)
{
    ob_quantize_report *report = (ob_quantize_report *)(uintptr_t)&shared;
    ob_status status = ob_quantize(
        job->context, &(ob_quantize_desc){ .input = job->input, .tokenizer = job->tokenizer, .output = out_path, .form = job->form },
        &report);
    if (status != OB_OK) {
        assert_null(report);
        return status; /* and the file must not be there: see run_once */
    }
    ob_quantize_report_free(report);
    assert_int_equal(unlink(out_path), 0);
    return OB_OK;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------------------- */

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    unsetenv("MESA_SHADER_CACHE_DISABLE"); /* pipelines are made many times over: the driver may keep what it compiled */
    setenv("MESA_SHADER_CACHE_DIR", scratch_path("driver"), 1);
    snprintf(dense_path, sizeof dense_path, "%s/dense.gguf", scratch_directory);
    snprintf(onebit_path, sizeof onebit_path, "%s/onebit.gguf", scratch_directory);
    snprintf(out_path, sizeof out_path, "%s/out.gguf", scratch_directory);
    ob_set_log(on_log, NULL);
    static const obi_alloc_hooks hooks = { .allocate = allocate, .reallocate = reallocate, .release = release };
    obi_alloc_set_hooks(&hooks);
    const char *stories = test_data_path("models/stories260K/stories260K.bin"),
               *tokenizer = test_data_path("models/stories260K/tok512.bin");
    ob_context_desc desc = { .cache_dir = "", .skip_selftest = true, .validation = true };
    if (ob_context_create(&shared, &desc) != OB_OK ||
        ob_quantize(NULL, &(ob_quantize_desc){ .input = stories, .output = dense_path, .tokenizer = tokenizer, .form = OB_FORM_F16 },
                    NULL) != OB_OK ||
        ob_quantize(shared, &(ob_quantize_desc){ .input = stories, .output = onebit_path, .tokenizer = tokenizer }, NULL) != OB_OK)
        fail_msg("%s", ob_last_error());
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static int close_shared(void **state)
{
    (void)state;
    ob_context_destroy(shared);
    if (messages) fail_msg("%s", first_message);
    assert_int_equal(memory.live, 0);
    return nftw(scratch_directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_contexts(void **state)
{
    (void)state;
    char cache[700];
    snprintf(cache, sizeof cache, "%s/cache", scratch_directory);
    assert_int_equal(mkdir(cache, 0755), 0);
    run_out((work){ .name = "listing devices", .run = list, .runs_max = 30, .may_degrade = true });
    run_out((work){ .name = "a context", .run = open_and_close, .runs_max = 30, .may_degrade = true });
    run_out((work){ .name = "saving pipelines",
                    .run = open_use_and_close,
                    .input = dense_path,
                    .runs_max = 8,
                    .at_the_end = true,
                    .may_degrade = true });
}

static void test_selftest(void **state)
{
    (void)state;
    ob_context *context;
    if (ob_context_create(&context, &(ob_context_desc){ .cache_dir = "", .skip_selftest = true, .tier = 'A' }) != OB_OK)
        fail_msg("%s", ob_last_error());
    if (getenv("ONEBIT_TEST_THOROUGH")) /* two minutes under ASan */
        run_out((work){ .name = "the self-test", .run = test_kernels, .context = context, .runs_max = 6, .may_degrade = true });
    ob_context_destroy(context);
}

static void test_generating(void **state)
{
    (void)state;
    run_out(
        (work){ .name = "a dense model", .run = generate, .context = shared, .input = dense_path, .runs_max = 24, .may_degrade = true });
    run_out(
        (work){ .name = "a 1-bit model", .run = generate, .context = shared, .input = onebit_path, .runs_max = 14, .may_degrade = true });
}

static void test_converting(void **state)
{
    (void)state;
    char checkpoint[1024], tokenizer[1024], directory[1024];
    snprintf(checkpoint, sizeof checkpoint, "%s", test_data_path("models/stories260K/stories260K_q80.bin"));
    snprintf(tokenizer, sizeof tokenizer, "%s", test_data_path("models/stories260K/tok512.model"));
    snprintf(directory, sizeof directory, "%s", test_data_path("models/tinystories656k"));
    run_out((work){
        .name = "importing llama2.c", .run = convert, .input = checkpoint, .tokenizer = tokenizer, .form = OB_FORM_F16, .runs_max = 100 });
    run_out((work){ .name = "importing Hugging Face", .run = convert, .input = directory, .form = OB_FORM_F16, .runs_max = 60 });
    run_out((work){ .name = "importing GGUF", .run = convert, .input = onebit_path, .form = OB_FORM_ONEBIT, .runs_max = 100 });
    run_out((work){ .name = "quantising",
                    .run = convert,
                    .context = shared,
                    .input = dense_path,
                    .form = OB_FORM_ONEBIT,
                    .runs_max = 6,
                    .may_degrade = true });
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_contexts), cmocka_unit_test(test_generating),
                                        cmocka_unit_test(test_converting), cmocka_unit_test(test_selftest) };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
