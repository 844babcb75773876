//! Two engines on one store import the same sheet at the same time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use rivvi_core::domain::{CallerId, CampaignDefinition, E164, Region, RunState};
use rivvi_core::engine::{NewOrganization, Rivvi};
use rivvi_core::import::{ContactTransformer, ImportedContact, Sheet};
use rivvi_core::storage::Storage;

/// Tells that the first row is being read, and waits before it goes on.
#[derive(Debug)]
struct StopsAtFirstRow {
    reached: Mutex<Option<Sender<()>>>,
    go_on: Mutex<Receiver<()>>,
}

impl ContactTransformer for StopsAtFirstRow {
    fn transform(&self, _: &mut ImportedContact) -> Result<(), String> {
        if let Some(reached) = self.reached.lock().unwrap().take() {
            reached.send(()).unwrap();
            self.go_on.lock().unwrap().recv().unwrap();
        }
        Ok(())
    }
}

fn sheet() -> Sheet {
    Sheet::from_bytes("people.csv", "name,phone\nDana,052-2000001\nNoa,052-2000002\n").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_second_gets_the_run_of_the_first() {
    let storage = Storage::in_memory();
    let (reached, at_first_row) = channel();
    let (go, go_on) = channel();
    let stops = StopsAtFirstRow { reached: Mutex::new(Some(reached)), go_on: Mutex::new(go_on) };
    let slow = Rivvi::builder().storage(storage.clone()).contact_transformer(stops).build().unwrap();
    let fast = Rivvi::builder().storage(storage).build().unwrap();
    let new = NewOrganization {
        name: "North Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let organization = fast.organizations().create(new).await.unwrap();
    let definition = CampaignDefinition::from_toml("name = 'Reminder'\nchannel = 'voice'").unwrap();
    let campaign = fast.campaigns().create(organization.id, definition).await.unwrap();

    let second = tokio::spawn({
        let slow = slow.clone();
        async move { slow.runs().import(campaign.id, sheet()).await }
    });
    tokio::task::spawn_blocking(move || at_first_row.recv().unwrap()).await.unwrap();
    let first = fast.runs().import(campaign.id, sheet()).await.unwrap();
    fast.runs().start(first.id).await.unwrap();
    go.send(()).unwrap();

    let second = second.await.unwrap().unwrap();
    assert_eq!((second.id, second.run.state), (first.id, RunState::Active));
    assert_eq!(second.report, first.report);
    let tally = fast.runs().progress(first.id).await.unwrap().tally;
    assert_eq!(tally.contacts(), 2, "every row is one contact");
}
