/* cli/keylog.c: see keylog.h. Layer: cli. The format is that of SSLKEYLOGFILE: one line a secret. */
#include "cli/keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/rc.h"

/* A file that is there already keeps its owner and mode. A pipe, or a terminal, is what its owner wants. */
static tt_rc check_private(int fd, const char *path, struct tt_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return error_set(err, TT_ERR_IO, "cannot look at the key log %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode) || (st.st_uid == geteuid() && (st.st_mode & 077) == 0))
        return TT_OK;
    (void)error_set(err, TT_ERR_IO, "the key log %s is there already, and others can read it", path);
    error_hint(err, "remove it, or: chmod 600 %s", path);
    return TT_ERR_IO;
}

tt_rc keylog_open(struct keylog *ret, const char *path, struct tt_error *err)
{
    const char *environment = getenv("SSLKEYLOGFILE");
    ret->fd = -1;
    if (path == NULL && environment != NULL && environment[0] != '\0')
        cli_note("SSLKEYLOGFILE is ignored here: --insecure-keylog FILE writes the secrets of connections");
    if (path == NULL)
        return TT_OK;
    struct tt_error why = {0};
    if (file_may_hold(path, HOLDS_KEYLOG, FILE_REPLACE, &why) != TT_OK) {
        error_hint(err, "choose another name: a key log goes behind another one, or into a new file");
        return error_set(err, why.rc, "--insecure-keylog: %s", why.text);
    }
    ret->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (ret->fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open the key log %s: %s", path, strerror(errno));
    TT_TRY(check_private(ret->fd, path, err));
    cli_note("insecure: --insecure-keylog: the secrets of all connections go to %s; whoever reads it reads "
             "everything",
             path);
    return TT_OK;
}

/* One call, so that the lines of several processes stay whole. What cannot be written is not worth a
 * connection. */
void keylog_line(void *arg, const char *line)
{
    const struct keylog *k = arg;
    char newline = '\n';
    const struct iovec parts[] = {{(void *)(uintptr_t)line, strlen(line)}, {&newline, 1}};
    if (k->fd >= 0 && writev(k->fd, parts, 2) < 0)
        return;
}

void keylog_close(struct keylog *k)
{
    if (k->fd >= 0)
        (void)close(k->fd);
    k->fd = -1;
}
