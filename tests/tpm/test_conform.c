/* tests/tpm/test_conform.c: draft-bottomley-tpm2-keys, whole: files with every field, parents of every kind,
 * keys wrapped for a TPM without a TPM, and the programs of others: tpm2-tools and tpm2-openssl read what we
 * write, and we what they write. */
#include "own_chip.h"
#include "tpm_test.h"

#include <stdlib.h>
#include <tss2/tss2_mu.h>
#include <unistd.h>

#include "base/mem.h"
#include "tpm/context.h"
#include "tpm/ek.h"
#include "tpm/keyfile.h"
#include "tpm/public.h"

#define PROVIDERS                                                                                            \
    "-provider tpm2 -provider default -propquery '?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes'"
#define STORAGE "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
#define SIGNING "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign"

static void run(const char *command)
{
    char line[2048], log[512] = "", path[128];
    int n = snprintf(line, sizeof line, "cd \"$D\" && { %s; } >out.log 2>&1 </dev/null", command);
    assert_true(n > 0 && (size_t)n < sizeof line);
    int status = system(line);
    if (status == 0)
        return;
    (void)snprintf(path, sizeof path, "%s/out.log", chip.dir);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        log[fread(log, 1, sizeof log - 1, f)] = '\0';
        (void)fclose(f);
    }
    fail_msg("%s: status %d: %s", command, status, log);
}

/* A file of the chip's directory; NUL-terminated; mem_free. */
static char *slurp(const char *name, size_t *ret_len)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", chip.dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    char *text = mem_alloc(16384);
    assert_non_null(text);
    *ret_len = fread(text, 1, 16383, f);
    (void)fclose(f);
    return text;
}

static void spit(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", chip.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void uses(const char *pem, const char *password)
{
    struct tt_bytes keep;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    uint16_t schemes[16];
    assert_ok(tt_key_open_pem_with(&key, tpm, text_bytes(pem), password_of(&keep, password), &err), &err);
    size_t n = tt_key_schemes(key, schemes, TT_COUNT(schemes));
    for (size_t i = 0; i < n; i++)
        sign_and_verify(key, schemes[i]);
    /* The name that is computed from the file is the one that the TPM says. */
    struct tt_keyfile_info *info = mem_alloc(sizeof *info);
    assert_non_null(info);
    assert_ok(tt_keyfile_inspect(info, text_bytes(pem), &err), &err);
    assert_int_equal(info->name_len, tt_key_name(key).len);
    assert_memory_equal(info->name, tt_key_name(key).data, info->name_len);
    mem_free(info);
    tt_key_free(key);
    tt_tpm_close(tpm);
}

/* ---- files made by hand from what tpm2-tools made ---- */

/* The key file of k.pub and k.priv. */
static char *by_hand(struct keyfile f)
{
    size_t pub_len = 0, priv_len = 0;
    char *pub = slurp("k.pub", &pub_len), *priv = slurp("k.priv", &priv_len), *text = NULL;
    struct tt_error err = {0};
    f.pubkey = (struct tt_bytes){(const uint8_t *)pub, pub_len};
    f.privkey = (struct tt_bytes){(const uint8_t *)priv, priv_len};
    assert_ok(keyfile_text(&text, &f, &err), &err);
    mem_free(pub);
    mem_free(priv);
    return text;
}

static void parents_in_hierarchies(void **state)
{
    (void)state;
    static const struct {
        const char *letter, *alg;
        struct keyfile file;
    } cases[] = {
        {"o", "ecc", {.parent = 0x40000001}}, {"o", "rsa", {.parent = 0x40000001, .rsa_parent = true}},
        {"e", "ecc", {.parent = 0x4000000b}}, {"e", "rsa", {.parent = 0x4000000b, .rsa_parent = true}},
        {"p", "ecc", {.parent = 0x4000000c}}, {"n", "ecc", {.parent = 0x40000007}},
    };
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        char command[512];
        (void)snprintf(command, sizeof command,
                       "tpm2_createprimary -Q -C %s -G %s -c p.ctx -a '" STORAGE
                       "' && tpm2_create -Q -C p.ctx -G ecc256 -u k.pub -r k.priv -a '" SIGNING
                       "' && tpm2_flushcontext -t",
                       cases[i].letter, cases[i].alg);
        run(command);
        struct keyfile f = cases[i].file;
        f.kind = KEYFILE_LOADABLE;
        f.empty_auth = true;
        f.description = text_bytes("made by hand");
        char *pem = by_hand(f);
        uses(pem, NULL);
        mem_free(pem);
    }
}

