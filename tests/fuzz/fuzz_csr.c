/* tests/fuzz/fuzz_csr.c: a request from anybody, read and judged by the built-in profiles. What is granted
 * has names and a subject that can be shown, and a key that has an encoding; what is refused has a word and a
 * sentence. */
#include "fuzz.h"

#include <string.h>

#include "ca/judge.h"
#include "pki/text.h"

static struct ca *authority(void)
{
    static struct ca ca;
    if (ca.cert == NULL) {
        ca.cert = X509_new();
        FUZZ_CHECK(ca.cert != NULL &&
                   profiles_read(&ca.profiles, profiles_builtin, "built-in", "", NULL) == TT_OK);
    }
    return &ca;
}

static void printable(const char *text)
{
    FUZZ_CHECK(text != NULL && text_is_printable((struct tt_bytes){(const uint8_t *)text, strlen(text)}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const profiles[] = {"client", "server", "both", "sub-ca"};
    struct ca *ca = authority();
    for (size_t i = 0; i < TT_COUNT(profiles); i++) {
        struct judged j = {0};
        struct ca_answer a = {0};
        struct tt_error err = {0};
        const struct ca_order order = {.csr = {data, size}, .profile = profiles[i]};
        FUZZ_CHECK(judge(&j, &a, ca, &order, &(struct known){0}, &err) == TT_OK);
        FUZZ_CHECK((a.why == CA_REFUSED_NOT) == (a.reason.text[0] == '\0'));
        FUZZ_CHECK(a.why == CA_REFUSED_NOT || ca_refusal_word(a.why)[0] != '\0');
        if (a.why == CA_REFUSED_NOT) {
            printable(j.subject);
            printable(j.sans);
            FUZZ_CHECK(j.spki_len > 0 && (j.subject[0] != '\0' || j.names_len > 0));
        }
        judged_free(&j);
        FUZZ_CHECK(ERR_peek_error() == 0);
        ERR_clear_error();
    }
    return 0;
}
