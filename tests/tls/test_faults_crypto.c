/* tests/tls/test_faults_crypto.c: whole handshakes with the nth allocation inside libcrypto failing, which is
 * the way to make each of its calls fail. All of the first 100, then every 7th. libcrypto's calls mostly say
 * that they failed and not why, so what is not readable or not verified for lack of memory counts as the
 * peer's fault (blames_peer). The tests' own signatures are left alone. Linked with --wrap=test_sign. */
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/crypto.h>
#include <stdlib.h>

static size_t fail_in, made;
static bool counting;

static void fail_nth(size_t nth)
{
    fail_in = nth;
    counting = nth > 0;
}

static size_t count(void)
{
    return made;
}

static bool fails(void)
{
    if (!counting)
        return false;
    made++;
    return fail_in > 0 && --fail_in == 0;
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : malloc(n);
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file, (void)line;
    return fails() ? NULL : realloc(p, n);
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file, (void)line;
    free(p);
}

size_t __real_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap);
size_t __wrap_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap);

size_t __wrap_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap)
{
    bool was = counting;
    counting = false;
    size_t n = __real_test_sign(k, scheme, message, sig, cap);
    counting = was;
    return n;
}

int main(void)
{
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        return 99; /* libcrypto has allocated before main */
    static struct fault_source libcrypto = {fail_nth, count, 100, 20000, 7, true};
    const struct CMUnitTest tests[] = {FAULT_SCENES(&libcrypto)};
    return cmocka_run_group_tests_name("tls/faults_crypto", tests, NULL, NULL);
}
