#include "engine/state.h"

#include <string.h>

#include "core/alloc.h"
#include "core/file.h"
#include "core/hash.h"
#include "engine/session.h"

/* Little-endian:
 *     u32 magic, version; u64 fingerprint of the model
 *     u32 context, batch, kv_type, position
 *     f32 repeat_penalty; u32 repeat_last, top_k; f32 top_p, min_p, temperature; u64 seed, rng
 *     u32 flags, owed, chosen; u32 bytes of a character that was begun, u32 bytes of text; those bytes, both
 *     u32 ids[position]
 *     u32 runs; of each u32 tokens in a submission, how many of them were kept, and how often in a row
 *     u64 hash of all before */
#define MAGIC 0x4e53424fu /* "OBSN" */
#define VERSION 1u
#define FLAG_OWES 1u
#define FLAG_CHOSE 2u
#define HASH_BYTES 8u

/* ---- writing ------------------------------------------------------------------------------------------------------- */

typedef struct sink { uint8_t *bytes; size_t room, count; } sink;

static void put_bytes(sink *out, const void *bytes, size_t count)
{
    if (count > 0 && count <= out->room && out->count <= out->room - count) memcpy(out->bytes + out->count, bytes, count);
    out->count += count;
}

static void put_u32(sink *out, uint32_t value)
{
    uint8_t bytes[4] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24) };
    put_bytes(out, bytes, 4);
}

static void put_u64(sink *out, uint64_t value)
{
    put_u32(out, (uint32_t)value);
    put_u32(out, (uint32_t)(value >> 32));
}

static void put_f32(sink *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    put_u32(out, bits);
}

/* A submission of the history: its tokens, and how many of them a rewind left. */
typedef struct cut { uint32_t tokens, kept; } cut;

static cut cut_at(const obi_session *session, uint32_t at)
{
    cut found = { session->cuts[at], 1 };
    while (found.kept < found.tokens && at + found.kept < session->position && session->cuts[at + found.kept] == 0) found.kept++;
    return found;
}

/* Writes the runs, or only counts them. */
static uint32_t put_runs(sink *out, const obi_session *session)
{
    uint32_t runs = 0;
    for (uint32_t at = 0; at < session->position;) {
        cut first = cut_at(session, at), next = first;
        uint32_t times = 0;
        while (next.tokens == first.tokens && next.kept == first.kept) {
            times++;
            at += first.kept;
            if (at == session->position) break;
            next = cut_at(session, at);
        }
        runs++;
        if (!out) continue;
        put_u32(out, first.tokens);
        put_u32(out, first.kept);
        put_u32(out, times);
    }
    return runs;
}

static void put_all(sink *out, const obi_session *session)
{
    const obi_sampling *sampling = &session->sampling;
    const obi_generation *generation = &session->generation;
    bool open = generation->at == session->position; /* otherwise it is of another text */
    put_u32(out, MAGIC);
    put_u32(out, VERSION);
    put_u64(out, session->weights->fingerprint);
    put_u32(out, session->context);
    put_u32(out, session->batch);
    put_u32(out, (uint32_t)session->kv_type);
    put_u32(out, session->position);
    put_f32(out, sampling->repeat_penalty);
    put_u32(out, sampling->repeat_last);
    put_u32(out, sampling->top_k);
    put_f32(out, sampling->top_p);
    put_f32(out, sampling->min_p);
    put_f32(out, sampling->temperature);
    put_u64(out, sampling->seed);
    put_u64(out, session->rng.state);
    bool chose = session->chose || session->repeats;
    put_u32(out, (open && generation->owes ? FLAG_OWES : 0) | (chose ? FLAG_CHOSE : 0));
    put_u32(out, open && generation->owes ? generation->owed : 0);
    put_u32(out, chose ? session->chosen : 0);
    size_t begun = open ? generation->text.begun_count : 0, said = open ? generation->text.count : 0;
    put_u32(out, (uint32_t)begun);
    put_u32(out, (uint32_t)said);
    put_bytes(out, generation->text.begun, begun);
    put_bytes(out, generation->text.bytes, said);
    for (uint32_t i = 0; i < session->position; i++) put_u32(out, session->history[i]);
    put_u32(out, put_runs(NULL, session));
    (void)put_runs(out, session);
}

