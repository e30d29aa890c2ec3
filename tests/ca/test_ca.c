/* tests/ca/test_ca.c: the CA: what it makes stands before the openssl program; what it refuses; many at
 * once. */

#include <string.h>

#include "ca_test.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wire/pem.h"

/* struct fixture: a CA in DIR/ca with a software key of the test's. */
struct fixture {
    char *dir;
    char path[128];
    struct soft_key ca_key, key;
};

static tt_rc fixture_make(struct fixture *f, const char *path, unsigned days, struct tt_error *err)
{
    struct ca_make params = {.place = {.dir = path},
                             .subject = "/O=Example/CN=Test CA",
                             .key = "handle:0x81000099",
                             .days = days,
                             .now = NOW};
    struct tt_pki_signer signer = key_signs(&f->ca_key);
    return ca_make(&params, &signer, NULL, err);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = dir_make();
    f->ca_key = key_make("P-256");
    f->key = key_make("P-256");
    (void)snprintf(f->path, sizeof f->path, "%s/ca", f->dir);
    assert_int_equal(fixture_make(f, f->path, 0, NULL), TT_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ERR_peek_error(), 0);
    dir_drop(f->dir);
    key_drop(&f->ca_key);
    key_drop(&f->key);
    free(f);
    return 0;
}

static struct ca *fixture_open(const struct fixture *f)
{
    struct ca *ca = NULL;
    struct tt_error err = {0};
    if (test_ca_open(&ca, f->path, &err) != TT_OK)
        fail_msg("%s", err.text);
    return ca;
}

/* struct order: what the tests ask the CA for; zero is a client for a host name. */
struct order {
    const char *cn, *san;
    const struct soft_key *key; /* default: the fixture's */
    const char *profile;
    unsigned days;
    int64_t later; /* after NOW */
};

static tt_rc order_sign(struct tt_cert_list **ret, struct fixture *f, const struct order *o,
                        struct tt_error *err)
{
    struct ca *ca = fixture_open(f);
    struct buf csr = {0};
    const struct ext ext = {"subjectAltName", o->san};
    csr_make(&csr, o->key != NULL ? o->key : &f->key, o->cn, &ext, o->san != NULL);
    struct test_order req = {
        .csr = buf_bytes(&csr), .profile = o->profile, .days = o->days, .now = NOW + o->later};
    struct tt_pki_signer signer = key_signs(&f->ca_key);
    struct tt_cert_list *list = NULL;
    tt_rc rc = test_ca_issue(&list, ca, &req, &signer, err);
    if (rc == TT_OK && ret != NULL)
        *ret = list;
    else
        tt_cert_list_free(list);
    buf_free(&csr);
    ca_close(ca);
    return rc;
}

static struct tt_cert_list *order_get(struct fixture *f, const struct order *o)
{
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    if (order_sign(&list, f, o, &err) != TT_OK)
        fail_msg("%s", err.text);
    return list;
}

static tt_rc count_one(void *arg, const struct ca_entry *e)
{
    assert_string_equal(e->state, "valid");
    assert_int_equal(strlen(e->serial), 40);
    assert_true(e->serial[0] >= '4' && e->serial[0] <= '7'); /* positive, always 20 bytes */
    (*(size_t *)arg)++;
    return TT_OK;
}

static size_t issued(const struct fixture *f)
{
    size_t n = 0;
    struct ca *ca = fixture_open(f);
    assert_int_equal(ca_list(ca, &(struct ca_filter){0}, NOW, count_one, &n, NULL), TT_OK);
    ca_close(ca);
    return n;
}

static void refused(struct fixture *f, const struct order *o, tt_rc rc, const char *words)
{
    struct tt_error err = {0};
    size_t before = issued(f);
    check_error(order_sign(NULL, f, o, &err), rc, &err, words, o->cn != NULL ? o->cn : "-");
    assert_int_equal(issued(f), before);
}

/* ---- the CA itself ---- */