/* The draft's own words for the endorsement hierarchy: the EK's template H-2. */
static void parent_by_the_ek_template(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    TPM2B_PUBLIC template = ek_profile(ek_kind_of("H-2")), key = public_signing_key(TT_KEY_P256), *pub = NULL;
    TPM2B_SENSITIVE_CREATE sensitive = {0};
    TPM2B_DATA outside = {0};
    TPML_PCR_SELECTION pcrs = {0};
    TPM2B_PRIVATE *priv = NULL;
    ESYS_TR parent = ESYS_TR_NONE;
    assert_int_equal(Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                        ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &parent, NULL,
                                        NULL, NULL, NULL),
                     0);
    assert_int_equal(Esys_Create(tpm->esys, parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive,
                                 &key, &outside, &pcrs, &priv, &pub, NULL, NULL, NULL),
                     0);
    tpm_flush(tpm, &parent);
    uint8_t a[sizeof *pub], b[sizeof *priv];
    struct keyfile f = {.kind = KEYFILE_LOADABLE, .empty_auth = true, .parent = 0x4000000b};
    size_t a_len = 0, b_len = 0;
    assert_int_equal(Tss2_MU_TPM2B_PUBLIC_Marshal(pub, a, sizeof a, &a_len), 0);
    assert_int_equal(Tss2_MU_TPM2B_PRIVATE_Marshal(priv, b, sizeof b, &b_len), 0);
    f.pubkey = (struct tt_bytes){a, a_len};
    f.privkey = (struct tt_bytes){b, b_len};
    Esys_Free(pub);
    Esys_Free(priv);
    tt_tpm_close(tpm);
    char *pem = NULL;
    struct tt_error err = {0};
    assert_ok(keyfile_text(&pem, &f, &err), &err);
    uses(pem, NULL);
    mem_free(pem);
}

/* A policy that tpm2-tools made, written down as the draft says, with SHA-384 as the name algorithm. */
static void policy_of_tpm2_tools(void **state)
{
    (void)state;
    run("tpm2_startauthsession -S s.ctx -g sha384 && tpm2_policypcr -Q -S s.ctx -l sha256:0,3 && "
        "tpm2_policyauthvalue -S s.ctx -L pol && tpm2_flushcontext s.ctx && "
        "tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE "' && "
        "tpm2_create -Q -C p.ctx -G ecc384 -g sha384 -L pol -p secret -u k.pub -r k.priv -a "
        "'fixedtpm|fixedparent|sensitivedataorigin|noda|sign' && tpm2_flushcontext -t");
    /* No digest in the body: the values of the moment, as the command allows. */
    static const uint8_t pcr_body[] = {0, 0, 0, 0, 0, 1, 0, 0x0b, 3, 0x09, 0, 0};
    struct buf policy = {0};
    assert_int_equal(
        keyfile_policy_put(&policy, TPM2_CC_PolicyPCR, (struct tt_bytes){pcr_body, sizeof pcr_body}), TT_OK);
    assert_int_equal(keyfile_policy_put(&policy, TPM2_CC_PolicyAuthValue, (struct tt_bytes){NULL, 0}), TT_OK);
    char *pem = by_hand((struct keyfile){.kind = KEYFILE_LOADABLE,
                                         .parent = 0x40000001,
                                         .has_policy = true,
                                         .policy = buf_bytes(&policy),
                                         .description = text_bytes("policy by tpm2-tools")});
    uses(pem, "secret");
    mem_free(pem);
    buf_free(&policy);
}

