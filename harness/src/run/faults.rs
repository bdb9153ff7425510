//! Faults of a run: begun, ended, counted. A fault that does nothing makes the run prove nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::Stage;
use super::steps::{Failed, told};
use crate::fault::network::{Effect, Key, OWN, Pairs, Rule};
use crate::fault::wire::Counts;
use crate::record::What;
use crate::scenario::fault::{Fault, FaultKind, PartitionShape, Path, Sides, Target};
use crate::world::cluster::index_of;
use crate::world::order::Order;

/// Every fault that was begun in a run.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    all: Mutex<BTreeMap<Key, Record>>,
    /// When each nemesis began, since the run's start.
    nemeses: Mutex<BTreeMap<usize, Duration>>,
}

/// One fault that was begun.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Its id in the file.
    pub(crate) id: Option<String>,
    /// What it is, with whatever the seed chose written out.
    pub(crate) fault: Fault,
    /// Who began it.
    pub(crate) by: Source,
    /// When it began, since the run's start.
    pub(crate) begun: Duration,
    /// When it ended.
    pub(crate) ended: Option<Duration>,
    /// The nodes that it is done to, if it is done to nodes.
    pub(crate) nodes: Vec<String>,
    /// What it did to nodes.
    hits: u64,
}

/// Who began a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The step with this index.
    Step(usize),
    /// The nemesis with this index.
    Nemesis(usize),
    /// Somebody at the prompt of a run that holds.
    Hand,
}

impl Faults {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Key, Record>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every fault so far, in the order of their beginning.
    pub(super) fn records(&self) -> Vec<(Key, Record)> {
        self.all().iter().map(|(key, record)| (*key, record.clone())).collect()
    }

    /// A nemesis begins, this long after the run's start.
    pub(super) fn nemesis_begins(&self, index: usize, at: Duration) {
        self.nemeses.lock().unwrap_or_else(PoisonError::into_inner).insert(index, at);
    }

    /// When each nemesis began, since the run's start.
    pub(super) fn nemeses(&self) -> BTreeMap<usize, Duration> {
        self.nemeses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn active(&self) -> Vec<Key> {
        self.all().iter().filter(|(_, record)| record.ended.is_none()).map(|(key, _)| *key).collect()
    }

    /// Whether one is in force that keeps nodes from hearing of each other.
    pub(super) fn keep_apart(&self) -> bool {
        self.all().values().any(|record| record.ended.is_none() && record.fault.kind.keeps_apart())
    }

    /// Faults for observations: each id of the file, with what it has done.
    pub(super) fn json<'a>(
        &self,
        ids: impl Iterator<Item = &'a str>,
        counts: &BTreeMap<Key, Counts>,
        now: Duration,
    ) -> serde_json::Map<String, Value> {
        let all = self.all();
        let shown = ids.map(|id| {
            let (mut sum, mut active, mut lasted) = (Counts::default(), false, Duration::ZERO);
            for (key, record) in all.iter().filter(|(_, record)| record.id.as_deref() == Some(id)) {
                sum.add(&counts.get(key).copied().unwrap_or_default());
                sum.hits += record.hits;
                active |= record.ended.is_none();
                lasted += record.ended.unwrap_or(now).saturating_sub(record.begun);
            }
            let shown = json!({
                "active": active,
                "lasted_ms": u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
                "hits": sum.hits,
                "dropped": sum.dropped,
                "delayed": sum.delayed,
                "duplicated": sum.duplicated,
                "corrupted": sum.corrupted,
            });
            (id.to_owned(), shown)
        });
        shown.collect()
    }

    /// What did nothing: who began it, and what it was. There are so many nemeses.
    pub(super) fn idle(&self, nemeses: usize, counts: &BTreeMap<Key, Counts>) -> Vec<(Source, String)> {
        let all = self.all();
        let did = |key: &Key, record: &Record| record.hits + counts.get(key).map_or(0, |counts| counts.hits);
        let mut idle = Vec::new();
        // A nemesis strikes at random, and now and then hits nothing: what counts is that it hit at all.
        let mut nemeses: BTreeMap<usize, u64> = (0..nemeses).map(|index| (index, 0)).collect();
        for (key, record) in all.iter() {
            match record.by {
                Source::Nemesis(index) => *nemeses.entry(index).or_default() += did(key, record),
                // Whoever began it by hand was there to see.
                Source::Hand => {}
                by if did(key, record) == 0 => idle.push((by, record.describe())),
                _ => {}
            }
        }
        let never = nemeses.into_iter().filter(|(_, hits)| *hits == 0);
        idle.extend(never.map(|(index, _)| (Source::Nemesis(index), "the nemesis".to_owned())));
        idle
    }
}

impl Record {
    /// The fault with the time that it was in force, if it has ended.
    pub(crate) fn as_it_was(&self) -> Fault {
        let mut fault = self.fault.clone();
        if !matches!(fault.kind, FaultKind::Rebind(_)) {
            fault.hold = fault.hold.or_else(|| Some(self.ended?.saturating_sub(self.begun)));
        }
        fault
    }

