/* cli/enroll_ask.c: a request on its way to a server: what was sent before and serves again, the evidence,
 * and what is kept of both. Layer: cli. For `tpmtls enroll` and `tpmtls renew`; est/request.c makes the
 * request. */
#include "cli/enroll.h"

#include "base/mem.h"
#include "est/attested.h"

static void waits(void *arg, unsigned seconds, const char *text)
{
    (void)arg;
    cli_note("the server has the request and wants to be asked again in %u s%s%s", seconds,
             text[0] != '\0' ? ": " : "", text);
}

static void keep(void *arg, const char *pem)
{
    const struct enroll_asking *a = arg;
    (void)!enrolled_request_write(a->e, a->dir, pem, NULL); /* it serves a second try alone */
}

static struct est_request request_of(const struct enroll_asking *a, const char *former,
                                     const struct buf *evidence)
{
    return (struct est_request){.client = a->client,
                                .key = a->key->key,
                                .wants = a->wants,
                                .asked = a->asked,
                                .like = a->like,
                                .attribute = buf_bytes(evidence),
                                .former = former,
                                .keep = keep,
                                .wait_s = a->wait_s,
                                .waits = waits,
                                .arg = (void *)(uintptr_t)a};
}

/* One that was not answered comes first; a renewal may repeat what was answered. */
static char *former_of(const struct enroll_asking *a)
{
    char *former = enrolled_request_read(a->e, a->dir, ENROLLED_SENT);
    return former == NULL && a->asked == NULL ? enrolled_request_read(a->e, a->dir, ENROLLED_ANSWERED)
                                              : former;
}

/* ---- evidence ---- */

static tt_rc evidence_make(struct buf *ret, const struct enroll_asking *a, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    if (a->key->tpm == NULL) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "%s is a software key: no TPM can attest it", a->e->key);
        error_hint(
            err, "leave --attest out, or name a file that is not there yet: the key is then made in the TPM");
        return TT_ERR_UNSUPPORTED;
    }
    if (a->e->ek_cert != NULL)
        TT_TRY(cli_read_file(&pem, &len, a->e->ek_cert, err));
    const struct tt_attester_params params = {.ek_certificates = {(const uint8_t *)pem, len}};
    const struct est_attested what = {
        .client = a->client, .attrs = a->attrs, .tpm = a->key->tpm, .key = a->key->key, .params = &params};
    return est_attest(ret, &what, err);
}

/* A request that waits for a person was judged when it came, and is sent again with its evidence. */
static bool evidence_former(struct buf *ret, const struct enroll_asking *a, const char *former)
{
    if (est_request_evidence(ret, former)) {
        const struct est_request r = request_of(a, former, ret);
        if (est_request_repeats(&r))
            return true;
    }
    buf_free(ret);
    return false;
}

static tt_rc ask_attested(struct tt_cert_list **ret, const struct enroll_asking *a, const char *former,
                          unsigned *ret_retry_s, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf evidence = {0};
    if (evidence_former(&evidence, a, former)) {
        struct tt_error why = {0};
        const struct est_request again = request_of(a, former, &evidence);
        tt_rc rc = est_request_send(ret, &again, ret_retry_s, &why);
        if (rc != TT_ERR_PEER_ALERT) {
            if (rc != TT_OK)
                *err = why;
            return rc;
        }
        buf_free(&evidence); /* the server has forgotten it */
    }
    TT_TRY(evidence_make(&evidence, a, err));
    const struct est_request first = request_of(a, NULL, &evidence);
    return est_request_send(ret, &first, ret_retry_s, err);
}

/* ---- the request ---- */

tt_rc enroll_ask(struct tt_cert_list **ret, const struct enroll_asking *a, unsigned *ret_retry_s,
                 struct tt_error *err)
{
    static const struct buf none;
    TT_AUTO(mem_free_auto) char *former = former_of(a);
    if (a->attest)
        return ask_attested(ret, a, former, ret_retry_s, err);
    const struct est_request plain = request_of(a, former, &none);
    return est_request_send(ret, &plain, ret_retry_s, err);
}
