/* cli/command.h: a command as data: its name, its words, its option table, and what runs it. Layer: cli. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "cli/cli.h"
#include "cli/options.h"

struct command {
    const char *name;
    const char *summary; /* one line, for lists */
    const char
        *about; /* paragraphs, separated by empty lines; lines that begin with a space stay as they are */
    const char *example;             /* lines of shell, for --help and the manual page */
    const struct option_part *parts; /* its option table; NULL: it has no options */
    size_t size;                     /* of the struct that the table fills, which begins as zeros */
    int (*run)(const struct cli *cli, void *options);
    const struct command *const *subcommands; /* ended by NULL; then it has neither table nor run */
    bool hidden;                              /* from lists */
};

/* The tree of commands; its root is the program. */
extern const struct command cli_program;
/* The global options, which fill a struct cli and stand anywhere. */
extern const struct option_part cli_global_options[];

/* struct command_line: what was typed. */
struct command_line {
    struct cli cli;
    const struct command *path[4]; /* the program, its command, its subcommand */
    size_t depth;
    void *options; /* of the last of them; free with mem_free */
};
/* command_line_parse: TT_ERR_USAGE with a hint. */
TT_MUST_USE tt_rc command_line_parse(struct command_line *ret, int argc, char **argv, struct tt_error *err);
/* command_name: "tpmtls key create". */
void command_name(char *ret, size_t cap, const struct command *const *path, size_t depth);

/* command_complete: print what the last of the words may become, one line each: the word, a tab, what it is;
 * or ":files", ":dirs" with the beginning of the path behind a tab. */
void command_complete(const struct option_list *words);

/* command_help: --help, wrapped to the terminal's width. */
void command_help(const struct command *const *path, size_t depth);
/* command_tree_json: all commands and options as one JSON object on stdout: what scripts/gen-man reads. */
int command_tree_json(void);

extern const struct command command_attest, command_bench, command_ca, command_completion, command_connect,
    command_csr, command_doctor, command_enroll, command_renew, command_help_command, command_identity,
    command_key, command_policy, command_proxy, command_psk, command_serve, command_session,
    command_ticket_key, command_ech_key, command_version;

#endif
