/* tests/net/test_outage.c: what is said of an outage of the TPM, by times that are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "net/outage.h"
#include "support/range.h"

#define SECOND UINT64_C(1000000000)

static const struct tt_error gone = {TT_ERR_TPM, "the TPM was lost", "is it running?"};

static enum outage_state fail_at(struct outage *o, double second)
{
    return outage_failed(o, &gone, (uint64_t)(second * (double)SECOND)).state;
}

static enum outage_state work_at(struct outage *o, double second)
{
    return outage_worked(o, (uint64_t)(second * (double)SECOND)).state;
}

static void told_three_times(void **state)
{
    (void)state;
    struct outage o = {0};
    struct tt_error text;
    assert_int_equal(work_at(&o, 1), OUTAGE_QUIET);
    struct outage_news news = outage_failed(&o, &gone, 100 * SECOND);
    assert_int_equal(news.state, OUTAGE_BEGAN);
    outage_text(&text, &news);
    assert_string_equal(text.text, "an outage of the TPM begins: the TPM was lost");
    assert_string_equal(text.hint, "is it running?");
    for (int i = 1; i < 600; i++)
        assert_int_equal(fail_at(&o, 100 + i / 10.0), OUTAGE_QUIET);
    news = outage_failed(&o, &gone, 160 * SECOND);
    assert_int_equal(news.state, OUTAGE_LASTS);
    outage_text(&text, &news);
    assert_string_equal(text.text,
                        "the TPM has been out for 60 s, and 601 requests to it failed: the TPM was lost");
    assert_int_equal(fail_at(&o, 219), OUTAGE_QUIET);
    assert_int_equal(fail_at(&o, 220), OUTAGE_LASTS);
    assert_int_equal(work_at(&o, 221), OUTAGE_QUIET); /* one that came through proves nothing yet */
    news = outage_worked(&o, 222 * SECOND);
    assert_int_equal(news.state, OUTAGE_ENDED);
    outage_text(&text, &news);
    assert_string_equal(text.text, "the TPM works again after 122 s, in which 603 requests to it failed");
    assert_string_equal(text.hint, "");
    assert_int_equal(work_at(&o, 223), OUTAGE_QUIET);
    assert_int_equal(fail_at(&o, 1000), OUTAGE_BEGAN);
}

/* One key that fails and one that works, in turn, every 2.5 s for an hour: each takes the other's word. */
static void coming_and_going(void **state)
{
    (void)state;
    struct outage o = {0};
    unsigned lines = 0;
    for (int at = 0; at < 3600; at += 5) {
        lines += fail_at(&o, at) != OUTAGE_QUIET;
        lines += work_at(&o, at + 2.5) != OUTAGE_QUIET;
    }
    assert_between(lines, 2, 62); /* not 1,440: at most one a minute, and the first two */
    assert_int_equal(work_at(&o, 3660), OUTAGE_ENDED);
    assert_int_equal(fail_at(&o, 4000), OUTAGE_BEGAN); /* long after: like the first */
    assert_int_equal(work_at(&o, 4002), OUTAGE_ENDED);
}

static void whose_failures(void **state)
{
    (void)state;
    assert_true(outage_is_of(&gone));
    assert_true(outage_is_of(&(struct tt_error){.rc = TT_ERR_DEADLINE}));
    assert_false(outage_is_of(&(struct tt_error){.rc = TT_ERR_VERIFY}));
    assert_string_equal(outage_state_name(OUTAGE_LASTS), "lasts");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told_three_times),
        cmocka_unit_test(coming_and_going),
        cmocka_unit_test(whose_failures),
    };
    return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