/* Other statements that only have a body, and one that the draft cannot express. */
static void statements_with_a_body(void **state)
{
    (void)state;
    run("tpm2_startauthsession -S s.ctx && tpm2_policycommandcode -S s.ctx TPM2_CC_Sign && "
        "tpm2_policylocality -S s.ctx zero -L pol && tpm2_flushcontext s.ctx && "
        "tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE "' && "
        "tpm2_create -Q -C p.ctx -G ecc256 -L pol -u k.pub -r k.priv -a "
        "'fixedtpm|fixedparent|sensitivedataorigin|noda|sign' && tpm2_flushcontext -t");
    static const uint8_t sign_code[] = {0, 0, 0x01, 0x5d}, zero[] = {1};
    struct buf policy = {0};
    assert_int_equal(keyfile_policy_put(&policy, TPM2_CC_PolicyCommandCode,
                                        (struct tt_bytes){sign_code, sizeof sign_code}),
                     TT_OK);
    assert_int_equal(
        keyfile_policy_put(&policy, TPM2_CC_PolicyLocality, (struct tt_bytes){zero, sizeof zero}), TT_OK);
    struct keyfile f = {.kind = KEYFILE_LOADABLE,
                        .parent = 0x40000001,
                        .empty_auth = true,
                        .has_policy = true,
                        .policy = buf_bytes(&policy)};
    char *pem = by_hand(f);
    uses(pem, NULL);
    mem_free(pem);
    assert_int_equal(keyfile_policy_put(&policy, TPM2_CC_PolicyOR, (struct tt_bytes){zero, sizeof zero}),
                     TT_OK);
    f.policy = buf_bytes(&policy);
    pem = by_hand(f);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_key *key = NULL;
    struct tt_error err = {0};
    assert_int_equal(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), TT_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "TPM2_PolicyOR"));
    tt_tpm_close(tpm);
    mem_free(pem);
    buf_free(&policy);
}

/* ---- wrapping ---- */

static char *wrap(const char *parent, const char *key, const char *password, uint32_t handle)
{
    struct tt_error err = {0};
    struct tt_bytes keep;
    size_t parent_len = 0, key_len = 0;
    char *target = slurp(parent, &parent_len), *soft = slurp(key, &key_len), *pem = NULL;
    struct tt_wrap_params params = {
        .parent_public = {(const uint8_t *)target, parent_len},
        .parent = handle,
        .key = {(const uint8_t *)soft, key_len},
        .params = {.password = password_of(&keep, password), .description = "wrapped"}};
    assert_ok(tt_key_wrap(&pem, &params, &err), &err);
    mem_free(target);
    mem_free(soft);
    return pem;
}

static void software_keys(void)
{
    run("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256.key && "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384.key && "
        "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521 -out p521.key && "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa2048.key && "
        "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out rsa3072.key && "
        "openssl genpkey -algorithm ED25519 -out ed.key");
}

static const char *const soft[] = {"p256.key", "p384.key", "p521.key", "rsa2048.key", "rsa3072.key"};

static void same_key(const char *pem, const char *software)
{
    char command[256];
    size_t len = 0;
    (void)snprintf(command, sizeof command, "openssl pkey -in %s -pubout -outform DER -out pub.der",
                   software);
    run(command);
    char *der = slurp("pub.der", &len);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_key *key = open_key(tpm, pem);
    assert_int_equal(tt_key_spki(key).len, len);
    assert_memory_equal(tt_key_spki(key).data, der, len);
    tt_key_free(key);
    tt_tpm_close(tpm);
    mem_free(der);
}

/* Each type, for each kind of parent, by the parent's PEM and by its TPM2B_PUBLIC. */
static void wrapped_for_every_parent(void **state)
{
    (void)state;
    static const struct {
        const char *command, *file;
        uint32_t handle;
    } parents[] = {
        {"tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE "' && tpm2_readpublic -Q -c p.ctx -o par",
         "par", 0},
        {"tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE
         "' && tpm2_readpublic -Q -c p.ctx -f pem -o par",
         "par", 0},
        {"tpm2_createprimary -Q -C o -G rsa -c p.ctx -a '" STORAGE
         "' && tpm2_readpublic -Q -c p.ctx -f pem -o par",
         "par", 0},
        {"tpm2_createek -Q -G ecc -u par -c ek.ctx", "par", 0},
        {"tpm2_createek -Q -G rsa -u par -c ek.ctx", "par", 0},
        {"tpm2_createek -Q -G rsa -f pem -u par -c ek.ctx", "par", 0x81010001},
        {"tpm2_createprimary -Q -C o -G ecc384 -g sha384 -c p.ctx -a '" STORAGE
         "' && tpm2_readpublic -Q -c p.ctx -o par && tpm2_evictcontrol -Q -C o -c p.ctx 0x81000070",
         "par", 0x81000070},
    };
    software_keys();
    for (size_t p = 0; p < TT_COUNT(parents); p++) {
        run(parents[p].command);
        run("tpm2_flushcontext -t");
        for (size_t i = 0; i < TT_COUNT(soft); i++) {
            char *pem = wrap(parents[p].file, soft[i], NULL, parents[p].handle);
            uses(pem, NULL);
            same_key(pem, soft[i]);
            mem_free(pem);
        }
        char *pem = wrap(parents[p].file, soft[0], "secret", parents[p].handle);
        uses(pem, "secret");
        mem_free(pem);
    }
}

