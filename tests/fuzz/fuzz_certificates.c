/* tests/fuzz/fuzz_certificates.c: the peer's Certificate message, from its bytes to the verdict.
 * Input: what kind (below), then the body of the message, or (FORMED) certificates with a 16-bit length each,
 * which are wrapped in a well-formed list so that every byte of the input reaches the reading of
 * certificates. */
#include "engine.h"

#include <string.h>

#include "crypto/lib_internal.h"

enum {
    AS_SERVER = 1, /* the receiving end is a server */
    ANYTHING = 2,  /* insecure_accept_any_certificate */
    FORMED = 4,
    EXTENDED = 8 /* with OCSP responses and timestamps */
};

/* A connection that waits for its peer's Certificate, without the handshake before it. */
static struct tt_conn *waiting(unsigned kind)
{
    unsigned options = ((kind & ANYTHING) != 0 ? FZ_ANY : 0) | ((kind & EXTENDED) != 0 ? FZ_FEATURES : 0);
    struct tt_conn *c = fz_conn((kind & AS_SERVER) != 0 ? TT_SERVER : TT_CLIENT, options);
    c->suite = suite_of(TT_SUITE_AES_128_GCM_SHA256);
    c->state = (kind & AS_SERVER) != 0 ? SERVER_WAIT_CERT : CLIENT_WAIT_CERT;
    FUZZ_CHECK(transcript_choose(&c->hs->transcript, c->cfg->lib, HASH_SHA256) == TT_OK);
    return c;
}

static void put_list(struct writer *w, struct fz_input *in)
{
    wr_u8(w, 0);
    struct wr_mark list = wr_open24(w);
    while (in->left > 0) {
        size_t len = fz_u16(in);
        wr_vec24(w, fz_bytes(in, len));
        wr_u16(w, 0);
    }
    wr_close(w, list);
}

/* struct verdict: how a connection took the message. */
struct verdict {
    tt_rc rc;
    unsigned alert;
    char text[sizeof((struct tt_error *)0)->text];
};

static struct verdict judge(unsigned kind, struct tt_bytes message)
{
    struct tt_conn *c = waiting(kind);
    tt_rc rc = hs_receive(c, message);
    const struct tt_conn_status *status = tt_conn_error(c);
    struct verdict v = {.rc = rc, .alert = status->alert_sent};
    memcpy(v.text, status->error.text, sizeof v.text);
    fz_check_sane(c);
    FUZZ_CHECK((rc == TT_OK) == (status->error.rc == TT_OK));
    if (rc == TT_OK)
        FUZZ_CHECK(c->hs->peer_auth == PEER_CHAIN_JUDGED && c->hs->peer_key != NULL && c->peer_chain_len > 0);
    tt_conn_free(c);
    return v;
}

/* The short way of reading certificates (crypto/cert.c) and libcrypto's own come to the same verdict. */
static void compare_ways(unsigned kind, struct tt_bytes message)
{
    struct verdict fast = judge(kind, message);
    struct tt_conn *c = waiting(kind);
    struct crypto_lib *lib = c->cfg->lib;
    OSSL_LIB_CTX *bare = lib->bare;
    lib->bare = NULL;
    struct verdict slow = judge(kind, message);
    lib->bare = bare;
    tt_conn_free(c);
    FUZZ_CHECK(fast.rc == slow.rc && fast.alert == slow.alert && strcmp(fast.text, slow.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fz_input in = {data, size};
    fz_begin();
    unsigned kind = fz_u8(&in);
    struct buf message = {.max = 65536};
    struct writer w = writer_to(&message);
    wr_u8(&w, TT_HS_CERTIFICATE);
    struct wr_mark body = wr_open24(&w);
    if ((kind & FORMED) != 0)
        put_list(&w, &in);
    else
        wr_bytes(&w, fz_bytes(&in, in.left));
    wr_close(&w, body);
    if (wr_status(&w) == TT_OK) {
        size_t n = buf_size(&message);
        uint8_t *exact = malloc(n); /* a block of its size, for ASan */
        FUZZ_CHECK(exact != NULL);
        memcpy(exact, buf_front(&message), n);
        compare_ways(kind, (struct tt_bytes){exact, n});
        free(exact);
    }
    buf_free(&message);
    return 0;
}
