/* samples: a text that grows sample by sample, and a record of them, so that an interrupted run goes on where it was.
 *
 * OUTPUT/generated.txt.partial holds the texts, each followed by a separator; OUTPUT/samples.jsonl has one line for each with
 * the offset of its end. Texts are on disk before their lines are written, so whatever moment a run ends at, the lines that
 * are whole say how much of the text counts; what is behind that is cut off when the run goes on. When all samples are there
 * the text becomes generated.txt. OUTPUT/generate.json says how they were made; samples made otherwise are not gone on with. */
#ifndef OBI_QUANT_TRAIN_SAMPLES_H
#define OBI_QUANT_TRAIN_SAMPLES_H

#include "core/file.h"

typedef struct obi_sample {
    uint32_t first_token, greedy_tokens, tokens; /* tokens: without bos and eos */
    bool ended;                                  /* by eos; otherwise by cutoff_len */
    const char *text;
    size_t length;
} obi_sample;

typedef struct obi_samples {
    char *directory, *separator;
    int text, record;    /* file descriptors, -1 when closed */
    uint64_t count, end; /* samples, and bytes of text, that are kept */
    uint64_t tokens;     /* of those samples */
    char *texts, *lines; /* not written yet */
    size_t texts_length, texts_room, lines_length, lines_room;
} obi_samples;

/* Opens what `directory` (which exists) holds, or begins. `settings` is the text of generate.json. Samples made with other
 * settings are OBI_ERROR_ARGUMENT unless `anew`, which removes them. */
obi_status obi_samples_open(obi_samples *samples, const char *directory, const char *separator, const char *settings, bool anew);
void obi_samples_close(obi_samples *samples); /* also fine after a failure to open; what was not flushed is lost */

/* Appends a sample, in memory. */
obi_status obi_samples_add(obi_samples *samples, const obi_sample *sample);
/* Puts what was added onto the disk. */
obi_status obi_samples_flush(obi_samples *samples);
/* Flushes, and gives the text its name. */
obi_status obi_samples_finish(obi_samples *samples);

#endif
