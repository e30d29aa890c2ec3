/* cli/complete.c: what a word of a command line may become, from the option tables: the part of completion
 * that all shells share. Layer: cli. Knows nothing of shells; their scripts are in cmd_completion.c.
 *
 * Whoever presses TAB wants nothing to happen: a TPM is asked for its handles only where the word begins like
 * one, for two seconds at most, and an emulated one that is not there yet is not made. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"

#define PATIENCE_S 2

/* struct typed: what the words before the last one said. */
struct typed {
    const struct command *path[4];
    size_t depth, operands;
    const struct option_row *open; /* whose value comes next */
    bool only_words;
    struct cli cli;                                  /* which TPM */
    const struct option_row *given[OPTION_LIST_MAX]; /* options that are there already */
    size_t given_len;
};

/* struct offer: the word that is typed, and what every word that is offered for it begins with. */
struct offer {
    const char *kept; /* "--groups=x25519,": stays as it is */
    size_t kept_len;
    const char *begin; /* what comes behind it so far */
    const char *about;
};

static const struct command *current(const struct typed *t)
{
    return t->path[t->depth - 1];
}

/* ---- one candidate ---- */

/* Its first part, and not more than a line of it. */
static void print_about(const char *about)
{
    size_t len = 0;
    while (len < 70 && about[len] != '\0' && !(strchr(".;:", about[len]) != NULL && about[len + 1] <= ' ') &&
           strncmp(about + len, " (", 2) != 0)
        len++;
    printf("\t%.*s\n", (int)len, about);
}

static void put_word(void *to, const char *word)
{
    const struct offer *o = to;
    if (strncmp(word, o->begin, strlen(o->begin)) != 0)
        return;
    printf("%.*s%s", (int)o->kept_len, o->kept, word);
    print_about(o->about != NULL ? o->about : "");
}

/* ---- values ---- */

static void put_words(struct offer *o, const char *words)
{
    size_t len = 0;
    const char *word;
    char one[64];
    for (size_t i = 0; (word = option_word(words, i, &len)) != NULL; i++) {
        (void)snprintf(one, sizeof one, "%.*s", (int)(strcspn(word, " =") < len ? strcspn(word, " =") : len),
                       word);
        if (len > 0 && word[len - 1] == '=') /* "swtpm:path=" is a beginning, not a choice with spellings */
            (void)snprintf(one, sizeof one, "%.*s", (int)len, word);
        put_word(o, one);
    }
}

/* Would opening it make something that is not there? */
static bool makes_tpm(const char *spec)
{
    struct stat st;
    if (strncmp(spec, "embedded", 8) != 0)
        return false;
    return spec[8] != ':' || stat(spec + 9, &st) != 0;
}

static void put_handles(struct offer *o, struct cli *cli)
{
    struct tt_tpm *tpm = NULL;
    struct tt_error err = {0};
    size_t n = 0;
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    const char *spec = cli_tpm_choice(cli), *prefix = strncmp(o->begin, "handle:", 7) == 0 ? "handle:" : "";
    cli->tpm_timeout = PATIENCE_S;
    if (spec == NULL || makes_tpm(spec) || cli_open_tpm(&tpm, cli, &err) != TT_OK)
        return;
    if (tt_persistent_list(&list, &n, tpm, &err) == TT_OK)
        for (size_t i = 0; i < n; i++) {
            char word[32];
            (void)snprintf(word, sizeof word, "%s0x%08x", prefix, list[i].handle);
            o->about = list[i].type;
            put_word(o, word);
        }
    tt_tpm_close(tpm);
}

static bool is_one_of(const char *word, size_t len, const char *words)
{
    size_t n = 0;
    const char *at;
    for (size_t i = 0; (at = option_word(words, i, &n)) != NULL; i++)
        if (n == len && memcmp(at, word, len) == 0)
            return true;
    return false;
}

/* A word of "FILE|DIR|system": capitals say what it is, anything else is meant as it stands. */
static void put_kind(struct offer *o, struct cli *cli, const char *kind, size_t len)
{
    bool looks_like_handle = strncmp(o->begin, "0x", 2) == 0 || strncmp(o->begin, "handle:", 7) == 0;
    if (looks_like_handle && is_one_of(kind, len, "KEY HANDLE 0x81..."))
        put_handles(o, cli);
    else if (is_one_of(kind, len, "FILE CSR KEY PUBLIC PATH FILE.svg OLD.json"))
        printf(":files\t%s\n", o->begin);
    else if (is_one_of(kind, len, "DIR"))
        printf(":dirs\t%s\n", o->begin);
    else if (len > 0 && (islower((unsigned char)kind[0]) || kind[0] == '-')) {
        char word[64];
        size_t n = strcspn(kind, ":|");
        (void)snprintf(word, sizeof word, "%.*s", (int)(n < len ? n + 1 : len), kind);
        put_word(o, word);
    }
    if (is_one_of(kind, len, "KEY") && !looks_like_handle)
        put_word(o, "handle:");
    if (is_one_of(kind, len, "HANDLE 0x81...") && !looks_like_handle)
        put_handles(o, cli);
}

