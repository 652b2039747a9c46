#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/term.h"

static const double ln2 = 0.693147180559945309417;

ob_status score_corpus(eval_score *score, ob_session *session, const ob_model *model, const eval_corpus *corpus)
{
    memset(score, 0, sizeof *score);
    size_t longest = 1;
    for (size_t w = 0; w < corpus->window_count; w++)
        if (corpus->windows[w].count > longest) longest = corpus->windows[w].count;
    double *nll = calloc(longest, sizeof *nll);
    if (!nll) return OB_ERROR_MEMORY;

    app_progress progress;
    app_progress_start(&progress);
    double start = app_seconds(), mean = 0, spread = 0; /* Welford: the sum of squares around the mean */
    ob_status status = OB_OK;
    for (size_t w = 0; w < corpus->window_count && status == OB_OK; w++) {
        const uint32_t *ids = corpus->ids + corpus->windows[w].first;
        size_t count = corpus->windows[w].count;
        status = ob_session_score(session, ids, count, nll);
        if (status != OB_OK) break;
        for (size_t i = 0; i + 1 < count; i++) {
            double step = nll[i] - mean;
            score->predictions++;
            mean += step / (double)score->predictions;
            spread += step * (nll[i] - mean);
            score->bytes += ob_model_piece(model, ids[i], ids[i + 1], NULL, 0);
        }
        double done = corpus->predictions ? (double)score->predictions / (double)corpus->predictions : 1;
        if (!app_progress_step(done, "scoring", &progress)) status = OB_ERROR_CANCELLED;
    }
    app_progress_end(&progress);
    free(nll);

    double n = (double)score->predictions;
    score->seconds = app_seconds() - start;
    score->nll = mean;
    score->nll_error = n > 1 ? sqrt(spread / (n - 1) / n) : 0;
    score->perplexity = exp(mean);
    score->ppl_error = score->perplexity * score->nll_error;
    score->bits_per_byte = score->bytes ? mean * n / ln2 / (double)score->bytes : 0;
    return status;
}
