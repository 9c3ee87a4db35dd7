-- Times are transaction times: microseconds since the epoch, UTC, monotonic.
CREATE TABLE arrivals (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,                   -- created, deleted
  document_id TEXT NOT NULL,
  project TEXT NOT NULL,
  source TEXT NOT NULL,
  name TEXT NOT NULL,
  place TEXT NOT NULL,                  -- where its bytes are: a container, or a watched folder's absolute path
  blob_name TEXT NOT NULL,
  etag TEXT,
  size_bytes INTEGER NOT NULL,
  content_type TEXT,
  target_name TEXT,
  refusal TEXT,
  actor TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  at INTEGER NOT NULL,
  outcome TEXT,                         -- NULL while it is in flight
  reason TEXT,
  settled_at INTEGER
);
CREATE INDEX arrivals_open ON arrivals (project, source, sequence, document_id, outcome) WHERE outcome IS NULL;
CREATE INDEX arrivals_place ON arrivals (place, blob_name, sequence);
CREATE INDEX arrivals_target ON arrivals (target_name) WHERE target_name IS NOT NULL;
CREATE INDEX arrivals_document ON arrivals (document_id, sequence);
CREATE INDEX arrivals_outcome ON arrivals (project, outcome, reason);
CREATE TABLE documents (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  source TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL,                 -- that of its newest arrival
  reason TEXT,
  newest_arrival INTEGER NOT NULL,
  current_version INTEGER,              -- versions.id that answers searches; NULL: none
  version_count INTEGER NOT NULL,
  content_type TEXT,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT,
  language TEXT,
  chunk_count INTEGER NOT NULL,
  place TEXT NOT NULL,
  blob_name TEXT NOT NULL,
  etag TEXT,
  instance_id TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX documents_name ON documents (project, name);
CREATE INDEX documents_status ON documents (project, status, name);
CREATE INDEX documents_source ON documents (source, blob_name);
CREATE INDEX documents_current ON documents (project, current_version, chunk_count) WHERE current_version IS NOT NULL;
CREATE TABLE versions (
  id INTEGER PRIMARY KEY,
  document_id TEXT NOT NULL,
  project TEXT NOT NULL,
  number INTEGER NOT NULL,              -- 0 while it is being written
  arrival_sequence INTEGER NOT NULL UNIQUE,
  recipe TEXT NOT NULL,                 -- what the chunks depend on besides the bytes
  sha256 TEXT NOT NULL,
  size_bytes INTEGER NOT NULL,
  format TEXT NOT NULL,
  content_type TEXT,
  language TEXT,
  encoding TEXT,
  is_encoding_guessed INTEGER NOT NULL,
  replaced_count INTEGER NOT NULL,      -- characters that could not be decoded
  chunk_count INTEGER NOT NULL,
  finding_count INTEGER NOT NULL,       -- of the content scan
  valid_from INTEGER,                   -- NULL while it is being written: invisible
  valid_to INTEGER                      -- NULL while it is current
);
CREATE INDEX versions_document ON versions (document_id, id);
CREATE INDEX versions_from ON versions (valid_from);
CREATE INDEX versions_to ON versions (valid_to);
CREATE TABLE texts (
  id INTEGER PRIMARY KEY,
  project TEXT NOT NULL,
  sha256 BLOB NOT NULL,
  text TEXT NOT NULL,
  UNIQUE (project, sha256)
);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  version_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  text_id INTEGER NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  first_line INTEGER NOT NULL,
  last_line INTEGER NOT NULL,
  symbol TEXT,
  location TEXT,                        -- JSON; NULL where lines say it all
  in_search INTEGER NOT NULL,           -- 1 while the full text has a row for it
  UNIQUE (version_id, ordinal)
);
CREATE TABLE fields (
  version_id INTEGER NOT NULL,
  ordinal INTEGER NOT NULL,
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  start INTEGER NOT NULL,
  stop INTEGER NOT NULL,
  confidence REAL NOT NULL,
  PRIMARY KEY (version_id, ordinal)
) WITHOUT ROWID;
CREATE TABLE vectors (
  text_id INTEGER NOT NULL,
  model TEXT NOT NULL,
  vector BLOB NOT NULL,                 -- float32, little-endian, unit length
  PRIMARY KEY (text_id, model)
);
CREATE TABLE models (
  role TEXT PRIMARY KEY,                -- searched: answers searches; built: is to follow it
  id TEXT NOT NULL,                     -- the embedder's model id
  made_by TEXT NOT NULL,                         -- JSON: the settings that make this embedder, without secrets
  is_complete INTEGER NOT NULL DEFAULT 0,
  instance_id TEXT                      -- the orchestration that builds it
) WITHOUT ROWID;
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  document_id TEXT NOT NULL,
  project TEXT NOT NULL,
  type TEXT NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  correlation_id TEXT NOT NULL,
  arrival_sequence INTEGER NOT NULL,
  data TEXT NOT NULL                    -- JSON
);
CREATE INDEX events_document ON events (document_id, sequence);
-- The full text has rows for the chunks of current versions, and briefly for those of versions being written or retired;
-- what a search may show is always decided by documents.current_version.
CREATE VIEW chunk_contents (id, text, context) AS
  SELECT c.id, t.text, d.name || ' ' || coalesce(c.symbol, '')
  FROM chunks c JOIN texts t ON t.id = c.text_id JOIN versions v ON v.id = c.version_id JOIN documents d ON d.id = v.document_id
  WHERE c.in_search = 1;
CREATE VIRTUAL TABLE chunk_search USING fts5 (
  text, context, content='chunk_contents', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
