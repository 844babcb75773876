//! A world and what happens in it.

#![allow(clippy::panic, reason = "a world that cannot be set up, or never rests, has no verdict")]

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{CallId, IdSource, JournalEntry, Organization, RunId};
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate};
use rivvi_core::storage::Blobs;
use rivvi_core::storage::object_store::memory::InMemory;
use rivvi_core::testkit::{BlobFaults, FaultyBlobs, LedgerFaults};
use tokio::sync::Notify;

use super::calendar;
use super::checker::{self, Broken};
use super::line::Lines;
use super::mailbox::Mailbox;
use super::node::{Node, Surroundings};
use super::parts::Parts;
use super::people::{Act, Settings, Told, act};
use super::setting::{self, CONCURRENCY, CONTACTS, number_of};
use super::storm::Storm;
use super::tasks::{Task, Timers};
use crate::gateway::News;
use crate::{Behaviour, GatewayBehaviour, SimulatedGateway, SimulatedNetwork};

/// A world that has come to its end.
pub struct World {
    pub(super) storm: Storm,
    pub(super) around: Surroundings,
    pub(super) blobs: FaultyBlobs,
    pub(super) organization: Organization,
    pub(super) run_id: RunId,
    /// The zone of each contact, in the order of the rows.
    pub(super) zones: Vec<Tz>,
    pub(super) told: Told,
    nodes: Vec<Node>,
    tasks: Vec<Task<Work, Done>>,
    woken: Arc<Notify>,
    dice: StdRng,
    births: u64,
    began_at: DateTime<Utc>,
    is_stormy: bool,
    next_outage_at: Option<DateTime<Utc>>,
    next_act_at: Option<DateTime<Utc>>,
    next_stranger_at: Option<DateTime<Utc>>,
    store_away_until: Option<DateTime<Utc>>,
    fired: BTreeMap<&'static str, u64>,
    happened: Vec<(DateTime<Utc>, String)>,
    verdict: Result<(), Broken>,
}

/// What a node is at.
enum Work {
    Tick,
    Call(CallUpdate),
    Message(News),
    /// A webhook that is not what it seems.
    Forgery,
    Act(Act, DateTime<Utc>),
}

enum Done {
    Ticked(Option<Option<DateTime<Utc>>>),
    /// Whether a webhook was taken, and whether it is to be sent again.
    Received {
        taken: bool,
        again: bool,
    },
    Acted(Option<Vec<CallId>>),
}

/// A node looks around at least so often.
const IDLE_MAX: TimeDelta = TimeDelta::minutes(30);
/// For how long the data of a run that is over stays, and a little more.
const PURGED_AFTER: TimeDelta = TimeDelta::days(8);
/// More steps than any storm takes.
const STEPS_MAX: u64 = 20_000_000;

