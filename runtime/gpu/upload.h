/* upload: host bytes into device buffers and back, through one staging buffer; and simple whole transfers for tests. */
#ifndef OBI_GPU_UPLOAD_H
#define OBI_GPU_UPLOAD_H

#include "gpu/cmd.h"

/* A staging ring of two halves: while the device copies one, the host fills the other. One thread. */
typedef struct obi_upload obi_upload;

#define OBI_UPLOAD_HALF_BYTES (8u << 20)

obi_status obi_upload_create(obi_device *device, obi_upload **out);
void obi_upload_destroy(obi_upload *upload); /* waits; NULL is allowed */

/* Space for `bytes` (<= OBI_UPLOAD_HALF_BYTES) that the host fills; then obi_upload_commit copies it to `to`. */
obi_status obi_upload_reserve(obi_upload *upload, uint64_t bytes, void **space);
obi_status obi_upload_commit(obi_upload *upload, obi_view to); /* to.size bytes, <= what was reserved, multiple of 4 */
obi_status obi_upload_finish(obi_upload *upload); /* waits until every copy has been done */

/* Whole transfers, any size: copy, wait. */
obi_status obi_upload_bytes(obi_upload *upload, obi_view to, const void *data, uint64_t bytes); /* bytes a multiple of 4 */
obi_status obi_download_bytes(obi_device *device, obi_view from, void *data, uint64_t bytes);   /* bytes a multiple of 4 */

#endif
