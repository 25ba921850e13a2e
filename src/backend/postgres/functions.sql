-- Applies the writes of a commit, all or none. They come in the order of their keys, each with its place in the commit.
-- Each statement in here sees what was committed before it began, so that what is read behind a lock is the newest.
CREATE OR REPLACE FUNCTION {s}.commit_writes(
    p_tenant text, p_place integer[], p_type smallint[], p_id text[], p_when smallint[], p_expected bigint[],
    p_write_id bytea[], p_indexed bytea[], p_body bytea[],
    p_first integer[], p_parameter smallint[], p_value bytea[], p_system bytea[], p_keep bigint
) RETURNS TABLE (place integer, refused smallint, made bigint, changed timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_ timestamptz;
    found_version bigint[];
    found_indexed bytea[];
    found_number bigint[];
    row_ record;
    living boolean;
    verdict smallint;
    first_refusal integer;
    a integer;
    b integer;
BEGIN
    refused := 0;
    FOR i IN 1 .. cardinality(p_type) LOOP
        SELECT r.number, r.version, r.body IS NOT NULL AS living, r.indexed INTO row_ FROM {s}.resources r
            WHERE r.tenant = p_tenant AND r.type = p_type[i] AND r.id = p_id[i] FOR UPDATE;
        living := coalesce(row_.living, false);
        found_version[i] := coalesce(row_.version, 0);
        found_indexed[i] := row_.indexed;
        found_number[i] := row_.number;
        verdict := CASE
            WHEN p_when[i] = 1 AND living THEN 1
            WHEN p_when[i] = 2 AND (NOT living OR row_.version <> p_expected[i]) THEN 2
            WHEN (p_when[i] = 3 OR p_body[i] IS NULL) AND NOT living THEN 3
            ELSE 0 END;
        IF verdict <> 0 AND (first_refusal IS NULL OR p_place[i] < first_refusal) THEN
            first_refusal := p_place[i];
            refused := verdict;
            made := found_version[i];
        END IF;
    END LOOP;
    IF first_refusal IS NOT NULL THEN
        IF cardinality(p_type) > 1 THEN
            -- What was absent could not be locked, and may have come since. One statement sees one state.
            SELECT s.place, s.verdict, s.version INTO first_refusal, refused, made FROM (
                SELECT n.place, coalesce(r.version, 0) AS version, CASE
                    WHEN n.condition = 1 AND r.body IS NOT NULL THEN 1
                    WHEN n.condition = 2 AND (r.body IS NULL OR r.version <> n.expected) THEN 2
                    WHEN (n.condition = 3 OR n.body IS NULL) AND r.body IS NULL THEN 3
                    ELSE 0 END AS verdict
                FROM unnest(p_place, p_type, p_id, p_when, p_expected, p_body)
                    n (place, type, id, condition, expected, body)
                LEFT JOIN {s}.resources r ON r.tenant = p_tenant AND r.type = n.type AND r.id = n.id
            ) s WHERE s.verdict <> 0 ORDER BY s.place LIMIT 1;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'what refused the commit has just gone' USING ERRCODE = 'serialization_failure';
            END IF;
        END IF;
        place := first_refusal;
        RETURN NEXT;
        RETURN;
    END IF;
    now_ := clock_timestamp();
    FOR i IN 1 .. cardinality(p_type) LOOP
        IF found_version[i] = 0 THEN
            INSERT INTO {s}.resources (tenant, type, id, version, last_updated, write_id, indexed, body)
                VALUES (p_tenant, p_type[i], p_id[i], 1, now_, p_write_id[i], p_indexed[i], p_body[i])
                ON CONFLICT DO NOTHING RETURNING number INTO row_;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'another commit has just created it' USING ERRCODE = 'serialization_failure';
            END IF;
            found_number[i] := row_.number;
            made := 1;
            changed := now_;
        ELSE
            INSERT INTO {s}.versions (tenant, type, id, version, last_updated, write_id, body)
                SELECT r.tenant, r.type, r.id, r.version, r.last_updated, r.write_id, r.body FROM {s}.resources r
                WHERE r.tenant = p_tenant AND r.type = p_type[i] AND r.id = p_id[i];
            UPDATE {s}.resources r SET version = r.version + 1, last_updated = CASE
                WHEN r.last_updated > now_ + interval '60 seconds' THEN now_ ELSE greatest(r.last_updated, now_) END,
                write_id = p_write_id[i], indexed = p_indexed[i], body = p_body[i]
                WHERE r.tenant = p_tenant AND r.type = p_type[i] AND r.id = p_id[i]
                RETURNING r.version, r.last_updated INTO made, changed;
            IF p_keep > 0 THEN
                DELETE FROM {s}.versions v WHERE v.tenant = p_tenant AND v.type = p_type[i] AND v.id = p_id[i]
                    AND v.version <= made - p_keep;
            END IF;
        END IF;
        IF found_indexed[i] IS DISTINCT FROM p_indexed[i] THEN
            a := p_first[i];
            b := p_first[i + 1] - 1;
            IF found_version[i] > 0 THEN
                DELETE FROM {s}.entries e WHERE e.resource = found_number[i]
                    AND NOT EXISTS (
                        SELECT FROM unnest(p_parameter[a:b], p_value[a:b], p_system[a:b]) n (parameter, value, system)
                        WHERE n.parameter = e.parameter AND n.value = e.value AND n.system = e.system);
            END IF;
            INSERT INTO {s}.entries (resource, tenant, type, parameter, value, system, id)
                SELECT found_number[i], p_tenant, p_type[i], n.parameter, n.value, n.system, p_id[i]
                FROM unnest(p_parameter[a:b], p_value[a:b], p_system[a:b]) n (parameter, value, system)
                ON CONFLICT DO NOTHING;
        END IF;
        place := p_place[i];
        RETURN NEXT;
    END LOOP;
END
$$;

-- Applies the changes of a commit to the ledger, all or none, in the same manner.
CREATE OR REPLACE FUNCTION {s}.apply_changes(
    p_tenant text, p_place integer[], p_key text[], p_expected text[], p_value bytea[]
) RETURNS TABLE (place integer, refused smallint, made text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_revision text;
    verdict smallint;
    first_refusal integer;
BEGIN
    refused := 0;
    FOR i IN 1 .. cardinality(p_key) LOOP
        SELECT r.revision INTO found_revision FROM {s}.records r
            WHERE r.tenant = p_tenant AND r.key = p_key[i] FOR UPDATE;
        verdict := CASE
            WHEN p_expected[i] IS NOT DISTINCT FROM found_revision THEN 0
            WHEN p_expected[i] IS NULL THEN 1
            ELSE 2 END;
        IF verdict <> 0 AND (first_refusal IS NULL OR p_place[i] < first_refusal) THEN
            first_refusal := p_place[i];
            refused := verdict;
        END IF;
    END LOOP;
    IF first_refusal IS NOT NULL THEN
        IF cardinality(p_key) > 1 THEN
            SELECT s.place, s.verdict INTO first_refusal, refused FROM (
                SELECT n.place, CASE
                    WHEN n.expected IS NOT DISTINCT FROM r.revision THEN 0
                    WHEN n.expected IS NULL THEN 1
                    ELSE 2 END AS verdict
                FROM unnest(p_place, p_key, p_expected) n (place, key, expected)
                LEFT JOIN {s}.records r ON r.tenant = p_tenant AND r.key = n.key
            ) s WHERE s.verdict <> 0 ORDER BY s.place LIMIT 1;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'what refused the commit has just gone' USING ERRCODE = 'serialization_failure';
            END IF;
        END IF;
        place := first_refusal;
        RETURN NEXT;
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(p_key) LOOP
        made := gen_random_uuid()::text;
        IF p_value[i] IS NULL THEN
            DELETE FROM {s}.records r WHERE r.tenant = p_tenant AND r.key = p_key[i];
        ELSIF p_expected[i] IS NULL THEN
            INSERT INTO {s}.records (tenant, key, revision, value) VALUES (p_tenant, p_key[i], made, p_value[i])
                ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                RAISE EXCEPTION 'another commit has just created it' USING ERRCODE = 'serialization_failure';
            END IF;
        ELSE
            UPDATE {s}.records r SET revision = made, value = p_value[i] WHERE r.tenant = p_tenant AND r.key = p_key[i];
        END IF;
        place := p_place[i];
        RETURN NEXT;
    END LOOP;
END
$$;
