ALTER TABLE dead_letters ADD COLUMN settlement TEXT;     -- JSON: who replayed or purged it, as what or why
CREATE INDEX dead_letters_settled ON dead_letters (status_at) WHERE status <> 'open';
