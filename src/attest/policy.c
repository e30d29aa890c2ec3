/* attest/policy.c: what is demanded of evidence, read from texts. Layer: attest. */
#include "attest/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tt_attest_policy_free(struct tt_attest_policy *p)
{
    if (p == NULL)
        return;
    ek_roots_free(p->roots);
    crypto_lib_free(p->lib);
    mem_free(p);
}
TT_DEFINE_AUTO(struct tt_attest_policy, tt_attest_policy_free)

const char *tt_attest_policy_pcrs(const struct tt_attest_policy *p)
{
    return p->pcrs[0] != '\0' ? p->pcrs : NULL;
}

static bool hex_digit(unsigned *ret, char c)
{
    *ret = (unsigned)(c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : 16);
    return *ret < 16;
}

static bool hex_take(uint8_t *ret, size_t len, const char *text)
{
    for (size_t i = 0; i < len; i++) {
        unsigned high, low;
        if (!hex_digit(&high, text[2 * i]) || !hex_digit(&low, text[2 * i + 1]))
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}

/* The decimal number at *at, of 16 bits; *at goes behind it. */
static bool version_part(unsigned long *ret, const char **at)
{
    size_t n = strspn(*at, "0123456789");
    *ret = strtoul(*at, NULL, 10);
    *at += n;
    return n > 0 && n <= 5 && *ret <= 0xffff;
}

/* "IFX:7.85", or 16 digits. */
static bool firmware_take(struct firmware_rule *ret, const char *text)
{
    uint8_t exactly[8];
    struct firmware_rule rule = {.version = 0};
    if (hex_take(exactly, sizeof exactly, text)) {
        for (size_t i = 0; i < sizeof exactly; i++)
            rule.version = rule.version << 8 | exactly[i];
        *ret = rule;
        return true;
    }
    size_t n = strcspn(text, ": ");
    const char *at = text + n;
    unsigned long major, minor;
    if (n == 0 || n >= sizeof rule.manufacturer || *at++ != ':' || !version_part(&major, &at) ||
        *at++ != '.' || !version_part(&minor, &at) || *at != '\0')
        return false;
    memcpy(rule.manufacturer, text, n);
    rule.version = (uint64_t)major << 48 | (uint64_t)minor << 32;
    *ret = rule;
    return true;
}

static tt_rc refuse(const char *what, const char *text, const char *form, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_USAGE, "'%s' is no %s of an attestation policy", text, what);
    error_hint(err, "%s", form);
    return TT_ERR_USAGE;
}

static bool kind_take(unsigned *eks, const char *text)
{
    for (size_t i = 0; i < AT_KINDS; i++)
        if (strcmp(at_kinds[i], text) == 0) {
            *eks |= 1U << i;
            return true;
        }
    return false;
}

static tt_rc lists_take(struct tt_attest_policy *p, const struct tt_attest_policy_params *params,
                        struct tt_error *err)
{
    if (params->manufacturers_len > POLICY_LIST_MAX || params->firmware_len > POLICY_LIST_MAX ||
        params->pcr_digests_len > POLICY_LIST_MAX)
        return error_set(err, TT_ERR_USAGE, "an attestation policy has at most %d entries in a list",
                         POLICY_LIST_MAX);
    for (size_t i = 0; i < params->eks_len; i++)
        if (!kind_take(&p->eks, params->eks[i]))
            return refuse("kind of endorsement keys", params->eks[i],
                          "p256, p384, p521, rsa2048, rsa3072 or rsa4096", err);
    for (; p->manufacturers_len < params->manufacturers_len; p->manufacturers_len++) {
        const char *text = params->manufacturers[p->manufacturers_len];
        char *to = p->manufacturers[p->manufacturers_len];
        if (text[0] == '\0' ||
            (size_t)snprintf(to, sizeof p->manufacturers[0], "%s", text) >= sizeof p->manufacturers[0])
            return refuse("manufacturer", text,
                          "its registered letters, such as IFX, INTC, STM; or id:00001014", err);
    }
    for (; p->firmware_len < params->firmware_len; p->firmware_len++)
        if (!firmware_take(&p->firmware[p->firmware_len], params->firmware[p->firmware_len]))
            return refuse(
                "firmware", params->firmware[p->firmware_len],
                "at least a version of a manufacturer, IFX:7.85, or exactly one, 16 hexadecimal digits", err);
    for (; p->digests_len < params->pcr_digests_len; p->digests_len++)
        if (!hex_take(p->digests[p->digests_len], 32, params->pcr_digests[p->digests_len]))
            return refuse("digest of PCRs", params->pcr_digests[p->digests_len],
                          "64 hexadecimal digits; `tpmtls attest show` prints that of a quote", err);
    return TT_OK;
}

static tt_rc pcrs_take(struct tt_attest_policy *p, const struct tt_attest_policy_params *params,
                       struct tt_error *err)
{
    if (params->pcrs == NULL && params->pcr_digests_len > 0)
        return error_set(err, TT_ERR_USAGE,
                         "the attestation policy has digests of PCRs, and does not say of which PCRs");
    if (params->pcrs == NULL)
        return TT_OK;
    if ((size_t)snprintf(p->pcrs, sizeof p->pcrs, "%s", params->pcrs) >= sizeof p->pcrs ||
        at_selection_parse(&p->selection, p->pcrs) != TT_OK)
        return refuse("PCRs", params->pcrs, "a bank and numbers from 0 to 23, such as sha256:0,2,7", err);
    return TT_OK;
}

tt_rc tt_attest_policy_new(struct tt_attest_policy **ret, const struct tt_attest_policy_params *params,
                           struct tt_error *err)
{
    TT_AUTO(tt_attest_policy_free_auto) struct tt_attest_policy *p = mem_alloc(sizeof *p);
    if (p == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    TT_TRY(crypto_lib_new(&p->lib, err));
    TT_TRY(ek_roots_new(&p->roots, params->roots, err));
    TT_TRY(lists_take(p, params, err));
    TT_TRY(pcrs_take(p, params, err));
    *ret = TT_TAKE(p);
    return TT_OK;
}
