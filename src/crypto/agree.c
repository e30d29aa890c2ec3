/* crypto/agree.c: see agree.h. Layer: crypto. SP 800-56A Rev. 3, section 6.2.2.2 (one-pass Diffie-Hellman).
 */
#include "crypto/agree.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include "base/mem.h"

/* A private scalar in [1, n-1] by rejection (FIPS 186-5 A.2.2), which nearly always is the first one. */
static bool draw(BIGNUM *d, const EC_GROUP *group, struct kx_random random)
{
    uint8_t bytes[AGREE_FIELD];
    bool done = false, drawn = true;
    for (int tries = 0; tries < 64 && drawn && !done; tries++) {
        drawn = random.fn(random.arg, bytes, sizeof bytes) && BN_bin2bn(bytes, sizeof bytes, d) != NULL;
        done = drawn && !BN_is_zero(d) && BN_cmp(d, EC_GROUP_get0_order(group)) < 0;
    }
    mem_wipe(bytes, sizeof bytes);
    return done;
}

static bool put(const BIGNUM *n, uint8_t *ret)
{
    return BN_bn2binpad(n, ret, AGREE_FIELD) == AGREE_FIELD;
}

static bool affine(const EC_GROUP *group, const EC_POINT *p, uint8_t *ret_x, uint8_t *ret_y)
{
    BIGNUM *x = BN_secure_new(), *y = BN_new();
    bool ok = x != NULL && y != NULL && EC_POINT_get_affine_coordinates(group, p, x, y, NULL) == 1 &&
              put(x, ret_x) && (ret_y == NULL || put(y, ret_y));
    BN_clear_free(x);
    BN_clear_free(y);
    return ok;
}

/* libcrypto looks whether it is on the curve; the curve has no points of small order (cofactor 1). */
static tt_rc point_of(EC_POINT *ret, const EC_GROUP *group, const struct agree_point *p)
{
    BIGNUM *x = BN_bin2bn(p->x, AGREE_FIELD, NULL), *y = BN_bin2bn(p->y, AGREE_FIELD, NULL);
    tt_rc rc = TT_ERR_MEMORY;
    if (x != NULL && y != NULL)
        rc = EC_POINT_set_affine_coordinates(group, ret, x, y, NULL) == 1 ? TT_OK : TT_ERR_PROTOCOL;
    BN_free(x);
    BN_free(y);
    return rc;
}

tt_rc agree_p256(struct agree_point *ret_own, uint8_t ret_z[AGREE_FIELD], const struct agree_point *peer,
                 struct kx_random random)
{
    (void)ERR_set_mark();
    EC_GROUP *group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *theirs = group == NULL ? NULL : EC_POINT_new(group),
             *point = group == NULL ? NULL : EC_POINT_new(group);
    BIGNUM *d = BN_secure_new();
    tt_rc rc = TT_ERR_MEMORY;
    if (theirs != NULL && point != NULL && d != NULL)
        rc = point_of(theirs, group, peer);
    if (rc == TT_OK) {
        bool ok = draw(d, group, random);
        BN_set_flags(d, BN_FLG_CONSTTIME);
        ok = ok && EC_POINT_mul(group, point, d, NULL, NULL, NULL) == 1 &&
             affine(group, point, ret_own->x, ret_own->y) &&
             EC_POINT_mul(group, point, NULL, theirs, d, NULL) == 1 && affine(group, point, ret_z, NULL);
        rc = ok ? TT_OK : TT_ERR_INTERNAL;
    }
    BN_clear_free(d);
    EC_POINT_clear_free(point);
    EC_POINT_free(theirs);
    EC_GROUP_free(group);
    (void)ERR_pop_to_mark();
    return rc;
}
