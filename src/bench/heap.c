/* bench/heap.c: memory: of an idle connection, at the peak of a handshake, allocations a handshake and a
 * record; what libcrypto allocates for us is counted as ours. Layer: bench. */
#include <stdio.h>

#include "bench/count.h"
#include "bench/ends.h"
#include "bench/rival.h"
#include "bench/tls.h"

#define CONNECTIONS 200

static void idle_ours(struct report *r, const struct ends *e)
{
    static struct pair pairs[CONNECTIONS];
    pair_connect(&pairs[0], e, ENDS_FULL, no_turn); /* what is allocated once is no connection's */
    pair_free(&pairs[0]);
    count_reset();
    for (size_t i = 0; i < CONNECTIONS; i++) {
        pair_connect(&pairs[i], e, ENDS_KNOWN, count_turn);
        count_turn(0);
        tt_conn_trim(pairs[i].client);
        count_turn(1);
        tt_conn_trim(pairs[i].server);
    }
    count_stop();
    double client = (double)counts[0].live / CONNECTIONS, server = (double)counts[1].live / CONNECTIONS;
    report_figure(r, &(struct figure){"heap_client_bytes", "idle client connection, trimmed", "bytes", client,
                                      2560, 0});
    report_figure(r, &(struct figure){"heap_server_bytes", "idle server connection, trimmed", "bytes", server,
                                      2560, 0});
    for (size_t i = 0; i < CONNECTIONS; i++)
        pair_free(&pairs[i]);
}

static void idle_rival(struct report *r, const struct rival *rival, void *ends)
{
    static void *pairs[CONNECTIONS];
    char key[64], text[80];
    rival->pair_free(rival->pair_connect(ends, false, no_turn));
    count_reset();
    for (size_t i = 0; i < CONNECTIONS; i++)
        pairs[i] = rival->pair_connect(ends, false, count_turn);
    double both = (double)(counts[0].live + counts[1].live + counts[2].live);
    (void)snprintf(key, sizeof key, "heap_%s_bytes", rival->key);
    (void)snprintf(text, sizeof text, "%s, one end and its transport", rival->name);
    report_figure(r, &(struct figure){key, text, "bytes", both / (2 * CONNECTIONS), 0, 0});
    count_stop();
    for (size_t i = 0; i < CONNECTIONS; i++)
        rival->pair_free(pairs[i]);
}

static void handshake_ours(struct report *r, const struct ends *e, enum ends_kind kind, const char *name)
{
    struct pair p;
    char key[64], text[80];
    count_reset();
    pair_connect(&p, e, kind, count_turn);
    count_stop();
    for (int end = 0; end < 2; end++) {
        const char *who = end == 0 ? "client" : "server";
        (void)snprintf(key, sizeof key, "%s_peak_%s_bytes", name, who);
        (void)snprintf(text, sizeof text, "peak in a %s handshake, %s", name, who);
        report_figure(r, &(struct figure){key, text, "bytes", (double)counts[end].peak, 24576, 0});
    }
    double all = (double)(counts[0].allocations + counts[1].allocations);
    double own = (double)(counts[0].by_us + counts[1].by_us);
    (void)snprintf(key, sizeof key, "%s_allocations", name);
    (void)snprintf(text, sizeof text, "allocations in a %s handshake, both ends", name);
    report_figure(r, &(struct figure){key, text, "", all, kind == ENDS_FULL ? 500 : 0, 0});
    (void)snprintf(key, sizeof key, "%s_allocations_own", name);
    report_figure(r, &(struct figure){key, "  of these our own, not libcrypto's", "", own, 0, 0});
    pair_free(&p);
}

static void handshake_rival(struct report *r, const struct rival *rival, void *ends)
{
    char key[64], text[80];
    count_reset();
    rival->pair_free(rival->pair_connect(ends, false, no_turn));
    count_stop();
    (void)snprintf(key, sizeof key, "full_%s_allocations", rival->key);
    (void)snprintf(text, sizeof text, "  %s, full handshake, both ends", rival->name);
    report_figure(r, &(struct figure){key, text, "", (double)counts[2].allocations, 0, 0});
}

/* Steady flow, after an idle spell: what is given back by tt_conn_trim comes back once, not with each record.
 */
static void per_record(struct report *r, const struct ends *e)
{
    static const uint8_t data[16384];
    struct pair p;
    size_t done = 0;
    pair_connect(&p, e, ENDS_KNOWN, no_turn);
    tt_conn_trim(p.client);
    tt_conn_trim(p.server);
    for (int i = 0; i < 110; i++) {
        if (i == 10) /* by then the buffers have their size */
            count_reset();
        bool ok = tt_conn_write(p.client, data, sizeof data, &done) == TT_OK && pair_move(&p);
        if (!ok || tt_conn_plaintext_done(p.server, sizeof data) != TT_OK)
            die("a record");
    }
    count_stop();
    report_figure(r, &(struct figure){.key = "record_allocations",
                                      .text = "allocations for a record, both ends",
                                      .unit = "",
                                      .value = (double)counts[2].allocations / 100,
                                      .none = true});
    pair_free(&p);
}

void bench_heap(struct report *r, const struct identities *ids)
{
    struct ends e;
    ends_make(&e, ids, TT_SUITE_AES_128_GCM_SHA256);
    ends_get_session(&e);
    report_section(r, "Memory, libcrypto's share included");
    idle_ours(r, &e);
    handshake_ours(r, &e, ENDS_FULL, "full");
    handshake_ours(r, &e, ENDS_RESUMED, "resumed");
    per_record(r, &e);
    for (size_t k = 0; rivals[k] != NULL; k++) {
        void *ends = rivals[k]->ends_make(ids, TT_SUITE_AES_128_GCM_SHA256);
        idle_rival(r, rivals[k], ends);
        handshake_rival(r, rivals[k], ends);
        rivals[k]->ends_free(ends);
    }
    ends_free(&e);
}
