/* tpm/nv.h: what lies in a TPM's NV memory for everybody to read: certificates, templates. Layer: tpm; for
 * the files of src/tpm only. */
#ifndef TPM_NV_H
#define TPM_NV_H

#include "base/buf.h"
#include "tpm/context.h"

/* nv_read: append the whole content of an ordinary index. TT_ERR_NOT_FOUND: there is none; TT_ERR_AUTH: it
 * may not be read with what we have (the empty password is not tried where a wrong one would count);
 * TT_ERR_UNSUPPORTED: no ordinary index, never written, or longer than max. */
TT_MUST_USE tt_rc nv_read(struct buf *ret, struct tt_tpm *tpm, uint32_t index, size_t max,
                          struct tt_error *err);

/* nv_indexes: those between first and last, ascending; at most max. */
TT_MUST_USE tt_rc nv_indexes(uint32_t *ret, size_t *ret_len, size_t max, struct tt_tpm *tpm, uint32_t first,
                             uint32_t last, struct tt_error *err);

#endif
