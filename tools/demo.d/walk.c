#define _GNU_SOURCE
#include "walk.h"
#include "memory.h"

#include <dirent.h>
#include <stdio.h>

static int yield(weft_gen *self, const char *path, const struct stat *status)
{
    struct walk_file file = {path, status};
    return weft_gen_yield(self, &file, NULL);
}

/* Yields it, or what is below it. */
static int visit(weft_gen *self, const char *path, dev_t device)
{
    struct stat       status;
    struct walk_place place = {path, device};
    weft_gen         *inner;
    if (lstat(path, &status)) return yield(self, path, NULL);
    if (!S_ISDIR(status.st_mode)) return yield(self, path, &status);
    if (status.st_dev != device) return 0;
    int error = weft_gen_create(&inner, walk_below, &place, sizeof place);
    if (error) return error;
    error = weft_gen_yield_from(self, inner);
    weft_gen_destroy(inner);
    return error;
}

int walk_below(weft_gen *self, void *arg)
{
    const struct walk_place *place = arg;
    DIR                     *dir = opendir(place->path);
    if (!dir) return yield(self, place->path, NULL);
    const char    *slash = place->path[strlen(place->path) - 1] == '/' ? "" : "/";
    struct dirent *entry;
    int            error = 0;
    while (!error && (entry = readdir(dir))) {
        char *path;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (asprintf(&path, "%s%s%s", place->path, slash, entry->d_name) < 0) path = NULL;
        error = visit(self, memory_checked(path), place->device);
        free(path);
    }
    closedir(dir);
    return error;
}
