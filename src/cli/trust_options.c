/* cli/trust_options.c: from --ca, --pin and --crl to a set of trust. Layer: cli. */
#include "cli/trust_options.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/rc.h"
#include "net/files.h"
#include "net/pin.h"

TT_DEFINE_AUTO(struct tt_trust, tt_trust_free)

const struct option_row trust_rows[] = {
    {"pin", "sha256:KEY|cert-sha256:CERT",
     "a public key (hex or base64 of the SHA-256 of its SubjectPublicKeyInfo) or a whole certificate (of its "
     "DER form): with CAs, one that the peer's chain must contain; alone, the one that is trusted. A CA that "
     "is "
     "pinned by its key has the rules (dates, path length, name constraints) of the certificate that the "
     "peer "
     "sends for that key; one pinned by its certificate has its own",
     OPTION_TO(struct trust_options, pins), .max = TRUST_OPTION_VALUES,
     .elsewhere = "pinnedpubkey fingerprint"},
    {"crl", "FILE", "revoked certificates (PEM or DER); then the peer's CA must have a valid CRL",
     OPTION_TO(struct trust_options, crls), .max = TRUST_OPTION_VALUES, .needs = "client-ca",
     .why = "the CA it belongs to"},
    {"insecure-lax-certificates", NULL,
     "take certificates that break the form which RFC 5280 demands: no key identifiers, basicConstraints "
     "that "
     "are not critical, and so on (docs/chains.md)",
     OPTION_TO(struct trust_options, lax)},
    {0},
};

bool trust_is_given(const struct trust_options *o)
{
    return o->ca.len > 0 || o->pins.len > 0;
}

/* ---- files ---- */

/* Forms in which others hand out certificates, and how to get ours of them. */
static const struct foreign {
    const char *mark, *is, *convert;
} foreign[] = {
    {"-----BEGIN PKCS7-----", "certificates in PKCS#7 form", "openssl pkcs7 -print_certs -in"},
    {"-----BEGIN TRUSTED CERTIFICATE-----", "a certificate in OpenSSL's own form, with uses",
     "openssl x509 -in"},
};

static const struct foreign *find_foreign(struct tt_bytes bytes)
{
    for (size_t i = 0; i < TT_COUNT(foreign); i++)
        if (memmem(bytes.data, bytes.len, foreign[i].mark, strlen(foreign[i].mark)) != NULL)
            return &foreign[i];
    return NULL;
}

/* Put the file's name in front of what is wrong with its content, and say what it is instead. */
static tt_rc wrong_file(const char *path, struct tt_bytes bytes, const struct tt_error *why,
                        struct tt_error *err)
{
    const char *is = cli_pem_content(bytes);
    const struct foreign *other = find_foreign(bytes);
    if (other != NULL && why->rc == TT_ERR_DECODE) {
        error_hint(err, "`%s %s -out FILE.pem` makes it CERTIFICATE in PEM form", other->convert, path);
        return error_set(err, why->rc, "%s: %s: it is %s", path, why->text, other->is);
    }
    if (why->rc == TT_ERR_DECODE && bytes.len > 1 && bytes.data[0] == 0x30)
        error_hint(
            err,
            "what is in PKCS#7 form (.p7b): `openssl pkcs7 -inform DER -print_certs -in %s -out FILE.pem`",
            path);
    if (is != NULL && why->rc == TT_ERR_DECODE && strstr(why->text, "there is no") != NULL)
        return error_set(err, why->rc, "%s: %s: it is %s", path, why->text, is);
    if (why->hint[0] != '\0')
        error_hint(err, "%s", why->hint);
    return error_set(err, why->rc, "%s: %s", path, why->text);
}

