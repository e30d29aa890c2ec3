/* est/basic.h: HTTP Basic (RFC 7617): a user's name and a password out of a header. Layer: est. The password
 * lies in the caller's buffer alone, who wipes it; the header itself is evhttp's. */
#ifndef EST_BASIC_H
#define EST_BASIC_H

#include "base/rc.h"

#define EST_USER_MAX     64
#define EST_PASSWORD_MAX 128

struct est_basic {
    char user[EST_USER_MAX + 1];
    char password[EST_PASSWORD_MAX + 1];
};

/* est_basic_read: false, and nothing in ret, for another scheme, what is no base64, has no colon, or is too
 * long, empty or not printable. */
TT_MUST_USE bool est_basic_read(struct est_basic *ret, const char *header);
void est_basic_wipe(struct est_basic *b);

#endif
