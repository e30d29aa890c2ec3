//! bench/rustls: rustls with ring, both ends in memory; bench/rustls.c makes a rival of it. What fails ends the
//! program with a message (rival.h).
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, HandshakeKind, NamedGroup, RootCertStore, ServerConfig,
    ServerConnection, SideData,
};
use std::error::Error;
use std::ffi::{c_char, c_int, CString};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

type Outcome<T> = Result<T, Box<dyn Error>>;

extern "C" {
    fn die(what: *const c_char) -> !; // bench/report.h
}

fn or_die<T>(outcome: Outcome<T>) -> T {
    outcome.unwrap_or_else(|why| {
        let text = CString::new(format!("rustls: {why}")).unwrap_or_default();
        unsafe { die(text.as_ptr()) }
    })
}

/// `struct tt_bytes`.
#[repr(C)]
pub struct Bytes {
    data: *const u8,
    len: usize,
}

impl Bytes {
    /// What it points to has to be there during the call that it is an argument of.
    unsafe fn to_vec(&self) -> Vec<u8> {
        std::slice::from_raw_parts(self.data, self.len).to_vec()
    }
}

/// `struct rustls_identity` of rustls.c, in DER.
#[repr(C)]
pub struct Identity {
    cert: Bytes,
    key: Bytes,
}

impl Identity {
    unsafe fn open(&self) -> Outcome<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = PrivateKeyDer::try_from(self.key.to_vec())?;
        Ok((vec![self.cert.to_vec().into()], key))
    }
}

/// A resumed connection uses a ticket up, and rustls cannot copy one: enough of them for all rounds of a benchmark
/// (1,075) are fetched before, by connections that get as many as a client takes in at once. The first of these is a
/// full handshake, the others use one of the tickets.
const TICKETS_AT_ONCE: usize = 32;
const FETCHES: usize = 64;

#[derive(Debug, Default)]
struct Tickets(Mutex<Vec<Tls13ClientSessionValue>>);

impl Tickets {
    fn count(&self) -> usize {
        self.0.lock().map_or(0, |tickets| tickets.len())
    }
}

impl ClientSessionStore for Tickets {
    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        if let Ok(mut tickets) = self.0.lock() {
            tickets.push(ticket);
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().ok()?.pop()
    }

    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}

/// The two ends for connections of one kind.
struct Configs {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

pub struct Ends {
    full: Configs,
    resumed: Configs,
}

impl Ends {
    unsafe fn make(ca: Bytes, client: Identity, server: Identity, suite: u16) -> Outcome<Ends> {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|s| u16::from(s.suite()) == suite);
        provider.kx_groups = vec![ring::kx_group::X25519];
        let provider = Arc::new(provider);
        let mut roots = RootCertStore::empty();
        roots.add(ca.to_vec().into())?;
        let roots = Arc::new(roots);

        let (chain, key) = client.open()?;
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain, key)?;
        client.resumption = Resumption::disabled();

        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone()).build()?;
        let (chain, key) = server.open()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        server.send_tls13_tickets = 0;

        let resumed = Ends::with_tickets(client.clone(), server.clone())?;
        Ok(Ends { full: Configs { client: client.into(), server: server.into() }, resumed })
    }

    /// Configurations that resume, with tickets from connections of their own; no further ones are sent.
    fn with_tickets(mut client: ClientConfig, mut server: ServerConfig) -> Outcome<Configs> {
        let tickets = Arc::new(Tickets::default());
        client.resumption = Resumption::store(tickets.clone());
        server.ticketer = ring::Ticketer::new()?;
        let client = Arc::new(client);
        let resumed = Configs { client: client.clone(), server: Arc::new(server.clone()) };
        server.send_tls13_tickets = TICKETS_AT_ONCE;
        let fetching = Configs { client, server: Arc::new(server) };
        for i in 0..FETCHES {
            let kind = if i == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
            Pair::connect(&fetching, kind, no_turn)?.client_step()?;
        }
        if tickets.count() != FETCHES * (TICKETS_AT_ONCE - 1) + 1 {
            return Err("the tickets do not come".into());
        }
        Ok(resumed)
    }
}

/// `turn` of rival.h.
type Turn = extern "C" fn(end: c_int);

extern "C" fn no_turn(_: c_int) {}

pub struct Pair {
    client: ClientConnection,
    server: ServerConnection,
    to_client: Vec<u8>,
    to_server: Vec<u8>,
}