static void the_ca_certificate_is_right(void **state)
{
    struct fixture *f = *state;
    struct ca *ca = fixture_open(f);
    X509 *x = cert_of(ca_certificate(ca));
    assert_int_equal(X509_verify(x, f->ca_key.pkey), 1);
    assert_int_equal(X509_check_ca(x), 1);
    assert_int_equal(X509_get_pathlen(x), 0);
    assert_int_equal(X509_get_key_usage(x), KU_KEY_CERT_SIGN | KU_CRL_SIGN);
    assert_int_equal(X509_get_version(x), 2);
    assert_int_equal(X509_get_ext_count(x), 3);
    for (int i = 0; i < 3; i++) {
        const X509_EXTENSION *e = X509_get_ext(x, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object((X509_EXTENSION *)(uintptr_t)e));
        assert_int_equal(X509_EXTENSION_get_critical(e), nid != NID_subject_key_identifier);
    }
    assert_int_equal(ASN1_STRING_length(X509_get0_subject_key_id(x)), 20);
    struct tt_cert_info *info = NULL;
    assert_int_equal(tt_cert_describe(&info, ca_certificate(ca), NULL), TT_OK);
    assert_string_equal(info->subject, "CN=Test CA,O=Example");
    assert_true(info->is_ca);
    assert_true(info->not_before < NOW && info->not_before >= NOW - 600);
    assert_int_equal(info->not_after, NOW + 3650 * DAY);
    assert_string_equal(ca_key_name(ca), "handle:0x81000099");
    tt_cert_info_free(info);
    X509_free(x);
    ca_close(ca);
}

static void a_ca_is_never_overwritten(void **state)
{
    struct fixture *f = *state;
    struct tt_error err = {0};
    check_error(fixture_make(f, f->path, 0, &err), TT_ERR_EXISTS, &err, "already there", f->path);
    assert_int_equal(run(f->dir, "mkdir empty && touch file && ln -s nowhere dangling && ls > before"), 0);
    static const char *const names[] = {"empty", "file", "dangling"};
    for (size_t i = 0; i < TT_COUNT(names); i++) {
        char path[160];
        (void)snprintf(path, sizeof path, "%s/%s", f->dir, names[i]);
        assert_int_equal(fixture_make(f, path, 0, NULL), TT_ERR_EXISTS);
    }
    assert_int_equal(run(f->dir, "ls | diff before - && test -z \"$(ls empty)\""),
                     0); /* nothing left behind */
}

static void a_failed_creation_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    char path[160];
    struct tt_error err = {0};
    (void)snprintf(path, sizeof path, "%s/no/such/ca", f->dir);
    check_error(fixture_make(f, path, 0, &err), TT_ERR_IO, &err, "No such file", path);
    (void)snprintf(path, sizeof path, "%s/new", f->dir);
    f->ca_key.fails = true;
    assert_int_equal(fixture_make(f, path, 0, NULL), TT_ERR_TPM);
    f->ca_key.fails = false;
    f->ca_key.breaks = true;
    assert_int_equal(fixture_make(f, path, 0, NULL), TT_ERR_INTERNAL);
    f->ca_key.breaks = false;
    assert_int_equal(fixture_make(f, path, 36501, NULL), TT_ERR_USAGE);
    assert_int_equal(run(f->dir, "test \"$(echo *)\" = 'ca out'"), 0);
}

