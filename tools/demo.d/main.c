/* main.c - the main job, in three ways: the words of the machine's files, many waits and requests, two unbalanced trees
 *
 * Reading order: words.c, waits.c, requests.c and tree.c are the jobs, written once; way.h is the one
 * setting; trace.c records, job.c measures, report.c and picture.c show it.
 */
#include "job.h"
#include "memory.h"
#include "picture.h"
#include "progress.h"
#include "report.h"
#include "requests.h"
#include "tree.h"
#include "waits.h"
#include "wc.h"
#include "words.h"

#include <getopt.h>
#include <stdarg.h>

enum { SAME = 0, DIFFERENT = 1, TROUBLE = 2 }; /* how the program ends */

enum { JOBS = 5, TREES = 2 }; /* the trees come last */

struct options {
    char      **dirs;
    const char *svg;
    unsigned    workers, runs, files, waits, requests;
    bool        json;
    unsigned    jobs;
};

static const char help[] =
    "usage: demo [OPTION ...] [DIR ...]\n"
    "\n"
    "Counts and hashes the words of the files below each DIR (default: /usr/include and\n"
    "/usr/share), sleeps 10,000 times for 10 ms, asks a server on this machine 2,000 times that\n"
    "takes 10 ms for an answer, and searches two unbalanced trees: as plain subroutines, as\n"
    "tasks on one root, and as tasks over all cores.  Prints what that took and whether the\n"
    "answers are the same, and draws who ran what on which worker.\n"
    "\n"
    "  --workers N  threads that run tasks (default: the CPUs that the process may use)\n"
    "  --files N    work on N files at most (default: 20000)\n"
    "  --waits N    sleep N times (default: 10000)\n"
    "  --requests N ask N times (default: 2000)\n"
    "  --reps N     run each way N times (default: 5)\n"
    "  --no-trees   leave out the trees\n"
    "  --svg FILE   where the picture goes (default: weft-demo.svg)\n"
    "  --json       print JSON instead of a table\n"
    "  --help       print this\n"
    "\n"
    "Ends with 0 if all answers were the same, 1 if one was not, 2 if there was trouble.\n";

static unsigned number_of(const char *option, const char *string, unsigned most)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(string, &end, 10);
    if (*string < '0' || *string > '9' || *end || errno || number < 1 || number > most) {
        fprintf(stderr, "weft-demo: %s takes a number from 1 to %u, not \"%s\"\n", option, most, string);
        exit(TROUBLE);
    }
    return (unsigned)number;
}

static struct options options_of(int argc, char **argv)
{
    static char               *usual[] = {"/usr/include", "/usr/share", NULL};
    static const struct option names[] = {
        {"workers", required_argument, NULL, 'w'}, {"files", required_argument, NULL, 'f'},
        {"waits", required_argument, NULL, 'n'},   {"requests", required_argument, NULL, 'q'},
        {"reps", required_argument, NULL, 'r'},    {"svg", required_argument, NULL, 's'},
        {"no-trees", no_argument, NULL, 't'},      {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0},
    };
    struct options options = {.dirs = usual,
                              .svg = "weft-demo.svg",
                              .runs = 5,
                              .files = 20000,
                              .waits = 10000,
                              .requests = 2000,
                              .jobs = JOBS};
    for (int option; (option = getopt_long(argc, argv, "h", names, NULL)) != -1;) {
        switch (option) {
        case 'w': options.workers = number_of("--workers", optarg, TRACE_LANES); break;
        case 'f': options.files = number_of("--files", optarg, 100000000); break;
        case 'n': options.waits = number_of("--waits", optarg, 1000000); break;
        case 'q': options.requests = number_of("--requests", optarg, 1000000); break;
        case 'r': options.runs = number_of("--reps", optarg, 1000); break;
        case 's': options.svg = optarg; break;
        case 't': options.jobs = JOBS - TREES; break;
        case 'j': options.json = true; break;
        case 'h': fputs(help, stdout); exit(SAME);
        default: fputs("Try demo --help.\n", stderr); exit(TROUBLE);
        }
    }
    if (optind < argc) options.dirs = argv + optind;
    return options;
}

/* ---- words ------------------------------------------------------------------ */

