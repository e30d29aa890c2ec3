/* cli/options.c: see options.h: rows found, values taken and checked. Layer: cli. */
#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *option_word(const char *list, size_t n, size_t *ret_len)
{
    for (const char *word = list; word != NULL && *word != '\0';) {
        *ret_len = strcspn(word, " ");
        if (n-- == 0)
            return word;
        word += *ret_len + (word[*ret_len] == ' ');
    }
    return NULL;
}

/* ---- rows ---- */

bool option_has_value(const struct option_row *row)
{
    return row->argument != NULL || row->type == OPTION_CHOICE;
}

bool option_needs_value(const struct option_row *row)
{
    return option_has_value(row) && (row->argument == NULL || row->argument[0] != '[');
}

void option_placeholder(char *ret, size_t cap, const struct option_row *row)
{
    size_t len = 0, used = 0;
    (void)snprintf(ret, cap, "%s", row->argument != NULL ? row->argument : "");
    if (row->argument != NULL || row->type != OPTION_CHOICE)
        return;
    const char *word;
    for (size_t i = 0; used < cap && (word = option_word(row->choices, i, &len)) != NULL; i++)
        used += (size_t)snprintf(ret + used, cap - used, "%s%.*s", i > 0 ? "|" : "", (int)strcspn(word, " ="),
                                 word);
}

const struct option_row *options_find(const struct option_part *parts, const char *name, size_t len)
{
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++)
            if (row->name != NULL && strlen(row->name) == len && memcmp(row->name, name, len) == 0)
                return row;
    return NULL;
}

const struct option_row *options_find_letter(const struct option_part *parts, char letter)
{
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++)
            if (row->letter == letter)
                return row;
    return NULL;
}

/* struct place: the number of a row in its table, and the struct that its part fills. */
struct place {
    size_t number;
    char *base;
};

static struct place place_of(const struct options *o, const struct option_row *wanted)
{
    struct place p = {0};
    for (const struct option_part *part = o->parts; part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++, p.number++)
            if (row == wanted) {
                p.base = (char *)o->into + part->at;
                return p;
            }
    return p; /* of the caller's own table always found */
}

void options_begin(struct options *o, const struct option_part *parts, void *into, const char *dashes)
{
    *o = (struct options){.parts = parts, .into = into, .dashes = dashes};
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            char *at = (char *)into + part->at + row->at;
            if (row->type == OPTION_NUMBER)
                *(unsigned long *)(void *)at = row->initial;
            else if (row->type == OPTION_CHOICE)
                *(unsigned *)(void *)at = (unsigned)row->initial;
        }
}

/* ---- values ---- */

/* "--key" or "FILE": how a message calls it. */
static const char *called(char ret[64], const struct options *o, const struct option_row *row)
{
    (void)snprintf(ret, 64, "%s%s", row->name != NULL ? o->dashes : "",
                   row->name != NULL       ? row->name
                   : row->argument != NULL ? row->argument
                                           : "the word");
    return ret;
}

static tt_rc take_number(unsigned long *ret, const struct option_row *row, const char *name, const char *text,
                         struct tt_error *err)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || strlen(text) > 10 || value < row->min ||
        value > row->max)
        return error_set(err, TT_ERR_USAGE, "%s: '%s' is not a number from %lu to %lu", name, text, row->min,
                         row->max);
    *ret = value;
    return TT_OK;
}

/* Is it one of the spellings of a choice: "p256=P-256=prime256v1"? */
static bool is_spelling(const char *choice, size_t len, const char *text)
{
    for (size_t at = 0, n; at < len; at += n + 1) {
        n = strcspn(choice + at, " =");
        if (strlen(text) == n && strncasecmp(choice + at, text, n) == 0)
            return true;
    }
    return false;
}

static tt_rc take_choice(unsigned *ret, const struct option_row *row, const char *name, const char *text,
                         struct tt_error *err)
{
    char all[256];
    size_t len = 0, used = 0, n = 0;
    const char *word;
    for (; (word = option_word(row->choices, n, &len)) != NULL; n++)
        if (is_spelling(word, len, text)) {
            *ret = (unsigned)n;
            return TT_OK;
        }
    all[0] = '\0';
    for (size_t i = 0; i < n && used < sizeof all; i++) {
        word = option_word(row->choices, i, &len);
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%.*s",
                                 i == 0       ? ""
                                 : i + 1 == n ? " or "
                                              : ", ",
                                 (int)strcspn(word, " ="), word);
    }
    return error_set(err, TT_ERR_USAGE, "%s: '%s' is not %s", name, text, all);
}

static tt_rc take_listed(struct option_list *ret, const struct option_row *row, const char *name,
                         const char *value, struct tt_error *err)
{
    size_t most = row->max != 0 ? row->max : OPTION_LIST_MAX;
    if (ret->len >= most)
        return error_set(err, TT_ERR_USAGE, "%s may be given %zu times", name, most);
    ret->at[ret->len++] = value;
    return TT_OK;
}

static tt_rc put_value(void *at, const struct option_row *row, const char *name, const char *value,
                       struct tt_error *err)
{
    switch (row->type) {
    case OPTION_FLAG:
        *(bool *)at = true;
        return TT_OK;
    case OPTION_COUNT:
        ++*(int *)at;
        return TT_OK;
    case OPTION_TEXT:
        *(const char **)at = value;
        return TT_OK;
    case OPTION_LIST:
        return take_listed(at, row, name, value, err);
    case OPTION_NUMBER:
        return take_number(at, row, name, value != NULL ? value : "", err);
    case OPTION_CHOICE:
        return take_choice(at, row, name, value, err);
    default:
        return row->take(row, at, value, err);
    }
}

