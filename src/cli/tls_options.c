/* cli/tls_options.c: from options to a TLS configuration. Layer: cli. */
#include "cli/tls_options.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/delegate.h"
#include "net/identity.h"

#define LIST_MAX 16

/* ---- the table ---- */

/* A number of hours, or with s, m or h. */
static tt_rc take_delegate(const struct option_row *row, void *at, const char *text, struct tt_error *err)
{
    char *end = NULL;
    if (text == NULL)
        text = "1";
    unsigned long n = strtoul(text, &end, 10);
    unsigned long unit = strcmp(end, "") == 0 || strcmp(end, "h") == 0 ? 3600
                         : strcmp(end, "m") == 0                       ? 60
                         : strcmp(end, "s") == 0                       ? 1
                                                                       : 0;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 10 || unit == 0 || n * unit < DELEGATE_MIN_S ||
        n * unit > DELEGATE_MAX_S)
        return error_set(err, TT_ERR_USAGE,
                         "--%s: '%s' is not a time from 10s to 168h (a number of hours, or 90s, 30m, 2h)",
                         row->name, text);
    *(unsigned *)at = (unsigned)(n * unit);
    return TT_OK;
}

static tt_rc take_staple(const struct option_row *row, void *at, const char *value, struct tt_error *err)
{
    struct tls_options *o = at;
    (void)row;
    (void)err;
    if (o->certs.len == 0)
        o->stray_staple = true;
    else
        o->staples[o->certs.len - 1] = value;
    return TT_OK;
}

#define TO(member) OPTION_TO(struct tls_options, member)

const struct option_row tls_identity_rows[] = {
    {"key", "KEY", "our key: a TSS2 PRIVATE KEY file, handle:0x81..., or a software key (PKCS#8)", TO(keys),
     .max = TLS_IDENTITIES},
    {"cert", "FILE",
     "our certificate and its chain (PEM), the leaf first, or handle:0x01..., an NV index of the TPM that "
     "holds them; "
     "the n-th goes with the n-th --key",
     TO(certs), .max = TLS_IDENTITIES, .elsewhere = "certificate"},
    {"ocsp-response", "FILE", "an OCSP response (DER) that goes with the --cert before it", OPTION_TAKEN, 0,
     .take = take_staple},
    {"raw-public-key", NULL, "show the key alone to a peer that wants that (RFC 7250); --cert is not needed",
     TO(raw_public_key), .needs = "key"},
    {"peer-raw-public-key", NULL, "take the peer's key alone, which --pin must name; no certificate",
     TO(peer_raw_public_key)},
    {"psk", "FILE",
     "a pre-shared key (tpmtls psk import). Without certificates to go by, a PSK or no connection", TO(psks),
     .max = TLS_MAX_PSKS},
    {"psk-and-certificate", NULL, "both together, or no connection (RFC 8773)", TO(psk_and_certificate),
     .needs = "psk"},
    {"delegate", "[=HOURS]",
     "let our key sign a credential for a software key that lives in memory for HOURS (1, at most 168; or "
     "30m, 90s), "
     "and with that the handshakes of peers that accept it",
     OPTION_TAKEN, offsetof(struct tls_options, delegate_s), .take = take_delegate, .needs = "cert",
     .why = "whose key is to delegate?"},
    {0},
};

static option_offer offer_groups, offer_suites, offer_schemes, offer_compressions;

const struct option_row tls_protocol_rows[] = {
    {"alpn", "A,B", "application protocols, most wanted first", TO(alpn)},
    {"groups", "A,B",
     "X25519MLKEM768, SecP256r1MLKEM768, SecP384r1MLKEM1024, MLKEM1024 (libcrypto 3.5), x25519, x448, "
     "secp256r1, "
     "secp384r1, secp521r1",
     TO(groups), .elsewhere = "curves", .offer = offer_groups},
    {"key-shares", "A,B", "the groups that a client sends a share of at once", TO(key_shares),
     .offer = offer_groups},
    {"suites", "A,B", "TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256",
     TO(suites), .elsewhere = "ciphersuites ciphers", .offer = offer_suites},
    {"schemes", "A,B", "what the peer may sign with: ecdsa_secp256r1_sha256, rsa_pss_rsae_sha256, ...",
     TO(schemes), .elsewhere = "sigalgs", .offer = offer_schemes},
    {"compress-certificates", "A,B", "zlib, brotli, zstd (RFC 8879); default: none", TO(compression),
     .offer = offer_compressions},
    {"record-size-limit", "N", "the largest record we take (RFC 8449), in bytes", TO(record_size_limit),
     .min = 64, .max = 16385},
    {"padding", "N", "pad what is sent to multiples of N bytes", TO(padding), .max = 16384},
    {"max-handshake-message", "N", "refuse longer messages of the peer", TO(max_handshake_message),
     .min = 1024, .max = 1048576, .initial = 65536},
    {"handshake-timeout", "S", "seconds a handshake may take", TO(handshake_timeout), .min = 1, .max = 3600,
     .initial = 30},
    {"sign-deadline", "MS",
     "milliseconds until our signature must be made; one that would come later is refused at once",
     TO(sign_deadline), .min = 1, .max = 3600000, .initial = 5000},
    {0},
};

