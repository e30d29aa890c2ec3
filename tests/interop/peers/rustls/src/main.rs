//! tests/interop/peers/rustls: the end of the interop matrix in rustls with ring. Server: sends back what comes.
//! Client: sends a file in parts, expects each back.
use rustls::client::{EchConfig, EchMode, EchStatus};
use rustls::crypto::{ring, CryptoProvider};
use rustls::internal::msgs::codec::Codec;
use rustls::internal::msgs::handshake::EchConfigPayload;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, PeerIncompatible, RootCertStore, ServerConfig, ServerConnection, Stream};
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

mod hpke;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Options(HashMap<String, String>);

impl Options {
    fn parse(words: &[String]) -> Self {
        let mut map = HashMap::new();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let value = words.next_if(|next| !next.starts_with("--")).cloned().unwrap_or_default();
            map.insert(word.trim_start_matches("--").to_string(), value);
        }
        Options(map)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn open(&self, name: &str) -> Outcome<BufReader<File>> {
        Ok(BufReader::new(File::open(self.get(name))?))
    }

    fn certificates(&self, name: &str) -> Outcome<Vec<CertificateDer<'static>>> {
        Ok(rustls_pemfile::certs(&mut self.open(name)?).collect::<Result<_, _>>()?)
    }

    fn key(&self) -> Outcome<PrivateKeyDer<'static>> {
        rustls_pemfile::private_key(&mut self.open("key")?)?.ok_or_else(|| "no private key".into())
    }

    fn roots(&self) -> Outcome<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for ca in self.certificates("ca")? {
            roots.add(ca)?;
        }
        Ok(roots)
    }

    /// ring's provider with the suite and the group that are asked for, and no other.
    fn provider(&self) -> Outcome<Arc<CryptoProvider>> {
        let mut provider = ring::default_provider();
        if self.has("suite") {
            let name = self.get("suite").replacen("TLS_", "TLS13_", 1);
            provider.cipher_suites.retain(|s| format!("{:?}", s.suite()) == name);
        }
        if self.has("group") {
            let name = self.get("group").to_lowercase();
            provider.kx_groups.retain(|g| format!("{:?}", g.name()).to_lowercase() == name);
            if provider.kx_groups.is_empty() {
                return Err(format!("rustls::crypto::ring::ALL_KX_GROUPS has no {name}").into());
            }
        }
        Ok(Arc::new(provider))
    }
}

fn serve(o: &Options) -> Outcome<()> {
    let builder = ServerConfig::builder_with_provider(o.provider()?).with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = if o.has("require-client-cert") {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(o.roots()?), o.provider()?).build()?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(o.certificates("cert")?, o.key()?)?;
    if o.has("early") {
        config.max_early_data_size = 16384;
    }
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", o.get("port").parse()?))?;
    for plain in listener.incoming() {
        if let Err(why) = echo(ServerConnection::new(config.clone())?, plain?) {
            eprintln!("{why}");
        }
    }
    Ok(())
}

fn echo(mut tls: ServerConnection, mut plain: TcpStream) -> Outcome<()> {
    while tls.is_handshaking() {
        tls.complete_io(&mut plain)?;
    }
    let mut buf = vec![0; 65536];
    if let Some(mut early) = tls.early_data() {
        let n = early.read(&mut buf)?;
        tls.writer().write_all(&buf[..n])?;
    }
    let mut stream = Stream::new(&mut tls, &mut plain);
    loop {
        stream.flush()?;
        match stream.read(&mut buf)? {
            0 => break,
            n => stream.write_all(&buf[..n])?,
        }
    }
    tls.send_close_notify();
    tls.complete_io(&mut plain)?;
    Ok(())
}

fn connect(o: &Options, config: &Arc<ClientConfig>, data: &[u8], early: &[u8]) -> Outcome<()> {
    let mut plain = TcpStream::connect(("127.0.0.1", o.get("port").parse()?))?;
    let mut tls = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    let mut expected = Vec::new();
    if let Some(mut sending) = tls.early_data() {
        sending.write_all(early)?;
        expected.extend_from_slice(early);
    }
    let mut stream = Stream::new(&mut tls, &mut plain);
    let part = (data.len() / 4).min(32768);
    for piece in data.chunks(part) {
        stream.write_all(piece)?;
        expected.extend_from_slice(piece);
        let mut back = vec![0; expected.len()];
        stream.read_exact(&mut back)?;
        if back != expected {
            return Err("the echo is not what was sent".into());
        }
        expected.clear();
    }
    if tls.ech_status() != EchStatus::NotOffered && tls.ech_status() != EchStatus::Accepted {
        return Err("Encrypted Client Hello was not accepted".into());
    }
    println!("{:?} {:?}", tls.negotiated_cipher_suite(), tls.handshake_kind());
    tls.send_close_notify();
    tls.complete_io(&mut plain)?;
    Ok(())
}

/// ech: an ECHConfigList to offer Encrypted Client Hello with, or None.
fn configure(o: &Options, ech: Option<Vec<u8>>) -> Outcome<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(o.provider()?);
    let builder = match ech {
        Some(list) => builder.with_ech(EchMode::Enable(EchConfig::new(list.into(), &[&hpke::RING_HPKE])?))?,
        None => builder.with_protocol_versions(&[&rustls::version::TLS13])?,
    };
    let builder = builder.with_root_certificates(o.roots()?);
    let mut config = if o.has("cert") {
        builder.with_client_auth_cert(o.certificates("cert")?, o.key()?)?
    } else {
        builder.with_no_client_auth()
    };
    config.enable_early_data = o.has("early");
    Ok(Arc::new(config))
}

/// The ECHConfigList that a server sent which rejected ours.
fn told(why: &(dyn Error + 'static)) -> Option<Vec<u8>> {
    let why = why.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()?;
    match why {
        rustls::Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(Some(configs))) => {
            Some(<Vec<EchConfigPayload>>::get_encoding(configs))
        }
        _ => None,
    }
}

fn client(o: &Options) -> Outcome<()> {
    let early = if o.has("early") { std::fs::read(o.get("early"))? } else { Vec::new() };
    let list = if o.has("ech") { Some(std::fs::read(format!("{}.list", o.get("ech")))?) } else { None };
    let (config, data) = (configure(o, list)?, std::fs::read(o.get("data"))?);
    let first = connect(o, &config, &data, &early);
    if let Some(list) = first.as_ref().err().and_then(|why| told(why.as_ref())) {
        return connect(o, &configure(o, Some(list))?, &data, &early);
    }
    first?;
    if o.has("resume") {
        connect(o, &config, &data, &early)?;
    }
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let o = Options::parse(&words[1..]);
    let outcome = if words[0] == "server" { serve(&o) } else { client(&o) };
    if let Err(why) = outcome {
        eprintln!("{why}");
        std::process::exit(1);
    }
}
