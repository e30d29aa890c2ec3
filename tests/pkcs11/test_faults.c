/* tests/pkcs11/test_faults.c: every allocation of the module's own fails once, in a run through all that it
 * does: the call says so, the next one works, and nothing is lost. */
#include "p11_test.h"

#include "base/mem.h"
#include "support/range.h"

static int setup(void **state)
{
    static const struct identity identities[] = {{"one", TT_KEY_P256, NULL, false, false},
                                                 {"two", TT_KEY_RSA2048, "secret", false, false}};
    (void)state;
    return chip_setup(identities, TT_COUNT(identities));
}

static CK_RV failure; /* the first one of a run */
static bool good(CK_RV rv)
{
    if (rv != CKR_OK && failure == CKR_OK)
        failure = rv;
    return rv == CKR_OK;
}

static void run_session(CK_SLOT_ID slot, bool rsa)
{
    static CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE key;
    CK_MECHANISM m = {rsa ? CKM_SHA256_RSA_PKCS : CKM_ECDSA_SHA256, NULL, 0}, sha = {CKM_SHA256, NULL, 0};
    CK_BYTE data[8] = {1}, sig[256], point[256];
    CK_ULONG n = 0, len = sizeof sig;
    CK_ATTRIBUTE a = {CKA_EC_POINT, point, sizeof point};
    if (!good(p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s)))
        return;
    (void)good(p11->C_Login(s, CKU_USER, PIN, PIN_SIZE));
    if (good(p11->C_FindObjectsInit(s, &template, 1)) && good(p11->C_FindObjects(s, &key, 1, &n)) &&
        good(p11->C_FindObjectsFinal(s)) && n == 1) {
        if (good(p11->C_SignInit(s, &m, key)) && good(p11->C_Sign(s, data, sizeof data, sig, &len)) &&
            good(p11->C_VerifyInit(s, &m, key + 1)))
            (void)good(p11->C_Verify(s, data, sizeof data, sig, len));
        if (!rsa)
            (void)good(p11->C_GetAttributeValue(s, key + 1, &a, 1));
    }
    len = sizeof sig;
    if (good(p11->C_DigestInit(s, &sha)))
        (void)good(p11->C_Digest(s, data, sizeof data, sig, &len));
    assert_ckr(p11->C_CloseSession(s));
}

static void run(void)
{
    CK_SLOT_ID slots[2];
    CK_ULONG n = 2;
    CK_TOKEN_INFO info;
    if (!good(p11->C_Initialize(NULL)))
        return;
    if (good(p11->C_GetSlotList(CK_TRUE, slots, &n)))
        for (CK_ULONG i = 0; i < n; i++)
            if (good(p11->C_GetTokenInfo(slots[i], &info)))
                run_session(slots[i], (info.flags & CKF_LOGIN_REQUIRED) != 0);
    assert_ckr(p11->C_Finalize(NULL));
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const CK_RV allowed[] = {CKR_HOST_MEMORY, CKR_DEVICE_ERROR, CKR_FUNCTION_FAILED,
                                    CKR_DEVICE_MEMORY};
    run();
    assert_int_equal(failure, CKR_OK);
    size_t total, failures = 0;
    mem_test_reset();
    run();
    total = mem_test_stats().allocations;
    assert_int_equal(mem_test_stats().live_blocks, 0);
    assert_between(total, 60, 1000);
    for (size_t nth = 1; nth <= total; nth++) {
        failure = CKR_OK;
        mem_test_reset();
        mem_test_fail_nth(nth);
        run();
        mem_test_fail_nth(0);
        failures += failure != CKR_OK;
        bool is_allowed = failure == CKR_OK;
        for (size_t i = 0; i < TT_COUNT(allowed); i++)
            is_allowed = is_allowed || failure == allowed[i];
        if (!is_allowed)
            fail_msg("allocation %zu of %zu: 0x%lx", nth, total, failure);
        if (mem_test_stats().live_blocks != 0)
            fail_msg("allocation %zu of %zu: %zu blocks are left", nth, total, mem_test_stats().live_blocks);
    }
    assert_true(failures > total / 2);
    failure = CKR_OK;
    run();
    assert_int_equal(failure, CKR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_allocation_fails_once)};
    return cmocka_run_group_tests(tests, setup, chip_teardown);
}
