/* tests/bogo/flags.c: the runner's flags, as a table. A flag that is not in it ends the program with 89:
 * "unimplemented". Prefixes (-on-initial, -on-resume, -on-retry) apply a flag to one connection. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim.h"

enum flag_kind {
    FLAG_BOOL,
    FLAG_INT,
    FLAG_LIST,
    FLAG_STRING,
    FLAG_BLOB,
    FLAG_NEW_CREDENTIAL,
    FLAG_NEW_PSK,
    FLAG_NEW_RAW_KEY,
    FLAG_ECH_CONFIG,
    FLAG_ECH_KEY,
    FLAG_ECH_RETRY,
    FLAG_CREDENTIAL_STRING, /* of the credential that was begun last */
    FLAG_CREDENTIAL_LIST,
    FLAG_CREDENTIAL_BLOB,
    FLAG_CREDENTIAL_BOOL,
    FLAG_IGNORED /* another way to the same thing, or about other versions */
};

struct flag {
    const char *name;
    enum flag_kind kind;
    size_t offset;
};

#define AT(field) offsetof(struct shim_options, field)
#define OF(field) offsetof(struct shim_credential, field)

static const struct flag flags[] = {
    {"port", FLAG_INT, AT(port)},
    {"shim-id", FLAG_INT, AT(shim_id)},
    {"ipv6", FLAG_BOOL, AT(ipv6)},
    {"server", FLAG_BOOL, AT(server)},
    {"resume-count", FLAG_INT, AT(resume_count)},
    {"is-handshaker-supported", FLAG_BOOL, AT(is_handshaker_supported)},
    /* credentials */
    {"new-x509-credential", FLAG_NEW_CREDENTIAL, 0},
    {"new-psk-credential", FLAG_NEW_PSK, 0},
    {"new-rpk-credential", FLAG_NEW_RAW_KEY, 0},
    {"psk-importer-key", FLAG_CREDENTIAL_BLOB, OF(psk_key)},
    {"psk-importer-identity", FLAG_CREDENTIAL_BLOB, OF(psk_identity)},
    {"psk-importer-context", FLAG_CREDENTIAL_BLOB, OF(psk_context)},
    {"psk-importer-sha256", FLAG_IGNORED, 0},
    {"psk-importer-sha384", FLAG_CREDENTIAL_BOOL, OF(psk_sha384)},
    {"cert-file", FLAG_CREDENTIAL_STRING, OF(cert_file)},
    {"key-file", FLAG_CREDENTIAL_STRING, OF(key_file)},
    {"signing-prefs", FLAG_CREDENTIAL_LIST, OF(signing_prefs)},
    {"ocsp-response", FLAG_CREDENTIAL_BLOB, OF(ocsp_response)},
    {"signed-cert-timestamps", FLAG_CREDENTIAL_BLOB, OF(signed_cert_timestamps)},
    {"must-match-issuer", FLAG_CREDENTIAL_BOOL, OF(must_match_issuer)},
    {"enable-ocsp-stapling", FLAG_BOOL, AT(enable_ocsp)},
    {"enable-signed-cert-timestamps", FLAG_BOOL, AT(enable_scts)},
    {"use-ocsp-callback", FLAG_BOOL, AT(use_ocsp_callback)},
    {"set-ocsp-in-callback", FLAG_IGNORED, 0},
    {"decline-ocsp-callback", FLAG_BOOL, AT(decline_ocsp_callback)},
    {"fail-ocsp-callback", FLAG_BOOL, AT(fail_ocsp_callback)},
    {"expect-ocsp-response", FLAG_BLOB, AT(expect_ocsp)},
    {"expect-signed-cert-timestamps", FLAG_BLOB, AT(expect_scts)},
    {"trust-cert", FLAG_STRING, AT(trust_cert)},
    {"fail-cert-callback", FLAG_BOOL, AT(fail_cert_callback)},
    {"use-old-client-cert-callback", FLAG_IGNORED, 0},
    {"use-early-callback", FLAG_IGNORED, 0},
    {"install-ddos-callback", FLAG_IGNORED, 0},
    /* what is negotiated */
    {"host-name", FLAG_STRING, AT(host_name)},
    {"curves", FLAG_LIST, AT(curves)},
    {"key-shares", FLAG_LIST, AT(key_shares)},
    {"no-key-shares", FLAG_BOOL, AT(no_key_shares)},
    {"install-cert-compression-algs", FLAG_BOOL, AT(compression)},
    {"install-one-cert-compression-alg", FLAG_INT, AT(one_compression)},
    {"max-send-fragment", FLAG_INT, AT(max_send_fragment)},
    {"expect-peer-verify-pref", FLAG_LIST, AT(expect_verify_prefs)},
    {"expect-client-ca-list", FLAG_STRING, AT(expect_ca_list)},
    {"accepted-peer-cert-types", FLAG_LIST, AT(peer_types)},
    {"available-client-cert-types", FLAG_LIST, AT(own_types)},
    {"verify-prefs", FLAG_LIST, AT(verify_prefs)},
    {"cipher", FLAG_STRING, AT(cipher)},
    {"advertise-alpn", FLAG_STRING, AT(advertise_alpn)},
    {"select-alpn", FLAG_STRING, AT(select_alpn)},
    {"reject-alpn", FLAG_BOOL, AT(reject_alpn)},
    {"decline-alpn", FLAG_BOOL, AT(decline_alpn)},
    {"verify-peer", FLAG_BOOL, AT(verify_peer)},
    {"require-any-client-certificate", FLAG_BOOL, AT(require_client_certificate)},
    {"use-custom-verify-callback", FLAG_BOOL, AT(custom_verify)},
    {"verify-fail", FLAG_BOOL, AT(verify_fail)},
    {"reverify-on-resume", FLAG_BOOL, AT(reverify_on_resume)},
    {"no-ticket", FLAG_BOOL, AT(no_ticket)},
    {"skip-ticket", FLAG_BOOL, AT(skip_ticket)},
    {"ticket-key", FLAG_BLOB, AT(ticket_key)},
    {"renew-ticket", FLAG_IGNORED, 0}, /* every handshake gives new ones */
    {"use-ticket-callback", FLAG_IGNORED, 0},
    {"use-ticket-aead-callback", FLAG_IGNORED, 0},
    {"enable-early-data", FLAG_BOOL, AT(enable_early_data)},
    {"no-tls13", FLAG_BOOL, AT(no_tls13)},
    {"no-tls12", FLAG_BOOL, AT(no_tls12)},
    {"no-tls11", FLAG_BOOL, AT(no_tls11)},
    {"no-tls1", FLAG_BOOL, AT(no_tls1)},
    {"min-version", FLAG_INT, AT(min_version)},
    {"max-version", FLAG_INT, AT(max_version)},
    {"max-cert-list", FLAG_INT, AT(max_cert_list)},
    {"server-preference", FLAG_IGNORED, 0},
    {"renegotiate-freely", FLAG_IGNORED, 0},
    {"advertise-npn", FLAG_STRING, AT(ignored)},
    {"select-next-proto", FLAG_STRING, AT(ignored)},
    {"srtp-profiles", FLAG_STRING, AT(ignored)},
    {"use-client-ca-list", FLAG_STRING, AT(client_ca_list)},
    {"fail-ddos-callback", FLAG_BOOL, AT(fail_ddos)},
    {"fail-early-callback", FLAG_BOOL, AT(fail_early)},
    {"server-supported-groups-hint", FLAG_LIST, AT(server_groups)},
    {"no-legacy-server-connect", FLAG_IGNORED, 0},
    {"fips-202205", FLAG_BOOL, AT(fips_202205)},
    {"wpa-202304", FLAG_BOOL, AT(wpa_202304)},
    {"cnsa-202407", FLAG_BOOL, AT(cnsa_202407)},
    {"cnsa1-202603", FLAG_BOOL, AT(cnsa1_202603)},
    {"cnsa2-202603", FLAG_BOOL, AT(cnsa2_202603)},
    {"enable-grease", FLAG_BOOL, AT(enable_grease)},
    {"permute-extensions", FLAG_BOOL, AT(permute_extensions)},
    {"ech-config-list", FLAG_BLOB, AT(ech_config_list)},
    {"ech-server-config", FLAG_ECH_CONFIG, 0},
    {"ech-server-key", FLAG_ECH_KEY, 0},
    {"ech-is-retry-config", FLAG_ECH_RETRY, 0},
    {"enable-ech-grease", FLAG_BOOL, AT(ech_grease)},
    {"reject-unusable-ech-config", FLAG_BOOL, AT(reject_unusable_ech_config)},
    {"expect-ech-accept", FLAG_BOOL, AT(expect_ech_accept)},
    {"expect-ech-retry-configs", FLAG_BLOB, AT(expect_ech_retry_configs)},
    {"expect-no-ech-retry-configs", FLAG_BOOL, AT(expect_no_ech_retry_configs)},
    {"expect-ech-name-override", FLAG_STRING, AT(ignored)},
    {"expect-no-ech-name-override", FLAG_IGNORED, 0},
    /* what is done */
    {"async", FLAG_BOOL, AT(async)},
    {"implicit-handshake", FLAG_BOOL, AT(implicit_handshake)},
    {"no-op-extra-handshake", FLAG_IGNORED, 0},
    {"allow-hint-mismatch", FLAG_IGNORED, 0},
    {"send-alert", FLAG_BOOL, AT(send_alert)},
    {"export-traffic-secrets", FLAG_BOOL, AT(export_traffic_secrets)},
    {"shim-writes-first", FLAG_BOOL, AT(shim_writes_first)},
    {"shim-initial-write", FLAG_STRING, AT(initial_write)},
    {"repeat-shim-initial-write", FLAG_INT, AT(repeat_initial_write)},
    {"read-with-unfinished-write", FLAG_BOOL, AT(read_with_unfinished_write)},
    {"early-write-after-message", FLAG_INT, AT(early_write_after_message)},
    {"shim-shuts-down", FLAG_BOOL, AT(shim_shuts_down)},
    {"check-close-notify", FLAG_BOOL, AT(check_close_notify)},
    {"peek-then-read", FLAG_BOOL, AT(peek_then_read)},
    {"read-size", FLAG_INT, AT(read_size)},
    {"key-update", FLAG_BOOL, AT(key_update)},
    {"key-update-before-read", FLAG_BOOL, AT(key_update_before_read)},
    {"resumption-delay", FLAG_INT, AT(resumption_delay)},
    {"export-keying-material", FLAG_INT, AT(export_len)},
    {"export-label", FLAG_STRING, AT(export_label)},
    {"export-context", FLAG_STRING, AT(export_context)},
    {"use-export-context", FLAG_IGNORED, 0}, /* in TLS 1.3 no context is an empty one */
    /* what is expected */
    {"expect-version", FLAG_INT, AT(expect_version)},
    {"expect-curve-id", FLAG_INT, AT(expect_curve)},
    {"expect-peer-signature-algorithm", FLAG_INT, AT(expect_peer_scheme)},
    {"expect-cipher", FLAG_INT, AT(expect_cipher)},
    {"expect-cipher-aes", FLAG_INT, AT(expect_cipher_aes)},
    {"expect-cipher-no-aes", FLAG_INT, AT(expect_cipher_no_aes)},
    {"expect-selected-credential", FLAG_INT, AT(expect_selected_credential)},
    {"expect-session-miss", FLAG_BOOL, AT(expect_session_miss)},
    {"expect-no-session", FLAG_BOOL, AT(expect_no_session)},
    {"expect-no-session-id", FLAG_IGNORED, 0}, /* a server's session cache of TLS 1.2 */
    {"expect-ticket-supports-early-data", FLAG_BOOL, AT(expect_ticket_early_data)},
    {"expect-accept-early-data", FLAG_BOOL, AT(expect_accept_early)},
    {"expect-reject-early-data", FLAG_BOOL, AT(expect_reject_early)},
    {"expect-no-offer-early-data", FLAG_BOOL, AT(expect_no_offer_early)},
    {"expect-early-data-reason", FLAG_STRING, AT(expect_early_reason)},
    {"expect-ticket-age-skew", FLAG_INT, AT(expect_skew)},
    {"expect-hrr", FLAG_BOOL, AT(expect_hrr)},
    {"expect-no-hrr", FLAG_BOOL, AT(expect_no_hrr)},
    {"expect-advertised-alpn", FLAG_STRING, AT(expect_advertised_alpn)},
    {"expect-alpn", FLAG_STRING, AT(expect_alpn)},
    {"expect-server-name", FLAG_STRING, AT(expect_server_name)},
    {"expect-no-server-name", FLAG_BOOL, AT(expect_no_server_name)},
    {"expect-peer-cert-file", FLAG_STRING, AT(expect_peer_cert_file)},
    {"expect-peer-certificate-type", FLAG_INT, AT(expect_peer_type)},
    {"expect-peer-rpk-sha256", FLAG_BLOB, AT(expect_raw_key)},
    {"expect-no-peer-cert", FLAG_BOOL, AT(expect_no_peer_cert)},
    {"expect-verify-result", FLAG_IGNORED, 0}, /* a handshake that ended well was verified */
    {"expect-extended-master-secret", FLAG_IGNORED, 0},
    {"expect-secure-renegotiation", FLAG_IGNORED, 0},
};

