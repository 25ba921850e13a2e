//! The statement of a search.
//!
//! One criterion drives: an index gives its ids in order, from the place on where the page before ended. Where others must be
//! met too, they are looked up for each id of a window, so that no page takes longer than its window.

use super::super::checks::{TimePlace, to_usize};
use super::super::codes::{end_of, parameter_code, type_code};
use super::system;
use crate::search::{Criterion, Parameter, ResourceType, TokenMatch};
use crate::store::{Search, SearchOrder, Tenant};
use smol_str::SmolStr;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::types::ToSql;

/// The most ids that one page looks at where it must look at more than it shows.
pub(super) const WINDOW: usize = 2_000;
/// The most entries with one of some beginnings that are put into the order of ids. Where there are more, the resources are gone
/// through in that order instead, a window at a time.
const SORTED: usize = WINDOW;
/// The most resources of a page.
const MOST: usize = 1_000;

pub(super) type Value = Box<dyn ToSql + Send + Sync>;

/// A statement with what is bound to it.
pub(super) struct Question {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
    /// Whether the bodies are wanted.
    bodies: bool,
    /// The most resources of the page. The statement asks for one more.
    pub(super) limit: usize,
    /// The most ids that the statement looks at; all that there are without.
    pub(super) window: Option<usize>,
}

impl Question {
    /// Asks for what the found resources refer to as well, behind them: with the code of their type in `target`, which is 0 for
    /// those that were found. References that are not relative are passed over.
    pub(super) fn with_targets(mut self, schema: &str, follow: &[(Parameter, ResourceType)]) -> Self {
        let before = if self.window.is_some() { "NULL::bigint AS looked_at, NULL::text AS last, " } else { "" };
        let references = follow.iter().map(|(parameter, kind)| {
            let start = format!("{kind}/");
            let (length, behind) = (start.len(), start.len() + 1);
            // A value need not be text of the server; what names a resource is.
            format!(
                "SELECT DISTINCT {}::smallint AS type, substr(encode(e.value, 'escape'), {behind}) COLLATE \"C\" AS id \
                 FROM q, {schema}.entries e WHERE e.resource = q.number AND e.parameter = {} \
                 AND substring(e.value from 1 for {length}) = '{start}'::bytea",
                type_code(*kind),
                parameter_code(*parameter)
            )
        });
        let references: Vec<String> = references.collect();
        let columns = if self.window.is_some() { "looked_at, last, " } else { "" };
        let columns = format!("{columns}id, version, last_updated, write_id, body, number");
        let body = if self.bodies { "r.body" } else { "''::bytea AS body" };
        self.sql = format!(
            "WITH q AS MATERIALIZED (SELECT {columns}, row_number() OVER () AS place FROM ({}) s) \
             SELECT * FROM (SELECT {columns}, place, 0::smallint AS target FROM q UNION ALL \
             SELECT {before}t.*, NULL::bigint AS place, f.type AS target FROM ({}) f CROSS JOIN LATERAL (\
             SELECT r.id, r.version, r.last_updated, r.write_id, {body}, r.number FROM {schema}.resources r \
             WHERE r.tenant = $1 AND r.type = f.type AND r.id = f.id AND r.body IS NOT NULL LIMIT 1) t) u \
             ORDER BY u.target, u.place",
            self.sql,
            references.join(" UNION ")
        );
        self
    }
}

struct Builder<'a> {
    schema: &'a str,
    values: Vec<Value>,
    /// ` AND ID > $3`, with the name of the id to come.
    after: Option<String>,
}