static void what_cannot_be_wrapped(void **state)
{
    (void)state;
    software_keys();
    run("tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE
        "' && tpm2_readpublic -Q -c p.ctx -o par && tpm2_flushcontext -t && tpm2_create -Q -C p.ctx -G "
        "ecc256 "
        "-u k.pub -r k.priv -a '" SIGNING
        "' && tpm2_flushcontext -t && openssl pkey -in p384.key -pubout -out p384.pub");
    static const struct {
        const char *parent, *key, *text;
    } cases[] = {{"par", "ed.key", "cannot"},
                 {"k.pub", "p256.key", "not a storage key"},
                 {"p384.pub", "p256.key", "TPM2B_PUBLIC"},
                 {"p256.key", "p256.key", "not a PEM PUBLIC KEY"},
                 {"par", "par", "private key"}};
    for (size_t i = 0; i < TT_COUNT(cases); i++) {
        size_t a = 0, b = 0;
        char *parent = slurp(cases[i].parent, &a), *key = slurp(cases[i].key, &b), *pem = NULL;
        struct tt_wrap_params params = {.parent_public = {(const uint8_t *)parent, a},
                                        .key = {(const uint8_t *)key, b}};
        struct tt_error err = {0};
        assert_int_not_equal(tt_key_wrap(&pem, &params, &err), TT_OK);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("%zu: %s", i, err.text);
        mem_free(parent);
        mem_free(key);
    }
}

/* Each byte of a wrapped key that is changed in turn is noticed by the TPM, never by a crash of ours. */
static void changed_wrapped_keys(void **state)
{
    (void)state;
    software_keys();
    run("tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE
        "' && tpm2_readpublic -Q -c p.ctx -o par && tpm2_flushcontext -t");
    char *pem = wrap("par", "p256.key", NULL, 0);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct keyfile f;
    struct tt_error err = {0};
    assert_ok(keyfile_parse(&f, text_bytes(pem), &err), &err);
    uint8_t *priv = (uint8_t *)(uintptr_t)f.privkey.data;
    for (size_t i = 0; i < f.privkey.len; i += 7) {
        char *changed = NULL;
        priv[i] ^= 1;
        assert_ok(keyfile_text(&changed, &f, &err), &err);
        err = (struct tt_error){0};
        assert_int_not_equal(tt_keyfile_try_load(tpm, text_bytes(changed), &err), TT_OK);
        assert_true(err.text[0] != '\0');
        err = (struct tt_error){0};
        mem_free(changed);
        priv[i] ^= 1;
    }
    keyfile_free(&f);
    tt_tpm_close(tpm);
    mem_free(pem);
}

static void imported_keys(void **state)
{
    (void)state;
    software_keys();
    run("openssl pkcs8 -topk8 -in p256.key -out locked.key -passout pass:open");
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    for (size_t i = 0; i <= TT_COUNT(soft); i++) {
        size_t len = 0;
        struct tt_error err = {0};
        char *text = slurp(i < TT_COUNT(soft) ? soft[i] : "locked.key", &len), *pem = NULL, *again = NULL;
        struct tt_wrap_params params = {.key = {(const uint8_t *)text, len},
                                        .key_password = BYTES_OF("open")};
        assert_ok(tt_key_import(&pem, tpm, &params, &err), &err);
        uses(pem, NULL);
        same_key(pem, i < TT_COUNT(soft) ? soft[i] : "p256.key");
        struct keyfile f;
        assert_ok(keyfile_parse(&f, text_bytes(pem), &err), &err);
        assert_int_equal(f.kind, KEYFILE_LOADABLE);
        assert_int_equal(f.secret.len, 0);
        keyfile_free(&f);
        params.key = text_bytes(pem); /* it is in its final form */
        assert_int_equal(tt_key_import(&again, tpm, &params, &err), TT_ERR_USAGE);
        mem_free(text);
        mem_free(pem);
    }
    tt_tpm_close(tpm);
}

