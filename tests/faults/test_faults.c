/* test_faults: a program opens a device, loads a model, generates, closes all; and each Vulkan call of it fails in each way that
 * the registry lists, once, or from there on. Nothing crashes, hangs or is left over, the status is the right one, and what can
 * be tried again works and gives the same tokens.
 *
 *     test_faults [--edges] [--sample N] [--work NAME] [--command NAME]
 *
 * --edges takes the first and the last call of each command, --sample N of the list; without these it is all of them.
 *
 * Runs are made by child processes, many by each, so that a crash or a hang is one finding. The layer is tests/layers/faults.c. */
#include "layers/faults.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "scratch.h"
#include "synthetic_model.h"

#include "core/alloc.h"
#include "gpu/loader.h"
#include "onebit/onebit.h"

enum { TOKENS = 6, COMMANDS_MAX = 64, BATCH = 200, FINDINGS_SHOWN = 40, RUN_SECONDS = 120 };

/* ---- the works: what is run ------------------------------------------------------------------------------------------------ */

typedef struct work {
    const char *name;
    bool onebit, map, validation;
    bool opening; /* no more than that */
    const char *overlap, *fused; /* what GPUs do and software drivers do not: ONEBIT_OVERLAP, ONEBIT_FUSED */
    const char *kernel;          /* ONEBIT_KERNEL: without it a trial, and which wins differs from run to run */
} work;

static const work works[] = {
    { .name = "dense", .map = true, .overlap = "0", .fused = "0" },
    { .name = "onebit", .onebit = true, .overlap = "1", .fused = "1", .kernel = "xor" },
    { .name = "validated", .validation = true, .opening = true, .overlap = "0", .fused = "0" },
};
enum { WORKS = sizeof works / sizeof *works };

static const faults_control *faults;
static char model_path[2][640], cache_path[640];

static void remove_cache(void) { (void)scratch_remove_tree(cache_path); }

static void write_models(void)
{
    for (int i = 0; i < 2; i++) {
        synthetic_model model = { .config = { .onebit = i == 1, .post_norm = i == 1, .post_norm_eps = 1e-5f, .width = 64, .layers = 1,
                                              .heads = 2, .kv_heads = 1, .head_size = 32, .ffn = 96, .vocabulary = 50, .context = 64,
                                              .norm_eps = 1e-5f, .rope_theta = 10000, .rope_scale = 1, .rope_dimensions = 32,
                                              .rope_layout = i ? OBI_ROPE_HALF : OBI_ROPE_PAIRS },
                                  .embedding = OBI_DTYPE_F16, .head = OBI_DTYPE_F32, .norm = OBI_DTYPE_F32, .seed = 8 };
        for (int k = 0; k < OBI_LINEAR_COUNT; k++) model.linear[k] = k % 2 ? OBI_DTYPE_F16 : OBI_DTYPE_Q8_0;
        snprintf(model_path[i], sizeof model_path[i], "%s/%s.gguf", scratch_directory, i ? "onebit" : "dense");
        synthetic_write(&model, model_path[i]);
    }
    snprintf(cache_path, sizeof cache_path, "%s/cache", scratch_directory);
}

/* ---- host memory ------------------------------------------------------------------------------------------------------------- */

static pthread_mutex_t blocks_lock = PTHREAD_MUTEX_INITIALIZER;
static long blocks;

static void count_block(long change)
{
    pthread_mutex_lock(&blocks_lock);
    blocks += change;
    pthread_mutex_unlock(&blocks_lock);
}

static void *allocate(size_t bytes, void *user)
{
    (void)user;
    void *block = malloc(bytes);
    if (block) count_block(1);
    return block;
}

static void *reallocate(void *old, size_t bytes, void *user)
{
    (void)user;
    void *block = realloc(old, bytes);
    if (block && !old) count_block(1);
    return block;
}

static void release(void *block, void *user)
{
    (void)user;
    count_block(-1);
    free(block);
}

/* ---- one run ------------------------------------------------------------------------------------------------------------------ */