static void the_software_key_is_private(void **state)
{
    struct fixture *f = *state;
    char *pem = NULL;
    char path[160];
    struct stat st;
    assert_int_equal(tt_ca_key_generate(&pem, NULL), TT_OK);
    struct ca_make params = {.subject = "/CN=soft", .key_pem = pem, .now = NOW};
    struct tt_pki_signer signer = key_signs(&f->ca_key);
    (void)snprintf(path, sizeof path, "%s/soft/", f->dir); /* a slash at the end is no part of the name */
    params.place.dir = path;
    mode_t old = umask(0);
    assert_int_equal(ca_make(&params, &signer, NULL, NULL), TT_OK);
    (void)umask(old);
    (void)snprintf(path, sizeof path, "%s/soft/ca.key", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(run(f->dir,
                         "test \"$(stat -c %a soft)\" = 700 && openssl pkey -in soft/ca.key -noout -text | "
                         "grep -q 'NIST CURVE: P-256'"),
                     0);
    (void)snprintf(path, sizeof path, "%s/soft", f->dir);
    struct ca *ca = NULL;
    assert_int_equal(test_ca_open(&ca, path, NULL), TT_OK);
    (void)snprintf(path, sizeof path, "%s/soft/ca.key", f->dir);
    assert_string_equal(ca_key_name(ca), path);
    ca_close(ca);
    tt_free(pem);
}

static void what_is_not_a_ca_is_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *make, *words;
        tt_rc rc;
    } table[] = {
        {"rm -rf x", "no ca.pem in it", TT_ERR_NOT_FOUND},
        {"rm -rf x; mkdir x", "no ca.pem in it", TT_ERR_NOT_FOUND},
        {"rm -rf x; touch x", "no ca.pem in it", TT_ERR_NOT_FOUND},
        {"rm -rf x; cp -r ca x; rm x/ca.db", "no ca.db in it", TT_ERR_NOT_FOUND},
        {"rm -rf x; cp -r ca x; : > x/ca.pem", "x/ca.pem: there is no certificate", TT_ERR_DECODE},
        {"rm -rf x; cp -r ca x; head -c 300 ca/ca.pem > x/ca.pem", "number 1 is cut off", TT_ERR_DECODE},
        {"rm -rf x; cp -r ca x; head -c 5000 /dev/zero | tr '\\0' z > x/ca.db", "not a database",
         TT_ERR_DECODE},
        {"rm -rf x; cp -r ca x; : > x/ca.db", "not the store of a CA", TT_ERR_DECODE},
    };
    char path[160];
    (void)snprintf(path, sizeof path, "%s/x", f->dir);
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct ca *ca = NULL;
        struct tt_error err = {0};
        assert_int_equal(run(f->dir, table[i].make), 0);
        check_error(test_ca_open(&ca, path, &err), table[i].rc, &err, table[i].words, table[i].make);
        assert_null(ca);
    }
}

/* ---- what it issues ---- */

static void the_profile_decides_the_purpose(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *profile;
        uint32_t eku;
        const char *command;
    } table[] = {
        {"client", XKU_SSL_CLIENT,
         "openssl verify $S -purpose sslclient l && ! openssl verify $S -purpose sslserver l"},
        {"server", XKU_SSL_SERVER,
         "openssl verify $S -purpose sslserver l && ! openssl verify $S -purpose sslclient l"},
        {"both", XKU_SSL_SERVER | XKU_SSL_CLIENT,
         "openssl verify $S -purpose sslserver l && openssl verify $S -purpose sslclient l"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct tt_cert_list *list = order_get(
            f, &(struct order){.cn = "a", .san = "DNS:a.example,IP:192.0.2.1", .profile = table[i].profile});
        char *pem = NULL, command[400];
        assert_int_equal(list->len, 2);
        assert_int_equal(tt_cert_list_to_pem(&pem, list, 1, NULL), TT_OK);
        dir_put(f->dir, "l", pem, strlen(pem));
        (void)snprintf(command, sizeof command, "S='-x509_strict -attime %lld -CAfile ca/ca.pem'; %s",
                       (long long)NOW + 60, table[i].command);
        assert_int_equal(run(f->dir, command), 0);
        X509 *x = cert_of(list->certs[0]);
        assert_int_equal(X509_get_extended_key_usage(x), table[i].eku);
        assert_int_equal(X509_get_key_usage(x), KU_DIGITAL_SIGNATURE);
        assert_int_equal(X509_check_ca(x), 0);
        assert_int_equal(X509_check_host(x, "a.example", 0, 0, NULL), 1);
        assert_int_equal(X509_check_ip_asc(x, "192.0.2.1", 0), 1);
        X509 *ca = cert_of(list->certs[1]);
        assert_int_equal(ASN1_OCTET_STRING_cmp(X509_get0_authority_key_id(x), X509_get0_subject_key_id(ca)),
                         0);
        assert_int_equal(X509_verify(x, f->ca_key.pkey), 1);
        assert_true(tt_cert_matches_key(list->certs[0], (struct tt_bytes){f->key.spki, f->key.spki_len}));
        X509_free(ca);
        X509_free(x);
        tt_free(pem);
        tt_cert_list_free(list);
    }
}

static void gets_a_certificate(struct fixture *f, const char *kind)
{
    struct soft_key k = key_make(kind);
    struct tt_cert_list *list = order_get(f, &(struct order){.cn = kind, .key = &k});
    assert_true(tt_cert_matches_key(list->certs[0], (struct tt_bytes){k.spki, k.spki_len}));
    tt_cert_list_free(list);
    key_drop(&k);
}

