/* test_compare_program: `onebit-eval-vk compare` as a user runs it: a tiny comparison has all rows, the failed one too; what is known
 * is not made again; killed and continued it gives the same table. */
#include "api.h"
#include "program.h"

#include <dirent.h>
#include <glob.h>
#include <math.h>
#include <sys/file.h>

/* The configuration in the scratch directory. */
static const char *config_path(void)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s", scratch_path("comparison.yaml"));
    return path;
}

static void write_config(const char *text) { (void)program_write_file("comparison.yaml", text, strlen(text)); }

/* ---- a tiny comparison ------------------------------------------------------------------------------------------------- */

static void write_tiny(const char *output)
{
    char text[8192], model[1024], tokenizer[1024], stories[1024];
    snprintf(model, sizeof model, "%s", test_data_path("models/stories260K/stories260K.bin"));
    snprintf(tokenizer, sizeof tokenizer, "%s", test_data_path("models/stories260K/tok512.bin"));
    snprintf(stories, sizeof stories, "%s", test_data_path("text/tinystories_valid_head.txt"));
    snprintf(
        text, sizeof text,
        "title: Tiny <methods>\nmodel: %s\ntokenizer: ${ONEBIT_NO_SUCH_NAME:-%s}\noutput_dir: %s/%s\ntext: %s\nbytes: 1024\nwindow: 64\n"
        "train: {dataset: %s, cutoff_len: 64, per_device_train_batch_size: 1, max_steps: 2, logging_steps: 1, preset: improved}\n"
        "seeds: [1, 2]\nrows:\n"
        "  - {name: FP16, form: f16}\n"
        "  - {name: Missing, kind: file, path: %s/none.gguf, bits: 4}\n"
        "  - {name: SVID, method: svid}\n"
        "  - {name: RTN W4, method: rtn, bits: 4}\n"
        "  - {name: OneBit, kind: train}\n"
        "  - {name: BitNet fast, kind: train, method: bitnet_b1, learning_rate: 1e-2, table: false, seeds: [3]}\n"
        "  - {name: Wild, kind: train, learning_rate: fast, table: false, seeds: [3]}\n"
        "figures:\n  - {file: loss, kind: losses, title: Loss, rows: [OneBit, BitNet fast]}\n"
        "  - {file: rates, kind: rates, rows: [OneBit, BitNet fast, Wild]}\n",
        model, tokenizer, scratch_directory, output, stories, stories, scratch_directory);
    write_config(text);
}

static const char *output_file(const char *output, const char *name)
{
    static char paths[4][1024];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, 1024, "%s/%s/%s", scratch_directory, output, name);
    return path;
}

static char *text_of(const char *output, const char *name)
{
    size_t bytes;
    char *text = (char *)program_file(output_file(output, name), &bytes);
    text[bytes] = 0;
    return text;
}

/* The line of a table that begins with a name, to be freed. */
static char *line_of(const char *table, const char *name)
{
    char begin[64];
    snprintf(begin, sizeof begin, "| %s |", name);
    const char *at = strstr(table, begin);
    if (!at) fail_msg("no row %s in: %s", name, table);
    return strndup(at, strcspn(at, "\n"));
}

/* How many results there are, and the sum of the times at which they were written, in nanoseconds. */
static size_t results(const char *output, uint64_t *times)
{
    DIR *directory = opendir(output_file(output, "rows"));
    size_t count = 0;
    *times = 0;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        struct stat info;
        char path[1400];
        snprintf(path, sizeof path, "%s/%s", output_file(output, "rows"), entry->d_name);
        size_t length = strlen(entry->d_name);
        if (length < 5 || strcmp(entry->d_name + length - 5, ".json") != 0 || stat(path, &info) != 0) continue;
        count++;
        *times += (uint64_t)info.st_mtim.tv_sec * 1000000000u + (uint64_t)info.st_mtim.tv_nsec;
    }
    if (directory) closedir(directory);
    return count;
}

static double number_in(const char *line, int column) /* from 1 on */
{
    const char *at = line;
    for (int i = 0; i < column; i++) at = strchr(at + 1, '|');
    return strtod(at + 1, NULL);
}

