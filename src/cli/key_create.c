/* cli/key_create.c: `tpmtls key create` and `tpmtls key seal`: what is made in the TPM, and its protection.
 * Layer: cli. */
#include "cli/cmd_key.h"
#include "cli/term.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"

struct create_options {
    const char *path, *persist, *policy_key, *parent;
    uint32_t handle;
    bool lockout, no_lockout;
    bool seal;        /* data, not a new key */
    const char *from; /* the data's file */
    struct tt_bytes data;
    struct tt_key_params params;
};

static void tell_password(const struct create_options *o)
{
    if (o->params.password == NULL || o->params.password->len == 0)
        return;
    if (o->params.count_failures)
        cli_note(
            "wrong passwords count towards the TPM's lockout; so does each loss of the TPM's power after "
            "the key was used: for a password that a machine keeps take 16 bytes or more, or --no-lockout");
    else
        cli_note("wrong passwords do not count towards the TPM's lockout: nobody guesses one that a machine "
                 "keeps, and power cuts would count, too (--lockout: count them)");
}

static void tell(const struct cli *cli, const struct create_options *o, struct tt_tpm *tpm)
{
    const char *type = tt_key_type_name(o->params.type);
    const char *path = o->path != NULL ? o->path : "";
    tell_password(o);
    if (o->seal) {
        cli_wrote(path, "sealed; only this TPM gives it back (`tpmtls key unseal`)");
        return;
    }
    if (cli->json && strcmp(path, "-") != 0) {
        json_t *root =
            json_pack("{s:s, s:o*}", "type", type, "file", o->path != NULL ? cli_json_text(o->path) : NULL);
        if (o->persist != NULL)
            (void)json_object_set_new(root, "handle", json_sprintf("0x%08x", o->handle));
        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(root);
        return;
    }
    if (o->path != NULL && strcmp(path, "-") != 0)
        cli_note("made a %s key in the TPM (%s), wrote %s", type, tt_tpm_describe(tpm), path);
    if (o->persist != NULL)
        cli_note("made a %s key persistent at 0x%08x: --key handle:0x%08x", type, o->handle, o->handle);
}

/* The file is there already. */
static tt_rc persist(const struct create_options *o, struct tt_tpm *tpm, struct tt_bytes text,
                     struct tt_error *err)
{
    struct tt_error why = {0};
    tt_rc rc = o->persist != NULL ? tt_key_persist(tpm, text, o->handle, &why) : TT_OK;
    if (rc == TT_OK)
        return TT_OK;
    if (o->path != NULL && strcmp(o->path, "-") != 0)
        error_hint(err, "the key is in its file; for another try: tpmtls key persist %s %s%s%s", o->path,
                   o->persist, why.hint[0] != '\0' ? ". " : "", why.hint);
    error_hint(err, "%s", why.hint);
    return error_set(err, rc, "%s", why.text);
}

/* The file first: no handle is taken whose key has no file. */
static tt_rc create(const struct cli *cli, struct create_options *o, struct tt_tpm *tpm, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    term_busy(o->seal ? "sealing" : "making the key in the TPM", cli->json);
    tt_rc rc = o->seal ? tt_seal(&pem, tpm, o->data, &o->params, err)
                       : tt_key_create_with(&pem, tpm, &o->params, err);
    term_done();
    TT_TRY(rc);
    struct tt_bytes text = {(const uint8_t *)pem, strlen(pem)};
    if (o->path != NULL)
        TT_TRY(cli_write_file(o->path, text, (struct file_want){0600, FILE_NEW}, err));
    TT_TRY(persist(o, tpm, text, err));
    tell(cli, o, tpm);
    return TT_OK;
}

/* Whatever can be refused is refused before the TPM works: an RSA key takes it seconds. */
static tt_rc handle_is_free(struct tt_tpm *tpm, uint32_t handle, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    size_t n = 0;
    TT_TRY(tt_persistent_list(&list, &n, tpm, err));
    for (size_t i = 0; i < n; i++)
        if (list[i].handle == handle) {
            (void)error_set(err, TT_ERR_EXISTS, "something is at 0x%08x already, and is not overwritten",
                            handle);
            error_hint(err, "`tpmtls key list` shows what is where; choose a free handle");
            return TT_ERR_EXISTS;
        }
    return TT_OK;
}

