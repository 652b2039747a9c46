/* onebit.h: run 1-bit (and ordinary) LLaMA and OPT models on any Vulkan device.
 *
 * Three nouns:
 *   ob_context  a device and its kernels            thread-safe
 *   ob_model    immutable weights and a tokenizer   thread-safe; sessions may share one
 *   ob_session  one sequence of tokens (a KV cache) one thread at a time; ob_session_cancel from any
 *
 * Rules that hold everywhere:
 *   - A function that can fail returns ob_status; OB_OK is 0 and failures are negative. ob_last_error() then has one
 *     sentence for a person, on the calling thread. Out-pointers are NULL after a failure.
 *   - A desc of zeros with the required fields set is valid: 0 and NULL mean the default; where nothing is required the desc may be
 *     NULL itself. Descs, and what they point to, need to live only until the call returns.
 *   - Callbacks run on the thread whose call they belong to, before it returns, unless they say otherwise (the log, the allocator).
 *     They must return: no longjmp and no C++ exception through the library.
 *   - Any call that works on the device may return OB_ERROR_MEMORY or OB_ERROR_DEVICE_LOST. After the first everything is as it was and
 *     something smaller may do; after the second only save, info and destroy functions are of use: make context, model and session anew.
 *   - Destroy functions take NULL, wait for what is at work, and must not run beside another call on the same object. A session must go
 *     before its model, a model before its context.
 *   - The library never prints, exits, aborts or installs signal handlers. It writes files only into its cache directory
 *     and where it is told to.
 *   - Environment: ONEBIT_TIER=A|B|C caps the kernel tier, ONEBIT_KERNEL=xor|table|int8|straight|half names the kernels for products
 *     of signs with one token, ONEBIT_CACHE_DIR moves the cache, ONEBIT_VALIDATION=1 turns the Vulkan validation layer on.
 *
 *     ob_context *context;  ob_model *model;  ob_session *session;
 *     ob_context_create(&context, &(ob_context_desc){ 0 });
 *     ob_model_load(&model, context, &(ob_model_desc){ .path = "model.gguf" });
 *     ob_session_create(&session, model, &(ob_session_desc){ 0 });
 *     ob_session_generate(session, &(ob_generate_desc){ .prompt = text, .prompt_bytes = strlen(text), .on_text = print }, &result);
 * or token by token:
 *     ob_model_tokenize(model, text, strlen(text), OB_TOKENIZE_BOS, ids, room, &count);
 *     ob_session_feed(session, ids, count);
 *     while (ob_session_sample(session, &id) == OB_OK && id != info.eos) ... ob_session_feed(session, &id, 1);
 */
#ifndef ONEBIT_ONEBIT_H
#define ONEBIT_ONEBIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On Windows a program that uses the shared library defines ONEBIT_SHARED, and the build of that library ONEBIT_BUILDING, too. */
#if defined(_WIN32) && defined(ONEBIT_SHARED) && defined(ONEBIT_BUILDING)
#define OB_API __declspec(dllexport)
#elif defined(_WIN32) && defined(ONEBIT_SHARED)
#define OB_API __declspec(dllimport)
#elif defined(__GNUC__) && !defined(_WIN32)
#define OB_API __attribute__((visibility("default")))
#else
#define OB_API
#endif

/* ---- status ---------------------------------------------------------------------------------------------------- */

typedef enum ob_status {
    OB_OK = 0,
    OB_ERROR_RUNTIME = -1,     /* I/O failed, or anything without a better name */
    OB_ERROR_ARGUMENT = -2,    /* the call asked for something that cannot be */
    OB_ERROR_NO_DEVICE = -3,   /* no Vulkan loader, driver, or device that can run this */
    OB_ERROR_MEMORY = -4,      /* host or device memory ran out */
    OB_ERROR_DATA = -5,        /* a model or text file is missing, damaged or of a kind we do not read */
    OB_ERROR_DEVICE_LOST = -6, /* the device stopped answering; destroy the context and make a new one */
    OB_ERROR_CANCELLED = -7    /* a callback or ob_session_cancel asked to stop */
} ob_status;

/* The last failure on this thread, one sentence; "" if none. Valid until the next call on this thread fails. */
OB_API const char *ob_last_error(void);
OB_API const char *ob_version(void); /* "0.1.0" */

