//! Requests to DynamoDB: repeated while that helps, and no longer.
//!
//! The SDK's own retries are off, so that there is one place that decides: throttling waits with exponential backoff
//! and full jitter (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>); a request without an
//! answer is repeated, a transaction with the same token, so that it takes effect once; everything is given up after
//! [`Options::patience`](crate::Options::patience).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rivvi_core::clock::{Clock, SystemClock};

use crate::capacity::Meter;
use crate::error::{Answer, Failure, Verdict};
use crate::place::{Place, Table};
use crate::value::Item;

/// Items one `BatchGetItem` may ask for.
const GET_MAX: usize = 100;

/// The first pause before a repetition; each is up to twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(10);

/// The longest pause before a repetition.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The way to the tables.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub(crate) client: Client,
    pub(crate) prefix: Arc<str>,
    pub(crate) patience: Duration,
    pub(crate) clock: SystemClock,
    pub(crate) meter: Option<Arc<Meter>>,
}

/// A part of one partition, in the order of the sort key.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a> {
    pub(crate) table: Table,
    /// An index instead of the table itself, with its keys; what it gives may be old.
    pub(crate) index: Option<(&'static str, [&'static str; 2])>,
    pub(crate) pk: String,
    /// After this sort key, itself not included.
    pub(crate) after: Option<String>,
    /// Up to this sort key, itself included.
    pub(crate) to: Option<String>,
    pub(crate) limit: usize,
    /// From the end.
    pub(crate) backward: bool,
    /// Only items of which this text attribute in a map has this value.
    pub(crate) filter: Option<([&'a str; 2], String)>,
}

impl Range<'_> {
    /// All of a partition.
    pub(crate) fn all(table: Table, pk: impl Into<String>) -> Self {
        let (index, after, to, filter) = (None, None, None, None);
        Self { table, index, pk: pk.into(), after, to, limit: usize::MAX, backward: false, filter }
    }
}

impl Gateway {
    /// The full name of a table.
    pub(crate) fn table(&self, table: Table) -> String {
        format!("{}{}", self.prefix, table.name())
    }

    /// The item at a place as it is now.
    pub(crate) async fn get(&self, place: &Place) -> Result<Option<Item>, Failure> {
        let answer = self
            .retried(|| {
                self.client
                    .get_item()
                    .table_name(self.table(place.table))
                    .set_key(Some(place.key()))
                    .consistent_read(true)
                    .set_return_consumed_capacity(self.measure())
                    .send()
            })
            .await?;
        self.read(answer.consumed_capacity.iter());
        Ok(answer.item)
    }

    /// The items at these places as they are now, in no order; those that do not exist are left out.
    pub(crate) async fn get_all(
        &self,
        places: impl IntoIterator<Item = Place>,
    ) -> Result<HashMap<Place, Item>, Failure> {
        let mut left: Vec<Place> = places.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = HashMap::with_capacity(left.len());
        let mut pause = Pause::new(self);
        while !left.is_empty() {
            let asked = left.split_off(left.len().saturating_sub(GET_MAX));
            let unprocessed = self.get_some(&asked, &mut found).await?;
            if !unprocessed.is_empty() {
                left.extend(unprocessed);
                pause.wait().await.map_err(|()| throttled())?;
            }
        }
        Ok(found)
    }

    async fn get_some(
        &self,
        places: &[Place],
        found: &mut HashMap<Place, Item>,
    ) -> Result<Vec<Place>, Failure> {
        let mut requests: BTreeMap<Table, Vec<Item>> = BTreeMap::new();
        for place in places {
            requests.entry(place.table).or_default().push(place.key());
        }
        let requests: HashMap<String, KeysAndAttributes> = requests
            .into_iter()
            .filter_map(|(table, keys)| {
                let keys = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
                Some((self.table(table), keys.ok()?))
            })
            .collect();
        let answer = self
            .retried(|| {
                self.client
                    .batch_get_item()
                    .set_request_items(Some(requests.clone()))
                    .set_return_consumed_capacity(self.measure())
                    .send()
            })
            .await?;
        self.read(answer.consumed_capacity.iter().flatten());
        let mut responses = answer.responses.unwrap_or_default();
        let mut unprocessed = answer.unprocessed_keys.unwrap_or_default();
        let mut again = Vec::new();
        for table in Table::ALL {
            let name = self.table(table);
            for item in responses.remove(&name).unwrap_or_default() {
                if let Some(place) = Place::of(table, &item) {
                    found.insert(place, item);
                }
            }
            let keys = unprocessed.remove(&name).map(|keys| keys.keys).unwrap_or_default();
            again.extend(keys.iter().filter_map(|key| Place::of(table, key)));
        }
        Ok(again)
    }

