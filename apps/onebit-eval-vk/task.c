#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jansson.h>

#include "common/args.h"
#include "common/term.h"
#include "common/text_file.h"
#include "prompt.h"

/* A line of a file, for messages. */
typedef struct line {
    const char *path;
    size_t number;
} line;

/* Takes the fields of an object out of it and makes an item. Returns APP_GO_ON or the exit code. */
typedef int (*item_reader)(const line *at, const json_t *object, eval_item *item);

static int read_piqa(const line *at, const json_t *object, eval_item *item);
static int read_hellaswag(const line *at, const json_t *object, eval_item *item);
static int read_winogrande(const line *at, const json_t *object, eval_item *item);
static int read_arc(const line *at, const json_t *object, eval_item *item);
static int read_boolq(const line *at, const json_t *object, eval_item *item);

#define FILES_MAX 4
static const struct {
    const char *name, *title;
    bool normalised;
    item_reader read;
    const char *fields;                               /* that a line may have */
    const char *files[FILES_MAX], *labels[FILES_MAX]; /* in a folder; the labels of PIQA beside each */
} kinds[EVAL_TASKS] = {
    { "winogrande",
      "WinoGrande",
      false,
      read_winogrande,
      " qID sentence option1 option2 answer ",
      { "winogrande_dev.jsonl", "winogrande/dev.jsonl", "winogrande_1.1/dev.jsonl" },
      { NULL } },
    { "hellaswag",
      "HellaSwag",
      true,
      read_hellaswag,
      " ind activity_label ctx_a ctx_b ctx split split_type label endings source_id ",
      { "hellaswag_val.jsonl", "hellaswag/hellaswag_val.jsonl", "hellaswag/val.jsonl" },
      { NULL } },
    { "piqa",
      "PIQA",
      true,
      read_piqa,
      " id goal sol1 sol2 ",
      { "piqa_valid.jsonl", "piqa/valid.jsonl", "piqa/dev.jsonl" },
      { "piqa_valid-labels.lst", "piqa/valid-labels.lst", "piqa/dev-labels.lst" } },
    { "boolq",
      "BoolQ",
      false,
      read_boolq,
      " question passage idx label ",
      { "boolq_val.jsonl", "BoolQ/val.jsonl", "boolq/val.jsonl" },
      { NULL } },
    { "arc_easy",
      "ARC-e",
      true,
      read_arc,
      " id question answerKey ",
      { "arc_easy_test.jsonl", "ARC-Easy/ARC-Easy-Test.jsonl", "ARC-Easy-Test.jsonl" },
      { NULL } },
    { "arc_challenge",
      "ARC-c",
      true,
      read_arc,
      " id question answerKey ",
      { "arc_challenge_test.jsonl", "ARC-Challenge/ARC-Challenge-Test.jsonl", "ARC-Challenge-Test.jsonl" },
      { NULL } },
};

const char *eval_task_name(int index) { return kinds[index].name; }

const char *eval_task_files(int index)
{
    static char text[256];
    text[0] = 0;
    for (int i = 0; i < FILES_MAX && kinds[index].files[i]; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", i ? " or " : "", kinds[index].files[i]);
    }
    return text;
}

int eval_task_find(const char *name, size_t length)
{
    for (int i = 0; i < EVAL_TASKS; i++)
        if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, name, length) == 0) return i;
    return -1;
}

/* ---- fields ------------------------------------------------------------------------------------------------------- */

static int no_memory(void) { return app_refuse(4, "there is not enough memory for the task's items"); }

static int refuse_field(const line *at, const char *field, const char *what)
{
    return app_refuse(5, "%s, line %zu: \"%s\" %s", at->path, at->number, field, what);
}

/* NULL, and has said so, when there is no such text. */
static const char *text_of(const line *at, const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);
    if (!value) refuse_field(at, field, "is missing");
    else if (!json_is_string(value)) refuse_field(at, field, "is no text");
    else return json_string_value(value);
    return NULL;
}

