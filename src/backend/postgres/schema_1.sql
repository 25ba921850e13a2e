CREATE TABLE {s}.meta (
    name text PRIMARY KEY,
    value bytea NOT NULL
);

-- The newest version of each resource. A row stays when the resource is deleted; its body is NULL then.
CREATE TABLE {s}.resources (
    tenant text COLLATE "C" NOT NULL,
    type smallint NOT NULL,
    id text COLLATE "C" NOT NULL,
    number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    version bigint NOT NULL,
    last_updated timestamptz NOT NULL,
    write_id bytea,
    -- A digest of the rows in `entries`, so that a write that does not change them leaves them alone.
    indexed bytea NOT NULL,
    body bytea,
    PRIMARY KEY (tenant, type, id)
) WITH (fillfactor = 85);

-- The versions before it.
CREATE TABLE {s}.versions (
    tenant text COLLATE "C" NOT NULL,
    type smallint NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    last_updated timestamptz NOT NULL,
    write_id bytea,
    body bytea,
    PRIMARY KEY (tenant, type, id, version)
);

-- By what the living resources are found. The system is empty where there is none, else a byte 1 and the system. The two
-- indexes share no leading column, so that there is one way only to answer a question, whatever the server knows of the
-- tables: all entries of a resource by its number, and all ids of a value in order.
CREATE TABLE {s}.entries (
    resource bigint NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    type smallint NOT NULL,
    parameter smallint NOT NULL,
    value bytea NOT NULL,
    system bytea NOT NULL,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (resource, parameter, value, system)
);

CREATE INDEX entries_by_value ON {s}.entries (tenant, type, parameter, value, id, resource, system);

-- The ledger.
CREATE TABLE {s}.records (
    tenant text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    revision text NOT NULL,
    value bytea NOT NULL,
    PRIMARY KEY (tenant, key)
) WITH (fillfactor = 85);
