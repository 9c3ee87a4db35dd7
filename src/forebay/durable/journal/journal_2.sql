CREATE TABLE instances_2 (
  key INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of starts; never given out twice
  id TEXT NOT NULL UNIQUE,
  name TEXT NOT NULL,
  version TEXT,                           -- of the orchestrator; NULL: it has none
  status TEXT NOT NULL,                   -- Running, Suspended, Completed, Failed, Terminated
  input TEXT NOT NULL,
  lane TEXT NOT NULL,                     -- what it takes turns with others for, where activities have a limit
  output TEXT,                            -- the output, the failure, or the reason of its termination
  custom_status TEXT,                     -- JSON
  created_at INTEGER NOT NULL,            -- microseconds since the epoch
  updated_at INTEGER NOT NULL,
  correlation_id TEXT,                    -- what ties the instance to the request that has led to it
  project TEXT,                           -- whose work it is
  incarnation INTEGER NOT NULL DEFAULT 0, -- how often it has begun anew
  parent INTEGER,                         -- instances.key of the one that waits for it
  parent_incarnation INTEGER,
  parent_task INTEGER,                    -- the task of that one
  parent_attempt INTEGER,                 -- and the try of that task, from 1
  wake_at INTEGER DEFAULT 0,              -- when it has something to do: 0 now, NULL once a message comes, else microseconds since the epoch
  waits_for TEXT                          -- JSON: what for, unless it has something to do now
);
INSERT INTO instances_2 (key, id, name, status, input, lane, output, created_at, updated_at, correlation_id, project)
  SELECT key, id, name, status, input, lane, output, created_at, updated_at, correlation_id, project FROM instances;
DROP TABLE instances;
ALTER TABLE instances_2 RENAME TO instances;
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
