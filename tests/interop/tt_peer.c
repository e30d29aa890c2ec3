/* tests/interop/tt_peer.c: options, configuration and sockets of the interop peer. See tt_peer.h. */
#include "tt_peer.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "usage: tt_peer client --port P --name NAME (--ca FILE | --psk ID:HEX) [--data FILE]  sends FILE, "
    "expects it back\n"
    "       tt_peer server --port P --cert FILE --key FILE [--accept N] [--http]          sends back what "
    "comes\n"
    "both:   --cert FILE --key FILE --ca FILE --groups A,B --suites A,B --psk ID:HEX --key-update\n"
    "client: --shares A,B --resume --early FILE --until-close\n"
    "server: --require-client-cert --tickets --early --retry\n";

void peer_die(const char *what, const struct tt_error *err)
{
    fprintf(stderr, "tt_peer: %s%s%s\n", what, err != NULL ? ": " : "", err != NULL ? err->text : "");
    exit(2);
}

struct peer_text peer_read_file(const char *path)
{
    struct peer_text text = {0};
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        peer_die(path, NULL);
    long size = ftell(f);
    rewind(f);
    text.data = calloc(1, (size_t)size + 1);
    if (size < 0 || text.data == NULL || fread(text.data, 1, (size_t)size, f) != (size_t)size)
        peer_die(path, NULL);
    (void)fclose(f);
    text.len = (size_t)size;
    return text;
}

static struct tt_bytes view(const struct peer_text *text)
{
    return (struct tt_bytes){text->data, text->len};
}

/* ---- options ---- */

static const uint16_t all_groups[] = {
    TT_GROUP_X25519,   TT_GROUP_SECP256R1,      TT_GROUP_SECP384R1,         TT_GROUP_SECP521R1,
    TT_GROUP_X448,     TT_GROUP_X25519MLKEM768, TT_GROUP_SECP256R1MLKEM768, TT_GROUP_SECP384R1MLKEM1024,
    TT_GROUP_MLKEM1024};
static const uint16_t all_suites[] = {TT_SUITE_AES_128_GCM_SHA256, TT_SUITE_AES_256_GCM_SHA384,
                                      TT_SUITE_CHACHA20_POLY1305_SHA256};

/* struct names: numbers with the names iana.h has for them. */
struct names {
    const uint16_t *numbers;
    size_t n;
    const char *(*name)(unsigned number);
};

static void parse_list(struct peer_list *ret, char *text, const struct names *names)
{
    for (char *word; (word = strsep(&text, ",")) != NULL;) {
        size_t i = 0;
        while (i < names->n && strcasecmp(names->name(names->numbers[i]), word) != 0)
            i++;
        if (i == names->n || ret->n == PEER_LIST)
            peer_die(word, NULL);
        ret->items[ret->n++] = names->numbers[i];
    }
}

enum {
    OPT_PORT = 256,
    OPT_NAME,
    OPT_CA,
    OPT_CERT,
    OPT_KEY,
    OPT_PSK,
    OPT_GROUPS,
    OPT_SHARES,
    OPT_SUITES,
    OPT_DATA,
    OPT_EARLY,
    OPT_RESUME,
    OPT_KEY_UPDATE,
    OPT_UNTIL_CLOSE,
    OPT_HTTP,
    OPT_REQUIRE,
    OPT_TICKETS,
    OPT_RETRY,
    OPT_ACCEPT
};

static const struct option options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"name", required_argument, NULL, OPT_NAME},
    {"ca", required_argument, NULL, OPT_CA},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"psk", required_argument, NULL, OPT_PSK},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"shares", required_argument, NULL, OPT_SHARES},
    {"suites", required_argument, NULL, OPT_SUITES},
    {"data", required_argument, NULL, OPT_DATA},
    {"early", required_argument, NULL, OPT_EARLY},
    {"resume", no_argument, NULL, OPT_RESUME},
    {"key-update", no_argument, NULL, OPT_KEY_UPDATE},
    {"until-close", no_argument, NULL, OPT_UNTIL_CLOSE},
    {"http", no_argument, NULL, OPT_HTTP},
    {"require-client-cert", no_argument, NULL, OPT_REQUIRE},
    {"tickets", no_argument, NULL, OPT_TICKETS},
    {"retry", no_argument, NULL, OPT_RETRY},
    {"accept", required_argument, NULL, OPT_ACCEPT},
    {0},
};

