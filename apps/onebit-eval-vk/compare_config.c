#include "compare_config.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "common/args.h"
#include "common/term.h"
#include "common/text_file.h"
#include "compare_settings.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define ROWS_MAX 256

typedef struct reader {
    compare_config *config;
    yaml_document_t document;
} reader;

static int refuse(const reader *r, size_t line, const char *format, ...) __attribute__((format(__printf__, 3, 4)));
static int refuse(const reader *r, size_t line, const char *format, ...)
{
    char sentence[600];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    return app_refuse(2, "%s:%zu: %s", r->config->path, line, sentence);
}

static int no_memory(const reader *r) { return app_refuse(4, "there is not enough memory for %s", r->config->path); }

static size_t line_of(const yaml_node_t *node) { return node->start_mark.line + 1; }
static yaml_node_t *node_at(reader *r, int index) { return yaml_document_get_node(&r->document, index); }
static const char *scalar_of(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

/* ---- values -------------------------------------------------------------------------------------------------------- */

/* A growing text. */
typedef struct text {
    char *bytes;
    size_t count, room;
    bool failed;
} text;

static void add(text *to, const char *bytes, size_t count)
{
    if (to->failed) return;
    if (to->room - to->count < count + 1) {
        size_t room = 2 * to->room + count + 64;
        char *moved = realloc(to->bytes, room);
        if (!moved) {
            to->failed = true;
            return;
        }
        to->bytes = moved;
        to->room = room;
    }
    memcpy(to->bytes + to->count, bytes, count);
    to->count += count;
    to->bytes[to->count] = 0;
}

/* Fills in ${NAME} and ${NAME:-else}. *out is to be freed. */
static int expand(const reader *r, const yaml_node_t *node, const char *value, char **out)
{
    text made = { 0 };
    add(&made, "", 0);
    while (*value) {
        const char *dollar = strstr(value, "${"), *end = dollar ? strchr(dollar, '}') : NULL;
        if (!dollar) {
            add(&made, value, strlen(value));
            break;
        }
        if (!end) {
            free(made.bytes);
            return refuse(r, line_of(node), "\"%s\" has a ${ without its }", value);
        }
        add(&made, value, (size_t)(dollar - value));
        char name[128] = "";
        const char *inside = dollar + 2, *other = strstr(inside, ":-");
        size_t length = other && other < end ? (size_t)(other - inside) : (size_t)(end - inside);
        if (length < sizeof name) memcpy(name, inside, length);
        const char *found = *name ? getenv(name) : NULL;
        if (found && *found) add(&made, found, strlen(found));
        else if (other && other < end) add(&made, other + 2, (size_t)(end - other - 2));
        else {
            free(made.bytes);
            return refuse(r, line_of(node), "the environment has no %.*s; write ${%.*s:-VALUE} for what shall stand there then",
                          (int)(length < 100 ? length : 100), inside, (int)(length < 100 ? length : 100), inside);
        }
        value = end + 1;
    }
    if (made.failed) {
        free(made.bytes);
        return no_memory(r);
    }
    *out = made.bytes;
    return APP_GO_ON;
}

/* ---- lists of keys --------------------------------------------------------------------------------------------------- */

const char *compare_keys_get(const compare_keys *keys, const char *key)
{
    for (size_t i = 0; i < keys->count; i++)
        if (strcmp(keys->pairs[i].key, key) == 0) return keys->pairs[i].value;
    return NULL;
}

static void free_keys(compare_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        free(keys->pairs[i].key);
        free(keys->pairs[i].value);
    }
    free(keys->pairs);
    *keys = (compare_keys){ 0 };
}

static int add_pair(reader *r, compare_keys *keys, const yaml_node_t *key, const char *name, const yaml_node_t *value)
{
    const char *scalar = scalar_of(value);
    if (!scalar) return refuse(r, line_of(value), "%s has a list or a mapping where a value belongs", name);
    compare_pair *grown = realloc(keys->pairs, (keys->count + 1) * sizeof *grown);
    if (!grown) return no_memory(r);
    keys->pairs = grown;
    compare_pair *pair = &grown[keys->count];
    *pair = (compare_pair){ .key = strdup(name), .line = line_of(key) };
    if (!pair->key) return no_memory(r);
    keys->count++;
    return expand(r, value, scalar, &pair->value);
}

