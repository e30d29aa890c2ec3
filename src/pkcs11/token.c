/* pkcs11/token.c: identities as tokens: finding them, reading them, seeing that they changed. Layer: pkcs11.
 * Everything in a directory is hostile input. CKA_ID: RFC 7093 section 2, method 1. */
#include "pkcs11/token.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11/module.h"
#include "pkcs11/temporary.h"
#include "signer/file_read.h"
#include "signer/file_write.h"
#include "wire/pem.h"

#define TEXT_MAX ((size_t)256 << 10) /* of a key's or a chain's file */

/* ---- one directory ---- */

static tt_rc path_of(char ret[PATH_MAX], const struct token *t, const char *file, struct tt_error *err)
{
    size_t n = strlen(t->path), file_len = strlen(file);
    if (n + 1 + file_len >= PATH_MAX)
        return error_set(err, TT_ERR_IO, "the path is too long");
    memcpy(ret, t->path, n);
    ret[n] = '/';
    memcpy(ret + n + 1, file, file_len + 1);
    return TT_OK;
}

static struct stamp stamp_of(const struct token *t, const char *file)
{
    char path[PATH_MAX];
    struct stat st;
    if (path_of(path, t, file, NULL) != TT_OK || stat(path, &st) != 0)
        return (struct stamp){0};
    return (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

static bool stamp_equal(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

static bool stamp_is_there(const struct stamp *s)
{
    return s->inode != 0;
}

/* A regular file only: a fifo would keep the host waiting. */
static tt_rc read_file(struct buf *ret, const struct token *t, const char *file, struct tt_error *err)
{
    char path[PATH_MAX];
    struct stat st;
    TT_TRY(path_of(path, t, file, err));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, TT_ERR_IO, "cannot open %s: %s", path, strerrordesc_np(errno));
    tt_rc rc = fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (size_t)st.st_size > TEXT_MAX
                   ? error_set(err, TT_ERR_IO, "%s is no file, or too large", path)
                   : file_check_owner(&st, FILE_TRUSTED, path, err);
    if (rc == TT_OK)
        rc = file_read_fd(ret, fd, path, err);
    (void)close(fd);
    return rc;
}

tt_rc token_key_id(uint8_t ret[TOKEN_ID_SIZE], struct tt_bytes public_key, struct tt_error *err)
{
    uint8_t digest[HASH_MAX_SIZE];
    if (hash_digest(apart_lib(module.apart), HASH_SHA256, public_key, digest) != TT_OK)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    memcpy(ret, digest, TOKEN_ID_SIZE);
    return TT_OK;
}

static bool same_bytes(struct tt_bytes a, struct tt_bytes b)
{
    if (a.len != b.len)
        return false;
    return a.len == 0 || (a.data != NULL && b.data != NULL && memcmp(a.data, b.data, a.len) == 0);
}

static bool has_cert(const struct contents *c, struct tt_bytes der)
{
    for (size_t i = 0; i < c->certs_len; i++)
        if (same_bytes((struct tt_bytes){c->certs[i].der, c->certs[i].der_len}, der))
            return true;
    return false;
}

static tt_rc take_cert(struct contents *c, struct pem_block *block, struct tt_error *err)
{
    struct cert_object *o = &c->certs[c->certs_len];
    if (has_cert(c, (struct tt_bytes){block->der, block->len}))
        return TT_OK;
    if (c->certs_len == TOKEN_MAX_CERTS)
        return error_set(err, TT_ERR_DECODE, "there are more than %d certificates", TOKEN_MAX_CERTS);
    if (cert_fields_read(&o->fields, (struct tt_bytes){block->der, block->len}) != TT_OK)
        return error_set(err, TT_ERR_DECODE, "certificate number %zu is damaged", c->certs_len + 1);
    TT_TRY(token_key_id(o->id, o->fields.public_key, err));
    o->der_len = block->len;
    o->der = TT_TAKE(block->der);
    c->certs_len++;
    return TT_OK;
}

static tt_rc read_certs(struct contents *c, const struct token *t, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(read_file(&b, t, TT_IDENTITY_CERT_FILE, err));
    struct tt_bytes text = buf_bytes(&b);
    for (;;) {
        struct pem_block block = {0};
        tt_rc rc = pem_find(&block, text, "CERTIFICATE");
        if (rc == TT_ERR_NOT_FOUND)
            break;
        if (rc != TT_OK)
            return error_set(err, rc, "%s is damaged", TT_IDENTITY_CERT_FILE);
        const uint8_t *rest = block.label.data + block.label.len;
        text = (struct tt_bytes){rest, (size_t)(text.data + text.len - rest)};
        rc = take_cert(c, &block, err);
        pem_block_free(&block);
        TT_TRY(rc);
    }
    return c->certs_len > 0
               ? TT_OK
               : error_set(err, TT_ERR_DECODE, "there is no certificate in %s", TT_IDENTITY_CERT_FILE);
}

static tt_rc read_key(struct contents *c, const struct token *t, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    TT_TRY(read_file(&b, t, TT_IDENTITY_KEY_FILE, err));
    c->key_text = mem_dup(buf_front(&b), buf_size(&b));
    if (c->key_text == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    c->key_text_len = buf_size(&b);
    struct tt_bytes spki = c->certs_len > 0 ? c->certs[0].fields.spki : (struct tt_bytes){NULL, 0};
    TT_TRY(raw_info_read(&c->info, (struct tt_bytes){c->key_text, c->key_text_len}, spki, err));
    TT_TRY(token_key_id(c->id, spki_public_key((struct tt_bytes){c->info.spki, c->info.spki_len}), err));
    return c->key_text_len > 0 ? TT_OK : error_set(err, TT_ERR_DECODE, "the key's file is empty");
}

/* The first certificate has to be the key's; others with the same key (one that was renewed) are as well. */
static tt_rc match(struct contents *c, struct tt_error *err)
{
    for (size_t i = 0; i < c->certs_len; i++)
        c->certs[i].is_own = c->key_text_len > 0 && memcmp(c->certs[i].id, c->id, TOKEN_ID_SIZE) == 0;
    if (c->key_text_len > 0 && c->certs_len > 0 && !c->certs[0].is_own)
        return error_set(err, TT_ERR_DECODE, "the first certificate is not for the key");
    return TT_OK;
}

static bool same_key(const struct contents *a, const struct contents *b)
{
    return same_bytes((struct tt_bytes){a->key_text, a->key_text_len},
                      (struct tt_bytes){b->key_text, b->key_text_len});
}

static bool same_certs(const struct contents *a, const struct contents *b)
{
    for (size_t i = 0; i < a->certs_len && i < b->certs_len; i++)
        if (!has_cert(b, (struct tt_bytes){a->certs[i].der, a->certs[i].der_len}) ||
            a->certs[i].der_len != b->certs[i].der_len)
            return false;
    return a->certs_len == b->certs_len;
}

/* Handles of what did not change go on being valid. */
static void number(struct contents *c, const struct contents *old)
{
    c->key_generation = old != NULL && same_key(c, old) ? old->key_generation : ++module.generations;
    c->cert_generation = old != NULL && same_certs(c, old) ? old->cert_generation : ++module.generations;
}

static tt_rc contents_read(struct contents **ret, const struct token *t, struct tt_error *err)
{
    struct contents *c = mem_alloc(sizeof *c);
    if (c == NULL)
        return error_set(err, TT_ERR_MEMORY, "out of memory");
    atomic_init(&c->refs, 1);
    c->key_stamp = stamp_of(t, TT_IDENTITY_KEY_FILE);
    c->cert_stamp = stamp_of(t, TT_IDENTITY_CERT_FILE);
    tt_rc rc = tt_identity_check(t->path, err);
    if (rc == TT_OK && stamp_is_there(&c->cert_stamp))
        rc = read_certs(c, t, err);
    if (rc == TT_OK && stamp_is_there(&c->key_stamp))
        rc = read_key(c, t, err);
    if (rc == TT_OK)
        rc = match(c, err);
    if (rc == TT_OK) {
        number(c, t->contents);
        *ret = c;
    } else
        contents_free(c);
    return rc;
}

void contents_free(struct contents *c)
{
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    for (size_t i = 0; i < c->certs_len; i++)
        mem_free(c->certs[i].der);
    raw_info_free(&c->info);
    mem_free(c->key_text);
    mem_wipe(c->secret, sizeof c->secret);
    mem_free(c);
}

struct contents *token_contents(struct token *t)
{
    (void)atomic_fetch_add(&t->contents->refs, 1);
    return t->contents;
}

bool token_has_pin(const struct contents *c)
{
    return c->key_text_len > 0 && c->info.needs_password;
}

/* ---- tokens ---- */

static bool is_current(const struct token *t)
{
    if (t->contents == NULL)
        return false;
    struct stamp key = stamp_of(t, TT_IDENTITY_KEY_FILE), cert = stamp_of(t, TT_IDENTITY_CERT_FILE);
    bool empty = !stamp_is_there(&key) && !stamp_is_there(&cert);
    return stamp_equal(&key, &t->contents->key_stamp) && stamp_equal(&cert, &t->contents->cert_stamp) &&
           (!empty || access(t->path, F_OK) == 0);
}

CK_RV token_refresh(struct token *t)
{
    struct contents *c = NULL;
    struct tt_error why = {0};
    if (is_current(t))
        return CKR_OK;
    if (access(t->path, F_OK) != 0) {
        t->present = false;
        return CKR_OK;
    }
    tt_rc rc = contents_read(&c, t, &why);
    if (rc == TT_ERR_MEMORY)
        return CKR_HOST_MEMORY;
    if (rc != TT_OK) {
        debug_error(t->path, &why);
        return CKR_OK;
    }
    contents_free(t->contents);
    t->contents = c;
    return CKR_OK;
}

struct token *token_of_slot(CK_SLOT_ID slot)
{
    if (!module.scanned)
        (void)tokens_scan();
    /* Most ask for one slot after the other. */
    for (size_t i = 0; i < module.tokens_len; i++) {
        size_t at = (module.slot_asked + i) % module.tokens_len;
        if (module.tokens[at]->slot == slot && module.tokens[at]->contents != NULL) {
            module.slot_asked = at;
            return module.tokens[at];
        }
    }
    return NULL;
}

/* FNV-1a, so that a directory has the same slot and serial number in every process. */
static uint64_t hash_path(const char *path)
{
    uint64_t h = 0xcbf29ce484222325U;
    for (; *path != '\0'; path++)
        h = (h ^ (uint8_t)*path) * 0x100000001b3U;
    return h;
}

static CK_SLOT_ID free_slot(uint64_t wanted)
{
    CK_SLOT_ID slot = (CK_SLOT_ID)((wanted ^ wanted >> 32) & 0x7fffffffU);
    for (size_t i = 0; i < module.tokens_len; i++)
        if (module.tokens[i]->slot == slot) {
            slot = (slot + 1) & 0x7fffffffU;
            i = (size_t)-1;
        }
    return slot;
}

static struct token *token_new(const char *name, const char *path)
{
    struct token *t = mem_alloc(sizeof *t);
    struct token **more =
        t == NULL ? NULL : mem_resize(module.tokens, (module.tokens_len + 1) * sizeof(struct token *));
    if (more != NULL) {
        module.tokens = more;
        t->path = mem_strdup(path);
    }
    if (more == NULL || t->path == NULL) {
        mem_free(t);
        return NULL;
    }
    uint64_t h = hash_path(path);
    t->slot = free_slot(h);
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    (void)snprintf(t->serial, sizeof t->serial, "%016llx", (unsigned long long)h);
    module.tokens[module.tokens_len++] = t;
    return t;
}

void token_free(struct token *t)
{
    temporaries_end(t, 0);
    contents_free(t->contents);
    mem_free(t->path);
    mem_free(t);
}

static struct token *token_of_path(const char *path)
{
    for (size_t i = 0; i < module.tokens_len; i++)
        if (strcmp(module.tokens[i]->path, path) == 0)
            return module.tokens[i];
    return NULL;
}

static tt_rc scan_one(void *unused, const char *name, const char *path)
{
    (void)unused;
    struct token *t = token_of_path(path);
    if (t == NULL)
        t = token_new(name, path);
    if (t == NULL)
        return TT_ERR_MEMORY;
    t->present = true;
    if (token_refresh(t) != CKR_OK)
        return TT_ERR_MEMORY;
    return t->contents != NULL ? TT_OK : TT_ERR_DECODE;
}

CK_RV tokens_scan(void)
{
    module.scanned = true;
    for (size_t i = 0; i < module.tokens_len; i++)
        module.tokens[i]->present = false;
    return tt_identities_each(scan_one, NULL, NULL) == TT_OK ? CKR_OK : CKR_HOST_MEMORY;
}

/* ---- writing ---- */

CK_RV token_write(const struct token *t, const char *file, struct tt_bytes text, bool is_new)
{
    char path[PATH_MAX];
    struct tt_error why = {0};
    if (path_of(path, t, file, &why) != TT_OK)
        return CKR_FUNCTION_FAILED;
    tt_rc rc = TT_OK;
    if (text.len == 0)
        rc = unlink(path) == 0 || errno == ENOENT ? TT_OK : error_set(&why, TT_ERR_IO, "cannot remove it");
    else
        rc = file_write(NULL, path, text,
                        (struct file_want){strcmp(file, TT_IDENTITY_KEY_FILE) == 0 ? 0600 : 0644,
                                           is_new ? FILE_NEW : FILE_FORCE},
                        &why);
    if (rc != TT_OK)
        debug_error(path, &why);
    return rc == TT_OK ? CKR_OK : rc == TT_ERR_MEMORY ? CKR_HOST_MEMORY : CKR_TOKEN_WRITE_PROTECTED;
}
