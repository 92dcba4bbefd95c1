//! Runs a demo without stopping at differences, and collects them.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use super::file::{Demo, Expectations, Step};
use super::run::{DemoError, Runner, Stage, merged};
use super::table::Screen;

/// A difference between what a leaf reports and what an emulated leaf would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `start`, or the number of a step.
    pub step: String,
    /// Name of the leaf.
    pub leaf: String,
    /// Path, relative to what the demo watches.
    pub path: String,
    /// What an emulated leaf reports.
    pub emulated: String,
    /// What this leaf reported.
    pub device: String,
}

/// Result of a demo on other leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Steps in which every leaf reported the same as an emulated one.
    pub same: Vec<usize>,
    /// Steps that could not be performed, and why.
    pub skipped: Vec<(usize, String)>,
    /// The differences, without duplicates.
    pub differences: Vec<Difference>,
}

/// Runs the steps with these numbers, or all if `steps` is empty.
///
/// # Errors
/// Returns an error if the output cannot be written or a leaf's state cannot be read. A difference is not an error.
pub(crate) async fn survey(
    stage: &impl Stage,
    demo: Demo,
    steps: &[usize],
    screen: Screen,
    out: &mut impl Write,
) -> Result<Survey, DemoError> {
    let mut surveyor = Surveyor { stage, demo, screen, found: Survey::default() };
    surveyor.start(out).await?;
    for number in 1..=surveyor.demo.steps.len() {
        if steps.is_empty() || steps.contains(&number) {
            surveyor.step(number, out).await?;
        }
    }
    surveyor.conclude(out)?;
    Ok(surveyor.found)
}

struct Surveyor<'a, S> {
    stage: &'a S,
    demo: Demo,
    screen: Screen,
    found: Survey,
}

impl<S: Stage> Surveyor<'_, S> {
    fn runner(&self) -> Runner<'_, S> {
        Runner { stage: self.stage, demo: &self.demo, screen: self.screen }
    }

    /// Waits for the healthy state. Differences in it are removed from the expectations, so that nothing waits for them
    /// again.
    async fn start(&mut self, out: &mut impl Write) -> Result<(), DemoError> {
        let mut healthy = merged(&self.demo.healthy, &Expectations::new(), self.stage.leaves());
        let within = self.demo.start_within;
        let waited = self.runner().until("the start", &healthy, &BTreeMap::new(), Instant::now(), within).await;
        let different = self.differences("start", waited.map(drop), &healthy)?;
        for difference in &different {
            if let Some(expectation) = healthy.get_mut(&difference.leaf) {
                expectation.remove(&difference.path);
            }
        }
        self.demo.healthy = healthy;
        self.note(different, out)?;
        if let Err(error @ DemoError::View { .. }) = self.runner().show(out).await {
            writeln!(
                out,
                "not shown: {error}: {}\n",
                std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
            )?;
        }
        Ok(())
    }

    async fn step(&mut self, number: usize, out: &mut impl Write) -> Result<(), DemoError> {
        let step: Step = self.demo.steps[number - 1].clone();
        let (name, before) = (number.to_string(), self.found.differences.len());
        writeln!(out, "{}", self.screen.bold(&format!("{number:>2}  {}", step.title)))?;
        let met = self.runner().met(&step.expect)?;
        let done = self.runner().act(&name, &step.actions, out).await;
        let skipped = match done {
            Ok(begun) => {
                let waited = self.runner().until(&name, &step.expect, &met, begun, step.within).await;
                let taken = waited.as_ref().ok().cloned().unwrap_or_default();
                let different = self.differences(&name, waited.map(drop), &step.expect)?;
                writeln!(out, "{}", self.runner().state_table(&taken)?.trim_end_matches('\n'))?;
                self.note(different, out)?;
                None
            }
            Err(DemoError::Action { source, .. }) => Some(source.to_string()),
            Err(other) => return Err(other),
        };
        self.heal(&name, &step, out).await?;
        match skipped {
            Some(why) => {
                writeln!(out, "    not done here: {why}\n")?;
                self.found.skipped.push((number, why));
            }
            None if self.found.differences.len() == before => self.found.same.push(number),
            None => {}
        }
        Ok(())
    }

    /// Heals as much as possible: if a step was performed only in part, some of its healing fails.
    async fn heal(&mut self, name: &str, step: &Step, out: &mut impl Write) -> Result<(), DemoError> {
        let begun = Instant::now();
        for action in &step.heal {
            match self.runner().act(name, std::slice::from_ref(action), out).await {
                Err(DemoError::Action { .. }) | Ok(_) => {}
                Err(other) => return Err(other),
            }
        }
        let expected = merged(&self.demo.healthy, &step.healed, self.stage.leaves());
        let waited = self.runner().until(name, &expected, &BTreeMap::new(), begun, step.within).await;
        let different = self.differences(&format!("{name}, healed"), waited.map(drop), &expected)?;
        if different.is_empty() {
            writeln!(out, "    every leaf is well again\n")?;
        }
        self.note(different, out)
    }

    /// Returns the differences if a wait failed.
    fn differences(
        &self,
        step: &str,
        waited: Result<(), DemoError>,
        expected: &Expectations,
    ) -> Result<Vec<Difference>, DemoError> {
        match waited {
            Ok(()) => Ok(Vec::new()),
            Err(DemoError::Unexpected { .. }) => {
                let mismatches = self.runner().mismatches(expected)?.into_iter();
                Ok(mismatches
                    .map(|[leaf, path, emulated, device]| Difference {
                        step: step.to_owned(),
                        leaf,
                        path,
                        emulated,
                        device,
                    })
                    .collect())
            }
            Err(other) => Err(other),
        }
    }

    /// Prints differences, and records new ones.
    fn note(&mut self, different: Vec<Difference>, out: &mut impl Write) -> Result<(), DemoError> {
        if different.is_empty() {
            return Ok(());
        }
        writeln!(out, "{}\n", self.table(4, &different).trim_end_matches('\n'))?;
        let of = |it: &Difference| (it.leaf.clone(), it.path.clone(), it.emulated.clone(), it.device.clone());
        for difference in different {
            if !self.found.differences.iter().any(|known| of(known) == of(&difference)) {
                self.found.differences.push(difference);
            }
        }
        Ok(())
    }

    fn table(&self, indent: usize, differences: &[Difference]) -> String {
        let cells =
            |it: &Difference| [&it.step, &it.leaf, &it.path, &it.emulated, &it.device].map(Clone::clone).to_vec();
        let rows: Vec<Vec<String>> = differences.iter().map(cells).collect();
        self.screen.table(indent, &["STEP", "LEAF", "PATH", "EMULATED", "DEVICE"], &rows)
    }

    fn conclude(&self, out: &mut impl Write) -> Result<(), DemoError> {
        let Survey { same, skipped, differences } = &self.found;
        let summary =
            format!("{} steps as emulated, {} not done, {} differences", same.len(), skipped.len(), differences.len());
        writeln!(out, "{}", self.screen.bold(&summary))?;
        if !differences.is_empty() {
            writeln!(out, "\n{}paths are below {}", self.table(0, differences), self.demo.watch)?;
        }
        for (number, why) in skipped {
            writeln!(out, "step {number} was not done: {why}")?;
        }
        Ok(())
    }
}