impl Builder<'_> {
    fn bind(&mut self, value: impl ToSql + Send + Sync + 'static) -> String {
        self.values.push(Box::new(value));
        format!("${}", self.values.len())
    }

    fn code(&mut self, parameter: Parameter) -> String {
        // Written out: there are few, and the plan may depend on it.
        parameter_code(parameter).to_string()
    }

    fn after(&self, id: &str) -> String {
        self.after.as_ref().map(|place| format!(" AND {id} > {place}")).unwrap_or_default()
    }

    /// What the entry `e` must be for the parameter and the token.
    fn is(&mut self, parameter: Parameter, token: &TokenMatch) -> String {
        let mut sql = format!("e.parameter = {}", self.code(parameter));
        let (of, value) = match token {
            TokenMatch::Value(value) => (None, Some(value)),
            TokenMatch::Exact(token) => (Some(system(token.system.as_deref())), Some(&token.value)),
            TokenMatch::System(of) => (Some(system(Some(of))), None),
        };
        if let Some(value) = value {
            let value = self.bind(value.as_bytes().to_vec());
            sql.push_str(&format!(" AND e.value = {value}"));
        }
        if let Some(of) = of {
            let of = self.bind(of);
            sql.push_str(&format!(" AND e.system = {of}"));
        }
        sql
    }

    fn begins(&mut self, parameter: Parameter, start: &str) -> String {
        let mut sql = format!("e.parameter = {}", self.code(parameter));
        if !start.is_empty() {
            let from = self.bind(start.as_bytes().to_vec());
            sql.push_str(&format!(" AND e.value >= {from}"));
            if let Some(end) = end_of(start.as_bytes()) {
                let end = self.bind(end);
                sql.push_str(&format!(" AND e.value < {end}"));
            }
        }
        sql
    }

    /// The ids in order of the living resources that meet a criterion.
    fn drive(&mut self, criterion: &Criterion, limit: &str) -> String {
        let Self { schema, .. } = *self;
        let of_entries = |builder: &Self, meets: String| {
            let after = builder.after("e.id");
            format!(
                "SELECT DISTINCT e.id, e.resource FROM {schema}.entries e \
                 WHERE e.tenant = $1 AND e.type = $2 AND {meets}{after} ORDER BY e.id, e.resource LIMIT {limit}"
            )
        };
        match criterion {
            Criterion::Is(parameter, token) => {
                let meets = self.is(*parameter, token);
                of_entries(self, meets)
            }
            Criterion::Begins(parameter, start) => {
                let meets = self.begins(*parameter, start);
                of_entries(self, meets)
            }
            Criterion::Id(_) | Criterion::AnyId(_) => {
                let meets = format!(" AND {}", self.meets(criterion, "r"));
                self.resources(&meets, limit)
            }
            _ if matches_nothing(criterion) => self.resources(" AND false", limit),
            Criterion::AnyOf(_) => {
                let groups = Groups::of(criterion);
                let mut each = Vec::new();
                if !groups.ids.is_empty() {
                    each.push(format!("({})", self.drive(&Criterion::AnyId(groups.ids.clone()), limit)));
                }
                for (parameter, group) in &groups.parameters {
                    for (list, meets) in self.lists(group) {
                        each.push(self.drive_list(*parameter, &list, &meets, limit));
                    }
                }
                format!("SELECT u.id, u.resource FROM ({}) u ORDER BY u.id LIMIT {limit}", each.join(" UNION "))
            }
        }
    }

    /// The ids in order that meet one item `v` of a list, for each of its items.
    fn drive_list(&self, parameter: Parameter, list: &str, meets: &str, limit: &str) -> String {
        let (schema, after, code) = (self.schema, self.after("e.id"), parameter_code(parameter));
        format!(
            "(SELECT DISTINCT f.id, f.resource FROM {list} CROSS JOIN LATERAL (\
             SELECT DISTINCT e.id, e.resource FROM {schema}.entries e \
             WHERE e.tenant = $1 AND e.type = $2 AND e.parameter = {code} AND {meets}{after} \
             ORDER BY e.id, e.resource LIMIT {limit}) f ORDER BY f.id, f.resource LIMIT {limit})"
        )
    }

    /// The lists `v` of what is asked for of a parameter, each with what an entry `e` must be for one of its items. However
    /// many values there are, the statement has the same length.
    fn lists(&mut self, group: &Group) -> Vec<(String, String)> {
        let mut lists = Vec::new();
        if !group.values.is_empty() {
            let values = self.bind(group.values.clone());
            lists.push((format!("unnest({values}::bytea[]) v(value)"), "e.value = v.value".to_owned()));
        }
        if !group.exact.is_empty() {
            let (values, systems): (Vec<_>, Vec<_>) = group.exact.iter().cloned().unzip();
            let (values, systems) = (self.bind(values), self.bind(systems));
            let list = format!("unnest({values}::bytea[], {systems}::bytea[]) v(value, system)");
            lists.push((list, "e.value = v.value AND e.system = v.system".to_owned()));
        }
        if !group.systems.is_empty() {
            let systems = self.bind(group.systems.clone());
            lists.push((format!("unnest({systems}::bytea[]) v(system)"), "e.system = v.system".to_owned()));
        }
        if !group.begins.is_empty() {
            let ends: Vec<Option<Vec<u8>>> = group.begins.iter().map(|start| end_of(start)).collect();
            let (starts, ends) = (self.bind(group.begins.clone()), self.bind(ends));
            let list = format!("unnest({starts}::bytea[], {ends}::bytea[]) v(first, behind)");
            let meets = "e.value >= v.first AND (v.behind IS NULL OR e.value < v.behind)";
            lists.push((list, meets.to_owned()));
        }
        lists
    }

    /// Entries of a criterion whose index does not give ids in order: those that begin so, one more than are sorted at most.
    fn unsorted(&mut self, criterion: &Criterion) -> Option<String> {
        let (schema, most) = (self.schema, SORTED + 1);
        let of = |list: &str, meets: &str| {
            format!(
                "SELECT FROM {list} (SELECT FROM {schema}.entries e WHERE e.tenant = $1 AND e.type = $2 AND {meets} \
                 LIMIT {most}) f"
            )
        };
        let mut each = Vec::new();
        match criterion {
            Criterion::Begins(parameter, start) => {
                let meets = self.begins(*parameter, start);
                each.push(of("", &meets));
            }
            Criterion::AnyOf(_) => {
                for (parameter, group) in Groups::of(criterion).parameters {
                    let beginnings = Group { begins: group.begins, ..Group::default() };
                    for (list, meets) in self.lists(&beginnings) {
                        let meets = format!("e.parameter = {} AND {meets}", parameter_code(parameter));
                        each.push(of(&format!("{list} CROSS JOIN LATERAL"), &meets));
                    }
                }
            }
            _ => {}
        }
        (!each.is_empty()).then(|| format!("SELECT FROM ({}) u LIMIT {most}", each.join(" UNION ALL ")))
    }

    fn resources(&self, meets: &str, limit: &str) -> String {
        let (schema, after) = (self.schema, self.after("r.id"));
        format!(
            "SELECT r.id, r.number AS resource FROM {schema}.resources r \
             WHERE r.tenant = $1 AND r.type = $2 AND r.body IS NOT NULL{meets}{after} ORDER BY r.id LIMIT {limit}"
        )
    }

    /// Whether the resource with the id and the number of this row meets a criterion.
    fn meets(&mut self, criterion: &Criterion, of: &str) -> String {
        let entry = match criterion {
            // A text of the server holds no NUL, nor does an id.
            Criterion::Id(wanted) if wanted.contains('\0') => return "false".to_owned(),
            Criterion::Id(wanted) => return format!("{of}.id = {}", self.bind(wanted.to_string())),
            Criterion::AnyId(wanted) => {
                let wanted = wanted.iter().filter(|id| !id.contains('\0'));
                let wanted: Vec<String> = wanted.map(ToString::to_string).collect();
                return format!("{of}.id = ANY ({})", self.bind(wanted));
            }
            _ if matches_nothing(criterion) => return "false".to_owned(),
            Criterion::AnyOf(_) => {
                let (groups, schema) = (Groups::of(criterion), self.schema);
                let mut each = Vec::new();
                if !groups.ids.is_empty() {
                    each.push(self.meets(&Criterion::AnyId(groups.ids.clone()), of));
                }
                for (parameter, group) in &groups.parameters {
                    let code = parameter_code(*parameter);
                    each.extend(self.lists(group).into_iter().map(|(list, meets)| {
                        format!(
                            "(SELECT true FROM {schema}.entries e, {list} WHERE e.resource = {of}.resource \
                             AND e.parameter = {code} AND {meets} LIMIT 1)"
                        )
                    }));
                }
                // What is not met is null, which neither `OR` nor `WHERE` takes for true.
                return format!("({})", each.join(" OR "));
            }
            Criterion::Is(parameter, token) => self.is(*parameter, token),
            Criterion::Begins(parameter, start) => self.begins(*parameter, start),
        };
        let schema = self.schema;
        // Not `EXISTS`, which the server may turn into a join that goes through all entries of the value for each id.
        format!("(SELECT true FROM {schema}.entries e WHERE e.resource = {of}.resource AND {entry} LIMIT 1)")
    }
}

