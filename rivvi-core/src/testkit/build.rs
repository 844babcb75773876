//! Builders with defaults, for suites and for the tests of hosts.
//!
//! Everything is derived from small numbers, so the same call always builds the same thing: ids ascend with their
//! number, telephone numbers are distinct, and all instants lie around [`start`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::domain::{
    Call, CallId, CallerId, Campaign, CampaignDefinition, CampaignId, Contact, ContactId, E164, NodeId,
    OrgId, Organization, PersonFields, Personal, Region, Run, RunId, Sender, Suppression, SuppressionSource,
};
use crate::import::{ImportReport, ProblemReason, RowProblem, Severity, SheetFormat};
use crate::machine::{CallFact, CallInput};
use crate::policy::zone::{CandidateZones, ResolvedZones, ZoneEvidence};
use crate::provider::{CallEvent, CallRef, CallUpdate, PlaceCall, SendSms};

/// The instant at which every scene begins: 2030-01-07T09:00:00.000001Z, a Monday, with a microsecond that a store
/// must not lose.
pub fn start() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_894_006_800_000_001).unwrap()
}

/// The instant so many seconds after [`start`]; negative is before.
pub fn second(seconds: i64) -> DateTime<Utc> {
    start() + TimeDelta::seconds(seconds)
}

/// The smallest difference in time that a store must keep.
pub const TICK: TimeDelta = TimeDelta::microseconds(1);

/// Text that a store must keep to the byte: several scripts, direction marks, combining characters, characters
/// outside the basic plane, quotes, and what escaping could break.
pub const UNICODE: &str = "Zoë O'Neil \"q\" \\ %_ שָׁלוֹם \u{200f}مرحبا 李小龍 e\u{301} 🦊👩‍👩‍👧 \t\n;--";

fn id(kind: u8, n: u64) -> Uuid {
    let millis = start().timestamp_millis().unsigned_abs() + n;
    uuid::Builder::from_unix_timestamp_millis(millis, &[kind; 10]).into_uuid()
}

/// The id of organization `n`.
pub fn org_id(n: u64) -> OrgId {
    OrgId::from_uuid(id(0x01, n))
}

/// The id of campaign `n`.
pub fn campaign_id(n: u64) -> CampaignId {
    CampaignId::from_uuid(id(0x02, n))
}

/// The id of run `n`.
pub fn run_id(n: u64) -> RunId {
    RunId::from_uuid(id(0x03, n))
}

/// The id of node `n`.
pub fn node_id(n: u64) -> NodeId {
    NodeId::from_uuid(id(0x04, n))
}

/// The id that suites give to a call that begins when its contact has so many journal entries: never the same for
/// two calls.
pub fn call_id(contact: ContactId, entries: u64) -> CallId {
    let mut bytes = *contact.as_uuid().as_bytes();
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8..11].copy_from_slice(&entries.to_be_bytes()[5..]);
    CallId::from_uuid(Uuid::from_bytes(bytes))
}

/// A call id that no suite gives to a call.
pub fn unknown_call_id(n: u64) -> CallId {
    CallId::from_uuid(id(0x05, n))
}

/// Telephone number `n`, of 12 digits.
pub fn number(n: u64) -> E164 {
    E164::from_digits(972_500_000_000 + n).unwrap()
}

/// Organization `n`: 20 calls at once, any number of active runs.
pub fn organization(n: u64) -> Organization {
    let region = Region::new("IL").unwrap();
    let caller_id = CallerId(E164::from_digits(97_231_234_567).unwrap());
    let mut organization = Organization::new(org_id(n), format!("Clinic {n}"), caller_id, Tz::UTC, region);
    organization.limits.active_runs = u32::MAX;
    organization
}

/// Version 1 of campaign `n`: calls at any time, nothing is tried again, no caps.
pub fn campaign(org_id: OrgId, n: u64) -> Campaign {
    let text = format!("name = 'Reminder {n}'\nchannel = 'voice'\nagent_id = 'agent_{n}'");
    let definition = CampaignDefinition::from_toml(&text).unwrap();
    Campaign { id: campaign_id(n), org_id, version: 1, definition }
}

/// Run `n` of a campaign, in its first state.
pub fn draft(campaign: &Campaign, n: u64) -> Run {
    Run::draft(run_id(n), campaign, format!("key {n}"), format!("sheet-{n}.csv"), start())
}

/// The contact of row `row`, waiting since [`start`], in the zone UTC, with a number of its own: no contact of
/// another row below 10,000, or of another run, has it.
pub fn contact(run: &Run, row: u64) -> Contact {
    let millis = run.id.as_uuid().as_u128() >> 80;
    let run_number = u64::try_from(millis).unwrap_or(0) % 1_000_000;
    let zones = ResolvedZones { zones: CandidateZones::single(Tz::UTC), evidence: ZoneEvidence::Column };
    Contact::new(run.id, run.org_id, row, number(run_number * 10_000 + row), zones, start())
}

