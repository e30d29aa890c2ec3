/* cli/command.c: from the words of a command line to a command and its options. Layer: cli. Global options
 * stand anywhere; the first words that are no options are the command and its subcommand, the others its
 * operands. */
#include "cli/command.h"

#include <string.h>

#include "base/mem.h"

/* struct scan: where in the words we are. */
struct scan {
    char **argv;
    int argc, at;
    struct command_line *line;
    struct options global, own;
    size_t operands;
    bool only_words; /* behind "--" */
};

static const struct command *current(const struct scan *s)
{
    return s->line->path[s->line->depth - 1];
}

void command_name(char *ret, size_t cap, const struct command *const *path, size_t depth)
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < depth && used < cap; i++)
        used += (size_t)snprintf(ret + used, cap - used, "%s%s", i > 0 ? " " : "", path[i]->name);
}

/* "tpmtls help key create" */
static void help_name(char *ret, size_t cap, const struct command_line *line)
{
    char name[128];
    command_name(name, sizeof name, line->path, line->depth);
    (void)snprintf(ret, cap, "tpmtls help%s", name + strlen(cli_program.name));
}

/* ---- commands ---- */

static const struct command *find_command(const struct command *of, const char *name, struct suggestion *s)
{
    for (size_t i = 0; of->subcommands != NULL && of->subcommands[i] != NULL; i++) {
        if (strcmp(of->subcommands[i]->name, name) == 0)
            return of->subcommands[i];
        if (!of->subcommands[i]->hidden)
            suggest_name(s, of->subcommands[i]->name);
    }
    return NULL;
}

