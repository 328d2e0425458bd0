#include "picture.h"
#include "memory.h"

#include <inttypes.h>
#include <math.h>

/* ---- measures, in pixels -------------------------------------------------- */

#define WIDTH  1200.0
#define LEFT   168.0 /* where time 0 is */
#define PLOT   880.0 /* as long as the longest of the ways */
#define MARGIN 28.0
#define GAP    0.5 /* between two rectangles that are not merged */

struct page {
    FILE  *out;
    double y;
    double stretch; /* pixels that are looked at as one, when short tasks are merged */
};

struct scale {
    double pixels; /* a nanosecond */
    double seconds;
};

static double lane_height(unsigned lanes)
{
    return lanes <= 4 ? 24 : lanes <= 8 ? 18 : lanes <= 24 ? 12 : lanes <= 64 ? 6 : 2;
}

/* ---- text ----------------------------------------------------------------- */

/* Names of files may hold any byte; XML may not. */
static void text(FILE *out, const char *string)
{
    for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
        if (*c == '&') fputs("&amp;", out);
        else if (*c == '<') fputs("&lt;", out);
        else if (*c == '>') fputs("&gt;", out);
        else fputc(*c >= ' ' && *c <= '~' ? *c : '?', out);
    }
}

static void text_at(FILE *out, double x, double y, const char *class, const char *string)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
    text(out, string);
    fputs("</text>\n", out);
}

static void duration(char *string, size_t size, double seconds)
{
    const char *unit = seconds >= 1 ? "s" : seconds >= 1e-3 ? "ms" : "us";
    double      value = seconds >= 1 ? seconds : seconds >= 1e-3 ? seconds * 1e3 : seconds * 1e6;
    snprintf(string, size, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, unit);
}

/* ---- one lane ------------------------------------------------------------- */

static void bar(const struct page *page, double x, double width, double height, const char *kind, uint32_t number,
                uint64_t tasks, double seconds)
{
    char time[32];
    duration(time, sizeof time, seconds);
    if (width > 3 * GAP) width -= GAP;
    fprintf(page->out, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" class=\"k%u\"><title>", LEFT + x,
            page->y, width, height, number);
    text(page->out, kind ? kind : "");
    if (tasks > 1) fprintf(page->out, ": %" PRIu64 " tasks", tasks);
    fprintf(page->out, ", %s</title></rect>\n", time);
}

struct stretch {
    double   busy[TRACE_KINDS]; /* nanoseconds */
    uint64_t tasks;
};

/* The kind that most of it was spent on; -1 if it was mostly idle. */
static int main_kind(const struct stretch *stretch, double length)
{
    double sum = 0;
    int    most = 0;
    for (int kind = 0; kind < TRACE_KINDS; kind++) {
        sum += stretch->busy[kind];
        if (stretch->busy[kind] > stretch->busy[most]) most = kind;
    }
    return sum * 2 >= length ? most : -1;
}

static void draw_lane(const struct page *page, const struct job *job, const struct lane *lane, struct scale scale,
                      double height)
{
    double          length = page->stretch / scale.pixels;
    size_t          count = (size_t)(PLOT / page->stretch) + 2;
    struct stretch *stretches = memory_zeroed(count, sizeof *stretches);

    for (size_t i = 0; i < lane->count; i++) {
        const struct span *span = &lane->spans[i];
        double             begin = (double)span->begin, end = (double)span->end;
        if (end - begin >= 3 * length) continue;
        size_t at = (size_t)(begin / length);
        if (at < count) stretches[at].tasks += span->tasks;
        for (; at < count && begin < end; at++) {
            double edge = fmin(end, (double)(at + 1) * length);
            stretches[at].busy[span->kind] += fmax(edge - begin, 0);
            begin = edge;
        }
    }
    for (size_t i = 0, next; i < count; i = next) {
        int      kind = main_kind(&stretches[i], length);
        uint64_t tasks = 0;
        for (next = i; next < count && main_kind(&stretches[next], length) == kind; next++)
            tasks += stretches[next].tasks;
        if (kind >= 0)
            bar(page, (double)i * page->stretch, (double)(next - i) * page->stretch, height, job->kind[kind],
                (uint32_t)kind, tasks, (double)(next - i) * length * 1e-9);
    }
    for (size_t i = 0; i < lane->count; i++) {
        const struct span *span = &lane->spans[i];
        double             time = (double)(span->end - span->begin);
        if (time >= 3 * length)
            bar(page, (double)span->begin * scale.pixels, time * scale.pixels, height, job->kind[span->kind],
                span->kind, span->tasks, time * 1e-9);
    }
    free(stretches);
}

