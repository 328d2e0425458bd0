/* picture.h - the three ways above each other on one scale of time, as an SVG
 *
 * One lane a worker, one rectangle a task.  Tasks too short to be seen are
 * drawn as one where they follow each other: a stretch of the lane takes the
 * colour that most of its time went to, and none if most of it was idle.
 * It stays below PICTURE_BYTES, by drawing coarser.  A job of which subroutines did
 * a sample only is left out: there is no trace of the rest, which took far longer than
 * anything that could be seen beside it.
 */
#ifndef DEMO_PICTURE_H
#define DEMO_PICTURE_H

#include "job.h"

#define PICTURE_BYTES ((size_t)1800000)

/* A negative errno value if the file could not be written. */
int picture_write(const char *path, const char *subtitle, const struct job jobs[], const struct result results[],
                  unsigned count);

#endif /* DEMO_PICTURE_H */
