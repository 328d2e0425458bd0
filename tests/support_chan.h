/* support_chan.h - what the tests of channels share
 */
#ifndef WEFT_TEST_SUPPORT_CHAN_H
#define WEFT_TEST_SUPPORT_CHAN_H

#include "support.h"

/* Where there is no memory for it the test stops. */
weft_chan *test_make_chan(size_t elem_size, size_t capacity);

/* One of ints. */
weft_chan *test_make_ints(size_t capacity);
int        test_send_int(weft_chan *chan, int value, weft_time deadline);

#endif
