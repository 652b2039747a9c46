/* cmd: records dispatches and copies, submits them once, waits.
 *
 * Recording functions return nothing: the first failure is kept and returned by obi_cmd_submit or obi_cmd_run, and what
 * is recorded after it is dropped. So a forward pass can be a plain list of calls.
 *
 * Barriers come from what each dispatch says it reads and writes: one is recorded exactly when a dispatch reads or
 * writes what an earlier one in this command buffer wrote, or writes what an earlier one read.
 *
 * A cmd belongs to one thread at a time. Buffers bound in it must live until it has been waited for. */
#ifndef OBI_GPU_CMD_H
#define OBI_GPU_CMD_H

#include "gpu/device.h"
#include "gpu/slice.h"

/* A range of a buffer: what an op reads or writes. offset is a multiple of OBI_BUFFER_ALIGNMENT, size > 0. */
typedef struct obi_view {
    const obi_buffer *buffer;
    uint64_t offset, size; /* bytes */
} obi_view;

static inline obi_view obi_view_of(const obi_buffer *buffer)
{
    obi_view view = { buffer, 0, buffer->size };
    return view;
}

typedef enum obi_access { OBI_READ = 1, OBI_WRITE = 2, OBI_READ_WRITE = 3 } obi_access;

typedef struct obi_binding { obi_view view; obi_access access; } obi_binding;

static inline obi_binding obi_reads(obi_view view) { obi_binding binding = { view, OBI_READ }; return binding; }
static inline obi_binding obi_writes(obi_view view) { obi_binding binding = { view, OBI_WRITE }; return binding; }
static inline obi_binding obi_updates(obi_view view) { obi_binding binding = { view, OBI_READ_WRITE }; return binding; }

typedef struct obi_dispatch {
    int kernel;                              /* OBI_KERNEL_... */
    uint32_t spec[OBI_SPEC_MAX];             /* spec[0] = workgroup size */
    uint32_t spec_count;
    uint32_t groups[3];                      /* each >= 1 and <= the device's limit: checked */
    const void *push;                        /* copied */
    uint32_t push_bytes;                     /* multiple of 4, <= OBI_PUSH_BYTES_MAX */
    obi_binding bindings[OBI_BINDINGS_MAX];  /* binding i % OBI_BINDINGS_SET of set i / OBI_BINDINGS_SET */
    uint32_t binding_count;                  /* at most caps.bindings */
    uint64_t bytes;                          /* bytes it must move at the least, for the profile; 0 = unknown */
} obi_dispatch;

typedef struct obi_cmd obi_cmd;

obi_status obi_cmd_create(obi_device *device, obi_cmd **out);
void obi_cmd_destroy(obi_cmd *cmd); /* waits if needed; NULL is allowed */
obi_device *obi_cmd_device(const obi_cmd *cmd);

void obi_cmd_begin(obi_cmd *cmd);   /* forgets what was recorded; waits for the last submit first */
/* The same, for commands that obi_cmd_again may submit again. */
void obi_cmd_begin_kept(obi_cmd *cmd);
/* The same, but what follows is not recorded: which pipelines it needs is noted, submits and other begins do nothing, until
 * obi_cmd_prepare makes those pipelines, several at once (obi_pipelines_prepare). Then begin for good. What failed while noting is
 * returned, and would fail again. */
void obi_cmd_begin_noting(obi_cmd *cmd);
obi_status obi_cmd_prepare(obi_cmd *cmd);
/* Submits once more what was recorded since obi_cmd_begin_kept and submitted without a failure. Not after another
 * begin: obi_cmd_kept says whether it can be. What is recorded reads its buffers anew; no push constant and no grid changes. */
obi_status obi_cmd_again(obi_cmd *cmd);
bool obi_cmd_kept(const obi_cmd *cmd); /* false while kernels are timed, too */
bool obi_cmd_profiled(const obi_cmd *cmd); /* they are */
/* The same as obi_cmd_begin for a piece of a list of commands (obi_slice_set): what is recorded until the submit is the whole list, every
 * time the same, and only the piece is submitted. The slice must live until it has been waited for. */
void obi_cmd_begin_slice(obi_cmd *cmd, obi_slice *slice);
/* The most bytes that an op which can do its work in parts should have one dispatch move; UINT64_MAX while no piece is recorded. The same
 * for all pieces of a list on a device. */
uint64_t obi_cmd_part_bytes(const obi_cmd *cmd);
bool obi_cmd_sliced(const obi_cmd *cmd); /* a piece is being recorded */
void obi_cmd_dispatch(obi_cmd *cmd, const obi_dispatch *dispatch);
void obi_cmd_copy(obi_cmd *cmd, obi_view to, obi_view from); /* to.size bytes; from may be larger */
void obi_cmd_fill(obi_cmd *cmd, obi_view view, uint32_t word); /* size a multiple of 4 */
/* A view of at least `bytes` on the device for what is recorded next; the following call gives the same memory again, and
 * barriers order the two. False: out of memory, and the cmd has failed. Grows, and stays until the cmd is destroyed. */
bool obi_cmd_scratch(obi_cmd *cmd, uint64_t bytes, obi_view *view);
/* Makes it `bytes` large now, so that recording needs no memory later. Not while commands wait to be submitted. */
obi_status obi_cmd_reserve(obi_cmd *cmd, uint64_t bytes);
/* OBI_COUNTERS words on the device that are 0 when the dispatch begins that is recorded next with this view as one that it updates; it
 * must leave them so (common/last_group.glsl). The same memory every time; barriers order its users. False: the cmd has failed. */
#define OBI_COUNTERS 4u
bool obi_cmd_counters(obi_cmd *cmd, obi_view *view);
void obi_cmd_fail(obi_cmd *cmd, obi_status status); /* an op's own check failed: obi_fail was called, keep the code */
obi_status obi_cmd_status(const obi_cmd *cmd);

/* Ends recording and submits. A READBACK buffer written here can be read by the host after obi_cmd_wait. */
obi_status obi_cmd_submit(obi_cmd *cmd);
/* Waits for the last submit. Finite: after 5 minutes without an answer the device counts as lost. */
obi_status obi_cmd_wait(obi_cmd *cmd);
/* Looks whether the last submit is done, without waiting; then it was waited for. A device that does not answer for 5 minutes counts as
 * lost. */
obi_status obi_cmd_poll(obi_cmd *cmd, bool *done);
obi_status obi_cmd_run(obi_cmd *cmd); /* submit, wait */

/* Counts since creation, for tests: */
uint32_t obi_cmd_submits(const obi_cmd *cmd);
double obi_cmd_longest(const obi_cmd *cmd);      /* seconds from a submit to the end of the wait for it */
uint32_t obi_cmd_barriers(const obi_cmd *cmd);   /* since the last begin */
uint32_t obi_cmd_dispatches(const obi_cmd *cmd); /* since the last begin */

/* ---- profile: time per kernel, from GPU timestamps -------------------------------------------------------------- */
typedef struct obi_profile_row { int kernel; uint64_t calls; double seconds; uint64_t bytes; } obi_profile_row;
/* Turns timestamps on for what is recorded after the next begin; does nothing where the queue has none. */
void obi_cmd_profile(obi_cmd *cmd, bool on);
/* Sums since profiling was turned on, of every kernel that ran; at most OBI_KERNEL_COUNT rows. Returns how many. */
uint32_t obi_cmd_profile_rows(const obi_cmd *cmd, obi_profile_row rows[OBI_KERNEL_COUNT]);

#endif
