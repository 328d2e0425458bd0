/* nqueens.c - in how many ways can n queens stand on a board and none attack another?
 *
 * With no cutoff each queen that can be placed is a task, down to the last row.
 * With one, the last eight rows are left to the plain recursion, which is the
 * twin.
 * Both the solutions and the queens placed on the way are counted and checked.
 */
#include "bench.h"

enum { MOST = 16, CUTOFF = 8 };

struct board {
    uint32_t columns, left, right; /* attacked in the next row: straight, and by the two diagonals */
    int      rows;                 /* still free */
    long     solutions, placed;
};

static int  size, alone; /* the last rows, which are searched without tasks */
static long solutions, placed;

/* The board with a queen more, on `place` of the next row. */
static struct board with(const struct board *board, uint32_t place)
{
    return (struct board){.columns = board->columns | place,
                          .left = (board->left | place) << 1,
                          .right = (board->right | place) >> 1,
                          .rows = board->rows - 1};
}

static uint32_t places(const struct board *board)
{
    return ~(board->columns | board->left | board->right) & ((UINT32_C(1) << size) - 1);
}

static int called(void *arg)
{
    struct board *board = arg;
    board->solutions = board->rows == 0;
    board->placed = 0;
    for (uint32_t free = places(board); board->rows && free; free &= free - 1) {
        struct board next = with(board, free & -free);
        called(&next);
        board->solutions += next.solutions;
        board->placed += next.placed + 1;
    }
    return 0;
}

static int spawned(void *arg)
{
    struct board *board = arg, next[MOST];
    weft_task     tasks[MOST];
    int           count = 0;

    if (board->rows <= alone) return called(board);
    board->solutions = 0;
    board->placed = 0;
    for (uint32_t free = places(board); free; free &= free - 1, count++) {
        next[count] = with(board, free & -free);
        weft_spawn(&tasks[count], spawned, &next[count]);
    }
    while (count-- > 0) {
        weft_await(&tasks[count]);
        board->solutions += next[count].solutions;
        board->placed += next[count].placed + 1;
    }
    return 0;
}

struct way {
    weft_fn *search;
    int      alone;
};

static int run(void *arg)
{
    const struct way *way = arg;
    struct board      board = {.rows = size};
    alone = way->alone;
    way->search(&board);
    return board.solutions != solutions || board.placed != placed;
}

int main(int argc, char **argv)
{
    bench_start("nqueens", argc, argv);
    size = (int)bench_size(13, 9);
    solutions = bench_size(73712, 352);

    struct board board = {.rows = size};
    called(&board);
    placed = board.placed;
    const struct bench_side sides[] = {
        {.name = "recursion", .run = run, .arg = &(struct way){called, 0}, .count = (double)placed},
        {.name = "a task each",
         .run = run,
         .arg = &(struct way){spawned, 0},
         .count = (double)placed,
         .workers = BENCH_EACH},
        {.name = "the last rows in one task",
         .run = run,
         .arg = &(struct way){spawned, CUTOFF},
         .count = (double)placed,
         .workers = BENCH_EACH},
    };
    bench_compare("n queens", "queen placed", sides);
    bench_value("queens placed", (double)placed, "");
    return bench_end();
}
