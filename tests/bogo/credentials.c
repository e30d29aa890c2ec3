/* tests/bogo/credentials.c: certificates and keys from the runner's PEM files into identities. */
#include <stdio.h>
#include <string.h>

#include "shim.h"
#include "wire/pem.h"

#define SHIM_ANY_TYPE UINT16_MAX

bool shim_read_file(const char *path, struct buf *ret)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        shim_say("cannot open %s", path);
        return false;
    }
    char block[4096];
    size_t n;
    bool fine = true;
    while (fine && (n = fread(block, 1, sizeof block, f)) > 0)
        fine = buf_append(ret, block, n) == TT_OK;
    (void)fclose(f);
    return fine;
}

bool shim_chain_read(struct shim_chain *ret, const char *path)
{
    struct buf text = {0};
    if (!shim_read_file(path, &text))
        return false;
    struct tt_bytes rest = buf_bytes(&text);
    struct pem_block block;
    while (ret->n < TT_COUNT(ret->certs) && pem_next(&block, &rest) == TT_OK)
        ret->certs[ret->n++] = (struct tt_bytes){block.der, block.len};
    buf_free(&text);
    if (ret->n == 0)
        shim_say("no certificate in %s", path);
    return ret->n > 0;
}

void shim_chain_free(struct shim_chain *chain)
{
    for (size_t i = 0; i < chain->n; i++) {
        struct pem_block block = {.der = (uint8_t *)(uintptr_t)chain->certs[i].data,
                                  .len = chain->certs[i].len};
        pem_block_free(&block);
    }
    chain->n = 0;
}

bool shim_only_old(const struct shim_list *prefs)
{
    for (size_t i = 0; i < prefs->n; i++)
        if ((prefs->items[i] & 0xff) != 1 && (prefs->items[i] & 0xff) != 0x20 && (prefs->items[i] >> 8) != 2)
            return false;
    return true;
}

/* The schemes of the identity: those asked for, in their order, as far as key and policy can do them. Where
 * all of them are of older versions it is the key's own: the engine is not to sign with the others whatever a
 * peer takes. */
static size_t schemes_of(const struct shim_options *o, const struct tt_key *key,
                         const struct shim_list *prefs, uint16_t *ret, size_t cap)
{
    uint16_t able[SHIM_MAX_LIST];
    size_t able_len = tt_key_schemes(key, able, TT_COUNT(able)), n = 0;
    for (size_t i = 0; i < prefs->n; i++)
        for (size_t j = 0; j < able_len && n < cap; j++)
            if (able[j] == prefs->items[i] && shim_policy_allows(o, able[j]))
                ret[n++] = able[j];
    if (n > 0 || !shim_only_old(prefs))
        return n;
    for (size_t j = 0; j < able_len && n < cap; j++)
        if (shim_policy_allows(o, able[j]))
            ret[n++] = able[j];
    return n;
}

/* Imported for both hashes; a server accepts them, a client offers them (shim_connection). */
static int add_psk(struct tt_config *cfg, struct shim_keys *keys, const struct shim_credential *cred,
                   const struct shim_options *o)
{
    struct tt_psk_import from = {.identity = {cred->psk_identity.data, cred->psk_identity.len},
                                 .key = {cred->psk_key.data, cred->psk_key.len},
                                 .context = {cred->psk_context.data, cred->psk_context.len},
                                 .key_sha384 = cred->psk_sha384};
    for (int sha384 = 0; sha384 < 2; sha384++) {
        struct shim_psk *psk = &keys->psks[keys->psks_len];
        struct tt_error err = {0};
        from.sha384 = sha384 == 1;
        if (tt_session_new_imported(&psk->session, &from, &err) != TT_OK) {
            shim_say("unusable PSK: %s", err.text);
            return SHIM_EXIT_FAILED;
        }
        psk->number = (int)(cred - o->credentials) - 1;
        keys->psks_len++;
        if (o->server && tt_config_add_psk(cfg, psk->session) != TT_OK)
            return SHIM_EXIT_FAILED;
    }
    return 0;
}

