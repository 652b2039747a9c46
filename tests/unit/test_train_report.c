/* test_train_report: the log read back and cut, TensorBoard's event file byte by byte, and the curve, without a device. */
#include "data.h"
#include "scratch.h"

#include <dirent.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "core/file.h"
#include "quant/train/events.h"
#include "quant/train/plot.h"

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static char *read_text(const char *path, size_t *size)
{
    obi_mapping file;
    assert_int_equal(obi_mapping_open(&file, path), OBI_OK);
    char *text = calloc(1, (size_t)file.size + 1);
    memcpy(text, file.data, (size_t)file.size);
    *size = (size_t)file.size;
    obi_mapping_close(&file);
    return text;
}

/* ---- log ------------------------------------------------------------------------------------------------------- */

static const char log_text[] = "{\"step\": 1, \"loss\": 5.5, \"kl\": 4.25, \"hidden\": 1.25, \"skipped\": false}\n"
                               "{\"step\": 2, \"loss\": null, \"kl\": 4, \"skipped\": true}\n"
                               "{\"step\": 2, \"eval_loss\": 6, \"eval_kl\": 3.5, \"best\": true}\n"
                               "{\"step\": 3, \"lo" /* torn, and gone on with */
                               "{\"step\": 3, \"loss\": 4, \"skipped\": false}\n"
                               "nonsense\n\n{}\n"
                               "{\"step\": 3, \"loss\": 4.5, \"skipped\": false}\n"
                               "{\"step\": 4, \"eval_loss\": 5, \"best\": true}\n"
                               "{\"step\": 5, \"loss\": 3, \"skipped\": false}"; /* torn off before its newline */

