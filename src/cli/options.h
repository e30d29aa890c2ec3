/* cli/options.h: the option table: one row an option. Layer: cli. Must not know any option of its own.
 *
 * A row says what an option is called, what its value is and where it goes, what goes with it and what does
 * not, and its sentence. From it come parsing (command.c), --help and the manual page (help.c, help_json.c),
 * completion, keys of INI files (options_take_key) and the offer of the nearest name (suggest.c).
 * docs/architecture.md says how to add one.
 *
 * Invariants
 *  - An option is written in full: "--name VALUE" or "--name=VALUE", or with its letter. Abbreviations do not
 * count.
 *  - A value that begins with "--" has to be written with "=". */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/rc.h"

/* struct option_list: the values of an option that may be given several times. */
#define OPTION_LIST_MAX 100
struct option_list {
    const char *at[OPTION_LIST_MAX];
    size_t len;
};

enum option_type {
    OPTION_TAKEN,  /* by `take` */
    OPTION_FLAG,   /* bool */
    OPTION_COUNT,  /* int: how often it was given */
    OPTION_TEXT,   /* const char *: the last one given */
    OPTION_LIST,   /* struct option_list: `max` of them, where that is not 0 */
    OPTION_NUMBER, /* unsigned long: min to max; `initial` when it is not given */
    OPTION_CHOICE  /* an enumeration: the place of the word in `choices`; `initial` when it is not given */
};

/* option_put: how words are offered to completion. */
typedef void option_put(void *to, const char *word);
typedef void option_offer(option_put *put, void *to);

struct option_row {
    const char *name;     /* without dashes; NULL: an operand, a word that is no option */
    const char *argument; /* "FILE"; "[=HOURS]": may be left out; NULL for a flag, and for a choice, whose
                             words say it */
    const char *text;     /* the sentence, of any length */
    enum option_type type;
    size_t at; /* where its value goes: OPTION_TO */
    char letter;
    unsigned long min, max, initial;
    const char
        *choices; /* "off request require"; other spellings follow behind '=': "p256=P-256=prime256v1" */
    /* take: put a value (NULL: none was given) to where the row says. */
    tt_rc (*take)(const struct option_row *row, void *at, const char *value, struct tt_error *err);
    const char *needed;    /* it must be given; this question is asked where it was not: "which key?" */
    const char *needs;     /* names: one of them, as far as the table has them, has to be given, too */
    const char *not_with;  /* names: none of them may be given, too. One direction is enough */
    const char *why;       /* the reason of needs or not_with, where it is not plain */
    const char *elsewhere; /* what other programs call it: offered as the nearest name */
    /* For completion, what `argument` and `choices` do not tell: words that the value may be, or begin with
     * where they end with ':' or '='; offer: the same from elsewhere. */
    const char *words;
    option_offer *offer;
};

/* OPTION_TO: the columns type and at, from the member of the struct that the value goes to. */
#define OPTION_TO(structure, member)                                                                         \
    _Generic(((structure *)NULL)->member,                                                                    \
        bool: OPTION_FLAG,                                                                                   \
        int: OPTION_COUNT,                                                                                   \
        const char *: OPTION_TEXT,                                                                           \
        struct option_list: OPTION_LIST,                                                                     \
        unsigned long: OPTION_NUMBER,                                                                        \
        unsigned: OPTION_CHOICE,                                                                             \
        default: OPTION_TAKEN),                                                                              \
        offsetof(structure, member)

/* struct option_part: rows that fill one struct, ended by {0}; `at` is where that struct lies in the
 * command's. A table is an array of parts, ended by {0}. */
struct option_part {
    const char *title; /* of its section of --help; NULL: "options" */
    const struct option_row *rows;
    size_t at;
};

/* struct options: a table that is being filled. */
#define OPTIONS_MAX 128
struct options {
    const struct option_part *parts;
    void *into;
    const char *dashes; /* before names in messages: "--", or "" for the keys of a file */
    unsigned char given[OPTIONS_MAX];
};

/* options_begin: give the struct behind `into`, which is zero, its initial values. */
void options_begin(struct options *o, const struct option_part *parts, void *into, const char *dashes);
/* options_find, options_find_letter: NULL: there is none. */
const struct option_row *options_find(const struct option_part *parts, const char *name, size_t len);
const struct option_row *options_find_letter(const struct option_part *parts, char letter);
/* options_take: a row of the table with its value; NULL: none was given. */
TT_MUST_USE tt_rc options_take(struct options *o, const struct option_row *row, const char *value,
                               struct tt_error *err);
/* options_take_key: "name = value" of an INI file. A flag is yes, no, true, false, on or off. */
TT_MUST_USE tt_rc options_take_key(struct options *o, const char *name, const char *value,
                                   struct tt_error *err);
/* options_check: that what must be given is there, and that nothing contradicts another. */
TT_MUST_USE tt_rc options_check(const struct options *o, struct tt_error *err);
/* struct option_faults: who is told of each fault there is; zero n before. */
struct option_faults {
    void (*told)(void *arg, const struct tt_error *fault);
    void *arg;
    size_t n;
};
void option_fault(struct option_faults *f, const struct tt_error *fault);
/* options_check_all: as options_check, but does not end with the first. */
void options_check_all(const struct options *o, struct option_faults *f);
/* options_given: how often the option was given (255 at most). */
unsigned options_given(const struct options *o, const char *name);

/* option_has_value, option_needs_value: may, or must, a value follow? */
bool option_has_value(const struct option_row *row);
bool option_needs_value(const struct option_row *row);
/* option_placeholder: "FILE", or for a choice "off|request|require"; "" for a flag. */
void option_placeholder(char *ret, size_t cap, const struct option_row *row);

/* option_word: the nth word of a list separated by spaces, *len its length; NULL: there are fewer. */
const char *option_word(const char *list, size_t n, size_t *ret_len);

/* suggest: which of two names is nearer to what was typed. */
struct suggestion {
    const char *typed;
    const char *best; /* NULL: none is near */
    unsigned distance;
};
void suggest_name(struct suggestion *s, const char *candidate);
/* suggest_option: the rows of the table, by their names here and elsewhere; best is a name here. */
void suggest_option(struct suggestion *s, const struct option_part *parts);

#endif
