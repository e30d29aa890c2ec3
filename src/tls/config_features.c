/* tls/config_features.c: the setters of what a handshake may carry beside what it must: record sizes,
 * certificate compression, kinds of certificates, authorities, GREASE. Layer: tls. */
#include "tls/config.h"

#include <string.h>

#include "crypto/compress.h"
#include "base/mem.h"
#include "tls/record.h"
#include "wire/host.h"
#include "wire/reader.h"
#include "wire/writer.h"

tt_rc tt_config_set_record_size_limit(struct tt_config *cfg, uint16_t bytes)
{
    if (cfg->frozen || bytes < 64 || bytes > REC_MAX_PLAINTEXT + 1)
        return TT_ERR_USAGE;
    cfg->record_size_limit = bytes;
    return TT_OK;
}

tt_rc tt_config_set_padding(struct tt_config *cfg, uint16_t multiple)
{
    if (cfg->frozen || multiple > REC_MAX_PLAINTEXT)
        return TT_ERR_USAGE;
    cfg->padding = multiple;
    return TT_OK;
}

/* "The record layer fragments information blocks into TLSPlaintext records carrying data in chunks of 2^14
 * bytes or less." (RFC 9846 section 5.1) */
tt_rc tt_config_set_max_fragment(struct tt_config *cfg, uint16_t bytes)
{
    if (cfg->frozen || bytes < 64 || bytes > REC_MAX_PLAINTEXT)
        return TT_ERR_USAGE;
    cfg->max_fragment = bytes;
    return TT_OK;
}

const struct tt_compressor *config_compressor(const struct tt_config *cfg, uint16_t algorithm)
{
    for (size_t i = 0; i < cfg->compressors_len; i++)
        if (cfg->compressors[i].algorithm == algorithm)
            return &cfg->compressors[i];
    return NULL;
}

/* From 16384 on: "Reserved for Experimental Use" (RFC 8879 section 7.3). */
tt_rc tt_config_add_compressor(struct tt_config *cfg, const struct tt_compressor *compressor)
{
    if (cfg->frozen || cfg->compressors_len == CONFIG_MAX_COMPRESSORS || compressor->algorithm < 16384 ||
        config_compressor(cfg, compressor->algorithm) != NULL || compressor->compress == NULL ||
        compressor->decompress == NULL)
        return TT_ERR_USAGE;
    cfg->compressors[cfg->compressors_len++] = *compressor;
    return TT_OK;
}

tt_rc tt_config_set_certificate_compression(struct tt_config *cfg, const uint16_t *algorithms, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!compress_available(algorithms[i]) && config_compressor(cfg, algorithms[i]) == NULL)
            return TT_ERR_UNSUPPORTED;
    return config_list_set(cfg, &cfg->compression, algorithms, n);
}

tt_rc tt_config_set_peer_certificate_types(struct tt_config *cfg, const uint16_t *types, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (types[i] != TT_CERTIFICATE_X509 && types[i] != TT_CERTIFICATE_RAW_PUBLIC_KEY)
            return TT_ERR_UNSUPPORTED;
    return config_list_set(cfg, &cfg->peer_types, types, n);
}

tt_rc tt_config_set_ocsp(struct tt_config *cfg, enum tt_ocsp mode)
{
    if (cfg->frozen || cfg->role != TT_CLIENT)
        return TT_ERR_USAGE;
    cfg->ocsp = mode;
    return TT_OK;
}

/* What no certificate can have is refused now, not at each handshake. */
static tt_rc check_peer_name(enum tt_peer_name kind, const char *name, struct tt_error *err)
{
    struct host h;
    if (kind == TT_PEER_HOST)
        return host_parse(&h, name, err);
    bool is_ascii = true;
    for (const char *c = name; *c != '\0'; c++)
        is_ascii &= *c > ' ' && *c < 0x7f;
    if (is_ascii && strchr(name, ':') != NULL && strlen(name) <= UINT16_MAX)
        return TT_OK;
    error_hint(err, "it begins with a scheme, such as spiffe: or urn:");
    return error_set(err, TT_ERR_USAGE, "'%.120s' is no URI", name);
}

