/* cli/password_source.c: where the bytes of a password come from: a file, a descriptor, the terminal. Layer:
 * cli. A password is the first line, without its end, and bytes with a length: nothing in it ends it but the
 * line. What cannot be told apart is refused, not cut: an empty line, one that is too long, bytes that are no
 * text and hold a line's end. */
#include "cli/password_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"
#include "base/utf8.h"

#define PASSWORD_MAX 1024 /* what libcrypto takes of a software key's; a TPM takes fewer */

static void fd_close_auto(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

void cli_password_free(struct cli_password *p)
{
    mem_free((void *)(uintptr_t)p->bytes.data);
    *p = (struct cli_password){.given = false};
}

/* Set while the terminal is asked: it must be given back as it was. */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

/* One byte; at a terminal (`meanwhile` is not NULL) a signal that this mask lets in ends the waiting. Signals
 * come at no other time, so that none is overlooked. */
static ssize_t read_byte(int fd, uint8_t *ret, const sigset_t *meanwhile)
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

/* struct line: what was read, wiped when it ends. */
struct line {
    uint8_t bytes[PASSWORD_MAX + 1];
    size_t len;
    bool ended; /* by a line's end, not by the end of the file */
};

static void line_wipe(struct line *l)
{
    mem_wipe(l, sizeof *l);
}

static tt_rc line_read(struct line *l, int fd, const char *where, const sigset_t *meanwhile,
                       struct tt_error *err)
{
    while (l->len < sizeof l->bytes) {
        uint8_t *at = &l->bytes[l->len];
        ssize_t got = read_byte(fd, at, meanwhile);
        if (got < 0)
            return error_set(err, TT_ERR_IO, "cannot read the password from %s: %s", where, strerror(errno));
        l->ended = got > 0 && *at == '\n';
        if (got == 0 || l->ended)
            break;
        l->len++;
    }
    if (l->len > PASSWORD_MAX)
        return error_set(err, TT_ERR_USAGE, "the password in %s is longer than %d bytes", where,
                         PASSWORD_MAX);
    return TT_OK;
}

static bool is_text(struct tt_bytes b)
{
    while (b.len > 0) {
        uint32_t c = 0;
        size_t n = utf8_next(&c, b);
        if (n == 0 || c == 0x7f || (c < 0x20 && c != '\t' && c != '\r' && c != '\n'))
            return false;
        b = (struct tt_bytes){b.data + n, b.len - n};
    }
    return true;
}

/* Of a regular file: is what follows the line text, too, or so long that the file is more than a password?
 * From a pipe nothing more is taken. */
static bool rest_is_text(int fd)
{
    struct stat st;
    uint8_t rest[PASSWORD_MAX];
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return true;
    ssize_t n = read(fd, rest, sizeof rest);
    bool text = n <= 0 || n == (ssize_t)sizeof rest || is_text((struct tt_bytes){rest, (size_t)n});
    mem_wipe(rest, sizeof rest);
    return text;
}

static tt_rc line_check(const struct line *l, int fd, const char *where, struct tt_error *err)
{
    if (l->len == 0) {
        (void)error_set(err, TT_ERR_USAGE, "the password in %s is empty: its first line has nothing", where);
        error_hint(err, "--auth-empty says that a key of the TPM has none");
        return TT_ERR_USAGE;
    }
    if (!l->ended || (is_text((struct tt_bytes){l->bytes, l->len}) && rest_is_text(fd)))
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE,
                    "the password in %s is not text and has a line's end in it, where it would be cut",
                    where);
    error_hint(err, "write it as hexadecimal or base64 text, or take bytes without 0x0a");
    return TT_ERR_USAGE;
}

