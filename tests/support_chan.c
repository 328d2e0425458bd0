/* support_chan.c - see support_chan.h */
#include "support_chan.h"

#include <stdlib.h>

weft_chan *test_make_chan(size_t elem_size, size_t capacity)
{
    weft_chan *chan = NULL;

    if (weft_chan_create(&chan, elem_size, capacity) != 0 || !chan) abort();
    return chan;
}

weft_chan *test_make_ints(size_t capacity)
{
    return test_make_chan(sizeof(int), capacity);
}

int test_send_int(weft_chan *chan, int value, weft_time deadline)
{
    return weft_send(chan, &value, deadline);
}
