/* session: one sequence of tokens on the device: activations, KV cache, position. One thread at a time. */
#ifndef OBI_ENGINE_SESSION_H
#define OBI_ENGINE_SESSION_H

#include <stdatomic.h>

#include "engine/ahead.h"
#include "engine/generate.h"
#include "engine/pace.h"
#include "engine/sampler.h"
#include "engine/step.h"
#include "engine/weights.h"
#include "ops/op_attn.h"

#define OBI_BATCH_DEFAULT 128
#define OBI_CONTEXT_DEFAULT_MAX 4096

typedef struct obi_session_desc {
    uint32_t context; /* 0: the model's, at most OBI_CONTEXT_DEFAULT_MAX */
    uint32_t batch;   /* tokens at once in a prompt; 0: OBI_BATCH_DEFAULT */
    obi_sampling sampling;
    int kv_type;      /* obi_kv_type; 0: the device's, obi_session_kv_type */
    int ahead;        /* obi_ahead_choose */
    bool stepped;     /* obi_step_prepare at once */
} obi_session_desc;

/* What a token leaves: its logits (V) and the best of them, candidates of which there are OBI_CANDIDATES_MAX at most. */
typedef struct obi_result { obi_buffer *logits, *topk, *topk_host; } obi_result;

/* Several continuations of what was fed, side by side in the pass that is being recorded (engine/branches). */
typedef struct obi_branches {
    uint32_t count;         /* 0: the tokens are one sequence, as everywhere but in obi_session_score_branches */
    const uint32_t *tokens; /* (count) of each, at least one, together T; each begins at session->position */
    obi_buffer *room;       /* their attention's inputs and outputs; NULL before the first use */
} obi_branches;

typedef struct obi_session {
    const obi_weights *weights;
    obi_device *device;
    obi_cmd *cmd;
    uint32_t context, batch;
    obi_kv_type kv_type;
    uint32_t position;       /* tokens in the cache */
    uint32_t *history;       /* (context) ids fed */
    uint32_t *cuts;          /* (context) of the first token of a submission: how many there were together; 0 for the others */
    obi_pace_found pace, token_pace; /* of prompts, and of tokens alone: other kernels */
    bool slow;               /* a token takes more than one submission should, and is cut (obi_pace_slow) */
    bool late;               /* the last did */
    uint32_t kept_reach;     /* the reach with which the commands of one token were recorded last */
    bool prepared[3];        /* the pipelines of one token, of few and of many were made */
    uint32_t current;        /* `result` of the last token */
    bool ready;              /* logits of the last token are on the device */
    bool on_host;            /* and have been copied to `logits_host` */
    obi_sampling sampling;
    obi_rng rng;
    uint32_t candidates;     /* k of the device's top-k; 0: all logits come to the host */
    atomic_bool cancelled;   /* by obi_session_cancel, for the call in progress or the next one */
    bool chose;              /* `chosen` is what was sampled after the last token */
    uint32_t chosen;
    bool repeats;            /* restored, or chosen and given to nobody: the next sample gives `chosen` without a draw */
    obi_ahead ahead;
    obi_generation generation;
    obi_step step;
    /* device buffers; B = batch */
    obi_buffer *ids;         /* (B) u32, and behind them the position as a float, and those of tokens ahead, one for each result;
                              * host-visible */
    obi_buffer *position_rows; /* of OPT, u32, host-visible: (B) of the tokens at hand, and one each of those ahead, for each result; all
                                * three at multiples of OBI_BUFFER_ALIGNMENT */
    obi_buffer *rope_table;  /* (context, rope_dimensions/2, 2), of LLaMA */
    obi_buffer *x;           /* (B,D) the residual stream */
    obi_buffer *normed;      /* (B,D) x normalised for what comes next: a layer's projections, or the head: (B,E) */
    obi_buffer *qkv;         /* the attention's inputs, obi_attn_parts of the tokens at hand */
    obi_buffer *attended;    /* (B,H*C) */
    obi_buffer *gate_up;     /* (B,F) twice: gate, and at the next multiple of OBI_BUFFER_ALIGNMENT up */
    obi_buffer *projected;   /* (B,D) what o and down give back; of OPT (B,E) around its projections */
    obi_buffer *stack;       /* what sign planes give before they are added up, obi_linear_stack_bytes; NULL where there are none */
    obi_buffer *last;        /* (E) the last of several tokens' row of normed */
    obi_result result[2];    /* the second for tokens ahead only */
    obi_buffer *logits_host; /* (V) readback */
    obi_buffer *topk_scratch;
    obi_buffer **k_cache, **v_cache; /* L of (context, K*C), kv_type */
    /* scoring (engine/score), made on first use */
    uint32_t score_rows;
    obi_buffer *score_logits, *score_host; /* (score_rows, V) */
    obi_branches branches;
} obi_session;

/* What a session keeps keys and values in when it is not told. */
obi_kv_type obi_session_kv_type(const obi_device *device);

/* The most positions for which commands recorded now for one token will do: they read the position from memory, and only how much
 * attention is cut depends on it, from one power of two to the next. */
uint32_t obi_session_reach(const obi_session *session);

/* OPT's rows of the position table, of T tokens from session->position on (obi_branches_position): where they lie, slot 0 for the tokens at
 * hand and 1 + r for the one ahead that leaves its results in result[r]; and writes them there. Nothing for another family. */
obi_view obi_session_position_rows(const obi_session *session, uint32_t slot, uint32_t T);
obi_status obi_session_put_position_rows(obi_session *session, uint32_t slot, uint32_t T);

obi_status obi_session_create(const obi_weights *weights, const obi_session_desc *desc, obi_session **out);
void obi_session_destroy(obi_session *session); /* NULL is allowed */

/* From any thread: the call at work, or else the next, ends with OBI_ERROR_CANCELLED between two submissions. Calls are feed and what
 * scores; each begins with obi_session_take_cancel or has it done, and passes its result through obi_session_end_call. */
void obi_session_cancel(obi_session *session);
obi_status obi_session_take_cancel(obi_session *session); /* OBI_ERROR_CANCELLED once for what was asked */
obi_status obi_session_end_call(obi_session *session, obi_status status); /* what ended by a cancellation has used it up */

/* Notes T tokens that one submission stored at the session's position, which moves behind them. */
void obi_session_fed(obi_session *session, const uint32_t *ids, uint32_t T);

/* Appends `count` ids; then the logits of the last are ready. One submit for one token; prompts go in batches. */
obi_status obi_session_feed(obi_session *session, const uint32_t *ids, size_t count);
/* The same with a look at how far it is, after each batch; false cancels. NULL: none. */
obi_status obi_session_feed_part(obi_session *session, const uint32_t *ids, size_t count,
                                 bool (*progress)(double fraction, const char *what, void *user), void *user);
/* What feed is made of, for step: checks ids; puts T of them where the embedding reads them; records T tokens, with a choice behind the
 * `last` of what is fed; and notes that they are in the cache. */
obi_status obi_session_check_ids(const obi_session *session, const uint32_t *ids, size_t count);
obi_status obi_session_put_ids(obi_session *session, const uint32_t *ids, uint32_t T);
void obi_session_record(obi_session *session, uint32_t T, bool last);
void obi_session_fed(obi_session *session, const uint32_t *ids, uint32_t T);

/* Waits for what is at work, and forgets it and everything that was to follow the last token. */
void obi_session_forget_choice(obi_session *session);
obi_status obi_session_rewind(obi_session *session, uint32_t position);
obi_status obi_session_sample(obi_session *session, uint32_t *id);
obi_status obi_session_logits(obi_session *session, float *logits);

#endif