static bool number(const char *text, int64_t *ret)
{
    char *end = NULL;
    *ret = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == '\0' ? NULL : strchr(digits, c);
    return at == NULL ? -1 : (int)(at - digits);
}

static bool base64(const char *text, struct shim_blob *ret)
{
    unsigned bits = 0, value = 0;
    ret->given = true;
    ret->len = 0;
    for (; *text != '\0' && *text != '='; text++) {
        int digit = base64_digit(*text);
        if (digit < 0 || ret->len == sizeof ret->data)
            return false;
        value = value << 6 | (unsigned)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            ret->data[ret->len++] = (uint8_t)(value >> bits);
        }
    }
    return true;
}

static bool list_append(struct shim_list *list, const char *text)
{
    int64_t v;
    if (list->n == SHIM_MAX_LIST || !number(text, &v) || v < 0 || v > UINT16_MAX)
        return false;
    list->items[list->n++] = (uint16_t)v;
    return true;
}

static bool takes_value(enum flag_kind kind)
{
    return kind != FLAG_BOOL && kind != FLAG_NEW_CREDENTIAL && kind != FLAG_NEW_PSK &&
           kind != FLAG_NEW_RAW_KEY && kind != FLAG_CREDENTIAL_BOOL && kind != FLAG_IGNORED;
}

