/* cli/common.c: messages, exit codes and options, the same in every command. Layer: cli.
 *
 * The voice: lower case, one line "tpmtls: ...", then "tpmtls: hint: ..." with what to do. All on stderr. */
#include "cli/cli.h"

#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "cli/event.h"

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
    case TT_ERR_ECH_REJECTED:
        return CLI_REFUSED;
    default:
        return CLI_FAILURE;
    }
}

/* ---- what is said ---- */

static bool say_json;

void cli_say_json(bool on)
{
    say_json = on;
}

/* struct said: the kinds of lines. */
struct said {
    const char *prefix, *event;
};
static const struct said note = {"tpmtls: ", "note"}, hint = {"tpmtls: hint: ", "hint"},
                         failure = {"tpmtls: ", "error"};

/* One write: lines of several threads or processes do not mix. A name is not cut, however long it is. more is
 * another line that belongs to it; NULL: none. */
static void say_line(const struct said *as, const char *text, const char *more)
{
    if (say_json)
        cli_event(json_pack("{s:s, s:o, s:o*}", "event", as->event, "text", cli_json_text(text), "hint",
                            more != NULL ? cli_json_text(more) : NULL));
    else if (more != NULL)
        fprintf(stderr, "%s%s\n%s%s\n", as->prefix, text, hint.prefix, more);
    else
        fprintf(stderr, "%s%s\n", as->prefix, text);
}

static void say(const struct said *as, const char *more, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    size_t len = n > 0 ? (size_t)n : 0;
    char *text = mem_alloc(len + 1);
    if (text == NULL)
        return;
    (void)vsnprintf(text, len + 1, fmt, args);
    say_line(as, text, more);
    mem_free(text);
}

int cli_fail(const struct tt_error *err)
{
    say_line(&failure, err->text[0] != '\0' ? err->text : tt_rc_name(err->rc),
             err->hint[0] != '\0' ? err->hint : NULL);
    return err->rc == TT_OK ? CLI_FAILURE : exit_code(err->rc);
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    char more[sizeof cli->help + 20];
    va_list args;
    (void)snprintf(more, sizeof more, "`%s` tells more", cli->help);
    va_start(args, fmt);
    say(&failure, more, fmt, args);
    va_end(args);
    return CLI_USAGE;
}

void cli_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(&note, NULL, fmt, args);
    va_end(args);
}

void cli_hint(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(&hint, NULL, fmt, args);
    va_end(args);
}

void cli_wrote(const char *path, const char *what)
{
    if (path != NULL && strcmp(path, "-") != 0)
        cli_note("wrote %s: %s", path, what);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool cli_from_hex(char *text, size_t *len)
{
    size_t from = 0, to = 0, end = *len;
    while (end > 0 && strchr(" \t\r\n", text[end - 1]) != NULL)
        end--;
    while (from < end && strchr(" \t\r\n", text[from]) != NULL)
        from++;
    if ((end - from) % 2 != 0)
        return false;
    for (; from < end; from += 2) {
        int high = hex_digit(text[from]), low = hex_digit(text[from + 1]);
        if (high < 0 || low < 0)
            return false;
        text[to++] = (char)(high << 4 | low);
    }
    *len = to;
    return true;
}