impl World {
    /// A world from beginning to end: it storms, heals, comes to rest, and its live data is purged a week later.
    ///
    /// # Panics
    /// If the store cannot even be set up, or the world never comes to rest.
    pub fn run(storm: Storm, parts: &dyn Parts) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("no runtime: {error}"));
        runtime.block_on(async {
            let mut world = Self::begin(storm, parts).await;
            world.live(parts).await;
            world
        })
    }

    /// Whether every promise was kept.
    ///
    /// # Errors
    /// The promise that was broken first, and by what.
    pub fn verdict(&self) -> Result<(), Broken> {
        self.verdict.clone()
    }

    /// How often each kind of fault was seen to fire.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = self.fired.clone();
        let around = &self.around;
        let ledgers = self.nodes.iter().map(|node| node.ledger.fired());
        let others =
            [self.blobs.fired(), around.network.fired(), around.gateway.fired(), around.lines.fired()];
        let met = calendar::met(self.began_at, self.around.clock.now());
        for (fault, count) in ledgers.chain(others).flatten().chain(met) {
            *fired.entry(fault).or_default() += count;
        }
        fired
    }

    /// Calls and messages that reached a provider.
    pub fn attempts(&self) -> usize {
        self.around.network.legs() + self.around.gateway.sent().len() + self.around.mailbox.taken().len()
    }

    /// How long the world lived.
    pub fn lived(&self) -> TimeDelta {
        self.around.clock.now() - self.began_at
    }

    /// The whole journal.
    pub async fn journal(&self) -> Vec<JournalEntry> {
        let feed = self.around.storage.ledger.journal_feed(None, usize::MAX).await;
        feed.map(|page| page.entries).unwrap_or_default()
    }

    /// The whole journal as it is stored, to compare two worlds of one seed.
    pub fn journal_bytes(&self) -> Vec<u8> {
        let entries = futures::executor::block_on(self.journal());
        serde_json::to_vec(&entries).unwrap_or_default()
    }

    /// What happened, in order: the journal, what the network and the gateway were asked for, faults and people.
    pub fn timeline(&self) -> Vec<String> {
        let journal = futures::executor::block_on(self.journal());
        let journal = journal.into_iter().map(|entry| {
            let event = serde_json::to_string(&entry.event).unwrap_or_default();
            (entry.at, format!("{} {event}", entry.aggregate.uuid()))
        });
        let legs = self.around.network.history().into_iter();
        let legs = legs.map(|(leg, end)| (leg.at, format!("leg of call {} until {end}", leg.call_id)));
        let sent = self.around.gateway.sent().into_iter();
        let sent = sent.map(|sent| (sent.at, format!("message {} sent, {}", sent.id, sent.fate)));
        let happened = self.happened.iter().cloned();
        let mut lines: Vec<_> = journal.chain(legs).chain(sent).chain(happened).collect();
        lines.sort();
        lines.into_iter().map(|(at, line)| format!("{at} {line}")).collect()
    }

    async fn begin(storm: Storm, parts: &dyn Parts) -> Self {
        let seed = storm.seed;
        // Each seed begins elsewhere in two years: clock changes, the end of a year and a leap day are met.
        let mut dice = StdRng::seed_from_u64(seed);
        let began_at = Utc.timestamp_opt(1_798_779_600, 0).single().unwrap_or_default();
        let began_at = began_at + TimeDelta::days(dice.random_range(0..800));
        let clock = Arc::new(VirtualClock::new(began_at));
        let blobs = FaultyBlobs::new(Arc::new(InMemory::new()), seed, BlobFaults::default());
        let mut storage = parts.storage().await;
        if storm.blobs.is_some() {
            storage.blobs = Some(Blobs::new(blobs.clone()));
        }
        let around = Surroundings {
            network: SimulatedNetwork::new(clock.clone(), seed, storm.network.clone()),
            gateway: SimulatedGateway::new(clock.clone(), seed, storm.gateway.clone()),
            mailbox: Mailbox::new(clock.clone(), seed),
            lines: Lines::new(seed, storm.slow_lines),
            timers: Arc::new(Timers::default()),
            storage,
            clock,
        };
        let zones = setting::zones(&mut dice);
        let sheet = setting::sheet(&mut dice, &zones);
        let (organization, run_id) = setting::set_up(&around, &storm, parts, sheet, &blobs).await;
        let settings = Settings {
            limit: organization.limits.concurrent_calls,
            hours: None,
            asked_at: began_at,
            acknowledged_at: Some(began_at - TimeDelta::days(1)),
        };
        let mut world = Self {
            around,
            blobs,
            organization,
            run_id,
            zones,
            told: Told { settings: vec![settings], ..Told::default() },
            nodes: Vec::new(),
            tasks: Vec::new(),
            woken: Arc::new(Notify::new()),
            dice,
            births: 0,
            began_at,
            is_stormy: true,
            next_outage_at: None,
            next_act_at: None,
            next_stranger_at: None,
            store_away_until: None,
            fired: BTreeMap::new(),
            happened: Vec::new(),
            verdict: Ok(()),
            storm,
        };
        world.next_outage_at = world.some_time(world.storm.outages);
        world.next_act_at = world.some_time(world.storm.people);
        world.next_stranger_at = world.some_time(world.storm.strangers);
        for _ in 0..world.storm.nodes {
            let skew = world.storm.skew.num_milliseconds();
            let skew = TimeDelta::milliseconds(world.dice.random_range(-skew..=skew));
            let node = world.node(parts, skew, began_at);
            world.nodes.push(node);
        }
        world
    }

    fn node(&mut self, parts: &dyn Parts, skew: TimeDelta, wants: DateTime<Utc>) -> Node {
        self.births += 1;
        let seed = self.storm.seed.wrapping_mul(1_000).wrapping_add(self.births);
        Node::new(&self.around, parts, seed, skew, self.ledger_faults(), wants)
    }

    fn ledger_faults(&self) -> LedgerFaults {
        match (self.is_stormy, self.store_away_until) {
            (false, _) => LedgerFaults::default(),
            (true, Some(_)) => LedgerFaults { unavailable: 1.0, ..LedgerFaults::default() },
            (true, None) => self.storm.ledger,
        }
    }

    async fn live(&mut self, parts: &dyn Parts) {
        let storm_ends = self.began_at + self.storm.lasts;
        let mut purged_by = None;
        for _ in 0..STEPS_MAX {
            // The runtime's own tasks take their turn.
            tokio::task::yield_now().await;
            let now = self.now();
            if self.is_stormy && now >= storm_ends {
                self.heal();
            }
            self.begin_what_is_due();
            if let Some(index) = self.draw_ready() {
                self.go_on(index, parts);
                continue;
            }
            if self.waits_for_the_store(parts).await {
                continue;
            }
            if !self.is_stormy && self.tasks.is_empty() {
                match purged_by {
                    None if self.is_at_rest().await => {
                        self.verdict = checker::check(self).await;
                        purged_by = Some(now + PURGED_AFTER);
                    }
                    Some(by) if now >= by => {
                        let purged = checker::check_purged(self).await;
                        self.verdict = self.verdict.clone().and(purged);
                        return;
                    }
                    _ => {}
                }
            }
            let next = self.next_instant();
            let next = if self.is_stormy { next.min(storm_ends) } else { next };
            self.around.clock.advance_to(next.max(now + TimeDelta::milliseconds(1)));
        }
        panic!("seed {}: the world does not come to rest", self.storm.seed);
    }

    fn now(&self) -> DateTime<Utc> {
        self.around.clock.now()
    }

    /// Waits in real time for a store that has not answered yet. Returns whether somebody was woken.
    async fn waits_for_the_store(&self, parts: &dyn Parts) -> bool {
        let patience = parts.patience();
        let waits = |task: &Task<Work, Done>| self.nodes[task.node].stands_still_until.is_none();
        if patience.is_zero() || !self.tasks.iter().any(waits) {
            return false;
        }
        tokio::time::timeout(patience, self.woken.notified()).await.is_ok()
    }

    /// Whether the run is over and nothing will be told of it any more.
    async fn is_at_rest(&self) -> bool {
        let run = self.around.storage.ledger.run(self.run_id).await;
        let done = run.is_ok_and(|run| run.is_some_and(|run| run.state.is_done()));
        done && self.around.network.next_event_at().is_none() && self.around.gateway.next_event_at().is_none()
    }

    /// When something happens next.
    fn next_instant(&self) -> DateTime<Utc> {
        let around = &self.around;
        let nodes = self
            .nodes
            .iter()
            .filter_map(|node| node.stands_still_until.or_else(|| node.wants.filter(|_| !node.is_ticking)));
        let others = [
            around.timers.next_after(self.now()),
            around.network.next_event_at(),
            around.gateway.next_event_at(),
            self.next_outage_at,
            self.next_act_at,
            self.next_stranger_at,
            self.store_away_until,
        ];
        nodes.chain(others.into_iter().flatten()).min().unwrap_or_else(|| self.now() + IDLE_MAX)
    }

    fn begin_what_is_due(&mut self) {
        let now = self.now();
        for node in &mut self.nodes {
            node.stands_still_until = node.stands_still_until.filter(|until| *until > now);
        }
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            if node.stands_still_until.is_none() && !node.is_ticking && node.wants.is_some_and(|at| at <= now)
            {
                (node.wants, node.is_ticking) = (None, true);
                let rivvi = node.rivvi.clone();
                self.begin_task(index, Work::Tick, async move {
                    Done::Ticked(rivvi.tick().await.ok().map(|tick| tick.next_at))
                });
            }
        }
        for update in self.around.network.take_due(now) {
            let request = self.around.network.sign(&update, now);
            self.receive("sim", request, Work::Call(update));
        }
        for news in self.around.gateway.take_due(now) {
            let request = self.around.gateway.sign(&news, now);
            self.receive(SimulatedGateway::NAME, request, Work::Message(news));
        }
        self.meddle(now);
    }

    /// People, weather and strangers.
    fn meddle(&mut self, now: DateTime<Utc>) {
        if self.store_away_until.is_some_and(|until| until <= now) {
            self.store_away_until = None;
            self.tell_ledgers();
        }
        if self.next_act_at.is_some_and(|at| at <= now) {
            let a_day = if self.is_stormy { self.storm.people } else { 24.0 };
            self.next_act_at = self.some_time(a_day);
            self.have_people_act(now);
        }
        if self.next_outage_at.is_some_and(|at| at <= now) {
            self.next_outage_at = self.some_time(self.storm.outages);
            let until = now + TimeDelta::seconds(self.dice.random_range(10..1_800));
            match self.dice.random_range(0..3) {
                0 => {
                    self.store_away_until = Some(until);
                    self.tell_ledgers();
                    self.happens(format!("the store is away until {until}"));
                    self.count("store away");
                }
                1 => self.around.lines.cut_until(until),
                _ => self.around.lines.revoke_until(until),
            }
        }
        if self.next_stranger_at.is_some_and(|at| at <= now) {
            self.next_stranger_at = self.some_time(self.storm.strangers).filter(|_| self.is_stormy);
            self.send_forgery(now);
        }
    }

    fn have_people_act(&mut self, now: DateTime<Utc>) {
        let number = number_of(self.dice.random_range(0..CONTACTS));
        let act = if !self.is_stormy {
            // Somebody looks after a run that stands still.
            Act::Resume
        } else if self.storm.cancelled && now - self.began_at > self.storm.lasts / 2 {
            Act::Cancel
        } else {
            let changes = self.storm.outages > 0.0;
            Act::draw(&mut self.dice, number, CONCURRENCY, changes)
        };
        self.begin_act(act, now);
    }

    fn begin_act(&mut self, what: Act, now: DateTime<Utc>) {
        match &what {
            Act::Resume => self.told.resumed(now),
            Act::Change { .. }
                if self.tasks.iter().any(|task| matches!(task.work, Work::Act(Act::Change { .. }, _))) =>
            {
                // One at a time.
                return;
            }
            Act::Change { limit, hours } => self.told.settings.push(Settings {
                limit: *limit,
                hours: hours.clone(),
                asked_at: now,
                acknowledged_at: None,
            }),
            _ => {}
        }
        let index = self.dice.random_range(0..self.nodes.len());
        let (rivvi, organization) = (self.nodes[index].rivvi.clone(), self.organization.clone());
        let (run_id, doing) = (self.run_id, what.clone());
        let asked = async move { Done::Acted(act(&rivvi, doing, organization, run_id).await) };
        self.begin_task(index, Work::Act(what, now), asked);
    }

    /// A webhook of a stranger, or one about a call that nobody knows.
    fn send_forgery(&mut self, now: DateTime<Utc>) {
        let id = IdSource::seeded(self.dice.random()).next(now);
        let call = CallRef::Id(CallId::from_uuid(id));
        let update = CallUpdate { call, at: now, event: CallEvent::OptOut };
        if self.dice.random_bool(0.5) {
            self.count("webhook unknown");
            self.around.network.tell_at(now, update);
            return;
        }
        self.count("webhook forged");
        let history = self.around.network.history();
        let known = history.get(self.dice.random_range(0..history.len().max(1)));
        let call = known.map_or(update.call, |(leg, _)| CallRef::Id(leg.call_id));
        let stranger = SimulatedNetwork::new(self.around.clock.clone(), u64::MAX, Behaviour::default());
        let request = stranger.sign(&CallUpdate { call, ..update }, now);
        self.receive("sim", request, Work::Forgery);
    }

    fn receive(&mut self, provider: &'static str, request: rivvi_core::provider::WebhookRequest, work: Work) {
        let index = self.dice.random_range(0..self.nodes.len());
        let rivvi = self.nodes[index].rivvi.clone();
        self.begin_task(index, work, async move {
            match rivvi.receive(provider, &request).await {
                Ok(_) => Done::Received { taken: true, again: false },
                Err(error) => Done::Received { taken: false, again: error.status().is_server_error() },
            }
        });
    }

    fn begin_task(&mut self, node: usize, work: Work, future: impl Future<Output = Done> + Send + 'static) {
        self.tasks.push(Task::new(node, work, &self.woken, future));
    }

    /// One of those who have something to do.
    fn draw_ready(&mut self) -> Option<usize> {
        let stands_still = |task: &Task<Work, Done>| self.nodes[task.node].stands_still_until.is_some();
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|index| self.tasks[*index].is_ready() && !stands_still(&self.tasks[*index]))
            .collect();
        (!ready.is_empty()).then(|| ready[self.dice.random_range(0..ready.len())])
    }

    /// Lets somebody go on to the next await, unless the node dies or stands still there.
    fn go_on(&mut self, index: usize, parts: &dyn Parts) {
        let now = self.now();
        let node = self.tasks[index].node;
        if self.is_stormy && self.dice.random_bool(self.storm.crash) {
            return self.crash(node, parts);
        }
        if self.is_stormy && self.dice.random_bool(self.storm.pause) {
            let until = now + TimeDelta::seconds(self.dice.random_range(1..600));
            self.nodes[node].stands_still_until = Some(until);
            self.happens(format!("node {node} stands still until {until}"));
            return self.count("node stood still");
        }
        if let Poll::Ready(done) = self.tasks[index].poll() {
            let task = self.tasks.swap_remove(index);
            self.finish(task.node, task.work, done);
        }
    }

    fn crash(&mut self, index: usize, parts: &dyn Parts) {
        let now = self.now();
        self.count("node crashed");
        self.happens(format!("node {index} crashes"));
        for (fault, count) in self.nodes[index].ledger.fired() {
            *self.fired.entry(fault).or_default() += count;
        }
        let (dead, alive): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.tasks).into_iter().partition(|task| task.node == index);
        self.tasks = alive;
        // What was not acknowledged is sent again.
        for task in dead {
            self.send_again(task.work);
        }
        let again = now + TimeDelta::seconds(self.dice.random_range(1..20));
        let skew = self.nodes[index].skew;
        self.nodes[index] = self.node(parts, skew, again);
    }

    fn send_again(&self, work: Work) {
        let at = self.now() + TimeDelta::seconds(10);
        match work {
            Work::Call(update) => self.around.network.tell_at(at, update),
            Work::Message(news) => self.around.gateway.tell_at(at, news),
            Work::Tick | Work::Forgery | Work::Act(..) => {}
        }
    }

    fn finish(&mut self, index: usize, work: Work, done: Done) {
        let now = self.now();
        let soon = now + TimeDelta::seconds(self.dice.random_range(1..20));
        let node = &mut self.nodes[index];
        match (work, done) {
            (Work::Tick, Done::Ticked(next)) => {
                node.is_ticking = false;
                let idle = now + IDLE_MAX;
                let next = next.map(|next| next.map_or(idle, |at| at - node.skew));
                node.want(next.unwrap_or(soon).clamp(now + TimeDelta::milliseconds(10), idle));
            }
            (Work::Forgery, Done::Received { taken, .. }) => {
                self.told.forgeries_taken += u64::from(taken);
            }
            (work, Done::Received { taken, again }) => {
                node.want(now);
                if again {
                    self.send_again(work);
                } else if let (true, Work::Message(News::Inbound { from, text, .. })) = (taken, &work)
                    && text.expose().contains("Stop")
                {
                    self.told.suppressed.push((*from, now, Vec::new()));
                }
            }
            (Work::Act(act, asked_at), Done::Acted(acknowledged)) => {
                self.nodes.iter_mut().for_each(|node| node.want(now));
                let Some(live) = acknowledged else { return };
                self.count(act.name());
                self.happens(format!("people: {}", act.name()));
                self.note(act, asked_at, live);
            }
            _ => unreachable!("everybody does what they began"),
        }
    }

    /// Notes what people were told.
    fn note(&mut self, act: Act, asked_at: DateTime<Utc>, live: Vec<CallId>) {
        let now = self.now();
        match act {
            Act::Suppress(number) => self.told.suppressed.push((number, now, live)),
            // A pause that was overtaken by somebody who resumed halts nothing.
            Act::Pause => {
                let resumes = |task: &Task<Work, Done>| matches!(task.work, Work::Act(Act::Resume, _));
                if self.told.resumed_at.is_none_or(|at| at < asked_at) && !self.tasks.iter().any(resumes) {
                    self.told.halts.push((now, None));
                }
            }
            Act::Cancel => {
                self.told.cancelled_at.get_or_insert(now);
            }
            Act::Change { .. } => {
                if let Some(settings) = self.told.settings.last_mut() {
                    settings.acknowledged_at = Some(now);
                }
            }
            Act::Resume => {}
        }
    }

    fn heal(&mut self) {
        self.is_stormy = false;
        let mut network = Behaviour::default();
        network.lost_webhooks = self.storm.network.lost_webhooks.floor();
        self.around.network.set_behaviour(network);
        let mut gateway = GatewayBehaviour::default();
        gateway.lost_webhooks = self.storm.gateway.lost_webhooks.floor();
        (gateway.replies, gateway.lookup) = (0.0, self.storm.gateway.lookup);
        self.around.gateway.set_behaviour(gateway);
        self.around.lines.heal();
        self.blobs.set_faults(BlobFaults::default());
        (self.store_away_until, self.next_outage_at) = (None, None);
        self.tell_ledgers();
        for node in &mut self.nodes {
            node.stands_still_until = None;
        }
        self.happens("the storm is over".to_owned());
        // As they were before the storm.
        let first = &self.told.settings[0];
        let (limit, hours, now) = (first.limit, first.hours.clone(), self.now());
        self.tasks.retain(|task| !matches!(task.work, Work::Act(Act::Change { .. }, _)));
        self.begin_act(Act::Change { limit, hours }, now);
        self.begin_act(Act::Resume, now);
        self.next_act_at = Some(now + TimeDelta::hours(1));
    }

    fn tell_ledgers(&self) {
        self.nodes.iter().for_each(|node| node.ledger.set_faults(self.ledger_faults()));
    }

    /// An instant of something that happens so many times a day.
    fn some_time(&mut self, a_day: f64) -> Option<DateTime<Utc>> {
        if a_day <= 0.0 {
            return None;
        }
        #[allow(clippy::cast_possible_truncation, reason = "less than a year")]
        let mean = (86_400_000.0 / a_day) as i64;
        Some(self.now() + TimeDelta::milliseconds(self.dice.random_range(1..2 * mean)))
    }

    fn count(&mut self, fault: &'static str) {
        *self.fired.entry(fault).or_default() += 1;
    }

    fn happens(&mut self, what: String) {
        self.happened.push((self.now(), what));
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("storm", &self.storm)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}
