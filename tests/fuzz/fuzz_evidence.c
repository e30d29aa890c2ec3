/* tests/fuzz/fuzz_evidence.c: evidence in a certificate request, evidence alone, and challenges: what is read
 * is written again and read as the same; what is printed of it ends. The first byte says which. */
#include "fuzz.h"

#include <string.h>

#include "base/rc.h"
#include "tpmtls/attest.h"
#include "wire/attest_form.h"

static void line(void *arg, const char *section, const char *name, const char *text)
{
    size_t *all = arg;
    *all += strlen(section) + strlen(name) + strlen(text);
}

static bool same(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static void evidence(struct tt_bytes in)
{
    struct tt_evidence e, again;
    uint8_t *der = NULL;
    size_t len = 0, printed = 0;
    if (tt_evidence_read(&e, in, NULL) != TT_OK)
        return;
    tt_evidence_each(&e, line, &printed);
    FUZZ_CHECK(printed > 0);
    if (tt_evidence_write(&der, &len, &e, NULL) != TT_OK)
        return;
    FUZZ_CHECK(tt_evidence_read(&again, (struct tt_bytes){der, len}, NULL) == TT_OK);
    FUZZ_CHECK(e.use == again.use && same(e.nonce, again.nonce) && same(e.certify, again.certify) &&
               same(e.key_public, again.key_public) && same(e.ak_public, again.ak_public) &&
               same(e.ek_public, again.ek_public) && same(e.quote, again.quote) &&
               same(e.token, again.token) && same(e.secret, again.secret) && e.certs_len == again.certs_len);
    tt_free(der);
}

static void request(struct tt_bytes in)
{
    uint8_t *found = NULL, *spki = NULL;
    size_t len = 0, spki_len = 0;
    if (tt_csr_evidence(&found, &len, in, NULL) == TT_OK)
        evidence((struct tt_bytes){found, len});
    if (tt_spki_of(&spki, &spki_len, in, NULL) == TT_OK)
        FUZZ_CHECK(spki_len > 0);
    tt_free(found);
    tt_free(spki);
}

static void challenge(struct tt_bytes in)
{
    struct form_challenge c, again;
    struct buf der = {0};
    if (form_challenge_get(&c, in) != TT_OK)
        return;
    FUZZ_CHECK(form_challenge_put(&der, &c) == TT_OK && form_challenge_get(&again, buf_bytes(&der)) == TT_OK);
    FUZZ_CHECK(same(c.credential, again.credential) && same(c.secret, again.secret) &&
               same(c.token, again.token));
    buf_free(&der);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct tt_bytes in) = {evidence, request, challenge};
    if (size < 1)
        return 0;
    targets[data[0] % TT_COUNT(targets)]((struct tt_bytes){data + 1, size - 1});
    return 0;
}
