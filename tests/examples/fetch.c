/* fetch.c - follows links from page to page: many at once, but not too many, and none for ever
 *
 * A page that is found is a new task of the crawl's scope.  A semaphore limits how many of them have a connection; a
 * scope around each fetch limits how long it takes, whatever it waits for meanwhile.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <netinet/in.h>

#include <weft/weft.h>

enum { PAGES = 300, SLOW_EVERY = 20, AT_ONCE = 16, PAGE_SIZE = 4096 };

static char port[8];

/* ---- the crawler ------------------------------------------------------------- */

static weft_scope  crawl;
static weft_sem    connections;
static atomic_int  fetched, given_up, wrong, open_now, open_most;
static atomic_bool seen[PAGES + 1];

/* The page with its head, or an error. */
static ssize_t exchange(const char *path, char *page, size_t size)
{
    char request[100];
    int  length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", path);
    int  fd = weft_tcp_connect("127.0.0.1", port, WEFT_NEVER);

    if (fd < 0) return fd;
    ssize_t got = weft_write_full(fd, request, (size_t)length, WEFT_NEVER);
    if (got == length) got = weft_read_full(fd, page, size - 1, WEFT_NEVER);
    page[got < 0 ? 0 : got] = '\0';
    weft_close(fd);
    return got;
}

static ssize_t fetch(const char *path, char *page, size_t size, weft_time patience)
{
    weft_scope scope;
    int        error = weft_scope_open(&scope, WEFT_SCOPE(.deadline = weft_now() + patience));

    if (error) return error;
    ssize_t got = exchange(path, page, size);
    error = weft_scope_close(&scope); /* what has come when the time was up is a part of the page only */
    return error ? error : got;
}

static int visit(void *arg)
{
    char *path = arg, page[PAGE_SIZE], link[40];
    int   length, number;

    /* What is said to be slow gets little time. */
    weft_time patience = strncmp(path, "/slow", 5) == 0 ? 100 * WEFT_MS : 1000 * WEFT_SEC;
    int       error = weft_sem_wait(&connections, WEFT_NEVER);
    if (error) return error;
    int now = ++open_now, most = open_most;
    while (now > most && !atomic_compare_exchange_weak(&open_most, &most, now)) {
    }
    ssize_t got = fetch(path, page, sizeof page, patience);
    open_now--;
    weft_sem_post(&connections);

    if (got == -ETIMEDOUT) given_up++;
    else if (got >= 0) fetched++;
    if (got < 0) return got == -ETIMEDOUT ? 0 : (int)got;
    if (!strstr(page, "</html>")) wrong++;
    for (const char *at = page; (at = strstr(at, "<a href=")); at += length) {
        if (sscanf(at, "<a href=%39[^>]>%n", link, &length) != 1 || sscanf(link, "/%*[a-z]/%d", &number) != 1) break;
        if (number > 0 && number <= PAGES && !atomic_exchange(&seen[number], true))
            weft_scope_go(&crawl, visit, link, sizeof link);
    }
    return 0;
}

/* ---- a site to crawl ---------------------------------------------------------- */

static int link_to(char *to, size_t size, int number)
{
    if (number < 1 || number > PAGES) return 0;
    return snprintf(to, size, "<a href=/%s/%d>%d</a>\n", number % SLOW_EVERY ? "page" : "slow", number, number);
}

/* Each page has links to the two below it, and back.  A slow one stops in the middle of its head. */
static int serve(void *arg)
{
    int    fd = *(int *)arg, number = 0;
    char   request[200] = "", page[PAGE_SIZE];
    size_t length = 0;

    for (ssize_t got = 1; got > 0 && !strstr(request, "\r\n\r\n"); length += got > 0 ? (size_t)got : 0)
        got = weft_read(fd, request + length, sizeof request - 1 - length, WEFT_NEVER);
    if (sscanf(request, "GET /%*[a-z]/%d HTTP/1.0\r\n\r\n", &number) == 1) {
        length = (size_t)snprintf(page, sizeof page, "HTTP/1.0 200 OK\r\n");
        if (number % SLOW_EVERY == 0) {
            weft_write_full(fd, page, length, WEFT_NEVER);
            weft_read(fd, request, sizeof request, WEFT_NEVER); /* until the client has had enough */
        } else {
            length += (size_t)snprintf(page + length, sizeof page - length, "\r\n<html>%*s\n", number * 10, "text");
            for (int i = 0; i < 2; i++) length += (size_t)link_to(page + length, sizeof page - length, 2 * number + i);
            length += (size_t)link_to(page + length, sizeof page - length, number / 2);
            length += (size_t)snprintf(page + length, sizeof page - length, "</html>\n");
            weft_write_full(fd, page, length, WEFT_NEVER);
        }
    }
    weft_close(fd);
    return 0;
}

static int run_site(void *arg)
{
    int        listener = *(int *)arg, fd;
    weft_scope scope;

    int error = weft_scope_open(&scope, NULL);
    if (error) return error;
    while ((fd = weft_accept(listener, NULL, NULL, WEFT_NEVER)) >= 0)
        if (weft_scope_go(&scope, serve, &fd, sizeof fd)) weft_close(fd);
    error = weft_scope_close(&scope);
    return fd == -EBADF ? error : fd;
}

/* Whether nobody reaches the page but by way of one that never comes. */
static int is_behind_slow(int number)
{
    while ((number /= 2) > 0)
        if (number % SLOW_EVERY == 0) return 1;
    return 0;
}

static int run(void *arg)
{
    struct sockaddr_in address;
    socklen_t          size = sizeof address;
    weft_task          site;
    int                slow = 0, quick = 0, listener = weft_tcp_listen("127.0.0.1", "0", 128);

    (void)arg;
    if (listener < 0) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
    weft_spawn(&site, run_site, &listener);

    weft_sem_init(&connections, AT_ONCE);
    seen[1] = true;
    int error = weft_scope_open(&crawl, NULL);
    if (!error) {
        weft_scope_go(&crawl, visit, "/page/1", sizeof "/page/1");
        error = weft_scope_close(&crawl); /* when no task has found another page */
    }
    weft_close(listener);
    int site_error = weft_await(&site);

    for (int i = 1; i <= PAGES; i++)
        if (!is_behind_slow(i)) slow += i % SLOW_EVERY == 0, quick += i % SLOW_EVERY != 0;
    if (error) printf("%s\n", strerror(-error));
    printf("%d pages fetched, %d given up, at most %d at once\n", fetched, given_up, open_most);
    return error || site_error || wrong || fetched != quick || given_up != slow || open_most > AT_ONCE;
}

int main(void)
{
    return weft_run(run, NULL, NULL);
}
