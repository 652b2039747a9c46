/* Files made to break a reader: cut short, with counts and sizes that lie, and with bytes flipped at random. Each is read
 * from a heap block of exactly its size, so that the sanitizer sees a single byte too many. */
#include <string.h>

#include "data.h"
#include "gguf_use.h"
#include "core/alloc.h"
#include "core/file.h"
#include "core/rng.h"
#include "model/gguf.h"

/* ---- building ----------------------------------------------------------------------------------------------- */

typedef struct build { uint8_t data[1 << 17]; size_t size; } build;

static void add_bytes(build *b, const void *data, size_t size)
{
    assert_true(size <= sizeof b->data - b->size);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void add_integer(build *b, uint64_t value, unsigned size)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < size; i++) bytes[i] = (uint8_t)(value >> (8 * i));
    add_bytes(b, bytes, size);
}

static void add_u32(build *b, uint64_t value) { add_integer(b, value, 4); }
static void add_u64(build *b, uint64_t value) { add_integer(b, value, 8); }

static void add_string(build *b, const char *text)
{
    add_u64(b, strlen(text));
    add_bytes(b, text, strlen(text));
}

static void add_header(build *b, uint32_t version, uint64_t tensors, uint64_t values)
{
    add_bytes(b, "GGUF", 4);
    add_u32(b, version);
    add_u64(b, tensors);
    add_u64(b, values);
}

static void add_key(build *b, const char *key, uint32_t type)
{
    add_string(b, key);
    add_u32(b, type);
}

static void add_key_u32(build *b, const char *key, uint32_t value)
{
    add_key(b, key, OBI_GGUF_U32);
    add_u32(b, value);
}

static void add_array(build *b, const char *key, uint32_t element, uint64_t count)
{
    add_key(b, key, OBI_GGUF_ARRAY);
    add_u32(b, element);
    add_u64(b, count);
}

static void add_tensor(build *b, const char *name, uint32_t type, uint64_t columns, uint64_t rows, uint64_t offset)
{
    add_string(b, name);
    add_u32(b, 2);
    add_u64(b, columns);
    add_u64(b, rows);
    add_u32(b, type);
    add_u64(b, offset);
}

/* Padding to the alignment and then `size` bytes of data. */
static void add_data(build *b, size_t alignment, size_t size)
{
    while (b->size % alignment != 0) add_integer(b, 0, 1);
    for (size_t i = 0; i < size; i++) add_integer(b, i, 1);
}

/* Opens a copy in a block of exactly `size` bytes; uses all of it when it opens. */
static obi_status open_exact(const uint8_t *data, size_t size)
{
    static volatile uint64_t used;
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    obi_gguf gguf;
    obi_status status = obi_gguf_open_memory(&gguf, size ? exact : NULL, size, "hostile.gguf");
    if (status == OBI_OK) {
        used = used + gguf_use(&gguf);
        obi_gguf_close(&gguf);
    } else if (gguf.values || gguf.tensors || gguf.mapping.path) {
        fail_msg("a failed open left something behind");
    }
    free(exact);
    return status;
}

/* ---- one lie each ------------------------------------------------------------------------------------------- */

static void empty(build *b) { (void)b; }
static void wrong_magic(build *b) { add_bytes(b, "GGML", 4); add_u32(b, 3); add_u64(b, 0); add_u64(b, 0); }
static void version_0(build *b) { add_header(b, 0, 0, 0); }
static void version_1(build *b) { add_header(b, 1, 0, 0); }
static void version_99(build *b) { add_header(b, 99, 0, 0); }
static void big_endian(build *b) { add_header(b, 0x03000000, 0, 0); }
static void huge_keys(build *b) { add_header(b, 3, 0, UINT64_MAX); add_data(b, 1, 200); }
static void huge_tensors(build *b) { add_header(b, 3, UINT64_MAX / 128 + 2, 0); add_data(b, 1, 200); }
static void huge_both(build *b) { add_header(b, 3, UINT64_C(1) << 63, UINT64_C(1) << 63); add_data(b, 1, 200); }
static void one_key_too_many(build *b) { add_header(b, 3, 0, 2); add_key_u32(b, "key", 1); }
static void one_tensor_too_many(build *b) { add_header(b, 3, 2, 0); add_tensor(b, "t", 0, 8, 1, 0); add_data(b, 32, 32); }

