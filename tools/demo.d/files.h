/* files.h - the files to work on: regular ones below some directories, sorted by path
 *
 * Links are not followed and other file systems are not entered: a walk over
 * /proc would not end.  Of more than `most` files, that many are taken, evenly
 * spread over the sorted list, so that the same tree always gives the same files.
 */
#ifndef DEMO_FILES_H
#define DEMO_FILES_H

#include <stddef.h>
#include <stdint.h>

#define FILES_GROUPS 8 /* at most; the last may be "elsewhere" */

struct file {
    char    *path;
    uint64_t size;
    unsigned group;  /* which of the big directories it is in: its colour in the picture */
    size_t   prefix; /* length of the path of the directory below DIR that it is in */
};

struct files {
    struct file *file;
    size_t       count;
    size_t       found;      /* before the choice was made */
    size_t       unreadable; /* directories and files that could not be opened */
    uint64_t     bytes;
    char        *group[FILES_GROUPS]; /* names; NULL beyond the last */
};

/* A DIR that is no readable directory is reported on stderr: then -1, else 0. */
int files_find(struct files *files, char *const dirs[], size_t most);

/* Takes those files out that are marked by gone[i], and counts them as unreadable. */
void files_drop(struct files *files, const unsigned char *gone);

void files_free(struct files *files);

#endif /* DEMO_FILES_H */