/* The exit code a program should use for a status: 0, 1 runtime, 2 argument, 3 no device, 4 memory, 5 data,
 * 6 device lost, 130 cancelled. */
OB_API int ob_exit_code(ob_status status);

typedef enum ob_log_level { OB_LOG_ERROR = 0, OB_LOG_WARNING = 1, OB_LOG_INFO = 2, OB_LOG_DEBUG = 3 } ob_log_level;
typedef void (*ob_log_function)(ob_log_level level, const char *message, void *user);
/* Messages go to `function`, from any thread; NULL (the default) drops them. Thread-safe; a call of the old function that
 * another thread is in may end after this returns. */
OB_API void ob_set_log(ob_log_function function, void *user);

/* Called now and then during long work with a fraction from 0 to 1 and what is being done; returning false cancels. */
typedef bool (*ob_progress_function)(double fraction, const char *what, void *user);

/* Functions that take the place of malloc, realloc and free; all three must be set. They are called from any thread, also from several at
 * once, with at least one byte; what they give must suit any type, as malloc's does. NULL from the first two is OB_ERROR_MEMORY for the
 * caller, and `memory` of the second stays valid then. */
typedef struct ob_allocator {
    void *(*allocate)(size_t bytes, void *user);
    void *(*reallocate)(void *memory, size_t bytes, void *user); /* `memory` may be NULL */
    void (*release)(void *memory, void *user);                   /* never NULL */
    void *user;
} ob_allocator;
/* Where the library gets host memory from here on, of the whole process; it is copied. NULL: malloc's family again, the default. Call it
 * before anything else or when everything is destroyed, and while no other call is in progress: OB_ERROR_ARGUMENT while a context lives,
 * or when a function is missing. The Vulkan driver and other libraries (PCRE2, utf8proc; with onebit_train.h also Jansson and libyaml)
 * have memory of their own, and memory of devices is not meant. */
OB_API ob_status ob_set_allocator(const ob_allocator *allocator);

/* ---- devices --------------------------------------------------------------------------------------------------- */

typedef struct ob_device_info {
    char name[256];
    char driver[320];
    char type[16];                /* "discrete GPU", "integrated GPU", "virtual GPU", "CPU", "other" */
    uint8_t uuid[16];
    char tier;                    /* 'A', 'B' or 'C': the best kernels it can run; of a context: those in use */
    bool usable;                  /* false: below the baseline, `reason` says why */
    char reason[128];
    uint32_t api_version;         /* VK_MAKE_API_VERSION encoding */
    uint32_t subgroup_size;
    uint32_t workgroup_size;      /* most invocations in a workgroup */
    uint32_t shared_bytes;
    uint64_t storage_range;       /* most bytes in one binding */
    uint64_t allocation_max;      /* most bytes in one allocation */
    uint64_t memory_bytes;        /* of the largest device-local heap */
    bool unified;                 /* shares memory with the host */
    bool subgroup_arithmetic, fp16, storage16, timestamps;
} ob_device_info;

/* Fills at most `room` entries, best device first; entry i is what the selection "i" opens. *count is how many there
 * are. OB_ERROR_NO_DEVICE when there is no loader, driver or device. */
OB_API ob_status ob_device_list(ob_device_info *infos, uint32_t room, uint32_t *count);

/* ---- context --------------------------------------------------------------------------------------------------- */

typedef struct ob_context ob_context;

typedef struct ob_context_desc {
    const char *device;    /* index, name (any part, any case) or UUID; NULL: the best one */
    char tier;             /* 'A', 'B', 'C': at most this; 0: the best the device has */
    bool validation;       /* Vulkan validation with synchronization checks; needs the Khronos layer */
    const char *cache_dir; /* for compiled pipelines and the self-test's result; NULL: the user's cache directory; "": none */
    bool skip_selftest;    /* do not check the kernels against the CPU on a device not seen before */
    bool low_priority;     /* the driver puts other programs' work first, where it can (VK_EXT/KHR_global_priority) */
    bool exact;            /* no kernels that round activations to bytes or halves; without it they are taken where they are the fastest */
} ob_context_desc;

/* Opens the device. On a device + driver + shader set not seen before it first runs every kernel against the CPU
 * reference (some seconds on a CPU driver); a kernel that computes wrong numbers steps down a tier and the log says so. */
