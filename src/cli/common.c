/* cli/common.c: messages, exit codes and options, the same in every command. Layer: cli.
 *
 * The voice: lower case, one line "tpmtls: ...", then "tpmtls: hint: ..." with what to do. All on stderr. */
#include "cli/cli.h"

#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"

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
    case TT_ERR_AUTH: /* a password or policy of the TPM's */
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

/* One write: lines of several threads or processes do not mix. A name is not cut, however long it is. */
static void say(const char *prefix, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    size_t start = strlen(prefix), len = n > 0 ? (size_t)n : 0;
    TT_AUTO(mem_free_auto) char *line = mem_alloc(start + len + 2);
    if (line == NULL)
        return;
    memcpy(line, prefix, start);
    (void)vsnprintf(line + start, len + 1, fmt, args);
    line[start + len] = '\n';
    (void)fwrite(line, 1, start + len + 1, stderr);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("tpmtls: ", fmt, args);
    va_end(args);
    cli_hint("`%s` tells more", cli->help);
    return CLI_USAGE;
}

void cli_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("tpmtls: ", fmt, args);
    va_end(args);
}

void cli_hint(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say("tpmtls: hint: ", fmt, args);
    va_end(args);
}
