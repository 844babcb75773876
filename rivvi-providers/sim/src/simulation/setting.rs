//! The organization, the campaign and the contacts of a world.

#![allow(clippy::expect_used, reason = "a world that cannot be set up has no verdict")]

use chrono_tz::Tz;
use rand::Rng;
use rand::rngs::StdRng;
use rivvi_core::clock::Clock;
use rivvi_core::domain::{
    CallerId, CallsPerSecond, CampaignDefinition, E164, IdSource, Organization, Region, RunId,
};
use rivvi_core::engine::{NewOrganization, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::testkit::FaultyBlobs;

use super::node::Surroundings;
use super::parts::Parts;
use super::storm::Storm;

/// Contacts of a run.
pub(super) const CONTACTS: u64 = 40;
/// Calls at once.
pub(super) const CONCURRENCY: u32 = 6;
/// Attempts at a number, ever.
pub(super) const LIFETIME_CAP: usize = 4;
/// Attempts at a number within a day of its zone.
pub(super) const DAILY_CAP: usize = 2;
const CAMPAIGN: &str = r#"
    [[windows]]
    from = "09:00"
    to = "20:30"
    [retry]
    busy = { after = "15m", max = 2 }
    no_answer = { after = "2h", max = 2 }
    voicemail = { after = "1d", max = 1 }
    failed = { after = "5m", max = 1 }
    [caps]
    lifetime = 4
    per_day = 2
    [run]
    end_after = "9d"
"#;

/// The zones of the contacts, from −11 to +14.
pub(super) const ZONES: [Tz; 5] = [
    Tz::Asia__Jerusalem,
    Tz::America__New_York,
    Tz::Pacific__Pago_Pago,
    Tz::Pacific__Kiritimati,
    Tz::Europe__London,
];

/// A zone for each contact.
pub(super) fn zones(dice: &mut StdRng) -> Vec<Tz> {
    (0..CONTACTS).map(|_| ZONES[dice.random_range(0..ZONES.len())]).collect()
}

/// Organization, campaign and run of a world.
pub(super) async fn set_up(
    around: &Surroundings,
    storm: &Storm,
    parts: &dyn Parts,
    sheet: String,
    blobs: &FaultyBlobs,
) -> (Organization, RunId) {
    let calm = Rivvi::builder().storage(around.storage.clone()).clock(around.clock.clone());
    let calm = calm.voice(around.network.clone()).sms(around.gateway.clone()).email(around.mailbox.clone());
    let calm = calm.ids(IdSource::seeded(storm.seed)).build().expect("the configuration holds");
    let new = NewOrganization {
        name: "Storm".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").expect("a number")),
        time_zone: Tz::Asia__Jerusalem,
        region: Region::new("IL").expect("a region"),
    };
    let mut organization = calm.organizations().create(new).await.expect("the store takes an organization");
    organization.limits.concurrent_calls = CONCURRENCY;
    organization.limits.calls_per_second = storm.calls_per_second.and_then(CallsPerSecond::new);
    calm.organizations().put(organization.clone()).await.expect("the store changes an organization");
    let text = format!("name = 'Storm'\n{}\n{CAMPAIGN}", storm.kind.campaign());
    let definition = parts.definition(CampaignDefinition::from_toml(&text).expect("the campaign holds"));
    let campaign =
        calm.campaigns().create(organization.id, definition).await.expect("the store takes a campaign");
    let sheet = Sheet::from_bytes("storm.csv", sheet).expect("the sheet holds");
    let run = calm.runs().import(campaign.id, sheet).await.expect("the sheet is imported");
    assert_eq!(run.report.imported, CONTACTS, "every row is imported");
    match storm.blobs {
        None => calm.runs().start(run.id).await.expect("the run starts"),
        Some(faults) => {
            blobs.set_faults(faults);
            let now = around.clock.now();
            calm.runs().schedule(run.id, now).await.expect("the run is scheduled")
        }
    };
    (organization, run.id)
}

/// The number of a row, counted from 0.
pub(super) fn number_of(row: u64) -> E164 {
    E164::from_digits(972_522_000_000 + row).unwrap_or_else(|| unreachable!("twelve digits"))
}

/// The contacts, in a random order of priorities.
pub(super) fn sheet(dice: &mut StdRng, zones: &[Tz]) -> String {
    let mut text = String::from("name,phone,priority,time zone\n");
    for (row, zone) in zones.iter().enumerate() {
        let priority = dice.random_range(1..=5);
        text.push_str(&format!("P{row},+97252{},{priority},{zone}\n", 2_000_000 + row));
    }
    text
}
