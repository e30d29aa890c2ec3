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

tt_rc cli_number(unsigned long *ret, const char *text, const struct cli_range *range, struct tt_error *err)
{
    char *end = NULL;
    if (text == NULL)
        return TT_OK;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || strlen(text) > 10 || value < range->min ||
        value > range->max)
        return error_set(err, TT_ERR_USAGE, "%s: '%s' is not a number from %lu to %lu", range->option, text,
                         range->min, range->max);
    *ret = value;
    return TT_OK;
}

tt_rc cli_seconds(unsigned *ret, const char *text, const char *option, struct tt_error *err)
{
    unsigned long seconds = *ret;
    TT_TRY(cli_number(&seconds, text, &(struct cli_range){option, 1, 3600}, err));
    *ret = (unsigned)seconds;
    return TT_OK;
}

tt_rc tls_sign_deadline(unsigned *ret, const struct tls_options *o, struct tt_error *err)
{
    unsigned long ms = 0;
    TT_TRY(cli_number(&ms, o->sign_deadline, &(struct cli_range){"--sign-deadline", 1, 3600000}, err));
    *ret = (unsigned)ms;
    return TT_OK;
}

tt_rc tls_delegate_seconds(unsigned *ret, const struct tls_options *o, struct tt_error *err)
{
    char *end = NULL;
    if (o->delegate == NULL)
        return TT_OK;
    unsigned long n = strtoul(o->delegate, &end, 10);
    unsigned long unit = strcmp(end, "") == 0 || strcmp(end, "h") == 0 ? 3600
                         : strcmp(end, "m") == 0                       ? 60
                         : strcmp(end, "s") == 0                       ? 1
                                                                       : 0;
    if (o->delegate[0] < '0' || o->delegate[0] > '9' || strlen(o->delegate) > 10 || unit == 0 ||
        n * unit < DELEGATE_MIN_S || n * unit > DELEGATE_MAX_S)
        return error_set(
            err, TT_ERR_USAGE,
            "--delegate: '%s' is not a time from 10s to 168h (a number of hours, or 90s, 30m, 2h)",
            o->delegate);
    *ret = (unsigned)(n * unit);
    return TT_OK;
}

/* Where the value of an option that may be given once goes. */
static const char **option_value(struct tls_options *o, int c)
{
    switch (c) {
    case TLS_OPT_ALPN:
        return &o->alpn;
    case TLS_OPT_GROUPS:
        return &o->groups;
    case TLS_OPT_KEY_SHARES:
        return &o->key_shares;
    case TLS_OPT_SUITES:
        return &o->suites;
    case TLS_OPT_SCHEMES:
        return &o->schemes;
    case TLS_OPT_COMPRESSION:
        return &o->compression;
    case TLS_OPT_RECORD_SIZE:
        return &o->record_size_limit;
    case TLS_OPT_PADDING:
        return &o->padding;
    case TLS_OPT_MAX_MESSAGE:
        return &o->max_handshake_message;
    case TLS_OPT_KEYLOG:
        return &o->keylog;
    case TLS_OPT_TRACE_PCAP:
        return &o->trace_pcap;
    case TLS_OPT_SIGN_DEADLINE:
        return &o->sign_deadline;
    case TLS_OPT_TIMEOUT:
        return &o->handshake_timeout;
    default:
        return NULL;
    }
}