/* Counts that the bytes left could hold only if each item took a byte or eight. */
static void a_key_a_byte(build *b) { add_header(b, 3, 0, 4096); add_data(b, 1, 4096); }
static void a_tensor_a_byte(build *b) { add_header(b, 3, 4096, 0); add_data(b, 1, 4096); }
static void a_string_a_byte(build *b) { add_header(b, 3, 0, 1); add_array(b, "k", OBI_GGUF_STRING, 4096); add_data(b, 1, 4096); }

static void key_length_2_63(build *b) { add_header(b, 3, 0, 1); add_u64(b, UINT64_C(1) << 63); add_data(b, 1, 64); }
static void key_length_wraps(build *b) { add_header(b, 3, 0, 1); add_u64(b, UINT64_MAX - 7); add_data(b, 1, 64); }
static void key_empty(build *b) { add_header(b, 3, 0, 1); add_key_u32(b, "", 1); }
static void key_unprintable(build *b) { add_header(b, 3, 0, 1); add_key_u32(b, "a\033[2J", 1); }
static void key_too_long(build *b)
{
    static char key[65537];
    memset(key, 'k', 65536);
    add_header(b, 3, 0, 1);
    add_key_u32(b, key, 1);
}
static void key_twice(build *b) { add_header(b, 3, 0, 3); add_key_u32(b, "k", 1); add_key_u32(b, "j", 1); add_key_u32(b, "k", 1); }
static void string_length_2_63(build *b)
{
    add_header(b, 3, 0, 1);
    add_key(b, "k", OBI_GGUF_STRING);
    add_u64(b, UINT64_C(1) << 63);
    add_data(b, 1, 64);
}
static void string_one_too_long(build *b) { add_header(b, 3, 0, 1); add_key(b, "k", OBI_GGUF_STRING); add_u64(b, 9); add_data(b, 1, 8); }
static void value_type_13(build *b) { add_header(b, 3, 0, 1); add_key(b, "k", 13); add_data(b, 1, 64); }
static void value_type_huge(build *b) { add_header(b, 3, 0, 1); add_key(b, "k", UINT32_MAX); add_data(b, 1, 64); }
static void bool_2(build *b) { add_header(b, 3, 0, 1); add_key(b, "k", OBI_GGUF_BOOL); add_integer(b, 2, 1); }
static void bool_in_array(build *b)
{
    add_header(b, 3, 0, 1);
    add_array(b, "k", OBI_GGUF_BOOL, 3);
    add_integer(b, 0x800100, 3);
}
static void array_of_arrays(build *b) { add_header(b, 3, 0, 1); add_array(b, "k", OBI_GGUF_ARRAY, 1); add_data(b, 1, 64); }
static void arrays_nested_deeply(build *b)
{
    add_header(b, 3, 0, 1);
    add_key(b, "k", OBI_GGUF_ARRAY);
    for (int i = 0; i < 8000; i++) {
        add_u32(b, OBI_GGUF_ARRAY);
        add_u64(b, 1);
    }
}
static void array_type_unknown(build *b) { add_header(b, 3, 0, 1); add_array(b, "k", 200, 1); add_data(b, 1, 64); }
static void array_count_huge(build *b) { add_header(b, 3, 0, 1); add_array(b, "k", OBI_GGUF_U8, UINT64_MAX); add_data(b, 1, 64); }
static void array_bytes_wrap(build *b)
{
    add_header(b, 3, 0, 1);
    add_array(b, "k", OBI_GGUF_U64, (UINT64_C(1) << 61) + 1); /* times 8 is 8 */
    add_data(b, 1, 64);
}
static void array_one_too_many(build *b) { add_header(b, 3, 0, 1); add_array(b, "k", OBI_GGUF_F32, 3); add_data(b, 1, 11); }
static void strings_huge(build *b)
{
    add_header(b, 3, 0, 1);
    add_array(b, "k", OBI_GGUF_STRING, UINT64_C(1) << 60);
    add_data(b, 1, 64);
}
static void strings_one_too_many(build *b)
{
    add_header(b, 3, 0, 1);
    add_array(b, "k", OBI_GGUF_STRING, 2);
    add_string(b, "12345678");
    add_integer(b, 0, 4);
}
static void strings_last_too_long(build *b)
{
    add_header(b, 3, 0, 1);
    add_array(b, "k", OBI_GGUF_STRING, 2);
    add_string(b, "12345678");
    add_u64(b, UINT64_MAX);
}

