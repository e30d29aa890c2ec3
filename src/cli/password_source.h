/* cli/password_source.h: passwords from a file, a descriptor, the terminal. Layer: cli. For password.c, which
 * knows the options. */
#ifndef CLI_PASSWORD_SOURCE_H
#define CLI_PASSWORD_SOURCE_H

#include "cli/cli.h"

/* password_from_file: the first line of a file, or of "fd:N". */
TT_MUST_USE tt_rc password_from_file(struct cli_password *ret, const char *source, struct tt_error *err);

/* struct password_question: whose password, and what is said where nobody can be asked. */
struct password_question {
    const char *what, *state, *hint;
};
TT_MUST_USE tt_rc password_from_terminal(struct cli_password *ret, const struct password_question *q,
                                         struct tt_error *err);

#endif
