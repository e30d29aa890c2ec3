/* tls/ext.h: the extension table (RFC 9846 section 4.3). Layer: tls.
 * One loop refuses duplicates, extensions in the wrong message and unsolicited answers; then each is parsed
 * in the order of the table. Building goes by the same table. */
#ifndef TLS_EXT_H
#define TLS_EXT_H

#include "tls/hs.h"

enum ext_place {
    IN_CH = 1,  /* ClientHello */
    IN_SH = 2,  /* ServerHello */
    IN_HRR = 4, /* HelloRetryRequest */
    IN_EE = 8,  /* EncryptedExtensions */
    IN_CR = 16, /* CertificateRequest */
    IN_CT = 32, /* an entry of Certificate */
    IN_NST = 64 /* NewSessionTicket */
};

/* struct ext: wants and build are NULL for extensions we never send, parse is NULL for those we know but do
 * not look into. parse leaves trailing bytes to the loop; it may refuse the connection itself. */
struct ext {
    uint16_t type;
    unsigned places; /* where the standard allows it */
    bool (*wants)(const struct tt_conn *c, enum ext_place in);
    void (*build)(struct tt_conn *c, enum ext_place in, struct writer *w);
    tt_rc (*parse)(struct tt_conn *c, enum ext_place in, struct reader *r);
};

TT_MUST_USE tt_rc ext_parse_block(struct tt_conn *c, enum ext_place in, struct tt_bytes block);
void ext_build_block(struct tt_conn *c, enum ext_place in, struct writer *w); /* with its 16-bit length */
size_t ext_count(void);                                                       /* rows of the table */
bool ext_seen(const struct tt_conn *c, uint16_t type);                        /* in the block parsed last */

uint16_t ext_type(size_t i);     /* of row i */
uint64_t ext_bit(uint16_t type); /* its bit in struct hs */
/* ext_find: the data of an extension in a block without its length; false when it is not there. */
bool ext_find(struct tt_bytes block, uint16_t type, struct tt_bytes *ret);

/* ext_ech.c */
bool ech_wants(const struct tt_conn *c, enum ext_place in);
void ech_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc ech_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

/* ext_hello.c */
bool supported_versions_wants(const struct tt_conn *c, enum ext_place in);
void supported_versions_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc supported_versions_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool supported_groups_wants(const struct tt_conn *c, enum ext_place in);
void supported_groups_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc supported_groups_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool key_share_wants(const struct tt_conn *c, enum ext_place in);
void key_share_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc key_share_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool cookie_wants(const struct tt_conn *c, enum ext_place in);
void cookie_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc cookie_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

/* ext_names.c */
bool server_name_wants(const struct tt_conn *c, enum ext_place in);
void server_name_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc server_name_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool alpn_wants(const struct tt_conn *c, enum ext_place in);
/* alpn_is_ours: is the name one that the configuration has. */
bool alpn_is_ours(const struct tt_conn *c, struct tt_bytes name);
void alpn_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc alpn_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

/* ext_auth.c */
struct tt_bytes rd_schemes(struct reader *r); /* SignatureSchemeList */
bool signature_algorithms_wants(const struct tt_conn *c, enum ext_place in);
void signature_algorithms_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc signature_algorithms_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool signature_algorithms_cert_wants(const struct tt_conn *c, enum ext_place in);
void signature_algorithms_cert_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc signature_algorithms_cert_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool certificate_authorities_wants(const struct tt_conn *c, enum ext_place in);
void certificate_authorities_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc certificate_authorities_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

bool post_handshake_auth_wants(const struct tt_conn *c, enum ext_place in);
void post_handshake_auth_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc post_handshake_auth_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

/* ext_certificate.c */
bool status_request_wants(const struct tt_conn *c, enum ext_place in);
void status_request_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc status_request_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool sct_wants(const struct tt_conn *c, enum ext_place in);
void sct_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc sct_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool compress_certificate_wants(const struct tt_conn *c, enum ext_place in);
void compress_certificate_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc compress_certificate_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool record_size_limit_wants(const struct tt_conn *c, enum ext_place in);
void record_size_limit_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc record_size_limit_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

/* ext_delegated.c */
bool delegated_credential_wants(const struct tt_conn *c, enum ext_place in);
void delegated_credential_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc delegated_credential_parse_ext(struct tt_conn *c, enum ext_place in, struct reader *r);
/* ext_certificate_type.c */
bool client_certificate_type_wants(const struct tt_conn *c, enum ext_place in);
void client_certificate_type_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc client_certificate_type_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool server_certificate_type_wants(const struct tt_conn *c, enum ext_place in);
void server_certificate_type_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc server_certificate_type_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
/* certificate_types_choose: server: what the client will show if it is asked; its own answer is chosen with
 * the identity. */
TT_MUST_USE tt_rc certificate_types_choose(struct tt_conn *c);

/* ext_psk.c */
bool psk_modes_wants(const struct tt_conn *c, enum ext_place in);
void psk_modes_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc psk_modes_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool cert_with_psk_wants(const struct tt_conn *c, enum ext_place in);
void cert_with_psk_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc cert_with_psk_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool pre_shared_key_wants(const struct tt_conn *c, enum ext_place in);
void pre_shared_key_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc pre_shared_key_parse(struct tt_conn *c, enum ext_place in, struct reader *r);
bool early_data_wants(const struct tt_conn *c, enum ext_place in);
void early_data_build(struct tt_conn *c, enum ext_place in, struct writer *w);
tt_rc early_data_parse(struct tt_conn *c, enum ext_place in, struct reader *r);

#endif
