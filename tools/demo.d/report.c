#include "report.h"
#include "memory.h"

#include <inttypes.h>

const char *report_number(uint64_t number)
{
    static char     buffers[8][32];
    static unsigned turn;
    char           *at = buffers[turn++ % 8] + 31;
    int             digits = 0;
    do {
        if (digits && digits % 3 == 0) *--at = ',';
        *--at = (char)('0' + number % 10);
        digits++;
    } while (number /= 10);
    return at;
}

char *report_dirs(char *const dirs[])
{
    char  *string = NULL;
    size_t size;
    FILE  *out = memory_checked(open_memstream(&string, &size));
    for (int i = 0; dirs[i]; i++) fprintf(out, "%s%s", i == 0 ? "" : dirs[i + 1] ? ", " : " and ", dirs[i]);
    fclose(out);
    return memory_checked(string);
}

static double speed_up(const struct result *result, int way)
{
    return result->row[WAY_SUBROUTINES].median / result->row[way].median;
}

/* ---- for people ------------------------------------------------------------ */

static void table_of(const struct job *job, const struct result *result)
{
    printf("\n%s\n", job->title);
    printf("  %-20s %9s %16s %9s %11s %11s %8s  %s\n", "", "time", "rate", "speed-up", "tasks", "most alive", "steals",
           "same answer");
    for (int way = 0; way < WAYS; way++) {
        const struct row *row = &result->row[way];
        char              time[32], rate[32];
        snprintf(time, sizeof time, "%.3f s", row->median);
        snprintf(rate, sizeof rate, "%.1f %s/s", job->amount / row->median, job->unit);
        bool tasks = way != WAY_SUBROUTINES;
        printf("  %-20s %9s %16s %9.2f %11s %11s %8s  %s\n", way_name((enum way)way), time, rate, speed_up(result, way),
               tasks ? report_number(row->trace.tasks) : "-", tasks ? report_number(row->trace.most_alive) : "-",
               tasks ? report_number(row->trace.steals) : "-", row->right ? "yes" : "NO");
    }
    if (job->sample < 1) printf("  (plain subroutines by a sample of one in %.0f)\n", 1 / job->sample);
}

void report_table(const struct circumstances *about, const struct job jobs[], const struct result results[],
                  unsigned count)
{
    char *dirs = report_dirs(about->dirs);
    printf("%s files below %s, %s MB", report_number(about->files), dirs, report_number(about->bytes / 1000000));
    if (about->files + about->unreadable < about->found)
        printf(", evenly spread over the %s that are there", report_number(about->found));
    if (about->unreadable) printf("; %s could not be read", report_number(about->unreadable));
    printf("\n%u worker%s; medians of %u run%s\n", about->workers, about->workers == 1 ? "" : "s", about->runs,
           about->runs == 1 ? "" : "s");
    for (unsigned i = 0; i < count; i++) table_of(&jobs[i], &results[i]);

    printf("\n%s lines, %s words, %s bytes, hash %016" PRIx64 "\n", report_number(about->lines),
           report_number(about->words), report_number(about->bytes), about->hash);
    if (!strcmp(about->wc, "same")) puts("wc -lwc counts the same in every file");
    else if (!strcmp(about->wc, "missing"))
        puts("not checked by wc: there is none here that takes --files0-from and that the demo knows");
    else puts("wc -lwc counts otherwise");
    if (about->svg) printf("who ran what: %s\n", about->svg);
    free(dirs);
}

/* ---- for machines ---------------------------------------------------------- */

/* Bytes of a path that are no ASCII become "?": it may be no UTF-8 at all. */
static void json_string(const char *string)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
        if (*c == '"' || *c == '\\') putchar('\\');
        putchar(*c >= ' ' && *c <= '~' ? *c : '?');
    }
    putchar('"');
}

static void json_row(const struct job *job, const struct result *result, int way, unsigned runs)
{
    const struct row *row = &result->row[way];
    fputs("      {\"way\": ", stdout);
    json_string(way_name((enum way)way));
    printf(", \"seconds\": %.6f, \"rate\": %.3f, \"speed_up\": %.4f", row->median, job->amount / row->median,
           speed_up(result, way));
    if (way != WAY_SUBROUTINES)
        printf(", \"tasks\": %" PRIu64 ", \"most_alive\": %" PRIu64 ", \"steals\": %" PRIu64, row->trace.tasks,
               row->trace.most_alive, row->trace.steals);
    printf(", \"same\": %s, \"runs\": [", row->right ? "true" : "false");
    for (unsigned i = 0; i < runs; i++) printf("%s%.6f", i ? ", " : "", row->seconds[i]);
    printf("]}%s\n", way + 1 < WAYS ? "," : "");
}

void report_json(const struct circumstances *about, const struct job jobs[], const struct result results[],
                 unsigned count)
{
    fputs("{\n  \"directories\": [", stdout);
    for (int i = 0; about->dirs[i]; i++) {
        fputs(i ? ", " : "", stdout);
        json_string(about->dirs[i]);
    }
    printf("],\n  \"files\": %zu, \"found\": %zu, \"unreadable\": %zu, \"workers\": %u,\n", about->files, about->found,
           about->unreadable, about->workers);
    printf("  \"lines\": %" PRIu64 ", \"words\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"hash\": \"%016" PRIx64
           "\", \"wc\": \"%s\",\n",
           about->lines, about->words, about->bytes, about->hash, about->wc);
    fputs("  \"svg\": ", stdout);
    if (about->svg) json_string(about->svg);
    else fputs("null", stdout);
    fputs(",\n  \"jobs\": [\n", stdout);
    for (unsigned i = 0; i < count; i++) {
        printf("    {\"job\": \"%s\", \"unit\": \"%s/s\", \"sample\": %.6f, \"rows\": [\n", jobs[i].name, jobs[i].unit,
               jobs[i].sample);
        for (int way = 0; way < WAYS; way++) json_row(&jobs[i], &results[i], way, about->runs);
        printf("    ]}%s\n", i + 1 < count ? "," : "");
    }
    puts("  ]\n}");
}
