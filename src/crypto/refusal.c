/* crypto/refusal.c: see refusal.h. Layer: crypto. */
#include "crypto/refusal.h"

#include <openssl/err.h>

void refusal_forget(void)
{
    if (ERR_peek_error() != 0) /* much cheaper than to clear what is empty */
        ERR_clear_error();
}

tt_rc refusal_end(tt_rc rc)
{
    for (unsigned long e; (e = ERR_get_error()) != 0;)
        if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
            rc = TT_ERR_MEMORY;
    return rc;
}
