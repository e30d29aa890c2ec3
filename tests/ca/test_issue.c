/* tests/ca/test_issue.c: what the authority grants and refuses, to whom, and once: each word of docs/ca.md's
 * table, the profiles' rules, tokens, renewals, requests that wait. */
#include <string.h>

#include "ca_test.h"

#include "ca/authority.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

static const char profiles[] =
    "[ca]\n"
    "default = plain\n"
    "[plain]\n"
    "purposes = clientAuth\n"
    "names = DNS:* IP:* URI:* email:*\n"
    "names-max = 3\n"
    "max-days = 400\n"
    "[server]\n"
    "purposes = serverAuth\n"
    "need = host\n"
    "names = DNS:*.example.org DNS:{cn} IP:192.0.2.0/25 IP:2001:db8::/33 URI:urn:{cn}:*\n"
    "[wild]\n"
    "names = DNS:*.example.org\n"
    "wildcards = yes\n"
    "[narrow]\n"
    "keys = P-384, RSA-3072\n"
    "need = subject\n"
    "[adds]\n"
    "names = DNS:*.example.org\n"
    "add = DNS:{cn}.example.org URI:urn:device:{cn}\n"
    "[shown]\n"
    "attestation = yes\n"
    "[one-each]\n"
    "attestation = yes\n"
    "one-identity = yes\n"
    "names = DNS:*\n"
    "[asked]\n"
    "approval = always\n"
    "[asked-tpm]\n"
    "attestation = yes\n"
    "approval = always\n"
    "[asked-more]\n"
    "attestation = yes\n"
    "approval = always\n"
    "purposes = serverAuth\n"
    "[doubted]\n"
    "approval = unattested\n"
    "[sub-ca]\n"
    "ca = yes\n"
    "key-usage = keyCertSign cRLSign\n"
    "[ocsp]\n"
    "purposes = OCSPSigning\n"
    "ocsp-nocheck = yes\n"
    "[full]\n"
    "purposes = serverAuth clientAuth 1.3.6.1.4.1.99999.1\n"
    "key-usage = digitalSignature keyEncipherment\n"
    "policies = 1.3.6.1.4.1.99999.2 2.23.140.1.2.1\n"
    "crl-url = http://a.example/a.crl http://b.example/a.crl\n"
    "ocsp-url = http://a.example/ocsp\n"
    "issuer-url = http://a.example/ca.cer\n"
    "must-staple = yes\n"
    "delegation = yes\n";

struct fixture {
    char *dir;
    char path[128];
    struct soft_key ca_key, key;
    struct tt_pki_signer signer;
    struct ca *ca;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = dir_make();
    f->ca_key = key_make("P-256");
    f->key = key_make("P-256");
    f->signer = key_signs(&f->ca_key);
    (void)snprintf(f->path, sizeof f->path, "%s/ca", f->dir);
    struct ca_make make = {.place = {.dir = f->path}, .subject = "/CN=Test CA", .key = "none", .now = NOW};
    assert_int_equal(ca_make(&make, &f->signer, NULL, NULL), TT_OK);
    dir_put(f->dir, "ca/profiles.ini", profiles, strlen(profiles));
    struct tt_error err = {0};
    if (test_ca_open(&f->ca, f->path, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ca_set_signer(f->ca, &f->signer, NULL), TT_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct ca_audit audit;
    struct tt_error err = {0};
    if (ca_audit_verify(f->ca, &audit, NULL, &err) != TT_OK) /* after whatever a test did */
        fail_msg("%s", err.text);
    ca_close(f->ca);
    assert_int_equal(ERR_peek_error(), 0);
    dir_drop(f->dir);
    key_drop(&f->ca_key);
    key_drop(&f->key);
    free(f);
    return 0;
}

static struct ca_answer ask(struct fixture *f, const struct ca_order *order, int64_t now)
{
    struct ca_answer a = {0};
    struct tt_error err = {0};
    if (ca_issue(f->ca, order, &a, 1, now, &err) != TT_OK)
        fail_msg("%s", err.text);
    return a;
}

static struct buf csr_of(const struct soft_key *key, const char *cn, const char *san)
{
    struct buf csr = {0};
    const struct ext ext = {"subjectAltName", san};
    csr_make(&csr, key, cn, &ext, san != NULL);
    return csr;
}

/* ---- the table of refusals ---- */

struct row {
    const char *word, *profile, *cn;
    struct ext exts[3];
    const char *key;                /* its kind, or NULL */
    void (*spoil)(struct buf *csr); /* the request, when it is made */
    unsigned days;
};

static void one_byte_more(struct buf *csr)
{
    assert_int_equal(buf_append(csr, "", 1), TT_OK);
}

static void too_large(struct buf *csr)
{
    uint8_t *room = buf_reserve(csr, 65536);
    memset(room, 0, 65536);
    buf_commit(csr, 65536);
}

static void last_byte(struct buf *csr)
{
    csr->data[csr->len - 1] ^= 1;
}

static void cut(struct buf *csr)
{
    csr->len -= 9;
}

/* The point is behind 03 42 00 04. */
static void off_the_curve(struct buf *csr)
{
    static const uint8_t before[] = {0x03, 0x42, 0x00, 0x04};
    uint8_t *at = memmem(buf_front(csr), buf_size(csr), before, sizeof before);
    assert_non_null(at);
    at[20] ^= 0x5a;
}

static void as_sha1(struct buf *csr)
{
    struct soft_key key = key_make("P-256");
    X509_REQ *req = X509_REQ_new();
    uint8_t *der = NULL;
    assert_int_equal(X509_REQ_set_pubkey(req, key.pkey), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), "CN", MBSTRING_UTF8,
                                                (const uint8_t *)"a", -1, -1, 0),
                     1);
    assert_true(X509_REQ_sign(req, key.pkey, EVP_sha1()) > 0);
    int len = i2d_X509_REQ(req, &der);
    buf_free(csr);
    assert_int_equal(buf_append(csr, der, (size_t)len), TT_OK);
    OPENSSL_free(der);
    X509_REQ_free(req);
    key_drop(&key);
}

#define SAN(text)                                                                                            \
    {                                                                                                        \
        {                                                                                                    \
            "subjectAltName", text                                                                           \
        }                                                                                                    \
    }

