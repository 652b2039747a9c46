#version 450
#extension GL_GOOGLE_include_directive : require
// Signs turned: word (p / 32, q) of c holds bit q of 32 rows of a, the p-th in bit p % 32. For software drivers, whose products
// with signs want words along k (gemm_straight); the backward product has k down the columns of S.
//
// b0 w  c  words
// push: obi_push_straight without b; k_count is 1; a = the words of S (p, q / 32), c (p / 32, q); q counts words of a
// spec 0: workgroup, 128      spec 1: careful
// grid: x = ceil(q_count / 2), y = ceil(p_count / 256); below 256 each
// tiers: A
//
// A subgroup turns 32 rows x one word of each, a lane columns {8i + lane}.
#include "common/straight_tile.glsl"

void main()
{
    ob_tile tile = ob_find_tile(2u, 32u, 1u);
    uint64_t a = ob_address(push.a_low, push.a_high) + uint64_t(tile.q) * 4ul;
    uint64_t a_step = uint64_t(push.a_stride) * 4ul;
    uint at = push.c_first + (tile.p >> 5) * push.c_stride + 32u * tile.q;

    // A byte i of rows##b has column 8i + lane of eight rows, a row a bit.
#define ROW(i) (ob_word(a + uint64_t(tile.p + (CAREFUL ? min(i, tile.p_last) : i)) * a_step, 0u) >> LANE & 0x01010101u)
#define BYTE(b)                                                                                                           \
    uint rows##b = ROW(8u * b) | ROW(8u * b + 1u) << 1 | ROW(8u * b + 2u) << 2 | ROW(8u * b + 3u) << 3 |                   \
                   ROW(8u * b + 4u) << 4 | ROW(8u * b + 5u) << 5 | ROW(8u * b + 6u) << 6 | ROW(8u * b + 7u) << 7;
    EACH4(BYTE)
#define COLUMN(i)                                                                                                         \
    {                                                                                                                     \
        uint word = (rows0 >> 8 * i & 255u) | (rows1 >> 8 * i & 255u) << 8 | (rows2 >> 8 * i & 255u) << 16 |               \
                    (rows3 >> 8 * i & 255u) << 24;                                                                        \
        uint first = at + 8u * i;                                                                                         \
        STORE(0) STORE(1) STORE(2) STORE(3) STORE(4) STORE(5) STORE(6) STORE(7)                                           \
    }
#define STORE(lane) c[first + uint(lane)] = subgroupShuffle(word, uint(lane));
    EACH4(COLUMN)
}
