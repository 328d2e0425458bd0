#include "way.h"

bool way_tasks;

const char *way_name(enum way way)
{
    static const char *const names[WAYS] = {"plain subroutines", "tasks on one root", "tasks over all cores"};
    return names[way];
}

struct main_task {
    weft_fn *fn;
    void    *arg;
};

static int run_main_task(void *arg)
{
    struct main_task *main_task = arg;
    int               result = main_task->fn(main_task->arg);
    trace_finish();
    return result;
}

int way_run(enum way way, unsigned workers, weft_fn *fn, void *arg, struct trace *trace)
{
    struct main_task main_task = {fn, arg};
    int              result;
    way_tasks = way != WAY_SUBROUTINES;
    trace_begin(trace);
    if (way_tasks)
        result = weft_run(run_main_task, &main_task, WEFT_OPTIONS(.workers = workers, .one_root = way == WAY_ONE_ROOT));
    else result = fn(arg);
    trace_end();
    return result;
}

int way_open(weft_scope *scope)
{
    return way_tasks ? weft_scope_open(scope, NULL) : 0;
}

int way_go(weft_scope *scope, weft_fn *fn, void *arg)
{
    return way_tasks ? weft_scope_go(scope, fn, arg, 0) : fn(arg);
}

int way_close(weft_scope *scope)
{
    return way_tasks ? weft_scope_close(scope) : 0;
}
