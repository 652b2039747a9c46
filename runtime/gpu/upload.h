/* upload: host bytes into device buffers and back, through a staging buffer or straight into memory that the host sees; and simple
 * whole transfers for tests. */
#ifndef OBI_GPU_UPLOAD_H
#define OBI_GPU_UPLOAD_H

#include "core/workers.h"
#include "gpu/cmd.h"

/* A staging ring of two halves: while the device copies one, the host fills the other. One thread. */
typedef struct obi_upload obi_upload;

#define OBI_UPLOAD_HALF_BYTES (8u << 20)

obi_status obi_upload_create(obi_device *device, obi_upload **out);
void obi_upload_destroy(obi_upload *upload); /* waits; NULL is allowed */

/* From now on what the host fills is the buffer itself where device and host share memory (caps.unified), without staging and
 * without a copy on the device. The caller promises that no command that was submitted uses the buffers: they are new. */
void obi_upload_in_place(obi_upload *upload);

/* How many bytes one reservation for this buffer may have: what the staging buffer holds, or any number in place. */
uint64_t obi_upload_most(const obi_upload *upload, const obi_buffer *buffer);

/* Space for the to.size bytes of `to`, a multiple of 4 and <= obi_upload_most, that the host fills, by any threads: writes it, in
 * order where it can, and does not read it. Then obi_upload_commit takes it there. */
obi_status obi_upload_reserve(obi_upload *upload, obi_view to, void **space);
obi_status obi_upload_commit(obi_upload *upload);
obi_status obi_upload_finish(obi_upload *upload); /* waits until every copy has been done */

/* Threads for the filling, made at first use; NULL: there is no memory for them. They are the upload's. */
obi_workers *obi_upload_workers(obi_upload *upload);

/* Whole transfers, any size: copy, wait. */
obi_status obi_upload_bytes(obi_upload *upload, obi_view to, const void *data, uint64_t bytes); /* bytes a multiple of 4 */
obi_status obi_download_bytes(obi_device *device, obi_view from, void *data, uint64_t bytes);   /* bytes a multiple of 4 */

#endif