struct words_job {
    struct words  words;
    struct count *right; /* what plain subroutines counted before anything else was tried */
};

static int run_words(void *arg)
{
    return words_count(&((struct words_job *)arg)->words);
}

static bool words_right(const void *arg)
{
    const struct words_job *job = arg;
    for (size_t i = 0; i < job->words.files->count; i++) {
        const struct count *a = &job->words.count[i], *b = &job->right[i];
        if (a->lines != b->lines || a->words != b->words || a->bytes != b->bytes || a->hash != b->hash || a->error)
            return false;
    }
    return true;
}

/* Counts all files once, drops those that cannot be read, and remembers the rest. */
static void count_first(struct words_job *job, struct files *files)
{
    *job = (struct words_job){
        .words = {files, memory_zeroed(files->count, sizeof(struct count))},
    };
    struct trace trace;
    progress_begin("reading all files for the first time", files->bytes);
    way_run(WAY_SUBROUTINES, 0, run_words, job, &trace);
    trace_free(&trace);

    unsigned char *gone = memory_zeroed(files->count, 1);
    job->right = memory_zeroed(files->count, sizeof *job->right);
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        gone[i] = job->words.count[i].error != 0;
        if (!gone[i]) job->right[kept++] = job->words.count[i];
    }
    files_drop(files, gone);
    memcpy(job->words.count, job->right, kept * sizeof *job->right);
    free(gone);
}

/* ---- all of it -------------------------------------------------------------- */

static bool waits_job_right(const void *waits)
{
    return waits_right(waits);
}

static bool requests_job_right(const void *requests)
{
    return requests_right(requests);
}

static bool tree_job_right(const void *tree)
{
    return tree_right(tree);
}

static __attribute__((format(printf, 1, 2))) char *title(const char *format, ...)
{
    char   *string = NULL;
    size_t  size;
    FILE   *out = memory_checked(open_memstream(&string, &size));
    va_list args;
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fclose(out);
    return memory_checked(string);
}

static struct job job_of_words(struct words_job *words, uint64_t bytes)
{
    const struct files *files = words->words.files;
    struct job          job = {
                 .name = "words",
                 .title = title("The words of %s files", report_number(files->count)),
                 .run = run_words,
                 .right = words_right,
                 .arg = words,
                 .amount = (double)bytes * 1e-6,
                 .unit = "MB",
                 .steps = bytes,
                 .sample = 1,
    };
    for (int i = 0; i < FILES_GROUPS; i++) job.kind[i] = files->group[i] ? memory_string(files->group[i]) : NULL;
    job.kind[TRACE_MAIN] = memory_string("the main task, starting the others");
    return job;
}

/* It computes nothing, so no colours are used. */
static struct job job_of_waits(struct waits *waits)
{
    return (struct job){
        .name = "waits",
        .title = title("%s waits, of %d ms each", report_number(waits->count), WAITS_MS),
        .run = waits_run,
        .right = waits_job_right,
        .arg = waits,
        .amount = (double)waits->count,
        .unit = "waits",
        .steps = waits->count,
        .sample = (double)waits->sample / (double)waits->count,
    };
}

static struct job job_of_requests(struct requests *requests)
{
    return (struct job){
        .name = "requests",
        .title =
            title("%s requests to a server that takes %d ms for each", report_number(requests->count), REQUESTS_MS),
        .run = requests_run,
        .right = requests_job_right,
        .arg = requests,
        .amount = (double)requests->count,
        .unit = "requests",
        .steps = requests->count,
        .sample = (double)requests->sample / (double)requests->count,
    };
}

static struct job job_of_tree(struct tree *tree)
{
    struct job job = {
        .name = tree->params->name,
        .title = title("The unbalanced tree %s: %s nodes, as published, a task for each", tree->params->name,
                       report_number(tree->params->nodes)),
        .run = tree_search,
        .right = tree_job_right,
        .arg = tree,
        .amount = (double)tree->params->nodes * 1e-6,
        .unit = "Mnodes",
        .steps = tree->params->nodes,
        .sample = 1,
    };
    tree_kinds(tree->params, job.kind, TRACE_MAIN);
    return job;
}