static bool take_flag(struct peer_options *o, int c)
{
    bool *const flags[] = {&o->resume,  &o->key_update, &o->until_close, &o->http, &o->require_certificate,
                           &o->tickets, &o->retry};
    if (c < OPT_RESUME || c > OPT_RETRY)
        return false;
    *flags[c - OPT_RESUME] = true;
    return true;
}

static bool take_text(struct peer_options *o, int c)
{
    const char **const texts[] = {&o->name, &o->ca, &o->cert, &o->key, &o->psk};
    if (c == OPT_DATA || c == OPT_EARLY)
        *(c == OPT_DATA ? &o->data : &o->early) = optarg;
    else if (c >= OPT_NAME && c <= OPT_PSK)
        *texts[c - OPT_NAME] = optarg;
    else
        return false;
    return true;
}

static void parse(struct peer_options *o, int argc, char **argv)
{
    const struct names groups = {all_groups, sizeof all_groups / sizeof *all_groups, tt_group_name};
    const struct names suites = {all_suites, sizeof all_suites / sizeof *all_suites, tt_suite_name};
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (take_flag(o, c) || take_text(o, c))
            continue;
        if (c == OPT_PORT)
            o->port = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == OPT_ACCEPT)
            o->accept = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == OPT_GROUPS || c == OPT_SHARES)
            parse_list(c == OPT_GROUPS ? &o->groups : &o->shares, optarg, &groups);
        else if (c == OPT_SUITES)
            parse_list(&o->suites, optarg, &suites);
        else
            peer_die(usage, NULL);
    }
    if (argc - optind != 1)
        peer_die(usage, NULL);
    o->server = strcmp(argv[optind], "server") == 0;
}

/* ---- configuration ---- */

static void must(tt_rc rc, const char *what, const struct tt_error *err)
{
    if (rc != TT_OK)
        peer_die(what, err != NULL && err->text[0] != '\0' ? err : NULL);
}

