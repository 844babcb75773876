//! Prompts: versioned and told in the journal, checked at import, filled in for each contact.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::sync::Arc;

use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::{
    Aggregate, CallerId, Campaign, CampaignDefinition, E164, Event, IdSource, Prompt, Region,
};
use rivvi_core::engine::{NewOrganization, Rivvi, RunImportError};
use rivvi_core::import::{ContactTransformer, ImportedContact, Severity, Sheet};
use rivvi_core::storage::{Storage, StorageErrorKind};
use rivvi_core::testkit::scripted::ScriptedVoice;

const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "voice"
    variables = { clinic = "North" }
    [import.columns]
    slot = "Appointment"
    [prompt]
    base = "You call {{first_name}} of {{clinic}} about {{slot}}."
"#;

struct World {
    rivvi: Rivvi,
    voice: Arc<ScriptedVoice>,
    campaign: Campaign,
}

async fn world(transformer: Option<SlotOfNotes>) -> World {
    let clock = Arc::new(VirtualClock::new("2026-03-02T06:30:00Z".parse().unwrap()));
    let voice = Arc::new(ScriptedVoice::new("scripted"));
    let mut builder = Rivvi::builder()
        .storage(Storage::in_memory())
        .shared_voice(voice.clone())
        .clock(clock)
        .ids(IdSource::seeded(1));
    if let Some(transformer) = transformer {
        builder = builder.contact_transformer(transformer);
    }
    let rivvi = builder.build().unwrap();
    let new = NewOrganization {
        name: "North Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let organization = rivvi.organizations().create(new).await.unwrap();
    let definition = CampaignDefinition::from_toml(CAMPAIGN).unwrap();
    let campaign = rivvi.campaigns().create(organization.id, definition).await.unwrap();
    World { rivvi, voice, campaign }
}

/// Fills the variable that the sheet does not have.
#[derive(Debug)]
struct SlotOfNotes;

impl ContactTransformer for SlotOfNotes {
    fn transform(&self, contact: &mut ImportedContact) -> Result<(), String> {
        if let Some(note) = contact.variables.get("note").cloned() {
            contact.variables.insert("slot".into(), note);
        }
        Ok(())
    }
}

fn sheet(text: &str) -> Sheet {
    Sheet::from_bytes("people.csv", text.to_owned()).unwrap()
}

#[tokio::test]
async fn agents_get_the_prompt_of_their_contact() {
    let World { rivvi, voice, campaign } = world(None).await;
    let addition = Some("Offer {{slot}} only; say {{greeting|hello}}.");
    rivvi.campaigns().set_prompt_addition(campaign.id, addition, "user 7").await.unwrap();
    let text = "name,phone,Appointment\nDana Levi,052-2000001,noon\n";
    let run = rivvi.runs().import(campaign.id, sheet(text)).await.unwrap();
    // A later change is for later runs.
    rivvi.campaigns().set_prompt_addition(campaign.id, None, "user 8").await.unwrap();
    rivvi.runs().start(run.id).await.unwrap();
    rivvi.tick().await.unwrap();
    let placed = voice.placements().remove(0);
    let prompt = placed.prompt.as_ref().unwrap().expose();
    assert_eq!(prompt, "You call Dana of North about noon.\n\nOffer noon only; say hello.");
    assert!(!format!("{placed:?}").contains("Dana"));
}

#[tokio::test]
async fn what_no_column_fills_is_an_error_before_anything_is_imported() {
    let World { rivvi, campaign, .. } = world(None).await;
    let without = sheet("phone,Appointment,Doctor\n052-2000001,noon,Amsel\n");
    let error = rivvi.runs().import(campaign.id, without).await.unwrap_err();
    assert!(matches!(error, RunImportError::Sheet(_)));
    let text = error.to_string();
    for named in ["people.csv", "{{first_name}}", "row 1", "\"Doctor\""] {
        assert!(text.contains(named), "{named}: {text}");
    }
    assert!(!text.contains("Amsel"));
}

#[tokio::test]
async fn rows_that_leave_a_placeholder_empty_are_refused_by_name() {
    let World { rivvi, campaign, .. } = world(None).await;
    let long = "x".repeat(Prompt::BYTES_MAX);
    let text = format!(
        "name,phone,Appointment\nDana,052-2000001,noon\n,052-2000002,noon\nNoa,052-2000003,\" \"\nGil,052-2000004,{long}\n"
    );
    let run = rivvi.runs().import(campaign.id, sheet(&text)).await.unwrap();
    assert_eq!((run.report.imported, run.report.invalid), (1, 3));
    let problems: Vec<(u64, Severity, String)> = run
        .report
        .problems
        .iter()
        .map(|problem| (problem.row, problem.severity, problem.reason.to_string()))
        .collect();
    let nothing = |name: &str| format!("nothing fills the placeholder {{{{{name}}}}} of the prompt");
    assert_eq!(problems[0], (3, Severity::Refused, nothing("first_name")));
    assert_eq!(problems[1], (4, Severity::Refused, nothing("slot")));
    assert_eq!((problems[2].0, problems[2].1), (5, Severity::Refused));
    assert!(problems[2].2.contains("at most 32768"), "{}", problems[2].2);
}

#[tokio::test]
async fn a_transformer_may_fill_what_the_sheet_does_not_have() {
    let World { rivvi, campaign, .. } = world(Some(SlotOfNotes)).await;
    let definition = CampaignDefinition::from_toml(&CAMPAIGN.replace("slot = \"Appointment\"", "")).unwrap();
    let campaign = rivvi.campaigns().revise(campaign.id, definition).await.unwrap();
    let text = "name,phone,note\nDana,052-2000001,noon\nNoa,052-2000002,\n";
    let run = rivvi.runs().import(campaign.id, sheet(text)).await.unwrap();
    assert_eq!((run.report.imported, run.report.invalid), (1, 1));
}

#[tokio::test]
async fn every_version_is_told_once_with_who_made_it_and_whether_the_prompt_changed() {
    let World { rivvi, campaign, .. } = world(None).await;
    let campaigns = rivvi.campaigns();
    let second = campaigns.set_prompt_addition(campaign.id, Some("Be brief."), "user 7").await.unwrap();
    let same = campaigns.set_prompt_addition(campaign.id, Some("Be brief."), "user 8").await.unwrap();
    assert_eq!((second.version, same.version), (2, 2));
    let mut definition = second.definition.clone();
    definition.name = "Reminders".into();
    campaigns.revise(campaign.id, definition).await.unwrap();
    // A version that was kept and not told, as after a crash in between, is told with the next.
    let mut fourth = campaigns.find(campaign.id).await.unwrap().unwrap();
    fourth.version = 4;
    fourth.definition.prompt = None;
    rivvi.storage().catalog.add_campaign(fourth.clone()).await.unwrap();
    rivvi.runs().import(campaign.id, sheet("phone,Appointment\n052-2000001,noon\n")).await.unwrap();

    let told = campaigns.history(campaign.id, 0, 100).await.unwrap();
    let facts: Vec<_> = told
        .iter()
        .map(|entry| match &entry.event {
            Event::CampaignRevised { version, by, prompt, prompt_changed } => {
                assert_eq!(u64::from(*version), entry.sequence);
                assert_eq!(entry.aggregate, Aggregate::Campaign(campaign.id));
                (*version, by.as_deref(), prompt.clone(), *prompt_changed)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let digest = |campaign: &Campaign| campaign.definition.prompt.as_ref().map(Prompt::digest);
    assert_eq!(
        facts,
        [
            (1, None, digest(&campaign), true),
            (2, Some("user 7"), digest(&second), true),
            (3, None, digest(&second), false),
            (4, None, None, true),
        ]
    );
}

#[tokio::test]
async fn additions_that_make_no_sense_are_refused() {
    let World { rivvi, campaign, .. } = world(None).await;
    let long = "x".repeat(Prompt::BYTES_MAX);
    for (addition, named) in [("Hello {{name", "prompt.addition"), (long.as_str(), "at most 32768 bytes")] {
        let error =
            rivvi.campaigns().set_prompt_addition(campaign.id, Some(addition), "user 7").await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused);
        assert!(error.to_string().contains(named), "{error}");
    }
    let mut definition = campaign.definition.clone();
    definition.prompt = None;
    rivvi.campaigns().revise(campaign.id, definition).await.unwrap();
    let error = rivvi.campaigns().set_prompt_addition(campaign.id, Some("Hi"), "user 7").await.unwrap_err();
    assert!(error.to_string().contains("prompt.base"), "{error}");
}

#[test]
fn campaign_files_name_what_is_wrong_with_a_prompt() {
    let long =
        format!("name = 'x'\nchannel = 'voice'\n[prompt]\nbase = '{}'", "x".repeat(Prompt::BYTES_MAX + 1));
    for (text, key) in [
        ("name = 'x'\nchannel = 'voice'\n[prompt]\nbase = ' '", "prompt.base"),
        ("name = 'x'\nchannel = 'voice'\n[prompt]\nbase = 'Hi {{name'", "prompt.base"),
        ("name = 'x'\nchannel = 'voice'\n[prompt]\nbase = 'a'\nadition = 'b'", "prompt"),
        (long.as_str(), "prompt.base"),
    ] {
        let error = CampaignDefinition::from_toml(text).unwrap_err();
        assert!(error.key.starts_with(key), "{key}: {error}");
    }
}
