/* Helper threads for one call, and the memory of calls.
 *
 * A call cuts every step into pieces. The calling thread and its helpers claim pieces from a ticket; helpers compute in
 * memory of their own and copy the result once it is theirs to copy. So a caller who has nothing left to claim waits only
 * a short time for a helper that the system has taken off its core: then it takes the piece back and computes it itself,
 * and what the helper brings later is dropped. A call that met such a helper does without helpers for a while.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <immintrin.h>

#include "engine.h"

enum { MOST_PIECES = 4096, MOST_HELPERS = 255 };
enum { OPEN, COPYING, DONE };                   /* low bits of a piece's state; above them the number of the step */
static const int64_t spin_ns = 60000;           /* that a helper waits for the next step before it sleeps */
static const int64_t patience_ns = 30000;       /* that a caller waits for a claimed piece, at least */
static const int64_t alone_ns = 20000000;       /* without helpers after one was late */

struct Job {
    struct Job *next;
    Scratch *scratch;
    int wanted;         /* helpers */
    _Atomic int inside; /* helpers; changed under the lock, as `sleeping` is */
    _Atomic int closed;
    _Atomic uint64_t ticket; /* step << 32 | pieces << 16 | next piece */
    Work work;
    char step[256]; /* what `work.step` points to, copied: a late helper may read it after the caller has gone on */
    _Atomic uint32_t states[MOST_PIECES];
    uint32_t number; /* of the step */
    int helped;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static Job *jobs;
static Scratch *spare;
static int helpers, working, num_spare;
static _Atomic int sleeping;
static _Atomic uint32_t calls; /* grows with every job, for helpers that still spin */
static _Atomic int64_t alone_until;
static pthread_once_t forks = PTHREAD_ONCE_INIT;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The child of a fork has the forking thread alone: it starts with no helpers and no jobs. Scratch in use is lost. */
static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork_parent(void) { pthread_mutex_unlock(&lock); }
static void after_fork_child(void) {
    jobs = NULL;
    helpers = working = sleeping = 0;
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&news, NULL);
}
static void watch_forks(void) { pthread_atfork(before_fork, after_fork_parent, after_fork_child); }

static char *aligned(size_t size) {
    void *memory = NULL;
    return posix_memalign(&memory, 4096, size ? size : 64) ? NULL : memory;
}

/* Sizes in steps of an eighth, so that a few sizes serve every length. */
static size_t rounded(size_t size) {
    size_t step = 1 << 16;
    while (step * 8 < size) step *= 2;
    return (size + step - 1) / step * step;
}

static void free_scratch(Scratch *scratch) {
    free(scratch->memory), free(scratch->workspace), free(scratch->job), free(scratch);
}

Scratch *take_scratch(size_t size) {
    pthread_once(&forks, watch_forks);
    pthread_mutex_lock(&lock);
    Scratch *scratch = spare;
    if (scratch) spare = scratch->next, num_spare--;
    pthread_mutex_unlock(&lock);
    if (!scratch && !(scratch = calloc(1, sizeof *scratch))) return NULL;
    scratch->users = 1;
    if (scratch->size < size) {
        free(scratch->memory);
        scratch->size = rounded(size);
        if (!(scratch->memory = aligned(scratch->size))) {
            free_scratch(scratch);
            return NULL;
        }
        memset(scratch->memory, 0, scratch->size);
    }
    return scratch;
}

enum { MOST_SPARE = 64, MOST_KEPT = 256 << 20 }; /* scratch that waits for the next call; bytes of each */

static void leave_locked(Scratch *scratch) {
    if (--scratch->users) return;
    if (num_spare < MOST_SPARE && scratch->size <= MOST_KEPT)
        scratch->next = spare, spare = scratch, num_spare++;
    else
        free_scratch(scratch);
}

void leave_scratch(Scratch *scratch) {
    pthread_mutex_lock(&lock);
    leave_locked(scratch);
    pthread_mutex_unlock(&lock);
}

static Place moved(Place place, Piece piece) {
    if (place.floats) place.floats += piece.row * place.float_stride + 4 * (size_t)piece.col;
    if (place.codes)
        place.codes += piece.row * place.code_stride + (size_t)piece.col * item_bytes(place.code_kind);
    if (place.scales) place.scales += piece.row;
    return place;
}

/* Memory of a helper's own, for what a piece needs and for its result. */
typedef struct {
    char *memory;
    size_t size;
} Own;

