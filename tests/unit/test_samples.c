/* test_samples: the text that a teacher writes, and its record: whatever a run that ends leaves behind, the next one goes on
 * to the same bytes; and the draw of a token. */
#include "data.h"
#include "scratch.h"

#include <math.h>
#include <string.h>

#include "quant/train/generate.h"
#include "quant/train/samples.h"

#define COUNT 6

static const char *const settings = "{\"seed\": 1}\n";
static char whole_text[4096], whole_record[4096];

static size_t read_file(const char *name, char *out, size_t room)
{
    FILE *file = fopen(scratch_path(name), "rb");
    assert_non_null(file);
    size_t size = fread(out, 1, room, file);
    fclose(file);
    assert_true(size < room);
    out[size] = 0;
    return size;
}

static void write_file(const char *name, const char *text, size_t size)
{
    FILE *file = fopen(scratch_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

static void remove_all(void)
{
    static const char *const names[] = { "generated.txt", "generated.txt.partial", "samples.jsonl", "generate.json" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(scratch_path(names[i]));
}

static void open_samples(obi_samples *samples)
{
    if (obi_samples_open(samples, scratch_directory, "<end>", settings, false) != OBI_OK) fail_msg("%s", obi_last_error());
}

static void add_until(obi_samples *samples, uint64_t count)
{
    static const char *const texts[COUNT] = { "One.", "Two\nlines", "", "Four \"quoted\"", "Five {\"sample\": 4, \"end\": 9}", "Six" };
    while (samples->count < count) {
        const char *text = texts[samples->count];
        uint32_t number = (uint32_t)samples->count;
        obi_sample sample = {
            .first_token = number, .greedy_tokens = 3, .tokens = number + 1, .ended = number % 2, .text = text, .length = strlen(text)
        };
        assert_int_equal(obi_samples_add(samples, &sample), OBI_OK);
    }
}

static void test_whole(void **state)
{
    (void)state;
    obi_samples samples;
    open_samples(&samples);
    add_until(&samples, COUNT);
    assert_int_equal(samples.tokens, 21);
    assert_int_equal(obi_samples_finish(&samples), OBI_OK);
    obi_samples_close(&samples);
    read_file("generated.txt", whole_text, sizeof whole_text);
    read_file("samples.jsonl", whole_record, sizeof whole_record);
    assert_memory_equal(whole_text, "One.\n<end>\nTwo\nlines\n<end>\n\n<end>\n", 34);
    assert_non_null(strstr(whole_record,
                           "{\"sample\": 1, \"first_token\": 1, \"greedy_tokens\": 3, \"tokens\": 2, \"stopped_by\": \"eos\", "
                           "\"bytes\": 9, \"end\": 27}\n"));
    assert_int_equal(access(scratch_path("generated.txt.partial"), F_OK), -1);
    remove_all();
}

/* A run is killed with any part of the text and any part of the record on the disk. */
static void test_any_interruption(void **state)
{
    (void)state;
    char text[4096], record[4096];
    size_t text_size = strlen(whole_text), record_size = strlen(whole_record);
    for (size_t kept_text = 0; kept_text <= text_size; kept_text += 3)
        for (size_t kept_record = 0; kept_record <= record_size; kept_record += 41) {
            obi_samples samples;
            write_file("generate.json", settings, strlen(settings));
            write_file("generated.txt.partial", whole_text, kept_text);
            write_file("samples.jsonl", whole_record, kept_record);
            open_samples(&samples);
            assert_true(samples.end <= kept_text);
            add_until(&samples, COUNT);
            assert_int_equal(samples.tokens, 21);
            assert_int_equal(obi_samples_finish(&samples), OBI_OK);
            obi_samples_close(&samples);
            read_file("generated.txt", text, sizeof text);
            read_file("samples.jsonl", record, sizeof record);
            assert_string_equal(text, whole_text);
            assert_string_equal(record, whole_record);
            remove_all();
        }
}

static void test_more_and_other_samples(void **state)
{
    (void)state;
    obi_samples samples;
    char text[4096];
    open_samples(&samples);
    add_until(&samples, 2);
    assert_int_equal(obi_samples_finish(&samples), OBI_OK);
    obi_samples_close(&samples);
    open_samples(&samples); /* more are wanted */
    assert_int_equal(samples.count, 2);
    add_until(&samples, COUNT);
    assert_int_equal(obi_samples_finish(&samples), OBI_OK);
    obi_samples_close(&samples);
    read_file("generated.txt", text, sizeof text);
    assert_string_equal(text, whole_text);
    assert_int_equal(obi_samples_open(&samples, scratch_directory, "<end>", "{\"seed\": 2}\n", false), OBI_ERROR_ARGUMENT);
    assert_non_null(strstr(obi_last_error(), "other settings"));
    obi_samples_close(&samples);
    read_file("generated.txt", text, sizeof text);
    assert_string_equal(text, whole_text); /* left as it was */
    assert_int_equal(obi_samples_open(&samples, scratch_directory, "<end>", "{\"seed\": 2}\n", true), OBI_OK);
    assert_int_equal(samples.count, 0);
    obi_samples_close(&samples);
    remove_all();
}

/* A record that is not ours is not believed. */
static void test_strange_records(void **state)
{
    (void)state;
    static const char *const records[] = {
        "no line of ours\n",
        "{\"sample\": 0}\n",
        "{\"sample\": 1, \"tokens\": 1, \"end\": 2}\n",
        "{\"sample\": 0, \"tokens\": 1, \"end\": 99999999999999999999999}\n",
        "{\"sample\": 0, \"tokens\": 1, \"end\": 7}\n",
    };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        obi_samples samples;
        write_file("generate.json", settings, strlen(settings));
        write_file("generated.txt.partial", "abcdef", 6);
        write_file("samples.jsonl", records[i], strlen(records[i]));
        open_samples(&samples);
        assert_int_equal(samples.count, 0);
        assert_int_equal(samples.end, 0);
        obi_samples_close(&samples);
        remove_all();
    }
}

static void test_draw(void **state)
{
    (void)state;
    static const float logits[6] = { 1, 3, -INFINITY, 2, NAN, 3 };
    float room[4];
    enum { DRAWS = 100000 };
    unsigned seen[6] = { 0 };
    assert_int_equal(obi_generate_likeliest(logits, 6), 1);
    assert_int_equal(obi_generate_draw(logits, 6, 0, 0, room, 0.99), 1);
    for (int i = 0; i < DRAWS; i++) seen[obi_generate_draw(logits, 6, 2, 0, room, (i + 0.5) / DRAWS)]++;
    double sum = exp(0.5) + 2 * exp(1.5) + exp(1);
    assert_int_equal(seen[2] + seen[4], 0);
    assert_true(fabs(seen[0] - DRAWS * exp(0.5) / sum) < 2);
    assert_true(fabs(seen[1] - DRAWS * exp(1.5) / sum) < 2);
    assert_true(fabs(seen[3] - DRAWS * exp(1) / sum) < 2);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < DRAWS; i++) seen[obi_generate_draw(logits, 6, 1, 3, room, (i + 0.5) / DRAWS)]++;
    assert_int_equal(seen[0], 0); /* the fourth */
    assert_true(fabs(seen[3] - DRAWS * exp(2) / (2 * exp(3) + exp(2))) < 2);
    assert_int_equal(obi_generate_draw(logits, 6, 1, 0, room, 1), 5); /* never behind the end */
    static const float broken[2] = { NAN, -INFINITY };
    assert_int_equal(obi_generate_draw(broken, 2, 1, 0, room, 0.5), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_any_interruption),
        cmocka_unit_test(test_more_and_other_samples),
        cmocka_unit_test(test_strange_records),
        cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
