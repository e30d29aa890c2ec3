/* tests/bogo/shim.h: the program that BoringSSL's test runner (BoGo) drives: flags in, one engine connection
 * after another, exit code and a reason out. Test code; uses the public API of the engine.
 *
 * Order of the files: flags -> credentials -> policy -> setup -> link -> expect -> exchange -> main. What the
 * runner asks for is in docs/bogo.md. */
#ifndef BOGO_SHIM_H
#define BOGO_SHIM_H

#include "base/buf.h"
#include "tpmtls/key.h"
#include "tpmtls/tls.h"

#define SHIM_EXIT_FAILED        1
#define SHIM_EXIT_UNIMPLEMENTED 89

#define SHIM_MAX_LIST        32
#define SHIM_MAX_CREDENTIALS 8
#define SHIM_MAX_ECH_KEYS    4

struct shim_list {
    uint16_t items[SHIM_MAX_LIST];
    size_t n;
};

/* struct shim_blob: a decoded base64 value. */
struct shim_blob {
    uint8_t data[1024];
    size_t len;
    bool given;
};

/* struct shim_credential: certificate and key of one end, as flags name them. */
struct shim_credential {
    enum shim_credential_kind {
        SHIM_X509,
        SHIM_PSK,
        SHIM_RAW_KEY
    } kind;
    const char *cert_file, *key_file;
    struct shim_blob psk_key, psk_identity, psk_context;
    bool psk_sha384;
    struct shim_list signing_prefs;
    struct shim_blob ocsp_response, signed_cert_timestamps;
    bool must_match_issuer;
};

/* struct shim_options: what the flags say about one connection: the first, the later ones, or what follows
 * rejected early data. credentials[0] is the default one, the others come from -new-x509-credential. */
struct shim_options {
    int64_t port, shim_id, resume_count;
    bool ipv6, server, is_handshaker_supported;

    struct shim_credential credentials[SHIM_MAX_CREDENTIALS];
    size_t credentials_len; /* beyond the default one */
    const char *trust_cert, *host_name;
    struct shim_list curves, key_shares, verify_prefs, peer_types, own_types, server_groups,
        expect_verify_prefs;
    bool no_key_shares, compression;
    int64_t one_compression, max_send_fragment;
    const char *client_ca_list, *expect_ca_list, *ignored; /* ignored: about other versions */
    bool fail_ddos, fail_early;                            /* the application refuses everybody who speaks */
    const char *advertise_alpn, *select_alpn, *cipher;
    bool reject_alpn, decline_alpn;
    bool verify_peer, require_client_certificate, custom_verify, verify_fail, reverify_on_resume;
    bool no_ticket, skip_ticket, enable_early_data;
    bool no_tls13, no_tls12, no_tls11, no_tls1;
    int64_t min_version, max_version, max_cert_list;
    bool fips_202205, wpa_202304, cnsa_202407, cnsa1_202603, cnsa2_202603;
    struct shim_blob ticket_key;
    bool enable_ocsp, enable_scts, fail_cert_callback;
    bool fail_ocsp_callback, decline_ocsp_callback, use_ocsp_callback;
    bool enable_grease, permute_extensions;

    struct shim_blob ech_config_list, ech_server_config[SHIM_MAX_ECH_KEYS], ech_server_key[SHIM_MAX_ECH_KEYS],
        expect_ech_retry_configs;
    int64_t ech_is_retry_config[SHIM_MAX_ECH_KEYS];
    size_t ech_configs, ech_keys, ech_retries;
    bool ech_grease, reject_unusable_ech_config, expect_ech_accept, expect_no_ech_retry_configs;

    bool async, implicit_handshake, shim_writes_first, shim_shuts_down, check_close_notify, peek_then_read;
    bool key_update, key_update_before_read, send_alert, read_with_unfinished_write, export_traffic_secrets;
    int64_t read_size, repeat_initial_write, resumption_delay, early_write_after_message;
    const char *initial_write;
    int64_t export_len;
    const char *export_label, *export_context;

    int64_t expect_version, expect_curve, expect_peer_scheme, expect_cipher, expect_cipher_aes,
        expect_cipher_no_aes, expect_skew;
    int64_t expect_selected_credential, expect_peer_type;
    bool expect_session_miss, expect_no_session, expect_ticket_early_data, expect_no_server_name;
    bool expect_accept_early, expect_reject_early, expect_no_offer_early, expect_hrr, expect_no_hrr;
    bool expect_no_peer_cert;
    const char *expect_alpn, *expect_advertised_alpn, *expect_server_name, *expect_peer_cert_file,
        *expect_early_reason;
    struct shim_blob expect_ocsp, expect_scts, expect_raw_key;
};

struct shim_flags {
    struct shim_options initial, resume, retry;
};

/* shim_flags_parse: an exit code, 0 when all is well. Strings point into argv. */
int shim_flags_parse(struct shim_flags *ret, int argc, char **argv);

/* ---- credentials.c ---- */

