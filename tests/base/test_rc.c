/* tests/base/test_rc.c: result names, error text, TT_TRY, TT_AUTO and TT_TAKE of base/rc.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/rc.h"

static void names_are_those_of_the_enum(void **state)
{
    (void)state;
    assert_string_equal(tt_rc_name(TT_OK), "TT_OK");
    assert_string_equal(tt_rc_name(TT_ERR_VERIFY), "TT_ERR_VERIFY");
    assert_string_equal(tt_rc_name(TT_ERR_BUSY), "TT_ERR_BUSY");
    for (int rc = TT_ERR_USAGE; rc <= TT_ERR_ECH_REJECTED; rc++)
        assert_memory_equal(tt_rc_name((tt_rc)rc), "TT_ERR_", 7);
    assert_string_equal(tt_rc_name((tt_rc)(TT_ERR_ECH_REJECTED + 1)), "TT_ERR_?");
    assert_string_equal(tt_rc_name((tt_rc)4000), "TT_ERR_?");
}

static void the_version_has_three_numbers(void **state)
{
    (void)state;
    size_t dots = 0;
    for (const char *p = tt_version(); *p != '\0'; p++)
        dots += *p == '.';
    assert_int_equal(dots, 2);
}

static void the_first_error_wins(void **state)
{
    (void)state;
    struct tt_error err = {0};
    assert_int_equal(error_set(&err, TT_ERR_IO, "cannot read %s", "a"), TT_ERR_IO);
    assert_int_equal(error_set(&err, TT_ERR_DECODE, "later"), TT_ERR_DECODE);
    assert_int_equal(err.rc, TT_ERR_IO);
    assert_string_equal(err.text, "cannot read a");
    assert_string_equal(err.hint, "");
    error_hint(&err, "look at %d", 7);
    error_hint(&err, "later");
    assert_string_equal(err.hint, "look at 7");
    assert_string_equal(err.text, "cannot read a");
    error_clear(&err);
    assert_int_equal(err.rc, TT_OK);
    assert_string_equal(err.text, "");
    assert_string_equal(err.hint, "");
}

static void nobody_has_to_listen(void **state)
{
    (void)state;
    assert_int_equal(error_set(NULL, TT_ERR_MEMORY, "x"), TT_ERR_MEMORY);
    error_hint(NULL, "x");
    error_clear(NULL);
}

static void long_text_is_cut_and_terminated(void **state)
{
    (void)state;
    char longer[sizeof(((struct tt_error *)NULL)->text) * 2];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    struct tt_error err = {0};
    assert_int_equal(error_set(&err, TT_ERR_IO, "%s", longer), TT_ERR_IO);
    error_hint(&err, "%s", longer);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(strlen(err.hint), sizeof err.hint - 1);
}

static tt_rc counted(tt_rc rc, int *calls)
{
    (*calls)++;
    return rc;
}

static tt_rc two_steps(tt_rc first, int *calls)
{
    TT_TRY(counted(first, calls));
    TT_TRY(counted(TT_OK, calls));
    return TT_OK;
}

static void try_returns_the_first_failure(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(two_steps(TT_OK, &calls), TT_OK);
    assert_int_equal(calls, 2);
    assert_int_equal(two_steps(TT_ERR_AUTH, &calls), TT_ERR_AUTH);
    assert_int_equal(calls, 3);
}

struct thing {
    int frees;
};
static void thing_free(struct thing *t)
{
    if (t != NULL)
        t->frees++;
}
TT_DEFINE_AUTO(struct thing, thing_free)

static struct thing *leave_scope(struct thing *t, bool take)
{
    TT_AUTO(thing_free_auto) struct thing *owned = t;
    return take ? TT_TAKE(owned) : NULL;
}

static void auto_frees_unless_taken(void **state)
{
    (void)state;
    struct thing t = {0};
    assert_ptr_equal(leave_scope(&t, true), &t);
    assert_int_equal(t.frees, 0);
    assert_null(leave_scope(&t, false));
    assert_int_equal(t.frees, 1);
}

/* Not within a character: what reads UTF-8 would refuse the whole. */
static void a_cut_is_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = {"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (size_t i = 0; i < TT_COUNT(characters); i++) {
        char many[2000] = "";
        size_t n = strlen(characters[i]);
        for (size_t at = 0; at + n < sizeof many; at += n)
            memcpy(many + at, characters[i], n + 1);
        for (size_t before = 0; before < 4; before++) {
            struct tt_error err = {0};
            (void)error_set(&err, TT_ERR_IO, "%.*s%s", (int)before, "abc", many);
            size_t len = strlen(err.text);
            assert_int_equal((len - before) % n, 0);
            assert_true(len > sizeof err.text - 5);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_the_enum),
        cmocka_unit_test(the_version_has_three_numbers),
        cmocka_unit_test(the_first_error_wins),
        cmocka_unit_test(nobody_has_to_listen),
        cmocka_unit_test(long_text_is_cut_and_terminated),
        cmocka_unit_test(a_cut_is_between_characters),
        cmocka_unit_test(try_returns_the_first_failure),
        cmocka_unit_test(auto_frees_unless_taken),
    };
    return cmocka_run_group_tests_name("base/rc", tests, NULL, NULL);
}
