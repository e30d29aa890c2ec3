/* tpm/embedded.h: the embedded TPM: a swtpm of our own that all processes of one user share. Layer: tpm.
 *
 * The first process to open DIR locks DIR/lock and forks a keeper, which owns the swtpm and serves DIR/s, a
 * unix socket. Every process, the first one included, talks to the keeper. The keeper gives each connection
 * its own objects and sessions (like /dev/tpmrm0), and ends with the last one. */
#ifndef TPM_EMBEDDED_H
#define TPM_EMBEDDED_H

#include "tpm/context.h"

/* embedded_open: dir is the state directory, made when it is not there; "" is the default one. */
TT_MUST_USE tt_rc embedded_open(struct tt_tpm **ret, const char *dir, struct tt_error *err);

#endif
