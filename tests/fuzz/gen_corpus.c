/* tests/fuzz/gen_corpus.c: writes the first inputs of the engine's fuzz targets below a directory: flights
 * and messages of real handshakes, certificate lists, sealed records. Usage: gen_corpus tests/fuzz/corpus.
 * Linked with --wrap=hs_receive, to see the messages in the clear. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine.h"
#include "tls/auth.h"

static const char *root;

static void put_file(const char *target, const char *name, struct tt_bytes head, struct tt_bytes body)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", root, target);
    (void)mkdir(path, 0777);
    (void)snprintf(path, sizeof path, "%s/%s/%s", root, target, name);
    FILE *f = fopen(path, "wb");
    if (f == NULL || fwrite(head.data, 1, head.len, f) != head.len ||
        fwrite(body.data, 1, body.len, f) != body.len || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

/* struct path: one kind of handshake. */
struct path {
    const char *name;
    unsigned client, server;
};
static const struct path paths[] = {
    {"full", 0, 0},
    {"anonymous", FZ_SOLO, FZ_BARE},
    {"no-certificate", FZ_SOLO, FZ_SOLO},
    {"retry-group", 0, FZ_GROUP},
    {"retry-cookie", FZ_BARE | FZ_GROUP, FZ_RETRY},
    {"alpn-any", FZ_ALPN | FZ_ANY, FZ_ALPN | FZ_ANY},
    {"aes256", FZ_SUITE(2), FZ_SUITE(2)},
    {"chacha", FZ_SUITE(3), FZ_SUITE(0)},
    {"resumed", FZ_RESUME, FZ_RESUME},
    {"early", FZ_RESUME | FZ_EARLY, FZ_RESUME | FZ_EARLY},
    {"early-refused", FZ_RESUME | FZ_EARLY | FZ_ALPN, FZ_RESUME | FZ_ALPN},
    {"early-retry", FZ_RESUME | FZ_EARLY | FZ_EXTERNAL, FZ_RESUME | FZ_EARLY | FZ_GROUP | FZ_RETRY},
    {"features", FZ_FEATURES, FZ_FEATURES},
    {"staple", FZ_FEATURES, FZ_FEATURES | FZ_BARE},
    {"delegated", FZ_DELEGATE, FZ_DELEGATE},
    {"delegated-retry", FZ_DELEGATE | FZ_FEATURES, FZ_DELEGATE | FZ_RETRY},
    {"both", FZ_BOTH, FZ_EXTERNAL},
    {"both-delegated", FZ_BOTH | FZ_DELEGATE, FZ_EXTERNAL | FZ_DELEGATE},
    {"external", FZ_EXTERNAL | FZ_SOLO, FZ_EXTERNAL | FZ_SOLO},
};

/* ---- flights, for fuzz_client and fuzz_server ---- */

static struct buf flights[2];

static void keep_flight(enum tt_role from, struct tt_bytes bytes)
{
    FUZZ_CHECK(buf_append(&flights[from], bytes.data, bytes.len) == TT_OK);
}

/* ---- messages, for fuzz_messages and fuzz_certificates ---- */

static const struct path *at_path;

tt_rc __real_hs_receive(struct tt_conn *c, struct tt_bytes message);
tt_rc __wrap_hs_receive(struct tt_conn *c, struct tt_bytes message);

static void keep_certificate(const struct tt_conn *c, struct tt_bytes message, const char *name)
{
    const uint8_t kind =
        (uint8_t)((c->cfg->role == TT_SERVER) | ((at_path->client & FZ_FEATURES) != 0 ? 8 : 0));
    put_file("certificates", name, (struct tt_bytes){&kind, 1},
             (struct tt_bytes){message.data + 4, message.len - 4});
}

tt_rc __wrap_hs_receive(struct tt_conn *c, struct tt_bytes message)
{
    size_t n = 0;
    const struct hs_edge *edges = hs_edges(&n);
    for (size_t i = 0; i < n && at_path != NULL; i++) {
        if (edges[i].state != c->state || edges[i].message != message.data[0])
            continue;
        char name[100];
        const uint8_t head[] = {(uint8_t)i, (uint8_t)(at_path->client >> 8), (uint8_t)at_path->client,
                                (uint8_t)(at_path->server >> 8), (uint8_t)at_path->server};
        (void)snprintf(name, sizeof name, "%s-%s", at_path->name, conn_state_name(c->state));
        put_file("messages", name, (struct tt_bytes){head, sizeof head}, message);
        if (message.data[0] == TT_HS_CERTIFICATE)
            keep_certificate(c, message, name);
    }
    return __real_hs_receive(c, message);
}