/// An end takes in what came for it, and says what it has to.
fn step<D: SideData>(end: &mut ConnectionCommon<D>, incoming: &mut Vec<u8>, outgoing: &mut Vec<u8>) -> Outcome<()> {
    let mut rest = incoming.as_slice();
    while !rest.is_empty() {
        end.read_tls(&mut rest)?;
        end.process_new_packets()?;
    }
    incoming.clear();
    while end.wants_write() {
        end.write_tls(outgoing)?;
    }
    Ok(())
}

impl Pair {
    fn connect(configs: &Configs, kind: HandshakeKind, turn: Turn) -> Outcome<Pair> {
        turn(0);
        let mut client = ClientConnection::new(configs.client.clone(), ServerName::try_from("localhost")?)?;
        client.set_buffer_limit(None); // several writes before the output is taken
        turn(1);
        let server = ServerConnection::new(configs.server.clone())?;
        let mut pair = Pair { client, server, to_client: Vec::new(), to_server: Vec::new() };
        for _ in 0..10 {
            if !pair.client.is_handshaking() && !pair.server.is_handshaking() {
                break;
            }
            turn(0);
            pair.client_step()?;
            turn(1);
            pair.server_step()?;
        }
        let kinds = (pair.client.handshake_kind(), pair.server.handshake_kind());
        if kinds != (Some(kind), Some(kind)) {
            return Err(format!("not two ends of a handshake {kind:?}: {kinds:?}").into());
        }
        Ok(pair)
    }

    fn client_step(&mut self) -> Outcome<()> {
        step(&mut self.client, &mut self.to_client, &mut self.to_server)
    }

    fn server_step(&mut self) -> Outcome<()> {
        step(&mut self.server, &mut self.to_server, &mut self.to_client)
    }

    fn send(&mut self, data: &[u8], times: usize, scratch: &mut [u8]) -> Outcome<()> {
        for _ in 0..times {
            self.client.writer().write_all(data)?;
        }
        while self.client.wants_write() {
            self.client.write_tls(&mut self.to_server)?;
        }
        let mut rest = self.to_server.as_slice();
        let mut got = 0;
        while !rest.is_empty() {
            self.server.read_tls(&mut rest)?;
            let mut here = self.server.process_new_packets()?.plaintext_bytes_to_read();
            while here > 0 {
                let n = self.server.reader().read(scratch)?;
                here -= n;
                got += n;
            }
        }
        self.to_server.clear();
        if got != data.len() * times {
            return Err("the server does not have the data".into());
        }
        Ok(())
    }
}

/// # Safety
/// All of the bytes are there during the call.
#[no_mangle]
pub unsafe extern "C" fn bench_rustls_ends_make(
    ca: Bytes,
    client: Identity,
    server: Identity,
    suite: u16,
) -> *mut Ends {
    Box::into_raw(Box::new(or_die(Ends::make(ca, client, server, suite))))
}

/// # Safety
/// `ends` is from `bench_rustls_ends_make`, and not used again.
#[no_mangle]
pub unsafe extern "C" fn bench_rustls_ends_free(ends: *mut Ends) {
    drop(Box::from_raw(ends));
}

/// # Safety
/// `ends` is from `bench_rustls_ends_make`.
#[no_mangle]
pub unsafe extern "C" fn bench_rustls_pair_connect(ends: *const Ends, resumed: bool, turn: Turn) -> *mut Pair {
    let ends = &*ends;
    let pair = match resumed {
        false => Pair::connect(&ends.full, HandshakeKind::Full, turn),
        true => Pair::connect(&ends.resumed, HandshakeKind::Resumed, turn),
    };
    Box::into_raw(Box::new(or_die(pair)))
}

/// # Safety
/// `pair` is from `bench_rustls_pair_connect`, and not used again.
#[no_mangle]
pub unsafe extern "C" fn bench_rustls_pair_free(pair: *mut Pair) {
    drop(Box::from_raw(pair));
}

/// # Safety
/// `pair` is from `bench_rustls_pair_connect`; there are n bytes of data and n of scratch.
#[no_mangle]
pub unsafe extern "C" fn bench_rustls_pair_send(
    pair: *mut Pair,
    data: *const u8,
    n: usize,
    times: usize,
    scratch: *mut u8,
) {
    let data = std::slice::from_raw_parts(data, n);
    let scratch = std::slice::from_raw_parts_mut(scratch, n);
    or_die((*pair).send(data, times, scratch));
}