bool tls_option_take(struct tls_options *o, int c, const char *value)
{
    const char **single = option_value(o, c);
    if (single != NULL) {
        *single = value;
        return true;
    }
    switch (c) {
    case TLS_OPT_KEY:
        if (o->keys_len < TLS_IDENTITIES)
            o->keys[o->keys_len] = value;
        o->keys_len++;
        return true;
    case TLS_OPT_CERT:
        if (o->certs_len < TLS_IDENTITIES)
            o->certs[o->certs_len] = value;
        o->certs_len++;
        return true;
    case TLS_OPT_DELEGATE:
        o->delegate = value != NULL ? value : "1";
        return true;
    case TLS_OPT_STAPLE:
        o->stray_staple = o->stray_staple || o->certs_len == 0;
        if (o->certs_len >= 1 && o->certs_len <= TLS_IDENTITIES)
            o->staples[o->certs_len - 1] = value;
        return true;
    case TLS_OPT_RAW:
        o->raw_public_key = true;
        return true;
    case TLS_OPT_PEER_RAW:
        o->peer_raw_public_key = true;
        return true;
    case TLS_OPT_PSK:
        if (o->psks_len == TLS_MAX_PSKS)
            o->too_many_psks = true;
        else
            o->psks[o->psks_len++] = value;
        return true;
    case TLS_OPT_PSK_AND_CERTIFICATE:
        o->psk_and_certificate = true;
        return true;
    case TLS_OPT_ACCEPT_DELEGATED:
        o->accept_delegated = true;
        return true;
    case TLS_OPT_REFUSE_DELEGATED:
        o->refuse_delegated = true;
        return true;
    case TLS_OPT_TRACE:
        o->trace = true;
        return true;
    default:
        return false;
    }
}

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

static tt_rc apply_alpn(struct tt_config *cfg, const char *text, struct tt_error *err)
{
    struct tt_bytes names[LIST_MAX];
    size_t n = 0;
    if (text == NULL)
        return TT_OK;
    for (const char *word = text; word != NULL && n < LIST_MAX; n++) {
        size_t len = strcspn(word, ",");
        names[n] = (struct tt_bytes){(const uint8_t *)word, len};
        word = word[len] == ',' ? word + len + 1 : NULL;
    }
    tt_rc rc = tt_config_set_alpn(cfg, names, n);
    return rc == TT_OK ? rc : error_set(err, rc, "--alpn '%s': each name has 1 to 255 bytes", text);
}

static tt_rc apply_lists(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err)
{
    static const struct list_kind group_kind = {"groups", groups, TT_COUNT(groups), tt_group_name};
    static const struct list_kind share_kind = {"key-shares", groups, TT_COUNT(groups), tt_group_name};
    static const struct list_kind suite_kind = {"suites", suites, TT_COUNT(suites), tt_suite_name};
    static const struct list_kind scheme_kind = {"schemes", schemes, TT_COUNT(schemes), tt_scheme_name};
    static const struct list_kind compression_kind = {"compress-certificates", compressions,
                                                      TT_COUNT(compressions), NULL};
    TT_TRY(apply_numbers(cfg, &group_kind, o->groups, tt_config_set_groups, err));
    TT_TRY(apply_numbers(cfg, &share_kind, o->key_shares, tt_config_set_key_shares, err));
    TT_TRY(apply_numbers(cfg, &suite_kind, o->suites, tt_config_set_suites, err));
    TT_TRY(apply_numbers(cfg, &scheme_kind, o->schemes, tt_config_set_verify_schemes, err));
    return apply_numbers(cfg, &compression_kind, o->compression, tt_config_set_certificate_compression, err);
}

static tt_rc apply_sizes(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err)
{
    unsigned long limit = 0, padding = 0, message = 65536;
    TT_TRY(
        cli_number(&limit, o->record_size_limit, &(struct cli_range){"--record-size-limit", 64, 16385}, err));
    TT_TRY(cli_number(&padding, o->padding, &(struct cli_range){"--padding", 0, 16384}, err));
    TT_TRY(cli_number(&message, o->max_handshake_message,
                      &(struct cli_range){"--max-handshake-message", 1024, 1048576}, err));
    if (limit > 0)
        TT_TRY(tt_config_set_record_size_limit(cfg, (uint16_t)limit));
    TT_TRY(tt_config_set_padding(cfg, (uint16_t)padding));
    return tt_config_set_max_handshake_message(cfg, message);
}

tt_rc tls_config_values(struct tt_config *cfg, const struct tls_options *o, struct tt_error *err)
{
    static const uint16_t raw = TT_CERTIFICATE_RAW_PUBLIC_KEY;
    TT_TRY(apply_lists(cfg, o, err));
    TT_TRY(apply_sizes(cfg, o, err));
    if (o->peer_raw_public_key)
        TT_TRY(tt_config_set_peer_certificate_types(cfg, &raw, 1));
    if (!o->refuse_delegated)
        TT_TRY(tt_config_accept_delegated(cfg, NULL, 0));
    return apply_alpn(cfg, o->alpn, err);
}
