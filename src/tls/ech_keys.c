/* tls/ech_keys.c: a server's ECH keys: a set that is exchanged as a whole while handshakes use it. Layer:
 * tls. RFC 9849 section 4.1. Form of a file: RFC 9934 (a PKCS#8 key, then its ECHConfigList, in PEM). */
#include <string.h>

#include "base/lock.h"
#include "tls/ech.h"
#include "wire/pem.h"

struct ech_key_set {
    atomic_uint refs;
    size_t n;
    struct ech_key keys[TT_MAX_ECH_KEYS];
    void (*release)(void *held);
};

struct tt_ech_keys {
    atomic_uint refs;
    struct lock lock;
    struct crypto_lib *lib;
    struct ech_key_set *set; /* NULL: none yet */
    bool trial;
};

tt_rc tt_ech_keys_new(struct tt_ech_keys **ret, struct tt_error *err)
{
    struct tt_ech_keys *k = mem_alloc(sizeof *k);
    if (k == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    tt_rc rc = crypto_lib_new(&k->lib, err);
    if (rc != TT_OK) {
        mem_free(k);
        return rc;
    }
    atomic_init(&k->refs, 1);
    lock_init(&k->lock);
    *ret = k;
    return TT_OK;
}

void ech_keys_ref(struct tt_ech_keys *k)
{
    atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
}

void tt_ech_keys_free(struct tt_ech_keys *k)
{
    if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) > 1)
        return;
    ech_key_set_free(k->set);
    lock_destroy(&k->lock);
    crypto_lib_free(k->lib);
    mem_free(k);
}

void ech_key_set_free(struct ech_key_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < set->n; i++) {
        buf_free(&set->keys[i].bytes);
        if (set->keys[i].held != NULL && set->release != NULL)
            set->release(set->keys[i].held);
    }
    mem_free(set);
}
TT_DEFINE_AUTO(struct ech_key_set, ech_key_set_free)

struct ech_key_set *ech_keys_take(struct tt_ech_keys *k, bool *ret_trial)
{
    lock_take(&k->lock);
    struct ech_key_set *set = k->set;
    if (set != NULL)
        atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    *ret_trial = k->trial;
    lock_give(&k->lock);
    return set;
}

const struct ech_key *ech_key_at(const struct ech_key_set *set, size_t i)
{
    return set != NULL && i < set->n ? &set->keys[i] : NULL;
}

void tt_ech_keys_set_trial_decryption(struct tt_ech_keys *k, bool on)
{
    lock_take(&k->lock);
    k->trial = on;
    lock_give(&k->lock);
}

/* Add a config, if it is of this key. */
static tt_rc add_config(struct ech_key_set *set, const struct ech_config *config,
                        const struct tt_ech_key *from, const struct hpke_keypair *pair)
{
    bool ours = config->version == ECH_VERSION && config->kem == pair->kem &&
                config->public_key.len == pair->public_len &&
                memcmp(config->public_key.data, pair->public_key, pair->public_len) == 0;
    if (!ours)
        return TT_OK;
    if (set->n == TT_MAX_ECH_KEYS)
        return TT_ERR_USAGE;
    struct ech_key *key = &set->keys[set->n];
    TT_TRY(buf_append(&key->bytes, config->raw.data, config->raw.len));
    struct reader r = reader_of(buf_bytes(&key->bytes));
    set->n++;
    TT_TRY(ech_config_read(&key->config, &r));
    key->pair = *pair;
    key->retry = from->retry;
    key->held = from->key;
    return TT_OK;
}

/* A held key's public half is that of its config, of which there is one. */
static tt_rc held_pair(struct hpke_keypair *ret, struct tt_bytes list)
{
    struct reader r = reader_of(list);
    struct ech_config config;
    (void)rd_u16(&r);
    TT_TRY(ech_config_read(&config, &r));
    if (config.version != ECH_VERSION || config.public_key.len != hpke_enc_size(config.kem))
        return TT_ERR_UNSUPPORTED;
    TT_TRY(rd_done(&r));
    *ret = (struct hpke_keypair){.kem = config.kem, .public_len = config.public_key.len};
    memcpy(ret->public_key, config.public_key.data, config.public_key.len);
    return TT_OK;
}

static tt_rc add_list(struct ech_key_set *set, const struct tt_ech_key *from, struct tt_bytes list,
                      const struct hpke_keypair *pair, struct tt_error *err)
{
    size_t before = set->n;
    struct reader r = reader_of(list);
    struct ech_config config;
    for ((void)rd_u16(&r); rd_left(&r) > 0;) {
        tt_rc rc = ech_config_read(&config, &r);
        rc = rc == TT_OK ? add_config(set, &config, from, pair) : rc;
        if (rc != TT_OK)
            return error_set(err, rc,
                             rc == TT_ERR_USAGE ? "there are more than %d ECH keys" : "out of memory",
                             TT_MAX_ECH_KEYS);
    }
    return set->n > before ? TT_OK
                           : error_set(err, TT_ERR_DECODE, "the ECH key is of none of the configs beside it");
}

