/* nfc: Unicode's canonical composition, in time linear in the text (utf8proc's own ordering of combining marks is
 * quadratic in the length of a run of them, and text comes from outside). */
#ifndef OBI_MODEL_NFC_H
#define OBI_MODEL_NFC_H

#include <stddef.h>

#include "core/status.h"

/* Composes valid UTF-8. *out is allocated with obi_calloc, or NULL when the text is in that form already. */
obi_status obi_nfc(const char *text, size_t length, char **out, size_t *out_length);

#endif
