#include "engine/attention.h"

uint32_t obi_attention_place(const obi_config *config)
{
    return (uint32_t)(obi_attn_parts_bytes(1, config->heads, config->kv_heads, config->head_size) / 4);
}

#define PRODUCT_QUERIES 128u /* of a piece of attention: as many as its products like */

/* Attention made of matrix products in several submissions over a long context: some queries and some heads each. */
static void attention_by_heads(obi_session *session, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    uint32_t H = config->heads, K = config->kv_heads, C = config->head_size;
    for (uint32_t first = 0; first < T; first += PRODUCT_QUERIES) {
        uint32_t count = T - first < PRODUCT_QUERIES ? T - first : PRODUCT_QUERIES;
        double per_head = 2.0 * count * C * ((double)session->position + first + count) * pace->products_cost;
        uint32_t some = obi_pace_share(pace, H, 1, per_head);
        for (uint32_t head = 0; head < H; head += some) {
            obi_attn_range range = { .first = first, .count = count, .head = head, .heads = H - head < some ? H - head : some };
            obi_pace_before(pace, per_head * range.heads);
            obi_op_attn_range_fwd(session->cmd, out, q, cache, T, H, K, C, session->position, range);
        }
    }
}

void obi_attention_forward(obi_session *session, obi_view out, obi_view q, obi_kv_cache cache, uint32_t T, obi_pace *pace)
{
    const obi_config *config = &session->weights->config;
    uint32_t H = config->heads, K = config->kv_heads, C = config->head_size;
    if (T == 1) {
        obi_attn_range one = { .count = 1, .place = obi_attention_place(config) };
        q.size = ((uint64_t)one.place + 1) * 4;
        obi_op_attn_range_fwd(session->cmd, out, q, cache, 1, H, K, C, obi_session_reach(session) - 1, one);
        return;
    }
    if (obi_op_attn_by_heads(session->device, cache.type, T, H, C, (uint64_t)session->position + T)) {
        attention_by_heads(session, out, q, cache, T, pace);
        return;
    }
    double per_query = 2.0 * H * C * ((double)session->position + T) * pace->attention_cost;
    uint32_t some = obi_pace_share(pace, T, OBI_ATTN_TILE, per_query);
    for (uint32_t first = 0; first < T; first += some) {
        obi_attn_range range = { .first = first, .count = T - first < some ? T - first : some };
        obi_pace_before(pace, per_query * range.count);
        obi_op_attn_range_fwd(session->cmd, out, q, cache, T, H, K, C, session->position, range);
    }
}
