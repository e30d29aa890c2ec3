/* cli/key_handles.c: `tpmtls key list`, `persist` and `evict`: keys at persistent handles. Layer: cli. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/cmd_key.h"
#include "cli/term.h"

static void list_json(const struct tt_persistent *list, size_t n)
{
    json_t *root = json_array();
    for (size_t i = 0; i < n; i++) {
        char hex[2 * sizeof list[i].name + 1], attributes[256];
        key_hex(hex, (struct tt_bytes){list[i].name, list[i].name_len});
        tt_attributes_text(attributes, sizeof attributes, list[i].attributes);
        json_t *entry =
            json_pack("{s:s, s:s, s:s}", "type", list[i].type, "attributes", attributes, "name", hex);
        (void)json_object_set_new(entry, "handle", json_sprintf("0x%08x", list[i].handle));
        (void)json_array_append_new(root, entry);
    }
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(root);
}

static void list_text(const struct tt_persistent *list, size_t n)
{
    if (n == 0) {
        cli_note("there is no key at a persistent handle");
        return;
    }
    int width = 4;
    for (size_t i = 0; i < n; i++)
        width = (int)strlen(list[i].type) > width ? (int)strlen(list[i].type) : width;
    printf("%s%-10s  %-*s  %-18s  %s%s\n", term_on(TERM_HEAD), "HANDLE", width, "TYPE", "NAME", "ATTRIBUTES",
           term_off());
    for (size_t i = 0; i < n; i++) {
        char hex[2 * sizeof list[i].name + 1], attributes[256];
        key_hex(hex, (struct tt_bytes){list[i].name, list[i].name_len});
        tt_attributes_text(attributes, sizeof attributes, list[i].attributes);
        printf("0x%08x  %-*s  %.16s..  %s%s%s\n", list[i].handle, width, list[i].type, hex, term_on(TERM_DIM),
               attributes, term_off());
    }
}

static int run_list(const struct cli *cli, void *options)
{
    (void)options;
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    size_t n = 0;
    if (cli_open_tpm(&tpm, cli, &err) != TT_OK)
        return cli_fail(&err);
    tt_rc rc = tt_persistent_list(&list, &n, tpm, &err);
    tt_tpm_close(tpm);
    if (rc != TT_OK)
        return cli_fail(&err);
    if (cli->json)
        list_json(list, n);
    else
        list_text(list, n);
    return CLI_OK;
}

static tt_rc persist(const struct cli *cli, const char *path, uint32_t handle, struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *pem = NULL;
    size_t len = 0;
    struct tt_tpm *tpm = NULL;
    TT_TRY(cli_read_file(&pem, &len, path, err));
    struct tt_bytes text = {(const uint8_t *)pem, len};
    struct tt_keyfile_info info;
    TT_TRY(tt_keyfile_inspect(&info, text, err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = cli_tpm_says(tt_key_persist(tpm, text, handle, err), err);
    tt_tpm_close(tpm);
    if (rc == TT_OK && info.has_policy)
        cli_note("the key is under a policy, which only its file tells: keep using --key %s", path);
    return rc;
}

struct handle_options {
    const char *file, *handle;
};

static int run_persist(const struct cli *cli, void *options)
{
    const struct handle_options *o = options;
    uint32_t handle = 0;
    struct tt_error err = {0};
    tt_rc rc = cli_parse_handle(&handle, o->handle, &err);
    if (rc == TT_OK)
        rc = persist(cli, o->file, handle, &err);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_note("the key of %s is now at 0x%08x, too: --key handle:0x%08x", o->file, handle, handle);
    return CLI_OK;
}

static int run_evict(const struct cli *cli, void *options)
{
    const struct handle_options *o = options;
    uint32_t handle = 0;
    struct tt_error err = {0};
    struct tt_tpm *tpm = NULL;
    tt_rc rc = cli_parse_handle(&handle, o->handle, &err);
    if (rc == TT_OK)
        rc = cli_open_tpm(&tpm, cli, &err);
    if (rc == TT_OK)
        rc = cli_tpm_says(tt_key_evict(tpm, handle, &err), &err);
    tt_tpm_close(tpm);
    if (rc != TT_OK)
        return cli_fail(&err);
    cli_note("removed the key at 0x%08x", handle);
    return CLI_OK;
}

#define TO(member) OPTION_TO(struct handle_options, member)

static const struct option_row persist_rows[] = {
    {NULL, "FILE", "the key's file", TO(file), .needed = "which key? one"},
    {NULL, "0x81...", "the handle, 0x81000000 to 0x817fffff", TO(handle), .needed = "where to? one"},
    {0},
};
static const struct option_row evict_rows[] = {
    {NULL, "0x81...", "the handle", TO(handle), .needed = "which key? one"},
    {0},
};
static const struct option_part persist_parts[] = {{NULL, persist_rows, 0}, {0}};
static const struct option_part evict_parts[] = {{NULL, evict_rows, 0}, {0}};

const struct command command_key_list = {
    .name = "list",
    .summary = "show the keys at persistent handles",
    .example = "  tpmtls key list",
    .run = run_list,
};
const struct command command_key_persist = {
    .name = "persist",
    .summary = "keep the key of a file in the TPM, at a persistent handle",
    .example = "  tpmtls key persist device.key 0x81000010",
    .parts = persist_parts,
    .size = sizeof(struct handle_options),
    .run = run_persist,
};
const struct command command_key_evict = {
    .name = "evict",
    .summary = "remove the key at a persistent handle",
    .example = "  tpmtls key evict 0x81000010",
    .parts = evict_parts,
    .size = sizeof(struct handle_options),
    .run = run_evict,
};