OB_API ob_status ob_context_create(ob_context **out, const ob_context_desc *desc);
OB_API void ob_context_destroy(ob_context *context);
OB_API ob_status ob_context_info(const ob_context *context, ob_device_info *info);

/* The families of kernels for products of 1-bit weights with one token. Which of them a matrix gets is found out by a short trial
 * when a model with a matrix of that shape is first loaded on a device, and kept in the cache directory. */
typedef struct ob_kernel_family {
    const char *name;    /* "xor", "table", "int8", "straight", "half"; static, as is `reason` */
    bool offered;        /* by this context */
    const char *reason;  /* why not; "" if offered */
} ob_kernel_family;
/* Fills at most `room`; returns how many there are. */
OB_API uint32_t ob_context_families(const ob_context *context, ob_kernel_family *families, uint32_t room);

typedef struct ob_kernel_choice {
    char what[64];       /* "sign_gemv 4096x4096": rows and columns; " exact" behind it where that was asked for */
    char choice[128];    /* "int8 (xor 31.2, table 20.1, int8 15.0 us)": the family and what it was chosen by */
} ob_kernel_choice;
/* What is known so far, of this device: fills at most `room` and returns how many there are. */
OB_API uint32_t ob_context_choices(const ob_context *context, ob_kernel_choice *choices, uint32_t room);

/* Messages of the validation layer so far; 0 when it is off. */
OB_API uint32_t ob_context_validation_messages(const ob_context *context);

typedef struct ob_selftest_row {
    const char *kernel;
    char tier;
    bool passed;
    double worst;          /* largest error over its tolerance: at most 1 passes */
    double seconds;
    const char *detail;    /* where the worst was, or why it could not run; valid during the callback */
} ob_selftest_row;
/* Runs every kernel variant of the context's tier and below, and calls `row` for each. OB_ERROR_NO_DEVICE when even the
 * baseline variant of a kernel is wrong. Nothing else may use the context meanwhile: it changes which variants run. */
OB_API ob_status ob_selftest(ob_context *context, void (*row)(const ob_selftest_row *row, void *user), void *user);

/* ---- model ----------------------------------------------------------------------------------------------------- */

typedef struct ob_model ob_model;

/* A file of a host's own: an asset, an archive, the net. Called on the thread that loads, with offset + count <= bytes; what it returns
 * is not trusted more than a file. Read once and mostly in order, some MiB at a time. */
typedef struct ob_reader {
    uint64_t bytes;   /* size of the file */
    bool (*read)(void *user, uint64_t offset, void *to, size_t count); /* all `count` bytes, or false: loading fails, OB_ERROR_RUNTIME */
    void *user;
    const char *name; /* for messages; NULL: none */
} ob_reader;

typedef struct ob_model_desc {
    const char *path;              /* a GGUF file, architecture llama or onebitllama; or, exactly one of the three being set, */
    const void *memory;            /* its memory_bytes bytes, any alignment, which may go when the load returns; or */
    const ob_reader *reader;       /* who reads it: only what lies in front of the tensors, and some 32 MiB at a time, are in memory */
    uint64_t memory_bytes;
    ob_progress_function progress; /* NULL: none */
    void *user;
    bool map;                      /* where the device can, matrices of f16 and f32 stay pages of the file: less memory, a faster start;
                                    * of a path only, the others are copied */
} ob_model_desc;

/* OB_ERROR_ARGUMENT when not exactly one of path, memory and reader is set, OB_ERROR_DATA for what is no such file or damaged.
 * Reads and checks the file and uploads the weights. The file is not needed afterwards; with `map` it must not be changed or cut while
 * the model lives: unlinking or replacing it is fine, but writing into it changes the model, and cutting it ends the process (SIGBUS). */
OB_API ob_status ob_model_load(ob_model **out, ob_context *context, const ob_model_desc *desc);
OB_API void ob_model_destroy(ob_model *model);

typedef struct ob_model_info {
    char architecture[32]; /* "llama", "onebitllama", "opt", "onebitopt" */
    char name[128];
    bool onebit;           /* linear layers are one sign matrix each; not those of several, nor of bytes */
    uint32_t layers, width, heads, kv_heads, head_size, ffn, vocabulary, context;
    int32_t bos, eos;      /* token ids, -1 = none */
    bool add_bos;          /* the model expects bos in front */
    bool has_tokenizer;
    uint64_t parameters;   /* weights of the model, 1-bit ones too; value vectors are not counted */
    uint64_t device_bytes; /* that the weights take on the device */
    uint64_t file_bytes;
} ob_model_info;
OB_API ob_status ob_model_info_get(const ob_model *model, ob_model_info *info);