static int show(const struct options *options, struct circumstances *about, const struct job jobs[],
                const struct result results[])
{
    char *dirs = report_dirs(options->dirs);
    char *subtitle = title("%s files below %s, %s MB; %u worker%s; of %u run%s each, the one with the median time",
                           report_number(about->files), dirs, report_number(about->bytes / 1000000), about->workers,
                           about->workers == 1 ? "" : "s", options->runs, options->runs == 1 ? "" : "s");
    int   error = picture_write(options->svg, subtitle, jobs, results, options->jobs);
    free(dirs);
    free(subtitle);
    about->svg = error < 0 ? NULL : options->svg;
    if (options->json) report_json(about, jobs, results, options->jobs);
    else report_table(about, jobs, results, options->jobs);
    if (error < 0) {
        fprintf(stderr, "weft-demo: %s: %s\n", options->svg, strerror(-error));
        return TROUBLE;
    }
    if (fflush(stdout) != 0) {
        perror("weft-demo: stdout");
        return TROUBLE;
    }
    return SAME;
}

/* Asked before all the work. */
static bool can_write(const char *path)
{
    FILE *file = fopen(path, "a");
    if (file && fclose(file) == 0) return true;
    fprintf(stderr, "weft-demo: %s: %s\n", path, strerror(errno));
    return false;
}

/* All of them, each in its three ways.  *right becomes false if an answer is wrong; false: no tasks can be run. */
static bool measure(const struct options *options, struct job jobs[], struct result results[], bool *right)
{
    for (unsigned i = 0; i < options->jobs; i++) {
        int error = job_measure(&jobs[i], options->workers, options->runs, &results[i]);
        if (error < 0) {
            fprintf(stderr, "weft-demo: cannot run tasks: %s\n", strerror(-error));
            return false;
        }
        for (int way = 0; way < WAYS; way++) *right = *right && results[i].row[way].right;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = options_of(argc, argv);

    if (!can_write(options.svg)) return TROUBLE;
    struct files files;
    if (files_find(&files, options.dirs, options.files) < 0) return TROUBLE;
    bool known_wc = wc_define() == WC_SAME;
    if (!known_wc) words_define(false);
    struct words_job words;
    count_first(&words, &files);
    if (files.count == 0) {
        progress_end();
        fprintf(stderr, "weft-demo: no file below %s can be read\n", options.dirs[0]);
        return TROUBLE;
    }
    struct count total = words_total(&words.words);
    progress_begin("counting with wc", 0);
    enum wc_answer wc = known_wc ? wc_check(&words.words) : WC_MISSING;

    struct waits waits;
    waits_make(&waits, options.waits);
    struct requests requests;
    int             started = requests_begin(&requests, options.requests);
    if (started < 0) {
        fprintf(stderr, "weft-demo: cannot serve requests: %s\n", strerror(-started));
        return TROUBLE;
    }
    struct tree   trees[TREES] = {{.params = &uts_t1}, {.params = &uts_t3}};
    struct job    jobs[JOBS] = {job_of_words(&words, total.bytes), job_of_waits(&waits), job_of_requests(&requests),
                                job_of_tree(&trees[0]), job_of_tree(&trees[1])};
    struct result results[JOBS] = {0};
    bool          right = wc != WC_DIFFERS;
    if (!measure(&options, jobs, results, &right)) return TROUBLE;

    struct circumstances about = {
        .dirs = options.dirs,
        .files = files.count,
        .found = files.found,
        .unreadable = files.unreadable,
        .bytes = total.bytes,
        .lines = total.lines,
        .words = total.words,
        .hash = total.hash,
        .workers = results[0].row[WAY_ALL_CORES].trace.lanes,
        .runs = options.runs,
        .wc = wc == WC_SAME      ? "same"
              : wc == WC_DIFFERS ? "differs"
                                 : "missing",
    };
    int end = show(&options, &about, jobs, results);
    for (unsigned i = 0; i < JOBS; i++) job_free(&jobs[i], &results[i]);
    waits_free(&waits);
    requests_end(&requests);
    free(words.words.count);
    free(words.right);
    files_free(&files);
    return end == SAME && !right ? DIFFERENT : end;
}