/* Goes over a mapping. `take` returns APP_GO_ON or a code. A key that stands there twice is refused. */
typedef int (*take)(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user);

static int read_mapping(reader *r, const yaml_node_t *node, const char *what, take each, void *user)
{
    if (node->type != YAML_MAPPING_NODE) return refuse(r, line_of(node), "%s must be keys with values", what);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_at(r, pair->key);
        const char *name = scalar_of(key);
        if (!name) return refuse(r, line_of(key), "a key must be a word");
        for (const yaml_node_pair_t *before = node->data.mapping.pairs.start; before < pair; before++) {
            const char *other = scalar_of(node_at(r, before->key));
            if (other && strcmp(other, name) == 0) return refuse(r, line_of(key), "the key \"%s\" stands there twice", name);
        }
        int code = each(r, key, name, node_at(r, pair->value), user);
        if (code != APP_GO_ON) return code;
    }
    return APP_GO_ON;
}

static int read_seeds(reader *r, const yaml_node_t *node, uint64_t *seeds, size_t *count)
{
    if (node->type != YAML_SEQUENCE_NODE) return refuse(r, line_of(node), "seeds must be a list like [1, 2, 3]");
    *count = 0;
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const char *value = scalar_of(node_at(r, *item));
        uint64_t seed;
        if (!value || !compare_read_count(value, 0, UINT64_MAX, &seed)) return refuse(r, line_of(node), "a seed must be a whole number");
        for (size_t i = 0; i < *count; i++)
            if (seeds[i] == seed) return refuse(r, line_of(node), "the seed %s stands there twice", value);
        if (*count == COMPARE_SEEDS_MAX) return refuse(r, line_of(node), "there are more than %d seeds", COMPARE_SEEDS_MAX);
        seeds[(*count)++] = seed;
    }
    return *count ? APP_GO_ON : refuse(r, line_of(node), "seeds needs at least one");
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

/* Those that the comparison itself gives. */
static bool is_reserved(const char *key)
{
    static const char *const reserved[] = { "output_dir", "seed", "dry_run", "overwrite_output_dir", "resume_from_checkpoint" };
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcmp(key, reserved[i]) == 0) return true;
    return false;
}

static bool is_train_key(const char *key)
{
    const char *other, *help;
    char value[128];
    for (uint32_t i = 0; ob_train_option(i, &other, value, sizeof value, &help); i++)
        if (strcmp(key, other) == 0) return true;
    return false;
}

static int check_train_key(const reader *r, const compare_pair *pair)
{
    if (is_reserved(pair->key)) return refuse(r, pair->line, "\"%s\" is the comparison's own; it cannot be set here", pair->key);
    if (!is_train_key(pair->key)) return refuse(r, pair->line, "there is no key \"%s\" of training (onebit-train-vk --help)", pair->key);
    return APP_GO_ON;
}

static int check_key(const reader *r, const compare_row *row, const compare_pair *pair)
{
    if (row->kind == COMPARE_TRAIN) return check_train_key(r, pair);
    if (row->kind == COMPARE_FILE) {
        uint64_t bits;
        if (strcmp(pair->key, "bits") == 0) {
            if (!compare_read_count(pair->value, 1, 32, &bits))
                return refuse(r, pair->line, "bits: \"%s\" is not a whole number from 1 to 32", pair->value);
        } else if (strcmp(pair->key, "path") != 0) {
            return refuse(r, pair->line, "there is no key \"%s\" of a row of kind file", pair->key);
        }
        return APP_GO_ON;
    }
    ob_quantize_desc desc = { 0 };
    bool known, good = compare_set_quantize(&desc, pair->key, pair->value, &known);
    if (!known) return refuse(r, pair->line, "there is no key \"%s\" of a row of kind quantize", pair->key);
    return good ? APP_GO_ON : refuse(r, pair->line, "%s cannot be \"%s\"", pair->key, pair->value);
}

