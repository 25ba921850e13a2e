-- The versions of all resources by time.
CREATE INDEX resources_by_time ON {s}.resources (tenant, last_updated, type, id, version);
CREATE INDEX versions_by_time ON {s}.versions (tenant, last_updated, type, id, version);
