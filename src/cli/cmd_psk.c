/* cli/cmd_psk.c: `tpmtls psk import|show`: external PSKs, in the TPM or in software. Layer: cli. RFC 9257 has
 * the rules for their use, RFC 9258 the importer. */
#include <jansson.h>
#include <string.h>

#include "base/rc.h"
#include "cli/command.h"
#include "cli/psk_file.h"

struct psk_options {
    const char *identity, *context, *out, *file, *parent;
    enum tt_role role; /* zero is the client */
    enum psk_hash {
        HASH_SHA256,
        HASH_SHA384
    } hash;
    bool plain, software, binary;
};

/* ---- import ---- */

/* RFC 9257 section 6: "Each PSK SHOULD be derived from at least 128 bits of entropy, MUST be at least 128
 * bits long". Length can be seen; of entropy only its absence: 16 random bytes have fewer than 8 different
 * values once in 10^9 times. */
static tt_rc secret_check(struct tt_bytes secret, struct tt_error *err)
{
    bool seen[256] = {false};
    unsigned different = 0;
    for (size_t i = 0; i < secret.len; i++) {
        different += !seen[secret.data[i]];
        seen[secret.data[i]] = true;
    }
    if (secret.len >= 16 && different >= 8)
        return TT_OK;
    (void)error_set(err, TT_ERR_USAGE,
                    secret.len < 16 ? "the secret has %zu bytes; a PSK has at least 16 (128 bits)"
                                    : "the secret of %zu bytes is not random: it can be guessed",
                    secret.len);
    error_hint(err, "`openssl rand -hex 32` makes one; a password is no PSK, whatever its length (RFC 9257)");
    return TT_ERR_USAGE;
}

static tt_rc session_make(struct tt_session **ret, const struct psk_options *o, struct tt_bytes secret,
                          struct tt_error *err)
{
    const char *id = o->identity != NULL ? o->identity : "";
    struct tt_bytes identity = {(const uint8_t *)id, strlen(id)};
    const struct tt_psk_import what = {
        .identity = identity,
        .context = {(const uint8_t *)o->context, o->context != NULL ? strlen(o->context) : 0},
        .key = secret,
        .sha384 = o->hash == HASH_SHA384};
    return o->plain ? tt_session_new_external(ret, identity, secret, o->hash == HASH_SHA384, err)
                    : tt_session_new_imported(ret, &what, err);
}

/* The text of the file, the PSK itself in it only when it stays in software. */
static tt_rc file_make(char **ret, const struct cli *cli, const struct psk_options *o,
                       const struct tt_session *s, struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    struct tt_session *held = NULL;
    struct held_files files = {0};
    if (o->software)
        return psk_file_text(ret, o->role, s, NULL, err);
    TT_TRY(cli_open_tpm_under(&tpm, cli, o->parent, err));
    /* the files of the two keys say what they are for, where it is short */
    bool is_short = o->identity != NULL && strlen(o->identity) < 200;
    const char *description = is_short ? o->identity : "PSK";
    tt_rc rc = held_provision(&held, &files, tpm, s, description, err);
    if (rc == TT_OK)
        rc = psk_file_text(ret, o->role, held, &files, err);
    held_files_free(&files);
    tt_session_free(held);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc import_run(const struct cli *cli, const struct psk_options *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *secret = NULL; /* wiped with the block */
    TT_AUTO(mem_free_auto) char *text = NULL;
    struct tt_session *s = NULL;
    size_t len = 0;
    TT_TRY(cli_no_auth(cli, "psk import", err));
    TT_TRY(cli_read_file(&secret, &len, "-", err));
    if (!o->binary && !cli_from_hex(secret, &len))
        return error_set(err, TT_ERR_USAGE,
                         "the secret on standard input is not hexadecimal (--binary takes bytes)");
    struct tt_bytes bytes = {(const uint8_t *)secret, len};
    TT_TRY(secret_check(bytes, err));
    TT_TRY(session_make(&s, o, bytes, err));
    tt_rc rc = file_make(&text, cli, o, s, err);
    tt_session_free(s);
    TT_TRY(rc);
    return cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)text, strlen(text)},
                          (struct file_want){0600, FILE_NEW}, err);
}

static int run_import(const struct cli *cli, void *options)
{
    const struct psk_options *o = options;
    struct tt_error err = {0};
    if (o->identity[0] == '\0')
        return cli_usage(cli, "who is it? --identity ID");
    if (o->hash == HASH_SHA384 && !o->software)
        return cli_usage(cli, "the TPM holds PSKs for sha256 only; --software keeps this one in the file");
    if (import_run(cli, o, &err) != TT_OK)
        return cli_fail(&err);
    cli_note(o->software ? "wrote %s: a software PSK for the %s; whoever reads it has the PSK"
                         : "wrote %s: a PSK for the %s, useless without this TPM",
             o->out, o->role == TT_CLIENT ? "client" : "server");
    return CLI_OK;
}

