#include "args.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "term.h"
#include "onebit/onebit.h"

#define MOST_OPTIONS 64
#define FIRST_LONG 256 /* getopt's values of long names: above every letter */
#define HELP_COLUMN 30

static bool takes_value(const app_option *row) { return row->kind >= APP_TEXT; }

int app_usage_error(const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s: error: %s\nTry '%s --help'.\n", app_name(), sentence, app_name());
    return 2;
}

/* ---- help ------------------------------------------------------------------------------------------------------ */

static void print_row(const app_option *row)
{
    char left[128];
    int length = snprintf(left, sizeof left, "  ");
    if (row->letter) length += snprintf(left + length, sizeof left - (size_t)length, "-%c%s", row->letter, row->name ? ", " : "");
    if (row->alias) length += snprintf(left + length, sizeof left - (size_t)length, "-%s, ", row->alias);
    if (row->name) length += snprintf(left + length, sizeof left - (size_t)length, "--%s", row->name);
    if (row->value) length += snprintf(left + length, sizeof left - (size_t)length, " %s", row->value);
    fputs(left, stdout);
    if (length >= HELP_COLUMN) {
        putchar('\n');
        length = 0;
    }
    for (const char *line = row->help; line; length = 0) {
        const char *end = strchr(line, '\n');
        int bytes = end ? (int)(end - line) : (int)strlen(line);
        printf("%*s%.*s\n", HELP_COLUMN - length, "", bytes, line);
        line = end ? end + 1 : NULL;
    }
}

static void print_help(const app_program *program)
{
    printf("%s: %s\n\nUsage: %s %s\n", program->name, program->purpose, program->name, program->usage);
    for (const app_option *row = program->options; row->kind != APP_END; row++) {
        if (row->kind == APP_HEADING) printf("\n%s:\n", row->help);
        else print_row(row);
    }
    printf("\nExit codes: 0 done, 1 failed, 2 wrong use, 3 no usable device, 4 out of memory, 5 bad model or text file,\n"
           "6 device lost, 130 or 143 stopped by a signal.\n");
    if (program->examples) printf("\nExamples:\n%s", program->examples);
}

/* ---- values ---------------------------------------------------------------------------------------------------- */

/* What the user typed for this row, with dashes. */
static const char *option_name(const app_option *row, bool by_letter, char *room, size_t size)
{
    if (by_letter || !row->name) snprintf(room, size, "-%c", row->letter);
    else snprintf(room, size, "--%s", row->name);
    return room;
}

static int parse_integer(const app_option *row, const char *name, const char *text)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool digits = end != text && !*end && text[0] != ' ' && text[0] != '\t';
    if (!digits || errno == ERANGE || (double)value < row->low || (double)value > row->high)
        return app_usage_error("%s must be a whole number from %.0f to %.0f, not '%s'", name, row->low, row->high, text);
    *(int64_t *)row->target = value;
    return APP_GO_ON;
}

static int parse_real(const app_option *row, const char *name, const char *text)
{
    char *end = NULL;
    double value = strtod(text, &end);
    bool number = end != text && !*end && text[0] != ' ' && text[0] != '\t' && isfinite(value);
    if (!number || value < row->low || value > row->high)
        return app_usage_error("%s must be a number from %g to %g, not '%s'", name, row->low, row->high, text);
    *(double *)row->target = value;
    return APP_GO_ON;
}

static int parse_choice(const app_option *row, const char *name, const char *text)
{
    size_t length = strlen(text);
    int index = 0;
    for (const char *word = row->value; *word; index++) {
        size_t bytes = strcspn(word, "|");
        if (bytes == length && memcmp(word, text, bytes) == 0) {
            *(int *)row->target = index;
            return APP_GO_ON;
        }
        word += bytes + (word[bytes] == '|');
    }
    return app_usage_error("%s must be one of %s, not '%s'", name, row->value, text);
}

static int add_to_list(const app_option *row, const char *name, const char *text)
{
    app_list *list = row->target;
    if (list->count == APP_LIST_MAX) return app_usage_error("%s can be given at most %d times", name, APP_LIST_MAX);
    list->text[list->count++] = text;
    return APP_GO_ON;
}

