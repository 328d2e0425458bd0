/* test_slot.c - what owner and thief get out of a slot; model_slot has the races, this the real fences */
#include "support.h"

#include <sched.h>
#include <string.h>

#include "slot.h"

static struct slot slot;
static ready_link  links[3];

static ready_t item(int i)
{
    return ready_make(&links[i], READY_FIBER);
}

static int setup(void **state)
{
    (void)state;
    platform_init();
    memset(&slot, 0, sizeof slot);
    return 0;
}

static void newest_stays(void **state)
{
    (void)state;
    assert_true(slot_empty(&slot));
    assert_true(slot_take(&slot) == 0);
    assert_true(slot_put(&slot, item(0)) == 0);
    assert_false(slot_empty(&slot));
    assert_true(slot_put(&slot, item(1)) == item(0));
    assert_true(slot_take(&slot) == item(1));
    assert_true(slot_empty(&slot));
    assert_true(slot_take(&slot) == 0);
}

static void forced_item_is_the_thiefs(void **state)
{
    (void)state;
    assert_true(slot_force(&slot) == 0);
    slot_put(&slot, item(0));
    assert_true(slot_force(&slot) == item(0));
    assert_true(slot_force(&slot) == 0);
    assert_true(slot_take(&slot) == 0);
    assert_true(slot_empty(&slot));
    /* And after that all is as before. */
    slot_put(&slot, item(1));
    assert_true(slot_take(&slot) == item(1));
    slot_put(&slot, item(2));
    assert_true(slot_force(&slot) == item(2));
}

static void forced_item_is_not_given_back_by_put(void **state)
{
    (void)state;
    slot_put(&slot, item(0));
    assert_true(slot_force(&slot) == item(0));
    assert_true(slot_put(&slot, item(1)) == 0);
    assert_true(slot_put(&slot, item(2)) == item(1));
    assert_true(slot_force(&slot) == item(2));
    assert_true(slot_take(&slot) == 0);
}

/* ---- both at once ------------------------------------------------------------------- */

static atomic_uint had;
static atomic_uint forced; /* of these, by a thief */
static atomic_bool over;

static void force_until_over(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        if (slot_force(&slot)) {
            atomic_fetch_add(&had, 1);
            atomic_fetch_add(&forced, 1);
        }
        sched_yield();
    }
}

static void each_is_had_once(void **state)
{
    (void)state;
    test_thread thieves[2];
    unsigned    puts = 0;

    atomic_store(&had, 0);
    atomic_store(&forced, 0);
    atomic_store(&over, false);
    for (int i = 0; i < 2; i++) test_thread_start(&thieves[i], force_until_over, NULL);
    for (size_t i = 0; i < test_scale(300000) || atomic_load(&forced) < test_scale(300); i++) {
        unsigned got = slot_put(&slot, item(i % 3)) != 0;
        puts++;
        if (i % 3 == 0) got += slot_take(&slot) != 0;
        if (got) atomic_fetch_add(&had, got);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) test_thread_join(&thieves[i]);
    if (slot_take(&slot)) atomic_fetch_add(&had, 1);
    assert_int_equal(atomic_load(&had), puts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(newest_stays, setup),
        cmocka_unit_test_setup(forced_item_is_the_thiefs, setup),
        cmocka_unit_test_setup(forced_item_is_not_given_back_by_put, setup),
        cmocka_unit_test_setup(each_is_had_once, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
