/* cli/password.c: the password of an encrypted software key. Layer: cli. From a file or descriptor that was
 * named, else from the terminal; never from argv or the environment, never from stdin (which may be the
 * connection). */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"

#define PASSWORD_MAX 1024

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* The first line, without its end. */
static tt_rc read_line(char **ret, int fd, const char *where, struct tt_error *err)
{
    char line[PASSWORD_MAX];
    size_t n = 0;
    while (n < sizeof line - 1) {
        ssize_t got = read(fd, line + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, TT_ERR_IO, "cannot read the password from %s: %s", where, strerror(errno));
        if (got == 0 || line[n] == '\n')
            break;
        n++;
    }
    char *copy = mem_dup(line, n);
    mem_wipe(line, sizeof line);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the password");
    *ret = copy;
    return TT_OK;
}

static tt_rc from_file(char **ret, const char *source, struct tt_error *err)
{
    if (strncmp(source, "fd:", 3) == 0) {
        char *end;
        long fd = strtol(source + 3, &end, 10);
        if (end == source + 3 || *end != '\0' || fd < 0 || fd > 1 << 20)
            return error_set(err, TT_ERR_USAGE, "'%s' is not a descriptor, such as fd:3", source);
        return read_line(ret, (int)fd, source, err);
    }
    TT_AUTO(fd_close_auto) int fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open the password file %s: %s", source, strerror(errno));
    return read_line(ret, fd, source, err);
}

static tt_rc from_terminal(char **ret, const char *what, struct tt_error *err)
{
    TT_AUTO(fd_close_auto) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios before, silent;
    if (tty < 0 || tcgetattr(tty, &before) != 0) {
        (void)error_set(err, TT_ERR_AUTH, "%s is encrypted, and there is no terminal to ask for its password",
                        what);
        error_hint(err,
                   "tpmtls --key-password-file FILE COMMAND reads it from a file (fd:N: from a descriptor)");
        return TT_ERR_AUTH;
    }
    dprintf(tty, "password of %s: ", what);
    silent = before;
    silent.c_lflag &= (tcflag_t) ~(unsigned)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &silent);
    tt_rc rc = read_line(ret, tty, "the terminal", err);
    (void)tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    return rc;
}

tt_rc cli_read_password(char **ret, const struct cli *cli, const char *what, struct tt_error *err)
{
    return cli->key_password_file != NULL ? from_file(ret, cli->key_password_file, err)
                                          : from_terminal(ret, what, err);
}