/* Takes a new string for context and continuation; either may be NULL, for which there was no memory. */
static int add_choice(eval_item *item, char *context, char *continuation, const char *choice)
{
    eval_choice *to = &item->choice[item->choice_count++];
    *to = (eval_choice){ context, continuation, prompt_characters(choice) };
    return context && continuation ? APP_GO_ON : no_memory();
}

/* A number or a text with the item's name; without one its line is it. */
static int name_item(const line *at, const json_t *object, const char *field, eval_item *item)
{
    char number[32];
    const json_t *value = json_object_get(object, field);
    snprintf(number, sizeof number, "%lld", json_is_integer(value) ? (long long)json_integer_value(value) : (long long)at->number);
    item->id = prompt_join(json_is_string(value) ? json_string_value(value) : number, NULL);
    return item->id ? APP_GO_ON : no_memory();
}

/* ---- the tasks ------------------------------------------------------------------------------------------------------ */

static int read_piqa(const line *at, const json_t *object, eval_item *item) /* its gold comes from the list of labels */
{
    const char *goal = text_of(at, object, "goal"), *solution[2] = { NULL, NULL };
    if (goal) solution[0] = text_of(at, object, "sol1");
    if (solution[0]) solution[1] = text_of(at, object, "sol2");
    if (!solution[1]) return 5;
    int code = name_item(at, object, "id", item);
    for (int i = 0; i < 2 && code == APP_GO_ON; i++)
        code = add_choice(item, prompt_join("Question: ", goal, "\nAnswer:", NULL), prompt_join(" ", solution[i], NULL), solution[i]);
    return code;
}

static int read_hellaswag(const line *at, const json_t *object, eval_item *item)
{
    const char *activity = text_of(at, object, "activity_label"), *a = activity ? text_of(at, object, "ctx_a") : NULL,
               *b = a ? text_of(at, object, "ctx_b") : NULL;
    if (!b) return 5;
    const json_t *endings = json_object_get(object, "endings"), *label = json_object_get(object, "label");
    size_t count = json_array_size(endings);
    if (count < 2 || count > EVAL_CHOICES_MAX) return refuse_field(at, "endings", "is no list of 2 to 8 texts");
    long long gold = json_is_integer(label) ? (long long)json_integer_value(label) : -1;
    if (json_is_string(label) && json_string_length(label) == 1) gold = json_string_value(label)[0] - '0';
    if (gold < 0 || gold >= (long long)count) return refuse_field(at, "label", "is missing or no number of one of the endings");
    item->gold = (uint32_t)gold;
    int code = name_item(at, object, "ind", item);
    char *capital = prompt_capitalize(b), *whole = capital ? prompt_join(activity, ": ", a, " ", capital, NULL) : NULL,
         *context = whole ? prompt_hellaswag(whole) : NULL;
    if (code == APP_GO_ON && !context) code = no_memory();
    for (size_t i = 0; i < count && code == APP_GO_ON; i++) {
        const char *ending = json_string_value(json_array_get(endings, i));
        char *choice = ending ? prompt_hellaswag(ending) : NULL;
        if (!ending) code = refuse_field(at, "endings", "is no list of 2 to 8 texts");
        else code = choice ? add_choice(item, prompt_join(context, NULL), prompt_join(" ", choice, NULL), choice) : no_memory();
        free(choice);
    }
    free(capital);
    free(whole);
    free(context);
    return code;
}

/* Partial evaluation: what follows the blank, given what stands before it with either name in it. */
static int read_winogrande(const line *at, const json_t *object, eval_item *item)
{
    const char *sentence = text_of(at, object, "sentence"), *option[2] = { NULL, NULL };
    if (sentence) option[0] = text_of(at, object, "option1");
    if (option[0]) option[1] = text_of(at, object, "option2");
    const char *answer = option[1] ? text_of(at, object, "answer") : NULL;
    if (!answer) return 5;
    const char *blank = strchr(sentence, '_');
    if (!blank) return refuse_field(at, "sentence", "has no blank (_)");
    if (strcmp(answer, "1") != 0 && strcmp(answer, "2") != 0) return refuse_field(at, "answer", "is neither 1 nor 2");
    item->gold = answer[0] == '2';
    int code = name_item(at, object, "qID", item);
    char *before = prompt_join(sentence, NULL), *after = prompt_strip(blank + 1);
    if (!before || !after) code = no_memory();
    else before[blank - sentence] = 0;
    for (int i = 0; i < 2 && code == APP_GO_ON; i++)
        code = add_choice(item, prompt_join(before, option[i], NULL), prompt_join(" ", after, NULL), option[i]);
    free(before);
    free(after);
    return code;
}

