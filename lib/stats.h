/* stats.h - counts of what a runtime has done
 */
#ifndef WEFT_STATS_H
#define WEFT_STATS_H

#include "team.h"

/* Tasks that were made and have not ended. */
uint64_t stats_tasks(struct weft_runtime *runtime);

#endif
