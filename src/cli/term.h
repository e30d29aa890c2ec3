/* cli/term.h: what is done on a terminal only: colour, and a line that says what takes so long. Layer: cli.
 *
 * Invariants
 *  - Where the stream is no terminal, NO_COLOR is set, or TERM is "dumb", a colour is nothing at all.
 *  - The line is on stderr, and gone when the work is done; in a pipe there never was one. */
#ifndef CLI_TERM_H
#define CLI_TERM_H

#include <stdbool.h>
#include <stdio.h>

enum term_color {
    TERM_PLAIN,
    TERM_GOOD, /* green */
    TERM_BAD,  /* red, bold */
    TERM_WARN, /* yellow */
    TERM_HEAD, /* bold */
    TERM_DIM
};

/* term_on, term_off: what begins and ends a colour on standard output, or "". */
const char *term_on(enum term_color color);
const char *term_off(void);
/* term_print: text in a colour, then spaces up to `width` columns. */
void term_print(enum term_color color, int width, const char *text);

/* term_busy: from one second after now on there is a line "tpmtls: WHAT: 3 s", until term_done. `what` must
 * live as long. quiet: with --json, say. At most one at a time. */
void term_busy(const char *what, bool quiet);
void term_done(void);

#endif