    /// The fault in a few words: its id, or else its kind.
    pub(crate) fn describe(&self) -> String {
        match &self.id {
            Some(id) => format!("the fault `{id}`"),
            None => format!("the fault `{}`", self.fault.kind.name()),
        }
    }
}

impl Stage {
    /// Begins a fault, and sees to its end if it ends by itself. In force when it returns.
    ///
    /// # Errors
    /// When the seed has nobody to choose from, or a node cannot be done to what is asked.
    pub(super) async fn begin_fault(self: &Arc<Self>, fault: &Fault, by: Source) -> Result<Key, Failed> {
        let fault = self.concrete(fault)?;
        let nodes = fault.kind.nodes().to_vec();
        let key = {
            let mut all = self.faults.all();
            let key = all.keys().last().map_or(OWN + 1, |last| last + 1);
            let record = Record {
                id: fault.id.clone(),
                fault: fault.clone(),
                by,
                begun: self.points.now(),
                ended: None,
                nodes: nodes.clone(),
                hits: 0,
            };
            all.insert(key, record);
            key
        };
        let name = fault.id.clone().unwrap_or_else(|| fault.kind.name().to_owned());
        self.scene.recorder().fault_begun(key, name, fault.kind.about());
        if let Some(rule) = self.rule(key, &fault.kind) {
            self.cluster.rules(|rules| rules.push(rule)).await;
        }
        for (done, node) in nodes.iter().enumerate() {
            let done_to = self.do_to_node(node, &fault.kind).await;
            if let Some(record) = self.faults.all().get_mut(&key) {
                match &done_to {
                    Ok(is_done) => record.hits += u64::from(*is_done),
                    Err(_) => record.nodes.truncate(done),
                }
            }
            if let Err(failed) = done_to {
                // It is over at once, also where it did something.
                self.end_fault(key).await?;
                return Err(failed);
            }
        }
        if matches!(fault.kind, FaultKind::Rebind(_)) {
            // It is done: there is nothing to lift.
            self.note_ended(key);
        } else if let Some(hold) = fault.hold {
            let stage = self.clone();
            self.spawn(async move {
                tokio::time::sleep(hold).await;
                if let Err((message, _)) = stage.end_fault(key).await {
                    stage.find_unable("fault", message);
                }
            });
        }
        self.scene.touch();
        Ok(key)
    }

