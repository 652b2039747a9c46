#include "term.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "stop.h"

#define BAR_CELLS 24
#define BAR_PERIOD 0.1  /* seconds from one drawing of the bar to the next */
#define LINE_PERIOD 5.0 /* seconds from one plain line to the next */

static const char *program_name = "onebit";
static int log_verbosity;
static pthread_mutex_t stderr_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_refusal[1024]; /* under stderr_lock */
static app_progress *current; /* the bar on the screen; under stderr_lock */

void app_set_name(const char *name) { program_name = name; }
const char *app_name(void) { return program_name; }

/* ---- messages -------------------------------------------------------------------------------------------------- */

static void print_message(const char *kind, const char *format, va_list arguments)
{
    pthread_mutex_lock(&stderr_lock);
    if (current && current->shown) {
        fputs("\r\033[K", stderr);
        current->shown = false;
        current->drawn = 0;
    }
    fprintf(stderr, "%s: %s", program_name, kind);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    pthread_mutex_unlock(&stderr_lock);
}

void app_note(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_message("", format, arguments);
    va_end(arguments);
}

const char *app_last_refusal(void) { return last_refusal; }

int app_refuse(int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&stderr_lock);
    (void)vsnprintf(last_refusal, sizeof last_refusal, format, arguments);
    pthread_mutex_unlock(&stderr_lock);
    va_end(arguments);
    va_start(arguments, format);
    print_message("error: ", format, arguments);
    va_end(arguments);
    return code;
}

int app_fail(ob_status status)
{
    int number = app_stop_signal();
    if (status == OB_ERROR_CANCELLED && number) {
        app_note("stopped by %s", number == 2 ? "Ctrl-C" : "a signal");
        return 128 + number;
    }
    const char *sentence = ob_last_error();
    return app_refuse(ob_exit_code(status), "%s", *sentence ? sentence : "it failed without saying why");
}

int app_end_stdout(int code)
{
    errno = 0;
    bool failed = fflush(stdout) != 0;
    int reason = errno;
    if (!failed && !ferror(stdout)) return code;
    if (code == 0 && reason != EPIPE) app_refuse(1, "cannot write to stdout: %s", reason ? strerror(reason) : "some of it was lost");
    return code ? code : 1;
}

int app_end_context(ob_context *context, int code)
{
    uint32_t messages = context ? ob_context_validation_messages(context) : 0;
    ob_context_destroy(context);
    if (messages == 0) return code;
    app_refuse(1, "the Vulkan validation layer had %" PRIu32 " message%s", messages, messages == 1 ? "" : "s");
    return code ? code : 1;
}

static void log_message(ob_log_level level, const char *message, void *user)
{
    (void)user;
    if ((int)level > (int)OB_LOG_WARNING + log_verbosity) return;
    app_note("%s%s", level == OB_LOG_ERROR ? "error: " : level == OB_LOG_WARNING ? "warning: " : "", message);
}

void app_start_log(int verbosity)
{
    log_verbosity = verbosity;
    ob_set_log(log_message, NULL);
}

/* ---- progress -------------------------------------------------------------------------------------------------- */

void app_progress_start(app_progress *progress)
{
    *progress = (app_progress){ .terminal = isatty(STDERR_FILENO) == 1, .started = app_seconds() };
    if (!progress->terminal) progress->drawn = progress->started; /* short work leaves no lines in a log file */
    pthread_mutex_lock(&stderr_lock);
    current = progress;
    pthread_mutex_unlock(&stderr_lock);
}

static void draw(app_progress *progress, double fraction, const char *what, double now)
{
    double passed = now - progress->started;
    char left[64] = "";
    if (fraction > 0.001 && passed > 0.3) { /* the first moments say little about the rest */
        double rest = passed * (1 - fraction) / fraction;
        if (rest < 59.5) snprintf(left, sizeof left, ", %.0f s left", rest);
        else snprintf(left, sizeof left, ", %s left", app_duration(rest).text);
    }
    if (!progress->terminal) {
        fprintf(stderr, "%s: %s: %.0f %%%s\n", program_name, what, 100 * fraction, left);
        return;
    }
    char bar[BAR_CELLS + 1];
    int full = (int)(fraction * BAR_CELLS + 0.5);
    for (int i = 0; i < BAR_CELLS; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR_CELLS] = 0;
    fprintf(stderr, "\r[%s] %3.0f %%  %.28s%s\033[K", bar, 100 * fraction, what, left);
    progress->shown = true;
}

