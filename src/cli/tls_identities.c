/* cli/tls_identities.c: from --key, --cert, --ocsp-response and --raw-public-key to identities. Layer: cli.
 */
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/tls_options.h"
#include "net/identity.h"
#include "tpmtls/pki.h"

#define WEEK_S (7 * 86400)

TT_DEFINE_AUTO(struct tt_cert_list, tt_cert_list_free)
TT_DEFINE_AUTO(struct tt_cert_info, tt_cert_info_free)

const char *tls_identities_conflict(const struct tls_options *o)
{
    if (o->keys.len != o->certs.len && !(o->raw_public_key && o->certs.len == 0))
        return "--key and --cert go together";
    if (o->delegate_s > 0 && o->keys.len > 1)
        return "--delegate goes with one --key and --cert only";
    return o->stray_staple ? "--ocsp-response goes behind the --cert it belongs to" : NULL;
}

/* ---- the key ---- */

static void key_drop(struct tls_key *k)
{
    if (k == NULL || --k->holders > 0)
        return;
    tt_key_free(k->key);
    mem_free(k);
}

/* ret: "" for what is no file that can be read again. *in_tpm: it needs one. */
static tt_rc look_at_key(char ret[65], bool *in_tpm, const char *spec, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    struct stat st;
    size_t len = 0;
    ret[0] = '\0';
    *in_tpm = cli_is_handle(spec);
    if (*in_tpm || stat(spec, &st) != 0 || !S_ISREG(st.st_mode))
        return TT_OK;
    TT_TRY(cli_read_file(&text, &len, spec, err));
    *in_tpm = strstr(text, "-----BEGIN TSS2 PRIVATE KEY-----") != NULL;
    tt_spki_sha256(ret, (struct tt_bytes){(const uint8_t *)text, len});
    return TT_OK;
}

/* A key without a file to look at is the right one as long as the certificate is its. */
static bool still_fits(const struct tls_key *k, const char *file, const struct tt_cert_list *chain)
{
    return strcmp(k->file, file) == 0 &&
           (chain == NULL || tt_cert_matches_key(chain->certs[0], tt_key_spki(k->key)));
}

static tt_rc key_open(struct tls_key **ret, struct tls_identities *ids, const struct tls_load *load,
                      const char *spec, struct tt_error *err)
{
    struct cli_key opened = {.key = NULL};
    struct tls_key *k = mem_alloc(sizeof *k);
    if (k == NULL) {
        (void)error_set(err, TT_ERR_MEMORY, "no memory for a key");
        return TT_ERR_MEMORY;
    }
    tt_rc rc = cli_open_key_beside(&opened, load->cli, spec, ids->tpm, err);
    if (rc != TT_OK) {
        mem_free(k);
        return rc;
    }
    ids->tpm = opened.tpm != NULL ? opened.tpm : ids->tpm;
    *k = (struct tls_key){.key = opened.key, .holders = 1};
    *ret = k;
    return TT_OK;
}

static tt_rc key_again(struct tls_key **ret, struct tls_identities *ids, const struct tls_load *load,
                       const struct tt_cert_list *chain, struct tt_error *err)
{
    const char *spec = load->options->keys.at[ids->len];
    struct tls_key *former = load->before->keys[ids->len];
    char file[65];
    bool in_tpm = false;
    TT_TRY(look_at_key(file, &in_tpm, spec, err));
    if (still_fits(former, file, chain)) {
        former->holders++;
        *ret = former;
        return TT_OK;
    }
    if (in_tpm && ids->tpm == NULL) {
        (void)error_set(err, TT_ERR_TPM,
                        "the new key %s is in a TPM, and this process was started without one", spec);
        return TT_ERR_TPM;
    }
    TT_TRY(key_open(ret, ids, load, spec, err));
    memcpy((*ret)->file, file, sizeof file);
    return TT_OK;
}

static tt_rc key_first(struct tls_key **ret, struct tls_identities *ids, const struct tls_load *load,
                       struct tt_error *err)
{
    const char *spec = load->options->keys.at[ids->len];
    bool unused = false;
    char file[65];
    TT_TRY(look_at_key(file, &unused, spec, err));
    TT_TRY(key_open(ret, ids, load, spec, err));
    memcpy((*ret)->file, file, sizeof file);
    return TT_OK;
}

/* ---- the certificates ---- */

static tt_rc note_end(struct tls_end *ret, const struct tt_cert_list *chain)
{
    for (size_t i = 0; i < chain->len; i++) {
        TT_AUTO(tt_cert_info_free_auto) struct tt_cert_info *info = NULL;
        TT_TRY(tt_cert_describe(&info, chain->certs[i], NULL));
        if (i == 0 || info->not_before > ret->from)
            ret->from = info->not_before;
        if (i == 0 || info->not_after < ret->until)
            *ret = (struct tls_end){.from = ret->from, .until = info->not_after, .number = i + 1};
    }
    return TT_OK;
}

