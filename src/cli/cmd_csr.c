/* cli/cmd_csr.c: `tpmtls csr`: a certificate request signed by a key, most often one in the TPM. Layer: cli.
 */
#include "cli/command.h"

#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/key_signer.h"
#include "tpmtls/attest.h"

#define SANS_MAX 100

struct csr_options {
    const char *key, *subject, *out, *evidence;
    struct option_list sans;
    bool force;
};

/* The attribute that holds it; owned: mem_free. */
static tt_rc evidence_take(uint8_t **ret, size_t *ret_len, const char *path, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    TT_AUTO(mem_free_auto) uint8_t *der = NULL;
    size_t text_len = 0, len = 0;
    if (path == NULL)
        return TT_OK;
    TT_TRY(cli_read_file(&text, &text_len, path, err));
    TT_TRY(tt_attest_from_text(&der, &len, TT_ATTEST_EVIDENCE,
                               (struct tt_bytes){(const uint8_t *)text, text_len}, err));
    return tt_evidence_attribute(ret, ret_len, (struct tt_bytes){der, len}, err);
}

static int csr_run(const struct cli *cli, void *options)
{
    const struct csr_options *o = options;
    struct tt_error err = {0};
    struct cli_key key = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    TT_AUTO(mem_free_auto) uint8_t *attribute = NULL;
    size_t attribute_len = 0;
    const struct file_want want = {0644, o->force ? FILE_FORCE : FILE_REPLACE};
    if (cli_may_write(o->out, HOLDS_REQUEST, want.over, &err) != TT_OK ||
        evidence_take(&attribute, &attribute_len, o->evidence, &err) != TT_OK ||
        cli_open_key(&key, cli, o->key, &err) != TT_OK)
        return cli_fail(&err);
    const struct tt_bytes attributes = {attribute, attribute_len};
    struct tt_csr_params params = {.subject = o->subject,
                                   .sans = o->sans.at,
                                   .sans_len = o->sans.len,
                                   .attributes = &attributes,
                                   .attributes_len = attribute_len > 0};
    struct tt_pki_signer signer = key_signer(key.key);
    tt_rc rc = tt_csr_create(&pem, &params, &signer, &err);
    cli_close_key(&key);
    if (rc == TT_OK)
        rc = cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, want, &err);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_wrote(o->out, "a certificate request; a CA makes the certificate from it (`tpmtls ca sign`)");
    return CLI_OK;
}

#define TO(member) OPTION_TO(struct csr_options, member)

static const struct option_row csr_rows[] = {
    {"key", "KEY",
     "a TSS2 PRIVATE KEY file, handle:0x81..., or a PKCS#8 software key; an attestation key, too", TO(key),
     .needed = "which key?"},
    {"subject", "DN",
     "for instance '/O=Example/CN=device-1'; put \\ in front of a / or + that belongs to a value; / alone: "
     "none, "
     "only the names of --san",
     TO(subject), .needed = "for whom is the certificate?", .elsewhere = "subj"},
    {"san", "NAME",
     "DNS:name, IP:address, URI:uri, email:address, UPN:name@realm or HardwareModuleName:OID:HEX. A server "
     "needs its DNS names or addresses here",
     TO(sans), .max = SANS_MAX, .elsewhere = "addext", .words = "DNS: IP: URI: email:"},
    {"evidence", "FILE", "with this evidence that the key is in a TPM (tpmtls attest make)", TO(evidence)},
    {"out", "FILE", "where it goes, over a former request if one is there; default: standard output", TO(out),
     .letter = 'o', .elsewhere = "output"},
    CLI_FORCE_ROW(TO(force)),
    {0},
};
static const struct option_part csr_parts[] = {{NULL, csr_rows, 0}, {0}};

const struct command command_csr = {
    .name = "csr",
    .summary = "write a certificate request signed by the TPM",
    .about = "Writes a certificate request (PKCS#10, PEM) that a CA turns into a certificate. The key signs "
             "it once.",
    .example = "  tpmtls csr --key device.key --subject '/O=Example/CN=device-1' -o device.csr",
    .parts = csr_parts,
    .size = sizeof(struct csr_options),
    .run = csr_run,
};
