#include "gpu/upload.h"

#include <string.h>

#include "core/alloc.h"

struct obi_upload {
    obi_device *device;
    obi_workers *workers;
    bool in_place;
    obi_buffer *staging[2]; /* made at first use */
    obi_cmd *cmd[2];
    bool pending[2];   /* submitted, not waited for */
    int half;          /* the one being filled */
    bool recording;    /* commands were recorded into this half's cmd */
    uint64_t filled;   /* bytes of this half already promised to copies */
    obi_view reserved; /* the open reservation; no buffer: there is none */
};

obi_status obi_upload_create(obi_device *device, obi_upload **out)
{
    *out = NULL;
    obi_upload *upload = obi_calloc(1, sizeof *upload);
    if (!upload) return OBI_ERROR_MEMORY;
    upload->device = device;
    *out = upload;
    return OBI_OK;
}

static obi_status make_staging(obi_upload *upload)
{
    for (int i = 0; i < 2; i++) {
        if (!upload->staging[i])
            OBI_TRY(obi_buffer_create(upload->device, OBI_UPLOAD_HALF_BYTES, OBI_MEMORY_UPLOAD, &upload->staging[i]));
        if (!upload->cmd[i]) OBI_TRY(obi_cmd_create(upload->device, &upload->cmd[i]));
    }
    return OBI_OK;
}

void obi_upload_destroy(obi_upload *upload)
{
    if (!upload) return;
    for (int i = 0; i < 2; i++) {
        obi_cmd_destroy(upload->cmd[i]);
        obi_buffer_destroy(upload->device, upload->staging[i]);
    }
    obi_workers_destroy(upload->workers);
    obi_free(upload);
}

void obi_upload_in_place(obi_upload *upload) { upload->in_place = upload->device->caps.unified; }

obi_workers *obi_upload_workers(obi_upload *upload)
{
    if (!upload->workers) upload->workers = obi_workers_create();
    return upload->workers;
}

/* Where the host sees this buffer; NULL: it goes through the staging buffer. */
static uint8_t *place_of(const obi_upload *upload, const obi_buffer *buffer)
{
    return upload->in_place ? obi_buffer_host(buffer) : NULL;
}

uint64_t obi_upload_most(const obi_upload *upload, const obi_buffer *buffer)
{
    return place_of(upload, buffer) ? UINT64_MAX : OBI_UPLOAD_HALF_BYTES;
}

/* Submits what this half holds and goes on with the other, once the device is done with that. */
static obi_status turn(obi_upload *upload)
{
    if (upload->recording) {
        OBI_TRY(obi_buffer_flush(upload->device, upload->staging[upload->half], 0, upload->filled));
        OBI_TRY(obi_cmd_submit(upload->cmd[upload->half]));
        upload->pending[upload->half] = true;
        upload->recording = false;
    }
    upload->half ^= 1;
    upload->filled = 0;
    if (upload->pending[upload->half]) {
        upload->pending[upload->half] = false;
        OBI_TRY(obi_cmd_wait(upload->cmd[upload->half]));
    }
    return OBI_OK;
}

obi_status obi_upload_reserve(obi_upload *upload, obi_view to, void **space)
{
    uint8_t *place = place_of(upload, to.buffer);
    if (to.size % 4 || to.offset + to.size > to.buffer->size || (!place && to.size > OBI_UPLOAD_HALF_BYTES))
        return obi_fail(OBI_ERROR_ARGUMENT, "an upload of %llu bytes at once is too large", (unsigned long long)to.size);
    if (place) {
        *space = place + to.offset;
    } else {
        if (!upload->cmd[1]) OBI_TRY(make_staging(upload)); /* the last that it makes */
        if (to.size > OBI_UPLOAD_HALF_BYTES - upload->filled) OBI_TRY(turn(upload));
        *space = (uint8_t *)upload->staging[upload->half]->mapped + upload->filled;
    }
    upload->reserved = to;
    return OBI_OK;
}

obi_status obi_upload_commit(obi_upload *upload)
{
    obi_view to = upload->reserved;
    if (!to.buffer) return obi_fail(OBI_ERROR_ARGUMENT, "an upload was not reserved");
    upload->reserved.buffer = NULL;
    if (place_of(upload, to.buffer)) return obi_buffer_flush(upload->device, to.buffer, to.offset, to.size);
    obi_cmd *cmd = upload->cmd[upload->half];
    if (!upload->recording) {
        obi_cmd_begin(cmd);
        upload->recording = true;
    }
    obi_view from = { upload->staging[upload->half], upload->filled, to.size };
    obi_cmd_copy(cmd, to, from);
    upload->filled += (to.size + 255) / 256 * 256;
    if (upload->filled > OBI_UPLOAD_HALF_BYTES) upload->filled = OBI_UPLOAD_HALF_BYTES;
    return obi_cmd_status(cmd);
}

obi_status obi_upload_finish(obi_upload *upload)
{
    if (!upload->cmd[1]) return OBI_OK; /* nothing went through it */
    OBI_TRY(turn(upload));
    return turn(upload);
}

obi_status obi_upload_bytes(obi_upload *upload, obi_view to, const void *data, uint64_t bytes)
{
    const uint8_t *from = data;
    uint64_t most = obi_upload_most(upload, to.buffer);
    while (bytes > 0) {
        uint64_t part = bytes < most ? bytes : most;
        obi_view piece = { to.buffer, to.offset, part };
        void *space = NULL;
        OBI_TRY(obi_upload_reserve(upload, piece, &space));
        memcpy(space, from, (size_t)part);
        OBI_TRY(obi_upload_commit(upload));
        from += part;
        to.offset += part;
        bytes -= part;
    }
    return obi_upload_finish(upload);
}

obi_status obi_download_bytes(obi_device *device, obi_view from, void *data, uint64_t bytes)
{
    obi_buffer *staging = NULL;
    obi_cmd *cmd = NULL;
    uint64_t piece = bytes < OBI_UPLOAD_HALF_BYTES ? bytes : OBI_UPLOAD_HALF_BYTES;
    uint8_t *to = data;
    obi_status status;
    if (bytes == 0) return OBI_OK;
    OBI_TRY_GOTO(obi_buffer_create(device, piece, OBI_MEMORY_READBACK, &staging));
    OBI_TRY_GOTO(obi_cmd_create(device, &cmd));
    while (bytes > 0) {
        uint64_t part = bytes < piece ? bytes : piece;
        obi_view destination = { staging, 0, part }, source = { from.buffer, from.offset, part };
        obi_cmd_begin(cmd);
        obi_cmd_copy(cmd, destination, source);
        OBI_TRY_GOTO(obi_cmd_run(cmd));
        OBI_TRY_GOTO(obi_buffer_invalidate(device, staging, 0, part));
        memcpy(to, staging->mapped, (size_t)part);
        to += part;
        from.offset += part;
        bytes -= part;
    }
done:
    obi_cmd_destroy(cmd);
    obi_buffer_destroy(device, staging);
    return status;
}