static void test_a_comparison(void **state)
{
    (void)state;
    write_tiny("whole");
    program *run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 1); /* rows failed */
    assert_non_null(strstr(run->err, "7 rows, 8 runs, of which 0 are known"));
    assert_non_null(strstr(run->err, "2 of 8 runs failed"));
    char *missing = line_of(run->out, "Missing"), *wild = line_of(run->out, "Wild");
    assert_non_null(strstr(missing, "| 4 | failed: "));
    assert_non_null(strstr(missing, "none.gguf"));
    assert_non_null(strstr(wild, "failed: learning_rate: \"fast\" is not a number"));
    char *f16 = line_of(run->out, "FP16"), *svid = line_of(run->out, "SVID"), *rtn = line_of(run->out, "RTN W4"),
         *onebit = line_of(run->out, "OneBit");
    /* columns: name, bits, strict bits, size, held out, KL, same choice, ratio */
    assert_true(number_in(f16, 2) == 16 && number_in(f16, 1) == 16 && number_in(f16, 4) > 2 && number_in(f16, 4) < 8 &&
                number_in(f16, 6) > 95);
    assert_true(number_in(svid, 1) == 1 && number_in(svid, 2) > 1.3 && number_in(svid, 2) < 1.5);
    assert_true(number_in(rtn, 1) == 4 && number_in(rtn, 2) > 4 && number_in(rtn, 2) < 4.5 && number_in(rtn, 7) > 1 &&
                number_in(rtn, 7) < 1.5);
    assert_true(number_in(onebit, 4) > number_in(rtn, 4) && number_in(onebit, 4) < number_in(svid, 4));
    assert_non_null(strstr(onebit, " ± ")); /* two seeds */
    assert_non_null(strstr(run->out, "\n| BitNet fast | seed 3 | 0.01 | "));
    char *table = text_of("whole", "table.md"), *page = text_of("whole", "report.html"), *loss = text_of("whole", "loss.svg");
    assert_int_equal(strncmp(run->out, table, strlen(table)), 0);
    assert_int_equal(program_occurrences(page, "<svg "), 4);
    assert_null(strstr(page, "src="));
    assert_non_null(strstr(page, "<title>Tiny &lt;methods&gt;</title>"));
    assert_non_null(strstr(page, ">failed: "));
    assert_non_null(strstr(page, "BitNet fast"));
    assert_int_equal(program_occurrences(loss, "<polyline "), 2);
    static const char *const drawn[] = { "perplexity-bits.svg", "size-bits.svg", "rates.svg" };
    for (size_t i = 0; i < 3; i++) assert_int_equal(access(output_file("whole", drawn[i]), R_OK), 0);

    /* Again: nothing is made, and the table is the same. */
    uint64_t before, after;
    size_t count = results("whole", &before);
    assert_int_equal(count, 8);
    run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "8 runs, of which 8 are known"));
    assert_null(strstr(run->err, " of 8: "));
    assert_int_equal(results("whole", &after), 8);
    assert_true(before == after);
    assert_int_equal(strncmp(run->out, table, strlen(table)), 0);

    /* Killed between two results, asked to stop in a training, and continued: the same table. */
    write_tiny("stopped");
    run = program_start_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, NULL, NULL, -1);
    for (int i = 0; i < 12000 && results("stopped", &before) < 2; i++) program_sleep(5);
    kill(run->pid, SIGKILL);
    program_wait(run);
    assert_int_equal(run->code, 128 + SIGKILL);
    count = results("stopped", &before);
    assert_in_range(count, 2, 7);
    run = program_start_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, NULL, NULL, -1);
    for (int i = 0; i < 12000 && results("stopped", &before) < 4; i++) program_sleep(5);
    kill(run->pid, SIGINT);
    program_wait(run);
    assert_int_equal(run->code, 130);
    assert_non_null(strstr(run->err, "the same command goes on from here"));
    assert_null(run->out[0] ? run->out : NULL);
    run = program_run("onebit-eval-vk", "compare", config_path(), "--json");
    assert_int_equal(run->code, 1);
    assert_null(strstr(run->err, "of which 0 are known"));
    assert_int_equal(program_occurrences(run->out, "\"failed\": true"), 2);
    char *other = text_of("stopped", "table.md");
    assert_string_equal(other, table);
    char *const texts[] = { missing, wild, f16, svid, rtn, onebit, table, page, loss, other };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
}

