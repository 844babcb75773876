//! What the policy decides, against its promises.

use chrono::Timelike;
use chrono_tz::Tz;
use proptest::prelude::*;
use uuid::Uuid;

use super::super::caps::AttemptHistory;
use super::super::hours::CallingHours;
use super::super::zone::{CandidateZones, ResolvedZones, ZoneEvidence};
use super::*;
use crate::domain::{
    CallerId, Campaign, CampaignDefinition, CampaignId, E164, Ending, OrgId, Region, RunId, RunState,
    SuppressionSource,
};

/// The instant so many seconds after noon of Monday 4 May 2026, UTC.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_896_000 + seconds, 0).unwrap()
}

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// A question about one contact, to be changed before it is asked.
#[derive(Debug, Clone)]
struct Case {
    terms: RunTerms,
    contact: Contact,
    number: NumberFacts,
    now: DateTime<Utc>,
}

impl Case {
    /// An active run of a campaign, a contact in UTC, noon.
    fn new(toml: &str) -> Self {
        let definition = CampaignDefinition::from_toml(&format!("name = 'test'\nchannel = 'voice'\n{toml}"));
        let campaign = Campaign {
            id: CampaignId::from_uuid(Uuid::from_u128(2)),
            org_id: OrgId::from_uuid(Uuid::from_u128(1)),
            version: 1,
            definition: definition.unwrap(),
        };
        let mut run = Run::draft(RunId::from_uuid(Uuid::from_u128(3)), &campaign, "key", "sheet.csv", at(0));
        run.state = RunState::Active;
        run.ends_at = run.definition.run.ends_at(at(0));
        let caller_id = CallerId(E164::from_digits(97_231_234_567).unwrap());
        let region = Region::new("IL").unwrap();
        let organization = Organization::new(campaign.org_id, "Clinic", caller_id, Tz::UTC, region);
        let number = E164::from_digits(972_541_234_567).unwrap();
        let contact = Contact::new(run.id, run.org_id, 1, number, zones(&[Tz::UTC]), at(0));
        let terms = RunTerms::new(run.into(), organization.into());
        Self { terms, contact, number: NumberFacts::default(), now: at(0) }
    }

    fn at(mut self, seconds: i64) -> Self {
        self.now = at(seconds);
        self
    }

    fn run(mut self, change: impl FnOnce(&mut Run)) -> Self {
        change(Arc::make_mut(&mut self.terms.run));
        self
    }

    fn office(mut self, toml: &str, zone: Tz) -> Self {
        let mut organization = Organization::clone(&self.terms.organization);
        organization.office_hours = Some(toml::from_str::<CallingHours>(toml).unwrap());
        organization.time_zone = zone;
        self.terms = RunTerms::new(self.terms.run, organization.into());
        self
    }

    fn in_zones(mut self, candidates: &[Tz]) -> Self {
        self.contact.zones = zones(candidates);
        self
    }

    fn attempted(mut self, seconds: &[i64]) -> Self {
        self.number.attempts = seconds.iter().map(|seconds| at(*seconds)).collect();
        self
    }

    fn suppressed_until(mut self, end: Option<DateTime<Utc>>) -> Self {
        self.number.suppression = Some(Suppression {
            org_id: self.contact.org_id,
            number: self.contact.number,
            source: SuppressionSource::Admin,
            reason: String::new(),
            added_at: at(-DAY),
            expires_at: end,
        });
        self
    }

    fn live(mut self) -> Self {
        self.number.live_call = Some(CallId::from_uuid(Uuid::from_u128(8)));
        self
    }

    fn question(&self) -> Question<'_> {
        let Self { terms, contact, number, now } = self;
        Question { now: *now, asked_at: *now, terms, contact, number }
    }

    fn decide_by(&self, policy: &Policy) -> Decision {
        policy.decide(&self.question())
    }

    fn decide(&self) -> Decision {
        self.decide_by(&Policy::new())
    }
}

fn zones(zones: &[Tz]) -> ResolvedZones {
    let zones: CandidateZones = zones.iter().copied().collect();
    ResolvedZones { zones, evidence: ZoneEvidence::Column }
}

