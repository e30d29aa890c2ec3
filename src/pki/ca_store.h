/* pki/ca_store.h: what a CA issued, in SQLite: every change a transaction, any number of processes. Layer:
 * pki. */
#ifndef PKI_CA_STORE_H
#define PKI_CA_STORE_H

#include <sqlite3.h>

#include "base/mem.h"
#include "tpmtls/pki.h"

/* ca_store_create: a new store at path; key is where the CA's key is. */
TT_MUST_USE tt_rc ca_store_create(const char *path, const char *key, struct tt_error *err);

/* ca_store_open: TT_ERR_DECODE when path is not such a store. Closed with ca_store_close (NULL is fine). */
TT_MUST_USE tt_rc ca_store_open(sqlite3 **ret, const char *path, struct tt_error *err);
void ca_store_close(sqlite3 *db);
TT_DEFINE_AUTO(sqlite3, ca_store_close)

/* ca_store_key: as given to ca_store_create; mem_free. */
TT_MUST_USE tt_rc ca_store_key(char **ret, sqlite3 *db, struct tt_error *err);

/* ca_store_add: durable when it returns. */
TT_MUST_USE tt_rc ca_store_add(sqlite3 *db, const struct tt_ca_entry *entry, struct tt_error *err);

/* ca_store_each: see tt_ca_each. */
TT_MUST_USE tt_rc ca_store_each(sqlite3 *db, const char *serial, tt_ca_entry_fn fn, void *arg,
                                struct tt_error *err);

#endif
