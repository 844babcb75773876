//! What goes wrong while the nodes work, at instants drawn from a seed.

use std::process::{Command, Stdio};
use std::time::Duration;

use rivvi::clock::{Clock, SystemClock};

use crate::cluster::Cluster;

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

/// The longest a test may take: several times what it does on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(300);
/// Nodes are disturbed so often, then left in peace.
const DISTURBED_MAX: u32 = 16;

/// Kills and stops nodes at random, restarts servers as told, and starts nodes again, until the run is over for all.
pub(crate) async fn disturb(cluster: &mut Cluster, mut dice: Dice, disturbances: &[Disturbance]) {
    let clock = SystemClock::new();
    let mut plan: Vec<(Duration, Step)> = vec![(Duration::from_millis(1_500), Step::Next)];
    for disturbance in disturbances {
        let at = Duration::from_millis(disturbance.after_ms + dice.below(3_000));
        plan.push((at, Step::Run(disturbance.clone())));
    }
    let (mut disturbed, mut killed, mut stood_still) = (0, 0, 0);
    let mut running = Vec::new();
    while !cluster.is_done() {
        let now = clock.monotonic();
        if now > PATIENCE {
            let said: Vec<String> = (0..cluster.size()).map(|node| cluster.said(node)).collect();
            panic!("the run is not over after {PATIENCE:?}\n{}", said.join("\n"));
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
                    running.push((disturbance.name, run(&disturbance.command)));
                }
                Step::Next if disturbed >= DISTURBED_MAX => {}
                Step::Next => {
                    let node = usize::try_from(dice.below(cluster.size() as u64)).unwrap();
                    if !cluster.is_running(node) {
                        then(100, Step::Next);
                        continue;
                    }
                    disturbed += 1;
                    match dice.below(10) {
                        0..5 => {
                            killed += u32::from(cluster.kill(node));
                            then(dice.below(2_000), Step::Restart(node));
                        }
                        // Longer than its leases, which are of 3 s.
                        5..8 => {
                            stood_still += u32::from(cluster.stop(node));
                            then(3_500 + dice.below(1_500), Step::GoOn(node));
                        }
                        _ => {
                            cluster.stop(node);
                            then(dice.below(1_200), Step::GoOn(node));
                        }
                    }
                    then(300 + dice.below(1_700), Step::Next);
                }
            }
        }
        clock.sleep_until(clock.now() + Duration::from_millis(15)).await;
    }
    println!(
        "{killed} killed, {stood_still} stood still past their leases, {} gave up by themselves, {:.1} s",
        cluster.gave_up,
        clock.monotonic().as_secs_f64()
    );
    for (name, mut child) in running {
        assert!(child.wait().unwrap().success(), "{name}");
    }
    assert!(killed > 0 && disturbed >= 5, "the run was over before enough went wrong");
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

/// Small repeatable random numbers.
pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Seeded by `RIVVI_NODES_SEED`, else by the time.
    pub(crate) fn from_environment() -> Self {
        let seed = match std::env::var("RIVVI_NODES_SEED") {
            Ok(text) => text.parse().expect("RIVVI_NODES_SEED: expected a number"),
            Err(_) => SystemClock::new().now().timestamp_micros().unsigned_abs() % 1_000_000_000,
        };
        Self { seed, state: seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound.max(1)
    }
}
