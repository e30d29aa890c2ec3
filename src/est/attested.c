/* est/attested.c: see attested.h. Layer: est. The attestation key and the endorsement key stay in the TPM
 * from the certification to the answer, which saves deriving them twice. */
#include "est/attested.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "wire/der.h"

static const uint8_t nonce_oid[] = {0x69, 0x81, 0xd8, 0x9a, 0xa7, 0x82, 0xcb, 0xd0, 0xda, 0xb1, 0xaf,
                                    0x9a, 0x9f, 0xcb, 0xed, 0xd7, 0xf4, 0xb1, 0x83, 0x35, 0x02};
const struct tt_bytes EST_OID_ATTEST_NONCE = {nonce_oid, sizeof nonce_oid};

/* ---- what is asked for ---- */

tt_rc est_attest_wish_put(struct buf *to, const struct est_attest_wish *wish)
{
    struct writer w = writer_to(to);
    struct der_mark m = der_open(&w, DER_SEQUENCE);
    der_put(&w, DER_OCTET_STRING, (struct tt_bytes){wish->nonce, sizeof wish->nonce});
    if (wish->pcrs[0] != '\0')
        der_put(&w, DER_UTF8_STRING, (struct tt_bytes){(const uint8_t *)wish->pcrs, strlen(wish->pcrs)});
    der_close(&w, m);
    return wr_status(&w);
}

bool est_attest_wish_get(struct est_attest_wish *ret, const struct est_csrattrs *attrs)
{
    struct est_attest_wish wish = {.pcrs = ""};
    const struct est_attr *a = est_csrattrs_find(attrs, EST_OID_ATTEST_NONCE);
    if (a == NULL || !a->attribute)
        return false;
    struct reader outer = reader_of(a->values), r = der_enter(&outer, DER_SEQUENCE);
    struct tt_bytes nonce = der_get(&r, DER_OCTET_STRING), pcrs = {NULL, 0};
    if (rd_left(&r) > 0)
        pcrs = der_get(&r, DER_UTF8_STRING);
    if (rd_done(&r) != TT_OK || rd_done(&outer) != TT_OK || nonce.len != sizeof wish.nonce ||
        pcrs.len >= sizeof wish.pcrs || (pcrs.len > 0 && memchr(pcrs.data, '\0', pcrs.len) != NULL))
        return false;
    memcpy(wish.nonce, nonce.data, nonce.len);
    if (pcrs.len > 0)
        memcpy(wish.pcrs, pcrs.data, pcrs.len);
    *ret = wish;
    return true;
}

/* ---- the client ---- */

/* struct attesting: one proof on its way; evidence has views into the attester. */
struct attesting {
    const struct est_attested *what;
    struct est_attest_wish wish;
    struct tt_attester *attester;
    struct tt_evidence evidence;
    uint8_t *der;
    size_t len;
    struct tt_bytes challenge;
};

static tt_rc write_again(struct attesting *a, struct tt_error *err)
{
    mem_free(TT_TAKE(a->der));
    return tt_evidence_write(&a->der, &a->len, &a->evidence, err);
}

/* Where the TPM may be used. */
static tt_rc certify(void *arg, struct tt_error *err)
{
    struct attesting *a = arg;
    const struct tt_attest_request req = {.use = TT_ATTEST_ENROL,
                                          .nonce = {a->wish.nonce, sizeof a->wish.nonce},
                                          .pcrs = a->wish.pcrs[0] != '\0' ? a->wish.pcrs : NULL};
    TT_TRY(tt_attester_open(&a->attester, a->what->tpm, a->what->params, err));
    TT_TRY(tt_attester_attest(&a->evidence, a->attester, a->what->key, &req, err));
    return write_again(a, err);
}

static tt_rc answer(void *arg, struct tt_error *err)
{
    struct attesting *a = arg;
    TT_TRY(tt_attester_answer(&a->evidence, a->attester, a->challenge, err));
    return write_again(a, err);
}

static tt_rc close_attester(void *arg, struct tt_error *err)
{
    struct attesting *a = arg;
    (void)err;
    tt_attester_free(TT_TAKE(a->attester));
    return TT_OK;
}

static tt_rc challenge_ask(struct attesting *a, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf body = {0};
    TT_AUTO(buf_free) struct buf answered = {0};
    TT_AUTO(buf_free) struct buf der = {0};
    TT_TRY(est_body_write(&body, (struct tt_bytes){a->der, a->len}));
    TT_TRY(est_client_ask(&answered, a->what->client, EST_ATTEST_OPERATION, EST_TYPE_EVIDENCE,
                          buf_bytes(&body), err));
    TT_TRY(est_body_read(&der, buf_bytes(&answered), err));
    a->challenge = buf_bytes(&der);
    return est_client_work(a->what->client, answer, a, err);
}

static tt_rc attribute_append(struct buf *ret, const struct attesting *a, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) uint8_t *attribute = NULL;
    size_t len = 0;
    TT_TRY(tt_evidence_attribute(&attribute, &len, (struct tt_bytes){a->der, a->len}, err));
    return buf_append(ret, attribute, len) == TT_OK ? TT_OK : error_set(err, TT_ERR_MEMORY, "out of memory");
}

tt_rc est_attest(struct buf *ret, const struct est_attested *what, struct tt_error *err)
{
    struct attesting a = {.what = what};
    if (!est_attest_wish_get(&a.wish, what->attrs)) {
        (void)error_set(err, TT_ERR_UNSUPPORTED,
                        "the server does not ask for evidence that the key is in a TPM");
        error_hint(err, "enrol with a token; or have its operator set attest-policy (docs/attestation.md)");
        return TT_ERR_UNSUPPORTED;
    }
    tt_rc rc = est_client_work(what->client, certify, &a, err);
    if (rc == TT_OK)
        rc = challenge_ask(&a, err);
    if (a.attester != NULL && est_client_work(what->client, close_attester, &a, NULL) != TT_OK)
        tt_attester_free(a.attester);
    if (rc == TT_OK)
        rc = attribute_append(ret, &a, err);
    mem_free(a.der);
    return rc;
}
