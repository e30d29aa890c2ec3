/* crypto/refusal.h: libcrypto refuses something of the peer's: is that the peer's fault, or was libcrypto out
 * of memory? Layer: crypto; included by this layer only.
 *
 * Only the one call that looks at what came from the peer can be the peer's fault; what prepares it fails for
 * want of memory, and is answered with TT_ERR_MEMORY where it is. And libcrypto does not always say that
 * memory was what it lacked: where it is known not to, a refusal counts when the same is refused a second
 * time. */
#ifndef CRYPTO_REFUSAL_H
#define CRYPTO_REFUSAL_H

#include "base/rc.h"

/* refusal_forget: before such a check: empty libcrypto's error queue of what was left in it. */
void refusal_forget(void);
/* refusal_end: after one that failed: rc, or TT_ERR_MEMORY when the queue says so. Empties it. */
TT_MUST_USE tt_rc refusal_end(tt_rc rc);

#endif
