#include "quant/train/exchange.h"

#include <string.h>

#include "core/alloc.h"
#include "core/checked.h"

#define CHUNK_BYTES (OBI_EXCHANGE_BYTES / 2) /* a multiple of OBI_BUFFER_ALIGNMENT */

struct obi_exchange {
    obi_device *device;
    const obi_ranks *ranks;
    obi_cmd *cmd;
    obi_buffer *down, *up; /* CHUNK_BYTES each */
    float *values;         /* a chunk: what is mapped may be slow to read */
};

obi_status obi_exchange_create(obi_device *device, const obi_ranks *ranks, obi_exchange **out)
{
    *out = NULL;
    if (obi_ranks_size(ranks) == 1) return OBI_OK;
    obi_exchange *exchange = obi_calloc(1, sizeof *exchange);
    if (!exchange) return OBI_ERROR_MEMORY;
    exchange->device = device;
    exchange->ranks = ranks;
    obi_status status;
    OBI_TRY_GOTO(obi_cmd_create(device, &exchange->cmd));
    OBI_TRY_GOTO(obi_buffer_create(device, CHUNK_BYTES, OBI_MEMORY_READBACK, &exchange->down));
    OBI_TRY_GOTO(obi_buffer_create(device, CHUNK_BYTES, OBI_MEMORY_UPLOAD, &exchange->up));
    exchange->values = obi_calloc(CHUNK_BYTES, 1);
    if (!exchange->values) status = OBI_ERROR_MEMORY;
done:
    if (status != OBI_OK) obi_exchange_destroy(exchange);
    else *out = exchange;
    return status;
}

void obi_exchange_destroy(obi_exchange *exchange)
{
    if (!exchange) return;
    obi_cmd_destroy(exchange->cmd);
    obi_buffer_destroy(exchange->device, exchange->down);
    obi_buffer_destroy(exchange->device, exchange->up);
    obi_free(exchange->values);
    obi_free(exchange);
}

/* A place in the arrays. */
typedef struct cursor {
    size_t view;
    uint64_t offset; /* bytes into it */
} cursor;

/* Records copies between a chunk and the arrays from `at` on, as many as it holds; returns where the next chunk begins. */
static cursor copy_chunk(obi_exchange *exchange, const obi_view *views, size_t count, cursor at, bool down, uint64_t *bytes)
{
    uint64_t used = 0;
    while (at.view < count && used < CHUNK_BYTES) {
        const obi_view *view = &views[at.view];
        uint64_t part = view->size - at.offset;
        if (part > CHUNK_BYTES - used) part = CHUNK_BYTES - used;
        obi_view array = { view->buffer, view->offset + at.offset, part };
        obi_view chunk = { down ? exchange->down : exchange->up, used, part };
        if (down) obi_cmd_copy(exchange->cmd, chunk, array);
        else obi_cmd_copy(exchange->cmd, array, chunk);
        used += obi_align_up(part, OBI_BUFFER_ALIGNMENT);
        at.offset += part;
        if (at.offset == view->size) at = (cursor){ at.view + 1, 0 };
    }
    *bytes = used;
    return at;
}

/* One chunk, which came down, between the ranks; the result is ready to go up. */
static obi_status meet(obi_exchange *exchange, uint64_t bytes, bool sum)
{
    bool first = exchange->ranks->rank == 0;
    if (sum || first) {
        OBI_TRY(obi_buffer_invalidate(exchange->device, exchange->down, 0, bytes));
        memcpy(exchange->values, exchange->down->mapped, bytes);
    }
    if (sum) OBI_TRY(obi_ranks_sum_floats(exchange->ranks, exchange->values, bytes / 4));
    else OBI_TRY(obi_ranks_broadcast(exchange->ranks, exchange->values, bytes));
    memcpy(exchange->up->mapped, exchange->values, bytes);
    return obi_buffer_flush(exchange->device, exchange->up, 0, bytes);
}

/* Each submission takes the last chunk up and the next one down. */
static obi_status run(obi_exchange *exchange, const obi_view *views, size_t count, bool sum)
{
    cursor last = { 0 }, at = { 0 };
    uint64_t bytes = 0, ignored;
    if (!exchange) return OBI_OK;
    for (bool begun = false;; begun = true) {
        obi_cmd_begin(exchange->cmd);
        if (begun) copy_chunk(exchange, views, count, last, false, &ignored);
        if (at.view == count) return begun ? obi_cmd_run(exchange->cmd) : OBI_OK;
        last = at;
        at = copy_chunk(exchange, views, count, at, true, &bytes);
        OBI_TRY(obi_cmd_run(exchange->cmd));
        OBI_TRY(meet(exchange, bytes, sum));
    }
}

obi_status obi_exchange_sum(obi_exchange *exchange, const obi_view *views, size_t count) { return run(exchange, views, count, true); }
obi_status obi_exchange_share(obi_exchange *exchange, const obi_view *views, size_t count) { return run(exchange, views, count, false); }
