/* tls/psk_offer.c: choosing PSKs: what a client offers, and what a server accepts. Layer: tls.
 * RFC 9846 sections 4.3.10, 4.3.11; 8 (anti-replay). */
#include <string.h>

#include "tls/ech.h"
#include "tls/ext.h"
#include "tls/ticket.h"

/* ---- client ---- */

/* "Clients MUST only resume if the new SNI value is valid for the server certificate presented in the
 * original session, and SHOULD only resume if the SNI value matches the one used in the original session."
 * (section 4.7.1) */
static bool session_is_for(const struct tt_conn *c, const struct tt_session *s)
{
    struct tt_bytes now = kept_get(&c->kept, KEPT_SERVER_NAME), then = buf_bytes(&s->server_name);
    return s->psk.external ||
           (now.len == then.len && (now.len == 0 || memcmp(now.data, then.data, now.len) == 0));
}

/* A ticket is worth what the server was believed for. */
static bool session_holds(const struct tt_conn *c, const struct tt_session *s,
                          const struct tt_conn_options *opt, struct auth_found *ret)
{
    *ret = (struct auth_found){0};
    if (s->psk.external)
        return true;
    struct reader r = reader_of(buf_bytes(&s->auth));
    const struct auth a = auth_read(&r);
    const struct auth_asked asked = {.cfg = c->cfg,
                                     .now_ms = c->now_ms,
                                     .server_name = kept_get(&c->kept, KEPT_SERVER_NAME),
                                     .psks = opt->sessions,
                                     .psks_len = opt->sessions_len};
    return rd_done(&r) == TT_OK && auth_holds(&a, &asked, ret);
}

static bool hash_is_offered(const struct tt_conn *c, const struct tt_session *s)
{
    for (size_t i = 0; i < c->cfg->suites.n; i++)
        if (suite_of(c->cfg->suites.items[i])->hash == s->psk.hash)
            return true;
    return false;
}

void psk_offer_choose(struct tt_conn *c, const struct tt_conn_options *opt)
{
    struct hs *hs = c->hs;
    for (size_t i = 0; i < opt->sessions_len && hs->psks_len < PSK_MAX_OFFERED; i++) {
        struct tt_session *s = opt->sessions[i];
        struct auth_found found;
        /* "All of the listed PSKs MUST be external PSKs." (RFC 8773 section 5.1) */
        if (hash_is_offered(c, s) && session_usable(s, c->now_ms) && session_is_for(c, s) &&
            session_holds(c, s, opt, &found) &&
            (c->cfg->psk_policy != TT_PSK_WITH_CERTIFICATE || s->psk.external)) {
            if (found.psk != NULL)
                (void)session_ref(found.psk);
            hs->psks_found[hs->psks_len] = found;
            hs->psks[hs->psks_len++] = session_ref(s);
        }
    }
    const struct tt_session *first = hs->psks_len > 0 ? hs->psks[0] : NULL;
    /* 0-RTT data is for the protocol of the session (section 4.3.10): one we do not offer cannot be chosen.
     */
    hs->offer_early = opt->early_data && first != NULL && first->max_early_data > 0 &&
                      u16_list_has(&c->cfg->suites, first->suite) &&
                      (buf_size(&first->alpn) == 0 || alpn_is_ours(c, buf_bytes(&first->alpn)));
}

/* "the client SHOULD NOT offer any pre-shared keys associated with a hash other than that of the selected
 * cipher suite" (section 4.2.4) */
void psk_offer_drop_other_hashes(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    size_t kept = 0;
    for (size_t i = 0; i < hs->psks_len; i++) {
        if (hs->psks[i]->psk.hash == c->suite->hash) {
            hs->psks_found[kept] = hs->psks_found[i];
            hs->psks[kept++] = hs->psks[i];
        } else {
            tt_session_free(hs->psks_found[i].psk);
            tt_session_free(hs->psks[i]);
        }
    }
    hs->psks_len = kept;
}

