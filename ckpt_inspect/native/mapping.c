/* Bytes of files where the kernel has them, without a copy.
 *
 * A file that shrinks meanwhile, or a disk that fails, sends SIGBUS to who reads what was mapped. While something is mapped
 * here, that ends the work on it, and nothing else: whoever asked then reads the file in the ordinary way, and is told why it
 * can't be read.
 */
#define _GNU_SOURCE
#include "mapping.h"

#if defined(__linux__) && defined(__GLIBC__)
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/uio.h>
#endif

#if defined(RWF_NOWAIT)
enum {
    LEAST_MAPPED = 1 << 20, /* bytes of each source: less is copied in the time that mapping takes */
    LARGE_PAGE = 1 << 21    /* the kernel maps so much at once if it has it in one piece, and if all of it is asked for */
};

typedef struct {
    void *memory;
    size_t size;
} Mapped;

/* Where this thread goes on if what it has mapped is gone; NULL while it has mapped nothing. */
static _Thread_local sigjmp_buf *volatile way_out;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int users; /* threads that have something mapped */
static struct sigaction action_before;

static void leave(int number, siginfo_t *info, void *context)
{
    const int is_sent = info->si_code <= 0; /* by a process: whoever gets it */
    (void)context;
    if (way_out && !is_sent)
        siglongjmp(*way_out, 1);
    sigaction(number, &action_before, NULL); /* another's, which comes again */
    if (is_sent)
        raise(number);
}

static void begin_use(void)
{
    pthread_mutex_lock(&lock);
    if (!users++) {
        /* SA_NODEFER: it is left by a jump, after which it must not stay blocked */
        struct sigaction action = {.sa_sigaction = leave, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        sigaction(SIGBUS, &action, &action_before);
    }
    pthread_mutex_unlock(&lock);
}

static void end_use(void)
{
    struct sigaction now;
    pthread_mutex_lock(&lock);
    if (!--users && !sigaction(SIGBUS, NULL, &now) && now.sa_flags & SA_SIGINFO && now.sa_sigaction == leave)
        sigaction(SIGBUS, &action_before, NULL);
    pthread_mutex_unlock(&lock);
}

static void hold(void)
{
    pthread_mutex_lock(&lock);
}

static void let_go(void)
{
    pthread_mutex_unlock(&lock);
}

void prepare_mapping(void)
{
    pthread_atfork(hold, let_go, let_go); /* a copy of the process must not find the lock held by a thread it hasn't */
}

/* Whether a byte of a file is in memory. Never so on a file system that can't tell, as those of a network. */
static int is_in_memory(int descriptor, int64_t offset)
{
    unsigned char byte;
    const struct iovec one = {&byte, 1};
    return preadv2(descriptor, &one, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* Map `size` bytes of a file if they are in memory, as far as can be seen of some of them: what must come from a disk comes
 * faster if it is read. */
static Mapped map(Source *source, size_t size)
{
    const Mapped none = {NULL, 0};
    const int64_t end = source->offset + (int64_t)size;
    if (source->memory || source->descriptor < 0)
        return none;
    for (int64_t at = source->offset; at < end; at += LEAST_MAPPED)
        if (!is_in_memory(source->descriptor, at))
            return none;
    if (!is_in_memory(source->descriptor, end - 1))
        return none;
    const int64_t begin = source->offset / LARGE_PAGE * LARGE_PAGE;
    const size_t whole = (size_t)((end - begin + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
    void *const memory = mmap(NULL, whole, PROT_READ, MAP_PRIVATE, source->descriptor, (off_t)begin);
    if (memory == MAP_FAILED)
        return none;
    source->memory = (const unsigned char *)memory + (source->offset - begin);
    source->is_received = 1;
    return (Mapped){memory, whole};
}

int with_mapped(Source *sources, size_t count, size_t size, Work *work, void *given)
{
    Mapped mapped[SOURCES];
    int is_mapped = 0;
    volatile int is_done = 0;
    if (size < LEAST_MAPPED)
        return work(given);
    for (size_t i = 0; i < count; i++) {
        mapped[i] = map(&sources[i], size);
        is_mapped |= mapped[i].size > 0;
    }
    if (!is_mapped)
        return work(given);
    sigjmp_buf here;
    begin_use();
    if (!sigsetjmp(here, 0)) {
        way_out = &here;
        is_done = work(given);
    }
    way_out = NULL;
    end_use();
    for (size_t i = 0; i < count; i++) {
        if (!mapped[i].size)
            continue;
        munmap(mapped[i].memory, mapped[i].size);
        sources[i].memory = NULL;
        sources[i].is_received = 0;
    }
    return is_done;
}
#else
void prepare_mapping(void) {}

int with_mapped(Source *sources, size_t count, size_t size, Work *work, void *given)
{
    (void)sources, (void)count, (void)size;
    return work(given);
}
#endif