static void alignment_of(build *b, uint32_t alignment)
{
    add_header(b, 3, 1, 1);
    add_key_u32(b, "general.alignment", alignment);
    add_tensor(b, "t", 0, 8, 1, 0);
    add_data(b, alignment == 8 ? 8 : 32, 32);
}
static void alignment_0(build *b) { alignment_of(b, 0); }
static void alignment_1(build *b) { alignment_of(b, 1); }
static void alignment_3(build *b) { alignment_of(b, 3); }
static void alignment_4(build *b) { alignment_of(b, 4); }
static void alignment_48(build *b) { alignment_of(b, 48); }
static void alignment_131072(build *b) { alignment_of(b, 131072); }
static void alignment_2_31(build *b) { alignment_of(b, UINT32_C(1) << 31); }
static void alignment_u64(build *b)
{
    add_header(b, 3, 0, 1);
    add_key(b, "general.alignment", OBI_GGUF_U64);
    add_u64(b, 32);
}

static void tensor_of(build *b, uint32_t type, uint64_t columns, uint64_t rows, uint64_t offset, size_t data)
{
    add_header(b, 3, 1, 0);
    add_tensor(b, "t", type, columns, rows, offset);
    add_data(b, 32, data);
}
static void no_columns(build *b) { tensor_of(b, 0, 0, 8, 0, 32); }
static void no_rows(build *b) { tensor_of(b, 0, 8, 0, 0, 32); }
static void elements_wrap(build *b) { tensor_of(b, 0, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 0, 0, 32); }
static void elements_wrap_to_8(build *b) { tensor_of(b, 24, UINT64_C(1) << 63, 2, 0, 32); }
static void elements_negative(build *b) { tensor_of(b, 24, UINT64_C(1) << 63, 1, 0, 32); }
static void bytes_wrap(build *b) { tensor_of(b, 0, (UINT64_C(1) << 62) + 8, 1, 0, 32); } /* times 4 is 32 */
static void exabytes(build *b) { tensor_of(b, 0, UINT64_C(1) << 30, UINT64_C(1) << 30, 0, 32); }
static void padding_wraps(build *b) { tensor_of(b, 24, INT64_MAX, 1, 0, 32); }
static void one_byte_short(build *b) { tensor_of(b, 0, 8, 1, 0, 31); }
static void no_data(build *b) { tensor_of(b, 0, 8, 1, 0, 0); }
static void byte_behind(build *b) { tensor_of(b, 0, 8, 1, 0, 33); }
static void much_behind(build *b) { tensor_of(b, 0, 8, 1, 0, 32 + 4096); }
static void offset_off(build *b) { tensor_of(b, 0, 8, 1, 32, 64); }
static void offset_unaligned(build *b) { tensor_of(b, 0, 8, 1, 4, 64); }
static void offset_huge(build *b) { tensor_of(b, 0, 8, 1, UINT64_MAX - 31, 64); }
static void type_4(build *b) { tensor_of(b, 4, 8, 1, 0, 32); }
static void type_q4_k(build *b) { tensor_of(b, 12, 256, 1, 0, 160); }
static void type_60(build *b) { tensor_of(b, 60, 8, 1, 0, 32); }
static void type_negative(build *b) { tensor_of(b, UINT32_MAX, 8, 1, 0, 32); }
static void part_block(build *b) { tensor_of(b, 8, 16, 2, 0, 64); }
static void name_64(build *b)
{
    add_header(b, 3, 1, 0);
    add_tensor(b, "0123456789012345678901234567890123456789012345678901234567890123", 0, 8, 1, 0);
    add_data(b, 32, 32);
}
static void name_empty(build *b) { add_header(b, 3, 1, 0); add_tensor(b, "", 0, 8, 1, 0); add_data(b, 32, 32); }
static void name_with_nul(build *b)
{
    add_header(b, 3, 1, 0);
    add_u64(b, 3);
    add_bytes(b, "a\0b", 3);
    add_u32(b, 1);
    add_u64(b, 8);
    add_u32(b, 0);
    add_u64(b, 0);
    add_data(b, 32, 32);
}
static void name_huge(build *b) { add_header(b, 3, 1, 0); add_u64(b, UINT64_MAX); add_data(b, 1, 64); }
static void name_twice(build *b)
{
    add_header(b, 3, 2, 0);
    add_tensor(b, "t", 0, 8, 1, 0);
    add_tensor(b, "t", 0, 8, 1, 32);
    add_data(b, 32, 64);
}
static void dimensions_of(build *b, uint32_t dimensions)
{
    add_header(b, 3, 1, 0);
    add_string(b, "t");
    add_u32(b, dimensions);
    for (uint32_t i = 0; i < 8; i++) add_u64(b, 1);
    add_data(b, 32, 64);
}
static void dimensions_0(build *b) { dimensions_of(b, 0); }
static void dimensions_5(build *b) { dimensions_of(b, 5); }
static void dimensions_huge(build *b) { dimensions_of(b, UINT32_MAX); }
static void two_of(build *b, uint64_t second_offset, size_t data)
{
    add_header(b, 3, 2, 0);
    add_tensor(b, "a", 0, 9, 1, 0); /* 36 bytes, padded to 64 */
    add_tensor(b, "b", 0, 8, 1, second_offset);
    add_data(b, 32, data);
}
static void gap(build *b) { two_of(b, 96, 128); }
static void overlap(build *b) { two_of(b, 32, 96); }
static void same_place(build *b) { two_of(b, 0, 96); }
static void second_past_end(build *b) { two_of(b, 64, 64); }
static void sum_wraps(build *b)
{
    add_header(b, 3, 4, 0);
    for (uint64_t i = 0; i < 4; i++) {
        char name[2] = { (char)('a' + i), 0 };
        add_tensor(b, name, 24, UINT64_C(1) << 62, 1, i << 62); /* the sum of all is 0 */
    }
    add_data(b, 32, 32);
}