static void run_path(const struct path *path)
{
    struct fz_pair p;
    at_path = NULL;
    fz_begin();
    fz_prepare(TT_CLIENT, path->client);
    fz_prepare(TT_SERVER, path->server);
    at_path = path;
    (void)fz_tap(keep_flight);
    fz_pair_new(&p, path->client, path->server);
    fz_pair_run(&p);
    if (!fz_pair_connected(&p)) {
        (void)fprintf(stderr, "%s: %s / %s\n", path->name, tt_conn_error(p.client)->error.text,
                      tt_conn_error(p.server)->error.text);
        exit(1);
    }
    FUZZ_CHECK(tt_conn_key_update(p.client, true) == TT_OK && tt_conn_key_update(p.server, false) == TT_OK);
    fz_pair_run(&p);
    fz_pair_check(&p);
    FUZZ_CHECK(tt_conn_close(p.client) == TT_OK && tt_conn_close(p.server) == TT_OK);
    fz_pair_run(&p);
    fz_pair_free(&p);
    const uint8_t to_client[] = {(uint8_t)(path->client >> 8), (uint8_t)path->client, 0};
    const uint8_t to_server[] = {(uint8_t)(path->server >> 8), (uint8_t)path->server, 100};
    put_file("client", path->name, (struct tt_bytes){to_client, sizeof to_client},
             buf_bytes(&flights[TT_SERVER]));
    put_file("server", path->name, (struct tt_bytes){to_server, sizeof to_server},
             buf_bytes(&flights[TT_CLIENT]));
    buf_free(&flights[TT_CLIENT]);
    buf_free(&flights[TT_SERVER]);
}

/* ---- changes, for fuzz_handshake ---- */

static void put_changes(void)
{
    static const uint8_t body[] = {0x00, 0x2b, 0x00, 0x02, 0x03, 0x04};
    for (uint8_t change = 0; change < 7; change++)
        for (uint8_t sender = 0; sender < 2; sender++) {
            const struct path *p = &paths[(change + sender * 3U) % TT_COUNT(paths)];
            const uint8_t head[] = {(uint8_t)(p->client >> 8),
                                    (uint8_t)p->client,
                                    (uint8_t)(p->server >> 8),
                                    (uint8_t)p->server,
                                    sender,
                                    sender,
                                    change,
                                    0,
                                    60,
                                    4};
            char name[100];
            (void)snprintf(name, sizeof name, "change-%u-%u", change, sender);
            put_file("handshake", name, (struct tt_bytes){head, sizeof head},
                     (struct tt_bytes){body, sizeof body});
        }
}

/* ---- certificates ---- */

/* struct chain: what goes into one input, well-formed (kind FORMED of fuzz_certificates). */
static void put_chain(const char *name, bool as_server, const struct test_key *const *keys, size_t n)
{
    struct buf b = {0};
    struct writer w = writer_to(&b);
    const uint8_t kind = (uint8_t)(4 | as_server);
    for (size_t i = 0; i < n; i++)
        wr_vec16(&w, (struct tt_bytes){keys[i]->cert, keys[i]->cert_len});
    FUZZ_CHECK(wr_status(&w) == TT_OK);
    put_file("certificates", name, (struct tt_bytes){&kind, 1}, buf_bytes(&b));
    buf_free(&b);
}