static tt_rc add_bytes(struct tt_trust *trust, struct tt_bytes bytes, const char *path, bool is_crl,
                       struct tt_error *err)
{
    struct tt_error why = {0};
    size_t len = bytes.len;
    /* DER begins with a SEQUENCE of more than 127 bytes; PEM is text. */
    bool is_der = len > 2 && bytes.data[0] == 0x30 && (bytes.data[1] & 0x80) != 0;
    tt_rc rc = is_crl   ? tt_trust_add_crl(trust, bytes, &why)
               : is_der ? tt_trust_add_der(trust, bytes, &why)
                        : tt_trust_add_pem(trust, bytes, &why);
    if (rc == TT_OK)
        return TT_OK;
    if (rc == TT_ERR_VERIFY) /* of a CRL: it is not the peer who is not trusted */
        why.rc = TT_ERR_USAGE;
    return wrong_file(path, bytes, &why, err);
}

static tt_rc add_file(struct tt_trust *trust, const char *path, bool is_crl, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    TT_TRY(cli_read_file(&text, &len, path, err));
    return add_bytes(trust, (struct tt_bytes){(const uint8_t *)text, len}, path, is_crl, err);
}

static bool is_certificate_file(const char *name)
{
    static const char *const endings[] = {".pem", ".crt", ".cer", ".der"};
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; name[0] != '.' && dot != NULL && i < TT_COUNT(endings); i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static void dir_close_auto(DIR **dir)
{
    (void)closedir(*dir);
}

/* Each file in it that is called like one of certificates; those of c_rehash are links to the same. */
static tt_rc add_directory(struct tt_trust *trust, const char *path, struct tt_error *err)
{
    DIR *opened = opendir(path);
    if (opened == NULL)
        return error_set(err, TT_ERR_IO, "cannot read the directory %s", path);
    TT_AUTO(dir_close_auto) DIR *dir = opened;
    size_t before = tt_trust_count(trust);
    struct stat own;
    if (fstat(dirfd(dir), &own) != 0)
        return error_set(err, TT_ERR_IO, "cannot look at the directory %s", path);
    TT_TRY(file_check_owner(&own, FILE_TRUSTED, path, err));
    for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
        char file[PATH_MAX];
        struct stat st;
        if (!is_certificate_file(e->d_name) ||
            snprintf(file, sizeof file, "%s/%s", path, e->d_name) >= (int)sizeof file ||
            stat(file, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        TT_AUTO(buf_free) struct buf b = {0};
        TT_TRY(file_read_owned(&b, FILE_TRUSTED, file, err));
        TT_TRY(add_bytes(trust, buf_bytes(&b), file, false, err));
    }
    if (tt_trust_count(trust) > before)
        return TT_OK;
    error_hint(err, "files called *.pem, *.crt, *.cer or *.der are read");
    return error_set(err, TT_ERR_NOT_FOUND, "there is no certificate in the directory %s", path);
}

static tt_rc add_system_store(struct tt_trust *trust, const struct trust_options *o, struct tt_error *err)
{
    struct stat st;
    if (stat(TRUST_SYSTEM_STORE, &st) == 0)
        return add_file(trust, TRUST_SYSTEM_STORE, false, err);
    error_hint(err, "name the CA of the peer with %s FILE, or install the package ca-certificates",
               o->ca_option);
    return error_set(err, TT_ERR_NOT_FOUND, "there is no system store of CAs at " TRUST_SYSTEM_STORE);
}

static tt_rc add_ca(struct tt_trust *trust, const char *path, const struct trust_options *o,
                    struct tt_error *err)
{
    struct stat st;
    if (strcmp(path, "system") == 0)
        return add_system_store(trust, o, err);
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? add_directory(trust, path, err)
                                                       : add_file(trust, path, false, err);
}

/* ---- pins ---- */

/* "cert-" in front of "sha256:": of a whole certificate. */
static tt_rc add_pin(struct tt_trust *trust, const char *text, struct tt_error *err)
{
    static const char cert[] = "cert-";
    bool whole = strncmp(text, cert, strlen(cert)) == 0;
    uint8_t pin[32];
    struct tt_error why = {0};
    if (pin_parse(pin, text + (whole ? strlen(cert) : 0), &why) != TT_OK) {
        error_hint(err, "%s", whole ? "openssl x509 -in CERT -outform DER | openssl dgst -sha256" : why.hint);
        return error_set(err, why.rc, "--pin %s", why.text);
    }
    return whole ? tt_trust_add_certificate_pin(trust, pin, err) : tt_trust_add_pin(trust, pin, err);
}

/* ---- the set ---- */

/* A pin that nobody has: the engine takes no empty set. Pins beside CAs only narrow what these allow, so
 * without them they do not count. */
static tt_rc trust_nobody(struct tt_trust *trust, struct tt_error *err)
{
    uint8_t nobody[32];
    if (getrandom(nobody, sizeof nobody, 0) != (ssize_t)sizeof nobody)
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness");
    return tt_trust_add_pin(trust, nobody, err);
}

/* *ret_any: there is one that counts. */
static tt_rc add_cas(struct tt_trust *trust, bool *ret_any, const struct trust_options *o, bool again,
                     struct tt_error *err)
{
    *ret_any = o->ca.len == 0;
    for (size_t i = 0; i < o->ca.len; i++) {
        struct tt_error why = {0};
        tt_rc rc = add_ca(trust, o->ca.at[i], o, &why);
        if (again && rc == TT_ERR_NOT_FOUND) {
            cli_note("%s: nobody is believed for it any more", why.text);
            continue;
        }
        if (rc != TT_OK && err != NULL)
            *err = why;
        TT_TRY(rc);
        *ret_any = true;
    }
    return TT_OK;
}

static tt_rc add_all(struct tt_trust *trust, const struct trust_options *o, bool again, struct tt_error *err)
{
    bool any = false;
    TT_TRY(add_cas(trust, &any, o, again, err));
    if (!any)
        return trust_nobody(trust, err);
    for (size_t i = 0; i < o->pins.len; i++)
        TT_TRY(add_pin(trust, o->pins.at[i], err));
    for (size_t i = 0; i < o->crls.len; i++) /* after the CAs, which they belong to */
        TT_TRY(add_file(trust, o->crls.at[i], true, err));
    if (o->lax)
        TT_TRY(tt_trust_insecure_accept_lax(trust, err));
    return TT_OK;
}

tt_rc trust_config(struct tt_config *cfg, const struct trust_options *o, bool again, struct tt_error *err)
{
    TT_AUTO(tt_trust_free_auto) struct tt_trust *trust = NULL;
    TT_TRY(tt_trust_new(&trust, err));
    TT_TRY(add_all(trust, o, again, err));
    tt_rc rc = tt_config_set_trust(cfg, trust);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the configuration takes no trust set");
}

static const char *option_for(unsigned alert, const struct tt_error *err, const struct trust_options *o)
{
    bool pins_alone = o->ca.len == 0 && o->pins.len > 0;
    if (strstr(err->hint, "pin that: sha256:") != NULL)
        return "--pin";
    if (strstr(err->hint, "by the rules of RFC 5280") != NULL)
        return o->lax ? NULL : "or take it as it is: --insecure-lax-certificates";
    if (pins_alone && (alert == TT_ALERT_UNKNOWN_CA || alert == TT_ALERT_CERTIFICATE_UNKNOWN))
        return "--pin sha256:KEY";
    if (alert == TT_ALERT_UNKNOWN_CA)
        return o->ca_option;
    return alert == TT_ALERT_CERTIFICATE_UNKNOWN && o->crls.len > 0 ? "--crl FILE" : NULL;
}

void trust_advise(struct tt_error *err, const struct tt_conn *c, const struct trust_options *o)
{
    const char *option = err->rc == TT_ERR_VERIFY ? option_for(tt_conn_error(c)->alert_sent, err, o) : NULL;
    size_t len = strlen(err->hint);
    if (option != NULL && len > 0)
        (void)snprintf(err->hint + len, sizeof err->hint - len, " (%s)", option);
}
