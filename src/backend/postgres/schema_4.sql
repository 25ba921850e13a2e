-- The living resources of a type by time, for searches in that order.
CREATE INDEX living_by_time ON {s}.resources (tenant, type, last_updated, id) WHERE body IS NOT NULL;