static void each_kind_of_key_gets_a_certificate(void **state)
{
    static const char *const kinds[] = {"P-384", "P-521", "ED25519", "ED448", "RSA:2048"};
    for (size_t i = 0; i < TT_COUNT(kinds); i++)
        gets_a_certificate(*state, kinds[i]);
}

static void can_be_the_ca(struct fixture *f, const char *kind, uint16_t scheme, size_t n)
{
    key_drop(&f->ca_key);
    f->ca_key = key_make(kind);
    if (scheme != 0)
        f->ca_key.scheme = scheme;
    (void)snprintf(f->path, sizeof f->path, "%s/ca%zu", f->dir, n);
    assert_int_equal(fixture_make(f, f->path, 0, NULL), TT_OK);
    struct tt_cert_list *list = order_get(f, &(struct order){.cn = "a"});
    char *pem = NULL, command[200];
    assert_int_equal(tt_cert_list_to_pem(&pem, list, 1, NULL), TT_OK);
    dir_put(f->dir, "l", pem, strlen(pem));
    (void)snprintf(command, sizeof command, "openssl verify -x509_strict -attime %lld -CAfile ca%zu/ca.pem l",
                   (long long)NOW, n);
    assert_int_equal(run(f->dir, command), 0);
    tt_free(pem);
    tt_cert_list_free(list);
}

static void each_kind_of_key_can_be_the_ca(void **state)
{
    static const struct {
        const char *kind;
        uint16_t scheme;
    } table[] = {{"P-384", 0}, {"ED25519", 0}, {"RSA:2048", 0}, {"RSA:2048", TT_SCHEME_RSA_PSS_RSAE_SHA256}};
    for (size_t i = 0; i < TT_COUNT(table); i++)
        can_be_the_ca(*state, table[i].kind, table[i].scheme, i);
}

/* RFC 9881. */
static void ml_dsa_keys_are_like_others(void **state)
{
    static const char *const kinds[] = {"ML-DSA-44", "ML-DSA-65", "ML-DSA-87"};
    if (!key_kind_known(kinds[0])) {
        print_message("# this libcrypto has no ML-DSA; that of Debian 13 has\n");
        skip();
    }
    for (size_t i = 0; i < TT_COUNT(kinds); i++) {
        gets_a_certificate(*state, kinds[i]);
        can_be_the_ca(*state, kinds[i], 0, i);
    }
}

static void an_empty_subject_makes_the_names_critical(void **state)
{
    struct fixture *f = *state;
    struct tt_cert_list *list = order_get(f, &(struct order){.san = "DNS:a.example", .profile = "server"});
    X509 *x = cert_of(list->certs[0]);
    int critical = 0;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL);
    assert_non_null(names);
    assert_int_equal(critical, 1);
    GENERAL_NAMES_free(names);
    X509_free(x);
    tt_cert_list_free(list);
}

static void the_validity_stays_within_the_ca(void **state)
{
    struct fixture *f = *state;
    static const struct {
        unsigned days;
        int64_t later, ends; /* both after NOW */
    } table[] = {
        {0, 0, 365 * DAY},
        {7, 0, 7 * DAY},
        {3650, 0, 3650 * DAY},
        {0, 3600 * DAY, 3650 * DAY}, /* what is left */
        {50, 3600 * DAY, 3650 * DAY},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct tt_cert_list *list =
            order_get(f, &(struct order){.cn = "a", .days = table[i].days, .later = table[i].later});
        struct tt_cert_info *leaf = NULL, *ca = NULL;
        assert_int_equal(tt_cert_describe(&leaf, list->certs[0], NULL), TT_OK);
        assert_int_equal(tt_cert_describe(&ca, list->certs[1], NULL), TT_OK);
        assert_int_equal(leaf->not_after, NOW + table[i].ends);
        assert_true(leaf->not_after <= ca->not_after);
        assert_true(leaf->not_before >= ca->not_before);
        assert_true(leaf->not_before < NOW + table[i].later); /* slack for clocks that differ */
        tt_cert_info_free(leaf);
        tt_cert_info_free(ca);
        tt_cert_list_free(list);
    }
    refused(f, &(struct order){.cn = "a", .days = 3651}, TT_ERR_UNSUPPORTED, "beyond the CA's own end");
    refused(f, &(struct order){.cn = "a", .days = 51, .later = 3600 * DAY}, TT_ERR_UNSUPPORTED,
            "at most 50 days");
    refused(f, &(struct order){.cn = "a", .days = 36501}, TT_ERR_USAGE, "more than 36500");
    refused(f, &(struct order){.cn = "a", .later = 3650 * DAY}, TT_ERR_UNSUPPORTED, "expired on 2036-05-29");
    refused(f, &(struct order){.cn = "a", .later = -DAY}, TT_ERR_UNSUPPORTED, "not valid yet");
}