    /// The items of a range as they are now.
    pub(crate) async fn query(&self, range: Range<'_>) -> Result<Vec<Item>, Failure> {
        let [pk, sk] = range.index.map_or(range.table.keys(), |(_, keys)| keys);
        if range.limit == 0 {
            return Ok(Vec::new());
        }
        let mut condition = String::from("#pk = :pk");
        let mut names = HashMap::from([("#pk".to_owned(), pk.to_owned())]);
        let mut values = Item::from([(":pk".to_owned(), AttributeValue::S(range.pk.clone()))]);
        // A range has one condition on the sort key, so what comes first is left out by where to start.
        let mut start = match (&range.after, &range.to) {
            (Some(after), Some(_)) => {
                let place = Place { table: range.table, pk: range.pk.clone(), sk: after.clone() };
                Some(place.key())
            }
            _ => None,
        };
        let bound = range.to.as_ref().map(|to| ("<=", to));
        let bound = bound.or(range.after.as_ref().map(|after| (">", after)));
        if let Some((comparison, value)) = bound {
            condition.push_str(&format!(" AND #sk {comparison} :sk"));
            names.insert("#sk".to_owned(), sk.to_owned());
            // Indexes sort by text.
            let by_table = range.index.is_none();
            let value =
                if by_table { range.table.sort_value(value) } else { AttributeValue::S(value.clone()) };
            values.insert(":sk".to_owned(), value);
        }
        let filter = range.filter.as_ref().map(|([map, name], value)| {
            names.extend([("#map".to_owned(), (*map).to_owned()), ("#name".to_owned(), (*name).to_owned())]);
            values.insert(":value".to_owned(), AttributeValue::S(value.clone()));
            "#map.#name = :value".to_owned()
        });
        let mut items: Vec<Item> = Vec::new();
        loop {
            let left = range.limit - items.len();
            // With a filter the limit bounds what is looked at, so whole pages are read.
            let page = if filter.is_some() { None } else { i32::try_from(left).ok() };
            let answer = self
                .retried(|| {
                    self.client
                        .query()
                        .table_name(self.table(range.table))
                        .key_condition_expression(condition.clone())
                        .set_expression_attribute_names(Some(names.clone()))
                        .set_expression_attribute_values(Some(values.clone()))
                        .set_filter_expression(filter.clone())
                        .set_exclusive_start_key(start.clone())
                        .scan_index_forward(!range.backward)
                        .set_index_name(range.index.map(|(name, _)| name.to_owned()))
                        .consistent_read(range.index.is_none())
                        .set_limit(page)
                        .set_return_consumed_capacity(self.measure())
                        .send()
                })
                .await?;
            self.read(answer.consumed_capacity.iter());
            items.extend(answer.items.unwrap_or_default());
            start = answer.last_evaluated_key;
            if start.is_none() || items.len() >= range.limit {
                items.truncate(range.limit);
                return Ok(items);
            }
        }
    }

