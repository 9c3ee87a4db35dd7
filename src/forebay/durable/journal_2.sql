ALTER TABLE instances ADD COLUMN version TEXT;           -- of the orchestrator; NULL: it has none
ALTER TABLE instances ADD COLUMN incarnation INTEGER NOT NULL DEFAULT 0;  -- how often it has begun anew
ALTER TABLE instances ADD COLUMN parent INTEGER;         -- instances.key of the one that waits for it
ALTER TABLE instances ADD COLUMN parent_incarnation INTEGER;
ALTER TABLE instances ADD COLUMN parent_task INTEGER;    -- the task of that one
ALTER TABLE instances ADD COLUMN parent_attempt INTEGER; -- and the try of that task, from 1
ALTER TABLE instances ADD COLUMN custom_status TEXT;     -- JSON
ALTER TABLE instances ADD COLUMN wake_at INTEGER DEFAULT 0;  -- when it has something to do: 0 now, NULL once a message comes, else microseconds since the epoch
ALTER TABLE instances ADD COLUMN waits_for TEXT;         -- JSON: what for, unless it has something to do now
-- status: Running, Suspended, Completed, Failed, Terminated
DROP INDEX instances_running;
CREATE INDEX instances_ready ON instances (key) WHERE status = 'Running' AND wake_at = 0;
CREATE INDEX instances_timed ON instances (wake_at) WHERE status = 'Running' AND wake_at > 0;
CREATE INDEX instances_children ON instances (parent) WHERE parent IS NOT NULL;
CREATE INDEX instances_over ON instances (updated_at) WHERE status IN ('Completed', 'Failed', 'Terminated');
CREATE TABLE messages (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  instance INTEGER NOT NULL,          -- instances.key of the one that will read it
  incarnation INTEGER,                -- only this one of it; NULL: any
  kind TEXT NOT NULL,                 -- what it becomes in the history
  task_id INTEGER NOT NULL,
  name TEXT NOT NULL,
  input_hash TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  scheduled_at INTEGER NOT NULL,
  at INTEGER NOT NULL,
  payload TEXT NOT NULL
);
CREATE INDEX messages_instance ON messages (instance, sequence);
CREATE TABLE instance_events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  instance_id TEXT NOT NULL,
  name TEXT NOT NULL,                 -- the orchestrator
  type TEXT NOT NULL,                 -- see transitions.py
  at INTEGER NOT NULL,                -- microseconds since the epoch
  correlation_id TEXT,
  project TEXT,
  data TEXT NOT NULL                  -- JSON
);
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,                 -- activity, or orchestrator: it failed of itself
  instance_id TEXT NOT NULL,
  orchestrator TEXT NOT NULL,
  task_id INTEGER NOT NULL,           -- -1 where no activity failed
  name TEXT NOT NULL,                 -- of what failed
  input TEXT NOT NULL,                -- JSON
  code TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  first_failed_at INTEGER NOT NULL,   -- microseconds since the epoch
  last_failed_at INTEGER NOT NULL,
  correlation_id TEXT,
  project TEXT,
  status TEXT NOT NULL,               -- open, replayed, purged
  status_at INTEGER NOT NULL
);
CREATE INDEX dead_letters_open ON dead_letters (id) WHERE status = 'open';
CREATE INDEX dead_letters_instance ON dead_letters (instance_id);