static tt_rc enter(struct scan *s, const char *name, struct tt_error *err)
{
    struct suggestion near = {.typed = name};
    struct command_line *line = s->line;
    const struct command *found = find_command(current(s), name, &near);
    if (found == NULL) {
        char path[128], help[160];
        command_name(path, sizeof path, line->path, line->depth);
        help_name(help, sizeof help, line);
        if (near.best != NULL)
            error_hint(err, "did you mean `%s %s`? `%s` lists the commands", path, near.best, help);
        else
            error_hint(err, "`%s` lists the commands", help);
        return error_set(err, TT_ERR_USAGE, "there is no command '%s%s%s'",
                         line->depth > 1 ? current(s)->name : "", line->depth > 1 ? " " : "", name);
    }
    line->path[line->depth++] = found;
    if (found->size > 0 && (line->options = mem_alloc(found->size)) == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the options");
    options_begin(&s->own, found->parts, line->options, "--");
    return TT_OK;
}

/* ---- options ---- */

/* The first command of the tree below `of` that has the option; its path goes to ret. */
static bool find_elsewhere(char *ret, size_t cap, const struct command *of, const char *path,
                           const char *name, size_t len)
{
    for (size_t i = 0; of->subcommands != NULL && of->subcommands[i] != NULL; i++) {
        char below[128];
        (void)snprintf(below, sizeof below, "%s %s", path, of->subcommands[i]->name);
        if (options_find(of->subcommands[i]->parts, name, len) != NULL) {
            (void)snprintf(ret, cap, "%s", below);
            return true;
        }
        if (find_elsewhere(ret, cap, of->subcommands[i], below, name, len))
            return true;
    }
    return false;
}

static tt_rc unknown_option(const struct scan *s, const char *word, size_t len, struct tt_error *err)
{
    char typed[64], help[160], other[128];
    const char *name = word + strspn(word, "-");
    (void)snprintf(typed, sizeof typed, "%.*s", (int)(len - (size_t)(name - word)), name);
    struct suggestion near = {.typed = typed};
    help_name(help, sizeof help, s->line);
    if (word[1] == '-') {
        suggest_option(&near, s->own.parts);
        suggest_option(&near, cli_global_options);
    }
    bool exact = word[1] == '-' &&
                 find_elsewhere(other, sizeof other, &cli_program, cli_program.name, typed, strlen(typed));
    if (exact)
        error_hint(err, "`%s` has it; `%s` tells what there is here", other, help);
    else if (near.best != NULL)
        error_hint(err, "did you mean --%s? `%s` tells what there is", near.best, help);
    else
        error_hint(err, "`%s` tells what there is", help);
    return error_set(err, TT_ERR_USAGE, "there is no option %.*s", (int)len, word);
}

/* The value of an option in the next word; what looks like an option is none. */
static const char *next_value(struct scan *s)
{
    if (s->at + 1 >= s->argc || strncmp(s->argv[s->at + 1], "--", 2) == 0)
        return NULL;
    return s->argv[++s->at];
}

static tt_rc take_row(struct scan *s, const struct option_row *row, const char *value, struct tt_error *err)
{
    bool is_own = s->own.parts != NULL && row->name != NULL &&
                  options_find(s->own.parts, row->name, strlen(row->name)) == row;
    if (value == NULL && option_needs_value(row)) {
        value = next_value(s);
        if (value == NULL && s->at + 1 < s->argc)
            error_hint(err, "a value that begins with -- is written --%s=%s", row->name, s->argv[s->at + 1]);
    }
    return options_take(is_own ? &s->own : &s->global, row, value, err);
}

static tt_rc take_long(struct scan *s, const char *word, struct tt_error *err)
{
    size_t len = strcspn(word + 2, "=");
    const struct option_row *row = options_find(s->own.parts, word + 2, len);
    if (row == NULL)
        row = options_find(cli_global_options, word + 2, len);
    if (row == NULL)
        return unknown_option(s, word, len + 2, err);
    return take_row(s, row, word[2 + len] == '=' ? word + 3 + len : NULL, err);
}

/* "-v", "-vv", "-o FILE", "-oFILE". */
static tt_rc take_letters(struct scan *s, const char *word, struct tt_error *err)
{
    for (const char *at = word + 1; *at != '\0'; at++) {
        const struct option_row *row = options_find_letter(s->own.parts, *at);
        if (row == NULL)
            row = options_find_letter(cli_global_options, *at);
        if (row == NULL)
            return unknown_option(s, (const char[]){'-', *at, '\0'}, 2, err);
        if (option_needs_value(row))
            return take_row(s, row, at[1] != '\0' ? at + 1 : NULL, err);
        TT_TRY(take_row(s, row, NULL, err));
    }
    return TT_OK;
}

/* ---- operands ---- */

static tt_rc take_operand(struct scan *s, const char *word, struct tt_error *err)
{
    size_t n = 0;
    for (const struct option_part *part = s->own.parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            if (row->name != NULL || (n++ < s->operands && row->type != OPTION_LIST))
                continue;
            s->operands++;
            return options_take(&s->own, row, word, err);
        }
    return error_set(err, TT_ERR_USAGE, "'%s' is one word too many", word);
}

static tt_rc take_word(struct scan *s, struct tt_error *err)
{
    const char *word = s->argv[s->at];
    const struct command *now = current(s);
    bool is_option = word[0] == '-' && word[1] != '\0' && !s->only_words;
    if (is_option && strcmp(word, "--") == 0) {
        s->only_words = true;
        return TT_OK;
    }
    if (s->line->cli.wants_help) { /* of which command is all that matters then */
        struct suggestion any = {.typed = word};
        return !is_option && find_command(now, word, &any) != NULL ? enter(s, word, err) : TT_OK;
    }
    if (is_option)
        return word[1] == '-' ? take_long(s, word, err) : take_letters(s, word, err);
    return now->subcommands != NULL ? enter(s, word, err) : take_operand(s, word, err);
}

static tt_rc check_complete(const struct scan *s, struct tt_error *err)
{
    const struct command *now = current(s);
    if (s->line->depth == 1)
        return error_set(err, TT_ERR_USAGE, "no command given");
    if (now->subcommands == NULL)
        return s->own.parts != NULL ? options_check(&s->own, err) : TT_OK;
    char all[160];
    size_t used = 0;
    for (size_t i = 0; now->subcommands[i] != NULL && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s",
                                 i == 0                            ? ""
                                 : now->subcommands[i + 1] == NULL ? " or "
                                                                   : ", ",
                                 now->subcommands[i]->name);
    return error_set(err, TT_ERR_USAGE, "%s: %s?", now->name, all);
}

tt_rc command_line_parse(struct command_line *ret, int argc, char **argv, struct tt_error *err)
{
    struct scan s = {.argv = argv, .argc = argc, .line = ret};
    tt_rc rc = TT_OK;
    *ret = (struct command_line){.path = {&cli_program}, .depth = 1};
    options_begin(&s.global, cli_global_options, &ret->cli, "--");
    for (s.at = 1; s.at < argc && rc == TT_OK; s.at++)
        rc = take_word(&s, err);
    if (rc == TT_OK && !ret->cli.wants_help && !ret->cli.wants_version)
        rc = options_check(&s.global, err);
    if (rc == TT_OK && !ret->cli.wants_help && !ret->cli.wants_version)
        rc = check_complete(&s, err);
    for (; rc != TT_OK && s.at < argc; s.at++) /* how the error is told */
        ret->cli.json = ret->cli.json || strcmp(argv[s.at], "--json") == 0;
    help_name(ret->cli.help, sizeof ret->cli.help, ret);
    if (rc == TT_ERR_USAGE)
        error_hint(err, "`%s` tells more", ret->cli.help);
    return rc;
}
