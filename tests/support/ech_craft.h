/* tests/support/ech_craft.h: ClientHelloOuter around any EncodedClientHelloInner. Tests only. */
#ifndef TESTS_ECH_CRAFT_H
#define TESTS_ECH_CRAFT_H

#include "tls/ech.h"
#include "wire/pem.h"

struct ech_craft {
    struct crypto_lib *lib;
    uint8_t *pem; /* of the server: private key and config */
    size_t pem_len;
    struct pem_block list;
    struct ech_config config;
    uint8_t config_id; /* what the extension says: that of the config, until it is changed */
};
void ech_craft_begin(struct ech_craft *c);
void ech_craft_end(struct ech_craft *c);

/* ech_craft_seal: a record with the ClientHello `outer`, to which an encrypted_client_hello with the sealed
 * `encoded` was added. hello has the message's header; all of it fits into one record. */
void ech_craft_seal(const struct ech_craft *c, struct buf *ret_record, struct tt_bytes outer,
                    struct tt_bytes encoded);

/* ech_craft_encode: EncodedClientHelloInner of a whole ClientHello message, without its legacy_session_id. */
void ech_craft_encode(struct buf *ret, struct tt_bytes inner);

#endif