typedef enum stage { OPEN, LOAD, SESSION, PROMPT, GENERATE, LOGITS, STAGES } stage;
static const char *const stage_names[STAGES] = { "opening", "loading", "making a session", "the prompt", "generating", "the logits" };

typedef struct run {
    const work *job;
    ob_context *context;
    ob_model *model;
    ob_session *session;
    uint32_t ids[TOKENS];
    float logits[64];
    int done;    /* tokens */
    bool chosen; /* the next one */
} run;

static ob_status do_stage(run *of, stage at)
{
    static const uint32_t prompt[11] = { 1, 7, 3, 44, 12, 9, 31, 2, 18, 25, 6 };
    ob_status status = OB_OK;
    switch (at) {
    case OPEN:
        return ob_context_create(&of->context, &(ob_context_desc){ .cache_dir = cache_path, .skip_selftest = true,
                                                                   .validation = of->job->validation });
    case LOAD:
        return ob_model_load(&of->model, of->context, &(ob_model_desc){ .path = model_path[of->job->onebit], .map = of->job->map });
    case SESSION: return ob_session_create(&of->session, of->model, &(ob_session_desc){ .context = 32, .batch = 8 });
    case PROMPT: return ob_session_feed(of->session, prompt, 11);
    case GENERATE:
        while (of->done < TOKENS) {
            if (of->done == TOKENS - 2 && !of->chosen) ob_session_profile(of->session, true);
            if (!of->chosen) status = ob_session_sample(of->session, &of->ids[of->done]);
            of->chosen = status == OB_OK;
            if (status == OB_OK) status = ob_session_feed(of->session, &of->ids[of->done], 1);
            if (status != OB_OK) return status;
            of->chosen = false;
            of->done++;
        }
        return OB_OK;
    default: return ob_session_logits(of->session, of->logits);
    }
}

/* What may be said about a failure of this kind. Nobody knows what a device does whose waits fail for good: that is as if lost. */
static bool is_right(VkResult error, bool lasting, bool wait, stage at, ob_status status)
{
    if (wait) return status == OB_ERROR_DEVICE_LOST;
    if (lasting && status == OB_ERROR_DEVICE_LOST)
        if (strstr(ob_last_error(), "lost earlier") || strstr(ob_last_error(), "cannot be waited for")) return true;
    switch (error) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_MEMORY_MAP_FAILED:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_OUT_OF_POOL_MEMORY: return status == OB_ERROR_MEMORY;
    case VK_TIMEOUT:
    case VK_ERROR_DEVICE_LOST: return status == OB_ERROR_DEVICE_LOST;
    case VK_ERROR_INITIALIZATION_FAILED:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_TOO_MANY_OBJECTS:
    case VK_INCOMPLETE: return status == OB_ERROR_NO_DEVICE;
    default: return status == (at == OPEN ? OB_ERROR_NO_DEVICE : OB_ERROR_RUNTIME);
    }
}

static bool is_sentence(const char *text)
{
    size_t length = strlen(text);
    if (length < 15 || strstr(text, "(null)") || strchr(" :,", text[length - 1])) return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20) return false;
    return true;
}

static run expected; /* what a run gives in which nothing fails */

#define FINDING(...) (snprintf(finding, room, __VA_ARGS__), false)

typedef struct outcome { bool failed, stopped; } outcome; /* heard of the failure; did not get to the end */

