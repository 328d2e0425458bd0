/* peer.c - one subject, measured and printed */
#define _GNU_SOURCE
#include "peer.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ENOUGH 50000000   /* nanoseconds that are measured at least */
#define LONG   1000000000 /* a run that takes so long needs no other one to warm it up */

enum { CANNOT = 3 };

unsigned    peer_workers;
long        peer_size;
const char *peer_text = "";

/* Room for many sockets. */
static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int peer_main(int argc, char **argv, const struct peer_subject *subjects, size_t count,
              void (*within)(void (*run)(void)))
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SUBJECT WORKERS [SIZE]\n", argv[0]);
        return 2;
    }
    peer_workers = (unsigned)atoi(argv[2]);
    if (argc > 3) {
        peer_text = argv[3];
        peer_size = atol(peer_text);
    }
    raise_limit();
    for (const struct peer_subject *s = subjects; s < subjects + count; s++) {
        if (strcmp(s->name, argv[1]) != 0) continue;
        if (!s->run || (s->one_worker && peer_workers > 1)) {
            fprintf(stderr, "%s\n", s->why_not);
            return CANNOT;
        }
        if (within) within(s->run);
        else s->run();
        return 0;
    }
    fprintf(stderr, "it has no subject \"%s\"\n", argv[1]);
    return CANNOT;
}

int64_t peer_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void peer_print(double figure, uint64_t check)
{
    printf("%.1f %llu\n", figure, (unsigned long long)check);
    fflush(stdout);
}

void peer_measure(uint64_t (*work)(void))
{
    int64_t  begin = peer_now();
    uint64_t check = work();
    int64_t  taken = peer_now() - begin;
    long     runs = 1;
    if (taken < LONG) taken = runs = 0; /* it was to warm up */
    for (; taken < ENOUGH; runs++) {
        begin = peer_now();
        uint64_t again = work();
        taken += peer_now() - begin;
        if (again != check) peer_fail("two runs have come to different results");
    }
    peer_print((double)taken / (double)runs, check);
}

int peer_ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

void peer_print_timers(double ns, int64_t *late, long count)
{
    qsort(late, (size_t)count, sizeof *late, peer_ascending);
    long early = 0;
    while (early < count && late[early] < 0) early++;
    printf("%.1f %ld %lld %lld\n", ns, count - early, (long long)late[count / 2], (long long)late[count / 100 * 99]);
}

double peer_resident(void)
{
    long  total, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%ld %ld", &total, &resident) != 2) peer_fail("/proc/self/statm cannot be read");
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

int peer_listen(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t          length = sizeof address;
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        peer_fail("no listener is to be had");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

void peer_serve_until_told(void)
{
    char byte;
    while (read(0, &byte, 1) > 0) {
    }
    _exit(0);
}

void peer_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}
