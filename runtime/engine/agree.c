#include "engine/agree.h"

#include "engine/distribution.h"
#include "engine/score.h"

static void compare(const float *student, const float *teacher, uint32_t V, uint32_t next, obi_agreement *out)
{
    double partition = obi_log_partition(student, V), teacher_partition = obi_log_partition(teacher, V);
    out->nll = partition - (double)student[next];
    out->teacher_nll = teacher_partition - (double)teacher[next];
    out->kl = obi_divergence(teacher, teacher_partition, student, partition, V);
    out->same = obi_likeliest(student, V) == obi_likeliest(teacher, V);
}

obi_status obi_session_agree(obi_session *student, obi_session *teacher, const uint32_t *ids, size_t count, obi_agreement *tokens)
{
    uint32_t V = student->weights->config.vocabulary;
    if (student == teacher) return obi_fail(OBI_ERROR_ARGUMENT, "a session cannot be compared with itself; make a second one");
    if (V != teacher->weights->config.vocabulary)
        return obi_fail(OBI_ERROR_ARGUMENT, "the models have different vocabularies, of %u and %u tokens", V,
                        teacher->weights->config.vocabulary);
    OBI_TRY(obi_session_score_begin(student, ids, count));
    OBI_TRY(obi_session_score_begin(teacher, ids, count));
    uint32_t most = student->score_rows < teacher->score_rows ? student->score_rows : teacher->score_rows;
    for (size_t done = 0; done < count - 1;) {
        size_t left = count - 1 - done;
        uint32_t T = left < most ? (uint32_t)left : most;
        const float *rows, *teacher_rows;
        OBI_TRY(obi_session_score_rows(student, ids + done, T, &rows));
        OBI_TRY(obi_session_score_rows(teacher, ids + done, T, &teacher_rows));
        for (uint32_t t = 0; t < T; t++)
            compare(rows + (uint64_t)t * V, teacher_rows + (uint64_t)t * V, V, ids[done + t + 1], &tokens[done + t]);
        done += T;
    }
    return OBI_OK;
}
