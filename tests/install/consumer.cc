// consumer.cc - the same from C++: the header's declarations have C's linkage,
// its macros do not get in the way of the standard library's, and options are
// filled in by hand.
#include <weft/weft.h>

#include <atomic>
#include <cerrno>
#include <string>

static int count(void *arg)
{
    static_cast<std::atomic<int> *>(arg)->fetch_add(1);
    return 0;
}

static int start(void *arg)
{
    std::atomic<int> *counter = static_cast<std::atomic<int> *>(arg);
    weft_scope        scope;

    if (int error = weft_scope_open(&scope, nullptr))
        return error;
    for (int i = 0; i < 100; i++)
        if (int error = weft_scope_go(&scope, count, counter, 0)) {
            weft_scope_close(&scope);
            return error;
        }
    errno = EDOM;
    return errno == EDOM ? weft_scope_close(&scope) : -EDOM;
}

int main()
{
    std::atomic<int> counter{0};
    weft_options     options = weft_options();

    options.size = sizeof options;
    options.workers = 2;
    return weft_run(start, &counter, &options) != 0 || std::to_string(counter) != "100";
}
