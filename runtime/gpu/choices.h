/* choices: what trials found out about a device, such as the fastest of several kernels for a shape, as lines "name: text".
 * Kept in a small file beside the pipeline cache, under the device's key. Thread-safe. */
#ifndef OBI_GPU_CHOICES_H
#define OBI_GPU_CHOICES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

#define OBI_CHOICES_MAX 256u      /* a model has four shapes at the most; more choices than this are not kept */
#define OBI_CHOICE_NAME_BYTES 64u /* with the NUL; both without line ends, a name without ": " */
#define OBI_CHOICE_TEXT_BYTES 128u

typedef struct obi_choice {
    char name[OBI_CHOICE_NAME_BYTES], text[OBI_CHOICE_TEXT_BYTES];
} obi_choice;

typedef struct obi_choices {
    pthread_mutex_t lock; /* made by who holds the struct, before obi_choices_init */
    char *path;           /* NULL: no file */
    uint64_t key;         /* of the device: stands in the file and in its name */
    obi_choice *all;      /* in the order in which they were made */
    uint32_t count;
} obi_choices;

/* Reads the file of `key`; one that is damaged or of another device is as good as none. cache_dir "": no file. */
obi_status obi_choices_init(obi_choices *choices, const char *cache_dir, uint64_t key);
void obi_choices_finish(obi_choices *choices); /* destroys the lock too */

/* Copies the text of `name`; false if there is none. */
bool obi_choices_get(obi_choices *choices, const char *name, char text[OBI_CHOICE_TEXT_BYTES]);

/* Copies choice i; false behind the last. */
bool obi_choices_at(obi_choices *choices, uint32_t i, obi_choice *choice);

/* Keeps it, in place of an older one, and writes the file anew; that it could not be written is logged and no error. */
void obi_choices_set(obi_choices *choices, const char *name, const char *text);

#endif
