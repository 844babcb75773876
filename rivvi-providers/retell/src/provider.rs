//! The provider.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CallId, ProviderName};
use rivvi_core::provider::{
    CallLookup, CallUpdate, FindCall, InboundAnswer, InboundCall, InboundOptOut, Lookup, PlaceCall,
    PlacedCall, ProviderError, ProviderErrorKind, VoiceCapabilities, VoiceProvider, WebhookError,
    WebhookRequest,
};
use serde::Deserialize;
use serde_json::json;

use crate::call::{CreatePhoneCall, Picture};
use crate::client::Client;
use crate::concurrency::Concurrency;
use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::options::{OptionsError, RetellOptions};
use crate::updates::{Occasion, of_call};
use crate::{inbound, signature, webhook};

/// For how long Retell recognizes an idempotency key (retell-sdk 6.2.13).
const IDEMPOTENT_FOR: Duration = Duration::from_secs(3_600);
/// Calls that one page of a list may have.
const PAGE: u32 = 1_000;
/// Pages looked through for one call: more calls to one number than that and nothing is certain.
const PAGES_MAX: u32 = 5;
/// How far the clocks of Retell and of the engine may differ.
const SKEW_MAX: TimeDelta = TimeDelta::minutes(10);

/// Retell AI as a voice provider: agents that talk, told by webhooks. See the [crate](crate).
///
/// | | |
/// |---|---|
/// | placed again safely | for an hour, by idempotency key |
/// | found by | our id, in the metadata of the calls to the number; Retell's id, once known |
/// | ended | by `stop-call`, once Retell's id is known |
/// | name | `retell` |
pub struct Retell {
    client: Client,
    options: RetellOptions,
    clock: Arc<dyn Clock>,
}

impl Retell {
    /// The provider for one account. Asks nothing yet.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(options: RetellOptions, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self { client: Client::new(&options, clock.clone())?, options, clock })
    }

    /// How many calls the account has and may have at once. For an operator's screen, or to set the limit of an
    /// organization.
    ///
    /// # Errors
    /// If Retell cannot be asked now.
    pub async fn concurrency(&self) -> Result<Concurrency, ProviderError> {
        let asked = self.client.get("get-concurrency").await;
        asked.map_err(|failure| failure.of_question(&self.name(), "concurrency"))
    }

    fn today(&self) -> NaiveDate {
        self.clock.now().date_naive()
    }

    fn pictured(&self, picture: &Picture, call_id: CallId) -> Vec<CallUpdate> {
        let variable = &self.options.callback_variable;
        of_call(&self.name(), picture, Occasion::Lookup(call_id), variable, self.clock.now())
    }

    async fn by_reference(&self, reference: &str) -> Result<Option<Picture>, Failure> {
        let path = format!("v2/get-call/{}", escaped(reference));
        match self.client.get::<Picture>(&path).await {
            Ok(picture) if picture.call_id.is_some() => Ok(Some(picture)),
            Ok(_) => Err(Failure::Unreadable),
            // "Cannot find requested asset under given api key."
            Err(failure) if matches!(failure.status(), Some(404 | 422)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Looks through the calls to the number for the one with our id.
    ///
    /// The list is narrowed by number alone. A call that was not connected may have no start, and a filter by time would
    /// hide it; and that a filter by metadata finds a call made a moment ago is not promised.
    async fn by_our_id(&self, query: &FindCall) -> Result<Option<Picture>, Failure> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Picture>,
            #[serde(default)]
            has_more: bool,
            #[serde(default)]
            pagination_key: Option<String>,
        }
        let earliest = query.intended_at - SKEW_MAX;
        let mut page_key: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let to_number = json!({ "type": "string", "op": "eq", "value": query.to.expose() });
            let mut filter = json!({
                "filter_criteria": { "to_number": to_number }, "sort_order": "descending", "limit": PAGE,
            });
            if let Some(key) = page_key {
                filter["pagination_key"] = json!(key);
            }
            let page: Page = self.client.post("v3/list-calls", &filter).await?;
            let is_older = |picture: &Picture| picture.started_at().is_some_and(|at| at < earliest);
            let all_older = !page.items.is_empty() && page.items.iter().all(is_older);
            if let Some(found) = page.items.into_iter().find(|picture| is_of(picture, query.call_id)) {
                return Ok(Some(found));
            }
            if !page.has_more || all_older {
                return Ok(None);
            }
            page_key = page.pagination_key;
            if page_key.is_none() {
                break;
            }
        }
        // Whether it is among the rest cannot be said.
        Err(Failure::Unreadable)
    }

    async fn find(&self, query: &FindCall) -> Result<Option<Picture>, Failure> {
        match &query.reference {
            Some(reference) => self.by_reference(reference).await,
            None => self.by_our_id(query).await,
        }
    }
}

