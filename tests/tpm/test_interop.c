/* tests/tpm/test_interop.c: key files of tpm2-openssl and ours, on one swtpm: theirs sign through us, ours
 * sign through theirs, and both sides name the same public key. */
#include "own_chip.h"
#include "tpm_test.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The default provider and the property query that keep everything but the key out of the TPM (shared
 * facts, 1.4). */
#define PROVIDERS                                                                                            \
    "-provider tpm2 -provider default -propquery '?provider=tpm2,tpm2.digest!=yes,tpm2.cipher!=yes'"

/* A shell command in the chip's directory; its output goes to a file that is shown when it fails. */
static void run(const char *command)
{
    char line[2048], log[512] = "";
    int n = snprintf(line, sizeof line, "cd \"$D\" && { %s; } >out.log 2>&1 </dev/null", command);
    assert_true(n > 0 && (size_t)n < sizeof line);
    int status = system(line);
    if (status == 0)
        return;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/out.log", chip.dir);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        log[fread(log, 1, sizeof log - 1, f)] = '\0';
        (void)fclose(f);
    }
    fail_msg("%s: status %d: %s", command, status, log);
}

static size_t read_file(const char *name, uint8_t *ret, size_t cap)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", chip.dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(ret, 1, cap, f);
    (void)fclose(f);
    return n;
}

static void write_file(const char *name, struct tt_bytes data)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", chip.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data.data, 1, data.len, f), data.len);
    assert_int_equal(fclose(f), 0);
}

static void same_public_key(const struct tt_key *key)
{
    uint8_t der[2048];
    size_t n = read_file("pub.der", der, sizeof der);
    struct tt_bytes spki = tt_key_spki(key);
    assert_int_equal(spki.len, n);
    assert_memory_equal(spki.data, der, n);
}

static void theirs(const char *algorithm)
{
    char command[512];
    uint8_t pem[8192];
    (void)snprintf(command, sizeof command, "openssl genpkey " PROVIDERS " -algorithm %s -out key.pem",
                   algorithm);
    run(command);
    run("openssl pkey " PROVIDERS " -in key.pem -pubout -outform DER -out pub.der");
    size_t n = read_file("key.pem", pem, sizeof pem);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    assert_ok(tt_key_open_pem(&key, tpm, (struct tt_bytes){pem, n}, &err), &err);
    same_public_key(key);
    uint16_t schemes[16];
    size_t count = tt_key_schemes(key, schemes, TT_COUNT(schemes));
    assert_true(count >= 1);
    for (size_t i = 0; i < count; i++)
        sign_and_verify(key, schemes[i]);
    sign_and_verify(key, tt_key_x509_scheme(key));
    tt_key_free(key);
    tt_tpm_close(tpm);
}

static void their_p256(void **state)
{
    (void)state;
    theirs("EC -pkeyopt group:P-256");
}

static void their_p384(void **state)
{
    (void)state;
    theirs("EC -pkeyopt group:P-384");
}

static void their_rsa(void **state)
{
    (void)state;
    theirs("RSA -pkeyopt bits:2048");
}

/* Kinds that this version refuses, by name. */
static void their_password_key(void **state)
{
    (void)state;
    run("openssl genpkey " PROVIDERS
        " -algorithm EC -pkeyopt group:P-256 -pkeyopt user-auth:abc -out key.pem");
    uint8_t pem[8192];
    size_t n = read_file("key.pem", pem, sizeof pem);
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    assert_int_equal(tt_key_open_pem(&key, tpm, (struct tt_bytes){pem, n}, &err), TT_ERR_AUTH);
    assert_non_null(strstr(err.text, "password"));
    assert_int_equal(tt_tpm_command_count(tpm), 0); /* the chip's counter is not touched */
    tt_tpm_close(tpm);
}

static void ours(enum tt_key_type type)
{
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    char *pem = create_key(tpm, type);
    write_file("ours.pem", text_bytes(pem));
    run("openssl pkey " PROVIDERS " -in ours.pem -pubout -outform DER -out pub.der");
    struct tt_key *key = open_key(tpm, pem);
    same_public_key(key);
    tt_key_free(key);
    tt_free(pem);
    tt_tpm_close(tpm);
    write_file("message", text_bytes("what they sign with our key"));
    run("openssl pkeyutl " PROVIDERS " -sign -inkey ours.pem -rawin -digest sha256 -in message -out sig");
    run("openssl pkeyutl -verify -pubin -keyform DER -inkey pub.der -rawin -digest sha256 -in message "
        "-sigfile sig");
    run("openssl req " PROVIDERS " -new -key ours.pem -subj /CN=ours -out csr.pem");
    run("openssl req -in csr.pem -verify -noout");
}

static void our_p256(void **state)
{
    (void)state;
    ours(TT_KEY_P256);
}

static void our_p384(void **state)
{
    (void)state;
    ours(TT_KEY_P384);
}

static void our_rsa(void **state)
{
    (void)state;
    ours(TT_KEY_RSA2048);
}

/* PSS with our RSA key through their provider: it must be the salt that TLS 1.3 wants. */
static void our_rsa_pss(void **state)
{
    (void)state;
    ours(TT_KEY_RSA2048);
    run("openssl dgst -sha256 -sign ours.pem " PROVIDERS
        " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest -out sig message");
    run("openssl pkey -pubin -inform DER -in pub.der -out pub.pem");
    run("openssl dgst -sha256 -verify pub.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 "
        "-signature sig "
        "message");
}

/* A key that tpm2-tools made and put to a persistent handle. */
static void persistent_key_of_tpm2_tools(void **state)
{
    (void)state;
    assert_int_equal(setenv("TPM2TOOLS_TCTI", chip.tcti, 1), 0);
    run("tpm2_createprimary -Q -C o -G ecc -c p.ctx && tpm2_create -Q -C p.ctx -G ecc256 -u k.pub -r k.priv "
        "-a 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign' && tpm2_flushcontext -t && "
        "tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx && tpm2_evictcontrol -Q -C o -c k.ctx 0x81000040 "
        "&& "
        "tpm2_flushcontext -t");
    struct tt_tpm *tpm = open_tpm(chip.tcti);
    struct tt_error err = {0};
    struct tt_key *key = NULL;
    assert_ok(tt_key_open_handle(&key, tpm, 0x81000040, &err), &err);
    sign_and_verify(key, TT_SCHEME_ECDSA_SECP256R1_SHA256);
    tt_key_free(key);
    tt_tpm_close(tpm);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(their_p256),
        cmocka_unit_test(their_p384),
        cmocka_unit_test(their_rsa),
        cmocka_unit_test(their_password_key),
        cmocka_unit_test(our_p256),
        cmocka_unit_test(our_p384),
        cmocka_unit_test(our_rsa),
        cmocka_unit_test(our_rsa_pss),
        cmocka_unit_test(persistent_key_of_tpm2_tools),
    };
    return cmocka_run_group_tests_name("interop", tests, start_chip, stop_chip);
}