static bool flag_set(struct shim_options *o, const struct flag *f, const char *value)
{
    void *field = (char *)o + f->offset;
    void *of_credential = (char *)&o->credentials[o->credentials_len] + f->offset;
    switch (f->kind) {
    case FLAG_BOOL:
        *(bool *)field = true;
        return true;
    case FLAG_CREDENTIAL_BOOL:
        *(bool *)of_credential = true;
        return true;
    case FLAG_INT:
        return number(value, field);
    case FLAG_LIST:
        return list_append(field, value);
    case FLAG_CREDENTIAL_LIST:
        return list_append(of_credential, value);
    case FLAG_STRING:
        *(const char **)field = value;
        return true;
    case FLAG_CREDENTIAL_STRING:
        *(const char **)of_credential = value;
        return true;
    case FLAG_ECH_CONFIG:
        return o->ech_configs < SHIM_MAX_ECH_KEYS && base64(value, &o->ech_server_config[o->ech_configs++]);
    case FLAG_ECH_KEY:
        return o->ech_keys < SHIM_MAX_ECH_KEYS && base64(value, &o->ech_server_key[o->ech_keys++]);
    case FLAG_ECH_RETRY:
        return o->ech_retries < SHIM_MAX_ECH_KEYS && number(value, &o->ech_is_retry_config[o->ech_retries++]);
    case FLAG_BLOB:
        return base64(value, field);
    case FLAG_CREDENTIAL_BLOB:
        return base64(value, of_credential);
    case FLAG_NEW_CREDENTIAL:
    case FLAG_NEW_PSK:
    case FLAG_NEW_RAW_KEY:
        if (++o->credentials_len == SHIM_MAX_CREDENTIALS)
            return false;
        o->credentials[o->credentials_len].kind = f->kind == FLAG_NEW_PSK       ? SHIM_PSK
                                                  : f->kind == FLAG_NEW_RAW_KEY ? SHIM_RAW_KEY
                                                                                : SHIM_X509;
        return true;
    case FLAG_IGNORED:
        return true;
    }
    return false;
}