static const struct row rows[] = {
    {"damaged", .cn = "a", .spoil = one_byte_more},
    {"damaged", .cn = "a", .spoil = cut},
    {"damaged", .cn = "a", .exts = {{"keyUsage", "DER:0301"}}},
    {"too-large", .cn = "a", .spoil = too_large},
    {"bad-signature", .cn = "a", .spoil = last_byte},
    {"signature-algorithm", .cn = "a", .spoil = as_sha1},
    {"weak-key", .cn = "a", .key = "RSA:1024"},
    {"weak-key", .cn = "a", .profile = "narrow", .key = "RSA:2048"},
    {"malformed-key", .cn = "a", .spoil = off_the_curve},
    {"key-type", .cn = "a", .key = "secp256k1"},
    {"key-type", .cn = "a", .profile = "narrow"},
    {"asks-ca", .cn = "a", .exts = {{"basicConstraints", "critical,CA:TRUE"}}},
    {"asks-ca", .cn = "a", .exts = {{"keyUsage", "keyCertSign"}}},
    {"asks-ca", .cn = "a", .exts = {{"keyUsage", "cRLSign"}}},
    {"asks-ca", .cn = "a", .exts = {{"nameConstraints", "permitted;DNS:a.example"}}},
    {"critical-extension", .cn = "a", .exts = {{"1.2.3.4", "critical,DER:0500"}}},
    {"duplicate", .cn = "a",
     .exts = {{"subjectAltName", "DNS:a.example"}, {"subjectAltName", "DNS:b.example"}}},
    {"duplicate", .cn = "a", .exts = SAN("DNS:a.example,DNS:a.example")},
    {"empty-subject", .cn = NULL},
    {"empty-subject", .profile = "narrow", .cn = NULL, .key = "P-384"}, /* and no names, either */
    {"control-characters", .cn = "a\033[2J"},
    {"control-characters", .cn = "a\xe2\x80\xae"
                                 "b"}, /* right to left */
    {"control-characters", .cn = "a", .exts = {{"subjectAltName", "DER:3005820361077a"}}},
    {"name-kind", .cn = "a", .exts = SAN("RID:1.2.3.4")},
    {"name-form", .cn = "a", .exts = SAN("DNS:-a-.example")},
    {"name-form", .cn = "a", .exts = SAN("DNS:10.0.0.1")},
    {"name-form", .cn = "a", .exts = {{"subjectAltName", "DER:3005870301020a"}}}, /* three bytes of address */
    {"name-form", .cn = "not a host", .profile = "adds"},
    {"too-many-names", .cn = "a", .exts = SAN("DNS:a.example,DNS:b.example,DNS:c.example,DNS:d.example")},
    {"wildcard", .cn = "a", .exts = SAN("DNS:*.a.example")},
    {"wildcard", .cn = "a", .profile = "server", .exts = SAN("DNS:*.example.org")},
    {"address", .cn = "a", .profile = "server", .exts = SAN("IP:192.0.2.128")},
    {"address", .cn = "a", .profile = "server", .exts = SAN("IP:2001:db8:8000::1")},
    {"address", .cn = "a", .profile = "server", .exts = SAN("IP:::ffff:192.0.2.1")},
    {"name-not-allowed", .cn = "a", .profile = "server", .exts = SAN("DNS:example.org")},
    {"name-not-allowed", .cn = "a", .profile = "server", .exts = SAN("DNS:a.example.org.evil.example")},
    {"name-not-allowed", .cn = "*", .profile = "server",
     .exts = SAN("DNS:evil.example")}, /* a star in a CN */
    {"name-not-allowed", .cn = "a", .profile = "wild", .exts = SAN("DNS:*.example.com")},
    {"name-not-allowed", .cn = "a", .profile = "narrow", .key = "P-384", .exts = SAN("DNS:a.example")},
    {"no-host", .cn = "a", .profile = "server"},
    {"no-host", .cn = "a", .profile = "server", .exts = SAN("URI:urn:a:b")},
    {"ca-name", .cn = "Test CA"},
    {"profile", .cn = "a", .profile = "no-such"},
    {"validity", .cn = "a", .days = 401},
    {"validity", .cn = "a", .days = 36501},
    {"not-attested", .cn = "a", .profile = "shown"},
};

static void each_is_refused_with_its_word(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < TT_COUNT(rows); i++) {
        const struct row *r = &rows[i];
        struct soft_key other = {0};
        struct buf csr = {0};
        size_t n = 0;
        while (n < TT_COUNT(r->exts) && r->exts[n].name != NULL)
            n++;
        if (r->key != NULL)
            other = key_make(r->key);
        csr_make(&csr, r->key != NULL ? &other : &f->key, r->cn, r->exts, n);
        if (r->spoil != NULL)
            r->spoil(&csr);
        const struct ca_order order = {.csr = buf_bytes(&csr), .profile = r->profile, .days = r->days};
        struct ca_answer a = ask(f, &order, NOW);
        if (a.verdict != CA_REFUSED || strcmp(ca_refusal_word(a.why), r->word) != 0)
            fail_msg("row %zu, %s: '%s' (%s)", i, r->word, ca_refusal_word(a.why), a.reason.text);
        assert_true(a.reason.text[0] != '\0' && a.certificate.data == NULL);
        ca_answer_free(&a);
        buf_free(&csr);
        if (r->key != NULL)
            key_drop(&other);
    }
    struct ca_counts c;
    assert_int_equal(ca_count(f->ca, &c, NOW, NULL), TT_OK);
    assert_int_equal(c.refused, TT_COUNT(rows));
    assert_int_equal(c.valid, 0);
}

static void the_table_of_the_document_has_each(void **state)
{
    (void)state;
    FILE *file = fopen(TEST_SOURCE_DIR "/../docs/ca.md", "r");
    assert_non_null(file);
    char *text = calloc(1, 200000);
    assert_true(fread(text, 1, 199999, file) > 1000);
    (void)fclose(file);
    for (int why = 1; why < CA_REFUSALS; why++) {
        char cell[64];
        (void)snprintf(cell, sizeof cell, "\n| `%s` |", ca_refusal_word((enum ca_refusal)why));
        if (strstr(text, cell) == NULL)
            fail_msg("docs/ca.md has no row for %s", ca_refusal_word((enum ca_refusal)why));
    }
    free(text);
}