static tt_rc add_key(struct ech_key_set *set, const struct crypto_lib *lib, const struct tt_ech_key *from,
                     struct tt_error *err)
{
    struct pem_block list = {0}, key = {0};
    struct hpke_keypair pair = {0};
    struct tt_bytes der = from->config_list;
    if (from->pem.len > 0) {
        if (pem_find(&list, from->pem, "ECHCONFIG") != TT_OK)
            return error_set(err, TT_ERR_DECODE, "there is no ECHCONFIG in the PEM text");
        der = (struct tt_bytes){list.der, list.len};
    }
    tt_rc rc = ech_list_check(der);
    if (rc != TT_OK)
        (void)error_set(err, rc, "the ECHConfigList is malformed");
    else if (from->key != NULL)
        rc = held_pair(&pair, der);
    else if (from->pem.len == 0)
        rc = hpke_keypair_of_secret(&pair, lib, from->kem, from->private_key);
    else if (pem_find(&key, from->pem, "PRIVATE KEY") == TT_OK)
        rc = hpke_keypair_of_der(&pair, lib, (struct tt_bytes){key.der, key.len});
    else
        rc = TT_ERR_DECODE;
    if (rc != TT_OK)
        (void)error_set(err, rc, "the ECH key cannot be used: X25519 and P-256 can");
    else
        rc = add_list(set, from, der, &pair, err);
    mem_wipe(&pair, sizeof pair);
    pem_block_free(&list);
    pem_block_free(&key);
    return rc;
}

tt_rc tt_ech_keys_set(struct tt_ech_keys *k, const struct tt_ech_key *keys, size_t n,
                      void (*release)(void *key), struct tt_error *err)
{
    TT_AUTO(ech_key_set_free_auto) struct ech_key_set *set = mem_alloc(sizeof *set);
    if (set == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&set->refs, 1);
    for (size_t i = 0; i < n; i++)
        TT_TRY(add_key(set, k->lib, &keys[i], err));
    set->release = release; /* from here on they are ours */
    lock_take(&k->lock);
    struct ech_key_set *before = k->set;
    k->set = TT_TAKE(set);
    lock_give(&k->lock);
    ech_key_set_free(before);
    return TT_OK;
}

/* struct tt_ech_config_params -> ECHConfigList. No extension of a reserved type, as a server may add
 * (section 6.2.2): BoringSSL's servers take no config that has any extension. */
static tt_rc put_config_list(struct buf *to, const struct tt_ech_config_params *p, struct tt_bytes public_key)
{
    static const uint16_t aeads[] = {HPKE_AES_128_GCM, HPKE_CHACHA20_POLY1305};
    struct writer w = writer_to(to);
    struct wr_mark list = wr_open16(&w);
    wr_u16(&w, ECH_VERSION);
    struct wr_mark contents = wr_open16(&w);
    wr_u8(&w, p->config_id);
    wr_u16(&w, p->kem);
    wr_vec16(&w, public_key);
    struct wr_mark suites = wr_open16(&w);
    for (size_t i = 0; i < TT_COUNT(aeads); i++) {
        wr_u16(&w, HPKE_HKDF_SHA256);
        wr_u16(&w, aeads[i]);
    }
    wr_close(&w, suites);
    wr_u8(&w, p->maximum_name_length);
    wr_vec8(&w, (struct tt_bytes){(const uint8_t *)p->public_name, strlen(p->public_name)});
    wr_u16(&w, 0); /* extensions */
    wr_close(&w, contents);
    wr_close(&w, list);
    return wr_status(&w);
}

static tt_rc make_pem(struct buf *to, const struct tt_ech_config_params *p, const struct hpke_keypair *pair,
                      struct tt_bytes list)
{
    if (p->public_key.len == 0) {
        uint8_t *der = NULL;
        size_t len = 0;
        TT_TRY(hpke_keypair_der(pair, &der, &len));
        tt_rc rc = pem_write(to, "PRIVATE KEY", (struct tt_bytes){der, len});
        mem_free(der);
        TT_TRY(rc);
    }
    return pem_write(to, "ECHCONFIG", list);
}

tt_rc tt_ech_config_make(uint8_t **ret_pem, size_t *ret_len, const struct tt_ech_config_params *p,
                         struct tt_error *err)
{
    TT_AUTO(crypto_lib_free_auto) struct crypto_lib *lib = NULL;
    TT_AUTO(buf_free) struct buf list = {0};
    TT_AUTO(buf_free) struct buf pem = {0};
    struct hpke_keypair pair = {0};
    struct ech_config config;
    struct hpke_suite suite;
    TT_TRY(crypto_lib_new(&lib, err));
    tt_rc rc = TT_OK;
    if (p->public_key.len == 0)
        rc = hpke_generate(&pair, lib, p->kem, (struct kx_random){crypto_random, NULL});
    struct tt_bytes public_key =
        p->public_key.len > 0 ? p->public_key : (struct tt_bytes){pair.public_key, pair.public_len};
    if (rc == TT_OK)
        rc = put_config_list(&list, p, public_key);
    if (rc == TT_OK && !ech_config_select(&config, &suite, lib, buf_bytes(&list)))
        rc = error_set(err, TT_ERR_USAGE, "%s is no name that clients take for an ECH public name",
                       p->public_name);
    if (rc == TT_OK)
        rc = make_pem(&pem, p, &pair, buf_bytes(&list));
    mem_wipe(&pair, sizeof pair);
    if (rc == TT_OK && (*ret_pem = mem_dup(buf_front(&pem), buf_size(&pem))) == NULL)
        rc = TT_ERR_MEMORY;
    *ret_len = buf_size(&pem);
    return rc == TT_OK ? TT_OK : error_set(err, rc, "no ECH key could be made");
}