fn is_of(picture: &Picture, call_id: CallId) -> bool {
    Metadata::read(picture.metadata.as_ref()).is_some_and(|ours| ours.call_id == call_id)
}

/// An id as one segment of a path.
fn escaped(id: &str) -> String {
    use std::fmt::Write as _;
    id.bytes().fold(String::with_capacity(id.len()), |mut text, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => text.push(char::from(byte)),
            _ => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

#[async_trait]
impl VoiceProvider for Retell {
    fn name(&self) -> ProviderName {
        ProviderName::new("retell")
    }

    fn capabilities(&self) -> VoiceCapabilities {
        let mut can = VoiceCapabilities::default();
        can.idempotent_placement = Some(IDEMPOTENT_FOR);
        can.lookup = Lookup::ByCallId;
        can.hang_up = true;
        can.calls_per_second = self.options.calls_per_second;
        can.settles_after = self.options.settles_after;
        can.silence_max = self.options.silence_max;
        can
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        #[derive(Deserialize)]
        struct Created {
            call_id: String,
        }
        const OPERATION: &str = "place_call";
        if request.flow.is_some() {
            let error = ProviderError::not_sent(&self.name(), OPERATION, ProviderErrorKind::InvalidRequest);
            return Err(error.with_source(
                "Retell's agents lead conversations themselves: expected a campaign with \
                `agent_id`, not with a flow",
            ));
        }
        let body = CreatePhoneCall::new(request, &self.options, self.today());
        let created: Result<Created, Failure> = self.client.post("v2/create-phone-call", &body).await;
        match created {
            Ok(created) if !created.call_id.is_empty() => Ok(PlacedCall { reference: Some(created.call_id) }),
            Ok(_) => Err(Failure::Unreadable.of_effect(&self.name(), OPERATION)),
            Err(failure) => Err(failure.of_effect(&self.name(), OPERATION)),
        }
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let found = self.find(query).await;
        let found = found.map_err(|failure| failure.of_question(&self.name(), "find_call"))?;
        Ok(found.map_or(CallLookup::NotFound, |picture| {
            CallLookup::Found(self.pictured(&picture, query.call_id))
        }))
    }

    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        let failed = |failure: Failure| failure.of_question(&self.name(), "hang_up");
        let reference = match query.reference.clone() {
            Some(reference) => Some(reference),
            None => self.by_our_id(query).await.map_err(failed)?.and_then(|picture| picture.call_id),
        };
        let Some(reference) = reference else { return Ok(()) };
        match self.client.tell(&format!("v2/stop-call/{}", escaped(&reference))).await {
            Ok(()) => Ok(()),
            // Over, or not known.
            Err(failure) if matches!(failure.status(), Some(400 | 404 | 409 | 422)) => Ok(()),
            Err(failure) => Err(failed(failure)),
        }
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        let (key, age_max) = (self.options.signing_key(), self.options.webhook_age_max);
        let signed_at = signature::verify(request, key, now, age_max)?;
        webhook::read(&self.name(), request.body(), &self.options.callback_variable, signed_at)
    }

    fn inbound_opt_out(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Option<InboundOptOut> {
        webhook::stranger_opt_out(&self.name(), request.body(), now)
    }

    fn decode_inbound(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<InboundCall, WebhookError> {
        signature::verify(request, self.options.signing_key(), now, self.options.webhook_age_max)?;
        inbound::read(request.body())
    }

    fn encode_inbound(&self, answer: &InboundAnswer) -> http::Response<Bytes> {
        inbound::write(answer, &self.options, self.today())
    }
}

impl fmt::Debug for Retell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retell").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_one_segment_of_a_path() {
        assert_eq!(escaped("Jabr9TXYYJHfvl6_-"), "Jabr9TXYYJHfvl6_-");
        assert_eq!(escaped("../a?b#c d/ש"), "%2E%2E%2Fa%3Fb%23c%20d%2F%D7%A9");
    }
}
