/* net/connect.c: tt_connect: from a few file names to an authenticated stream. Layer: net. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/rc.h"
#include "net/blocking.h"
#include "net/tcp.h"

TT_DEFINE_AUTO(struct tt_trust, tt_trust_free)
TT_DEFINE_AUTO(struct tt_stream, tt_stream_free)

static tt_rc open_key(struct stream_owned *o, const char *key, struct tt_error *err)
{
    static const char prefix[] = "handle:";
    const char *number = key + strlen(prefix);
    if (strncmp(key, prefix, strlen(prefix)) != 0)
        return tt_key_open_file(&o->key, o->tpm, key, err);
    char *end = NULL;
    unsigned long handle = strtoul(number, &end, 0);
    if (end == number || *end != '\0' || handle > UINT32_MAX)
        return error_set(err, TT_ERR_USAGE, "'%s' is not a handle such as handle:0x81000010", key);
    return tt_key_open_handle(&o->key, o->tpm, (uint32_t)handle, err);
}

static tt_rc make_config(struct stream_owned *o, const struct tt_connect_options *opt, struct tt_error *err)
{
    TT_AUTO(tt_trust_free_auto) struct tt_trust *trust = NULL;
    if (opt->ca == NULL || (opt->key == NULL) != (opt->cert == NULL))
        return error_set(err, TT_ERR_USAGE, "ca is needed, and key and cert go together");
    TT_TRY(tt_config_new(&o->config, TT_CLIENT, err));
    TT_TRY(tt_trust_new(&trust, err));
    TT_TRY(tt_trust_add_file(trust, opt->ca, err));
    TT_TRY(tt_config_set_trust(o->config, trust));
    if (opt->key != NULL) {
        TT_TRY(tt_tpm_open(&o->tpm, opt->tpm != NULL ? opt->tpm : "device", err));
        TT_TRY(open_key(o, opt->key, err));
        TT_TRY(tt_config_add_key_file(o->config, o->key, opt->cert, err));
    }
    return tt_config_freeze(o->config, err);
}

static tt_rc reach(struct tt_stream **ret, struct stream_owned *o, const char *target,
                   const struct tt_connect_options *opt, struct tt_error *err)
{
    struct tt_stream_options stream = opt->stream;
    struct address to;
    TT_TRY(address_parse(&to, target, err));
    TT_TRY(make_config(o, opt, err));
    TT_TRY(tt_dial(&o->fd, target, stream.handshake_timeout_ms, err));
    stream.server_name = stream.server_name != NULL ? stream.server_name : to.name;
    stream.peer = stream.peer != NULL ? stream.peer : target;
    return tt_stream_new(ret, o->fd, o->config, &stream, err);
}

void stream_owned_free(struct stream_owned *o)
{
    tt_config_free(o->config);
    tt_key_free(o->key);
    tt_tpm_close(o->tpm);
    if (o->fd >= 0)
        (void)close(o->fd);
}

/* After TT_ERR_ECH_REJECTED *ret_retry has the server's retry_configs. */
static tt_rc connect_once(struct tt_stream **ret, struct buf *ret_retry, const char *target,
                          const struct tt_connect_options *opt, struct tt_error *err)
{
    struct stream_owned owned = {.fd = -1};
    TT_AUTO(tt_stream_free_auto) struct tt_stream *s = NULL;
    tt_rc rc = reach(&s, &owned, target, opt, err);
    if (rc != TT_OK) {
        stream_owned_free(&owned);
        return rc;
    }
    blocking_own(s, &owned);
    rc = tt_stream_handshake(s, err);
    struct tt_bytes retry = tt_conn_ech_retry_configs(tt_stream_conn(s));
    if (rc != TT_OK)
        return buf_append(ret_retry, retry.data, retry.len) == TT_OK ? rc : TT_ERR_MEMORY;
    *ret = TT_TAKE(s);
    return TT_OK;
}

tt_rc tt_connect(struct tt_stream **ret, const char *target, const struct tt_connect_options *opt,
                 struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf retry = {0}, unused = {0};
    tt_rc rc = connect_once(ret, &retry, target, opt, err);
    if (rc != TT_ERR_ECH_REJECTED || buf_size(&retry) == 0)
        return rc;
    struct tt_connect_options again = *opt;
    again.stream.ech_config_list = buf_bytes(&retry);
    if (err != NULL)
        *err = (struct tt_error){0};
    return connect_once(ret, &unused, target, &again, err);
}