obi_status obi_session_save(const obi_session *session, void *bytes, size_t room, size_t *count)
{
    sink out = { NULL, 0, 0 };
    put_all(&out, session);
    *count = out.count + HASH_BYTES;
    if (room == 0) return OBI_OK;
    if (room < *count) return obi_fail(OBI_ERROR_ARGUMENT, "the saved session has %zu bytes and there is room for %zu", *count, room);
    out = (sink){ bytes, room, 0 };
    put_all(&out, session);
    put_u64(&out, obi_hash(bytes, out.count, 0));
    return OBI_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------------- */

typedef struct saved {
    uint32_t context, batch, kv_type, position;
    obi_sampling sampling;
    obi_rng rng;
    uint32_t flags, owed, chosen;
    uint32_t begun_count, said_count;
    const uint8_t *begun, *said;
    const uint8_t *ids, *runs; /* unaligned */
    uint32_t run_count;
    uint32_t tokens_max;       /* in a submission */
    bool cut_short;            /* a rewind left a part of one */
} saved;

static obi_status damaged(const char *what) { return obi_fail(OBI_ERROR_DATA, "the saved session is damaged: %s", what); }

static uint32_t u32_at(const uint8_t *bytes, size_t i)
{
    obi_reader reader = obi_reader_over(bytes + 4 * i, 4);
    return obi_read_u32(&reader);
}

static obi_status check_runs(saved *from)
{
    uint64_t position = 0;
    for (uint32_t i = 0; i < from->run_count; i++) {
        uint32_t tokens = u32_at(from->runs, 3u * i), kept = u32_at(from->runs, 3u * i + 1), times = u32_at(from->runs, 3u * i + 2);
        if (kept == 0 || kept > tokens || times == 0 || tokens > from->context || times > from->position / kept)
            return damaged("its submissions make no sense");
        uint64_t end = position + (uint64_t)kept * times; /* at most 2^33 */
        if (end > from->position || end - kept + tokens > from->context) return damaged("its submissions make no sense");
        if (tokens > from->tokens_max) from->tokens_max = tokens;
        if (kept < tokens) from->cut_short = true;
        position = end;
    }
    return position == from->position ? OBI_OK : damaged("its submissions are not those of its tokens");
}

static obi_status check_text(const saved *from)
{
    if (from->begun_count > 3 || (from->begun_count > 0 && obi_utf8_measure(from->begun, from->begun_count) != 0))
        return damaged("it begins no character");
    for (size_t i = 0; i < from->said_count;) {
        int length = obi_utf8_measure(from->said + i, from->said_count - i);
        if (length <= 0) return damaged("its text is not valid UTF-8");
        i += (size_t)length;
    }
    return OBI_OK;
}

/* Everything that can be said without the session. */
static obi_status parse(const void *bytes, size_t count, uint64_t fingerprint, uint32_t vocabulary, saved *out)
{
    obi_reader reader = obi_reader_over(bytes, count);
    memset(out, 0, sizeof *out);
    if (obi_read_u32(&reader) != MAGIC) return obi_fail(OBI_ERROR_DATA, "this is not a saved session");
    uint32_t version = obi_read_u32(&reader);
    if (reader.failed) return damaged("it is too short");
    if (version != VERSION) return obi_fail(OBI_ERROR_DATA, "the saved session has version %u, and only %u can be read", version, VERSION);
    if (count < HASH_BYTES) return damaged("it is too short");
    obi_reader end = obi_reader_over((const uint8_t *)bytes + count - HASH_BYTES, HASH_BYTES);
    if (obi_hash(bytes, count - HASH_BYTES, 0) != obi_read_u64(&end)) return damaged("its checksum is wrong");
    if (obi_read_u64(&reader) != fingerprint) return obi_fail(OBI_ERROR_DATA, "the session was saved with another model");
    out->context = obi_read_u32(&reader);
    out->batch = obi_read_u32(&reader);
    out->kv_type = obi_read_u32(&reader);
    out->position = obi_read_u32(&reader);
    out->sampling.repeat_penalty = obi_read_f32(&reader);
    out->sampling.repeat_last = obi_read_u32(&reader);
    out->sampling.top_k = obi_read_u32(&reader);
    out->sampling.top_p = obi_read_f32(&reader);
    out->sampling.min_p = obi_read_f32(&reader);
    out->sampling.temperature = obi_read_f32(&reader);
    out->sampling.seed = obi_read_u64(&reader);
    out->rng.state = obi_read_u64(&reader);
    out->flags = obi_read_u32(&reader);
    out->owed = obi_read_u32(&reader);
    out->chosen = obi_read_u32(&reader);
    out->begun_count = obi_read_u32(&reader);
    out->said_count = obi_read_u32(&reader);
    out->begun = obi_read_bytes(&reader, out->begun_count);
    out->said = obi_read_bytes(&reader, out->said_count);
    out->ids = obi_read_bytes(&reader, (uint64_t)out->position * 4);
    out->run_count = obi_read_u32(&reader);
    out->runs = obi_read_bytes(&reader, (uint64_t)out->run_count * 12);
    if (reader.failed || obi_reader_left(&reader) != HASH_BYTES) return damaged("its parts do not fill it");
    if (out->position > out->context || (out->flags & ~(FLAG_OWES | FLAG_CHOSE)) != 0 || out->owed >= vocabulary ||
        out->chosen >= vocabulary)
        return damaged("its numbers make no sense");
    for (uint32_t i = 0; i < out->position; i++)
        if (u32_at(out->ids, i) >= vocabulary) return damaged("it has a token that is not in the vocabulary");
    OBI_TRY(check_runs(out));
    OBI_TRY(check_text(out));
    return obi_sampling_resolve(&out->sampling) == OBI_OK ? OBI_OK : damaged("its sampling makes no sense");
}

static obi_status check_fit(const obi_session *session, const saved *from, bool fast)
{
    if (from->position > session->context)
        return obi_fail(OBI_ERROR_ARGUMENT, "the saved session has %u tokens and this one has room for %u", from->position,
                        session->context);
    if (fast) return OBI_OK;
    if (from->context != session->context || from->kv_type != (uint32_t)session->kv_type || from->tokens_max > session->batch)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "the session was saved with a context of %u, a batch of %u and cache type %u, and this one has %u, %u and %u: make "
                        "one like it, or restore it the fast way",
                        from->context, from->batch, from->kv_type, session->context, session->batch, (unsigned)session->kv_type);
    if (from->cut_short && session->weights->config.int8_rows)
        return obi_fail(OBI_ERROR_ARGUMENT,
                        "the saved session was rewound to within a batch, and where weights are rows of bytes the tokens that are gone had "
                        "a part in how the others were rounded: restore it the fast way");
    return OBI_OK;
}

