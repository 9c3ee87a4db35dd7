ALTER TABLE instances ADD COLUMN correlation_id TEXT;  -- what ties the instance to the request that has led to it
ALTER TABLE instances ADD COLUMN project TEXT;         -- whose work it is
