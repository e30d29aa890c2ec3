/* cli/cmd_proxy.c: `tpmtls proxy client|server|run|check`. Layer: cli. */
#include <stdio.h>
#include <string.h>

#include "base/rc.h"
#include "cli/proxy.h"

/* ---- one tunnel, by options ---- */

/* All are told, and the last one ends it. */
static void tell_but_last(void *arg, const struct tt_error *fault)
{
    struct tt_error *last = arg;
    if (last->rc != TT_OK) {
        cli_note("%s", last->text);
        if (last->hint[0] != '\0')
            cli_hint("%s", last->hint);
    }
    *last = *fault;
}

static int run_one(const struct cli *cli, struct proxy_command *o, enum tt_role role)
{
    struct tt_error err = {0};
    struct option_faults faults = {.told = tell_but_last, .arg = &err};
    struct proxy_tunnel *t = &o->tunnel;
    t->role = role;
    t->name = role == TT_CLIENT ? "client" : "server";
    t->trust.ca_option = role == TT_CLIENT ? "--ca" : "--client-ca";
    proxy_tunnel_check(t, &faults);
    proxy_common_check(&o->common, &faults);
    if (faults.n > 0)
        return cli_fail(&err);
    const struct proxy_plan plan = {.cli = cli, .common = &o->common, .tunnels = t, .tunnels_len = 1};
    return proxy_start(&plan);
}

static int run_client(const struct cli *cli, void *options)
{
    return run_one(cli, options, TT_CLIENT);
}

static int run_server(const struct cli *cli, void *options)
{
    return run_one(cli, options, TT_SERVER);
}

/* ---- a file of tunnels ---- */

struct file_options {
    const char *path;
};

static int run_file(const struct cli *cli, void *options)
{
    const struct file_options *o = options;
    struct proxy_file file = {0};
    struct tt_error err = {0};
    int code = CLI_OK;
    if (proxy_file_read(&file, o->path, &err) != TT_OK) {
        code = cli_fail(&err);
    } else {
        const struct proxy_plan plan = {.cli = cli,
                                        .common = &file.common,
                                        .tunnels = file.tunnels,
                                        .tunnels_len = file.tunnels_len,
                                        .file = o->path,
                                        .common_text = &file.common_text};
        code = proxy_start(&plan);
    }
    proxy_file_free(&file);
    return code;
}

static void print_tunnel(const struct proxy_tunnel *t)
{
    printf("%s: %s %s -> %s %s\n", t->name, t->role == TT_CLIENT ? "plaintext" : "TLS", t->listen,
           t->role == TT_CLIENT ? "TLS" : "plaintext", t->connect);
    for (size_t i = 0; i < t->tls.keys.len; i++)
        printf("  identity  %s, %s\n", t->tls.keys.at[i],
               i < t->tls.certs.len ? t->tls.certs.at[i] : "the raw public key");
    for (size_t i = 0; i < t->trust.ca.len; i++)
        printf("  believes  %s\n", t->trust.ca.at[i]);
    if (t->role == TT_CLIENT) {
        if (!trust_is_given(&t->trust))
            printf("  believes  the system's CAs\n");
        for (size_t i = 0; i < t->verify_dns.len; i++)
            printf("  expects   %s\n", t->verify_dns.at[i]);
        for (size_t i = 0; i < t->verify_uri.len; i++)
            printf("  expects   %s\n", t->verify_uri.at[i]);
        printf("  resumes   %s, burst %s\n", session_mode_name(t->resume),
               t->burst == BURST_ON ? "on" : "off");
        return;
    }
    static const char *const kinds[] = {"common name", "organizational unit", "DNS name", "URI",
                                        "public key"};
    const struct option_list *const lists[] = {&t->allow_cn, &t->allow_ou, &t->allow_dns, &t->allow_uri,
                                               &t->allow_pin};
    if (t->allow_all)
        printf("  lets in   everybody who is believed\n");
    for (size_t i = 0; i < TT_COUNT(lists); i++)
        for (size_t j = 0; j < lists[i]->len; j++)
            printf("  lets in   %s %s\n", kinds[i], lists[i]->at[j]);
    if (t->proxy_protocol)
        printf("  says who  by the PROXY protocol, version 2\n");
}

static int run_check(const struct cli *cli, void *options)
{
    const struct file_options *o = options;
    struct proxy_file file = {0};
    struct tt_error err = {0};
    (void)cli;
    tt_rc rc = proxy_file_read(&file, o->path, &err);
    for (size_t i = 0; rc == TT_OK && i < file.tunnels_len; i++)
        print_tunnel(&file.tunnels[i]);
    if (rc == TT_OK && file.common.status != NULL)
        printf("status: %s\n", file.common.status);
    proxy_file_free(&file);
    return rc == TT_OK ? CLI_OK : cli_fail(&err);
}

static const struct option_row file_rows[] = {
    {NULL, "FILE", "its sections: [proxy], [client NAME], [server NAME]; its keys: the names of the options",
     OPTION_TO(struct file_options, path), .needed = "which file?"},
    {0},
};
static const struct option_part file_parts[] = {{NULL, file_rows, 0}, {0}};

/* ---- the commands ---- */

static const struct command command_client = {
    .name = "client",
    .summary = "plaintext in, mutual TLS 1.3 out",
    .example = "  tpmtls proxy client --listen 127.0.0.1:8443 --connect localhost:4433 --key device.key "
               "--cert device.pem --ca ca/ca.pem",
    .parts = proxy_client_parts,
    .size = sizeof(struct proxy_command),
    .run = run_client,
};
static const struct command command_server = {
    .name = "server",
    .summary = "mutual TLS 1.3 in, plaintext out",
    .example = "  tpmtls proxy server --listen 127.0.0.1:8444 --connect 127.0.0.1:8080 --key server.key "
               "--cert server.pem --client-ca ca/ca.pem --allow-cn device-1",
    .parts = proxy_server_parts,
    .size = sizeof(struct proxy_command),
    .run = run_server,
};
static const struct command command_run = {
    .name = "run",
    .summary = "many tunnels in one process, on one TPM",
    .example = "  tpmtls proxy run proxy.conf",
    .parts = file_parts,
    .size = sizeof(struct file_options),
    .run = run_file,
};
static const struct command command_check = {
    .name = "check",
    .summary = "what `proxy run` would do, and every fault of its file; opens nothing",
    .example = "  tpmtls proxy check proxy.conf",
    .parts = file_parts,
    .size = sizeof(struct file_options),
    .run = run_check,
};

static const struct command *const subcommands[] = {&command_client, &command_server, &command_run,
                                                    &command_check, NULL};

const struct command command_proxy = {
    .name = "proxy",
    .summary = "give any program the TPM's identity",
    .about = "Carries connections of other programs between plaintext and TLS 1.3, for years: what changes "
             "on disk is "
             "read again without a connection lost (or at SIGHUP), SIGTERM lets open connections end.",
    .subcommands = subcommands,
};
