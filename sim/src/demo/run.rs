//! Runs a demo: acts, waits until every leaf reports what it should, and prints the results.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::lab::{Action, ActionError, Changes, Lab, ViewError};

use super::file::{Demo, Expectations, Expected, Step, of_leaf};
use super::table::Screen;

/// Time for which expectations must hold, so that a transient state does not count as success.
const HOLD: Duration = Duration::from_millis(150);
/// The leaves of the watched entry that are shown in tables.
const SHOWN: [&str; 3] = ["oper-state", "oper-reason", "oper-detail"];
const ROOT: &str = "/k8s-services";

/// Why a demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A leaf did not report what it should.
    #[error("{what}: not as expected within {} s\n{}", within.as_secs(), failures.join("\n"))]
    Unexpected {
        /// Name of the step.
        what: String,
        /// The time limit.
        within: Duration,
        /// A table of leaf, path, expected and actual value, and the paths of the logs.
        failures: Vec<String>,
    },
    /// An action failed.
    #[error("{what}")]
    Action {
        /// Name of the step.
        what: String,
        /// Why the action failed.
        #[source]
        source: Box<ActionError>,
    },
    /// The state of a leaf cannot be read.
    #[error("{leaf}'s state cannot be read")]
    View {
        /// Name of the leaf.
        leaf: String,
        /// Why the state cannot be read.
        #[source]
        source: ViewError,
    },
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[from] std::io::Error),
}

/// What a demo runs on.
pub(crate) trait Stage {
    /// Returns the names of the leaves.
    fn leaves(&self) -> Vec<String>;
    /// Returns the value at a path of a leaf's state.
    fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError>;
    /// Returns notifications of changes in the leaves' state.
    fn changes(&self) -> Changes;
    /// Performs an action.
    async fn act(&self, action: &Action) -> Result<(), ActionError>;
    /// Returns the output of a command on a leaf's CLI.
    async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError>;
    /// Returns the log files of a leaf's applications.
    fn logs(&self, leaf: &str) -> Vec<PathBuf>;
}

impl Stage for Lab {
    fn leaves(&self) -> Vec<String> {
        self.leaves().keys().cloned().collect()
    }

    fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, ViewError> {
        self.read(leaf, path)
    }

    fn changes(&self) -> Changes {
        self.changes()
    }

    async fn act(&self, action: &Action) -> Result<(), ActionError> {
        self.act(action).await
    }

    async fn cli(&self, leaf: &str, command: &str) -> Result<String, ViewError> {
        self.cli(leaf, command).await
    }

    fn logs(&self, leaf: &str) -> Vec<PathBuf> {
        self.logs(leaf)
    }
}

/// Runs a demo on a lab, writing to `out`.
///
/// # Errors
/// [`DemoError`] with the first expectation that was not met.
pub async fn run(lab: &Lab, demo: &Demo, out: &mut impl Write) -> Result<(), DemoError> {
    play(lab, demo, Screen::stdout(), out).await
}

/// Runs a demo on any stage.
pub(crate) async fn play(
    stage: &impl Stage,
    demo: &Demo,
    screen: Screen,
    out: &mut impl Write,
) -> Result<(), DemoError> {
    let runner = Runner { stage, demo, screen };
    let healthy = BTreeMap::new();
    let started = runner.until("the start", &demo.healthy, &healthy, Instant::now(), demo.start_within).await?;
    writeln!(out, "every leaf agrees after {}\n", spell(started.values().max().copied().unwrap_or_default()))?;
    runner.show(out).await?;
    for (position, step) in demo.steps.iter().enumerate() {
        runner.step(position + 1, step, out).await?;
    }
    writeln!(out, "{}", runner.screen.bold(&format!("all {} steps as expected", demo.steps.len())))?;
    Ok(())
}

/// Performs actions on a stage and waits for their effect.
pub(super) struct Runner<'a, S> {
    pub(super) stage: &'a S,
    pub(super) demo: &'a Demo,
    pub(super) screen: Screen,
}

/// How long each leaf took to report what it should.
pub(super) type Taken = BTreeMap<String, Duration>;

