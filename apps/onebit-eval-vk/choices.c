#include "choices.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "common/term.h"

/* Encodes behind the ids there are. */
static ob_status encode(eval_sequence *sequence, const ob_model *model, const char *text, unsigned flags)
{
    size_t more, bytes = strlen(text);
    ob_status status = ob_model_tokenize(model, text, bytes, flags, NULL, 0, &more);
    if (status != OB_OK) return status;
    uint32_t *moved = realloc(sequence->ids, (sequence->count + more + 1) * sizeof *moved);
    if (!moved) return OB_ERROR_MEMORY;
    sequence->ids = moved;
    status = ob_model_tokenize(model, text, bytes, flags, moved + sequence->count, more, &more);
    if (status == OB_OK) sequence->count += more;
    return status;
}

int eval_sequence_make(eval_sequence *sequence, const ob_model *model, const ob_model_info *info, const eval_choice *choice, bool bos,
                       size_t most, const char *path, size_t line)
{
    *sequence = (eval_sequence){ 0 };
    ob_status status = encode(sequence, model, choice->context, bos ? OB_TOKENIZE_BOS : 0);
    if (status == OB_OK && sequence->count == 0) {
        if (info->eos < 0) return app_refuse(5, "%s, line %zu: the context is empty, and the model has no eos to begin with", path, line);
        sequence->ids[sequence->count++] = (uint32_t)info->eos;
    }
    sequence->given = sequence->count;
    if (status == OB_OK) status = encode(sequence, model, choice->continuation, 0);
    if (status == OB_ERROR_DATA) return app_refuse(5, "%s, line %zu: %s", path, line, ob_last_error());
    if (status == OB_ERROR_MEMORY) return app_refuse(4, "there is not enough memory for the task's tokens");
    if (status != OB_OK) return app_fail(status);
    size_t predicted = sequence->count - sequence->given;
    if (predicted == 0) return app_refuse(5, "%s, line %zu: a choice is empty", path, line);
    if (predicted > most)
        return app_refuse(5, "%s, line %zu: a choice has %zu tokens, and the model sees at most %zu", path, line, predicted, most);
    if (sequence->count > most + 1) {
        size_t drop = sequence->count - (most + 1);
        memmove(sequence->ids, sequence->ids + drop, (most + 1) * sizeof *sequence->ids);
        sequence->count -= drop;
        sequence->given -= drop;
    }
    return APP_GO_ON;
}

/* How many ids all begin with, none of them predicted in any. */
static size_t shared_beginning(const eval_sequence *sequences, uint32_t count)
{
    size_t shared = sequences[0].given;
    for (uint32_t i = 1; i < count; i++) {
        size_t same = 0;
        while (same < shared && same < sequences[i].given && sequences[i].ids[same] == sequences[0].ids[same]) same++;
        shared = same;
    }
    return shared;
}

static double log_partition(const float *logits, uint32_t count)
{
    double largest = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!(logits[i] <= largest)) largest = (double)logits[i]; /* a NaN wins, and shows */
    for (uint32_t i = 0; i < count; i++) sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

/* The first sequence that is the same as i, which may be i: rounding must not choose between equal ones. */
static uint32_t equal_before(const eval_sequence *sequences, uint32_t i)
{
    const eval_sequence *s = &sequences[i];
    for (uint32_t k = 0; k < i; k++)
        if (sequences[k].count == s->count && sequences[k].given == s->given &&
            memcmp(sequences[k].ids, s->ids, s->count * sizeof *s->ids) == 0)
            return k;
    return i;
}

ob_status eval_choices_score(ob_session *session, const ob_model_info *info, const eval_sequence *sequences, uint32_t count, float *logits,
                             double *nll, double *likelihood, uint64_t *fed)
{
    size_t shared = shared_beginning(sequences, count);
    double partition = 0;
    size_t used = 0;
    ob_status status = ob_session_rewind(session, 0);
    if (status == OB_OK && shared > 0) {
        status = ob_session_feed(session, sequences[0].ids, shared);
        if (status == OB_OK) status = ob_session_logits(session, logits);
        if (status != OB_OK) return status;
        partition = log_partition(logits, info->vocabulary);
        *fed += shared;
    }
    ob_continuation continuations[EVAL_CHOICES_MAX];
    uint32_t some = 0;
    for (uint32_t i = 0; i < count; i++) { /* numbers of each lie behind those of the one before */
        const eval_sequence *s = &sequences[i];
        if (s->count - shared < 2 || equal_before(sequences, i) < i) continue;
        continuations[some++] = (ob_continuation){ s->ids + shared, s->count - shared, nll + used };
        used += s->count - shared - 1;
    }
    if (some > 0 && status == OB_OK) status = ob_session_score_continuations(session, continuations, some);
    *fed += used;
    for (uint32_t i = 0; i < count; i++) {
        const eval_sequence *s = &sequences[i];
        uint32_t same = equal_before(sequences, i);
        if (same < i) {
            likelihood[i] = likelihood[same];
            continue;
        }
        likelihood[i] = s->given == shared ? (double)logits[s->ids[shared]] - partition : 0; /* the first follows what is shared */
        for (size_t k = shared + 1; k < s->count; k++, nll++)
            if (k >= s->given) likelihood[i] -= *nll;
    }
    return status;
}
