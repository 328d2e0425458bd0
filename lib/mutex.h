/* mutex.h - a mutex, as cond.c uses it
 */
#ifndef WEFT_MUTEX_H
#define WEFT_MUTEX_H

#include <weft/weft.h>

/* weft_mutex_unlock in the name of another, whose stack has been left and who has said itself what is ordered by it
 * (order.h). */
void mutex_unlock(weft_mutex *mutex);

#endif
