/* pkcs11/mechanism.h: the mechanisms: which there are, which fit a key, what their parameters say. Layer:
 * pkcs11. PKCS#11 2.40 Current Mechanisms, sections 2.1 (RSA), 2.3 (elliptic curves), 2.18 to 2.22 (SHA). */
#ifndef PKCS11_MECHANISM_H
#define PKCS11_MECHANISM_H

#include "pkcs11/cryptoki.h"
#include "signer/raw.h"

enum mechanism_kind {
    MECHANISM_DIGEST,
    MECHANISM_SIGN,
    MECHANISM_DECRYPT,
    MECHANISM_DERIVE,
    MECHANISM_KEY_PAIR
};

struct mechanism {
    CK_MECHANISM_TYPE type;
    enum mechanism_kind kind;
    enum apart_form form; /* of a signature */
    enum apart_hash hash; /* that the mechanism computes; else the caller has done so */
    CK_FLAGS flags;       /* CKF_SIGN and so on */
    CK_ULONG least, most; /* bits of a key */
};
extern const struct mechanism mechanisms[];
extern const size_t mechanisms_len;

const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type, enum mechanism_kind kind);
/* mechanism_permitted: the key was made for this kind of use: to sign, or to decrypt or derive. */
bool mechanism_permitted(enum mechanism_kind kind, const struct raw_info *info);
/* mechanism_fits: this key may be used with it, as far as its public part tells. */
bool mechanism_fits(const struct mechanism *m, const struct raw_info *info);

/* struct request: a mechanism with its parameters. */
struct request {
    const struct mechanism *mechanism;
    enum apart_hash hash; /* PSS: of the digest; OAEP */
    size_t salt_len;
    struct tt_bytes point; /* ECDH: the other's, 4 || x || y; a view */
};
/* request_read: CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID. */
CK_RV request_read(struct request *ret, const CK_MECHANISM *m, enum mechanism_kind kind);

#endif
