/* signer/nv.c: certificates that lie in the TPM's NV memory beside the key (IDevID of IEEE 802.1AR, chips
 * that come with identities), as PEM. Layer: signer. TCG, TPM 2.0 Keys for Device Identity and Attestation,
 * section 7.3; what is in an index is hostile. */
#include <string.h>

#include "tpm/key.h"
#include "wire/der_chain.h"
#include "wire/pem.h"

#define MAX_BYTES 16384
#define MAX_CERTS 16

/* DER, one behind the other; vendors pad. */
static tt_rc pem_from_der(struct buf *to, struct tt_bytes data)
{
    struct tt_bytes one;
    for (size_t n = 0; der_chain_next(&one, &data); n++) {
        if (n == MAX_CERTS)
            return TT_ERR_DECODE;
        TT_TRY(pem_write(to, "CERTIFICATE", one));
    }
    return data.len == 0 && buf_size(to) > 0 ? TT_OK : TT_ERR_DECODE;
}

static bool is_pem(struct tt_bytes data)
{
    static const char begin[] = "-----BEGIN ";
    return data.data != NULL && memmem(data.data, data.len, begin, sizeof begin - 1) != NULL;
}

tt_rc tt_nv_certificates(char **ret_pem, struct tt_tpm *tpm, uint32_t index, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf data = {0};
    TT_AUTO(buf_free) struct buf pem = {0};
    if (index >> 24 != 0x01) {
        (void)error_set(err, TT_ERR_USAGE, "0x%08x is not an NV index", index);
        error_hint(err, "certificates lie in NV indexes, 0x01000000 to 0x01ffffff; keys at 0x81...");
        return TT_ERR_USAGE;
    }
    TT_TRY(tpm_nv_read(&data, tpm, index, MAX_BYTES, err));
    tt_rc rc = is_pem(buf_bytes(&data)) ? buf_append(&pem, buf_front(&data), buf_size(&data))
                                        : pem_from_der(&pem, buf_bytes(&data));
    if (rc == TT_ERR_DECODE) {
        (void)error_set(err, TT_ERR_DECODE, "NV index 0x%08x does not hold certificates", index);
        error_hint(err, "it must hold them as DER, one behind the other, the leaf first, or as PEM");
        return TT_ERR_DECODE;
    }
    if (rc != TT_OK || (*ret_pem = mem_dup(buf_front(&pem), buf_size(&pem))) == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    return TT_OK;
}
