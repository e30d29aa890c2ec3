/* cli/common.c: messages, exit codes and options, the same in every command. Layer: cli.
 *
 * The voice: lower case, one line "tpmtls: ...", then "tpmtls: hint: ..." with what to do. All on stderr. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <string.h>

#define LINE_MAX_LENGTH 1024

static int exit_code(tt_rc rc)
{
    switch (rc) {
    case TT_OK:
        return CLI_OK;
    case TT_ERR_USAGE:
        return CLI_USAGE;
    case TT_ERR_VERIFY:
        return CLI_NOT_TRUSTED;
    case TT_ERR_TPM:
        return CLI_TPM;
    case TT_ERR_PEER_ALERT:
        return CLI_REFUSED;
    default:
        return CLI_FAILURE;
    }
}

int cli_fail(const struct tt_error *err)
{
    fprintf(stderr, "tpmtls: %s\n", err->text[0] != '\0' ? err->text : tt_rc_name(err->rc));
    if (err->hint[0] != '\0')
        fprintf(stderr, "tpmtls: hint: %s\n", err->hint);
    return err->rc == TT_OK ? CLI_FAILURE : exit_code(err->rc);
}

/* One call of fprintf, one write: lines of several threads or processes do not mix. */
static void print_line(const char *prefix, const char *line)
{
    fprintf(stderr, "%s%s\n", prefix, line);
}

int cli_usage(const char *usage, const char *fmt, ...)
{
    char line[LINE_MAX_LENGTH];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    print_line("tpmtls: ", line);
    if (usage != NULL)
        fputs(usage, stderr);
    return CLI_USAGE;
}

void cli_note(const char *fmt, ...)
{
    char line[LINE_MAX_LENGTH];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    print_line("tpmtls: ", line);
}

void cli_hint(const char *fmt, ...)
{
    char line[LINE_MAX_LENGTH];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    print_line("tpmtls: hint: ", line);
}

int cli_getopt(int argc, char **argv, const char *short_options, const struct option *long_options)
{
    char spec[64];
    (void)snprintf(spec, sizeof spec, ":%s", short_options);
    opterr = 0;
    return getopt_long(argc, argv, spec, long_options, NULL);
}

/* The options that belong in front of the command are often typed behind it. */
static bool is_global_option(const char *word)
{
    static const char *const names[] = {"--tpm",     "--json",    "-v",
                                        "--verbose", "--version", "--key-password-file"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strcspn(word, "=");
        if (strlen(names[i]) == n && strncmp(word, names[i], n) == 0)
            return true;
    }
    return false;
}

int cli_bad_option(const char *usage, char **argv, int c)
{
    const char *word = argv[optind > 0 ? optind - 1 : 0];
    const char letter[3] = {'-', (char)optopt, '\0'};
    if (strncmp(word, "--", 2) != 0)
        word = letter;
    if (c == ':')
        return cli_usage(usage, "the option %s needs an argument", word);
    if (optopt >= CLI_OPT)
        return cli_usage(usage, "the option %s takes no argument", word);
    if (usage != NULL && is_global_option(word))
        return cli_usage(usage, "the option %s goes before the command: tpmtls %s COMMAND", word, word);
    return cli_usage(usage, "there is no option %s", word);
}
