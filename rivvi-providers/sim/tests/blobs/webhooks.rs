//! Copies of webhooks: complete when all goes well, and never in the way.

use rivvi_core::engine::WebhookCopies;
use rivvi_core::provider::WebhookRequest;
use rivvi_core::testkit::{BlobFault, BlobFaults};

use crate::life::Life;

const AWAY: BlobFaults = BlobFaults { unavailable: 1.0, answer_lost: 0.0 };

/// A life with calls placed, and the webhooks of the first minutes.
async fn calls(life: &Life) -> Vec<WebhookRequest> {
    let run = life.imported(40).await.id;
    life.rivvi.runs().start(run).await.unwrap();
    life.clock.advance_to("2027-06-01T06:00:00Z".parse().unwrap());
    life.rivvi.tick().await.unwrap();
    life.clock.advance(std::time::Duration::from_secs(600));
    life.network.take_webhooks(rivvi_core::clock::Clock::now(life.clock.as_ref()))
}

async fn receive(life: &Life, webhooks: &[WebhookRequest]) {
    for webhook in webhooks {
        life.rivvi.receive("sim", webhook).await.unwrap();
    }
}

async fn raw(life: &Life) -> Vec<String> {
    let logs = life.objects("call-logs").await;
    logs.into_iter().filter(|(path, _)| path.contains("/raw/")).map(|(_, text)| text).collect()
}

fn counts(copies: WebhookCopies) -> (usize, u64, u64) {
    (copies.waiting, copies.written, copies.lost)
}

#[tokio::test]
async fn a_webhook_is_acknowledged_while_the_blob_store_hangs() {
    let life = Life::begin().await;
    let webhooks = calls(&life).await;
    assert!(webhooks.len() > 20, "{}", webhooks.len());
    life.faulty.fail_at(life.faulty.operations() + 1, BlobFault::Hang);
    receive(&life, &webhooks).await;
    life.faulty.hung().await;
    let (waiting, _, lost) = counts(life.rivvi.webhook_copies());
    assert_eq!((waiting, lost), (webhooks.len(), 0));
}

#[tokio::test]
async fn copies_wait_while_the_blob_store_is_away() {
    let life = Life::begin().await;
    let webhooks = calls(&life).await;
    life.faulty.set_faults(AWAY);
    receive(&life, &webhooks).await;
    life.rivvi.tick().await.unwrap();
    assert_eq!(counts(life.rivvi.webhook_copies()), (webhooks.len(), 0, 0));
    life.faulty.set_faults(BlobFaults::default());
    life.rivvi.tick().await.unwrap();
    assert_eq!(counts(life.rivvi.webhook_copies()), (0, webhooks.len() as u64, 0));
    let copies = raw(&life).await;
    assert_eq!(copies.len(), webhooks.len());
    for webhook in &webhooks {
        let body = std::str::from_utf8(webhook.body()).unwrap();
        let found = copies.iter().filter(|copy| copy.contains(&format!("\"body\":{body}"))).count();
        assert_eq!(found, 1, "each body is there to the byte");
    }
}

/// The same webhook again is another copy: it is what the provider sent.
#[tokio::test]
async fn repetitions_are_kept_and_nothing_is_replaced() {
    let mut life = Life::begin().await;
    let webhooks = calls(&life).await;
    receive(&life, &webhooks).await;
    life.rivvi.tick().await.unwrap();
    let before = life.objects("call-logs").await;
    // Another node, which has not seen the first copies.
    life.reborn();
    receive(&life, &webhooks).await;
    life.rivvi.tick().await.unwrap();
    let after = life.objects("call-logs").await;
    assert_eq!(raw(&life).await.len(), 2 * webhooks.len());
    assert!(before.iter().all(|(path, text)| after[path] == *text));
}

#[tokio::test]
async fn more_than_the_queue_holds_is_lost_and_counted() {
    let life = Life::begin().await;
    let webhooks = calls(&life).await;
    // Whoever writes waits for ever.
    life.faulty.fail_at(life.faulty.operations() + 1, BlobFault::Hang);
    let rounds = 10_000 / webhooks.len() + 1;
    for _ in 0..rounds {
        receive(&life, &webhooks).await;
    }
    let (waiting, written, lost) = counts(life.rivvi.webhook_copies());
    assert_eq!((waiting, written), (10_000, 0));
    assert_eq!(lost, (rounds * webhooks.len() - 10_000) as u64);
}

#[tokio::test]
async fn webhooks_that_are_refused_leave_no_copy() {
    let life = Life::begin().await;
    let mut webhooks = calls(&life).await;
    let mut forged = webhooks.remove(0);
    *forged.body_mut() = b"{}".to_vec().into();
    life.rivvi.receive("sim", &forged).await.unwrap_err();
    life.rivvi.tick().await.unwrap();
    assert_eq!(counts(life.rivvi.webhook_copies()), (0, 0, 0));
    assert_eq!(raw(&life).await.len(), 0);
}
