#include "descriptor.h"

#include <errno.h>
#include <stdlib.h>

Atomic(struct descriptor *) descriptor_tables[DESCRIPTOR_TABLES];

static Atomic(int32_t) most; /* tables that may be there, from the first on */

int descriptor_most(void)
{
    return load_relaxed(&most) * DESCRIPTOR_TABLE;
}

static bool make_table(unsigned i)
{
    /* Aligned by hand, as what calloc gives that is so large has most often not been touched. */
    char              *memory = calloc(DESCRIPTOR_TABLE + 1, sizeof(struct descriptor));
    struct descriptor *none = NULL;
    if (!memory) return false;
    char *fresh = memory + (-(uintptr_t)memory & (CACHE_LINE - 1));
    /* acq_rel: pairs with descriptor_of; the zeros are seen. */
    if (!cas_acq_rel(&descriptor_tables[i], &none, (struct descriptor *)fresh)) free(memory);
    int32_t before = load_relaxed(&most);
    while (before <= (int32_t)i && !cas_relaxed(&most, &before, (int32_t)i + 1)) {
    }
    return true;
}

noinline struct descriptor *descriptor_make(int fd)
{
    if (descriptor_error(fd) == -EBADF) return NULL;
    return make_table((unsigned)fd / DESCRIPTOR_TABLE) ? descriptor_of(fd) : NULL;
}

int descriptor_error(int fd)
{
    return (unsigned)fd < DESCRIPTOR_TABLES * DESCRIPTOR_TABLE ? -ENOMEM : -EBADF;
}
