//! The supervision tree.

use super::world::{Diary, MS, child, family, order};
use crate::CallError;
use crate::actor::Runtime;
use crate::supervisor::{Branch, ChildSpec, Strategy, SupervisorSpec};

fn shape(branch: &Branch) -> String {
    let twigs = branch.children.as_ref().expect("it answers").iter();
    let twigs =
        twigs.map(|twig| format!("{}{}", twig.info.id, twig.below.as_ref().map_or(String::new(), shape)));
    format!("({})", twigs.collect::<Vec<_>>().join(" "))
}

#[tokio::test(start_paused = true)]
async fn a_tree_shows_each_supervisor_once_with_what_is_below_it() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let lowest = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "d"));
    let below = SupervisorSpec::new(Strategy::OneForOne)
        .child(child(&diary, "b"))
        .child(ChildSpec::supervisor("lowest", lowest));
    let first = SupervisorSpec::new(Strategy::OneForAll)
        .child(child(&diary, "a"))
        .child(ChildSpec::supervisor("below", below));
    family(&rt, &diary, first).await;
    family(&rt, &diary, SupervisorSpec::new(Strategy::OneForOne)).await;
    let tree = rt.supervision_tree(MS).await;
    assert_eq!(tree.iter().map(shape).collect::<Vec<_>>(), ["(a below(b lowest(d)))", "()"]);
    assert_eq!(tree.iter().map(Branch::size).collect::<Vec<_>>(), [5, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_is_busy_is_shown_without_its_children() {
    let (rt, diary) = (Runtime::new(), Diary::default());
    let spec = SupervisorSpec::new(Strategy::OneForOne).child(child(&diary, "a"));
    let supervisor = family(&rt, &diary, spec).await;
    order(&rt, &supervisor, "a", "deaf").await;
    let stop = supervisor.terminate_child(&rt, "a");
    let look = async {
        tokio::time::sleep(MS).await;
        rt.supervision_tree(MS).await
    };
    let (stopped, tree) = tokio::join!(stop, look);
    stopped.expect("it is killed in the end");
    assert!(matches!(tree[0].children, Err(CallError::Timeout)), "{tree:?}");
}
