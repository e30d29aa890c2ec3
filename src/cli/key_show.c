/* cli/key_show.c: `tpmtls key show`: a key file field by field, or a key. Layer: cli. Everything is first a
 * JSON object; the text is that object, printed. */
#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/rc.h"
#include "cli/event.h"
#include "cli/cmd_key.h"

static void put(json_t *to, const char *name, json_t *value)
{
    (void)json_object_set_new(to, name, value);
}

static void put_hex(json_t *to, const char *name, struct tt_bytes b)
{
    char hex[2 * 66 + 1];
    if (b.len == 0 || b.len > 66)
        return;
    key_hex(hex, b);
    put(to, name, json_string(hex));
}

static void put_name(json_t *to, struct tt_bytes name)
{
    char uri[96];
    put_hex(to, "tpm_name", name);
    if (tt_name_uri(uri, sizeof uri, name))
        put(to, "tpm_name_uri", json_string(uri));
}

/* ---- a key that is open ---- */

static json_t *describe_key(const struct cli_key *k)
{
    uint16_t schemes[16];
    size_t n = tt_key_schemes(k->key, schemes, TT_COUNT(schemes));
    json_t *names = json_array(), *root = json_object();
    for (size_t i = 0; i < n && i < TT_COUNT(schemes); i++)
        (void)json_array_append_new(names, json_string(tt_scheme_name(schemes[i])));
    put(root, "type", json_string(tt_key_type_name(tt_key_type(k->key))));
    put(root, "where", json_string(tt_key_is_tpm(k->key) ? "tpm" : "software"));
    put(root, "schemes", names);
    if (k->tpm != NULL) {
        put(root, "tpm", json_string(tt_tpm_describe(k->tpm)));
        put(root, "emulated", json_boolean(tt_tpm_is_emulated(k->tpm)));
        put_name(root, tt_key_name(k->key));
    }
    return root;
}

/* ---- a key file ---- */

static json_t *steps_json(const struct tt_policy_info *policy)
{
    json_t *list = json_array();
    for (size_t i = 0; i < policy->len; i++)
        (void)json_array_append_new(list, json_string(policy->steps[i].text));
    return list;
}

static json_t *branches_json(const struct tt_keyfile_info *info)
{
    json_t *list = json_array();
    for (size_t i = 0; i < info->branches_len; i++) {
        json_t *one = json_object();
        put(one, "name", json_string(info->branches[i].name));
        put(one, "demands", steps_json(&info->branches[i]));
        (void)json_array_append_new(list, one);
    }
    return list;
}

static const char *exportable_text(enum tt_exportable e)
{
    switch (e) {
    case TT_EXPORT_NEVER:
        return "no: bound to its TPM for ever (fixedTPM)";
    case TT_EXPORT_WITH_PARENT:
        return "only together with its parent (fixedParent, not fixedTPM)";
    case TT_EXPORT_NOT_ALLOWED:
        return "no: it has no policy that allows TPM2_Duplicate; but it was made outside of the TPM";
    default:
        return "yes, if its policy allows TPM2_Duplicate";
    }
}

static const char *name_alg_text(uint16_t alg)
{
    return alg == 0x000b   ? "sha256"
           : alg == 0x000c ? "sha384"
           : alg == 0x000d ? "sha512"
           : alg == 0x0004 ? "sha1"
                           : "another hash";
}

static const char *parent_text(const struct tt_keyfile_info *info)
{
    switch (info->parent) {
    case 0x40000001:
        return info->rsa_parent ? "owner hierarchy, RSA storage root key"
                                : "owner hierarchy, ECC storage root key";
    case 0x4000000b:
        return "endorsement hierarchy";
    case 0x4000000c:
        return "platform hierarchy";
    case 0x40000007:
        return "null hierarchy: the key dies with the next restart";
    case 0x81000001:
        return "storage root key";
    case 0x81010001:
        return "RSA endorsement key";
    case 0x81010002:
        return "ECC endorsement key";
    default:
        return "persistent key";
    }
}

static json_t *describe_file(const struct tt_keyfile_info *info)
{
    char attributes[256];
    json_t *root = json_object();
    tt_attributes_text(attributes, sizeof attributes, info->attributes);
    put(root, "file", json_sprintf("TSS2 PRIVATE KEY, %s", info->kind));
    put(root, "type", json_string(info->type));
    put(root, "where", json_string("tpm"));
    if (info->description[0] != '\0')
        put(root, "description", cli_json_text(info->description));
    put(root, "password", json_boolean(info->needs_password));
    if (info->has_policy)
        put(root, "policy", steps_json(&info->policy));
    if (info->has_auth_policy)
        put(root, "signed_policies", branches_json(info));
    put_hex(root, "policy_digest", (struct tt_bytes){info->auth_policy, info->auth_policy_len});
    put(root, "secret", json_boolean(info->has_secret));
    put(root, "parent", json_sprintf("0x%08x (%s)", info->parent, parent_text(info)));
    put_hex(root, "parent_name", (struct tt_bytes){info->parent_name, info->parent_name_len});
    put(root, "attributes", json_string(attributes));
    put(root, "name_alg", json_string(name_alg_text(info->name_alg)));
    put_name(root, (struct tt_bytes){info->name, info->name_len});
    put(root, "private_bytes", json_integer((json_int_t)info->private_len));
    put(root, "exportable", json_string(exportable_text(info->exportable)));
    return root;
}