static void refusals_record_nothing(void **state)
{
    struct fixture *f = *state;
    struct soft_key weak = key_make("RSA:1024");
    refused(f, &(struct order){.cn = "a", .profile = "server"}, TT_ERR_UNSUPPORTED, "--san");
    refused(f, &(struct order){.cn = "a", .san = "email:a@b", .profile = "both"}, TT_ERR_UNSUPPORTED,
            "--san");
    refused(f, &(struct order){.cn = "a", .key = &weak}, TT_ERR_UNSUPPORTED, "too weak");
    refused(f, &(struct order){.cn = "a", .key = &f->ca_key}, TT_ERR_UNSUPPORTED, "CA's own key");
    refused(f, &(struct order){.cn = NULL}, TT_ERR_UNSUPPORTED, "neither a subject");
    f->ca_key.fails = true;
    refused(f, &(struct order){.cn = "a"}, TT_ERR_TPM, "the test's key is gone");
    f->ca_key.fails = false;
    f->ca_key.breaks = true;
    refused(f, &(struct order){.cn = "a"}, TT_ERR_INTERNAL, "does not verify");
    f->ca_key.breaks = false;
    struct soft_key right = f->ca_key;
    f->ca_key = key_make("P-256");
    refused(f, &(struct order){.cn = "a"}, TT_ERR_USAGE, "handle:0x81000099");
    key_drop(&f->ca_key);
    f->ca_key = right;
    assert_int_equal(issued(f), 0);
    key_drop(&weak);
}

/* A leaf that is named like its issuer. */
static void the_ca_s_name_is_taken(void **state)
{
    struct fixture *f = *state;
    struct tt_pki_signer signer = key_signs(&f->key), ca_signer = key_signs(&f->ca_key);
    struct tt_csr_params params = {.subject = "/O=Example/CN=Test CA"};
    char *pem = NULL;
    assert_int_equal(tt_csr_create(&pem, &params, &signer, NULL), TT_OK);
    struct ca *ca = fixture_open(f);
    struct test_order req = {.csr = bytes_of(pem), .now = NOW};
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    check_error(test_ca_issue(&list, ca, &req, &ca_signer, &err), TT_ERR_UNSUPPORTED, &err, "CA's own name",
                "name");
    ca_close(ca);
    tt_free(pem);
}

/* ---- the store ---- */

struct found {
    char serial[64], sha256[65];
    size_t n, der_len;
};

static tt_rc find(void *arg, const struct ca_entry *e)
{
    struct found *f = arg;
    (void)snprintf(f->serial, sizeof f->serial, "%s", e->serial);
    (void)snprintf(f->sha256, sizeof f->sha256, "%s", e->sha256);
    f->der_len = e->der.len;
    f->n++;
    return TT_OK;
}

static tt_rc stop_at_once(void *arg, const struct ca_entry *e)
{
    (void)e;
    ++*(size_t *)arg;
    return TT_ERR_IO;
}

