/* test_cache: the files in the cache directory. They save work when they are good and cost nothing else when they are not:
 * whatever lies there, a context opens, computes the same, and puts good files in the place of bad ones. */
#include "api.h"

static char cache[600], stories_path[1024];
static char selftest_path[1200], pipelines_path[1200]; /* in `cache`, found by the first test */
static api_log *log_of_last;

static int open_shared(void **state)
{
    if (scratch_open(state) != 0) return -1;
    /* The self-test runs some dozen times: the driver may keep what it compiled, in a place of this program's own. */
    unsetenv("MESA_SHADER_CACHE_DISABLE");
    setenv("MESA_SHADER_CACHE_DIR", scratch_path("driver"), 1);
    snprintf(cache, sizeof cache, "%s/cache", scratch_directory);
    snprintf(stories_path, sizeof stories_path, "%s", api_stories("stories.gguf"));
    return 0;
}

static int close_shared(void **state)
{
    (void)state;
    ob_set_log(NULL, NULL);
    api_remove_tree(scratch_directory);
    return 0;
}

/* A whole life of a context with the self-test; the model's text must be what it always is. */
static void live(const char *cache_dir, bool with_model)
{
    log_of_last = api_log_start();
    ob_context *context = NULL;
    API_OK(ob_context_create(&context, &(ob_context_desc){ .cache_dir = cache_dir }));
    if (with_model) {
        ob_model *model = api_model(context, stories_path);
        ob_session *session = api_session(model, (ob_sampling){ 0 });
        uint32_t ids[3];
        static const uint32_t prompt[] = { 1, 403, 407, 261, 378 };
        API_OK(api_generate(session, prompt, 5, ids, 3));
        assert_true(ids[0] == 432 && ids[1] == 383 && ids[2] == 286); /* golden */
        ob_session_destroy(session);
        ob_model_destroy(model);
    }
    ob_context_destroy(context);
    ob_set_log(NULL, NULL);
}

/* Which file a name stands for just now: writing replaces it, so another number means that it was written. */
static ino_t inode(const char *path)
{
    struct stat info;
    if (lstat(path, &info) != 0) fail_msg("%s is not there", path);
    return S_ISREG(info.st_mode) ? info.st_ino : 0;
}

static void find_files(void)
{
    DIR *directory = opendir(cache);
    if (!directory) fail_msg("the cache directory was not made");
    selftest_path[0] = pipelines_path[0] = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        if (strncmp(entry->d_name, "selftest-", 9) == 0) snprintf(selftest_path, sizeof selftest_path, "%s/%s", cache, entry->d_name);
        else if (strncmp(entry->d_name, "pipelines-", 10) == 0)
            snprintf(pipelines_path, sizeof pipelines_path, "%s/%s", cache, entry->d_name);
        else if (entry->d_name[0] != '.') fail_msg("what is %s doing in the cache?", entry->d_name);
    }
    closedir(directory);
    assert_true(selftest_path[0] && pipelines_path[0]);
}

/* ---- good files ------------------------------------------------------------------------------------------------------ */

static void test_files_appear_and_serve(void **state)
{
    (void)state;
    assert_int_equal(access(cache, F_OK), -1);
    live(cache, true);
    find_files();
    assert_int_equal(api_entries(cache), 2);
    api_log_expect_calm(log_of_last);

    /* A second life reads them and writes neither: the self-test, which ends by writing its file, did not run, and the
     * pipelines of a context that compiles nothing are not saved again. */
    ino_t selftest = inode(selftest_path), pipelines = inode(pipelines_path);
    live(cache, false);
    assert_int_equal(inode(selftest_path), selftest);
    assert_int_equal(inode(pipelines_path), pipelines);
    assert_int_equal(log_of_last->length, 0);

    /* Without the self-test's file it does run: what was shown above can be seen. */
    assert_int_equal(unlink(selftest_path), 0);
    live(cache, false);
    (void)inode(selftest_path);
    api_log_expect_calm(log_of_last);
}