/// A decision in a few words: `allow 60`, `defer 60 caps`, `excluded suppression`, with seconds from noon.
fn words(decision: &Decision) -> String {
    let seconds = |instant: &DateTime<Utc>| (*instant - at(0)).num_seconds();
    match decision {
        Decision::Allow { until } => format!("allow {}", seconds(until)),
        Decision::Defer { until, rule, .. } => format!("defer {} {rule}", seconds(until)),
        Decision::Never { outcome, exclusion: None, rule, .. } => format!("{outcome} {rule}"),
        Decision::Never { exclusion: Some(exclusion), rule, .. } => format!("{} {rule}", exclusion.name()),
    }
}

#[track_caller]
fn assert_decides(case: &Case, expected: &str) {
    assert_eq!(words(&case.decide()), expected);
}

const NINE_TO_ONE: &str = "[[windows]]\nfrom = '09:00'\nto = '13:00'";

#[test]
fn a_contact_that_nothing_speaks_against_may_be_called_for_at_most_a_day() {
    assert_decides(&Case::new(""), "allow 86400");
    assert_decides(&Case::new(NINE_TO_ONE), "allow 3600");
    assert_decides(&Case::new(&format!("run.end_after = '30m'\n{NINE_TO_ONE}")), "allow 1800");
}

/// From the first rule on, each objection is taken away in turn, and the next rule decides.
#[test]
fn rules_are_asked_in_their_order() {
    let all = Case::new("run.end_after = '1m'\ncaps.lifetime = 1\n[[windows]]\nfrom = '09:00'\nto = '10:00'")
        .at(60)
        .run(|run| run.state = RunState::Cancelled)
        .suppressed_until(None)
        .in_zones(&[])
        .attempted(&[-1])
        .live();
    assert_decides(&all, "cancelled run_state");
    let case = all.run(|run| run.state = RunState::Active);
    assert_decides(&case, "suppressed suppression");
    let mut case = case;
    case.number.suppression = None;
    assert_decides(&case, "unknown_zone zone");
    let case = case.in_zones(&[Tz::UTC]);
    assert_decides(&case, "expired run_end");
    let case = case.run(|run| run.ends_at = None);
    assert_decides(&case, "cap caps");
    let case = case.attempted(&[]);
    assert_decides(&case, "defer 75600 number_in_use");
    let mut case = case;
    case.number.live_call = None;
    assert_decides(&case, "defer 75600 calling_window");
    assert_decides(&case.at(-2 * HOUR - HOUR), &format!("allow {}", -2 * HOUR));
    let names: Vec<_> = Policy::new().rules.iter().map(|rule| rule.name()).collect();
    let order = ["run_state", "suppression", "zone", "run_end", "caps", "number_in_use", "calling_window"];
    assert_eq!(names, order);
}

#[test]
fn each_state_of_the_run_has_its_answer() {
    for (state, ending, expected) in [
        (RunState::Draft, None, "defer 30 run_state"),
        (RunState::Processing, None, "defer 30 run_state"),
        (RunState::Ready, None, "defer 30 run_state"),
        (RunState::Scheduled, None, "defer 30 run_state"),
        (RunState::Active, None, "allow 86400"),
        (RunState::Paused, None, "defer 30 run_state"),
        (RunState::Completing, Some(Ending::EndTime), "expired run_state"),
        (RunState::Completing, Some(Ending::Cancelled), "cancelled run_state"),
        (RunState::Completing, None, "expired run_state"),
        (RunState::Completed, Some(Ending::Settled), "expired run_state"),
        (RunState::Cancelled, Some(Ending::Cancelled), "cancelled run_state"),
        (RunState::Failed, None, "expired run_state"),
    ] {
        let case = Case::new("").run(|run| (run.state, run.ending) = (state, ending));
        assert_decides(&case, expected);
    }
    let paused = Case::new(NINE_TO_ONE).at(2 * HOUR).run(|run| run.state = RunState::Paused);
    assert_decides(&paused, "defer 75600 run_state");
}

