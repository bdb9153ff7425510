//! Random faults from the seed, between two points.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::faults::Source;
use super::stage::Stage;
use crate::fault::network::Key;
use crate::random::Random;
use crate::scenario::fault::Fault;
use crate::scenario::model::{Distribution, Nemesis, Strikes};

impl Stage {
    /// Strikes until its end comes: the point `until`, the last step, or a step that heals all.
    pub(super) async fn nemesis(self: Arc<Self>, index: usize) {
        let scenario = self.scenario.clone();
        let nemesis = &scenario.nemeses[index];
        let begins = async {
            match &nemesis.from {
                Some(from) => self.points.wait(&scenario, from).await,
                None => self.points.wait_for_begin().await,
            }
        };
        let mut over = self.nemesis_over.subscribe();
        tokio::select! {
            biased;
            _ = over.wait_for(|over| *over) => return,
            () = begins => {}
        }
        let ends = async {
            let until = async {
                match &nemesis.until {
                    Some(until) => self.points.wait(&scenario, until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => {}
                () = until => {}
            }
        };
        self.strike(index, nemesis, ends).await;
        let all = self.faults.records();
        for (key, _) in all.into_iter().filter(|(_, record)| record.by == Source::Nemesis(index)) {
            if let Err((message, _)) = self.end_fault(key).await {
                self.find_unable("nemesis", message);
            }
        }
    }

    /// Strikes until `ends` resolves. Only the pauses are cut short: a strike that has begun is carried through.
    async fn strike(self: &Arc<Self>, index: usize, nemesis: &Nemesis, ends: impl Future<Output = ()>) {
        let mut ends = std::pin::pin!(ends);
        let begun = tokio::time::Instant::now();
        self.faults.nemesis_begins(index, self.points.now());
        let mut plan = Plan::new(nemesis, self.options.seed, index);
        while let Some((pause, chosen, fault)) = plan.next() {
            let at = match pause {
                Pause::For(pause) => tokio::time::Instant::now() + pause,
                Pause::Until(at) => begun + at,
            };
            tokio::select! {
                biased;
                () = &mut ends => return,
                () = tokio::time::sleep_until(at) => {}
            }
            let _one = self.striking.lock().await;
            if *self.nemesis_over.borrow() {
                return;
            }
            if let Some(before) = plan.replaced(chosen)
                && let Err((message, _)) = self.end_fault(before).await
            {
                self.find_unable("nemesis", message);
            }
            match self.begin_fault(&fault, Source::Nemesis(index)).await {
                Ok(key) => plan.struck(chosen, key),
                // With nobody to choose from, or with a node that is held still, a strike misses.
                Err((message, _)) => tracing::debug!(%message, "a strike missed"),
            }
        }
        // What it began stays until its end.
        ends.await;
    }
}

/// When the next strike comes.
enum Pause {
    /// So long after the one before.
    For(Duration),
    /// At this time after the beginning.
    Until(Duration),
}

/// The strikes of a nemesis, one after another.
struct Plan<'a> {
    strikes: &'a Strikes,
    random: Random,
    /// The next of listed ones.
    next: usize,
    /// What each fault without an end of its own has begun: it stays until the same one strikes again.
    last: Vec<Option<Key>>,
}

impl<'a> Plan<'a> {
    fn new(nemesis: &'a Nemesis, seed: u64, index: usize) -> Self {
        let faults = nemesis.faults().count();
        let random = Random::apart(seed, &format!("nemesis {index}"));
        Self { strikes: &nemesis.strikes, random, next: 0, last: vec![None; faults] }
    }

    fn next(&mut self) -> Option<(Pause, usize, Fault)> {
        match self.strikes {
            Strikes::Random { every, distribution, faults } => {
                let pause = pause(*every, *distribution, &mut self.random);
                let chosen = self.random.below(faults.len() as u64) as usize;
                Some((Pause::For(pause), chosen, faults[chosen].clone()))
            }
            Strikes::Listed(strikes) => {
                let (at, fault) = strikes.get(self.next)?;
                self.next += 1;
                Some((Pause::Until(*at), self.next - 1, fault.clone()))
            }
        }
    }

    fn replaced(&mut self, chosen: usize) -> Option<Key> {
        self.last[chosen].take()
    }

    fn struck(&mut self, chosen: usize, key: Key) {
        self.last[chosen] = Some(key);
    }
}

/// The time to the next strike.
fn pause(mean: Duration, distribution: Distribution, random: &mut Random) -> Duration {
    match distribution {
        Distribution::Constant => mean,
        Distribution::Uniform => mean.mul_f64(2.0 * random.share()),
        // The inverse of the exponential distribution; the share is below 1, so the logarithm is finite.
        Distribution::Exponential => mean.mul_f64(-(1.0 - random.share()).ln()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distribution_has_the_mean_that_was_asked_for() {
        let mean = Duration::from_millis(400);
        for distribution in [Distribution::Constant, Distribution::Uniform, Distribution::Exponential] {
            let mut random = Random::new(11);
            let sum: Duration = (0..10_000).map(|_| pause(mean, distribution, &mut random)).sum();
            let average = sum / 10_000;
            assert!((380..420).contains(&average.as_millis()), "{distribution:?}: {average:?}");
        }
    }
}
