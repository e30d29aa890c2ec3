// tests/interop/peers/peer_no_ech.go: for a Go before 1.24, which has no Encrypted Client Hello.
package main

import "crypto/tls"

func configureECH(_ *tls.Config) {}

func toldOtherECH(_ error, _ *tls.Config) bool { return false }
