// tests/interop/peers/peer.js: the end of the interop matrix in Node's tls module. Server: sends back what comes.
// Client: sends a file in parts, expects each back.
'use strict';
const fs = require('fs');
const tls = require('tls');
const { parseArgs } = require('util');

const text = { type: 'string' }, flag = { type: 'boolean' };
const o = parseArgs({
  args: process.argv.slice(3),
  options: { port: text, ca: text, cert: text, key: text, group: text, suite: text, data: text, resume: flag, early: text, psk: text,
    'require-client-cert': flag },
}).values;

const CURVES = { x25519: 'X25519', secp256r1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521', x448: 'X448' };

function options() {
  const out = { minVersion: 'TLSv1.3', ca: fs.readFileSync(o.ca) };
  if (o.cert) Object.assign(out, { cert: fs.readFileSync(o.cert), key: fs.readFileSync(o.key) });
  if (o.suite) out.ciphers = o.suite;
  if (o.group) out.ecdhCurve = CURVES[o.group] || o.group;
  if (o.psk) {
    const [identity, key] = o.psk.split(':');
    const psk = Buffer.from(key, 'hex');
    out.ciphers = 'TLS_AES_128_GCM_SHA256';
    out.pskCallback = process.argv[2] === 'server' ? (socket, name) => (name === identity ? psk : null) : () => ({ psk, identity });
  }
  return out;
}

function serve() {
  const strict = Boolean(o['require-client-cert']);
  const server = tls.createServer({ ...options(), requestCert: strict, rejectUnauthorized: strict }, (peer) => {
    peer.on('error', (why) => console.error(why.message));
    peer.pipe(peer);
  });
  server.on('tlsClientError', (why) => console.error(why.message));
  server.listen(Number(o.port), '127.0.0.1');
}

function connect(data, session, done) {
  let at = 0, got = 0, ticket = null;
  const piece = Math.min(data.length / 4, 32768);
  const peer = tls.connect({ ...options(), host: '127.0.0.1', port: Number(o.port), servername: 'localhost', session });
  const next = () => peer.write(data.subarray(at, at += piece));
  peer.on('session', (s) => { ticket = ticket || s; });
  peer.on('secureConnect', next);
  peer.on('data', (part) => {
    if (!part.equals(data.subarray(got, got + part.length))) throw new Error('the echo is not what was sent');
    got += part.length;
    if (got === data.length) {
      console.log(peer.getProtocol(), peer.getCipher().name, 'resumed', peer.isSessionReused());
      peer.end();
    } else if (got === at) next();
  });
  peer.on('error', (why) => { console.error(why.message); process.exit(1); });
  peer.on('close', () => {
    if (got !== data.length) { console.error('closed early'); process.exit(1); }
    done(ticket);
  });
}

if (process.argv[2] === 'server') serve();
else {
  const data = fs.readFileSync(o.data);
  connect(data, undefined, (ticket) => { if (o.resume) connect(data, ticket, () => {}); });
}