/* What it can do in TLS 1.3, or why nothing; the key ends here. */
static void describe_use(json_t *root, struct tt_key *key, const struct tt_error *why)
{
    struct cli_key k = {.key = key};
    if (key == NULL) {
        put(root, "refused", cli_json_text(why->text));
        return;
    }
    json_t *all = describe_key(&k);
    put(root, "schemes", json_incref(json_object_get(all, "schemes")));
    json_decref(all);
    tt_key_free(key);
}

/* Without its password nothing is done with a key; loading it has been tried. */
static void describe_schemes(json_t *root, struct tt_tpm *tpm, struct tt_bytes pem, bool needs_password)
{
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    if (needs_password)
        return;
    if (tt_key_open_pem(&key, tpm, pem, &err) != TT_OK)
        key = NULL;
    describe_use(root, key, &err);
}

/* ---- a key at a handle ---- */

static enum tt_exportable exportable(uint32_t attributes)
{
    return (attributes & 0x02) != 0   ? TT_EXPORT_NEVER
           : (attributes & 0x10) != 0 ? TT_EXPORT_WITH_PARENT
                                      : TT_EXPORT_BY_POLICY; /* which policy it has is not told */
}

static void describe_entry(json_t *root, const struct tt_persistent *e)
{
    char attributes[256];
    tt_attributes_text(attributes, sizeof attributes, e->attributes);
    put(root, "handle", json_sprintf("0x%08x", e->handle));
    put(root, "type", json_string(e->type));
    put(root, "where", json_string("tpm"));
    put(root, "attributes", json_string(attributes));
    put_name(root, (struct tt_bytes){e->name, e->name_len});
    put(root, "exportable", json_string(exportable_text(exportable(e->attributes))));
}

static tt_rc show_handle(json_t **ret, const struct cli *cli, const char *spec, struct tt_error *err)
{
    uint32_t handle = 0;
    size_t n = 0;
    struct tt_tpm *tpm = NULL;
    struct tt_key *key = NULL;
    struct tt_error why = {0};
    TT_AUTO(mem_free_auto) struct tt_persistent *list = NULL;
    TT_TRY(cli_parse_handle(&handle, spec, err));
    TT_TRY(cli_open_tpm(&tpm, cli, err));
    tt_rc rc = tt_persistent_list(&list, &n, tpm, err);
    for (size_t i = 0; rc == TT_OK && *ret == NULL && i < n; i++)
        if (list[i].handle == handle) {
            *ret = json_object();
            describe_entry(*ret, &list[i]);
        }
    if (*ret != NULL) {
        put(*ret, "tpm", json_string(tt_tpm_describe(tpm)));
        put(*ret, "emulated", json_boolean(tt_tpm_is_emulated(tpm)));
        if (tt_key_open_handle(&key, tpm, handle, &why) != TT_OK)
            key = NULL;
        describe_use(*ret, key, &why);
    } else if (rc == TT_OK) {
        rc = error_set(err, TT_ERR_TPM, "there is no key at 0x%08x in this TPM", handle);
    }
    tt_tpm_close(tpm);
    return rc;
}

/* Whether this TPM can load it; where it cannot, or there is none, that is how the command ends, after all
 * that the file says was shown. */
static tt_rc describe_load(json_t *root, const struct cli *cli, struct tt_bytes pem, bool needs_password,
                           struct tt_error *err)
{
    struct tt_tpm *tpm = NULL;
    tt_rc rc = cli_open_tpm(&tpm, cli, err);
    if (rc != TT_OK) {
        put(root, "loadable_here", json_string("not tried: the TPM cannot be opened"));
        return rc;
    }
    put(root, "tpm", json_string(tt_tpm_describe(tpm)));
    put(root, "emulated", json_boolean(tt_tpm_is_emulated(tpm)));
    rc = cli_tpm_says(tt_keyfile_try_load(tpm, pem, err), err);
    put(root, "loadable_here", json_string(rc == TT_OK ? "yes" : "no"));
    if (rc == TT_OK)
        describe_schemes(root, tpm, pem, needs_password);
    tt_tpm_close(tpm);
    return rc;
}

/* ---- text ---- */

static void print_value(const char *label, const json_t *value);

