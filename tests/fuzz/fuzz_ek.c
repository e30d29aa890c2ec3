/* tests/fuzz/fuzz_ek.c: pki/ek_chain.h: what may come in place of an endorsement certificate: never good
 * without its issuer, and its texts end. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "pki/ek_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ek_roots *roots;
    struct ek_facts f;
    enum ek_refusal refusal = EK_GOOD;
    struct tt_error err = {0};
    const struct tt_bytes der = {data, size};
    if (roots == NULL && ek_roots_new(&roots, NULL, &err) != TT_OK)
        abort();
    if (size == 0)
        return 0;
    memset(&f, 0, sizeof f);
    tt_rc rc = ek_chain_judge(&f, &refusal, roots, &(struct ek_chain){&der, 1, 1780272000}, &err);
    FUZZ_CHECK(rc == TT_ERR_VERIFY && refusal != EK_GOOD && err.text[0] != '\0');
    FUZZ_CHECK(memchr(f.manufacturer, 0, sizeof f.manufacturer) != NULL &&
               memchr(f.issuer, 0, sizeof f.issuer) != NULL && memchr(f.serial, 0, sizeof f.serial) != NULL &&
               memchr(f.version, 0, sizeof f.version) != NULL);
    FUZZ_CHECK(f.spki.len == 0 || (f.spki.data >= data && f.spki.data + f.spki.len <= data + size));
    return 0;
}
