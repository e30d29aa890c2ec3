/* tests/tls/test_faults_crypto.c: whole handshakes with the nth allocation inside libcrypto failing, which is
 * the way to make each of its calls fail: every one of them. The tests' own signatures are left alone. Linked
 * with --wrap=test_sign. */
#include "faults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "support/crypto_memory.h"

size_t __real_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap);
size_t __wrap_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap);

size_t __wrap_test_sign(const struct test_key *k, uint16_t scheme, struct tt_bytes message, uint8_t *sig,
                        size_t cap)
{
    bool was = crypto_memory_pause(true);
    size_t n = __real_test_sign(k, scheme, message, sig, cap);
    (void)crypto_memory_pause(was);
    return n;
}

int main(void)
{
    if (!crypto_memory_take())
        return 99; /* libcrypto has allocated before main */
    static struct fault_source libcrypto = {crypto_memory_fail_nth, crypto_memory_count, 100, 20000};
    const struct CMUnitTest tests[] = {FAULT_SCENES(&libcrypto)};
    return cmocka_run_group_tests_name("tls/faults_crypto", tests, NULL, NULL);
}
