/* bench/heap.c: memory: of an idle connection, at the peak of a handshake, allocations a handshake and a
 * record; what libcrypto allocates for us is counted as ours. Layer: bench. */
#include <string.h>

#include "bench/count.h"
#include "bench/ends.h"
#include "bench/ssl.h"
#include "bench/tls.h"

#define CONNECTIONS 200

static void idle_ours(struct report *r, const struct ends *e)
{
    static struct pair pairs[CONNECTIONS];
    pair_connect(&pairs[0], e, NULL); /* what is allocated once is no connection's */
    pair_free(&pairs[0]);
    count_reset();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        pair_connect(&pairs[i], e, count_turn);
        count_turn(0);
        tt_conn_trim(pairs[i].client);
        count_turn(1);
        tt_conn_trim(pairs[i].server);
    }
    count_turn(2);
    double client = (double)counts[0].live / CONNECTIONS, server = (double)counts[1].live / CONNECTIONS;
    report_figure(r, &(struct figure){"heap_client_bytes", "idle client connection, trimmed", "bytes", client,
                                      8192, 0});
    report_figure(r, &(struct figure){"heap_server_bytes", "idle server connection, trimmed", "bytes", server,
                                      8192, 0});
    for (size_t i = 0; i < CONNECTIONS; i++)
        pair_free(&pairs[i]);
}

static void idle_libssl(struct report *r, struct ssl_ends *e)
{
    static struct ssl_pair *pairs[CONNECTIONS];
    if (e == NULL)
        return;
    ssl_pair_free(ssl_pair_connect(e, NULL));
    count_reset();
    for (size_t i = 0; i < CONNECTIONS; i++)
        pairs[i] = ssl_pair_connect(e, count_turn);
    double both = (double)(counts[0].live + counts[1].live + counts[2].live);
    report_figure(r, &(struct figure){"heap_libssl_bytes", "libssl, one end, released buffers, with its BIO",
                                      "bytes", both / (2 * CONNECTIONS), 0, 0});
    count_turn(2);
    for (size_t i = 0; i < CONNECTIONS; i++)
        ssl_pair_free(pairs[i]);
}

static void one_handshake(struct report *r, const struct ends *e, struct ssl_ends *libssl)
{
    struct pair p;
    count_reset();
    pair_connect(&p, e, count_turn);
    report_figure(r, &(struct figure){"handshake_peak_client_bytes", "peak in a handshake, client", "bytes",
                                      (double)counts[0].peak, 24576, 0});
    report_figure(r, &(struct figure){"handshake_peak_server_bytes", "peak in a handshake, server", "bytes",
                                      (double)counts[1].peak, 24576, 0});
    double all = (double)(counts[0].allocations + counts[1].allocations);
    double own = (double)(counts[0].by_us + counts[1].by_us);
    report_figure(
        r, &(struct figure){"handshake_allocations", "allocations in a handshake, both ends", "", all, 0, 0});
    report_figure(r, &(struct figure){"handshake_allocations_own", "  of these our own, not libcrypto's", "",
                                      own, 0, 0});
    count_turn(2);
    pair_free(&p);
    if (libssl == NULL)
        return;
    count_reset();
    ssl_pair_free(ssl_pair_connect(libssl, NULL));
    report_figure(r, &(struct figure){"libssl_handshake_allocations", "  libssl, both ends", "",
                                      (double)counts[2].allocations, 0, 0});
}

static void per_record(struct report *r, const struct ends *e)
{
    static const uint8_t data[16384];
    struct pair p;
    size_t done = 0;
    pair_connect(&p, e, NULL);
    for (int i = 0; i < 110; i++) {
        if (i == 10) /* by then the buffers have their size */
            count_reset();
        bool ok = tt_conn_write(p.client, data, sizeof data, &done) == TT_OK;
        struct tt_bytes out = tt_conn_output(p.client);
        ok = ok && tt_conn_feed(p.server, out.data, out.len, &done) == TT_OK;
        tt_conn_output_done(p.client, done);
        if (!ok || tt_conn_plaintext_done(p.server, sizeof data) != TT_OK)
            die("a record");
    }
    double each = (double)counts[2].allocations / 100;
    report_figure(
        r, &(struct figure){"record_allocations", "allocations for a record, both ends", "", each, 0, 0});
    if (each > 0)
        report_note(r, "the record path allocates: it must not");
    pair_free(&p);
}

void bench_heap(struct report *r, const struct identities *ids)
{
    struct ends e;
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    struct ssl_ends *libssl = ssl_ends_make(ids, "TLS_AES_128_GCM_SHA256");
    report_section(r, "Memory, libcrypto's share included");
    idle_ours(r, &e);
    idle_libssl(r, libssl);
    one_handshake(r, &e, libssl);
    per_record(r, &e);
    ssl_ends_free(libssl);
    ends_free(&e);
}