#[test]
fn a_call_needs_time_to_ring_before_its_window_and_its_run_end() {
    for (toml, at_the_end) in [
        (NINE_TO_ONE.to_owned(), "defer 75600 calling_window"),
        ("run.end_after = '1h'".to_owned(), "expired run_end"),
        (format!("run.end_after = '1h'\n{NINE_TO_ONE}"), "expired run_end"),
    ] {
        let ring = RING_MIN.num_seconds();
        assert_decides(&Case::new(&toml).at(HOUR - ring), "allow 3600");
        assert_decides(&Case::new(&toml).at(HOUR - ring + 1), at_the_end);
        assert_decides(&Case::new(&toml).at(HOUR), at_the_end);
    }
    // The window and the end of the run leave less than that together.
    let run_ends = |ends_at| move |run: &mut Run| run.ends_at = Some(at(ends_at));
    assert_decides(&Case::new(NINE_TO_ONE).at(2 * HOUR).run(run_ends(21 * HOUR + 14)), "expired run_end");
    assert_decides(
        &Case::new(NINE_TO_ONE).at(2 * HOUR).run(run_ends(21 * HOUR + 15)),
        "defer 75600 calling_window",
    );
}

#[test]
fn the_office_must_be_open_too() {
    let office = "windows = [{ from = '09:00', to = '17:00' }]";
    assert_decides(&Case::new("").office(office, Tz::UTC), "allow 18000");
    // It is 05:00 in Los Angeles.
    assert_decides(&Case::new("").office(office, Tz::America__Los_Angeles), "defer 14400 calling_window");
    let contact = Case::new(NINE_TO_ONE).office(office, Tz::America__Los_Angeles);
    assert_decides(&contact, "no_legal_instant calling_window");
}

#[test]
fn every_zone_the_callee_may_be_in_must_allow_it() {
    let both = [Tz::UTC, Tz::America__New_York];
    assert_decides(&Case::new(NINE_TO_ONE).in_zones(&both), "no_legal_instant calling_window");
    let wide = "[[windows]]\nfrom = '09:00'\nto = '17:00'";
    // New York opens at 13:00 UTC, when it is 9 there.
    assert_decides(&Case::new(wide).in_zones(&both), &format!("defer {HOUR} calling_window"));
    assert_decides(&Case::new(wide).in_zones(&both).at(HOUR), &format!("allow {}", 5 * HOUR));
}

#[test]
fn a_suppression_that_lapses_is_waited_for_and_others_exclude() {
    let case = || Case::new(NINE_TO_ONE);
    assert_decides(&case().suppressed_until(None), "suppressed suppression");
    assert_decides(&case().suppressed_until(Some(at(0))), "allow 3600");
    assert_decides(&case().suppressed_until(Some(at(60))), "defer 60 suppression");
    assert_decides(&case().suppressed_until(Some(at(HOUR))), "defer 75600 suppression");
    assert_decides(&case().suppressed_until(Some(at(400 * DAY + 1))), "suppressed suppression");
    assert_decides(&case().suppressed_until(Some(DateTime::<Utc>::MAX_UTC)), "suppressed suppression");
    let ending = Case::new("run.end_after = '1d'").suppressed_until(Some(at(2 * DAY)));
    assert_decides(&ending, "expired run_end");
    let nowhere = case().suppressed_until(Some(at(60))).in_zones(&[]);
    assert_decides(&nowhere, "unknown_zone zone");
}

#[test]
fn caps_and_windows_are_met_together() {
    let toml = format!("caps.per_day = 1\ncaps.rolling = {{ attempts = 2, hours = 30 }}\n{NINE_TO_ONE}");
    assert_decides(&Case::new(&toml).attempted(&[-HOUR]), "defer 75600 caps");
    // The rolling period lets go at 17:00 on the next day, after the window.
    let twice = Case::new(&toml).attempted(&[-HOUR, -2 * HOUR + HOUR]);
    assert_decides(&twice, &format!("defer {} caps", 45 * HOUR));
    let mut used_up = Case::new("caps.lifetime = 1").attempted(&[-DAY]);
    assert_decides(&used_up, "cap caps");
    used_up.contact.status.attempts = 1;
    assert_decides(&used_up, "exhausted caps");
    let ending = Case::new("caps.per_day = 1\nrun.end_after = '10h'").attempted(&[-HOUR]);
    assert_decides(&ending, "expired run_end");
}

#[test]
fn a_number_in_use_is_looked_at_again_soon() {
    assert_decides(&Case::new("").live(), "defer 30 number_in_use");
    assert_decides(&Case::new(NINE_TO_ONE).at(HOUR - 20).live(), "defer 75600 number_in_use");
}

/// Asked about the future, a rule passes whose facts may change by then.
#[test]
fn what_is_true_now_is_not_held_against_the_future() {
    let case = Case::new("").live().run(|run| run.state = RunState::Paused);
    let question = Question { now: at(60), ..case.question() };
    assert_eq!(words(&Policy::new().decide(&question)), format!("allow {}", DAY + 60));
}

