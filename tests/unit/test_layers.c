/* The walls of the house: reads every #include line and holds it against the order of the layers (each includes downward
 * only), and keeps files small and named after what they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ftw.h>
#include <unistd.h>

#define LINES_MAX 600

/* The first row whose path begins the file's path holds. `folders` are the first parts of the includes in quotes that
 * it may have, `libraries` the outside headers besides C's and POSIX's. */
typedef struct room {
    const char *path, *folders, *libraries;
} room;

#define LIBRARIES "volk vulkan jansson pcre2 utf8proc xxhash yaml mpi SDL png stb"
static const room rooms[] = {
    { "runtime/ref/", "ref", "" }, /* the specification of the kernels: C's mathematics and nothing else */
    { "runtime/core/", "core", "xxhash" },
    { "runtime/windows/", "core", "" }, /* below all of them: what the build puts before every file there */
    { "runtime/gpu/", "core gpu", "volk vulkan xxhash" },
    { "runtime/ops/", "core gpu ops shaders", "" },
    { "runtime/selftest/", "core ref gpu ops selftest shaders", "xxhash" },
    { "runtime/model/", "core model", "pcre2 utf8proc xxhash" }, /* no Vulkan */
    { "runtime/engine/", "core gpu ops model engine", "" },
    { "runtime/api/", "core gpu ops selftest model engine api onebit", "" },
    { "quant/import/", "core model quant/import", "jansson xxhash" }, /* no Vulkan, and nothing of quant/ itself */
    { "quant/ptq/api_", "core gpu ops selftest model engine api quant quant/import quant/ptq onebit", "" },
    { "quant/ptq/", "core gpu ops model quant quant/import quant/train quant/ptq", "" }, /* runs a layer as the trainer does */
    { "quant/train/api_", "core gpu ops selftest model engine api quant quant/import quant/train onebit", "" },
    { "quant/train/", "core gpu ops model quant quant/import quant/train", "xxhash yaml" },
    { "quant/", "core gpu ops model quant quant/import", "" },
    { "apps/onebit-train-vk/", "common onebit", "mpi" },
    { "apps/onebit-scene-vk/", "common onebit", "volk vulkan SDL png stb" }, /* a renderer that the library lives in */
    { "apps/onebit-eval-vk/", "common onebit", "jansson utf8proc xxhash yaml" }, /* data sets are JSON */
    { "apps/", "common onebit", "" },
    { "tests/api/host.h", "onebit", "volk" },                   /* likewise */
    { "tests/api/", "onebit", "" },
    { "include/onebit/onebit_vulkan.h", "onebit", "vulkan" },
    { "include/", "onebit", "" },
    { "scripts/", "", "" }, /* shares nothing with what it measures */
};

static bool has_word(const char *words, const char *word, size_t length)
{
    for (const char *at = words; *at;) {
        size_t span = strcspn(at, " ");
        if (span == length && strncmp(at, word, length) == 0) return true;
        at += span + (at[span] == ' ');
    }
    return false;
}

static const room *room_of(const char *path)
{
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++)
        if (strncmp(path, rooms[i].path, strlen(rooms[i].path)) == 0) return &rooms[i];
    return NULL;
}

/* What is wrong with `line` in the file `path` (relative to the project's root); NULL when it is fine. */
static const char *fault_of_include(const char *path, const char *line)
{
    line += strspn(line, " \t");
    if (line[0] != '#') return NULL;
    line += 1 + strspn(line + 1, " \t");
    if (strncmp(line, "include", 7) != 0) return NULL;
    line += 7 + strspn(line + 7, " \t");
    const room *here = room_of(path);
    if (!here) return "this file lies in no layer that tests/unit/test_layers.c knows";
    if (line[0] == '<') {
        size_t length = strcspn(line + 1, "./>0123456789");
        if (strncmp(line + 1, "pcre2", 5) == 0 || strncmp(line + 1, "utf8proc", 8) == 0) length = strcspn(line + 1, "./>");
        if (strncmp(here->path, "runtime/ref/", 12) == 0 && !has_word("math stdint stddef stdbool string float", line + 1, length))
            return "a reference uses C's mathematics only";
        if (has_word(LIBRARIES, line + 1, length) && !has_word(here->libraries, line + 1, length)) return "this layer does not know that library";
        return NULL;
    }
    if (line[0] != '"') return "an include without a plain name";
    if (line[1] == '.') return "name the file from the root of its layer, not by ..";
    size_t length = strcspn(line + 1, "/\"");
    static const char *const inner[] = { "quant/import/", "quant/train/", "quant/ptq/" }; /* layers of their own beside the rest of quant/ */
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++)
        if (strncmp(line + 1, inner[i], strlen(inner[i])) == 0) length = strlen(inner[i]) - 1;
    if (line[1 + length] == '"') { /* beside the file, or made by the build */
        if (strncmp(line + 1, "kernel_list.h", length) == 0) return strcmp(path, "runtime/gpu/kernel.h") == 0 ? NULL : "include gpu/kernel.h instead";
        if (strncmp(here->path, "tests/api/", 10) == 0 && strncmp(line + 1, "device.h", length) == 0) return "tests/api sees the public headers only";
        bool alone = strncmp(path, "apps/", 5) == 0 || strncmp(path, "tests/", 6) == 0;
        return alone ? NULL : "name the file from the root of its layer";
    }
    return has_word(here->folders, line + 1, length) ? NULL : "this layer lies below the one it includes, or beside it";
}

static int faults, files;

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

static void report(const char *path, int line, const char *what)
{
    print_error("%s:%d: %s\n", path, line, what);
    faults++;
}

