-- Version 4: keys of the CA that took each other's place, names that belong to one TPM, tokens for certain names.

-- The keys, as the CA had them one after the other. No row: it never had another one than that of the setting key, number 0.
CREATE TABLE ca_key (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY,
  spki TEXT NOT NULL UNIQUE,     -- SHA-256
  name TEXT NOT NULL,            -- a file, within the CA's directory where it has no slash, or a handle
  since BIGINT NOT NULL);        -- when it was about to be used

-- The newest CRL that each former key has signed: by its number in the table crl it lists the same.
CREATE TABLE former_crl (
--sqlite   ca_key INTEGER PRIMARY KEY,
--postgres   ca_key BIGINT PRIMARY KEY,
  number BIGINT NOT NULL,
  this_update BIGINT NOT NULL,
  next_update BIGINT NOT NULL,
  der BYTEA NOT NULL);

ALTER TABLE certificate ADD COLUMN ca_key BIGINT NOT NULL DEFAULT 0; -- that signed it
ALTER TABLE crl ADD COLUMN ca_key BIGINT NOT NULL DEFAULT 0;         -- the same
CREATE INDEX certificate_key ON certificate (ca_key, not_after);

-- What one TPM has by evidence in a profile with one-identity: the subject, and each name.
CREATE TABLE identity (
  name TEXT NOT NULL,            -- "subject " and its hash, or "name " and a CN or alternative name
  profile TEXT NOT NULL,
  requester TEXT NOT NULL,       -- the hash of the endorsement key
  serial TEXT NOT NULL);         -- of the certificate
CREATE INDEX identity_name ON identity (name, profile);
CREATE INDEX identity_requester ON identity (requester, profile);

ALTER TABLE token ADD COLUMN names TEXT NOT NULL DEFAULT ''; -- alternative names that may be asked for by it