static void test_tiers_have_files_of_their_own(void **state)
{
    (void)state;
    live(cache, false);
    unsigned before = api_entries(cache);
    unsetenv("ONEBIT_TIER");
    live(cache, false);
    unsigned after = api_entries(cache);
    live(cache, false);
    setenv("ONEBIT_TIER", "A", 1);
    ob_device_info info;
    uint32_t count;
    API_OK(ob_device_list(&info, 1, &count));
    bool more = info.tier != 'A'; /* under a profile it may have no more than that */
    assert_true(more || getenv("ONEBIT_PROFILE"));
    assert_int_equal(after, before + more); /* a run limited to tier A had shown nothing about the others */
    assert_int_equal(api_entries(cache), after);
    api_remove_tree(cache);
}

/* ---- bad files ------------------------------------------------------------------------------------------------------- */

typedef struct contents { unsigned char *data; size_t bytes; } contents;

static void put_same_length_of_zeros(const char *path, const contents *good)
{
    unsigned char *zeros = calloc(good->bytes, 1);
    api_write_file(path, zeros, good->bytes);
    free(zeros);
}

static void put_cut(const char *path, const contents *good) { api_write_file(path, good->data, good->bytes - 1); }
static void put_head(const char *path, const contents *good) { (void)good; api_write_file(path, good->data, 20); }
static void put_nothing(const char *path, const contents *good) { (void)good; api_write_file(path, "", 0); }
static void put_foreign(const char *path, const contents *good)
{
    (void)good;
    api_write_file(path, "{\"this\": \"is another program's file\"}\n", 38);
}
static void put_link_to_nowhere(const char *path, const contents *good)
{
    (void)good;
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
}

static void put_longer(const char *path, const contents *good)
{
    unsigned char *data = malloc(good->bytes + 1);
    memcpy(data, good->data, good->bytes);
    data[good->bytes] = '\n';
    api_write_file(path, data, good->bytes + 1);
    free(data);
}

/* One bit flipped: in the header, where the numbers are, in the middle, and at the very end. */
static size_t flip_at;
static void put_flipped(const char *path, const contents *good)
{
    unsigned char *data = malloc(good->bytes);
    memcpy(data, good->data, good->bytes);
    data[flip_at] ^= 0x04;
    api_write_file(path, data, good->bytes);
    free(data);
}

typedef void putter(const char *path, const contents *good);

/* Puts a bad file there, lives, and finds a good one in its place. */
static void expect_replaced(const char *path, putter *put, const char *name)
{
    contents good;
    good.data = api_read_file(path, &good.bytes);
    bool selftest = strcmp(path, selftest_path) == 0, link = put == put_link_to_nowhere;
    assert_int_equal(unlink(path), 0);
    put(path, &good);
    live(cache, !selftest); /* pipelines are saved when something was compiled */
    api_log_expect_calm(log_of_last);
    if (!link && !strstr(log_of_last->text, path)) fail_msg("%s, %s: the log does not name the file: %s", path, name, log_of_last->text);
    ino_t number = inode(path);
    if (number == 0) fail_msg("%s, %s: it is still a link", path, name);
    size_t bytes;
    unsigned char *data = api_read_file(path, &bytes);
    if (selftest && (bytes != good.bytes || memcmp(data, good.data, bytes) != 0)) fail_msg("%s: the file written instead is another", name);
    free(data);
    free(good.data);
    live(cache, false); /* and it is taken */
    assert_int_equal(inode(path), number);
    assert_int_equal(log_of_last->length, 0);
    assert_int_equal(api_entries(cache), 2);
}

static void expect_all_replaced(const char *path)
{
#define REPLACED(put) expect_replaced(path, put, #put)
    REPLACED(put_nothing);
    REPLACED(put_head);
    REPLACED(put_cut);
    REPLACED(put_longer);
    REPLACED(put_foreign);
    REPLACED(put_same_length_of_zeros);
    REPLACED(put_link_to_nowhere);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    const size_t places[] = { 0, (size_t)info.st_size / 2, (size_t)info.st_size - 1, 30, 44 };
    size_t count = strcmp(path, selftest_path) == 0 ? 3 : 5; /* the file of pipelines has a header of numbers */
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(stat(path, &info), 0);
        flip_at = places[i] < (size_t)info.st_size ? places[i] : (size_t)info.st_size - 1;
        REPLACED(put_flipped);
    }
}

