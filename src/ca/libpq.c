/* ca/libpq.c: where the functions of libpq come from. Layer: ca. */
#include "ca/libpq.h"

#include <dlfcn.h>
#include <string.h>

#define LIBPQ_NAME "libpq.so.5"

tt_rc libpq_load(struct libpq *ret, struct tt_error *err)
{
    struct libpq all;
    void *library = dlopen(LIBPQ_NAME, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        (void)error_set(err, TT_ERR_UNSUPPORTED, "a store in PostgreSQL needs libpq, which is not here: %s",
                        dlerror());
        error_hint(err, "install it (Debian: libpq5), or keep the store in SQLite: sqlite:DIR/ca.db");
        return TT_ERR_UNSUPPORTED;
    }
    void *at;
#define LIBPQ_FIND(name)                                                                                     \
    if ((at = dlsym(library, #name)) == NULL)                                                                \
        return error_set(err, TT_ERR_UNSUPPORTED, "%s has no %s", LIBPQ_NAME, #name);                        \
    memcpy(&all.name, &at, sizeof at); /* ISO C has no cast from an object to a function */
    LIBPQ_FUNCTIONS(LIBPQ_FIND)
#undef LIBPQ_FIND
    *ret = all;
    return TT_OK;
}