static void date_text(char ret[24], int64_t at)
{
    time_t t = (time_t)at;
    struct tm utc;
    (void)strftime(ret, 24, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
}

void tls_identities_say_ends(const struct tls_identities *ids, const struct tls_options *o, int64_t now)
{
    for (size_t i = 0; i < ids->len && i < o->certs.len; i++) {
        const struct tls_end *end = &ids->ends[i];
        char which[48] = "", from[24], until[24];
        date_text(from, end->from);
        date_text(until, end->until);
        if (end->number > 1)
            (void)snprintf(which, sizeof which, "certificate number %zu in ", end->number);
        if (end->number == 0)
            continue;
        if (now > end->until)
            cli_note("%s%s expired on %s: whoever checks it refuses it", which, o->certs.at[i], until);
        else if (now < end->from)
            cli_note("%s is not valid before %s: is the clock right?", o->certs.at[i], from);
        else if (end->until - now < WEEK_S)
            cli_note("%s%s ends on %s, in less than %lu day%s: it should be renewed", which, o->certs.at[i],
                     until, (unsigned long)(end->until - now) / 86400 + 1,
                     end->until - now < 86400 ? "" : "s");
    }
}

/* Without a word in it, an identity would have none. */
static tt_rc read_certificates(char **ret, size_t *ret_len, struct tls_identities *ids,
                               const struct tls_load *load, struct tt_error *err)
{
    const char *path = load->options->certs.at[ids->len];
    TT_TRY(cli_read_certificates(ret, ret_len, load->cli, &ids->tpm, path, err));
    return *ret_len > 0 ? TT_OK
                        : error_set(err, TT_ERR_DECODE, "%s is empty: it should have our certificate", path);
}

/* ---- both ---- */

static tt_rc add_identity(struct tls_identities *ids, const struct tls_load *load, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(mem_free_auto) char *staple = NULL;
    TT_AUTO(tt_cert_list_free_auto) struct tt_cert_list *chain = NULL;
    const struct tls_options *o = load->options;
    const size_t i = ids->len;
    size_t pem_len = 0, staple_len = 0;
    struct tls_key *k = NULL;
    if (i < o->certs.len)
        TT_TRY(read_certificates(&pem, &pem_len, ids, load, err));
    if (o->staples[i] != NULL)
        TT_TRY(cli_read_file(&staple, &staple_len, o->staples[i], err));
    const struct tt_bytes text = {(const uint8_t *)pem, pem_len};
    if (tt_cert_list_from_pem(&chain, text, NULL) == TT_OK) /* what is wrong, identity_add says */
        (void)!note_end(&ids->ends[i], chain);
    if (i == 0 && chain != NULL && chain->len > 0)
        TT_TRY(buf_append(&ids->leaf, chain->certs[0].data, chain->certs[0].len));
    if (load->before != NULL)
        TT_TRY(key_again(&k, ids, load, chain, err));
    else
        TT_TRY(key_first(&k, ids, load, err));
    ids->keys[ids->len++] = k;
    const struct identity_source source = {
        .key = k->key,
        .chain_pem = text,
        .ocsp_response = {(const uint8_t *)staple, staple_len},
        .raw_public_key = o->raw_public_key,
        .key_name = o->keys.at[i],
        .chain_name = o->certs.at[i],
        .role = load->role,
        .ret_delegation = o->delegate_s > 0 ? &ids->delegation : NULL,
    };
    bool wants_staple = false;
    TT_TRY(identity_add(load->config, &source, &wants_staple, err));
    if (wants_staple && staple_len == 0)
        cli_note("%s demands an OCSP response (must-staple) and none was given: clients will refuse it; "
                 "--ocsp-response FILE staples one",
                 o->certs.at[i]);
    return TT_OK;
}

tt_rc tls_config_identities(struct tls_identities *ret, const struct tls_load *load, struct tt_error *err)
{
    struct tls_identities ids = {0};
    tt_rc rc = TT_OK;
    ids.tpm = load->before != NULL ? load->before->tpm : load->tpm;
    ids.is_guest = load->before != NULL || load->tpm != NULL;
    while (rc == TT_OK && ids.len < load->options->keys.len && ids.len < TLS_IDENTITIES)
        rc = add_identity(&ids, load, err);
    if (rc == TT_OK)
        *ret = ids;
    else
        tls_identities_close(&ids);
    return rc;
}

void tls_identities_close(struct tls_identities *ids)
{
    tt_delegation_free(ids->delegation);
    buf_free(&ids->leaf);
    for (size_t i = 0; i < ids->len; i++)
        key_drop(ids->keys[i]);
    if (!ids->is_guest)
        tt_tpm_close(ids->tpm);
    *ids = (struct tls_identities){0};
}
