/* tests/bogo/policy.c: suites, groups and signature schemes from lists and from the names of policies. */
#include <string.h>

#include "shim.h"

#define LIST(...)                                                                                            \
    {                                                                                                        \
        {__VA_ARGS__}, sizeof((uint16_t[]){__VA_ARGS__}) / sizeof(uint16_t)                                  \
    }

static bool unavailable(tt_rc rc, const char *what)
{
    if (rc != TT_OK)
        shim_say("the %s asked for are not available here", what);
    return rc != TT_OK;
}

/* A list may name what this engine or libcrypto does not have; the test then is not for us. */
static int set_groups(struct tt_config *cfg, const struct shim_options *o)
{
    if (o->curves.n > 0 && unavailable(tt_config_set_groups(cfg, o->curves.items, o->curves.n), "groups"))
        return SHIM_EXIT_UNIMPLEMENTED;
    /* The application knows from elsewhere what the server takes: a share of its own most wanted of those. */
    for (size_t i = 0; i < o->curves.n; i++)
        for (size_t j = 0; j < o->server_groups.n; j++)
            if (o->curves.items[i] == o->server_groups.items[j])
                return tt_config_set_key_shares(cfg, &o->curves.items[i], 1) == TT_OK ? 0 : SHIM_EXIT_FAILED;
    if (o->no_key_shares && tt_config_set_key_shares(cfg, NULL, 0) != TT_OK)
        return SHIM_EXIT_FAILED;
    if (o->key_shares.n > 0 &&
        unavailable(tt_config_set_key_shares(cfg, o->key_shares.items, o->key_shares.n), "key shares"))
        return SHIM_EXIT_UNIMPLEMENTED;
    return 0;
}

/* Schemes of TLS 1.2 (PKCS #1, SHA-1) in the list are left out: the engine never offers them for
 * CertificateVerify. */
static int set_verify_schemes(struct tt_config *cfg, const struct shim_options *o)
{
    static const struct shim_list runners_default =
        LIST(TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA256,
             TT_SCHEME_ECDSA_SECP384R1_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA512);
    const struct shim_list *list = o->verify_prefs.n > 0 ? &o->verify_prefs : &runners_default;
    uint16_t kept[SHIM_MAX_LIST];
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        uint16_t scheme = list->items[i];
        if (tt_config_set_verify_schemes(cfg, &scheme, 1) == TT_OK)
            kept[n++] = scheme;
    }
    /* Nothing left: the runner then sees that none of its list is taken, whatever we offer. */
    bool missing =
        n > 0 ? unavailable(tt_config_set_verify_schemes(cfg, kept, n), "schemes") : !shim_only_old(list);
    return missing ? SHIM_EXIT_UNIMPLEMENTED : 0;
}

struct policy {
    struct shim_list suites, groups, schemes;
};

static const struct policy policy_fips_202205 = {
    LIST(TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384),
    LIST(TT_GROUP_SECP256R1, TT_GROUP_SECP384R1),
    LIST(TT_SCHEME_RSA_PSS_RSAE_SHA256, TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA512,
         TT_SCHEME_ECDSA_SECP256R1_SHA256, TT_SCHEME_ECDSA_SECP384R1_SHA384)};
static const struct policy policy_wpa_202304 = {
    LIST(TT_SUITE_AES_256_GCM_SHA384), LIST(TT_GROUP_SECP384R1),
    LIST(TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_RSA_PSS_RSAE_SHA512, TT_SCHEME_ECDSA_SECP384R1_SHA384)};
/* With ML-KEM first; without it where libcrypto has none. */
static const struct policy policy_cnsa1_202603 = {
    LIST(TT_SUITE_AES_256_GCM_SHA384), LIST(TT_GROUP_MLKEM1024, TT_GROUP_SECP384R1),
    LIST(TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_ECDSA_SECP384R1_SHA384)};
static const struct policy policy_cnsa1_without_mlkem = {
    LIST(TT_SUITE_AES_256_GCM_SHA384), LIST(TT_GROUP_SECP384R1),
    LIST(TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_ECDSA_SECP384R1_SHA384)};
static const struct policy policy_cnsa2_202603 = {
    LIST(TT_SUITE_AES_256_GCM_SHA384), LIST(TT_GROUP_MLKEM1024),
    LIST(TT_SCHEME_RSA_PSS_RSAE_SHA384, TT_SCHEME_ECDSA_SECP384R1_SHA384)};

static bool has_mlkem(void)
{
    static const uint16_t group = TT_GROUP_MLKEM1024;
    struct tt_config *probe = NULL;
    bool there =
        tt_config_new(&probe, TT_CLIENT, NULL) == TT_OK && tt_config_set_groups(probe, &group, 1) == TT_OK;
    tt_config_free(probe);
    return there;
}

static const struct policy *policy_of(const struct shim_options *o)
{
    return o->fips_202205    ? &policy_fips_202205
           : o->wpa_202304   ? &policy_wpa_202304
           : o->cnsa1_202603 ? (has_mlkem() ? &policy_cnsa1_202603 : &policy_cnsa1_without_mlkem)
           : o->cnsa2_202603 ? &policy_cnsa2_202603
                             : NULL;
}

static int set_policy(struct tt_config *cfg, const struct policy *p)
{
    bool missing = unavailable(tt_config_set_suites(cfg, p->suites.items, p->suites.n), "suites") ||
                   unavailable(tt_config_set_groups(cfg, p->groups.items, p->groups.n), "groups") ||
                   unavailable(tt_config_set_verify_schemes(cfg, p->schemes.items, p->schemes.n), "schemes");
    return missing ? SHIM_EXIT_UNIMPLEMENTED : 0;
}

bool shim_policy_allows(const struct shim_options *o, uint16_t scheme)
{
    const struct policy *p = policy_of(o);
    for (size_t i = 0; p != NULL && i < p->schemes.n; i++)
        if (p->schemes.items[i] == scheme)
            return true;
    return p == NULL;
}

/* The policy of 2024 is an order of suites, and nothing else. */
static int set_suites(struct tt_config *cfg, const struct shim_options *o)
{
    static const struct shim_list order =
        LIST(TT_SUITE_AES_256_GCM_SHA384, TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_CHACHA20_POLY1305_SHA256);
    if (o->cnsa_202407 && tt_config_set_suites(cfg, order.items, order.n) != TT_OK)
        return SHIM_EXIT_FAILED;
    return o->cipher == NULL ? 0 : SHIM_EXIT_UNIMPLEMENTED;
}

int shim_set_lists(struct tt_config *cfg, const struct shim_options *o)
{
    if (policy_of(o) != NULL)
        return set_policy(cfg, policy_of(o));
    int code = set_suites(cfg, o);
    if (code == 0)
        code = set_groups(cfg, o);
    return code != 0 ? code : set_verify_schemes(cfg, o);
}
