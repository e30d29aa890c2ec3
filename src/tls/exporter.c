/* tls/exporter.c: exporters and channel binding. Layer: tls. RFC 9846 section 7.5, RFC 5705, RFC 9266. */
#include <string.h>

#include "tls/conn.h"

static const struct ks_secret no_secret;

/* TLS-Exporter(label, context_value, key_length) =
 *     HKDF-Expand-Label(Derive-Secret(Secret, label, ""), "exporter", Hash(context_value), key_length) */
struct export_from {
    enum hash_id hash;
    const struct ks_secret *secret;
    struct ks_label label;
};

static tt_rc export_from(const struct tt_conn *c, const struct export_from *from, uint8_t *ret, size_t len)
{
    /* "tls13 " and the label are at most 255 bytes; HKDF-Expand gives at most 255 blocks. */
    enum hash_id id = from->hash;
    if (c->status.error.rc != TT_OK)
        return c->status.error.rc;
    if (id == HASH_NONE || memcmp(from->secret, &no_secret, sizeof no_secret) == 0 ||
        from->label.label == NULL || strlen(from->label.label) > 249 || len < 1 ||
        len > 255 * hash_size(HASH_SHA256))
        return TT_ERR_USAGE;
    const struct crypto_lib *lib = c->cfg->lib;
    uint8_t context_hash[HASH_MAX_SIZE];
    struct ks_secret derived;
    TT_TRY(hash_digest(lib, id, from->label.context, context_hash));
    size_t n = hash_size(id);
    TT_TRY(ks_expand_label(lib, id, from->secret->data,
                           (struct ks_label){from->label.label, hash_empty(lib, id)}, derived.data, n));
    tt_rc rc =
        ks_expand_label(lib, id, derived.data, (struct ks_label){"exporter", {context_hash, n}}, ret, len);
    mem_wipe(&derived, sizeof derived);
    return rc;
}

tt_rc tt_conn_export(const struct tt_conn *c, const char *label, struct tt_bytes context, uint8_t *ret,
                     size_t len)
{
    const struct export_from from = {
        c->suite != NULL ? c->suite->hash : HASH_NONE, &c->exporter_secret, {label, context}};
    return export_from(c, &from, ret, len);
}

tt_rc tt_conn_export_early(const struct tt_conn *c, const char *label, struct tt_bytes context, uint8_t *ret,
                           size_t len)
{
    const struct export_from from = {c->early_hash, &c->early_exporter_secret, {label, context}};
    return export_from(c, &from, ret, len);
}

/* "if exporters are to be used as channel bindings, the exported value MUST be large enough to provide
 * collision resistance" (appendix F.1) */
tt_rc tt_conn_channel_binding(const struct tt_conn *c, uint8_t ret[32])
{
    return tt_conn_export(c, "EXPORTER-Channel-Binding", (struct tt_bytes){NULL, 0}, ret, 32);
}
