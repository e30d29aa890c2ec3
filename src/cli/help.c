/* cli/help.c: --help, from the tables: wrapped to the terminal's width. Layer: cli. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/command.h"

#define WIDTH_DEFAULT 80
#define WIDTH_MIN     40
#define WIDTH_MAX     100 /* longer lines are hard to read */
#define COLUMN        24  /* where sentences begin */

static size_t terminal_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    unsigned long width = WIDTH_DEFAULT;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    else if (columns != NULL && columns[0] >= '1' && columns[0] <= '9')
        width = strtoul(columns, NULL, 10);
    return width < WIDTH_MIN ? WIDTH_MIN : width > WIDTH_MAX ? WIDTH_MAX : width;
}

/* Words from `text` up to an empty line, in lines of at most width, indented from the second on; the first
 * begins in column `at`. Returns what follows. */
static const char *wrap(const char *text, size_t at, size_t indent, size_t width)
{
    bool first = true;
    while (*text != '\0' && strncmp(text, "\n\n", 2) != 0) {
        size_t len = strcspn(text, " \n");
        if (!first && at + 1 + len > width) {
            printf("\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            (void)putchar(' ');
            at++;
        }
        printf("%.*s", (int)len, text);
        at += len;
        text += len;
        first = false;
        while (*text == ' ' || (*text == '\n' && text[1] != '\n'))
            text++;
    }
    (void)putchar('\n');
    return text;
}

static void print_paragraphs(const char *text, size_t width)
{
    while (*text != '\0') {
        (void)putchar('\n');
        if (*text == ' ') { /* as it is */
            const char *end = strstr(text, "\n\n");
            size_t len = end != NULL ? (size_t)(end - text) : strlen(text);
            printf("%.*s\n", (int)len, text);
            text += len;
        } else {
            text = wrap(text, 0, 0, width);
        }
        text += strspn(text, "\n");
    }
}

/* ---- usage ---- */

static void usage_word(char *ret, size_t cap, const struct option_row *row)
{
    char placeholder[128];
    const char *open = row->needed == NULL ? "[" : "", *close = row->needed == NULL ? "]" : "";
    const char *more = row->type == OPTION_LIST ? "..." : "";
    option_placeholder(placeholder, sizeof placeholder, row);
    if (row->name == NULL)
        (void)snprintf(ret, cap, " %s%s%s%s", open, placeholder, close, more);
    else if (row->letter != '\0')
        (void)snprintf(ret, cap, " -%c %s", row->letter, placeholder);
    else
        (void)snprintf(ret, cap, " --%s %s", row->name, placeholder);
}

/* First the options that must be given, then that there are others, then the operands. */
static void add_usage(char *text, size_t cap, const struct option_part *parts, bool operands)
{
    for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            size_t used = strlen(text);
            if ((row->name == NULL) == operands && (operands || row->needed != NULL))
                usage_word(text + used, cap - used, row);
        }
}

static void print_usage(const struct command *const *path, size_t depth, size_t width)
{
    char text[512], name[128];
    const struct command *c = path[depth - 1];
    command_name(name, sizeof name, path, depth);
    (void)snprintf(text, sizeof text, "usage: %s", name);
    if (c->subcommands == NULL)
        add_usage(text, sizeof text, c->parts, false);
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof text - used, " [OPTION...]%s",
                   c->subcommands != NULL ? " COMMAND ..." : "");
    if (c->subcommands == NULL)
        add_usage(text, sizeof text, c->parts, true);
    (void)wrap(text, 0, 7 + strlen(name) + 1 < width / 2 ? 7 + strlen(name) + 1 : 11, width);
}

/* ---- rows ---- */

static void print_entry(const char *name, const char *text, size_t width)
{
    size_t len = strlen(name);
    printf("  %s", name);
    if (len + 3 > COLUMN)
        printf("\n%*s", COLUMN, "");
    else
        printf("%*s", (int)(COLUMN - 2 - len), "");
    (void)wrap(text, COLUMN, COLUMN, width);
}

static void number_range(char *ret, size_t cap, const struct option_row *row)
{
    ret[0] = '\0';
    if (row->type == OPTION_NUMBER && row->initial != 0)
        (void)snprintf(ret, cap, " (%lu to %lu; default %lu)", row->min, row->max, row->initial);
    else if (row->type == OPTION_NUMBER)
        (void)snprintf(ret, cap, " (%lu to %lu)", row->min, row->max);
    else if (row->type == OPTION_LIST && row->name != NULL)
        (void)snprintf(ret, cap, "; may be given several times");
}

