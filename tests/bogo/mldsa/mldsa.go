// Package mldsa gives BoringSSL's runner the few names of filippo.io/mldsa that it uses, over the standard library's
// crypto/mldsa (Go 1.27). It stands in where no Go module proxy is reachable; scripts/bogo puts it in the module's place.
package mldsa

import (
	"crypto"
	"crypto/mldsa"
	"errors"
	"io"
)

// Parameters are compared by pointer, as there.
type Parameters struct{ std mldsa.Parameters }

var sets = []*Parameters{{mldsa.MLDSA44()}, {mldsa.MLDSA65()}, {mldsa.MLDSA87()}}

func MLDSA44() *Parameters { return sets[0] }
func MLDSA65() *Parameters { return sets[1] }
func MLDSA87() *Parameters { return sets[2] }

type PublicKey struct {
	std *mldsa.PublicKey
	set *Parameters
}

type PrivateKey struct {
	std *mldsa.PrivateKey
	set *Parameters
}

func GenerateKey(set *Parameters) (*PrivateKey, error) {
	key, err := mldsa.GenerateKey(set.std)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{key, set}, nil
}

func NewPublicKey(set *Parameters, encoding []byte) (*PublicKey, error) {
	if set == nil {
		return nil, errors.New("mldsa: no parameter set")
	}
	key, err := mldsa.NewPublicKey(set.std, encoding)
	if err != nil {
		return nil, err
	}
	return &PublicKey{key, set}, nil
}

func (k *PrivateKey) Public() crypto.PublicKey { return k.PublicKey() }
func (k *PrivateKey) PublicKey() *PublicKey    { return &PublicKey{k.std.PublicKey(), k.set} }
func (k *PrivateKey) Bytes() []byte            { return k.std.Bytes() }
func (k *PrivateKey) Sign(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	return k.std.Sign(rand, message, opts)
}

func (k *PublicKey) Bytes() []byte           { return k.std.Bytes() }
func (k *PublicKey) Parameters() *Parameters { return k.set }
func (k *PublicKey) Equal(other crypto.PublicKey) bool {
	o, ok := other.(*PublicKey)
	return ok && k.std.Equal(o.std)
}

// Options is only ever nil there.
type Options = mldsa.Options

func Verify(key *PublicKey, message, signature []byte, opts *Options) error {
	return mldsa.Verify(key.std, message, signature, opts)
}
