//! HPKE (RFC 9180, base mode) over ring, which has none: what rustls' client needs for Encrypted Client Hello.
//! DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM; sending only.
use ring::{aead, agreement, hkdf, rand};
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkeOpener, HpkePrivateKey, HpkePublicKey, HpkeSealer, HpkeSuite};
use rustls::internal::msgs::enums::{HpkeAead, HpkeKdf, HpkeKem};
use rustls::internal::msgs::handshake::HpkeSymmetricCipherSuite;
use rustls::Error;

const KEM_ID: &[u8] = b"KEM\x00\x20";
const HPKE_ID: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x01";

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn failed(_: ring::error::Unspecified) -> Error {
    Error::General("ring refused a step of HPKE".into())
}

fn labeled_extract(id: &[u8], salt: &[u8], label: &str, ikm: &[u8]) -> hkdf::Prk {
    let labeled = [b"HPKE-v1", id, label.as_bytes(), ikm].concat();
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&labeled)
}

/// The 32 bytes that labeled_extract stands for, which ring's Prk does not hand out: HKDF-Extract is an HMAC.
fn labeled_hash(id: &[u8], label: &str, ikm: &[u8]) -> Vec<u8> {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[]);
    ring::hmac::sign(&key, &[b"HPKE-v1", id, label.as_bytes(), ikm].concat()).as_ref().to_vec()
}

fn labeled_expand(prk: &hkdf::Prk, id: &[u8], label: &str, info: &[u8], len: u8) -> Result<Vec<u8>, Error> {
    let mut out = vec![0; usize::from(len)];
    let parts: [&[u8]; 5] = [&[0, len], b"HPKE-v1", id, label.as_bytes(), info];
    prk.expand(&parts, Length(out.len())).and_then(|okm| okm.fill(&mut out)).map_err(failed)?;
    Ok(out)
}

#[derive(Debug)]
pub struct RingHpke;

pub static RING_HPKE: RingHpke = RingHpke;

fn unused<T>() -> Result<T, Error> {
    Err(Error::General("a client has no use for it".into()))
}

impl Hpke for RingHpke {
    fn setup_sealer(&self, info: &[u8], to: &HpkePublicKey) -> Result<(EncapsulatedSecret, Box<dyn HpkeSealer + 'static>), Error> {
        let random = rand::SystemRandom::new();
        let own = agreement::EphemeralPrivateKey::generate(&agreement::X25519, &random).map_err(failed)?;
        let enc = own.compute_public_key().map_err(failed)?.as_ref().to_vec();
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, &to.0);
        let dh = agreement::agree_ephemeral(own, &peer, <[u8]>::to_vec).map_err(failed)?;
        let kem = labeled_extract(KEM_ID, b"", "eae_prk", &dh);
        let shared = labeled_expand(&kem, KEM_ID, "shared_secret", &[&enc[..], &to.0].concat(), 32)?;
        let context = [vec![0], labeled_hash(HPKE_ID, "psk_id_hash", b""), labeled_hash(HPKE_ID, "info_hash", info)].concat();
        let secret = labeled_extract(HPKE_ID, &shared, "secret", b"");
        let key = labeled_expand(&secret, HPKE_ID, "key", &context, 16)?;
        let nonce = labeled_expand(&secret, HPKE_ID, "base_nonce", &context, 12)?;
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_128_GCM, &key).map_err(failed)?);
        Ok((EncapsulatedSecret(enc), Box::new(Sealer { key, nonce, sequence: 0 })))
    }

    fn seal(&self, info: &[u8], aad: &[u8], plain: &[u8], to: &HpkePublicKey) -> Result<(EncapsulatedSecret, Vec<u8>), Error> {
        let (enc, mut sealer) = self.setup_sealer(info, to)?;
        Ok((enc, sealer.seal(aad, plain)?))
    }

    fn open(&self, _: &EncapsulatedSecret, _: &[u8], _: &[u8], _: &[u8], _: &HpkePrivateKey) -> Result<Vec<u8>, Error> {
        unused()
    }

    fn setup_opener(&self, _: &EncapsulatedSecret, _: &[u8], _: &HpkePrivateKey) -> Result<Box<dyn HpkeOpener + 'static>, Error> {
        unused()
    }

    fn generate_key_pair(&self) -> Result<(HpkePublicKey, HpkePrivateKey), Error> {
        unused()
    }

    fn suite(&self) -> HpkeSuite {
        HpkeSuite {
            kem: HpkeKem::DHKEM_X25519_HKDF_SHA256,
            sym: HpkeSymmetricCipherSuite { kdf_id: HpkeKdf::HKDF_SHA256, aead_id: HpkeAead::AES_128_GCM },
        }
    }
}

#[derive(Debug)]
struct Sealer {
    key: aead::LessSafeKey,
    nonce: Vec<u8>,
    sequence: u8,
}

impl HpkeSealer for Sealer {
    /// The first ClientHello and the one after HelloRetryRequest: no more than a byte counts them.
    fn seal(&mut self, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce: [u8; 12] = self.nonce.clone().try_into().map_err(|_| Error::General("nonce".into()))?;
        nonce[11] ^= self.sequence;
        self.sequence += 1;
        let mut sealed = plain.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, aead::Aad::from(aad), &mut sealed).map_err(failed)?;
        Ok(sealed)
    }
}
