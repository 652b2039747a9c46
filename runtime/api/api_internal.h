/* api_internal: what the opaque handles are. The only place where public and internal types meet. */
#ifndef OBI_API_API_INTERNAL_H
#define OBI_API_API_INTERNAL_H

#include "engine/session.h"
#include "engine/weights.h"
#include "model/tokenizer.h"
#include "onebit/onebit.h"

struct ob_context {
    obi_device *device;
};

struct ob_model {
    ob_context *context;
    obi_weights *weights;
    obi_tokenizer *tokenizer; /* NULL when the file has none */
    char architecture[32], name[128];
    uint64_t file_bytes;
};

struct ob_session {
    ob_model *model;
    obi_session *engine;
};

void obi_contexts_count(int more); /* contexts that live: while there are any, the allocator stays */

obi_status obi_no_tokenizer(void); /* the failure of who needs a model's */

/* ob_status has the same numbers as obi_status. */
static inline ob_status obi_public(obi_status status) { return (ob_status)status; }

/* A string of a file, cut to `room` with its end; `out` stays as it is where there is none. */
void obi_copy_string(const obi_gguf *gguf, const char *key, char *out, size_t room);

/* Makes a context on a device of our own, or on one that is adopted. */
ob_status obi_context_open(ob_context **out, const ob_context_desc *desc, const obi_adoption *adopt);

#endif