static void put_value(struct offer *o, struct typed *t, const struct option_row *row)
{
    const char *argument = row->argument != NULL ? row->argument : "";
    o->about = "";
    if (strcmp(argument, "A,B") == 0) { /* what is before the last comma stays */
        const char *comma = strrchr(o->begin, ',');
        size_t n = comma != NULL ? (size_t)(comma + 1 - o->begin) : 0;
        if (o->kept_len == 0)
            o->kept = o->begin;
        o->kept_len += n;
        o->begin += n;
    }
    put_words(o, row->choices);
    put_words(o, row->words);
    if (row->offer != NULL)
        row->offer(put_word, o);
    for (const char *kind = argument; *kind != '\0' && *kind != '[';) {
        size_t len = strcspn(kind, "|");
        put_kind(o, &t->cli, kind, len);
        kind += len + (kind[len] == '|');
    }
}

/* ---- options, commands, operands ---- */

static bool is_given(const struct typed *t, const struct option_row *row)
{
    for (size_t i = 0; i < t->given_len; i++)
        if (t->given[i] == row)
            return row->type != OPTION_LIST && row->type != OPTION_COUNT;
    return false;
}

static void put_options(struct offer *o, const struct typed *t, const struct option_part *parts)
{
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            char word[64];
            if (row->name == NULL || is_given(t, row))
                continue;
            (void)snprintf(word, sizeof word, "--%s", row->name);
            o->about = row->text;
            put_word(o, word);
        }
}

static void put_commands(struct offer *o, const struct command *of)
{
    for (size_t i = 0; of->subcommands != NULL && of->subcommands[i] != NULL; i++) {
        o->about = of->subcommands[i]->summary;
        if (!of->subcommands[i]->hidden)
            put_word(o, of->subcommands[i]->name);
    }
}

/* The row of the operand that comes next. */
static const struct option_row *next_operand(const struct typed *t)
{
    size_t n = 0;
    for (const struct option_part *part = current(t)->parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++)
            if (row->name == NULL && (n++ == t->operands || row->type == OPTION_LIST))
                return row;
    return NULL;
}

/* ---- the words before ---- */

static const struct command *find(const struct command *of, const char *name)
{
    for (size_t i = 0; of->subcommands != NULL && of->subcommands[i] != NULL; i++)
        if (strcmp(of->subcommands[i]->name, name) == 0)
            return of->subcommands[i];
    return NULL;
}

static const struct option_row *find_option(const struct typed *t, const char *word)
{
    size_t len = strcspn(word + 2, "=");
    const struct option_row *own, *row;
    if (word[1] == '-') {
        own = options_find(current(t)->parts, word + 2, len);
        row = own != NULL ? own : options_find(cli_global_options, word + 2, len);
    } else {
        own = options_find_letter(current(t)->parts, word[1]);
        row = own != NULL ? own : options_find_letter(cli_global_options, word[1]);
    }
    return row;
}

static void read_value(struct typed *t, const struct option_row *row, const char *value)
{
    if (row->name != NULL && strcmp(row->name, "tpm") == 0)
        t->cli.tpm = value;
}

static void read_option(struct typed *t, const char *word)
{
    const struct option_row *row = find_option(t, word);
    const char *value = word[1] == '-' ? strchr(word, '=') : word[2] != '\0' ? word + 1 : NULL;
    if (row == NULL)
        return;
    if (t->given_len < TT_COUNT(t->given))
        t->given[t->given_len++] = row;
    if (value != NULL)
        read_value(t, row, value + 1);
    else if (option_needs_value(row))
        t->open = row;
}

static void read_word(struct typed *t, const char *word)
{
    const struct command *below = find(current(t), word);
    if (t->open != NULL)
        read_value(t, TT_TAKE(t->open), word);
    else if (!t->only_words && strcmp(word, "--") == 0)
        t->only_words = true;
    else if (!t->only_words && word[0] == '-' && word[1] != '\0')
        read_option(t, word);
    else if (below != NULL && t->depth < TT_COUNT(t->path))
        t->path[t->depth++] = below;
    else
        t->operands++;
    if (t->depth == 2 && current(t) == &command_help_command) /* whose operands are commands themselves */
        t->depth = 1;
}

void command_complete(const struct option_list *words)
{
    struct typed t = {.path = {&cli_program}, .depth = 1};
    const char *last = words->len > 0 ? words->at[words->len - 1] : "";
    struct offer o = {.kept = "", .begin = last};
    for (size_t i = 0; i + 1 < words->len; i++)
        read_word(&t, words->at[i]);
    const char *value = strncmp(last, "--", 2) == 0 ? strchr(last, '=') : NULL;
    const struct option_row *row = t.open;
    if (row == NULL && value != NULL && !t.only_words) {
        row = find_option(&t, last);
        o = (struct offer){.kept = last, .kept_len = (size_t)(value + 1 - last), .begin = value + 1};
    } else if (row == NULL && last[0] == '-' && !t.only_words) {
        put_options(&o, &t, current(&t)->parts);
        put_options(&o, &t, cli_global_options);
        return;
    } else if (row == NULL) {
        put_commands(&o, current(&t));
        row = next_operand(&t);
    }
    if (row != NULL && (row->name == NULL || option_has_value(row)))
        put_value(&o, &t, row);
}