tt_rc options_take(struct options *o, const struct option_row *row, const char *value, struct tt_error *err)
{
    char name[64];
    struct place p = place_of(o, row);
    (void)called(name, o, row);
    if (value == NULL && option_needs_value(row))
        return error_set(err, TT_ERR_USAGE, "the option %s needs an argument", name);
    if (value != NULL && !option_has_value(row))
        return error_set(err, TT_ERR_USAGE, "the option %s takes no argument", name);
    TT_TRY(put_value(p.base + row->at, row, name, value, err));
    if (o->given[p.number] < UINT8_MAX)
        o->given[p.number]++;
    return TT_OK;
}

/* ---- keys of INI files ---- */

static bool is_one_of(const char *value, const char *const words[3])
{
    for (size_t i = 0; i < 3; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

static tt_rc take_switch(struct options *o, const struct option_row *row, const char *value,
                         struct tt_error *err)
{
    static const char *const yes[3] = {"yes", "true", "on"}, *const no[3] = {"no", "false", "off"};
    if (is_one_of(value, yes))
        return options_take(o, row, NULL, err);
    return is_one_of(value, no) ? TT_OK
                                : error_set(err, TT_ERR_USAGE, "%s is yes or no, not '%s'", row->name, value);
}

tt_rc options_take_key(struct options *o, const char *name, const char *value, struct tt_error *err)
{
    const struct option_row *row = options_find(o->parts, name, strlen(name));
    if (row != NULL && option_has_value(row))
        return options_take(o, row, value, err);
    if (row != NULL)
        return take_switch(o, row, value, err);
    struct suggestion s = {.typed = name};
    suggest_option(&s, o->parts);
    if (s.best != NULL)
        error_hint(err, "did you mean %s?", s.best);
    return error_set(err, TT_ERR_USAGE, "there is no key '%s'", name);
}

/* ---- what goes with what ---- */

unsigned options_given(const struct options *o, const char *name)
{
    const struct option_row *row = options_find(o->parts, name, strlen(name));
    return row == NULL ? 0 : o->given[place_of(o, row).number];
}

/* The first of the names that is given; NULL: none. */
static const struct option_row *given_of(const struct options *o, const char *names)
{
    size_t len = 0;
    const char *word;
    for (size_t i = 0; (word = option_word(names, i, &len)) != NULL; i++) {
        const struct option_row *row = options_find(o->parts, word, len);
        if (row != NULL && o->given[place_of(o, row).number] > 0)
            return row;
    }
    return NULL;
}

/* "--psk, --key or --pin", as far as the table has them. */
static void name_all(char *ret, size_t cap, const struct options *o, const char *names)
{
    size_t len = 0, used = 0, n = 0, at = 0;
    const struct option_row *rows[8];
    const char *word;
    for (size_t i = 0; n < TT_COUNT(rows) && (word = option_word(names, i, &len)) != NULL; i++) {
        rows[n] = options_find(o->parts, word, len);
        n += rows[n] != NULL;
    }
    ret[0] = '\0';
    for (; at < n && used < cap; at++) {
        char one[64];
        used += (size_t)snprintf(ret + used, cap - used, "%s%s",
                                 at == 0       ? ""
                                 : at + 1 == n ? " or "
                                               : ", ",
                                 called(one, o, rows[at]));
    }
}

static tt_rc check_given(const struct options *o, const struct option_row *row, struct tt_error *err)
{
    char name[64], other[64], all[256];
    const char *colon = row->why != NULL ? ": " : "", *why = row->why != NULL ? row->why : "";
    (void)called(name, o, row);
    name_all(all, sizeof all, o, row->needs);
    if (all[0] != '\0' && given_of(o, row->needs) == NULL)
        return error_set(err, TT_ERR_USAGE, "%s needs %s%s%s", name, all, colon, why);
    const struct option_row *clash = given_of(o, row->not_with);
    if (clash == NULL)
        return TT_OK;
    return error_set(err, TT_ERR_USAGE, "%s does not go with %s%s%s", name, called(other, o, clash), colon,
                     why);
}

static tt_rc check_row(const struct options *o, const struct option_row *row, size_t number,
                       struct tt_error *err)
{
    char name[64], placeholder[128];
    if (o->given[number] > 0)
        return check_given(o, row, err);
    if (row->needed == NULL)
        return TT_OK;
    option_placeholder(placeholder, sizeof placeholder, row);
    (void)called(name, o, row);
    if (row->letter != '\0' && o->dashes[0] != '\0')
        (void)snprintf(name, sizeof name, "-%c", row->letter);
    return error_set(err, TT_ERR_USAGE, "%s %s%s%s", row->needed, row->name != NULL ? name : "",
                     row->name != NULL ? " " : "", placeholder);
}

void option_fault(struct option_faults *f, const struct tt_error *fault)
{
    f->n++;
    f->told(f->arg, fault);
}

void options_check_all(const struct options *o, struct option_faults *f)
{
    size_t number = 0;
    for (const struct option_part *part = o->parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            struct tt_error err = {0};
            if (check_row(o, row, number++, &err) != TT_OK)
                option_fault(f, &err);
        }
}

static void keep_first(void *arg, const struct tt_error *fault)
{
    struct tt_error *first = arg;
    if (first->rc == TT_OK)
        *first = *fault;
}

tt_rc options_check(const struct options *o, struct tt_error *err)
{
    struct tt_error first = {0};
    struct option_faults f = {.told = keep_first, .arg = &first};
    options_check_all(o, &f);
    if (f.n > 0 && err != NULL)
        *err = first;
    return first.rc;
}