/// A rule of a host, which answers every question with the same finding, or waits for a while each time.
#[derive(Debug, Clone)]
enum HostRule {
    Always(Finding),
    WaitsEachTime(TimeDelta),
    /// Waits when it is asked about the present, and passes about the future.
    WaitsNow(DateTime<Utc>),
}

impl Rule for HostRule {
    fn name(&self) -> &'static str {
        "host"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        match self {
            Self::Always(finding) => finding.clone(),
            Self::WaitsEachTime(span) => Finding::wait(later(question.now, *span), "the host waits"),
            Self::WaitsNow(until) if question.now == question.asked_at => {
                Finding::wait(*until, "the host waits")
            }
            Self::WaitsNow(_) => Finding::Pass,
        }
    }
}

fn with_host(rule: HostRule) -> Policy {
    Policy::new().with(Arc::new(rule))
}

#[test]
fn a_rule_of_the_host_forbids_and_shortens() {
    let refuses = Finding::exclude(Exclusion::HostRule, "no consent");
    for (finding, expected) in [
        (Finding::Pass, "allow 3600"),
        (Finding::PassUntil(at(DAY)), "allow 3600"),
        (Finding::PassUntil(at(60)), "allow 60"),
        (Finding::PassUntil(at(14)), "defer 30 host"),
        (Finding::PassUntil(at(-60)), "defer 30 host"),
        (refuses.clone(), "host_rule host"),
    ] {
        let policy = with_host(HostRule::Always(finding));
        assert_eq!(words(&Case::new(NINE_TO_ONE).decide_by(&policy)), expected);
    }
    // The others decide first, and a refusal that lies ahead is not waited for.
    let policy = with_host(HostRule::Always(refuses));
    assert_eq!(words(&Case::new("").suppressed_until(None).decide_by(&policy)), "suppressed suppression");
    assert_eq!(words(&Case::new("").suppressed_until(Some(at(60))).decide_by(&policy)), "host_rule host");
}

#[test]
fn a_rule_that_waits_for_ever_is_no_trap() {
    for (span, toml, expected) in [
        // It is asked again when it has said so often enough.
        (TimeDelta::seconds(30), "", "defer 1950 host"),
        (TimeDelta::zero(), "", "defer 30 host"),
        (TimeDelta::days(-1), "", "defer 30 host"),
        (TimeDelta::days(30), "", "no_legal_instant host"),
        (TimeDelta::days(100_000), "", "no_legal_instant host"),
        (TimeDelta::days(30), "run.end_after = '5d'", "expired run_end"),
        (TimeDelta::days(100_000), "run.end_after = '5d'", "expired run_end"),
    ] {
        let case = Case::new(toml);
        let decision = case.decide_by(&with_host(HostRule::WaitsEachTime(span)));
        assert_eq!(words(&decision), expected, "{span} {toml}");
    }
    let for_ever = with_host(HostRule::Always(Finding::wait(DateTime::<Utc>::MAX_UTC, "never")));
    let busy = Case::new(&format!("caps.per_day = 1\n{NINE_TO_ONE}")).attempted(&[-HOUR]);
    for case in [Case::new(""), busy.in_zones(&[Tz::Asia__Jerusalem, Tz::America__New_York])] {
        assert!(matches!(case.decide_by(&for_ever), Decision::Never { .. }));
    }
}

#[test]
fn a_contact_that_waits_is_never_due_at_once() {
    for until in [at(-DAY), at(0)] {
        let decision = Case::new("").decide_by(&with_host(HostRule::WaitsNow(until)));
        let Decision::Defer { until, .. } = decision else { panic!("{decision:?}") };
        assert_eq!(until, at(0) + TICK);
    }
    let soon = Case::new("").decide_by(&with_host(HostRule::WaitsNow(at(5))));
    assert_eq!(words(&soon), "defer 5 host");
}

#[test]
fn the_last_instants_there_are_do_no_harm() {
    let mut case = Case::new("caps.per_day = 1\n[[windows]]\nfrom = '09:00'\nto = '13:00'").live();
    for now in [DateTime::<Utc>::MAX_UTC - TimeDelta::days(3), at(400 * DAY)] {
        case.now = now;
        case.decide();
    }
}