static tt_rc run_with_tpm(const struct cli *cli, struct create_options *o, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    TT_TRY(cli_open_tpm_under(&tpm, cli, o->parent, err));
    tt_rc rc = o->persist == NULL ? TT_OK : handle_is_free(tpm, o->handle, err);
    if (rc == TT_OK)
        rc = create(cli, o, tpm, err);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc run(const struct cli *cli, struct create_options *o, struct tt_error *err)
{
    TT_AUTO(cli_password_free) struct cli_password password = {.given = false};
    TT_AUTO(mem_free_auto) char *signer = NULL;
    size_t signer_len = 0;
    TT_TRY(key_refuse_taken(o->path, err));
    if (o->persist != NULL)
        TT_TRY(cli_parse_persistent(&o->handle, o->persist, err));
    if (o->policy_key != NULL) {
        TT_TRY(cli_read_file(&signer, &signer_len, o->policy_key, err));
        o->params.signer = (struct tt_bytes){(const uint8_t *)signer, signer_len};
    }
    TT_TRY(cli_auth_password(
        &password, cli,
        &(struct cli_auth_want){.what = o->seal ? "the sealed data" : "the new key", .is_new = true}, err));
    o->params.password = cli_password_of(&password);
    o->params.count_failures = key_counts(&(struct key_lockout){o->lockout, o->no_lockout}, cli, &password);
    return run_with_tpm(cli, o, err);
}

/* ---- the commands ---- */

static int run_create(const struct cli *cli, void *options)
{
    struct create_options *o = options;
    struct tt_error err = {0};
    bool policy = o->params.pcrs != NULL || o->policy_key != NULL || o->params.secret_of != NULL;
    if (o->path == NULL && (o->persist == NULL || policy))
        return cli_usage(cli, policy ? "a key under a policy needs a file that says which: -o FILE"
                                     : "where should the key go? -o FILE");
    return run(cli, o, &err) == TT_OK ? CLI_OK : cli_fail(&err);
}

static int run_seal(const struct cli *cli, void *options)
{
    struct create_options *o = options;
    struct tt_error err = {0};
    TT_AUTO(mem_free_auto) char *data = NULL;
    o->seal = true;
    o->params.type = TT_KEY_OTHER;
    tt_rc rc = cli_read_file(&data, &o->data.len, o->from != NULL ? o->from : "-", &err);
    o->data.data = (const uint8_t *)data;
    if (rc == TT_OK)
        rc = run(cli, o, &err);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

#define TO(member) OPTION_TO(struct create_options, member)

static const struct option_row create_rows[] = {
    {"out", "FILE", "the key's file (TSS2 PRIVATE KEY, mode 0600), which is never overwritten", TO(path),
     .letter = 'o', .elsewhere = "output"},
    {"type", "TYPE",
     "p256 (the default: the fastest on most chips), p384, p521, rsa2048, rsa3072, rsa4096; in a TPM of "
     "version 1.85 "
     "mldsa44, mldsa65, mldsa87",
     TO(params.type), .letter = 't',
     .choices =
         "p256=P-256=prime256v1=secp256r1=ecc256 p384=P-384=secp384r1=ecc384 p521=P-521=secp521r1=ecc521 "
         "rsa2048=rsa=rsa-2048 rsa3072=rsa-3072 rsa4096=rsa-4096 mldsa44=ml-dsa-44 mldsa65=ml-dsa-65=mldsa "
         "mldsa87=ml-dsa-87",
     .elsewhere = "algorithm alg"},
    {"persist", "0x81...",
     "keep it in the TPM at this handle (0x81000000 to 0x817fffff), where nothing may be yet; FILE may then "
     "be left out",
     TO(persist)},
    {0},
};
static const struct option_row protection_rows[] = {
    CLI_PARENT_ROW(TO(parent)),
    {"pcr", "PCRS", "usable only while these PCRs have their present values, such as sha256:0,2,7",
     TO(params.pcrs), .elsewhere = "pcrs"},
    {"policy-key", "PUBLIC",
     "usable under policies signed by this key (PEM PUBLIC KEY): `tpmtls policy sign`", TO(policy_key)},
    {"policy-secret", "WHO",
     "whoever uses it must know the password of owner, endorsement or lockout, and gives that with "
     "--auth-file, --auth-fd "
     "or --auth-credential; the key has none of its own",
     TO(params.secret_of), .words = "owner endorsement lockout"},
    {"description", "TEXT", "a mnemonic for the file", TO(params.description)},
    {"lockout", NULL, KEY_LOCKOUT_TEXT, TO(lockout), .not_with = "no-lockout"},
    {"no-lockout", NULL, KEY_NO_LOCKOUT_TEXT, TO(no_lockout)},
    {0},
};
static const struct option_row seal_rows[] = {
    {NULL, "FILE", "what is to be sealed; default: standard input", TO(from)},
    {"out", "FILE", "where it goes; it is never overwritten", TO(path), .letter = 'o',
     .needed = "where does it go?", .elsewhere = "output"},
    {0},
};
static const struct option_part create_parts[] = {
    {NULL, create_rows, 0}, {"protection", protection_rows, 0}, {0}};
static const struct option_part seal_parts[] = {
    {NULL, seal_rows, 0}, {"protection", protection_rows, 0}, {0}};

const struct command command_key_create = {
    .name = "create",
    .summary = "make a signing key in the TPM",
    .about = "Makes a signing key in the TPM and writes FILE: only this TPM can use it. With --auth-file, "
             "--auth-fd, "
             "--auth-credential or --auth-ask it gets a password.",
    .example = "  tpmtls key create -o device.key",
    .parts = create_parts,
    .size = sizeof(struct create_options),
    .run = run_create,
};
const struct command command_key_seal = {
    .name = "seal",
    .summary = "encrypt up to 128 bytes so that only this TPM gives them back",
    .about =
        "Encrypts up to 128 bytes so that only this TPM gives them back, under the same conditions as a key.",
    .example = "  echo secret | tpmtls key seal -o secret.sealed",
    .parts = seal_parts,
    .size = sizeof(struct create_options),
    .run = run_seal,
};