/* Runs it all; false with what was wrong. `error` 0: nothing fails; `wait`: what fails is a wait for the device. */
static bool run_once(const work *job, VkResult error, bool lasting, bool wait, outcome *how, char *finding, size_t room)
{
    run now = { .job = job };
    char sentence[512] = "";
    bool good = true;
    *how = (outcome){ false, false };
    for (int at = OPEN; at < (job->opening ? LOAD : STAGES) && good && !how->stopped; at++) {
        ob_status status = do_stage(&now, (stage)at);
        if (status == OB_OK) continue;
        how->failed = true;
        snprintf(sentence, sizeof sentence, "%s", ob_last_error());
        if (error == VK_SUCCESS || !is_right(error, lasting, wait, (stage)at, status))
            good = FINDING("%s gave status %d: %.240s", stage_names[at], (int)status, sentence);
        else if (!is_sentence(sentence)) good = FINDING("%s: no sentence: \"%.240s\"", stage_names[at], sentence);
        else if ((at == OPEN && now.context) || (at == LOAD && now.model) || (at == SESSION && now.session))
            good = FINDING("%s left something behind in its result", stage_names[at]);
        else if (lasting || status == OB_ERROR_DEVICE_LOST) how->stopped = true;
        else if ((status = do_stage(&now, (stage)at)) != OB_OK)
            good = FINDING("%s failed, and again when it was repeated: %d, %s", stage_names[at], (int)status, ob_last_error());
    }
    if (good && !how->stopped && error != VK_SUCCESS && memcmp(now.ids, expected.ids, sizeof now.ids) != 0) good = FINDING("other tokens");
    if (good && !how->stopped && error != VK_SUCCESS && memcmp(now.logits, expected.logits, sizeof now.logits) != 0)
        good = FINDING("other logits");
    ob_session_destroy(now.session);
    ob_model_destroy(now.model);
    ob_context_destroy(now.context);
    if (error == VK_SUCCESS) expected = now;
    return good;
}

/* ---- the list of what fails ------------------------------------------------------------------------------------------------------ */

typedef struct fault { uint32_t command, call; VkResult error; bool lasting; } fault;

static struct shared {
    uint32_t calls[COMMANDS_MAX];
    run expected;
    uint32_t current;                    /* of the list: what a child is at */
    uint32_t runs, heard, not_reached;
    uint32_t finding_count;
    char finding[300];
    bool found, ready;
} *shared;

static fault *list;
static uint32_t list_count;

static void make_list(const char *only, bool edges)
{
    size_t room = 0;
    free(list);
    list = NULL;
    list_count = 0;
    for (uint32_t c = 0; c < faults->command_count; c++) {
        if (only && strcmp(only, faults->commands[c].name) != 0) continue;
        for (uint32_t call = 1; call <= shared->calls[c]; call += edges && call < shared->calls[c] ? shared->calls[c] - call : 1)
            for (uint32_t e = 0; e < faults->commands[c].error_count; e++)
                for (int lasting = 0; lasting < 2; lasting++) {
                    if (list_count == room) list = realloc(list, (room = room * 2 + 256) * sizeof *list);
                    list[list_count++] = (fault){ c, call, faults->commands[c].errors[e], lasting };
                }
    }
}

/* `count` of them, evenly over the list. */
static void sample_list(uint32_t count)
{
    if (count == 0 || count >= list_count) return;
    for (uint32_t i = 0; i < count; i++) list[i] = list[(uint64_t)i * list_count / count];
    list_count = count;
}

/* ---- children -------------------------------------------------------------------------------------------------------------------- */

/* The loader's own functions, which it was asked for in the first run, give way to the hooks. */
static void hook_globals(void)
{
#define HOOK(name) name = (PFN_##name)faults->global(#name, (PFN_vkVoidFunction)name);
    HOOK(vkEnumerateInstanceVersion)
    HOOK(vkEnumerateInstanceLayerProperties)
    HOOK(vkEnumerateInstanceExtensionProperties)
#undef HOOK
}

static bool clean_run(const work *job, char *finding, size_t room)
{
    outcome how;
    faults->plan(0, 0, VK_SUCCESS, false);
    return run_once(job, VK_SUCCESS, false, false, &how, finding, room);
}

