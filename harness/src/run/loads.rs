//! Loads: who sends to whom, slice by slice, and what came of it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Outcome;
use super::stage::{Stage, name_of};
use crate::load::{Figures, slices};
use crate::record::What;
use crate::scenario::load::Load;
use crate::scenario::model::Point;
use crate::world::order::{Answer, Order, PidText};

impl Stage {
    /// Runs one load and notes its figures.
    pub(super) async fn load(self: &Arc<Self>, index: usize) {
        let load = &self.scenario.loads[index];
        self.loads_running.fetch_add(1, Relaxed);
        self.scene.recorder().note(What::LoadBegun { load: index });
        let measured = self.measure(index, load).await;
        self.scene.recorder().note(What::LoadEnded { load: index });
        self.loads_running.fetch_sub(1, Relaxed);
        match measured {
            Ok(figures) => {
                self.state().loads.insert(load.id.clone(), figures);
            }
            Err(message) => {
                self.find(Outcome::Invalid, Some(load.line), &format!("load `{}`", load.id), message, None);
            }
        }
        self.points.reach(Point::Load(index));
        self.observe();
    }

    async fn measure(&self, index: usize, load: &Load) -> Result<Figures, String> {
        let from =
            self.cluster.seat(&load.from).ok_or_else(|| format!("node `{}` does not run", load.from))?;
        let mut to = Vec::new();
        for address in load.round.receivers() {
            let pid = self.resolve(&load.from, address).await;
            to.push(PidText(pid.ok_or_else(|| format!("{} is nowhere", name_of(address)))?));
        }
        let label = to.first().map(|first| self.scene.label(first.0)).unwrap_or_default();
        let mut figures_of = Vec::new();
        for _ in 0..load.slices.max(1) {
            // Held until the slice is over.
            let _turn = self.turn().await?;
            match from.ask(Order::Load { load: index, to: to.clone(), label: label.clone() }).await {
                Ok(Answer::Figures(figures)) => figures_of.push(*figures),
                Ok(_) => return Err("the node answered something else".to_owned()),
                Err(refused) => return Err(refused.to_string()),
            }
        }
        // What follows, up to the next load or the end, is a turn too.
        drop(self.turn().await?);
        slices::merge(load, &figures_of)
    }
}
