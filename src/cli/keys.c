/* cli/keys.c: how every command finds its TPM and opens its key. Layer: cli. Says what a person must know:
 * that a TPM is emulated, that a key is a software key. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"

#define TPM_DEVICE "/dev/tpmrm0"

const char *cli_tpm_choice(const struct cli *cli)
{
    const char *from_environment = getenv("TPMTLS_TPM");
    if (cli->tpm != NULL)
        return cli->tpm;
    if (from_environment != NULL && from_environment[0] != '\0')
        return from_environment;
    return access(TPM_DEVICE, F_OK) == 0 ? "device" : NULL;
}

/* Known from its address, without a command to the TPM: a connection's start has none to spare. */
static bool is_emulator(const char *spec)
{
    static const char *const kinds[] = {"embedded", "swtpm", "mssim", "libtpms"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        size_t n = strlen(kinds[i]);
        if (strncmp(spec, kinds[i], n) == 0 && (spec[n] == ':' || spec[n] == '\0'))
            return true;
    }
    return false;
}

unsigned cli_patience_ms(const struct cli *cli)
{
    return (unsigned)cli->tpm_timeout * 1000;
}

static tt_rc expect_storage(struct tt_tpm *tpm, const struct cli *cli, struct tt_error *err)
{
    char name[2 * 66 + 1];
    if (cli->srk_name == NULL)
        return TT_OK;
    size_t len = (size_t)snprintf(name, sizeof name, "%s", cli->srk_name);
    if (len < sizeof name && cli_from_hex(name, &len))
        return tt_tpm_expect_storage(tpm, (struct tt_bytes){(const uint8_t *)name, len}, err);
    (void)error_set(err, TT_ERR_USAGE, "--srk-name '%s' is not the name of a key", cli->srk_name);
    error_hint(
        err, "it is hexadecimal, such as 000b and the SHA-256 of the public area: `tpmtls key srk` shows it");
    return TT_ERR_USAGE;
}

static tt_rc take_hierarchies(struct tt_tpm *tpm, const struct cli *cli, struct tt_error *err)
{
    TT_AUTO(cli_password_free) struct cli_password owner = {.given = false};
    TT_AUTO(cli_password_free) struct cli_password endorsement = {.given = false};
    TT_TRY(cli_owner_password(&owner, cli, err));
    TT_TRY(tt_tpm_set_owner_password(tpm, cli_password_of(&owner), err));
    TT_TRY(cli_endorsement_password(&endorsement, cli, err));
    return tt_tpm_set_endorsement_password(tpm, cli_password_of(&endorsement), err);
}

tt_rc cli_open_tpm(struct tt_tpm **ret, const struct cli *cli, struct tt_error *err)
{
    const char *spec = cli_tpm_choice(cli);
    if (spec == NULL) {
        (void)error_set(err, TT_ERR_TPM, "no TPM: there is no " TPM_DEVICE ", and none was named");
        error_hint(err,
                   "name one with --tpm or TPMTLS_TPM: device, embedded[:DIR] (emulated, for trying things "
                   "out), or a TCTI string of tpm2-tss such as swtpm:path=/run/swtpm.sock");
        return TT_ERR_TPM;
    }
    struct tt_tpm *tpm;
    tt_rc rc = tt_tpm_open(&tpm, spec, err);
    if (rc != TT_OK && rc != TT_ERR_USAGE) {
        if (err != NULL)
            err->rc = TT_ERR_TPM; /* whatever the cause, it is the TPM that is missing: exit code 4 */
        return TT_ERR_TPM;
    }
    TT_TRY(rc);
    rc = expect_storage(tpm, cli, err);
    if (rc == TT_OK)
        rc = take_hierarchies(tpm, cli, err);
    if (rc != TT_OK) {
        tt_tpm_close(tpm);
        return rc;
    }
    tt_tpm_set_deadline(tpm, 0, cli_patience_ms(cli));
    if (cli->verbose > 0)
        cli_note("TPM: %s", tt_tpm_describe(tpm));
    if (is_emulator(spec))
        cli_note("this TPM is emulated: it protects nothing that file permissions do not");
    if (cli->tpm_trace != NULL)
        tt_tpm_set_trace(tpm, cli->tpm_trace, cli->tpm_trace_arg);
    *ret = tpm;
    return TT_OK;
}

