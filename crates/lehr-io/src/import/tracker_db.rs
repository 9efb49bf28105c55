//! Databases of trackers: MLflow's `mlflow.db` and Trackio's `<project>.db`, with any number of runs.

use super::sparse::{by_names, from_config};
use super::sqlite;
use super::sqlite_files::{Part, part_of};
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Mapping, is_wanted};
use crate::rows::RawRun;
use crate::source::Source;
use crate::table::json::{Leaf, flatten};
use crate::table::{Cell, TableEnd, Visit, Want};
use rusqlite::{Connection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// Reads MLflow's and Trackio's databases.
#[derive(Debug)]
pub struct Databases;

impl Importer for Databases {
    fn name(&self) -> &'static str {
        "tracker database"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        part_of(source, head).map(|(_, database)| database.to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let (connection, length) = sqlite::open(sources)?;
        let is_database = |source: &&Source| {
            source.head(16).is_ok_and(|head| matches!(part_of(source, &head), Some((Part::Database, _))))
        };
        let file = sources.iter().find(is_database).unwrap_or(&sources[0]).name().to_owned();
        let mut database = Database {
            connection,
            file,
            length,
            tracker: Tracker::Mlflow,
            runs: BTreeMap::new(),
            keys: Vec::new(),
            deleted: 0,
        };
        database.learn(map)?;
        Ok(Box::new(database))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tracker {
    Mlflow,
    /// Whether rows carry the run's id besides its name.
    Trackio {
        ids: bool,
    },
}

#[derive(Debug, Default)]
struct Run {
    /// Unique in this file.
    name: String,
    config: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Database {
    connection: Connection,
    file: String,
    length: u64,
    tracker: Tracker,
    /// By the tracker's own id.
    runs: BTreeMap<String, Run>,
    keys: Vec<String>,
    /// Runs that the user deleted in the tracker.
    deleted: usize,
}

/// Text of Trackio's rows searched for names.
const NAMES_WITHIN: usize = 64 << 20;

impl Database {
    /// Visits the rows of a query; more rows than the file has bytes are a loop in a broken file.
    fn query(
        &self,
        sql: &str,
        visit: &mut dyn FnMut(&Row<'_>) -> Result<bool, ReadError>,
    ) -> Result<(), ReadError> {
        let file = self.file.clone();
        let error = sqlite::refused(&file);
        let mut statement = self.connection.prepare(sql).map_err(&error)?;
        let mut rows = statement.query([]).map_err(&error)?;
        let mut left = self.length;
        while let Some(row) = rows.next().map_err(&error)? {
            if left == 0 {
                return Err(ReadError::Broken {
                    file: self.file.clone(),
                    place: Place::File,
                    problem: "the database gives more rows than it has bytes".to_owned(),
                });
            }
            left -= 1;
            if !visit(row)? {
                break;
            }
        }
        Ok(())
    }

    /// The columns of an ordinary table; empty where there is none of that name.
    fn columns_of(&self, table: &str) -> Result<BTreeSet<String>, ReadError> {
        let file = self.file.clone();
        let error = sqlite::refused(&file);
        let mut columns = BTreeSet::new();
        self.query(
            &format!(
                "SELECT c.name FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.name = '{table}' AND t.type = 'table' AND t.sql LIKE 'CREATE TABLE%'"
            ),
            &mut |row| {
                columns.insert(row.get(0).map_err(&error)?);
                Ok(true)
            },
        )?;
        Ok(columns)
    }

    fn learn(&mut self, map: &MapOverrides) -> Result<(), ReadError> {
        let metrics = self.columns_of("metrics")?;
        let has = |names: &[&str]| names.iter().all(|name| metrics.contains(*name));
        if has(&["run_uuid", "key", "value", "step", "is_nan"]) {
            self.learn_mlflow()?;
        } else if has(&["run_name", "step", "metrics"]) {
            self.tracker = Tracker::Trackio { ids: metrics.contains("run_id") };
            self.learn_trackio()?;
        } else {
            let mut tables = Vec::new();
            let error = sqlite::refused(&self.file);
            self.query("SELECT name FROM sqlite_master WHERE type = 'table'", &mut |row| {
                tables.push(row.get::<_, String>(0).map_err(&error)?);
                Ok(tables.len() < 8)
            })?;
            return Err(ReadError::Unrecognised {
                file: self.file.clone(),
                found: format!(
                    "an SQLite database with the tables {}",
                    if tables.is_empty() { "none".to_owned() } else { tables.join(", ") }
                ),
                expected: "the table `metrics` of MLflow (key, value, step, run_uuid) or of Trackio (run_name, step, metrics)",
            });
        }
        let unwanted = |key: &String| matches!(key.as_str(), "run" | "step");
        self.keys.retain(|key| !unwanted(key));
        if self.keys.is_empty() {
            return Err(ReadError::Refused {
                file: self.file.clone(),
                why: "the database holds no metric".to_owned(),
                hint: "name the database that the runs were logged to; MLflow and Trackio keep one a project"
                    .to_owned(),
            });
        }
        // Names that tell nothing are kept for messages alone.
        if self.keys.iter().any(|key| is_wanted(key, map)) {
            self.keys.sort_by_key(|key| !is_wanted(key, map));
        }
        Ok(())
    }

    fn learn_mlflow(&mut self) -> Result<(), ReadError> {
        let file = self.file.clone();
        let error = sqlite::refused(&file);
        let mut runs: Vec<(String, String, String)> = Vec::new();
        let mut deleted = 0;
        self.query(
            "SELECT r.run_uuid, r.name, r.lifecycle_stage, r.experiment_id, e.name FROM runs r LEFT JOIN experiments e ON e.experiment_id = r.experiment_id",
            &mut |row| {
                let id: String = row.get(0).map_err(&error)?;
                if row.get::<_, Option<String>>(2).map_err(&error)?.as_deref() == Some("deleted") {
                    deleted += 1;
                    return Ok(true);
                }
                let name = row.get::<_, Option<String>>(1).map_err(&error)?.filter(|name| !name.is_empty());
                let experiment = row.get::<_, Option<String>>(4).map_err(&error)?.unwrap_or_default();
                runs.push((id.clone(), name.unwrap_or(id), experiment));
                Ok(true)
            },
        )?;
        self.deleted = deleted;
        let several = runs.iter().any(|run| run.2 != runs[0].2);
        for (id, name, experiment) in runs {
            let name = if several { format!("{experiment}/{name}") } else { name };
            self.add_run(id, name);
        }
        let mut settings = Vec::new();
        self.query("SELECT run_uuid, key, value FROM params", &mut |row| {
            let cell = |i| row.get::<_, String>(i).map_err(&error);
            settings.push((cell(0)?, cell(1)?, cell(2)?));
            Ok(true)
        })?;
        for (id, key, value) in settings {
            if let Some(run) = self.runs.get_mut(&id) {
                run.config.insert(key, value);
            }
        }
        let mut keys = BTreeSet::new();
        self.query("SELECT key FROM metrics NOT INDEXED", &mut |row| {
            let key = row.get_ref(0).map_err(&error)?;
            if let Ok(key) = key.as_str()
                && !keys.contains(key)
            {
                keys.insert(key.to_owned());
            }
            Ok(keys.len() < 100_000)
        })?;
        self.keys = keys.into_iter().collect();
        Ok(())
    }

    fn learn_trackio(&mut self) -> Result<(), ReadError> {
        let file = self.file.clone();
        let error = sqlite::refused(&file);
        let mut named = BTreeMap::new();
        let (mut keys, mut read) = (BTreeSet::new(), 0);
        self.query(&self.trackio_rows(), &mut |row| {
            let (id, name) =
                (row.get::<_, String>(1).map_err(&error)?, row.get::<_, String>(2).map_err(&error)?);
            named.entry(id).or_insert(name);
            if read < NAMES_WITHIN {
                let text = row.get_ref(4).map_err(&error)?;
                let text = text.as_bytes().unwrap_or_default();
                read += text.len();
                // A broken row is an error where it is read.
                drop(flatten(text, &mut |path, _| {
                    if !keys.contains(path) && keys.len() < 100_000 {
                        keys.insert(path.to_owned());
                    }
                }));
            }
            Ok(true)
        })?;
        self.keys = keys.into_iter().collect();
        for (id, name) in named {
            self.add_run(id, name);
        }
        let columns = self.columns_of("configs")?;
        if columns.contains("config") {
            let id = if columns.contains("run_id") && self.tracker == (Tracker::Trackio { ids: true }) {
                "run_id"
            } else {
                "run_name"
            };
            let mut settings = Vec::new();
            self.query(&format!("SELECT {id}, config FROM configs"), &mut |row| {
                settings.push((
                    row.get::<_, String>(0).map_err(&error)?,
                    row.get_ref(1).map_err(&error)?.as_bytes().unwrap_or_default().to_vec(),
                ));
                Ok(true)
            })?;
            for (id, text) in settings {
                let Some(run) = self.runs.get_mut(&id) else { continue };
                // A configuration that is no JSON states nothing.
                drop(flatten(&text, &mut |path, leaf| {
                    let value = match leaf {
                        Leaf::Number(value) => value.to_string(),
                        Leaf::Text(text) => text.into_owned(),
                        Leaf::Bool(value) => value.to_string(),
                        Leaf::Null => return,
                    };
                    run.config.insert(path.to_owned(), value);
                }));
            }
        }
        Ok(())
    }

    fn trackio_rows(&self) -> String {
        let id = if self.tracker == (Tracker::Trackio { ids: true }) { "run_id" } else { "run_name" };
        format!("SELECT rowid, {id}, run_name, step, metrics FROM metrics NOT INDEXED")
    }

    /// A run under a name that no other has.
    fn add_run(&mut self, id: String, mut name: String) {
        if self.runs.values().any(|run| run.name == name) {
            let short: String = id.chars().take(8).collect();
            name = format!("{name}-{short}");
        }
        while self.runs.values().any(|run| run.name == name) {
            name.push('+');
        }
        self.runs.insert(id, Run { name, config: BTreeMap::new() });
    }
}

impl Log for Database {
    fn kind(&self) -> String {
        match self.tracker {
            Tracker::Mlflow => "MLflow database",
            Tracker::Trackio { .. } => "Trackio database",
        }
        .to_owned()
    }

    fn has_lines(&self) -> bool {
        false
    }

    fn columns(&self) -> Result<Vec<String>, ReadError> {
        Ok(["run", "step"].into_iter().map(str::to_owned).chain(self.keys.iter().cloned()).collect())
    }

    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError> {
        let file = self.file.clone();
        let error = sqlite::refused(&file);
        let place_of = |name: &str| select.iter().position(|(wanted, _)| *wanted == name);
        let (run_at, step_at) = (place_of("run"), place_of("step"));
        let value = |place: Place, what: &str, found: String| ReadError::Value {
            file: self.file.clone(),
            place,
            what: format!("'{what}'"),
            found,
            expected: "a number".to_owned(),
        };
        let sql = match self.tracker {
            Tracker::Mlflow => {
                "SELECT rowid, run_uuid, key, step, value, is_nan FROM metrics NOT INDEXED".to_owned()
            }
            Tracker::Trackio { .. } => self.trackio_rows(),
        };
        self.query(&sql, &mut |row| {
            let place = Place::Row(u64::try_from(row.get::<_, i64>(0).map_err(&error)?).unwrap_or(0));
            let id = row.get_ref(1).map_err(&error)?;
            let id = id.as_str().map_err(|_| value(place, "run", "no text".to_owned()))?;
            // Runs that were deleted in the tracker.
            let Some(run) = self.runs.get(id) else { return Ok(true) };
            let mut cells = vec![Cell::Missing; select.len()];
            if let Some(at) = run_at {
                cells[at] = Cell::Text(&run.name);
            }
            if let Some(at) = step_at {
                let step = row.get_ref(3).map_err(&error)?;
                cells[at] = Cell::Number(
                    step.as_i64().map_err(|_| value(place, "step", format!("{:?}", step.data_type())))?
                        as f64,
                );
            }
            if self.tracker == Tracker::Mlflow {
                let key = row.get_ref(2).map_err(&error)?;
                let key = key.as_str().map_err(|_| value(place, "key", "no text".to_owned()))?;
                if let Some(at) = place_of(key).filter(|&at| Some(at) != run_at && Some(at) != step_at) {
                    let found = row.get_ref(4).map_err(&error)?;
                    let number = found
                        .as_f64()
                        .or_else(|_| found.as_i64().map(|whole| whole as f64))
                        .map_err(|_| value(place, key, format!("{:?}", found.data_type())))?;
                    let is_nan = row.get_ref(5).map_err(&error)?.as_i64().is_ok_and(|flag| flag != 0);
                    // The largest numbers stand for infinities there.
                    cells[at] = Cell::Number(match number {
                        _ if is_nan => f64::NAN,
                        number if number.abs() >= 1.797e308 => f64::INFINITY.copysign(number),
                        number => number,
                    });
                }
            } else {
                let text = row.get_ref(4).map_err(&error)?;
                let text = text.as_bytes().map_err(|_| value(place, "metrics", "no text".to_owned()))?;
                let mut wrong = None;
                flatten(text, &mut |path, leaf| {
                    let Some(at) = place_of(path).filter(|&at| Some(at) != run_at && Some(at) != step_at)
                    else {
                        return;
                    };
                    cells[at] = match &leaf {
                        Leaf::Number(number) => Cell::Number(*number),
                        Leaf::Null => Cell::Missing,
                        // Numbers that JSON does not know are written as text.
                        Leaf::Text(text) => text.parse().map_or_else(
                            |_| {
                                wrong.get_or_insert((at, text.to_string()));
                                Cell::Missing
                            },
                            Cell::Number,
                        ),
                        Leaf::Bool(found) => {
                            wrong.get_or_insert((at, found.to_string()));
                            Cell::Missing
                        }
                    };
                })
                .map_err(|error| ReadError::Broken {
                    file: self.file.clone(),
                    place,
                    problem: format!("the row's metrics are not valid JSON: {error}"),
                })?;
                if let Some((at, found)) = wrong {
                    return Err(value(place, select[at].0, crate::table::shortened(&found)));
                }
            }
            visit(place, &cells)
        })?;
        Ok(TableEnd::default())
    }

    fn describe(&self, mapping: &Mapping, raw: &mut RawRun) -> Result<(), ReadError> {
        if let Some(run) = self.runs.values().find(|run| run.name == raw.id) {
            from_config(&run.config, raw);
        }
        if self.deleted > 0 {
            let (count, s) = (self.deleted, if self.deleted == 1 { "" } else { "s" });
            raw.notes.push((
                "deleted-runs",
                format!("{count} run{s} deleted in MLflow left out of {}", self.file),
            ));
        }
        by_names(mapping, &self.columns()?, raw);
        Ok(())
    }
}
