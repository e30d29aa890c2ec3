/* attest/text.c: evidence and challenges as files have them. Layer: attest. RFC 7468. */
#include <string.h>

#include "attest/evidence.h"
#include "wire/pem.h"

static const char *label_of(enum tt_attest_form form)
{
    return form == TT_ATTEST_CHALLENGE    ? "ATTESTATION CHALLENGE"
           : form == TT_ATTEST_PUBLIC_KEY ? "PUBLIC KEY"
                                          : "ATTESTATION EVIDENCE";
}

tt_rc tt_attest_to_pem(char **ret, enum tt_attest_form form, struct tt_bytes der, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    char *copy =
        pem_write(&pem, label_of(form), der) == TT_OK ? mem_dup(buf_front(&pem), buf_size(&pem)) : NULL;
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    return TT_OK;
}

static tt_rc take(uint8_t **ret, size_t *ret_len, struct tt_bytes der, struct tt_error *err)
{
    uint8_t *copy = mem_dup(der.data, der.len);
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = copy;
    *ret_len = der.len;
    return TT_OK;
}

tt_rc tt_attest_from_text(uint8_t **ret, size_t *ret_len, enum tt_attest_form form, struct tt_bytes text,
                          struct tt_error *err)
{
    TT_AUTO(pem_block_free) struct pem_block b = {0};
    struct tt_evidence e;
    tt_rc rc = pem_find(&b, text, label_of(form));
    if (rc == TT_OK)
        return take(ret, ret_len, (struct tt_bytes){b.der, b.len}, err);
    bool der = text.len > 0 && text.data[0] == 0x30;
    if (rc == TT_ERR_NOT_FOUND && form == TT_ATTEST_EVIDENCE &&
        (!der || tt_evidence_read(&e, text, NULL) != TT_OK) &&
        (der || memmem(text.data, text.len, "CERTIFICATE REQUEST", 19) != NULL))
        return tt_csr_evidence(ret, ret_len, text, err);
    if (rc == TT_ERR_NOT_FOUND && der)
        return take(ret, ret_len, text, err);
    (void)error_set(err, TT_ERR_DECODE, "there is no %s in it",
                    form == TT_ATTEST_CHALLENGE ? "challenge" : "attestation evidence");
    error_hint(err, "it is PEM with the label %s%s", label_of(form),
               form == TT_ATTEST_CHALLENGE ? "" : ", or a certificate request that brings evidence");
    return TT_ERR_DECODE;
}