static void put_chains(void)
{
    static const char *const kinds[] = {"P-384", "P-521", "ED25519", "RSA"};
    const struct test_key *with_root[] = {fz_key(TT_SERVER), fz_ca()};
    put_chain("chain-with-root", false, with_root, 2);
    const struct test_key *client = fz_key(TT_CLIENT);
    put_chain("chain-client", true, &client, 1);
    put_chain("chain-wrong-purpose", false, &client, 1);
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        char name[100];
        struct test_key *k = test_key_new(
            kinds[i],
            &(struct test_cert){.cn = "server", .dns = "localhost", .eku = "serverAuth", .issuer = fz_ca()});
        const struct test_key *chain[] = {k, fz_ca()};
        (void)snprintf(name, sizeof name, "chain-%s", kinds[i]);
        put_chain(name, false, chain, 2);
        test_key_free(k);
    }
    struct test_key *old = test_key_new(
        "P-256",
        &(struct test_cert){.cn = "old", .dns = "other.example", .issuer = fz_ca(), .not_after = 1000});
    const struct test_key *expired = old;
    put_chain("chain-expired", false, &expired, 1);
    test_key_free(old);
}

/* ---- what an authentication rested on (fuzz_auth) ---- */

static void put_auth(const char *name, uint8_t kind, struct auth a, const struct test_key *const *keys,
                     size_t n)
{
    struct buf chain = {0}, b = {0};
    struct writer list = writer_to(&chain), w = writer_to(&b);
    for (size_t i = 0; i < n; i++)
        wr_vec24(&list, (struct tt_bytes){keys[i]->cert, keys[i]->cert_len});
    FUZZ_CHECK(wr_status(&list) == TT_OK);
    a.chain = buf_bytes(&chain);
    a.authenticated_ms = TEST_NOW * 1000 - 1000;
    a.until = TEST_NOW + 3600;
    auth_put(&w, &a);
    FUZZ_CHECK(wr_status(&w) == TT_OK);
    put_file("auth", name, (struct tt_bytes){&kind, 1}, buf_bytes(&b));
    buf_free(&chain);
    buf_free(&b);
}

static void put_auths(void)
{
    const struct auth chain = {.scheme = TT_SCHEME_ECDSA_SECP256R1_SHA256};
    const struct auth none = {.scheme = 0};
    const struct test_key *of_server[] = {fz_key(TT_SERVER), fz_ca()},
                          *of_client[] = {fz_key(TT_CLIENT), fz_ca()};
    put_auth("server", 2, chain, of_server, 2);
    put_auth("client", 2 | 1, chain, of_client, 2);
    put_auth("anything", 8 | 2, chain, of_server, 1);
    put_auth("psk", 4 | 2 | 1, none, of_client, 0);
    put_auth("both", 4 | 2, chain, of_server, 2);
    put_auth("anonymous", 2 | 1, none, of_client, 0);
}

/* ---- records ---- */

static void put_records(void)
{
    static const uint8_t data[] = {0, 23, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 23, 1, 0, 0, 7,
                                   1, 23, 0, 0, 3, 'a', 'b', 'c', 21,  0,   0,  2, 1, 0};
    static const uint8_t updates[] = {1,  22, 0, 0,  5, 24, 0, 0, 1,  1, 23, 0, 0, 1, 'x', 22,
                                      16, 0,  5, 24, 0, 0,  1, 0, 23, 2, 0,  1, 1, 0, 'y'};
    static const uint8_t ticket[] = {
        FZ_SUITE(3) | 1, 22, 0, 0, 22, 4, 0, 0, 18, 0, 0, 1, 0, 1, 2, 3, 4, 1, 7, 0, 2, 9, 9, 0, 3, 0, 42, 0};
    static const uint8_t raw[] = {FZ_SUITE(2), 23, 4, 0, 10, 23, 3, 3, 0, 5, 1, 2, 3, 4, 5};
    put_file("records", "data", (struct tt_bytes){data, sizeof data}, (struct tt_bytes){data, 0});
    put_file("records", "updates", (struct tt_bytes){updates, sizeof updates}, (struct tt_bytes){data, 0});
    put_file("records", "ticket", (struct tt_bytes){ticket, sizeof ticket}, (struct tt_bytes){data, 0});
    put_file("records", "raw", (struct tt_bytes){raw, sizeof raw}, (struct tt_bytes){data, 0});
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: gen_corpus DIRECTORY\n");
        return 2;
    }
    root = argv[1];
    for (size_t i = 0; i < TT_COUNT(paths); i++)
        run_path(&paths[i]);
    put_changes();
    put_chains();
    put_auths();
    put_records();
    return 0;
}
