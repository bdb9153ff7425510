//! The points of a run: steps done, expectations met, loads ended.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::record::Recorder;
use crate::scenario::Scenario;
use crate::scenario::model::Point;

/// Which points have been reached, and when.
#[derive(Debug)]
pub(crate) struct Points {
    time: Arc<Recorder>,
    /// When the nodes were up and the first step began.
    begun: Mutex<Option<Duration>>,
    reached: Mutex<BTreeMap<(u8, usize), Duration>>,
    changes: watch::Sender<u64>,
}

impl Points {
    /// None is reached yet. Times are the recorder's.
    pub(crate) fn new(time: Arc<Recorder>) -> Self {
        Self { time, begun: Mutex::default(), reached: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Time since the run's start.
    pub(crate) fn now(&self) -> Duration {
        self.time.now()
    }

    /// The first step begins.
    pub(crate) fn begin(&self) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.now());
        self.changes.send_modify(|count| *count += 1);
    }

    /// When the first step began, if it did.
    pub(crate) fn begun(&self) -> Option<Duration> {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(&self, point: Point) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.now();
        reached.entry(key(point)).or_insert(now);
        drop(reached);
        self.changes.send_modify(|count| *count += 1);
    }

    /// When the point with this id was reached, if it was.
    pub(crate) fn when(&self, scenario: &Scenario, id: &str) -> Option<Duration> {
        let point = scenario.point(id)?;
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).get(&key(point)).copied()
    }

    /// Waits for the first step's beginning.
    pub(crate) async fn wait_for_begin(&self) {
        let mut changes = self.changes.subscribe();
        while self.begun().is_none() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for the point with this id.
    pub(crate) async fn wait(&self, scenario: &Scenario, id: &str) {
        let mut changes = self.changes.subscribe();
        while self.when(scenario, id).is_none() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

const fn key(point: Point) -> (u8, usize) {
    match point {
        Point::Step(index) => (0, index),
        Point::Expectation(index) => (1, index),
        Point::Load(index) => (2, index),
    }
}
