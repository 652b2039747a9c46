/* examples: instruction data: JSON Lines or one JSON array of objects. Three forms of an object are known, and keys that
 * none of them has are passed over:
 *   instruction, input (may be absent or empty), output     the form of alpaca
 *   prompt, completion                                      taken as they are
 *   text                                                    an answer without a question */
#ifndef OBI_QUANT_EXAMPLES_H
#define OBI_QUANT_EXAMPLES_H

#include "core/status.h"

typedef struct obi_example {         /* texts end with NUL and live as long as the call that gives them */
    const char *instruction, *input; /* of alpaca; else NULL */
    const char *prompt;              /* as it is; else NULL */
    const char *answer;
} obi_example;

/* Gives every example in the file's order to `take`, whose failure ends it. OBI_ERROR_DATA names file and line (in an array:
 * the number of the example) that is not JSON, has none of the forms, or a text that is not one. */
obi_status obi_examples_read(const char *path, obi_status (*take)(void *user, const obi_example *example), void *user);

#endif