typedef struct ob_model_size {
    char architecture[32];
    char method[32];         /* what the linear layers were quantised by (onebit.method); "" where the file does not say */
    uint32_t planes;         /* sign planes of the linear layers; 0: they are no signs */
    uint64_t linear_weights; /* m n, summed over the layers' linear maps of n inputs and m outputs */
    uint64_t linear_values;  /* beside them: scales, input factors, offsets */
    double stored_bits;      /* of weights and values as the file has them, without the pad bits of sign words */
    double linear_bits;      /* strict bits of a linear weight: the method's own form where the file says it (onebit.linear_bits; a file may
                              * hold its weights as f16), else stored_bits / linear_weights. Scales are counted, 16 bits each. */
    double paper_bits;       /* of a weight as the OneBit paper averages: over weights and values (arXiv 2402.11295, A.7) */
    uint64_t parameters;     /* linear weights, embedding, head, norms and biases */
    uint64_t table_bytes;    /* of embedding, positions, projections of both, and head */
    uint64_t tensor_bytes;   /* of all tensors, their padding not counted */
    uint64_t file_bytes;
    uint64_t fp16_bytes;     /* two for each parameter: what the paper compares with */
} ob_model_size;
/* How large a GGUF file's model is, from what stands in front of its weights; no device is needed. OB_ERROR_DATA when it is no such file,
 * damaged, or has linear layers whose shapes do not fit together. */
OB_API ob_status ob_model_size_get(const char *path, ob_model_size *size);

typedef enum ob_tokenize_flags {
    OB_TOKENIZE_BOS = 1,     /* bos in front, when the model expects one */
    OB_TOKENIZE_EOS = 2,     /* eos behind */
    OB_TOKENIZE_SPECIAL = 4  /* control tokens written out in the text become their ids */
} ob_tokenize_flags;
/* Writes at most `room` ids; *count is how many there are in all (call with room 0 to ask). OB_ERROR_DATA when the model
 * has no tokenizer or the text holds a character that it cannot express. */
OB_API ob_status ob_model_tokenize(const ob_model *model, const char *text, size_t length, unsigned flags, uint32_t *ids,
                                   size_t room, size_t *count);
/* The bytes of one token that follows `previous` (-1 at the start of a text): at most `room` are written, without a NUL;
 * returns how many there are. They may be part of a UTF-8 character. */
OB_API size_t ob_model_piece(const ob_model *model, int64_t previous, uint32_t id, char *bytes, size_t room);
/* The bytes of `count` tokens from the start of a text: at most `room` are written, without a NUL; *length is how many there are in all
 * (call with room 0 to ask). Control tokens have none; what the model made may begin or end inside a UTF-8 character. OB_ERROR_DATA when
 * the model has no tokenizer, OB_ERROR_ARGUMENT for an id that is not in the vocabulary; *length is then 0. */
OB_API ob_status ob_model_detokenize(const ob_model *model, const uint32_t *ids, size_t count, char *text, size_t room, size_t *length);

/* ---- session --------------------------------------------------------------------------------------------------- */

typedef struct ob_session ob_session;

typedef struct ob_sampling { /* applied in this order */
    float repeat_penalty;    /* 0 or 1: off. Divides positive and multiplies negative logits of recent tokens */
    uint32_t repeat_last;    /* how many recent tokens; 0: 64 */
    uint32_t top_k;          /* 0: off */
    float top_p;             /* 0 or 1: off */
    float min_p;             /* 0: off */
    float temperature;       /* 0: greedy, the first of the largest */
    uint64_t seed;
} ob_sampling;

/* How a session keeps the keys and values of earlier tokens. F16 takes half of the memory and rounds each to 11 bits; INT8 takes
 * 1/4 + 1/C of F32, C being the size of a head: its key and value are bytes with a scale. AUTO is F16 on GPUs of tier B and above, F32
 * elsewhere. Take F32 where scores shall not depend on it. */
