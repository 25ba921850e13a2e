-- Creates a resource that has never been there, with the version $10; no row where it has, and nothing is written then.
WITH r AS (
    INSERT INTO {s}.resources (tenant, type, id, version, last_updated, write_id, indexed, body)
        VALUES ($1, $2, $3, $10, clock_timestamp(), $4, $5, $6)
        ON CONFLICT DO NOTHING RETURNING number, last_updated
), e AS (
    INSERT INTO {s}.entries (resource, tenant, type, parameter, value, system, id)
        SELECT r.number, $1, $2, n.parameter, n.value, n.system, $3
        FROM r, unnest($7::smallint[], $8::bytea[], $9::bytea[]) n (parameter, value, system)
)
SELECT r.last_updated FROM r
