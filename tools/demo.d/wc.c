#include "wc.h"
#include "memory.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* wc in the C locale, with the file as its input and its errors not shown; *pid is to be awaited. */
static FILE *start_wc(char *const argv[], FILE *input, pid_t *pid)
{
    int ends[2];
    if (pipe(ends) < 0) return NULL;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(input), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    setenv("LC_ALL", "C", 1);
    int error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    FILE *output = error ? NULL : fdopen(ends[0], "r");
    if (!output) close(ends[0]);
    return output;
}

/* 0 when it has counted all that it was given. */
static int end_wc(FILE *output, pid_t pid)
{
    int status;
    fclose(output);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return status;
}

enum wc_answer wc_define(void)
{
    FILE *input = tmpfile();
    if (!input) return WC_MISSING;
    fputs("\001 \200 a", input);
    rewind(input);
    pid_t pid;
    FILE *output = start_wc((char *[]){"wc", "-w", NULL}, input, &pid);
    fclose(input);
    if (!output) return WC_MISSING;
    int words = 0, read = fscanf(output, "%d", &words);
    if (end_wc(output, pid) != 0 || read != 1 || (words != 1 && words != 3)) return WC_MISSING;
    words_define(words == 3);
    return WC_SAME;
}

static bool same(const struct count *a, const struct count *b)
{
    return a->lines == b->lines && a->words == b->words && a->bytes == b->bytes;
}

static enum wc_answer compare(const struct words *words, FILE *output)
{
    char          *line = NULL;
    size_t         room = 0, files = words->files->count, i = 0;
    enum wc_answer answer = WC_SAME;
    for (; i < files && getline(&line, &room, output) > 0; i++) {
        struct count        theirs = {0};
        const struct count *ours = &words->count[i];
        if (sscanf(line, "%" SCNu64 "%" SCNu64 "%" SCNu64, &theirs.lines, &theirs.words, &theirs.bytes) == 3 &&
            same(ours, &theirs))
            continue;
        if (answer == WC_SAME) {
            progress_end();
            fprintf(stderr,
                    "weft-demo: %s: wc counts %" PRIu64 " lines, %" PRIu64 " words, %" PRIu64
                    " bytes; the demo %" PRIu64 ", %" PRIu64 ", %" PRIu64 "\n",
                    words->files->file[i].path, theirs.lines, theirs.words, theirs.bytes, ours->lines, ours->words,
                    ours->bytes);
        }
        answer = WC_DIFFERS;
    }
    if (i < files) {
        progress_end();
        fprintf(stderr, "weft-demo: wc stopped after %zu of %zu files\n", i, files);
        answer = WC_DIFFERS;
    }
    while (getline(&line, &room, output) > 0) {
        /* Its line of totals, so that it does not find the pipe closed. */
    }
    free(line);
    return answer;
}

enum wc_answer wc_check(const struct words *words)
{
    /* A file, not a pipe: wc may answer before it has read all the names. */
    FILE *names = tmpfile();
    if (!names) return WC_MISSING;
    for (size_t i = 0; i < words->files->count; i++)
        fwrite(words->files->file[i].path, strlen(words->files->file[i].path) + 1, 1, names);
    rewind(names);
    pid_t pid;
    FILE *output = start_wc((char *[]){"wc", "-lwc", "--files0-from=-", NULL}, names, &pid);
    fclose(names);
    if (!output) return WC_MISSING;
    enum wc_answer answer = compare(words, output);
    if (end_wc(output, pid) != 0 && answer == WC_SAME) {
        progress_end();
        fputs("weft-demo: wc could not count all of the files\n", stderr);
        answer = WC_DIFFERS;
    }
    return answer;
}
