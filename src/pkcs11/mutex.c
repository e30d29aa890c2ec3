/* pkcs11/mutex.c: see mutex.h. Layer: pkcs11. */
#include "pkcs11/mutex.h"

CK_RV mutex_maker_choose(struct mutex_maker *ret, const CK_C_INITIALIZE_ARGS *args)
{
    *ret = (struct mutex_maker){0};
    if (args == NULL)
        return CKR_OK;
    int given = (args->CreateMutex != NULL) + (args->DestroyMutex != NULL) + (args->LockMutex != NULL) +
                (args->UnlockMutex != NULL);
    if (args->pReserved != NULL || (given != 0 && given != 4))
        return CKR_ARGUMENTS_BAD;
    if (given == 4 && (args->flags & CKF_OS_LOCKING_OK) == 0)
        *ret =
            (struct mutex_maker){args->CreateMutex, args->DestroyMutex, args->LockMutex, args->UnlockMutex};
    return CKR_OK;
}

CK_RV mutex_init(struct mutex *m, const struct mutex_maker *maker)
{
    m->maker = maker;
    if (maker->create != NULL)
        return maker->create(&m->theirs) == CKR_OK ? CKR_OK : CKR_CANT_LOCK;
    lock_init(&m->own);
    return CKR_OK;
}

void mutex_destroy(struct mutex *m)
{
    if (m->maker == NULL)
        return; /* was never made */
    if (m->maker->destroy != NULL)
        (void)m->maker->destroy(m->theirs);
    else
        lock_destroy(&m->own);
    m->maker = NULL;
}

void mutex_take(struct mutex *m)
{
    if (m->maker->lock != NULL)
        (void)m->maker->lock(m->theirs);
    else
        lock_take(&m->own);
}

void mutex_give(struct mutex *m)
{
    if (m->maker->unlock != NULL)
        (void)m->maker->unlock(m->theirs);
    else
        lock_give(&m->own);
}