static void what_was_issued_is_found_again(void **state)
{
    struct fixture *f = *state;
    struct tt_cert_list *one = order_get(f, &(struct order){.cn = "one"}),
                        *two = order_get(f, &(struct order){.cn = "two"});
    struct tt_cert_info *info = NULL;
    assert_int_equal(tt_cert_describe(&info, one->certs[0], NULL), TT_OK);
    struct ca *ca = fixture_open(f);
    struct found found = {0};
    assert_int_equal(ca_find(ca, info->serial, NOW, find, &found, NULL), TT_OK);
    assert_int_equal(found.n, 1);
    assert_string_equal(found.sha256, info->sha256);
    assert_int_equal(found.der_len, one->certs[0].len);
    char colons[128] = "";
    for (size_t i = 0; i < 40; i++) { /* as other programs write it */
        char c = info->serial[i];
        (void)snprintf(colons + strlen(colons), 4, "%s%c", i > 0 && i % 2 == 0 ? ":" : "",
                       c >= 'a' ? c - 32 : c);
    }
    assert_int_equal(ca_find(ca, colons, NOW, find, &found, NULL), TT_OK);
    assert_int_equal(found.n, 2);
    struct tt_error err = {0};
    check_error(ca_find(ca, "00ff", NOW, find, &found, &err), TT_ERR_NOT_FOUND, &err, "00ff",
                "unknown serial");
    size_t calls = 0;
    assert_int_equal(ca_list(ca, &(struct ca_filter){0}, NOW, stop_at_once, &calls, NULL), TT_ERR_IO);
    assert_int_equal(calls, 1);
    ca_close(ca);
    assert_int_equal(issued(f), 2);
    tt_cert_info_free(info);
    tt_cert_list_free(one);
    tt_cert_list_free(two);
}

#define PROCESSES 4
#define EACH      8

/* Runs in a child: no assertions of cmocka's, the exit code tells. */
static int sign_some(struct fixture *f, int go)
{
    char c;
    struct ca *ca = NULL;
    struct tt_pki_signer ca_signer = key_signs(&f->ca_key), signer = key_signs(&f->key);
    struct tt_csr_params params = {.subject = "/CN=a"};
    char *pem = NULL;
    if (read(go, &c, 1) != 0 || tt_csr_create(&pem, &params, &signer, NULL) != TT_OK ||
        test_ca_open(&ca, f->path, NULL) != TT_OK)
        return 1;
    struct test_order req = {.csr = bytes_of(pem), .now = NOW};
    int bad = 0;
    for (int i = 0; i < EACH; i++) {
        struct tt_cert_list *list = NULL;
        bad += test_ca_issue(&list, ca, &req, &ca_signer, NULL) != TT_OK;
        tt_cert_list_free(list);
    }
    ca_close(ca);
    tt_free(pem);
    return bad;
}

static void processes_sign_at_once(void **state)
{
    struct fixture *f = *state;
    int go[2];
    pid_t pids[PROCESSES];
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            (void)close(go[1]);
            _exit(sign_some(f, go[0]));
        }
    }
    (void)close(go[0]);
    (void)close(go[1]); /* all start now */
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(issued(f), PROCESSES * EACH);
    assert_int_equal(run(f->dir, "test -z \"$(ls ca | grep journal)\""), 0);
}

/* What cannot be recorded is not handed out: no file of this process may grow. */
static void a_store_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct ca *ca = fixture_open(f);
    struct buf csr = {0};
    csr_make(&csr, &f->key, "a", NULL, 0);
    struct test_order req = {.csr = buf_bytes(&csr), .now = NOW};
    struct tt_pki_signer signer = key_signs(&f->ca_key);
    struct tt_cert_list *list = NULL;
    struct tt_error err = {0};
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_cur = 1, .rlim_max = old.rlim_max}), 0);
    tt_rc rc = test_ca_issue(&list, ca, &req, &signer, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    check_error(rc, TT_ERR_IO, &err, "CA's store", "no room");
    assert_non_null(strstr(err.hint, "disk"));
    assert_null(list);
    ca_close(ca);
    buf_free(&csr);
    assert_int_equal(issued(f), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_ca_certificate_is_right),
        TEST(a_ca_is_never_overwritten),
        TEST(a_failed_creation_leaves_nothing),
        TEST(the_software_key_is_private),
        TEST(what_is_not_a_ca_is_named),
        TEST(the_profile_decides_the_purpose),
        TEST(each_kind_of_key_gets_a_certificate),
        TEST(each_kind_of_key_can_be_the_ca),
        TEST(ml_dsa_keys_are_like_others),
        TEST(an_empty_subject_makes_the_names_critical),
        TEST(the_validity_stays_within_the_ca),
        TEST(refusals_record_nothing),
        TEST(the_ca_s_name_is_taken),
        TEST(what_was_issued_is_found_again),
        TEST(processes_sign_at_once),
        TEST(a_store_that_cannot_be_written_is_an_error),
    };
    return cmocka_run_group_tests_name("pki/ca", tests, NULL, NULL);
}