#[test]
fn an_explanation_names_every_rule_and_is_serialized() {
    let case = Case::new(NINE_TO_ONE).at(HOUR - 10).suppressed_until(Some(at(2 * DAY)));
    let explanation = Policy::new().explain(&case.question());
    assert_eq!(explanation.next_legal, Some(at(2 * DAY)));
    let findings: Vec<_> = explanation.trace.iter().map(|step| (&*step.rule, &step.finding)).collect();
    let [run_state, suppression, .., window] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(*run_state, ("run_state", &Finding::Pass));
    assert_eq!(
        *suppression,
        ("suppression", &Finding::wait(at(2 * DAY), "the number is suppressed for a time"))
    );
    assert_eq!(*window, ("calling_window", &Finding::wait(at(21 * HOUR), "outside the calling windows")));
    let json = serde_json::to_value(&explanation).unwrap();
    assert_eq!(
        (&json["decision"]["decision"], &json["decision"]["rule"]),
        (&"defer".into(), &"suppression".into())
    );
}

fn window() -> impl Strategy<Value = String> {
    let time = |(hour, minute): (u16, u16)| format!("{hour:02}:{minute:02}");
    ((0..24_u16, 0..60_u16), (0..24_u16, 0..60_u16), 0..7_usize, any::<bool>()).prop_filter_map(
        "a window is not empty",
        move |(from, to, day, every_day)| {
            let days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
            let days = if every_day { String::new() } else { format!("days = ['{}']\n", days[day]) };
            (from != to).then(|| format!("[[windows]]\n{days}from = '{}'\nto = '{}'\n", time(from), time(to)))
        },
    )
}

fn optional(toml: &'static str) -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", toml])
}

fn candidates() -> impl Strategy<Value = Vec<Tz>> {
    let known =
        vec![Tz::UTC, Tz::Asia__Jerusalem, Tz::America__New_York, Tz::Asia__Kathmandu, Tz::Pacific__Apia];
    prop::sample::subsequence(known, 0..=3)
}

fn instants(most: usize) -> impl Strategy<Value = Vec<DateTime<Utc>>> {
    prop::collection::vec(-3 * DAY..3 * DAY, 0..most).prop_map(|mut seconds| {
        seconds.sort_unstable();
        seconds.into_iter().map(at).collect()
    })
}

prop_compose! {
    /// Any question about a contact of a campaign.
    fn case()(
        windows in prop::collection::vec(window(), 0..3),
        end in optional("run.end_after = '3d'\n"),
        lifetime in optional("caps.lifetime = 5\n"),
        per_day in optional("caps.per_day = 2\n"),
        rolling in optional("caps.rolling = { attempts = 3, hours = 24 }\n"),
        office in prop::option::of(window()),
        zones in candidates(),
        attempts in instants(8),
        live in prop::bool::weighted(0.2),
        suppression in prop::option::weighted(0.3, prop::option::of(-DAY..5 * DAY)),
        state in prop::sample::select(RunState::ALL.to_vec()),
        active in prop::bool::weighted(0.8),
        now in -3 * DAY..4 * DAY,
    ) -> Case {
        let toml = [end, lifetime, per_day, rolling].concat() + &windows.concat();
        let mut case = Case::new(&toml).in_zones(&zones).at(now);
        case = case.run(|run| run.state = if active { RunState::Active } else { state });
        if let Some(office) = office {
            case = case.office(&office, Tz::Europe__London);
        }
        if live {
            case = case.live();
        }
        if let Some(end) = suppression {
            case = case.suppressed_until(end.map(at));
        }
        case.number.attempts = attempts;
        case
    }
}

/// A host's rule that says anything.
fn host_rule() -> impl Strategy<Value = HostRule> {
    let instant = || (-2 * DAY..5 * DAY).prop_map(at);
    prop_oneof![
        Just(HostRule::Always(Finding::Pass)),
        instant().prop_map(|end| HostRule::Always(Finding::PassUntil(end))),
        instant().prop_map(|until| HostRule::Always(Finding::wait(until, "the host waits"))),
        Just(HostRule::Always(Finding::exclude(Exclusion::HostRule, "the host refuses"))),
        (0..DAY).prop_map(|seconds| HostRule::WaitsEachTime(TimeDelta::seconds(seconds))),
        instant().prop_map(HostRule::WaitsNow),
    ]
}

