/* cli/cmd_key.c: `tpmtls key create` and `tpmtls key show`. Layer: cli. */
#include "cli/cli.h"

#include <getopt.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rc.h"

static const char usage_create[] =
    "usage: tpmtls key create -o FILE [--type p256|p384|rsa2048|rsa3072|rsa4096]\n";
static const char usage_show[] = "usage: tpmtls key show FILE|handle:0x81...\n";
static const char usage_key[] =
    "usage: tpmtls key create -o FILE [--type p256|p384|rsa2048|rsa3072|rsa4096]\n"
    "       tpmtls key show FILE|handle:0x81...\n"
    "\n"
    "create makes a signing key in the TPM and writes FILE (TSS2 PRIVATE KEY, mode 0600): only this TPM can "
    "use it.\n"
    "p256 is the default: the fastest on most chips. FILE is never overwritten.\n"
    "show tells what a key is and where it lives; it also takes a software key (PKCS#8).\n";

static void print_json(json_t *root)
{
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(root);
}

static int create_run(const struct cli *cli, const char *path, enum tt_key_type type)
{
    struct tt_error err = {0};
    struct tt_tpm *tpm;
    if (cli_open_tpm(&tpm, cli, &err) != TT_OK)
        return cli_fail(&err);
    TT_AUTO(mem_free_auto) char *pem = NULL;
    tt_rc rc = tt_key_create(&pem, tpm, type, &err);
    if (rc == TT_OK)
        rc = cli_write_file(path, (struct tt_bytes){(const uint8_t *)pem, strlen(pem)}, 0600, true, &err);
    if (rc == TT_OK && strcmp(path, "-") != 0) {
        if (cli->json)
            print_json(json_pack("{s:s, s:s}", "file", path, "type", tt_key_type_name(type)));
        else
            cli_note("made a %s key in the TPM (%s), wrote %s", tt_key_type_name(type), tt_tpm_describe(tpm),
                     path);
    }
    tt_tpm_close(tpm);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

/* Refuse before the TPM works for it: making an RSA key takes seconds on a chip. */
static bool is_taken(const char *path)
{
    return strcmp(path, "-") != 0 && access(path, F_OK) == 0;
}

static int cmd_key_create(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},
        {"type", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *path = NULL;
    enum tt_key_type type = TT_KEY_P256;
    for (int c; (c = cli_getopt(argc, argv, "o:t:h", options)) != -1;) {
        if (c == 'o') {
            path = optarg;
        } else if (c == 't') {
            if (tt_key_type_parse(&type, optarg) != TT_OK)
                return cli_usage(usage_create, "'%s' is not a type of key", optarg);
        } else if (c == 'h') {
            fputs(usage_key, stdout);
            return CLI_OK;
        } else {
            return cli_bad_option(usage_create, argv, c);
        }
    }
    if (optind < argc)
        return cli_usage(usage_create, "'%s' is one word too many", argv[optind]);
    if (path == NULL)
        return cli_usage(usage_create, "where should the key go? -o FILE");
    if (is_taken(path)) {
        struct tt_error err = {0};
        (void)error_set(&err, TT_ERR_EXISTS, "%s is already there and is not overwritten", path);
        error_hint(&err, "choose another name; a key that is removed cannot be made again");
        return cli_fail(&err);
    }
    return create_run(cli, path, type);
}

static void hex_of(char *ret, size_t cap, struct tt_bytes b)
{
    static const char digits[] = "0123456789abcdef";
    size_t n = 0;
    for (size_t i = 0; i < b.len && n + 2 < cap; i++) {
        ret[n++] = digits[b.data[i] >> 4];
        ret[n++] = digits[b.data[i] & 15];
    }
    ret[n] = '\0';
}

static json_t *describe(const struct cli_key *k)
{
    char hex[2 * 66 + 1];
    uint16_t schemes[16];
    size_t n = tt_key_schemes(k->key, schemes, TT_COUNT(schemes));
    json_t *names = json_array();
    for (size_t i = 0; i < n && i < TT_COUNT(schemes); i++)
        (void)json_array_append_new(names, json_string(tt_scheme_name(schemes[i])));
    json_t *root = json_pack("{s:s, s:s, s:o}", "type", tt_key_type_name(tt_key_type(k->key)), "where",
                             tt_key_is_tpm(k->key) ? "tpm" : "software", "schemes", names);
    if (k->tpm != NULL) {
        (void)json_object_set_new(root, "tpm", json_string(tt_tpm_describe(k->tpm)));
        (void)json_object_set_new(root, "emulated", json_boolean(tt_tpm_is_emulated(k->tpm)));
        hex_of(hex, sizeof hex, tt_key_name(k->key));
        (void)json_object_set_new(root, "tpm_name", json_string(hex));
    }
    return root;
}

static void print_text(json_t *root)
{
    const json_t *tpm = json_object_get(root, "tpm");
    printf("type:        %s\n", json_string_value(json_object_get(root, "type")));
    if (tpm != NULL)
        printf("lives in:    the TPM (%s)\n", json_string_value(tpm));
    else
        printf("lives in:    software: whoever reads the file has the key\n");
    printf("schemes:     ");
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(root, "schemes"), i, name)
        printf("%s%s", i > 0 ? ", " : "", json_string_value(name));
    printf("\n");
    if (tpm != NULL)
        printf("TPM name:    %s\n", json_string_value(json_object_get(root, "tpm_name")));
}

static int cmd_key_show(const struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    for (int c; (c = cli_getopt(argc, argv, "h", options)) != -1;) {
        if (c != 'h')
            return cli_bad_option(usage_show, argv, c);
        fputs(usage_key, stdout);
        return CLI_OK;
    }
    if (argc - optind != 1)
        return cli_usage(usage_show, "which key? one FILE or handle:0x81...");
    struct tt_error err = {0};
    struct cli_key k;
    if (cli_open_key(&k, cli, argv[optind], &err) != TT_OK)
        return cli_fail(&err);
    json_t *root = describe(&k);
    if (cli->json)
        print_json(json_incref(root));
    else
        print_text(root);
    json_decref(root);
    cli_close_key(&k);
    return CLI_OK;
}

int cmd_key(const struct cli *cli, int argc, char **argv)
{
    if (argc < 2)
        return cli_usage(usage_key, "key: create or show?");
    if (strcmp(argv[1], "create") == 0)
        return cmd_key_create(cli, argc - 1, argv + 1);
    if (strcmp(argv[1], "show") == 0)
        return cmd_key_show(cli, argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0) {
        fputs(usage_key, stdout);
        return CLI_OK;
    }
    return cli_usage(usage_key, "there is no command 'key %s'", argv[1]);
}