static Place own_place(const Work *work, Piece piece, char *memory) {
    Place place = work->place;
    if (place.floats) place.floats = memory, place.float_stride = row_bytes(piece.cols, FLOAT32);
    memory += round_up(piece.rows, 32) * row_bytes(piece.cols, FLOAT32);
    if (place.codes) place.codes = memory, place.code_stride = row_bytes(piece.cols, place.code_kind);
    memory += round_up(piece.rows, 32) * row_bytes(piece.cols, FLOAT32);
    if (place.scales) place.scales = (RowScale *)memory;
    return place;
}

static void copy_result(Place to, Place from, Piece piece) {
    for (int r = 0; r < piece.rows; r++) {
        if (to.floats)
            memcpy(to.floats + r * to.float_stride, from.floats + r * from.float_stride, 4 * (size_t)piece.cols);
        if (to.codes) /* int8 rows are whole and may have an odd end */
            memcpy(to.codes + r * to.code_stride, from.codes + r * from.code_stride,
                   (size_t)piece.cols * item_bytes(to.code_kind));
        if (to.scales) to.scales[r] = from.scales[r];
    }
}

/* Compute the pieces of a job until it is closed, or there is no step for too long. */
static void help(Job *job, Own *own) {
    int64_t since = now();
    while (!atomic_load(&job->closed)) {
        uint64_t ticket = atomic_load(&job->ticket);
        uint32_t number = (uint32_t)(ticket >> 32), pieces = ticket >> 16 & 0xffff, next = ticket & 0xffff;
        if (next >= pieces) {
            for (int i = 0; i < 16; i++) _mm_pause();
            if (now() - since > spin_ns) return;
            continue;
        }
        if (!atomic_compare_exchange_weak(&job->ticket, &ticket, ticket + 1)) continue;
        Work work = job->work;
        char step[sizeof job->step];
        memcpy(step, job->step, sizeof step);
        work.step = step;
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&job->ticket) >> 32 != number) continue; /* the copy may be of two steps */
        Piece piece = work.piece(&work, (int)next);
        size_t results = 2 * round_up(piece.rows, 32) * row_bytes(piece.cols, FLOAT32) + piece.rows * sizeof(RowScale);
        results = round_up(results, 4096);
        if (own->size < results + work.workspace) {
            free(own->memory);
            own->size = rounded(results + work.workspace);
            own->memory = aligned(own->size);
            if (!own->memory) { /* the caller takes the piece back */
                own->size = 0;
                return;
            }
            memset(own->memory, 0, own->size);
        }
        Place place = own_place(&work, piece, own->memory);
        work.compute(&work, piece, own->memory + results, place);
        uint32_t open = number << 2 | OPEN;
        if (atomic_compare_exchange_strong(&job->states[next], &open, number << 2 | COPYING)) {
            copy_result(moved(work.place, piece), place, piece);
            atomic_store(&job->states[next], number << 2 | DONE);
        }
        since = now();
    }
}

static void *helper(void *unused) {
    Own own = {0};
    pthread_mutex_lock(&lock);
    for (;;) {
        Job *job = jobs;
        while (job && (job->inside >= job->wanted || atomic_load(&job->closed))) job = job->next;
        if (job) {
            Scratch *scratch = job->scratch;
            job->inside++;
            scratch->users++;
            working++;
            pthread_mutex_unlock(&lock);
            help(job, &own);
            uint32_t seen = atomic_load(&calls);
            pthread_mutex_lock(&lock);
            job->inside--;
            working--;
            leave_locked(scratch);
            pthread_mutex_unlock(&lock);
            for (int64_t since = now(); atomic_load(&calls) == seen && now() - since < spin_ns;)
                for (int i = 0; i < 32; i++) _mm_pause();
            pthread_mutex_lock(&lock);
            if (atomic_load(&calls) != seen) continue;
        }
        sleeping++;
        pthread_cond_wait(&news, &lock);
        sleeping--;
    }
    return unused;
}