static int take(const app_option *row, bool by_letter, const char *text)
{
    char name[64];
    option_name(row, by_letter, name, sizeof name);
    switch (row->kind) {
    case APP_FLAG: *(bool *)row->target = true; return APP_GO_ON;
    case APP_COUNT: ++*(int *)row->target; return APP_GO_ON;
    case APP_TEXT: *(const char **)row->target = text; return APP_GO_ON;
    case APP_INTEGER: return parse_integer(row, name, text);
    case APP_REAL: return parse_real(row, name, text);
    case APP_CHOICE: return parse_choice(row, name, text);
    case APP_LIST: return add_to_list(row, name, text);
    case APP_END:
    case APP_HEADING: break;
    }
    return APP_GO_ON;
}

/* ---- the table, as getopt wants it ----------------------------------------------------------------------------- */

typedef struct option_tables {
    char letters[2 * MOST_OPTIONS + 2];
    struct option names[2 * MOST_OPTIONS + 1];
} option_tables;

static void fill_tables(const app_option *rows, option_tables *tables)
{
    size_t letters = 0, names = 0;
    tables->letters[letters++] = ':'; /* a missing value is told apart from an unknown option */
    for (int i = 0; rows[i].kind != APP_END && i < MOST_OPTIONS; i++) {
        const app_option *row = &rows[i];
        if (row->kind == APP_HEADING) continue;
        if (row->letter) {
            tables->letters[letters++] = row->letter;
            if (takes_value(row)) tables->letters[letters++] = ':';
        }
        const char *both[2] = { row->name, row->alias };
        for (int k = 0; k < 2; k++)
            if (both[k]) tables->names[names++] = (struct option){ both[k], takes_value(row), NULL, FIRST_LONG + i };
    }
    tables->letters[letters] = 0;
    tables->names[names] = (struct option){ NULL, 0, NULL, 0 };
}

static const app_option *find_letter(const app_option *rows, int letter)
{
    for (const app_option *row = rows; row->kind != APP_END; row++)
        if (row->kind != APP_HEADING && row->letter && row->letter == letter) return row;
    return NULL;
}

/* getopt has refused an option: optopt is its letter or long value, 0 when there is no such long name. */
static int unusable_option(const app_option *rows, bool value_missing, const char *word)
{
    char name[64];
    if (optopt >= FIRST_LONG) option_name(&rows[optopt - FIRST_LONG], false, name, sizeof name);
    else snprintf(name, sizeof name, "-%c", optopt);
    if (value_missing) return app_usage_error("the option %s needs a value", name);
    if (optopt >= FIRST_LONG) return app_usage_error("the option %s takes no value", name);
    return app_usage_error("there is no option %s", optopt ? name : word);
}

int app_parse(const app_program *program, int argc, char **argv, const char **operands)
{
    app_set_name(program->name);
    option_tables tables;
    fill_tables(program->options, &tables);
    for (int i = 0; i < program->operands; i++) operands[i] = NULL;

    opterr = 0;
    optind = 1;
    for (;;) {
        int value = getopt_long_only(argc, argv, tables.letters, tables.names, NULL);
        if (value == -1) break;
        if (value == '?' || value == ':') return unusable_option(program->options, value == ':', argv[optind - 1]);
        const app_option *row = value >= FIRST_LONG ? &program->options[value - FIRST_LONG] : find_letter(program->options, value);
        int outcome = row ? take(row, value < FIRST_LONG, optarg) : app_usage_error("there is no option -%c", value);
        if (outcome != APP_GO_ON) return outcome;
    }
    if (program->common->help) {
        print_help(program);
        return app_end_stdout(0);
    }
    if (program->common->version) {
        printf("%s %s\n", program->name, ob_version());
        return app_end_stdout(0);
    }
    for (int given = 0; optind < argc; optind++) {
        if (given == program->operands) return app_usage_error("there is a word too many: '%s'", argv[optind]);
        operands[given++] = argv[optind];
    }
    app_start_log(program->common->verbosity);
    if (program->common->list_devices) return app_list_devices();
    return APP_GO_ON;
}