typedef struct lie { const char *name; void (*make)(build *); const char *sentence; } lie;
#define LIE(function, sentence) { #function, function, sentence }

static const lie lies[] = {
    LIE(empty, "not a GGUF"), LIE(wrong_magic, "not a GGUF"), LIE(version_0, "version 0"), LIE(version_1, "version 1"),
    LIE(version_99, "version 99"), LIE(big_endian, "big-endian"), LIE(huge_keys, "keys"), LIE(huge_tensors, "tensors"),
    LIE(huge_both, "keys"), LIE(one_key_too_many, "2 keys"), LIE(one_tensor_too_many, "tensor"), LIE(key_length_2_63, "ends inside key"),
    LIE(a_key_a_byte, "4096 keys"), LIE(a_tensor_a_byte, "4096 tensors"), LIE(a_string_a_byte, "4096 strings"),
    LIE(key_length_wraps, "ends inside key"), LIE(key_empty, "empty"), LIE(key_unprintable, "printable"), LIE(key_too_long, "too long"),
    LIE(key_twice, "k occurs twice"), LIE(string_length_2_63, "ends inside"), LIE(string_one_too_long, "ends inside"),
    LIE(value_type_13, "type 13"), LIE(value_type_huge, "type 4294967295"), LIE(bool_2, "holds 2"), LIE(bool_in_array, "holds 128"),
    LIE(array_of_arrays, "array of arrays"), LIE(arrays_nested_deeply, "array of arrays"), LIE(array_type_unknown, "type 200"),
    LIE(array_count_huge, "more than"), LIE(array_bytes_wrap, "more than"), LIE(array_one_too_many, "more than"),
    LIE(strings_huge, "more than"), LIE(strings_one_too_many, "ends inside"), LIE(strings_last_too_long, "ends inside"),
    LIE(alignment_0, "alignment is 0"), LIE(alignment_1, "alignment is 1"), LIE(alignment_3, "alignment is 3"),
    LIE(alignment_4, "alignment is 4"), LIE(alignment_48, "alignment is 48"), LIE(alignment_131072, "alignment is 131072"),
    LIE(alignment_2_31, "alignment is 2147483648"), LIE(alignment_u64, "U64"), LIE(no_columns, "no elements"),
    LIE(no_rows, "no elements"), LIE(elements_wrap, "more elements"), LIE(elements_wrap_to_8, "more elements"),
    LIE(elements_negative, "more elements"), LIE(bytes_wrap, "larger than the file"), LIE(exabytes, "larger than the file"),
    LIE(padding_wraps, "larger than the file"), LIE(one_byte_short, "ends before"), LIE(no_data, "larger|ends before"),
    LIE(byte_behind, "1 bytes behind"), LIE(much_behind, "4096 bytes behind"), LIE(offset_off, "offset 32 where 0"),
    LIE(offset_unaligned, "offset 4 where 0"), LIE(offset_huge, "where 0"), LIE(type_4, "type 4"), LIE(type_q4_k, "Q4_K"),
    LIE(type_60, "type 60"), LIE(type_negative, "type 4294967295"), LIE(part_block, "blocks of 32"), LIE(name_64, "64 bytes"),
    LIE(name_empty, "0 bytes"), LIE(name_with_nul, "printable"), LIE(name_huge, "ends inside"), LIE(name_twice, "t occurs twice"),
    LIE(dimensions_0, "0 dimensions"), LIE(dimensions_5, "5 dimensions"), LIE(dimensions_huge, "4294967295 dimensions"),
    LIE(gap, "offset 96 where 64"), LIE(overlap, "offset 32 where 64"), LIE(same_place, "offset 0 where 64"),
    LIE(second_past_end, "data of tensor b"), LIE(sum_wraps, "larger than the file"),
};

