/* knight.c - a knight visits every square of a board once, by generators that back up
 *
 * Each move is a generator: it yields when the square that it stands on is the last one, else it tries the
 * next squares, those first from which there are the fewest ways on (Warnsdorff, 1823), and delegates to
 * the moves there.  To ask for one more tour is one more resume: it goes back as far as it must.
 */
#include <stdio.h>
#include <stdlib.h>

#include <weft/weft.h>

enum { SIDE = 6, TOURS = 20 };

static int       board[SIDE][SIDE]; /* the number of the move that came here; 0: nobody was */
static const int hops[8][2] = {{1, 2}, {2, 1}, {2, -1}, {1, -2}, {-1, -2}, {-2, -1}, {-2, 1}, {-1, 2}};

struct move {
    int row, column, number;
};

static int is_free(int row, int column)
{
    return row >= 0 && row < SIDE && column >= 0 && column < SIDE && !board[row][column];
}

static int ways_on(int row, int column)
{
    int ways = 0;

    for (int i = 0; i < 8; i++) ways += is_free(row + hops[i][0], column + hops[i][1]);
    return ways;
}

static int tour(weft_gen *self, void *arg)
{
    struct move *move = arg;
    int          error = 0;

    board[move->row][move->column] = move->number;
    if (move->number == SIDE * SIDE) error = weft_gen_yield(self, board, NULL);
    for (int ways = 0; ways < 8 && !error; ways++) {
        for (int i = 0; i < 8 && !error; i++) {
            struct move next = {move->row + hops[i][0], move->column + hops[i][1], move->number + 1};
            weft_gen   *inner;
            if (!is_free(next.row, next.column) || ways_on(next.row, next.column) != ways) continue;
            error = weft_gen_create(&inner, tour, &next, sizeof next);
            if (!error) error = weft_gen_yield_from(self, inner);
            weft_gen_destroy(inner);
        }
    }
    board[move->row][move->column] = 0;
    return error;
}

/* Whether each move is a knight's, and each number is there once. */
static int is_tour(void)
{
    int rows[SIDE * SIDE + 1] = {0}, columns[SIDE * SIDE + 1] = {0}, seen = 0;

    for (int row = 0; row < SIDE; row++) {
        for (int column = 0; column < SIDE; column++) {
            int number = board[row][column];
            if (number < 1 || number > SIDE * SIDE) return 0;
            rows[number] = row;
            columns[number] = column;
            seen += number;
        }
    }
    for (int i = 2; i <= SIDE * SIDE; i++)
        if (abs(rows[i] - rows[i - 1]) * abs(columns[i] - columns[i - 1]) != 2) return 0;
    return seen == SIDE * SIDE * (SIDE * SIDE + 1) / 2;
}

int main(void)
{
    struct move first = {0, 0, 1};
    weft_gen   *gen;
    int         tours = 0, left = 0;

    if (weft_gen_create(&gen, tour, &first, sizeof first)) return 1;
    for (; tours < TOURS && weft_gen_next(gen, NULL) == 1 && is_tour(); tours++) {
        if (tours > 0) continue;
        for (int row = 0; row < SIDE; row++)
            for (int column = 0; column < SIDE; column++)
                printf("%3d%s", board[row][column], column == SIDE - 1 ? "\n" : "");
    }
    weft_gen_destroy(gen); /* each move is taken back */
    for (int i = 0; i < SIDE * SIDE; i++) left += board[i / SIDE][i % SIDE];
    printf("%d tours, and the board is %s\n", tours, left ? "not empty" : "empty again");
    return tours == TOURS && !left ? 0 : 1;
}
