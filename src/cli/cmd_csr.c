/* cli/cmd_csr.c: `tpmtls csr`: a certificate request signed by a key, most often one in the TPM. Layer: cli.
 */
#include "cli/cli.h"

#include <getopt.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/key_signer.h"

#define SANS_MAX 100

static const char usage[] =
    "usage: tpmtls csr --key FILE|handle:0x81... --subject DN [--san NAME]... [-o FILE]\n";
static const char help[] =
    "\n"
    "Writes a certificate request (PKCS#10, PEM) that a CA turns into a certificate. The key signs it once.\n"
    "\n"
    "  --key KEY      a TSS2 PRIVATE KEY file, handle:0x81..., or a PKCS#8 software key\n"
    "  --subject DN   for instance '/O=Example/CN=device-1'; put \\ in front of a / or + that belongs to a "
    "value\n"
    "  --san NAME     DNS:name, IP:address, URI:uri or email:address; as often as needed. A server needs "
    "its\n"
    "                 DNS names or addresses here\n"
    "  -o FILE        where it goes (default: standard output)\n";

struct csr_options {
    const char *key, *subject, *out;
    const char *sans[SANS_MAX];
    size_t sans_len;
};

static int csr_run(const struct cli *cli, const struct csr_options *o)
{
    struct tt_error err = {0};
    struct cli_key key = {0};
    TT_AUTO(mem_free_auto) char *pem = NULL;
    if (cli_open_key(&key, cli, o->key, &err) != TT_OK)
        return cli_fail(&err);
    struct tt_csr_params params = {.subject = o->subject, .sans = o->sans, .sans_len = o->sans_len};
    struct tt_pki_signer signer = key_signer(key.key);
    tt_rc rc = tt_csr_create(&pem, &params, &signer, &err);
    cli_close_key(&key);
    if (rc == TT_OK)
        rc = cli_write_file(o->out, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0644, false, &err);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

int cmd_csr(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'}, {"subject", required_argument, NULL, 's'},
        {"san", required_argument, NULL, 'n'}, {"out", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},      {0},
    };
    struct csr_options o = {0};
    for (int c; (c = cli_getopt(argc, argv, "o:h", options)) != -1;) {
        if (c == 'k')
            o.key = optarg;
        else if (c == 's')
            o.subject = optarg;
        else if (c == 'o')
            o.out = optarg;
        else if (c == 'n' && o.sans_len < SANS_MAX)
            o.sans[o.sans_len++] = optarg;
        else if (c == 'n')
            return cli_usage(usage, "more than %d alternative names", SANS_MAX);
        else if (c == 'h')
            return printf("%s%s", usage, help) < 0 ? CLI_FAILURE : CLI_OK;
        else
            return cli_bad_option(usage, argv, c);
    }
    if (optind < argc)
        return cli_usage(usage, "'%s' is one word too many", argv[optind]);
    if (o.key == NULL)
        return cli_usage(usage, "which key? --key FILE");
    if (o.subject == NULL)
        return cli_usage(usage, "for whom is the certificate? --subject '/O=Example/CN=device-1'");
    return csr_run(cli, &o);
}