typedef enum ob_cache_type { OB_CACHE_AUTO = 0, OB_CACHE_F32 = 1, OB_CACHE_F16 = 2, OB_CACHE_INT8 = 3 } ob_cache_type;

typedef struct ob_session_desc {
    uint32_t context;     /* positions to keep; 0: the model's, at most 4096. More than the model's is OB_ERROR_ARGUMENT */
    uint32_t batch;       /* tokens processed at once in a prompt; 0: 128 */
    ob_sampling sampling;
    ob_cache_type cache_type;
    bool stepped;         /* for ob_session_step: makes every pipeline now that it can need, so that no frame waits for a compiler */
} ob_session_desc;

/* Takes all device memory that the session will need, but for scoring, which takes some at its first use. OB_ERROR_ARGUMENT for sizes
 * and samplings that cannot be, OB_ERROR_MEMORY, with the largest context that fits, when there is too little. The model must outlive
 * it. Thread-safe. */
OB_API ob_status ob_session_create(ob_session **out, ob_model *model, const ob_session_desc *desc);
OB_API void ob_session_destroy(ob_session *session);
OB_API uint32_t ob_session_context(const ob_session *session);  /* positions there are */
OB_API uint32_t ob_session_position(const ob_session *session); /* tokens fed so far */

/* Appends tokens; logits for the next one are then ready. OB_ERROR_ARGUMENT, and nothing done, when they do not fit into
 * the context or an id is not in the vocabulary. */
OB_API ob_status ob_session_feed(ob_session *session, const uint32_t *ids, size_t count);
/* From any thread, or from a signal handler, while the session lives: the call in progress on it (feed, score, agree, generate, restore,
 * step) ends with OB_ERROR_CANCELLED at its next submission, some tenths of a second on a slow device; when none is, the next such call
 * ends so at once. The call that reports it uses it up, and several before that are one; ob_session_rewind takes back one that came too
 * late. After it the session is where it was before the call (position 0 for what starts anew); feed at least one token before sampling
 * again. */
OB_API void ob_session_cancel(ob_session *session);
/* Forgets everything after `position` (<= the current one). Feed at least one token before sampling again. */
OB_API ob_status ob_session_rewind(ob_session *session, uint32_t position);
/* Chooses the next token by the session's sampling; the same seed, device and driver give the same choices. It is not fed. */
OB_API ob_status ob_session_sample(ob_session *session, uint32_t *id);
typedef enum ob_stop { /* why ob_session_generate came to an end */
    OB_STOP_END = 0,     /* the model ended its text */
    OB_STOP_LENGTH = 1,  /* max_tokens were made */
    OB_STOP_FULL = 2,    /* the context is full */
    OB_STOP_STRING = 3,  /* a stop string came; it and what follows it are not given out */
    OB_STOP_CALLBACK = 4 /* on_text returned false */
} ob_stop;

#define OB_NO_TOKEN UINT32_MAX

/* Called on the thread that generates, once for each token, with what can be said since the last call: always whole, valid UTF-8,
 * `bytes` of it and no NUL. 0 bytes: the token is a control token, or its text is held back, being part of a character or maybe of a stop
 * string. What is left of it comes at the end with `id` OB_NO_TOKEN. Bytes that are no character become U+FFFD. `text` is valid during
 * the call. False ends the generation. It may call ob_session_cancel, but nothing else with this session. */
typedef bool (*ob_text_function)(const char *text, size_t bytes, uint32_t id, void *user);

typedef struct ob_generate_desc {
    const char *prompt;            /* text, prompt_bytes of it, behind what was fed before; "" at position 0: the model begins freely */
    size_t prompt_bytes;
    const uint32_t *ids;           /* or id_count ids. Neither: go on where the last call ended */
    size_t id_count;
    bool no_bos;                   /* else a text at position 0 gets the bos that the model expects */
    bool special;                  /* OB_TOKENIZE_SPECIAL */
    uint32_t max_tokens;           /* 0: until the model ends its text or the context is full */
    bool ignore_eos;               /* go on when the model ends its text: by its eos, or with the bos of another */
    const char *const *stop;       /* stop_count strings, not empty, UTF-8; tokens may cut them anyhow */
    size_t stop_count;
    ob_text_function on_text;      /* NULL: none */
    ob_progress_function progress; /* after each batch of the prompt; false is OB_ERROR_CANCELLED. NULL: none */
    void *user;                    /* of both */
} ob_generate_desc;

