-- Version 2: the authority: requests, tokens, states, CRLs and acts. Times are seconds since 1970; serial numbers and
-- hashes lower-case hexadecimal. Lines that begin with "--sqlite " or "--postgres " are for that database alone.

-- One row: the last numbers given out, how often something was revoked, and the hash of the last act. Whoever writes
-- holds this table.
CREATE TABLE head (
  one BIGINT PRIMARY KEY CHECK (one = 1),
  certificates BIGINT NOT NULL,
  requests BIGINT NOT NULL,
  tokens BIGINT NOT NULL,
  crls BIGINT NOT NULL,
  acts BIGINT NOT NULL,
  revision BIGINT NOT NULL,
  hash TEXT NOT NULL);
INSERT INTO head VALUES (1, 0, 0, 0, 0, 0, 0, '0000000000000000000000000000000000000000000000000000000000000000');

ALTER TABLE certificate RENAME TO certificate_1;
CREATE TABLE certificate (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  serial TEXT NOT NULL UNIQUE,
  subject TEXT NOT NULL,
  names TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  issued BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  profile TEXT NOT NULL,
  who BIGINT NOT NULL,           -- enum ca_who
  requester TEXT NOT NULL,
  request BIGINT NOT NULL,       -- 0: none
  attested BIGINT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('valid', 'held', 'revoked')),
  reason BIGINT NOT NULL,        -- RFC 5280 section 5.3.1; -1: none
  revoked BIGINT NOT NULL,       -- when; 0: not
  der BYTEA NOT NULL);
CREATE INDEX certificate_state ON certificate (status, not_after, attested);
CREATE INDEX certificate_issued ON certificate (issued);
--sqlite INSERT INTO certificate SELECT rowid, serial, subject, '', not_before, not_after, not_before, sha256, '', 0, '', 0, 0,
--sqlite   status, CASE status WHEN 'valid' THEN -1 ELSE 0 END, CASE status WHEN 'valid' THEN 0 ELSE not_before END, der
--sqlite   FROM certificate_1 ORDER BY rowid;
--sqlite UPDATE head SET certificates = (SELECT coalesce(max(number), 0) FROM certificate);
DROP TABLE certificate_1;

CREATE TABLE request (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'issued', 'refused', 'rejected')),
  why TEXT NOT NULL,             -- a word of ca_refusal, or empty
  profile TEXT NOT NULL,
  subject TEXT NOT NULL,
  names TEXT NOT NULL,
  key TEXT NOT NULL,
  who BIGINT NOT NULL,
  requester TEXT NOT NULL,
  address TEXT NOT NULL,
  made BIGINT NOT NULL,
  decided BIGINT NOT NULL,       -- 0: not yet
  attested BIGINT NOT NULL,
  serial TEXT NOT NULL,          -- of what was issued, or empty
  again TEXT,                    -- SHA-256 of requester and request, where it may be asked again
  csr BYTEA NOT NULL,
  evidence BYTEA NOT NULL);
CREATE INDEX request_again ON request (again) WHERE again IS NOT NULL;
CREATE INDEX request_state ON request (state, number) WHERE state <> 'issued';

CREATE TABLE token (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  hash TEXT NOT NULL UNIQUE,     -- SHA-256 of the password, which has 160 random bits
  subject TEXT NOT NULL,
  profile TEXT NOT NULL,
  made_by TEXT NOT NULL,
  made BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  revoked BIGINT NOT NULL,
  uses BIGINT NOT NULL,
  used BIGINT NOT NULL);

CREATE TABLE crl (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  revision BIGINT NOT NULL,      -- of head, when it was made
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der BYTEA NOT NULL);

-- The audit log: one JSON line an act, each with the hash of the one before. Nothing in it is ever changed.
CREATE TABLE act (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  line TEXT NOT NULL);
--sqlite CREATE TRIGGER act_is_never_changed BEFORE UPDATE ON act BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
--sqlite CREATE TRIGGER act_is_never_removed BEFORE DELETE ON act BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
--postgres CREATE FUNCTION act_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
--postgres   BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$;
--postgres CREATE TRIGGER act_is_only_added_to BEFORE UPDATE OR DELETE ON act FOR EACH ROW EXECUTE FUNCTION act_is_only_added_to();
--postgres CREATE TRIGGER act_is_never_emptied BEFORE TRUNCATE ON act FOR EACH STATEMENT EXECUTE FUNCTION act_is_only_added_to();
