//! What goes wrong while the nodes work, at instants drawn from a seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::time::Duration;

use rivvi::clock::{Clock, SystemClock};

use crate::cluster::Cluster;
use crate::support::dice::Dice;

/// Something that goes wrong once, beside what happens to nodes.
#[derive(Debug, Clone)]
pub(crate) struct Disturbance {
    /// What a person would call it.
    pub(crate) name: &'static str,
    /// The program that does it, with its arguments.
    pub(crate) command: Vec<String>,
    /// From when on, in milliseconds.
    pub(crate) after_ms: u64,
}

/// How often things go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Tempo {
    /// The longest the run may take: several times what it does on a machine that is busy with other things.
    pub(crate) patience: Duration,
    /// Between two disturbances of nodes, in milliseconds.
    pub(crate) pause_ms: Range<u64>,
    /// Nodes are disturbed so often, then left in peace.
    pub(crate) disturbed_max: u32,
}

/// How often everything went wrong.
pub(crate) type Fired = BTreeMap<&'static str, u32>;

pub(crate) const KILLED: &str = "a node is killed";
pub(crate) const STOOD_STILL: &str = "a node stands still past its leases";
const PAUSED: &str = "a node stands still for a moment";
const GAVE_UP: &str = "a node gives up by itself";

/// Kills and stops nodes at random, restarts servers as told, and starts nodes again, until the run is over for all.
pub(crate) async fn disturb(
    cluster: &mut Cluster,
    dice: &mut Dice,
    tempo: &Tempo,
    disturbances: &[Disturbance],
) -> Fired {
    let clock = SystemClock::new();
    let mut plan: Vec<(Duration, Step)> = vec![(Duration::from_millis(1_500), Step::Next)];
    for disturbance in disturbances {
        let at = Duration::from_millis(disturbance.after_ms + dice.below(3_000));
        plan.push((at, Step::Run(disturbance.clone())));
    }
    let (mut disturbed, mut fired) = (0, Fired::new());
    let mut running = Vec::new();
    while !cluster.is_done() {
        let now = clock.monotonic();
        if now > tempo.patience {
            let said: Vec<String> = (0..cluster.size()).map(|node| cluster.said(node)).collect();
            panic!("the run is not over after {:?}\n{}", tempo.patience, said.join("\n"));
        }
        for node in cluster.look() {
            plan.push((now + Duration::from_millis(300), Step::Restart(node)));
        }
        let (due, later): (Vec<_>, Vec<_>) = plan.into_iter().partition(|(at, _)| *at <= now);
        plan = later;
        for (_, step) in due {
            let mut then = |wait_ms: u64, step| plan.push((now + Duration::from_millis(wait_ms), step));
            match step {
                Step::Restart(node) => cluster.restart(node),
                Step::GoOn(node) => cluster.go_on(node),
                Step::Run(disturbance) => {
                    println!("{:>6} ms: {}", now.as_millis(), disturbance.name);
                    *fired.entry(disturbance.name).or_default() += 1;
                    running.push((disturbance.name, run(&disturbance.command)));
                }
                Step::Next if disturbed >= tempo.disturbed_max => {}
                Step::Next => {
                    let node = usize::try_from(dice.below(cluster.size() as u64)).unwrap();
                    if !cluster.is_running(node) {
                        then(100, Step::Next);
                        continue;
                    }
                    disturbed += 1;
                    let (what, happened) = match dice.below(10) {
                        0..5 => {
                            then(dice.below(2_000), Step::Restart(node));
                            (KILLED, cluster.kill(node))
                        }
                        // Longer than its leases, which are of 3 s.
                        5..8 => {
                            then(3_500 + dice.below(1_500), Step::GoOn(node));
                            (STOOD_STILL, cluster.stop(node))
                        }
                        _ => {
                            then(dice.below(1_200), Step::GoOn(node));
                            (PAUSED, cluster.stop(node))
                        }
                    };
                    *fired.entry(what).or_default() += u32::from(happened);
                    let Range { start, end } = tempo.pause_ms;
                    then(start + dice.below(end - start), Step::Next);
                }
            }
        }
        for (name, child) in &mut running {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none_or(|status| status.success()), "{name}: the command for it failed");
        }
        clock.sleep_until(clock.now() + Duration::from_millis(15)).await;
    }
    fired.insert(GAVE_UP, cluster.gave_up);
    for (name, mut child) in running {
        assert!(child.wait().unwrap().success(), "{name}");
    }
    println!("{:>6} ms: the run is over", clock.monotonic().as_millis());
    for (what, times) in &fired {
        println!("fired {times} {what}");
    }
    let killed = fired.get(KILLED).copied().unwrap_or(0);
    assert!(killed > 0 && disturbed >= 5, "the run was over before enough went wrong");
    fired
}

enum Step {
    /// Something happens to a node.
    Next,
    Restart(usize),
    GoOn(usize),
    Run(Disturbance),
}

fn run(command: &[String]) -> std::process::Child {
    let (program, arguments) = command.split_first().unwrap();
    Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}