/* Size of PreSharedKeyExtension.binders: the last bytes of ClientHello. */
static size_t binders_size(const struct hs *hs)
{
    size_t n = 2;
    for (size_t i = 0; i < hs->psks_len; i++)
        n += 1 + hash_size(hs->psks[i]->psk.hash);
    return n;
}

/* Where the binder of the i-th PSK stands in ClientHello, which is all that is in the flight. */
static uint8_t *binder_at(const struct hs *hs, size_t i)
{
    uint8_t *at = buf_front(&hs->flight) + buf_size(&hs->flight) - binders_size(hs) + 3;
    for (size_t before = 0; before < i; before++)
        at += 1 + hash_size(hs->psks[before]->psk.hash);
    return at;
}

/* Up to the next one whose holder has to be asked. */
tt_rc psk_offer_binders(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    const struct tt_bytes truncated = {buf_front(&hs->flight), buf_size(&hs->flight) - binders_size(hs)};
    for (; hs->binders_len < hs->psks_len; hs->binders_len++) {
        const struct psk *psk = &hs->psks[hs->binders_len]->psk;
        uint8_t hash[HASH_MAX_SIZE];
        TT_OWN(c, transcript_hash_with(&hs->transcript, c->cfg->lib, psk->hash, truncated, hash));
        if (psk->held)
            return psk_pull_ask(c, hs->psks[hs->binders_len], TT_PSK_BINDER,
                                (struct tt_bytes){hash, hash_size(psk->hash)});
        TT_OWN(c, psk_binder(c->cfg->lib, psk, hash, binder_at(hs, hs->binders_len)));
    }
    return TT_OK;
}

tt_rc psk_offer_binder_answered(struct tt_conn *c, struct tt_bytes binder)
{
    struct hs *hs = c->hs;
    memcpy(binder_at(hs, hs->binders_len++), binder.data, binder.len);
    TT_TRY(psk_offer_binders(c));
    return hs->pull.open ? TT_OK : client_hello_sent(c);
}

/* Both ends: by the PSK itself. */
static void external_psk_used(struct tt_conn *c, struct tt_session *s)
{
    c->external_psk = session_ref(s);
    memcpy(c->auth.psk, s->psk_digest, sizeof c->auth.psk);
    c->auth.authenticated_ms = c->now_ms;
}

tt_rc psk_offer_selected(struct tt_conn *c)
{
    struct hs *hs = c->hs;
    if (!ext_seen(c, EXT_PRE_SHARED_KEY))
        return TT_OK;
    /* "Clients MUST verify that the server's selected_identity is within the range supplied by the client,
     * that the server selected a cipher suite indicating a Hash associated with the PSK ... If these values
     * are not consistent, the client MUST abort the handshake with an "illegal_parameter" alert." */
    if (hs->peer.selected_psk >= hs->psks_len)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER, "the server chose a PSK that was not offered");
    const struct tt_session *s = hs->psks[hs->peer.selected_psk];
    if (s->psk.hash != c->suite->hash)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server chose a PSK and a suite of different hashes");
    hs->psk = s->psk;
    hs->psk_index = hs->peer.selected_psk;
    hs->psk_session = hs->psks[hs->psk_index];
    c->resumed = true;
    if (s->psk.external) {
        external_psk_used(c, hs->psk_session);
        return TT_OK;
    }
    struct reader r = reader_of(buf_bytes(&s->auth));
    const struct auth a = auth_read(&r);
    return conn_auth_take_over(c, &a, &hs->psks_found[hs->psk_index]);
}

/* "The "tls_cert_with_extern_psk" extension MUST be accompanied by the "key_share" and "pre_shared_key"
 * extensions." (RFC 8773 section 4; key_share is demanded of every ServerHello) */
