/* tests/tls/faults.h: whole handshakes of every kind with the nth allocation failing, for every n: a clean
 * error or success, nothing leaked, and the next handshake works. Whose allocations fail is the program's
 * choice. Tests only; only in builds with fault injection. */
#ifndef TESTS_FAULTS_H
#define TESTS_FAULTS_H

#include "support/pump.h"

/* struct fault_source: allocations that can be made to fail; the initial state of each scene. */
struct fault_source {
    void (*fail_nth)(size_t nth); /* the nth from now on; 0: none */
    size_t (*count)(void);        /* that were made while failing was asked for, or ever */
    size_t least, most;           /* so many a scene has: fewer, or not fewer, and the test fails */
};

/* The scenes; *state is the fault_source. */
void faults_plain(void **state);
void faults_hello_retry_request(void **state);
void faults_cookie(void **state);
void faults_client_authentication(void **state);
void faults_delegated_credential(void **state);
void faults_resumption(void **state); /* tickets sent and received; then with one of them, and 0-RTT */
#define FAULT_SCENES(source)                                                                                 \
    cmocka_unit_test_prestate(faults_plain, source),                                                         \
        cmocka_unit_test_prestate(faults_hello_retry_request, source),                                       \
        cmocka_unit_test_prestate(faults_cookie, source),                                                    \
        cmocka_unit_test_prestate(faults_client_authentication, source),                                     \
        cmocka_unit_test_prestate(faults_delegated_credential, source),                                      \
        cmocka_unit_test_prestate(faults_resumption, source)

/* What our own lack of memory may be called; anything else would blame the peer or the caller. */
bool faults_is_own(tt_rc rc);
/* Both connections, from the configurations that are there; in want of memory, one or none. */
void faults_open(struct pump *p);
void faults_close(struct pump *p);

#endif
