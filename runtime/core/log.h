/* log: messages for a person, handed to whoever set a callback. The library itself prints nothing.
 * One callback per process; setting it is thread-safe, and the callback may be called from any thread. */
#ifndef OBI_CORE_LOG_H
#define OBI_CORE_LOG_H

typedef enum obi_log_level { OBI_LOG_ERROR = 0, OBI_LOG_WARNING = 1, OBI_LOG_INFO = 2, OBI_LOG_DEBUG = 3 } obi_log_level;
typedef void (*obi_log_function)(obi_log_level level, const char *message, void *user);

void obi_log_set(obi_log_function function, void *user); /* NULL: silence */
void obi_log(obi_log_level level, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

#endif