/* In the submissions in which they came. Of one that a rewind cut short, the rest is made up and forgotten: how many tokens go together
 * chooses kernels, and what comes behind a token does not change what is kept of it (but of rows of bytes, op_int8.h: check_fit). */
static obi_status replay(obi_session *session, const saved *from, uint32_t *ids)
{
    for (uint32_t i = 0; i < from->run_count; i++) {
        uint32_t tokens = u32_at(from->runs, 3u * i), kept = u32_at(from->runs, 3u * i + 1), times = u32_at(from->runs, 3u * i + 2);
        for (uint32_t k = 0; k < times; k++) {
            uint32_t start = session->position;
            memset(ids, 0, (size_t)tokens * sizeof *ids);
            for (uint32_t t = 0; t < kept; t++) ids[t] = u32_at(from->ids, start + t);
            OBI_TRY(obi_session_feed_part(session, ids, tokens, NULL, NULL));
            if (kept < tokens) OBI_TRY(obi_session_rewind(session, start + kept));
        }
    }
    return OBI_OK;
}

static obi_status replay_fast(obi_session *session, const saved *from, uint32_t *ids)
{
    for (uint32_t i = 0; i < from->position; i++) ids[i] = u32_at(from->ids, i);
    return from->position > 0 ? obi_session_feed_part(session, ids, from->position, NULL, NULL) : OBI_OK;
}

static void take_sampling(obi_session *session, const saved *from)
{
    session->sampling = from->sampling;
    session->candidates = obi_sampling_candidates(&session->sampling);
    if (session->candidates > session->weights->config.vocabulary) session->candidates = session->weights->config.vocabulary;
    if (session->candidates != 1) session->ahead.on = false; /* nor does it begin here: it has no buffers then */
    session->kept_reach = 0; /* what was recorded ends with another choice */
}

obi_status obi_session_restore(obi_session *session, const void *bytes, size_t count, bool fast)
{
    saved from;
    OBI_TRY(parse(bytes, count, session->weights->fingerprint, session->weights->config.vocabulary, &from));
    OBI_TRY(check_fit(session, &from, fast));
    obi_generation *generation = &session->generation;
    uint32_t *ids = obi_calloc(fast ? from.position : from.tokens_max, sizeof *ids);
    if (!ids) return OBI_ERROR_MEMORY;
    size_t ready;
    bool stopped;
    obi_status status;
    OBI_TRY_GOTO(obi_session_rewind(session, 0));
    take_sampling(session, &from);
    OBI_TRY_GOTO(fast ? replay_fast(session, &from, ids) : replay(session, &from, ids));
    OBI_TRY_GOTO(obi_text_add(&generation->text, (const char *)from.said, from.said_count, &(obi_stops){ 0 }, &ready, &stopped));
    OBI_TRY_GOTO(obi_text_add(&generation->text, (const char *)from.begun, from.begun_count, &(obi_stops){ 0 }, &ready, &stopped));
    generation->at = session->position;
    generation->owes = from.flags & FLAG_OWES;
    generation->owed = from.owed;
    session->rng = from.rng;
    session->repeats = from.flags & FLAG_CHOSE;
    session->chosen = from.chosen;
done:
    if (status != OBI_OK) (void)obi_session_rewind(session, 0);
    obi_free(ids);
    return status;
}
