/* cli/common.c: messages, exit codes and options, the same in every command. Layer: cli.
 *
 * The voice: lower case, one line "tpmtls: ...", then "tpmtls: hint: ..." with what to do. All on stderr. */
#include "cli/cli.h"

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

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    char line[LINE_MAX_LENGTH];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    print_line("tpmtls: ", line);
    cli_hint("`%s` tells more", cli->help);
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
