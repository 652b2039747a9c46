#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/term.h"

static const double ln2 = 0.693147180559945309417;

/* Welford: the mean of what was added, and the sum of squares around it. */
typedef struct running_mean {
    size_t count;
    double mean, spread;
} running_mean;

static void add(running_mean *to, double value)
{
    double step = value - to->mean;
    to->count++;
    to->mean += step / (double)to->count;
    to->spread += step * (value - to->mean);
}

static double standard_error(const running_mean *of)
{
    double n = (double)of->count;
    return n > 1 ? sqrt(of->spread / (n - 1) / n) : 0;
}

static void finish(eval_score *score, const running_mean *nll, uint64_t bytes, double seconds)
{
    score->predictions = nll->count;
    score->bytes = bytes;
    score->seconds = seconds;
    score->nll = nll->mean;
    score->nll_error = standard_error(nll);
    score->perplexity = exp(nll->mean);
    score->ppl_error = score->perplexity * score->nll_error;
    score->bits_per_byte = bytes ? nll->mean * (double)nll->count / ln2 / (double)bytes : 0;
}

static size_t longest_window(const eval_corpus *corpus)
{
    size_t longest = 1;
    for (size_t w = 0; w < corpus->window_count; w++)
        if (corpus->windows[w].count > longest) longest = corpus->windows[w].count;
    return longest;
}

ob_status score_corpus(eval_score *score, eval_agreement *agreement, ob_session *session, ob_session *teacher, const ob_model *model,
                       const eval_corpus *corpus)
{
    memset(score, 0, sizeof *score);
    if (agreement) memset(agreement, 0, sizeof *agreement);
    double *nll = calloc(longest_window(corpus), sizeof *nll);
    ob_agreement *both = calloc(agreement ? longest_window(corpus) : 1, sizeof *both);
    ob_status status = nll && both ? OB_OK : OB_ERROR_MEMORY;

    app_progress progress;
    app_progress_start(&progress);
    running_mean own = { 0 }, teachers = { 0 }, kl = { 0 };
    uint64_t bytes = 0;
    double start = app_seconds();
    for (size_t w = 0; w < corpus->window_count && status == OB_OK; w++) {
        const uint32_t *ids = corpus->ids + corpus->windows[w].first;
        size_t count = corpus->windows[w].count;
        status = agreement ? ob_session_agree(session, teacher, ids, count, both) : ob_session_score(session, ids, count, nll);
        if (status != OB_OK) break;
        for (size_t i = 0; i + 1 < count; i++) {
            add(&own, agreement ? both[i].nll : nll[i]);
            bytes += ob_model_piece(model, ids[i], ids[i + 1], NULL, 0);
            if (!agreement) continue;
            add(&teachers, both[i].teacher_nll);
            add(&kl, both[i].kl);
            agreement->same += both[i].same_choice;
        }
        double done = corpus->predictions ? (double)own.count / (double)corpus->predictions : 1;
        if (!app_progress_step(done, "scoring", &progress)) status = OB_ERROR_CANCELLED;
    }
    app_progress_end(&progress);
    free(nll);
    free(both);

    finish(score, &own, bytes, app_seconds() - start);
    if (agreement) {
        finish(&agreement->teacher, &teachers, bytes, score->seconds);
        agreement->kl = kl.mean;
        agreement->kl_error = standard_error(&kl);
    }
    return status;
}