static bool says(const char *sentence)
{
    char wanted[64];
    snprintf(wanted, sizeof wanted, "%s", sentence);
    for (char *part = strtok(wanted, "|"); part; part = strtok(NULL, "|"))
        if (strstr(obi_last_error(), part)) return true;
    return false;
}

static void each_lie_is_named(void **state)
{
    (void)state;
    static build b;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        b.size = 0;
        lies[i].make(&b);
        obi_fail(OBI_ERROR_RUNTIME, "nothing was said");
        if (open_exact(b.data, b.size) != OBI_ERROR_DATA) fail_msg("%s was accepted", lies[i].name);
        if (!says(lies[i].sentence) || !(strstr(obi_last_error(), "hostile.gguf: ") == obi_last_error()))
            fail_msg("%s: expected \"%s\" and got \"%s\"", lies[i].name, lies[i].sentence, obi_last_error());
    }
}

/* The same makers with a true value open: the lies above fail for their own reason. */
static void the_truth_is_accepted(void **state)
{
    (void)state;
    static build b;
    for (int i = 0; i < 8; i++) {
        b.size = 0;
        if (i == 0) alignment_of(&b, 8);
        if (i == 1) two_of(&b, 64, 96);
        if (i == 2) tensor_of(&b, 0, 8, 1, 0, 32);
        if (i == 3) tensor_of(&b, 8, 32, 2, 0, 68); /* the last tensor without padding */
        if (i == 4) tensor_of(&b, 8, 32, 2, 0, 96);
        if (i == 5) add_header(&b, 2, 0, 0);
        if (i == 6) alignment_of(&b, 32);
        if (i == 7) {
            add_header(&b, 3, 0, 1);
            add_array(&b, "k", OBI_GGUF_BOOL, 2);
            add_integer(&b, 1, 2);
        }
        if (open_exact(b.data, b.size) != OBI_OK) fail_msg("%d: %s", i, obi_last_error());
    }
}

/* ---- cut short and flipped ---------------------------------------------------------------------------------- */

