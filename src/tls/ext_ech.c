/* tls/ext_ech.c: the extension encrypted_client_hello (RFC 9849 section 5). Layer: tls. Its outer form in a
 * ClientHello is made and read elsewhere: ech_client.c, ech_server.c. */
#include "tls/ech.h"
#include "tls/ext.h"

static bool has_retry_configs(const struct tt_conn *c)
{
    const struct ech_key *key;
    for (size_t i = 0; (key = ech_key_at(c->hs->ech->keys, i)) != NULL; i++)
        if (key->retry)
            return true;
    return false; /* the last key was taken away: to the client as if there never was one */
}

/* A client answers nothing here when ECH is GREASE or rejected: "copies the entire "encrypted_client_hello"
 * extension from the first ClientHello" (section 6.2.1). A server: the signal of acceptance, 8 random bytes
 * where it rejected
 * ("the server MAY include", section 7.1), and the retry_configs. */
bool ech_wants(const struct tt_conn *c, enum ext_place in)
{
    if (in == IN_CH)
        return c->hs->ech != NULL;
    if (in == IN_HRR)
        return c->ech != TT_ECH_NONE;
    return c->ech == TT_ECH_REJECTED && ext_seen(c, EXT_ENCRYPTED_CLIENT_HELLO) && has_retry_configs(c);
}

/* "the "retry_configs" field set to one or more ECHConfig structures with up-to-date keys" */
static void retry_configs_build(struct tt_conn *c, struct writer *w)
{
    struct wr_mark list = wr_open16(w);
    const struct ech_key *key;
    for (size_t i = 0; (key = ech_key_at(c->hs->ech->keys, i)) != NULL; i++)
        if (key->retry)
            wr_bytes(w, key->config.raw);
    wr_close(w, list);
}

static void confirmation_build(struct tt_conn *c, struct writer *w)
{
    uint8_t value[ECH_CONFIRMATION_SIZE] = {0};
    if (c->ech == TT_ECH_REJECTED && !conn_random(c, value, sizeof value))
        w->failed = true;
    c->hs->ech->confirmation_at = buf_size(&c->hs->flight);
    wr_bytes(w, (struct tt_bytes){value, sizeof value});
}

void ech_build(struct tt_conn *c, enum ext_place in, struct writer *w)
{
    if (in == IN_EE)
        retry_configs_build(c, w);
    else if (in == IN_HRR)
        confirmation_build(c, w);
    else if (ech_is_inner(c))
        wr_u8(w, ECH_INNER);
    else
        wr_bytes(w, buf_bytes(&c->hs->ech->extension));
}

/* EncryptedExtensions, on the client. "The response is valid only when the server used the ClientHelloOuter.
 * If the server sent this extension in response to the inner variant, then the client MUST abort with an
 * "unsupported_extension" alert." The form is checked, also of the answer to GREASE, which is not kept. */
static tt_rc retry_configs_parse(struct tt_conn *c, struct reader *r)
{
    struct tt_bytes list = rd_rest(r);
    if (c->ech == TT_ECH_ACCEPTED)
        return conn_refuse(c, TT_ALERT_UNSUPPORTED_EXTENSION,
                           "the server accepted Encrypted Client Hello and sends retry_configs");
    if (ech_list_check(list) != TT_OK)
        rd_fail(r);
    else if (c->ech == TT_ECH_REJECTED)
        TT_OWN(c, kept_add(&c->kept, KEPT_RETRY_CONFIGS, list));
    return TT_OK;
}

tt_rc ech_parse(struct tt_conn *c, enum ext_place in, struct reader *r)
{
    if (in == IN_EE)
        return retry_configs_parse(c, r);
    if (in == IN_HRR)
        c->hs->peer.ech_confirmation = rd_bytes(r, ECH_CONFIRMATION_SIZE);
    else
        (void)rd_rest(r); /* ech_server.c has looked at it; a server without keys does not know it */
    return TT_OK;
}