/// Whether nothing can meet a criterion, as it is of nothing.
fn matches_nothing(criterion: &Criterion) -> bool {
    match criterion {
        Criterion::AnyOf(any) => any.iter().all(matches_nothing),
        Criterion::AnyId(ids) => ids.is_empty(),
        _ => false,
    }
}

/// What is asked for of one parameter.
#[derive(Default)]
struct Group {
    values: Vec<Vec<u8>>,
    /// Values with their systems.
    exact: Vec<(Vec<u8>, Vec<u8>)>,
    systems: Vec<Vec<u8>>,
    begins: Vec<Vec<u8>>,
}

/// Everything of which one must be met, by parameter.
#[derive(Default)]
struct Groups {
    ids: BTreeSet<SmolStr>,
    parameters: BTreeMap<Parameter, Group>,
}

impl Groups {
    fn of(criterion: &Criterion) -> Self {
        let mut groups = Self::default();
        groups.add(criterion);
        groups
    }

    fn add(&mut self, criterion: &Criterion) {
        match criterion {
            Criterion::Id(id) => drop(self.ids.insert(id.clone())),
            Criterion::AnyId(ids) => self.ids.extend(ids.iter().cloned()),
            Criterion::Is(parameter, token) => {
                let group = self.parameters.entry(*parameter).or_default();
                match token {
                    TokenMatch::Value(value) => group.values.push(value.as_bytes().to_vec()),
                    TokenMatch::Exact(token) => {
                        group.exact.push((token.value.as_bytes().to_vec(), system(token.system.as_deref())));
                    }
                    TokenMatch::System(of) => group.systems.push(system(Some(of))),
                }
            }
            Criterion::Begins(parameter, start) => {
                self.parameters.entry(*parameter).or_default().begins.push(start.as_bytes().to_vec());
            }
            Criterion::AnyOf(any) => any.iter().for_each(|criterion| self.add(criterion)),
        }
    }
}