static int take_row_key(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user)
{
    compare_row *row = user;
    if (strcmp(name, "seeds") == 0) return read_seeds(r, value, row->seeds, &row->seed_count);
    const char *scalar = scalar_of(value);
    if (strcmp(name, "kind") == 0) {
        int kind = scalar ? compare_choice(scalar, "file|quantize|train") : -1;
        if (kind < 0) return refuse(r, line_of(value), "kind must be file, quantize or train");
        row->kind = (compare_kind)kind;
        return APP_GO_ON;
    }
    if (strcmp(name, "table") == 0)
        return scalar && compare_read_switch(scalar, &row->shown) ? APP_GO_ON : refuse(r, line_of(value), "table must be true or false");
    if (strcmp(name, "name") == 0) {
        if (!scalar || !*scalar) return refuse(r, line_of(value), "a row needs a name");
        row->name = strdup(scalar);
        return row->name ? APP_GO_ON : no_memory(r);
    }
    return add_pair(r, &row->keys, key, name, value);
}

static int read_row(reader *r, const yaml_node_t *node)
{
    compare_config *config = r->config;
    if (config->row_count == ROWS_MAX) return refuse(r, line_of(node), "there are more than %d rows", ROWS_MAX);
    compare_row *grown = realloc(config->rows, (config->row_count + 1) * sizeof *grown);
    if (!grown) return no_memory(r);
    config->rows = grown;
    compare_row *row = &grown[config->row_count++];
    *row = (compare_row){ .kind = COMPARE_QUANTIZE, .shown = true, .line = line_of(node) };
    int code = read_mapping(r, node, "a row", take_row_key, row);
    if (code != APP_GO_ON) return code;
    if (!row->name) return refuse(r, row->line, "a row needs a name");
    for (const compare_row *other = config->rows; other < row; other++)
        if (strcmp(other->name, row->name) == 0) return refuse(r, row->line, "two rows are named \"%s\"", row->name);
    for (size_t i = 0; i < row->keys.count; i++) {
        code = check_key(r, row, &row->keys.pairs[i]);
        if (code != APP_GO_ON) return code;
    }
    for (size_t i = 0; i < row->keys.count; i++) {
        const compare_pair *pair = &row->keys.pairs[i];
        const char *methods = compare_other_methods(row, pair->key);
        if (methods) return refuse(r, pair->line, "%s is of other methods (%s) than that of \"%s\"", pair->key, methods, row->name);
    }
    if (row->kind == COMPARE_FILE && !compare_keys_get(&row->keys, "path")) return refuse(r, row->line, "a row of kind file needs a path");
    if (row->seed_count > 0 && row->kind != COMPARE_TRAIN) return refuse(r, row->line, "only trained rows have seeds");
    return APP_GO_ON;
}

static int read_rows(reader *r, const yaml_node_t *node)
{
    if (node->type != YAML_SEQUENCE_NODE) return refuse(r, line_of(node), "rows must be a list");
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        int code = read_row(r, node_at(r, *item));
        if (code != APP_GO_ON) return code;
    }
    return APP_GO_ON;
}

/* ---- figures ---------------------------------------------------------------------------------------------------------- */

static int find_rows(reader *r, const yaml_node_t *node, compare_figure *figure)
{
    if (node->type != YAML_SEQUENCE_NODE) return refuse(r, line_of(node), "rows of a figure must be a list of names");
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        const yaml_node_t *entry = node_at(r, *item);
        const char *name = scalar_of(entry);
        size_t found = 0;
        while (name && found < r->config->row_count && strcmp(r->config->rows[found].name, name) != 0) found++;
        if (!name || found == r->config->row_count) return refuse(r, line_of(entry), "there is no row \"%s\"", name ? name : "");
        if (r->config->rows[found].kind != COMPARE_TRAIN) return refuse(r, line_of(entry), "the row \"%s\" is not trained", name);
        size_t *grown = realloc(figure->rows, (figure->row_count + 1) * sizeof *grown);
        if (!grown) return no_memory(r);
        figure->rows = grown;
        grown[figure->row_count++] = found;
    }
    return APP_GO_ON;
}

static int take_figure_key(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user)
{
    compare_figure *figure = user;
    const char *scalar = scalar_of(value);
    if (strcmp(name, "rows") == 0) return find_rows(r, value, figure);
    if (!scalar) return refuse(r, line_of(value), "%s must be a word", name);
    if (strcmp(name, "kind") == 0) {
        int kind = compare_choice(scalar, "losses|rates");
        if (kind < 0) return refuse(r, line_of(value), "kind must be losses or rates");
        figure->kind = (compare_figure_kind)kind;
        return APP_GO_ON;
    }
    char **at = strcmp(name, "file") == 0 ? &figure->file : strcmp(name, "title") == 0 ? &figure->title : NULL;
    if (!at) return refuse(r, line_of(key), "there is no key \"%s\" of a figure", name);
    *at = strdup(scalar);
    return *at ? APP_GO_ON : no_memory(r);
}