/* The keys of the profiles file, too. */
static void what_the_rules_let_pass(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *profile, *cn, *san;
    } table[] = {
        {NULL, "a", NULL},
        {NULL, "a", "DNS:a.example,IP:10.0.0.1,email:a@example.org"},
        {"server", "a", "DNS:a.example.org"},
        {"server", "a", "DNS:A.b.EXAMPLE.org,IP:192.0.2.127"},
        {"server", "host", "DNS:host"},
        {"server", "a", "DNS:a.example.org,URI:urn:a:thing"},
        {"server", NULL, "IP:2001:db8:7fff::1"},
        {"wild", "a", "DNS:*.example.org"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct buf csr = csr_of(&f->key, table[i].cn, table[i].san);
        struct ca_answer a =
            ask(f, &(struct ca_order){.csr = buf_bytes(&csr), .profile = table[i].profile}, NOW);
        if (a.verdict != CA_ISSUED)
            fail_msg("row %zu: %s", i, a.reason.text);
        ca_answer_free(&a);
        buf_free(&csr);
    }
}

static void a_profile_adds_names(void **state)
{
    struct fixture *f = *state;
    struct buf csr = csr_of(&f->key, "device-7", NULL);
    struct ca_answer a = ask(f, &(struct ca_order){.csr = buf_bytes(&csr), .profile = "adds"}, NOW);
    struct tt_cert_info *info = NULL;
    assert_int_equal(a.verdict, CA_ISSUED);
    assert_int_equal(tt_cert_describe(&info, a.certificate, NULL), TT_OK);
    assert_string_equal(info->sans, "DNS:device-7.example.org, URI:urn:device:device-7");
    tt_cert_info_free(info);
    ca_answer_free(&a);
    buf_free(&csr);
}

static void the_extensions_are_those_of_the_profile(void **state)
{
    struct fixture *f = *state;
    struct buf csr = csr_of(&f->key, "a", NULL);
    struct ca_answer a = ask(f, &(struct ca_order){.csr = buf_bytes(&csr), .profile = "full"}, NOW);
    assert_int_equal(a.verdict, CA_ISSUED);
    dir_put(f->dir, "full.der", a.certificate.data, a.certificate.len);
    ca_answer_free(&a);
    buf_free(&csr);
    assert_int_equal(
        run(f->dir,
            "openssl x509 -inform DER -in full.der -noout -text > text && for w in "
            "'Digital Signature, Key Encipherment' 'TLS Web Server Authentication, TLS Web Client "
            "Authentication, 1.3.6.1.4.1.99999.1' 'Policy: 1.3.6.1.4.1.99999.2' 'Policy: 2.23.140.1.2.1' "
            "'URI:http://a.example/a.crl' 'URI:http://b.example/a.crl' 'OCSP - URI:http://a.example/ocsp' "
            "'CA Issuers - URI:http://a.example/ca.cer' 'status_request' '1.3.6.1.4.1.44363.44'; do grep -q "
            "-- \"$w\" text || { echo \"no $w\"; cat text; exit 1; }; done"),
        0);
}

static void profiles_that_are_wrong_are_named(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *words;
    } table[] = {
        {"[ca]\ndefault = client\n", "not a profile of the file"},
        {"[client]\ncolour = blue\n", "no such key: 'colour'"},
        {"[ca]\ncolour = blue\n", "[ca] has no such key"},
        {"[ca]\ndefault = client\n[client]\ndays = 0\n", "may not be nothing"},
        {"[ca]\ndefault = client\n[client]\ndays = 9x\n", "not a number"},
        {"[ca]\ndefault = client\n[client]\ndays = 10\nmax-days = 5\n", "max-days is less"},
        {"[ca]\ndefault = client\n[client]\nkey-usage = keyCertSign\n", "go with ca = yes"},
        {"[ca]\ndefault = client\n[client]\nkey-usage = everything\n", "no such key usage"},
        {"[ca]\ndefault = client\n[client]\npurposes = everything\n", "no object identifier"},
        {"[ca]\ndefault = client\n[client]\nca = perhaps\n", "neither yes nor no"},
        {"[ca]\ndefault = client\n[client]\nneed = luck\n", "host, subject or both"},
        {"[ca]\ndefault = client\n[client]\napproval = maybe\n", "never, unattested or always"},
        {"[ca]\ndefault = client\n[cl ient]\ndays = 1\n", "no name for a profile"},
        {"[ca]\ndefault = client\ncrl-days = 1\ncrl-overlap-hours = 24\n[client]\ndays = 1\n",
         "less than crl-days"},
        {"[ca]\ndefault = client\n[client]\nrequesters = everybody\n",
         "requesters are machine, operator, token"},
        {"[ca]\ndefault = client\n[client]\nrequesters = attestation\n", "needs attestation = yes"},
        {"[ca]\ndefault = a\n[a]\nca = yes\nkey-usage = keyCertSign\nrequesters = token\n",
         "machine and operator alone"},
        {"[ca]\ndefault = client\n[client]\nwhat is this\n", "line 4 is not of the form"},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct ca *ca = NULL;
        struct tt_error err = {0};
        dir_put(f->dir, "ca/profiles.ini", table[i].text, strlen(table[i].text));
        check_error(test_ca_open(&ca, f->path, &err), TT_ERR_USAGE, &err, table[i].words, table[i].text);
        assert_null(ca);
    }
}

/* ---- who asks ---- */

static void token_make(struct fixture *f, struct ca_token *ret, const struct ca_token_plan *plan)
{
    char id[CA_ID_HEX], password[CA_PASSWORD_MAX];
    struct tt_error err = {0};
    if (ca_token_create(f->ca, id, password, plan, NOW, &err) != TT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ca_token_check(f->ca, ret, password, NOW, NULL), TT_OK);
    assert_string_equal(ret->id, id);
}

