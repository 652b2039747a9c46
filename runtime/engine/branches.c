#include "engine/branches.h"

#include "core/checked.h"
#include "engine/attention.h"

/* Where in the room a branch has its parts (n,..), as obi_op_post_qkv_fwd wants them, and its (n,H,C) of results. */
typedef struct branch_room {
    obi_view qkv, out;
    uint64_t end;
} branch_room;

static branch_room room_at(const obi_session *session, uint64_t offset, uint32_t n)
{
    const obi_config *config = &session->weights->config;
    branch_room room;
    room.qkv = (obi_view){ session->branches.room, offset, obi_attn_parts_bytes(n, config->heads, config->kv_heads, config->head_size) };
    room.out = (obi_view){ session->branches.room, obi_align_up(offset + room.qkv.size, OBI_BUFFER_ALIGNMENT),
                           (uint64_t)n * config->heads * config->head_size * 4 };
    room.end = obi_align_up(room.out.offset + room.out.size, OBI_BUFFER_ALIGNMENT);
    return room;
}

obi_status obi_branches_prepare(obi_session *session)
{
    const obi_config *config = &session->weights->config;
    if (session->branches.room) return OBI_OK;
    uint64_t rows = session->score_rows, most = rows < OBI_BRANCHES_MAX ? rows : OBI_BRANCHES_MAX;
    uint64_t row = 2ull * (config->heads + config->kv_heads) * config->head_size * 4; /* q and out, k and v */
    return obi_buffer_create(session->device, rows * row + most * 4 * OBI_BUFFER_ALIGNMENT, OBI_MEMORY_DEVICE, &session->branches.room);
}

void obi_branches_begin(obi_session *session, const uint32_t *tokens, uint32_t count)
{
    session->branches.tokens = tokens;
    session->branches.count = count;
}

void obi_branches_end(obi_session *session) { session->branches.count = 0; }

uint32_t obi_branches_position(const obi_session *session, uint32_t t)
{
    const obi_branches *branches = &session->branches;
    for (uint32_t i = 0; i < branches->count && t >= branches->tokens[i]; i++) t -= branches->tokens[i];
    return session->position + t;
}

static obi_view some_rows(obi_view of, uint64_t first, uint64_t count, uint64_t width)
{
    return (obi_view){ of.buffer, of.offset + first * width * 4, count * width * 4 };
}

static void store_and_attend(obi_session *session, const branch_room *room, obi_kv_cache cache, const obi_post_qkv *qkv, uint32_t n,
                             obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    uint32_t H = config->heads, K = config->kv_heads, C = config->head_size;
    obi_attn_parts at = obi_attn_parts_of(room->qkv, n, H, K, C);
    if (qkv) {
        obi_post_qkv own = *qkv;
        own.T = n;
        obi_op_post_qkv_fwd(session->cmd, room->qkv, obi_view_of(session->rope_table), cache, &own);
    } else {
        obi_op_kv_store_fwd(session->cmd, cache, at.k, at.v, n, K * C, C, session->position, session->context);
    }
    if (n > 1) {
        obi_attention_forward(session, room->out, at.q, cache, n, pace);
    } else { /* its position is recorded, where that of a session's single token is in memory */
        obi_pace_before(pace, 2.0 * H * C * ((double)session->position + 1) * pace->attention_cost);
        obi_op_attn_fwd(session->cmd, room->out, at.q, cache, 1, H, K, C, session->position);
    }
}

void obi_branches_attend(obi_session *session, obi_view out, obi_attn_parts from, obi_kv_cache cache, const obi_post_qkv *qkv,
                         obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    const obi_branches *branches = &session->branches;
    uint32_t H = config->heads, K = config->kv_heads, C = config->head_size, first = 0;
    uint64_t offset = 0, q_width = (uint64_t)H * C, width = (uint64_t)K * C;
    branch_room room[OBI_BRANCHES_MAX];
    for (uint32_t i = 0; i < branches->count; i++) {
        uint32_t n = branches->tokens[i];
        room[i] = room_at(session, offset, n);
        offset = room[i].end;
        obi_attn_parts at = obi_attn_parts_of(room[i].qkv, n, H, K, C);
        obi_cmd_copy(session->cmd, at.q, some_rows(from.q, first, n, q_width));
        obi_cmd_copy(session->cmd, at.k, some_rows(from.k, first, n, width));
        obi_cmd_copy(session->cmd, at.v, some_rows(from.v, first, n, width));
        first += n;
    }
    for (uint32_t i = 0; i < branches->count; i++) store_and_attend(session, &room[i], cache, qkv, branches->tokens[i], pace);
    first = 0;
    for (uint32_t i = 0; i < branches->count; first += branches->tokens[i++])
        obi_cmd_copy(session->cmd, some_rows(out, first, branches->tokens[i], q_width), room[i].out);
}