/* A whole small model file with every kind of key. */
static void make_whole(build *b)
{
    static const char *const names[] = { "token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight" };
    b->size = 0;
    add_header(b, 3, 3, 21);
    add_key(b, "general.architecture", OBI_GGUF_STRING);
    add_string(b, "llama");
    add_key_u32(b, "general.alignment", 32);
    add_key_u32(b, "llama.embedding_length", 32);
    add_key_u32(b, "llama.block_count", 1);
    add_key_u32(b, "llama.feed_forward_length", 64);
    add_key_u32(b, "llama.context_length", 128);
    add_key_u32(b, "llama.attention.head_count", 4);
    add_key_u32(b, "llama.attention.head_count_kv", 2);
    add_key(b, "llama.attention.layer_norm_rms_epsilon", OBI_GGUF_F32);
    add_u32(b, 0x3727c5ac);
    static const struct { const char *key; uint32_t type; unsigned size; } scalars[] = {
        { "a", OBI_GGUF_U8, 1 }, { "b", OBI_GGUF_I8, 1 }, { "c", OBI_GGUF_U16, 2 }, { "d", OBI_GGUF_I16, 2 }, { "e", OBI_GGUF_I32, 4 },
        { "f", OBI_GGUF_U64, 8 }, { "g", OBI_GGUF_I64, 8 }, { "h", OBI_GGUF_F64, 8 }, { "i", OBI_GGUF_BOOL, 1 },
    };
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        add_key(b, scalars[i].key, scalars[i].type);
        add_integer(b, 1, scalars[i].size);
    }
    add_array(b, "j", OBI_GGUF_STRING, 3);
    add_string(b, "<unk>");
    add_string(b, "");
    add_string(b, "word");
    add_array(b, "k", OBI_GGUF_F32, 3);
    for (int i = 0; i < 3; i++) add_u32(b, 0xc2280000);
    add_array(b, "l", OBI_GGUF_BOOL, 2);
    add_integer(b, 0x0100, 2);
    add_tensor(b, names[0], OBI_DTYPE_Q8_0, 32, 3, 0);
    add_tensor(b, names[1], OBI_DTYPE_F32, 32, 1, 128);
    add_tensor(b, names[2], OBI_DTYPE_F16, 32, 32, 256);
    add_data(b, 32, 256 + 2048);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    static build b;
    make_whole(&b);
    assert_int_equal(open_exact(b.data, b.size), OBI_OK);
    for (size_t size = 0; size < b.size; size++)
        if (open_exact(b.data, size) != OBI_ERROR_DATA) fail_msg("the first %zu of %zu bytes were accepted", size, b.size);
}

static void every_prefix_of_a_real_file_is_refused(void **state)
{
    (void)state;
    obi_mapping mapping;
    assert_int_equal(obi_mapping_open(&mapping, test_data_path("tokenizers/gguf/ggml-vocab-gpt-2.gguf")), OBI_OK);
    assert_int_equal(open_exact(mapping.data, mapping.size), OBI_OK);
    for (size_t size = 0; size < mapping.size; size += size < 4096 ? 1 : size < 65536 ? 61 : 29989)
        if (open_exact(mapping.data, size) != OBI_ERROR_DATA) fail_msg("the first %zu bytes were accepted", size);
    assert_int_equal(open_exact(mapping.data, mapping.size - 1), OBI_ERROR_DATA);
    obi_mapping_close(&mapping);
}

/* Values that parsers stumble over, besides random ones. */
static void flip(build *b, obi_rng *rng)
{
    static const uint64_t special[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fffffff, 0x80000000u, UINT32_MAX, INT64_MAX, UINT64_C(1) << 63,
                                        UINT64_MAX };
    size_t at = (size_t)(obi_rng_next(rng) % b->size);
    unsigned width = 1u << obi_rng_next(rng) % 4;
    if (width > b->size - at) width = 1;
    uint64_t value = special[obi_rng_next(rng) % (sizeof special / sizeof *special)];
    switch (obi_rng_next(rng) % 3) {
    case 0: b->data[at] ^= (uint8_t)(1u << obi_rng_next(rng) % 8); break;
    case 1: b->data[at] = (uint8_t)obi_rng_next(rng); break;
    default: for (unsigned i = 0; i < width; i++) b->data[at + i] = (uint8_t)(value >> (8 * i)); break;
    }
}