static int read_arc(const line *at, const json_t *object, eval_item *item)
{
    const json_t *question = json_object_get(object, "question");
    if (!json_is_object(question)) return refuse_field(at, "question", "is missing or no object");
    const char *stem = text_of(at, question, "stem"), *key = stem ? text_of(at, object, "answerKey") : NULL;
    if (!key) return 5;
    const json_t *choices = json_object_get(question, "choices");
    size_t count = json_array_size(choices);
    if (count < 2 || count > EVAL_CHOICES_MAX) return refuse_field(at, "choices", "is no list of 2 to 8 choices");
    bool known = false;
    int code = name_item(at, object, "id", item);
    for (size_t i = 0; i < count && code == APP_GO_ON; i++) {
        const json_t *choice = json_array_get(choices, i);
        const char *text = text_of(at, choice, "text"), *label = text ? text_of(at, choice, "label") : NULL;
        if (!label) return 5;
        if (!known && strcmp(label, key) == 0) {
            item->gold = (uint32_t)i;
            known = true;
        }
        code = add_choice(item, prompt_join("Question: ", stem, "\nAnswer:", NULL), prompt_join(" ", text, NULL), text);
    }
    return code == APP_GO_ON && !known ? refuse_field(at, "answerKey", "is the label of none of the choices") : code;
}

static int read_boolq(const line *at, const json_t *object, eval_item *item)
{
    static const char *const answers[2] = { "no", "yes" }; /* the harness says yes only where yes is the likelier: equal is no */
    const char *passage = text_of(at, object, "passage"), *question = passage ? text_of(at, object, "question") : NULL;
    if (!question) return 5;
    const json_t *label = json_object_get(object, "label");
    const char *word = json_is_string(label)  ? json_string_value(label)
                       : json_is_true(label)  ? "true"
                       : json_is_false(label) ? "false"
                                              : "";
    if (strcmp(word, "true") != 0 && strcmp(word, "false") != 0) return refuse_field(at, "label", "is missing or neither true nor false");
    item->gold = word[0] == 't';
    int code = name_item(at, object, "idx", item);
    for (int i = 0; i < 2 && code == APP_GO_ON; i++)
        code = add_choice(item, prompt_join(passage, "\nQuestion: ", question, "?\nAnswer:", NULL), prompt_join(" ", answers[i], NULL),
                          answers[i]);
    return code;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static int check_fields(const line *at, const json_t *object, const char *fields)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        char word[128];
        snprintf(word, sizeof word, " %s ", key);
        if (!strstr(fields, word)) return refuse_field(at, key, "is no field of this task; is it the original file?");
    }
    return APP_GO_ON;
}

static int read_line(const eval_task *task, int index, size_t number, const char *text, size_t bytes, eval_item *item)
{
    const line at = { task->path, number };
    json_error_t error;
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!object) return app_refuse(5, "%s, line %zu: %s", task->path, number, error.text);
    int code = json_is_object(object) ? check_fields(&at, object, kinds[index].fields)
                                      : app_refuse(5, "%s, line %zu: this is no JSON object", task->path, number);
    if (code == APP_GO_ON) code = kinds[index].read(&at, object, item);
    for (uint32_t i = 0; i < item->choice_count && code == APP_GO_ON; i++)
        if (item->choice[i].characters == 0) code = app_refuse(5, "%s, line %zu: choice %u is empty", task->path, number, i + 1);
    json_decref(object);
    return code;
}

static void free_item(eval_item *item)
{
    free(item->id);
    for (uint32_t i = 0; i < item->choice_count; i++) {
        free(item->choice[i].context);
        free(item->choice[i].continuation);
    }
}