struct shim_chain {
    struct tt_bytes certs[16]; /* each allocated by pem_next */
    size_t n;
};
bool shim_read_file(const char *path, struct buf *ret);
bool shim_chain_read(struct shim_chain *ret, const char *path);
void shim_chain_free(struct shim_chain *chain);

/* struct shim_key: what tt_sign_request.key points to. */
struct shim_key {
    struct tt_key *key;
    int number; /* -1: the default credential */
};
/* struct shim_psk: a PSK credential imported for one hash. */
struct shim_psk {
    struct tt_session *session;
    int number;
};
struct shim_keys {
    struct shim_key keys[SHIM_MAX_CREDENTIALS];
    size_t n;
    struct shim_psk psks[2 * SHIM_MAX_CREDENTIALS];
    size_t psks_len;
};
/* shim_add_identities: an exit code. Credentials whose preferences fit nothing are left out. */
int shim_add_identities(struct tt_config *cfg, struct shim_keys *keys, const struct shim_options *o);
void shim_keys_free(struct shim_keys *keys);
/* shim_only_old: nothing but schemes with PKCS #1 and SHA-1 (also: nothing at all). */
bool shim_only_old(const struct shim_list *prefs);
/* shim_psk_number: of the credential with this identity, -1. */
int shim_psk_number(const struct shim_keys *keys, struct tt_bytes identity);

/* ---- compress.c: the runner's own algorithms of certificate compression ---- */
tt_rc shim_add_compression(struct tt_config *cfg, const struct shim_options *o);

/* ---- names.c: lists of X.501 Names as the runner writes them: hex, separated by commas ---- */
#define SHIM_MAX_NAMES 16
struct shim_names {
    uint8_t bytes[4096];
    struct tt_bytes names[SHIM_MAX_NAMES];
    size_t n;
};
bool shim_names_read(struct shim_names *ret, const char *text);

/* ---- policy.c: lists of suites, groups and schemes; an exit code ---- */
int shim_set_lists(struct tt_config *cfg, const struct shim_options *o);
bool shim_policy_allows(const struct shim_options *o, uint16_t scheme); /* for our own signatures */

/* ---- setup.c ---- */

/* struct shim_state: what lives from one connection to the next. */
struct shim_state {
    struct tt_tickets *tickets;
    struct tt_session *session;
    int64_t started, clock_offset; /* milliseconds */
    bool first;                    /* connection */
    bool early_tickets;            /* the first one's tickets were for 0-RTT, too */
};
int64_t shim_now_ms(const struct shim_state *state);
int shim_config(struct tt_config **ret, struct shim_keys *keys, struct shim_state *state,
                const struct shim_options *o);

/* ---- link.c: one connection over one socket ---- */

#define SHIM_SECRET_LINES 2
struct shim_link {
    int fd;
    struct tt_conn *conn;
    const struct shim_options *o;
    const struct shim_state *state;
    const struct shim_keys *keys;
    uint8_t in[65536];
    size_t in_at, in_len;
    bool eof, broken;
    size_t hold_after; /* let only this many bytes of output through; SIZE_MAX: all */
    unsigned last_message;
    bool offered, offered_early;                   /* a session was; its ticket allows 0-RTT */
    bool judged;                                   /* the application has looked at the peer */
    int signed_with;                               /* number of the credential that signed, -1 */
    struct buf traffic_secrets[SHIM_SECRET_LINES]; /* client's, server's */
};
enum shim_io {
    SHIM_IO_OK,
    SHIM_IO_EOF,
    SHIM_IO_FAILED,
    SHIM_IO_EARLY_REJECTED,
    SHIM_IO_ABORTED
};
bool link_open(struct shim_link *l, const struct shim_options *o);
void link_close(struct shim_link *l); /* half-closes and drains */
/* link_step: send what is to be sent, sign what is to be signed, or take in one record (one byte with
 * -async). */
enum shim_io link_step(struct shim_link *l);
void link_flush(struct shim_link *l);
/* link_judge: the application looks at the peer as soon as the handshake is done, and refuses it where the
 * flags say so. */
tt_rc link_judge(struct shim_link *l);
enum shim_io link_read(struct shim_link *l, uint8_t *ret, size_t cap, size_t *ret_n);
enum shim_io link_write(struct shim_link *l, const uint8_t *data, size_t n);
/* link_early_client: our 0-RTT offer is not yet answered; link_in_early_data: either side, before the end of
 * the handshake. */
bool link_in_early_data(const struct shim_link *l);

/* ---- expect.c: does what happened match the flags; prints the reason when not ---- */
bool expect_handshake(const struct shim_link *l, bool resume);
bool expect_end(const struct shim_link *l, bool resume, const struct tt_session *session);

/* ---- exchange.c: an exit code ---- */
int shim_connection(struct shim_state *state, const struct shim_options *o, const struct shim_options *retry,
                    bool resume);

/* shim_say: a reason on stderr. */
void shim_say(const char *fmt, ...) TT_PRINTF(1, 2);

#endif
