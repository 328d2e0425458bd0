#include "base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void base_die(const char *format, ...)
{
    char    text[512] = "weft: ";
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text + 6, sizeof text - 7, format, args);
    va_end(args);
    size_t length = 6 + (n < 0 ? 0 : min_of((size_t)n, sizeof text - 8));
    text[length++] = '\n';
    /* write, not stdio: a task's stack may have no room for more, and the lock
     * of stderr may be held by a task that is suspended. */
    if (write(STDERR_FILENO, text, length) < 0) { /* nothing is left to tell it to */
    }
    abort();
}
