-- Only the SHA-256 of a key is kept; the id is the part of the key that may be shown. Times are microseconds since the epoch.
CREATE TABLE api_keys (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  project TEXT NOT NULL,
  scopes TEXT NOT NULL,                 -- separated by spaces
  digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,                   -- NULL: never
  revoked_at INTEGER,
  replaced_by TEXT,                     -- the key that a rotation made
  last_used_at INTEGER
) WITHOUT ROWID;
CREATE TABLE api_key_events (           -- append-only
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id TEXT NOT NULL,
  type TEXT NOT NULL,                   -- KeyCreated, KeyRotated, KeyRevoked
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  data TEXT NOT NULL                    -- JSON
);
