// tests/interop/peers/peer_ech.go: Encrypted Client Hello, from Go 1.24 on.
package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"os"
)

var (
	ech    = flag.String("ech", "", "client: NAME.list is an ECHConfigList")
	echKey = flag.String("ech-key", "", "server: ech.raw and ech.config are a key and its ECHConfig")
)

func configureECH(c *tls.Config) {
	if *ech != "" {
		list, err := os.ReadFile(*ech + ".list")
		must(err)
		c.EncryptedClientHelloConfigList = list
	}
	if *echKey != "" {
		key, err := os.ReadFile("ech.raw")
		must(err)
		config, err := os.ReadFile("ech.config")
		must(err)
		c.EncryptedClientHelloKeys = []tls.EncryptedClientHelloKey{{Config: config, PrivateKey: key, SendAsRetry: true}}
	}
}

func toldOtherECH(err error, c *tls.Config) bool {
	var rejected *tls.ECHRejectionError
	if !errors.As(err, &rejected) || len(rejected.RetryConfigList) == 0 {
		return false
	}
	c.EncryptedClientHelloConfigList = rejected.RetryConfigList
	return true
}
