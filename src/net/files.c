/* net/files.c: the parts of a configuration that come from files. Layer: net. */
#include "net/files.h"

#include "net/identity.h"
#include "tpmtls/stream.h"

/* What is wrong with the contents, with the file's name in front. */
static tt_rc blame(const char *path, tt_rc rc, const struct tt_error *why, struct tt_error *err)
{
    if (rc == TT_OK)
        return TT_OK;
    (void)error_set(err, rc, "%.120s: %.190s", path, why->text);
    if (why->hint[0] != '\0')
        error_hint(err, "%s", why->hint);
    return rc;
}

tt_rc tt_key_open_file(struct tt_key **ret, struct tt_tpm *tpm, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    struct tt_error why = {0};
    TT_TRY(file_read(&pem, path, err));
    return blame(path, tt_key_open_pem(ret, tpm, buf_bytes(&pem), &why), &why, err);
}

tt_rc tt_trust_add_file(struct tt_trust *trust, const char *path, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    struct tt_error why = {0};
    TT_TRY(file_read(&pem, path, err));
    return blame(path, tt_trust_add_pem(trust, buf_bytes(&pem), &why), &why, err);
}

tt_rc tt_config_add_key_file(struct tt_config *cfg, struct tt_key *key, const char *path,
                             struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf pem = {0};
    TT_TRY(file_read(&pem, path, err));
    const struct identity_source source = {
        .key = key, .chain_pem = buf_bytes(&pem), .key_name = "FILE", .chain_name = path};
    bool wants_staple = false;
    return identity_add(cfg, &source, &wants_staple, err);
}
