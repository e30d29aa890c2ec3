/* signer/file_holds.c: see file_holds.h. Layer: signer. Looked at are the forms of others, too: RFC 7468
 * (PEM), RFC 5958 (PKCS#8), RFC 8017 (PKCS#1), RFC 5915 (SEC1), RFC 7292 (PKCS#12), RFC 7517 (JWK). A file is
 * hostile, and is only ever recognised, never parsed for use. */
#include "signer/file_holds.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "tpm/keyfile.h"
#include "wire/der.h"

#define PIECE     ((size_t)64 << 10)
#define FRONT_MAX ((size_t)4 << 20)

/* ---- what it is ---- */

struct mark {
    const char *text; /* anywhere in the file */
    enum file_holds holds;
    const char *words;
};

/* The first that is found counts: a file with a certificate and a key is a key's. */
static const struct mark marks[] = {
    {"TSS2 PRIVATE KEY-----", HOLDS_SECRET, "a private key of a TPM"},
    {"PRIVATE KEY-----", HOLDS_SECRET, "a private key"},
    {"PRIVATE KEY BLOCK-----", HOLDS_SECRET, "a private key"},
    {"TSS KEY BLOB-----", HOLDS_SECRET, "a private key of a TPM"},
    {"TPMTLS PSK-----", HOLDS_SECRET, "a pre-shared key"},
    {"tpmtls-ticket-key ", HOLDS_SECRET, "ticket keys"},
    {"AGE-SECRET-KEY-", HOLDS_SECRET, "a private key"},
    {"PuTTY-User-Key-File-", HOLDS_SECRET, "a private key"},
    {"CERTIFICATE REQUEST-----", HOLDS_REQUEST, "a certificate request"},
    {"-----BEGIN CERTIFICATE-----", HOLDS_CERTIFICATE, "a certificate"},
    {"-----BEGIN TRUSTED CERTIFICATE-----", HOLDS_CERTIFICATE, "a certificate"},
    {"X509 CRL-----", HOLDS_CRL, "a CRL"},
    {"PUBLIC KEY-----", HOLDS_PUBLIC_KEY, "a public key"},
    {"_TRAFFIC_SECRET ", HOLDS_KEYLOG, "secrets of connections"},
    {"CLIENT_RANDOM ", HOLDS_KEYLOG, "secrets of connections"},
    {"\"tpmtls-bench/", HOLDS_FIGURES, "figures of `tpmtls bench`"},
    {"<title>Gnuplot</title>", HOLDS_PICTURE, "a picture of gnuplot's"},
    {"<title>tpmtls: TLS 1.3 with ", HOLDS_PICTURE, "a picture of `connect --trace-svg`"},
};

static bool has(struct tt_bytes b, const char *text)
{
    return memmem(b.data, b.len, text, strlen(text)) != NULL;
}

/* A JSON Web Key that is not only public: RSA, EC and OKP have "d", a symmetric one has "k". */
static bool is_jwk(struct tt_bytes b)
{
    return has(b, "\"kty\"") && (has(b, "\"d\"") || has(b, "\"k\""));
}

/* What tpm2-tools write: TPM2B_PRIVATE begins with the size of all, then that of its integrity digest. */
static bool is_tpm_blob(struct tt_bytes b)
{
    struct reader r = reader_of(b);
    struct tt_bytes whole = rd_vec16(&r, 0);
    struct reader inner = reader_of(whole);
    struct tt_bytes digest = rd_vec16(&inner, 20);
    return rd_done(&r) == TT_OK && rd_status(&inner) == TT_OK && digest.len <= 64 && rd_left(&inner) > 32;
}

static bool starts_with(struct tt_bytes b, const char *bytes, size_t len)
{
    return b.len >= len && memcmp(b.data, bytes, len) == 0;
}

/* The private keys among DER by what their SEQUENCE begins with; one of a certificate, request or CRL begins
 * with a SEQUENCE, too, but that one with no OID, and a public key's is followed by a BIT STRING. */
static bool is_der_key(struct tt_bytes b)
{
    static const uint8_t pkcs7_data[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07},
                         id_tpmkey[] = {0x67, 0x81, 0x05, 0x0a, 0x01};
    struct reader r = reader_of(b), all = der_enter(&r, DER_SEQUENCE);
    int first = der_next_tag(&all);
    if (first == DER_OID) {
        struct tt_bytes oid = der_get(&all, DER_OID);
        return starts_with(oid, (const char *)id_tpmkey, sizeof id_tpmkey);
    }
    if (first == DER_INTEGER) {
        struct tt_bytes version = der_get(&all, DER_INTEGER);
        int next = der_next_tag(&all);
        if (version.len != 1 || all.failed)
            return false;
        if (next == DER_OCTET_STRING || next == DER_INTEGER)
            return version.data[0] <= 1; /* SEC1; PKCS#1: version, then the modulus */
        struct reader inner = der_enter(&all, DER_SEQUENCE);
        struct tt_bytes oid = der_get(&inner, DER_OID);
        if (inner.failed)
            return false;
        return der_next_tag(&all) == DER_OCTET_STRING ||
               (version.data[0] == 3 && starts_with(oid, (const char *)pkcs7_data, sizeof pkcs7_data));
    }
    if (first != DER_SEQUENCE)
        return false;
    struct reader inner = der_enter(&all, DER_SEQUENCE); /* EncryptedPrivateKeyInfo */
    (void)der_get(&inner, DER_OID);
    return !inner.failed && der_next_tag(&all) == DER_OCTET_STRING;
}

static enum file_holds said(enum file_holds holds, const char *words, const char **ret_words)
{
    if (ret_words != NULL)
        *ret_words = words;
    return holds;
}

