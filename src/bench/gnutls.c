/* bench/gnutls.c: GnuTLS with buffers in memory. See rival.h. Layer: bench. */
#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "bench/ends.h"
#include "bench/report.h"
#include "bench/rival.h"

struct gnutls_ends {
    gnutls_certificate_credentials_t client, server;
    gnutls_datum_t ticket_key, session;
    char priority[256];
};

/* struct end: `in` is what the other one sent. */
struct end {
    gnutls_session_t session;
    struct buf in, *out;
};

struct gnutls_pair {
    struct end client, server;
};

static void must(int rc, const char *what)
{
    if (rc < 0)
        die(what);
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *data, size_t n)
{
    struct end *e = arg;
    must(buf_append(e->out, data, n) == TT_OK ? 0 : -1, "memory");
    return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t arg, void *data, size_t n)
{
    struct end *e = arg;
    size_t part = buf_size(&e->in) < n ? buf_size(&e->in) : n;
    if (part == 0) {
        gnutls_transport_set_errno(e->session, EAGAIN);
        return -1;
    }
    memcpy(data, buf_front(&e->in), part);
    buf_consume(&e->in, part);
    return (ssize_t)part;
}

static int pull_timeout(gnutls_transport_ptr_t arg, unsigned ms)
{
    (void)ms;
    return buf_size(&((struct end *)arg)->in) > 0;
}

static gnutls_certificate_credentials_t credentials(const struct identity *own, const char *ca_pem)
{
    gnutls_certificate_credentials_t cred;
    const gnutls_datum_t ca = {(unsigned char *)(uintptr_t)ca_pem, (unsigned)strlen(ca_pem)};
    const gnutls_datum_t key = {(unsigned char *)own->key_pem, (unsigned)strlen(own->key_pem)};
    const gnutls_datum_t der = {(unsigned char *)(uintptr_t)own->der.data, (unsigned)own->der.len};
    gnutls_datum_t cert;
    must(gnutls_certificate_allocate_credentials(&cred), "GnuTLS' credentials");
    must(gnutls_certificate_set_x509_trust_mem(cred, &ca, GNUTLS_X509_FMT_PEM), "GnuTLS' trust");
    must(gnutls_pem_base64_encode2("CERTIFICATE", &der, &cert), "GnuTLS' certificate");
    must(gnutls_certificate_set_x509_key_mem(cred, &cert, &key, GNUTLS_X509_FMT_PEM), "GnuTLS' identity");
    gnutls_free(cert.data);
    return cred;
}

static void end_make(struct end *e, struct end *other, const struct gnutls_ends *ends, bool is_server)
{
    unsigned flags =
        GNUTLS_NO_AUTO_SEND_TICKET | GNUTLS_NONBLOCK | (unsigned)(is_server ? GNUTLS_SERVER : GNUTLS_CLIENT);
    const char *host = is_server ? NULL : "localhost";
    must(gnutls_init(&e->session, flags), "a GnuTLS session");
    must(gnutls_priority_set_direct(e->session, ends->priority, NULL), "GnuTLS' priorities");
    must(gnutls_credentials_set(e->session, GNUTLS_CRD_CERTIFICATE, is_server ? ends->server : ends->client),
         "GnuTLS' credentials");
    gnutls_session_set_verify_cert(e->session, host, 0);
    if (is_server) {
        gnutls_certificate_server_set_request(e->session, GNUTLS_CERT_REQUIRE);
        must(gnutls_session_ticket_enable_server(e->session, &ends->ticket_key), "GnuTLS' tickets");
    } else {
        must(gnutls_server_name_set(e->session, GNUTLS_NAME_DNS, host, strlen(host)), "GnuTLS' host name");
    }
    e->out = &other->in;
    gnutls_transport_set_ptr(e->session, e);
    gnutls_transport_set_push_function(e->session, push);
    gnutls_transport_set_pull_function(e->session, pull);
    gnutls_transport_set_pull_timeout_function(e->session, pull_timeout);
}

