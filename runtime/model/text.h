/* text: what the bytes of tokens say together: whole and valid UTF-8, however the tokens cut it, up to a stop string. */
#ifndef OBI_MODEL_TEXT_H
#define OBI_MODEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/status.h"

/* Zeroed is valid and empty. */
typedef struct obi_text {
    char *bytes;           /* whole characters that were not taken yet */
    size_t count, room;
    unsigned char begun[4]; /* the beginning of a character */
    size_t begun_count;
} obi_text;

typedef struct obi_stops { const char *const *strings; size_t count; } obi_stops; /* NUL-terminated */

/* Refuses a stop string that is empty or no UTF-8. */
obi_status obi_stops_check(const obi_stops *stops);

/* Adds the bytes of a token; what can be no character becomes U+FFFD. Then text->bytes[0..*ready) are to be given out: all up to the
 * first stop string, which sets *stopped, or else all but what may be the beginning of one. OBI_ERROR_MEMORY adds nothing. */
obi_status obi_text_add(obi_text *text, const char *bytes, size_t count, const obi_stops *stops, size_t *ready, bool *stopped);
/* Nothing follows: as above, but what may have become a stop string is none. `whole`: a character that was begun becomes U+FFFD. */
obi_status obi_text_end(obi_text *text, bool whole, const obi_stops *stops, size_t *ready, bool *stopped);
void obi_text_take(obi_text *text, size_t count); /* the first `count` bytes were given out */
void obi_text_forget(obi_text *text);             /* what is held; its memory stays */
void obi_text_free(obi_text *text);

/* How many of the `count` bytes at `bytes` make one character: 1..4; 0 when more bytes must come; -k when the first k bytes are no
 * character and no beginning of one. count > 0. */
int obi_utf8_measure(const unsigned char *bytes, size_t count);

#endif