static struct ca_answer ask_by(struct fixture *f, enum ca_who who, const char *id, const struct buf *csr,
                               int64_t now)
{
    return ask(f, &(struct ca_order){.csr = buf_bytes(csr), .by = {who, id, "192.0.2.7"}}, now);
}

static void expect(struct ca_answer *a, const char *word)
{
    if (a->verdict != CA_REFUSED || strcmp(ca_refusal_word(a->why), word) != 0)
        fail_msg("not refused as %s: verdict %d, '%s'", word, a->verdict, a->reason.text);
    ca_answer_free(a);
}

static void a_token_is_for_one_enrolment(void **state)
{
    struct fixture *f = *state;
    struct ca_token t;
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600});
    struct buf one = csr_of(&f->key, "one", NULL), two = csr_of(&f->key, "two", NULL);
    struct ca_answer a = ask_by(f, CA_BY_TOKEN, t.id, &one, NOW), again, other;
    assert_int_equal(a.verdict, CA_ISSUED);
    again = ask_by(f, CA_BY_TOKEN, t.id, &one, NOW + 60); /* its answer was lost, maybe */
    assert_int_equal(again.verdict, CA_ISSUED);
    assert_string_equal(again.serial, a.serial);
    assert_int_equal(again.certificate.len, a.certificate.len);
    other = ask_by(f, CA_BY_TOKEN, t.id, &two, NOW + 60);
    expect(&other, "token");
    other = ask_by(f, CA_BY_TOKEN, "999", &two, NOW);
    expect(&other, "token");
    other = ask_by(f, CA_BY_TOKEN, NULL, &two, NOW);
    expect(&other, "token");
    ca_answer_free(&a);
    ca_answer_free(&again);
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600});
    other = ask_by(f, CA_BY_TOKEN, t.id, &two, NOW + 3600);
    expect(&other, "token");
    assert_int_equal(ca_token_revoke(f->ca, t.id, "me", NOW, NULL), TT_OK);
    other = ask_by(f, CA_BY_TOKEN, t.id, &two, NOW);
    expect(&other, "token");
    struct tt_error err = {0};
    check_error(ca_token_check(f->ca, &t, "wrong", NOW, &err), TT_ERR_AUTH, &err, "unknown", "password");
    buf_free(&one);
    buf_free(&two);
}

/* The same token in two requests of one batch: one of them gets it. */
static void a_batch_spends_a_token_once(void **state)
{
    struct fixture *f = *state;
    struct ca_token t;
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600, .uses = 2});
    struct buf csrs[4];
    struct ca_order orders[5];
    struct ca_answer answers[5] = {0};
    memset(orders, 0, sizeof orders);
    for (size_t i = 0; i < 4; i++) {
        char cn[16];
        (void)snprintf(cn, sizeof cn, "device-%zu", i);
        csrs[i] = csr_of(&f->key, cn, NULL);
        orders[i] = (struct ca_order){.csr = buf_bytes(&csrs[i]), .by = {CA_BY_TOKEN, t.id, NULL}};
    }
    orders[4] = orders[0];
    assert_int_equal(ca_issue(f->ca, orders, answers, 5, NOW, NULL), TT_OK);
    assert_int_equal(answers[0].verdict, CA_ISSUED);
    assert_int_equal(answers[1].verdict, CA_ISSUED);
    assert_string_not_equal(answers[0].serial, answers[1].serial);
    assert_int_equal(answers[2].why, CA_REFUSED_TOKEN);
    assert_int_equal(answers[3].why, CA_REFUSED_TOKEN);
    assert_string_equal(answers[4].serial, answers[0].serial);
    for (size_t i = 0; i < 5; i++)
        ca_answer_free(&answers[i]);
    for (size_t i = 0; i < 4; i++)
        buf_free(&csrs[i]);
}

/* In one batch, which is one transaction, as in two: one TPM has one subject, and one subject one TPM. */
static void a_tpm_gets_one_identity(void **state)
{
    struct fixture *f = *state;
    struct buf one = csr_of(&f->key, "one", NULL), two = csr_of(&f->key, "two", NULL);
    const struct ca_requester tpm = {CA_BY_ATTESTATION, "11", NULL}, other = {CA_BY_ATTESTATION, "22", NULL};
    const struct ca_order first = {
        .csr = buf_bytes(&one), .profile = "one-each", .by = tpm, .attested = true};
    struct ca_order orders[4] = {first, first, first, first};
    struct ca_answer answers[4] = {0};
    orders[1].csr = buf_bytes(&two); /* another subject of this TPM */
    orders[2].by = other;            /* this subject of another TPM */
    orders[3].csr = buf_bytes(&two);
    orders[3].by = other;
    assert_int_equal(ca_issue(f->ca, orders, answers, 4, NOW, NULL), TT_OK);
    assert_int_equal(answers[0].verdict, CA_ISSUED);
    assert_non_null(strstr(answers[1].reason.text, "this TPM has the identity CN=one already"));
    expect(&answers[1], "name-not-allowed");
    assert_non_null(strstr(answers[2].reason.text, "another TPM has the identity CN=one"));
    expect(&answers[2], "name-not-allowed");
    assert_int_equal(answers[3].verdict, CA_ISSUED);
    struct ca_answer later = ask(f, &orders[1], NOW + 60);
    expect(&later, "name-not-allowed");
    ca_answer_free(&answers[0]);
    ca_answer_free(&answers[3]);
    buf_free(&one);
    buf_free(&two);
}