    /// Does to a node what the fault does to nodes; whether it does anything to them.
    async fn do_to_node(self: &Arc<Self>, node: &str, kind: &FaultKind) -> Result<bool, Failed> {
        match kind {
            FaultKind::Pause(_) => self.cluster.pause(node, true).await.map_err(told)?,
            FaultKind::Crash(_) => self.kill(node).await.map_err(told)?,
            FaultKind::CpuHog(_) => {
                self.cluster.order(node, Order::Hog { on: true }).await.map_err(told)?;
            }
            FaultKind::Clock { offset_ms, drift, .. } => {
                let order = Order::Clock { offset_ms: *offset_ms, drift: *drift };
                self.cluster.order(node, order).await.map_err(told)?;
            }
            FaultKind::Rebind(_) => self.cluster.rebind(node).await.map_err(told)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Ends a fault; one that has ended already stays so.
    ///
    /// # Errors
    /// When a node cannot be brought back.
    pub(super) async fn end_fault(self: &Arc<Self>, key: Key) -> Result<(), Failed> {
        let Some(record) = self.note_ended(key) else { return Ok(()) };
        if self.rule(key, &record.fault.kind).is_some() {
            self.cluster.rules(|rules| rules.retain(|rule| rule.key != key)).await;
        }
        for node in &record.nodes {
            let runs = self.cluster.is_running(node);
            match record.fault.kind {
                FaultKind::Pause(_) if runs => self.cluster.pause(node, false).await.map_err(told)?,
                FaultKind::Crash(_) if !runs => self.cluster.start(node).await.map_err(told)?,
                FaultKind::CpuHog(_) if runs => {
                    self.cluster.lift(node, Order::Hog { on: false }).await.map_err(told)?;
                }
                FaultKind::Clock { .. } if runs => {
                    let order = Order::Clock { offset_ms: 0, drift: 0.0 };
                    self.cluster.lift(node, order).await.map_err(told)?;
                }
                _ => {}
            }
        }
        self.scene.touch();
        Ok(())
    }

    /// Ends every fault, and every nemesis with them, and looks that none is left.
    ///
    /// # Errors
    /// When one is left.
    pub(super) async fn heal_all(self: &Arc<Self>) -> Result<(), Failed> {
        self.nemesis_over.send_replace(true);
        // A strike may be on its way; after it, none comes.
        let _none = self.striking.lock().await;
        for key in self.faults.active() {
            self.end_fault(key).await?;
        }
        let left = self.faults.active().len() + self.cluster.rules_left();
        if left > 0 {
            return Err((format!("{left} faults are left after healing all"), None));
        }
        Ok(())
    }

    /// Ends the faults with these ids.
    ///
    /// # Errors
    /// When one of them was never begun, or cannot be ended.
    pub(super) async fn heal(self: &Arc<Self>, ids: &[String]) -> Result<(), Failed> {
        for id in ids {
            let of_id = |record: &Record| record.id.as_ref() == Some(id);
            let keys: Vec<Key> =
                self.faults.all().iter().filter(|(_, record)| of_id(record)).map(|(key, _)| *key).collect();
            if keys.is_empty() {
                return Err((format!("the fault `{id}` has not begun: there is nothing to heal"), None));
            }
            for key in keys {
                self.end_fault(key).await?;
            }
        }
        Ok(())
    }

    /// Notes the end of a fault that is still active, and gives it back.
    fn note_ended(&self, key: Key) -> Option<Record> {
        let now = self.points.now();
        let mut all = self.faults.all();
        let record = all.get_mut(&key).filter(|record| record.ended.is_none())?;
        record.ended = Some(now);
        self.scene.recorder().note(What::FaultEnded { key });
        Some(record.clone())
    }

    /// The fault with what the seed chooses written out.
    fn concrete(&self, fault: &Fault) -> Result<Fault, Failed> {
        let mut fault = fault.clone();
        match &mut fault.kind {
            FaultKind::Isolate(target)
            | FaultKind::Rebind(target)
            | FaultKind::Pause(target)
            | FaultKind::Crash(target)
            | FaultKind::CpuHog(target)
            | FaultKind::Clock { nodes: target, .. }
            | FaultKind::Expire(target)
            | FaultKind::RevokeCertificate(target) => *target = Target::Nodes(self.targets(target)?),
            FaultKind::Partition { sides: sides @ Sides::Against(_), shape } => {
                let Sides::Against(target) = &*sides else { unreachable!("just matched") };
                *sides = Sides::Named(self.sides(target, *shape)?);
            }
            _ => {}
        }
        Ok(fault)
    }

    /// The sides of a partition that the seed chooses: the target against all others.
    fn sides(&self, target: &Target, shape: PartitionShape) -> Result<Vec<Vec<String>>, Failed> {
        let mut all: Vec<String> = self.running();
        if shape == PartitionShape::Ring {
            self.random().shuffle(&mut all);
            return Ok(all.into_iter().map(|node| vec![node]).collect());
        }
        let chosen = self.targets(target)?;
        let mut rest: Vec<String> = all.into_iter().filter(|node| !chosen.contains(node)).collect();
        let needed = if shape == PartitionShape::Bridge { 2 } else { 1 };
        if rest.len() < needed {
            return Err(("nobody is left on the other side of the partition".to_owned(), None));
        }
        let mut sides = vec![chosen];
        if shape == PartitionShape::Bridge {
            self.random().shuffle(&mut rest);
            let bridge = rest.pop();
            sides.push(rest);
            sides.extend(bridge.map(|node| vec![node]));
        } else {
            sides.push(rest);
        }
        Ok(sides)
    }

    /// What a fault of the network adds to its rules.
    fn rule(&self, key: Key, kind: &FaultKind) -> Option<Rule> {
        let index = |name: &String| index_of(&self.scenario, name);
        let set = |names: &[String]| names.iter().map(index).collect::<BTreeSet<_>>();
        let along = |path: &Path| Pairs::path(path, index);
        let (pairs, effect) = match kind {
            FaultKind::Partition { sides: Sides::Named(sides), shape } => {
                let sides = sides.iter().map(|side| set(side)).collect();
                (Pairs::Across { sides, shape: (*shape).into() }, Effect::Cut)
            }
            FaultKind::Isolate(Target::Nodes(nodes)) => (Pairs::Touching(set(nodes)), Effect::Cut),
            FaultKind::Loss(share, path) => (along(path), Effect::Loss(*share)),
            FaultKind::BurstLoss { share, burst, path } => {
                (along(path), Effect::Burst { share: *share, mean: *burst as f64 })
            }
            FaultKind::Latency(by, path) => (along(path), Effect::Latency(*by)),
            FaultKind::Jitter(max, path) => (along(path), Effect::Jitter(*max)),
            FaultKind::Reorder(share, path) => (along(path), Effect::Reorder(*share)),
            FaultKind::Duplicate(share, path) => (along(path), Effect::Duplicate(*share)),
            FaultKind::Corrupt(share, path) => (along(path), Effect::Corrupt(*share)),
            FaultKind::Bandwidth(bits, path) => (along(path), Effect::Bandwidth(*bits)),
            FaultKind::Mtu(bytes, path) => (along(path), Effect::Mtu(*bytes)),
            FaultKind::DropNth { nth, packet, path } => {
                (along(path), Effect::Nth { nth: *nth, kind: (*packet).into() })
            }
            _ => return None,
        };
        Some(Rule { key, pairs, effect })
    }
}