/// How many resources a criterion is likely to leave, from few to many; nothing where no index gives them.
fn breadth(criterion: &Criterion) -> Option<u8> {
    let of = |parameter: Parameter| match parameter {
        Parameter::Identifier | Parameter::UdiCarrier => 2,
        Parameter::Source | Parameter::Parent | Parameter::Url => 3,
        Parameter::UdiDi | Parameter::Location | Parameter::Patient => 4,
        Parameter::DeviceName | Parameter::Model | Parameter::Organization => 5,
        Parameter::Manufacturer
        | Parameter::AvailableUpdateVersion
        | Parameter::AvailableUpdateSequence
        | Parameter::ProductionSpecification
        | Parameter::ReportedVersion => 6,
        Parameter::Type => 7,
        Parameter::Category | Parameter::Status | Parameter::AvailableUpdateStatus => 8,
    };
    match criterion {
        Criterion::Id(_) => Some(0),
        Criterion::AnyId(_) => Some(1),
        Criterion::Is(_, TokenMatch::System(_)) => None,
        Criterion::Is(parameter, _) => Some(of(*parameter)),
        Criterion::Begins(_, start) if start.is_empty() => None,
        Criterion::Begins(parameter, _) => Some(of(*parameter) + 3),
        Criterion::AnyOf(any) => any.iter().map(breadth).try_fold(0, |most, next| Some(most.max(next?))),
    }
}