const struct option_row tls_trace_rows[] = {
    {"trace", NULL, "show each handshake message and what the TPM did, on stderr", TO(trace)},
    {"trace-pcap", "FILE",
     "what is sent and received, as a new pcap file for Wireshark. It is the ciphertext, in TCP/IP headers "
     "made up; with "
     "what --insecure-keylog writes it can be read",
     TO(trace_pcap)},
    {"insecure-keylog", "FILE",
     "append the connections' secrets to FILE, for Wireshark: whoever reads it reads everything. "
     "SSLKEYLOGFILE in the environment does nothing",
     TO(keylog)},
    {0},
};

/* ---- lists ---- */

/* struct choice: a number with the names people give it. */
struct choice {
    uint16_t number;
    const char *alias;
};

static const struct choice groups[] = {
    {TT_GROUP_X25519, "X25519"},      {TT_GROUP_SECP256R1, "P-256"},     {TT_GROUP_SECP384R1, "P-384"},
    {TT_GROUP_SECP521R1, "P-521"},    {TT_GROUP_X448, "X448"},           {TT_GROUP_X25519MLKEM768, ""},
    {TT_GROUP_SECP256R1MLKEM768, ""}, {TT_GROUP_SECP384R1MLKEM1024, ""}, {TT_GROUP_MLKEM1024, ""},
};
static const struct choice suites[] = {
    {TT_SUITE_AES_128_GCM_SHA256, "AES128-GCM"},
    {TT_SUITE_AES_256_GCM_SHA384, "AES256-GCM"},
    {TT_SUITE_CHACHA20_POLY1305_SHA256, "CHACHA20-POLY1305"},
};

static const struct choice schemes[] = {
    {TT_SCHEME_ECDSA_SECP256R1_SHA256, ""},
    {TT_SCHEME_ECDSA_SECP384R1_SHA384, ""},
    {TT_SCHEME_ECDSA_SECP521R1_SHA512, ""},
    {TT_SCHEME_ED25519, ""},
    {TT_SCHEME_ED448, ""},
    {TT_SCHEME_RSA_PSS_RSAE_SHA256, ""},
    {TT_SCHEME_RSA_PSS_RSAE_SHA384, ""},
    {TT_SCHEME_RSA_PSS_RSAE_SHA512, ""},
    {TT_SCHEME_RSA_PSS_PSS_SHA256, ""},
    {TT_SCHEME_RSA_PSS_PSS_SHA384, ""},
    {TT_SCHEME_RSA_PSS_PSS_SHA512, ""},
    {TT_SCHEME_MLDSA44, ""},
    {TT_SCHEME_MLDSA65, ""},
    {TT_SCHEME_MLDSA87, ""},
};
static const struct choice compressions[] = {
    {TT_COMPRESSION_ZLIB, "zlib"}, {TT_COMPRESSION_BROTLI, "brotli"}, {TT_COMPRESSION_ZSTD, "zstd"}};

struct list_kind {
    const char *option;
    const struct choice *choices;
    size_t choices_len;
    const char *(*name)(unsigned number); /* NULL: they have the other names only */
};

static const char *choice_name(const struct list_kind *kind, const struct choice *c)
{
    return kind->name != NULL ? kind->name(c->number) : c->alias;
}

static bool choice_find(uint16_t *ret, const struct list_kind *kind, const char *word)
{
    for (size_t i = 0; i < kind->choices_len; i++) {
        const struct choice *c = &kind->choices[i];
        if (strcasecmp(word, choice_name(kind, c)) == 0 ||
            (c->alias[0] != '\0' && strcasecmp(word, c->alias) == 0)) {
            *ret = c->number;
            return true;
        }
    }
    return false;
}

static tt_rc parse_list(uint16_t ret[LIST_MAX], size_t *ret_len, const struct list_kind *kind,
                        const char *text, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *copy = mem_strdup(text);
    char *rest = copy;
    *ret_len = 0;
    if (copy == NULL)
        return error_set(err, TT_ERR_MEMORY, "no memory for the options");
    for (char *word; (word = strsep(&rest, ",:")) != NULL;) {
        if (*ret_len < LIST_MAX && choice_find(&ret[*ret_len], kind, word)) {
            (*ret_len)++;
            continue;
        }
        (void)error_set(err, TT_ERR_USAGE, "--%s: '%s' is not known", kind->option, word);
        error_hint(err, "names as in the standard, separated by commas, such as %s",
                   choice_name(kind, &kind->choices[0]));
        return TT_ERR_USAGE;
    }
    return TT_OK;
}

