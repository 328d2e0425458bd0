/* walk.c - a generator that walks a tree of directories, one file at a time
 *
 * Each directory is a generator that delegates to those of its subdirectories, and yet a
 * file that lies deep costs its holder no more than one at the top.  The walk stops where its holder
 * stops asking: then every directory that is open is closed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weft/weft.h>

/* Yields the path of each file below the directory `arg`. */
static int walk(weft_gen *self, void *arg)
{
    struct dirent **entries;
    int             count = scandir(arg, &entries, NULL, alphasort), error = 0;

    if (count < 0) return -errno;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        char        path[1000];
        struct stat status;
        int         length = snprintf(path, sizeof path, "%s/%s", (char *)arg, name);

        if (!error && strcmp(name, ".") && strcmp(name, "..") && length < (int)sizeof path && !lstat(path, &status)) {
            if (S_ISDIR(status.st_mode)) {
                weft_gen *inner;
                error = weft_gen_create(&inner, walk, path, sizeof path);
                if (!error) error = weft_gen_yield_from(self, inner);
                weft_gen_destroy(inner);
            } else {
                error = weft_gen_yield(self, path, NULL);
            }
        }
        free(entries[i]);
    }
    free(entries);
    return error;
}

/* ---- a tree to walk ------------------------------------------------------------ */

enum { DEPTH = 40, FILES = 3 };

/* A chain of directories with some files in each, and as many directories with one file each. */
static int plant(char *path, size_t length)
{
    for (int depth = 0; depth < DEPTH; depth++) {
        for (int i = 0; i < FILES; i++) {
            sprintf(path + length, "/b%d", i);
            int fd = open(path, O_WRONLY | O_CREAT, 0600);
            if (fd < 0) return -errno;
            close(fd);
        }
        sprintf(path + length, "/c");
        if (mkdir(path, 0700)) return -errno;
        sprintf(path + length, "/c/a");
        int fd = open(path, O_WRONLY | O_CREAT, 0600);
        if (fd < 0) return -errno;
        close(fd);
        sprintf(path + length, "/d");
        if (mkdir(path, 0700)) return -errno;
        length += 2;
    }
    return 0;
}

int main(void)
{
    char      root[1000] = "/tmp/weft-walk-XXXXXX", path[1000], last[1000] = "";
    weft_gen *gen;
    void     *value;
    int       count = 0, unordered = 0;

    if (!mkdtemp(root)) return 1;
    strcpy(path, root);
    int error = plant(path, strlen(path));
    if (error || weft_gen_create(&gen, walk, root, sizeof root)) return 1;
    for (; weft_gen_next(gen, &value) == 1; count++) {
        if (strcmp(last, value) >= 0) unordered++;
        strcpy(last, value);
    }
    error = weft_gen_result(gen);
    weft_gen_destroy(gen);
    printf("%d files, the last one %s\n", count, last + strlen(root));

    /* The first ten are enough. */
    if (weft_gen_create(&gen, walk, root, sizeof root)) return 1;
    for (int i = 0; i < 10 && weft_gen_next(gen, &value) == 1; i++) printf("%s\n", (char *)value + strlen(root));
    weft_gen_destroy(gen);

    char command[1100];
    snprintf(command, sizeof command, "rm -r %s", root);
    if (system(command)) return 1;
    return !error && !unordered && count == DEPTH * (FILES + 1) ? 0 : 1;
}