/// The statement of a search in the order of times, by their index. Each resource that it gives is judged, within a window where
/// there are criteria. The columns are those of [`question`]; the last one that was looked at has its time too.
pub(super) fn question_by_time(schema: &str, tenant: &Tenant, search: &Search, after: Option<TimePlace>) -> Question {
    let mut builder = Builder { schema, values: Vec::new(), after: None };
    builder.bind(tenant.as_str().to_owned());
    builder.bind(i16::from(type_code(search.resource_type)));
    let (direction, is_behind) = match search.order {
        SearchOrder::UpdatedDescending => ("DESC", "<"),
        SearchOrder::Id | SearchOrder::Updated => ("ASC", ">"),
    };
    let after = after.and_then(|place| Some((place.time()?, place.id))).map(|(time, id)| {
        let (time, id) = (builder.bind(time), builder.bind(id.to_string()));
        format!(" AND (r.last_updated, r.id) {is_behind} ({time}, {id})")
    });
    let limit = to_usize(search.limit).min(MOST);
    let more = builder.bind(count(limit + 1));
    let body = if search.bodies { "r.body" } else { "''::bytea AS body" };
    let of_type = format!(
        "{schema}.resources r WHERE r.tenant = $1 AND r.type = $2 AND r.body IS NOT NULL{} \
         ORDER BY r.last_updated {direction}, r.id {direction}",
        after.unwrap_or_default()
    );
    if search.all_of.is_empty() {
        let sql = format!("SELECT r.id, r.version, r.last_updated, r.write_id, {body} FROM {of_type} LIMIT {more}");
        return Question { sql, values: builder.values, bodies: search.bodies, limit, window: None };
    }
    let window = WINDOW.max(limit + 1);
    let size = builder.bind(count(window));
    let meets: Vec<_> = search.all_of.iter().map(|criterion| builder.meets(criterion, "c")).collect();
    let (meets, order) = (meets.join(" AND "), format!("ORDER BY c.last_updated {direction}, c.id {direction}"));
    let end = if direction == "ASC" { "DESC" } else { "ASC" };
    let sql = format!(
        "WITH c AS MATERIALIZED (SELECT r.id, r.last_updated, r.number AS resource FROM {of_type} LIMIT {size}), \
         h AS MATERIALIZED (SELECT c.id, c.last_updated FROM c WHERE {meets} {order} LIMIT {more}) \
         SELECT w.looked_at, w.last, w.last_time, r.* FROM (SELECT (SELECT count(*) FROM c) AS looked_at, c.id AS last, \
         c.last_updated AS last_time FROM c ORDER BY c.last_updated {end}, c.id {end} LIMIT 1) w \
         LEFT JOIN (h CROSS JOIN LATERAL (SELECT r.id, r.version, r.last_updated, r.write_id, {body} \
         FROM {schema}.resources r WHERE r.tenant = $1 AND r.type = $2 AND r.id = h.id LIMIT 1) r) ON true \
         ORDER BY h.last_updated {direction}, h.id {direction}"
    );
    Question { sql, values: builder.values, bodies: search.bodies, limit, window: Some(window) }
}