/* What stands around the two lines stays. */
static void test_a_document(void **state)
{
    (void)state;
    write_tiny("whole");
    char text[9000];
    size_t bytes;
    char *config = (char *)program_file(config_path(), &bytes);
    snprintf(text, sizeof text, "%.*sdocument: %s\n", (int)bytes, config, scratch_path("page.md"));
    free(config);
    write_config(text);
    static const char around[] = "# A page\n\nBefore.\n\n<!-- comparison: begin -->\nold\n<!-- comparison: end -->\n\nBehind.\n";
    (void)program_write_file("page.md", around, sizeof around - 1);
    program *run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "of which 8 are known")); /* a document changes no result */
    char *made = (char *)program_file(scratch_path("page.md"), &bytes);
    made[bytes] = 0;
    assert_memory_equal(made, around, strlen("# A page\n\nBefore.\n\n<!-- comparison: begin -->\n"));
    assert_non_null(strstr(made, "\n<!-- comparison: end -->\n\nBehind.\n"));
    assert_null(strstr(made, "\nold\n"));
    assert_non_null(strstr(made, "\n| SVID | 1 | "));
    assert_non_null(strstr(made, "](page-perplexity-bits.svg)"));
    assert_non_null(strstr(made, "\nHeld-out text: the first 1024 bytes, in windows of 64 tokens.\n"));
    assert_int_equal(access(scratch_path("page-perplexity-bits.svg"), R_OK), 0);
    free(made);
    (void)program_write_file("page.md", "# No place\n", 11);
    run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "has no lines <!-- comparison: begin -->"));
    made = (char *)program_file(scratch_path("page.md"), &bytes);
    assert_int_equal(bytes, 11);
    free(made);
}

/* A row whose file came is made by itself, what failed by its settings when that is asked for; all else is known. */
static void test_failed_rows_are_tried_again(void **state)
{
    (void)state;
    write_tiny("whole");
    char missing[1024];
    snprintf(missing, sizeof missing, "%s/none.gguf", scratch_directory);
    assert_int_equal(rename(program_model(), missing), 0);
    program *run = program_run("onebit-eval-vk", "compare", config_path(), "--retry");
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "8 runs, of which 6 are known"));
    assert_non_null(strstr(run->err, "Wild: failed: learning_rate"));
    assert_non_null(strstr(run->err, "1 of 8 runs failed"));
    char *found = line_of(run->out, "Missing");
    assert_null(strstr(found, "failed"));
    assert_true(number_in(found, 1) == 4 && number_in(found, 2) == 32 && number_in(found, 7) == 1); /* by its name; what it is */
    free(found);
}

/* A comparison of the test's own rows, in its own directory, measured on some bytes. */
static void write_sized(const char *output, unsigned bytes, const char *rest)
{
    char text[8192], model[1024], tokenizer[1024], stories[1024];
    snprintf(model, sizeof model, "%s", test_data_path("models/stories260K/stories260K.bin"));
    snprintf(tokenizer, sizeof tokenizer, "%s", test_data_path("models/stories260K/tok512.bin"));
    snprintf(stories, sizeof stories, "%s", test_data_path("text/tinystories_valid_head.txt"));
    snprintf(text, sizeof text,
             "model: %s\ntokenizer: %s\noutput_dir: %s/%s\ntext: %s\nbytes: %u\nwindow: 64\n"
             "train: {dataset: %s, cutoff_len: 64, per_device_train_batch_size: 1, max_steps: 2, logging_steps: 1, preset: improved}\n%s",
             model, tokenizer, scratch_directory, output, stories, bytes, stories, rest);
    write_config(text);
}

static void write_small(const char *output, const char *rest) { write_sized(output, 256, rest); }

