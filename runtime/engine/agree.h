/* agree: two models on the same tokens, position by position. */
#ifndef OBI_ENGINE_AGREE_H
#define OBI_ENGINE_AGREE_H

#include "engine/session.h"

typedef struct obi_agreement {
    double nll, teacher_nll; /* -ln p of the token that follows */
    double kl;               /* KL(teacher || student), nats */
    bool same;               /* both have the same likeliest token */
} obi_agreement;

/* tokens[i], i < count-1: what the two say after ids[0..i], from position 0. Two sessions of models with equally many tokens
 * in their vocabularies; each has its own position, and both start anew. */
obi_status obi_session_agree(obi_session *student, obi_session *teacher, const uint32_t *ids, size_t count, obi_agreement *tokens);

#endif
