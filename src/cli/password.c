/* cli/password.c: passwords: of encrypted software keys, and of keys in the TPM. Layer: cli. From a file or
 * descriptor that was named, else from the terminal; never from argv or the environment, never from stdin
 * (which may be the connection). */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/options.h"

#define PASSWORD_MAX 1024

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

/* Set while the terminal is asked: it must be given back as it was. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

/* One byte; at a terminal (`meanwhile` is not NULL) a signal that this mask lets in ends the waiting. Signals
 * come at no other time, so that none is overlooked. */
static ssize_t read_byte(int fd, char *ret, const sigset_t *meanwhile)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    for (;;) {
        if (meanwhile != NULL && ppoll(&one, 1, NULL, meanwhile) < 0 && (errno != EINTR || interrupted))
            return -1;
        if (meanwhile != NULL && one.revents == 0)
            continue;
        ssize_t got = read(fd, ret, 1);
        if (got >= 0 || errno != EINTR)
            return got;
    }
}

/* The first line, without its end. */
static tt_rc read_line(char **ret, int fd, const char *where, const sigset_t *meanwhile, struct tt_error *err)
{
    char line[PASSWORD_MAX];
    size_t n = 0;
    while (n < sizeof line - 1) {
        ssize_t got = read_byte(fd, line + n, meanwhile);
        if (got < 0) {
            mem_wipe(line, sizeof line);
            return error_set(err, TT_ERR_IO, "cannot read the password from %s: %s", where, strerror(errno));
        }
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
        (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC); /* no child of ours reads it again */
        return read_line(ret, (int)fd, source, NULL, err);
    }
    TT_AUTO(fd_close_auto) int fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open the password file %s: %s", source, strerror(errno));
    return read_line(ret, fd, source, NULL, err);
}

/* struct question: whose password, and what is said where nobody can be asked. */
struct question {
    const char *what, *state, *hint;
};

static tt_rc from_terminal(char **ret, const struct question *q, struct tt_error *err)
{
    TT_AUTO(fd_close_auto) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios before, silent;
    if (tty < 0 || tcgetattr(tty, &before) != 0) {
        (void)error_set(err, TT_ERR_AUTH, "%s %s, and there is no terminal to ask for its password", q->what,
                        q->state);
        error_hint(err, "%s", q->hint);
        return TT_ERR_AUTH;
    }
    struct sigaction ours = {.sa_handler = on_interrupt}, theirs;
    sigset_t interrupt, others;
    (void)sigemptyset(&interrupt);
    (void)sigaddset(&interrupt, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &interrupt, &others);
    interrupted = 0;
    (void)sigaction(SIGINT, &ours, &theirs);
    silent = before;
    silent.c_lflag &= (tcflag_t) ~(unsigned)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &silent);
    dprintf(tty, "password of %s: ", q->what);
    tt_rc rc = read_line(ret, tty, "the terminal", &others, err);
    (void)tcsetattr(tty, TCSAFLUSH, &before);
    dprintf(tty, "\n");
    (void)sigaction(SIGINT, &theirs, NULL);
    (void)sigprocmask(SIG_SETMASK, &others, NULL);
    if (interrupted)
        (void)raise(SIGINT);
    return rc;
}

bool cli_has_terminal(void)
{
    TT_AUTO(fd_close_auto) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    return tty >= 0;
}

tt_rc cli_read_password(char **ret, const struct cli *cli, const char *what, struct tt_error *err)
{
    const struct question q = {what, "is encrypted",
                               "--key-password-file FILE reads it from a file (fd:N: from a descriptor)"};
    return cli->key_password_file != NULL ? from_file(ret, cli->key_password_file, err)
                                          : from_terminal(ret, &q, err);
}

/* ---- keys in the TPM ---- */

static tt_rc from_credential(char **ret, const char *name, struct tt_error *err)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    if (dir == NULL || dir[0] == '\0') {
        (void)error_set(err, TT_ERR_USAGE,
                        "there are no credentials here ($CREDENTIALS_DIRECTORY is not set)");
        error_hint(err, "systemd hands them to a service: LoadCredentialEncrypted=%s", name);
        return TT_ERR_USAGE;
    }
    if (strchr(name, '/') != NULL || (size_t)snprintf(path, sizeof path, "%s/%s", dir, name) >= sizeof path)
        return error_set(err, TT_ERR_USAGE, "'%s' is not the name of a credential", name);
    return from_file(ret, path, err);
}

static tt_rc from_descriptor(char **ret, const char *number, struct tt_error *err)
{
    char source[32];
    (void)snprintf(source, sizeof source, "fd:%.20s", number);
    return from_file(ret, source, err);
}

static tt_rc ask(char **ret, const struct cli_auth_want *want, struct tt_error *err)
{
    char again[256];
    TT_AUTO(mem_free_auto) char *first = NULL;
    TT_AUTO(mem_free_auto) char *second = NULL;
    static const char hint[] = "give it with --auth-file FILE, --auth-fd N or --auth-credential NAME";
    const struct question q = {want->what, "needs a password", hint}, q2 = {again, "needs a password", hint};
    TT_TRY(from_terminal(&first, &q, err));
    (void)snprintf(again, sizeof again, "%s, again", want->what);
    if (want->is_new) {
        TT_TRY(from_terminal(&second, &q2, err));
        if (first == NULL || second == NULL || strcmp(first, second) != 0)
            return error_set(err, TT_ERR_AUTH, "the two passwords are not the same");
    }
    *ret = TT_TAKE(first);
    return TT_OK;
}

tt_rc cli_auth_password(char **ret, const struct cli *cli, const struct cli_auth_want *want,
                        struct tt_error *err)
{
    switch (cli->auth.kind) {
    case CLI_AUTH_FILE:
        return from_file(ret, cli->auth.value, err);
    case CLI_AUTH_FD:
        return from_descriptor(ret, cli->auth.value, err);
    case CLI_AUTH_CREDENTIAL:
        return from_credential(ret, cli->auth.value, err);
    case CLI_AUTH_ASK:
        return ask(ret, want, err);
    case CLI_AUTH_EMPTY:
        *ret = mem_strdup("");
        return *ret != NULL ? TT_OK : error_set(err, TT_ERR_MEMORY, "no memory for the password");
    default:
        *ret = NULL;
        return want->ask ? ask(ret, want, err) : TT_OK;
    }
}

tt_rc cli_take_auth(const struct option_row *row, void *at, const char *value, struct tt_error *err)
{
    (void)err;
    *(struct cli_auth *)at = (struct cli_auth){(enum cli_auth_kind)row->min, value};
    return TT_OK;
}
