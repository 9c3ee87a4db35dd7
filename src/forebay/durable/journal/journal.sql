CREATE TABLE instances (
  key INTEGER PRIMARY KEY,            -- the order of starts
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  status TEXT NOT NULL,               -- Running, Completed, Failed
  input TEXT NOT NULL,
  lane TEXT NOT NULL,                 -- what it takes turns with others for, where activities have a limit
  output TEXT,                        -- the output, or the failure
  created_at INTEGER NOT NULL,        -- microseconds since the epoch
  updated_at INTEGER NOT NULL,
  correlation_id TEXT,                -- what ties the instance to the request that has led to it
  project TEXT                        -- whose work it is
);
CREATE INDEX instances_running ON instances (key) WHERE status = 'Running';
CREATE TABLE history (
  instance INTEGER NOT NULL,          -- instances.key
  sequence INTEGER NOT NULL,          -- from 0: the order in which the orchestrator learned of it
  kind TEXT NOT NULL,                 -- completed, failed, attempt_failed
  task_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  input_hash TEXT NOT NULL,
  attempt INTEGER NOT NULL,           -- from 1
  scheduled_at INTEGER NOT NULL,      -- microseconds since the epoch
  at INTEGER NOT NULL,
  payload TEXT NOT NULL,              -- JSON: the result, or the failure
  PRIMARY KEY (instance, sequence)
) WITHOUT ROWID;