static void print_row(const struct option_row *row, size_t width)
{
    char left[256], text[1024], range[80], placeholder[128], letter[5] = "";
    option_placeholder(placeholder, sizeof placeholder, row);
    if (row->letter != '\0')
        (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
    const char *space = placeholder[0] != '\0' && placeholder[0] != '[' ? " " : "";
    if (row->name != NULL)
        (void)snprintf(left, sizeof left, "%s--%s%s%s", letter, row->name, space, placeholder);
    else
        (void)snprintf(left, sizeof left, "%s", placeholder);
    number_range(range, sizeof range, row);
    (void)snprintf(text, sizeof text, "%s%s", row->text, range);
    print_entry(left, text, width);
}

static void print_part(const struct option_part *part, bool operands, size_t width)
{
    bool any = false;
    for (const struct option_row *row = part->rows; row->text != NULL; row++) {
        if ((row->name == NULL) != operands)
            continue;
        if (!any && !operands)
            printf("\n%s:\n", part->title != NULL ? part->title : "options");
        else if (!any)
            (void)putchar('\n');
        any = true;
        print_row(row, width);
    }
}

static void print_parts(const struct option_part *parts, size_t width)
{
    for (int operands = 1; operands >= 0; operands--)
        for (const struct option_part *part = parts; part != NULL && part->rows != NULL; part++)
            print_part(part, operands == 1, width);
}

static void print_commands(const struct command *const *path, size_t depth, size_t width)
{
    const struct command *c = path[depth - 1];
    printf("\ncommands:\n");
    for (size_t i = 0; c->subcommands[i] != NULL; i++)
        if (!c->subcommands[i]->hidden)
            print_entry(c->subcommands[i]->name, c->subcommands[i]->summary, width);
}

static void print_globals(size_t width)
{
    char text[1024] = "Global options, anywhere (`tpmtls --help`):";
    for (const struct option_part *part = cli_global_options; part->rows != NULL; part++)
        for (const struct option_row *row = part->rows; row->text != NULL; row++) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof text - used, " --%s", row->name);
        }
    (void)putchar('\n');
    (void)wrap(text, 0, 2, width);
}

void command_help(const struct command *const *path, size_t depth)
{
    size_t width = terminal_width();
    const struct command *c = path[depth - 1];
    print_usage(path, depth, width);
    print_paragraphs(c->about != NULL ? c->about : c->summary, width);
    if (depth > 1)
        print_parts(c->parts, width);
    else
        print_parts(cli_global_options, width);
    if (c->subcommands != NULL)
        print_commands(path, depth, width);
    if (c->example != NULL)
        printf("\nexample:\n%s\n", c->example);
    if (depth > 1)
        print_globals(width);
    else
        printf("\nexit codes: 0 ok, 1 failure, 2 usage, 3 peer not trusted, 4 TPM, 5 refused by the peer\n");
}

/* ---- tpmtls help COMMAND [SUBCOMMAND] ---- */

struct help_options {
    struct option_list words;
};

static int run_help(const struct cli *cli, void *options)
{
    const struct help_options *o = options;
    const struct command *path[4] = {&cli_program};
    size_t depth = 1;
    if (cli->json)
        return command_tree_json();
    for (size_t i = 0; i < o->words.len; i++) {
        struct suggestion s = {.typed = o->words.at[i]};
        const struct command *found = NULL;
        for (size_t k = 0; path[depth - 1]->subcommands != NULL && path[depth - 1]->subcommands[k] != NULL;
             k++) {
            suggest_name(&s, path[depth - 1]->subcommands[k]->name);
            if (strcmp(path[depth - 1]->subcommands[k]->name, o->words.at[i]) == 0)
                found = path[depth - 1]->subcommands[k];
        }
        if (found == NULL && s.best != NULL)
            return cli_usage(cli, "there is no command '%s'; did you mean %s?", o->words.at[i], s.best);
        if (found == NULL)
            return cli_usage(cli, "there is no command '%s'", o->words.at[i]);
        path[depth++] = found;
    }
    command_help(path, depth);
    return CLI_OK;
}

static const struct option_row help_rows[] = {
    {NULL, "COMMAND", "the command, and its subcommand; none: the program",
     OPTION_TO(struct help_options, words), .max = 3},
    {0},
};
static const struct option_part help_parts[] = {{NULL, help_rows, 0}, {0}};

const struct command command_help_command = {
    .name = "help",
    .summary = "tell about a command",
    .about = "Tells about a command, as COMMAND --help does. With --json: all commands and their options as "
             "one object.",
    .example = "  tpmtls help key create",
    .parts = help_parts,
    .size = sizeof(struct help_options),
    .run = run_help,
};