/* ---- one way -------------------------------------------------------------- */

static void draw_way(struct page *page, const struct job *job, const struct result *result, enum way way,
                     struct scale scale)
{
    const struct row *row = &result->row[way];
    unsigned          lanes = row->trace.lanes;
    double            height = lane_height(lanes), space = height > 10 ? 3 : 1, top = page->y;
    double            end = (double)(row->trace.end - row->trace.begin) * scale.pixels;

    text_at(page->out, MARGIN, page->y + 12, "way", way_name(way));
    page->y += 20;
    for (unsigned i = 0; i < lanes; i++) {
        if (way != WAY_SUBROUTINES && height > 10) {
            char name[32];
            snprintf(name, sizeof name, "worker %u", i);
            text_at(page->out, LEFT - 10, page->y + height / 2 + 4, "lane", name);
        } else if (way == WAY_SUBROUTINES) {
            text_at(page->out, LEFT - 10, page->y + height / 2 + 4, "lane", "the thread");
        }
        fprintf(page->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" class=\"idle\"/>\n", LEFT,
                page->y, end, height);
        draw_lane(page, job, &row->trace.lane[i], scale, height);
        page->y += height + space;
    }
    fprintf(page->out, "<path d=\"M%.2f %.1fV%.1f\" class=\"end\"/>\n", LEFT + end, top + 16, page->y - space + 4);

    char note[64], time[32];
    duration(time, sizeof time, row->median);
    double middle = (top + 20 + page->y - space) / 2;
    if (way == WAY_SUBROUTINES) {
        text_at(page->out, LEFT + end + 10, middle + 5, "time", time);
    } else {
        snprintf(note, sizeof note, "%.2f times as fast", result->row[WAY_SUBROUTINES].median / row->median);
        text_at(page->out, LEFT + end + 10, middle - 3, "time", time);
        text_at(page->out, LEFT + end + 10, middle + 13, "note", note);
    }
    page->y += 14;
}

/* ---- one job -------------------------------------------------------------- */

static void draw_axis(struct page *page, struct scale scale, double top)
{
    double step = pow(10, floor(log10(scale.seconds / 4)));
    if (scale.seconds / step > 20) step *= 5;
    else if (scale.seconds / step > 8) step *= 2;
    fprintf(page->out, "<path d=\"M%.1f %.1fh%.1f\" class=\"axis\"/>\n", LEFT, page->y, PLOT);
    for (int i = 0; i * step <= scale.seconds * 1.0001; i++) {
        char   label[32];
        double x = LEFT + i * step * 1e9 * scale.pixels;
        if (scale.seconds >= 1) snprintf(label, sizeof label, "%.4g s", i * step);
        else snprintf(label, sizeof label, "%.4g ms", i * step * 1e3);
        fprintf(page->out, "<path d=\"M%.1f %.1fV%.1f\" class=\"grid\"/>\n", x, top, page->y + 5);
        text_at(page->out, x, page->y + 19, "tick", label);
    }
    page->y += 34;
}

static void draw_legend(struct page *page, const struct job *job)
{
    double x = MARGIN;
    for (unsigned kind = 0; kind <= TRACE_KINDS; kind++) {
        const char *name = kind < TRACE_KINDS ? job->kind[kind] : "idle, or another program had the CPU";
        if (!name) continue;
        double width = 26 + 6.6 * (double)strlen(name) + 14;
        if (x > MARGIN && x + width > WIDTH - MARGIN) {
            x = MARGIN;
            page->y += 20;
        }
        fprintf(page->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" rx=\"2\" class=\"", x, page->y);
        fprintf(page->out, kind < TRACE_KINDS ? "k%u\"/>\n" : "idle\"/>\n", kind);
        text_at(page->out, x + 18, page->y + 10.5, "legend", name);
        x += width;
    }
    page->y += 30;
}