/* ---- tpm2-tools ---- */

/* The file of a key with emptyAuth as wanted: tpm2_encodeobject before 5.8 has its -p the wrong way round,
 * and files of both kinds exist. Takes pem. */
static char *saying(char *pem, bool empty_auth)
{
    struct tt_error err = {0};
    struct keyfile f;
    char *text = NULL;
    assert_ok(keyfile_parse(&f, text_bytes(pem), &err), &err);
    f.empty_auth = empty_auth;
    assert_ok(keyfile_text(&text, &f, &err), &err);
    keyfile_free(&f);
    mem_free(pem);
    return text;
}

static void file_of_tpm2_tools(void **state)
{
    (void)state;
    run("tpm2_createprimary -Q -C o -G ecc -c p.ctx -a '" STORAGE
        "' && tpm2_evictcontrol -Q -C o -c p.ctx 0x81000071 && tpm2_flushcontext -t && "
        "tpm2_create -Q -C 0x81000071 -G ecc256 -u k.pub -r k.priv && tpm2_flushcontext -t && "
        "tpm2_encodeobject -C 0x81000071 -u k.pub -r k.priv -o key.pem && tpm2_flushcontext -t");
    size_t len = 0;
    char *pem = slurp("key.pem", &len);
    uses(pem, "");
    for (int empty = 0; empty < 2; empty++) {
        pem = saying(pem, empty == 1);
        uses(pem, "");
    }
    mem_free(pem);
    run("tpm2_create -Q -C 0x81000071 -G rsa2048 -p secret -u k.pub -r k.priv && tpm2_flushcontext -t && "
        "tpm2_encodeobject -C 0x81000071 -u k.pub -r k.priv -p -o key.pem && tpm2_flushcontext -t");
    pem = slurp("key.pem", &len);
    uses(pem, "secret");
    pem = saying(pem, false);
    uses(pem, "secret");
    /* And one that says it has none: without the password the empty one is tried once, and not again. */
    pem = saying(pem, true);
    uses(pem, "secret");
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    uint8_t sig[512];
    assert_ok(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), &err);
    assert_int_equal(tt_key_sign(key, tt_key_x509_scheme(key), text_bytes("x"), sig, sizeof sig, &len, &err),
                     TT_ERR_AUTH);
    tt_key_free(key);
    err = (struct tt_error){0};
    assert_int_equal(tt_key_open_pem(&key, tpm, text_bytes(pem), &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "has counted 1"));
    tt_tpm_close(tpm);
    run("tpm2_dictionarylockout -c");
    mem_free(pem);
}

static void our_file_in_tpm2_tools(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    char *pem = NULL;
    assert_ok(tt_key_create_with(&pem, tpm,
                                 &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF("secret")},
                                 &err),
              &err);
    tt_tpm_close(tpm);
    spit("ours.pem", pem);
    run("tpm2_load -Q -r ours.pem -c ours.ctx && tpm2_flushcontext -t && echo text > m && tpm2_sign -Q -c "
        "ours.ctx -p secret -g "
        "sha256 "
        "-f plain -o sig m && tpm2_flushcontext -t && tpm2_readpublic -Q -c ours.ctx -f pem -o ours.pub && "
        "tpm2_flushcontext -t && "
        "openssl dgst -sha256 -verify ours.pub -signature sig m");
    mem_free(pem);
}

/* ---- tpm2-openssl ---- */

static void password_key_of_tpm2_openssl(void **state)
{
    (void)state;
    run("openssl genpkey " PROVIDERS
        " -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:abc -out key.pem");
    size_t len = 0;
    char *pem = slurp("key.pem", &len);
    uses(pem, "abc");
    mem_free(pem);
}

static void our_password_key_in_tpm2_openssl(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    char *pem = NULL;
    assert_ok(tt_key_create_with(
                  &pem, tpm, &(struct tt_key_params){.type = TT_KEY_P256, .password = BYTES_OF("abc")}, &err),
              &err);
    tt_tpm_close(tpm);
    spit("ours.pem", pem);
    run("openssl req " PROVIDERS " -new -key ours.pem -passin pass:abc -subj /CN=ours -out csr.pem && "
        "openssl req -in csr.pem -verify -noout");
    mem_free(pem);
}

