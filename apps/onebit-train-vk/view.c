#include "view.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_PERIOD_FIRST 5.0 /* seconds between two lines outside a terminal: they grow with the time that has passed, */
#define LINE_PERIOD_LAST 60.0 /* so that a night's log stays readable */
#define SPEED_FADE 0.8        /* of a step's share in the speed from one step to the next */

void train_view_start(train_view *view)
{
    *view = (train_view){ .tokens = 0 };
    app_progress_start(&view->progress);
}

/* A dry run's table is its result and goes to stdout; another run says the sum. */
void train_view_memory(const ob_train_memory *memory, void *user)
{
    train_view *view = user;
    view->dry_run = memory->dry_run;
    view->planned = memory->total;
    if (!memory->dry_run) {
        app_note("device memory: %s planned; %s weights, %s gradients and optimiser, %s activations, %s teacher",
                 app_bytes(memory->total).text, app_bytes(memory->weights).text, app_bytes(memory->gradients + memory->optimiser).text,
                 app_bytes(memory->activations + memory->logits).text, app_bytes(memory->teacher + memory->teacher_activations).text);
        return;
    }
    const struct {
        const char *name;
        uint64_t bytes;
    } rows[] = { { "weights", memory->weights },
                 { "gradients", memory->gradients },
                 { "optimiser state", memory->optimiser },
                 { "activations", memory->activations },
                 { "one tile of logits", memory->logits },
                 { "teacher", memory->teacher },
                 { "its activations", memory->teacher_activations },
                 { "losses, reductions", memory->other },
                 { "loading and saving", memory->transfers },
                 { "in all", memory->total } };
    printf("device memory\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) printf("  %-20s %12s\n", rows[i].name, app_bytes(rows[i].bytes).text);
    fflush(stdout);
}

void train_view_estimate(const ob_train_estimate *estimate, void *user)
{
    const train_view *view = user;
    printf("  %-20s %12s  (%.0f %% of the plan)\n", "taken by one step", app_bytes(estimate->peak_bytes).text,
           100 * (double)estimate->peak_bytes / (double)view->planned);
    printf("time\n  %-20s %12s  %" PRIu64 " times\n", "a step", app_duration(estimate->step_seconds).text, estimate->steps);
    if (estimate->evaluations > 0)
        printf("  %-20s %12s  %" PRIu64 " times\n", "an evaluation", app_duration(estimate->evaluation_seconds).text,
               estimate->evaluations);
    printf("  %-20s %12s  %" PRIu64 " times, %s each, if the disk takes 200 MB/s\n", "a checkpoint",
           app_duration(estimate->checkpoint_seconds).text, estimate->checkpoints, app_bytes(estimate->checkpoint_bytes).text);
    printf("  %-20s %12s\n", "the whole run", app_duration(estimate->seconds).text);
}

void train_view_plan(const ob_train_plan *plan, void *user)
{
    train_view *view = user;
    app_note("%s parameters, %s numbers trained; %s training tokens, %s held out", app_count(plan->parameters).text,
             app_count(plan->trained).text, app_count(plan->train_tokens).text, app_count(plan->held_out_tokens).text);
    if (plan->first_step > 0) app_note("going on from step %" PRIu64 " of %" PRIu64, plan->first_step, plan->steps);
    view->progress.started = app_seconds();
}

typedef struct line {
    char text[256];
    size_t length;
} line;

static void add(line *to, const char *format, ...) __attribute__((format(__printf__, 2, 3)));
static void add(line *to, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(to->text + to->length, sizeof to->text - to->length, format, arguments);
    va_end(arguments);
    if (length > 0) to->length += (size_t)length;
    if (to->length >= sizeof to->text) to->length = sizeof to->text - 1;
}

/* What matters most comes first: a narrow terminal cuts the end off. */
void train_view_step(const ob_train_step *step, void *user)
{
    train_view *view = user;
    bool last = step->step == step->steps || view->dry_run;
    double now = app_seconds(), period = fmin(fmax((now - view->progress.started) / 20, LINE_PERIOD_FIRST), LINE_PERIOD_LAST);
    train_pace_step(&view->pace, now);
    view->tokens = SPEED_FADE * view->tokens + (double)step->tokens;
    view->seconds = SPEED_FADE * view->seconds + step->seconds;
    if (!last && !step->skipped && !app_progress_due(&view->progress, period)) return;
    double left = train_pace_left(&view->pace, step->steps - step->step);
    line to = { .length = 0 };
    add(&to, "step %" PRIu64 "/%" PRIu64, step->step, step->steps);
    if (step->skipped) add(&to, "  SKIPPED: not finite");
    if (!last && left >= 0) add(&to, "  %s left", app_duration(left).text);
    add(&to, "  loss %.4f", step->loss);
    if (step->distilled) add(&to, "  kl %.4f  hidden %.4f", step->kl, step->hidden);
    add(&to, "  lr %.2e  grad %.3f", step->learning_rate, step->gradient_norm);
    if (step->signs > 0) add(&to, "  flips %s (%.2g %%)", app_count(step->flipped).text, 100 * (double)step->flipped / (double)step->signs);
    add(&to, "  %.0f tokens/s  %s", view->tokens / view->seconds, app_bytes(step->device_bytes).text);
    app_progress_line(&view->progress, to.text);
}

void train_view_evaluation(uint64_t step, double nll, double kl, bool best, void *user)
{
    (void)user;
    char teacher[48] = "";
    if (isfinite(kl)) snprintf(teacher, sizeof teacher, ", KL to the teacher %.4f", kl);
    app_note("step %" PRIu64 ": held-out loss %.4f%s%s", step, nll, teacher, best ? " (best so far)" : "");
}

void train_view_generated(const ob_generate_progress *progress, void *user)
{
    train_view *view = user;
    double made = (double)(progress->done - progress->first);
    if (!app_progress_due(&view->progress, LINE_PERIOD_FIRST) && progress->done < progress->samples) return;
    line to = { .length = 0 };
    add(&to, "sample %" PRIu64 "/%" PRIu64, progress->done, progress->samples);
    if (made > 0 && progress->done < progress->samples)
        add(&to, "  %s left", app_duration(progress->seconds / made * (double)(progress->samples - progress->done)).text);
    add(&to, "  %s tokens  %.0f tokens/s  %s", app_count(progress->tokens).text, (double)progress->tokens / progress->seconds,
        app_bytes(progress->device_bytes).text);
    app_progress_line(&view->progress, to.text);
}

/* The last line stays: it says how the run ended. */
void train_view_end(train_view *view)
{
    if (view->progress.shown) fputc('\n', stderr);
    view->progress.shown = false;
    app_progress_end(&view->progress);
}
