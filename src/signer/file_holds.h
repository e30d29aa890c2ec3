/* signer/file_holds.h: what a file holds, and whether something else may be written over it: asked by every
 * writer of this program, in one place. Layer: signer.
 *
 * A private key, a PSK, a ticket key, something sealed cannot be made again: whatever holds one is never
 * written over, whoever made it and whatever was said. A certificate or a request can be made again, and
 * gives way to another of its kind; all else only to --force. */
#ifndef SIGNER_FILE_HOLDS_H
#define SIGNER_FILE_HOLDS_H

#include "base/rc.h"

enum file_holds {
    HOLDS_NOTHING, /* no file, or an empty one */
    HOLDS_OTHER,
    HOLDS_SECRET, /* a private key and the like */
    HOLDS_CERTIFICATE,
    HOLDS_REQUEST,
    HOLDS_CRL,
    HOLDS_PUBLIC_KEY,
    HOLDS_FIGURES, /* of `tpmtls bench` */
    HOLDS_PICTURE, /* drawn by gnuplot, or of a handshake */
    HOLDS_KEYLOG   /* secrets of connections, one a line */
};

enum file_over {
    FILE_NEW,     /* over nothing: what is there already is TT_ERR_EXISTS */
    FILE_REPLACE, /* over what is of the same kind; over a key only when it is the same key */
    FILE_FORCE,   /* over all but another key */
    FILE_OURS     /* the caller has read it as its own and writes it again: ticket keys, sessions */
};

/* file_content: what bytes hold. With ret_words, in words: "a certificate"; NULL for what is not known. */
enum file_holds file_content(struct tt_bytes content, const char **ret_words);

/* file_may_write: may `text` take the place of what is at path? TT_ERR_EXISTS with the reason; TT_ERR_IO
 * where it cannot be looked at. What is no regular file (a terminal, a fifo) holds nothing. For what must be
 * known before the work is done; file_write asks again. ret_old (NULL: not wanted) is what gives way, in
 * words, or NULL. */
TT_MUST_USE tt_rc file_may_write(const char **ret_old, const char *path, struct tt_bytes text,
                                 enum file_over over, struct tt_error *err);
/* file_may_hold: the same where only the kind of the text is known yet. */
TT_MUST_USE tt_rc file_may_hold(const char *path, enum file_holds what, enum file_over over,
                                struct tt_error *err);

#endif