enum file_holds file_content(struct tt_bytes b, const char **ret_words)
{
    if (b.len == 0)
        return said(HOLDS_NOTHING, NULL, ret_words);
    for (size_t i = 0; i < TT_COUNT(marks); i++)
        if (has(b, marks[i].text))
            return said(marks[i].holds, marks[i].words, ret_words);
    if (is_der_key(b) || is_jwk(b) || starts_with(b, "\xfe\xed\xfe\xed", 4)) /* the last: Java's own store */
        return said(HOLDS_SECRET, "a private key", ret_words);
    if (is_tpm_blob(b) || starts_with(b, "\xba\xdc\xc0\xde", 4))
        return said(HOLDS_SECRET, "an object of a TPM", ret_words);
    return said(HOLDS_OTHER, NULL, ret_words);
}

/* ---- what may take its place ---- */

static const char *words_of(enum file_holds what)
{
    for (size_t i = 0; i < TT_COUNT(marks); i++)
        if (marks[i].holds == what && what != HOLDS_SECRET)
            return marks[i].words;
    return what == HOLDS_SECRET ? "a private key" : "that";
}

static bool same_bytes(struct tt_bytes a, struct tt_bytes b)
{
    return a.data != NULL && b.data != NULL && a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* The same object with another policy or description: nothing is lost. */
static bool same_key(struct tt_bytes a, struct tt_bytes b)
{
    struct keyfile x = {0}, y = {0};
    bool same = false;
    if (same_bytes(a, b))
        return true;
    if (keyfile_parse(&x, a, NULL) == TT_OK && keyfile_parse(&y, b, NULL) == TT_OK)
        same = same_bytes(x.privkey, y.privkey) && same_bytes(x.pubkey, y.pubkey) &&
               x.secret.len == y.secret.len;
    keyfile_free(&x);
    keyfile_free(&y);
    return same;
}

/* A key is small: what a large file is, its beginning tells (a key log may have gigabytes). */
static tt_rc read_front(struct buf *b, int fd, const char *path, struct tt_error *err)
{
    while (buf_size(b) < FRONT_MAX) {
        uint8_t *room = buf_reserve(b, PIECE);
        ssize_t n = room != NULL ? read(fd, room, PIECE) : -1;
        if (n == 0)
            break;
        if (room == NULL)
            return error_set(err, TT_ERR_MEMORY, "out of memory");
        if (n < 0 && errno != EINTR)
            return error_set(err, TT_ERR_IO, "cannot see what is in %s, and write over it: %s", path,
                             strerror(errno));
        if (n > 0)
            buf_commit(b, (size_t)n);
    }
    return TT_OK;
}

static tt_rc read_old(struct buf *ret, bool *ret_there, const char *path, struct tt_error *err)
{
    struct stat st;
    *ret_there = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ENODEV))
        return TT_OK;
    tt_rc rc = fd < 0 || fstat(fd, &st) != 0 ? TT_ERR_IO : TT_OK;
    int why = errno;
    if (rc == TT_OK && S_ISREG(st.st_mode)) {
        *ret_there = true;
        rc = read_front(ret, fd, path, err);
    } else if (rc != TT_OK && stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        rc = TT_OK; /* a fifo that we may only write */
    } else if (rc != TT_OK) {
        (void)error_set(err, rc, "cannot see what is in %s, and write over it: %s", path, strerror(why));
    }
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

static tt_rc refuse(const char *path, const char *old, enum file_holds new, enum file_over over,
                    struct tt_error *err)
{
    if (over == FILE_NEW)
        (void)error_set(err, TT_ERR_EXISTS, "%s is already there and is not overwritten", path);
    else if (new == HOLDS_NOTHING)
        (void)error_set(err, TT_ERR_EXISTS, "%s holds %s, and is never overwritten", path, old);
    else
        (void)error_set(err, TT_ERR_EXISTS, "%s holds %s, not %s, and is not overwritten", path,
                        old != NULL ? old : "something else", words_of(new));
    error_hint(err, new != HOLDS_NOTHING &&over != FILE_NEW ? "choose another name, or: --force"
                                                            : "choose another name, or remove it first");
    return TT_ERR_EXISTS;
}

/* text: NULL where it is not known yet. */
static tt_rc judge(const char **ret_old, const char *path, enum file_holds new, const struct tt_bytes *text,
                   enum file_over over, struct tt_error *err)
{
    TT_AUTO(buf_free) struct buf b = {0};
    const char *words = NULL;
    bool there = false;
    struct stat st;
    if (over == FILE_OURS)
        return TT_OK;
    if (over == FILE_NEW)
        return lstat(path, &st) == 0 ? refuse(path, NULL, new, over, err) : TT_OK;
    TT_TRY(read_old(&b, &there, path, err));
    enum file_holds old = file_content(buf_bytes(&b), &words);
    bool is_secret = old == HOLDS_SECRET;
    if (!there || old == HOLDS_NOTHING)
        return TT_OK;
    if (is_secret && (text == NULL || new != HOLDS_SECRET || !same_key(buf_bytes(&b), *text)))
        return refuse(path, words, HOLDS_NOTHING, over, err);
    if (!is_secret && over != FILE_FORCE && old != new)
        return refuse(path, words, new, over, err);
    if (ret_old != NULL)
        *ret_old = words != NULL ? words : "what was there";
    return TT_OK;
}

tt_rc file_may_write(const char **ret_old, const char *path, struct tt_bytes text, enum file_over over,
                     struct tt_error *err)
{
    if (ret_old != NULL)
        *ret_old = NULL;
    return judge(ret_old, path, file_content(text, NULL), &text, over, err);
}

tt_rc file_may_hold(const char *path, enum file_holds what, enum file_over over, struct tt_error *err)
{
    return judge(NULL, path, what, NULL, over, err);
}