static void test_bad_selftest_file(void **state)
{
    (void)state;
    live(cache, false);
    find_files();
    expect_all_replaced(selftest_path);
    api_remove_tree(cache);
}

static void test_bad_pipelines_file(void **state)
{
    (void)state;
    live(cache, true);
    find_files();
    expect_all_replaced(pipelines_path);
    api_remove_tree(cache);
}

/* ---- bad places ------------------------------------------------------------------------------------------------------ */

/* Nothing can be kept there; it is said, and all else goes on. */
static void expect_survived(const char *cache_dir)
{
    live(cache_dir, false);
    assert_int_equal(log_of_last->count[OB_LOG_ERROR], 0);
    if (log_of_last->count[OB_LOG_WARNING] == 0) fail_msg("%s: nobody says that nothing is kept: %s", cache_dir, log_of_last->text);
}

static void test_places_that_cannot_be_written(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("file"));
    api_write_file(path, "a file", 6);
    expect_survived(path); /* a file where a directory should be */
    unlink(path);

    snprintf(path, sizeof path, "%s", scratch_path("link"));
    assert_int_equal(symlink("/nowhere/at/all", path), 0);
    expect_survived(path);
    unlink(path);

    expect_survived("/proc/onebit"); /* where root may not write either */

    if (geteuid() != 0) { /* root may write everywhere */
        snprintf(path, sizeof path, "%s", scratch_path("closed"));
        assert_int_equal(mkdir(path, 0555), 0);
        expect_survived(path);
        rmdir(path);
    }
}

/* Directories where the files should be. */
static void test_names_taken(void **state)
{
    (void)state;
    live(cache, false);
    find_files();
    unlink(selftest_path);
    unlink(pipelines_path);
    assert_int_equal(mkdir(selftest_path, 0755), 0);
    assert_int_equal(mkdir(pipelines_path, 0755), 0);
    expect_survived(cache);
    assert_int_equal(api_entries(cache), 2); /* nothing else was left there */
    api_remove_tree(cache);
}

static void test_where_the_cache_is(void **state)
{
    (void)state;
    char before[1024] = "", other[1024];
    const char *set = getenv("ONEBIT_CACHE_DIR");
    if (set) snprintf(before, sizeof before, "%s", set);
    live("", false); /* whatever the driver keeps is there after this */
    unsigned entries = api_entries(scratch_directory);

    setenv("ONEBIT_CACHE_DIR", "", 1);
    live(NULL, false); /* "": none */
    setenv("ONEBIT_CACHE_DIR", scratch_path("by_environment"), 1);
    live("", false); /* the desc goes first */
    assert_int_equal(api_entries(scratch_directory), entries);
    live(NULL, false);
    snprintf(other, sizeof other, "%s", scratch_path("by_environment"));
    assert_int_equal(api_entries(other), 2);
    api_remove_tree(other);

    unsetenv("ONEBIT_CACHE_DIR");
    snprintf(other, sizeof other, "%s", scratch_path("xdg"));
    setenv("XDG_CACHE_HOME", other, 1);
    live(NULL, false);
    unsetenv("XDG_CACHE_HOME");
    snprintf(other, sizeof other, "%s", scratch_path("xdg/onebit"));
    assert_int_equal(api_entries(other), 2);
    api_remove_tree(scratch_path("xdg"));

    snprintf(other, sizeof other, "%s/a/b/c", scratch_directory); /* parents are made */
    live(other, false);
    assert_int_equal(api_entries(other), 2);
    api_remove_tree(scratch_path("a"));
    if (set) setenv("ONEBIT_CACHE_DIR", before, 1);
}

int main(void)
{
    api_plain_environment();
    setenv("ONEBIT_TIER", "A", 1); /* a shorter self-test */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_appear_and_serve), cmocka_unit_test(test_tiers_have_files_of_their_own),
        cmocka_unit_test(test_bad_selftest_file), cmocka_unit_test(test_bad_pipelines_file),
        cmocka_unit_test(test_places_that_cannot_be_written), cmocka_unit_test(test_names_taken), cmocka_unit_test(test_where_the_cache_is),
    };
    return cmocka_run_group_tests(tests, open_shared, close_shared);
}