static void test_history(void **state)
{
    (void)state;
    obi_history history;
    const char *path = scratch_path("log.jsonl");
    unlink(path);
    assert_int_equal(obi_history_read(&history, path), OBI_OK);
    assert_int_equal(history.step_count + history.evaluation_count, 0);
    assert_int_equal(obi_history_cut(path, 3), OBI_OK);
    assert_int_equal(access(path, F_OK), -1);
    write_text(path, "");
    assert_int_equal(obi_history_read(&history, path), OBI_OK);
    assert_int_equal(history.step_count, 0);

    write_text(path, log_text);
    assert_int_equal(obi_history_read(&history, path), OBI_OK);
    assert_int_equal(history.step_count, 3);
    assert_int_equal(history.evaluation_count, 2);
    assert_true(history.steps[0].loss == 5.5 && history.steps[0].kl == 4.25 && isnan(history.steps[1].loss));
    assert_true(history.steps[2].step == 3 && history.steps[2].loss == 4.5 && isnan(history.steps[2].kl));
    assert_true(history.evaluations[0].loss == 6 && history.evaluations[0].kl == 3.5 && history.evaluations[1].step == 4);
    obi_history_clear(&history);

    assert_int_equal(obi_history_cut(path, 2), OBI_OK);
    size_t size;
    char *text = read_text(path, &size);
    const char *rest = strstr(log_text, "{\"step\": 3");
    assert_int_equal(size, rest - log_text);
    assert_memory_equal(text, log_text, size);
    free(text);
    unlink(path);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

/* The checksum from its definition: the remainder of the message as a polynomial over GF(2), bits reflected, by long division of
 * one bit after the other. Written apart from the one in the trainer. */
static uint32_t checksum(const uint8_t *data, size_t size)
{
    uint64_t remainder = 0;
    for (size_t bit = 0; bit < size * 8 + 32; bit++) {
        uint64_t in = bit < size * 8 ? (uint64_t)(data[bit / 8] >> bit % 8 & 1) : 0;
        if (bit < 32) in ^= 1; /* the first 32 bits are inverted */
        remainder = remainder << 1 | in;
        if (remainder >> 32) remainder ^= 0x11edc6f41u;
    }
    uint32_t reflected = 0;
    for (int i = 0; i < 32; i++) reflected |= (uint32_t)(remainder >> i & 1) << (31 - i);
    return ~reflected;
}

static uint32_t masked_checksum(const uint8_t *data, size_t size)
{
    uint32_t crc = checksum(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void test_checksum(void **state)
{
    (void)state;
    /* The check value of the catalogues, and those of RFC 3720, B.4. */
    uint8_t zeros[32] = { 0 }, ones[32], rising[32];
    memset(ones, 0xff, sizeof ones);
    for (size_t i = 0; i < 32; i++) rising[i] = (uint8_t)i;
    assert_int_equal(obi_crc32c("123456789", 9), 0xe3069283u);
    assert_int_equal(obi_crc32c(zeros, 32), 0x8a9136aau);
    assert_int_equal(obi_crc32c(ones, 32), 0x62a8ab43u);
    assert_int_equal(obi_crc32c(rising, 32), 0x46dd794eu);
    assert_int_equal(checksum((const uint8_t *)"123456789", 9), 0xe3069283u);
    assert_int_equal(obi_crc32c("", 0), 0);
}

/* Bytes taken one after the other. */
typedef struct cursor {
    const uint8_t *at, *end;
} cursor;

static uint64_t take(cursor *from, size_t bytes)
{
    uint64_t value = 0;
    assert_true((size_t)(from->end - from->at) >= bytes);
    for (size_t i = 0; i < bytes; i++) value |= (uint64_t)*from->at++ << 8 * i;
    return value;
}

static uint64_t take_varint(cursor *from)
{
    uint64_t value = 0, byte = 0x80;
    for (unsigned shift = 0; byte & 0x80; shift += 7) {
        byte = take(from, 1);
        value |= (byte & 0x7f) << shift;
    }
    return value;
}

static cursor take_part(cursor *from)
{
    uint64_t size = take_varint(from);
    assert_true(size <= (uint64_t)(from->end - from->at));
    cursor part = { from->at, from->at + size };
    from->at += size;
    return part;
}

static cursor take_record(cursor *from)
{
    const uint8_t *start = from->at;
    uint64_t size = take(from, 8);
    assert_int_equal(take(from, 4), masked_checksum(start, 8));
    assert_true(size <= (uint64_t)(from->end - from->at));
    cursor record = { from->at, from->at + size };
    from->at += size;
    assert_int_equal(take(from, 4), masked_checksum(record.at, (size_t)size));
    return record;
}

static void expect_wall_time(cursor *event)
{
    assert_int_equal(take(event, 1), 1 << 3 | 1);
    uint64_t bits = take(event, 8);
    double seconds;
    memcpy(&seconds, &bits, 8);
    assert_true(seconds > 1.7e9 && seconds < 1e11);
}

static void expect_step(cursor *event, uint64_t step)
{
    assert_int_equal(take(event, 1), 2 << 3 | 0);
    assert_int_equal(take_varint(event), step);
}

static void expect_text(cursor text, const char *expected)
{
    assert_int_equal(text.end - text.at, strlen(expected));
    assert_memory_equal(text.at, expected, strlen(expected));
}

static void expect_scalar(cursor *summary, const char *tag, float expected)
{
    assert_int_equal(take(summary, 1), 1 << 3 | 2);
    cursor value = take_part(summary);
    assert_int_equal(take(&value, 1), 1 << 3 | 2);
    expect_text(take_part(&value), tag);
    assert_int_equal(take(&value, 1), 2 << 3 | 5);
    uint32_t bits = (uint32_t)take(&value, 4);
    assert_memory_equal(&bits, &expected, 4);
    assert_true(value.at == value.end);
}

/* The newest event file in the scratch directory that is not `but`; its name is kept in `name`. */
static void find_events(const char *but, char *name, size_t room)
{
    DIR *entries = opendir(scratch_directory);
    name[0] = 0;
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strncmp(entry->d_name, "events.out.tfevents.", 20) == 0 && strcmp(entry->d_name, but) != 0)
            snprintf(name, room, "%s", entry->d_name);
    closedir(entries);
}

static void test_events(void **state)
{
    (void)state;
    char first[256], second[256];
    size_t size;
    obi_events *events;
    assert_int_equal(obi_events_open(scratch_directory, 0, &events), OBI_OK);
    assert_int_equal(obi_events_write(events, 7, (obi_scalar[]){ { "train/loss", 2.5 }, { "none", NAN }, { "b", -1e-3 } }, 3), OBI_OK);
    assert_int_equal(obi_events_write(events, 1ull << 40, (obi_scalar[]){ { "train/loss", 0 } }, 1), OBI_OK);
    obi_events_close(events);
    find_events("", first, sizeof first);
    char *data = read_text(scratch_path(first), &size);
    cursor file = { (const uint8_t *)data, (const uint8_t *)data + size };
    cursor event = take_record(&file);
    expect_wall_time(&event);
    assert_int_equal(take(&event, 1), 3 << 3 | 2);
    expect_text(take_part(&event), "brain.Event:2");
    assert_true(event.at == event.end);
    event = take_record(&file);
    expect_wall_time(&event);
    expect_step(&event, 7);
    assert_int_equal(take(&event, 1), 5 << 3 | 2);
    cursor summary = take_part(&event);
    expect_scalar(&summary, "train/loss", 2.5f);
    expect_scalar(&summary, "b", -1e-3f);
    assert_true(summary.at == summary.end && event.at == event.end);
    event = take_record(&file);
    expect_wall_time(&event);
    expect_step(&event, 1ull << 40);
    assert_true(file.at == file.end);
    free(data);

    /* A run that goes on from step 300 has a file of its own, which voids what the first says from step 301 on. */
    assert_int_equal(obi_events_open(scratch_directory, 300, &events), OBI_OK);
    obi_events_close(events);
    find_events(first, second, sizeof second);
    data = read_text(scratch_path(second), &size);
    file = (cursor){ (const uint8_t *)data, (const uint8_t *)data + size };
    take_record(&file);
    event = take_record(&file);
    expect_wall_time(&event);
    expect_step(&event, 301);
    assert_int_equal(take(&event, 1), 7 << 3 | 2);
    cursor session = take_part(&event);
    assert_int_equal(take(&session, 1), 1 << 3 | 0);
    assert_int_equal(take_varint(&session), 1); /* START */
    assert_true(session.at == session.end && event.at == event.end && file.at == file.end);
    free(data);
    assert_int_equal(obi_events_remove_all(scratch_directory), OBI_OK);
    find_events("", first, sizeof first);
    assert_string_equal(first, "");
    assert_int_equal(obi_events_open(scratch_path("no_such"), 0, &events), OBI_ERROR_RUNTIME);
}

/* ---- curve ----------------------------------------------------------------------------------------------------- */

static size_t occurrences(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part)) count++;
    return count;
}

