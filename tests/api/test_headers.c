/* test_headers: the public headers by themselves: they compile in every language and standard they are meant for, with all
 * warnings, alone and twice; and each function in them is called by some test. */
#include "api.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static const char *const headers[] = { "onebit/onebit.h", "onebit/onebit_train.h", "onebit/onebit_bench.h", "onebit/onebit_vulkan.h" };
enum { HEADERS = sizeof headers / sizeof *headers };

/* ---- compiling ----------------------------------------------------------------------------------------------------------- */

/* Whether `compiler` takes the source in that standard; what it says goes to this program's stderr when `shown`. */
static bool compiles(const char *compiler, const char *language, const char *standard, const char *source, bool shown)
{
    const char *const argv[] = { compiler,     "-x",      language,       standard,   "-Wall",         "-Wextra",
                                 "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow", "-fsyntax-only", "-I" OB_SOURCE_DIR "/include",
                                 source,       NULL };
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (!shown) posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    unsetenv("LD_PRELOAD"); /* a sanitizer's helper is not for the compiler */
    int error = posix_spawnp(&pid, compiler, &actions, NULL, (char *const *)(uintptr_t)argv, environ), status;
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT && !shown) return false;
    if (error) fail_msg("the compiler %s cannot be started: %s (on Debian: apt install g++)", compiler, strerror(error));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static const struct { const char *compiler, *language, *standard; } ways[] = {
    { "cc", "c", "-std=c99" }, { "cc", "c", "-std=c11" }, { "cc", "c", "-std=c17" },
    { "c++", "c++", "-std=c++11" }, { "c++", "c++", "-std=c++17" }, { "c++", "c++", "-std=c++20" },
    { "clang", "c", "-std=c99" }, { "clang", "c", "-std=c17" }, { "clang++", "c++", "-std=c++17" }, /* where it is installed */
};
enum { WAYS = 6, WAYS_ALL = sizeof ways / sizeof *ways };

/* Every desc zeroed as the language does it, and a function taken by its address: what a first program does. */
static const char body[] = "#include <%s>\n#include <%s>\n"
                           "#ifdef __cplusplus\n#define ZERO {}\n#else\n#define ZERO { 0 }\n#endif\n"
                           "int check(void);\n"
                           "int check(void)\n"
                           "{\n"
                           "    ob_context_desc context = ZERO; ob_model_desc model = ZERO; ob_session_desc session = ZERO;\n"
                           "    ob_context *none = 0;\n"
                           "    (void)session;\n"
                           "    if (context.device || model.path) return ob_exit_code(OB_ERROR_DATA);\n"
                           "    return ob_context_create(&none, &context) == OB_OK ? 0 : 1;\n"
                           "}\n";

static void test_they_compile(void **state)
{
    (void)state;
    char source[1024], text[2048];
    snprintf(source, sizeof source, "%s", scratch_path("use.source"));
    int count = WAYS;
    api_write_file(source, "int check;\n", 11);
    while (count < WAYS_ALL && compiles(ways[count].compiler, ways[count].language, ways[count].standard, source, false)) count++;
    print_message("%d compilers and standards\n", count);
    for (int i = 0; i < HEADERS; i++) {
        int length = snprintf(text, sizeof text, body, headers[i], headers[HEADERS - 1 - i]); /* each goes first once */
        api_write_file(source, text, (size_t)length);
        for (int k = 0; k < count; k++)
            if (!compiles(ways[k].compiler, ways[k].language, ways[k].standard, source, true))
                fail_msg("%s does not compile with %s %s", headers[i], ways[k].compiler, ways[k].standard);
        length = snprintf(text, sizeof text, "#include <%s>\n#include <%s>\ntypedef ob_status last;\n", headers[i], headers[i]);
        api_write_file(source, text, (size_t)length);
        for (int k = 0; k < count; k++) assert_true(compiles(ways[k].compiler, ways[k].language, ways[k].standard, source, true));
    }
    api_write_file(source, "int check(void) { return nothing; }\n", 36); /* the compilers do refuse */
    for (int k = 0; k < count; k++) assert_false(compiles(ways[k].compiler, ways[k].language, ways[k].standard, source, false));
    unlink(source);
}

/* What docs/embedding.md shows is compiled as it stands there, each block by itself. */
static void test_the_page_compiles(void **state)
{
    (void)state;
    char source[1024];
    snprintf(source, sizeof source, "%s", scratch_path("page.source"));
    size_t bytes;
    char *page = (char *)api_read_file(OB_SOURCE_DIR "/docs/embedding.md", &bytes);
    int blocks = 0;
    for (char *at = strstr(page, "```c\n"); at; at = strstr(at, "```c\n"), blocks++) {
        char *begin = at + 5, *end = strstr(begin, "```");
        assert_non_null(end);
        api_write_file(source, begin, (size_t)(end - begin));
        if (!compiles("cc", "c", "-std=c99", source, true)) fail_msg("block %d of docs/embedding.md does not compile", blocks + 1);
        at = end;
    }
    free(page);
    unlink(source);
    assert_int_equal(blocks, 3);
}

/* ---- every function is called --------------------------------------------------------------------------------------------- */

static char *tests_text; /* all sources of the tests in one */
static size_t tests_length;

static int add_source(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    size_t length = strlen(path);
    if (kind != FTW_F || length < 2 || (strcmp(path + length - 2, ".c") != 0 && strcmp(path + length - 2, ".h") != 0)) return 0;
    if (strcmp(path + walk->base, "test_headers.c") == 0) return 0;
    size_t bytes;
    unsigned char *data = api_read_file(path, &bytes);
    tests_text = realloc(tests_text, tests_length + bytes + 1);
    assert_non_null(tests_text);
    memcpy(tests_text + tests_length, data, bytes + 1);
    tests_length += bytes;
    free(data);
    return 0;
}

static bool is_called(const char *name)
{
    size_t length = strlen(name);
    for (const char *at = strstr(tests_text, name); at; at = strstr(at + 1, name)) {
        bool begins = at == tests_text || !(at[-1] == '_' || (at[-1] >= 'a' && at[-1] <= 'z'));
        if (begins && at[length] == '(') return true;
    }
    return false;
}

static void test_every_function_is_called(void **state)
{
    (void)state;
    assert_int_equal(nftw(OB_SOURCE_DIR "/tests", add_source, 16, FTW_PHYS), 0);
    assert_true(tests_length > 100000);
    assert_false(is_called("ob_no_such_function"));
    unsigned functions = 0, missing = 0;
    for (int i = 0; i < HEADERS; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/include/%s", OB_SOURCE_DIR, headers[i]);
        size_t bytes;
        char *text = (char *)api_read_file(path, &bytes);
        for (char *at = strstr(text, "\nOB_API "); at; at = strstr(at + 1, "\nOB_API ")) {
            char *open = strchr(at, '('), *name = open;
            while (name > at && (name[-1] == '_' || (name[-1] >= 'a' && name[-1] <= 'z') || (name[-1] >= '0' && name[-1] <= '9'))) name--;
            char word[64];
            snprintf(word, sizeof word, "%.*s", (int)(open - name), name);
            functions++;
            if (is_called(word)) continue;
            missing++;
            print_error("%s of %s is called by no test\n", word, headers[i]);
        }
        free(text);
    }
    free(tests_text);
    assert_true(functions >= 28);
    assert_int_equal(missing, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_they_compile), cmocka_unit_test(test_the_page_compiles),
                                        cmocka_unit_test(test_every_function_is_called) };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
