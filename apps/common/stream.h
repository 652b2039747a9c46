/* stream: generated text, token by token, always whole and valid UTF-8. A character whose bytes have not all
 * come is held back; bytes that can be no character become U+FFFD. */
#ifndef ONEBIT_APPS_STREAM_H
#define ONEBIT_APPS_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct app_stream {
    FILE *file;            /* where it goes; the rest is zero at the start */
    unsigned char held[4]; /* the beginning of a character */
    size_t held_count;
    unsigned char last;    /* byte written; 0: none yet */
    bool failed;           /* the file took no more */
} app_stream;

/* Writes and flushes. False when the file takes no more. */
bool app_stream_write(app_stream *stream, const char *bytes, size_t count);
/* Closes the text: an unfinished character becomes U+FFFD, and a text that does not end in a newline gets one. */
bool app_stream_end(app_stream *stream);

/* How many of the `count` bytes at `bytes` make one character: 1..4; 0 when more bytes must come; -k when the first k
 * bytes are no character and no beginning of one. count > 0. */
int app_utf8_measure(const unsigned char *bytes, size_t count);

#endif
