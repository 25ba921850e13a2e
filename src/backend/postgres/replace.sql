-- Replaces or deletes the version before $10 of a living resource; no row where it is not the newest, and nothing is written
-- then. The whole statement sees the state at its beginning, where the resource is as it was before (`o`), with the entries
-- of that version: had it changed since, the update would have found another version.
WITH u AS (
    UPDATE {s}.resources r SET version = $10::bigint, last_updated = CASE
        WHEN r.last_updated > clock_timestamp() + interval '60 seconds' THEN clock_timestamp()
        ELSE greatest(r.last_updated, clock_timestamp()) END,
        write_id = $4, indexed = $5, body = $6
        WHERE r.tenant = $1 AND r.type = $2 AND r.id = $3 AND r.version = $10::bigint - 1 AND r.body IS NOT NULL
        RETURNING r.last_updated
), o AS (
    SELECT r.* FROM u, {s}.resources r WHERE r.tenant = $1 AND r.type = $2 AND r.id = $3
), h AS (
    INSERT INTO {s}.versions (tenant, type, id, version, last_updated, write_id, body)
        SELECT o.tenant, o.type, o.id, o.version, o.last_updated, o.write_id, o.body FROM o
), d AS (
    DELETE FROM {s}.entries e USING o WHERE o.indexed <> $5 AND e.resource = o.number AND NOT EXISTS (
        SELECT FROM unnest($7::smallint[], $8::bytea[], $9::bytea[]) n (parameter, value, system)
        WHERE n.parameter = e.parameter AND n.value = e.value AND n.system = e.system)
), i AS (
    INSERT INTO {s}.entries (resource, tenant, type, parameter, value, system, id)
        SELECT o.number, $1, $2, n.parameter, n.value, n.system, $3
        FROM o, unnest($7::smallint[], $8::bytea[], $9::bytea[]) n (parameter, value, system)
        WHERE o.indexed <> $5 ON CONFLICT DO NOTHING
)
SELECT u.last_updated FROM u