/* Draws `steps` steps whose loss falls from 8 to `low`, an evaluation at every tenth part; returns the picture. */
static char *draw(size_t steps, double low, double kl_share, const char *title)
{
    obi_history history = { .steps = calloc(steps + 1, sizeof *history.steps),
                            .evaluations = calloc(10, sizeof *history.evaluations),
                            .step_count = steps,
                            .evaluation_count = steps ? 10 : 0 };
    for (size_t i = 0; i < steps; i++) {
        double loss = low + (8 - low) * exp(-8.0 * (double)i / (double)steps);
        history.steps[i] = (obi_history_point){ i + 1, i == 3 ? NAN : loss, kl_share > 0 ? loss * kl_share : NAN };
    }
    for (size_t i = 0; i < 10; i++) history.evaluations[i] = (obi_history_point){ (i + 1) * steps / 10, low + 1, kl_share > 0 ? low : NAN };
    assert_int_equal(obi_plot_write(&history, title, scratch_path("loss.svg")), OBI_OK);
    free(history.steps);
    free(history.evaluations);
    size_t size;
    char *text = read_text(scratch_path("loss.svg"), &size);
    unlink(scratch_path("loss.svg"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    assert_int_equal(occurrences(text, "<svg"), 1);
    assert_string_equal(text + size - 7, "</svg>\n");
    return text;
}

static void test_curve(void **state)
{
    (void)state;
    char *text = draw(100, 4, 0, "a & <b>");
    assert_non_null(strstr(text, "a &amp; &lt;b>"));
    assert_non_null(strstr(text, ">nats per token<"));
    assert_int_equal(occurrences(text, "<circle"), 10 + 1); /* and the legend's */
    assert_int_equal(occurrences(text, "<polyline"), 3);    /* raw, smoothed, held-out */
    assert_null(strstr(text, "KL"));
    free(text);
    text = draw(100, 0.01, 0.5, "kd");
    assert_non_null(strstr(text, "(logarithmic)"));
    assert_int_equal(occurrences(text, "<circle"), 20 + 2);
    assert_non_null(strstr(text, "KL to the teacher"));
    assert_non_null(strstr(text, "held-out KL"));
    free(text);
    text = draw(100, 0.01, 1, "kl alone"); /* the loss is the KL: not drawn twice */
    assert_null(strstr(text, "KL to the teacher"));
    free(text);
    free(draw(0, 1, 0, ""));
    free(draw(1, 1, 1, ""));
    text = draw(200000, 2, 0, "long"); /* thinned */
    assert_true(strlen(text) < 60000);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_history), cmocka_unit_test(test_checksum), cmocka_unit_test(test_events),
                                        cmocka_unit_test(test_curve) };
    return cmocka_run_group_tests(tests, scratch_open, scratch_close);
}
