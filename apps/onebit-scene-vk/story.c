#include "story.h"

#include <stdio.h>
#include <string.h>

#define PAUSE_SECONDS 3.0 /* between two stories */
#define PROMPT_TOKENS 256

/* ---- loading ------------------------------------------------------------------------------------------------------------- */

static ob_status load(story *own)
{
    gpu *device = own->device;
    /* OneBit, 2 of 3: the library on our device. It submits to `queue` from this thread now and from the drawing thread later; when the
     * drawing uses the same queue, both must hold the same lock, as Vulkan demands. */
    ob_vulkan_desc vulkan = { .get_instance_proc_addr = vkGetInstanceProcAddr, .instance = device->instance,
                              .api_version = device->api_version, .physical_device = device->physical, .device = device->device,
                              .queue = device->compute, .queue_family = device->compute_family, .enabled = device->enabled };
    if (device->shared) {
        vulkan.lock_queue = gpu_lock;
        vulkan.unlock_queue = gpu_unlock;
        vulkan.user = device;
    }
    ob_status status = ob_context_create_vulkan(&own->context, &(ob_context_desc){ .skip_selftest = own->desc->skip_selftest }, &vulkan);
    if (status == OB_OK) status = ob_model_load(&own->model, own->context, &(ob_model_desc){ .path = own->desc->path });
    if (status == OB_OK) status = ob_model_info_get(own->model, &own->info);
    if (status != OB_OK) return status;
    /* `stepped` makes every pipeline now, so that no frame waits for a shader compiler. */
    ob_session_desc session = { .stepped = true, .sampling = { .temperature = 0.7f, .top_p = 0.9f, .seed = own->desc->seed } };
    return ob_session_create(&own->session, own->model, &session);
}

static void *load_thread(void *user)
{
    story *own = user;
    own->status = load(own);
    if (own->status == OB_OK) own->status = story_begin(own);
    if (own->status != OB_OK) snprintf(own->error, sizeof own->error, "%s", ob_last_error()); /* it is this thread's */
    atomic_store(&own->loaded, true);
    return NULL;
}

void story_open(story *own, gpu *device, const story_desc *desc)
{
    *own = (story){ .device = device, .desc = desc };
    if (pthread_create(&own->loader, NULL, load_thread, own) != 0) {
        own->device = NULL;
        own->status = OB_ERROR_RUNTIME;
        snprintf(own->error, sizeof own->error, "no thread could be started");
        atomic_store(&own->loaded, true);
    }
}

ob_status story_status(const story *own) { return atomic_load(&own->loaded) ? own->status : OB_OK; }

void story_wait(story *own)
{
    if (own->device) pthread_join(own->loader, NULL);
    own->device = NULL;
}

void story_close(story *own)
{
    story_wait(own);
    ob_session_destroy(own->session); /* waits for a piece at work */
    ob_model_destroy(own->model);
    ob_context_destroy(own->context);
    own->session = NULL;
    own->model = NULL;
    own->context = NULL;
}

/* ---- text ---------------------------------------------------------------------------------------------------------------- */

/* Our letters are ASCII; what else a model may say becomes a question mark, once for each character. */
static void append(story *own, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count && own->length + 1 < STORY_BYTES; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if ((byte & 0xc0) == 0x80 || (byte < 32 && byte != '\n')) continue;
        own->text[own->length++] = byte < 127 ? (char)byte : '?';
    }
    own->text[own->length] = 0;
}

ob_status story_begin(story *own)
{
    static const char *const prompts[] = { "Once upon a time, there was a little fox who", "Tom and Mia found an old map. They",
                                           "One day, a small bird wanted to see the sea.", "Lily looked out of the window and saw",
                                           "The robot woke up in a quiet forest." };
    const char *prompt = own->desc->prompt ? own->desc->prompt : prompts[own->stories % (sizeof prompts / sizeof *prompts)];
    uint32_t ids[PROMPT_TOKENS];
    size_t count;
    ob_status status = ob_model_tokenize(own->model, prompt, strlen(prompt), OB_TOKENIZE_BOS, ids, PROMPT_TOKENS, &count);
    if (status == OB_OK) status = ob_session_rewind(own->session, 0);
    if (status == OB_OK) status = ob_session_push(own->session, ids, count < PROMPT_TOKENS ? count : PROMPT_TOKENS);
    if (status != OB_OK) return status;
    own->length = 0;
    append(own, prompt, strlen(prompt));
    own->previous = ids[count - 1 < PROMPT_TOKENS ? count - 1 : PROMPT_TOKENS - 1];
    own->fresh = true;
    own->ended = false;
    own->stories++;
    return OB_OK;
}

ob_status story_step(story *own, uint32_t microseconds, double now, story_news *news)
{
    *news = (story_news){ .submitted = false };
    if (own->ended) return now - own->ended_at > PAUSE_SECONDS ? story_begin(own) : OB_OK;
    /* OneBit, 3 of 3: a piece of the model's work. The call records and submits it, and returns without waiting. */
    ob_step step;
    ob_status status = ob_session_step(own->session, microseconds, &step);
    if (status != OB_OK) return status;
    news->submitted = own->fresh || step.device_seconds > 0;
    news->device_seconds = step.device_seconds;
    own->fresh = false;
    if (step.state == OB_STEP_TOKEN) {
        bool end = (int64_t)step.id == own->info.eos || (int64_t)step.id == own->info.bos; /* the bos of the next text */
        char bytes[64];
        if (!end) append(own, bytes, ob_model_piece(own->model, own->previous, step.id, bytes, sizeof bytes));
        own->tokens += !end;
        news->word = !end;
        own->previous = step.id;
        own->ended = end;
    }
    if (step.state == OB_STEP_FULL || own->length + 1 == STORY_BYTES) own->ended = true;
    if (own->ended) {
        own->ended_at = now;
        append(own, "\n  ~", 4);
    }
    return OB_OK;
}