tt_rc psk_offer_mode(struct tt_conn *c)
{
    bool both = ext_seen(c, EXT_CERT_WITH_EXTERN_PSK);
    if (ech_is_rejected_client(c) && c->cfg->psk_policy != TT_PSK_OPTIONAL)
        return conn_refuse(
            c, TT_ALERT_HANDSHAKE_FAILURE,
            "the server rejected Encrypted Client Hello, and without it the PSK is not offered");
    if (both && c->hs->psk.len == 0)
        return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                           "the server wants to use a certificate with a PSK, and chose no PSK");
    if (!both && c->cfg->psk_policy == TT_PSK_WITH_CERTIFICATE)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE,
                           "the server does not use both its certificate and our PSK");
    if (c->hs->psk.len == 0 && c->cfg->psk_policy == TT_PSK_REQUIRE)
        return conn_refuse(c, TT_ALERT_HANDSHAKE_FAILURE, "the server does not know our PSK");
    c->certificate_with_psk = both;
    c->resumed = c->resumed && !both;
    return TT_OK;
}

/* ---- server ---- */

static bool bytes_equal(struct tt_bytes a, struct tt_bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static struct tt_session *external_psk(const struct tt_config *cfg, struct tt_bytes identity,
                                       enum hash_id hash)
{
    for (size_t i = 0; i < cfg->psks_len; i++)
        if (cfg->psks[i]->psk.hash == hash && bytes_equal(buf_bytes(&cfg->psks[i]->identity), identity))
            return cfg->psks[i];
    return NULL;
}

/* May this ticket stand for the handshake it came from: same names, not too old, and the client's
 * authentication still holds.
 * "Any ticket MUST only be resumed with a cipher suite that has the same KDF hash algorithm as that used
 * to establish the original connection." (section 4.7.1) "The server MUST ensure that it selects a
 * compatible PSK (if any) and cipher suite." (section 4.3.11) */
static bool ticket_holds(const struct tt_conn *c, const struct ticket_state *t, struct auth_found *ret)
{
    const struct auth_asked asked = {
        .cfg = c->cfg, .now_ms = c->now_ms, .psks = c->cfg->psks, .psks_len = c->cfg->psks_len};
    int64_t age = c->now_ms - t->issued_ms;
    return t->psk.hash == c->suite->hash && age >= 0 && age < (int64_t)t->lifetime * 1000 &&
           bytes_equal(t->server_name, kept_get(&c->kept, KEPT_SERVER_NAME)) &&
           bytes_equal(t->alpn, kept_get(&c->kept, KEPT_ALPN)) && auth_holds(&t->auth, &asked, ret);
}

/* "The server MUST derive the storage key only from validated sections of the ClientHello." (section 8.2):
 * it is the binder, which was checked.
 * Section 4.3.10: the first PSK, the same suite, fresh, never seen before. (Same ALPN: part of the scope.)
 * "In addition, it MUST verify that the following values are the same as those associated with the
 * selected PSK" (section 4.3.10): version (there is one), cipher suite, protocol (in the scope). */
static bool early_data_acceptable(struct tt_conn *c, const struct ticket_state *t, uint32_t age,
                                  struct tt_bytes binder)
{
    const struct hs *hs = c->hs;
    int64_t skew = c->ticket_age_skew_ms, apart = skew < 0 ? -skew : skew;
    const struct ticket_use use = {.binder = binder, .age_ms = age, .now_ms = conn_steady_ms(c)};
    return ext_seen(c, EXT_EARLY_DATA) && hs->psk_index == 0 && !c->hello_retry_request &&
           c->cfg->max_early_data > 0 && t->max_early_data > 0 && t->suite == c->suite->id &&
           apart <= TICKET_AGE_TOLERANCE_MS && ticket_first_use(c->cfg->tickets, t, &use);
}

static tt_rc binder_compare(struct tt_conn *c, const struct psk *psk, struct tt_bytes binder,
                            const uint8_t *expected)
{
    struct hs *hs = c->hs;
    /* "If this value is not present or does not validate, the server MUST abort the handshake."; "with an
     * "illegal_parameter" alert" where it comes with a certificate (RFC 8773 section 5.1). */
    if (binder.len != hash_size(psk->hash) || !mem_equal_ct(binder.data, expected, binder.len))
        return conn_refuse(
            c, ext_seen(c, EXT_CERT_WITH_EXTERN_PSK) ? TT_ALERT_ILLEGAL_PARAMETER : TT_ALERT_DECRYPT_ERROR,
            "the binder of the client's PSK is wrong");
    hs->psk = *psk;
    c->resumed = c->peer_proven = true;
    if (hs->psk_session != NULL)
        external_psk_used(c, hs->psk_session);
    return TT_OK;
}

static tt_rc binder_check(struct tt_conn *c, const struct psk *psk, struct tt_bytes hello,
                          struct tt_bytes binder)
{
    struct hs *hs = c->hs;
    uint8_t hash[HASH_MAX_SIZE], expected[HASH_MAX_SIZE];
    struct tt_bytes truncated = {hello.data, hello.len - hs->peer.psk_binders.len - 2};
    TT_OWN(c, transcript_hash_with(&hs->transcript, c->cfg->lib, psk->hash, truncated, hash));
    if (psk->held) {
        hs->pull.binder_len = binder.len < sizeof hs->pull.binder ? binder.len : sizeof hs->pull.binder;
        memcpy(hs->pull.binder, binder.data, hs->pull.binder_len);
        return psk_pull_ask(c, hs->psk_session, TT_PSK_BINDER, (struct tt_bytes){hash, hash_size(psk->hash)});
    }
    TT_OWN(c, psk_binder(c->cfg->lib, psk, hash, expected));
    return binder_compare(c, psk, binder, expected);
}

tt_rc psk_accept_answered(struct tt_conn *c, struct tt_bytes expected)
{
    struct hs *hs = c->hs;
    TT_TRY(binder_compare(c, &hs->psk_session->psk, (struct tt_bytes){hs->pull.binder, hs->pull.binder_len},
                          expected.data));
    return client_hello_accepted(c, buf_bytes(&hs->hello));
}

static void ticket_accept(struct tt_conn *c, const struct ticket_state *t, uint32_t obfuscated_age,
                          struct tt_bytes binder)
{
    uint32_t age = obfuscated_age - t->age_add;
    c->ticket_age_skew_ms = (int64_t)age - (c->now_ms - t->issued_ms);
    c->hs->accept_early = early_data_acceptable(c, t, age, binder);
}

bool psk_external_offered(const struct tt_conn *c, enum hash_id hash)
{
    struct reader r = reader_of(c->hs->peer.psk_identities);
    for (size_t i = 0; i < PSK_MAX_EXAMINED && rd_left(&r) > 0; i++) {
        if (external_psk(c->cfg, rd_vec16(&r, 1), hash) != NULL)
            return true;
        (void)rd_u32(&r);
    }
    return false;
}

/* Is it a ticket that could be accepted; its binder is not looked at. */
static bool ticket_is_ours(const struct tt_conn *c, struct tt_bytes identity)
{
    struct buf plain = {0};
    struct ticket_state t;
    struct auth_found found;
    bool opens = ticket_open(c->cfg->tickets, c->cfg->lib, identity, &plain, &t) == TT_OK;
    bool ours = opens && ticket_holds(c, &t, &found);
    if (opens)
        c->hs->ticket_early_data = t.max_early_data;
    buf_free(&plain);
    mem_wipe(&t, sizeof t);
    return ours;
}

enum psk_offered psk_offered(const struct tt_conn *c)
{
    if (!ext_seen(c, EXT_PRE_SHARED_KEY) || !c->peer_can_resume)
        return PSK_OFFERED_NONE;
    if (psk_external_offered(c, c->suite->hash))
        return PSK_OFFERED_EXTERNAL;
    struct reader r = reader_of(c->hs->peer.psk_identities);
    for (size_t i = 0; c->cfg->tickets != NULL && i < PSK_MAX_EXAMINED && rd_left(&r) > 0; i++) {
        if (ticket_is_ours(c, rd_vec16(&r, 1)))
            return PSK_OFFERED_TICKET;
        (void)rd_u32(&r); /* obfuscated_ticket_age */
    }
    return PSK_OFFERED_NONE;
}

/* One offered identity: accepted (hs->psk is set), unknown (TT_OK, nothing set), or a wrong binder. "Servers
 * SHOULD NOT attempt to validate multiple binders": the first identity that is ours decides. */
static tt_rc psk_examine(struct tt_conn *c, struct tt_bytes hello, struct tt_bytes identity, uint32_t age,
                         struct tt_bytes binder)
{
    c->hs->psk_session = external_psk(c->cfg, identity, c->suite->hash);
    if (c->hs->psk_session != NULL)
        return binder_check(c, &c->hs->psk_session->psk, hello, binder);
    if (c->cfg->tickets == NULL)
        return TT_OK;
    struct buf plain = {0};
    struct ticket_state t;
    struct auth_found found;
    bool opens = ticket_open(c->cfg->tickets, c->cfg->lib, identity, &plain, &t) == TT_OK;
    bool usable = opens && ticket_holds(c, &t, &found);
    if (opens)
        c->hs->ticket_early_data = t.max_early_data;
    tt_rc rc = usable ? binder_check(c, &t.psk, hello, binder) : TT_OK; /* all else is unknown: no oracle */
    if (rc == TT_OK && usable)
        rc = conn_auth_take_over(c, &t.auth, &found);
    if (rc == TT_OK && usable)
        ticket_accept(c, &t, age, binder);
    buf_free(&plain);
    mem_wipe(&t, sizeof t);
    return rc;
}

/* "If a resumption PSK is listed along with the "tls_cert_with_extern_psk" extension, the server MUST abort
 * the handshake with an "illegal_parameter" alert." (RFC 8773 section 5.1) */
static tt_rc refuse_listed_tickets(struct tt_conn *c)
{
    struct reader r = reader_of(c->hs->peer.psk_identities);
    for (size_t i = 0; c->cfg->tickets != NULL && i < PSK_MAX_EXAMINED && rd_left(&r) > 0; i++) {
        struct buf plain = {0};
        struct ticket_state t;
        tt_rc rc = ticket_open(c->cfg->tickets, c->cfg->lib, rd_vec16(&r, 1), &plain, &t);
        (void)rd_u32(&r);
        buf_free(&plain);
        mem_wipe(&t, sizeof t);
        if (rc == TT_OK)
            return conn_refuse(c, TT_ALERT_ILLEGAL_PARAMETER,
                               "the client lists a ticket for use with a certificate");
    }
    return TT_OK;
}

/* "If the server selects a PSK, then it MUST also select a key establishment mode from the list indicated
 * by the client's" extension: psk_dhe_ke, or no PSK. "Servers MUST NOT select a key exchange mode that is
 * not listed by the client." (Sections 4.2.1 and 4.3.9.) */
tt_rc psk_accept(struct tt_conn *c, struct tt_bytes hello)
{
    struct hs *hs = c->hs;
    if (!ext_seen(c, EXT_PRE_SHARED_KEY) || !c->peer_can_resume)
        return TT_OK;
    if (ext_seen(c, EXT_CERT_WITH_EXTERN_PSK))
        TT_TRY(refuse_listed_tickets(c));
    struct reader identities = reader_of(hs->peer.psk_identities), binders = reader_of(hs->peer.psk_binders);
    for (size_t i = 0; i < PSK_MAX_EXAMINED && rd_left(&identities) > 0 && hs->psk.len == 0 && !hs->pull.open;
         i++) {
        struct tt_bytes identity = rd_vec16(&identities, 1);
        uint32_t age = rd_u32(&identities);
        struct tt_bytes binder = rd_vec8(&binders, 32);
        hs->psk_index = (uint16_t)i;
        TT_TRY(psk_examine(c, hello, identity, age, binder));
    }
    return TT_OK;
}