static const char *without(const char *name, const char *prefix, bool *ret_had)
{
    size_t n = strlen(prefix);
    *ret_had = strncmp(name, prefix, n) == 0;
    return *ret_had ? name + n : name;
}

static const struct flag *flag_find(const char *name)
{
    for (size_t i = 0; i < TT_COUNT(flags); i++)
        if (strcmp(flags[i].name, name) == 0)
            return &flags[i];
    return NULL;
}

static void defaults(struct shim_options *o)
{
    o->initial_write = "hello";
    o->repeat_initial_write = 1;
    o->export_label = o->export_context = "";
    o->expect_selected_credential = o->expect_peer_type = INT64_MIN;
}

/* Sets it for the connections it is meant for. */
static bool flag_apply(struct shim_flags *all, const char *name, const struct flag *f, const char *value)
{
    bool initial, resume, retry;
    (void)without(name, "-on-initial-", &initial);
    (void)without(name, "-on-resume-", &resume);
    (void)without(name, "-on-retry-", &retry);
    bool every = !initial && !resume && !retry;
    return (!(every || initial) || flag_set(&all->initial, f, value)) &&
           (!(every || resume) || flag_set(&all->resume, f, value)) &&
           (!(every || retry) || flag_set(&all->retry, f, value));
}

int shim_flags_parse(struct shim_flags *ret, int argc, char **argv)
{
    static const char *const prefixes[] = {"-on-initial-", "-on-resume-", "-on-retry-", "-"};
    defaults(&ret->initial);
    defaults(&ret->resume);
    defaults(&ret->retry);
    for (int i = 1; i < argc; i++) {
        /* There is no second process (a "handshaker") here: what is meant for that one concerns nobody. */
        bool had = false, elsewhere = false;
        const char *whole = without(without(argv[i], "-on-shim", &had), "-on-handshaker", &elsewhere);
        const char *name = whole;
        had = false;
        for (size_t p = 0; p < TT_COUNT(prefixes) && !had; p++)
            name = without(whole, prefixes[p], &had);
        const struct flag *f = had ? flag_find(name) : NULL;
        if (f == NULL) {
            shim_say("unimplemented flag %s", argv[i]);
            return SHIM_EXIT_UNIMPLEMENTED;
        }
        const char *value = NULL;
        if (takes_value(f->kind) && ++i < argc)
            value = argv[i];
        if ((takes_value(f->kind) && value == NULL) || (!elsewhere && !flag_apply(ret, whole, f, value))) {
            shim_say("bad value of flag %s", argv[i]);
            return SHIM_EXIT_FAILED;
        }
    }
    return 0;
}
