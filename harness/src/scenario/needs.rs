//! What a scenario asks of a world.
//!
//! A world declares the capabilities that it has; what a scenario needs beyond them makes the run *unsupported*, with
//! the reason, before anything starts. Nothing is ever skipped in silence.

use std::collections::BTreeSet;
use std::fmt;

use super::action::{Action, AttachList, AttachQuery};
use super::fault::{Fault, FaultKind};
use super::load::GateRule;
use super::model::{Rule, Scenario, Trust, View};

/// One thing that a world must be able to do.
///
/// The words inside are those of the file format: verbs of steps, kinds of faults, models of loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// A step with this verb ([`Action::VERBS`]).
    Step(&'static str),
    /// A step that acts on nodes which the seed chooses.
    ChosenNodes,
    /// A fault of this kind ([`FaultKind::NAMES`]).
    Fault(&'static str),
    /// A network that is slower or worse than the world's own.
    ShapedNetwork,
    /// Random faults.
    Nemesis,
    /// A certificate authority of its own for each `ca`, and certificates from it.
    IssuedTrust,
    /// One self-signed key for several nodes.
    SharedTrust,
    /// A role in a certificate other than `member`.
    Roles,
    /// A certificate with a lifetime of its own.
    ShortCertificates,
    /// A node that announces a name which its certificate does not carry.
    ClaimedNames,
    /// A condition in this rule (`always`, `eventually`, …).
    Expectation(&'static str),
    /// A checker over the history.
    HistoryChecker,
    /// A snapshot of this view.
    Snapshot(View),
    /// A load of this model ([`LoadModel::NAMES`](super::load::LoadModel::NAMES)).
    Load(&'static str),
    /// A gate against another build.
    PairedGate,
    /// A gate on an exact figure.
    ExactGate,
    /// An attach that lists this kind of thing.
    AttachList(&'static str),
    /// Commands at the operators' prompt.
    AttachPrompt,
}

/// A fragment that fits before "need" or after "cannot do": `fault "partition"`.
impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(verb) => write!(f, "`{verb}` steps"),
            Self::ChosenNodes => f.write_str("steps on nodes chosen by the seed"),
            Self::Fault(kind) => write!(f, "`{kind}` faults"),
            Self::ShapedNetwork => f.write_str("a shaped [network]"),
            Self::Nemesis => f.write_str("[[nemesis]]"),
            Self::IssuedTrust => f.write_str("trust from a `ca`"),
            Self::SharedTrust => f.write_str("`shared` trust"),
            Self::Roles => f.write_str("certificate roles"),
            Self::ShortCertificates => f.write_str("`valid_for` certificates"),
            Self::ClaimedNames => f.write_str("trust that `claims` another name"),
            Self::Expectation(rule) => write!(f, "`{rule}` expectations"),
            Self::HistoryChecker => f.write_str("`history` expectations"),
            Self::Snapshot(view) => write!(f, "snapshots of the `{}` view", view.name()),
            Self::Load(model) => write!(f, "`{model}` loads"),
            Self::PairedGate => f.write_str("`paired` gates"),
            Self::ExactGate => f.write_str("`exact` gates"),
            Self::AttachList(kind) => write!(f, "`list = \"{kind}\"` in an attach step"),
            Self::AttachPrompt => f.write_str("`run` in an attach step"),
        }
    }
}

impl Scenario {
    /// Everything that a world must be able to do to run this cell.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Capability> {
        let mut needs = BTreeSet::new();
        for node in &self.nodes {
            // Only what a node uses: an entry nobody carries asks nothing.
            match self.trust.get(&node.trust) {
                Some(Trust::Shared { .. }) => {
                    needs.insert(Capability::SharedTrust);
                }
                Some(Trust::Issued { role, valid_for, claims, .. }) => {
                    needs.insert(Capability::IssuedTrust);
                    if role.as_deref().is_some_and(|role| role != "member") {
                        needs.insert(Capability::Roles);
                    }
                    if valid_for.is_some() {
                        needs.insert(Capability::ShortCertificates);
                    }
                    if claims.is_some() {
                        needs.insert(Capability::ClaimedNames);
                    }
                }
                None => {}
            }
        }
        if self.network.is_shaped() {
            needs.insert(Capability::ShapedNetwork);
        }
        for step in &self.steps {
            needs_of_action(&step.action, &mut needs);
        }
        for nemesis in &self.nemeses {
            needs.insert(Capability::Nemesis);
            nemesis.faults().for_each(|fault| needs_of_fault(fault, &mut needs));
        }
        for expectation in &self.expectations {
            needs.insert(match expectation.rule {
                Rule::History { .. } => Capability::HistoryChecker,
                ref rule => Capability::Expectation(rule.kind()),
            });
        }
        needs.extend(self.snapshots.iter().map(|snapshot| Capability::Snapshot(snapshot.view)));
        for load in &self.loads {
            needs.insert(Capability::Load(load.model.name()));
            if load.model.is_open() {
                // All of them need a generator that keeps the time.
                needs.insert(Capability::Load("open"));
            }
        }
        needs.extend(self.gates.iter().map(|gate| match gate.rule {
            GateRule::Paired { .. } => Capability::PairedGate,
            GateRule::Exact => Capability::ExactGate,
        }));
        needs
    }
}

fn needs_of_action(action: &Action, needs: &mut BTreeSet<Capability>) {
    needs.insert(Capability::Step(action.verb()));
    match action {
        Action::Fault(fault) => needs_of_fault(fault, needs),
        Action::Snapshot { view } => {
            needs.insert(Capability::Snapshot(*view));
        }
        Action::Attach { query: AttachQuery::List(list), .. } => {
            let word = AttachList::ALL.iter().find(|(_, kind)| kind == list).map_or("?", |(word, _)| word);
            needs.insert(Capability::AttachList(word));
        }
        Action::Attach { query: AttachQuery::Run(_), .. } => {
            needs.insert(Capability::AttachPrompt);
        }
        Action::Stop { nodes }
        | Action::Kill { nodes }
        | Action::Pause { nodes }
        | Action::Resume { nodes }
        | Action::Restart { nodes }
            if nodes.is_chosen() =>
        {
            needs.insert(Capability::ChosenNodes);
        }
        _ => {}
    }
}

fn needs_of_fault(fault: &Fault, needs: &mut BTreeSet<Capability>) {
    needs.insert(Capability::Fault(FaultKind::name(&fault.kind)));
}