tt_rc cli_open_tpm_under(struct tt_tpm **ret, const struct cli *cli, const char *parent, struct tt_error *err)
{
    uint32_t handle = 0;
    struct tt_tpm *tpm = NULL;
    if (parent != NULL)
        TT_TRY(cli_parse_handle(&handle, parent, err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = tt_tpm_set_parent(tpm, handle, err);
    if (rc == TT_OK)
        *ret = tpm;
    else
        tt_tpm_close(tpm);
    return rc;
}

tt_rc cli_tpm_says(tt_rc rc, struct tt_error *err)
{
    if (rc != TT_ERR_NOT_FOUND)
        return rc;
    if (err != NULL)
        err->rc = TT_ERR_TPM;
    return TT_ERR_TPM;
}

void cli_close_key(struct cli_key *k)
{
    tt_key_free(TT_TAKE(k->key));
    tt_tpm_close(TT_TAKE(k->tpm));
}

static tt_rc open_software(struct tt_key **ret, const struct cli *cli, struct tt_bytes pem, const char *path,
                           struct tt_error *err)
{
    struct tt_error first = {0};
    tt_rc rc = tt_key_open_software(ret, pem, NULL, &first);
    if (rc == TT_ERR_AUTH) {
        TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
        TT_TRY(cli_read_password(&password, cli, path, err));
        rc = tt_key_open_software(ret, pem, cli_password_of(&password), err);
        if (rc == TT_ERR_AUTH && err != NULL)
            err->rc = TT_ERR_DECODE; /* no TPM refused anything: exit code 1 */
    } else if (rc != TT_OK && err != NULL) {
        *err = first;
    }
    if (rc == TT_OK)
        cli_note("%s is a software key: whoever reads the file has the key", path);
    return rc;
}

/* Where a key may be: for whoever names none that is there. */
static void hint_handle(struct tt_error *err, uint32_t handle)
{
    error_hint(
        err,
        "`tpmtls key list` shows what is in the TPM; a key there is named like this one, handle:0x%08x, and "
        "what another program made may be a file",
        handle);
}

static tt_rc check_persistent(uint32_t handle, struct tt_error *err)
{
    if (handle >> 24 == 0x81)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE, "0x%08x is no persistent handle, where a key could be", handle);
    error_hint(err, "keys are at handle:0x81000000 to handle:0x81ffffff%s",
               handle >> 24 == 0x01 ? "; this is an NV index, where a certificate may be (--cert)" : "");
    return TT_ERR_USAGE;
}

/* With what --auth-* says; else without, and where that does not do, with what somebody at the terminal says.
 */
static tt_rc open_handle(struct cli_key *k, const struct cli *cli, const char *spec, struct tt_error *err)
{
    TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
    struct cli_auth_want want = {.what = spec};
    uint32_t handle;
    TT_TRY(cli_parse_handle(&handle, spec, err));
    TT_TRY(check_persistent(handle, err));
    TT_TRY(cli_auth_password(&password, cli, &want, err));
    struct tt_error why = {0};
    tt_rc rc = tt_key_open_handle_with(&k->key, k->tpm, handle, cli_password_of(&password), &why);
    if (rc == TT_ERR_AUTH && !password.given && cli_can_ask()) {
        want.ask = true;
        TT_TRY(cli_auth_password(&password, cli, &want, err));
        rc = tt_key_open_handle_with(&k->key, k->tpm, handle, cli_password_of(&password), err);
        return cli_tpm_says(rc, err);
    }
    if (rc != TT_OK && err != NULL)
        *err = why;
    if (rc == TT_ERR_NOT_FOUND)
        hint_handle(err, handle);
    return cli_tpm_says(rc, err);
}

/* What the PEM says it is. The first BEGIN line counts. */
static const char *find_label(const char *text, const char *label)
{
    char line[64];
    (void)snprintf(line, sizeof line, "-----BEGIN %s-----", label);
    return strstr(text, line);
}

static tt_rc open_tss2(struct cli_key *k, const struct cli *cli, struct tt_bytes pem, const char *path,
                       struct tt_error *err)
{
    TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
    struct tt_keyfile_info info;
    struct cli_auth_want want = {.what = path};
    TT_TRY(tt_keyfile_inspect(&info, pem, err));
    want.ask = info.needs_password && cli_can_ask();
    TT_TRY(cli_auth_password(&password, cli, &want, err));
    if (k->tpm == NULL)
        TT_TRY(cli_open_tpm(&k->tpm, cli, err));
    return cli_tpm_says(tt_key_open_pem_with(&k->key, k->tpm, pem, cli_password_of(&password), err), err);
}

/* SEQUENCE { OID id-tpmkey, 2.23.133.10.1.x, ... */
static bool is_keyfile_der(struct tt_bytes data)
{
    static const uint8_t oid[] = {0x06, 0x06, 0x67, 0x81, 0x05, 0x0a, 0x01};
    size_t front = data.len < 16 ? data.len : 16;
    return front > 0 && data.data[0] == 0x30 && memmem(data.data, front, oid, sizeof oid) != NULL;
}

static tt_rc refuse_der(const char *path, struct tt_error *err)
{
    (void)error_set(err, TT_ERR_DECODE, "%s is a TPM key file in DER form, and PEM is needed", path);
    error_hint(
        err,
        "(echo '-----BEGIN TSS2 PRIVATE KEY-----'; base64 -w 64 %s; echo '-----END TSS2 PRIVATE KEY-----') "
        "makes that of it",
        path);
    return TT_ERR_DECODE;
}

/* Other programs take a handle without a word, or a PKCS#11 URI, here. */
static tt_rc read_key_file(char **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    tt_rc rc = cli_read_file(ret, ret_len, path, err);
    if (rc == TT_ERR_NOT_FOUND && strlen(path) == 8 && strspn(path, "0123456789abcdefABCDEF") == 8)
        error_hint(err, "for what is at a handle of the TPM, write handle:0x%s", path);
    else if (rc == TT_ERR_NOT_FOUND)
        error_hint(err, "a key is a file, or at a handle of the TPM: handle:0x81000010 (`tpmtls key list`)");
    return rc;
}

static tt_rc open_file(struct cli_key *k, const struct cli *cli, const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    TT_TRY(read_key_file(&text, &len, path, err));
    struct tt_bytes pem = {(const uint8_t *)text, len};
    if (find_label(text, "TSS2 PRIVATE KEY") != NULL)
        return open_tss2(k, cli, pem, path, err);
    if (strstr(text, "PRIVATE KEY-----") != NULL)
        return open_software(&k->key, cli, pem, path, err);
    if (is_keyfile_der(pem))
        return refuse_der(path, err);
    const char *is = cli_pem_content(pem);
    (void)error_set(err, TT_ERR_DECODE, "%s holds no private key in PEM form%s%s", path,
                    is != NULL ? ", but " : "", is != NULL ? is : "");
    error_hint(err,
               "a key is a TSS2 PRIVATE KEY file (tpmtls key create -o FILE), handle:0x81..., or a PKCS#8 "
               "PRIVATE KEY file");
    return TT_ERR_DECODE;
}

tt_rc cli_read_certificates(char **ret, size_t *ret_len, const struct cli *cli, struct tt_tpm **tpm,
                            const char *spec, struct tt_error *err)
{
    uint32_t index;
    if (!cli_is_handle(spec))
        return cli_read_file(ret, ret_len, spec, err);
    TT_TRY(cli_parse_handle(&index, spec, err));
    if (*tpm == NULL)
        TT_TRY(cli_open_tpm(tpm, cli, err));
    TT_TRY(cli_tpm_says(tt_nv_certificates(ret, *tpm, index, err), err));
    *ret_len = strlen(*ret);
    return TT_OK;
}

/* Errors from below know the TPM or the bytes, not the file's name. */
void cli_name_key(struct tt_error *err, const char *spec)
{
    if (err == NULL || strstr(err->text, spec) != NULL)
        return;
    struct tt_error named = {0};
    (void)error_set(&named, err->rc, "key %s: %s", spec, err->text);
    memcpy(err->text, named.text, sizeof err->text);
}

tt_rc cli_open_key(struct cli_key *ret, const struct cli *cli, const char *spec, struct tt_error *err)
{
    return cli_open_key_beside(ret, cli, spec, NULL, err);
}

tt_rc cli_open_key_beside(struct cli_key *ret, const struct cli *cli, const char *spec, struct tt_tpm *tpm,
                          struct tt_error *err)
{
    struct cli_key k = {.tpm = tpm};
    tt_rc rc = TT_OK;
    if (cli_is_handle(spec)) {
        if (tpm == NULL)
            rc = cli_open_tpm(&k.tpm, cli, err);
        if (rc == TT_OK)
            rc = open_handle(&k, cli, spec, err);
    } else {
        rc = open_file(&k, cli, spec, err);
    }
    if (rc != TT_OK) {
        if (k.tpm != NULL || rc == TT_ERR_DECODE || rc == TT_ERR_AUTH)
            cli_name_key(err, spec);
        if (k.tpm == tpm)
            k.tpm = NULL;
        cli_close_key(&k);
        return rc;
    }
    *ret = k;
    return TT_OK;
}
