/* ca/libpq.h: PostgreSQL's client library, loaded when a store is there: it brings a dozen libraries with it,
 * a second TLS among them, which no other command is to wait for or to have in its process. Layer: ca. */
#ifndef CA_LIBPQ_H
#define CA_LIBPQ_H

#include <libpq-fe.h>

#include "base/rc.h"

#define LIBPQ_FUNCTIONS(X)                                                                                   \
    X(PQclear)                                                                                               \
    X(PQcmdStatus)                                                                                           \
    X(PQcmdTuples)                                                                                           \
    X(PQconnectdbParams)                                                                                     \
    X(PQenterPipelineMode)                                                                                   \
    X(PQerrorMessage)                                                                                        \
    X(PQexec)                                                                                                \
    X(PQexitPipelineMode)                                                                                    \
    X(PQfinish)                                                                                              \
    X(PQgetResult)                                                                                           \
    X(PQgetisnull)                                                                                           \
    X(PQgetlength)                                                                                           \
    X(PQgetvalue)                                                                                            \
    X(PQntuples)                                                                                             \
    X(PQpipelineSync)                                                                                        \
    X(PQprepare)                                                                                             \
    X(PQreset)                                                                                               \
    X(PQresultErrorField)                                                                                    \
    X(PQresultErrorMessage)                                                                                  \
    X(PQresultStatus)                                                                                        \
    X(PQsendQueryPrepared)                                                                                   \
    X(PQsetNoticeProcessor)                                                                                  \
    X(PQsetSingleRowMode)                                                                                    \
    X(PQstatus)                                                                                              \
    X(PQtransactionStatus)

struct libpq {
#define LIBPQ_MEMBER(name) __typeof__(&name) name;
    LIBPQ_FUNCTIONS(LIBPQ_MEMBER)
#undef LIBPQ_MEMBER
};

/* libpq_load: fill in all functions; the library stays. Refuses where it is not installed
 * (TT_ERR_UNSUPPORTED). */
TT_MUST_USE tt_rc libpq_load(struct libpq *ret, struct tt_error *err);

#endif