static int add_identity(struct tt_config *cfg, struct shim_keys *keys, const struct shim_credential *cred,
                        const struct shim_options *o)
{
    struct buf pem = {0};
    struct tt_error err = {0};
    struct shim_key *key = &keys->keys[keys->n];
    if (!shim_read_file(cred->key_file, &pem))
        return SHIM_EXIT_FAILED;
    tt_rc rc = tt_key_open_software(&key->key, buf_bytes(&pem), NULL, &err);
    buf_free(&pem);
    if (rc != TT_OK) {
        shim_say("unusable key: %s", err.text);
        return SHIM_EXIT_UNIMPLEMENTED; /* of a kind that TLS 1.3 or this libcrypto does not have */
    }
    key->number = (int)(cred - o->credentials) - 1;
    keys->n++;
    struct shim_chain chain = {.n = 0};
    uint16_t schemes[16];
    size_t n = schemes_of(o, key->key, &cred->signing_prefs, schemes, TT_COUNT(schemes));
    if (n == 0)
        return 0;
    if (cred->kind == SHIM_X509 && !shim_chain_read(&chain, cred->cert_file))
        return SHIM_EXIT_FAILED;
    bool staples = !o->decline_ocsp_callback;
    const struct tt_identity id = {
        .chain = chain.certs,
        .chain_len = chain.n,
        .key = key,
        .schemes = schemes,
        .schemes_len = n,
        .only_for_its_issuer = cred->must_match_issuer,
        .raw_public_key = cred->kind == SHIM_RAW_KEY ? tt_key_spki(key->key) : (struct tt_bytes){NULL, 0},
        .ocsp_response = {cred->ocsp_response.data, staples ? cred->ocsp_response.len : 0},
        .sct_list = {cred->signed_cert_timestamps.data, cred->signed_cert_timestamps.len}};
    rc = tt_config_add_identity(cfg, &id, &err);
    shim_chain_free(&chain);
    if (rc != TT_OK)
        shim_say("identity refused: %s", err.text);
    return rc == TT_OK ? 0 : SHIM_EXIT_FAILED;
}

static bool is_usable(const struct shim_credential *cred, const struct shim_options *o, uint16_t type)
{
    bool listed = type == SHIM_ANY_TYPE || o->server;
    switch (cred->kind) {
    case SHIM_X509:
        return cred->cert_file != NULL && cred->key_file != NULL && (listed || type == TT_CERTIFICATE_X509);
    case SHIM_RAW_KEY:
        return cred->key_file != NULL && (listed || type == TT_CERTIFICATE_RAW_PUBLIC_KEY);
    case SHIM_PSK:
        return listed;
    }
    return false;
}

static int add_of_type(struct tt_config *cfg, struct shim_keys *keys, const struct shim_options *o,
                       uint16_t type)
{
    for (size_t i = 0; i <= o->credentials_len; i++) {
        /* New ones come first, in their order; the default one is the last resort. */
        size_t at = i < o->credentials_len ? i + 1 : 0;
        const struct shim_credential *cred = &o->credentials[at];
        if (!is_usable(cred, o, type))
            continue;
        int code = cred->kind == SHIM_PSK ? add_psk(cfg, keys, cred, o) : add_identity(cfg, keys, cred, o);
        if (code != 0)
            return code;
    }
    return 0;
}

/* A client offers the types of its identities in their order; the flags may give another order, or fewer. */
int shim_add_identities(struct tt_config *cfg, struct shim_keys *keys, const struct shim_options *o)
{
    int code = 0;
    if (o->server || o->own_types.n == 0)
        return add_of_type(cfg, keys, o, SHIM_ANY_TYPE);
    for (size_t i = 0; code == 0 && i < o->own_types.n; i++)
        code = add_of_type(cfg, keys, o, o->own_types.items[i]);
    return code;
}

void shim_keys_free(struct shim_keys *keys)
{
    for (size_t i = 0; i < keys->n; i++)
        tt_key_free(keys->keys[i].key);
    for (size_t i = 0; i < keys->psks_len; i++)
        tt_session_free(keys->psks[i].session);
    keys->n = keys->psks_len = 0;
}

int shim_psk_number(const struct shim_keys *keys, struct tt_bytes identity)
{
    struct tt_session_info info;
    for (size_t i = 0; i < keys->psks_len; i++) {
        tt_session_info(keys->psks[i].session, &info);
        if (info.identity.len == identity.len && memcmp(info.identity.data, identity.data, identity.len) == 0)
            return keys->psks[i].number;
    }
    return -1;
}