static int check_file(const char *full, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)walk;
    static const char *const ends[] = { ".c", ".h", ".comp", ".glsl", ".cmake", ".sh", "CMakeLists.txt" };
    const char *path = full + strlen(OB_SOURCE_DIR) + 1;
    bool known = false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) known |= ends_with(full, ends[i]);
    if (kind != FTW_F || !known) return 0;
    files++;
    if (strstr(path, "utils") || strstr(path, "misc")) report(path, 0, "name the file after what is in it");
    FILE *file = fopen(full, "r");
    if (!file) {
        report(path, 0, "cannot be read");
        return 0;
    }
    bool code = ends_with(path, ".c") || ends_with(path, ".h");
    bool in_layer = code && (strncmp(path, "tests/", 6) != 0 || strncmp(path, "tests/api/", 10) == 0) && strncmp(path, "shaders/", 8) != 0;
    char text[1024];
    int line = 0;
    bool whole = true; /* the last read began a line */
    while (fgets(text, sizeof text, file)) {
        const char *fault = whole && in_layer ? fault_of_include(path, text) : NULL;
        line += whole;
        if (fault) report(path, line, fault);
        whole = strchr(text, '\n') != NULL;
    }
    fclose(file);
    if (line > LINES_MAX) report(path, line, "more than 600 lines; split it along a noun");
    return 0;
}

static void test_tree(void **state)
{
    (void)state;
    static const char *const folders[] = { "runtime", "quant", "apps", "include", "shaders", "tests", "scripts" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", OB_SOURCE_DIR, folders[i]);
        assert_int_equal(nftw(path, check_file, 16, FTW_PHYS), 0);
    }
    assert_true(files > 50); /* it did read the tree */
    assert_int_equal(faults, 0);
}

/* The rules themselves: what must be refused is refused. */
static void test_rules(void **state)
{
    (void)state;
    static const struct { const char *path, *line; bool allowed; } cases[] = {
        { "runtime/core/file.c", "#include \"core/file.h\"", true },
        { "runtime/core/file.c", "#include \"gpu/device.h\"", false },
        { "runtime/core/file.c", "#include <stdio.h>", true },
        { "runtime/core/file.c", "# include <volk.h>", false },
        { "runtime/model/gguf.h", "#include \"core/status.h\"", true },
        { "runtime/model/gguf.h", "#include \"gpu/buffer.h\"", false },
        { "runtime/model/gguf.h", "#include \"ops/tensor.h\"", false },
        { "runtime/model/gguf.h", "#include <vulkan/vulkan.h>", false },
        { "runtime/model/pretokenize.c", "#include <pcre2.h>", true },
        { "runtime/model/nfc.c", "#include <utf8proc.h>", true },
        { "runtime/ops/op_norm.c", "#include <pcre2.h>", false },
        { "runtime/ref/ref_norm.c", "#include <math.h>", true },
        { "runtime/ref/ref_norm.c", "#include <stdio.h>", false },
        { "runtime/ref/ref_norm.c", "#include \"core/half.h\"", false },
        { "runtime/gpu/device.c", "#include <volk.h>", true },
        { "runtime/gpu/device.c", "#include \"ops/tensor.h\"", false },
        { "runtime/gpu/device.c", "#include \"../core/log.h\"", false },
        { "runtime/gpu/device.c", "#include \"memory.h\"", false },
        { "runtime/gpu/kernel.h", "#include \"kernel_list.h\" /* generated */", true },
        { "runtime/ops/op_norm.c", "#include \"kernel_list.h\"", false },
        { "runtime/ops/op_norm.c", "#include \"selftest/selftest.h\"", false },
        { "runtime/ops/op_norm.c", "#include \"model/config.h\"", false },
        { "runtime/engine/session.c", "#include \"quant/svid.h\"", false },
        { "runtime/engine/session.c", "#include \"api/api_internal.h\"", false },
        { "runtime/api/api_model.c", "#include \"onebit/onebit.h\"", true },
        { "quant/import/import_hf.c", "#include <jansson.h>", true },
        { "quant/import/import_hf.c", "#include \"gpu/device.h\"", false },
        { "quant/import/import_hf.c", "#include \"quant/import/json.h\"", true },
        { "quant/import/import_hf.c", "#include \"quant/svid.h\"", false },
        { "quant/svid.c", "#include \"gpu/device.h\"", true },
        { "quant/convert.c", "#include \"quant/train/pass.h\"", false },
        { "quant/train/pass.c", "#include \"quant/ptq/maker.h\"", false },
        { "quant/ptq/maker.c", "#include \"quant/train/pass.h\"", true },
        { "apps/onebit-run-vk/main.c", "#include \"common/args.h\"", true },
        { "apps/onebit-run-vk/main.c", "#include \"onebit/onebit.h\"", true },
        { "apps/onebit-run-vk/main.c", "#include \"core/status.h\"", false },
        { "apps/onebit-scene-vk/window.c", "#include <SDL.h>", true },
        { "apps/onebit-run-vk/main.c", "#include <SDL.h>", false },
        { "apps/onebit-train-vk/ranks_mpi.c", "#include <mpi.h>", true },
        { "quant/train/ranks.c", "#include <mpi.h>", false },
        { "tests/api/test_run.c", "#include \"device.h\"", false },
        { "tests/api/test_run.c", "#include \"core/status.h\"", false },
        { "somewhere/else.c", "#include \"core/status.h\"", false },
        { "runtime/core/log.h", "int include;", true },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if ((fault_of_include(cases[i].path, cases[i].line) == NULL) != cases[i].allowed)
            fail_msg("%s: %s should be %s", cases[i].path, cases[i].line, cases[i].allowed ? "allowed" : "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rules), cmocka_unit_test(test_tree) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