/* The run with a fault, and one without after a device that was lost. */
static bool check(const work *job, const fault *it, char *finding, size_t room)
{
    long blocks_before = blocks;
    uint32_t live;
    const char *kind;
    outcome how;
    faults->plan(it->command, it->call, it->error, it->lasting);
    bool wait = strcmp(faults->commands[it->command].name, "vkWaitForFences") == 0;
    bool good = run_once(job, it->error, it->lasting, wait, &how, finding, room);
    const char *wrong = faults->wrong(&live, &kind);
    shared->runs++;
    shared->heard += how.failed;
    if (good && how.failed && !faults->reached()) good = FINDING("failed though nothing was made to fail: %s", ob_last_error());
    if (!faults->reached()) shared->not_reached++;
    if (good && wrong[0]) good = FINDING("%s", wrong);
    if (good && live > 0) good = FINDING("%u objects are left, a %s among them", live, kind);
    if (good && blocks != blocks_before) good = FINDING("%ld blocks of host memory are left", blocks - blocks_before);
    faults->forget();
    if (good && how.stopped && !it->lasting) { /* otherwise the rest of the run, and the next one, show the same */
        run before = expected;
        if (!clean_run(job, finding, room)) return false;
        if (memcmp(before.ids, expected.ids, sizeof before.ids) != 0) good = FINDING("afterwards other tokens are generated");
        expected = before;
    }
    return good;
}

static const char *error_name(VkResult error)
{
    static char text[64];
    snprintf(text, sizeof text, "%s", error == VK_TIMEOUT ? "no answer" : error == VK_INCOMPLETE ? "incomplete" : obi_vk_result_name(error));
    return text;
}

static void report(const fault *it, const char *finding)
{
    if (shared->finding_count++ < FINDINGS_SHOWN)
        printf("  %s, call %u, %s (%d), %s: %s\n", faults->commands[it->command].name, it->call, error_name(it->error), (int)it->error,
               it->lasting ? "from there on" : "once", finding);
    fflush(stdout);
}

/* In a child: the work without faults, then those of the list from `first` on. */
static void child(const work *job, uint32_t first, uint32_t count)
{
    setenv("ONEBIT_OVERLAP", job->overlap, 1);
    setenv("ONEBIT_FUSED", job->fused, 1);
    if (job->kernel) setenv("ONEBIT_KERNEL", job->kernel, 1);
    obi_alloc_set_hooks(&(obi_alloc_hooks){ allocate, reallocate, release, NULL });
    alarm(RUN_SECONDS);
    for (int i = 0; i < 2; i++) { /* the second with the pipelines' cache, and the globals hooked */
        if (!clean_run(job, shared->finding, sizeof shared->finding)) _exit(2);
        if (i == 0) hook_globals();
    }
    if (count == 0) {
        for (uint32_t c = 0; c < faults->command_count; c++) shared->calls[c] = faults->calls(c);
        shared->expected = expected;
    }
    expected = shared->expected;
    expected.job = job;
    shared->ready = true;
    for (uint32_t i = first; i < first + count; i++) {
        shared->current = i;
        alarm(RUN_SECONDS);
        if (!check(job, &list[i], shared->finding, sizeof shared->finding)) report(&list[i], shared->finding);
    }
    shared->current = first + count;
    if (count > 0 && !clean_run(job, shared->finding, sizeof shared->finding)) _exit(3);
    exit(0); /* sanitizers report now */
}

