/* tls/ech.h: Encrypted Client Hello (RFC 9849). Layer: tls.
 *
 * ech_config.c reads ECHConfigList; ech_keys.c has a server's keys; ech_client.c makes ClientHelloOuter out
 * of ClientHelloInner and judges the server's answer; ech_server.c makes ClientHelloInner out of
 * ClientHelloOuter; ext_ech.c is the extension. Everything else of the engine sees one ClientHello only: the
 * inner one while ECH is offered or accepted, the outer one once it is rejected. */
#ifndef TLS_ECH_H
#define TLS_ECH_H

#include "crypto/hpke.h"
#include "tls/hs.h"

#define ECH_VERSION           0xfe0d
#define ECH_CONFIRMATION_SIZE 8

enum ech_client_hello_type {
    ECH_OUTER = 0,
    ECH_INNER = 1
};

/* struct ech_config: one ECHConfig; views into where it was read. Of another version only raw and version are
 * set. */
struct ech_config {
    struct tt_bytes raw; /* with its version and length */
    uint16_t version, kem;
    uint8_t id, maximum_name_length;
    struct tt_bytes public_key, suites, public_name;
    bool mandatory_extension; /* there is one, and we know none */
};
/* ech_config_read: the next one of a list. TT_ERR_DECODE. */
TT_MUST_USE tt_rc ech_config_read(struct ech_config *ret, struct reader *r);
/* ech_list_check: the form of an ECHConfigList, with its length in front. */
TT_MUST_USE tt_rc ech_list_check(struct tt_bytes list);
/* ech_config_select: the first config of a well-formed list that we can use, and our choice of its suites. */
bool ech_config_select(struct ech_config *ret, struct hpke_suite *ret_suite, const struct crypto_lib *lib,
                       struct tt_bytes list);
bool ech_config_has_suite(const struct ech_config *config, uint16_t kdf, uint16_t aead);
/* ech_info: "tls ech" || 0x00 || ECHConfig, the info of HPKE. */
TT_MUST_USE tt_rc ech_info(struct buf *to, struct tt_bytes config);

/* struct ech_key: one config of a server with its private key, here or with whoever answers tt_ech_request.
 */
struct ech_key {
    struct buf bytes;         /* ECHConfig */
    struct ech_config config; /* views into bytes */
    struct hpke_keypair pair; /* secret is not set for a held one */
    void *held;
    bool retry; /* one of the retry_configs */
};
/* struct ech_key_set: immutable and counted: a handshake keeps what it began with. */
struct ech_key_set;
struct ech_key_set *ech_keys_take(struct tt_ech_keys *keys, bool *ret_trial);
void ech_key_set_free(struct ech_key_set *set);
const struct ech_key *ech_key_at(const struct ech_key_set *set, size_t i); /* NULL behind the last */
void ech_keys_ref(struct tt_ech_keys *keys);

/* struct ech: the handshake's part; NULL in struct hs when there is no ECH. */
struct ech {
    struct hpke hpke;
    struct hpke_suite suite;
    uint8_t config_id;
    size_t confirmation_at; /* server: where it stands in the flight's HelloRetryRequest */

    /* client */
    struct buf extension; /* what ClientHelloOuter carried; GREASE */
    struct buf public_name;
    uint8_t maximum_name_length;
    struct hpke_encapsulated enc; /* empty in the second ClientHello */
    struct transcript outer;      /* of ClientHelloOuter */
    uint8_t outer_random[HS_RANDOM_SIZE];
    uint64_t outer_offered;

    /* server, until ClientHelloInner is known */
    struct ech_key_set *keys;
    bool trial;
    size_t next;      /* the key that is tried next */
    struct buf hello; /* ClientHelloOuter, its payload zeroed (ClientHelloOuterAAD with a header) */
    struct buf payload;
    size_t payload_at; /* in hello */
    struct hpke_encapsulated peer_enc;
    uint64_t pull_id;
    bool pull_open; /* the holder of keys[next - 1] is asked */
};
void ech_free(struct ech *ech);

/* Offered and not rejected: the engine's ClientHello is the inner one. */
static inline bool ech_is_inner(const struct tt_conn *c)
{
    return c->cfg->role == TT_CLIENT && (c->ech == TT_ECH_OFFERED || c->ech == TT_ECH_ACCEPTED);
}
static inline bool ech_is_rejected_client(const struct tt_conn *c)
{
    return c->cfg->role == TT_CLIENT && c->ech == TT_ECH_REJECTED;
}

/* ech_outer_copies: extensions that ClientHelloOuter has from the inner one, which refers to them. */
bool ech_outer_copies(uint16_t type);
/* ech_omits: is this extension left out of the ClientHello that is being built, because ECH was rejected. */
bool ech_omits(const struct tt_conn *c, uint16_t type);

/* ech_confirmation: the acceptance signal over the transcript and `message`, in which its place is zeroed
 * (sections 7.2 and 7.2.1). */
TT_MUST_USE tt_rc ech_confirmation(const struct tt_conn *c, const char *label, struct tt_bytes message,
                                   uint8_t ret[ECH_CONFIRMATION_SIZE]);
#define ECH_LABEL       "ech accept confirmation"
#define ECH_RETRY_LABEL "hrr ech accept confirmation"

/* client */
TT_MUST_USE tt_rc ech_client_start(struct tt_conn *c, const struct tt_conn_options *opt);
TT_MUST_USE tt_rc ech_client_wrap(struct tt_conn *c); /* the flight's ClientHelloInner into its outer one */
TT_MUST_USE tt_rc ech_client_judge(struct tt_conn *c, struct tt_bytes server_hello,
                                   const struct suite *suite);
TT_MUST_USE tt_rc ech_client_judge_retry(struct tt_conn *c, struct tt_bytes hello_retry_request);
TT_MUST_USE tt_rc ech_client_refuse(struct tt_conn *c); /* the outer handshake is complete: nothing more */

/* server: ech_server_recv looks at a ClientHello. It may have to ask the holder of a key (pull_open); when
 * ECH is accepted ClientHelloInner is in hs->hello. */
TT_MUST_USE tt_rc ech_server_recv(struct tt_conn *c, struct tt_bytes message);
/* ech_server_confirm: write the acceptance signal into the message that is last in the flight. */
TT_MUST_USE tt_rc ech_server_confirm(struct tt_conn *c, struct tt_bytes whole, bool retry);

#endif
