/* op_attn: rotary positions, the key/value cache and attention. Failures are kept in the cmd. */
#ifndef OBI_OPS_OP_ATTN_H
#define OBI_OPS_OP_ATTN_H

#include "core/rope_layout.h"
#include "ops/tensor.h"

/* A kernel binds four buffers, so q, k and v of some tokens may be parts of one: q (tokens,H,C), then k and v (tokens,K,C),
 * each beginning at a multiple of 64 floats. */
typedef struct obi_attn_parts { obi_view q, k, v; } obi_attn_parts;

uint64_t obi_attn_parts_bytes(uint64_t tokens, uint32_t H, uint32_t K, uint32_t C);
/* The parts of `qkv`, which has at least as many bytes. */
obi_attn_parts obi_attn_parts_of(obi_view qkv, uint64_t tokens, uint32_t H, uint32_t K, uint32_t C);

/* Turns the first R of each head's C elements, in place; token t has position first_position + t.
 * table holds cos and sin. R even, R <= C. */
void obi_op_rope_fwd(obi_cmd *cmd, obi_view x /* (T,heads,C) */, obi_view table /* (positions,R/2,2) */, uint32_t T, uint32_t heads,
                     uint32_t C, uint32_t R, uint32_t first_position, obi_rope_layout layout);

/* The gradient of obi_op_rope_fwd, in place: the same pairs turned back. */
void obi_op_rope_bwd(obi_cmd *cmd, obi_view dx /* (T,heads,C) */, obi_view table /* (positions,R/2,2) */, uint32_t T, uint32_t heads,
                     uint32_t C, uint32_t R, uint32_t first_position, obi_rope_layout layout);

/* How a cache holds its elements: floats, or words of two halves, the first in the low one, or each head's vector as a scale and bytes
 * (ref_attn_kv_int8). A half has 11 bits: up to rounding at 2^-11 of each element (2^-10 on drivers that round towards zero), and
 * 65504 for what is larger. A byte is off by 1/254 of its vector's largest. */
typedef enum obi_kv_type { OBI_KV_F32 = 1, OBI_KV_F16 = 2, OBI_KV_INT8 = 3 } obi_kv_type;

/* Keys and values of one layer, each (context, K*C), or (context, K, words of a vector): row p belongs to position p. For halves K*C is
 * even. */
typedef struct obi_kv_cache {
    obi_kv_type type;
    obi_view k, v;
} obi_kv_cache;

/* 32-bit words of `width` elements: an even number for halves, whole vectors of C for bytes. */
static inline uint64_t obi_kv_words(obi_kv_type type, uint64_t width, uint32_t C)
{
    if (type == OBI_KV_INT8) return width / C * ((C + 3) / 4 + 1);
    return type == OBI_KV_F16 ? width / 2 : width;
}

/* Writes T rows of keys and of values into the caches from first_position on. width = K*C.
 * first_position + T must not pass `context`. C counts for bytes only. */
void obi_op_kv_store_fwd(obi_cmd *cmd, obi_kv_cache cache, obi_view k /* (T,width) */, obi_view v /* (T,width) */, uint32_t T,
                         uint32_t width, uint32_t C, uint32_t first_position, uint32_t context);

/* The same of one token whose position is in the device's memory, as a float, `place` floats behind the start of k, whose view reaches
 * there; `last_position` is the largest that it may be. */
void obi_op_kv_store_placed_fwd(obi_cmd *cmd, obi_kv_cache cache, obi_view k /* (1,width), ..., position */, obi_view v /* (1,width) */,
                                uint32_t width, uint32_t C, uint32_t place, uint32_t last_position, uint32_t context);

/* Causal attention: query t sees positions 0..first_position + t, whose keys and values are already in the cache; scale
 * 1/sqrt(C); head h uses key head h / (H/K). C even, up to 256. Long contexts are cut into splits over as many workgroups,
 * whose parts are joined by a second dispatch. Contexts are bounded by obi_op_attn_positions_max and by the range the device
 * can bind. */
void obi_op_attn_fwd(obi_cmd *cmd, obi_view out /* (T,H,C) */, obi_view q /* (T,H,C) */, obi_kv_cache cache, uint32_t T,
                     uint32_t H, uint32_t K, uint32_t C, uint32_t first_position);

/* A part of it. */
/* Whether the kernels of a cache of type INT8 work on this device. */
bool obi_kv_int8_possible(const obi_device *device);

typedef struct obi_attn_range {
    uint32_t first, count; /* queries of the T; at least one */
    uint32_t splits;       /* at most OBI_ATTN_SPLITS_MAX; 0: obi_op_attn_splits for all T */
    uint32_t place;        /* not 0, and T = 1: the position is in the device's memory, as a float, this many floats behind the
                            * start of q, whose view reaches there; first_position is the largest that it may be */
    uint32_t head, heads;  /* of the H; heads 0: all from `head` on. Fewer than all only where obi_op_attn_by_heads */
} obi_attn_range;

/* Whether attention of T queries, the last of which sees `positions`, may be recorded for some heads at a time: on software drivers,
 * where it is made of matrix products. */
bool obi_op_attn_by_heads(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t C, uint64_t positions);

#define OBI_ATTN_SPLITS_MAX 64u
#define OBI_ATTN_TILE 4u /* queries that a workgroup takes where there are several */

void obi_op_attn_range_fwd(obi_cmd *cmd, obi_view out /* (T,H,C) */, obi_view q /* (T,H,C) */, obi_kv_cache cache, uint32_t T,
                           uint32_t H, uint32_t K, uint32_t C, uint32_t first_position, obi_attn_range range);

/* Into how many splits obi_op_attn_fwd cuts `positions` for T queries. The same from one power of two of positions to the next, and
 * right for fewer positions too: what is recorded once serves all of these. */
uint32_t obi_op_attn_splits(const obi_device *device, uint32_t T, uint32_t H, uint32_t C, uint64_t positions);

/* The most scratch of the cmd that obi_op_attn_fwd takes for T tokens or fewer, whose last one sees `positions` or fewer, and at least T:
 * parts of splits, or the scores of a prompt. 0 where it takes none. */
uint64_t obi_op_attn_fwd_bytes(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t K, uint32_t C,
                               uint64_t positions);

/* The most positions that obi_op_attn_fwd goes through; more would pass OBI_LOOP_MAX in every split. At least 2^21. */
uint32_t obi_op_attn_positions_max(const obi_device *device, uint32_t C);

/* obi_op_attn_fwd for B sequences of T tokens each, one after the other, each seeing itself only: the forward pass of
 * training. The views may be parts of one buffer. */
void obi_op_attn_train_fwd(obi_cmd *cmd, obi_view out /* (B,T,H,C) */, obi_view q /* (B,T,H,C) */, obi_view k /* (B,T,K,C) */,
                           obi_view v /* (B,T,K,C) */, uint32_t B, uint32_t T, uint32_t H, uint32_t K, uint32_t C);

/* The workgroup of the attention kernels for heads of C elements: each lane has at most four of them. */
uint32_t obi_op_attn_workgroup(const obi_device *device, uint32_t C);

#endif
