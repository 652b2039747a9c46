/* status: one result code for every fallible call, and the sentence that explains the last failure.
 *
 * Every function that can fail returns obi_status. The code says which class of failure it was (and so
 * which exit code a program uses); obi_last_error() holds one sentence for a person, on this thread.
 * The numbers are those of ob_status in include/onebit/onebit.h; runtime/api asserts that at compile time. */
#ifndef OBI_CORE_STATUS_H
#define OBI_CORE_STATUS_H

typedef enum obi_status {
    OBI_OK = 0,
    OBI_ERROR_RUNTIME = -1,     /* I/O failed, a program was interrupted, anything without a better name */
    OBI_ERROR_ARGUMENT = -2,    /* the caller asked for something that cannot be */
    OBI_ERROR_NO_DEVICE = -3,   /* no Vulkan loader, no driver, no device that can run this */
    OBI_ERROR_MEMORY = -4,      /* host or device memory ran out */
    OBI_ERROR_DATA = -5,        /* a file is missing, damaged, or not something we can read */
    OBI_ERROR_DEVICE_LOST = -6, /* the device stopped answering */
    OBI_ERROR_CANCELLED = -7    /* a callback asked to stop */
} obi_status;

/* Stores the formatted sentence as this thread's last error and returns `code`:
 *     return obi_fail(OBI_ERROR_DATA, "%s: not a GGUF file", path);
 * A sentence longer than 511 bytes is cut, and control characters in it become '?'. */
obi_status obi_fail(obi_status code, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

/* Puts "prefix: " in front of this thread's last error and returns `code`; for callers that know the
 * file or the tensor that the failing callee did not. */
obi_status obi_fail_prefix(obi_status code, const char *format, ...) __attribute__((format(__printf__, 2, 3)));

/* This thread's last sentence; "" when nothing has failed. Valid until the next failure on this thread. */
const char *obi_last_error(void);

/* Returns early from a function that has nothing to clean up. */
#define OBI_TRY(expression)                             \
    do {                                                \
        obi_status obi_try_status_ = (expression);      \
        if (obi_try_status_ != OBI_OK) return obi_try_status_; \
    } while (0)

/* The same for a function with one `done:` label that cleans up; needs a local `obi_status status`. */
#define OBI_TRY_GOTO(expression)                        \
    do {                                                \
        status = (expression);                          \
        if (status != OBI_OK) goto done;                \
    } while (0)

#endif
