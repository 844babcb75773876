//! What the suites of providers check alike.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::task::Poll;

use bytes::Bytes;

use super::fault::Fault;
use crate::domain::ProviderName;
use crate::provider::{ProviderError, WebhookRequest};

/// Values of headers that say nothing, or too much.
pub(super) const GARBAGE: [&str; 11] =
    ["", " ", "=", ",", ":", "0", "-1", "t=,v1=", "v=1,d=\u{e9}", "99999999999999999999", "Bearer a.b.c"];

/// Everything that a log could show of an error.
pub(super) fn everything_of(error: &ProviderError) -> String {
    let mut text = format!("{error}\n{error:?}\n{error:#?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        write!(text, "\n{inner}\n{inner:?}").unwrap();
        cause = inner.source();
    }
    text
}

/// Asserts that a text holds nothing of what must not be seen.
pub(super) fn assert_holds_none(text: &str, forbidden: &[String]) {
    for secret in forbidden.iter().filter(|secret| !secret.is_empty()) {
        // The text is not shown: it would be in the log of the test.
        assert!(
            !text.contains(secret.as_str()),
            "a secret, a number, a name or a message is seen in a text of {} bytes",
            text.len()
        );
    }
}

/// Asserts that an error says of a fault what it must.
pub(super) fn assert_told_as(fault: Fault, error: &ProviderError, name: &ProviderName, operation: &str) {
    let (kind, delivery) = fault.told_as();
    assert!(kind.is_none_or(|kind| kind == error.kind), "{fault:?} is told as {:?}", error.kind);
    assert!(
        delivery.is_none_or(|delivery| delivery == error.delivery),
        "{fault:?} is told as {:?}",
        error.delivery
    );
    assert_eq!((&error.provider, error.operation), (name, operation));
    if fault == Fault::RateLimited {
        let wait = std::time::Duration::from_secs(7);
        assert_eq!(error.retry_after, Some(wait), "how long to wait is handed on");
    }
}

/// A reference of the same form that nothing has.
pub(super) fn unlike(reference: &str) -> String {
    let turn = |c: char| match c {
        '0'..='8' | 'a'..='e' | 'A'..='E' => char::from_u32(c as u32 + 1).unwrap(),
        '9' => '0',
        'f' => 'a',
        'F' => 'A',
        other => other,
    };
    let (head, tail) = reference.split_at(reference.char_indices().nth_back(11).map_or(0, |(at, _)| at));
    let turned: String = tail.chars().map(turn).collect();
    if turned == tail { format!("{head}{tail}0") } else { format!("{head}{turned}") }
}

/// Drives a future, and drops it after so many polls if it is not done before.
pub(super) async fn drop_after<T>(polls: u64, future: impl Future<Output = T>) {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 || future.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        left -= 1;
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The webhook without its headers, with other bodies under its signature, and cut.
pub(super) fn broken(webhook: &WebhookRequest) -> Vec<WebhookRequest> {
    let body = webhook.body();
    let with_body = |body: Vec<u8>| webhook.clone().map(|_| Bytes::from(body));
    let mut unsigned = webhook.clone();
    unsigned.headers_mut().clear();
    let mut broken = vec![unsigned];
    for place in [0, body.len() / 2, body.len().saturating_sub(1)] {
        let mut turned = body.to_vec();
        turned[place] ^= 1;
        broken.push(with_body(turned));
        broken.push(with_body(body[..place].to_vec()));
    }
    broken.push(with_body([body.as_ref(), b" "].concat()));
    for garbage in [&b""[..], b"{", b"null", b"[]", b"\xff\xfe\x00", b"a=b&c=%zz", &[b'['; 100_000]] {
        broken.push(with_body(garbage.to_vec()));
    }
    broken
}

/// The webhook with garbage in each of its headers.
pub(super) fn with_spoilt_headers(webhook: &WebhookRequest) -> Vec<WebhookRequest> {
    let long = "9".repeat(10_000);
    let mut spoilt = Vec::new();
    for name in webhook.headers().keys() {
        for value in GARBAGE.into_iter().chain([long.as_str()]) {
            let mut webhook = webhook.clone();
            webhook.headers_mut().insert(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
            spoilt.push(webhook);
        }
    }
    spoilt
}

/// Every order of `count` things.
pub(super) fn orders(count: usize) -> Vec<Vec<usize>> {
    assert!(count <= 5, "all orders of more would take too long");
    (0..count).fold(vec![Vec::new()], |orders, next| {
        let longer = |order: &Vec<usize>| {
            let order = order.clone();
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        };
        orders.iter().flat_map(longer).collect()
    })
}