/* The path of the only file of a pattern in the directory of a comparison. */
static const char *only_file(const char *output, const char *pattern)
{
    static char path[1400];
    glob_t found;
    assert_int_equal(glob(output_file(output, pattern), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path;
}

/* The first line of a file of tasks, as another file, with a word in place of another. */
static void write_task(const char *from, const char *to, const char *word, const char *with)
{
    char path[64];
    size_t bytes;
    snprintf(path, sizeof path, "zeroshot/%s", from);
    char *text = (char *)program_file(test_data_path(path), &bytes);
    text[bytes] = 0;
    char *at = word ? strstr(text, word) : NULL;
    if (at) memcpy(at, with, strlen(with));
    assert_true(!word || (at && at < strchr(text, '\n')));
    snprintf(path, sizeof path, "tasks/%s", to);
    program_write_file(path, text, (size_t)(strchr(text, '\n') + 1 - text));
    free(text);
}

/* Another text of an item makes it be measured again, also where its file lies in a folder of its own; a file that is bad does not take
 * the log of the good one away. */
static void test_tasks_are_known_by_content(void **state)
{
    (void)state;
    static const char *const folders[] = { "tasks", "tasks/BoolQ" };
    for (size_t i = 0; i < 2; i++) assert_int_equal(mkdir(scratch_path(folders[i]), 0755), 0);
    static const char *const files[] = { "winogrande_dev.jsonl",  "hellaswag_val.jsonl", "piqa_valid.jsonl",
                                         "piqa_valid-labels.lst", "arc_easy_test.jsonl", "arc_challenge_test.jsonl" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) write_task(files[i], files[i], NULL, NULL);
    write_task("boolq_val.jsonl", "BoolQ/val.jsonl", NULL, NULL);
    char rest[1200];
    snprintf(rest, sizeof rest, "zeroshot: %s/tasks\nrows: [{name: FP16, form: f16}]\n", scratch_directory);
    write_small("tasked", rest);
    program_expect_success(program_run("onebit-eval-vk", "compare", config_path()));
    char log[1400];
    snprintf(log, sizeof log, "%s", only_file("tasked", "runs/*/zeroshot.jsonl"));
    size_t bytes, again;
    char *first = (char *)program_file(log, &bytes);

    write_task("boolq_val.jsonl", "BoolQ/val.jsonl", "Ethanol", "Alcohol");
    program *run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 0);
    assert_non_null(strstr(run->err, "1 runs, of which 0 are known"));
    char *second = (char *)program_file(log, &again);
    assert_true(bytes == again ? memcmp(first, second, bytes) != 0 : true);
    second[again] = 0;
    assert_int_equal(program_occurrences(second, "\n"), 7); /* made anew: the settings and six items */

    (void)program_write_file("tasks/BoolQ/val.jsonl", "{}\n", 3);
    run = program_run("onebit-eval-vk", "compare", config_path());
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->out, "BoolQ/val.jsonl, line 1"));
    char *kept = (char *)program_file(log, &bytes);
    assert_true(bytes == again && memcmp(kept, second, bytes) == 0);
    free(first);
    free(second);
    free(kept);
}

/* Rows that are the same by another name are made once; with other kernels of the device they are others. */
static void test_the_same_is_made_once(void **state)
{
    (void)state;
    static const char *const set[] = { "ONEBIT_TIER=A", NULL };
    write_small("twins", "rows: [{name: Half, form: f16}, {name: Sixteen, form: f16}]\n");
    for (int again = 0; again < 2; again++) {
        program *run = program_run("onebit-eval-vk", "compare", config_path());
        program_expect_success(run);
        assert_non_null(strstr(run->err, again ? "2 runs, of which 2 are known" : "2 runs, of which 0 are known"));
        char *half = line_of(run->out, "Half"), *sixteen = line_of(run->out, "Sixteen");
        assert_string_equal(strchr(half + 2, '|'), strchr(sixteen + 2, '|'));
        (void)only_file("twins", "runs/*");
        (void)only_file("twins", "rows/*.json");
        free(half);
        free(sixteen);
    }
    program *run = program_run_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, set, NULL);
    program_expect_success(run);
    assert_non_null(strstr(run->err, "2 runs, of which 0 are known"));
}

/* A trained row is known by what its keys come to: a preset and its values written out are the same training, another value is not. So is
 * one on a file of another name that holds the same. */
static void test_presets_are_known_by_their_values(void **state)
{
    (void)state;
    static const char values[] =
        "preset: none, post_norm: false, latent_init: rowmean, latent_scale: 0.02, estimator: identity, trainable: all, "
        "kd_alpha: 1, kd_beta: 0, weight_decay: 0, scales_weight_decay: 0, lr_scheduler_type: cosine";
    char rest[600];
    write_small("keyed", "rows: [{name: A, kind: train, table: false}]\n"); /* preset: improved */
    program_expect_success(program_run("onebit-eval-vk", "compare", config_path()));
    snprintf(rest, sizeof rest, "rows: [{name: A, kind: train, table: false, learning_rate: 0.002, save_total_limit: 1, %s}]\n", values);
    write_small("keyed", rest);
    program *run = program_run("onebit-eval-vk", "compare", config_path());
    program_expect_success(run);
    assert_non_null(strstr(run->err, "1 runs, of which 1 are known"));
    size_t bytes;
    void *text = program_file(test_data_path("text/tinystories_valid_head.txt"), &bytes);
    snprintf(rest, sizeof rest, "rows: [{name: A, kind: train, table: false, dataset: %s}]\n",
             program_write_file("copy.txt", text, bytes));
    free(text);
    write_small("keyed", rest);
    run = program_run("onebit-eval-vk", "compare", config_path());
    program_expect_success(run);
    assert_non_null(strstr(run->err, "1 runs, of which 1 are known"));
    snprintf(rest, sizeof rest, "rows: [{name: A, kind: train, table: false, learning_rate: 0.001, %s}]\n", values);
    write_small("keyed", rest);
    run = program_run("onebit-eval-vk", "compare", config_path());
    program_expect_success(run);
    assert_non_null(strstr(run->err, "1 runs, of which 0 are known"));
}