static void draw_job(struct page *page, const struct job *job, const struct result *result)
{
    int64_t longest = 1;
    for (int way = 0; way < WAYS; way++) {
        int64_t time = result->row[way].trace.end - result->row[way].trace.begin;
        longest = time > longest ? time : longest;
    }
    struct scale scale = {PLOT / (double)longest, (double)longest * 1e-9};

    text_at(page->out, MARGIN, page->y + 16, "job", job->title);
    page->y += 32;
    draw_legend(page, job);
    /* The grid is under the lanes, but how far down it goes is known only after them. */
    double top = page->y, bottom = top;
    for (int way = 0; way < WAYS; way++) {
        unsigned lanes = result->row[way].trace.lanes;
        double   height = lane_height(lanes);
        bottom += 20 + lanes * (height + (height > 10 ? 3 : 1)) + 14;
    }
    page->y = bottom;
    draw_axis(page, scale, top);
    double after = page->y;
    page->y = top;
    for (int way = 0; way < WAYS; way++) draw_way(page, job, result, (enum way)way, scale);
    page->y = after + 18;
}

/* ---- the page ------------------------------------------------------------- */

static const char style[] =
    "<style>\n"
    "svg{background:#fff;font-family:system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}\n"
    "text{font-size:12px;fill:#24292f}\n"
    ".page{fill:#fff}.title{font-size:22px;font-weight:600}.job{font-size:16px;font-weight:600}\n"
    ".way{font-size:13px;font-weight:600}.time{font-size:15px;font-weight:600}\n"
    ".lane{text-anchor:end}.tick{text-anchor:middle}.lane,.tick,.note,.legend,.small{fill:#57606a}\n"
    ".idle{fill:#e6e9ed}.axis,.end{stroke:#57606a;fill:none}.end{stroke-width:1.5}.grid{stroke:#d8dee4;fill:none}\n"
    ".k0{fill:#4e79a7}.k1{fill:#f28e2b}.k2{fill:#59a14f}.k3{fill:#e15759}.k4{fill:#3ba7a0}.k5{fill:#d4a72c}\n"
    ".k6{fill:#b07aa1}.k7{fill:#8c7565}.k8{fill:#24292f}\n"
    "@media (prefers-color-scheme:dark){svg{background:#0d1117}.page{fill:#0d1117}text{fill:#e6edf3}\n"
    ".lane,.tick,.note,.legend,.small{fill:#9da7b3}.idle{fill:#262c36}.axis,.end{stroke:#9da7b3}\n"
    ".grid{stroke:#30363d}.k8{fill:#f0f6fc}}\n"
    "</style>\n";

static void draw_page(struct page *page, const char *subtitle, const struct job jobs[], const struct result results[],
                      unsigned count, double height)
{
    fprintf(page->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\" "
            "role=\"img\">\n<title>Who ran what, on which worker</title>\n",
            WIDTH, height, WIDTH, height);
    fputs("<desc>One lane a worker, one rectangle a task. Tasks too short to be seen are drawn as one: a stretch of a "
          "lane has the colour that most of its time went to.</desc>\n",
          page->out);
    fputs(style, page->out);
    fprintf(page->out, "<rect class=\"page\" width=\"%.0f\" height=\"%.0f\"/>\n", WIDTH, height);
    text_at(page->out, MARGIN, 40, "title", "Who ran what, on which worker");
    text_at(page->out, MARGIN, 62, "small", subtitle);
    page->y = 88;
    for (unsigned i = 0; i < count; i++)
        if (jobs[i].sample == 1) draw_job(page, &jobs[i], &results[i]);
    fputs("</svg>\n", page->out);
}

int picture_write(const char *path, const char *subtitle, const struct job jobs[], const struct result results[],
                  unsigned count)
{
    char       *svg = NULL;
    size_t      size = 0;
    double      height = 0;
    struct page page = {.stretch = 0.5};
    /* The first time tells how high it is; then as often as it takes to be small enough. */
    for (int attempt = 0;; attempt++) {
        free(svg);
        page.out = memory_checked(open_memstream(&svg, &size));
        draw_page(&page, subtitle, jobs, results, count, height);
        fclose(page.out);
        if (attempt > 0 && (size <= PICTURE_BYTES || page.stretch > 16)) break;
        if (attempt > 0) page.stretch *= 2;
        height = page.y;
    }

    FILE *file = fopen(path, "w");
    if (!file) {
        int error = errno;
        free(svg);
        return -error;
    }
    size_t written = fwrite(svg, 1, size, file);
    int    error = written == size ? 0 : errno;
    if (fclose(file) != 0 && !error) error = errno;
    free(svg);
    return -error;
}