static bool grow(eval_task *task)
{
    if (task->count < task->room) return true;
    size_t room = task->room ? 2 * task->room : 256;
    eval_item *moved = realloc(task->items, room * sizeof *moved);
    if (!moved) return false;
    task->items = moved;
    task->room = room;
    return true;
}

static int read_items(eval_task *task, int index, const char *text, size_t bytes)
{
    const char *end = text + bytes;
    size_t number = 0;
    for (const char *at = text; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t count = (size_t)((stop ? stop : end) - at);
        number++;
        if (count == 0 || (count == 1 && *at == '\r')) return app_refuse(5, "%s, line %zu: the line is empty", task->path, number);
        if (!grow(task)) return no_memory();
        eval_item *item = &task->items[task->count++];
        memset(item, 0, sizeof *item);
        item->line = number;
        int code = read_line(task, index, number, at, count, item);
        if (code != APP_GO_ON) return code;
        at += count + 1;
    }
    return task->count ? APP_GO_ON : app_refuse(5, "%s is empty; there is nothing to choose", task->path);
}

/* One 0 or 1 a line, for each item. */
static int read_labels(eval_task *task, const char *path)
{
    char *text;
    size_t bytes, item = 0;
    int code = app_read_text(path, UINT64_MAX, &text, &bytes);
    if (code != APP_GO_ON) return code;
    for (const char *at = text; *at && code == APP_GO_ON; item++) {
        size_t count = strcspn(at, "\r\n");
        if (count != 1 || (*at != '0' && *at != '1')) code = app_refuse(5, "%s, line %zu: the label is neither 0 nor 1", path, item + 1);
        else if (item == task->count)
            code = app_refuse(5, "%s, line %zu: there is a label too many: %s has %zu items", path, item + 1, task->path, task->count);
        else task->items[item].gold = *at == '1';
        at += count + strspn(at + count, "\r");
        if (*at == '\n') at++;
    }
    if (code == APP_GO_ON && item < task->count)
        code = app_refuse(5, "%s ends after line %zu, and %s has %zu items; is it the list of this file?", path, item, task->path,
                          task->count);
    free(text);
    return code;
}

int eval_task_load(eval_task *task, int index, const char *folder, size_t most)
{
    struct stat info;
    *task = (eval_task){ .name = kinds[index].name, .title = kinds[index].title, .normalised = kinds[index].normalised };
    if (stat(folder, &info) != 0 || !S_ISDIR(info.st_mode))
        return app_refuse(5, "there is no folder %s with the task files (--data)", folder);
    int found = -1;
    for (int i = 0; i < FILES_MAX && found < 0 && kinds[index].files[i]; i++) {
        int length = snprintf(task->path, sizeof task->path, "%s/%s", folder, kinds[index].files[i]);
        if (length >= (int)sizeof task->path) return app_refuse(5, "the path of the folder %s is too long", folder);
        if (stat(task->path, &info) == 0) found = i;
    }
    if (found < 0) return app_refuse(5, "%s has no file of %s; it would be called %s", folder, task->name, eval_task_files(index));
    char *text;
    size_t bytes;
    int code = app_read_text(task->path, UINT64_MAX, &text, &bytes);
    if (code != APP_GO_ON) return code;
    code = read_items(task, index, text, bytes);
    free(text);
    if (code == APP_GO_ON && kinds[index].labels[found]) {
        char labels[1024];
        int length = snprintf(labels, sizeof labels, "%s/%s", folder, kinds[index].labels[found]);
        if (length >= (int)sizeof labels) return app_refuse(5, "the path of the folder %s is too long", folder);
        if (stat(labels, &info) != 0) return app_refuse(5, "the list of labels %s is missing; %s has none in it", labels, task->path);
        code = read_labels(task, labels);
    }
    while (code == APP_GO_ON && most && task->count > most) free_item(&task->items[--task->count]);
    return code;
}

void eval_task_free(eval_task *task)
{
    for (size_t i = 0; i < task->count; i++) free_item(&task->items[i]);
    free(task->items);
    memset(task, 0, sizeof *task);
}
