-- Version 1: what tpmtls 0.1 wrote. Only ever in SQLite; here so that a new store is made by the same steps as an old one.
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE certificate (
  serial TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  not_before BIGINT NOT NULL,
  not_after BIGINT NOT NULL,
  sha256 TEXT NOT NULL UNIQUE,
  status TEXT NOT NULL CHECK (status IN ('valid', 'revoked')),
  der BYTEA NOT NULL);
