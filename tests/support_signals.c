/* support_signals.c - with WEFT_TEST_SIGNALS in the environment a program is interrupted all the time
 *
 * A timer's signal, a thousand times a second, comes to the program's own threads, as it does to a program's; its
 * handler hands another one on to every thread, the workers too, by the one signal that they do not block.  Neither is
 * restarted by the system, so that system calls that wait return EINTR.  No thread is needed for it, which tests would
 * count; and no call of weft is made here, not even for errno.
 */
#include "support.h"

#include <dirent.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#undef errno /* as the system has it */
#define errno (*__errno_location())
extern int *__errno_location(void);

static int tasks; /* the directory of the threads */

static void only_interrupt(int number)
{
    (void)number;
}

static void interrupt_all(int number)
{
    int                            before = errno, self = (int)syscall(SYS_gettid);
    _Alignas(struct dirent64) char entries[2048];
    ssize_t                        size;

    (void)number;
    lseek(tasks, 0, SEEK_SET);
    while ((size = getdents64(tasks, entries, sizeof entries)) > 0) {
        for (ssize_t at = 0; at < size;) {
            const struct dirent64 *entry = (const struct dirent64 *)(entries + at);
            int                    thread = 0;
            for (const char *digit = entry->d_name; *digit >= '0' && *digit <= '9'; digit++)
                thread = thread * 10 + *digit - '0';
            if (thread > 0 && thread != self) syscall(SYS_tgkill, getpid(), thread, SIGPROF);
            at += entry->d_reclen;
        }
    }
    errno = before;
}

bool test_interrupted(void)
{
    return getenv("WEFT_TEST_SIGNALS");
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction first = {.sa_handler = interrupt_all, .sa_flags = SA_ONSTACK},
                     second = {.sa_handler = only_interrupt, .sa_flags = SA_ONSTACK};
    struct itimerval often = {{0, 1000}, {0, 1000}};

    if (!test_interrupted()) return;
    int low = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    tasks = fcntl(low, F_DUPFD_CLOEXEC, 500); /* out of the way of tests that look which number is next */
    close(low);
    if (tasks < 0 || sigaction(SIGALRM, &first, NULL) != 0 || sigaction(SIGPROF, &second, NULL) != 0 ||
        setitimer(ITIMER_REAL, &often, NULL) != 0)
        abort();
}