/// Whether the wall clock of a zone shows a time inside the windows, told without the code under test.
fn is_open(definition: &CampaignDefinition, zone: Tz, instant: DateTime<Utc>) -> bool {
    use chrono::Datelike;
    let local = instant.with_timezone(&zone);
    let minute = (local.hour() * 60 + local.minute()) as u16;
    let (today, yesterday) = (local.weekday(), local.weekday().pred());
    definition.windows.is_empty()
        || definition.windows.iter().any(|window| {
            let (from, to) = (window.opens_at().minutes(), window.closes_at().minutes());
            let (starts_today, since_yesterday) =
                (window.days().contains(today), window.days().contains(yesterday));
            if from < to {
                starts_today && (from..to).contains(&minute)
            } else {
                starts_today && minute >= from || since_yesterday && minute < to
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Property 6, calling window enforcement: for any campaign with calling windows, no call is allowed at an instant
    /// outside them.
    #[test]
    fn property_06_calling_window_enforcement(
        windows in prop::collection::vec(window(), 1..4),
        now in -10 * DAY..10 * DAY,
    ) {
        let case = Case::new(&windows.concat()).at(now);
        let open = is_open(&case.terms.run.definition, Tz::UTC, case.now);
        match case.decide() {
            Decision::Allow { until } => {
                prop_assert!(open);
                prop_assert!(is_open(&case.terms.run.definition, Tz::UTC, until - TimeDelta::seconds(1)));
            }
            Decision::Defer { until, .. } => {
                prop_assert!(is_open(&case.terms.run.definition, Tz::UTC, until));
                let soon = is_open(&case.terms.run.definition, Tz::UTC, case.now + RING_MIN);
                prop_assert!(!open || !soon, "it waits only if the window is closed or about to close");
            }
            Decision::Never { .. } => prop_assert!(false, "a window opens every week"),
        }
    }

    /// Property 7, campaign termination completeness: for any campaign, no call is allowed at or after the end of its
    /// run, nor until a later instant, and no contact waits for one.
    #[test]
    fn property_07_campaign_termination_completeness(case in case(), end in -3 * DAY..4 * DAY) {
        let case = case.run(|run| run.ends_at = Some(at(end)));
        match case.decide() {
            Decision::Allow { until } => prop_assert!(case.now < at(end) && until <= at(end)),
            Decision::Defer { until, .. } => prop_assert!(until < at(end)),
            Decision::Never { .. } => {}
        }
    }

    /// Property 8, timezone-aware calling windows: for any contact, a call is allowed only if the local time of every
    /// zone it may be in lies inside the calling windows; if no zone is known, it is never allowed.
    #[test]
    fn property_08_timezone_aware_calling_windows(case in case()) {
        let definition = &case.terms.run.definition;
        let zones = case.contact.zones.zones.as_slice();
        if let Decision::Allow { until } = case.decide() {
            prop_assert!(!zones.is_empty());
            for zone in zones {
                prop_assert!(is_open(definition, *zone, case.now));
                prop_assert!(is_open(definition, *zone, until - TimeDelta::seconds(1)));
            }
        }
    }

    /// Property 10, blacklist pre-dial check: for any number on the suppression list, whatever else holds, no call is
    /// allowed.
    #[test]
    fn property_10_blacklist_pre_dial_check(case in case(), end in prop::option::of(1..500 * DAY)) {
        let end = end.map(|seconds| case.now + TimeDelta::seconds(seconds));
        let case = case.suppressed_until(end);
        let decision = case.decide();
        let allowed = matches!(decision, Decision::Allow { .. });
        prop_assert!(!allowed);
        if let (Decision::Defer { until, .. }, Some(end)) = (decision, end) {
            prop_assert!(until >= end);
        }
    }

    /// Property 11, blacklisted number outcome marking: for any contact of an active run whose number is on the
    /// suppression list for good, the outcome is that it was excluded as suppressed, and no call is made.
    #[test]
    fn property_11_blacklisted_number_outcome_marking(case in case()) {
        let case = case.run(|run| run.state = RunState::Active).suppressed_until(None);
        let marked = matches!(
            case.decide(),
            Decision::Never {
                outcome: Outcome::Excluded,
                exclusion: Some(Exclusion::Suppressed),
                rule: "suppression",
                ..
            }
        );
        prop_assert!(marked);
    }

    /// P1: what is allowed is allowed for long enough to ring, under the caps, and nobody else is called meanwhile.
    #[test]
    fn an_allowed_call_breaks_no_rule(case in case(), host in host_rule()) {
        if let Decision::Allow { until } = case.decide_by(&with_host(host)) {
            prop_assert_eq!(case.terms.run.state, RunState::Active);
            prop_assert!(until.signed_duration_since(case.now) >= RING_MIN);
            prop_assert_eq!(case.number.live_call, None);
            let history = AttemptHistory::complete(&case.number.attempts);
            let zones = case.contact.zones.zones.as_slice();
            let verdict = case.terms.run.definition.caps.check(&history, case.now, zones);
            prop_assert_eq!(verdict, super::super::caps::CapVerdict::Within);
        }
    }

    /// P7: the next legal instant is one at which no rule objects, if nothing changes until then.
    #[test]
    fn the_next_legal_instant_is_legal(case in case()) {
        if let Decision::Defer { until, .. } = case.decide() {
            prop_assert!(until > case.now);
            let then = Question { now: until, ..case.question() };
            let decision = Policy::new().decide(&then);
            prop_assert!(matches!(decision, Decision::Allow { .. }), "{:?}", decision);
        }
    }

    /// P7: and it is the first: between now and then, at least one rule objects at every instant.
    #[test]
    fn no_earlier_instant_is_legal(case in case(), part in 0.0..1.0_f64) {
        if let Decision::Defer { until, .. } = case.decide() {
            // Who is asked to look again soon is not legal before that.
            let wait = until - case.now;
            let early = case.now + TimeDelta::milliseconds((wait.num_milliseconds() as f64 * part) as i64);
            let looks_again = case.number.live_call.is_some() || case.terms.run.state != RunState::Active;
            let from = if looks_again { case.now + TimeDelta::seconds(30) } else { case.now };
            if early >= from && early < until {
                let then = Question { now: early, ..case.question() };
                let decision = Policy::new().decide(&then);
                prop_assert!(!matches!(decision, Decision::Allow { .. }), "{:?} at {}", decision, early);
            }
        }
    }

    /// P7: the explanation tells the decision that is made, and its trace shows why.
    #[test]
    fn the_explanation_agrees_with_the_decision(case in case(), host in host_rule()) {
        let policy = with_host(host);
        let decision = case.decide_by(&policy);
        let explanation = policy.explain(&case.question());
        prop_assert_eq!(&explanation.decision, &decision);
        let first = explanation
            .trace
            .iter()
            .find(|step| matches!(step.finding, Finding::Wait { .. } | Finding::Never { .. }));
        match (&decision, first.map(|step| (&*step.rule, &step.finding))) {
            (Decision::Allow { .. }, None) => prop_assert_eq!(explanation.next_legal, Some(case.now)),
            (Decision::Defer { until, rule, reason }, Some((first, Finding::Wait { reason: told, .. }))) => {
                prop_assert_eq!((first, told), (*rule, reason));
                prop_assert_eq!(explanation.next_legal, Some(*until));
            }
            (Decision::Never { rule, reason, .. }, Some((first, Finding::Never { reason: told, .. }))) => {
                prop_assert_eq!((first, told), (*rule, reason));
                prop_assert_eq!(explanation.next_legal, None);
            }
            // What has to be waited for leads to a refusal.
            (Decision::Never { .. }, Some((_, Finding::Wait { .. }))) => {
                prop_assert_eq!(explanation.next_legal, None);
            }
            (decision, first) => prop_assert!(false, "{:?} after {:?}", decision, first),
        }
    }

    /// A rule of the host can only forbid: whatever it says, what is allowed with it is allowed without it, for at
    /// least as long, and what is refused without it is refused with it.
    #[test]
    fn a_rule_of_the_host_can_only_forbid(case in case(), host in host_rule()) {
        match (case.decide(), case.decide_by(&with_host(host))) {
            (Decision::Allow { until }, Decision::Allow { until: with_host }) => prop_assert!(with_host <= until),
            (Decision::Defer { until, .. }, Decision::Defer { until: with_host, .. }) => {
                prop_assert!(with_host >= until);
            }
            (refused @ Decision::Never { .. }, with_host) => prop_assert_eq!(refused, with_host),
            (without, Decision::Allow { .. }) => prop_assert!(false, "{:?} became allowed", without),
            _ => {}
        }
    }
}