/* Runs `count` of the list from `first` on in a child; how many it got through, one that ended it included. */
static uint32_t run_child(const work *job, uint32_t first, uint32_t count)
{
    char how[400];
    int status = 0;
    fflush(stdout);
    fflush(stderr);
    shared->current = first;
    shared->ready = false;
    shared->finding[0] = 0;
    pid_t pid = fork();
    if (pid == 0) child(job, first, count);
    while (waitpid(pid, &status, 0) < 0) {}
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return count;
    if (WIFSIGNALED(status)) snprintf(how, sizeof how, WTERMSIG(status) == SIGALRM ? "it hung" : "it crashed, signal %d", WTERMSIG(status));
    else snprintf(how, sizeof how, "its process ended with %d", WEXITSTATUS(status));
    if (!shared->ready) {
        printf("  the work \"%s\" fails by itself: %s %s\n", job->name, how, shared->finding);
        shared->finding_count++;
        return count;
    }
    bool whole = shared->current == first + count; /* the sanitizer's words at the end, about any of them */
    if (whole) printf("  runs %u to %u: %s\n", first, first + count, how);
    if (whole) shared->finding_count++;
    else report(&list[shared->current], how);
    return whole ? count : shared->current - first + 1;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int main(int argument_count, char **argument_list)
{
    uint32_t sample = 0, pairs = 0, calls = 0, ran = 0, heard = 0, not_reached = 0, findings = 0;
    const char *only = NULL, *command = NULL, *instead = getenv("ONEBIT_FAULTS");
    bool edges = false;
    char words[256], *arguments[16];
    int count = 0;
    if (instead && *instead) { /* in place of the arguments that ctest gives */
        snprintf(words, sizeof words, "%s", instead);
        for (char *word = strtok(words, " "); word && count < 15; word = strtok(NULL, " ")) arguments[count++] = word;
    } else {
        for (int i = 1; i < argument_count && count < 15; i++) arguments[count++] = argument_list[i];
    }
    arguments[count] = NULL;
    for (int i = 0; i < count; i++) {
        char *value = arguments[i + 1];
        if (strcmp(arguments[i], "--edges") == 0) edges = true;
        else if (strcmp(arguments[i], "--all") == 0) sample = 0;
        else if (value && strcmp(arguments[i], "--sample") == 0) sample = (uint32_t)strtoul(value, NULL, 10), i++;
        else if (value && strcmp(arguments[i], "--work") == 0) only = value, i++;
        else if (value && strcmp(arguments[i], "--command") == 0) command = value, i++;
        else return fprintf(stderr, "unknown option %s\n", arguments[i]), 2;
    }
    void *layer = dlopen(OB_FAULTS_LAYER, RTLD_NOW | RTLD_LOCAL);
    void *symbol = layer ? dlsym(layer, "onebit_faults") : NULL;
    faults_function get = NULL;
    memcpy(&get, &symbol, sizeof get); /* ISO C has no cast for it */
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!get || shared == MAP_FAILED || scratch_open(NULL) != 0) {
        fprintf(stderr, "the layer of this test cannot be opened: %s\n", layer ? "no memory" : dlerror());
        return 1;
    }
    faults = get();
    write_models();
    double begin = seconds();
    for (uint32_t w = 0; w < WORKS; w++) {
        if (only && strcmp(only, works[w].name) != 0) continue;
        uint32_t found = shared->finding_count, work_calls = 0;
        shared->runs = shared->heard = shared->not_reached = 0;
        memset(shared->calls, 0, sizeof shared->calls);
        run_child(&works[w], 0, 0);
        for (uint32_t c = 0; c < faults->command_count; c++) work_calls += shared->calls[c];
        make_list(command, edges);
        uint32_t all = list_count / 2;
        sample_list(sample);
        for (uint32_t at = 0; at < list_count;) {
            uint32_t part = list_count - at < BATCH ? list_count - at : BATCH;
            at += run_child(&works[w], at, part);
        }
        printf("%s: %u calls, %u pairs of a call and an error; %u runs, %u of them heard of the failure, %u did not get to it; %u findings\n",
               works[w].name, work_calls, all, shared->runs, shared->heard, shared->not_reached, shared->finding_count - found);
        if (work_calls == 0 || shared->runs < list_count || list_count == 0) findings++;
        calls += work_calls;
        pairs += all;
        ran += shared->runs;
        heard += shared->heard;
        not_reached += shared->not_reached;
        remove_cache();
    }
    findings += shared->finding_count;
    printf("in all %u calls, %u pairs, %u runs in %.0f s (%u heard of the failure, %u did not get to it): %u findings\n", calls, pairs, ran,
           seconds() - begin, heard, not_reached, findings);
    unlink(model_path[0]);
    unlink(model_path[1]);
    free(list);
    if (scratch_close(NULL) != 0) findings++;
    return findings > 0;
}
