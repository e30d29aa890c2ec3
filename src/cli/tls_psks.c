/* cli/tls_psks.c: --psk and --psk-and-certificate. Layer: cli. RFC 9257: each PSK for one client and one
 * server. */
#include "base/rc.h"
#include "cli/tls_options.h"

static tt_rc psk_add(struct tls_psks *psks, const struct tls_psks_where *where, const char *path,
                     struct tt_error *err)
{
    struct psk_file *f = &psks->files[psks->len];
    TT_TRY(psk_file_open(f, path, where->tpm, where->cli, err));
    psks->sessions[psks->len++] = f->session;
    if (f->role != where->role) {
        (void)error_set(err, TT_ERR_USAGE, "%s is for the %s", path,
                        f->role == TT_CLIENT ? "client" : "server");
        error_hint(err, "a PSK belongs to one client and one server, which never switch roles (RFC 9257)");
        return TT_ERR_USAGE;
    }
    if (where->role == TT_CLIENT || tt_config_add_psk(where->config, f->session) == TT_OK)
        return TT_OK;
    return error_set(err, TT_ERR_USAGE, "%s cannot be used beside the other PSKs", path);
}

static tt_rc set_policy(struct tt_config *cfg, const struct tls_options *o, bool has_certificates)
{
    if (o->psks.len == 0)
        return TT_OK;
    return tt_config_set_psk_policy(cfg, o->psk_and_certificate ? TT_PSK_WITH_CERTIFICATE
                                         : has_certificates     ? TT_PSK_OPTIONAL
                                                                : TT_PSK_REQUIRE);
}

tt_rc tls_config_psks(struct tls_psks *ret, const struct tls_psks_where *where, const struct tls_options *o,
                      struct tt_error *err)
{
    for (size_t i = 0; i < o->psks.len; i++)
        TT_TRY(psk_add(ret, where, o->psks.at[i], err)); /* what is there by then is closed by the caller */
    return set_policy(where->config, o, where->has_certificates);
}

tt_rc tls_config_psks_again(const struct tls_psks *psks, struct tt_config *cfg, const struct tls_options *o,
                            bool has_certificates)
{
    for (size_t i = 0; i < psks->len; i++)
        TT_TRY(tt_config_add_psk(cfg, psks->sessions[i]));
    return set_policy(cfg, o, has_certificates);
}

void tls_psks_close(struct tls_psks *psks)
{
    for (size_t i = 0; i < psks->len; i++)
        psk_file_close(&psks->files[i]);
    psks->len = 0;
}