/* A name of letters, digits and dashes, which is no figure's yet. */
static int check_file(const reader *r, const compare_figure *figure)
{
    const char *file = figure->file;
    if (!file || !*file || strlen(file) > 60 || strspn(file, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(file))
        return refuse(r, figure->line, "a figure needs a file, a name of small letters, digits and dashes");
    if (strcmp(file, "perplexity-bits") == 0 || strcmp(file, "size-bits") == 0)
        return refuse(r, figure->line, "the file \"%s\" is another figure's", file);
    for (const compare_figure *other = r->config->figures; other < figure; other++)
        if (strcmp(other->file, file) == 0) return refuse(r, figure->line, "the file \"%s\" is another figure's", file);
    return APP_GO_ON;
}

static int read_figures(reader *r, const yaml_node_t *node)
{
    compare_config *config = r->config;
    if (node->type != YAML_SEQUENCE_NODE) return refuse(r, line_of(node), "figures must be a list");
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        compare_figure *grown = realloc(config->figures, (config->figure_count + 1) * sizeof *grown);
        if (!grown) return no_memory(r);
        config->figures = grown;
        compare_figure *figure = &grown[config->figure_count++];
        const yaml_node_t *entry = node_at(r, *item);
        *figure = (compare_figure){ .line = line_of(entry) };
        int code = read_mapping(r, entry, "a figure", take_figure_key, figure);
        if (code == APP_GO_ON) code = check_file(r, figure);
        if (code == APP_GO_ON && figure->row_count == 0) code = refuse(r, figure->line, "a figure needs rows");
        if (code != APP_GO_ON) return code;
    }
    return APP_GO_ON;
}

/* ---- the file -------------------------------------------------------------------------------------------------------- */

static int take_train_key(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user)
{
    compare_keys *keys = user;
    int code = add_pair(r, keys, key, name, value);
    return code == APP_GO_ON ? check_train_key(r, &keys->pairs[keys->count - 1]) : code;
}

/* Everything but the figures, whose rows must be known. */
static int take_key(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user)
{
    compare_config *c = user;
    const struct {
        const char *key;
        char **at;
    } words[] = { { "title", &c->title },         { "model", &c->model },
                  { "tokenizer", &c->tokenizer }, { "output_dir", &c->output_dir },
                  { "document", &c->document },   { "text", &c->text },
                  { "wikitext2", &c->wikitext2 }, { "c4", &c->c4 },
                  { "zeroshot", &c->zeroshot },   { "calibration", &c->calibration } };
    const struct {
        const char *key;
        uint64_t *at, least, most;
    } counts[] = { { "bytes", &c->bytes, 1, UINT64_MAX / 2 },
                   { "window", &c->window, 2, INT32_MAX },
                   { "zeroshot_items", &c->zeroshot_items, 1, INT32_MAX },
                   { "calibration_bytes", &c->calibration_bytes, 1, UINT64_MAX / 2 } };
    if (strcmp(name, "figures") == 0) return APP_GO_ON;
    if (strcmp(name, "rows") == 0) return read_rows(r, value);
    if (strcmp(name, "train") == 0) return read_mapping(r, value, "train", take_train_key, &c->train);
    if (strcmp(name, "seeds") == 0) return read_seeds(r, value, c->seeds, &c->seed_count);
    const char *scalar = scalar_of(value);
    if (!scalar) return refuse(r, line_of(value), "%s has a list or a mapping where a value belongs", name);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].key) == 0) {
            if (!*scalar) return refuse(r, line_of(value), "%s has no value", name);
            return expand(r, value, scalar, words[i].at);
        }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (strcmp(name, counts[i].key) != 0) continue;
        char *filled = NULL;
        int code = expand(r, value, scalar, &filled);
        if (code == APP_GO_ON && !compare_read_count(filled, counts[i].least, counts[i].most, counts[i].at))
            code = refuse(r, line_of(value), "%s: \"%s\" is not a whole number from %llu on", name, filled,
                          (unsigned long long)counts[i].least);
        free(filled);
        return code;
    }
    return refuse(r, line_of(key), "there is no key \"%s\"", name);
}

