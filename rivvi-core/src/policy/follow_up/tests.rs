use super::*;
use crate::domain::{CampaignDefinition, Channel};

const PLAN: &str = r#"
name = "Donation"
channel = "hybrid"
links = { donate = "https://clinic.example/give" }

[[follow_up]]
name = "link"
on = ["action:trigger_donation", "voicemail"]
sms = "Give at {{ links.donate }}"

[[follow_up]]
name = "voice"
on = "link.no_sms"
after = "1m"
speech = { text = "Thank you", language = "en" }

[[follow_up]]
name = "letter"
on = ["exhausted", "voice.exhausted"]
email = { subject = "We called", text = "Dear {{ first_name }}" }
retry.failed = { after = "1h", max = 2 }

[[follow_up]]
name = "again"
on = "too_long"
call = { agent_id = "short" }

[[follow_up]]
name = "ticket"
on = "letter.undelivered"
action = "crm"
"#;

fn problem(from: &str, to: &str) -> String {
    assert_eq!(PLAN.matches(from).count(), 1, "{from}");
    CampaignDefinition::from_toml(&PLAN.replace(from, to)).unwrap_err().to_string()
}

#[test]
fn a_plan_is_read_and_written_in_both_forms() {
    let campaign = CampaignDefinition::from_toml(PLAN).unwrap();
    let media: Vec<_> = campaign.follow_up.iter().map(FollowUp::medium).collect();
    let (voice, sms, email) = (Some(Medium::Voice), Some(Medium::Sms), Some(Medium::Email));
    assert_eq!(media, [sms, voice, email, voice, None]);
    assert_eq!(campaign.media().into_iter().collect::<Vec<_>>(), Medium::ALL);
    let json = serde_json::to_string(&campaign).unwrap();
    assert_eq!(CampaignDefinition::from_json(&json).unwrap(), campaign);
    let toml = toml::to_string(&campaign).unwrap();
    assert_eq!(CampaignDefinition::from_toml(&toml).unwrap(), campaign, "{toml}");
}

#[test]
fn what_is_wrong_with_a_plan_is_told_with_its_place() {
    for (from, to, expected) in [
        ("\"link.no_sms\"", "\"link.no_smss\"", "is no event"),
        ("\"link.no_sms\"", "\"lonk.no_sms\"", "follow_up[1].on: there is no follow-up called \"lonk\""),
        ("\"link.no_sms\"", "\"link.busy\"", "\"busy\" does not happen to text messages"),
        ("\"link.no_sms\"", "\"ticket.delivered\"", "has no events"),
        ("\"link.no_sms\"", "\"voice.no_answer\"", "starts itself: voice → voice"),
        ("\"voicemail\"]", "\"voice.busy\"]", "starts itself"),
        (
            "name = \"voice\"",
            "name = \"link\"",
            "follow_up[1].name: another follow-up is called \"link\" too",
        ),
        ("name = \"voice\"", "name = \"a b\"", "letters, digits"),
        ("after = \"1m\"", "after = \"400d\"", "follow_up[1].after"),
        ("after = \"1m\"", "sms = \"too\"", "exactly one of"),
        ("action = \"crm\"", "", "exactly one of"),
        ("{{ links.donate }}\"", "{{ links.donate\"", "expected a template"),
        ("channel = \"hybrid\"", "channel = \"voice\"", "channel: \"link\" sends a text message"),
        ("https://clinic.example/give", "clinic", "links.donate"),
        ("channel = \"hybrid\"", "channel = \"sms\"", "message.text"),
    ] {
        let found = problem(from, to);
        assert!(found.contains(expected), "{to}: {found}");
    }
    let many: String =
        (0..17).map(|n| format!("[[follow_up]]\nname='s{n}'\non='busy'\naction='a'\n")).collect();
    let found = CampaignDefinition::from_toml(&format!("name='x'\nchannel='voice'\n{many}")).unwrap_err();
    assert!(found.to_string().contains("at most 16"), "{found}");
}

/// Every plan ends: no chain of events visits a follow-up twice.
#[test]
fn every_circle_is_found() {
    for length in 1..=FollowUp::MAX {
        let steps = (0..length).map(|place| {
            let before = (place + length - 1) % length;
            let on = format!("on = ['exhausted', 's{before}.exhausted']");
            format!("[[follow_up]]\nname = 's{place}'\n{on}\nspeech = 'x'\n")
        });
        let plan = format!("name = 'x'\nchannel = 'voice'\n{}", steps.collect::<String>());
        let error = CampaignDefinition::from_toml(&plan).unwrap_err();
        assert!(error.problem.starts_with("starts itself"), "{error}");
        // Without the first link of the chain it is none.
        let before = format!(", 's{}.exhausted'", length - 1);
        assert!(CampaignDefinition::from_toml(&plan.replacen(&before, "", 1)).is_ok(), "{length}");
    }
}

#[test]
fn follow_ups_begin_once_and_in_their_order() {
    let mut progress = FollowUpProgress::default();
    progress.start(3);
    progress.start(1);
    assert_eq!([progress.take_next(), progress.take_next(), progress.take_next()], [Some(1), Some(3), None]);
    progress.start(1);
    assert_eq!(progress.take_next(), None);
}

#[test]
fn what_follows_is_due_by_its_own_medium() {
    let campaign = CampaignDefinition::from_toml(PLAN).unwrap();
    let mut plan = PlanProgress::default();
    assert_eq!(campaign.channel, Channel::Hybrid);
    assert_eq!(plan.upcoming(&campaign), Upcoming::Attempt { medium: Medium::Voice, step: None });
    plan.follow_up_mut().step = Some(2);
    assert!(
        matches!(plan.upcoming(&campaign), Upcoming::Attempt { medium: Medium::Email, step: Some(step) } if step.name == "letter")
    );
    assert_eq!(plan.retry_plan(&campaign), &campaign.follow_up[2].retry);
    let written = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<PlanProgress>(&written).unwrap(), plan);
    // As it was written before there were follow-ups.
    assert_eq!(serde_json::from_str::<PlanProgress>("{\"busy\":2}").unwrap().retries.total(), 2);
}
