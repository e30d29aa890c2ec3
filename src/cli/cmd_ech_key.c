/* cli/cmd_ech_key.c: `tpmtls ech-key`: a key for Encrypted Client Hello, and what clients need of it. Layer:
 * cli. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/rc.h"
#include "cli/command.h"
#include "tpmtls/tls.h"

struct ech_key {
    const char *out, *public_name;
    unsigned long max_name_length;
    enum {
        KEM_X25519,
        KEM_P256
    } kem;
    bool in_tpm;
};

static tt_rc make_in_tpm(char **ret_pem, uint8_t ret_public[TT_ECDH_POINT], const struct cli *cli,
                         struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    struct tt_ecdh *key = NULL;
    TT_TRY(cli_no_auth(cli, "ech-key", err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    const struct tt_key_params params = {.description = "tpmtls ECH key"};
    tt_rc rc = tt_ecdh_create(ret_pem, tpm, &params, err);
    if (rc == TT_OK)
        rc = tt_ecdh_open_pem(&key, tpm, (struct tt_bytes){(const uint8_t *)*ret_pem, strlen(*ret_pem)}, NULL,
                              err);
    if (rc == TT_OK)
        tt_ecdh_public(key, ret_public);
    tt_ecdh_free(key);
    tt_tpm_close(tpm);
    return rc;
}

static tt_rc make(struct buf *ret, const struct cli *cli, const struct ech_key *o, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *key = NULL;
    TT_AUTO(mem_free_auto) uint8_t *pem = NULL;
    size_t len = 0;
    uint8_t public_key[TT_ECDH_POINT];
    struct tt_ech_config_params params = {.public_name = o->public_name,
                                          .maximum_name_length = (uint8_t)o->max_name_length,
                                          .kem =
                                              o->kem == KEM_P256 || o->in_tpm ? TT_KEM_P256 : TT_KEM_X25519};
    if (getrandom(&params.config_id, 1, 0) != 1)
        return error_set(err, TT_ERR_INTERNAL, "there is no randomness");
    if (o->in_tpm) {
        TT_TRY(make_in_tpm(&key, public_key, cli, err));
        params.public_key = (struct tt_bytes){public_key, sizeof public_key};
        TT_TRY(buf_append(ret, key, strlen(key)));
    }
    TT_TRY(tt_ech_config_make(&pem, &len, &params, err));
    return buf_append(ret, pem, len);
}

/* What the ech parameter of the HTTPS record is: the text of the last block. */
static void print_base64(struct tt_bytes pem)
{
    static const char begin[] = "-----BEGIN ECHCONFIG-----";
    const char *end = (const char *)pem.data + pem.len;
    const char *at = pem.len > 0 ? memmem(pem.data, pem.len, begin, sizeof begin - 1) : NULL;
    for (at = at != NULL ? at + sizeof begin - 1 : end; at < end && *at != '-'; at++)
        if (*at != '\n')
            (void)putchar(*at);
    (void)putchar('\n');
}

static int run(const struct cli *cli, void *options)
{
    const struct ech_key *o = options;
    TT_AUTO(buf_free) struct buf pem = {0};
    struct tt_error err = {0};
    tt_rc rc = make(&pem, cli, o, &err);
    if (rc == TT_OK)
        rc = cli_write_file(o->out, buf_bytes(&pem), (struct file_want){0600, FILE_NEW}, &err);
    if (rc != TT_OK) {
        (void)error_set(&err, rc, "no ECH key could be made");
        return cli_fail(&err);
    }
    cli_wrote(o->out, o->in_tpm ? "an ECH key, useless without this TPM"
                                : "an ECH key: whoever reads it reads the names that clients ask for");
    if (strcmp(o->out, "-") != 0)
        print_base64(buf_bytes(&pem));
    return CLI_OK;
}

#define TO(member) OPTION_TO(struct ech_key, member)

static const struct option_row ech_key_rows[] = {
    {"out", "FILE", "written with mode 0600, for `serve --ech-key`; an existing file is not touched", TO(out),
     .letter = 'o', .needed = "where does the key go?", .elsewhere = "output"},
    {"public-name", "NAME",
     "the name that everybody may see: clients ask for it in the clear, and the server needs a certificate "
     "for it",
     TO(public_name), .needed = "which name may everybody see?", .elsewhere = "public_name"},
    {"kem", NULL, "how names are encrypted; most clients can do x25519", TO(kem),
     .choices = "x25519 p256=P-256"},
    {"in-tpm", NULL,
     "make a P-256 key in the TPM instead, from which it never comes out; each handshake takes one command "
     "more. The file is useless elsewhere",
     TO(in_tpm), .elsewhere = "tpm"},
    {"max-name-length", "N", "bytes of the longest name behind it, up to which clients pad; 0: not known",
     TO(max_name_length), .max = 255, .elsewhere = "max_name_len"},
    {0},
};
static const struct option_part ech_key_parts[] = {{NULL, ech_key_rows, 0}, {0}};

const struct command command_ech_key = {
    .name = "ech-key",
    .summary = "make a key for Encrypted Client Hello",
    .about = "Makes a key with which a server reads the names that clients encrypt (RFC 9849), as PEM of RFC "
             "9934. On stdout "
             "comes the ECHConfigList in base64: the ech parameter of the server's HTTPS record in the DNS.",
    .example = "  tpmtls ech-key -o server.ech --public-name public.example\n"
               "  tpmtls ech-key -o server.ech --public-name public.example --in-tpm",
    .parts = ech_key_parts,
    .size = sizeof(struct ech_key),
    .run = run,
};
