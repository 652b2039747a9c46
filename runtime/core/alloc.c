#include "core/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/status.h"

static obi_alloc_hooks hooks;

void obi_alloc_set_hooks(const obi_alloc_hooks *replacement)
{
    if (replacement) hooks = *replacement;
    else memset(&hooks, 0, sizeof hooks);
}

static void *resize(void *old, size_t count, size_t size)
{
    uint64_t bytes;
    if (!obi_checked_mul(count, size, &bytes) || bytes > PTRDIFF_MAX) {
        obi_fail(OBI_ERROR_MEMORY, "a request for %zu x %zu bytes of memory is larger than this machine can address", count, size);
        return NULL;
    }
    if (bytes == 0) bytes = 1;
    void *memory;
    if (hooks.reallocate) memory = hooks.reallocate(old, (size_t)bytes, hooks.user);
    else memory = realloc(old, (size_t)bytes);
    if (!memory) obi_fail(OBI_ERROR_MEMORY, "out of memory: %zu bytes were refused", (size_t)bytes);
    return memory;
}

void *obi_calloc(size_t count, size_t size)
{
    /* calloc where we can: the kernel's zero pages stay untouched until used. */
    void *memory;
    if (!hooks.allocate) {
        memory = calloc(count ? count : 1, size ? size : 1);
        if (!memory) obi_fail(OBI_ERROR_MEMORY, "out of memory: %zu x %zu bytes were refused", count, size);
        return memory;
    }
    uint64_t bytes;
    if (!obi_checked_mul(count, size, &bytes) || bytes > PTRDIFF_MAX) {
        obi_fail(OBI_ERROR_MEMORY, "a request for %zu x %zu bytes of memory is larger than this machine can address", count, size);
        return NULL;
    }
    memory = hooks.allocate(bytes ? (size_t)bytes : 1, hooks.user);
    if (!memory) {
        obi_fail(OBI_ERROR_MEMORY, "out of memory: %zu bytes were refused", (size_t)bytes);
        return NULL;
    }
    return memset(memory, 0, bytes ? (size_t)bytes : 1);
}

void *obi_realloc(void *old, size_t count, size_t size) { return resize(old, count, size); }

char *obi_strndup(const char *text, size_t length)
{
    char *copy = obi_calloc(length + 1, 1);
    if (copy) memcpy(copy, text, length);
    return copy;
}

char *obi_strdup(const char *text) { return obi_strndup(text, strlen(text)); }

void obi_free(void *memory)
{
    if (!memory) return;
    if (hooks.release) hooks.release(memory, hooks.user);
    else free(memory);
}