/* Stops a comparison with Ctrl-C once the only file of the pattern has some bytes. */
static void stop_when_written(const char *output, const char *pattern, long bytes)
{
    bool begun = false;
    program *run = program_start_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, NULL, NULL, -1);
    for (int i = 0; i < 12000 && !begun; i++, program_sleep(5)) {
        glob_t found;
        struct stat info;
        if (glob(output_file(output, pattern), 0, NULL, &found) != 0) continue;
        begun = stat(found.gl_pathv[0], &info) == 0 && info.st_size >= bytes;
        globfree(&found);
    }
    assert_true(begun);
    kill(run->pid, SIGINT);
    program_wait(run);
    assert_int_equal(run->code, 130);
}

/* The key in a file of seconds, 16 digits, and the seconds. */
static double seconds_in(const char *path, char key[17])
{
    size_t bytes;
    char *text = (char *)program_file(path, &bytes);
    text[bytes] = 0;
    assert_true(bytes > 18 && text[16] == ' ');
    snprintf(key, 17, "%.16s", text);
    double seconds = strtod(text + 17, NULL);
    free(text);
    return seconds;
}

/* As if it had been long. */
static void write_seconds(const char *path, const char *key)
{
    FILE *file = fopen(path, "wb");
    assert_true(file && fprintf(file, "%s 5000\n", key) > 0 && fclose(file) == 0);
}

static bool is_gone(const char *output, const char *pattern)
{
    glob_t found;
    return glob(output_file(output, pattern), 0, NULL, &found) == GLOB_NOMATCH;
}

/* The seconds that a comparison of one row says, whose result is taken away first; all but 5000 are less than a test takes. */
static bool is_long(const char *output, int code)
{
    if (!is_gone(output, "rows/*.json")) unlink(only_file(output, "rows/*.json"));
    program *run = program_run("onebit-eval-vk", "compare", config_path(), "--json");
    assert_int_equal(run->code, code);
    double seconds = json_number(run->out, "seconds");
    assert_true(seconds > 0 && seconds < 5000 + PROGRAM_SECONDS);
    run = program_run("onebit-eval-vk", "compare", config_path(), "--json"); /* and keeps them, but for what digits in files round */
    if (code == 0) assert_true(fabs(json_number(run->out, "seconds") - seconds) < 1e-6 * seconds);
    return seconds > 5000;
}

/* Stopped in its training, a row keeps the seconds so far, and its result has those of both sessions; so does one that fails, and is kept
 * as failed, or tried again. */
static void test_seconds_of_all_sessions(void **state)
{
    (void)state;
    char path[1400], key[17];
    write_small("timed", "rows: [{name: A, kind: train, table: false, max_steps: 100}]\n");
    stop_when_written("timed", "runs/*/log.jsonl", 1);
    snprintf(path, sizeof path, "%s", only_file("timed", "runs/*/making"));
    double seconds = seconds_in(path, key);
    assert_true(seconds > 0 && seconds < PROGRAM_SECONDS);
    write_seconds(path, key);
    assert_true(is_long("timed", 0));
    assert_true(is_gone("timed", "runs/*/making"));

    write_small("untimed", "rows: [{name: A, kind: train, table: false, model_name_or_path: none}]\n");
    assert_false(is_long("untimed", 1));
    snprintf(path, sizeof path, "%s", only_file("untimed", "runs/*/making"));
    assert_true(seconds_in(path, key) >= 0);
    write_seconds(path, key);
    assert_true(is_long("untimed", 1));
}