static tt_rc first_line(struct cli_password *ret, int fd, const char *where, const sigset_t *meanwhile,
                        struct tt_error *err)
{
    TT_AUTO(line_wipe) struct line l = {.len = 0};
    TT_TRY(line_read(&l, fd, where, meanwhile, err));
    if (l.ended && l.len > 0 && l.bytes[l.len - 1] == '\r')
        l.len--; /* a file from Windows */
    TT_TRY(line_check(&l, fd, where, err));
    uint8_t *copy = mem_dup(l.bytes, l.len);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the password");
    *ret = (struct cli_password){true, {copy, l.len}};
    return TT_OK;
}

tt_rc password_from_file(struct cli_password *ret, const char *source, struct tt_error *err)
{
    if (strncmp(source, "fd:", 3) == 0) {
        char *end;
        long fd = strtol(source + 3, &end, 10);
        if (end == source + 3 || *end != '\0' || fd < 0 || fd > 1 << 20)
            return error_set(err, TT_ERR_USAGE, "'%s' is not a descriptor, such as fd:3", source);
        (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC); /* no child of ours reads it again */
        return first_line(ret, (int)fd, source, NULL, err);
    }
    TT_AUTO(fd_close_auto) int fd = open(source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open the password file %s: %s", source, strerror(errno));
    return first_line(ret, fd, source, NULL, err);
}

/* ---- the terminal ---- */

/* The signals that end or stop a program: each first gives the echo back. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

struct watch {
    struct sigaction theirs[TT_COUNT(signals)];
    sigset_t others; /* the mask before */
};

static void watch_begin(struct watch *w)
{
    const struct sigaction ours = {.sa_handler = on_interrupt};
    sigset_t blocked;
    (void)sigemptyset(&blocked);
    for (size_t i = 0; i < TT_COUNT(signals); i++)
        (void)sigaddset(&blocked, signals[i]);
    (void)sigprocmask(SIG_BLOCK, &blocked, &w->others);
    interrupted = 0;
    for (size_t i = 0; i < TT_COUNT(signals); i++) {
        (void)sigaction(signals[i], &ours, &w->theirs[i]);
        if (w->theirs[i].sa_handler == SIG_IGN) /* nohup */
            (void)sigaction(signals[i], &w->theirs[i], NULL);
    }
}

static void watch_end(const struct watch *w)
{
    for (size_t i = 0; i < TT_COUNT(signals); i++)
        (void)sigaction(signals[i], &w->theirs[i], NULL);
    (void)sigprocmask(SIG_SETMASK, &w->others, NULL);
}

/* One question without echo. A signal takes effect when the terminal is as it was. */
static tt_rc ask_once(struct cli_password *ret, int tty, const char *what, const struct termios *before,
                      struct tt_error *err)
{
    struct termios silent = *before;
    struct watch watch;
    watch_begin(&watch);
    silent.c_lflag &= (tcflag_t) ~(unsigned)ECHO;
    (void)tcsetattr(tty, TCSAFLUSH, &silent);
    dprintf(tty, "password of %s: ", what);
    tt_rc rc = first_line(ret, tty, "the terminal", &watch.others, err);
    (void)tcsetattr(tty, TCSAFLUSH, before);
    dprintf(tty, "\n");
    int signal = interrupted;
    watch_end(&watch);
    if (signal != 0)
        (void)raise(signal);
    return rc;
}

tt_rc password_from_terminal(struct cli_password *ret, const struct password_question *q,
                             struct tt_error *err)
{
    TT_AUTO(fd_close_auto) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    struct termios before;
    if (tty < 0 || tcgetattr(tty, &before) != 0) {
        (void)error_set(err, TT_ERR_IO, "%s %s, and there is no terminal to ask for its password", q->what,
                        q->state);
        error_hint(err, "%s", q->hint);
        return TT_ERR_IO;
    }
    tt_rc rc;
    do { /* after Ctrl-Z and `fg` it is asked again */
        if (err != NULL)
            *err = (struct tt_error){0};
        rc = ask_once(ret, tty, q->what, &before, err);
    } while (rc == TT_ERR_IO && interrupted == SIGTSTP);
    return rc;
}

bool cli_has_terminal(void)
{
    TT_AUTO(fd_close_auto) int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    return tty >= 0;
}