tt_rc tt_config_add_peer_name(struct tt_config *cfg, enum tt_peer_name kind, const char *name,
                              struct tt_error *err)
{
    if (cfg->frozen || cfg->role != TT_CLIENT || (kind != TT_PEER_HOST && kind != TT_PEER_URI))
        return error_set(err, TT_ERR_USAGE, "names of servers go into a client's configuration");
    if (cfg->peer_names_len == CONFIG_MAX_LIST)
        return error_set(err, TT_ERR_USAGE, "more than %d names of a server", CONFIG_MAX_LIST);
    TT_TRY(check_peer_name(kind, name, err));
    char *text = mem_strdup(name);
    if (text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    cfg->peer_names[cfg->peer_names_len++] = (struct trust_name){.is_uri = kind == TT_PEER_URI, .text = text};
    return TT_OK;
}

tt_rc tt_config_set_request_scts(struct tt_config *cfg, bool on)
{
    if (cfg->frozen || cfg->role != TT_CLIENT)
        return TT_ERR_USAGE;
    cfg->request_scts = on;
    return TT_OK;
}

tt_rc tt_config_set_send_authorities(struct tt_config *cfg, bool on)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->send_authorities = on;
    return TT_OK;
}

tt_rc tt_config_set_authorities(struct tt_config *cfg, const struct tt_bytes *names, size_t n)
{
    TT_AUTO(buf_free) struct buf list = {.max = CONFIG_MAX_AUTHORITIES};
    struct writer w = writer_to(&list);
    if (cfg->frozen)
        return TT_ERR_USAGE;
    for (size_t i = 0; i < n; i++) {
        if (names[i].len < 2 || names[i].len > CONFIG_MAX_AUTHORITIES) /* the empty SEQUENCE is a name */
            return TT_ERR_USAGE;
        wr_vec16(&w, names[i]);
    }
    TT_TRY(wr_status(&w));
    buf_free(&cfg->authorities);
    cfg->authorities = list;
    list = (struct buf){0};
    cfg->authorities_given = true;
    return TT_OK;
}

tt_rc tt_config_set_keep_offers(struct tt_config *cfg, bool on)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->keep_offers = on;
    return TT_OK;
}

tt_rc tt_config_set_post_handshake_auth(struct tt_config *cfg, bool on)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->post_handshake_auth = on;
    return TT_OK;
}

tt_rc tt_config_set_grease(struct tt_config *cfg, bool on)
{
    if (cfg->frozen)
        return TT_ERR_USAGE;
    cfg->grease = on;
    return TT_OK;
}

tt_rc tt_config_set_max_handshake_message(struct tt_config *cfg, size_t bytes)
{
    if (cfg->frozen || bytes < 1024 || bytes > (size_t)1 << 20)
        return TT_ERR_USAGE;
    cfg->max_message = bytes;
    return TT_OK;
}

tt_rc tt_config_set_middlebox_compat(struct tt_config *cfg, bool on)
{
    if (cfg->frozen || cfg->role != TT_CLIENT)
        return TT_ERR_USAGE;
    cfg->middlebox_compat = on;
    return TT_OK;
}

/* What of a list there is, in its order. */
static size_t available(const struct tt_config *cfg, uint16_t *ret, const uint16_t *all, size_t n,
                        bool (*there)(const struct crypto_lib *, uint16_t))
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (there(cfg->lib, all[i]))
            ret[kept++] = all[i];
    return kept;
}

static bool has_compression(const struct crypto_lib *lib, uint16_t algorithm)
{
    (void)lib;
    return compress_available(algorithm);
}

tt_rc tt_config_hello_like_browser(struct tt_config *cfg)
{
    static const uint16_t groups[] = {TT_GROUP_X25519MLKEM768, TT_GROUP_X25519, TT_GROUP_SECP256R1,
                                      TT_GROUP_SECP384R1};
    static const uint16_t schemes[] = {TT_SCHEME_MLDSA44,
                                       TT_SCHEME_MLDSA65,
                                       TT_SCHEME_MLDSA87,
                                       TT_SCHEME_ECDSA_SECP256R1_SHA256,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA256,
                                       TT_SCHEME_ECDSA_SECP384R1_SHA384,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA384,
                                       TT_SCHEME_RSA_PSS_RSAE_SHA512};
    static const uint16_t compressions[] = {TT_COMPRESSION_BROTLI};
    uint16_t there[TT_COUNT(schemes)];
    if (cfg->frozen || cfg->role != TT_CLIENT)
        return TT_ERR_USAGE;
    size_t n = available(cfg, there, groups, TT_COUNT(groups), kx_available);
    TT_TRY(config_list_set(cfg, &cfg->groups, there, n));
    n = available(cfg, there, schemes, TT_COUNT(schemes), scheme_available);
    TT_TRY(config_list_set(cfg, &cfg->verify_schemes, there, n));
    n = available(cfg, there, compressions, TT_COUNT(compressions), has_compression);
    if (n > 0)
        TT_TRY(config_list_set(cfg, &cfg->compression, there, n));
    cfg->ocsp = cfg->ocsp == TT_OCSP_NONE ? TT_OCSP_REQUEST : cfg->ocsp;
    cfg->request_scts = cfg->grease = cfg->browser_hello = true;
    return TT_OK;
}