/* True when its handshake is complete. */
static bool end_step(struct end *e)
{
    int rc = gnutls_handshake(e->session);
    if (rc < 0 && gnutls_error_is_fatal(rc) != 0)
        die(gnutls_strerror(rc));
    return rc == GNUTLS_E_SUCCESS;
}

static void *gnutls_pair_connect(void *ends, bool resumed, void (*turn)(int end))
{
    const struct gnutls_ends *all = ends;
    struct gnutls_pair *p = mem_alloc(sizeof *p);
    if (p == NULL)
        die("memory");
    turn(0);
    end_make(&p->client, &p->server, all, false);
    if (resumed)
        must(gnutls_session_set_data(p->client.session, all->session.data, all->session.size),
             "GnuTLS' session");
    turn(1);
    end_make(&p->server, &p->client, all, true);
    bool client = false, server = false;
    for (int rounds = 0; rounds < 10 && !(client && server); rounds++) {
        turn(0);
        client = client || end_step(&p->client);
        turn(1);
        server = server || end_step(&p->server);
    }
    if (!client || !server || (gnutls_session_is_resumed(p->client.session) != 0) != resumed)
        die("GnuTLS' ends are not connected");
    return p;
}

static void gnutls_pair_free(void *pair)
{
    struct gnutls_pair *p = pair;
    gnutls_deinit(p->client.session);
    gnutls_deinit(p->server.session);
    buf_free(&p->client.in);
    buf_free(&p->server.in);
    mem_free(p);
}

/* One ticket, by a connection of its own. */
static void session_get(struct gnutls_ends *e)
{
    struct gnutls_pair *p = gnutls_pair_connect(e, false, no_turn);
    char nothing;
    must(gnutls_session_ticket_send(p->server.session, 1, 0), "a GnuTLS ticket");
    (void)gnutls_record_recv(p->client.session, &nothing, 1); /* takes the ticket in, finds no data */
    must(gnutls_session_get_data2(p->client.session, &e->session), "GnuTLS' session");
    gnutls_pair_free(p);
}

static void *gnutls_ends_make(const struct identities *ids, uint16_t suite)
{
    struct gnutls_ends *e = mem_alloc(sizeof *e);
    if (e == NULL)
        die("memory");
    e->client = credentials(&ids->client, ids->ca_pem);
    e->server = credentials(&ids->server, ids->ca_pem);
    must(gnutls_session_ticket_key_generate(&e->ticket_key), "GnuTLS' ticket key");
    (void)snprintf(e->priority, sizeof e->priority,
                   "NONE:+VERS-TLS1.3:+GROUP-X25519:+SIGN-ECDSA-SECP256R1-SHA256:+AEAD:+SHA256:+CTYPE-X509:"
                   "+ECDHE-ECDSA:+%s",
                   suite == TT_SUITE_CHACHA20_POLY1305_SHA256 ? "CHACHA20-POLY1305" : "AES-128-GCM");
    session_get(e);
    return e;
}

static void gnutls_ends_free(void *ends)
{
    struct gnutls_ends *e = ends;
    gnutls_certificate_free_credentials(e->client);
    gnutls_certificate_free_credentials(e->server);
    gnutls_free(e->ticket_key.data);
    gnutls_free(e->session.data);
    mem_free(e);
}

static void gnutls_pair_send(void *pair, const void *data, size_t n, size_t times, void *scratch)
{
    struct gnutls_pair *p = pair;
    for (size_t i = 0; i < times; i++)
        if (gnutls_record_send(p->client.session, data, n) != (ssize_t)n)
            die("GnuTLS does not write");
    ssize_t done = 0;
    for (size_t got = 0; got < n * times; got += (size_t)done) {
        done = gnutls_record_recv(p->server.session, scratch, n);
        if (done <= 0)
            die("GnuTLS does not read");
    }
}

const struct rival rival_gnutls = {.key = "gnutls",
                                   .name = "GnuTLS",
                                   .ends_make = gnutls_ends_make,
                                   .ends_free = gnutls_ends_free,
                                   .pair_connect = gnutls_pair_connect,
                                   .pair_free = gnutls_pair_free,
                                   .pair_send = gnutls_pair_send};
