#include "score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/args.h"
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

/* Adds all that another one has (Chan, Golub and LeVeque 1979). */
static void join(running_mean *to, const running_mean *from)
{
    if (from->count == 0) return;
    double all = (double)(to->count + from->count), step = from->mean - to->mean, share = (double)from->count / all;
    to->spread += from->spread + step * step * (double)to->count * share;
    to->mean += step * share;
    to->count += from->count;
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

/* Of one window, or of all. */
typedef struct sums {
    running_mean own, teacher, kl;
    uint64_t bytes;
    size_t same;
} sums;

typedef struct scorer {
    ob_session *session, *teacher; /* teacher: NULL where there is none */
    const ob_model *model;
    const eval_corpus *corpus;
    double *nll;
    ob_agreement *both;
    sums *windows;
    bool *known;
    item_log log;
} scorer;

static ob_status score_window(scorer *s, size_t w)
{
    const uint32_t *ids = s->corpus->ids + s->corpus->windows[w].first;
    size_t count = s->corpus->windows[w].count;
    sums *to = &s->windows[w];
    ob_status status =
        s->teacher ? ob_session_agree(s->session, s->teacher, ids, count, s->both) : ob_session_score(s->session, ids, count, s->nll);
    if (status != OB_OK) return status;
    for (size_t i = 0; i + 1 < count; i++) {
        add(&to->own, s->teacher ? s->both[i].nll : s->nll[i]);
        to->bytes += ob_model_piece(s->model, ids[i], ids[i + 1], NULL, 0);
        if (!s->teacher) continue;
        add(&to->teacher, s->both[i].teacher_nll);
        add(&to->kl, s->both[i].kl);
        to->same += s->both[i].same_choice;
    }
    s->known[w] = true;
    return OB_OK;
}

/* ---- the log ------------------------------------------------------------------------------------------------------- */

static int log_window(scorer *s, size_t w)
{
    const sums *of = &s->windows[w];
    if (!s->log.file) return 0;
    if (!isfinite(of->own.mean) || !isfinite(of->teacher.mean) || !isfinite(of->kl.mean)) return 0; /* JSON has no such numbers */
    json_t *row = json_pack("{s:I, s:I, s:I, s:f, s:f}", "window", (json_int_t)w, "tokens", (json_int_t)of->own.count, "bytes",
                            (json_int_t)of->bytes, "nll", of->own.mean, "nll_spread", of->own.spread);
    json_t *more = s->teacher ? json_pack("{s:f, s:f, s:f, s:f, s:I}", "teacher_nll", of->teacher.mean, "teacher_nll_spread",
                                          of->teacher.spread, "kl", of->kl.mean, "kl_spread", of->kl.spread, "same", (json_int_t)of->same)
                              : NULL;
    int code = row && (more || !s->teacher) && (!more || json_object_update(row, more) == 0)
                   ? item_log_add(&s->log, row)
                   : app_refuse(4, "there is not enough memory for a line of %s", s->log.path);
    json_decref(row);
    json_decref(more);
    return code;
}

static running_mean mean_of(const json_t *row, const char *mean, const char *spread, size_t count)
{
    return (running_mean){ count, json_number_value(json_object_get(row, mean)), json_number_value(json_object_get(row, spread)) };
}

static int take_window(const json_t *row, size_t line, void *user)
{
    scorer *s = user;
    const json_t *window = json_object_get(row, "window");
    json_int_t w = json_integer_value(window), tokens = json_integer_value(json_object_get(row, "tokens"));
    if (!json_is_integer(window) || w < 0 || (uint64_t)w >= s->corpus->window_count ||
        (uint64_t)tokens + 1 != s->corpus->windows[w].count || !json_is_number(json_object_get(row, "nll")))
        return app_refuse(5, "%s, line %zu: this is no window of this text", s->log.path, line);
    s->windows[w] = (sums){ .own = mean_of(row, "nll", "nll_spread", (size_t)tokens),
                            .teacher = mean_of(row, "teacher_nll", "teacher_nll_spread", s->teacher ? (size_t)tokens : 0),
                            .kl = mean_of(row, "kl", "kl_spread", s->teacher ? (size_t)tokens : 0),
                            .bytes = (uint64_t)json_integer_value(json_object_get(row, "bytes")),
                            .same = (size_t)json_integer_value(json_object_get(row, "same")) };
    s->known[w] = true;
    return APP_GO_ON;
}

/* The tokens are what counts of the text: their hash is the text, the protocol and the windows at once. */
static int open_log(scorer *s, const eval_score_log *log)
{
    if (!log || !log->path) return APP_GO_ON;
    const eval_corpus *corpus = s->corpus;
    const char *hash = item_log_hash_of(corpus->ids, corpus->id_count * sizeof *corpus->ids);
    if (json_object_set_new(log->settings, "tokens", json_integer((json_int_t)corpus->id_count)) != 0 ||
        json_object_set_new(log->settings, "windows", json_integer((json_int_t)corpus->window_count)) != 0 ||
        json_object_set_new(log->settings, "window", json_integer((json_int_t)corpus->windows[0].count)) != 0 ||
        json_object_set_new(log->settings, "tokens_hash", json_string(hash)) != 0)
        return app_refuse(4, "there is not enough memory for a line of %s", log->path);
    int code = item_log_open(&s->log, log->path, log->settings, take_window, s);
    size_t known = 0;
    for (size_t w = 0; w < corpus->window_count; w++) known += s->known[w];
    if (code == APP_GO_ON && known) app_note("%s has %zu of the %zu windows already", log->path, known, corpus->window_count);
    return code;
}

/* ---- all windows ----------------------------------------------------------------------------------------------------- */

static int score_windows(scorer *s)
{
    app_progress progress;
    app_progress_start(&progress);
    ob_status status = OB_OK;
    int code = 0;
    size_t left = 0, done = 0; /* predictions */
    for (size_t w = 0; w < s->corpus->window_count; w++)
        if (!s->known[w]) left += s->corpus->windows[w].count - 1;
    for (size_t w = 0; w < s->corpus->window_count && status == OB_OK && code == 0; w++) {
        if (s->known[w]) continue;
        status = score_window(s, w);
        if (status != OB_OK) break;
        code = log_window(s, w);
        done += s->corpus->windows[w].count - 1;
        if (!app_progress_step((double)done / (double)left, "scoring", &progress)) status = OB_ERROR_CANCELLED;
    }
    app_progress_end(&progress);
    return status == OB_OK ? code : app_fail(status);
}

int score_corpus(eval_score *score, eval_agreement *agreement, ob_session *session, ob_session *teacher, const ob_model *model,
                 const eval_corpus *corpus, const eval_score_log *log)
{
    memset(score, 0, sizeof *score);
    if (agreement) memset(agreement, 0, sizeof *agreement);
    size_t longest = longest_window(corpus);
    scorer s = { .session = session, .teacher = agreement ? teacher : NULL, .model = model, .corpus = corpus };
    s.nll = calloc(longest, sizeof *s.nll);
    s.both = calloc(agreement ? longest : 1, sizeof *s.both);
    s.windows = calloc(corpus->window_count, sizeof *s.windows);
    s.known = calloc(corpus->window_count, sizeof *s.known);
    double start = app_seconds();
    int code = s.nll && s.both && s.windows && s.known ? open_log(&s, log) : app_refuse(4, "there is not enough memory for the scores");
    if (code == APP_GO_ON) code = score_windows(&s);
    if (code == 0) {
        sums all = { 0 };
        for (size_t w = 0; w < corpus->window_count; w++) {
            join(&all.own, &s.windows[w].own);
            join(&all.teacher, &s.windows[w].teacher);
            join(&all.kl, &s.windows[w].kl);
            all.bytes += s.windows[w].bytes;
            all.same += s.windows[w].same;
        }
        finish(score, &all.own, all.bytes, app_seconds() - start);
        if (agreement) {
            finish(&agreement->teacher, &all.teacher, all.bytes, score->seconds);
            agreement->kl = all.kl.mean;
            agreement->kl_error = standard_error(&all.kl);
            agreement->same = all.same;
        }
    }
    item_log_close(&s.log);
    free(s.nll);
    free(s.both);
    free(s.windows);
    free(s.known);
    return code;
}