/* What is renewed, by the certificate, is still that TPM's: also when the first certificate has ended. */
static void an_identity_is_renewed(void **state)
{
    struct fixture *f = *state;
    struct buf one = csr_of(&f->key, "one", NULL), two = csr_of(&f->key, "two", NULL);
    struct ca_order order = {.csr = buf_bytes(&one),
                             .profile = "one-each",
                             .by = {CA_BY_ATTESTATION, "11", NULL},
                             .attested = true};
    struct ca_answer first = ask(f, &order, NOW);
    assert_int_equal(first.verdict, CA_ISSUED);
    order.by = (struct ca_requester){CA_BY_CERTIFICATE, first.serial, NULL};
    order.ek = "22";
    struct ca_answer elsewhere = ask(f, &order, NOW + 300 * DAY);
    expect(&elsewhere, "renewal"); /* with evidence of another TPM */
    order.ek = "11";
    struct ca_answer second = ask(f, &order, NOW + 300 * DAY);
    assert_int_equal(second.verdict, CA_ISSUED);
    order.by.id = second.serial;
    struct ca_answer third = ask(f, &order, NOW + 600 * DAY);
    assert_int_equal(third.verdict, CA_ISSUED);
    order.by = (struct ca_requester){CA_BY_ATTESTATION, "22", NULL};
    struct ca_answer a = ask(f, &order, NOW + 700 * DAY);
    assert_non_null(strstr(a.reason.text, "another TPM has the identity CN=one"));
    expect(&a, "name-not-allowed");
    order.csr = buf_bytes(&two);
    order.by.id = "11";
    a = ask(f, &order, NOW + 700 * DAY);
    assert_non_null(strstr(a.reason.text, "this TPM has the identity CN=one already"));
    expect(&a, "name-not-allowed");
    assert_int_equal(ca_revoke(f->ca, third.serial, 1, "me", NOW + 700 * DAY, NULL), TT_OK);
    a = ask(f, &order, NOW + 700 * DAY);
    assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    ca_answer_free(&first);
    ca_answer_free(&second);
    ca_answer_free(&third);
    buf_free(&one);
    buf_free(&two);
}

/* Names as names: case and white space of a subject, a name that stands in the other's alternative names
 * alone; and what is on hold comes back. */
static void an_identity_is_of_names(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *cn, *san;
        bool good;
    } table[] = {
        {"ONE", NULL, false},       {" one ", NULL, false},
        {"two", "DNS:one", false},  {"two", "DNS:A.example", false},
        {"a.EXAMPLE", NULL, false}, {"two", "DNS:b.example", true},
    };
    struct buf csr = csr_of(&f->key, "one", "DNS:a.example");
    struct ca_order order = {.csr = buf_bytes(&csr),
                             .profile = "one-each",
                             .by = {CA_BY_ATTESTATION, "11", NULL},
                             .attested = true};
    struct ca_answer first = ask(f, &order, NOW), a;
    assert_int_equal(first.verdict, CA_ISSUED);
    for (size_t hold = 0; hold < 2; hold++) {
        if (hold == 1)
            assert_int_equal(ca_revoke(f->ca, first.serial, 6, "me", NOW, NULL), TT_OK);
        for (size_t i = 0; i < TT_COUNT(table); i++) {
            struct buf theirs = csr_of(&f->key, table[i].cn, table[i].san);
            a = ask(f,
                    &(struct ca_order){.csr = buf_bytes(&theirs),
                                       .profile = "one-each",
                                       .by = {CA_BY_ATTESTATION, "22", NULL},
                                       .attested = true},
                    NOW);
            if ((a.verdict == CA_ISSUED) != table[i].good || (!table[i].good && a.why != CA_REFUSED_NAME))
                fail_msg("row %zu: %s", i, a.reason.text);
            ca_answer_free(&a);
            buf_free(&theirs);
        }
    }
    ca_answer_free(&first);
    buf_free(&csr);
}

/* Without a CN and without a name nothing shows that a request is for whom the token is; a second CN would be
 * somebody else's. */
static void a_bound_token_needs_its_name(void **state)
{
    struct fixture *f = *state;
    static const char *const subjects[][3] = {{"O", "admins", NULL}, {"CN", "device-1", "admin"}};
    struct ca_token t;
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 60, .subject = "device-1"});
    for (size_t i = 0; i < TT_COUNT(subjects); i++) {
        struct buf csr = {0};
        X509_REQ *req = X509_REQ_new();
        assert_non_null(req);
        for (size_t k = 1; k < 3 && subjects[i][k] != NULL; k++)
            assert_int_equal(X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(req), subjects[i][0],
                                                        MBSTRING_UTF8, (const uint8_t *)subjects[i][k], -1,
                                                        -1, 0),
                             1);
        assert_int_equal(X509_REQ_set_pubkey(req, f->key.pkey), 1);
        csr_finish(&csr, &f->key, req);
        struct ca_answer a = ask_by(f, CA_BY_TOKEN, t.id, &csr, NOW);
        expect(&a, "name-not-allowed");
        buf_free(&csr);
    }
}

static void a_token_is_bound(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bond, *cn, *san;
        bool good;
    } table[] = {
        {"device-1.example", "device-1.example", NULL, true},
        {"device-1.example", "device-1.example", "DNS:device-1.example", true},
        {"device-1.example", NULL, "DNS:DEVICE-1.example", true},
        {"device-1.example", "device-2.example", NULL, false},
        {"device-1.example", "device-1.example", "DNS:device-2.example", false},
        {"device-1.example", "device-1.example", "DNS:device-1.example,IP:192.0.2.1", false},
        {"/CN=device-1", "device-1", "DNS:any.example", false}, /* the names of a subject: its CN */
        {"/CN=device-1.example", "device-1.example", "DNS:device-1.example", true},
        {"/CN=device-1.example", "device-1.example", "DNS:device-1.example,IP:192.0.2.1", false},
        {"/CN=device-1", "device-2", NULL, false},
        {"CN=device-1", "device-1", NULL, true},
        {"CN=device-1", "device-11", NULL, false},
    };
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct ca_token t;
        token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 60, .subject = table[i].bond});
        struct buf csr = csr_of(&f->key, table[i].cn, table[i].san);
        struct ca_answer a = ask_by(f, CA_BY_TOKEN, t.id, &csr, NOW);
        if ((a.verdict == CA_ISSUED) != table[i].good || (!table[i].good && a.why != CA_REFUSED_NAME))
            fail_msg("row %zu: %s", i, a.reason.text);
        ca_answer_free(&a);
        buf_free(&csr);
    }
    struct ca_token t;
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 60, .profile = "wild"});
    struct buf csr = csr_of(&f->key, "a", "DNS:*.example.org");
    struct ca_order order = {.csr = buf_bytes(&csr), .by = {CA_BY_TOKEN, t.id, NULL}, .profile = "plain"};
    struct ca_answer a = ask(f, &order, NOW);
    expect(&a, "profile"); /* not another one than the token's */
    order.profile = NULL;
    a = ask(f, &order, NOW);
    assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    order.profile = "sub-ca";
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 60});
    order.by.id = t.id;
    a = ask(f, &order, NOW);
    expect(&a, "profile"); /* nobody enrols as a CA */
    buf_free(&csr);
}

