/* tests/fuzz/fuzz_peer_names.c: the names of a certificate, and the access rules over them. Input: a
 * certificate. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "pki/peer_names.h"
#include "proxy/rule.h"

static const struct {
    enum rule_kind kind;
    const char *value;
} given[] = {{RULE_CN, "device-1"},
             {RULE_OU, "ops"},
             {RULE_DNS, "*.example.org"},
             {RULE_URI, "spiffe://example.org/web/*"}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = malloc(size); /* a block of its size, for ASan */
    FUZZ_CHECK(exact != NULL || size == 0);
    if (size > 0)
        memcpy(exact, data, size);
    const struct rule_peer peer = {.certificate = {exact, size}};
    struct peer_names *names = NULL;
    struct rules rules = {0};
    char subject[RULE_SUBJECT_MAX];
    for (size_t i = 0; i < TT_COUNT(given); i++)
        FUZZ_CHECK(rules_add(&rules, given[i].kind, given[i].value, NULL) == TT_OK);
    bool is_read = peer_names_read(&names, peer.certificate, NULL) == TT_OK;
    for (size_t i = 0; is_read && i < names->len; i++)
        FUZZ_CHECK(names->at[i].value[names->at[i].len] == 0);
    FUZZ_CHECK(is_read || !rules_allow(&rules, &peer, NULL));
    (void)rules_allow(&rules, &peer, NULL);
    rule_subject(subject, &peer);
    FUZZ_CHECK(strpbrk(subject, "\n\r\x1b") == NULL);
    rules_free(&rules);
    peer_names_free(names);
    free(exact);
    return 0;
}