static tt_rc apply_numbers(struct tt_config *cfg, const struct list_kind *kind, const char *text,
                           tt_rc (*set)(struct tt_config *, const uint16_t *, size_t), struct tt_error *err)
{
    uint16_t numbers[LIST_MAX];
    size_t n;
    if (text == NULL)
        return TT_OK;
    TT_TRY(parse_list(numbers, &n, kind, text, err));
    tt_rc rc = set(cfg, numbers, n);
    return rc == TT_OK ? rc
                       : error_set(err, rc, "--%s %s: this build cannot do one of them", kind->option, text);
}

/* The name at *at of a list with commas; *at goes to the next one, NULL after the last. */
static struct tt_bytes next_name(const char **at)
{
    size_t len = strcspn(*at, ",");
    struct tt_bytes name = {(const uint8_t *)*at, len};
    *at = (*at)[len] == ',' ? *at + len + 1 : NULL;
    return name;
}

bool tls_alpn_has(const struct tls_options *o, const char *name)
{
    for (const char *at = o->alpn; at != NULL;) {
        struct tt_bytes word = next_name(&at);
        if (word.len == strlen(name) && memcmp(word.data, name, word.len) == 0)
            return true;
    }
    return false;
}

static tt_rc apply_alpn(struct tt_config *cfg, const char *text, struct tt_error *err)
{
    struct tt_bytes names[LIST_MAX];
    size_t n = 0;
    if (text == NULL)
        return TT_OK;
    for (const char *at = text; at != NULL && n < LIST_MAX; n++)
        names[n] = next_name(&at);
    tt_rc rc = tt_config_set_alpn(cfg, names, n);
    return rc == TT_OK ? rc : error_set(err, rc, "--alpn '%s': each name has 1 to 255 bytes", text);
}

static const struct list_kind group_kind = {"groups", groups, TT_COUNT(groups), tt_group_name};
static const struct list_kind share_kind = {"key-shares", groups, TT_COUNT(groups), tt_group_name};
static const struct list_kind suite_kind = {"suites", suites, TT_COUNT(suites), tt_suite_name};
static const struct list_kind scheme_kind = {"schemes", schemes, TT_COUNT(schemes), tt_scheme_name};
static const struct list_kind compression_kind = {"compress-certificates", compressions,
                                                  TT_COUNT(compressions), NULL};

static void offer_all(const struct list_kind *kind, option_put *put, void *to)
{
    for (size_t i = 0; i < kind->choices_len; i++)
        put(to, choice_name(kind, &kind->choices[i]));
}

static void offer_groups(option_put *put, void *to)
{
    offer_all(&group_kind, put, to);
}

static void offer_suites(option_put *put, void *to)
{
    offer_all(&suite_kind, put, to);
}

static void offer_schemes(option_put *put, void *to)
{
    offer_all(&scheme_kind, put, to);
}

static void offer_compressions(option_put *put, void *to)
{
    offer_all(&compression_kind, put, to);
}

static tt_rc apply_lists(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err)
{
    TT_TRY(apply_numbers(cfg, &group_kind, o->groups, tt_config_set_groups, err));
    TT_TRY(apply_numbers(cfg, &share_kind, o->key_shares, tt_config_set_key_shares, err));
    TT_TRY(apply_numbers(cfg, &suite_kind, o->suites, tt_config_set_suites, err));
    TT_TRY(apply_numbers(cfg, &scheme_kind, o->schemes, tt_config_set_verify_schemes, err));
    return apply_numbers(cfg, &compression_kind, o->compression, tt_config_set_certificate_compression, err);
}

static tt_rc apply_sizes(struct tt_config *cfg, const struct tls_options *o)
{
    if (o->record_size_limit > 0)
        TT_TRY(tt_config_set_record_size_limit(cfg, (uint16_t)o->record_size_limit));
    TT_TRY(tt_config_set_padding(cfg, (uint16_t)o->padding));
    return tt_config_set_max_handshake_message(cfg, o->max_handshake_message);
}

tt_rc tls_config_values(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err)
{
    static const uint16_t raw = TT_CERTIFICATE_RAW_PUBLIC_KEY;
    if (o->hello_like == HELLO_BROWSER)
        TT_TRY(tt_config_hello_like_browser(cfg));
    TT_TRY(apply_lists(cfg, o, err));
    TT_TRY(apply_sizes(cfg, o));
    if (o->peer_raw_public_key)
        TT_TRY(tt_config_set_peer_certificate_types(cfg, &raw, 1));
    if (!o->refuse_delegated && o->hello_like != HELLO_BROWSER)
        TT_TRY(tt_config_accept_delegated(cfg, NULL, 0));
    return apply_alpn(cfg, o->alpn, err);
}