/// `$1` is the tenant, and `$2` the type. The columns are id, version, time, write id and body of a resource; before them, where
/// there is a window, the number of ids in it and the last of them, also where no resource is found.
pub(super) fn question(schema: &str, tenant: &Tenant, search: &Search, after: Option<String>) -> Question {
    let mut builder = Builder { schema, values: Vec::new(), after: None };
    builder.bind(tenant.as_str().to_owned());
    builder.bind(i16::from(type_code(search.resource_type)));
    builder.after = after.map(|place| builder.bind(place));
    let limit = to_usize(search.limit).min(MOST);
    let more = builder.bind(count(limit + 1));
    let driver = search.all_of.iter().enumerate().filter_map(|(at, criterion)| Some((breadth(criterion)?, at))).min();
    // What is not wanted is not fetched from where the server keeps large values.
    let body = if search.bodies { "r.body" } else { "''::bytea AS body" };
    // Looked up for each id, in their order.
    let resource = format!(
        "LATERAL (SELECT r.id, r.version, r.last_updated, r.write_id, {body}, r.number FROM {schema}.resources r \
         WHERE r.tenant = $1 AND r.type = $2 AND r.id = h.id LIMIT 1) r"
    );
    let driven = driver.and_then(|(_, at)| search.all_of.get(at));
    if let Some(criterion) = driven
        && let Some(entries) = builder.unsorted(criterion)
    {
        let others = search.all_of.iter().enumerate().filter(|(at, _)| driver.is_none_or(|(_, driver)| *at != driver));
        let others: Vec<&Criterion> = others.map(|(_, other)| other).collect();
        let window = WINDOW.max(limit + 1);
        let size = builder.bind(count(window));
        let sorted = builder.drive(criterion, &size);
        let all = builder.resources(" AND (SELECT n.many FROM n)", &size);
        let also: String = others.iter().map(|other| format!(" AND {}", builder.meets(other, "c"))).collect();
        let own = builder.meets(criterion, "c");
        // Of the two ways one gives nothing, and is not gone.
        let sql = format!(
            "WITH n AS MATERIALIZED (SELECT count(*) > {SORTED} AS many FROM ({entries}) u), \
             s AS MATERIALIZED (SELECT d.id, d.resource FROM ({sorted}) d WHERE NOT (SELECT n.many FROM n)), \
             h AS MATERIALIZED ((SELECT c.id FROM s c WHERE true{also} ORDER BY c.id LIMIT {more}) UNION ALL \
             (SELECT c.id FROM ({all}) c WHERE {own}{also} ORDER BY c.id LIMIT {more})), \
             w AS (SELECT count(*) AS looked_at, max(c.id) AS last FROM (SELECT s.id FROM s UNION ALL SELECT a.id FROM ({all}) a) c) \
             SELECT w.looked_at, w.last, r.* FROM w LEFT JOIN (h CROSS JOIN {resource}) ON true ORDER BY h.id"
        );
        return Question { sql, values: builder.values, bodies: search.bodies, limit, window: Some(window) };
    }
    if search.all_of.len() == usize::from(driven.is_some()) {
        let ids = match driven {
            Some(criterion) => builder.drive(criterion, &more),
            None => builder.resources("", &more),
        };
        let sql = format!("SELECT r.* FROM ({ids}) h CROSS JOIN {resource} ORDER BY h.id");
        return Question { sql, values: builder.values, bodies: search.bodies, limit, window: None };
    }
    let window = WINDOW.max(limit + 1);
    let size = builder.bind(count(window));
    let ids = match driven {
        Some(criterion) => builder.drive(criterion, &size),
        None => builder.resources("", &size),
    };
    // What the one that drives gave meets it.
    let others = search.all_of.iter().enumerate().filter(|(at, _)| driver.is_none_or(|(_, driver)| *at != driver));
    let meets: Vec<_> = others.map(|(_, criterion)| builder.meets(criterion, "c")).collect();
    let meets = meets.join(" AND ");
    let sql = format!(
        "WITH c AS MATERIALIZED ({ids}), \
         h AS MATERIALIZED (SELECT c.id FROM c WHERE {meets} ORDER BY c.id LIMIT {more}) \
         SELECT w.looked_at, w.last, r.* FROM (SELECT count(*) AS looked_at, max(c.id) AS last FROM c) w \
         LEFT JOIN (h CROSS JOIN {resource}) ON true ORDER BY h.id"
    );
    Question { sql, values: builder.values, bodies: search.bodies, limit, window: Some(window) }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