typedef struct ob_generate_result {
    ob_stop stop;
    uint32_t tokens;        /* made, the one that ended the text not counted */
    uint32_t prompt_tokens; /* of the prompt that were fed: all or, after a failure there, none */
    uint32_t held_bytes;    /* of a character that the last token began, after OB_STOP_LENGTH and OB_STOP_CALLBACK */
    double prompt_seconds;  /* feeding the prompt */
    double seconds;         /* what came after it */
} ob_generate_result;

/* Feeds the prompt and makes tokens by the session's sampling. The last token given out is not fed, as nobody needs its logits yet: the
 * next generate on this session, with a prompt or without, feeds it first; ob_session_feed, rewind and score forget it. Without a prompt
 * the text goes on as if it had not been interrupted, in the middle of a character too; after OB_STOP_END a prompt must follow.
 * OB_ERROR_ARGUMENT when the prompt does not fit or there is none and nothing to go on from, OB_ERROR_DATA when a text prompt or a stop
 * string needs a tokenizer that the model lacks. After a failure *result says how far it came, and what was given out counts: a call
 * without a prompt (with the same one if prompt_tokens is 0) goes on. `result` may be NULL. */
OB_API ob_status ob_session_generate(ob_session *session, const ob_generate_desc *desc, ob_generate_result *result);
/* Copies the logits after the last fed token: vocabulary floats. */
OB_API ob_status ob_session_logits(ob_session *session, float *logits);
/* Starts anew with `count` tokens and gives nll[i] = -ln p(ids[i+1] | ids[0..i]) for i = 0 .. count-2. */
OB_API ob_status ob_session_score(ob_session *session, const uint32_t *ids, size_t count, double *nll);
/* The same behind what was fed before: nll[i] = -ln p(ids[i+1] | everything fed, ids[0..i]) for i = 0 .. count-2, in batches of the
 * session's size whatever the count. ids[0] .. ids[count-2] are fed, so count-1 positions must be left (OB_ERROR_ARGUMENT otherwise); the
 * last id is only predicted. Feed at least one token before sampling; after a failure the position is what it was before the call. */
OB_API ob_status ob_session_score_next(ob_session *session, const uint32_t *ids, size_t count, double *nll);

/* One of several texts that could follow what was fed: count >= 1 ids, and room for the count-1 numbers of ob_session_score_next (NULL
 * will do for none). The caller's. */
typedef struct ob_continuation {
    const uint32_t *ids;
    size_t count;
    double *nll;
} ob_continuation;

/* ob_session_score_next for each of `count` >= 1 continuations of what was fed, none of which sees another: neighbours share a pass as
 * long as they fit the session's batch, which saves most where each is short. To choose among texts behind one beginning: feed the
 * beginning, take the first token of each from ob_session_logits, score all continuations. The position stays what it is, also after
 * a failure; then some numbers may have been written. Feed at least one token before sampling. OB_ERROR_ARGUMENT, and nothing done, for
 * no continuation, one without tokens or with more than one token more than there are positions left, or an id that the vocabulary
 * lacks. Nothing of the list is kept. */
OB_API ob_status ob_session_score_continuations(ob_session *session, const ob_continuation *continuations, size_t count);

/* ---- generation inside a frame ---------------------------------------------------------------------------------- */

/* Appends `count` ids to what ob_session_step shall feed, and returns at once. They are copied. OB_ERROR_ARGUMENT, and nothing done, when
 * they do not fit into the context behind what is fed and waited for, or an id is not in the vocabulary. */
OB_API ob_status ob_session_push(ob_session *session, const uint32_t *ids, size_t count);

typedef enum ob_step_state {
    OB_STEP_IDLE = 0,  /* nothing to do: push something */
    OB_STEP_BUSY = 1,  /* at work: call again in the next frame */
    OB_STEP_TOKEN = 2, /* `id` was chosen, and is what is fed next, as if it had been pushed */
    OB_STEP_FULL = 3   /* the context is full */
} ob_step_state;

typedef struct ob_step {
    ob_step_state state;
    uint32_t id;           /* of OB_STEP_TOKEN */
    double device_seconds; /* that the piece took which this call found done; 0: none was, or the queue has no time stamps */
} ob_step;