/* A token for certain names has those and no others, whatever else the profile lets through. */
static void a_token_lists_names(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"DNS:Host.example", "IP:192.0.2.7"};
    static const struct {
        const char *bond, *cn, *san;
        bool good;
    } table[] = {
        {NULL, "host.example", "DNS:host.example,IP:192.0.2.7", true},
        {NULL, NULL, "IP:192.0.2.7", true},
        {NULL, "other.example", "DNS:host.example", false},
        {NULL, "host.example", "DNS:host.example,DNS:other.example", false},
        {NULL, "host.example", "URI:https://host.example", false},
        {"/O=x/CN=device", "host.example", "DNS:host.example", false},
        {"/CN=device", "device", "DNS:host.example", true},
        {"/CN=device", "device", "DNS:device.example", false},
        {"device", "device", "DNS:host.example", true},
    };
    struct ca_token t;
    struct tt_error err = {0};
    char id[CA_ID_HEX], password[CA_PASSWORD_MAX];
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        token_make(f, &t,
                   &(struct ca_token_plan){
                       .expires = NOW + 60, .subject = table[i].bond, .names = names, .names_len = 2});
        struct buf csr = csr_of(&f->key, table[i].cn, table[i].san);
        struct ca_answer a = ask_by(f, CA_BY_TOKEN, t.id, &csr, NOW);
        if ((a.verdict == CA_ISSUED) != table[i].good || (!table[i].good && a.why != CA_REFUSED_NAME))
            fail_msg("row %zu: %s", i, a.reason.text);
        ca_answer_free(&a);
        buf_free(&csr);
    }
    static const char *const wrong[] = {"DNS:-a-"};
    check_error(ca_token_create(f->ca, id, password,
                                &(struct ca_token_plan){.expires = NOW + 60, .names = wrong, .names_len = 1},
                                NOW, &err),
                TT_ERR_USAGE, &err, "-a-", "a name that is none");
}

/* For whom a profile is, by default and where it says so. */
static void a_profile_says_for_whom_it_is(void **state)
{
    struct fixture *f = *state;
    static const char text[] =
        "[ca]\ndefault = plain\n[plain]\ndays = 1\n[operator]\ndays = 1\n[machines]\nrequesters = machine\n"
        "[only-ek]\nattestation = yes\nrequesters = attestation\n"
        "[sub-ca]\nca = yes\nkey-usage = keyCertSign\n[ocsp]\npurposes = OCSPSigning\n"
        "[branch]\nca = yes\nkey-usage = keyCertSign\nrequesters = operator\n";
    static const struct {
        const char *profile;
        bool machine, enroller, token, ek;
    } table[] = {
        {"plain", true, true, true, false},      {"operator", true, false, true, false},
        {"machines", true, false, false, false}, {"only-ek", true, false, false, true},
        {"sub-ca", true, false, false, false},   {"ocsp", true, false, false, false},
        {"branch", true, true, false, false},
    };
    dir_put(f->dir, "ca/profiles.ini", text, strlen(text));
    struct ca *again = NULL;
    struct tt_error err = {0};
    if (test_ca_open(&again, f->path, &err) != TT_OK)
        fail_msg("%s", err.text);
    ca_close(f->ca);
    f->ca = again;
    assert_int_equal(ca_set_signer(f->ca, &f->signer, NULL), TT_OK);
    struct buf csr = csr_of(&f->key, "olga", NULL);
    struct ca_order order = {.csr = buf_bytes(&csr), .profile = "operator"};
    struct ca_answer olga = ask(f, &order, NOW), a;
    assert_int_equal(olga.verdict, CA_ISSUED);
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        struct ca_token t;
        token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 60, .profile = table[i].profile});
        const struct {
            struct ca_requester by;
            bool good;
        } who[] = {{{CA_BY_OPERATOR, "me", NULL}, table[i].machine},
                   {{CA_BY_ENROLLER, olga.serial, NULL}, table[i].enroller},
                   {{CA_BY_TOKEN, t.id, NULL}, table[i].token},
                   {{CA_BY_ATTESTATION, "11", NULL}, table[i].ek}};
        for (size_t k = 0; k < TT_COUNT(who); k++) {
            order = (struct ca_order){
                .csr = buf_bytes(&csr), .profile = table[i].profile, .by = who[k].by, .attested = true};
            a = ask(f, &order, NOW);
            if ((a.verdict == CA_ISSUED) != who[k].good || (!who[k].good && a.why != CA_REFUSED_PROFILE))
                fail_msg("%s, requester %zu: %s", table[i].profile, k, a.reason.text);
            ca_answer_free(&a);
        }
    }
    assert_int_equal(ca_revoke(f->ca, olga.serial, 1, "me", NOW, NULL), TT_OK);
    order = (struct ca_order){.csr = buf_bytes(&csr), .by = {CA_BY_ENROLLER, olga.serial, NULL}};
    a = ask(f, &order, NOW);
    expect(&a, "certificate"); /* an operator's is looked at like any other */
    ca_answer_free(&olga);
    buf_free(&csr);
}

struct counted {
    const struct tt_pki_signer *of;
    int n;
};

static tt_rc counted_sign(void *arg, uint16_t scheme, struct tt_bytes message, uint8_t *ret_sig, size_t cap,
                          size_t *ret_len, struct tt_error *err)
{
    struct counted *c = arg;
    c->n++;
    return c->of->sign(c->of->arg, scheme, message, ret_sig, cap, ret_len, err);
}