static void our_imported_key_in_tpm2_openssl(void **state)
{
    (void)state;
    software_keys();
    size_t len = 0;
    struct tt_error err = {0};
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *text = slurp("p256.key", &len), *pem = NULL;
    struct tt_wrap_params params = {.key = {(const uint8_t *)text, len}};
    assert_ok(tt_key_import(&pem, tpm, &params, &err), &err);
    tt_tpm_close(tpm);
    spit("ours.pem", pem);
    run("openssl req " PROVIDERS " -new -key ours.pem -subj /CN=ours -out csr.pem && "
        "openssl req -in csr.pem -verify -noout");
    mem_free(text);
    mem_free(pem);
}

/* ---- the names ---- */

/* RFC 6920 section 8.1's example digest, as a TPM name. */
static void names_as_uris(void **state)
{
    (void)state;
    static const uint8_t name[34] = {0x00, 0x0b, 0x7f, 0x83, 0xb1, 0x65, 0x7f, 0xf1, 0xfc, 0x53, 0xb9, 0x2d,
                                     0xc1, 0x81, 0x48, 0xa1, 0xd6, 0x5d, 0xfc, 0x2d, 0x4b, 0x1f, 0xa3, 0xd6,
                                     0x77, 0x28, 0x4a, 0xdd, 0xd2, 0x00, 0x12, 0x6d, 0x90, 0x69};
    char uri[96];
    assert_true(tt_name_uri(uri, sizeof uri, (struct tt_bytes){name, sizeof name}));
    assert_string_equal(uri, "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk");
    assert_false(tt_name_uri(uri, 20, (struct tt_bytes){name, sizeof name}));
    assert_false(tt_name_uri(uri, sizeof uri, (struct tt_bytes){name, 33}));
}

static void persistent_handles(void **state)
{
    (void)state;
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    char *pem = create_key(tpm, TT_KEY_P256);
    assert_ok(tt_key_persist(tpm, text_bytes(pem), 0x817fffff, &err), &err);
    assert_int_equal(tt_key_persist(tpm, text_bytes(pem), 0x817fffff, &err), TT_ERR_EXISTS);
    static const uint32_t wrong[] = {0x80000000, 0x81800000, 0x81ffffff, 0x01000000, 0, 0xffffffff};
    for (size_t i = 0; i < TT_COUNT(wrong); i++) {
        err = (struct tt_error){0};
        assert_int_equal(tt_key_persist(tpm, text_bytes(pem), wrong[i], &err), TT_ERR_USAGE);
        err = (struct tt_error){0};
        assert_int_equal(tt_key_evict(tpm, wrong[i], &err), TT_ERR_USAGE);
    }
    struct tt_persistent *list = NULL;
    size_t n = 0;
    err = (struct tt_error){0};
    assert_ok(tt_persistent_list(&list, &n, tpm, &err), &err);
    assert_true(n >= 1);
    assert_int_equal(list[n - 1].handle, 0x817fffff);
    assert_string_equal(list[n - 1].type, "p256");
    assert_int_equal(list[n - 1].name_len, 34);
    tt_free(list);
    assert_ok(tt_key_evict(tpm, 0x817fffff, &err), &err);
    assert_int_equal(tt_key_evict(tpm, 0x817fffff, &err), TT_ERR_NOT_FOUND);
    tt_free(pem);
    tt_tpm_close(tpm);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(parents_in_hierarchies),
        cmocka_unit_test(parent_by_the_ek_template),
        cmocka_unit_test(policy_of_tpm2_tools),
        cmocka_unit_test(statements_with_a_body),
        cmocka_unit_test(wrapped_for_every_parent),
        cmocka_unit_test(what_cannot_be_wrapped),
        cmocka_unit_test(changed_wrapped_keys),
        cmocka_unit_test(imported_keys),
        cmocka_unit_test(file_of_tpm2_tools),
        cmocka_unit_test(our_file_in_tpm2_tools),
        cmocka_unit_test(password_key_of_tpm2_openssl),
        cmocka_unit_test(our_password_key_in_tpm2_openssl),
        cmocka_unit_test(our_imported_key_in_tpm2_openssl),
        cmocka_unit_test(names_as_uris),
        cmocka_unit_test(persistent_handles),
    };
    return cmocka_run_group_tests_name("conform", tests, start_chip, stop_chip);
}
