/* requests.h - many that wait for an answer at the same time: a server on this machine takes 10 ms for each
 *
 * The server is a runtime of its own with one worker, a task for each connection.  A subroutine that asks holds up
 * whoever called it, so subroutines do a sample only.
 */
#ifndef DEMO_REQUESTS_H
#define DEMO_REQUESTS_H

#include <netinet/in.h>
#include <weft/weft.h>

#define REQUESTS_MS 10

struct requests {
    size_t             count, sample; /* of these the first `sample` are what subroutines do */
    struct request    *request;       /* the answers */
    struct sockaddr_in address;
    weft_sem           slots; /* as many connections at a time as there are descriptors for */
    weft_runtime      *server;
    int                listener;
};

/* Starts the server; a negative errno value if it could not.  requests_end stops it. */
int  requests_begin(struct requests *requests, size_t count);
void requests_end(struct requests *requests);

/* Asks them all.  A weft_fn; the argument is a struct requests. */
int requests_run(void *requests);

/* Whether each has been answered, rightly, and not too soon. */
bool requests_right(const struct requests *requests);

#endif /* DEMO_REQUESTS_H */
