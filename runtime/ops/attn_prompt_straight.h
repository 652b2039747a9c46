/* attn_prompt_straight: attention of a prompt's queries over the cache on software drivers (caps.straight), as matrix products and
 * a row kernel, with the scores of some queries and heads at a time in scratch (obi_cmd_scratch). Called by op_attn, which has
 * checked the views. */
#ifndef OBI_OPS_ATTN_PROMPT_STRAIGHT_H
#define OBI_OPS_ATTN_PROMPT_STRAIGHT_H

#include "ops/op_attn.h"

#define OBI_ATTN_PROMPT_TOKENS 8u       /* fewer go the usual way */
#define OBI_ATTN_PROMPT_POSITIONS 65535u /* what fits the kernel's chunks */

/* Whether the device takes this way for T queries of the last of `positions`: a cache of floats, C a multiple of 8, at least
 * OBI_ATTN_PROMPT_TOKENS queries and at most OBI_ATTN_PROMPT_POSITIONS. */
bool obi_attn_prompt_straight_takes(const obi_device *device, obi_kv_type type, uint32_t T, uint32_t H, uint32_t C, uint64_t positions);

/* The most scratch that it takes for T queries or fewer, OBI_ATTN_PROMPT_TOKENS at least, whose last one sees `positions` or fewer, and
 * at least T. */
uint64_t obi_attn_prompt_straight_bytes(const obi_device *device, uint32_t T, uint32_t H, uint32_t K, uint32_t C, uint32_t positions);

/* Records queries [range.first, + range.count), a multiple of 4 of them, for heads [range.head, + range.heads). */
void obi_attn_prompt_straight(obi_cmd *cmd, obi_view out /* (T,H,C) */, obi_view q /* (T,H,C) */, obi_kv_cache cache, uint32_t H,
                              uint32_t K, uint32_t C, uint32_t first_position, obi_attn_range range);

#endif