impl<S: Stage> Runner<'_, S> {
    /// Prints what an operator would look at first.
    pub(super) async fn show(&self, out: &mut impl Write) -> Result<(), DemoError> {
        for show in &self.demo.show {
            writeln!(out, "{}", self.screen.bold(&format!("{}# {}", show.leaf, show.command)))?;
            let output = self.stage.cli(&show.leaf, &show.command).await;
            let output = output.map_err(|source| DemoError::View { leaf: show.leaf.clone(), source })?;
            writeln!(out, "{}\n", output.trim_end())?;
        }
        let counts = ["services", "vips", "vips-up", "vips-degraded", "vips-down", "vips-unknown"];
        let headings = ["LEAF", "STATE", "SERVICES", "VIPS", "UP", "DEGRADED", "DOWN", "UNKNOWN"];
        let mut rows = Vec::new();
        for leaf in &self.stage.leaves() {
            let mut row = vec![leaf.clone(), self.read(leaf, &format!("{ROOT}/oper-state"))?.unwrap_or_default()];
            for count in counts {
                row.push(self.read(leaf, &format!("{ROOT}/summary/{count}"))?.unwrap_or_default());
            }
            rows.push(row);
        }
        writeln!(out, "{}", self.screen.table(0, &headings, &rows))?;
        Ok(())
    }

    async fn step(&self, number: usize, step: &Step, out: &mut impl Write) -> Result<(), DemoError> {
        writeln!(out, "{}", self.screen.bold(&format!("{number:>2}  {}", step.title)))?;
        let before = self.met(&step.expect)?;
        let what = format!("step {number}, '{}'", step.title);
        let begun = self.act(&what, &step.actions, out).await?;
        let taken = self.until(&what, &step.expect, &before, begun, step.within).await?;
        writeln!(out, "{}", self.state_table(&taken)?.trim_end_matches('\n'))?;
        let healing = format!("{what}, healing");
        let begun = self.act(&healing, &step.heal, out).await?;
        let expected = merged(&self.demo.healthy, &step.healed, self.stage.leaves());
        let taken = self.until(&healing, &expected, &BTreeMap::new(), begun, step.within).await?;
        let longest = taken.values().max().copied().unwrap_or_default();
        writeln!(out, "    every leaf is well again after {}\n", spell(longest))?;
        Ok(())
    }

    /// Performs all actions. Returns the start of the last one, from which times are counted.
    pub(super) async fn act(&self, what: &str, actions: &[Action], out: &mut impl Write) -> Result<Instant, DemoError> {
        let mut begun = Instant::now();
        for action in actions {
            begun = Instant::now();
            writeln!(out, "    {}", action.summary())?;
            out.flush()?;
            self.stage
                .act(action)
                .await
                .map_err(|source| DemoError::Action { what: what.to_owned(), source: Box::new(source) })?;
        }
        Ok(begun)
    }

    /// Waits until every expectation holds. A leaf whose expectations held `before`, and throughout, took no time.
    pub(super) async fn until(
        &self,
        what: &str,
        expectations: &Expectations,
        before: &BTreeMap<String, bool>,
        started: Instant,
        within: Duration,
    ) -> Result<Taken, DemoError> {
        let mut changes = self.stage.changes();
        let mut since: BTreeMap<String, Option<Duration>> =
            before.iter().filter(|(_, met)| **met).map(|(leaf, _)| (leaf.clone(), Some(Duration::ZERO))).collect();
        loop {
            let now = started.elapsed();
            for (leaf, met) in self.met(expectations)? {
                let entry = since.entry(leaf).or_default();
                *entry = if met { entry.or(Some(now)) } else { None };
            }
            let latest = since.values().copied().collect::<Option<Vec<_>>>();
            let settled = latest.map(|times| times.into_iter().max().unwrap_or_default() + HOLD);
            if settled.is_some_and(|settled| now >= settled) {
                return Ok(since.into_iter().filter_map(|(leaf, at)| Some((leaf, at?))).collect());
            }
            if now >= within {
                let failures = self.failures(expectations)?;
                return Err(DemoError::Unexpected { what: what.to_owned(), within, failures });
            }
            let wake = settled.unwrap_or(within).min(within).saturating_sub(now);
            // Either there are changes, or it is time to look.
            let _ = tokio::time::timeout(wake, changes.changed()).await;
        }
    }

    /// Returns for each leaf whether all its expectations hold.
    pub(super) fn met(&self, expectations: &Expectations) -> Result<BTreeMap<String, bool>, DemoError> {
        let mut met = BTreeMap::new();
        for leaf in &self.stage.leaves() {
            let Some(expectation) = of_leaf(expectations, leaf) else { continue };
            let mut holds = true;
            for (path, expected) in expectation {
                holds &= expected.holds(self.read(leaf, &self.absolute(path))?.as_deref());
            }
            met.insert(leaf.clone(), holds);
        }
        Ok(met)
    }

    /// Returns one line per expectation that does not hold, then the logs of the leaves concerned.
    fn failures(&self, expectations: &Expectations) -> Result<Vec<String>, DemoError> {
        let rows = self.mismatches(expectations)?;
        let mut logs = Vec::new();
        for leaf in self.stage.leaves().iter().filter(|leaf| rows.iter().any(|row| row[0] == **leaf)) {
            logs.extend(self.stage.logs(leaf).iter().map(|log| format!("  {leaf}'s log: {}", log.display())));
        }
        let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
        let plain = Screen { colours: false, ..self.screen };
        let table = plain.table(2, &["LEAF", "PATH", "EXPECTED", "GOT"], &rows);
        let watched = format!("  paths are below {}", self.demo.watch);
        Ok(table.lines().map(str::to_owned).chain([watched]).chain(logs).collect())
    }

    /// Returns leaf, path, expected and actual value of each expectation that does not hold.
    pub(super) fn mismatches(&self, expectations: &Expectations) -> Result<Vec<[String; 4]>, DemoError> {
        let mut rows = Vec::new();
        for leaf in &self.stage.leaves() {
            for (path, expected) in of_leaf(expectations, leaf).into_iter().flatten() {
                let got = self.read(leaf, &self.absolute(path))?;
                if !expected.holds(got.as_deref()) {
                    let got = got.unwrap_or_else(|| Expected::Absent.to_string());
                    rows.push([leaf.clone(), path.clone(), expected.to_string(), got]);
                }
            }
        }
        Ok(rows)
    }

    /// Returns a table of what every leaf reports for the watched entry.
    pub(super) fn state_table(&self, taken: &Taken) -> Result<String, DemoError> {
        let mut rows = Vec::new();
        for leaf in &self.stage.leaves() {
            let mut cells = Vec::new();
            for name in SHOWN {
                cells.push(self.read(leaf, &self.absolute(name))?);
            }
            let [state, reason, detail]: [Option<String>; 3] = cells.try_into().expect("as many as are shown");
            let after = taken
                .get(leaf)
                .map_or("-".to_owned(), |taken| if taken.is_zero() { "-".to_owned() } else { spell(*taken) });
            let state = state.unwrap_or_else(|| "no entry".to_owned());
            rows.push(vec![leaf.clone(), state, reason.unwrap_or_default(), after, detail.unwrap_or_default()]);
        }
        Ok(self.screen.table(4, &["LEAF", "STATE", "REASON", "AFTER", "DETAIL"], &rows))
    }

    fn read(&self, leaf: &str, path: &str) -> Result<Option<String>, DemoError> {
        self.stage.read(leaf, path).map_err(|source| DemoError::View { leaf: leaf.to_owned(), source })
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.demo.watch) }
    }
}

/// Returns the healthy state with the changes of one step.
pub(super) fn merged(healthy: &Expectations, changes: &Expectations, leaves: Vec<String>) -> Expectations {
    let mut merged = Expectations::new();
    for leaf in leaves {
        let mut expectation = of_leaf(healthy, &leaf).cloned().unwrap_or_default();
        expectation.extend(of_leaf(changes, &leaf).cloned().unwrap_or_default());
        merged.insert(leaf, expectation);
    }
    merged
}

/// Formats a duration: milliseconds below a second, else seconds.
fn spell(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis().max(1))
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
