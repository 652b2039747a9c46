/* alloc: host memory. Every allocation of the library goes through here, so that a test can make the Nth one
 * fail and a host program can supply its own functions. Thread-safe once the hooks are set. */
#ifndef OBI_CORE_ALLOC_H
#define OBI_CORE_ALLOC_H

#include <stddef.h>

/* Zeroed memory for `count` objects of `size` bytes; NULL when it does not fit or the product overflows,
 * with a sentence set (obi_fail). A count or size of 0 gives a valid, freeable pointer. Release with obi_free. */
void *obi_calloc(size_t count, size_t size);

/* Resizes to count * size bytes; new bytes are not cleared. On failure returns NULL and `old` stays valid. */
void *obi_realloc(void *old, size_t count, size_t size);

/* A copy of `length` bytes of text plus a terminating NUL; NULL when memory is out. */
char *obi_strndup(const char *text, size_t length);
char *obi_strdup(const char *text);

void obi_free(void *memory); /* NULL is allowed */

/* Replaces the three functions; NULLs restore the C library's. Not thread-safe: call before anything else. */
typedef struct obi_alloc_hooks {
    void *(*allocate)(size_t bytes, void *user);
    void *(*reallocate)(void *old, size_t bytes, void *user);
    void (*release)(void *memory, void *user);
    void *user;
} obi_alloc_hooks;
void obi_alloc_set_hooks(const obi_alloc_hooks *hooks);

#endif