bool app_progress_step(double fraction, const char *what, void *user)
{
    app_progress *progress = user;
    double now = app_seconds();
    if (!(fraction > 0)) fraction = 0;
    if (fraction > 1) fraction = 1;
    pthread_mutex_lock(&stderr_lock);
    if (now - progress->drawn >= (progress->terminal ? BAR_PERIOD : LINE_PERIOD)) {
        draw(progress, fraction, what ? what : "", now);
        progress->drawn = now;
    }
    pthread_mutex_unlock(&stderr_lock);
    return app_stop_signal() == 0;
}

bool app_progress_due(const app_progress *progress, double seconds)
{
    return app_seconds() - progress->drawn >= (progress->terminal ? BAR_PERIOD : seconds);
}

void app_progress_line(app_progress *progress, const char *line)
{
    struct winsize size;
    pthread_mutex_lock(&stderr_lock);
    if (progress->terminal) {
        bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
        fprintf(stderr, "\r%.*s\033[K", known ? size.ws_col - 1 : 79, line);
        progress->shown = true;
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
    progress->drawn = app_seconds();
    pthread_mutex_unlock(&stderr_lock);
}

void app_progress_end(app_progress *progress)
{
    pthread_mutex_lock(&stderr_lock);
    if (progress->shown) fputs("\r\033[K", stderr);
    progress->shown = false;
    if (current == progress) current = NULL;
    pthread_mutex_unlock(&stderr_lock);
}

/* ---- numbers and time ------------------------------------------------------------------------------------------ */

app_text app_bytes(uint64_t bytes)
{
    static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    app_text out;
    if (bytes < 1024) {
        snprintf(out.text, sizeof out.text, "%" PRIu64 " B", bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1023.5 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1024;
    snprintf(out.text, sizeof out.text, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
    return out;
}

app_text app_count(uint64_t count)
{
    static const char *const units[] = { "K", "M", "B", "T" };
    app_text out;
    if (count < 10000) {
        snprintf(out.text, sizeof out.text, "%" PRIu64, count);
        return out;
    }
    double value = (double)count / 1000;
    size_t unit = 0;
    for (; value >= 999.5 && unit + 1 < sizeof units / sizeof *units; unit++) value /= 1000;
    snprintf(out.text, sizeof out.text, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
    return out;
}

app_text app_duration(double seconds)
{
    app_text out;
    if (!(seconds >= 0)) seconds = 0;
    if (seconds < 59.5) {
        snprintf(out.text, sizeof out.text, "%.*f s", seconds < 0.1 ? 3 : seconds < 10 ? 2 : 0, seconds);
        return out;
    }
    if (seconds > 3.6e9) seconds = 3.6e9; /* keeps the whole numbers below in range */
    uint64_t whole = (uint64_t)(seconds + 0.5);
    if (whole < 3600) snprintf(out.text, sizeof out.text, "%" PRIu64 " min %02" PRIu64 " s", whole / 60, whole % 60);
    else snprintf(out.text, sizeof out.text, "%" PRIu64 " h %02" PRIu64 " min", whole / 3600, whole % 3600 / 60);
    return out;
}

app_text app_api_version(uint32_t api)
{
    app_text out;
    snprintf(out.text, sizeof out.text, "%u.%u.%u", (api >> 22) & 0x7fu, (api >> 12) & 0x3ffu, api & 0xfffu);
    return out;
}

app_text app_uuid(const uint8_t uuid[16])
{
    app_text out;
    size_t length = 0;
    for (int i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;
        length += (size_t)snprintf(out.text + length, sizeof out.text - length, "%s%02x", dash ? "-" : "", uuid[i]);
    }
    return out;
}

double app_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
