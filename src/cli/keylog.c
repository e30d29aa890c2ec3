/* cli/keylog.c: see keylog.h. Layer: cli. The format is that of SSLKEYLOGFILE: one line a secret. */
#include "cli/keylog.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/rc.h"

tt_rc keylog_open(struct keylog *ret, const char *path, struct tt_error *err)
{
    const char *why = "--insecure-keylog";
    ret->fd = -1;
    if (path == NULL) {
        path = getenv("SSLKEYLOGFILE");
        why = "SSLKEYLOGFILE";
    }
    if (path == NULL || path[0] == '\0')
        return TT_OK;
    ret->fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (ret->fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open the key log %s (%s)", path, why);
    cli_note("insecure: %s: the secrets of all connections go to %s; whoever reads it reads everything", why,
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