static void print_list(const char *label, const json_t *list)
{
    size_t i;
    json_t *entry;
    if (json_array_size(list) == 0)
        printf("%-16s none\n", label);
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (json_is_object(entry)) {
            printf("%-16s %zu%s%s\n", i == 0 ? label : "", i + 1, name[0] != '\0' ? ": " : "", name);
            print_list("", json_object_get(entry, "demands"));
        } else {
            print_value(i == 0 ? label : "", entry);
        }
    }
}

static void print_value(const char *label, const json_t *value)
{
    if (json_is_string(value))
        printf("%-16s %s\n", label, json_string_value(value));
    else if (json_is_boolean(value))
        printf("%-16s %s\n", label, json_is_true(value) ? "yes" : "no");
    else if (json_is_integer(value))
        printf("%-16s %lld\n", label, (long long)json_integer_value(value));
    else
        print_list(label, value);
}

static void print_text(const json_t *root)
{
    static const char *const labels[][2] = {{"file", "file:"},
                                            {"handle", "handle:"},
                                            {"type", "type:"},
                                            {"description", "description:"},
                                            {"password", "needs password:"},
                                            {"policy", "policy demands:"},
                                            {"signed_policies", "signed policy:"},
                                            {"policy_digest", "policy digest:"},
                                            {"secret", "to be imported:"},
                                            {"parent", "parent:"},
                                            {"parent_name", "parent's name:"},
                                            {"attributes", "attributes:"},
                                            {"name_alg", "name algorithm:"},
                                            {"tpm_name", "TPM name:"},
                                            {"tpm_name_uri", ""},
                                            {"private_bytes", "private bytes:"},
                                            {"exportable", "exportable:"},
                                            {"tpm", "TPM:"},
                                            {"loadable_here", "loads here:"},
                                            {"schemes", "schemes:"},
                                            {"refused", "cannot be used:"}};
    if (strcmp(json_string_value(json_object_get(root, "where")), "software") == 0)
        printf("%-16s %s\n", "lives in:", "software: whoever reads the file has the key");
    for (size_t i = 0; i < TT_COUNT(labels); i++) {
        const json_t *value = json_object_get(root, labels[i][0]);
        if (value != NULL)
            print_value(labels[i][1], value);
    }
}

/* ---- the command ---- */

static bool is_tss2(const char *text)
{
    return strstr(text, "-----BEGIN TSS2 PRIVATE KEY-----") != NULL;
}

static tt_rc show_file(json_t **ret, bool *ret_is_file, const struct cli *cli, const char *path,
                       struct tt_error *err)
{
    TT_AUTO(mem_free_auto) char *text = NULL;
    size_t len = 0;
    struct tt_keyfile_info info;
    TT_TRY(cli_read_file(&text, &len, path, err));
    *ret_is_file = is_tss2(text);
    if (!*ret_is_file)
        return TT_OK;
    struct tt_bytes pem = {(const uint8_t *)text, len};
    TT_TRY(tt_keyfile_inspect(&info, pem, err));
    *ret = describe_file(&info);
    return describe_load(*ret, cli, pem, info.needs_password, err);
}

static tt_rc show(json_t **ret, const struct cli *cli, const char *spec, struct tt_error *err)
{
    bool is_file = false;
    struct cli_key k;
    tt_rc rc;
    if (cli_is_handle(spec))
        return show_handle(ret, cli, spec, err);
    rc = show_file(ret, &is_file, cli, spec, err);
    if (rc != TT_OK && is_file)
        cli_name_key(err, spec);
    TT_TRY(rc);
    if (is_file)
        return TT_OK;
    TT_TRY(cli_open_key(&k, cli, spec, err));
    *ret = describe_key(&k);
    cli_close_key(&k);
    return TT_OK;
}

struct show_options {
    const char *key;
};

static int run(const struct cli *cli, void *options)
{
    const struct show_options *o = options;
    struct tt_error err = {0};
    json_t *root = NULL;
    tt_rc rc = show(&root, cli, o->key, &err);
    if (root == NULL)
        return cli_fail(&err);
    if (cli->json) {
        (void)json_dumpf(root, stdout, JSON_COMPACT);
        (void)putchar('\n');
    } else {
        print_text(root);
    }
    json_decref(root);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

static const struct option_row show_rows[] = {
    {NULL, "KEY", "a key file, a software key (PKCS#8), or handle:0x81...",
     OPTION_TO(struct show_options, key), .needed = "which key? one"},
    {0},
};
static const struct option_part show_parts[] = {{NULL, show_rows, 0}, {0}};

const struct command command_key_show = {
    .name = "show",
    .summary = "explain a key file field by field, or a key at a handle",
    .example = "  tpmtls key show device.key",
    .parts = show_parts,
    .size = sizeof(struct show_options),
    .run = run,
};
