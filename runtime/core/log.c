#include "core/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static obi_log_function sink;
static void *sink_user;

void obi_log_set(obi_log_function function, void *user)
{
    pthread_mutex_lock(&lock);
    sink = function;
    sink_user = user;
    pthread_mutex_unlock(&lock);
}

void obi_log(obi_log_level level, const char *format, ...)
{
    pthread_mutex_lock(&lock);
    obi_log_function function = sink;
    void *user = sink_user;
    pthread_mutex_unlock(&lock);
    if (!function) return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    function(level, text, user);
}