static void flipped_bytes_never_crash(void **state)
{
    (void)state;
    static build whole, b;
    make_whole(&whole);
    size_t table = whole.size - (256 + 2048); /* flips in the data would only change numbers */
    obi_rng rng = obi_rng_seed(20260727);
    int accepted = 0, refused = 0;
    for (int i = 0; i < 20000; i++) {
        memcpy(b.data, whole.data, whole.size);
        b.size = table;
        for (uint64_t flips = 1 + obi_rng_next(&rng) % 3; flips > 0; flips--) flip(&b, &rng);
        b.size = whole.size;
        obi_status status = open_exact(b.data, b.size);
        if (status == OBI_OK) accepted++;
        else if (status == OBI_ERROR_DATA) refused++;
        else fail_msg("flip %d gave status %d", i, (int)status);
    }
    assert_true(accepted > 1000); /* flips in values and names leave a file that can be used */
    assert_true(refused > 1000);
}

/* ---- cost --------------------------------------------------------------------------------------------------- */

static size_t allocated;

static void *counting_allocate(size_t bytes, void *user) { (void)user; allocated += bytes; return malloc(bytes); }
static void *counting_reallocate(void *old, size_t bytes, void *user) { (void)user; allocated += bytes; return realloc(old, bytes); }
static void plain_release(void *memory, void *user) { (void)user; free(memory); }

/* Whatever a file claims, opening it takes memory in proportion to its size. */
static void memory_is_bounded_by_the_file(void **state)
{
    (void)state;
    static const obi_alloc_hooks hooks = { counting_allocate, counting_reallocate, plain_release, NULL };
    static build b;
    obi_alloc_set_hooks(&hooks);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        b.size = 0;
        lies[i].make(&b);
        allocated = 0;
        open_exact(b.data, b.size);
        if (allocated > 6 * b.size + 1024) fail_msg("%s: %zu bytes were asked for a file of %zu", lies[i].name, allocated, b.size);
    }
    b.size = 0;
    add_header(&b, 3, 0, 1);
    add_array(&b, "k", OBI_GGUF_STRING, 10000);
    for (int i = 0; i < 10000; i++) add_u64(&b, 0);
    allocated = 0;
    assert_int_equal(open_exact(b.data, b.size), OBI_OK);
    assert_true(allocated < 3 * b.size);
    obi_alloc_set_hooks(NULL);
}

/* 300,000 keys in falling, rising and equal-prefix order: seconds if anything were quadratic. */
static void many_keys_are_sorted_quickly(void **state)
{
    (void)state;
    enum { COUNT = 300000, KEY = 40, ENTRY = 8 + KEY + 4 + 1 };
    size_t size = 24 + (size_t)COUNT * ENTRY;
    uint8_t *data = malloc(size);
    for (int order = 0; order < 3; order++) {
        static build head;
        head.size = 0;
        add_header(&head, 3, 0, COUNT);
        memcpy(data, head.data, 24);
        for (uint32_t i = 0; i < COUNT; i++) {
            uint8_t *entry = data + 24 + (size_t)i * ENTRY;
            uint32_t number = order == 0 ? i : order == 1 ? COUNT - 1 - i : i * 2654435761u % 1048573u;
            char key[KEY + 16];
            memset(entry, 0, ENTRY);
            entry[0] = KEY;
            snprintf(key, sizeof key, "%030u%010u", order == 2 ? number : 0, order == 2 ? i : number);
            memcpy(entry + 8, key, KEY);
        }
        obi_gguf gguf;
        assert_int_equal(obi_gguf_open_memory(&gguf, data, size, "many"), OBI_OK);
        for (uint64_t i = 0; i < COUNT; i += 97) {
            char key[KEY + 1] = { 0 };
            memcpy(key, gguf.values[i].key.text, KEY);
            assert_ptr_equal(obi_gguf_find(&gguf, key), &gguf.values[i]);
        }
        obi_gguf_close(&gguf);
        memcpy(data + 24 + 8, data + 24 + (size_t)(COUNT - 1) * ENTRY + 8, KEY); /* the first and the last alike */
        assert_int_equal(obi_gguf_open_memory(&gguf, data, size, "many"), OBI_ERROR_DATA);
        assert_non_null(strstr(obi_last_error(), "occurs twice"));
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_lie_is_named),
        cmocka_unit_test(the_truth_is_accepted),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(every_prefix_of_a_real_file_is_refused),
        cmocka_unit_test(flipped_bytes_never_crash),
        cmocka_unit_test(memory_is_bounded_by_the_file),
        cmocka_unit_test(many_keys_are_sorted_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
