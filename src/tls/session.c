/* tls/session.c: sessions, and their form as bytes. Layer: tls. RFC 9846 sections 4.3.11 and 4.7.1. */
#include "tls/session.h"

#include <string.h>

#include "tls/auth.h"
#include "wire/iana.h"

#define SESSION_FORMAT     4
#define SESSION_FORMAT_OLD 3 /* is read where it is an external PSK; it knew too little of tickets */

tt_rc session_alloc(struct tt_session **ret)
{
    struct tt_session *s = mem_alloc(sizeof *s);
    if (s == NULL)
        return TT_ERR_MEMORY;
    atomic_init(&s->refs, 1);
    *ret = s;
    return TT_OK;
}

struct tt_session *session_ref(struct tt_session *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void tt_session_free(struct tt_session *s)
{
    if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    buf_free(&s->identity);
    buf_free(&s->alpn);
    buf_free(&s->server_name);
    buf_free(&s->auth);
    mem_free(s);
}
TT_DEFINE_AUTO(struct tt_session, tt_session_free)

bool session_usable(const struct tt_session *s, int64_t now_ms)
{
    if (s->psk.external)
        return true;
    int64_t age = now_ms - s->received_ms;
    return age >= 0 && age < (int64_t)s->lifetime * 1000;
}

/* Both times are cut to milliseconds, so that their difference may be one too many: one less is never more
 * than the true age. A server whose own view of the age is smaller than ours takes us for a replay (GnuTLS
 * does). */
uint32_t session_age(const struct tt_session *s, int64_t now_ms)
{
    if (s->psk.external)
        return 0;
    int64_t age = now_ms - s->received_ms;
    return (uint32_t)(age > 0 ? age - 1 : 0) + s->age_add;
}

static tt_rc tell_apart(struct tt_session *s, const struct crypto_lib *lib)
{
    return psk_digest(s->psk_digest, lib, &s->psk, buf_bytes(&s->identity));
}

/* "For externally established PSKs, the Hash algorithm MUST be set when the PSK is established or default
 * to SHA-256" (section 4.3.11) */
tt_rc tt_session_new_external(struct tt_session **ret, struct tt_bytes identity, struct tt_bytes key,
                              bool sha384, struct tt_error *err)
{
    if (identity.len < 1 || identity.len > 1024)
        return error_set(err, TT_ERR_USAGE, "a PSK identity has 1 to 1,024 bytes");
    /* RFC 9257 section 6: at least 128 bits of entropy. */
    if (key.len < PSK_MIN_EXTERNAL || key.len > PSK_MAX_SIZE)
        return error_set(err, TT_ERR_USAGE, "an external PSK has %d to %d bytes", PSK_MIN_EXTERNAL,
                         PSK_MAX_SIZE);
    TT_AUTO(tt_session_free_auto) struct tt_session *s = NULL;
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_TRY(crypto_lib_new(&lib, err));
    if (session_alloc(&s) != TT_OK || buf_append(&s->identity, identity.data, identity.len) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    s->psk = (struct psk){.hash = sha384 ? HASH_SHA384 : HASH_SHA256, .external = true, .len = key.len};
    memcpy(s->psk.key, key.data, key.len);
    s->suite = sha384 ? TT_SUITE_AES_256_GCM_SHA384 : TT_SUITE_AES_128_GCM_SHA256;
    if (tell_apart(s, lib) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    *ret = TT_TAKE(s);
    return TT_OK;
}

/* struct { opaque external_identity<1...2^16-1>; opaque context<0..2^16-1>; uint16 target_protocol; uint16
 * target_kdf; } ImportedIdentity; */
static tt_rc imported_identity_put(struct buf *to, const struct tt_psk_import *what)
{
    enum {
        HKDF_SHA256 = 1,
        HKDF_SHA384 = 2
    };
    struct writer w = writer_to(to);
    wr_vec16(&w, what->identity);
    wr_vec16(&w, what->context);
    wr_u16(&w, TLS_VERSION_1_3);
    wr_u16(&w, what->sha384 ? HKDF_SHA384 : HKDF_SHA256);
    return wr_status(&w);
}

static tt_rc session_import_psk(struct tt_session *s, const struct tt_psk_import *what)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_TRY(imported_identity_put(&s->identity, what));
    TT_TRY(crypto_lib_new(&lib, NULL));
    const struct psk_import from = {.hash = what->key_sha384 ? HASH_SHA384 : HASH_SHA256,
                                    .epsk = what->key,
                                    .imported_identity = buf_bytes(&s->identity),
                                    .target = what->sha384 ? HASH_SHA384 : HASH_SHA256};
    TT_TRY(psk_import(&s->psk, lib, &from));
    return tell_apart(s, lib);
}

tt_rc tt_session_new_imported(struct tt_session **ret, const struct tt_psk_import *what, struct tt_error *err)
{
    if (what->identity.len < 1 || what->identity.len > 1024 || what->context.len > 1024)
        return error_set(err, TT_ERR_USAGE,
                         "the identity of a PSK has 1 to 1,024 bytes, its context has at most 1,024");
    if (what->key.len < PSK_MIN_EXTERNAL || what->key.len > PSK_MAX_IMPORTED)
        return error_set(err, TT_ERR_USAGE, "an external PSK has %d to %d bytes", PSK_MIN_EXTERNAL,
                         PSK_MAX_IMPORTED);
    TT_AUTO(tt_session_free_auto) struct tt_session *s = NULL;
    tt_rc rc = session_alloc(&s);
    if (rc == TT_OK)
        rc = session_import_psk(s, what);
    if (rc != TT_OK)
        return error_set(err, rc, "out of memory");
    s->suite = what->sha384 ? TT_SUITE_AES_256_GCM_SHA384 : TT_SUITE_AES_128_GCM_SHA256;
    *ret = TT_TAKE(s);
    return TT_OK;
}

tt_rc tt_session_export(const struct tt_session *s, uint8_t **ret, size_t *ret_len)
{
    struct buf out = {0};
    struct writer w = writer_to(&out);
    wr_u8(&w, SESSION_FORMAT);
    wr_u8(&w, (uint8_t)((s->psk.external ? 1 : 0) | (s->psk.held ? 2 : 0) | (s->psk.imported ? 4 : 0)));
    wr_u16(&w, s->suite);
    wr_u16(&w, s->group);
    wr_u8(&w, (uint8_t)s->psk.hash);
    wr_vec8(&w, (struct tt_bytes){s->psk.key, s->psk.held ? 0 : s->psk.len});
    wr_u32(&w, s->age_add);
    wr_u32(&w, s->lifetime);
    wr_u32(&w, s->max_early_data);
    wr_u64(&w, (uint64_t)s->received_ms);
    wr_vec16(&w, buf_bytes(&s->identity));
    wr_vec8(&w, buf_bytes(&s->alpn));
    wr_vec8(&w, buf_bytes(&s->server_name));
    wr_bytes(&w, (struct tt_bytes){s->psk_digest, sizeof s->psk_digest});
    wr_vec24(&w, buf_bytes(&s->auth));
    if (wr_status(&w) != TT_OK) {
        buf_free(&out);
        return TT_ERR_MEMORY;
    }
    *ret = out.data;
    *ret_len = out.len;
    return TT_OK;
}

static tt_rc keep(struct buf *to, struct tt_bytes from)
{
    return from.len == 0 ? TT_OK : buf_append(to, from.data, from.len);
}

/* An external PSK's: of the format before, the key tells which it is; where the key is not here, nothing
 * does, and what is made of it counts for this very object alone. */
static tt_rc digest_read(struct tt_session *s, struct reader *r, bool old)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    struct tt_bytes digest = old ? (struct tt_bytes){NULL, 0} : rd_bytes(r, sizeof s->psk_digest);
    if (digest.len > 0)
        memcpy(s->psk_digest, digest.data, digest.len);
    if (!old)
        return TT_OK;
    if (s->psk.held)
        return crypto_random(NULL, s->psk_digest, sizeof s->psk_digest) ? TT_OK : TT_ERR_INTERNAL;
    TT_TRY(crypto_lib_new(&lib, NULL));
    return tell_apart(s, lib);
}

/* What a ticket's session rests on has to be readable, an external PSK's rests on itself. */
static bool auth_fits(const struct tt_session *s)
{
    struct reader r = reader_of(buf_bytes(&s->auth));
    if (s->psk.external)
        return rd_left(&r) == 0;
    const struct auth a = auth_read(&r);
    return rd_done(&r) == TT_OK && a.authenticated_ms >= 0;
}

static tt_rc session_read(struct tt_session *s, struct reader *r)
{
    uint8_t format = rd_u8(r), kind = rd_u8(r);
    bool old = format == SESSION_FORMAT_OLD;
    s->psk.external = (kind & 1) != 0;
    s->psk.held = (kind & 2) != 0;
    s->psk.imported = (kind & 4) != 0;
    if ((format != SESSION_FORMAT && !(old && s->psk.external)) || kind > 7 ||
        (s->psk.imported && !s->psk.external))
        return TT_ERR_DECODE;
    s->suite = rd_u16(r);
    s->group = rd_u16(r);
    if (old)
        (void)rd_u8(r); /* the type of the server's certificate */
    s->psk.hash = rd_u8(r);
    struct tt_bytes key = rd_vec8(r, s->psk.held ? 0 : 16);
    s->age_add = rd_u32(r);
    s->lifetime = rd_u32(r);
    s->max_early_data = rd_u32(r);
    s->received_ms = (int64_t)rd_u64(r);
    if (old)
        (void)rd_bytes(r, 16); /* when the server was authenticated, and its certificate's end */
    struct tt_bytes identity = rd_vec16(r, 1), alpn = rd_vec8(r, 0), name = rd_vec8(r, 0);
    TT_TRY(rd_status(r));
    const struct suite *suite = suite_of(s->suite);
    if (suite == NULL || suite->hash != s->psk.hash || key.len > PSK_MAX_SIZE ||
        s->lifetime > PSK_MAX_LIFETIME || s->received_ms < 0)
        return TT_ERR_DECODE;
    if (s->psk.held && (key.len > 0 || s->psk.hash != HASH_SHA256))
        return TT_ERR_DECODE;
    if (key.len > 0)
        memcpy(s->psk.key, key.data, key.len);
    s->psk.len = s->psk.held ? hash_size(s->psk.hash) : key.len;
    TT_TRY(keep(&s->identity, identity));
    TT_TRY(keep(&s->alpn, alpn));
    TT_TRY(keep(&s->server_name, name));
    TT_TRY(digest_read(s, r, old));
    struct tt_bytes auth = rd_vec24(r, 0);
    TT_TRY(rd_done(r));
    TT_TRY(keep(&s->auth, auth));
    return auth_fits(s) ? TT_OK : TT_ERR_DECODE;
}

tt_rc tt_session_import(struct tt_session **ret, struct tt_bytes bytes)
{
    struct reader r = reader_of(bytes);
    TT_AUTO(tt_session_free_auto) struct tt_session *s = NULL;
    TT_TRY(session_alloc(&s));
    TT_TRY(session_read(s, &r));
    *ret = TT_TAKE(s);
    return TT_OK;
}

tt_rc tt_session_import_held(struct tt_session **ret, struct tt_bytes bytes, void *key)
{
    TT_AUTO(tt_session_free_auto) struct tt_session *s = NULL;
    TT_TRY(tt_session_import(&s, bytes));
    if (!s->psk.held)
        return TT_ERR_DECODE;
    s->held_key = key;
    *ret = TT_TAKE(s);
    return TT_OK;
}

/* The same, without the PSK. */
static tt_rc session_without_psk(struct tt_session **ret, const struct tt_session *s, void *key)
{
    TT_AUTO(tt_session_free_auto) struct tt_session *copy = NULL;
    TT_TRY(session_alloc(&copy));
    copy->psk = (struct psk){.hash = s->psk.hash,
                             .external = s->psk.external,
                             .imported = s->psk.imported,
                             .held = true,
                             .len = hash_size(s->psk.hash)};
    copy->held_key = key;
    copy->suite = s->suite;
    copy->group = s->group;
    memcpy(copy->psk_digest, s->psk_digest, sizeof copy->psk_digest);
    copy->age_add = s->age_add;
    copy->lifetime = s->lifetime;
    copy->received_ms = s->received_ms;
    TT_TRY(keep(&copy->identity, buf_bytes(&s->identity)));
    TT_TRY(keep(&copy->alpn, buf_bytes(&s->alpn)));
    TT_TRY(keep(&copy->server_name, buf_bytes(&s->server_name)));
    TT_TRY(keep(&copy->auth, buf_bytes(&s->auth)));
    *ret = TT_TAKE(copy);
    return TT_OK;
}

tt_rc tt_session_hold(struct tt_session **ret, const struct tt_session *s, void *key, uint8_t ret_k1[32],
                      uint8_t ret_k2[32], struct tt_error *err)
{
    if (s->psk.held)
        return error_set(err, TT_ERR_USAGE, "the session's PSK is held already");
    if (s->psk.hash != HASH_SHA256)
        return error_set(err, TT_ERR_UNSUPPORTED, "only PSKs of SHA-256 suites can be held");
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    struct tt_session *held = NULL;
    struct ks_secret k1, k2;
    TT_TRY(crypto_lib_new(&lib, err));
    tt_rc rc = psk_split(lib, &s->psk, &k1, &k2);
    if (rc == TT_OK)
        rc = session_without_psk(&held, s, key);
    if (rc == TT_OK) {
        memcpy(ret_k1, k1.data, 32);
        memcpy(ret_k2, k2.data, 32);
        *ret = held;
    }
    mem_wipe(&k1, sizeof k1);
    mem_wipe(&k2, sizeof k2);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "the session cannot be split");
}

void tt_session_info(const struct tt_session *s, struct tt_session_info *ret)
{
    *ret = (struct tt_session_info){.external = s->psk.external,
                                    .held = s->psk.held,
                                    .imported = s->psk.imported,
                                    .suite = s->suite,
                                    .group = s->group,
                                    .received_ms = s->received_ms,
                                    .lifetime = s->lifetime,
                                    .max_early_data = s->max_early_data,
                                    .identity = buf_bytes(&s->identity),
                                    .alpn = buf_bytes(&s->alpn),
                                    .server_name = buf_bytes(&s->server_name)};
}