/* Asked again, it costs the CA's key nothing; but what a device renews with is a new request. */
static void the_same_request_is_signed_once(void **state)
{
    struct fixture *f = *state;
    struct counted c = {.of = &f->signer};
    struct tt_pki_signer counting = f->signer;
    struct ca_token t;
    counting.sign = counted_sign;
    counting.arg = &c;
    assert_int_equal(ca_set_signer(f->ca, &counting, NULL), TT_OK);
    struct buf csr = csr_of(&f->key, "a", NULL);
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 300 * DAY});
    struct ca_answer first = ask_by(f, CA_BY_TOKEN, t.id, &csr, NOW), a;
    assert_int_equal(c.n, 1);
    a = ask_by(f, CA_BY_TOKEN, t.id, &csr, NOW + 200 * DAY);
    assert_string_equal(a.serial, first.serial);
    ca_answer_free(&a);
    /* By the certificate, with the request that is kept: lost answers for a third of its life, then another.
     */
    struct ca_answer second = ask_by(f, CA_BY_CERTIFICATE, first.serial, &csr, NOW + 240 * DAY);
    assert_int_equal(c.n, 2);
    assert_string_not_equal(second.serial, first.serial);
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &csr, NOW + 241 * DAY);
    assert_string_equal(a.serial, second.serial);
    ca_answer_free(&a);
    assert_int_equal(c.n, 2);
    struct ca_answer third = ask_by(f, CA_BY_CERTIFICATE, first.serial, &csr, NOW + 364 * DAY);
    assert_int_equal(c.n, 3);
    assert_string_not_equal(third.serial, second.serial);
    ca_answer_free(&third);
    third = ask_by(f, CA_BY_CERTIFICATE, second.serial, &csr, NOW + 480 * DAY); /* at the next renewal */
    assert_int_equal(c.n, 4);
    assert_int_equal(ca_revoke(f->ca, third.serial, 1, "me", NOW + 481 * DAY, NULL), TT_OK);
    a = ask_by(f, CA_BY_CERTIFICATE, second.serial, &csr, NOW + 481 * DAY); /* what is revoked is no answer */
    assert_int_equal(a.verdict, CA_ISSUED);
    assert_int_equal(c.n, 5);
    ca_answer_free(&a);
    ca_answer_free(&first);
    ca_answer_free(&second);
    ca_answer_free(&third);
    buf_free(&csr);
}

static void der_put_at(struct fixture *f, const char *serial, struct tt_bytes der)
{
    const struct statement put = {.sql = "UPDATE certificate SET der = $1 WHERE serial = $2",
                                  STORE_ARGS(store_blob(der), store_text(serial))};
    assert_int_equal(store_run(f->ca->store, &put, NULL, NULL), TT_OK);
}

/* One that cannot be judged (what is renewed is damaged in the store) stops no other. */
static void one_fault_stops_one_request(void **state)
{
    struct fixture *f = *state;
    struct buf csrs[3] = {csr_of(&f->key, "a", NULL), csr_of(&f->key, "b", NULL), csr_of(&f->key, "c", NULL)};
    struct ca_order orders[3] = {{.days = 0}};
    struct ca_answer answers[3] = {{.why = CA_REFUSED_NOT}};
    struct ca_answer first = ask(f, &(struct ca_order){.csr = buf_bytes(&csrs[1])}, NOW);
    for (size_t i = 0; i < 3; i++)
        orders[i] = (struct ca_order){.csr = buf_bytes(&csrs[i])};
    orders[1].by = (struct ca_requester){CA_BY_CERTIFICATE, first.serial, NULL};
    der_put_at(f, first.serial, (struct tt_bytes){(const uint8_t *)"0", 1});
    assert_int_equal(ca_issue(f->ca, orders, answers, 3, NOW, NULL), TT_OK);
    assert_int_equal(answers[0].verdict, CA_ISSUED);
    assert_int_equal(answers[1].verdict, CA_FAILED);
    assert_non_null(strstr(answers[1].reason.text, "damaged"));
    assert_int_equal(answers[2].verdict, CA_ISSUED);
    der_put_at(f, first.serial, first.certificate);
    for (size_t i = 0; i < 3; i++) {
        ca_answer_free(&answers[i]);
        buf_free(&csrs[i]);
    }
    ca_answer_free(&first);
}

static tt_rc count_request(void *arg, const struct ca_request *r)
{
    (void)r;
    (*(int *)arg)++;
    return TT_OK;
}

/* What was refused is kept for refused-days (90), and what was refused stays in the log. */
static void refused_requests_are_forgotten(void **state)
{
    struct fixture *f = *state;
    struct buf csr = csr_of(&f->key, "a", "DNS:*.a.example");
    for (int64_t day = 0; day < 2; day++) {
        struct ca_answer a = ask(f, &(struct ca_order){.csr = buf_bytes(&csr)}, NOW + day * 50 * DAY);
        expect(&a, "wildcard");
    }
    static const struct {
        int64_t day;
        int left;
    } table[] = {{60, 2}, {90, 2}, {91, 1}, {141, 0}};
    for (size_t i = 0; i < TT_COUNT(table); i++) {
        int n = 0;
        assert_int_equal(ca_tend(f->ca, NOW + table[i].day * DAY, NULL), TT_OK);
        assert_int_equal(
            ca_requests(f->ca, &(struct ca_request_filter){.state = "refused"}, count_request, &n, NULL),
            TT_OK);
        assert_int_equal(n, table[i].left);
    }
    buf_free(&csr);
}

static void a_certificate_is_renewed_by_its_owner(void **state)
{
    struct fixture *f = *state;
    struct soft_key fresh = key_make("P-256");
    struct buf csr = csr_of(&f->key, "a", "DNS:a.example,DNS:b.example"),
               same = csr_of(&fresh, "a", "DNS:b.example,DNS:a.example"),
               fewer = csr_of(&fresh, "a", "DNS:a.example"),
               other = csr_of(&fresh, "b", "DNS:a.example,DNS:b.example");
    struct ca_answer first = ask(f, &(struct ca_order){.csr = buf_bytes(&csr)}, NOW), a;
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &same, NOW);
    assert_int_equal(a.verdict, CA_ISSUED);
    assert_string_not_equal(a.serial, first.serial);
    ca_answer_free(&a);
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &fewer, NOW);
    expect(&a, "renewal");
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &other, NOW);
    expect(&a, "renewal");
    a = ask_by(f, CA_BY_CERTIFICATE, "00112233", &same, NOW);
    expect(&a, "certificate");
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &fewer, NOW + 366 * DAY);
    expect(&a, "certificate"); /* expired */
    assert_int_equal(ca_revoke(f->ca, first.serial, 6, "me", NOW, NULL), TT_OK);
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &fewer, NOW);
    expect(&a, "certificate"); /* on hold */
    assert_int_equal(ca_release(f->ca, first.serial, "me", NOW, NULL), TT_OK);
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &same, NOW + 1);
    assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    assert_int_equal(ca_revoke(f->ca, first.serial, 1, "me", NOW, NULL), TT_OK);
    a = ask_by(f, CA_BY_CERTIFICATE, first.serial, &same, NOW + 2);
    expect(&a, "certificate");
    ca_answer_free(&first);
    buf_free(&csr);
    buf_free(&same);
    buf_free(&fewer);
    buf_free(&other);
    key_drop(&fresh);
}