/* Open the call to helpers; what `threads` says is the most that compute, the caller counted. */
int start_job(Scratch *scratch, int threads) {
    Job *job = scratch->job;
    if (!job) {
        if (!(job = scratch->job = calloc(1, sizeof *job))) return 1;
        job->scratch = scratch;
    }
    job->helped = 0;
    if (threads < 2 || now() < atomic_load(&alone_until)) return 1;
    if (threads > MOST_HELPERS) threads = MOST_HELPERS;
    pthread_mutex_lock(&lock);
    job->wanted = threads - 1;
    atomic_store(&job->ticket, (uint64_t)job->number << 32);
    atomic_store(&job->closed, 0);
    while (helpers < threads - 1) {
        pthread_t thread;
        pthread_attr_t detached;
        pthread_attr_init(&detached);
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &detached, helper, NULL);
        pthread_attr_destroy(&detached);
        if (failed) break;
        helpers++;
    }
    job->next = jobs, jobs = job;
    atomic_fetch_add(&calls, 1);
    if (sleeping) pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
    job->helped = 1;
    return threads;
}

static void close_job(Job *job) {
    if (!job->helped) return;
    job->helped = 0;
    atomic_store(&job->closed, 1);
    pthread_mutex_lock(&lock);
    Job **place = &jobs;
    while (*place != job) place = &(*place)->next;
    *place = job->next;
    pthread_mutex_unlock(&lock);
}

void end_job(Scratch *scratch) { close_job(scratch->job); }

/* Wait until no helper is inside a call, before weights are given back. */
void bertkit_wait_for_helpers(void) {
    for (;;) {
        pthread_mutex_lock(&lock);
        int busy = working;
        pthread_mutex_unlock(&lock);
        if (!busy) return;
        sched_yield();
    }
}

static void compute_here(const Work *work, int number, Scratch *scratch) {
    Piece piece = work->piece(work, number);
    work->compute(work, piece, scratch->workspace, moved(work->place, piece));
}

int run(Scratch *scratch, const Work *work, size_t step_size) {
    Job *job = scratch->job;
    if (scratch->workspace_size < work->workspace) {
        free(scratch->workspace);
        scratch->workspace_size = rounded(work->workspace);
        if (!(scratch->workspace = aligned(scratch->workspace_size))) {
            scratch->workspace_size = 0;
            return -1;
        }
        memset(scratch->workspace, 0, scratch->workspace_size);
    }
    if (!job->helped || work->pieces < 2 || work->pieces > MOST_PIECES) {
        for (int number = 0; number < work->pieces; number++) compute_here(work, number, scratch);
        return 0;
    }
    uint32_t number = ++job->number & 0x3fffffff;
    job->number = number;
    for (int i = 0; i < work->pieces; i++) atomic_store_explicit(&job->states[i], number << 2 | OPEN, memory_order_relaxed);
    /* Late helpers see the new number before the new step, and drop what they copied. */
    atomic_store(&job->ticket, (uint64_t)number << 32);
    job->work = *work;
    memcpy(job->step, work->step, step_size);
    atomic_store(&job->ticket, (uint64_t)number << 32 | (uint64_t)work->pieces << 16);
    if (atomic_load_explicit(&sleeping, memory_order_relaxed) && atomic_load_explicit(&job->inside, memory_order_relaxed) < job->wanted) {
        pthread_mutex_lock(&lock); /* a helper that found no step for a while sleeps */
        pthread_cond_broadcast(&news);
        pthread_mutex_unlock(&lock);
    }

    int64_t start = now(), slowest = 0;
    for (;;) {
        uint64_t ticket = atomic_load(&job->ticket);
        int next = ticket & 0xffff;
        if (next >= work->pieces) break;
        if (!atomic_compare_exchange_weak(&job->ticket, &ticket, ticket + 1)) continue;
        atomic_store_explicit(&job->states[next], number << 2 | COPYING, memory_order_relaxed);
        compute_here(work, next, scratch);
        atomic_store_explicit(&job->states[next], number << 2 | DONE, memory_order_relaxed);
        int64_t end = now();
        if (end - start > slowest) slowest = end - start;
        start = end;
    }
    int64_t patience = 2 * slowest > patience_ns ? 2 * slowest : patience_ns;
    for (int i = 0; i < work->pieces; i++) {
        while (atomic_load(&job->states[i]) != (number << 2 | DONE)) {
            _mm_pause();
            if (now() - start < patience) continue;
            uint32_t open = number << 2 | OPEN;
            if (!atomic_compare_exchange_strong(&job->states[i], &open, number << 2 | COPYING)) continue;
            compute_here(work, i, scratch);
            atomic_store(&job->states[i], number << 2 | DONE);
            atomic_store(&alone_until, now() + alone_ns);
            close_job(job); /* the rest of this call runs alone */
        }
    }
    return 0;
}
