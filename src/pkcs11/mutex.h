/* pkcs11/mutex.h: a mutex as C_Initialize was told to make them: the system's, or the application's (PKCS#11
 * 2.40, section 5.4, C_Initialize). Layer: pkcs11. */
#ifndef PKCS11_MUTEX_H
#define PKCS11_MUTEX_H

#include "base/lock.h"
#include "pkcs11/cryptoki.h"

/* struct mutex_maker: how they are made; zero: the system's. */
struct mutex_maker {
    CK_CREATEMUTEX create;
    CK_DESTROYMUTEX destroy;
    CK_LOCKMUTEX lock;
    CK_UNLOCKMUTEX unlock;
};
/* mutex_maker_choose: CKR_ARGUMENTS_BAD where some but not all of the application's functions are there. */
CK_RV mutex_maker_choose(struct mutex_maker *ret, const CK_C_INITIALIZE_ARGS *args);

struct mutex {
    const struct mutex_maker *maker;
    struct lock own;
    void *theirs;
};
CK_RV mutex_init(struct mutex *m, const struct mutex_maker *maker);
void mutex_destroy(struct mutex *m);
void mutex_take(struct mutex *m);
void mutex_give(struct mutex *m);

#endif