static struct ca_answer ask_waiting(struct fixture *f, const char *token, const struct buf *csr,
                                    bool attested)
{
    return ask(f,
               &(struct ca_order){.csr = buf_bytes(csr),
                                  .profile = attested ? "doubted" : "asked",
                                  .by = {CA_BY_TOKEN, token, NULL},
                                  .attested = attested},
               NOW);
}

static void a_request_waits_for_a_person(void **state)
{
    struct fixture *f = *state;
    struct ca_token t;
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600, .profile = "asked"});
    struct buf csr = csr_of(&f->key, "a", NULL);
    struct ca_answer a = ask_waiting(f, t.id, &csr, false), b;
    assert_int_equal(a.verdict, CA_PENDING);
    b = ask_waiting(f, t.id, &csr, false);
    assert_int_equal(b.verdict, CA_PENDING);
    assert_string_equal(a.id, b.id); /* the same one, and the token is spent once */
    struct ca_counts c;
    assert_int_equal(ca_count(f->ca, &c, NOW, NULL), TT_OK);
    assert_int_equal(c.pending, 1);
    assert_int_equal(ca_decide(f->ca, a.id, true, "me", NOW, NULL), TT_OK);
    assert_int_equal(ca_decide(f->ca, a.id, true, "me", NOW, NULL), TT_ERR_NOT_FOUND);
    ca_answer_free(&b);
    b = ask_waiting(f, t.id, &csr, false);
    assert_int_equal(b.verdict, CA_ISSUED);
    assert_string_equal(a.id, b.id);
    char serial[CA_SERIAL_HEX];
    memcpy(serial, b.serial, sizeof serial);
    ca_answer_free(&b);
    b = ask_waiting(f, t.id, &csr, false);
    assert_string_equal(b.serial, serial);
    ca_answer_free(&b);
    ca_answer_free(&a);
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600, .uses = 2, .profile = "asked"});
    a = ask_waiting(f, t.id, &csr, false);
    assert_int_equal(a.verdict, CA_PENDING);
    assert_int_equal(ca_decide(f->ca, a.id, false, "me", NOW, NULL), TT_OK);
    ca_answer_free(&a);
    a = ask_waiting(f, t.id, &csr, false);
    expect(&a, "rejected");
    struct buf shown = csr_of(&f->key, "b", NULL);
    token_make(f, &t, &(struct ca_token_plan){.expires = NOW + 3600, .profile = "doubted"});
    a = ask_waiting(f, t.id, &shown, true); /* with evidence nobody is asked */
    assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    a = ask(f, &(struct ca_order){.csr = buf_bytes(&shown), .profile = "shown", .attested = true}, NOW);
    assert_int_equal(a.verdict, CA_ISSUED);
    ca_answer_free(&a);
    assert_int_equal(ca_count(f->ca, &c, NOW, NULL), TT_OK);
    assert_int_equal(c.attested, 2);
    buf_free(&shown);
    buf_free(&csr);
}

/* Who comes by evidence alone chooses the profile by the path: what a person approved for one is not approved
 * for another. */
static void an_approval_is_for_one_profile(void **state)
{
    struct fixture *f = *state;
    struct buf csr = csr_of(&f->key, "a", NULL);
    struct ca_order order = {.csr = buf_bytes(&csr),
                             .profile = "asked-tpm",
                             .by = {CA_BY_ATTESTATION, "11", NULL},
                             .attested = true};
    struct ca_answer a = ask(f, &order, NOW), b;
    assert_int_equal(a.verdict, CA_PENDING);
    assert_int_equal(ca_decide(f->ca, a.id, true, "me", NOW, NULL), TT_OK);
    order.profile = "asked-more";
    b = ask(f, &order, NOW);
    assert_int_equal(b.verdict, CA_PENDING);
    assert_string_not_equal(a.id, b.id);
    ca_answer_free(&b);
    order.profile = "asked-tpm";
    b = ask(f, &order, NOW);
    assert_int_equal(b.verdict, CA_ISSUED);
    assert_string_equal(a.id, b.id);
    ca_answer_free(&b);
    order.profile = "asked-more"; /* nor is what was issued the answer */
    b = ask(f, &order, NOW);
    assert_int_equal(b.verdict, CA_PENDING);
    ca_answer_free(&b);
    ca_answer_free(&a);
    buf_free(&csr);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_is_refused_with_its_word),
        cmocka_unit_test(the_table_of_the_document_has_each),
        TEST(what_the_rules_let_pass),
        TEST(a_profile_adds_names),
        TEST(the_extensions_are_those_of_the_profile),
        TEST(profiles_that_are_wrong_are_named),
        TEST(a_token_is_for_one_enrolment),
        TEST(a_batch_spends_a_token_once),
        TEST(a_tpm_gets_one_identity),
        TEST(an_identity_is_renewed),
        TEST(a_bound_token_needs_its_name),
        TEST(an_approval_is_for_one_profile),
        TEST(a_token_is_bound),
        TEST(an_identity_is_of_names),
        TEST(a_token_lists_names),
        TEST(a_profile_says_for_whom_it_is),
        TEST(the_same_request_is_signed_once),
        TEST(one_fault_stops_one_request),
        TEST(refused_requests_are_forgotten),
        TEST(a_certificate_is_renewed_by_its_owner),
        TEST(a_request_waits_for_a_person),
    };
    return cmocka_run_group_tests_name("ca/issue", tests, NULL, NULL);
}