static int take_figures(reader *r, const yaml_node_t *key, const char *name, yaml_node_t *value, void *user)
{
    (void)key;
    (void)user;
    return strcmp(name, "figures") == 0 ? read_figures(r, value) : APP_GO_ON;
}

static int check_whole(reader *r)
{
    compare_config *c = r->config;
    if (!c->model) return app_refuse(2, "%s: it names no model", c->path);
    if (!c->output_dir) return app_refuse(2, "%s: it names no output_dir", c->path);
    if (!c->text) return app_refuse(2, "%s: it names no text, on which all are measured", c->path);
    const char *const texts[][2] = {
        { "text", c->text }, { "wikitext2", c->wikitext2 }, { "c4", c->c4 }, { "calibration", c->calibration }
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i][1] && strcmp(texts[i][1], "-") == 0)
            return app_refuse(2, "%s: %s cannot be stdin: results are known again by the contents of files", c->path, texts[i][0]);
    if (c->row_count == 0) return app_refuse(2, "%s: it has no rows", c->path);
    if (c->seed_count == 0) c->seeds[c->seed_count++] = 1;
    for (size_t i = 0; i < c->row_count; i++) {
        compare_row *row = &c->rows[i];
        if (compare_is_calibrated(row) && !c->calibration)
            return refuse(r, row->line, "the method of \"%s\" learns from a text; `calibration:` names it", row->name);
        if (row->kind != COMPARE_TRAIN) {
            row->seed_count = 1;
        } else if (row->seed_count == 0) {
            row->seed_count = c->seed_count;
            memcpy(row->seeds, c->seeds, sizeof row->seeds);
        }
    }
    return APP_GO_ON;
}

static int read_document(reader *r)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) return no_memory(r);
    yaml_parser_set_input_string(&parser, (const unsigned char *)r->config->source, r->config->source_bytes);
    int code = APP_GO_ON;
    if (!yaml_parser_load(&parser, &r->document)) {
        code = parser.error == YAML_MEMORY_ERROR ? no_memory(r)
                                                 : app_refuse(5, "%s:%zu: it is no YAML: %s", r->config->path, parser.problem_mark.line + 1,
                                                              parser.problem ? parser.problem : "it cannot be read");
        yaml_parser_delete(&parser);
        return code;
    }
    yaml_parser_delete(&parser);
    yaml_node_t *root = yaml_document_get_root_node(&r->document);
    if (!root) code = app_refuse(5, "%s: it is empty", r->config->path);
    if (code == APP_GO_ON) code = read_mapping(r, root, "the file", take_key, r->config);
    if (code == APP_GO_ON) code = read_mapping(r, root, "the file", take_figures, r->config);
    if (code == APP_GO_ON) code = check_whole(r);
    yaml_document_delete(&r->document);
    return code;
}

int compare_config_read(compare_config *config, const char *path)
{
    memset(config, 0, sizeof *config);
    config->path = path;
    int code = app_read_text(path, CONFIG_BYTES_MAX + 1, &config->source, &config->source_bytes);
    if (code != APP_GO_ON) return code;
    if (config->source_bytes > CONFIG_BYTES_MAX) return app_refuse(5, "%s is larger than a comparison can be", path);
    reader r = { .config = config };
    return read_document(&r);
}

void compare_config_free(compare_config *config)
{
    char *const words[] = { config->source, config->title,     config->model, config->tokenizer, config->output_dir, config->document,
                            config->text,   config->wikitext2, config->c4,    config->zeroshot,  config->calibration };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) free(words[i]);
    free_keys(&config->train);
    for (size_t i = 0; i < config->row_count; i++) {
        free(config->rows[i].name);
        free_keys(&config->rows[i].keys);
    }
    free(config->rows);
    for (size_t i = 0; i < config->figure_count; i++) {
        free(config->figures[i].file);
        free(config->figures[i].title);
        free(config->figures[i].rows);
    }
    free(config->figures);
    memset(config, 0, sizeof *config);
}
