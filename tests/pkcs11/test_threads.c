/* tests/pkcs11/test_threads.c: two hundred threads that sign, search, log in and close one another's
 * sessions. */
#include "p11_test.h"

#include <pthread.h>

#define THREADS 200
#define ROUNDS  2

static int setup(void **state)
{
    static const struct identity identities[] = {{"one", TT_KEY_P256, NULL, false, false},
                                                 {"two", TT_KEY_P256, "secret", false, false}};
    (void)state;
    return chip_setup(identities, TT_COUNT(identities));
}

static CK_RV once(const char *name)
{
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE data[100] = {1}, sig[64];
    CK_ULONG len = sizeof sig;
    CK_OBJECT_HANDLE priv, pub;
    CK_SESSION_HANDLE s = open_session(name, 0);
    CK_RV rv = p11->C_Login(s, CKU_USER, PIN, PIN_SIZE);
    if (rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN)
        return rv;
    priv = find_one(s, CKO_PRIVATE_KEY);
    pub = find_one(s, CKO_PUBLIC_KEY);
    rv = p11->C_SignInit(s, &m, priv);
    if (rv == CKR_OK)
        rv = p11->C_Sign(s, data, sizeof data, sig, &len);
    if (rv == CKR_OK)
        rv = p11->C_VerifyInit(s, &m, pub);
    if (rv == CKR_OK)
        rv = p11->C_Verify(s, data, sizeof data, sig, len);
    if (rv == CKR_OK)
        rv = p11->C_CloseSession(s);
    return rv;
}

static void *work(void *arg)
{
    uintptr_t number = (uintptr_t)arg;
    CK_RV rv = CKR_OK;
    for (int i = 0; rv == CKR_OK && i < ROUNDS; i++)
        rv = once(number % 2 == 0 ? "one" : "two");
    return (void *)rv;
}

static void many_threads_sign(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    begin();
    CK_SESSION_HANDLE kept[2] = {open_session("one", 0), open_session("two", 0)}; /* the login lasts */
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *rv;
        assert_int_equal(pthread_join(threads[i], &rv), 0);
        assert_int_equal((uintptr_t)rv, CKR_OK);
    }
    assert_ckr(p11->C_CloseSession(kept[0]));
    assert_ckr(p11->C_CloseSession(kept[1]));
    end();
}

static CK_SESSION_HANDLE shared;
static void *misuse(void *arg)
{
    CK_MECHANISM m = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE data[10] = {1}, sig[64];
    (void)arg;
    for (int i = 0; i < 20; i++) {
        CK_ULONG len = sizeof sig, n;
        CK_OBJECT_HANDLE o = 0;
        (void)p11->C_FindObjectsInit(shared, NULL, 0);
        (void)p11->C_FindObjects(shared, &o, 1, &n);
        (void)p11->C_FindObjectsFinal(shared);
        (void)p11->C_SignInit(shared, &m, o);
        (void)p11->C_Sign(shared, data, sizeof data, sig, &len);
        if (i == 15)
            (void)p11->C_CloseSession(shared);
    }
    return NULL;
}

/* Undefined by the standard; it must not crash the host. */
static void a_session_is_shared_and_closed(void **state)
{
    (void)state;
    pthread_t threads[8];
    begin();
    shared = open_session("one", 0);
    for (size_t i = 0; i < TT_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, misuse, NULL), 0);
    for (size_t i = 0; i < TT_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_threads_sign),
                                       cmocka_unit_test(a_session_is_shared_and_closed)};
    return cmocka_run_group_tests(tests, setup, chip_teardown);
}