static bool fill_random(void *arg, uint8_t *buf, size_t n)
{
    (void)arg;
    for (size_t at = 0; at < n;) {
        ssize_t got = getrandom(buf + at, n - at, 0);
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void add_identity(struct peer *p)
{
    struct tt_error err = {0};
    struct peer_text key = peer_read_file(p->o->key), chain = peer_read_file(p->o->cert);
    struct tt_cert_list *certs = NULL;
    uint16_t schemes[16];
    must(tt_key_open_software(&p->key, view(&key), NULL, &err), p->o->key, &err);
    must(tt_cert_list_from_pem(&certs, view(&chain), &err), p->o->cert, &err);
    const struct tt_identity id = {.chain = certs->certs,
                                   .chain_len = certs->len,
                                   .key = p->key,
                                   .schemes = schemes,
                                   .schemes_len = tt_key_schemes(p->key, schemes, 16)};
    must(tt_config_add_identity(p->config, &id, &err), "identity", &err);
    tt_cert_list_free(certs);
    free(key.data);
    free(chain.data);
}

static void set_trust(struct peer *p)
{
    struct tt_error err = {0};
    struct tt_trust *trust = NULL;
    struct peer_text pem = peer_read_file(p->o->ca);
    must(tt_trust_new(&trust, &err), "trust", &err);
    must(tt_trust_add_pem(trust, view(&pem), &err), p->o->ca, &err);
    must(tt_config_set_trust(p->config, trust), "trust", NULL);
    tt_trust_free(trust);
    free(pem.data);
}

/* ID:HEX; for the SHA-256 suites. */
static void make_psk(struct peer *p)
{
    struct tt_error err = {0};
    uint8_t key[64];
    size_t n = 0;
    const char *colon = strchr(p->o->psk, ':');
    if (colon == NULL)
        peer_die("--psk is ID:HEX", NULL);
    for (const char *hex = colon + 1; n < sizeof key && hex[0] != '\0' && hex[1] != '\0'; hex += 2)
        key[n++] = (uint8_t)strtoul((char[]){hex[0], hex[1], '\0'}, NULL, 16);
    const struct tt_bytes identity = {(const uint8_t *)p->o->psk, (size_t)(colon - p->o->psk)};
    must(tt_session_new_external(&p->psk, identity, (struct tt_bytes){key, n}, false, &err), "--psk", &err);
}

static void set_tickets(struct peer *p)
{
    struct tt_error err = {0};
    struct tt_tickets *tickets = NULL;
    struct tt_ticket_key key = {.name = "interop"};
    if (!fill_random(NULL, key.key, sizeof key.key))
        peer_die("no randomness", NULL);
    must(tt_tickets_new(&tickets, now_ms() - 1, &err), "tickets", &err);
    must(tt_tickets_set_keys(tickets, &key, 1), "tickets", NULL);
    must(tt_config_set_tickets(p->config, tickets, 2, 7200, (struct tt_bytes){NULL, 0}), "tickets", NULL);
    if (p->o->early != NULL)
        must(tt_config_set_max_early_data(p->config, 16384), "early data", NULL);
    tt_tickets_free(tickets);
}

static void configure(struct peer *p)
{
    const struct peer_options *o = p->o;
    struct tt_error err = {0};
    must(tt_config_new(&p->config, o->server ? TT_SERVER : TT_CLIENT, &err), "configuration", &err);
    must(tt_config_set_random(p->config, fill_random, NULL), "randomness", NULL);
    if (o->groups.n > 0)
        must(tt_config_set_groups(p->config, o->groups.items, o->groups.n), "unsupported: --groups", NULL);
    if (o->shares.n > 0)
        must(tt_config_set_key_shares(p->config, o->shares.items, o->shares.n), "--shares", NULL);
    if (o->suites.n > 0)
        must(tt_config_set_suites(p->config, o->suites.items, o->suites.n), "--suites", NULL);
    if (o->cert != NULL)
        add_identity(p);
    if (o->ca != NULL && (!o->server || o->require_certificate))
        set_trust(p);
    if (o->require_certificate)
        must(tt_config_set_client_auth(p->config, TT_CLIENT_AUTH_REQUIRE), "client certificates", NULL);
    if (o->retry)
        must(tt_config_set_force_retry(p->config, true), "--retry", NULL);
    if (o->psk != NULL)
        make_psk(p);
    if (o->psk != NULL && o->server)
        must(tt_config_add_psk(p->config, p->psk), "--psk", NULL);
    if (o->tickets)
        set_tickets(p);
    must(tt_config_freeze(p->config, &err), "configuration", &err);
}

/* ---- sockets ---- */

static struct sockaddr_in address_of(const struct peer_options *o)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return at;
}

static int new_socket(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    if (fd < 0)
        peer_die("no socket", NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static bool run_client(struct peer *p)
{
    bool fine = true;
    for (unsigned i = 1; fine && i <= (p->o->resume ? 2U : 1U); i++) {
        struct sockaddr_in at = address_of(p->o);
        int fd = new_socket();
        if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
            peer_die("cannot connect", NULL);
        fine = peer_talk(p, fd, i);
    }
    return fine;
}

static bool run_server(struct peer *p)
{
    bool fine = true;
    struct sockaddr_in at = address_of(p->o);
    socklen_t len = sizeof at;
    int listener = new_socket();
    if (bind(listener, (const struct sockaddr *)&at, sizeof at) != 0 || listen(listener, 8) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        peer_die("cannot listen", NULL);
    printf("listening %u\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    for (unsigned i = 1; i <= p->o->accept || p->o->accept == 0; i++) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            peer_die("cannot accept", NULL);
        if (p->o->early != NULL) /* tstclnt sends no 0-RTT data once our answer is there */
            (void)poll(NULL, 0, 100);
        fine = peer_talk(p, fd, i) && fine;
    }
    (void)close(listener);
    return fine;
}

int main(int argc, char **argv)
{
    struct peer_options o = {.accept = 0};
    struct peer p = {.o = &o};
    parse(&o, argc, argv);
    configure(&p);
    if (o.data != NULL)
        p.data = peer_read_file(o.data);
    if (o.early != NULL && !o.server)
        p.early = peer_read_file(o.early);
    bool fine = o.server ? run_server(&p) : run_client(&p);
    tt_session_free(p.session);
    tt_session_free(p.psk);
    tt_config_free(p.config);
    tt_key_free(p.key);
    free(p.data.data);
    free(p.early.data);
    return fine ? 0 : 1;
}
