/* events: TensorBoard's event file: scalars by step, in the framing of TFRecord (length, checksum, data, checksum) around
 * protocol-buffer messages. Each opening begins a new file, as TensorBoard expects of a run that goes on. One thread. */
#ifndef OBI_QUANT_TRAIN_EVENTS_H
#define OBI_QUANT_TRAIN_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

typedef struct obi_events obi_events;

typedef struct obi_scalar {
    const char *tag; /* "train/loss" */
    double value;    /* stored as f32; one that is not finite is left out */
} obi_scalar;

/* Makes DIRECTORY/events.out.tfevents.TIME.HOST.PID.SERIAL. `step`: how many steps are done already. When not 0, the file begins
 * by telling the reader that what earlier files say of later steps is void. */
obi_status obi_events_open(const char *directory, uint64_t step, obi_events **out);

/* One event with all scalars, written at once. */
obi_status obi_events_write(obi_events *events, uint64_t step, const obi_scalar *scalars, size_t count);
void obi_events_close(obi_events *events); /* NULL is allowed */

/* Removes every event file of the directory that has a name as above. */
obi_status obi_events_remove_all(const char *directory);

/* CRC-32C (Castagnoli) of some bytes. */
uint32_t obi_crc32c(const void *data, size_t size);

#endif