/* ---- show ---- */

static int run_show(const struct cli *cli, void *options)
{
    const struct psk_options *o = options;
    struct tt_error err = {0};
    struct psk_file f = {0};
    struct tt_session_info info;
    TT_AUTO(mem_free_auto) char *identity = NULL;
    if (psk_file_read(&f, o->file, &err) != TT_OK)
        return cli_fail(&err);
    tt_session_info(f.session, &info);
    if (psk_identity_text(&identity, info.identity, info.imported) != TT_OK) {
        psk_file_close(&f);
        (void)error_set(&err, TT_ERR_MEMORY, "no memory for the identity");
        return cli_fail(&err);
    }
    const char *role = f.role == TT_CLIENT ? "client" : "server", *where = info.held ? "tpm" : "software";
    const char *hash = info.suite == TT_SUITE_AES_256_GCM_SHA384 ? "sha384" : "sha256";
    if (cli->json) {
        json_t *root = json_pack("{s:s, s:s, s:s, s:b, s:s}", "identity", identity, "role", role, "where",
                                 where, "imported", info.imported, "hash", hash);
        (void)json_dumpf(root, stdout, JSON_INDENT(2));
        (void)putchar('\n');
        json_decref(root);
    } else {
        printf("identity:  %s\nrole:      %s\nwhere:     %s\nimporter:  %s\nhash:      %s\n", identity, role,
               where, info.imported ? "RFC 9258" : "none", hash);
    }
    psk_file_close(&f);
    return CLI_OK;
}

/* ---- the commands ---- */

#define TO(member) OPTION_TO(struct psk_options, member)

static const struct option_row import_rows[] = {
    {"identity", "ID", "who it is; the other end reads it in the clear", TO(identity),
     .needed = "who is it?"},
    {"role", NULL, "which end this is; default: client. Nobody uses one PSK as both", TO(role),
     .choices = "client server"},
    {"context", "TEXT", "what it was agreed on for: best, the names of both ends", TO(context),
     .not_with = "plain", .why = "the context goes into the importer"},
    {"hash", NULL, "for the suites of which hash; default: sha256. sha384 needs --software", TO(hash),
     .choices = "sha256 sha384"},
    {"plain", NULL,
     "the secret as it is, without the importer of RFC 9258: for peers that do not know it (OpenSSL, GnuTLS)",
     TO(plain)},
    {"software", NULL, "leave it in the file: whoever reads that has it", TO(software)},
    {"binary", NULL, "the secret is bytes, not hexadecimal", TO(binary)},
    CLI_PARENT_ROW(TO(parent)),
    {"out", "FILE", "where it goes", TO(out), .letter = 'o', .needed = "where does it go?",
     .elsewhere = "output"},
    {0},
};
static const struct option_row show_rows[] = {
    {NULL, "FILE", "that `tpmtls psk import` made", TO(file), .needed = "which one?"},
    {0},
};
static const struct option_part import_parts[] = {{NULL, import_rows, 0}, {0}};
static const struct option_part show_parts[] = {{NULL, show_rows, 0}, {0}};

static const struct command command_import = {
    .name = "import",
    .summary = "bring a secret that one client and one server share into the TPM",
    .about = "Reads a secret on standard input, and makes the file that `connect --psk` or `serve --psk` "
             "takes. The secret "
             "goes into the TPM and never comes back: the file is useless without this TPM. Each end imports "
             "the same "
             "secret with the same identity and context, one as client, one as server. The secret is random: "
             "at least 128 "
             "bits (`openssl rand -hex 32`). Wipe it when both ends have it.",
    .example =
        "  openssl rand -hex 32 | tpmtls psk import --identity meter-7 --context 'meter-7 to hub' -o psk.pem",
    .parts = import_parts,
    .size = sizeof(struct psk_options),
    .run = run_import,
};
static const struct command command_show = {
    .name = "show",
    .summary = "tell about the file of a PSK",
    .example = "  tpmtls psk show psk.pem",
    .parts = show_parts,
    .size = sizeof(struct psk_options),
    .run = run_show,
};

static const struct command *const subcommands[] = {&command_import, &command_show, NULL};

const struct command command_psk = {
    .name = "psk",
    .summary = "put pre-shared keys into the TPM",
    .subcommands = subcommands,
};
