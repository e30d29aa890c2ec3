-- Version 3: delta CRLs: what changed between two complete lists of the table crl.
CREATE TABLE delta (
--sqlite   number INTEGER PRIMARY KEY,
--postgres   number BIGINT PRIMARY KEY, -- of the complete list with which it says the same
  base BIGINT NOT NULL,          -- of the complete list to which it is added
  der BYTEA NOT NULL);
