/* cli/cmd_key.c: `tpmtls key`: its subcommands and its help. Layer: cli. */
#include "cli/cmd_key.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/rc.h"

const char key_usage[] =
    "usage: tpmtls key create [-o FILE] [--persist 0x81...] [--type TYPE] [--pcr PCRS] [--policy-key "
    "PUBLIC]\n"
    "                         [--policy-secret WHO] [--description TEXT] [--no-lockout] [--auth-file F ...]\n"
    "       tpmtls key show FILE|handle:0x81...\n"
    "       tpmtls key list\n"
    "       tpmtls key persist FILE 0x81...\n"
    "       tpmtls key evict 0x81...\n"
    "       tpmtls key import FILE -o FILE [--description TEXT] [--no-lockout] [--auth-file F ...]\n"
    "       tpmtls key wrap --for PUBLIC [--parent HANDLE] FILE -o FILE [--description TEXT] [--no-lockout]\n"
    "                       [--auth-file F ...]\n"
    "       tpmtls key srk -o FILE\n"
    "       tpmtls key seal [FILE] -o FILE [--pcr PCRS] [--policy-key PUBLIC] [--policy-secret WHO]\n"
    "                       [--description TEXT] [--no-lockout] [--auth-file F ...]\n"
    "       tpmtls key unseal FILE [-o FILE] [--auth-file F ...]\n";

static const char help[] =
    "\n"
    "create makes a signing key in the TPM and writes FILE (TSS2 PRIVATE KEY, mode 0600): only this TPM can "
    "use\n"
    "it. FILE is never overwritten.\n"
    "  --type TYPE    p256 (the default: the fastest on most chips), p384, p521, rsa2048, rsa3072, rsa4096\n"
    "  --persist 0x81...  keep it in the TPM at this handle (0x81000000 to 0x817fffff), where nothing may "
    "be\n"
    "                 yet; FILE may then be left out\n"
    "  --pcr PCRS     usable only while these PCRs have their present values, such as sha256:0,2,7\n"
    "  --policy-key PUBLIC  usable under policies signed by this key (PEM PUBLIC KEY): `tpmtls policy sign`\n"
    "  --policy-secret WHO  whoever uses it must know the password of owner, endorsement or lockout\n"
    "  --auth-...     it gets a password; wrong ones count towards the TPM's lockout, unless "
    "--no-lockout\n" CLI_AUTH_USAGE
    "show explains a key file field by field, or a key at a handle; software keys (PKCS#8), too.\n"
    "list shows the keys at persistent handles; persist keeps the key of a file at one; evict removes one.\n"
    "import brings a software key (PKCS#8), or an importable key file, into this TPM: FILE then works like "
    "one\n"
    "that create made. wrap does the first half of it on another machine, which needs no TPM: PUBLIC is the\n"
    "target's storage root key (`tpmtls key srk` there, a TPM2B_PUBLIC, or a PEM PUBLIC KEY). A key that "
    "was\n"
    "ever outside of a TPM may have been copied: neither can undo that.\n"
    "seal encrypts up to 128 bytes (standard input, or a file) so that only this TPM gives them back, under "
    "the\n"
    "same conditions as a key; unseal does that (to standard output, or a file).\n";

int key_help(void)
{
    return printf("%s%s", key_usage, help) < 0 ? CLI_FAILURE : CLI_OK;
}

int key_only_out(const char **ret, int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
    for (int c; (c = cli_getopt(argc, argv, "o:h", options)) != -1;) {
        if (c == 'h')
            return key_help();
        if (c != 'o')
            return cli_bad_option(key_usage, argv, c);
        *ret = optarg;
    }
    return -1;
}

bool key_only_help(int *ret, int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    int c = cli_getopt(argc, argv, "h", options);
    if (c == -1)
        return false;
    *ret = c == 'h' ? key_help() : cli_bad_option(key_usage, argv, c);
    return true;
}

tt_rc key_parse_handle(uint32_t *ret, const char *text, struct tt_error *err)
{
    static const char prefix[] = "handle:";
    const char *number = strncmp(text, prefix, sizeof prefix - 1) == 0 ? text + sizeof prefix - 1 : text;
    char *end = NULL;
    errno = 0;
    unsigned long handle = strncmp(number, "0x", 2) == 0 ? strtoul(number, &end, 16) : 0;
    if (end == NULL || *end != '\0' || errno != 0 || strlen(number) != 10) {
        (void)error_set(err, TT_ERR_USAGE, "'%s' is not a TPM handle", text);
        error_hint(err, "a persistent handle is written in full, such as 0x81000010");
        return TT_ERR_USAGE;
    }
    *ret = (uint32_t)handle;
    return TT_OK;
}

tt_rc key_refuse_taken(const char *path, struct tt_error *err)
{
    if (path == NULL || strcmp(path, "-") == 0 || access(path, F_OK) != 0)
        return TT_OK;
    (void)error_set(err, TT_ERR_EXISTS, "%s is already there and is not overwritten", path);
    error_hint(err, "choose another name; a key that is removed cannot be made again");
    return TT_ERR_EXISTS;
}

void key_hex(char *ret, struct tt_bytes b)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < b.len; i++) {
        *ret++ = digits[b.data[i] >> 4];
        *ret++ = digits[b.data[i] & 15];
    }
    *ret = '\0';
}

int cmd_key(const struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli *cli, int argc, char **argv);
    } commands[] = {{"create", cmd_key_create},   {"show", cmd_key_show},   {"list", cmd_key_list},
                    {"persist", cmd_key_persist}, {"evict", cmd_key_evict}, {"import", cmd_key_import},
                    {"wrap", cmd_key_wrap},       {"srk", cmd_key_srk},     {"seal", cmd_key_seal},
                    {"unseal", cmd_key_unseal}};
    if (argc < 2)
        return cli_usage(key_usage,
                         "key: create, show, list, persist, evict, import, wrap, srk, seal or unseal?");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return key_help();
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(cli, argc - 1, argv + 1);
    return cli_usage(key_usage, "there is no command 'key %s'", argv[1]);
}
