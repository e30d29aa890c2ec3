// tests/interop/peers/peer.go: the end of the interop matrix in Go's crypto/tls. Server: sends back what comes.
// Client: sends a file in parts, expects each back.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
)

var (
	port        = flag.Int("port", 0, "")
	ca          = flag.String("ca", "", "")
	cert        = flag.String("cert", "", "")
	key         = flag.String("key", "", "")
	group       = flag.String("group", "", "")
	data        = flag.String("data", "", "")
	suite       = flag.String("suite", "", "not used: crypto/tls has its own order for TLS 1.3")
	resume      = flag.Bool("resume", false, "")
	requireCert = flag.Bool("require-client-cert", false, "")
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func config() *tls.Config {
	groups := map[string]tls.CurveID{"x25519": tls.X25519, "secp256r1": tls.CurveP256, "secp384r1": tls.CurveP384,
		"secp521r1": tls.CurveP521, "X25519MLKEM768": 4588, "SecP256r1MLKEM768": 4587, "SecP384r1MLKEM1024": 4589,
		"MLKEM1024": 514, "x448": 30}
	pem, err := os.ReadFile(*ca)
	must(err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ServerName: "localhost",
		ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		must(err)
		c.Certificates = []tls.Certificate{pair}
	}
	if *requireCert {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if *group != "" {
		c.CurvePreferences = []tls.CurveID{groups[*group]}
	}
	configureECH(c)
	return c
}

func serve(c *tls.Config) {
	listener, err := tls.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", *port), c)
	must(err)
	for {
		peer, err := listener.Accept()
		must(err)
		go func(peer net.Conn) {
			defer peer.Close()
			if _, err := io.Copy(peer, peer); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}(peer)
	}
}

func connect(c *tls.Config, text []byte) {
	peer, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", *port), c)
	if err != nil && toldOtherECH(err, c) {
		peer, err = tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", *port), c)
	}
	must(err)
	defer peer.Close()
	piece := len(text) / 4
	if piece > 32768 {
		piece = 32768
	}
	back := make([]byte, piece)
	for at := 0; at < len(text); at += piece {
		_, err = peer.Write(text[at : at+piece])
		must(err)
		_, err = io.ReadFull(peer, back)
		must(err)
		if !bytes.Equal(back, text[at:at+piece]) {
			must(fmt.Errorf("the echo is not what was sent"))
		}
	}
	fmt.Printf("version %x suite %x resumed %v\n", peer.ConnectionState().Version, peer.ConnectionState().CipherSuite,
		peer.ConnectionState().DidResume)
}

func main() {
	role := os.Args[1]
	must(flag.CommandLine.Parse(os.Args[2:]))
	c := config()
	if role == "server" {
		serve(c)
	}
	text, err := os.ReadFile(*data)
	must(err)
	connect(c, text)
	if *resume {
		connect(c, text)
	}
}
