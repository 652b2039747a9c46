#include <stdatomic.h>

#include "api/api_internal.h"
#include "core/alloc.h"

static atomic_int contexts;

void obi_contexts_count(int more) { atomic_fetch_add(&contexts, more); }

ob_status ob_set_allocator(const ob_allocator *allocator)
{
    int alive = atomic_load(&contexts);
    if (alive > 0)
        return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "the allocator cannot change while %d context%s; destroy what there is first", alive,
                                   alive == 1 ? " lives" : "s live"));
    if (!allocator) {
        obi_alloc_set_hooks(NULL);
        return OB_OK;
    }
    if (!allocator->allocate || !allocator->reallocate || !allocator->release)
        return obi_public(obi_fail(OBI_ERROR_ARGUMENT, "an allocator needs all of its three functions"));
    obi_alloc_set_hooks(
        &(obi_alloc_hooks){ allocator->allocate, allocator->reallocate, allocator->release, allocator->user });
    return OB_OK;
}
