/* net/ech_offer.c: see ech_offer.h. Layer: net. */
#include "net/ech_offer.h"

#include <string.h>
#include <unistd.h>

#include "net/files.h"
#include "wire/pem.h"

void ech_offer_free(struct ech_offer *o)
{
    buf_free(&o->configs);
}

static tt_rc take_list(struct ech_offer *o, struct tt_bytes list)
{
    struct tt_ech_config_info info;
    tt_rc rc = tt_ech_config_describe(&info, list);
    buf_free(&o->configs);
    return rc == TT_OK ? buf_append(&o->configs, list.data, list.len) : rc;
}

static tt_rc take_pem(struct ech_offer *o, struct tt_bytes text)
{
    struct pem_block block = {0};
    TT_TRY(pem_find(&block, text, "ECHCONFIG"));
    tt_rc rc = take_list(o, (struct tt_bytes){block.der, block.len});
    pem_block_free(&block);
    return rc;
}

/* Base64 is what stands in a PEM block. */
static tt_rc take_base64(struct ech_offer *o, struct tt_bytes text)
{
    static const char begin[] = "-----BEGIN ECHCONFIG-----\n", end[] = "\n-----END ECHCONFIG-----\n";
    TT_AUTO(buf_free) struct buf pem = {0};
    TT_TRY(buf_append(&pem, begin, sizeof begin - 1));
    TT_TRY(buf_append(&pem, text.data, text.len));
    TT_TRY(buf_append(&pem, end, sizeof end - 1));
    return take_pem(o, buf_bytes(&pem));
}

static tt_rc take_any(struct ech_offer *o, struct tt_bytes text)
{
    tt_rc rc = take_pem(o, text);
    if (rc != TT_OK && rc != TT_ERR_UNSUPPORTED)
        rc = take_list(o, text);
    if (rc != TT_OK && rc != TT_ERR_UNSUPPORTED)
        rc = take_base64(o, text);
    return rc;
}

tt_rc ech_offer_read(struct ech_offer *o, const char *text, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf content = {0};
    bool is_file = access(text, F_OK) == 0;
    if (is_file)
        TT_TRY(file_read(&content, text, err));
    else
        TT_TRY(buf_append(&content, text, strlen(text)));
    tt_rc rc = is_file ? take_any(o, buf_bytes(&content)) : take_base64(o, buf_bytes(&content));
    if (rc == TT_OK || rc == TT_ERR_MEMORY)
        return rc;
    if (rc == TT_ERR_UNSUPPORTED)
        return error_set(err, rc, "there is no ECHConfig of RFC 9849 in '%.80s'", text);
    (void)error_set(err, TT_ERR_DECODE,
                    is_file ? "%.200s holds no ECHConfigList"
                            : "'%.80s' is neither a file nor an ECHConfigList in base64",
                    text);
    return TT_ERR_DECODE;
}

void ech_offer_put(const struct ech_offer *o, struct stream_options *opt)
{
    opt->ech_config_list = buf_bytes(&o->configs);
    opt->ech_grease = o->grease;
}

bool ech_offer_again(struct ech_offer *o, const struct tt_conn *conn, const struct tt_error *error)
{
    if (error == NULL || error->rc != TT_ERR_ECH_REJECTED || o->retried)
        return false;
    struct tt_bytes configs = tt_conn_ech_retry_configs(conn);
    o->retried = true;
    tt_rc rc = configs.len > 0 ? take_list(o, configs) : TT_ERR_UNSUPPORTED;
    if (rc != TT_ERR_UNSUPPORTED)
        return rc == TT_OK;
    buf_free(&o->configs);
    return !o->required;
}
