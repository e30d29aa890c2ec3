/* cli/keylog.h: --insecure-keylog: the secrets of connections, for debuggers. Layer: cli. The environment
 * alone (SSLKEYLOGFILE) does not make us write them. */
#ifndef CLI_KEYLOG_H
#define CLI_KEYLOG_H

#include "cli/cli.h"

/* struct keylog: an open file; fd is -1 when nothing is logged. */
struct keylog {
    int fd;
};
/* keylog_open: path, or NULL for nothing. Says so on stderr: a person must know that the secrets leave the
 * process. Refuses a file that others can read. */
TT_MUST_USE tt_rc keylog_open(struct keylog *ret, const char *path, struct tt_error *err);
/* keylog_line: a tt_keylog_fn with a struct keylog. */
void keylog_line(void *arg, const char *line);
void keylog_close(struct keylog *k);

#endif