/// Contacts of the rows 1 to `count`.
pub fn contacts(run: &Run, count: u64) -> Vec<Contact> {
    (1..=count).map(|row| contact(run, row)).collect()
}

/// The contact of row `row` with everything filled that a contact can have.
pub fn rich_contact(run: &Run, row: u64) -> Contact {
    let mut contact = contact(run, row);
    contact.person = person_fields();
    contact.external_id = Some(Personal::new(format!("EXT-{row} {UNICODE}")));
    contact.variables = Personal::new(Arc::new(variables()));
    let zones = [Tz::Asia__Jerusalem, Tz::America__New_York].into_iter().collect();
    contact.zones = ResolvedZones { zones, evidence: ZoneEvidence::Number };
    contact
}

/// Every field of a person.
pub fn person_fields() -> PersonFields {
    PersonFields {
        first_name: Some(Personal::new(UNICODE.into())),
        last_name: Some(Personal::new("Ó Súilleabháin".into())),
        date_of_birth: NaiveDate::from_ymd_opt(1944, 2, 29).map(Personal::new),
        email: Some(Personal::new("zoë@exämple.com".into())),
        language: Some(Personal::new("עברית".into())),
    }
}

/// Some variables, with an empty name and an empty value among them.
pub fn variables() -> BTreeMap<String, String> {
    let pairs = [("", "no name"), ("empty", ""), ("שם", UNICODE), ("a.b[0]", "1"), ("A.B[0]", "2")];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// An entry of the suppression list since [`start`], for good.
pub fn suppression(org_id: OrgId, number: E164) -> Suppression {
    Suppression {
        org_id,
        number,
        source: SuppressionSource::Admin,
        reason: "asked by letter".into(),
        added_at: start(),
        expires_at: None,
    }
}

/// The provider tells something about a call, known by our id.
pub fn told(call: &Call, event: CallEvent) -> CallInput {
    told_of(CallRef::Id(call.id), event)
}

/// The provider tells something about a call.
pub fn told_of(call: CallRef, event: CallEvent) -> CallInput {
    CallInput::from(CallUpdate { call, at: start(), event })
}

/// A fact about a call, known by our id.
pub fn fact(call: &Call, fact: CallFact) -> CallInput {
    CallInput { call: CallRef::Id(call.id), fact }
}

/// A report on a sheet with a problem.
pub fn import_report() -> ImportReport {
    ImportReport {
        sheet: "הזמנות \u{1f98a}.csv".into(),
        digest: "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef".into(),
        format: SheetFormat::Csv,
        worksheet: None,
        encoding: Some("windows-1255".into()),
        delimiter: Some(';'),
        header_row: 1,
        date_order: None,
        columns: Vec::new(),
        rows: 2,
        imported: 1,
        duplicates: 0,
        invalid: 1,
        blank_rows: 3,
        landlines: None,
        problems: vec![RowProblem {
            row: 2,
            column: "טלפון".into(),
            value: "***".into(),
            severity: Severity::Refused,
            reason: ProblemReason::InvalidNumber { detail: "too short".into() },
        }],
        problems_total: 1,
        complete: true,
    }
}

/// A request for a call `n`, for suites and doubles of providers.
pub fn place_call(n: u64) -> PlaceCall {
    let run = draft(&campaign(org_id(1), 1), 1);
    let contact = rich_contact(&run, n);
    PlaceCall {
        call_id: call_id(contact.id, n),
        org_id: run.org_id,
        campaign_id: run.campaign_id,
        run_id: run.id,
        contact_id: contact.id,
        to: contact.number,
        from: organization(1).caller_id,
        agent_id: run.definition.agent_id.clone(),
        flow: run.definition.flow.clone(),
        prompt: None,
        person: contact.person,
        variables: Personal::new(Arc::new(variables())),
        ring_timeout: Duration::from_secs(30),
        max_duration: Duration::from_secs(540),
    }
}

/// A text that a message must keep to the letter, in two scripts and with what escaping could break.
pub const SMS_TEXT: &str = "שלום Zoë O'Neil, \"10:00\" & 50% = <b>\\ +1 \u{1f98a}\nנתראה";

/// What in [`SMS_TEXT`] must not be seen in a log.
pub const SMS_NAMES: [&str; 2] = ["שלום", "O'Neil"];

/// A request for a message `n`, for suites and doubles of providers.
pub fn send_sms(n: u64) -> SendSms {
    let run = draft(&campaign(org_id(1), 1), 1);
    let contact = contact(&run, n);
    let sender = Sender::Number(organization(1).caller_id.0);
    let mut request = SendSms::new(call_id(contact.id, n), contact.number, sender, SMS_TEXT);
    request.org_id = run.org_id;
    request.campaign_id = run.campaign_id;
    request.run_id = run.id;
    request.contact_id = contact.id;
    request
}
