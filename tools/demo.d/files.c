#include "files.h"
#include "clock.h"
#include "memory.h"
#include "progress.h"
#include "walk.h"

#include <stdbool.h>
#include <sys/stat.h>

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

/* The path as far as the first directory below DIR, or DIR itself. */
static size_t prefix_length(const char *path, size_t dir)
{
    while (path[dir] == '/') dir++;
    const char *slash = strchr(path + dir, '/');
    if (slash) return (size_t)(slash - path);
    while (dir > 1 && path[dir - 1] == '/') dir--;
    return dir;
}

struct group {
    const struct file *first;
    size_t             prefix;
    uint64_t           bytes;
};

static int by_bytes(const void *a, const void *b)
{
    const struct group *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return by_path(x->first, y->first);
}

static bool in_group(const struct file *file, const struct group *group)
{
    return file->prefix == group->prefix && !memcmp(file->path, group->first->path, file->prefix);
}

/* The directories with the most bytes get a name and a colour each; the rest share one. */
static void group_files(struct files *files)
{
    struct group *groups = NULL;
    size_t        count = 0, room = 0;
    for (size_t i = 0; i < files->count; i++) {
        const struct file *file = &files->file[i];
        size_t             g = count; /* nearly always the group of the file before */
        while (g > 0 && !in_group(file, &groups[g - 1])) g--;
        if (g == 0) {
            groups = memory_grow(groups, count, &room, sizeof *groups);
            groups[count++] = (struct group){file, file->prefix, 0};
            g = count;
        }
        groups[g - 1].bytes += file->size;
    }
    if (count) qsort(groups, count, sizeof *groups, by_bytes);
    size_t named = count <= FILES_GROUPS ? count : FILES_GROUPS - 1;
    for (size_t g = 0; g < named; g++)
        files->group[g] = memory_checked(strndup(groups[g].first->path, groups[g].prefix));
    if (named < count) files->group[named] = memory_string("elsewhere");
    for (size_t i = 0; i < files->count; i++) {
        size_t g = 0;
        while (g < named && !in_group(&files->file[i], &groups[g])) g++;
        files->file[i].group = (unsigned)g;
    }
    free(groups);
}

static void keep_evenly(struct files *files, size_t most)
{
    if (files->count <= most) return;
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        /* The k-th that is kept is number k * count / most, rounded down. */
        if (kept < most && i == (size_t)((unsigned __int128)kept * files->count / most))
            files->file[kept++] = files->file[i];
        else free(files->file[i].path);
    }
    files->count = kept;
}

static int find_below(struct files *files, size_t *room, const char *dir, dev_t device)
{
    struct walk_place place = {dir, device};
    weft_gen         *walk;
    void             *value;
    int               error = weft_gen_create(&walk, walk_below, &place, sizeof place);
    if (error) return error;
    while ((error = weft_gen_next(walk, &value)) == 1) {
        const struct walk_file *found = value;
        if (!found->status) files->unreadable++;
        if (!found->status || !S_ISREG(found->status->st_mode)) continue;
        files->file = memory_grow(files->file, files->count, room, sizeof *files->file);
        files->file[files->count++] = (struct file){
            .path = memory_string(found->path),
            .size = (uint64_t)found->status->st_size,
            .prefix = prefix_length(found->path, strlen(dir)),
        };
        progress_add(1, clock_now());
    }
    weft_gen_destroy(walk);
    return error;
}

int files_find(struct files *files, char *const dirs[], size_t most)
{
    *files = (struct files){0};
    for (char *const *dir = dirs; *dir; dir++) {
        struct stat status;
        if (stat(*dir, &status) < 0 || !S_ISDIR(status.st_mode)) {
            fprintf(stderr, "weft-demo: %s: is not a directory that can be read\n", *dir);
            return -1;
        }
    }

    progress_begin("looking for files", 0);
    size_t room = 0;
    for (char *const *dir = dirs; *dir; dir++) {
        struct stat status;
        /* A DIR that is itself a link is meant. */
        int error = stat(*dir, &status) < 0 ? -errno : find_below(files, &room, *dir, status.st_dev);
        if (error) {
            fprintf(stderr, "weft-demo: %s: %s\n", *dir, strerror(-error));
            return -1;
        }
    }

    files->found = files->count;
    if (files->count) qsort(files->file, files->count, sizeof *files->file, by_path);
    keep_evenly(files, most);
    group_files(files);
    for (size_t i = 0; i < files->count; i++) files->bytes += files->file[i].size;
    return 0;
}

void files_drop(struct files *files, const unsigned char *gone)
{
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (gone[i]) {
            files->unreadable++;
            files->bytes -= files->file[i].size;
            free(files->file[i].path);
        } else {
            files->file[kept++] = files->file[i];
        }
    }
    files->count = kept;
}

void files_free(struct files *files)
{
    for (size_t i = 0; i < files->count; i++) free(files->file[i].path);
    free(files->file);
    for (size_t g = 0; g < FILES_GROUPS; g++) free(files->group[g]);
    *files = (struct files){0};
}