/* Seconds of measuring are those of one result, whose log is still there; what is quantised is begun anew. */
static void test_seconds_are_of_what_is_kept(void **state)
{
    (void)state;
    char path[1400], key[17], model[17];
    write_sized("measured", 16384, "rows: [{name: A, form: f16, table: false}]\n");
    stop_when_written("measured", "runs/*/held-out.jsonl", 1000);
    snprintf(path, sizeof path, "%s", only_file("measured", "runs/*/measuring"));
    double seconds = seconds_in(path, key);
    assert_true(seconds > 0 && seconds < PROGRAM_SECONDS);
    write_seconds(path, "0123456789abcdef"); /* of another text, say */
    assert_false(is_long("measured", 0));
    assert_non_null(strstr(only_file("measured", "rows/*.json"), key));
    write_seconds(path, key);
    assert_true(is_long("measured", 0));
    assert_true(is_gone("measured", "runs/*/measuring"));
    write_seconds(path, key);
    (void)program_write_file("notes", "notes\n", 6);
    assert_int_equal(rename(scratch_path("notes"), only_file("measured", "runs/*/held-out.jsonl")), 0);
    assert_false(is_long("measured", 0)); /* the log was thrown away, and they with it */

    snprintf(path, sizeof path, "%s", only_file("measured", "runs/*/made"));
    seconds_in(path, model);
    unlink(path);
    memcpy(path + strlen(path) - 4, "making", 7);
    write_seconds(path, model);
    assert_false(is_long("measured", 0));
}

/* A reason that names a file by bytes which are no text; trainings that diverge, go back to a checkpoint and fail, of a row for figures:
 * each seed has its line, and the figure shows how it went. */
static void test_what_went_wrong_is_said(void **state)
{
    (void)state;
    static const char *const set[] = { "ONEBIT_ODD_NAME=\xff\xe2\x82/none.gguf", NULL };
    write_small("wrong", "rows:\n  - {name: Odd, kind: file, path: '${ONEBIT_ODD_NAME}'}\n"
                         "  - {name: Calm, kind: train, table: false, seeds: [1]}\n"
                         "  - {name: Burst, kind: train, learning_rate: 10, scales_learning_rate: 10, adam_beta2: 0, max_grad_norm: 0,\n"
                         "     trainable: all, lr_scheduler_type: constant, max_steps: 6, save_steps: 2, table: false, seeds: [3, 4]}\n"
                         "figures:\n  - {file: loss, kind: losses, rows: [Burst, Calm]}\n");
    program *run = program_run_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, set, NULL);
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "3 of 4 runs failed"));
    char *odd = line_of(run->out, "Odd");
    assert_non_null(strstr(odd, "??\?/none.gguf"));
    free(odd);
    assert_non_null(strstr(run->out, "\nBurst, seed 3: the training diverged; times that it went back to a checkpoint: 1; failed: "));
    assert_non_null(strstr(run->out, "\nBurst, seed 4: the training diverged; "));
    assert_null(strstr(run->out, "\nCalm, seed"));
    char *loss = text_of("wrong", "loss.svg"), *table = text_of("wrong", "report.html");
    assert_int_equal(program_occurrences(loss, "<polyline "), 2);
    assert_non_null(strstr(loss, "Burst (failed)"));
    assert_non_null(strstr(table, "<p class=\"failed\">Burst, seed 4: "));
    free(loss);
    free(table);
    run = program_run_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), "--json", NULL }, set, NULL);
    assert_non_null(strstr(run->out, "\"roll_backs\": 1")); /* kept with the result */
    assert_non_null(strstr(run->err, "4 runs, of which 4 are known")); /* what diverged would do so again; when asked to, it is tried */
    run = program_run_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), "--retry", NULL }, set, NULL);
    assert_int_equal(run->code, 1);
    assert_non_null(strstr(run->err, "4 runs, of which 1 are known"));

    /* While another comparison works there. */
    int lock = open(output_file("wrong", "lock"), O_RDWR);
    assert_true(lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0);
    run = program_run_with((const char *const[]){ "onebit-eval-vk", "compare", config_path(), NULL }, set, NULL);
    program_expect_failure(run, 2, "another comparison works in ");
    close(lock);
}

int main(void)
{
    api_plain_environment();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_a_comparison),
                                        cmocka_unit_test(test_a_document),
                                        cmocka_unit_test(test_failed_rows_are_tried_again),
                                        cmocka_unit_test(test_tasks_are_known_by_content),
                                        cmocka_unit_test(test_the_same_is_made_once),
                                        cmocka_unit_test(test_presets_are_known_by_their_values),
                                        cmocka_unit_test(test_seconds_of_all_sessions),
                                        cmocka_unit_test(test_seconds_are_of_what_is_kept),
                                        cmocka_unit_test(test_what_went_wrong_is_said) };
    return cmocka_run_group_tests(tests, scratch_open, program_scratch_remove);
}