    /// Sends a request until it is answered with something else than throttling, for as long as patience lasts.
    pub(crate) async fn retried<T, E, F>(&self, send: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + 'static,
    {
        self.repeated(send).await.map_err(Failure::from)
    }

    pub(crate) async fn repeated<T, E, F>(&self, send: impl Fn() -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + 'static,
    {
        let mut pause = Pause::new(self);
        loop {
            let error = match send().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let temporary = matches!(verdict(&error), Verdict::Throttled | Verdict::NoAnswer);
            if !temporary || pause.wait().await.is_err() {
                return Err(error.into());
            }
        }
    }

    pub(crate) fn measure(&self) -> Option<ReturnConsumedCapacity> {
        self.meter.is_some().then_some(ReturnConsumedCapacity::Total)
    }

    fn read<'a>(&self, consumed: impl Iterator<Item = &'a aws_sdk_dynamodb::types::ConsumedCapacity>) {
        if let Some(meter) = &self.meter {
            consumed.for_each(|one| meter.read(one.capacity_units.unwrap_or(0.0)));
        }
    }

    pub(crate) fn wrote<'a>(
        &self,
        consumed: impl Iterator<Item = &'a aws_sdk_dynamodb::types::ConsumedCapacity>,
    ) {
        if let Some(meter) = &self.meter {
            consumed.for_each(|one| meter.wrote(one.capacity_units.unwrap_or(0.0)));
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A transaction that was cancelled, with the code of the reason for each action.
    Canceled(Vec<String>),
    Failed(Failure),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::Canceled(_) => Self::Contended,
        }
    }
}

impl<E: ProvideErrorMetadata + 'static> From<SdkError<E>> for Refusal {
    fn from(error: SdkError<E>) -> Self {
        let any: Option<&dyn std::any::Any> = error.as_service_error().map(|error| error as _);
        if let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            any.and_then(|error| error.downcast_ref())
        {
            let reasons = canceled.cancellation_reasons().iter();
            return Self::Canceled(
                reasons.map(|reason| reason.code().unwrap_or("None").to_owned()).collect(),
            );
        }
        let verdict = verdict(&error);
        let code = match &error {
            SdkError::ServiceError(error) => error.err().code().unwrap_or("service error").to_owned(),
            SdkError::TimeoutError(_) => "timeout".to_owned(),
            SdkError::DispatchFailure(_) => "the request could not be sent".to_owned(),
            SdkError::ResponseError(_) => "unreadable response".to_owned(),
            _ => "the request could not be built; are there credentials and a region?".to_owned(),
        };
        // Messages about invalid values may repeat them.
        let message = error.as_service_error().filter(|_| verdict != Verdict::Invalid);
        let message = message.and_then(|error| error.message()).map(str::to_owned);
        Self::Failed(Failure::Service(Answer { verdict, code, message }))
    }
}

fn verdict<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Verdict {
    match error {
        SdkError::ServiceError(answer) => match answer.err().code().unwrap_or_default() {
            "ProvisionedThroughputExceededException"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TransactionInProgressException" => Verdict::Throttled,
            "ResourceNotFoundException" => Verdict::NoTables,
            "AccessDeniedException"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "MissingAuthenticationTokenException"
            | "InvalidSignatureException" => Verdict::Forbidden,
            "InternalServerError" | "InternalFailure" | "ServiceUnavailable" => Verdict::NoAnswer,
            _ if answer.raw().status().is_server_error() => Verdict::NoAnswer,
            _ => Verdict::Invalid,
        },
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => Verdict::NoAnswer,
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => Verdict::NoAnswer,
        SdkError::DispatchFailure(_) => Verdict::NoAnswer,
        _ => Verdict::Forbidden,
    }
}

pub(crate) fn throttled() -> Failure {
    let (verdict, code) = (Verdict::Throttled, "unprocessed or throttled".to_owned());
    Failure::Service(Answer { verdict, code, message: None })
}

/// Pauses between repetitions, each up to twice as long as the one before.
#[derive(Debug)]
pub(crate) struct Pause {
    clock: SystemClock,
    next: Duration,
    give_up: Duration,
}

impl Pause {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let give_up = gateway.clock.monotonic() + gateway.patience;
        Self { clock: gateway.clock, next: PAUSE_FIRST, give_up }
    }

    /// Waits for some of the pause, chosen at random. An error if patience is over.
    pub(crate) async fn wait(&mut self) -> Result<(), ()> {
        if self.clock.monotonic() >= self.give_up {
            return Err(());
        }
        let pause = self.next.mul_f64(SmallRng::from_os_rng().random());
        self.next = (self.next * 2).min(PAUSE_MAX);
        self.clock.sleep_until(self.clock.now() + pause).await;
        Ok(())
    }
}
