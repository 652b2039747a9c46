#include "core/workers.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>

#include "core/alloc.h"

#define THREADS_MAX 8

struct obi_workers {
    pthread_t threads[THREADS_MAX - 1];
    int thread_count; /* without the caller's */
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    uint64_t round; /* counts runs; a thread that has seen it waits for the next */
    bool ending;
    int busy; /* threads that have not finished this round */
    obi_work work;
    void *user;
    uint32_t items, at_once, next;
};

/* Takes ranges until none is left. The lock is held on entry and on return. */
static void take_ranges(obi_workers *workers)
{
    while (workers->next < workers->items) {
        uint32_t first = workers->next, left = workers->items - first;
        uint32_t count = left < workers->at_once ? left : workers->at_once;
        workers->next = first + count;
        obi_work work = workers->work;
        void *user = workers->user;
        pthread_mutex_unlock(&workers->lock);
        work(user, first, count);
        pthread_mutex_lock(&workers->lock);
    }
}

static void *run_thread(void *of)
{
    obi_workers *workers = of;
    uint64_t seen = 0;
    pthread_mutex_lock(&workers->lock);
    while (true) {
        while (workers->round == seen && !workers->ending) pthread_cond_wait(&workers->begun, &workers->lock);
        if (workers->ending) break;
        seen = workers->round;
        take_ranges(workers);
        if (--workers->busy == 0) pthread_cond_signal(&workers->done);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static int processors(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : THREADS_MAX; /* more than 1024: it fails */
    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : count;
}

obi_workers *obi_workers_create(void)
{
    obi_workers *workers = obi_calloc(1, sizeof *workers);
    if (!workers) return NULL;
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->begun, NULL);
    pthread_cond_init(&workers->done, NULL);
    sigset_t all, before; /* a program's handlers run on its own threads */
    sigfillset(&all);
    /* But not those of the thread's own doing, which the specification leaves undefined when blocked. */
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
    bool blocked = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    for (int wanted = processors() - 1; workers->thread_count < wanted; workers->thread_count++)
        if (pthread_create(&workers->threads[workers->thread_count], NULL, run_thread, workers) != 0) break;
    if (blocked) pthread_sigmask(SIG_SETMASK, &before, NULL);
    return workers;
}

void obi_workers_destroy(obi_workers *workers)
{
    if (!workers) return;
    pthread_mutex_lock(&workers->lock);
    workers->ending = true;
    pthread_cond_broadcast(&workers->begun);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->thread_count; i++) pthread_join(workers->threads[i], NULL);
    pthread_cond_destroy(&workers->done);
    pthread_cond_destroy(&workers->begun);
    pthread_mutex_destroy(&workers->lock);
    obi_free(workers);
}

void obi_workers_run(obi_workers *workers, obi_work work, void *user, uint32_t items, uint32_t at_once)
{
    if (items == 0) return;
    if (at_once == 0) at_once = 1;
    if (!workers || workers->thread_count == 0 || items <= at_once) {
        work(user, 0, items);
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->work = work;
    workers->user = user;
    workers->items = items;
    workers->at_once = at_once;
    workers->next = 0;
    workers->busy = workers->thread_count;
    workers->round++;
    pthread_cond_broadcast(&workers->begun);
    take_ranges(workers);
    while (workers->busy > 0) pthread_cond_wait(&workers->done, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
}
