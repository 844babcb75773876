use proptest::prelude::*;

use super::*;

/// The plan of a `[retry]` section.
fn plan(toml: &str) -> RetryPlan {
    #[derive(Deserialize)]
    struct Campaign {
        retry: RetryPlan,
    }
    toml::from_str::<Campaign>(&format!("[retry]\n{toml}")).unwrap().retry
}

/// The verdicts after each of the retries for a cause, until there are no more.
fn verdicts(plan: &RetryPlan, cause: RetryCause) -> Vec<String> {
    let mut used = RetriesUsed::default();
    let mut delays = Vec::new();
    while let RetryVerdict::After(delay) = plan.next(cause, &used) {
        delays.push(Span::new(delay).to_string());
        used.count(cause);
    }
    delays
}

#[test]
fn each_cause_follows_its_own_rule() {
    let plan = plan("busy = { after = \"15m\", max = 2 }\nno_answer = { after = \"2h\", max = 1 }");
    assert_eq!(verdicts(&plan, RetryCause::Busy), ["15m", "15m"]);
    assert_eq!(verdicts(&plan, RetryCause::NoAnswer), ["2h"]);
    for cause in [RetryCause::Voicemail, RetryCause::Rejected, RetryCause::Failed] {
        assert_eq!(plan.next(cause, &RetriesUsed::default()), RetryVerdict::NotPlanned);
    }

    let mut used = RetriesUsed::default();
    used.count(RetryCause::NoAnswer);
    used.count(RetryCause::Failed);
    assert_eq!(plan.next(RetryCause::NoAnswer, &used), RetryVerdict::Exhausted { max: 1 });
    assert_eq!(plan.next(RetryCause::Busy, &used), RetryVerdict::After(Duration::from_secs(900)));
    assert_eq!(used.total(), 2);
}

#[test]
fn delays_grow_by_the_backoff_up_to_the_limit() {
    let plan = plan(
        "failed = { after = \"15m\", max = 6, backoff = 2.0, at_most = \"3h\" }\n\
         busy = { after = \"10m\", max = 4, backoff = 1.5 }\n\
         voicemail = { after = \"300d\", max = 3, backoff = 100 }",
    );
    assert_eq!(verdicts(&plan, RetryCause::Failed), ["15m", "30m", "1h", "2h", "3h", "3h"]);
    assert_eq!(verdicts(&plan, RetryCause::Busy), ["10m", "15m", "22m30s", "33m45s"]);
    assert_eq!(verdicts(&plan, RetryCause::Voicemail), ["300d", "366d", "366d"]);
}

#[test]
fn plans_and_counters_write_what_they_read() {
    let text =
        r#"{"busy":{"after":"15m","max":2},"failed":{"after":"1h","max":5,"backoff":2.0,"at_most":"1d"}}"#;
    let plan: RetryPlan = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&plan).unwrap(), text);
    assert_eq!(toml::from_str::<RetryPlan>(&toml::to_string(&plan).unwrap()).unwrap(), plan);

    let mut used = RetriesUsed::default();
    assert_eq!(serde_json::to_string(&used).unwrap(), "{}");
    used.count(RetryCause::NoAnswer);
    assert_eq!(serde_json::to_string(&used).unwrap(), r#"{"no_answer":1}"#);
    assert_eq!(serde_json::from_str::<RetriesUsed>(r#"{"no_answer":1}"#).unwrap(), used);
    assert_eq!(size_of::<RetriesUsed>(), 5);
}

#[test]
fn mistakes_are_explained() {
    for (toml, expected) in [
        (r#"busy = { after = "15m", max = 0 }"#, "leave the rule out"),
        (r#"busy = { after = "15m", max = 300 }"#, "expected u8"),
        (r#"busy = { after = "0s", max = 1 }"#, "a retry may come after 1s to 366d, not after 0s"),
        (r#"busy = { after = "2years", max = 1 }"#, "a retry may come after 1s to 366d"),
        (r#"busy = { after = "soon", max = 1 }"#, "expected a duration such as \"15m\""),
        (r#"busy = { after = 15, max = 1 }"#, "expected a duration such as \"15m\""),
        (r#"busy = { after = "15m", max = 1, backoff = 0.5 }"#, "by 1 to 100, not by 0.5"),
        (r#"busy = { after = "15m", max = 1, backoff = nan }"#, "by 1 to 100, not by NaN"),
        (
            r#"busy = { after = "15m", max = 1, backoff = 2, at_most = "5m" }"#,
            "the first delay, 15m, and 366d",
        ),
        (r#"busy = { after = "15m", max = 1, at_most = "5h" }"#, "at_most needs a backoff"),
        (r#"busy = { after = "15m" }"#, "missing field `max`"),
        (r#"busy = { after = "15m", max = 1, jitter = 1 }"#, "unknown field `jitter`"),
        (r#"machine = { after = "15m", max = 1 }"#, "unknown field `machine`"),
    ] {
        let error = toml::from_str::<RetryPlan>(toml).unwrap_err().to_string();
        assert!(error.contains(expected), "{toml}\n{error}");
    }
}

proptest! {
    #[test]
    fn delays_never_shrink_and_stay_in_bounds(
        after in 1..31_622_400_u64,
        max in 1..=u8::MAX,
        factor in 1.0..=100.0,
        more in prop::option::of(0..10_000_000_u64),
    ) {
        let after = Span::new(Duration::from_secs(after));
        let at_most = more.map(|more| (after.duration() + Duration::from_secs(more)).into());
        let at_most = at_most.map(|at_most: Span| at_most.min(RetryRule::LONGEST));
        let rule = RetryRule::new(after, max).unwrap().with_backoff(factor, at_most).unwrap();
        let plan = RetryPlan { failed: Some(rule), ..RetryPlan::default() };
        let (mut used, mut last) = (RetriesUsed::default(), after.duration());
        for _ in 0..max {
            let verdict = plan.next(RetryCause::Failed, &used);
            let RetryVerdict::After(delay) = verdict else { panic!("{verdict:?}") };
            prop_assert!(last <= delay && delay <= at_most.unwrap_or(RetryRule::LONGEST).duration());
            last = delay;
            used.count(RetryCause::Failed);
        }
        prop_assert_eq!(plan.next(RetryCause::Failed, &used), RetryVerdict::Exhausted { max });
    }
}
