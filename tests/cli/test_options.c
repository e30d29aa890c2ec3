/* tests/cli/test_options.c: values taken from command lines and from keys of files, and what goes with what.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

enum color {
    RED,
    GREEN,
    BLUE
};
struct inner {
    bool flag;
    unsigned long number;
};
struct outer {
    const char *text, *word;
    struct option_list list;
    enum color color;
    int count;
    bool one, two;
    struct inner inner;
};

#define TO(member) OPTION_TO(struct outer, member)
static const struct option_row outer_rows[] = {
    {NULL, "WORD", "an operand", TO(word), .needed = "which word?"},
    {"text", "TEXT", "a text", TO(text), .letter = 't', .elsewhere = "string words"},
    {"list", "ITEM", "a list", TO(list), .max = 2},
    {"color", NULL, "a choice", TO(color), .choices = "red green=lime blue=azure=navy", .initial = GREEN},
    {"count", NULL, "a count", TO(count), .letter = 'c'},
    {"one", NULL, "a flag", TO(one), .not_with = "two", .why = "there can only be one"},
    {"two", NULL, "a flag", TO(two), .needs = "text absent"},
    {0},
};
static const struct option_row inner_rows[] = {
    {"flag", NULL, "a flag", OPTION_TO(struct inner, flag), .needs = "absent"},
    {"number", "N", "a number", OPTION_TO(struct inner, number), .min = 3, .max = 4000000000, .initial = 7},
    {0},
};
static const struct option_part parts[] = {
    {NULL, outer_rows, 0}, {"inner", inner_rows, offsetof(struct outer, inner)}, {0}};

/* struct fixture: a table that is filled as a file's keys fill it. */
struct fixture {
    struct outer into;
    struct options options;
    struct tt_error err;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){0};
    options_begin(&f->options, parts, &f->into, "");
}

static tt_rc key(struct fixture *f, const char *name, const char *value)
{
    f->err = (struct tt_error){0};
    return options_take_key(&f->options, name, value, &f->err);
}

static tt_rc check(struct fixture *f)
{
    f->err = (struct tt_error){0};
    return options_check(&f->options, &f->err);
}

static void test_initial_values(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    assert_int_equal(f.into.color, GREEN);
    assert_int_equal(f.into.inner.number, 7);
    assert_null(f.into.text);
}

static void test_keys(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    assert_int_equal(key(&f, "text", "--x"), TT_OK);
    assert_string_equal(f.into.text, "--x");
    assert_int_equal(key(&f, "color", "NAVY"), TT_OK);
    assert_int_equal(f.into.color, BLUE);
    assert_int_equal(key(&f, "number", "4000000000"), TT_OK);
    assert_int_equal(f.into.inner.number, 4000000000);
    assert_int_equal(key(&f, "one", "no"), TT_OK);
    assert_false(f.into.one);
    assert_int_equal(options_given(&f.options, "one"), 0);
    assert_int_equal(key(&f, "one", "Yes"), TT_OK);
    assert_true(f.into.one);
    assert_int_equal(options_given(&f.options, "one"), 1);
}

static void test_bad_keys(void **state)
{
    static const struct {
        const char *name, *value, *text, *hint;
    } cases[] = {
        {"number", "2", "number: '2' is not a number from 3 to 4000000000", ""},
        {"number", "4000000001", "is not a number", ""},
        {"number", "99999999999999999999", "is not a number", ""},
        {"number", "-3", "is not a number", ""},
        {"number", "", "is not a number", ""},
        {"number", "3x", "is not a number", ""},
        {"color", "lim", "color: 'lim' is not red, green or blue", ""},
        {"color", "", "is not red", ""},
        {"color", "green=lime", "is not red", ""},
        {"one", "maybe", "one is yes or no, not 'maybe'", ""},
        {"colour", "red", "there is no key 'colour'", "did you mean color?"},
        {"string", "x", "there is no key 'string'", "did you mean text?"},
        {"t", "x", "there is no key 't'", ""},
        {"WORD", "x", "there is no key 'WORD'", ""},
        {"", "x", "there is no key ''", ""},
    };
    struct fixture f;
    (void)state;
    begin(&f);
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        assert_int_equal(key(&f, cases[i].name, cases[i].value), TT_ERR_USAGE);
        assert_non_null(strstr(f.err.text, cases[i].text));
        assert_string_equal(f.err.hint, cases[i].hint);
    }
}

static void test_lists_end(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    assert_int_equal(key(&f, "list", "a"), TT_OK);
    assert_int_equal(key(&f, "list", "b"), TT_OK);
    assert_int_equal(key(&f, "list", "c"), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "list may be given 2 times");
    assert_int_equal(f.into.list.len, 2);
    assert_string_equal(f.into.list.at[1], "b");
}

static void test_what_goes_with_what(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    assert_int_equal(check(&f), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "which word? WORD");
    assert_int_equal(options_take(&f.options, &outer_rows[0], "w", &f.err), TT_OK);
    assert_int_equal(key(&f, "flag", "yes"), TT_OK); /* what it needs is not in this table */
    assert_int_equal(check(&f), TT_OK);
    assert_int_equal(key(&f, "two", "on"), TT_OK);
    assert_int_equal(check(&f), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "two needs text");
    assert_int_equal(key(&f, "text", "t"), TT_OK);
    assert_int_equal(check(&f), TT_OK);
    assert_int_equal(key(&f, "one", "true"), TT_OK);
    assert_int_equal(check(&f), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "one does not go with two: there can only be one");
}

static void test_values_and_flags(void **state)
{
    struct fixture f;
    (void)state;
    begin(&f);
    f.options.dashes = "--";
    assert_int_equal(options_take(&f.options, options_find_letter(parts, 'c'), NULL, &f.err), TT_OK);
    assert_int_equal(options_take(&f.options, options_find(parts, "count", 5), NULL, &f.err), TT_OK);
    assert_int_equal(f.into.count, 2);
    assert_int_equal(options_take(&f.options, options_find(parts, "count", 5), "3", &f.err), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "the option --count takes no argument");
    f.err = (struct tt_error){0};
    assert_int_equal(options_take(&f.options, options_find(parts, "text", 4), NULL, &f.err), TT_ERR_USAGE);
    assert_string_equal(f.err.text, "the option --text needs an argument");
    assert_null(options_find(parts, "tex", 3)); /* nothing is abbreviated */
}

static void test_suggestions(void **state)
{
    static const struct {
        const char *typed, *best;
    } cases[] = {{"conect", "connect"},
                 {"ocnnect", "connect"},
                 {"conn", "connect"},
                 {"insecure", NULL},
                 {"insecure-keylgo", "insecure-keylog"},
                 {"xyz", NULL},
                 {"", NULL},
                 {"c", NULL}};
    static const char *const names[] = {"connect", "insecure-keylog", "csr"};
    (void)state;
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        struct suggestion s = {.typed = cases[i].typed};
        for (size_t k = 0; k < TT_COUNT(names); k++)
            suggest_name(&s, names[k]);
        if (cases[i].best == NULL)
            assert_null(s.best);
        else
            assert_string_equal(s.best, cases[i].best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initial_values),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_lists_end),
        cmocka_unit_test(test_what_goes_with_what),
        cmocka_unit_test(test_values_and_flags),
        cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
