#include "descriptor.h"

#include <errno.h>
#include <stdlib.h>

/* No process has more descriptors (fs.nr_open). */
#define TABLES 1024u

static Atomic(struct descriptor *) tables[TABLES];
static Atomic(int32_t)             most; /* tables that may be there, from the first on */

struct descriptor *descriptor_of(int fd)
{
    struct descriptor *table = load_acquire(&tables[(unsigned)fd / DESCRIPTOR_TABLE]); /* pairs with descriptor_get */
    return table ? &table[(unsigned)fd % DESCRIPTOR_TABLE] : NULL;
}

int descriptor_most(void)
{
    return load_relaxed(&most) * DESCRIPTOR_TABLE;
}

static bool make_table(unsigned i)
{
    struct descriptor *fresh = calloc(DESCRIPTOR_TABLE, sizeof *fresh), *none = NULL;
    if (!fresh) return false;
    /* acq_rel: pairs with descriptor_of; the zeros are seen. */
    if (!cas_acq_rel(&tables[i], &none, fresh)) free(fresh);
    int32_t before = load_relaxed(&most);
    while (before <= (int32_t)i && !cas_relaxed(&most, &before, (int32_t)i + 1)) {
    }
    return true;
}

struct descriptor *descriptor_get(int fd)
{
    if (unlikely(fd < 0) || unlikely((unsigned)fd >= TABLES * DESCRIPTOR_TABLE)) return NULL;
    struct descriptor *d = descriptor_of(fd);
    if (unlikely(!d) && make_table((unsigned)fd / DESCRIPTOR_TABLE)) d = descriptor_of(fd);
    return d;
}

int descriptor_error(int fd)
{
    return (unsigned)fd < TABLES * DESCRIPTOR_TABLE ? -ENOMEM : -EBADF;
}
