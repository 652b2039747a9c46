/* threads: calls of the public API from several threads at once, for tests. Include in cmocka tests only. */
#ifndef OB_TESTS_API_THREADS_H
#define OB_TESTS_API_THREADS_H

#include "api.h"

#define IDS 12

/* Runs `work` on each of `count` elements at once; all must say OB_OK. cmocka is for the main thread only, so a thread
 * notes what went wrong. */
typedef struct job {
    ob_status (*work)(struct job *own);
    pthread_barrier_t *start;
    unsigned number;
    ob_context *context;
    ob_model *model;
    const char *text, *cache_dir;
    ob_sampling sampling;
    uint32_t ids[IDS];
    ob_status status;
    char sentence[512];
} job;

static inline void *run_job(void *user)
{
    job *own = user;
    pthread_barrier_wait(own->start);
    own->status = own->work(own);
    snprintf(own->sentence, sizeof own->sentence, "%s", ob_last_error());
    return NULL;
}

static inline void run_jobs(job *jobs, unsigned count)
{
    pthread_t threads[8];
    pthread_barrier_t start;
    assert_true(count <= 8);
    assert_int_equal(pthread_barrier_init(&start, NULL, count), 0);
    for (unsigned i = 0; i < count; i++) {
        jobs[i].start = &start;
        jobs[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, run_job, &jobs[i]), 0);
    }
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (unsigned i = 0; i < count; i++)
        if (jobs[i].status != OB_OK) fail_msg("thread %u: %d, %s", i, (int)jobs[i].status, jobs[i].sentence);
}

/* Tokenises the job's text and generates from it in a session of its own. */
static inline ob_status generate(job *own)
{
    uint32_t prompt[64];
    size_t count = 0;
    ob_session *session = NULL;
    ob_status status = ob_model_tokenize(own->model, own->text, strlen(own->text), OB_TOKENIZE_BOS, prompt, 64, &count);
    if (status == OB_OK)
        status = ob_session_create(&session, own->model, &(ob_session_desc){ .context = 128, .batch = 8, .sampling = own->sampling });
    if (status == OB_OK) status = api_generate(session, prompt, count, own->ids, IDS);
    ob_session_destroy(session);
    return status;
}

#endif
