/* Receives messages into a mapped batch file, a burst a call; receive/loop_python.py does the same in Python.
 *
 * Plain C behind ctypes: no Python.h, and the interpreter's lock is released meanwhile.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <mqueue.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "batch_file.h"

enum { FULL = 0, AGED = 1, WOKEN = 2, EMPTY = 3, FAILED = 4, REMOVED = 5, CUT = 6 }; /* receive/loop.py: Ended */
enum { END_MARK = 4 };                                                  /* eventpub/queue/removal.py */

struct burst { /* native/state.py: State */
    int32_t queue_fd, wake_fd, wait, error;
    uint32_t message_size, events;
    uint8_t *map;
    uint64_t size, offset, body, body_limit;
    int64_t gather, max_pause_ns, max_age_ns, first_ns;
};

const uint32_t eventpub_state_bytes = sizeof(struct burst); /* an older build than state.py is not used */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int has_room(const struct burst *b) {
    return (!b->events || b->body + b->message_size + 1 <= b->body_limit) &&
           b->offset + sizeof(struct record) + b->message_size <= b->size;
}

/* Whether a queue has lost its name: a message that looks like an end mark is one there only. */
static int is_removed(int fd) {
    struct stat status;
    return !fstat(fd, &status) && !status.st_nlink;
}

/* A page of the mapping is gone where somebody cut the file, or where the disk takes back what it had reserved:
 * touching it raises SIGBUS. In the thread that receives, that ends the burst; anywhere else, it does what it did. */
static __thread __attribute__((tls_model("initial-exec"))) struct {
    sigjmp_buf *way_out;
    const uint8_t *from, *to;
} guard;
static struct sigaction before;

static void on_bus_error(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    const uint8_t *page = info->si_addr;
    if (guard.way_out && page >= guard.from && page < guard.to) siglongjmp(*guard.way_out, 1);
    sigaction(SIGBUS, &before, 0); /* and on return the same access raises it again */
}

static void watch_bus_errors(void) {
    static int is_watching;
    struct sigaction ours = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    if (!is_watching) is_watching = !sigaction(SIGBUS, &ours, &before);
}

/* Takes what is in the queue but end marks; how many messages that were, or -1 with b->error. While one is in hand that
 * is not in b->events, `in_hand` is 1. */
static int drain(struct burst *b, int *marks, volatile int *in_hand) {
    int taken = 0;
    while (has_room(b)) {
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* what b says must be written before a page is touched */
        volatile struct record *r = (struct record *)(b->map + b->offset);
        volatile uint8_t *data = (uint8_t *)(r + 1), *last = data + b->message_size - 1;
        r->magic = MAGIC;
        r->mark = ARMED;
        /* a page that is not resident would lose the message: touch them all just before the call */
        for (volatile uint8_t *p = data; p < last; p += 4096) *p = *p;
        *last = *last;
        ssize_t n = mq_receive(b->queue_fd, (char *)data, b->message_size, (unsigned *)&r->mark);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) break;
        *in_hand = n >= 0 || errno == EFAULT; /* the kernel had no page to put it in, and has let it go */
        if (n < 0) return b->error = errno, -1;
        if (n == 1 && *data == END_MARK && is_removed(b->queue_fd)) {
            r->mark = ARMED; /* no event: a start after a kill is not to read one here */
            *in_hand = 0;
            ++*marks;
            continue;
        }
        r->crc = eventpub_crc32((uint8_t *)data, n);
        __atomic_store_n(&r->length, COMMITTED | (uint32_t)n, __ATOMIC_RELEASE);
        b->offset += record_size(n);
        b->body += n + 1;
        if (!b->events++) b->first_ns = now_ns();
        *in_hand = 0;
        taken++;
    }
    return taken;
}

static int receive(struct burst *b, volatile int *in_hand) {
    struct pollfd fds[] = {{b->queue_fd, POLLIN, 0}, {b->wake_fd, POLLIN, 0}};
    int64_t drained_ns = 0; /* when the last drain ended, unless the queue has been idle since */
    for (;;) {
        int marks = 0, taken = drain(b, &marks, in_hand);
        if (taken < 0) return b->error == EFAULT ? CUT : FAILED;
        if (marks && b->wait) return REMOVED;
        if (!has_room(b)) return FULL;
        if (!b->wait) return EMPTY;
        int64_t now = now_ns(), wait_ns = b->events ? b->first_ns + b->max_age_ns - now : -1;
        if (b->events && wait_ns <= 0) return AGED;
        int nap = taken && b->gather; /* let more messages gather, so that one wake-up serves many */
        if (nap) {
            int64_t pause_ns = drained_ns ? (now - drained_ns) * b->gather / taken : b->max_pause_ns / 2;
            if (pause_ns > b->max_pause_ns) pause_ns = b->max_pause_ns;
            if (pause_ns < wait_ns) wait_ns = pause_ns;
        }
        drained_ns = taken ? now : 0;
        struct timespec wait = {wait_ns / 1000000000, wait_ns % 1000000000};
        if (ppoll(nap ? fds + 1 : fds, nap ? 1 : 2, wait_ns < 0 ? 0 : &wait, 0) < 0 && errno != EINTR)
            return b->error = errno, FAILED;
        if (fds[1].revents) return WOKEN;
    }
}

int eventpub_receive(struct burst *b) {
    volatile int in_hand = 0;
    sigjmp_buf way_out;
    int ended;
    watch_bus_errors();
    guard.way_out = &way_out, guard.from = b->map, guard.to = b->map + b->size;
    if (sigsetjmp(way_out, 0))
        ended = CUT;
    else
        ended = receive(b, &in_hand);
    guard.way_out = 0;
    if (in_hand) b->events++; /* it is lost, and counted when the batch is read */
    return ended;
}
