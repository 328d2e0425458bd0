#include "words.h"
#include "clock.h"
#include "memory.h"
#include "progress.h"
#include "trace.h"
#include "way.h"

#include <fcntl.h>
#include <unistd.h>

#define PIECE  ((uint64_t)1 << 20) /* bytes of a big file that one task reads */
#define BUFFER ((size_t)16 << 10)  /* on the stack, of which a task has at least 32 KiB */

enum class { SPACE, NEUTRAL, LETTER }; /* neutral: neither begins a word nor ends one */

static unsigned char class_of[256];

void words_define(bool any_byte)
{
    for (int c = 0; c < 256; c++) class_of[c] = any_byte || (c > ' ' && c <= '~') ? LETTER : NEUTRAL;
    for (const char *space = " \t\n\v\f\r"; *space; space++) class_of[(unsigned char)*space] = SPACE;
}

/* ---- one stretch of bytes ------------------------------------------------ */

#define HASH_START UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define HASH_PRIME UINT64_C(0x100000001b3)

/* So that words differ in all bits before they are added up. */
static uint64_t mix(uint64_t hash)
{
    hash = (hash ^ hash >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ hash >> 32;
}

struct scan {
    struct count count;
    uint64_t     hash;   /* of the bytes since the last white space */
    bool         word;   /* among them is one that makes them a word */
    bool         inside; /* the last byte was no white space */
};

static void scan_bytes(struct scan *scan, const unsigned char *bytes, size_t size)
{
    uint64_t hash = scan->hash, sum = 0, words = 0, lines = 0;
    unsigned word = scan->word;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = bytes[i];
        unsigned class = class_of[c];
        if (class == SPACE) {
            lines += c == '\n';
            words += word;
            sum += word ? mix(hash) : 0;
            hash = HASH_START;
            word = 0;
        } else {
            hash = (hash ^ c) * HASH_PRIME;
            word |= class >> 1;
        }
    }
    scan->hash = hash;
    scan->word = word;
    scan->inside = size ? class_of[bytes[size - 1]] != SPACE : scan->inside;
    scan->count.words += words;
    scan->count.lines += lines;
    scan->count.hash += sum;
    scan->count.bytes += size;
}

static void scan_end(struct scan *scan)
{
    scan_bytes(scan, (const unsigned char *)" ", 1);
    scan->count.bytes--;
}

/* ---- a file, or a piece of one ------------------------------------------- */

/* Bytes [begin, end) of a file, which owns the words that begin in it. */
struct range {
    weft_task    task;
    const char  *path;
    uint32_t     kind;
    uint64_t     begin, end; /* end UINT64_MAX: as far as the file goes */
    uint64_t     size;       /* of the file when it was listed: it is cut the same way in every run */
    struct count count;
};

/* How many of the bytes belong to what was begun before them. */
static size_t rest_of_word(const unsigned char *bytes, size_t size)
{
    size_t i = 0;
    while (i < size && class_of[bytes[i]] != SPACE) i++;
    return i;
}

static struct count read_range(int fd, const struct range *range)
{
    unsigned char buffer[BUFFER];
    struct scan   scan = {.hash = HASH_START};
    /* It starts a byte early, to see whether a word goes over the edge; that
     * word is its left neighbour's. */
    uint64_t at = range->begin ? range->begin - 1 : 0;
    bool     skipping = range->begin > 0;
    while (at < range->end || (scan.inside && !skipping)) {
        size_t  wanted = at < range->end && range->end - at < BUFFER ? (size_t)(range->end - at) : BUFFER;
        ssize_t got = pread(fd, buffer, wanted, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            scan.count.error = errno;
            break;
        }
        if (got == 0) break;
        size_t size = (size_t)got, skip = 0;
        if (at >= range->end) { /* a word of this piece that ends in the next */
            size = rest_of_word(buffer, size);
            scan_bytes(&scan, buffer, size);
            scan.count.bytes -= size;
            if (size < (size_t)got) break;
        } else {
            if (skipping) {
                skip = rest_of_word(buffer, size);
                skipping = skip == size;
            }
            /* The byte before the first is the neighbour's: it is white space, or was skipped. */
            size_t early = at < range->begin;
            scan.count.bytes += skip > early ? skip - early : 0;
            size_t from = skip > early ? skip : early;
            scan_bytes(&scan, buffer + from, size - from);
        }
        at += size;
    }
    scan_end(&scan);
    return scan.count;
}

static void add_count(struct count *sum, const struct count *part)
{
    sum->lines += part->lines;
    sum->words += part->words;
    sum->bytes += part->bytes;
    sum->hash += part->hash;
    if (!sum->error) sum->error = part->error;
}

/* Waits for no other task: it keeps its worker, so that no more buffers are in
 * use and no more files open than there are workers. */
static __attribute__((noinline)) void count_piece(struct range *range)
{
    int64_t begin = clock_now();
    /* Not to hang, whatever has taken the file's place since it was listed. */
    int fd = open(range->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        range->count = (struct count){.error = errno};
    } else {
        range->count = read_range(fd, range);
        close(fd);
    }
    progress_add(range->count.bytes, trace_task(range->kind, begin));
}

/* Halves the range until it is a piece; the right halves are tasks. */
static int count_range(void *arg)
{
    struct range *range = arg;
    uint64_t      end = range->end == UINT64_MAX ? range->size : range->end;
    if (end <= range->begin + PIECE) {
        count_piece(range);
        return 0;
    }
    uint64_t     pieces = (end - range->begin + PIECE - 1) / PIECE;
    uint64_t     middle = range->begin + pieces / 2 * PIECE;
    struct range right = *range, left = *range;
    right.begin = left.end = middle;
    way_fork(&right.task, count_range, &right);
    count_range(&left);
    way_join(&right.task);
    range->count = left.count;
    add_count(&range->count, &right.count);
    return 0;
}

/* ---- all files ------------------------------------------------------------ */

struct file_task {
    const struct file *file;
    struct count      *count;
};

static int count_file(void *arg)
{
    struct file_task *task = arg;
    struct range      range = {
             .path = task->file->path,
             .kind = task->file->group,
             .end = UINT64_MAX,
             .size = task->file->size,
    };
    count_range(&range);
    *task->count = range.count;
    return 0;
}

int words_count(void *arg)
{
    struct words     *words = arg;
    size_t            count = words->files->count;
    struct file_task *tasks = memory_zeroed(count, sizeof *tasks);
    memset(words->count, 0, count * sizeof *words->count);

    weft_scope scope;
    int        error = way_open(&scope);
    if (error < 0) {
        free(tasks);
        return error;
    }
    int64_t begin = clock_now();
    for (size_t i = 0; i < count && !error; i++) {
        tasks[i] = (struct file_task){&words->files->file[i], &words->count[i]};
        error = way_go(&scope, count_file, &tasks[i]);
    }
    if (way_tasks) { /* else the files were counted here and now, and have their own spans */
        trace_sample();
        trace_task(TRACE_MAIN, begin);
    }
    int closed = way_close(&scope);
    free(tasks);
    return error ? error : closed;
}

struct count words_total(const struct words *words)
{
    struct count total = {0};
    for (size_t i = 0; i < words->files->count; i++) add_count(&total, &words->count[i]);
    return total;
}
