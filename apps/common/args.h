/* args: the command line as one table. A row gives parsing, the check of its value, and its line of --help.
 *
 * Short and long options with getopt_long_only, so that "-dev" works beside "--device". Numbers are checked for form and
 * range: nothing is guessed from "-n abc". Rows point to where the value goes; what is there before is the default. */
#ifndef ONEBIT_APPS_ARGS_H
#define ONEBIT_APPS_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum app_kind {
    APP_END = 0, /* closes the table */
    APP_HEADING, /* `help` is the title of the rows that follow */
    APP_FLAG,    /* bool: true when given */
    APP_COUNT,   /* int: how often it was given */
    APP_TEXT,    /* const char *: points into argv */
    APP_INTEGER, /* int64_t from low to high */
    APP_REAL,    /* double from low to high, finite */
    APP_CHOICE,  /* int: index of the word in `value`, "one|two|three" */
    APP_LIST     /* app_list: may be given more than once */
} app_kind;

#define APP_LIST_MAX 8
typedef struct app_list { /* texts, in the order given; they point into argv */
    const char *text[APP_LIST_MAX];
    uint32_t count;
} app_list;

typedef struct app_option {
    app_kind kind;
    char letter;       /* 0: none */
    const char *name;  /* long name, without dashes; NULL: none */
    const char *alias; /* a second long name, or NULL */
    const char *value; /* what the help calls the value: "FILE"; of APP_CHOICE the words */
    const char *help;  /* the default included; each line of it is indented */
    void *target;
    double low, high;
} app_option;

/* Rows of a table; a letter is 0 where there is none. */
#define APP_ROW_HEADING(title) { APP_HEADING, 0, NULL, NULL, NULL, title, NULL, 0, 0 }
#define APP_ROW_FLAG(letter, name, help, target) { APP_FLAG, letter, name, NULL, NULL, help, target, 0, 0 }
#define APP_ROW_TEXT(letter, name, value, help, target) { APP_TEXT, letter, name, NULL, value, help, target, 0, 0 }
#define APP_ROW_LIST(letter, name, value, help, target) { APP_LIST, letter, name, NULL, value, help, target, 0, 0 }
#define APP_ROW_CHOICE(letter, name, words, help, target) { APP_CHOICE, letter, name, NULL, words, help, target, 0, 0 }
#define APP_ROW_INTEGER(letter, name, value, help, target, low, high) \
    { APP_INTEGER, letter, name, NULL, value, help, target, low, high }
#define APP_ROW_REAL(letter, name, value, help, target, low, high) { APP_REAL, letter, name, NULL, value, help, target, low, high }

/* int, an ob_cache_type. */
#define APP_CACHE_ROW(target)                                                                                             \
    { APP_CHOICE, 0, "cache-type", "ctk", "auto|f32|f16|int8",                                                            \
      "how keys and values of earlier tokens are kept; auto: f16 on GPUs\nof tier B and above, else f32; int8: bytes with a "   \
      "scale for\neach head, little more than a quarter of f32", target, 0, 0 }

/* Options of every program; APP_DEVICE_ROWS and APP_OTHER_ROWS put them into a table, the latter at its end. */
typedef struct app_common {
    const char *device; /* NULL: the best one */
    bool list_devices;
    int verbosity;
    bool help, version;
    bool exact;      /* where APP_EXACT_ROW is */
    bool no_mmap;    /* where APP_MMAP_ROW is */
    int64_t threads; /* where APP_THREADS_ROW is; 0: not given */
} app_common;

#define APP_MMAP_ROW(common) \
    APP_ROW_FLAG(0, "no-mmap", "copy all weights; else f16 and f32 stay in the file's pages where\n"                                \
                 "the device can, and the file must not be changed meanwhile", &(common).no_mmap)

#define APP_EXACT_ROW(common) \
    APP_ROW_FLAG(0, "exact", "never round activations to bytes or halves, even where that is faster", &(common).exact)

#define APP_DEVICE_ROWS(common)                                                                                           \
    APP_ROW_HEADING("Device"),                                                                                            \
    { APP_TEXT, 0, "device", "dev", "D", "index, name (any part of it) or UUID (default: the best one)", &(common).device, 0, 0 }, \
    APP_ROW_FLAG(0, "list-devices", "list the devices and exit", &(common).list_devices)

#define APP_OTHER_ROWS(common)                                                                                            \
    APP_ROW_HEADING("Other"),                                                                                             \
    { APP_COUNT, 'v', "verbose", NULL, NULL, "say more on stderr; -v -v says everything", &(common).verbosity, 0, 0 },    \
    APP_ROW_FLAG('h', "help", "print this and exit", &(common).help),                                                     \
    APP_ROW_FLAG(0, "version", "print the version and exit", &(common).version),                                          \
    { APP_END, 0, NULL, NULL, NULL, NULL, NULL, 0, 0 }

typedef struct app_program {
    const char *name;    /* as it stands in front of messages */
    const char *purpose; /* one sentence */
    const char *usage;   /* behind the name, "-m MODEL.gguf [options]" */
    const app_option *options;
    app_common *common;
    const char *examples; /* printed as they are, below the options */
    int operands;         /* most words that are not options */
} app_program;

#define APP_GO_ON (-1)

/* Parses argv[1..]. Words that are no options go to operands[0..]; the others stay NULL. Returns APP_GO_ON, or the code
 * to exit with: after --help, --version and --list-devices, and 2 after a usage error, about which all is said. Also
 * sets the name in front of messages and starts the log. */
int app_parse(const app_program *program, int argc, char **argv, const char **operands);

/* Says what is wrong with the command line and where help is; returns 2. */
int app_usage_error(const char *format, ...) __attribute__((format(__printf__, 1, 2)));

#endif