/* Goes on with what was pushed, and then with one token after another of the session's own choice: submits one piece that takes the
 * device at most `microseconds`, and returns; it waits for nothing but the queue's lock. Without top_k (at most 128), or with a repeat
 * penalty, the choice is made from all logits on the host, within the call. Call it once a frame, after the frame's own
 * submit. A token may span many frames, and while the last piece is not done the call does nothing. How long a piece takes is learned from
 * time stamps; a single dispatch that takes longer than `microseconds` is a piece by itself, and prompts go in batches so small that this
 * is rare.
 *
 * Stop by not calling it any more, or by any other call on the session: ob_session_feed, _rewind, _score and _destroy first wait for
 * the piece at work (a few frames at most) and drop what was pushed; ob_session_position counts only what is wholly fed. To drop a token
 * that was just chosen: ob_session_rewind(session, ob_session_position(session)).
 *
 * OB_ERROR_DEVICE_LOST, OB_ERROR_MEMORY: what was pushed is dropped. The text is that of ob_session_feed up to rounding: batches differ. */
OB_API ob_status ob_session_step(ob_session *session, uint32_t microseconds, ob_step *step);

typedef struct ob_agreement { /* of two models on one token */
    double nll, teacher_nll;  /* -ln p(ids[i+1] | ids[0..i]) by each */
    double kl;                /* KL(teacher || student) of the distributions after ids[i], nats */
    bool same_choice;         /* both find the same token the likeliest */
} ob_agreement;
/* Starts both sessions anew with the same `count` tokens and compares them: agreements[i] for i = 0 .. count-2. Two sessions;
 * OB_ERROR_ARGUMENT also when the models' vocabularies are not equally large. */
OB_API ob_status ob_session_agree(ob_session *student, ob_session *teacher, const uint32_t *ids, size_t count,
                                  ob_agreement *agreements);

/* A session as bytes: the tokens fed and how they were cut into submissions, the state of the sampler, and what ob_session_generate gave
 * out and did not feed or holds back; some 4 bytes a token, no keys and values. Only host memory is read, so that it also works after
 * OB_ERROR_DEVICE_LOST and once more for the same state. Writes at most `room` bytes, all or none; *count is how many there are (call with
 * room 0 to ask). OB_ERROR_ARGUMENT when there is less room. The bytes are the same on every machine, have a version and a checksum, and
 * belong to the model file. Of a session that is stepped only what is wholly fed is in it (ob_session_position): push the rest, the token
 * given out last above all, again behind ob_session_restore. */
OB_API ob_status ob_session_save(const ob_session *session, void *bytes, size_t room, size_t *count);

typedef enum ob_restore_flags {
    OB_RESTORE_FAST = 1 /* feeds all tokens as one prompt: quicker, but sums may be rounded otherwise than where they came one by one, so
                           that the text may go on differently */
} ob_restore_flags;
/* Forgets what the session has and goes on where the saved one stood, its sampling included: on the same device and driver with the very
 * same text, given the same cache directory, which remembers the families of kernels (in a stepped session up to rounding). The tokens are
 * fed again for that, each of those that were generated by itself. A choice that was sampled and not fed is part of it: the next
 * ob_session_sample gives it again. The session must have the saved one's context, cache type and at least its batch, with
 * OB_RESTORE_FAST only room for its tokens, else OB_ERROR_ARGUMENT, as for flags that are none, and, without OB_RESTORE_FAST, for a session
 * that was rewound to within a batch where the model's linear layers are rows of bytes. OB_ERROR_DATA for bytes that are damaged,
 * of a later version or of another model; until here nothing changes. When feeding fails the session is left empty, with the saved one's
 * sampling. ob_session_cancel ends it. */
OB_API ob_status ob_session_restore(ob_session *session, const void *bytes, size_t count, unsigned flags);

typedef struct ob_kernel_time { const char *kernel; uint64_t calls; double seconds; uint64_t bytes; } ob_kernel_time;
/* GPU time by kernel. on = true starts anew. Where the device has no timestamps nothing is counted. */
OB_API void ob_session_profile(ob_session *session, bool on);
/* At most `room` rows, longest first; returns how many kernels ran. */
OB_API uint32_t ob_session_kernel_times(const ob_session *session, ob_kernel_time *rows, uint32_t room);

#ifdef __cplusplus
}
#endif
#endif
